//! The key of a private network, and the file that holds it, often called `swarm.key`.
//!
//! ```text
//! /key/swarm/psk/1.0.0/
//! /base16/                       or /base64/ or /bin/
//! 64 hexadecimal digits          or 44 characters, or the 32 bytes themselves
//! ```

use alloc::vec::Vec;
use core::fmt;
use salsa20::{
    Salsa20,
    cipher::{KeyIvInit, StreamCipher},
};
use sha3::{
    Shake128,
    digest::{ExtendableOutput, Update, XofReader},
};
use zeroize::{Zeroize, Zeroizing};

/// Length of the key (pnet, "Interface").
const KEY_LEN: usize = 32;
/// The first line of the file.
const HEADER: &str = "/key/swarm/psk/1.0.0/";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The key that all members of a private network share. Wiped when dropped, never printed.
///
/// ```
/// use tidewire_upgrade::security::psk::PreSharedKey;
///
/// let file = "/key/swarm/psk/1.0.0/\n/base16/\n6189c5cf0b87fb800c1a9feeda73c6ab5e998db48fb9e6a978575c770ceef683\n";
/// let key = PreSharedKey::from_file(file.as_bytes())?;
/// // What other implementations print for this key, to compare it without showing it.
/// let fingerprint: String = key.fingerprint().iter().map(|byte| format!("{byte:02x}")).collect();
/// assert_eq!(fingerprint, "45fc986bbc9388a11d939df26f730f0c");
/// # Ok::<(), tidewire_upgrade::security::psk::KeyFileError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PreSharedKey([u8; KEY_LEN]);

/// How the third part of a key file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Encoding {
    /// Hexadecimal: what most files have, and some implementations insist on.
    #[default]
    Base16,
    /// Base64 of RFC 4648, with padding.
    Base64,
    /// The bytes themselves.
    Bin,
}

impl PreSharedKey {
    /// The longest file that is read, in bytes. A file has about 95.
    pub const MAX_FILE_LEN: usize = 1024;

    /// The key of these bytes.
    pub const fn new(bytes: [u8; KEY_LEN]) -> Self {
        PreSharedKey(bytes)
    }

    /// The bytes. Secret.
    pub const fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// Reads a key file. Lines may end with CR LF; white space around the lines and behind the key does not matter.
    ///
    /// # Errors
    /// The file is not a key file. The message names the line, and shows nothing of it: it may be the key.
    pub fn from_file(file: &[u8]) -> Result<Self, KeyFileError> {
        if file.len() > Self::MAX_FILE_LEN {
            return Err(KeyFileError::TooLong { len: file.len(), max: Self::MAX_FILE_LEN });
        }
        let (header, rest) = line(file);
        if header != HEADER.as_bytes() {
            return Err(KeyFileError::Header);
        }
        let (name, rest) = line(rest);
        let encoding = Encoding::named(name).ok_or(KeyFileError::Encoding)?;
        let mut key = Zeroizing::new([0; KEY_LEN]);
        match encoding {
            Encoding::Bin => {
                // Of the bytes themselves nothing may be trimmed; only a newline behind them is no part of the key.
                let bytes = match rest.split_at_checked(KEY_LEN) {
                    Some((bytes, end)) if end.trim_ascii().is_empty() => bytes,
                    _ => return Err(KeyFileError::Length { encoding, expected: KEY_LEN, got: rest.len() }),
                };
                key.copy_from_slice(bytes);
            }
            Encoding::Base16 | Encoding::Base64 => {
                let (text, rest) = line(rest);
                if !rest.trim_ascii().is_empty() {
                    return Err(KeyFileError::Trailing);
                }
                if text.len() != encoding.len() {
                    return Err(KeyFileError::Length { encoding, expected: encoding.len(), got: text.len() });
                }
                encoding.decode(text, &mut key).map_err(|column| KeyFileError::Character { encoding, column })?;
            }
        }
        Ok(PreSharedKey(*key))
    }

