//! The application's streams.

use super::*;
use crate::link::OpenFault;
use tidewire_upgrade::connection::ReadStreamError;
use tidewire_upgrade::muxer::{StreamError, WriteError};

#[test]
fn a_remotes_stream_is_the_applications_once_it_is_admitted() {
    let mut world = Setup { admit: false, ..Setup::default() }.start();
    world.call(ECHO, b"early");
    world.turn();
    assert!(world.incoming().is_empty());
    let stream = match world.reports()[..] {
        [Report::StreamOpened { stream, open: None, .. }] => *stream,
        ref other => panic!("{other:?}"),
    };
    assert_eq!(world.link.read(stream, &mut world.tx), Err(ReadStreamError::Unknown));
    world.order(Order::Admit { stream });
    world.turn();
    assert_eq!(world.streams(), [&StreamEvent::Incoming { stream, peer: peer(2), protocol: ECHO, route: ROUTE }]);
    assert_eq!(world.link.read(stream, &mut world.tx).unwrap().as_deref(), Some(&b"early"[..]));
}

#[test]
fn a_refused_stream_is_reset_and_nothing_more_is_said_of_it() {
    let mut world = Setup { admit: false, ..Setup::default() }.start();
    let id = world.call(ECHO, b"early");
    world.turn();
    let stream = StreamId(match world.reports()[..] {
        [Report::StreamOpened { stream, .. }] => stream.0,
        ref other => panic!("{other:?}"),
    });
    world.order(Order::Refuse { stream, reason: tidewire_connmgr::StreamRefusal::Closing });
    world.turn();
    assert!(world.seen.iter().any(|event| matches!(event, Event::Reset { id: it, .. } if *it == id)));
    world.order(Order::Admit { stream });
    world.turn();
    assert!(world.incoming().is_empty());
    assert_eq!(world.counted(), (1, 0));
}

#[test]
fn what_comes_with_the_answer_to_a_lazy_proposal_is_told() {
    let mut world = World::new();
    let stream = world.opened();
    assert_eq!(world.link.read(stream, &mut world.tx), Err(ReadStreamError::Blocked));
    let id = world.seen.iter().find_map(|event| match event {
        Event::Negotiated { id, .. } => Some(*id),
        _ => None,
    });
    world.told.clear();
    world.remote.write(id.unwrap(), b"hi", &mut world.rx).unwrap();
    world.drain();
    assert!(world.streams().contains(&&StreamEvent::Readable(stream)));
}

#[test]
fn both_ends_end_a_stream_once() {
    let mut world = World::new();
    let id = world.call(ECHO, b"x");
    world.remote.finish(id, &mut world.rx).unwrap();
    world.turn();
    let stream = world.incoming()[0];
    assert_eq!(world.link.read(stream, &mut world.tx).unwrap().as_deref(), Some(&b"x"[..]));
    assert_eq!(world.link.read(stream, &mut world.tx), Ok(None));
    world.turn();
    assert_eq!(world.counted(), (1, 0));
    world.link.finish(stream, &mut world.tx).unwrap();
    world.turn();
    assert_eq!(world.counted(), (1, 1));
    assert_eq!(world.link.finish(stream, &mut world.tx), Err(StreamError::Unknown));
    assert_eq!(world.link.write(stream, b"y", &mut world.tx), Err(WriteError::Unknown));
}

#[test]
fn a_reset_at_any_stage_ends_the_stream_once() {
    for stage in 0..4 {
        let mut world = Setup { admit: stage != 1, ..Setup::default() }.start();
        let id = world.call(ECHO, b"x");
        if stage > 0 {
            world.turn();
        }
        if stage == 3 {
            world.link.finish(world.incoming()[0], &mut world.tx).unwrap();
            world.turn();
        }
        world.remote.reset(id, 9, &mut world.rx).unwrap();
        world.turn();
        if stage == 1 {
            assert_eq!(world.counted(), (1, 0), "nobody has it yet");
            let stream = StreamId(id.get());
            world.order(Order::Admit { stream });
            world.turn();
        }
        let (opened, closed) = world.counted();
        assert_eq!(opened, closed, "stage {stage}: {:?}", world.told);
        let resets = world.streams().into_iter().filter(|event| matches!(event, StreamEvent::Reset { .. })).count();
        assert_eq!(resets, usize::from(stage != 1), "stage {stage}");
        for stream in world.incoming() {
            while world.link.read(stream, &mut world.tx).is_ok() {}
        }
        world.turn();
        assert!(!world.link.has_streams(), "stage {stage}");
        assert_eq!(world.counted(), (opened, closed));
    }
}

#[test]
fn a_wish_is_answered_with_the_remotes_reset_or_refusal() {
    for refuses in [false, true] {
        let mut world = World::new();
        world.ask(3, &Protocols::parse(&["/none/1", "/none/2"]).unwrap(), Selection::Plain);
        if refuses {
            world.turn();
            assert!(world.has(&Report::OpenFailed { open: OpenId(3), why: OpenFault::Unsupported }));
        } else {
            world.drain();
            world.tx.clear();
            world.order(Order::Close { reason: tidewire_connmgr::CloseReason::Shutdown });
            world.drain();
            assert!(world.has(&Report::OpenFailed { open: OpenId(3), why: OpenFault::ConnectionEnded }));
        }
        assert!(!world.link.has_streams());
    }
}

