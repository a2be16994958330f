//! A relay's end of hop: what clients ask, and what it says to them.

use super::wire::{Hop, HopType, Limits, Peer, Slot, framed};
use super::*;
use alloc::vec;
use core::time::Duration;
use tidewire_core::SignedEnvelope;

fn request(bytes: &[u8]) -> Said<Responder> {
    hear(&mut responder(Service::Hop), bytes)
}

/// A responder that has heard this request.
fn asked(message: &Hop) -> Responder {
    let mut responder = responder(Service::Hop);
    assert!(matches!(hear(&mut responder, &framed(message)).result, Ok(Some(_))));
    responder
}

fn reply(responder: &mut Responder, reply: &Reply) -> Result<BytesMut, ReplyError> {
    let mut tx = BytesMut::new();
    responder.reply(Time::ZERO, reply, Some(&keypair(RELAY)), &mut tx).map(|()| tx)
}

fn reserved(addresses: Vec<Multiaddr>) -> Reply {
    Reply::Reserved { expire: UnixTime::from_secs(1_900_000_000), addresses, limit: Limit::UNLIMITED }
}

#[test]
fn requests_are_understood_with_all_that_peers_put_into_them() {
    let destination = peer(OTHER);
    let js = Peer { addrs: vec![vec![0xa5, 0x03, 0x00]], ..Peer::of(destination) };
    let slot = Slot { expire: Some(1), addrs: vec![], voucher: Some(vec![1, 2, 3]) };
    let everything = Limits { duration: Some(1), data: Some(2) };
    let table = [
        (Hop::of(HopType::Reserve), Request::Reserve),
        // py names itself.
        (Hop { peer: Some(Peer::of(peer(CLIENT))), ..Hop::of(HopType::Reserve) }, Request::Reserve),
        (Hop { peer: Some(Peer { id: Some(vec![9]), addrs: vec![] }), ..Hop::of(HopType::Reserve) }, Request::Reserve),
        (Hop::connect(destination), Request::Connect { destination }),
        // js sends an address of nothing but the peer.
        (Hop { peer: Some(js), ..Hop::of(HopType::Connect) }, Request::Connect { destination }),
        // py shows its reservation.
        (Hop { reservation: Some(slot), ..Hop::connect(destination) }, Request::Connect { destination }),
        (
            Hop { limit: Some(everything), status: Some(0), ..Hop::connect(destination) },
            Request::Connect { destination },
        ),
    ];
    for (message, expected) in table {
        let said = request(&framed(&message));
        assert_eq!(said.result, Ok(Some(expected)), "{message:?}");
        assert!(said.written.is_empty() && said.left.is_empty());
    }
}

#[test]
fn what_nobody_reads_may_be_anything() {
    // RESERVE, with a `peer` of seven letters, and an unknown field.
    let said = request(b"\x0f\x08\x00\x12\x07garbage\x9a\x06\x01x");
    assert_eq!(said.result, Ok(Some(Request::Reserve)));
}

#[test]
fn a_bad_request_is_answered_with_its_status() {
    let missing = |field| Fault::MissingField { field };
    let unexpected = |got| Fault::UnexpectedType { expected: Expected::HopRequest, got };
    let bad_id = |bytes: &[u8]| Fault::PeerId { field: Field::PeerId, error: PeerId::from_bytes(bytes).unwrap_err() };
    let named =
        |id: &[u8]| Hop { peer: Some(Peer { id: Some(id.to_vec()), addrs: vec![] }), ..Hop::of(HopType::Connect) };
    let nameless = Hop { peer: Some(Peer::default()), ..Hop::of(HopType::Connect) };
    let table = [
        (Hop::default(), missing(Field::Type), Status::MALFORMED_MESSAGE),
        (Hop::of(HopType::Connect), missing(Field::Peer), Status::MALFORMED_MESSAGE),
        (nameless, missing(Field::PeerId), Status::MALFORMED_MESSAGE),
        (named(b""), bad_id(b""), Status::MALFORMED_MESSAGE),
        (named(b"not a peer"), bad_id(b"not a peer"), Status::MALFORMED_MESSAGE),
        (Hop::of(HopType::Status), unexpected(2), Status::UNEXPECTED_MESSAGE),
        (Hop::saying(Status::OK), unexpected(2), Status::UNEXPECTED_MESSAGE),
        // go says 400 to an unknown type, js 401.
        (Hop { kind: Some(3), ..Hop::default() }, unexpected(3), Status::MALFORMED_MESSAGE),
        (Hop { kind: Some(-1), ..Hop::default() }, unexpected(-1), Status::MALFORMED_MESSAGE),
    ];
    for (message, fault, status) in table {
        let said = request(&framed(&message));
        let error = RequestError { remote: peer(CLIENT), service: Service::Hop, fault };
        assert_eq!(said.result, Err(error), "{message:?}");
        assert_eq!(only::<Hop>(&said.written), Hop::saying(status), "{message:?}");
    }
}

