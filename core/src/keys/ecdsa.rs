//! ECDSA public keys on P-256, to verify (peer-ids.md, "ECDSA"): SubjectPublicKeyInfo in DER (RFC 5480); SHA-256 of the
//! message, signature in DER.

use super::der::Reader;
use super::{KeyError, KeyType, VerifyError};
use alloc::boxed::Box;

const KEY_TYPE: KeyType = KeyType::Ecdsa;
/// id-ecPublicKey 1.2.840.10045.2.1 (RFC 5480, section 2.1.1).
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// secp256r1 1.2.840.10045.3.1.7 (RFC 5480, section 2.1.1.1).
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// 0x04 and two coordinates.
const POINT_LEN: usize = 65;

/// An ECDSA public key on P-256.
///
/// Kept as its SubjectPublicKeyInfo. That it is a point of the curve is found out by
/// [`PublicKey::verify`](super::PublicKey::verify).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EcdsaPublicKey {
    spki: Box<[u8]>,
}

impl EcdsaPublicKey {
    /// The SubjectPublicKeyInfo, DER.
    pub fn as_der(&self) -> &[u8] {
        &self.spki
    }

    pub(super) fn from_data(data: &[u8]) -> Result<EcdsaPublicKey, KeyError> {
        point(data)?;
        Ok(EcdsaPublicKey { spki: data.into() })
    }

    #[cfg(feature = "ecdsa")]
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        use p256::ecdsa::signature::Verifier;
        use p256::ecdsa::{Signature, VerifyingKey};

        let key = point(&self.spki)
            .ok()
            .and_then(|point| VerifyingKey::from_sec1_bytes(point).ok())
            .ok_or(VerifyError::InvalidKey { key_type: KEY_TYPE })?;
        Signature::from_der(signature)
            .and_then(|signature| key.verify(message, &signature))
            .map_err(|_| VerifyError::BadSignature { key_type: KEY_TYPE })
    }

    #[cfg(not(feature = "ecdsa"))]
    pub(super) fn verify(&self, _: &[u8], _: &[u8]) -> Result<(), VerifyError> {
        Err(VerifyError::UnsupportedKeyType { key_type: KEY_TYPE })
    }
}

/// The uncompressed point inside. Compressed points are refused: the same key would have a second peer id.
fn point(spki: &[u8]) -> Result<&[u8], KeyError> {
    let der = |error| KeyError::Der { key_type: KEY_TYPE, error };
    let mut outer = Reader::new(spki);
    let mut info = outer.sequence().map_err(der)?;
    outer.end().map_err(der)?;
    let mut algorithm = info.sequence().map_err(der)?;
    if algorithm.object_identifier().map_err(der)? != EC_PUBLIC_KEY {
        return Err(KeyError::Algorithm { key_type: KEY_TYPE, expected: "id-ecPublicKey" });
    }
    if algorithm.object_identifier().map_err(der)? != P256 {
        return Err(KeyError::Algorithm { key_type: KEY_TYPE, expected: "the curve secp256r1 (P-256)" });
    }
    algorithm.end().map_err(der)?;
    let point = info.bit_string().map_err(der)?;
    info.end().map_err(der)?;
    match point {
        [0x04, ..] if point.len() == POINT_LEN => Ok(point),
        [0x04, ..] => Err(KeyError::Length { key_type: KEY_TYPE, expected: POINT_LEN, got: point.len() }),
        _ => Err(KeyError::NotCanonical { key_type: KEY_TYPE }),
    }
}
