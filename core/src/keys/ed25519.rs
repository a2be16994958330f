//! Ed25519 public keys (peer-ids.md, "Ed25519"; RFC 8032 section 5.1): 32 bytes, verified strictly.

use super::{KeyError, KeyType, VerifyError};
use ed25519_dalek::{Signature, VerifyingKey};

/// An Ed25519 public key.
///
/// Kept as its 32 bytes. That they are a point of the curve is found out by [`PublicKey::verify`](super::PublicKey::verify).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ed25519PublicKey([u8; 32]);

impl Ed25519PublicKey {
    /// A key of these bytes.
    ///
    /// # Errors
    /// [`KeyError::NotCanonical`]: the encoded coordinate is not below 2^255 - 19 (RFC 8032, section 5.1.3), so the same
    /// key would have a second peer id.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Ed25519PublicKey, KeyError> {
        let [lowest, middle @ .., highest] = &bytes;
        if *lowest >= 0xed && middle.iter().all(|&byte| byte == 0xff) && highest & 0x7f == 0x7f {
            return Err(KeyError::NotCanonical { key_type: KeyType::Ed25519 });
        }
        Ok(Ed25519PublicKey(bytes))
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(super) fn from_data(data: &[u8]) -> Result<Ed25519PublicKey, KeyError> {
        let bytes = data.try_into().map_err(|_| KeyError::Length {
            key_type: KeyType::Ed25519,
            expected: 32,
            got: data.len(),
        })?;
        Ed25519PublicKey::from_bytes(bytes)
    }

    /// Of a key that was computed, hence is canonical.
    pub(super) fn of(key: &VerifyingKey) -> Ed25519PublicKey {
        Ed25519PublicKey(key.to_bytes())
    }

    /// Refuses keys and nonces of small order, scalars not below the group order, and every non-canonical encoding: one
    /// message and key have the signatures that the signer made, no variants of them.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        let key_type = KeyType::Ed25519;
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| VerifyError::InvalidKey { key_type })?;
        let signature = Signature::from_slice(signature).map_err(|_| VerifyError::BadSignature { key_type })?;
        key.verify_strict(message, &signature).map_err(|_| VerifyError::BadSignature { key_type })
    }
}