/// The row of the status table that stands before the destination: who comes through a relay is refused whomever it names.
#[test]
fn over_a_relayed_connection_a_connect_is_denied_before_its_destination_is_looked_at() {
    let named =
        |id: &[u8]| Hop { peer: Some(Peer { id: Some(id.to_vec()), addrs: vec![] }), ..Hop::of(HopType::Connect) };
    let nameless = Hop { peer: Some(Peer::default()), ..Hop::of(HopType::Connect) };
    // What comes, and what is said to it over a direct connection and over a relayed one; `None`: it is passed on, and decided by
    // the server, which denies it.
    let (malformed, denied) = (Some(Status::MALFORMED_MESSAGE), Some(Status::PERMISSION_DENIED));
    let unexpected = Some(Status::UNEXPECTED_MESSAGE);
    let table = [
        (framed(&Hop::of(HopType::Reserve)), None, None),
        (framed(&Hop::connect(peer(OTHER))), None, None),
        (framed(&Hop::of(HopType::Connect)), malformed, denied),
        (framed(&nameless), malformed, denied),
        (framed(&named(b"")), malformed, denied),
        (framed(&named(b"not a peer")), malformed, denied),
        // CONNECT, with a `peer` that is no message.
        (BytesMut::from(&[5, 8, 1, 18, 1, 255][..]), malformed, denied),
        // No request at all: go says 400 over any connection.
        (framed(&Hop::default()), malformed, malformed),
        (framed(&Hop { kind: Some(3), ..Hop::default() }), malformed, malformed),
        (BytesMut::from(&[2, 255, 255][..]), malformed, malformed),
        (framed(&Hop::of(HopType::Status)), unexpected, unexpected),
    ];
    for (bytes, direct, over_a_relay) in table {
        for (relayed, expected) in [(false, direct), (true, over_a_relay)] {
            let context = Context { relayed, ..at_relay() };
            let mut responder = Responder::new(Service::Hop, &context, &Config::default(), Time::ZERO);
            let said = hear(&mut responder, &bytes);
            assert_eq!(said.result.is_err(), expected.is_some(), "{bytes:02x?}, relayed: {relayed}");
            match expected {
                Some(status) => assert_eq!(only::<Hop>(&said.written), Hop::saying(status), "{bytes:02x?}, {relayed}"),
                None => assert!(said.written.is_empty(), "{bytes:02x?}"),
            }
        }
    }
}

#[test]
fn bytes_that_are_no_message_are_malformed() {
    for bytes in [&b"\x02\x0a\x05"[..], b"\x02\xff\xff", b"\x80\x00", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff"] {
        let said = request(bytes);
        assert!(matches!(said.result, Err(RequestError { fault: Fault::Malformed { .. }, .. })), "{bytes:02x?}");
        assert_eq!(only::<Hop>(&said.written), Hop::saying(Status::MALFORMED_MESSAGE));
    }
}

#[test]
fn a_message_over_4_kib_is_refused_on_its_length() {
    // 4096 bytes are waited for, 4097 are not.
    assert_eq!(request(&[0x80, 0x20]).result, Ok(None));
    let said = request(&[0x81, 0x20]);
    let fault = Fault::TooLong { len: 4097, max: 4096 };
    assert_eq!(said.result, Err(RequestError { remote: peer(CLIENT), service: Service::Hop, fault }));
    assert_eq!(only::<Hop>(&said.written), Hop::saying(Status::MALFORMED_MESSAGE));
}

