//! Published vectors for each implementation, and the implementations against each other.

use super::*;
use alloc::{format, vec::Vec};
use proptest::prelude::*;
use tidewire_core::{Ed25519PublicKey, Keypair, PublicKey, Seed};

fn hex<const N: usize>(digits: &str) -> [u8; N] {
    let digits: Vec<u32> = digits.chars().filter_map(|digit| digit.to_digit(16)).collect();
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap()).collect();
    bytes.try_into().unwrap()
}

#[test]
fn the_default_is_the_fastest_that_is_compiled_in() {
    #[cfg(all(feature = "aws-lc-rs", feature = "ring"))]
    assert_eq!(Crypto::default(), Crypto::Mixed);
    #[cfg(all(feature = "aws-lc-rs", not(feature = "ring")))]
    assert_eq!(Crypto::default(), Crypto::AwsLc);
    #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
    assert_eq!(Crypto::default(), Crypto::Ring);
    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    assert_eq!(Crypto::default(), Crypto::RustCrypto);
    assert_eq!(Crypto::ALL.last(), Some(&Crypto::RustCrypto));
}

/// RFC 7748, section 5.2, the first and the second vector.
#[test]
fn x25519_agrees_with_rfc_7748() {
    let vectors = [
        (
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
        ),
        (
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
        ),
    ];
    for &crypto in Crypto::ALL {
        for (secret, public, shared) in vectors {
            let key = SecretKey::new(hex(secret), crypto);
            assert_eq!(*key.agree(&hex(public)).unwrap(), hex::<32>(shared), "{crypto:?}");
        }
    }
}

/// RFC 7748, section 5.2: after 1 and after 1000 iterations. Base point and arbitrary points, one after the other.
#[test]
fn x25519_agrees_with_rfc_7748_after_a_thousand_iterations() {
    for &crypto in Crypto::ALL {
        let mut base = [0; 32];
        base[0] = 9;
        let (mut k, mut u) = (base, base);
        for iteration in 1..=1000 {
            let next = *SecretKey::new(k, crypto).agree(&u).unwrap();
            (k, u) = (next, k);
            if iteration == 1 {
                let expected = "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079";
                assert_eq!(k, hex(expected), "{crypto:?}");
            }
        }
        assert_eq!(k, hex("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"), "{crypto:?}");
    }
}

#[test]
fn the_public_key_is_the_secret_times_the_base_point() {
    let mut base = [0; 32];
    base[0] = 9;
    for &crypto in Crypto::ALL {
        let key = SecretKey::new([42; 32], crypto);
        assert_eq!(key.public(), &*key.agree(&base).unwrap(), "{crypto:?}");
    }
}

/// All encodings of points of small order on the curve and its twist, non-canonical ones included, with and without the
/// highest bit, which X25519 ignores.
pub(crate) fn small_order_points() -> Vec<[u8; 32]> {
    let mut points: Vec<[u8; 32]> = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ]
    .map(hex)
    .into();
    for index in 0..points.len() {
        let mut twin = points[index];
        twin[31] |= 0x80;
        points.push(twin);
    }
    points
}

#[test]
fn points_of_small_order_are_refused() {
    for &crypto in Crypto::ALL {
        let key = SecretKey::new([3; 32], crypto);
        for point in small_order_points() {
            assert_eq!(key.agree(&point).err(), Some(SmallOrder), "{crypto:?} {point:?}");
        }
    }
}

/// RFC 8439, appendix A.5, whose nonce happens to be one that Noise can count to.
#[test]
fn chacha20_poly1305_agrees_with_rfc_8439() {
    let key: [u8; 32] = hex("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0");
    let associated: [u8; 12] = hex("f33388860000000000004e91");
    let nonce = u64::from_le_bytes([1, 2, 3, 4, 5, 6, 7, 8]);
    let ciphertext: [u8; 265] =
        hex("64a0861575861af460f062c79be643bd 5e805cfd345cf389f108670ac76c8cb2 4c6cfc18755d43eea09ee94e382d26b0
         bdb7b73c321b0100d4f03b7f355894cf 332f830e710b97ce98c8a84abd0b9481 14ad176e008d33bd60f982b1ff37c855
         9797a06ef4f0ef61c186324e2b350638 3606907b6a7c02b0f9f6157b53c867e4 b9166c767b804d46a59b5216cde7a4e9
         9040c5a40433225ee282a1b0a06c523e af4534d7f83fa1155b0047718cbc546a 0d072b04b3564eea1b422273f548271a
         0bb2316053fa76991955ebd63159434e cebb4e466dae5a1073a6727627097a10 49e617d91d361094fa68f0ff77987130
         305beaba2eda04df997b714d6c6f2c29 a6ad5cb4022b02709b");
    let tag: [u8; 16] = hex("eead9d67890cbb22392336fea1851f38");
    let plaintext = "Internet-Drafts are draft documents valid for a maximum of six months and may be updated, replaced, \
                     or obsoleted by other documents at any time. It is inappropriate to use Internet-Drafts as \
                     reference material or to cite them other than as /\u{201c}work in progress./\u{201d}";
    for &crypto in Crypto::ALL {
        let key = Key::new(key, crypto);
        let mut text = ciphertext;
        key.open(nonce, &associated, &mut text, &tag).unwrap();
        assert_eq!(text, plaintext.as_bytes(), "{crypto:?}");
        assert_eq!(key.seal(nonce, &associated, &mut text), tag, "{crypto:?}");
        assert_eq!(text, ciphertext, "{crypto:?}");
    }
}

fn ed25519(keypair: &Keypair) -> [u8; 32] {
    match keypair.public() {
        PublicKey::Ed25519(key) => *key.as_bytes(),
        other => panic!("{other:?}"),
    }
}

/// Encodings of points of small order on the Edwards curve (RFC 8032), a sign on x = 0 included.
#[rustfmt::skip]
const WEAK: [&str; 10] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
];

