//! Floods: of streams, of pings, of data that nobody reads.

use super::*;

/// Opens so many streams, and never closes one.
fn greedy(world: &mut World, streams: usize) -> Siege {
    let opened = Rc::new(Cell::new(0));
    let count = opened.clone();
    let stranger = Stranger::new(stranger_key(), victim(), move |now, told, line| {
        let mut tries = if matches!(told, Told::Tick) { 1_000 } else { 0 };
        while tries > 0
            && opened.get() < streams
            && let Some(id) = line.open(now, ECHO)
        {
            let _ = line.connection.write(id, b"x", &mut line.tx);
            opened.set(opened.get() + 1);
            tries -= 1;
        }
    });
    let lasts = millis(streams as u64 / 10);
    let siege = siege(world, lasts, stranger.every(millis(50)));
    assert_eq!(count.get(), streams);
    let manager = of(world, siege.victim).solo.host().manager();
    let held = manager.peer(&stranger_peer()).map_or(0, |peer| peer.streams);
    assert!((200..=256 + 4).contains(&held), "{held}: of one protocol, a peer may have 256");
    let stranger = world.node::<Stranger>(siege.stranger);
    let reset = stranger.count(|event| matches!(event, connection::Event::Reset { .. }));
    assert!(reset >= streams - 256 - 4, "{reset} were refused");
    siege.uses_at_most(world, 2048 * KIB);
    siege
}

#[test]
fn of_three_thousand_streams_as_many_are_let_in_as_may() {
    check(0..1, |world| {
        greedy(world, 3_000);
        Ok(())
    });
}

/// `cargo test --release -p tidewire-host --test conversations of_a_hundred_thousand -- --ignored`
#[test]
#[ignore = "takes long without --release"]
fn of_a_hundred_thousand_streams_as_many_are_let_in_as_may() {
    check(0..3, |world| {
        greedy(world, 100_000);
        Ok(())
    });
}

#[test]
fn who_never_reads_costs_little_and_is_sent_away_as_unresponsive() {
    check(0..1, |world| {
        let mut streams = Vec::new();
        let stranger = Stranger::new(stranger_key(), victim(), move |now, told, line| match told {
            Told::Ready => {
                line.deaf = true;
                // Each asks for more than it will ever take.
                for _ in 0..20 {
                    streams.extend(line.open(now, ECHO));
                    line.open(now, IDENTIFY);
                }
            }
            Told::Tick => {
                for id in &streams {
                    let _ = line.connection.write(*id, &[7; 4096], &mut line.tx);
                }
            }
            Told::Event(_) => {}
        });
        let siege = siege(world, secs(20), stranger.every(millis(100)));
        // What may come on a stream that nobody reads from: its window.
        siege.uses_at_most(world, (20 * 256 + 512) * KIB);
        siege.goes_on(world, secs(75));
        assert!(!siege.is_connected(world));
        let closed = closed(world, siege.victim);
        let [(_, _, By::Local, reason)] = closed.as_slice() else { return Err(format!("{closed:?}").into()) };
        assert!(matches!(reason, CloseReason::Unresponsive { .. }), "{reason}");
        world.run_for(secs(10))?;
        assert_eq!(world.open_files(siege.victim), 2, "the listener, and the innocent");
        let left = of(world, siege.victim).solo.memory_used();
        assert!(left < 256 * KIB, "{left} bytes are left of it");
        Ok(())
    });
}

#[test]
fn pings_without_end_are_answered_two_at_a_time() {
    check(0..1, |world| {
        let mut streams = Vec::new();
        let stranger = Stranger::new(stranger_key(), victim(), move |now, told, line| match told {
            Told::Ready => (0..20).for_each(|_| streams.extend(line.open(now, tidewire_host::ping::PING))),
            Told::Tick => {
                for id in &streams {
                    let _ = line.connection.write(*id, &[7; 32 * 64], &mut line.tx);
                    while let Ok(Some(_)) = line.connection.read(*id, &mut line.tx) {}
                }
            }
            Told::Event(_) => {}
        });
        let siege = siege(world, secs(2), stranger.every(millis(10)));
        let manager = of(world, siege.victim).solo.host().manager();
        let streams = manager.connections_of(&stranger_peer()).map(|view| view.inbound_streams).sum::<u32>();
        assert_eq!(streams, 2);
        siege.uses_at_most(world, 512 * KIB);
        Ok(())
    });
}