#[test]
fn a_request_cut_short_at_any_byte_is_malformed_and_nothing_at_all_is_no_request() {
    let bytes = framed(&Hop::connect(peer(OTHER)));
    for got in 1..bytes.len() {
        let said = hear_all(&mut responder(Service::Hop), &bytes[..got]);
        assert_eq!(said.result.map_err(|error| error.fault), Err(Fault::Truncated { got }));
        assert_eq!(only::<Hop>(&said.written), Hop::saying(Status::MALFORMED_MESSAGE));
    }
    let said = hear_all(&mut responder(Service::Hop), b"");
    assert_eq!(said.result.map_err(|error| error.fault), Err(Fault::Silent));
    assert!(said.written.is_empty(), "nobody asked");
}

#[test]
fn who_says_nothing_for_a_minute_is_not_waited_for() {
    let mut responder = responder(Service::Hop);
    let until = Time::from_millis(60_000);
    assert_eq!(responder.deadline(), until);
    let (mut rx, mut tx) = (BytesMut::from(&b"\x02\x08"[..]), BytesMut::new());
    assert_eq!(responder.advance(Time::from_millis(59_999), &mut rx, &mut tx), Ok(None));
    let fault = Fault::Timeout { after: Duration::from_secs(60) };
    assert_eq!(responder.advance(until, &mut rx, &mut tx).map_err(|error| error.fault), Err(fault));
    assert_eq!(responder.deadline(), Time::NEVER);
}

#[test]
fn while_it_is_decided_there_is_no_deadline_and_what_follows_is_left() {
    let mut bytes = framed(&Hop::connect(peer(OTHER)));
    bytes.extend_from_slice(b"early words of the circuit");
    let mut responder = responder(Service::Hop);
    let mut said = hear(&mut responder, &bytes);
    assert_eq!((&said.left[..], responder.deadline()), (&b"early words of the circuit"[..], Time::NEVER));
    assert_eq!(responder.advance(Time::NEVER, &mut said.left, &mut said.written), Ok(None));
    assert_eq!(responder.end(Time::NEVER, &mut said.left, &mut said.written), Ok(None));
    assert!(!responder.is_circuit());

    let tx = reply(&mut responder, &Reply::Connected { limit: Limit::UNLIMITED }).unwrap();
    assert_eq!(only::<Hop>(&tx), Hop::saying(Status::OK), "no limit is said by saying none");
    assert!(responder.is_circuit());
    assert_eq!(responder.advance(Time::NEVER, &mut said.left, &mut said.written), Ok(None));
    assert_eq!(&said.left[..], b"early words of the circuit");
}

/// rust ends its side as soon as it has asked for a reservation.
#[test]
fn a_client_may_end_its_side_and_still_be_answered() {
    let mut responder = responder(Service::Hop);
    assert_eq!(hear_all(&mut responder, &framed(&Hop::of(HopType::Reserve))).result, Ok(Some(Request::Reserve)));
    assert_eq!(hear_all(&mut responder, b"").result, Ok(None));
    assert!(reply(&mut responder, &reserved(vec![])).is_ok());
}

#[test]
fn a_reservation_is_written_with_complete_addresses_its_limit_and_a_voucher() {
    let mut responder = asked(&Hop::of(HopType::Reserve));
    let here = address("/ip4/192.0.2.1/tcp/4001");
    let complete = here.with_peer_id(peer(RELAY)).unwrap();
    let there = address("/ip4/192.0.2.2/tcp/4001").with_peer_id(peer(OTHER)).unwrap();
    let limit = Limit { duration: Some(Duration::from_secs(120)), data: Some(128 << 10) };
    let expire = UnixTime::from_secs(1_900_000_000);
    let answer = Reply::Reserved { expire, addresses: vec![here, there, complete.clone()], limit };
    let message: Hop = only(&reply(&mut responder, &answer).unwrap());

    assert_eq!((message.kind, message.status), (Some(2), Some(100)));
    assert_eq!(message.limit, Some(Limits { duration: Some(120), data: Some(131_072) }));
    let slot = message.reservation.unwrap();
    assert_eq!(slot.expire, Some(1_900_000_000));
    let complete = complete.as_bytes().to_vec();
    assert_eq!(slot.addrs, [complete.clone(), complete], "another peer's address is none of ours");

    let envelope = SignedEnvelope::open(slot.voucher.unwrap().into(), "libp2p-relay-rsvp", &[3, 2]).unwrap();
    assert_eq!(envelope.signer().peer_id(), peer(RELAY));
    let voucher = crate::Voucher { relay: peer(RELAY), peer: peer(CLIENT), expiration: expire };
    assert_eq!(crate::Voucher::open(envelope.as_bytes().clone()), Ok(voucher));
    assert!(!responder.is_circuit());
}

