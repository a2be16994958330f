use super::super::{DialStatus, Response, Status};
use crate::autonat::testing::wire::{bytes, fixed64, frame, number};
use crate::autonat::testing::{addr, peer};
use crate::exchange::{
    Answer, Ask, Asker, Config, Context, Expected, Fault, PayError, Reply, ReplyError, Request, Responder, Service,
};
use alloc::vec;
use alloc::vec::Vec;
use bytes::BytesMut;
use core::ops::ControlFlow;
use core::time::Duration;
use proptest::prelude::*;
use tidewire_core::laws::{App, ByteSubject, Limits, Step, check_bytes};
use tidewire_core::{Machine, Multiaddr, Time};

const T0: Time = Time::ZERO;

fn context() -> Context {
    Context { local: peer(1), remote: peer(2), relayed: false }
}

fn two() -> Vec<Multiaddr> {
    vec![addr("/ip4/8.8.8.8/tcp/4001"), addr("/ip6/2606::1/tcp/4001")]
}

fn asker(addresses: &[Multiaddr], tx: &mut BytesMut) -> Asker {
    let ask = Ask::Probe { nonce: 0x0807_0605_0403_0201, addresses: addresses.to_vec() };
    Asker::new(&ask, &context(), &Config::default(), T0, tx)
}

fn responder() -> Responder {
    Responder::new(Service::AutonatV2Request, &context(), &Config::default(), T0)
}

fn dial_request(nonce: u64, addresses: &[Multiaddr]) -> Vec<u8> {
    let mut request: Vec<u8> = addresses.iter().flat_map(|address| bytes(1, address.as_bytes())).collect();
    request.extend(fixed64(2, nonce));
    frame(&bytes(1, &request))
}

fn dial_response(status: u64, index: u64, dial: u64) -> Vec<u8> {
    frame(&bytes(2, &[number(1, status), number(2, index), number(3, dial)].concat()))
}

fn data_request(index: u64, len: u64) -> Vec<u8> {
    frame(&bytes(3, &[number(1, index), number(2, len)].concat()))
}

fn data(len: usize) -> Vec<u8> {
    frame(&bytes(4, &bytes(1, &vec![7; len])))
}

fn answer_to(wire: &[u8]) -> Result<Option<Answer>, Fault> {
    let (mut rx, mut tx) = (BytesMut::from(wire), BytesMut::new());
    asker(&two(), &mut tx).advance(T0, &mut rx, &mut tx).map_err(|error| error.fault)
}

/// A server that read a request and asked for so much.
fn charging(wanted: u64) -> Responder {
    let mut responder = responder();
    let (mut rx, mut tx) = (BytesMut::from(&dial_request(1, &two())[..]), BytesMut::new());
    responder.advance(T0, &mut rx, &mut tx).unwrap().unwrap();
    responder.reply(T0, &Reply::AskData { index: 1, bytes: wanted }, None, &mut tx).unwrap();
    assert_eq!(tx[..], data_request(1, wanted));
    responder
}

#[test]
fn the_question_is_a_nonce_and_addresses() {
    let mut tx = BytesMut::new();
    asker(&two(), &mut tx);
    assert_eq!(tx[..], dial_request(0x0807_0605_0403_0201, &two()));
    assert_eq!(Service::AutonatV2Request.name(), "/libp2p/autonat/2/dial-request");
}

#[test]
fn a_question_never_is_longer_than_a_message_may_be() {
    let long = |n: usize| addr(alloc::format!("/dns4/{}{n:03}.org/tcp/4001", "a".repeat(200)));
    for addresses in [(0..100).map(long).collect::<Vec<_>>(), vec![addr("/ip4/8.8.8.8/tcp/1"); 200]] {
        let (mut tx, mut back) = (BytesMut::new(), BytesMut::new());
        asker(&addresses, &mut tx);
        assert!(tx.len() <= 8192, "{}", tx.len());
        let Ok(Some(Request::Probe { addresses: read, .. })) = responder().advance(T0, &mut tx, &mut back) else {
            panic!("not read")
        };
        assert_eq!(read, addresses[..read.len()]);
        assert!(read.len() > 30 && read.len() <= 50);
    }
}

