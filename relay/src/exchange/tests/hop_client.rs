//! A client's end of hop: what it asks, and what relays answer.

use super::wire::{Hop, HopType, Limits, Slot, framed};
use super::*;
use crate::{Voucher, VoucherError};
use alloc::vec;
use core::time::Duration;
use tidewire_core::EnvelopeError;

const EXPIRE: u64 = 1_900_000_000;

fn connect() -> Ask {
    Ask::Connect { destination: peer(OTHER) }
}

fn answer(ask: &Ask, message: &Hop) -> Result<Option<Answer>, Fault> {
    hear(&mut asker(ask), &framed(message)).result.map_err(|error| error.fault)
}

fn reservation(message: &Hop) -> Reservation {
    match answer(&Ask::Reserve, message) {
        Ok(Some(Answer::Reserved(reservation))) => *reservation,
        other => panic!("expected a reservation, found {other:?}"),
    }
}

/// A reservation with this voucher in it.
fn vouched(envelope: &[u8]) -> Option<Result<crate::SignedVoucher, VoucherError>> {
    let slot = Slot { expire: Some(EXPIRE), addrs: vec![], voucher: Some(envelope.to_vec()) };
    reservation(&Hop { reservation: Some(slot), ..Hop::saying(Status::OK) }).voucher
}

fn sealed(relay: u8, holder: u8, expiration: u64) -> Vec<u8> {
    let expiration = UnixTime::from_secs(expiration);
    let voucher = Voucher { relay: peer(relay), peer: peer(holder), expiration };
    voucher.seal(&keypair(relay)).unwrap().as_bytes().to_vec()
}

#[test]
fn the_question_is_written_at_once() {
    let asked = |ask: &Ask| {
        let mut tx = BytesMut::new();
        let asker = Asker::new(ask, &at_client(), &Config::default(), Time::ZERO, &mut tx);
        assert_eq!(asker.deadline(), Time::from_millis(60_000));
        only::<Hop>(&tx)
    };
    assert_eq!(asked(&Ask::Reserve), Hop::of(HopType::Reserve));
    assert_eq!(asked(&connect()), Hop::connect(peer(OTHER)));
}

#[test]
fn an_answer_is_what_it_says() {
    let limits = Limits { duration: Some(120), data: Some(131_072) };
    let limit = Limit { duration: Some(Duration::from_secs(120)), data: Some(131_072) };
    let ok = Hop::saying(Status::OK);
    let table = [
        (ok.clone(), Answer::Connected { limit: Limit::UNLIMITED }),
        (Hop { limit: Some(limits), ..ok.clone() }, Answer::Connected { limit }),
        (Hop { limit: Some(Limits::default()), ..ok.clone() }, Answer::Connected { limit: Limit::UNLIMITED }),
        (Hop::saying(Status::NO_RESERVATION), Answer::Refused { status: Status::NO_RESERVATION }),
        // A number that is no status of the spec is a no, and is told as it came.
        (Hop::saying(Status::from_code(777)), Answer::Refused { status: Status::from_code(777) }),
        (Hop::saying(Status::from_code(-1)), Answer::Refused { status: Status::from_code(-1) }),
        (Hop::saying(Status::UNUSED), Answer::Refused { status: Status::UNUSED }),
        (
            Hop { limit: Some(limits), ..Hop::saying(Status::CONNECTION_FAILED) },
            Answer::Refused { status: Status::CONNECTION_FAILED },
        ),
    ];
    for (message, expected) in table {
        assert_eq!(answer(&connect(), &message), Ok(Some(expected)), "{message:?}");
    }
}

#[test]
fn an_answer_that_lacks_something_is_a_fault() {
    let missing = |field| Fault::MissingField { field };
    let unexpected = |got| Fault::UnexpectedType { expected: Expected::HopStatus, got };
    let timeless = Hop { reservation: Some(Slot::default()), ..Hop::saying(Status::OK) };
    let table = [
        (connect(), Hop::default(), missing(Field::Type)),
        (connect(), Hop::of(HopType::Status), missing(Field::Status)),
        (connect(), Hop { status: Some(100), ..Hop::default() }, missing(Field::Type)),
        (connect(), Hop { status: Some(100), ..Hop::connect(peer(OTHER)) }, unexpected(1)),
        (Ask::Reserve, Hop::of(HopType::Reserve), unexpected(0)),
        (Ask::Reserve, Hop { kind: Some(99), ..Hop::saying(Status::OK) }, unexpected(99)),
        (Ask::Reserve, Hop::saying(Status::OK), missing(Field::Reservation)),
        (Ask::Reserve, timeless, missing(Field::Expire)),
    ];
    for (ask, message, fault) in table {
        assert_eq!(answer(&ask, &message), Err(fault), "{message:?}");
    }
}

