//! Keys as bytes: what is read, what is refused, what is written.

use super::*;

#[test]
fn the_public_keys_of_the_spec_survive() {
    for (name, key_type) in [
        ("rsa", KeyType::Rsa),
        ("ed25519", KeyType::Ed25519),
        ("secp256k1", KeyType::Secp256k1),
        ("ecdsa", KeyType::Ecdsa),
    ] {
        let bytes = vector(&format!("{name}-public"));
        let key = PublicKey::from_protobuf(&bytes).unwrap();
        assert_eq!(key.key_type(), key_type);
        assert_eq!(key.to_protobuf(), bytes);
        let theirs = oracle::PublicKey::try_decode_protobuf(&bytes).unwrap();
        assert_eq!(key.peer_id().to_string(), theirs.to_peer_id().to_string());
    }
}

#[test]
fn the_private_key_of_the_spec_gives_its_public_key() {
    let bytes = vector("ed25519-private");
    let keypair = Keypair::from_protobuf(&bytes).unwrap();
    assert_eq!(keypair.public().to_protobuf(), vector("ed25519-public"));
    assert_eq!(*keypair.to_protobuf(), bytes);
}

#[test]
fn the_other_private_keys_of_the_spec_are_refused_by_their_type() {
    for (name, got) in [("rsa", KeyType::Rsa), ("secp256k1", KeyType::Secp256k1), ("ecdsa", KeyType::Ecdsa)] {
        let refused = Keypair::from_protobuf(&vector(&format!("{name}-private")));
        assert_eq!(refused.unwrap_err(), KeyError::CantSign { got });
    }
}

#[test]
fn the_old_form_of_a_private_key_is_read() {
    let new = vector("ed25519-private");
    let old = key_message(1, &[&new[4..], &new[36..]].concat());
    assert_eq!(old.len(), 4 + 96);
    assert_eq!(*Keypair::from_protobuf(&old).unwrap().to_protobuf(), new);
}

#[test]
fn a_private_key_with_another_public_key_is_refused() {
    let good = vector("ed25519-private");
    for at in [36, 67] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert_eq!(Keypair::from_protobuf(&bad).unwrap_err(), KeyError::HalvesDiffer);
    }
    let mut old = [&good[4..], &good[36..]].concat();
    old[95] ^= 1;
    assert_eq!(Keypair::from_protobuf(&key_message(1, &old)).unwrap_err(), KeyError::HalvesDiffer);
}

#[test]
fn a_private_key_of_another_length_is_refused() {
    for got in [0, 31, 32, 63, 65, 95, 97, 128] {
        let error = KeyError::Length { key_type: KeyType::Ed25519, expected: 64, got };
        assert_eq!(Keypair::from_protobuf(&key_message(1, &vec![0; got])).unwrap_err(), error);
    }
    let max = Keypair::MAX_PROTOBUF_LEN;
    let error = KeyError::TooLong { max, got: max + 1 };
    assert_eq!(Keypair::from_protobuf(&vec![0; max + 1]).unwrap_err(), error);
}

#[test]
fn missing_fields_and_unknown_types_are_named() {
    let read = |bytes: &[u8]| PublicKey::from_protobuf(bytes).unwrap_err();
    assert_eq!(read(&[]), KeyError::MissingField { field: "Type" });
    assert_eq!(read(&[0x12, 0x00]), KeyError::MissingField { field: "Type" });
    assert_eq!(read(&[0x08, 0x01]), KeyError::MissingField { field: "Data" });
    assert_eq!(read(&key_message(4, &[0; 32])), KeyError::UnknownKeyType { got: 4 });
    assert_eq!(read(&[0x08]), KeyError::Protobuf);
    assert_eq!(read(&[0x08, 0x01, 0x12, 0x21, 0x00]), KeyError::Protobuf);
}

#[test]
fn a_huge_type_number_does_not_wrap_to_a_known_one() {
    let got = (1 << 32) | 1;
    let error = KeyError::UnknownKeyType { got };
    assert_eq!(PublicKey::from_protobuf(&key_message(got, &[7; 32])), Err(error));
}

#[test]
fn a_long_message_is_refused_before_it_is_decoded() {
    let max = PublicKey::MAX_PROTOBUF_LEN;
    let bytes = vec![0xff; max + 1];
    assert_eq!(PublicKey::from_protobuf(&bytes), Err(KeyError::TooLong { max, got: max + 1 }));
}

#[test]
fn any_protobuf_of_a_key_gives_its_one_encoding_and_id() {
    let key = PublicKey::from_protobuf(&vector("ed25519-public")).unwrap();
    let data = &vector("ed25519-public")[4..];
    let variants = [
        [&[0x12, 0x20][..], data, &[0x08, 0x01]].concat(),    // fields swapped
        [&[0x08, 0x81, 0x00, 0x12, 0x20][..], data].concat(), // a longer varint
        [&[0x08, 0x01, 0x12, 0x20][..], data, &[0x18, 0x05]].concat(), // an unknown field
        [&[0x08, 0x00, 0x08, 0x01, 0x12, 0x20][..], data].concat(), // the last of two counts
    ];
    for bytes in variants {
        let read = PublicKey::from_protobuf(&bytes).unwrap();
        assert_eq!(read.to_protobuf(), key.to_protobuf());
        assert_eq!(read.peer_id(), key.peer_id());
    }
}

#[test]
fn keys_of_a_wrong_length_or_form_are_refused() {
    let read = |bytes: &[u8]| PublicKey::from_protobuf(bytes).unwrap_err();
    for got in [0, 31, 33] {
        let error = KeyError::Length { key_type: KeyType::Ed25519, expected: 32, got };
        assert_eq!(read(&key_message(1, &vec![0; got])), error);
    }
    for got in [0, 32, 34, 65] {
        let error = KeyError::Length { key_type: KeyType::Secp256k1, expected: 33, got };
        assert_eq!(read(&key_message(2, &vec![4; got])), error);
    }
    let error = KeyError::NotCanonical { key_type: KeyType::Secp256k1 };
    assert_eq!(read(&key_message(2, &[4; 33])), error);
}

