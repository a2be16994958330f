//! Ed25519 public keys (peer-ids.md, "Ed25519"; RFC 8032 section 5.1): 32 bytes, verified strictly.

use super::{KeyError, KeyType, VerifyError};
use ed25519_dalek::{Signature, Verifier, VerifyingKey};

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

    /// What makes verification strict beyond RFC 8032: refuses this key, and the nonce in `signature`, if it has small
    /// order. [`PublicKey::verify`](super::PublicKey::verify) does it by itself; this is for callers who let another
    /// implementation verify, one that computes the nonce and compares encodings, as all common ones do.
    ///
    /// # Errors
    /// [`VerifyError::BadSignature`]: one of the two has small order, or `signature` has not 64 bytes.
    pub fn check_order(&self, signature: &[u8]) -> Result<(), VerifyError> {
        match signature.first_chunk() {
            Some(nonce) if signature.len() == 64 && !is_small_order(&self.0) && !is_small_order(nonce) => Ok(()),
            _ => Err(VerifyError::BadSignature { key_type: KeyType::Ed25519 }),
        }
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
    ///
    /// The nonce is the first half of the signature, a point. Verifying computes the point that it must be and compares
    /// the two encodings, so a nonce in another encoding never passes, and whether this one has small order can be seen
    /// from its bytes: decoding it would cost a square root.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        let key_type = KeyType::Ed25519;
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| VerifyError::InvalidKey { key_type })?;
        self.check_order(signature)?;
        let signature = Signature::from_slice(signature).map_err(|_| VerifyError::BadSignature { key_type })?;
        key.verify(message, &signature).map_err(|_| VerifyError::BadSignature { key_type })
    }
}

/// The y coordinates of the points whose order divides the cofactor 8: of order 1, 2, 4, and the two of order 8.
const SMALL_ORDER: [[u8; 32]; 5] = [
    [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
    [0; 32],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
];

/// Whether a point whose y coordinate is encoded canonically has small order. The highest bit is the sign of x, and -P
/// has the order of P.
fn is_small_order(encoded: &[u8; 32]) -> bool {
    let mut y = *encoded;
    y[31] &= 0x7f;
    SMALL_ORDER.contains(&y)
}

#[cfg(test)]
mod tests;
