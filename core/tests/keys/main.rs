//! Keys: the vectors of peer-ids.md, hostile encodings and signatures, and the `libp2p-identity` crate as oracle.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod encoding;
mod verifying;

use libp2p_identity as oracle;
use proptest::prelude::*;
use tidewire_core::{DerError, KeyError, KeyType, Keypair, PublicKey, Seed, VerifyError};

const MESSAGE: &[u8] = b"tidewire verifies RSA";

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// A line of `tests/data/keys.txt`.
fn vector(name: &str) -> Vec<u8> {
    let lines = include_str!("../data/keys.txt").lines().filter_map(|line| line.split_once(' '));
    unhex(lines.into_iter().find(|(found, _)| *found == name).expect("a vector of that name").1)
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = vec![];
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap());
    bytes
}

/// A key message, by hand.
fn key_message(key_type: u64, data: &[u8]) -> Vec<u8> {
    [&[0x08][..], &varint(key_type), &[0x12], &varint(data.len() as u64), data].concat()
}

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let [high, low] = u16::try_from(body.len()).unwrap().to_be_bytes();
    let header = match (high, low) {
        (0, 0..=0x7f) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [header, body].concat()
}

fn integer(magnitude: &[u8]) -> Vec<u8> {
    let zeros = magnitude.iter().take_while(|&&byte| byte == 0).count().min(magnitude.len() - 1);
    let magnitude = &magnitude[zeros..];
    let sign: &[u8] = if magnitude[0] >= 0x80 { &[0] } else { &[] };
    der(0x02, &[sign, magnitude])
}

fn rsa_message(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let algorithm = unhex("300d06092a864886f70d0101010500");
    let pair = der(0x30, &[&integer(modulus), &integer(exponent)]);
    key_message(0, &der(0x30, &[&algorithm, &der(0x03, &[&[0], &pair])]))
}

/// An odd modulus of exactly so many bits.
fn modulus(bits: usize) -> Vec<u8> {
    let mut modulus = vec![0xff; bits.div_ceil(8)];
    modulus[0] = 0xff >> (modulus.len() * 8 - bits);
    modulus
}

fn oracle_keypair(key_type: KeyType) -> oracle::Keypair {
    match key_type {
        KeyType::Rsa => oracle::Keypair::from_protobuf_encoding(&vector("rsa-private")).unwrap(),
        KeyType::Ed25519 => oracle::Keypair::generate_ed25519(),
        KeyType::Secp256k1 => oracle::Keypair::generate_secp256k1(),
        KeyType::Ecdsa => oracle::Keypair::generate_ecdsa(),
    }
}

const ALL: [KeyType; 4] = [KeyType::Rsa, KeyType::Ed25519, KeyType::Secp256k1, KeyType::Ecdsa];

fn ours(theirs: &oracle::PublicKey) -> PublicKey {
    PublicKey::from_protobuf(&theirs.encode_protobuf()).unwrap()
}

/// What verifying a bad signature says, in builds with and without the feature.
fn refusal(key_type: KeyType) -> VerifyError {
    if key_type.is_supported() {
        VerifyError::BadSignature { key_type }
    } else {
        VerifyError::UnsupportedKeyType { key_type }
    }
}

fn assert_verifies(key: &PublicKey, message: &[u8], signature: &[u8]) {
    let key_type = key.key_type();
    let expected = if key_type.is_supported() { Ok(()) } else { Err(VerifyError::UnsupportedKeyType { key_type }) };
    assert_eq!(key.verify(message, signature), expected, "{key_type}");
}

fn elliptic() -> impl Strategy<Value = KeyType> {
    prop::sample::select(vec![KeyType::Ed25519, KeyType::Secp256k1, KeyType::Ecdsa])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_the_oracle_signs_we_verify(key_type in elliptic(), message in prop::collection::vec(any::<u8>(), 0..100)) {
        let theirs = oracle_keypair(key_type);
        let key = ours(&theirs.public());
        assert_verifies(&key, &message, &theirs.sign(&message).unwrap());
        prop_assert_eq!(key.to_protobuf(), theirs.public().encode_protobuf());
        prop_assert_eq!(key.peer_id().to_string(), theirs.public().to_peer_id().to_string());
    }

    #[test]
    fn what_we_sign_the_oracle_verifies(secret in any::<[u8; 32]>(), message in prop::collection::vec(any::<u8>(), 0..100)) {
        let keypair = Keypair::from_secret(&secret);
        let theirs = oracle::PublicKey::try_decode_protobuf(&keypair.public().to_protobuf()).unwrap();
        prop_assert!(theirs.verify(&message, &keypair.sign(&message)));
        prop_assert_eq!(keypair.peer_id().to_string(), theirs.to_peer_id().to_string());
    }

    #[test]
    fn each_loads_the_private_key_of_the_other(secret in any::<[u8; 32]>()) {
        let keypair = Keypair::from_secret(&secret);
        let theirs = oracle::Keypair::from_protobuf_encoding(&keypair.to_protobuf()).unwrap();
        prop_assert_eq!(theirs.public().encode_protobuf(), keypair.public().to_protobuf());
        let stored = theirs.to_protobuf_encoding().unwrap();
        prop_assert_eq!(&stored[..], &keypair.to_protobuf()[..]);
        let loaded = Keypair::from_protobuf(&stored).unwrap();
        prop_assert_eq!(loaded.secret(), &secret);
    }

    /// We may be stricter than the oracle when reading, and find bad points later; never laxer, never another id.
    #[test]
    fn what_both_read_is_the_same_key(
        name in prop::sample::select(vec!["rsa", "ed25519", "secp256k1", "ecdsa"]),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        let mut bytes = vector(&format!("{name}-public"));
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let key = PublicKey::from_protobuf(&bytes);
        match (key, oracle::PublicKey::try_decode_protobuf(&bytes)) {
            (Ok(key), Ok(theirs)) => {
                prop_assert_eq!(key.to_protobuf(), theirs.encode_protobuf());
                prop_assert_eq!(key.peer_id().to_string(), theirs.to_peer_id().to_string());
            }
            // Point not on its curve.
            (Ok(key), Err(_)) => prop_assert!(key.verify(b"", b"").is_err()),
            (Err(_), _) => {}
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..150), key_type in 0u64..5, signature in prop::collection::vec(any::<u8>(), 0..80)) {
        for bytes in [bytes.clone(), key_message(key_type, &bytes)] {
            let _ = Keypair::from_protobuf(&bytes);
            if let Ok(key) = PublicKey::from_protobuf(&bytes) {
                prop_assert!(key.verify(b"hello", &signature).is_err());
                prop_assert_eq!(PublicKey::from_protobuf(&key.to_protobuf()), Ok(key));
            }
        }
    }
}
