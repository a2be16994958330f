use super::super::{Response, Status};
use crate::autonat::testing::wire::{bytes, frame, number};
use crate::autonat::testing::{addr, peer};
use crate::exchange::{
    Answer, Ask, Asker, Config, Context, Expected, Fault, Field, Reply, ReplyError, Request, Responder, Service,
};
use alloc::vec;
use alloc::vec::Vec;
use bytes::BytesMut;
use core::ops::ControlFlow;
use core::time::Duration;
use proptest::prelude::*;
use tidewire_core::laws::{App, ByteSubject, Limits, Once, Step, check_bytes};
use tidewire_core::{Machine, Multiaddr, PeerId, Time};

const US: u8 = 1;
const THEM: u8 = 2;

fn context() -> Context {
    Context { local: peer(US), remote: peer(THEM), relayed: false }
}

fn asker(addresses: &[Multiaddr], tx: &mut BytesMut) -> Asker {
    let ask = Ask::DialMe { addresses: addresses.to_vec() };
    Asker::new(&ask, &context(), &Config::default(), Time::ZERO, tx)
}

fn responder() -> Responder {
    Responder::new(Service::AutonatV1, &context(), &Config::default(), Time::ZERO)
}

fn dial(id: Option<PeerId>, addresses: &[Multiaddr]) -> Vec<u8> {
    let mut info = id.map_or_else(Vec::new, |id| bytes(1, id.as_bytes()));
    for address in addresses {
        info.extend(bytes(2, address.as_bytes()));
    }
    frame(&[number(1, 0), bytes(2, &bytes(1, &info))].concat())
}

fn dial_response(fields: &[u8]) -> Vec<u8> {
    frame(&[number(1, 1), bytes(3, fields)].concat())
}

fn answer_to(wire: &[u8]) -> Result<Option<Answer>, Fault> {
    let (mut rx, mut tx) = (BytesMut::from(wire), BytesMut::new());
    asker(&[], &mut tx).advance(Time::ZERO, &mut rx, &mut tx).map_err(|error| error.fault)
}

fn request_of(wire: &[u8]) -> (Result<Option<Request>, Fault>, BytesMut) {
    let (mut rx, mut tx) = (BytesMut::from(wire), BytesMut::new());
    let result = responder().advance(Time::ZERO, &mut rx, &mut tx).map_err(|error| error.fault);
    (result, tx)
}

#[test]
fn the_question_names_us_and_our_addresses() {
    let addresses = [addr("/ip4/8.8.8.8/tcp/4001"), addr("/ip6/2606::1/tcp/4001")];
    let mut tx = BytesMut::new();
    asker(&addresses, &mut tx);
    assert_eq!(tx[..], dial(Some(peer(US)), &addresses));
    assert_eq!(Service::AutonatV1.name(), "/libp2p/autonat/1.0.0");
}

#[test]
fn a_question_never_is_longer_than_a_message_may_be() {
    let long = |n: usize| addr(alloc::format!("/dns4/{}{n:03}.org/tcp/4001", "a".repeat(200)));
    let addresses: Vec<Multiaddr> = (0..100).map(long).collect();
    let mut tx = BytesMut::new();
    asker(&addresses, &mut tx);
    assert!(tx.len() <= 4096 && tx.len() > 3500, "{}", tx.len());
    let (Ok(Some(Request::DialMe { addresses: read })), _) = request_of_peer(&tx, US) else { panic!("not read") };
    assert_eq!(read, addresses[..read.len()]);
}

fn request_of_peer(wire: &[u8], remote: u8) -> (Result<Option<Request>, Fault>, BytesMut) {
    let context = Context { local: peer(9), remote: peer(remote), relayed: false };
    let (mut rx, mut tx) = (BytesMut::from(wire), BytesMut::new());
    let mut responder = Responder::new(Service::AutonatV1, &context, &Config::default(), Time::ZERO);
    (responder.advance(Time::ZERO, &mut rx, &mut tx).map_err(|error| error.fault), tx)
}

#[test]
fn each_status_is_told_and_an_unknown_one_as_it_came() {
    let reached = addr("/ip4/8.8.8.8/tcp/4001");
    for code in [0, 100, 101, 200, 300, 7, 12345] {
        let fields = [number(1, code), bytes(2, b"so it is"), bytes(3, reached.as_bytes())].concat();
        let status = Status::from_code(i32::try_from(code).unwrap());
        let address = (code == 0).then(|| reached.clone());
        let expected = Answer::Dialed(Response { status, text: "so it is".into(), address });
        assert_eq!(answer_to(&dial_response(&fields)), Ok(Some(expected)));
    }
}

