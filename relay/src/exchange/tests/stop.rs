//! Both ends of stop: a relay asks, a destination answers.

use super::wire::{Limits, Peer, Stop, StopType, framed};
use super::*;
use alloc::vec;
use core::time::Duration;

const LIMIT: Limit = Limit { duration: Some(Duration::from_secs(120)), data: Some(131_072) };

fn ask(limit: Limit) -> Ask {
    Ask::Stop { source: peer(OTHER), limit }
}

fn request(bytes: &[u8]) -> Said<Responder> {
    hear(&mut responder(Service::Stop), bytes)
}

fn answer(message: &Stop) -> Result<Option<Answer>, Fault> {
    hear(&mut asker(&ask(LIMIT)), &framed(message)).result.map_err(|error| error.fault)
}

#[test]
fn a_relay_names_the_source_and_the_limit() {
    let asked = |limit| {
        let mut tx = BytesMut::new();
        let asker = Asker::new(&ask(limit), &at_relay(), &Config::default(), Time::ZERO, &mut tx);
        assert_eq!(asker.deadline(), Time::from_millis(30_000));
        only::<Stop>(&tx)
    };
    let limits = Limits { duration: Some(120), data: Some(131_072) };
    assert_eq!(asked(LIMIT), Stop { limit: Some(limits), ..Stop::connect(peer(OTHER)) });
    assert_eq!(asked(Limit::UNLIMITED), Stop::connect(peer(OTHER)));
}

#[test]
fn a_destination_hears_from_whom_and_how_much() {
    let source = peer(OTHER);
    let limits = Limits { duration: Some(120), data: Some(131_072) };
    let addressed = Peer { addrs: vec![vec![1]], ..Peer::of(source) };
    let table = [
        (Stop::connect(source), Limit::UNLIMITED),
        (Stop { limit: Some(limits), ..Stop::connect(source) }, LIMIT),
        (Stop { limit: Some(Limits { duration: Some(0), data: Some(0) }), ..Stop::connect(source) }, Limit::UNLIMITED),
        (Stop { peer: Some(addressed), status: Some(7), ..Stop::of(StopType::Connect) }, Limit::UNLIMITED),
    ];
    for (message, limit) in table {
        let said = request(&framed(&message));
        assert_eq!(said.result, Ok(Some(Request::Stop { source, limit })), "{message:?}");
        assert!(said.written.is_empty());
    }
}

#[test]
fn a_bad_request_is_answered_with_its_status() {
    let missing = |field| Fault::MissingField { field };
    let unexpected = |got| Fault::UnexpectedType { expected: Expected::StopConnect, got };
    let named = Stop { peer: Some(Peer { id: Some(vec![1]), addrs: vec![] }), ..Stop::of(StopType::Connect) };
    let bad_id = Fault::PeerId { field: Field::PeerId, error: PeerId::from_bytes(&[1]).unwrap_err() };
    let table = [
        (Stop::default(), missing(Field::Type), Status::MALFORMED_MESSAGE),
        (Stop::of(StopType::Connect), missing(Field::Peer), Status::MALFORMED_MESSAGE),
        (named, bad_id, Status::MALFORMED_MESSAGE),
        (Stop::saying(Status::OK), unexpected(1), Status::UNEXPECTED_MESSAGE),
        (Stop { kind: Some(2), ..Stop::default() }, unexpected(2), Status::UNEXPECTED_MESSAGE),
    ];
    for (message, fault, status) in table {
        let said = request(&framed(&message));
        let error = RequestError { remote: peer(CLIENT), service: Service::Stop, fault };
        assert_eq!(said.result, Err(error), "{message:?}");
        assert_eq!(only::<Stop>(&said.written), Stop::saying(status), "{message:?}");
    }
    let said = request(&[0x81, 0x20]);
    assert_eq!(said.result.map_err(|error| error.fault), Err(Fault::TooLong { len: 4097, max: 4096 }));
    assert_eq!(only::<Stop>(&said.written), Stop::saying(Status::MALFORMED_MESSAGE));
}

