//! secp256k1 public keys, to verify (peer-ids.md, "Secp256k1"): the compressed point of 33 bytes; SHA-256 of the message,
//! signature in DER with the low half of `s` only (BIP 62).

use super::{KeyError, KeyType, VerifyError};

const KEY_TYPE: KeyType = KeyType::Secp256k1;

/// A secp256k1 public key.
///
/// Kept as its 33 bytes. That they are a point of the curve is found out by [`PublicKey::verify`](super::PublicKey::verify).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Secp256k1PublicKey([u8; 33]);

impl Secp256k1PublicKey {
    /// The compressed point: 0x02 or 0x03, then the x coordinate, big-endian.
    pub const fn as_bytes(&self) -> &[u8; 33] {
        &self.0
    }

    pub(super) fn from_data(data: &[u8]) -> Result<Secp256k1PublicKey, KeyError> {
        let bytes: [u8; 33] =
            data.try_into().map_err(|_| KeyError::Length { key_type: KEY_TYPE, expected: 33, got: data.len() })?;
        match bytes[0] {
            0x02 | 0x03 => Ok(Secp256k1PublicKey(bytes)),
            _ => Err(KeyError::NotCanonical { key_type: KEY_TYPE }),
        }
    }

    #[cfg(feature = "secp256k1")]
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        use k256::ecdsa::signature::Verifier;
        use k256::ecdsa::{Signature, VerifyingKey};

        let key = VerifyingKey::from_sec1_bytes(&self.0).map_err(|_| VerifyError::InvalidKey { key_type: KEY_TYPE })?;
        Signature::from_der(signature)
            .and_then(|signature| key.verify(message, &signature))
            .map_err(|_| VerifyError::BadSignature { key_type: KEY_TYPE })
    }

    #[cfg(not(feature = "secp256k1"))]
    pub(super) fn verify(&self, _: &[u8], _: &[u8]) -> Result<(), VerifyError> {
        Err(VerifyError::UnsupportedKeyType { key_type: KEY_TYPE })
    }
}