    /// Writes a key file. Secret; wiped when dropped.
    pub fn to_file(&self, encoding: Encoding) -> Zeroizing<Vec<u8>> {
        // Room for all, so that no copy is left behind by growing.
        let mut file = Zeroizing::new(Vec::with_capacity(128));
        for line in [HEADER, encoding.name()] {
            file.extend_from_slice(line.as_bytes());
            file.push(b'\n');
        }
        match encoding {
            Encoding::Base16 => {
                for byte in self.0 {
                    file.extend([byte >> 4, byte & 15].map(|digit| match digit {
                        0..=9 => b'0' + digit,
                        _ => b'a' - 10 + digit,
                    }));
                }
            }
            Encoding::Base64 => {
                for group in self.0.chunks(3) {
                    let bits =
                        group.iter().fold(0, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - group.len()));
                    let digits = [bits >> 18, bits >> 12, bits >> 6, bits].map(|digit| BASE64[digit & 63]);
                    file.extend(digits.iter().take(group.len() + 1));
                    file.extend([b'='].iter().cycle().take(3 - group.len()));
                }
            }
            Encoding::Bin => {
                file.extend_from_slice(&self.0);
                return file;
            }
        }
        file.push(b'\n');
        file
    }

    /// 16 bytes to compare keys by, from which the key can't be found: what go-libp2p and rust-libp2p print.
    ///
    /// SHAKE128 over 64 bytes of the Salsa20 key stream of this key and the nonce `finprint`. The spec does not have it.
    pub fn fingerprint(&self) -> [u8; 16] {
        let mut stream = Zeroizing::new([0; 64]);
        // Can't fail: a key stream has far more than 64 bytes.
        let _ = Salsa20::new(&self.0.into(), b"finprint".into()).try_apply_keystream(&mut *stream);
        let mut hash = Shake128::default();
        hash.update(&*stream);
        let mut fingerprint = [0; 16];
        hash.finalize_xof().read(&mut fingerprint);
        fingerprint
    }
}

impl Drop for PreSharedKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for PreSharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PreSharedKey(..)")
    }
}

/// Why a file is not the key of a private network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// Much longer than a key file.
    #[error("the file has {len} bytes: a private network key file has about 95, and {max} at most")]
    TooLong {
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The first line is another one.
    #[error("line 1: expected {HEADER:?}: is this the key file of a private network?")]
    Header,
    /// The second line is another one.
    #[error("line 2: expected \"/base16/\", \"/base64/\" or \"/bin/\", which says how the key is written")]
    Encoding,
    /// The key has another length.
    #[error("line 3: the key has {got} {}, but a 256-bit key has {expected} in {encoding}", encoding.unit())]
    Length {
        /// How the key is written.
        encoding: Encoding,
        /// Its length as it should be written.
        expected: usize,
        /// Its length as it is written.
        got: usize,
    },
    /// A character that the encoding does not have.
    #[error("line 3, column {column}: this character does not belong into {encoding}")]
    Character {
        /// How the key is written.
        encoding: Encoding,
        /// Where the character is, counted from 1.
        column: usize,
    },
    /// There is more in the file.
    #[error("line 4: expected the end of the file behind the key")]
    Trailing,
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Encoding::Base16 => "base16",
            Encoding::Base64 => "base64",
            Encoding::Bin => "bin",
        })
    }
}

impl Encoding {
    const fn name(self) -> &'static str {
        match self {
            Encoding::Base16 => "/base16/",
            Encoding::Base64 => "/base64/",
            Encoding::Bin => "/bin/",
        }
    }

    fn named(name: &[u8]) -> Option<Self> {
        [Encoding::Base16, Encoding::Base64, Encoding::Bin].into_iter().find(|it| it.name().as_bytes() == name)
    }

    const fn unit(self) -> &'static str {
        match self {
            Encoding::Bin => "bytes",
            Encoding::Base16 | Encoding::Base64 => "characters",
        }
    }

    /// Length of a key.
    const fn len(self) -> usize {
        match self {
            Encoding::Base16 => 64,
            Encoding::Base64 => 44,
            Encoding::Bin => KEY_LEN,
        }
    }

    /// Decodes text of the right length. The error is the column of the first wrong character, counted from 1.
    fn decode(self, text: &[u8], key: &mut [u8; KEY_LEN]) -> Result<(), usize> {
        let bits = if matches!(self, Encoding::Base16) { 4 } else { 6 };
        let mut out = key.iter_mut();
        let (mut held, mut count) = (0_u32, 0);
        for (index, &character) in text.iter().enumerate() {
            let padding = matches!(self, Encoding::Base64) && index == 43;
            let digit = match self.digit(character) {
                Some(digit) if !padding => digit,
                // The padding, before which two bits must be left that say nothing.
                None if padding && character == b'=' && held == 0 => break,
                _ => return Err(if padding && character == b'=' { index } else { index + 1 }),
            };
            held = held << bits | digit;
            count += bits;
            if count >= 8 {
                count -= 8;
                let [.., byte] = (held >> count).to_be_bytes();
                if let Some(out) = out.next() {
                    *out = byte;
                }
                held &= (1 << count) - 1;
            }
        }
        Ok(())
    }

    fn digit(self, character: u8) -> Option<u32> {
        match self {
            Encoding::Base16 => char::from(character).to_digit(16),
            Encoding::Base64 => BASE64.iter().position(|it| *it == character).and_then(|at| u32::try_from(at).ok()),
            Encoding::Bin => None,
        }
    }
}

/// The first line without white space around it, and what follows.
fn line(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|byte| *byte == b'\n') {
        Some(end) => (text[..end].trim_ascii(), &text[end + 1..]),
        None => (text.trim_ascii(), &[]),
    }
}