#[test]
fn each_answer_is_told_and_what_is_unknown_as_it_came() {
    let table = [
        ((200, 1, 200), Response::dialed(1, DialStatus::OK)),
        ((200, 0, 100), Response::dialed(0, DialStatus::DIAL_ERROR)),
        ((200, 0, 101), Response::dialed(0, DialStatus::DIAL_BACK_ERROR)),
        ((200, 0, 0), Response::dialed(0, DialStatus::UNUSED)),
        ((200, 0, 999), Response::dialed(0, DialStatus::from_code(999))),
        ((100, 0, 0), Response::refused(Status::REQUEST_REJECTED)),
        ((101, 0, 0), Response::refused(Status::DIAL_REFUSED)),
        ((0, 0, 0), Response::refused(Status::INTERNAL_ERROR)),
        ((555, 9, 0), Response { status: Status::from_code(555), index: 9, dial: DialStatus::UNUSED }),
    ];
    for ((status, index, dial), response) in table {
        assert_eq!(answer_to(&dial_response(status, index, dial)), Ok(Some(Answer::Probed(response))));
    }
    let empty = frame(&bytes(2, &[]));
    assert_eq!(answer_to(&empty), Ok(Some(Answer::Probed(Response::refused(Status::INTERNAL_ERROR)))));
}

#[test]
fn an_answer_about_an_address_that_was_not_asked_about_is_none() {
    let fault = Fault::NoSuchAddress { index: 2, asked: 2 };
    assert_eq!(answer_to(&dial_response(200, 2, 200)), Err(fault.clone()));
    assert_eq!(answer_to(&data_request(2, 30_000)), Err(fault));
    let wire = frame(&bytes(1, &[]));
    assert_eq!(answer_to(&wire), Err(Fault::UnexpectedType { expected: Expected::AutonatV2Answer, got: 1 }));
    assert_eq!(answer_to(&frame(&[])), Err(Fault::UnexpectedType { expected: Expected::AutonatV2Answer, got: 0 }));
    assert_eq!(answer_to(&[0x81, 0x40]), Err(Fault::TooLong { len: 8193, max: 8192 }));
}

#[test]
fn nothing_is_paid_unless_the_caller_says_so() {
    let (mut rx, mut tx) = (BytesMut::from(&data_request(1, 30_000)[..]), BytesMut::new());
    let mut asker = asker(&two(), &mut tx);
    tx.clear();
    assert_eq!(asker.pay(T0, &mut tx), Err(PayError));
    assert_eq!(asker.advance(T0, &mut rx, &mut tx), Ok(Some(Answer::CostAsked { index: 1, bytes: 30_000 })));
    assert_eq!(asker.advance(T0, &mut rx, &mut tx), Ok(None));
    assert!(tx.is_empty() && asker.deadline().is_never() && !asker.is_over());
    assert_eq!(asker.pay(T0, &mut tx), Ok(()));
    assert_eq!(asker.pay(T0, &mut tx), Err(PayError));
    assert!(!tx.is_empty());
}

#[test]
fn what_is_paid_comes_in_chunks_of_at_most_4096_bytes_and_is_enough() {
    for wanted in [1, 99, 100, 4095, 4096, 4097, 30_000, 100_000] {
        let (mut rx, mut tx) = (BytesMut::from(&data_request(0, wanted)[..]), BytesMut::new());
        let mut asker = asker(&two(), &mut tx);
        tx.clear();
        asker.advance(T0, &mut rx, &mut tx).unwrap();
        asker.pay(T0, &mut tx).unwrap();
        let mut responder = charging(wanted);
        let (mut said, mut sent, mut told) = (BytesMut::new(), 0, None);
        while told.is_none() {
            assert!(tx.len() <= Config::default().max_tx + 4096 + 16, "{} bytes wait", tx.len());
            assert!(!tx.is_empty(), "it stopped after {sent} of {wanted} bytes");
            sent += tx.len();
            told = responder.advance(T0, &mut tx, &mut said).unwrap();
            asker.advance(T0, &mut rx, &mut tx).unwrap();
        }
        let Some(Request::Paid { bytes: paid }) = told else { panic!("{told:?}") };
        assert!(paid >= wanted && paid < wanted + 100, "{paid} for {wanted}");
        assert!(tx.is_empty(), "no more than is wanted");
    }
}

