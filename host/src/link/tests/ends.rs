//! How a link ends, and what is left then.

use super::*;
use crate::By;
use crate::link::{Fault, OpenFault};
use tidewire_connmgr::CloseReason;
use tidewire_upgrade::connection::ReadStreamError;
use tidewire_upgrade::muxer::WriteError;

fn ended(world: &World) -> Option<(By, Fault)> {
    match world.reports().last() {
        Some(Report::Ended { by, fault, .. }) => Some((*by, *fault)),
        _ => None,
    }
}

#[test]
fn each_end_is_reported_once_last_and_by_whom() {
    type Case = (fn(&mut World), By, Fault);
    let cases: [Case; 5] = [
        (|world| world.order(Order::Close { reason: CloseReason::Shutdown }), By::Local, Fault::None),
        (|world| world.remote.close(0, &mut world.rx), By::Remote, Fault::None),
        (|_| {}, By::Remote, Fault::Transport),
        (|world| world.link.broken("cut"), By::Network, Fault::Transport),
        (
            |world| world.rx.extend_from_slice(&[0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            By::Local,
            Fault::Protocol,
        ),
    ];
    for (at, (end, by, fault)) in cases.into_iter().enumerate() {
        let mut world = World::new();
        world.opened();
        end(&mut world);
        world.end();
        assert_eq!(ended(&world), Some((by, fault)), "case {at}");
        assert!(world.link.is_over());
        let told = world.told.len();
        world.link.broken("again");
        world.order(Order::Close { reason: CloseReason::Shutdown });
        for order in [Order::Identify, Order::Push, Order::Ping, Order::Forget { open: OpenId(1) }] {
            world.order(order);
        }
        world.end();
        assert_eq!(world.told.len(), told, "case {at}: {:?}", &world.told[told..]);
        assert_eq!(world.link.deadline(), Time::NEVER);
    }
}

#[test]
fn a_wish_that_comes_too_late_is_answered() {
    let mut world = World::new();
    world.link.broken("cut");
    world.end();
    world.ask(9, &Protocols::from(ECHO), Selection::Lazy);
    assert_eq!(world.link.deadline(), Time::ZERO);
    world.end();
    assert!(world.has(&Report::OpenFailed { open: OpenId(9), why: OpenFault::ConnectionEnded }));
}

#[test]
fn all_wishes_are_answered_at_the_end_once() {
    let ours = connection_config(|config| config.max_negotiations = 2);
    let mut world = Setup { ours, admit: false, ..Setup::default() }.start();
    world.ask(1, &Protocols::from(ECHO), Selection::Lazy);
    world.ask(2, &Protocols::from(ECHO), Selection::Plain);
    world.ask(3, &Protocols::from(ECHO), Selection::Plain);
    world.drain();
    let stream = match world.reports()[..] {
        [Report::StreamOpened { stream, .. }] => *stream,
        ref other => panic!("{other:?}"),
    };
    world.link.broken("cut");
    world.end();
    for open in 1..=3 {
        let answer = Report::OpenFailed { open: OpenId(open), why: OpenFault::ConnectionEnded };
        assert_eq!(world.reports().into_iter().filter(|report| **report == answer).count(), 1, "{open}");
    }
    // It was on its way, and is of no matter: the wish was answered.
    world.order(Order::Admit { stream });
    world.end();
    assert!(world.streams().is_empty());
}

#[test]
fn a_message_whose_sender_hangs_up_at_once_is_still_handed_out() {
    let mut world = Setup { admit: false, ..Setup::default() }.start();
    let id = world.call(ECHO, b"one way");
    world.remote.finish(id, &mut world.rx).unwrap();
    world.remote.close(0, &mut world.rx);
    world.end();
    let stream = StreamId(id.get());
    assert_eq!(ended(&world), Some((By::Remote, Fault::None)));
    world.order(Order::Admit { stream });
    world.end();
    assert_eq!(world.incoming(), [stream]);
    assert_eq!(world.link.read(stream, &mut world.tx).unwrap().as_deref(), Some(&b"one way"[..]));
    assert_eq!(world.link.read(stream, &mut world.tx), Ok(None));
    assert!(!world.link.has_streams());
    assert_eq!(world.counted(), (1, 0), "it ended with its connection");
}

#[test]
fn whoever_waits_for_a_stream_is_woken_at_the_end() {
    let mut world = World::new();
    let stream = world.opened();
    assert_eq!(world.link.read(stream, &mut world.tx), Err(ReadStreamError::Blocked));
    world.told.clear();
    world.link.broken("cut");
    world.end();
    assert_eq!(world.streams(), [&StreamEvent::Readable(stream), &StreamEvent::Writable(stream)]);
    assert!(matches!(world.told.last(), Some(LinkEvent::Report(Report::Ended { .. }))));
    assert_eq!(world.link.write(stream, b"x", &mut world.tx), Err(WriteError::Failed));
    assert_eq!(world.link.read(stream, &mut world.tx), Err(ReadStreamError::Closed));
    assert!(!world.link.has_streams());
}

#[test]
fn a_stream_that_ended_before_its_connection_is_over_once_it_is_read() {
    for finish in [false, true] {
        let mut world = World::new();
        let id = world.call(ECHO, b"all");
        world.remote.finish(id, &mut world.rx).unwrap();
        world.turn();
        let stream = world.incoming()[0];
        world.link.broken("cut");
        world.end();
        if finish {
            assert!(world.link.finish(stream, &mut world.tx).is_err());
        }
        while let Ok(Some(_)) = world.link.read(stream, &mut world.tx) {}
        assert!(!world.link.has_streams(), "finish: {finish}");
    }
}

#[test]
fn an_upgrade_that_fails_says_so() {
    let setup = Setup::default();
    let mut link = setup.link(Plan::Initiate);
    let (mut rx, mut tx) = (BytesMut::from(&b"\x13/multistream/9.9.9\n"[..]), BytesMut::new());
    let mut last = None;
    while let Ok(Some(event)) = link.advance(Time::ZERO, &mut rx, &mut tx) {
        last = Some(event);
    }
    assert!(matches!(last, Some(LinkEvent::Report(Report::Ended { fault: Fault::Upgrade, .. }))), "{last:?}");
    assert_eq!(link.deadline(), Time::NEVER);
    assert!(link.memory_used() < 512, "{}", link.memory_used());
}

#[test]
fn the_end_of_the_transport_within_the_upgrade_is_the_remotes() {
    let mut link = Setup::default().link(Plan::Initiate);
    let (mut rx, mut tx) = (BytesMut::new(), BytesMut::new());
    let mut last = None;
    while let Ok(Some(event)) = link.end(Time::ZERO, &mut rx, &mut tx) {
        last = Some(event);
    }
    assert!(matches!(last, Some(LinkEvent::Report(Report::Ended { by: By::Remote, .. }))), "{last:?}");
}

#[test]
fn closing_within_the_upgrade_ends_it() {
    let mut link = Setup::default().link(Plan::Respond);
    let mut tx = BytesMut::new();
    link.order(Time::ZERO, Order::Close { reason: CloseReason::Shutdown }, &mut tx);
    let event = link.advance(Time::ZERO, &mut BytesMut::new(), &mut tx);
    assert!(matches!(event, Ok(Some(LinkEvent::Report(Report::Ended { by: By::Local, fault: Fault::None, .. })))));
}

#[test]
fn after_a_go_away_streams_go_on_and_no_new_one_is_opened() {
    let mut world = World::new();
    let stream = world.opened();
    world.remote.go_away(0, &mut world.rx);
    world.turn();
    world.ask(2, &Protocols::from(ECHO), Selection::Lazy);
    world.turn();
    let failed = world
        .reports()
        .into_iter()
        .any(|report| matches!(report, Report::OpenFailed { open: OpenId(2), why: OpenFault::NoMore { .. } }));
    assert!(failed, "{:?}", world.reports());
    assert_eq!(world.link.write(stream, b"still here", &mut world.tx), Ok(10));
    assert!(!world.link.is_over());
}
