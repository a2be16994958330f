//! Verification refuses exactly what dalek's `verify_strict`, which decodes every point, refuses.

use super::*;
use alloc::vec::Vec;
use curve25519_dalek::{EdwardsPoint, Scalar, constants::ED25519_BASEPOINT_POINT, edwards::CompressedEdwardsY};
use proptest::prelude::*;
use sha2::{Digest, Sha512};

/// What `verify_strict` says to the same bytes.
fn strict(key: &Ed25519PublicKey, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
    let key_type = KeyType::Ed25519;
    let key = VerifyingKey::from_bytes(&key.0).map_err(|_| VerifyError::InvalidKey { key_type })?;
    let signature = Signature::from_slice(signature).map_err(|_| VerifyError::BadSignature { key_type })?;
    key.verify_strict(message, &signature).map_err(|_| VerifyError::BadSignature { key_type })
}

/// What verification without the strictness says.
fn plain(key: &Ed25519PublicKey, message: &[u8], signature: &[u8]) -> bool {
    let (Ok(key), Ok(signature)) = (VerifyingKey::from_bytes(&key.0), Signature::from_slice(signature)) else {
        return false;
    };
    key.verify(message, &signature).is_ok()
}

/// The eight points of small order, computed: the multiples of one of order 8.
fn torsion() -> [EdwardsPoint; 8] {
    let eighth = CompressedEdwardsY(SMALL_ORDER[3]).decompress().unwrap();
    let mut sum = EdwardsPoint::default();
    core::array::from_fn(|_| {
        let this = sum;
        sum += eighth;
        this
    })
}

/// A signature that fits but for the small-order parts: key `a B + A_T`, nonce `r B + R_T`, and `S = r + k a`.
fn crafted(
    a: Scalar,
    key_part: EdwardsPoint,
    r: Scalar,
    nonce_part: EdwardsPoint,
    message: &[u8],
) -> ([u8; 32], [u8; 64]) {
    let key = (ED25519_BASEPOINT_POINT * a + key_part).compress();
    let nonce = (ED25519_BASEPOINT_POINT * r + nonce_part).compress();
    finished(key.0, nonce.0, a, r, message)
}

fn finished(key: [u8; 32], nonce: [u8; 32], a: Scalar, r: Scalar, message: &[u8]) -> ([u8; 32], [u8; 64]) {
    let hash = Sha512::new().chain_update(nonce).chain_update(key).chain_update(message).finalize();
    let k = Scalar::from_bytes_mod_order_wide(&hash.into());
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&nonce);
    signature[32..].copy_from_slice((r + k * a).as_bytes());
    (key, signature)
}

/// Every encoding, canonical or not, that decodes to a point of small order.
fn small_order_encodings() -> Vec<[u8; 32]> {
    let mut all: Vec<[u8; 32]> = SMALL_ORDER.to_vec();
    // 0 + p and 1 + p also fit into 255 bits.
    for low in [0xed, 0xee] {
        let mut beyond = [0xff; 32];
        (beyond[0], beyond[31]) = (low, 0x7f);
        all.push(beyond);
    }
    let negative = all.clone().into_iter().map(|mut encoded| {
        encoded[31] |= 0x80;
        encoded
    });
    all.extend(negative);
    all
}

#[test]
fn the_table_is_the_eight_points_of_small_order() {
    for point in torsion() {
        assert!(point.is_small_order() && is_small_order(&point.compress().0));
    }
    for encoded in SMALL_ORDER {
        let point = CompressedEdwardsY(encoded).decompress().unwrap();
        assert!(torsion().contains(&point));
        assert_eq!(point.compress().0, encoded, "canonical, positive x");
    }
}

