//! What a link costs, and what floods cost.

use super::*;
use crate::link::OpenFault;
use std::println;

#[test]
fn an_idle_link_is_small() {
    let mut world = World::new();
    let stream = world.opened();
    world.link.write(stream, b"x", &mut world.tx).unwrap();
    world.link.reset(stream, 0, &mut world.tx).unwrap();
    world.pass(Duration::from_secs(5));
    println!("Link {} + heap {}", size_of::<Link>(), world.link.memory_used());
    assert!(world.memory() <= 1_700, "{}", world.memory());
    assert!(world.rx.is_empty() && world.tx.is_empty());
}

#[test]
fn a_link_in_its_upgrade_is_small() {
    let link = Setup::default().link(Plan::Respond);
    let memory = size_of::<Link>() + link.memory_used();
    println!("upgrading: {memory}");
    assert!(memory < 8 * 1024, "{memory}");
}

#[test]
fn streams_that_come_and_go_by_thousands_cost_a_bounded_amount() {
    // Nobody answers for them, nobody reads them, and the remote drops each.
    let mut world = Setup { admit: false, ..Setup::default() }.start();
    let mut most = 0;
    for n in 0..4000_u64 {
        let id = world.remote.open_raw(&mut world.rx).unwrap();
        world.remote.write(id, b"\x13/multistream/1.0.0\n", &mut world.rx).unwrap();
        world.remote.reset(id, 0, &mut world.rx).unwrap();
        if n % 64 == 0 {
            world.turn();
            world.seen.clear();
            most = most.max(world.memory());
        }
    }
    world.turn();
    assert!(world.told.is_empty(), "{:?}", world.told.first());
    assert!(most < 64 * 1024, "{most}");
    assert!(world.memory() <= 2048, "{}", world.memory());
}

#[test]
fn of_streams_that_nobody_takes_there_are_as_many_as_the_multiplexer_allows() {
    let mut setup = Setup { admit: false, ..Setup::default() };
    setup.theirs.muxer.yamux.max_outbound_streams = usize::MAX;
    setup.theirs.muxer.yamux.max_unacknowledged = usize::MAX;
    setup.theirs.connection.max_negotiations = usize::MAX;
    let mut world = setup.start();
    for _ in 0..700 {
        // One that was reset makes room for the next.
        world.call(ECHO, b"");
        world.turn();
        world.seen.clear();
    }
    assert!(world.counted().0 <= 512, "{:?}", world.counted());
    assert!(world.memory() < 512 * 1024, "{}", world.memory());
}

#[test]
fn wishes_wait_up_to_a_limit_and_the_next_is_told() {
    let mut setup = Setup::default();
    setup.ours.muxer.yamux.max_outbound_streams = 1;
    setup.link.max_waiting = 3;
    let mut world = setup.start();
    for open in 1..=5 {
        world.ask(open, &Protocols::from(ECHO), Selection::Lazy);
    }
    world.turn();
    let failed = world
        .reports()
        .into_iter()
        .filter(|report| matches!(report, Report::OpenFailed { open: OpenId(5), why: OpenFault::NoMore { .. } }));
    assert_eq!(failed.count(), 1);
}

#[test]
fn mplex_does_too() {
    let mut world = Setup { muxer: MuxerKind::Mplex, ..Setup::default() }.start();
    let id = world.call(ECHO, b"hello");
    world.remote.finish(id, &mut world.rx).unwrap();
    world.turn();
    let stream = world.incoming()[0];
    assert_eq!(world.link.read(stream, &mut world.tx).unwrap().as_deref(), Some(&b"hello"[..]));
    assert_eq!(world.link.read(stream, &mut world.tx), Ok(None));
    world.link.write(stream, b"bye", &mut world.tx).unwrap();
    world.link.finish(stream, &mut world.tx).unwrap();
    world.turn();
    assert_eq!(read_all(&mut world, id), b"bye");
    assert_eq!(world.counted(), (1, 1));
    // A reader that is too slow loses its stream; mplex has no other way.
    let id = world.call(ECHO, b"");
    world.turn();
    while !world.streams().into_iter().any(|event| matches!(event, StreamEvent::Reset { .. })) {
        world.remote.write(id, &[0; 64 * 1024], &mut world.rx).ok();
        world.turn();
    }
    assert_eq!(world.counted(), (2, 2));
}
