use crate::autonat::testing::peer;
use crate::autonat::testing::wire::{fixed64, frame, number};
use crate::exchange::{Answer, Ask, Asker, Config, Context, Fault, Reply, ReplyError, Request, Responder, Service};
use bytes::BytesMut;
use core::ops::ControlFlow;
use core::time::Duration;
use proptest::prelude::*;
use tidewire_core::laws::{App, ByteSubject, Limits, Once, Step, check_bytes};
use tidewire_core::{Machine, Time};

fn context() -> Context {
    Context { local: peer(1), remote: peer(2), relayed: false }
}

fn asker(nonce: u64, tx: &mut BytesMut) -> Asker {
    Asker::new(&Ask::DialBack { nonce }, &context(), &Config::default(), Time::ZERO, tx)
}

fn responder() -> Responder {
    Responder::new(Service::AutonatV2Back, &context(), &Config::default(), Time::ZERO)
}

#[test]
fn the_nonce_goes_out_and_an_empty_answer_is_yes() {
    let (mut tx, mut rx) = (BytesMut::new(), BytesMut::from(&[0u8][..]));
    let mut asker = asker(0x0102_0304_0506_0708, &mut tx);
    assert_eq!(&tx[..], [9, 0x09, 8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(asker.advance(Time::ZERO, &mut rx, &mut tx), Ok(Some(Answer::BackHeard)));
    assert_eq!(Service::AutonatV2Back.name(), "/libp2p/autonat/2/dial-back");
}

#[test]
fn only_ok_is_an_answer() {
    let table = [
        (frame(&number(1, 5)), Fault::NotOk { status: 5 }),
        (alloc::vec![0x81, 0x08], Fault::TooLong { len: 1025, max: 1024 }),
    ];
    for (wire, fault) in table {
        let (mut tx, mut rx) = (BytesMut::new(), BytesMut::from(&wire[..]));
        assert_eq!(asker(1, &mut tx).advance(Time::ZERO, &mut rx, &mut tx).unwrap_err().fault, fault);
    }
    let (mut tx, mut rx) = (BytesMut::new(), BytesMut::new());
    let error = asker(1, &mut tx).end(Time::ZERO, &mut rx, &mut tx).unwrap_err();
    assert_eq!(error.fault, Fault::Silent, "a server must not take silence for a yes");
}

#[test]
fn a_nonce_is_told_and_answered_once() {
    let mut responder = responder();
    let (mut rx, mut tx) = (BytesMut::from(&frame(&fixed64(1, 77))[..]), BytesMut::new());
    let heard = Reply::BackHeard;
    assert_eq!(responder.reply(Time::ZERO, &heard, None, &mut tx), Err(ReplyError::NotAsked));
    assert_eq!(responder.advance(Time::ZERO, &mut rx, &mut tx), Ok(Some(Request::DialBack { nonce: 77 })));
    assert!(!responder.is_over());
    assert_eq!(responder.reply(Time::ZERO, &Reply::Accepted, None, &mut tx), Err(ReplyError::Unfit));
    assert_eq!(responder.reply(Time::ZERO, &heard, None, &mut tx), Ok(()));
    assert_eq!(&tx[..], [0]);
    assert_eq!(responder.reply(Time::ZERO, &heard, None, &mut tx), Err(ReplyError::Answered));
    assert!(responder.is_over());
}

#[test]
fn both_ends_wait_for_five_seconds() {
    let (mut rx, mut tx) = (BytesMut::new(), BytesMut::new());
    let five = Time::ZERO + Duration::from_secs(5);
    let (mut asker, mut responder) = (asker(1, &mut tx), responder());
    assert_eq!((asker.deadline(), responder.deadline()), (five, five));
    assert!(asker.advance(five, &mut rx, &mut tx).is_err());
    assert!(responder.advance(five, &mut rx, &mut tx).is_err());
    assert_eq!(responder.reply(five, &Reply::BackHeard, None, &mut tx), Err(ReplyError::Failed));
}

struct Hearing;

impl ByteSubject for Hearing {
    type Machine = Responder;

    fn machine(&self) -> Responder {
        responder()
    }

    fn on_output(&self, app: App<'_, Responder>, output: Request) -> ControlFlow<()> {
        app.seen.note(output);
        app.machine.reply(app.now, &Reply::BackHeard, None, app.tx).unwrap();
        ControlFlow::Continue(())
    }
}

#[test]
fn both_ends_keep_the_laws() {
    let script = [Step::bytes(frame(&fixed64(1, u64::MAX))), Step::bytes(b"more")];
    check_bytes(&Hearing, &script, Limits::default()).unwrap();
    let script = [Step::Wait(Duration::from_secs(4)), Step::bytes(frame(&number(1, 0))), Step::bytes(b"more")];
    check_bytes(&Once(|| asker(7, &mut BytesMut::new())), &script, Limits::default()).unwrap();
}

proptest! {
    #[test]
    fn every_nonce_arrives(nonce: u64) {
        let (mut there, mut back) = (BytesMut::new(), BytesMut::new());
        let mut asker = asker(nonce, &mut there);
        let mut responder = responder();
        let request = responder.advance(Time::ZERO, &mut there, &mut back);
        prop_assert_eq!(request, Ok(Some(Request::DialBack { nonce })));
        responder.reply(Time::ZERO, &Reply::BackHeard, None, &mut back).unwrap();
        prop_assert_eq!(asker.advance(Time::ZERO, &mut back, &mut there), Ok(Some(Answer::BackHeard)));
    }
}
