//! Records after the handshake.

use super::*;
use crate::crypto::Key;
use crate::security::SessionError;
use alloc::format;
use proptest::prelude::*;

fn pair() -> (NoiseSession, NoiseSession) {
    let key = |byte| Key::new([byte; 32], Crypto::default());
    (NoiseSession::new(key(1), key(2)), NoiseSession::new(key(2), key(1)))
}

/// Opens all that is there.
fn open_all(session: &mut NoiseSession, rx: &mut BytesMut) -> Result<Vec<u8>, SessionError> {
    let mut all = Vec::new();
    while let Some(plain) = session.open(rx)? {
        assert!(!plain.is_empty() && plain.len() <= MAX_PLAINTEXT);
        all.extend_from_slice(&plain);
    }
    Ok(all)
}

#[test]
fn a_record_is_length_ciphertext_and_tag() {
    let record = seal(&mut pair().0, b"hello");
    assert_eq!(record[..2], [0, 5 + 16]);
    assert_eq!(record.len(), 2 + 5 + 16);
}

#[test]
fn what_stands_before_the_record_in_tx_is_left_alone() {
    let (mut a, mut b) = pair();
    let mut tx = BytesMut::from(&b"before"[..]);
    let at = a.begin(&mut tx);
    tx.extend_from_slice(b"hello");
    a.finish(&mut tx, at).unwrap();
    assert_eq!(tx.split_to(6), &b"before"[..]);
    assert_eq!(open_all(&mut b, &mut tx).unwrap(), b"hello");
}

#[test]
fn an_empty_record_is_taken_back() {
    let (mut a, mut b) = pair();
    let mut tx = BytesMut::from(&b"before"[..]);
    let at = a.begin(&mut tx);
    a.finish(&mut tx, at).unwrap();
    assert_eq!(tx, &b"before"[..]);
    assert_eq!(open_all(&mut b, &mut seal(&mut a, b"the nonce was not used")).unwrap(), b"the nonce was not used");
}

/// litep2p once let through more plaintext than its ciphertext may be long.
#[test]
fn the_largest_record_is_one_record_and_one_byte_more_are_two() {
    for (len, records) in [
        (MAX_PLAINTEXT - 1, 1),
        (MAX_PLAINTEXT, 1),
        (MAX_PLAINTEXT + 1, 2),
        (2 * MAX_PLAINTEXT, 2),
        (2 * MAX_PLAINTEXT + 1, 3),
        (5 * MAX_PLAINTEXT + 7, 6),
    ] {
        let (mut a, mut b) = pair();
        let text: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let mut wire = seal(&mut a, &text);
        assert_eq!(wire.len(), len + records * 18);
        let first = len.min(MAX_PLAINTEXT) + 16;
        assert_eq!(usize::from(u16::from_be_bytes([wire[0], wire[1]])), first);
        assert_eq!(open_all(&mut b, &mut wire).unwrap(), text, "{len}");
        assert!(wire.is_empty());
    }
}

#[test]
fn a_record_that_is_not_complete_waits() {
    let (mut a, mut b) = pair();
    let record = seal(&mut a, b"hello");
    let mut rx = BytesMut::new();
    for byte in &record[..record.len() - 1] {
        rx.extend_from_slice(&[*byte]);
        assert_eq!(b.open(&mut rx), Ok(None));
    }
    rx.extend_from_slice(&record[record.len() - 1..]);
    assert_eq!(b.open(&mut rx).unwrap().unwrap(), &b"hello"[..]);
}

#[test]
fn empty_records_are_legal_and_skipped() {
    let (mut a, mut b) = pair();
    let mut wire = BytesMut::new();
    let mut nonce = 0;
    let mut empty = |wire: &mut BytesMut| {
        let tag = Key::new([1; 32], Crypto::RustCrypto).seal(nonce, b"", &mut []);
        nonce += 1;
        wire.extend_from_slice(&framed(&tag));
    };
    for _ in 0..3 {
        empty(&mut wire);
    }
    a.set_nonces(3, 0);
    wire.extend_from_slice(&seal(&mut a, b"hello"));
    assert_eq!(b.open(&mut wire).unwrap().unwrap(), &b"hello"[..]);
    nonce = 4;
    let tag = Key::new([1; 32], Crypto::RustCrypto).seal(nonce, b"", &mut []);
    wire.extend_from_slice(&framed(&tag));
    assert_eq!(b.open(&mut wire), Ok(None));
    assert!(wire.is_empty());
}

#[test]
fn a_record_shorter_than_its_tag_is_refused_on_the_header() {
    for len in 0..16_u16 {
        let (_, mut b) = pair();
        let error = SessionError::RecordTooShort { len: usize::from(len), tag: 16 };
        assert_eq!(b.open(&mut BytesMut::from(&len.to_be_bytes()[..])), Err(error.clone()));
        assert_eq!(b.open(&mut BytesMut::new()), Err(error), "for good");
    }
}

/// RUSTSEC-2024-0011: unauthenticated bytes moved the nonce.
#[test]
fn a_bad_tag_is_final_and_does_not_move_the_nonce() {
    let (mut a, mut b) = pair();
    let good = seal(&mut a, b"first");
    assert_eq!(open_all(&mut b, &mut good.clone()).unwrap(), b"first");
    let good = seal(&mut a, b"second");
    let mut bad = good.clone();
    bad[4] ^= 1;
    assert_eq!(b.open(&mut bad), Err(SessionError::NotAuthentic { record: 1 }));
    assert_eq!(b.open(&mut good.clone()), Err(SessionError::NotAuthentic { record: 1 }), "for good");
    assert!(format!("{b:?}").contains("nonce: 1"), "{b:?}");
}

