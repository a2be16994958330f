//! Pings: how far away the others are, and whether they are there at all.

use crate::town::{assert_empty, assert_lifecycle, closed, millis, of, only, pair, peer, rtt, secs, tell};
use std::time::Duration;
use tidewire_connmgr::{By, CloseReason};
use tidewire_core::Time;
use tidewire_sim::{HostId, Link, World, check};

/// Time from an answer to the next ping, and for the answer to that: the defaults of `KeepAliveConfig`, where pings answer
/// within seconds. Before the first answer, 60 s are allowed instead of 5.
const NOTICED: Duration = Duration::from_secs(30 + 5);

#[test]
fn the_round_trip_that_ping_measures_is_that_of_the_link() {
    check(0..3, |world| {
        for latency in [1, 35, 300] {
            let mut world = World::new(world.seed());
            world.default_link(Link::new(millis(latency)));
            let (a, b) = pair(&mut world);
            world.run_for(secs(40))?;
            for (id, n) in [(a, 2), (b, 1)] {
                assert_eq!(rtt(&world, id, only(&world, id, n)), Some(millis(2 * latency)));
            }
        }
        Ok(())
    });
}

#[test]
fn ten_idle_minutes_change_nothing_but_the_pings() {
    check(0..3, |world| {
        world.default_link(Link::new(millis(30)).jitter(millis(30)));
        let (a, b) = pair(world);
        let connection = only(world, a, 2);
        let before = [of(world, a).events.len(), of(world, b).events.len()];
        let packets = world.stats().packets;
        world.run_for(secs(600))?;
        assert_eq!(only(world, a, 2), connection);
        assert_eq!([of(world, a).events.len(), of(world, b).events.len()], before, "nothing to tell");
        let rtt = rtt(world, a, connection).ok_or("no ping was answered")?;
        assert!((millis(60)..=millis(120)).contains(&rtt), "{rtt:?}");
        // Each of both ends pings every 30 s: about 20 times, each over a stream of its own, some ten packets.
        let sent = world.stats().packets - packets;
        assert!((2 * 19 * 4..2 * 21 * 16).contains(&sent), "{sent} packets in ten minutes");
        for id in [a, b] {
            let limits = of(world, id).solo.host().manager().counts().limits;
            assert_eq!((limits.streams_inbound, limits.streams_outbound), (0, 0), "no ping left a stream");
        }
        Ok(())
    });
}

/// Runs until `id` has noticed that the other is gone, and says how long that took.
fn noticed(world: &mut World, id: HostId) -> Result<Duration, Box<dyn std::error::Error>> {
    let from = world.now();
    let noticed = world.run_while(secs(3600), |world| !closed(world, id).is_empty())?;
    assert!(noticed, "{id} noticed nothing in an hour");
    Ok(world.now().since(from))
}

fn unresponsive(world: &World, id: HostId) {
    let closed = closed(world, id);
    let [(_, _, By::Local, CloseReason::Unresponsive { waited })] = closed.as_slice() else { panic!("{closed:?}") };
    assert_eq!(*waited, secs(5));
}

#[test]
fn a_half_open_connection_is_noticed_within_the_documented_time_with_the_reason() {
    check(0..5, |world| {
        let (a, b) = pair(world);
        let settle = world.rng().up_to(secs(60)) + secs(40);
        world.run_for(settle)?;
        world.cut(a, b, Time::NEVER);
        let took = noticed(world, a)?;
        assert!(took <= NOTICED, "{took:?}");
        unresponsive(world, a);
        noticed(world, b)?;
        unresponsive(world, b);
        world.run_for(secs(30))?;
        for id in [a, b] {
            assert_empty(world, id);
            assert_lifecycle(world, id);
            assert_eq!(world.open_files(id), 1, "the listener");
        }
        Ok(())
    });
}

#[test]
fn one_direction_that_is_dead_is_noticed_at_both_ends() {
    check(0..3, |world| {
        let (a, b) = pair(world);
        world.run_for(secs(40))?;
        world.cut_one_way(a, b, Time::NEVER);
        assert!(noticed(world, a)? <= NOTICED);
        noticed(world, b)?;
        Ok(())
    });
}

#[test]
fn before_the_first_answer_it_is_noticed_too() {
    check(0..3, |world| {
        let (a, b) = pair(world);
        world.cut(a, b, Time::NEVER);
        // 30 s to the first ping, 60 s for its answer.
        let took = noticed(world, a)?;
        assert!(took <= secs(30 + 60), "{took:?}");
        let closed = closed(world, a);
        let [(_, _, By::Local, CloseReason::Unresponsive { waited })] = closed.as_slice() else { panic!("{closed:?}") };
        assert_eq!(*waited, secs(60));
        Ok(())
    });
}

#[test]
fn a_peer_without_power_is_noticed_within_the_documented_time() {
    check(0..3, |world| {
        let (a, b) = pair(world);
        world.run_for(secs(40))?;
        world.power_off(b);
        assert!(noticed(world, a)? <= NOTICED);
        unresponsive(world, a);
        Ok(())
    });
}

#[test]
fn a_peer_that_vanished_is_noticed_at_the_next_ping_by_the_reset() {
    check(0..3, |world| {
        let (a, b) = pair(world);
        world.run_for(secs(40))?;
        world.kill(b);
        assert!(noticed(world, a)? <= secs(30) + millis(20));
        let closed = closed(world, a);
        let (_, _, By::Network, CloseReason::Reported { why }) = &closed[0] else { panic!("{closed:?}") };
        assert_eq!(why, "connection reset by peer");
        Ok(())
    });
}

#[test]
fn a_process_that_ends_is_noticed_at_once() {
    check(0..3, |world| {
        let (a, b) = pair(world);
        world.run_for(secs(40))?;
        world.exit(b);
        assert_eq!(noticed(world, a)?, millis(10));
        let closed = closed(world, a);
        assert!(matches!(closed[0].2, By::Remote), "{closed:?}");
        Ok(())
    });
}

#[test]
fn a_short_cut_is_no_reason_to_close() {
    check(0..5, |world| {
        let (a, b) = pair(world);
        world.run_for(secs(40))?;
        let connection = only(world, a, 2);
        // TCP sends again at most 1.5 times the length of the cut after its beginning.
        let until = world.now() + secs(2);
        world.cut(a, b, until);
        let open = tell(world, a, |node, now| node.call(now, peer(2), b"are you there?"));
        world.run_for(secs(60))?;
        assert_eq!(only(world, a, 2), connection);
        assert_eq!(of(world, a).outcome(open), Some(&crate::solo_node::Outcome::Echoed));
        Ok(())
    });
}
