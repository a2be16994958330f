//! Any message, cut anywhere, against the rules written down a second time.

use super::wire::{Hop, Limits, Peer, Slot, Stop, framed};
use super::*;
use core::time::Duration;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;

fn kind() -> impl Strategy<Value = Option<i32>> {
    option::weighted(0.9, prop_oneof![8 => 0..4i32, 1 => any::<i32>()])
}

fn status() -> impl Strategy<Value = Option<i32>> {
    option::weighted(0.9, prop_oneof![4 => Just(100), 4 => 199..206i32, 1 => any::<i32>()])
}

fn id() -> impl Strategy<Value = Option<Vec<u8>>> {
    let good = (1..4u8).prop_map(|number| peer(number).to_bytes());
    option::weighted(0.9, prop_oneof![4 => good, 1 => vec(any::<u8>(), 0..50)])
}

fn named() -> impl Strategy<Value = Option<Peer>> {
    let peer = (id(), vec(vec(any::<u8>(), 0..20), 0..3)).prop_map(|(id, addrs)| Peer { id, addrs });
    option::weighted(0.9, peer)
}

fn limits() -> impl Strategy<Value = Option<Limits>> {
    let duration = option::of(prop_oneof![Just(0), 1..200_000u32, any::<u32>()]);
    let data = option::of(prop_oneof![Just(0), any::<u64>()]);
    option::of((duration, data).prop_map(|(duration, data)| Limits { duration, data }))
}

fn slot() -> impl Strategy<Value = Option<Slot>> {
    let near = (0..4u16).prop_map(|port| address(&alloc::format!("/ip4/192.0.2.1/tcp/{port}")).as_bytes().to_vec());
    let complete = (1..4u8)
        .prop_map(|number| address("/ip4/192.0.2.1/tcp/1").with_peer_id(peer(number)).unwrap().as_bytes().to_vec());
    let addrs = vec(prop_oneof![near, complete, vec(any::<u8>(), 0..20)], 0..6);
    let voucher = option::of(vec(any::<u8>(), 1..40));
    let slot = (option::weighted(0.9, any::<u64>()), addrs, voucher);
    option::weighted(0.9, slot.prop_map(|(expire, addrs, voucher)| Slot { expire, addrs, voucher }))
}

fn hop() -> impl Strategy<Value = Hop> {
    (kind(), named(), slot(), limits(), status()).prop_map(|(kind, peer, reservation, limit, status)| Hop {
        kind,
        peer,
        reservation,
        limit,
        status,
    })
}

fn stop() -> impl Strategy<Value = Stop> {
    let message = (kind(), named(), limits(), status());
    message.prop_map(|(kind, peer, limit, status)| Stop { kind, peer, limit, status })
}

/// Feeds the bytes in these pieces. What came first of it, what was written, and what is left with all that was not fed.
fn fed<M: Machine>(machine: &mut M, bytes: &[u8], cuts: &[Index]) -> Said<M> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.push(bytes.len());
    cuts.sort_unstable();
    let (mut left, mut written, mut from) = (BytesMut::new(), BytesMut::new(), 0);
    for to in cuts {
        left.extend_from_slice(&bytes[from..to]);
        from = to;
        let result = machine.advance(Time::ZERO, &mut left, &mut written);
        if !matches!(result, Ok(None)) {
            left.extend_from_slice(&bytes[from..]);
            return Said { result, written, left };
        }
    }
    Said { result: Ok(None), written, left }
}

/// Whom a message names, if that is a peer.
fn named_peer(peer: Option<&Peer>) -> Option<PeerId> {
    peer.and_then(|peer| peer.id.as_ref()).and_then(|id| PeerId::from_bytes(id).ok())
}

/// What a limit means: zero is none, more than a day is milliseconds, and nothing is more than a day.
fn meant(limit: Option<Limits>) -> Limit {
    let limit = limit.unwrap_or_default();
    let duration = match u64::from(limit.duration.unwrap_or(0)) {
        0 => None,
        seconds @ ..=86_400 => Some(Duration::from_secs(seconds)),
        millis @ ..=86_400_000 => Some(Duration::from_millis(millis)),
        _ => Some(Duration::from_secs(86_400)),
    };
    Limit { duration, data: limit.data.filter(|data| *data != 0) }
}

