//! What a remote may do wrong, each with the error that it earns. Named after the bugs that other implementations had.

use super::*;
use crate::crypto::SmallOrder;
use crate::security::Malformed;
use tidewire_core::{KeyError, KeyType, VerifyError};

/// Our side's verdict on this payload, once as the initiator (message 2), once as the responder (message 3).
fn verdicts(make: impl Fn(&[u8; 32]) -> Vec<u8>) -> [Error; 2] {
    let payload = make(&Foreign::public());
    let mut ours = Side::new(initiator(&peer(1, &[]).1, None));
    let mut foreign = Foreign::new(Role::Responder, b"");
    foreign.read(&ours.feed(&[]));
    assert!(ours.feed(&foreign.write(&payload)).is_empty(), "a stranger must not get message 3");
    let as_initiator = ours.error();

    let mut ours = Side::new(responder(&peer(1, &[]).1, None));
    let mut foreign = Foreign::new(Role::Initiator, b"");
    let second = ours.feed(&foreign.write(b""));
    foreign.read(&second);
    ours.feed(&foreign.write(&payload));
    [as_initiator, ours.error()]
}

fn verdict(make: impl Fn(&[u8; 32]) -> Vec<u8>) -> Error {
    let [a, b] = verdicts(make);
    assert_eq!(a, b);
    a
}

const BAD: Error = Error::Signature(VerifyError::BadSignature { key_type: KeyType::Ed25519 });

/// CVE-2022-24759.
#[test]
fn a_signature_by_another_key_is_refused() {
    let (shown, held) = (identity(2), identity(3));
    assert_eq!(verdict(|key| fields(&[(1, &shown.public().to_protobuf()), (2, &held.sign(&signed(key)))])), BAD);
}

/// CVE-2022-24759.
#[test]
fn a_signature_over_another_static_key_is_refused() {
    assert_eq!(verdict(|_| honest_payload(&identity(2), &[8; 32])), BAD);
}

#[test]
fn a_signature_without_the_prefix_is_refused() {
    let it = identity(2);
    assert_eq!(verdict(|key| fields(&[(1, &it.public().to_protobuf()), (2, &it.sign(key))])), BAD);
}

/// CVE-2022-24759.
#[test]
fn a_missing_signature_is_refused() {
    assert_eq!(verdict(|_| fields(&[(1, &identity(2).public().to_protobuf())])), Error::MissingSignature);
}

#[test]
fn an_empty_signature_is_refused() {
    assert_eq!(verdict(|_| fields(&[(1, &identity(2).public().to_protobuf()), (2, b"")])), BAD);
}

#[test]
fn a_missing_key_is_refused() {
    assert_eq!(verdict(|key| fields(&[(2, &identity(2).sign(&signed(key)))])), Error::MissingKey);
    assert_eq!(verdict(|_| Vec::new()), Error::MissingKey);
}