#[test]
fn an_ecdsa_key_on_another_curve_or_compressed_is_refused() {
    let error = KeyError::Algorithm { key_type: KeyType::Ecdsa, expected: "the curve secp256r1 (P-256)" };
    assert_eq!(PublicKey::from_protobuf(&key_message(3, &vector("p384-spki"))), Err(error));

    let good = vector("ecdsa-public");
    let (algorithm, x) = (&good[6..27], &good[31..63]);
    let compressed = der(0x30, &[algorithm, &der(0x03, &[&[0, 0x02], x])]);
    let error = KeyError::NotCanonical { key_type: KeyType::Ecdsa };
    assert_eq!(PublicKey::from_protobuf(&key_message(3, &compressed)), Err(error));
    let error = KeyError::Algorithm { key_type: KeyType::Ecdsa, expected: "id-ecPublicKey" };
    assert_eq!(PublicKey::from_protobuf(&key_message(3, &vector("rsa-2048-spki"))), Err(error));
}

// CVE-2023-39533
#[test]
fn an_rsa_key_of_a_size_out_of_bounds_is_refused_without_arithmetic() {
    for bits in [2048, 2049, 8191, 8192] {
        assert!(PublicKey::from_protobuf(&rsa_message(&modulus(bits), &[1, 0, 1])).is_ok(), "{bits}");
    }
    for got in [1, 1024, 2047, 8193, 8200, 15000] {
        let refused = PublicKey::from_protobuf(&rsa_message(&modulus(got), &[1, 0, 1]));
        assert_eq!(refused, Err(KeyError::RsaSize { got }));
    }
    let refused = PublicKey::from_protobuf(&key_message(0, &vector("rsa-1024-spki")));
    assert_eq!(refused, Err(KeyError::RsaSize { got: 1024 }));
    // 100,000 bits don't even get to be parsed.
    let refused = PublicKey::from_protobuf(&rsa_message(&modulus(100_000), &[1, 0, 1]));
    assert!(matches!(refused, Err(KeyError::TooLong { .. })));
}

#[test]
fn rsa_numbers_that_are_no_key_are_refused() {
    let mut even = modulus(2048);
    *even.last_mut().unwrap() = 0xfe;
    assert_eq!(PublicKey::from_protobuf(&rsa_message(&even, &[1, 0, 1])), Err(KeyError::RsaNumbers));
    for exponent in [&[0][..], &[1], &[2], &[1, 0, 0], &[2, 0, 0, 0, 1], &modulus(2048)] {
        let refused = PublicKey::from_protobuf(&rsa_message(&modulus(2048), exponent));
        assert_eq!(refused, Err(KeyError::RsaNumbers), "{exponent:02x?}");
    }
    for exponent in [&[3][..], &[1, 0, 1], &[1, 0xff, 0xff, 0xff, 0xff]] {
        assert!(PublicKey::from_protobuf(&rsa_message(&modulus(2048), exponent)).is_ok(), "{exponent:02x?}");
    }
}

// CVE-2026-110789
#[test]
fn every_length_in_the_der_of_a_key_is_checked() {
    for (key_type, spki) in
        [(KeyType::Rsa, vector("rsa-2048-spki")), (KeyType::Ecdsa, vector("ecdsa-public")[4..].to_vec())]
    {
        let number = key_type as u64;
        assert!(PublicKey::from_protobuf(&key_message(number, &spki)).is_ok());
        // The lengths sit among the first 40 bytes; what comes later is the numbers.
        for at in 0..40.min(spki.len()) {
            for value in 0..=255 {
                let mut bad = spki.clone();
                if bad[at] == value {
                    continue;
                }
                bad[at] = value;
                if let Ok(read) = PublicKey::from_protobuf(&key_message(number, &bad)) {
                    assert!(at >= 27, "byte {at} = {value:#x} was accepted");
                    assert_eq!(read.to_protobuf(), key_message(number, &bad));
                }
            }
        }
        for cut in 0..spki.len() {
            assert!(PublicKey::from_protobuf(&key_message(number, &spki[..cut])).is_err());
        }
        let longer = [&spki[..], &[0]].concat();
        let error = DerError::Trailing { got: 1 };
        assert_eq!(PublicKey::from_protobuf(&key_message(number, &longer)), Err(KeyError::Der { key_type, error }));
    }
}

#[test]
fn secrets_are_not_printed() {
    let keypair = Keypair::from_protobuf(&vector("ed25519-private")).unwrap();
    let printed = format!("{keypair:?} {keypair:#?}");
    assert!(printed.contains(&keypair.peer_id().to_string()));
    for run in keypair.secret().windows(2) {
        assert!(!printed.contains(&format!("{}, {}", run[0], run[1])));
        assert!(!printed.to_lowercase().contains(&format!("{:02x}{:02x}", run[0], run[1])));
    }
}

#[test]
fn a_seed_gives_one_key_apart_from_all_its_other_uses() {
    let seed = Seed::new([7; 32]);
    assert_eq!(Keypair::from_seed(&seed).peer_id(), Keypair::from_seed(&seed).peer_id());
    assert_ne!(Keypair::from_seed(&seed).peer_id(), Keypair::from_secret(seed.as_bytes()).peer_id());
    assert_ne!(Keypair::from_seed(&seed).peer_id(), Keypair::from_seed(&seed.derive("x", 0)).peer_id());
}
