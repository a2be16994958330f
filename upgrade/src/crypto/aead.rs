//! ChaCha20-Poly1305 (RFC 8439) in place, with the nonce as Noise writes it.
//!
//! A [`Key`] keeps its 32 bytes and nothing else. The implementations' own key objects are built for each record: that
//! costs 8 to 33 ns, and keeping them would cost 500 bytes and more for each direction of each idle connection.

use super::Crypto;
use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit,
    aead::{AeadInOut, inout::InOutBuf},
};
use core::fmt;
use zeroize::Zeroize;

/// Length of the authentication tag that ends each sealed record.
pub const TAG_LEN: usize = 16;

/// A ChaCha20-Poly1305 key. Wiped when dropped, never printed.
#[derive(Clone)]
pub struct Key {
    bytes: [u8; 32],
    crypto: Crypto,
}

impl Key {
    /// The key of these bytes.
    pub const fn new(bytes: [u8; 32], crypto: Crypto) -> Self {
        Key { bytes, crypto }
    }

    /// Replaces `text` by its ciphertext, and returns the tag that belongs behind it.
    ///
    /// A `nonce` must not be used twice with one key. A text of 256 GiB and more, which the cipher can't seal, is wiped.
    pub fn seal(&self, nonce: u64, associated: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
        match self.crypto {
            #[cfg(feature = "aws-lc-rs")]
            Crypto::AwsLc => aws_lc::seal(&self.bytes, nonce_bytes(nonce), associated, text),
            #[cfg(all(feature = "aws-lc-rs", feature = "ring"))]
            Crypto::Mixed => with_ring::seal(&self.bytes, nonce_bytes(nonce), associated, text),
            #[cfg(feature = "ring")]
            Crypto::Ring => with_ring::seal(&self.bytes, nonce_bytes(nonce), associated, text),
            Crypto::RustCrypto => None,
        }
        .unwrap_or_else(|| rust_crypto::seal(&self.bytes, nonce_bytes(nonce), associated, text))
    }

    /// Replaces `text`, a ciphertext, by its plaintext.
    ///
    /// # Errors
    /// `tag` does not fit key, nonce, associated data and ciphertext. What is in `text` then is of no use.
    pub fn open(
        &self,
        nonce: u64,
        associated: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), NotAuthentic> {
        let nonce = nonce_bytes(nonce);
        match self.crypto {
            #[cfg(feature = "aws-lc-rs")]
            Crypto::AwsLc => aws_lc::open(&self.bytes, nonce, associated, text, tag),
            #[cfg(all(feature = "aws-lc-rs", feature = "ring"))]
            Crypto::Mixed => with_ring::open(&self.bytes, nonce, associated, text, tag),
            #[cfg(feature = "ring")]
            Crypto::Ring => with_ring::open(&self.bytes, nonce, associated, text, tag),
            Crypto::RustCrypto => rust_crypto::open(&self.bytes, nonce, associated, text, tag),
        }
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("crypto", &self.crypto).finish_non_exhaustive()
    }
}

/// A sealed record is not what the holder of the key sealed under this nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record's tag is wrong: it was changed on the way, or sealed with another key or nonce")]
pub struct NotAuthentic;

/// 32 zero bits, then the counter, little-endian (Noise, section 12.3 "The ChaChaPoly cipher functions").
const fn nonce_bytes(counter: u64) -> [u8; 12] {
    let [a, b, c, d, e, f, g, h] = counter.to_le_bytes();
    [0, 0, 0, 0, a, b, c, d, e, f, g, h]
}

mod rust_crypto {
    use super::{AeadInOut, ChaCha20Poly1305, InOutBuf, KeyInit, NotAuthentic, TAG_LEN};

    pub(super) fn seal(key: &[u8; 32], nonce: [u8; 12], associated: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
        let cipher = ChaCha20Poly1305::new(&(*key).into());
        match cipher.encrypt_inout_detached(&nonce.into(), associated, InOutBuf::from(&mut *text)) {
            Ok(tag) => tag.into(),
            Err(_) => {
                text.fill(0);
                [0; TAG_LEN]
            }
        }
    }

    pub(super) fn open(
        key: &[u8; 32],
        nonce: [u8; 12],
        associated: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), NotAuthentic> {
        ChaCha20Poly1305::new(&(*key).into())
            .decrypt_inout_detached(&nonce.into(), associated, InOutBuf::from(text), &(*tag).into())
            .map_err(|_| NotAuthentic)
    }
}

/// What `ring` and `aws-lc-rs`, two crates with nearly the same interface, share.
#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
macro_rules! ring_like {
    ($implementation:ident) => {
        use super::{NotAuthentic, TAG_LEN};
        use $implementation::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

        /// `None`: the implementation refuses the key, which it has no reason to. Nothing is changed then.
        #[inline]
        fn cipher(key: &[u8; 32]) -> Option<LessSafeKey> {
            Some(LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).ok()?))
        }

        /// `None`: as [`cipher`].
        #[inline]
        pub(super) fn seal(
            key: &[u8; 32],
            nonce: [u8; 12],
            associated: &[u8],
            text: &mut [u8],
        ) -> Option<[u8; TAG_LEN]> {
            let nonce = Nonce::assume_unique_for_key(nonce);
            let made = cipher(key);
            let tag = made.as_ref()?.seal_in_place_separate_tag(nonce, Aad::from(associated), text).ok()?;
            tag.as_ref().try_into().ok()
        }
    };
}

#[cfg(feature = "aws-lc-rs")]
mod aws_lc {
    ring_like!(aws_lc_rs);

    #[inline]
    pub(super) fn open(
        key: &[u8; 32],
        nonce: [u8; 12],
        associated: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), NotAuthentic> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        // Used where it is made: it has 544 bytes and more.
        let made = cipher(key);
        let Some(cipher) = &made else { return Err(NotAuthentic) };
        match cipher.open_in_place_separate_tag(nonce, Aad::from(associated), tag, text) {
            Ok(_) => Ok(()),
            Err(_) => Err(NotAuthentic),
        }
    }
}

#[cfg(feature = "ring")]
mod with_ring {
    ring_like!(ring);

    #[inline]
    pub(super) fn open(
        key: &[u8; 32],
        nonce: [u8; 12],
        associated: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), NotAuthentic> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        // Used where it is made: it has 544 bytes and more.
        let made = cipher(key);
        let Some(cipher) = &made else { return Err(NotAuthentic) };
        match cipher.open_in_place_separate_tag(nonce, Aad::from(associated), (*tag).into(), text, 0..) {
            Ok(_) => Ok(()),
            Err(_) => Err(NotAuthentic),
        }
    }
}