/// RUSTSEC-2019-0004.
#[test]
fn every_flipped_bit_of_the_signature_is_noticed() {
    let good = identity(2).sign(&signed(&Foreign::public()));
    for bit in (0..512).step_by(7) {
        let mut signature = good;
        signature[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(verdict(|_| fields(&[(1, &identity(2).public().to_protobuf()), (2, &signature)])), BAD, "bit {bit}");
    }
}

#[test]
fn a_key_of_an_unknown_type_is_refused() {
    assert_eq!(
        verdict(|_| fields(&[(1, &[0x08, 0x09, 0x12, 0x01, 0x00]), (2, &[0; 64])])),
        Error::Key(KeyError::UnknownKeyType { got: 9 })
    );
}

#[test]
fn a_key_that_is_none_is_refused() {
    assert!(matches!(verdict(|_| fields(&[(1, b"\xff\xff"), (2, &[0; 64])])), Error::Key(_)));
    assert!(matches!(verdict(|_| fields(&[(1, b""), (2, &[0; 64])])), Error::Key(_)));
}

#[test]
fn a_payload_that_is_no_protobuf_is_refused() {
    for (payload, source) in [
        (&b"\x0a\x7fshort"[..], Malformed::Truncated),
        (b"\x0a", Malformed::Truncated),
        (b"\x80", Malformed::Truncated),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", Malformed::Varint),
        (b"\x0b", Malformed::Key { key: 0x0b }),
        (b"\x00\x00", Malformed::Key { key: 0 }),
        (b"\x08\x01", Malformed::WireType { field: 1, wire_type: 0 }),
        (b"\x22\x03\x12\x01\xff", Malformed::NotUtf8 { field: 2 }),
    ] {
        let [a, b] = verdicts(|_| payload.to_vec());
        assert_eq!(a, Error::Malformed { message: 2, source }, "{payload:?}");
        assert_eq!(b, Error::Malformed { message: 3, source }, "{payload:?}");
    }
}

/// GHSA-rch7-f4h5-x9rj.
#[test]
fn another_peer_than_the_expected_one_is_refused_before_it_learns_who_we_are() {
    let ((_, a), (b_id, b), (c_id, _)) = (peer(1, &[]), peer(2, &[]), peer(3, &[]));
    let (a, b) = talk(initiator(&a, Some(c_id)), responder(&b, None));
    assert_eq!(a.error(), Error::PeerMismatch { expected: c_id, got: b_id });
    assert!(b.result.is_none(), "message 3 was never sent");
}

/// GHSA-rch7-f4h5-x9rj. In a hole punch the dialer may be the responder.
#[test]
fn a_responder_refuses_another_peer_than_the_expected_one() {
    let ((a_id, a), (b_id, b), (c_id, _)) = (peer(1, &[]), peer(2, &[]), peer(3, &[]));
    let (a, b) = talk(initiator(&a, Some(b_id)), responder(&b, Some(c_id)));
    assert!(matches!(a.result, Some(Ok(_))));
    assert_eq!(b.error(), Error::PeerMismatch { expected: c_id, got: a_id });
}

#[test]
fn every_flipped_bit_of_every_message_is_a_typed_error() {
    let ((_, a), (_, b)) = (peer(1, &[YAMUX]), peer(2, &[YAMUX]));
    let [first, second, third] = messages(&a, &b);
    let flip = |message: &[u8], bit: usize| {
        let mut message = message.to_vec();
        message[bit / 8] ^= 1 << (bit % 8);
        message
    };
    // Every bit of a key and of each tag, and a sample of the rest, which costs a verification or less each.
    for bit in 0..first.len() * 8 {
        let mut side = Side::new(responder(&b, None));
        let answer = side.feed(&flip(&first, bit));
        match &side.result {
            // Of an X25519 key the highest bit counts for nothing, but it is part of what is hashed.
            None if bit >= 16 => {
                let mut side = Side::new(initiator(&a, None));
                side.feed(&[]);
                side.feed(&answer);
                assert_eq!(side.error(), Error::NotAuthentic { message: 2 }, "bit {bit}");
            }
            Some(Err(Error::MessageTooShort { message: 1, .. } | Error::MessageTooLong { message: 1, .. })) => {
                assert!(bit < 16);
            }
            other => panic!("bit {bit}: {other:?}"),
        }
    }
    let check = |message: u8, bit: usize, mut side: Side| {
        if let Some(Err(error)) = &side.result {
            match error {
                Error::NotAuthentic { message: got } => assert_eq!(*got, message),
                Error::MessageTooShort { message: got, .. } | Error::MessageTooLong { message: got, .. } => {
                    assert!(*got == message && bit < 16);
                }
                other => panic!("bit {bit}: {other:?}"),
            }
        } else {
            // A longer length: it waits, and says so when nothing more comes.
            assert!(side.result.is_none() && bit < 16, "bit {bit}: {:?}", side.result);
            let end = side.handshake.end(Time::ZERO, &mut side.rx, &mut side.tx);
            assert_eq!(end.unwrap_err(), Error::Ended { message });
        }
    };
    for bit in 0..second.len() * 8 {
        let mut side = Side::new(initiator(&a, None));
        side.feed(&[]);
        assert!(side.feed(&flip(&second, bit)).is_empty());
        check(2, bit, side);
    }
    for bit in 0..third.len() * 8 {
        let mut side = Side::new(responder(&b, None));
        side.feed(&first);
        assert!(side.feed(&flip(&third, bit)).is_empty());
        check(3, bit, side);
    }
}

#[test]
fn points_of_small_order_are_refused_wherever_they_come() {
    for point in crate::crypto::small_order_points() {
        let mut side = Side::new(responder(&peer(1, &[]).1, None));
        assert!(side.feed(&framed(&point)).is_empty());
        assert_eq!(side.error(), Error::SmallOrder { message: 1, source: SmallOrder });

        let mut side = Side::new(initiator(&peer(1, &[]).1, None));
        side.feed(&[]);
        let message = [&point[..], &[0; 64]].concat();
        assert!(side.feed(&framed(&message)).is_empty());
        assert_eq!(side.error(), Error::SmallOrder { message: 2, source: SmallOrder });
    }
}

#[test]
fn lengths_outside_the_limits_are_refused_on_the_header() {
    let (_, noise) = peer(1, &[]);
    for (len, expected) in [
        (0, Error::MessageTooShort { message: 1, len: 0, min: 32 }),
        (31, Error::MessageTooShort { message: 1, len: 31, min: 32 }),
        (33, Error::MessageTooLong { message: 1, len: 33, max: 32 }),
        (65535, Error::MessageTooLong { message: 1, len: 65535, max: 32 }),
    ] {
        let mut side = Side::new(responder(&noise, None));
        side.feed(&u16::to_be_bytes(len));
        assert_eq!(side.error(), expected);
    }
    for (len, expected) in [
        (95, Error::MessageTooShort { message: 2, len: 95, min: 96 }),
        (16385, Error::MessageTooLong { message: 2, len: 16385, max: 16384 }),
    ] {
        let mut side = Side::new(initiator(&noise, None));
        side.feed(&[]);
        side.feed(&u16::to_be_bytes(len));
        assert_eq!(side.error(), expected);
    }
    for (len, expected) in [
        (63, Error::MessageTooShort { message: 3, len: 63, min: 64 }),
        (16385, Error::MessageTooLong { message: 3, len: 16385, max: 16384 }),
    ] {
        let mut side = Side::new(responder(&noise, None));
        side.feed(&Foreign::new(Role::Initiator, b"").write(b""));
        side.feed(&u16::to_be_bytes(len));
        assert_eq!(side.error(), expected);
    }
}

#[test]
fn the_longest_message_that_is_allowed_is_read() {
    let mut ours = Side::new(initiator(&peer(1, &[]).1, None));
    let mut foreign = Foreign::new(Role::Responder, b"");
    foreign.read(&ours.feed(&[]));
    let honest = honest_payload(&identity(2), &Foreign::public());
    let padding = vec![0; 16384 - 96 - honest.len() - 4];
    ours.feed(&foreign.write(&[honest, fields(&[(15, &padding)])].concat()));
    assert_eq!(ours.secured().peer, identity(2).peer_id());
}

#[test]
fn a_fault_is_final() {
    let ((_, a), (_, b)) = (peer(1, &[]), peer(2, &[]));
    let mut side = Side::new(responder(&b, None));
    side.feed(&[0, 5]);
    let [first, ..] = messages(&a, &b);
    side.rx.clear();
    assert!(side.feed(&first).is_empty());
    assert_eq!(side.rx, first, "nothing is read after a fault");
    assert_eq!(side.error(), Error::MessageTooShort { message: 1, len: 5, min: 32 });
}

/// RUSTSEC-2024-0336: a loop that never ends when the connection closes inside a handshake.
#[test]
fn a_connection_that_ends_at_any_byte_is_a_typed_error() {
    let ((_, a), (_, b)) = (peer(1, &[]), peer(2, &[]));
    let [first, second, third] = messages(&a, &b);
    let end = |mut side: Side, bytes: &[u8]| {
        side.rx.extend_from_slice(bytes);
        match side.handshake.end(Time::ZERO, &mut side.rx, &mut side.tx) {
            Ok(Some(_)) => None,
            Ok(None) => panic!("it must not look like a good place to end"),
            Err(error) => {
                let again = side.handshake.advance(Time::ZERO, &mut side.rx, &mut side.tx).unwrap_err();
                assert_eq!(again, error, "it stays ended");
                Some(error)
            }
        }
    };
    for at in 0..first.len() {
        assert_eq!(end(Side::new(responder(&b, None)), &first[..at]), Some(Error::Ended { message: 1 }), "{at}");
    }
    for at in 0..second.len() {
        assert_eq!(end(Side::new(initiator(&a, None)), &second[..at]), Some(Error::Ended { message: 2 }), "{at}");
    }
    let both = [first.clone(), third].concat();
    for at in first.len()..both.len() {
        assert_eq!(end(Side::new(responder(&b, None)), &both[..at]), Some(Error::Ended { message: 3 }), "{at}");
    }
    assert_eq!(end(Side::new(responder(&b, None)), &both), None, "complete, though nothing follows");
}

#[test]
fn a_message_that_is_sent_back_to_its_sender_is_refused() {
    let ((_, a), (_, b)) = (peer(1, &[]), peer(2, &[]));
    let mut side = Side::new(initiator(&a, None));
    let own = side.feed(&[]);
    side.feed(&own);
    assert_eq!(side.error(), Error::MessageTooShort { message: 2, len: 32, min: 96 });
    let [first, second, _] = messages(&a, &b);
    let mut side = Side::new(responder(&b, None));
    side.feed(&first);
    side.feed(&second);
    assert_eq!(side.error(), Error::NotAuthentic { message: 3 });
}

#[test]
fn message_1_holds_a_key_and_nothing_else() {
    let mut side = Side::new(responder(&peer(1, &[]).1, None));
    side.feed(&Foreign::new(Role::Initiator, b"").write(b"early data that anyone could read"));
    assert_eq!(side.error(), Error::MessageTooLong { message: 1, len: 65, max: 32 });
}
