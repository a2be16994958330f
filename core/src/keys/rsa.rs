//! RSA public keys, to verify (peer-ids.md, "RSA"): SubjectPublicKeyInfo in DER (RFC 3279, section 2.3.1); SHA-256 of the
//! message, RSASSA-PKCS1-v1_5 (RFC 8017, section 8.2).
//!
//! The size is read off the DER and checked before any arithmetic: a huge key costs its verifier more than its sender
//! (CVE-2023-39533).

use super::der::Reader;
use super::{KeyError, KeyType, VerifyError};
use alloc::boxed::Box;

const KEY_TYPE: KeyType = KeyType::Rsa;
/// rsaEncryption 1.2.840.113549.1.1.1 (RFC 3279, section 2.3.1).
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// An RSA public key of 2048 to 8192 bits.
///
/// Kept as its SubjectPublicKeyInfo.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RsaPublicKey {
    spki: Box<[u8]>,
}

/// The two numbers of a key, big-endian, no leading zeros.
#[cfg_attr(not(feature = "rsa"), allow(dead_code, reason = "read only to verify"))]
struct Numbers<'a> {
    modulus: &'a [u8],
    exponent: &'a [u8],
}

impl RsaPublicKey {
    /// The smallest modulus in bits. Smaller ones can be factored; go-libp2p and rust-libp2p draw the same line.
    pub const MIN_BITS: usize = 2048;
    /// The largest modulus in bits (CVE-2023-39533).
    pub const MAX_BITS: usize = 8192;
    /// The largest public exponent in bits, as in most verifiers. 65537 is the usual one.
    pub const MAX_EXPONENT_BITS: usize = 33;

    /// The SubjectPublicKeyInfo, DER.
    pub fn as_der(&self) -> &[u8] {
        &self.spki
    }

    pub(super) fn from_data(data: &[u8]) -> Result<RsaPublicKey, KeyError> {
        numbers(data)?;
        Ok(RsaPublicKey { spki: data.into() })
    }

    #[cfg(feature = "rsa")]
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        use rsa::BoxedUint;
        use rsa::pkcs1v15::Pkcs1v15Sign;
        use sha2::{Digest, Sha256};

        let invalid = VerifyError::InvalidKey { key_type: KEY_TYPE };
        let numbers = numbers(&self.spki).map_err(|_| invalid)?;
        let key = rsa::RsaPublicKey::new_with_size_limits(
            BoxedUint::from_be_slice_vartime(numbers.modulus),
            BoxedUint::from_be_slice_vartime(numbers.exponent),
            Self::MIN_BITS..=Self::MAX_BITS,
        )
        .map_err(|_| invalid)?;
        key.verify(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message), signature)
            .map_err(|_| VerifyError::BadSignature { key_type: KEY_TYPE })
    }

    #[cfg(not(feature = "rsa"))]
    pub(super) fn verify(&self, _: &[u8], _: &[u8]) -> Result<(), VerifyError> {
        Err(VerifyError::UnsupportedKeyType { key_type: KEY_TYPE })
    }
}

fn numbers(spki: &[u8]) -> Result<Numbers<'_>, KeyError> {
    let der = |error| KeyError::Der { key_type: KEY_TYPE, error };
    let mut outer = Reader::new(spki);
    let mut info = outer.sequence().map_err(der)?;
    outer.end().map_err(der)?;
    let mut algorithm = info.sequence().map_err(der)?;
    if algorithm.object_identifier().map_err(der)? != RSA_ENCRYPTION {
        return Err(KeyError::Algorithm { key_type: KEY_TYPE, expected: "rsaEncryption" });
    }
    algorithm.null().map_err(der)?;
    algorithm.end().map_err(der)?;
    let mut key = Reader::new(info.bit_string().map_err(der)?);
    info.end().map_err(der)?;
    let mut pair = key.sequence().map_err(der)?;
    key.end().map_err(der)?;
    let numbers = Numbers { modulus: pair.unsigned().map_err(der)?, exponent: pair.unsigned().map_err(der)? };
    pair.end().map_err(der)?;

    let got = bits(numbers.modulus);
    if !(RsaPublicKey::MIN_BITS..=RsaPublicKey::MAX_BITS).contains(&got) {
        return Err(KeyError::RsaSize { got });
    }
    let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
    let exponent_bits = bits(numbers.exponent);
    if !odd(numbers.modulus)
        || !odd(numbers.exponent)
        || !(2..=RsaPublicKey::MAX_EXPONENT_BITS).contains(&exponent_bits)
    {
        return Err(KeyError::RsaNumbers);
    }
    Ok(numbers)
}

/// The length in bits of a number without leading zero bytes.
fn bits(number: &[u8]) -> usize {
    let first = number.first().copied().unwrap_or(0);
    (number.len() * 8).saturating_sub(first.leading_zeros() as usize)
}
