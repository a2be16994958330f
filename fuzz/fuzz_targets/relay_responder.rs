//! What a client asks a relay, or a relay a destination, as any bytes: no panic, no cut makes a difference, a bad request is
//! answered with a status that an asker understands, a good one can be answered, and what follows is left where it is.
//!
//! The first byte says which end we are and how the input is cut; the rest is the stream. The corpus is what peers ask.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tidewire_core::{Keypair, Machine, Multiaddr, PeerId, Seed, Time, UnixTime};
use tidewire_relay::exchange::{
    Answer, Ask, Asker, Config, Context, Fault, Reply, Request, RequestError, Responder, Service,
};
use tidewire_relay::{Limit, Status};

static KEYS: LazyLock<[Keypair; 2]> = LazyLock::new(|| [1, 2].map(|seed| Keypair::from_seed(&Seed::new([seed; 32]))));

fuzz_target!(|data: &[u8]| {
    let [first, bytes @ ..] = data else { return };
    let service = if first % 2 == 0 { Service::Hop } else { Service::Stop };
    let whole = heard(service, bytes, bytes.len().max(1));
    assert_eq!(whole, heard(service, bytes, usize::from(first / 2).max(1)), "a cut made a difference");
});

/// What was asked, what we said, and what is left.
fn heard(service: Service, bytes: &[u8], piece: usize) -> (Result<Option<Request>, RequestError>, Vec<u8>, Vec<u8>) {
    let context = Context { local: KEYS[0].peer_id(), remote: KEYS[1].peer_id(), relayed: false };
    let (mut rx, mut tx) = (BytesMut::new(), BytesMut::new());
    let mut responder = Responder::new(service, &context, &Config::default(), Time::ZERO);
    let mut result = Ok(None);
    for piece in bytes.chunks(piece) {
        rx.extend_from_slice(piece);
        if matches!(result, Ok(None)) {
            result = responder.advance(Time::ZERO, &mut rx, &mut tx);
        }
        assert!(responder.memory_used() < 1024);
    }
    if matches!(result, Ok(None)) {
        result = responder.end(Time::ZERO, &mut rx, &mut tx);
    }
    assert!(bytes.ends_with(&rx), "nothing is taken out of the middle");
    let ask = match &result {
        Ok(Some(request)) => {
            assert!(tx.is_empty() && !responder.is_circuit());
            let (ask, reply) = yes(request);
            responder.reply(Time::ZERO, &reply, Some(&KEYS[0]), &mut tx).expect("it fits, and is the first");
            assert_eq!(responder.is_circuit(), *request != Request::Reserve);
            ask
        }
        Ok(None) => panic!("the end without an error is a request"),
        Err(RequestError { fault: Fault::Silent, .. }) => {
            assert!(tx.is_empty(), "nobody asked");
            return (result, Vec::new(), rx.to_vec());
        }
        Err(_) => asks(service),
    };
    let said = tx.to_vec();
    assert!(said.len() <= 4096 + 2);
    let answer = read(&ask, context, &said);
    match &result {
        Ok(_) => assert!(!matches!(answer, Answer::Refused { .. })),
        Err(_) => {
            let Answer::Refused { status } = answer else { panic!("{answer:?}") };
            assert!(status == Status::MALFORMED_MESSAGE || status == Status::UNEXPECTED_MESSAGE);
        }
    }
    let left = rx.to_vec();
    tx.clear();
    assert_eq!(responder.advance(Time::NEVER, &mut rx, &mut tx).is_err(), result.is_err());
    assert!(rx == left && tx.is_empty());
    (result, said, left)
}

/// The yes to a request, and the question that it answers.
fn yes(request: &Request) -> (Ask, Reply) {
    let limit = Limit { duration: None, data: Some(1 << 17) };
    match request {
        Request::Reserve => {
            let addresses = vec![Multiaddr::tcp(([192, 0, 2, 1], 4001).into())];
            (Ask::Reserve, Reply::Reserved { expire: UnixTime::from_secs(u64::MAX), addresses, limit })
        }
        Request::Connect { destination } => (Ask::Connect { destination: *destination }, Reply::Connected { limit }),
        Request::Stop { source, limit } => (Ask::Stop { source: *source, limit: *limit }, Reply::Accepted),
        other => panic!("not asked on hop or stop: {other:?}"),
    }
}

fn asks(service: Service) -> Ask {
    let peer: PeerId = KEYS[1].peer_id();
    if service == Service::Hop {
        Ask::Connect { destination: peer }
    } else {
        Ask::Stop { source: peer, limit: Limit::UNLIMITED }
    }
}

/// What the other end makes of it: all of it is one answer.
fn read(ask: &Ask, context: Context, said: &[u8]) -> Answer {
    let there = Context { local: context.remote, remote: context.local, relayed: false };
    let mut asker = Asker::new(ask, &there, &Config::default(), Time::ZERO, &mut BytesMut::new());
    let mut rx = BytesMut::from(said);
    let answer = asker.end(Time::ZERO, &mut rx, &mut BytesMut::new()).expect("we write what we read");
    assert!(rx.is_empty());
    answer.expect("an answer")
}