#[test]
fn after_all_is_paid_only_the_answer_may_come() {
    for (next, expected) in [
        (dial_response(200, 0, 200), Ok(Some(Answer::Probed(Response::dialed(0, DialStatus::OK))))),
        (data_request(0, 9), Err(Fault::UnexpectedType { expected: Expected::AutonatV2Response, got: 3 })),
    ] {
        let (mut rx, mut tx) = (BytesMut::from(&data_request(0, 100_000)[..]), BytesMut::new());
        let mut asker = asker(&two(), &mut tx);
        asker.advance(T0, &mut rx, &mut tx).unwrap();
        tx.clear();
        asker.pay(Time::from_millis(500), &mut tx).unwrap();
        assert_eq!(asker.deadline(), Time::from_millis(20_500));
        rx.extend_from_slice(&next);
        let mut sent = 0;
        let told = loop {
            sent += tx.split().len();
            match asker.advance(T0, &mut rx, &mut tx) {
                Ok(None) => assert!(!tx.is_empty(), "it stopped after {sent} bytes"),
                told => break told,
            }
        };
        sent += tx.split().len();
        assert!(sent >= 100_000, "an answer that comes early doesn't lower the price: {sent} bytes");
        assert_eq!(told.map_err(|error| error.fault), expected);
        let _ = asker.advance(T0, &mut rx, &mut tx);
        assert!(tx.is_empty() && asker.is_over());
    }
}

#[test]
fn a_server_that_reads_nothing_is_not_waited_for_longer_than_its_time() {
    let (mut rx, mut tx) = (BytesMut::from(&data_request(0, 100_000)[..]), BytesMut::new());
    let mut asker = asker(&two(), &mut tx);
    asker.advance(T0, &mut rx, &mut tx).unwrap();
    asker.pay(T0, &mut tx).unwrap();
    assert_eq!(asker.advance(T0, &mut rx, &mut tx), Ok(None));
    let error = asker.advance(asker.deadline(), &mut rx, &mut tx).unwrap_err();
    assert_eq!(error.fault, Fault::Timeout { after: Duration::from_secs(20) });
}

#[test]
fn a_request_keeps_the_numbers_of_its_addresses() {
    let good = addr("/ip4/8.8.8.8/tcp/4001");
    let request = [bytes(1, b"\x04\x08"), bytes(1, good.as_bytes()), fixed64(2, 5)].concat();
    let (mut rx, mut tx) = (BytesMut::from(&frame(&bytes(1, &request))[..]), BytesMut::new());
    let addresses = vec![Multiaddr::empty(), good];
    assert_eq!(responder().advance(T0, &mut rx, &mut tx), Ok(Some(Request::Probe { nonce: 5, addresses })));
}

#[test]
fn at_most_fifty_addresses_are_read() {
    let many: Vec<Multiaddr> = (0..80).map(|port| Multiaddr::tcp(([8, 8, 8, 8], 1 + port).into())).collect();
    let (mut rx, mut tx) = (BytesMut::from(&dial_request(5, &many)[..]), BytesMut::new());
    let Ok(Some(Request::Probe { addresses, .. })) = responder().advance(T0, &mut rx, &mut tx) else { panic!("no") };
    assert_eq!(addresses, many[..50]);
}

