//! Signatures: whose verify, and which forged, malformed or ambiguous ones do not.

use super::*;

#[test]
fn signatures_of_every_type_verify_and_changed_ones_do_not() {
    for key_type in ALL {
        let theirs = oracle_keypair(key_type);
        let key = ours(&theirs.public());
        let signature = theirs.sign(b"hello").unwrap();
        assert_verifies(&key, b"hello", &signature);
        assert_eq!(key.verify(b"hellp", &signature), Err(refusal(key_type)));
        assert_eq!(key.verify(b"hello", &signature[1..]), Err(refusal(key_type)));
        assert_eq!(key.verify(b"hello", &[&signature[..], &[0]].concat()), Err(refusal(key_type)));
        assert_eq!(key.verify(b"hello", &[]), Err(refusal(key_type)));
    }
}

// RUSTSEC-2019-0004: a signature of the right length was enough.
#[test]
fn every_flipped_bit_of_a_signature_is_noticed() {
    for key_type in ALL {
        let theirs = oracle_keypair(key_type);
        let key = ours(&theirs.public());
        let signature = theirs.sign(b"hello").unwrap();
        // Each bit of the short ones; of RSA's 4096 one bit in each byte.
        let step = if key_type == KeyType::Rsa { 9 } else { 1 };
        for bit in (0..signature.len() * 8).step_by(step) {
            let mut bad = signature.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.verify(b"hello", &bad), Err(refusal(key_type)), "{key_type}, bit {bit}");
        }
    }
}

#[test]
fn one_key_does_not_verify_for_another() {
    for key_type in [KeyType::Ed25519, KeyType::Secp256k1, KeyType::Ecdsa] {
        let signature = oracle_keypair(key_type).sign(b"hello").unwrap();
        let key = ours(&oracle_keypair(key_type).public());
        assert_eq!(key.verify(b"hello", &signature), Err(refusal(key_type)));
    }
}

#[test]
fn rsa_keys_verify_at_both_ends_of_the_range() {
    for bits in [2048, 8192] {
        let key = PublicKey::from_protobuf(&key_message(0, &vector(&format!("rsa-{bits}-spki")))).unwrap();
        let signature = vector(&format!("rsa-{bits}-signature"));
        assert_verifies(&key, MESSAGE, &signature);
        assert_eq!(key.verify(b"something else", &signature), Err(refusal(KeyType::Rsa)));
        assert_eq!(key.verify(MESSAGE, &vec![0xff; signature.len()]), Err(refusal(KeyType::Rsa)), "not below n");
        assert_eq!(key.verify(MESSAGE, &vec![0; signature.len()]), Err(refusal(KeyType::Rsa)));
    }
}