#[test]
fn verification_agrees_with_verify_strict_on_every_mix_of_small_order_parts() {
    let scalars = [Scalar::ZERO, Scalar::from_bytes_mod_order([0x5a; 32])];
    let (mut accepted, mut only_plain) = (0, 0);
    for a in scalars {
        for r in scalars {
            for key_part in torsion() {
                for nonce_part in torsion() {
                    for message in 0..6u8 {
                        let (key, signature) = crafted(a, key_part, r, nonce_part, &[message]);
                        let key = Ed25519PublicKey::from_bytes(key).unwrap();
                        let verdict = key.verify(&[message], &signature);
                        assert_eq!(verdict, strict(&key, &[message], &signature), "{key:?} {signature:02x?}");
                        accepted += u32::from(verdict.is_ok());
                        only_plain += u32::from(verdict.is_err() && plain(&key, &[message], &signature));
                    }
                }
            }
        }
    }
    // Both kinds occur, or this would show nothing.
    assert!(accepted > 20 && only_plain > 60, "{accepted} accepted, {only_plain} refused by strictness alone");
}

#[test]
fn verification_agrees_with_verify_strict_on_every_encoding_of_small_order() {
    let secret = Scalar::from_bytes_mod_order([0x33; 32]);
    let honest = (ED25519_BASEPOINT_POINT * secret).compress().0;
    for encoded in small_order_encodings() {
        for message in 0..40u8 {
            let as_nonce = finished(honest, encoded, secret, Scalar::ZERO, &[message]);
            let as_key = crafted(Scalar::ZERO, EdwardsPoint::default(), secret, EdwardsPoint::default(), &[message]);
            let as_both = finished(encoded, encoded, Scalar::ZERO, Scalar::ZERO, &[message]);
            for (key, signature) in [as_nonce, (encoded, as_key.1), as_both] {
                let Ok(key) = Ed25519PublicKey::from_bytes(key) else { continue };
                let verdict = key.verify(&[message], &signature);
                assert_eq!(verdict, strict(&key, &[message], &signature));
                assert!(verdict.is_err(), "{key:?} {signature:02x?}");
            }
        }
    }
}

#[test]
fn no_other_encoding_of_a_nonce_is_accepted() {
    // y below 19 has a second encoding, y + p; those that are on the curve and of large order, with both signs.
    let secret = Scalar::from_bytes_mod_order([0x33; 32]);
    let key = (ED25519_BASEPOINT_POINT * secret).compress().0;
    let mut tried = 0;
    for y in 2..19u8 {
        for sign in [0, 0x80] {
            let mut nonce = [0xff; 32];
            (nonce[0], nonce[31]) = (0xed + y, 0x7f | sign);
            if CompressedEdwardsY(nonce).decompress().is_none() {
                continue;
            }
            tried += 1;
            let (key, signature) = finished(key, nonce, secret, Scalar::ZERO, b"hello");
            let key = Ed25519PublicKey::from_bytes(key).unwrap();
            assert_eq!(key.verify(b"hello", &signature), strict(&key, b"hello", &signature));
            assert!(key.verify(b"hello", &signature).is_err());
        }
    }
    assert!(tried > 4);
}

proptest! {
    #[test]
    fn verification_agrees_with_verify_strict(
        a: [u8; 32],
        r: [u8; 32],
        parts in (0..8usize, 0..8usize),
        message: Vec<u8>,
        flips in proptest::collection::vec((0..96usize, 0..8u8), 0..3),
        replaced in proptest::option::weighted(0.2, any::<[u8; 32]>()),
    ) {
        let (a, r) = (Scalar::from_bytes_mod_order(a), Scalar::from_bytes_mod_order(r));
        let (mut key, mut signature) = crafted(a, torsion()[parts.0], r, torsion()[parts.1], &message);
        for (at, bit) in flips {
            if at < 32 { key[at] ^= 1 << bit } else { signature[at - 32] ^= 1 << bit }
        }
        if let Some(bytes) = replaced {
            signature[32..].copy_from_slice(&bytes);
        }
        if let Ok(key) = Ed25519PublicKey::from_bytes(key) {
            prop_assert_eq!(key.verify(&message, &signature), strict(&key, &message, &signature));
        }
    }
}