#[test]
fn a_bad_request_is_an_error_that_the_client_hears_of() {
    let table = [
        (dial_response(200, 0, 200), Fault::UnexpectedType { expected: Expected::AutonatV2Request, got: 2 }),
        (frame(&[]), Fault::UnexpectedType { expected: Expected::AutonatV2Request, got: 0 }),
        (vec![0x81, 0x40], Fault::TooLong { len: 8193, max: 8192 }),
    ];
    for (wire, fault) in table {
        let (mut rx, mut tx) = (BytesMut::from(&wire[..]), BytesMut::new());
        assert_eq!(responder().advance(T0, &mut rx, &mut tx).unwrap_err().fault, fault);
        assert_eq!(answer_to(&tx), Ok(Some(Answer::Probed(Response::refused(Status::INTERNAL_ERROR)))));
    }
}

#[test]
fn small_chunks_abort_and_empty_ones_make_no_loop() {
    for len in [0, 1, 99] {
        let mut responder = charging(1000);
        let (mut rx, mut tx) = (BytesMut::from(&data(len)[..]), BytesMut::new());
        let error = responder.advance(T0, &mut rx, &mut tx).unwrap_err();
        assert_eq!(error.fault, Fault::SmallChunk { len: len as u64, min: 100 });
        assert!(responder.is_over() && tx.is_empty());
    }
}

#[test]
fn the_last_chunk_may_be_small_or_larger_than_is_wanted() {
    for last in [1, 50, 4096] {
        let mut responder = charging(1001);
        let (mut rx, mut tx) = (BytesMut::from(&[data(1000), data(last), data(9)].concat()[..]), BytesMut::new());
        let paid = 1000 + last as u64;
        assert_eq!(responder.advance(T0, &mut rx, &mut tx), Ok(Some(Request::Paid { bytes: paid })));
        assert_eq!(rx[..], data(9), "what follows is not read");
        let done = Reply::Probed(Response::dialed(1, DialStatus::OK));
        assert_eq!(responder.reply(T0, &done, None, &mut tx), Ok(()));
    }
}

#[test]
fn data_is_counted_and_not_kept() {
    let mut responder = charging(100_000);
    let (mut rx, mut tx) = (BytesMut::new(), BytesMut::new());
    for _ in 0..20 {
        rx.extend_from_slice(&data(4096));
        assert_eq!(responder.advance(T0, &mut rx, &mut tx), Ok(None));
        assert_eq!((rx.len(), responder.memory_used(), tx.len()), (0, 0, 0));
    }
}

#[test]
fn the_data_has_its_time() {
    let mut responder = responder();
    let (mut rx, mut tx) = (BytesMut::from(&dial_request(1, &two())[..]), BytesMut::new());
    assert_eq!(responder.deadline(), T0 + Duration::from_secs(15));
    responder.advance(T0, &mut rx, &mut tx).unwrap();
    assert!(responder.deadline().is_never(), "while it is decided there is none");
    let asked = Time::from_millis(900);
    responder.reply(asked, &Reply::AskData { index: 0, bytes: 30_000 }, None, &mut tx).unwrap();
    let end = asked + Duration::from_secs(15);
    assert_eq!(responder.deadline(), end);
    rx.extend_from_slice(&data(4096));
    assert_eq!(responder.advance(asked, &mut rx, &mut tx), Ok(None));
    assert_eq!(responder.deadline(), end, "chunks don't lengthen it");
    assert!(responder.advance(end, &mut rx, &mut tx).is_err());
}

