//! The layer, cut anywhere, and the key file.

use super::*;
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use proptest::prelude::*;

const FILE: &str =
    "/key/swarm/psk/1.0.0/\n/base16/\n6189c5cf0b87fb800c1a9feeda73c6ab5e998db48fb9e6a978575c770ceef683\n";

fn psk(key: u8, seed: u8) -> Psk {
    Psk::new(&PreSharedKey::new([key; 32]), &Seed::new([seed; 32]))
}

/// What `psk` sends for this text, its nonce before it.
fn sent(psk: &mut Psk, text: &[u8]) -> Vec<u8> {
    let mut tx = BytesMut::new();
    psk.start(&mut tx);
    let from = tx.len();
    tx.extend_from_slice(text);
    psk.seal(&mut tx, from).unwrap();
    tx.to_vec()
}

/// The first vector of the NaCl test suite for XSalsa20: its `firstkey`, its nonce, and the stream's first bytes.
#[test]
fn the_stream_is_xsalsa20() {
    let key = [
        0x1b, 0x27, 0x55, 0x64, 0x73, 0xe9, 0x85, 0xd4, 0x62, 0xcd, 0x51, 0x19, 0x7a, 0x9a, 0x46, 0xc7, 0x60, 0x09,
        0x54, 0x9e, 0xac, 0x64, 0x74, 0xf2, 0x06, 0xc4, 0xee, 0x08, 0x44, 0xf6, 0x83, 0x89,
    ];
    let nonce = [
        0x69, 0x69, 0x6e, 0xe9, 0x55, 0xb6, 0x2b, 0x73, 0xcd, 0x62, 0xbd, 0xa8, 0x75, 0xfc, 0x73, 0xd6, 0x82, 0x19,
        0xe0, 0x03, 0x6b, 0x7a, 0x0b, 0x37,
    ];
    let expected = [
        0xee, 0xa6, 0xa7, 0x25, 0x1c, 0x1e, 0x72, 0x91, 0x6d, 0x11, 0xc2, 0xcb, 0x21, 0x4d, 0x3c, 0x25, 0x25, 0x39,
        0x12, 0x1d, 0x8e, 0x23, 0x4e, 0x65, 0x2d, 0x65, 0x1f, 0xa4, 0xc8, 0xcf, 0xf8, 0x80,
    ];
    let mut psk = Psk::new(&PreSharedKey::new(key), &Seed::new([1; 32]));
    let mut rx = BytesMut::from(&[&nonce[..], &[0; 32]].concat()[..]);
    psk.open(&mut rx).unwrap();
    assert_eq!(rx[..], expected);
}

#[test]
fn our_nonce_comes_first_and_once() {
    let (mut a, mut tx) = (psk(7, 1), BytesMut::new());
    a.start(&mut tx);
    a.start(&mut tx);
    assert_eq!(tx.len(), NONCE_LEN);
    assert_eq!(sent(&mut psk(7, 1), b""), &tx[..], "and is the seed's");
    assert_ne!(sent(&mut psk(7, 2), b""), &tx[..]);
}

#[test]
fn nothing_is_sealed_before_our_nonce() {
    let mut tx = BytesMut::from(&b"secret"[..]);
    assert_eq!(psk(7, 1).seal(&mut tx, 0), Err(PskError::NotStarted));
    assert!(tx.is_empty(), "nothing leaves in the clear");
}

#[test]
fn length_is_kept() {
    assert_eq!(sent(&mut psk(7, 1), &[0; 1000]).len(), NONCE_LEN + 1000);
}