#[test]
fn after_a_bad_record_last_words_can_still_be_sealed() {
    let (mut a, mut b) = pair();
    assert!(b.open(&mut BytesMut::from(&[0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..])).is_err());
    assert_eq!(open_all(&mut a, &mut seal(&mut b, b"go away")).unwrap(), b"go away");
}

#[test]
fn every_flipped_bit_of_a_record_is_noticed() {
    let record = seal(&mut pair().0, b"hello, world");
    for bit in 0..record.len() * 8 {
        let mut bad = record.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        match pair().1.open(&mut bad) {
            Err(SessionError::NotAuthentic { record: 0 }) => {}
            Err(SessionError::RecordTooShort { .. }) => assert!(bit < 16),
            Ok(None) => assert!(bit < 16, "a longer length waits"),
            other => panic!("bit {bit}: {other:?}"),
        }
    }
}

#[test]
fn records_can_not_be_repeated_left_out_or_swapped() {
    let (mut a, mut b) = pair();
    let (first, second) = (seal(&mut a, b"first"), seal(&mut a, b"second"));
    assert_eq!(pair().1.open(&mut second.clone()), Err(SessionError::NotAuthentic { record: 0 }));
    b.open(&mut first.clone()).unwrap().unwrap();
    assert_eq!(b.open(&mut first.clone()), Err(SessionError::NotAuthentic { record: 1 }));
    let (mut a, _) = pair();
    assert!(a.open(&mut first.clone()).is_err(), "nor sent back");
}

/// flynn/noise counted over the end and started again.
#[test]
fn the_last_nonce_is_never_used() {
    let (mut a, mut b) = pair();
    a.set_nonces(u64::MAX - 1, 0);
    b.set_nonces(0, u64::MAX - 1);
    let mut last = seal(&mut a, b"last");
    assert_eq!(b.open(&mut last).unwrap().unwrap(), &b"last"[..]);

    let mut tx = BytesMut::from(&b"before"[..]);
    for _ in 0..2 {
        let at = a.begin(&mut tx);
        tx.extend_from_slice(b"one too many");
        assert_eq!(a.finish(&mut tx, at), Err(SessionError::NoncesUsedUp));
        assert_eq!(tx, &b"before"[..], "nothing of it leaves");
    }
    let mut text = *b"forbidden";
    let tag = Key::new([1; 32], Crypto::default()).seal(u64::MAX, b"", &mut text);
    let mut rx = BytesMut::from(&framed(&[&text[..], &tag].concat())[..]);
    assert_eq!(b.open(&mut rx), Err(SessionError::NoncesUsedUp));
    assert_eq!(b.open(&mut rx), Err(SessionError::NoncesUsedUp));
}

#[test]
fn several_records_are_sealed_all_or_none() {
    let (mut a, _) = pair();
    a.set_nonces(u64::MAX - 2, 0);
    let mut tx = BytesMut::new();
    let at = a.begin(&mut tx);
    tx.resize(3 * MAX_PLAINTEXT, 7);
    assert_eq!(a.finish(&mut tx, at), Err(SessionError::NoncesUsedUp));
    assert!(tx.is_empty());
    assert_eq!(seal(&mut a, &vec![7; 2 * MAX_PLAINTEXT]).len(), 2 * 65537);
}

#[test]
fn calls_in_a_wrong_order_do_not_panic() {
    let (mut a, mut b) = pair();
    let mut tx = BytesMut::from(&b"x"[..]);
    a.finish(&mut tx, 1000).unwrap();
    a.finish(&mut tx, 1).unwrap();
    a.finish(&mut tx, 0).unwrap();
    assert!(tx.is_empty(), "what is too short for a record is none");
    assert_eq!(open_all(&mut b, &mut seal(&mut a, b"hello")).unwrap(), b"hello");
}

#[test]
fn keys_are_never_printed() {
    let key = Key::new([0xab; 32], Crypto::default());
    let printed = format!("{:?}", NoiseSession::new(key.clone(), key));
    assert!(!printed.contains("171") && !printed.contains("ab,"), "{printed}");
}

proptest! {
    #[test]
    fn however_the_bytes_are_cut_the_same_comes_out(
        texts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..500), 1..12),
        cuts in proptest::collection::vec(1..700_usize, 1..40),
    ) {
        let (mut a, mut b) = pair();
        let mut wire = BytesMut::new();
        for text in &texts {
            let at = a.begin(&mut wire);
            wire.extend_from_slice(text);
            a.finish(&mut wire, at).unwrap();
        }
        let (mut rx, mut got) = (BytesMut::new(), Vec::new());
        for cut in cuts.iter().cycle() {
            if wire.is_empty() {
                break;
            }
            rx.extend_from_slice(&wire.split_to((*cut).min(wire.len())));
            got.extend(open_all(&mut b, &mut rx).unwrap());
        }
        prop_assert_eq!(got, texts.concat());
        prop_assert!(rx.is_empty());
    }
}