#[test]
fn without_a_key_there_is_no_voucher_and_with_another_ones_no_reply() {
    let mut responder = asked(&Hop::of(HopType::Reserve));
    let mut tx = BytesMut::new();
    let stranger = responder.reply(Time::ZERO, &reserved(vec![]), Some(&keypair(OTHER)), &mut tx);
    assert!(matches!(stranger, Err(ReplyError::Voucher(_))) && tx.is_empty());
    responder.reply(Time::ZERO, &reserved(vec![]), None, &mut tx).unwrap();
    assert_eq!(only::<Hop>(&tx).reservation.unwrap().voucher, None);
}

#[test]
fn of_too_many_addresses_as_many_are_written_as_the_message_holds() {
    // With this expiry, names of some of these lengths fill a message to its last byte, and others would to the one behind it.
    let expire = UnixTime::from_secs(1 << 62);
    for length in 80..160 {
        let name = "x".repeat(length);
        let many: Vec<_> = (0..60).map(|port| address(&alloc::format!("/dns4/{name}/tcp/{port}"))).collect();
        let complete: Vec<_> = many.iter().map(|address| address.with_peer_id(peer(RELAY)).unwrap()).collect();
        let mut responder = asked(&Hop::of(HopType::Reserve));
        let mut tx = BytesMut::new();
        let reply = Reply::Reserved { expire, addresses: many, limit: Limit::UNLIMITED };
        responder.reply(Time::ZERO, &reply, None, &mut tx).unwrap();
        let slot = only::<Hop>(&tx).reservation.unwrap();
        // Two bytes of the frame are its length; a further address would bring its tag, its length and itself.
        let (body, further) = (tx.len() - 2, complete[0].as_bytes().len() + 3);
        assert!(body <= 4096 && body + further > 4096, "{body} bytes, {further} each");
        assert!(slot.addrs.len() > 15);
        for (written, given) in slot.addrs.iter().zip(&complete) {
            assert_eq!(written[..], *given.as_bytes());
        }
    }
}

#[test]
fn a_reply_must_fit_the_question_and_is_given_once() {
    let refused = |status| Reply::Refused { status };
    let connected = Reply::Connected { limit: Limit::UNLIMITED };
    let table = [
        (HopType::Reserve, connected.clone(), Err(ReplyError::Unfit)),
        (HopType::Reserve, Reply::Accepted, Err(ReplyError::Unfit)),
        (HopType::Reserve, refused(Status::OK), Err(ReplyError::Unfit)),
        (HopType::Reserve, reserved(vec![]), Ok(())),
        (HopType::Reserve, refused(Status::RESERVATION_REFUSED), Ok(())),
        (HopType::Connect, reserved(vec![]), Err(ReplyError::Unfit)),
        (HopType::Connect, Reply::Accepted, Err(ReplyError::Unfit)),
        (HopType::Connect, connected, Ok(())),
        (HopType::Connect, refused(Status::NO_RESERVATION), Ok(())),
    ];
    for (kind, given, expected) in table {
        let message = if kind == HopType::Reserve { Hop::of(kind) } else { Hop::connect(peer(OTHER)) };
        let mut fresh = responder(Service::Hop);
        assert_eq!(reply(&mut fresh, &given), Err(ReplyError::NotAsked));
        let mut responder = asked(&message);
        assert_eq!(reply(&mut responder, &given).map(|_| ()), expected, "{kind:?}, {given:?}");
        if expected.is_ok() {
            assert_eq!(reply(&mut responder, &given), Err(ReplyError::Answered));
        }
    }
    let mut failed = responder(Service::Hop);
    assert!(hear(&mut failed, &framed(&Hop::default())).result.is_err());
    assert_eq!(reply(&mut failed, &refused(Status::PERMISSION_DENIED)), Err(ReplyError::Failed));
}

#[test]
fn a_refusal_carries_its_status_and_nothing_else() {
    for status in [Status::PERMISSION_DENIED, Status::RESOURCE_LIMIT_EXCEEDED, Status::from_code(777)] {
        let mut responder = asked(&Hop::connect(peer(OTHER)));
        let tx = reply(&mut responder, &Reply::Refused { status }).unwrap();
        assert_eq!(only::<Hop>(&tx), Hop::saying(status));
        assert!(!responder.is_circuit());
    }
}