#[test]
fn an_address_or_a_text_that_cannot_be_read_hides_no_status() {
    let fields = [number(1, 0), bytes(2, b"\xff\x1b[2J"), bytes(3, b"\x04\x08")].concat();
    let Ok(Some(Answer::Dialed(response))) = answer_to(&dial_response(&fields)) else { panic!("no answer") };
    assert_eq!((response.status, response.address), (Status::OK, None));
    assert_eq!(response.text, "\u{fffd}\u{fffd}[2J");
    let fields = [number(1, 100), bytes(2, &[b'x'; 1000])].concat();
    let Ok(Some(Answer::Dialed(response))) = answer_to(&dial_response(&fields)) else { panic!("no answer") };
    assert_eq!(response.text.len(), Response::MAX_TEXT);
}

#[test]
fn an_answer_that_lacks_something_is_none() {
    let table = [
        (frame(&[]), Fault::MissingField { field: Field::Type }),
        (frame(&number(1, 1)), Fault::MissingField { field: Field::DialResponse }),
        (dial_response(&[]), Fault::MissingField { field: Field::Status }),
        (frame(&number(1, 0)), Fault::UnexpectedType { expected: Expected::AutonatV1Response, got: 0 }),
        (frame(&number(1, 9)), Fault::UnexpectedType { expected: Expected::AutonatV1Response, got: 9 }),
        (vec![0xff, 0x7f], Fault::TooLong { len: 16383, max: 4096 }),
    ];
    for (wire, fault) in table {
        assert_eq!(answer_to(&wire), Err(fault));
    }
}

#[test]
fn a_request_is_read_with_and_without_an_id() {
    let addresses = vec![addr("/ip4/8.8.8.8/tcp/4001")];
    for id in [None, Some(peer(THEM))] {
        let (request, said) = request_of(&dial(id, &addresses));
        assert_eq!(request, Ok(Some(Request::DialMe { addresses: addresses.clone() })));
        assert!(said.is_empty());
    }
}

#[test]
fn a_bad_request_is_answered_as_one() {
    let table = [
        (dial(Some(peer(3)), &[]), Fault::OtherPeer { got: peer(3) }),
        (frame(&number(1, 0)), Fault::MissingField { field: Field::Dial }),
        (frame(&[number(1, 0), bytes(2, &[])].concat()), Fault::MissingField { field: Field::Peer }),
        (frame(&[]), Fault::MissingField { field: Field::Type }),
        (frame(&number(1, 1)), Fault::UnexpectedType { expected: Expected::AutonatV1Dial, got: 1 }),
        (vec![0x81, 0x20], Fault::TooLong { len: 4097, max: 4096 }),
    ];
    for (wire, fault) in table {
        let (request, said) = request_of(&wire);
        assert_eq!(request, Err(fault));
        let Ok(Some(Answer::Dialed(response))) = answer_to(&said) else { panic!("no answer") };
        assert_eq!(response.status, Status::BAD_REQUEST);
    }
    let bad_id = frame(&[number(1, 0), bytes(2, &bytes(1, &bytes(1, b"no id")))].concat());
    assert!(matches!(request_of(&bad_id).0, Err(Fault::PeerId { field: Field::PeerId, .. })));
}

#[test]
fn addresses_that_cannot_be_read_are_left_out_and_there_is_a_cap() {
    let good = addr("/ip4/8.8.8.8/tcp/4001");
    let mut info = bytes(2, b"\x04\x08");
    for _ in 0..200 {
        info.extend(bytes(2, good.as_bytes()));
    }
    let wire = frame(&[number(1, 0), bytes(2, &bytes(1, &info))].concat());
    let (Ok(Some(Request::DialMe { addresses })), _) = request_of(&wire) else { panic!("no request") };
    assert_eq!(addresses, vec![good; Config::default().max_addresses]);
}

#[test]
fn a_refusal_may_come_before_anything_was_read_but_nothing_else() {
    let mut tx = BytesMut::new();
    let mut responder = responder();
    let ok = Reply::Dialed(Response::ok(None));
    assert_eq!(responder.reply(Time::ZERO, &ok, None, &mut tx), Err(ReplyError::NotAsked));
    assert_eq!(responder.reply(Time::ZERO, &Reply::Accepted, None, &mut tx), Err(ReplyError::Unfit));
    assert!(tx.is_empty() && responder.wants_more() && !responder.is_over());
    let refusal = Response::failed(Status::DIAL_REFUSED, "too many requests");
    assert_eq!(responder.reply(Time::ZERO, &Reply::Dialed(refusal.clone()), None, &mut tx), Ok(()));
    assert_eq!(answer_to(&tx), Ok(Some(Answer::Dialed(refusal))));
    assert!(responder.is_over() && !responder.wants_more() && responder.deadline().is_never());
    let mut rx = BytesMut::from(&dial(None, &[])[..]);
    let before = rx.clone();
    assert_eq!(responder.advance(Time::ZERO, &mut rx, &mut BytesMut::new()), Ok(None));
    assert_eq!(rx, before, "what is refused unread stays unread");
    assert_eq!(responder.reply(Time::ZERO, &ok, None, &mut tx), Err(ReplyError::Answered));
}