/// What a relay makes of a message: a request, or the status that it says.
fn heard_by_relay(message: &Hop) -> Result<Request, Status> {
    match (message.kind, named_peer(message.peer.as_ref())) {
        (Some(0), _) => Ok(Request::Reserve),
        (Some(1), Some(destination)) => Ok(Request::Connect { destination }),
        (Some(2), _) => Err(Status::UNEXPECTED_MESSAGE),
        _ => Err(Status::MALFORMED_MESSAGE),
    }
}

fn heard_by_destination(message: &Stop) -> Result<Request, Status> {
    match (message.kind, named_peer(message.peer.as_ref())) {
        (Some(0), Some(source)) => Ok(Request::Stop { source, limit: meant(message.limit) }),
        (Some(0) | None, _) => Err(Status::MALFORMED_MESSAGE),
        (Some(_), _) => Err(Status::UNEXPECTED_MESSAGE),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_relay_hears_what_a_client_says(message in hop(), rest in vec(any::<u8>(), 0..8), cuts in vec(any::<Index>(), 0..4)) {
        let mut bytes = framed(&message);
        bytes.extend_from_slice(&rest);
        let mut responder = responder(Service::Hop);
        let said = fed(&mut responder, &bytes, &cuts);
        match heard_by_relay(&message) {
            Ok(request) => {
                prop_assert_eq!(said.result, Ok(Some(request)));
                prop_assert!(said.written.is_empty());
            }
            Err(status) => {
                prop_assert!(said.result.is_err());
                prop_assert_eq!(only::<Hop>(&said.written), Hop::saying(status));
            }
        }
        prop_assert_eq!(&said.left[..], &rest[..]);
    }

    #[test]
    fn a_destination_hears_what_a_relay_says(message in stop(), rest in vec(any::<u8>(), 0..8), cuts in vec(any::<Index>(), 0..4)) {
        let mut bytes = framed(&message);
        bytes.extend_from_slice(&rest);
        let mut responder = responder(Service::Stop);
        let said = fed(&mut responder, &bytes, &cuts);
        match heard_by_destination(&message) {
            Ok(request) => {
                prop_assert_eq!(said.result, Ok(Some(request)));
                prop_assert!(said.written.is_empty());
            }
            Err(status) => {
                prop_assert!(said.result.is_err());
                prop_assert_eq!(only::<Stop>(&said.written), Stop::saying(status));
            }
        }
        prop_assert_eq!(&said.left[..], &rest[..]);
    }

    #[test]
    fn a_client_hears_what_a_relay_answers(message in hop(), rest in vec(any::<u8>(), 0..8), cuts in vec(any::<Index>(), 0..4)) {
        let mut bytes = framed(&message);
        bytes.extend_from_slice(&rest);
        let limit = meant(message.limit);

        let said = fed(&mut asker(&Ask::Connect { destination: peer(OTHER) }), &bytes, &cuts);
        prop_assert_eq!(&said.left[..], &rest[..]);
        match (message.kind, message.status.map(Status::from_code)) {
            (Some(2), Some(Status::OK)) => prop_assert_eq!(said.result, Ok(Some(Answer::Connected { limit }))),
            (Some(2), Some(status)) => prop_assert_eq!(said.result, Ok(Some(Answer::Refused { status }))),
            _ => prop_assert!(said.result.is_err()),
        }

        let said = fed(&mut asker(&Ask::Reserve), &bytes, &cuts);
        prop_assert_eq!(&said.left[..], &rest[..]);
        let slot = message.reservation.as_ref();
        match (message.kind, message.status.map(Status::from_code), slot.and_then(|slot| slot.expire)) {
            (Some(2), Some(Status::OK), Some(expire)) => {
                let Ok(Some(Answer::Reserved(told))) = said.result else { panic!("{:?}", said.result) };
                prop_assert_eq!((told.expire, told.limit), (UnixTime::from_secs(expire), limit));
                let slot = slot.cloned().unwrap_or_default();
                prop_assert!(matches!((&told.voucher, slot.voucher), (Some(Err(_)), Some(_)) | (None, None)));
                let usable: Vec<_> = slot.addrs.iter().filter_map(|bytes| Multiaddr::from_bytes(bytes).ok()).collect();
                prop_assert!(told.addresses.len() <= usable.len());
                prop_assert!(told.addresses.iter().all(|address| address.peer_id() == Some(peer(RELAY))));
                let circuits = told.circuit_addresses(peer(CLIENT));
                prop_assert_eq!(circuits.len(), told.addresses.len());
                prop_assert!(circuits.iter().all(|circuit| circuit.peer_id() == Some(peer(CLIENT))));
                prop_assert!(circuits.iter().all(|circuit| circuit.relay_peer_id() == Some(peer(RELAY))));
            }
            (Some(2), Some(status), _) if !status.is_ok() => {
                prop_assert_eq!(said.result, Ok(Some(Answer::Refused { status })));
            }
            _ => prop_assert!(said.result.is_err()),
        }
    }

    #[test]
    fn a_relay_hears_what_a_destination_answers(message in stop(), cuts in vec(any::<Index>(), 0..4)) {
        let ask = Ask::Stop { source: peer(OTHER), limit: Limit::UNLIMITED };
        let said = fed(&mut asker(&ask), &framed(&message), &cuts);
        match (message.kind, message.status.map(Status::from_code)) {
            (Some(1), Some(Status::OK)) => prop_assert_eq!(said.result, Ok(Some(Answer::Accepted))),
            (Some(1), Some(status)) => prop_assert_eq!(said.result, Ok(Some(Answer::Refused { status }))),
            _ => prop_assert!(said.result.is_err()),
        }
    }

    /// Any bytes: no panic, a request or a refusal or waiting, whatever the cut.
    #[test]
    fn any_bytes_are_heard_the_same_however_cut(
        bytes in vec(any::<u8>(), 0..64),
        cuts in vec(any::<Index>(), 0..6),
        stop in any::<bool>(),
    ) {
        let service = if stop { Service::Stop } else { Service::Hop };
        let whole = hear(&mut responder(service), &bytes);
        let cut = fed(&mut responder(service), &bytes, &cuts);
        prop_assert_eq!(whole.result.is_err(), !whole.written.is_empty());
        prop_assert_eq!((whole.result, whole.written), (cut.result, cut.written));
    }

    /// What we write, our other end reads: every limit and time in the form that the wire has.
    #[test]
    fn what_a_relay_replies_its_client_reads(
        expire in any::<u64>(),
        ports in vec(any::<u16>(), 0..100),
        limits in limits(),
    ) {
        let limit = meant(limits);
        let addresses: Vec<_> = ports.iter().map(|port| address(&alloc::format!("/ip4/192.0.2.1/tcp/{port}"))).collect();
        let mut responder = responder(Service::Hop);
        let mut wire = BytesMut::new();
        prop_assert!(hear(&mut responder, &framed(&Hop::of(wire::HopType::Reserve))).result.is_ok());
        let reply = Reply::Reserved { expire: UnixTime::from_secs(expire), addresses: addresses.clone(), limit };
        responder.reply(Time::ZERO, &reply, Some(&keypair(RELAY)), &mut wire).unwrap();
        prop_assert!(wire.len() <= 4098);
        let Ok(Some(Answer::Reserved(told))) = hear(&mut asker(&Ask::Reserve), &wire).result else {
            panic!("no reservation");
        };
        prop_assert_eq!(told.expire, UnixTime::from_secs(expire));
        prop_assert_eq!(told.dropped.count(), 0);
        prop_assert!(matches!(told.voucher, Some(Ok(_))));
        prop_assert_eq!(told.limit.bytes(), limit.bytes());
        prop_assert_eq!(told.limit.time().map(|time| time.as_secs()), limit.time().map(|time| time.as_secs().max(1)));
    }
}