#[test]
fn every_implementation_refuses_keys_and_nonces_of_small_order() {
    let honest = ed25519(&Keypair::from_seed(&Seed::new([1; 32])));
    for key in WEAK.map(hex::<32>).into_iter().chain([honest]) {
        let key = PublicKey::Ed25519(Ed25519PublicKey::from_bytes(key).unwrap());
        for nonce in WEAK.map(hex::<32>) {
            let signature = [nonce, [0; 32]].concat();
            for message in 0..50u8 {
                let refused = key.verify(&[message], &signature).unwrap_err();
                for &crypto in Crypto::ALL {
                    assert_eq!(crypto.verify(&key, &[message], &signature), Err(refused), "{crypto:?}");
                }
            }
        }
    }
}

/// "Taming the many EdDSAs", section 5.1, vector 3: a part of small order in key and nonce, both of large order.
#[test]
fn every_implementation_accepts_key_and_nonce_of_mixed_order() {
    let key = hex("cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d");
    let key = PublicKey::Ed25519(Ed25519PublicKey::from_bytes(key).unwrap());
    let message: [u8; 32] = hex("9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79");
    let signature: [u8; 64] = hex("9046a64750444938de19f227bb80485e92b83fdb4b6506c160484c016cc1852f\
                                   87909e14428a7a1d62e9f22f3d3ad7802db02eb2e688b6c52fcd6648a98bd009");
    for &crypto in Crypto::ALL {
        assert_eq!(crypto.verify(&key, &message, &signature), Ok(()), "{crypto:?}");
    }
}

#[test]
fn secrets_are_never_printed() {
    for &crypto in Crypto::ALL {
        let printed = format!("{:?} {:?}", Key::new([0xab; 32], crypto), SecretKey::new([0xab; 32], crypto));
        assert!(!printed.contains("ab, ") && !printed.contains("171"), "{printed}");
    }
}

proptest! {
    #[test]
    fn all_implementations_seal_alike_and_open_each_others_records(
        key: [u8; 32], nonce: u64, associated: Vec<u8>, text in proptest::collection::vec(any::<u8>(), 0..2000)
    ) {
        let mut sealed = text.clone();
        let tag = Key::new(key, Crypto::RustCrypto).seal(nonce, &associated, &mut sealed);
        for &crypto in Crypto::ALL {
            let key = Key::new(key, crypto);
            let mut same = text.clone();
            prop_assert_eq!(key.seal(nonce, &associated, &mut same), tag);
            prop_assert_eq!(&same, &sealed);
            key.open(nonce, &associated, &mut same, &tag).unwrap();
            prop_assert_eq!(&same, &text);
        }
    }

    #[test]
    fn no_implementation_opens_a_changed_record(
        key: [u8; 32], nonce: u64, mut text in proptest::collection::vec(any::<u8>(), 1..200), bit: usize
    ) {
        let tag = Key::new(key, Crypto::RustCrypto).seal(nonce, b"", &mut text);
        let mut record = [&text[..], &tag[..]].concat();
        let bit = bit % (record.len() * 8);
        record[bit / 8] ^= 1 << (bit % 8);
        let (text, tag) = record.split_last_chunk().unwrap();
        for &crypto in Crypto::ALL {
            prop_assert_eq!(Key::new(key, crypto).open(nonce, b"", &mut text.to_vec(), tag), Err(NotAuthentic));
        }
    }

    #[test]
    fn all_implementations_agree_on_signatures(
        secret: [u8; 32], message: Vec<u8>, flips in proptest::collection::vec((0..97usize, 0..8u8), 0..3), cut: bool
    ) {
        let keypair = Keypair::from_seed(&Seed::new(secret));
        let mut key = ed25519(&keypair);
        let mut signature = keypair.sign(&message).to_vec();
        signature.push(0);
        for (at, bit) in flips {
            if at < 32 { key[at] ^= 1 << bit } else { signature[at - 32] ^= 1 << bit }
        }
        if !cut || signature[64] == 0 {
            signature.pop();
        }
        if let Ok(key) = Ed25519PublicKey::from_bytes(key) {
            let key = PublicKey::Ed25519(key);
            let expected = key.verify(&message, &signature);
            for &crypto in Crypto::ALL {
                prop_assert_eq!(crypto.verify(&key, &message, &signature), expected);
            }
        }
    }

    #[test]
    fn all_implementations_agree_on_keys_and_secrets(a: [u8; 32], b: [u8; 32]) {
        let theirs = SecretKey::new(b, Crypto::RustCrypto);
        let expected = theirs.agree(SecretKey::new(a, Crypto::RustCrypto).public()).unwrap();
        for &crypto in Crypto::ALL {
            let ours = SecretKey::new(a, crypto);
            prop_assert_eq!(ours.agree(theirs.public()).unwrap(), expected.clone());
            prop_assert_eq!(SecretKey::new(b, crypto).agree(ours.public()).unwrap(), expected.clone());
        }
    }
}