#[test]
fn a_request_cut_short_at_any_byte_is_malformed() {
    let bytes = framed(&Stop::connect(peer(OTHER)));
    for got in 1..bytes.len() {
        let said = hear_all(&mut responder(Service::Stop), &bytes[..got]);
        assert_eq!(said.result.map_err(|error| error.fault), Err(Fault::Truncated { got }));
        assert_eq!(only::<Stop>(&said.written), Stop::saying(Status::MALFORMED_MESSAGE));
    }
    let said = hear_all(&mut responder(Service::Stop), b"");
    assert_eq!(said.result.map_err(|error| error.fault), Err(Fault::Silent));
    assert!(said.written.is_empty());
}

#[test]
fn a_destinations_answer_is_what_it_says() {
    let unexpected = |got| Fault::UnexpectedType { expected: Expected::StopStatus, got };
    let refused = |status| Ok(Some(Answer::Refused { status }));
    let missing = Fault::MissingField { field: Field::Status };
    let table = [
        (Stop::saying(Status::OK), Ok(Some(Answer::Accepted))),
        (Stop::saying(Status::CONNECTION_FAILED), refused(Status::CONNECTION_FAILED)),
        (Stop::saying(Status::from_code(101)), refused(Status::from_code(101))),
        (Stop::of(StopType::Status), Err(missing)),
        (Stop { status: Some(100), ..Stop::default() }, Err(Fault::MissingField { field: Field::Type })),
        (Stop { status: Some(100), ..Stop::of(StopType::Connect) }, Err(unexpected(0))),
        (Stop { kind: Some(5), ..Stop::saying(Status::OK) }, Err(unexpected(5))),
    ];
    for (message, expected) in table {
        assert_eq!(answer(&message), expected, "{message:?}");
    }
}

#[test]
fn after_a_yes_both_ends_leave_what_follows_to_the_circuit() {
    let (mut there, mut back) = (BytesMut::new(), BytesMut::new());
    let config = Config::default();
    let mut relay = Asker::new(&ask(LIMIT), &at_relay(), &config, Time::ZERO, &mut there);
    there.extend_from_slice(b"from the source");
    let mut destination = Responder::new(Service::Stop, &at_client(), &config, Time::ZERO);
    let source = peer(OTHER);
    let request = destination.advance(Time::ZERO, &mut there, &mut back);
    assert_eq!(request, Ok(Some(Request::Stop { source, limit: LIMIT })));
    destination.reply(Time::ZERO, &Reply::Accepted, None, &mut back).unwrap();
    back.extend_from_slice(b"from the destination");
    assert_eq!(relay.advance(Time::ZERO, &mut back, &mut there), Ok(Some(Answer::Accepted)));
    assert!(relay.is_circuit() && destination.is_circuit());
    assert_eq!((&there[..], &back[..]), (&b"from the source"[..], &b"from the destination"[..]));
}

#[test]
fn a_reply_must_fit_the_question_and_is_given_once() {
    let refused = |status| Reply::Refused { status };
    let table = [
        (Reply::Connected { limit: LIMIT }, Err(ReplyError::Unfit)),
        (refused(Status::OK), Err(ReplyError::Unfit)),
        (Reply::Accepted, Ok(())),
        (refused(Status::CONNECTION_FAILED), Ok(())),
    ];
    for (given, expected) in table {
        let mut responder = responder(Service::Stop);
        let mut tx = BytesMut::new();
        assert_eq!(responder.reply(Time::ZERO, &given, None, &mut tx), Err(ReplyError::NotAsked));
        assert!(hear(&mut responder, &framed(&Stop::connect(peer(OTHER)))).result.is_ok());
        assert_eq!(responder.reply(Time::ZERO, &given, None, &mut tx), expected, "{given:?}");
        assert_eq!(tx.is_empty(), expected.is_err());
        assert_eq!(responder.is_circuit(), given == Reply::Accepted);
        if expected.is_ok() {
            assert_eq!(responder.reply(Time::ZERO, &given, None, &mut tx), Err(ReplyError::Answered));
        }
    }
}
