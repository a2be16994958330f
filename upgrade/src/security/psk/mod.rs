//! Private networks: everything on the wire is encrypted with a key that all members share (libp2p/specs
//! pnet/Private-Networks-PSK-V1.md).
//!
//! ```text
//! each direction:  | nonce, 24 bytes | everything else, XOR the XSalsa20 key stream of key and nonce |
//! ```
//!
//! This is no [`Session`](super::Session): it has no records and authenticates nothing. It lies below multistream-select
//! and the handshake, which notice when the other end has another key: they get noise.

mod key;

pub use key::{Encoding, KeyFileError, PreSharedKey};

use bytes::{Buf, BytesMut};
use core::fmt;
use salsa20::{
    XSalsa20,
    cipher::{KeyIvInit, StreamCipher},
};
use tidewire_core::Seed;

/// Length of the nonce that each side sends first.
pub const NONCE_LEN: usize = 24;

/// The encryption of one connection of a private network, in place and without any change of length.
///
/// ```
/// use bytes::BytesMut;
/// use tidewire_core::Seed;
/// use tidewire_upgrade::security::psk::{PreSharedKey, Psk};
///
/// let key = PreSharedKey::new([7; 32]);
/// let (mut a, mut b) = (Psk::new(&key, &Seed::new([1; 32])), Psk::new(&key, &Seed::new([2; 32])));
///
/// let mut wire = BytesMut::new();
/// a.start(&mut wire); // once, before anything else
/// let from = wire.len();
/// wire.extend_from_slice(b"hello"); // what the stage above has to say
/// a.seal(&mut wire, from)?;
///
/// b.open(&mut wire)?; // takes the nonce away, and opens what is new
/// assert_eq!(&wire[..], b"hello");
/// wire.clear(); // the stage above takes what it wants
/// b.consumed(wire.len()); // and this is what it left
/// # Ok::<(), tidewire_upgrade::security::psk::PskError>(())
/// ```
pub struct Psk {
    key: PreSharedKey,
    nonce: [u8; NONCE_LEN],
    sealer: Option<XSalsa20>,
    opener: Option<XSalsa20>,
    /// How many bytes at the beginning of `rx` are opened already.
    opened: usize,
}

impl Psk {
    /// For one connection. `seed` must not have been used for another one.
    pub fn new(key: &PreSharedKey, seed: &Seed) -> Self {
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(seed.derive("psk-nonce", 0).as_bytes().split_at(NONCE_LEN).0);
        Psk { key: key.clone(), nonce, sealer: None, opener: None, opened: 0 }
    }

    /// Appends our nonce, which must be the first that is sent. A second call does nothing.
    pub fn start(&mut self, tx: &mut BytesMut) {
        if self.sealer.is_none() {
            tx.extend_from_slice(&self.nonce);
            self.sealer = Some(self.key.stream(&self.nonce));
        }
    }

    /// Encrypts `tx[from..]`.
    ///
    /// # Errors
    /// [`start`](Psk::start) was not called, or the key stream is used up: `tx` is cut back to `from`.
    pub fn seal(&mut self, tx: &mut BytesMut, from: usize) -> Result<(), PskError> {
        let Some(text) = tx.get_mut(from..) else { return Ok(()) };
        let result = match &mut self.sealer {
            Some(stream) => stream.try_apply_keystream(text).map_err(|_| PskError::UsedUp),
            None => Err(PskError::NotStarted),
        };
        if result.is_err() {
            tx.truncate(from);
        }
        result
    }

    /// Takes the remote's nonce away from the beginning of `rx`, once it is complete, and from then on decrypts what was
    /// added to `rx`.
    ///
    /// When the stage above has consumed from `rx`, call [`consumed`](Psk::consumed) before `rx` grows again.
    ///
    /// # Errors
    /// The key stream is used up. Final.
    pub fn open(&mut self, rx: &mut BytesMut) -> Result<(), PskError> {
        let stream = match &mut self.opener {
            Some(stream) => stream,
            None => {
                let Some(nonce) = rx.first_chunk() else { return Ok(()) };
                let stream = self.key.stream(nonce);
                rx.advance(NONCE_LEN);
                self.opener.insert(stream)
            }
        };
        let Some(text) = rx.get_mut(self.opened..) else { return Ok(()) };
        stream.try_apply_keystream(text).map_err(|_| PskError::UsedUp)?;
        self.opened = rx.len();
        Ok(())
    }

    /// Whether the remote's nonce has come, so that what is in `rx` after [`open`](Psk::open) is for the stage above.
    pub const fn is_open(&self) -> bool {
        self.opener.is_some()
    }

    /// Says how many bytes the stage above left in `rx`.
    pub fn consumed(&mut self, left: usize) {
        self.opened = self.opened.min(left);
    }
}

impl fmt::Debug for Psk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Psk")
            .field("started", &self.sealer.is_some())
            .field("open", &self.opener.is_some())
            .field("opened", &self.opened)
            .finish_non_exhaustive()
    }
}

/// Why a private network's encryption can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PskError {
    /// Something was to be sealed before our nonce.
    #[error("our nonce must be sent first: call start before seal")]
    NotStarted,
    /// A key stream has 2^70 bytes.
    #[error("the key stream is used up: open a new connection")]
    UsedUp,
}

impl PreSharedKey {
    fn stream(&self, nonce: &[u8; NONCE_LEN]) -> XSalsa20 {
        XSalsa20::new(&(*self.as_bytes()).into(), &(*nonce).into())
    }
}

#[cfg(test)]
mod tests;