#[test]
fn only_what_is_new_is_opened() {
    let mut b = psk(7, 2);
    let mut wire = BytesMut::from(&sent(&mut psk(7, 1), b"first second third")[..]);
    let mut rx = wire.split_to(NONCE_LEN + 6);
    b.open(&mut rx).unwrap();
    b.open(&mut rx).unwrap();
    assert_eq!(rx, &b"first "[..], "twice is once");
    rx.advance(2);
    b.consumed(rx.len());
    rx.extend_from_slice(&wire.split_to(7));
    b.open(&mut rx).unwrap();
    assert_eq!(rx, &b"rst second "[..]);
    rx.clear();
    b.consumed(0);
    rx.extend_from_slice(&wire);
    b.open(&mut rx).unwrap();
    assert_eq!(rx, &b"third"[..]);
}

#[test]
fn until_the_remotes_nonce_is_complete_nothing_is_taken() {
    let mut b = psk(7, 2);
    let mut rx = BytesMut::from(&[9; NONCE_LEN - 1][..]);
    b.open(&mut rx).unwrap();
    assert!(!b.is_open() && rx.len() == NONCE_LEN - 1);
    rx.extend_from_slice(&[9]);
    b.open(&mut rx).unwrap();
    assert!(b.is_open() && rx.is_empty());
}

/// "Nodes of different private networks must not be able to connect to each other."
#[test]
fn with_another_key_only_noise_comes_out() {
    let text = b"\x13/multistream/1.0.0\n";
    let mut rx = BytesMut::from(&sent(&mut psk(7, 1), text)[..]);
    psk(8, 2).open(&mut rx).unwrap();
    assert_ne!(&rx[..], text);
}

#[test]
fn neither_key_nor_nonce_is_printed() {
    assert_eq!(format!("{:?}", PreSharedKey::new([0xab; 32])), "PreSharedKey(..)");
    assert_eq!(format!("{:?}", psk(0xab, 1)), "Psk { started: false, open: false, opened: 0, .. }");
}

#[test]
fn a_key_file_of_other_implementations_is_read() {
    let key = PreSharedKey::from_file(FILE.as_bytes()).unwrap();
    assert_eq!(key.as_bytes()[..4], [0x61, 0x89, 0xc5, 0xcf]);
    for file in [
        FILE.trim_end().to_string(),
        FILE.replace('\n', "\r\n"),
        FILE.to_uppercase().replace("/KEY/SWARM/PSK/", "/key/swarm/psk/").replace("/BASE16/", "/base16/"),
        "/key/swarm/psk/1.0.0/\n/base64/\nYYnFzwuH+4AMGp/u2nPGq16ZjbSPueapeFdcdwzu9oM=".to_string(),
    ] {
        assert_eq!(PreSharedKey::from_file(file.as_bytes()), Ok(key.clone()), "{file}");
    }
}

#[test]
fn a_key_file_is_written_as_others_write_it() {
    let key = PreSharedKey::from_file(FILE.as_bytes()).unwrap();
    assert_eq!(key.to_file(Encoding::Base16)[..], *FILE.as_bytes());
}

#[test]
fn a_file_that_is_none_says_which_line_is_wrong_and_shows_nothing_of_it() {
    let digits = "61".repeat(32);
    for (file, expected) in [
        (String::new(), KeyFileError::Header),
        (digits.clone(), KeyFileError::Header),
        ("/key/swarm/psk/2.0.0/\n/base16/\n".into(), KeyFileError::Header),
        (format!("/key/swarm/psk/1.0.0/\n{digits}"), KeyFileError::Encoding),
        ("/key/swarm/psk/1.0.0/".into(), KeyFileError::Encoding),
        (
            "/key/swarm/psk/1.0.0/\n/base16/\n6161".into(),
            KeyFileError::Length { encoding: Encoding::Base16, expected: 64, got: 4 },
        ),
        (
            format!("/key/swarm/psk/1.0.0/\n/base16/\n{digits}61"),
            KeyFileError::Length { encoding: Encoding::Base16, expected: 64, got: 66 },
        ),
        (
            format!("/key/swarm/psk/1.0.0/\n/base64/\n{digits}"),
            KeyFileError::Length { encoding: Encoding::Base64, expected: 44, got: 64 },
        ),
        (
            format!("/key/swarm/psk/1.0.0/\n/bin/\n{digits}"),
            KeyFileError::Length { encoding: Encoding::Bin, expected: 32, got: 64 },
        ),
        (
            format!("/key/swarm/psk/1.0.0/\n/base16/\n{}g{}", &digits[..9], &digits[10..]),
            KeyFileError::Character { encoding: Encoding::Base16, column: 10 },
        ),
        (
            format!("/key/swarm/psk/1.0.0/\n/base64/\n{}", "A".repeat(44)),
            KeyFileError::Character { encoding: Encoding::Base64, column: 44 },
        ),
        (
            format!("/key/swarm/psk/1.0.0/\n/base64/\n{}=", "/".repeat(43)),
            KeyFileError::Character { encoding: Encoding::Base64, column: 43 },
        ),
        (format!("{FILE}more"), KeyFileError::Trailing),
        ("x".repeat(1025), KeyFileError::TooLong { len: 1025, max: 1024 }),
    ] {
        let error = PreSharedKey::from_file(file.as_bytes()).unwrap_err();
        assert_eq!(error, expected, "{file}");
        assert!(!error.to_string().contains("6161"), "{error}");
    }
}