// The vectors of "Taming the many EdDSAs" (Chalkias, Garillot, Nikolaenko, 2020), section 5.1: whether strict
// verification accepts.
#[test]
fn ed25519_edge_cases_are_refused() {
    const MIXED_A: &str = "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d";
    const SMALL_A: &str = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa";
    const OTHER_A: &str = "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43";
    const LARGE_S_A: &str = "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623";
    let table = [
        (
            "small A and R",
            false,
            SMALL_A,
            "8c93255d71dcab10e8f379c26200f3c7bd5f09d9bc3068d3ef4edeb4853022b6",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a0000000000000000000000000000000000000000000000000000000000000000",
        ),
        (
            "small A, mixed R",
            false,
            SMALL_A,
            "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
            "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
        ),
        (
            "mixed A, small R",
            false,
            OTHER_A,
            "aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa8c4bd45aecaca5b24fb97bc10ac27ac8751a7dfe1baff8b953ec9f5833ca260e",
        ),
        (
            "mixed A and R",
            true,
            MIXED_A,
            "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
            "9046a64750444938de19f227bb80485e92b83fdb4b6506c160484c016cc1852f87909e14428a7a1d62e9f22f3d3ad7802db02eb2e688b6c52fcd6648a98bd009",
        ),
        (
            "right only with cofactor",
            false,
            MIXED_A,
            "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
            "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed5125ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09",
        ),
        (
            "right only with cofactor, hash cut early",
            false,
            MIXED_A,
            "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
            "21122a84e0b5fca4052f5b1235c80a537878b38f3142356b2c2384ebad4668b7e40bc836dac0f71076f9abe3a53f9c03c1ceeeddb658d0030494ace586687405",
        ),
        (
            "S above the order",
            false,
            LARGE_S_A,
            "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
            "e96f66be976d82e60150baecff9906684aebb1ef181f67a7189ac78ea23b6c0e547f7690a0e2ddcd04d87dbc3490dc19b3b3052f7ff0538cb68afb369ba3a514",
        ),
        (
            "S far above the order",
            false,
            LARGE_S_A,
            "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
            "8ce5b96c8f26d0ab6c47958c9e68b937104cd36e13c33566acd2fe8d38aa19427e71f98a473474f2f13f06f97c20d58cc3f54b8bd0d272f42b695dd7e89a8c22",
        ),
        (
            "non-canonical R, reduced to hash",
            false,
            OTHER_A,
            "fdaebc429f4a735932a160da1301080c13280eea8bc280d1b392c6b9e6ba3a5a",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f454d370c8d9fc323a41450f8d513eafeb5b0697390c1e505a0d4ddc71f566607",
        ),
        (
            "non-canonical R",
            false,
            OTHER_A,
            "84b698d39be126ff55fe45079e6c8bf64a0d7db6994560b4e96b7021eb39c1a1",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f084d5b99c2a9463d9c8bd5026916996984eeec87ddf1d3be329006ace1b37b09",
        ),
    ];
    for (name, accepted, key, message, signature) in table {
        let key = PublicKey::from_protobuf(&key_message(1, &unhex(key))).unwrap();
        assert_eq!(key.verify(&unhex(message), &unhex(signature)).is_ok(), accepted, "{name}");
    }
}

/// The canonical encodings of the eight points of small order.
const SMALL_ORDER: [&str; 8] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
];

#[test]
fn a_key_of_small_order_can_sign_nothing() {
    // R the identity, S zero: plain verification takes it for about one message in eight or more.
    let mut signature = [0; 64];
    signature[0] = 1;
    for encoded in SMALL_ORDER {
        let bytes = key_message(1, &unhex(encoded));
        let plain = oracle::PublicKey::try_decode_protobuf(&bytes).unwrap();
        let message = (0u32..1000).map(u32::to_be_bytes).find(|message| plain.verify(message, &signature));
        let message = message.expect("a message for which plain verification is fooled");
        let key = PublicKey::from_protobuf(&bytes).unwrap();
        assert_eq!(key.verify(&message, &signature), Err(refusal(KeyType::Ed25519)));
    }
}

#[test]
fn a_non_canonical_ed25519_key_is_refused() {
    // y and y + p for the y that fit into 255 bits twice, with both signs.
    for low in 0xed..=0xff {
        for high in [0x7f, 0xff] {
            let mut key = [0xff; 32];
            (key[0], key[31]) = (low, high);
            let error = KeyError::NotCanonical { key_type: KeyType::Ed25519 };
            assert_eq!(PublicKey::from_protobuf(&key_message(1, &key)), Err(error));
        }
    }
    let mut largest = [0xff; 32];
    (largest[0], largest[31]) = (0xec, 0x7f);
    assert!(PublicKey::from_protobuf(&key_message(1, &largest)).is_ok());
}

#[test]
fn an_ed25519_key_that_is_no_point_verifies_nothing() {
    let mut bytes = [0; 32];
    bytes[0] = 2; // y = 2 is on no point of the curve
    let key = PublicKey::from_protobuf(&key_message(1, &bytes)).unwrap();
    assert_eq!(key.verify(b"hello", &[0; 64]), Err(VerifyError::InvalidKey { key_type: KeyType::Ed25519 }));
}

#[test]
fn the_scalar_of_an_ed25519_signature_has_one_form() {
    const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
    let keypair = Keypair::from_secret(&[7; 32]);
    let mut signature = keypair.sign(b"hello");
    assert_verifies(&keypair.public(), b"hello", &signature);
    let mut carry = 0;
    for (byte, order) in signature[32..].iter_mut().zip(unhex(ORDER)) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = u8::try_from(sum & 0xff).unwrap();
        carry = sum >> 8;
    }
    assert_eq!(keypair.public().verify(b"hello", &signature), Err(refusal(KeyType::Ed25519)));
}