#[test]
fn a_lazy_proposal_that_is_refused_ends_the_stream_and_its_reader_learns_why() {
    let mut world = World::new();
    world.ask(1, &Protocols::from(CHAT), Selection::Lazy);
    world.drain();
    let stream = match world.streams()[..] {
        [StreamEvent::Opened { stream, .. }] => *stream,
        ref other => panic!("{other:?}"),
    };
    world.link.write(stream, b"hello?", &mut world.tx).unwrap();
    world.turn();
    assert_eq!(world.counted(), (1, 1));
    assert!(world.streams().contains(&&StreamEvent::Readable(stream)));
    assert!(matches!(world.link.read(stream, &mut world.tx), Err(ReadStreamError::Negotiation(_))));
    assert!(!world.link.has_streams());
}

#[test]
fn a_stream_that_is_forgotten_is_reset_at_every_stage() {
    for (selection, admit) in [(Selection::Plain, false), (Selection::Lazy, false), (Selection::Lazy, true)] {
        let mut world = Setup { admit, ..Setup::default() }.start();
        world.ask(1, &Protocols::from(ECHO), selection);
        world.drain();
        world.order(Order::Forget { open: OpenId(1) });
        world.turn();
        let (opened, closed) = world.counted();
        // Of one that the application has, only the application disposes.
        assert_eq!(opened - closed, usize::from(admit), "{selection:?}");
        assert_eq!(world.remote.streams(), usize::from(admit), "{selection:?}");
    }
}

#[test]
fn streams_that_the_multiplexer_has_no_place_for_wait_until_one_ends() {
    let mut setup = Setup::default();
    setup.ours.muxer.yamux.max_outbound_streams = 1;
    let mut world = setup.start();
    let first = world.opened();
    world.ask(2, &Protocols::from(ECHO), Selection::Lazy);
    world.turn();
    let opened = |world: &World, open| {
        world.streams().into_iter().any(|event| matches!(event, StreamEvent::Opened { open: it, .. } if it.0 == open))
    };
    assert!(!opened(&world, 2));
    world.link.reset(first, 0, &mut world.tx).unwrap();
    assert!(world.link.deadline() <= world.now, "there is something to do now");
    world.turn();
    assert!(opened(&world, 2));
}

#[test]
fn streams_that_wait_for_a_place_among_the_negotiations_get_it() {
    let ours = connection_config(|config| config.max_negotiations = 1);
    let mut world = Setup { ours, ..Setup::default() }.start();
    let protocols = Protocols::parse(&["/none/1", "/echo/1.0.0"]).unwrap();
    for open in 1..=5 {
        world.ask(open, &protocols, Selection::Plain);
    }
    world.turn();
    let opened = world.streams().into_iter().filter(|event| matches!(event, StreamEvent::Opened { .. })).count();
    assert_eq!(opened, 5);
}

#[test]
fn a_stream_that_was_left_and_that_the_remote_keeps_open_is_reset_in_time() {
    let mut world = World::new();
    let stream = world.opened();
    world.link.leave(stream, &mut world.tx);
    world.pass(LinkConfig::default().leave_timeout - Duration::from_millis(1));
    assert_eq!(world.counted(), (1, 0));
    world.pass(Duration::from_millis(1));
    assert_eq!(world.counted(), (1, 1));
    assert!(world.seen.iter().any(|event| matches!(event, Event::Reset { .. })));
    assert!(!world.link.has_streams());
}

#[test]
fn of_a_stream_that_was_left_nothing_more_is_told() {
    let mut world = World::new();
    let id = world.call(ECHO, b"");
    world.turn();
    let stream = world.incoming()[0];
    world.link.leave(stream, &mut world.tx);
    world.told.clear();
    world.remote.write(id, b"unwanted", &mut world.rx).unwrap();
    world.turn();
    assert!(world.streams().is_empty());
    assert_eq!(world.counted(), (0, 1));
    assert!(world.seen.iter().any(|event| matches!(event, Event::Reset { .. })));
}

#[test]
fn what_is_served_changes_for_the_next_streams() {
    let mut world = World::new();
    // The proposal of the first one is half on its way.
    let slow = world.remote.open_raw(&mut world.rx).unwrap();
    world.remote.write(slow, b"\x13/multistream/1.0.0\n\x0c/echo/", &mut world.rx).unwrap();
    world.drain();
    let base = connection::Config::default();
    world.link.set_routes(Routes::new(&router(&[CHAT]), &[], &base));
    world.remote.write(slow, b"1.0.0\n", &mut world.rx).unwrap();
    world.call(CHAT, b"");
    world.turn();
    let names: Vec<Protocol> = world
        .streams()
        .into_iter()
        .filter_map(|event| match event {
            StreamEvent::Incoming { protocol, .. } => Some(protocol.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(names, [ECHO, CHAT]);
}

#[test]
fn use_is_reported_once_a_second() {
    let mut world = World::new();
    let stream = world.opened();
    for _ in 0..10 {
        world.link.write(stream, b"x", &mut world.tx).unwrap();
        world.pass(Duration::from_millis(300));
    }
    let used = world.reports().into_iter().filter(|report| **report == Report::Used).count();
    assert!((3..=4).contains(&used), "{used}");
}

#[test]
fn a_writer_that_was_stopped_by_a_window_is_woken() {
    let mut world = World::new();
    let stream = world.opened();
    let id = world.seen.iter().find_map(|event| match event {
        Event::Negotiated { id, .. } => Some(*id),
        _ => None,
    });
    let mut written = 0;
    while let Ok(count) = world.link.write(stream, &[0; 4096], &mut world.tx) {
        written += count;
        world.turn();
    }
    assert!(written > 255 * 1024, "{written}");
    assert!(!world.streams().contains(&&StreamEvent::Writable(stream)));
    assert_eq!(read_all(&mut world, id.unwrap()).len(), written);
    world.turn();
    assert!(world.streams().contains(&&StreamEvent::Writable(stream)));
}