#[test]
fn errors_are_sentences() {
    let errors = [
        (
            KeyFileError::Header,
            r#"line 1: expected "/key/swarm/psk/1.0.0/": is this the key file of a private network?"#,
        ),
        (
            KeyFileError::Length { encoding: Encoding::Base16, expected: 64, got: 62 },
            "line 3: the key has 62 characters, but a 256-bit key has 64 in base16",
        ),
    ];
    for (error, expected) in errors {
        assert_eq!(error.to_string(), expected);
    }
}

proptest! {
    #[test]
    fn every_key_survives_every_encoding(key: [u8; 32]) {
        let key = PreSharedKey::new(key);
        for encoding in [Encoding::Base16, Encoding::Base64, Encoding::Bin] {
            prop_assert_eq!(PreSharedKey::from_file(&key.to_file(encoding)), Ok(key.clone()));
        }
    }

    #[test]
    fn no_file_makes_it_panic(file in proptest::collection::vec(any::<u8>(), 0..200), encoding in "(base16|base64|bin)") {
        let _ = PreSharedKey::from_file(&file);
        let _ = PreSharedKey::from_file(&[format!("/key/swarm/psk/1.0.0/\n/{encoding}/\n").as_bytes(), &file].concat());
    }

    #[test]
    fn however_the_bytes_are_cut_and_consumed_the_same_comes_out(
        text in proptest::collection::vec(any::<u8>(), 0..2000),
        cuts in proptest::collection::vec((1..200_usize, 0..200_usize), 1..30),
    ) {
        let mut wire = BytesMut::from(&sent(&mut psk(7, 1), &text)[..]);
        let (mut b, mut rx, mut got) = (psk(7, 2), BytesMut::new(), Vec::new());
        for (arrive, consume) in cuts.iter().cycle().take(5000) {
            rx.extend_from_slice(&wire.split_to((*arrive).min(wire.len())));
            b.open(&mut rx).unwrap();
            if b.is_open() {
                got.extend_from_slice(&rx.split_to((*consume).min(rx.len())));
            }
            b.consumed(rx.len());
        }
        got.extend_from_slice(&rx);
        if wire.is_empty() {
            prop_assert_eq!(got, text);
        }
    }

    #[test]
    fn however_the_bytes_are_sealed_the_same_goes_out(texts in proptest::collection::vec(any::<Vec<u8>>(), 0..10)) {
        let (mut a, mut tx) = (psk(7, 1), BytesMut::new());
        a.start(&mut tx);
        for text in &texts {
            let from = tx.len();
            tx.extend_from_slice(text);
            a.seal(&mut tx, from).unwrap();
        }
        prop_assert_eq!(&tx[..], sent(&mut psk(7, 1), &texts.concat()));
    }
}