/// r and s of a DER signature, as 32 bytes each.
fn scalars(signature: &[u8]) -> ([u8; 32], [u8; 32]) {
    let one = |at: usize| {
        let len = usize::from(signature[at + 1]);
        let magnitude = &signature[at + 2..at + 2 + len];
        let magnitude = if len == 33 { &magnitude[1..] } else { magnitude };
        let mut scalar = [0; 32];
        scalar[32 - magnitude.len()..].copy_from_slice(magnitude);
        (scalar, at + 2 + len)
    };
    let (r, next) = one(2);
    (r, one(next).0)
}

fn signature(r: &[u8], s: &[u8]) -> Vec<u8> {
    der(0x30, &[&integer(r), &integer(s)])
}

// BIP 62: s in the lower half.
#[test]
fn a_secp256k1_signature_with_the_other_s_is_refused() {
    const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    let theirs = oracle_keypair(KeyType::Secp256k1);
    let key = ours(&theirs.public());
    let (r, s) = scalars(&theirs.sign(b"hello").unwrap());
    assert_verifies(&key, b"hello", &signature(&r, &s));

    let (mut other, mut borrow) = ([0; 32], 0);
    for (at, order) in unhex(ORDER).into_iter().enumerate().rev() {
        let difference = i16::from(order) - i16::from(s[at]) - borrow;
        borrow = i16::from(difference < 0);
        other[at] = u8::try_from(difference & 0xff).unwrap();
    }
    assert_eq!(key.verify(b"hello", &signature(&r, &other)), Err(refusal(KeyType::Secp256k1)));
}

#[test]
fn a_der_signature_has_one_form() {
    for key_type in [KeyType::Secp256k1, KeyType::Ecdsa] {
        let theirs = oracle_keypair(key_type);
        let key = ours(&theirs.public());
        let (r, s) = scalars(&theirs.sign(b"hello").unwrap());
        let good = signature(&r, &s);
        assert_verifies(&key, b"hello", &good);

        let padded = der(0x30, &[&der(0x02, &[&[0, 0], &r]), &integer(&s)]);
        let long_length = [&[0x30, 0x81], &good[1..]].concat();
        let indefinite = [&[0x30, 0x80], &good[2..], &[0, 0]].concat();
        let zero = signature(&[0], &s);
        let no_s = der(0x30, &[&integer(&r)]);
        let three = der(0x30, &[&integer(&r), &integer(&s), &integer(&s)]);
        for bad in [padded, long_length, indefinite, zero, no_s, three] {
            assert_eq!(key.verify(b"hello", &bad), Err(refusal(key_type)), "{bad:02x?}");
        }
    }
}

#[test]
fn keys_that_are_no_point_of_their_curve_verify_nothing() {
    let mut secp256k1 = [0xff; 33];
    secp256k1[0] = 2; // x is not below the field's prime
    let mut ecdsa = vector("ecdsa-public");
    *ecdsa.last_mut().unwrap() ^= 1;
    for bytes in [key_message(2, &secp256k1), ecdsa] {
        let key = PublicKey::from_protobuf(&bytes).unwrap();
        let key_type = key.key_type();
        let expected = if key_type.is_supported() {
            VerifyError::InvalidKey { key_type }
        } else {
            VerifyError::UnsupportedKeyType { key_type }
        };
        assert_eq!(key.verify(b"hello", &[0x30, 6, 2, 1, 1, 2, 1, 1]), Err(expected));
        assert!(oracle::PublicKey::try_decode_protobuf(&bytes).is_err(), "the oracle says so when decoding");
    }
}

#[test]
fn support_follows_the_features() {
    assert!(KeyType::Ed25519.is_supported());
    assert_eq!(KeyType::Rsa.is_supported(), cfg!(feature = "rsa"));
    assert_eq!(KeyType::Secp256k1.is_supported(), cfg!(feature = "secp256k1"));
    assert_eq!(KeyType::Ecdsa.is_supported(), cfg!(feature = "ecdsa"));
}