#[test]
fn both_ends_have_their_time() {
    let (mut rx, mut tx) = (BytesMut::new(), BytesMut::new());
    let mut asker = asker(&[], &mut tx);
    assert_eq!(asker.deadline(), Time::ZERO + Duration::from_secs(30));
    assert!(asker.advance(asker.deadline(), &mut rx, &mut tx).is_err());
    let mut responder = responder();
    assert_eq!(responder.deadline(), Time::ZERO + Duration::from_secs(60));
    assert!(responder.advance(responder.deadline(), &mut rx, &mut tx).is_err());
    let late = responder.reply(Time::ZERO, &Reply::Dialed(Response::ok(None)), None, &mut tx);
    assert_eq!(late, Err(ReplyError::Failed));
}

#[test]
fn the_end_within_an_answer_is_an_error_at_every_byte() {
    let whole = dial_response(&[number(1, 100), bytes(2, b"no")].concat());
    for cut in 0..whole.len() {
        let (mut rx, mut tx) = (BytesMut::from(&whole[..cut]), BytesMut::new());
        let error = asker(&[], &mut tx).end(Time::ZERO, &mut rx, &mut tx).unwrap_err();
        assert_eq!(error.fault, if cut == 0 { Fault::Silent } else { Fault::Truncated { got: cut } });
    }
}

struct Answering;

impl ByteSubject for Answering {
    type Machine = Responder;

    fn machine(&self) -> Responder {
        responder()
    }

    fn on_output(&self, app: App<'_, Responder>, output: Request) -> ControlFlow<()> {
        app.seen.note(&output);
        let Request::DialMe { addresses } = output else { panic!("{output:?}") };
        let reply = Reply::Dialed(Response::ok(addresses.into_iter().next()));
        app.machine.reply(app.now, &reply, None, app.tx).unwrap();
        ControlFlow::Continue(())
    }
}

#[test]
fn both_ends_keep_the_laws() {
    let addresses = [addr("/ip4/8.8.8.8/tcp/4001"), addr("/ip6/2606::1/tcp/4001")];
    let script = [Step::bytes(dial(Some(peer(THEM)), &addresses)), Step::bytes(b"more")];
    check_bytes(&Answering, &script, Limits::default()).unwrap();
    check_bytes(&Answering, &[Step::Wait(Duration::from_secs(61))], Limits::default()).unwrap();
    let answer = dial_response(&[number(1, 0), bytes(2, b"yes"), bytes(3, addresses[0].as_bytes())].concat());
    let script = [Step::Wait(Duration::from_secs(29)), Step::bytes(answer), Step::bytes(b"more")];
    let subject = Once(|| asker(&addresses, &mut BytesMut::new()));
    check_bytes(&subject, &script, Limits::default()).unwrap();
}

proptest! {
    /// Beside an encoder by hand: what the one end writes, the other reads.
    #[test]
    fn what_one_end_writes_the_other_reads(
        ips in prop::collection::vec((any::<[u8; 4]>(), any::<u16>()), 0..30),
        code in 0i32..400,
        text in "[ -~]{0,128}",
        reached in any::<bool>(),
    ) {
        let addresses: Vec<Multiaddr> =
            ips.iter().map(|(ip, port)| Multiaddr::tcp((*ip, *port).into())).collect();
        let (mut there, mut back) = (BytesMut::new(), BytesMut::new());
        let mut asker = asker(&addresses, &mut there);
        prop_assert_eq!(&there[..], &dial(Some(peer(US)), &addresses)[..]);
        let context = Context { local: peer(THEM), remote: peer(US), relayed: false };
        let mut responder = Responder::new(Service::AutonatV1, &context, &Config::default(), Time::ZERO);
        let request = responder.advance(Time::ZERO, &mut there, &mut back);
        prop_assert_eq!(request, Ok(Some(Request::DialMe { addresses: addresses.clone() })));
        let address = if code == 0 && reached { addresses.first().cloned() } else { None };
        let response = Response { status: Status::from_code(code), text: text.into(), address };
        responder.reply(Time::ZERO, &Reply::Dialed(response.clone()), None, &mut back).unwrap();
        prop_assert_eq!(asker.advance(Time::ZERO, &mut back, &mut there), Ok(Some(Answer::Dialed(response))));
        prop_assert!(asker.is_over() && responder.is_over());
    }

    /// Nothing that a remote sends panics, or makes either end say more than one short answer.
    #[test]
    fn any_bytes_are_survived(wire in prop::collection::vec(any::<u8>(), 0..200), framed in any::<bool>()) {
        let wire = if framed { frame(&wire) } else { wire };
        let _ = answer_to(&wire);
        let (_, said) = request_of(&wire);
        prop_assert!(said.len() < 64);
    }
}