/// Sends as much as it may on each of so many streams, and reads nothing: so the echo stops, and nobody reads them.
fn hoarder(streams: usize) -> Stranger {
    let mut ids = Vec::new();
    let stranger = Stranger::new(stranger_key(), victim(), move |now, told, line| match told {
        Told::Ready => {
            ids.extend((0..streams).filter_map(|_| line.open(now, ECHO)));
            assert_eq!(ids.len(), streams);
        }
        Told::Tick => {
            for id in &ids {
                while line.tx.len() < 4 << 20
                    && let Ok(count) = line.connection.write(*id, &[7; 16 * 1024], &mut line.tx)
                    && count > 0
                {}
            }
        }
        Told::Event(_) => {}
    });
    stranger.every(millis(100))
}

#[test]
fn a_hundred_streams_that_nobody_reads_stay_under_the_cap_and_the_reason_is_told() {
    check(0..1, |world| {
        let siege = siege(world, secs(8), hoarder(100));
        let cap = tidewire_connmgr::limits::LimitsConfig::default().memory_per_peer as usize;
        assert_eq!(cap, 16 * 1024 * KIB);
        // The step, and what is in the buffers of the socket and of the link.
        siege.uses_at_most(world, cap + 1024 * KIB);
        let peak = of(world, siege.victim).peak;
        assert!(peak > 4 * 1024 * KIB, "{peak}: it was besieged");
        let closed = closed(world, siege.victim);
        let [(_, who, By::Local, CloseReason::Limit(limit))] = closed.as_slice() else { panic!("{closed:?}") };
        assert_eq!(*who, stranger_peer());
        assert!(limit.to_string().contains("limits.memory_per_"), "{limit}");
        world.run_for(secs(10))?;
        let left = of(world, siege.victim).solo.memory_used();
        assert!(left < 256 * KIB, "{left} bytes are left of it");
        let counts = of(world, siege.victim).solo.host().manager().counts().limits;
        assert!(counts.memory < 256 * KIB as u64, "{}", counts.memory);
        Ok(())
    });
}

#[test]
fn who_holds_less_than_it_may_stays() {
    check(0..1, |world| {
        let siege = siege(world, secs(5), hoarder(20));
        assert!(siege.is_connected(world), "{:?}", closed(world, siege.victim));
        let held = of(world, siege.victim).solo.host().manager().counts().limits.memory;
        assert!((4 << 20..8 << 20).contains(&held), "{held} bytes are known to be held");
        Ok(())
    });
}

#[test]
fn refused_streams_are_told_and_a_flood_of_them_is_no_flood_of_events() {
    check(0..1, |world| {
        let siege = greedy(world, 3_000);
        let mut told = 0;
        let refused: Vec<(Time, u64)> = of(world, siege.victim)
            .told()
            .filter_map(|(at, event)| match event {
                Event::StreamsRefused { peer, protocol, reason, count, .. } => {
                    assert_eq!((*peer, protocol), (stranger_peer(), &ECHO));
                    assert!(reason.to_string().contains("256"), "{reason}");
                    told += count;
                    Some((at, *count))
                }
                _ => None,
            })
            .collect();
        assert!(refused.len() <= 4, "at once, then one a second: {refused:?}");
        assert_eq!(refused[0].1, 1);
        let stranger = world.node::<Stranger>(siege.stranger);
        let reset = stranger.count(|event| matches!(event, connection::Event::Reset { .. })) as u64;
        assert_eq!(told, reset, "each is counted once");
        Ok(())
    });
}
