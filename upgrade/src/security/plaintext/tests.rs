//! The exchange of identities, good and bad.

use super::*;
use alloc::vec;
use proptest::prelude::*;
use tidewire_core::laws::{Limits, Once, Step, check_bytes};
use tidewire_core::{Keypair, Seed, VarintError};

fn key(number: u8) -> PublicKey {
    Keypair::from_seed(&Seed::new([number; 32])).public()
}

fn ours(expected: Option<PeerId>) -> Handshake {
    Handshake::new(&Plaintext::new(&key(1)), expected)
}

/// The message of this peer with its length.
fn message(number: u8) -> Vec<u8> {
    Plaintext::new(&key(number)).0.message.to_vec()
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut message = BytesMut::new();
    encode_frame(body, &mut message);
    message.to_vec()
}

fn exchange(id: Option<&[u8]>, key: Option<&[u8]>) -> Vec<u8> {
    let mut body = Vec::new();
    for (number, value) in [(ID, id), (PUBKEY, key)] {
        if let Some(value) = value {
            put(&mut body, number, value);
        }
    }
    framed(&body)
}

/// What our side makes of these bytes, and what it leaves.
fn verdict(expected: Option<PeerId>, bytes: &[u8]) -> (Result<Option<Exchanged>, Error>, BytesMut) {
    let (mut rx, mut tx) = (BytesMut::from(bytes), BytesMut::new());
    (ours(expected).advance(Time::ZERO, &mut rx, &mut tx), rx)
}

#[test]
fn both_sides_speak_at_once_and_learn_who_the_other_says_it_is() {
    let (mut a, mut b) = (ours(None), Handshake::new(&Plaintext::new(&key(2)), Some(key(1).peer_id())));
    let (mut to_a, mut to_b) = (BytesMut::new(), BytesMut::new());
    assert!(a.advance(Time::ZERO, &mut BytesMut::new(), &mut to_b).unwrap().is_none());
    assert!(b.advance(Time::ZERO, &mut BytesMut::new(), &mut to_a).unwrap().is_none());
    let a = a.advance(Time::ZERO, &mut to_a, &mut to_b).unwrap().unwrap();
    let b = b.advance(Time::ZERO, &mut to_b, &mut to_a).unwrap().unwrap();
    assert_eq!(a, Exchanged { peer: key(2).peer_id(), key: key(2) });
    assert_eq!(b, Exchanged { peer: key(1).peer_id(), key: key(1) });
}

/// The wire format, byte by byte.
#[test]
fn the_message_is_a_length_the_id_and_the_key() {
    let message = message(1);
    let id = key(1).peer_id();
    assert_eq!(message[0], 2 + 38 + 2 + 36);
    assert_eq!(message[1..3], [0x0a, 38]);
    assert_eq!(message[3..41], *id.as_bytes());
    assert_eq!(message[41..43], [0x12, 36]);
    assert_eq!(message[43..], key(1).to_protobuf());
}

#[test]
fn what_follows_the_message_stays() {
    let (result, rx) = verdict(None, &[&message(2)[..], b"application data"].concat());
    assert!(result.unwrap().is_some());
    assert_eq!(&rx[..], b"application data");
}

/// GHSA-rch7-f4h5-x9rj.
#[test]
fn another_peer_than_the_expected_one_is_refused() {
    let (expected, got) = (key(3).peer_id(), key(2).peer_id());
    assert_eq!(verdict(Some(expected), &message(2)).0, Err(Error::PeerMismatch { expected, got }));
}

#[test]
fn an_id_that_is_not_the_keys_is_refused() {
    let bytes = exchange(Some(key(3).peer_id().as_bytes()), Some(&key(2).to_protobuf()));
    let error = Error::IdOfAnotherKey { id: key(3).peer_id(), key: key(2).peer_id() };
    assert_eq!(verdict(None, &bytes).0, Err(error));
}