#[test]
fn an_answer_is_not_waited_for_beyond_its_cap_its_time_or_its_end() {
    let fault = |said: Said<Asker>| said.result.unwrap_err().fault;
    let refuse = |bytes: &[u8]| fault(hear(&mut asker(&connect()), bytes));
    assert_eq!(refuse(&[0x81, 0x20]), Fault::TooLong { len: 4097, max: 4096 });
    assert!(matches!(refuse(b"\x02\x0a\x05"), Fault::Malformed { .. }));
    // A limit that is none, in an answer where it counts.
    assert!(matches!(refuse(b"\x09\x08\x02\x28\x64\x22\x03abc"), Fault::Malformed { .. }));

    let bytes = framed(&Hop::saying(Status::OK));
    for got in 1..bytes.len() {
        assert_eq!(fault(hear_all(&mut asker(&connect()), &bytes[..got])), Fault::Truncated { got });
    }
    assert_eq!(fault(hear_all(&mut asker(&connect()), b"")), Fault::Silent);

    let mut asker = asker(&connect());
    let until = asker.deadline();
    let late = asker.advance(until, &mut BytesMut::new(), &mut BytesMut::new()).unwrap_err();
    assert_eq!(late.fault, Fault::Timeout { after: Duration::from_secs(60) });
    let said = alloc::format!(
        "{} did not answer on /libp2p/circuit/relay/0.2.0/hop: no message was complete after 60 s",
        peer(RELAY)
    );
    assert_eq!(alloc::string::ToString::to_string(&late), said);
}

/// An answer that is complete at the last moment counts.
#[test]
fn an_answer_that_arrives_with_the_deadline_or_the_end_counts() {
    let bytes = framed(&Hop::saying(Status::OK));
    let connected = Ok(Some(Answer::Connected { limit: Limit::UNLIMITED }));
    let mut asker_ = asker(&connect());
    let until = asker_.deadline();
    assert_eq!(asker_.advance(until, &mut bytes.clone(), &mut BytesMut::new()), connected);
    assert_eq!(hear_all(&mut asker(&connect()), &bytes).result, connected);
}

#[test]
fn what_follows_the_answer_is_left_for_the_circuit() {
    let mut bytes = framed(&Hop::saying(Status::OK));
    bytes.extend_from_slice(b"\x13/multistream/1.0.0\n");
    let mut asker = asker(&connect());
    assert!(!asker.is_circuit());
    let mut said = hear(&mut asker, &bytes);
    assert!(matches!(said.result, Ok(Some(Answer::Connected { .. }))) && asker.is_circuit());
    assert_eq!(&said.left[..], b"\x13/multistream/1.0.0\n");
    assert_eq!(asker.advance(Time::NEVER, &mut said.left, &mut said.written), Ok(None));
    assert_eq!(asker.end(Time::NEVER, &mut said.left, &mut said.written), Ok(None));
    assert_eq!(said.left.len(), 20);
}

#[test]
fn a_refused_stream_is_no_circuit() {
    let mut asker = asker(&connect());
    assert!(hear(&mut asker, &framed(&Hop::saying(Status::NO_RESERVATION))).result.is_ok());
    assert!(!asker.is_circuit());
}

#[test]
fn a_reservation_tells_until_when_and_where() {
    let relay = peer(RELAY);
    let here = address("/ip4/192.0.2.1/tcp/4001").with_peer_id(relay).unwrap();
    let told = reservation(&Hop::reserved(EXPIRE, core::slice::from_ref(&here)));
    assert_eq!((told.relay, told.expire), (relay, UnixTime::from_secs(EXPIRE)));
    assert_eq!((&told.addresses[..], told.dropped.count()), (&[here][..], 0));
    assert_eq!((told.voucher, told.limit), (None, Limit::UNLIMITED));
}