#[test]
fn replies_that_do_not_fit_are_the_callers_mistake() {
    let ok = Reply::Probed(Response::dialed(0, DialStatus::OK));
    let beyond = Reply::Probed(Response::dialed(2, DialStatus::OK));
    let refused = Reply::Probed(Response::refused(Status::REQUEST_REJECTED));
    let charge = |index| Reply::AskData { index, bytes: 30_000 };
    let mut tx = BytesMut::new();
    let mut reply = |responder: &mut Responder, reply: &Reply| responder.reply(T0, reply, None, &mut tx);
    let mut fresh = responder();
    assert_eq!(reply(&mut fresh, &ok), Err(ReplyError::NotAsked));
    assert_eq!(reply(&mut fresh, &charge(0)), Err(ReplyError::NotAsked));
    assert_eq!(reply(&mut fresh, &refused), Ok(()), "refused unread");
    assert_eq!(reply(&mut fresh, &refused), Err(ReplyError::Answered));
    let mut asked = responder();
    asked.advance(T0, &mut BytesMut::from(&dial_request(1, &two())[..]), &mut BytesMut::new()).unwrap();
    assert_eq!(reply(&mut asked, &charge(2)), Err(ReplyError::Unfit));
    assert_eq!(reply(&mut asked, &beyond), Err(ReplyError::Unfit));
    assert_eq!(reply(&mut asked, &Reply::BackHeard), Err(ReplyError::Unfit));
    assert_eq!(reply(&mut asked, &charge(1)), Ok(()));
    assert_eq!(reply(&mut asked, &charge(1)), Err(ReplyError::Unfit), "once is enough");
    assert_eq!(reply(&mut asked, &ok), Err(ReplyError::NotAsked), "before it is paid nothing is dialed");
    assert_eq!(reply(&mut asked, &refused), Ok(()));
}

struct Serve;

impl ByteSubject for Serve {
    type Machine = Responder;

    fn machine(&self) -> Responder {
        responder()
    }

    fn on_output(&self, app: App<'_, Responder>, output: Request) -> ControlFlow<()> {
        app.seen.note(&output);
        let reply = match output {
            Request::Probe { .. } => Reply::AskData { index: 0, bytes: 1000 },
            _ => Reply::Probed(Response::dialed(0, DialStatus::OK)),
        };
        // A changed request may have no address; then there is nothing to charge for.
        let _ = app.machine.reply(app.now, &reply, None, app.tx);
        ControlFlow::Continue(())
    }
}

struct Pay;

impl ByteSubject for Pay {
    type Machine = Asker;

    fn machine(&self) -> Asker {
        asker(&two(), &mut BytesMut::new())
    }

    fn on_output(&self, app: App<'_, Asker>, output: Answer) -> ControlFlow<()> {
        let cost = matches!(output, Answer::CostAsked { .. });
        app.seen.note(output);
        if cost {
            app.machine.pay(app.now, app.tx).unwrap();
        }
        ControlFlow::Continue(())
    }
}

#[test]
fn both_ends_keep_the_laws() {
    let script = [
        Step::bytes(dial_request(7, &two())),
        Step::Wait(Duration::from_secs(3)),
        Step::bytes(data(400)),
        Step::bytes(data(400)),
        Step::bytes(data(400)),
        Step::bytes(b"more"),
    ];
    check_bytes(&Serve, &script, Limits::default()).unwrap();
    let script = [Step::bytes(data_request(1, 9000)), Step::bytes(dial_response(200, 1, 200)), Step::bytes(b"more")];
    check_bytes(&Pay, &script, Limits::default()).unwrap();
    let script = [Step::bytes(dial_response(101, 0, 0)), Step::Wait(Duration::from_secs(30))];
    check_bytes(&Pay, &script, Limits::default()).unwrap();
}

/// Else a server that asks for data, and sends without reading, would fill the buffer of the stream.
#[test]
fn nothing_is_read_between_the_price_and_the_end_of_paying() {
    let (mut there, mut back) = (BytesMut::new(), BytesMut::new());
    let ask = Ask::Probe { nonce: 1, addresses: [addr("/ip4/8.8.4.4/tcp/1")].to_vec() };
    let config = Config { max_tx: 4096, ..Config::default() };
    let mut asker = Asker::new(&ask, &context(), &config, T0, &mut there);
    assert!(asker.wants_more());
    let mut responder = responder();
    responder.advance(T0, &mut there, &mut back).unwrap();
    responder.reply(T0, &Reply::AskData { index: 0, bytes: 30_000 }, None, &mut back).unwrap();
    assert!(matches!(asker.advance(T0, &mut back, &mut there), Ok(Some(Answer::CostAsked { .. }))));
    assert!(!asker.wants_more() && !asker.is_over(), "it is not decided yet");
    asker.pay(T0, &mut there).unwrap();
    let mut paid = 0;
    while !asker.wants_more() {
        paid += there.len();
        there.clear();
        assert_eq!(asker.advance(T0, &mut back, &mut there), Ok(None));
    }
    assert!(paid + there.len() >= 30_000, "{paid} bytes");
    responder.advance(T0, &mut BytesMut::new(), &mut back).unwrap();
    responder.reply(T0, &Reply::Probed(Response::refused(Status::INTERNAL_ERROR)), None, &mut back).unwrap();
    assert!(matches!(asker.advance(T0, &mut back, &mut there), Ok(Some(Answer::Probed(_)))));
    assert!(!asker.wants_more());
}

