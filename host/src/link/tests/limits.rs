//! What a link costs, and what floods cost.

use super::*;
use crate::link::OpenFault;
use alloc::string::ToString;
use std::println;

#[test]
fn an_idle_link_is_small() {
    let mut world = World::new();
    let stream = world.opened();
    world.link.write(stream, b"x", &mut world.tx).unwrap();
    world.link.reset(stream, 0, &mut world.tx).unwrap();
    world.pass(Duration::from_secs(5));
    println!("Link {} + heap {}", size_of::<Link>(), world.link.memory_used());
    assert!(world.memory() <= 1_728, "{}", world.memory());
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

/// What the host was told of the memory, in order.
fn held(world: &World) -> Vec<u64> {
    let held = |report: &Report| if let Report::Holds { bytes } = report { Some(*bytes) } else { None };
    world.reports().into_iter().filter_map(held).collect()
}

#[test]
fn what_is_not_read_is_reported_in_steps_and_so_is_that_it_was_read() {
    let mut world = World::new();
    let id = world.call(ECHO, b"");
    world.turn();
    let stream = world.incoming()[0];
    for _ in 0..16 {
        world.remote.write(id, &[7; 15_000], &mut world.rx).unwrap();
        world.turn();
    }
    let reports = held(&world);
    let step = u64::from(LinkConfig::default().memory_step);
    assert!(reports.len() >= 2 && reports.is_sorted(), "{reports:?}");
    assert!(reports.iter().all(|bytes| bytes % step == 0), "{reports:?}");
    let last = *reports.last().unwrap();
    assert!((3 * step..=2 * 240_000).contains(&last), "{reports:?}");
    while world.link.read(stream, &mut world.tx).is_ok() {}
    world.turn();
    assert_eq!(held(&world).last(), Some(&0));
}

#[test]
fn a_connection_that_is_closed_for_its_memory_keeps_nothing() {
    let mut world = World::new();
    let id = world.call(ECHO, b"");
    world.turn();
    let stream = world.incoming()[0];
    for _ in 0..16 {
        world.remote.write(id, &[7; 15_000], &mut world.rx).unwrap();
        world.turn();
    }
    let limit = tidewire_connmgr::limits::Limit::MemoryPerPeer;
    let limit = tidewire_connmgr::limits::LimitExceeded { limit, cap: 1, used: 2 };
    world.order(Order::Close { reason: tidewire_connmgr::CloseReason::Limit(limit) });
    assert!(world.link.memory_used() < 16 * 1024, "{}", world.link.memory_used());
    world.turn();
    let reset = |event: &&StreamEvent| matches!(event, StreamEvent::Reset { stream: it, by: muxer::By::Us, .. } if *it == stream);
    assert_eq!(world.streams().into_iter().filter(reset).count(), 1);
    assert!(world.link.read(stream, &mut world.tx).is_err());
    assert!(!world.link.has_streams());
    let ended = world.reports().into_iter().find_map(|report| match report {
        Report::Ended { why, .. } => Some(why.to_string()),
        _ => None,
    });
    assert!(ended.is_some_and(|why| why.contains("limits.memory_per_peer")));
}

#[test]
fn the_link_s_word_on_the_multiplexer_goes_before_its_own() {
    let yamux = |link: LinkConfig, change: fn(&mut muxer::yamux::Config)| {
        let mut config = Config::default();
        change(&mut config.muxer.yamux);
        let shared = LinkShared::new(&keypair(1), &Seed::new([12; 32]), config, link).unwrap();
        shared.upgrader().config().muxer.yamux.clone()
    };
    let ours = yamux(LinkConfig::default(), |_| {});
    assert_eq!((ours.keep_alive, ours.pong_timeout), (None, Duration::MAX));
    assert_eq!(ours.max_stream_window, 4 * 1024 * 1024);
    let small = yamux(LinkConfig::default(), |yamux| yamux.max_stream_window = 300_000);
    assert_eq!(small.max_stream_window, 300_000);
    let both = yamux(LinkConfig { muxer_keep_alive: true, ..LinkConfig::default() }, |_| {});
    assert_eq!(both.keep_alive, Some(Duration::from_secs(30)));
}