/// A relay may write any number.
#[test]
fn an_expiry_near_the_end_of_time_is_kept_and_does_not_wrap() {
    for expire in [0, 1, u64::MAX - 1, u64::MAX] {
        let told = reservation(&Hop::reserved(expire, &[]));
        assert_eq!(told.expire, UnixTime::from_secs(expire));
        let left = UnixTime::from_secs(EXPIRE).until(told.expire);
        assert_eq!(left.as_secs(), expire.saturating_sub(EXPIRE));
    }
    // And a voucher for all time, with a reservation that ends.
    let fault =
        VoucherError::Expiration { reservation: UnixTime::from_secs(EXPIRE), voucher: UnixTime::from_secs(u64::MAX) };
    assert_eq!(vouched(&sealed(RELAY, CLIENT, u64::MAX)), Some(Err(fault)));
}

#[test]
fn at_most_the_cap_of_addresses_is_kept() {
    let many: Vec<_> = (0..100).map(|port| address(&alloc::format!("/ip4/192.0.2.1/tcp/{port}"))).collect();
    let told = reservation(&Hop::reserved(EXPIRE, &many));
    assert_eq!((told.addresses.len(), told.dropped.surplus), (64, 36));
    assert!(told.memory_used() < 64 * 128);
}

#[test]
fn a_voucher_that_is_right_is_kept_as_it_came() {
    let envelope = sealed(RELAY, CLIENT, EXPIRE);
    let voucher = vouched(&envelope).unwrap().unwrap();
    assert_eq!(&voucher.envelope[..], envelope);
    assert_eq!((voucher.voucher.relay, voucher.voucher.peer), (peer(RELAY), peer(CLIENT)));
    for near in [EXPIRE - 60, EXPIRE + 60] {
        assert!(matches!(vouched(&sealed(RELAY, CLIENT, near)), Some(Ok(_))), "{near}");
    }
}

/// py writes it where it has none.
#[test]
fn an_empty_voucher_is_none() {
    assert_eq!(vouched(b""), None);
}

/// It is advisory: the reservation holds, and what follows from a bad voucher is for the client to decide.
#[test]
fn a_voucher_that_is_wrong_is_told_beside_the_reservation() {
    let [relay, us, other] = [RELAY, CLIENT, OTHER].map(peer);
    let at = UnixTime::from_secs;
    let table = [
        (sealed(OTHER, CLIENT, EXPIRE), VoucherError::OtherRelay { expected: relay, got: other }),
        (sealed(RELAY, OTHER, EXPIRE), VoucherError::OtherPeer { expected: us, got: other }),
        (
            sealed(RELAY, CLIENT, EXPIRE - 61),
            VoucherError::Expiration { reservation: at(EXPIRE), voucher: at(EXPIRE - 61) },
        ),
        (
            sealed(RELAY, CLIENT, EXPIRE + 61),
            VoucherError::Expiration { reservation: at(EXPIRE), voucher: at(EXPIRE + 61) },
        ),
        (b"no envelope".to_vec(), VoucherError::Envelope(EnvelopeError::Protobuf)),
    ];
    for (envelope, expected) in table {
        assert_eq!(vouched(&envelope), Some(Err(expected)));
    }
    let mut forged = sealed(RELAY, CLIENT, EXPIRE);
    *forged.last_mut().unwrap() ^= 1;
    assert!(matches!(vouched(&forged), Some(Err(VoucherError::Envelope(EnvelopeError::Signature(_))))));
}

#[cfg(feature = "serde")]
#[test]
fn a_reservation_survives_json_with_its_voucher_good_or_bad() {
    for envelope in [sealed(RELAY, CLIENT, EXPIRE), sealed(RELAY, OTHER, EXPIRE), b"no envelope".to_vec()] {
        let here = address("/ip4/192.0.2.1/tcp/4001").as_bytes().to_vec();
        let slot = Slot { expire: Some(EXPIRE), addrs: vec![here, vec![1]], voucher: Some(envelope) };
        let told = reservation(&Hop { reservation: Some(slot), ..Hop::saying(Status::OK) });
        let text = serde_json::to_string(&told).unwrap();
        assert_eq!(serde_json::from_str::<Reservation>(&text).unwrap(), told, "{text}");
    }
}