proptest! {
    /// Beside an encoder by hand: any conversation, with any price, ends as it was decided, and the server never writes more
    /// than it read.
    #[test]
    fn any_conversation_ends_as_decided(
        nonce: u64,
        ips in prop::collection::vec((any::<[u8; 4]>(), any::<u16>()), 1..60),
        charge in prop::option::of(0u64..20_000),
        index in 0u32..50,
        dial in prop::sample::select(vec![0, 100, 101, 200, 77]),
    ) {
        let addresses: Vec<Multiaddr> =
            ips.iter().map(|(ip, port)| Multiaddr::tcp((*ip, *port).into())).collect();
        let addresses = &addresses[..addresses.len().min(50)];
        let index = index % u32::try_from(addresses.len()).unwrap();
        let (mut there, mut back) = (BytesMut::new(), BytesMut::new());
        let ask = Ask::Probe { nonce, addresses: addresses.to_vec() };
        let mut asker = Asker::new(&ask, &context(), &Config::default(), T0, &mut there);
        prop_assert_eq!(&there[..], &dial_request(nonce, addresses)[..]);
        let (mut read, mut wrote) = (there.len(), 0);
        let mut responder = responder();
        let request = responder.advance(T0, &mut there, &mut back);
        prop_assert_eq!(request, Ok(Some(Request::Probe { nonce, addresses: addresses.to_vec() })));
        if let Some(bytes) = charge {
            responder.reply(T0, &Reply::AskData { index, bytes }, None, &mut back).unwrap();
            wrote += back.len();
            let cost = asker.advance(T0, &mut back, &mut there);
            prop_assert_eq!(cost, Ok(Some(Answer::CostAsked { index, bytes })));
            asker.pay(T0, &mut there).unwrap();
            loop {
                read += there.len();
                if let Some(told) = responder.advance(T0, &mut there, &mut back).unwrap() {
                    let Request::Paid { bytes: paid } = told else { panic!("{told:?}") };
                    prop_assert!(paid >= bytes && paid < bytes + 100);
                    break;
                }
                prop_assert_eq!(asker.advance(T0, &mut back, &mut there), Ok(None));
            }
        }
        let response = Response::dialed(index, DialStatus::from_code(dial));
        responder.reply(T0, &Reply::Probed(response), None, &mut back).unwrap();
        wrote += back.len();
        prop_assert!(wrote <= read, "wrote {} for {}", wrote, read);
        prop_assert_eq!(asker.advance(T0, &mut back, &mut there), Ok(Some(Answer::Probed(response))));
    }

    /// Nothing that a remote sends panics, or makes either end say more than one short answer unasked.
    #[test]
    fn any_bytes_are_survived(
        frames in prop::collection::vec((1u64..6, prop::collection::vec(any::<u8>(), 0..150)), 0..5),
        raw in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut wire: Vec<u8> = frames.iter().flat_map(|(kind, body)| frame(&bytes(*kind, body))).collect();
        wire.extend(raw);
        let _ = answer_to(&wire);
        for mut responder in [responder(), charging(300)] {
            let (mut rx, mut tx) = (BytesMut::from(&wire[..]), BytesMut::new());
            while let Ok(Some(_)) = responder.advance(T0, &mut rx, &mut tx) {}
            let _ = responder.end(T0, &mut rx, &mut tx);
            prop_assert!(tx.len() < 16);
        }
    }
}