#[test]
fn a_missing_field_is_refused() {
    let (id, protobuf) = (key(2).peer_id(), key(2).to_protobuf());
    assert_eq!(verdict(None, &exchange(None, Some(&protobuf))).0, Err(Error::MissingId));
    assert_eq!(verdict(None, &exchange(Some(id.as_bytes()), None)).0, Err(Error::MissingKey));
    assert_eq!(verdict(None, &[0]).0, Err(Error::MissingId));
}

#[test]
fn an_id_or_a_key_that_is_none_is_refused() {
    let (id, protobuf) = (key(2).peer_id(), key(2).to_protobuf());
    assert!(matches!(verdict(None, &exchange(Some(b"?"), Some(&protobuf))).0, Err(Error::Id(_))));
    assert!(matches!(verdict(None, &exchange(Some(id.as_bytes()), Some(b"?"))).0, Err(Error::Key(_))));
}

#[test]
fn a_message_that_is_no_protobuf_is_refused() {
    assert_eq!(verdict(None, &framed(b"\x0a\x7f")).0, Err(Error::Malformed(Malformed::Truncated)));
}

#[test]
fn a_message_of_64_kib_is_read_and_one_byte_more_is_refused_on_its_length() {
    let mut body = message(2)[1..].to_vec();
    let padding = vec![0; Plaintext::MAX_MESSAGE - body.len() - 4];
    put(&mut body, 15, &padding);
    assert_eq!(body.len(), Plaintext::MAX_MESSAGE);
    assert!(verdict(None, &framed(&body)).0.unwrap().is_some());
    // 65537 as a varint, and nothing behind it.
    let error = Error::Frame(FrameError::TooLong { len: 65537, max: Plaintext::MAX_MESSAGE });
    assert_eq!(verdict(None, &[0x81, 0x80, 0x04]).0, Err(error));
}

#[test]
fn a_length_that_is_no_minimal_varint_is_refused() {
    for (bytes, error) in [(&[0x80, 0x00][..], VarintError::NotMinimal), (&[0xff; 10], VarintError::TooLong)] {
        assert_eq!(verdict(None, bytes).0, Err(Error::Frame(FrameError::Length(error))), "{bytes:?}");
    }
}

/// RUSTSEC-2024-0336.
#[test]
fn a_connection_that_ends_at_any_byte_is_a_typed_error() {
    let message = message(2);
    for at in 0..message.len() {
        let (mut rx, mut tx) = (BytesMut::from(&message[..at]), BytesMut::new());
        let mut ours = ours(None);
        assert_eq!(ours.end(Time::ZERO, &mut rx, &mut tx), Err(Error::Ended), "{at}");
        assert_eq!(ours.advance(Time::ZERO, &mut rx, &mut tx), Err(Error::Ended), "{at}, for good");
    }
    let (mut rx, mut tx) = (BytesMut::from(&message[..]), BytesMut::new());
    assert!(ours(None).end(Time::ZERO, &mut rx, &mut tx).unwrap().is_some());
}

#[test]
fn the_handshake_keeps_the_laws() {
    let script = [Step::bytes(message(2)), Step::bytes(b"what follows")];
    check_bytes(&Once(|| ours(Some(key(2).peer_id()))), &script, Limits::default()).unwrap();
}

#[test]
fn a_session_hands_over_all_that_is_there_and_leaves_the_rest_of_the_buffer() {
    let mut rx = BytesMut::with_capacity(100);
    assert_eq!(PlaintextSession.open(&mut rx), Ok(None));
    rx.extend_from_slice(b"hello");
    assert_eq!(PlaintextSession.open(&mut rx).unwrap().unwrap(), &b"hello"[..]);
    assert!(rx.is_empty() && rx.capacity() >= 90);
}

#[test]
fn a_session_sends_bytes_as_they_are() {
    let mut tx = BytesMut::from(&b"before "[..]);
    let at = PlaintextSession.begin(&mut tx);
    tx.extend_from_slice(b"hello");
    PlaintextSession.finish(&mut tx, at).unwrap();
    assert_eq!(tx, &b"before hello"[..]);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = verdict(None, &bytes);
        let _ = verdict(None, &framed(&bytes));
    }
}
