//! What connections make us keep: counted, and bounded by closing who keeps most.

use super::*;
use crate::limits::Limit;
use crate::manager::MemoryScope;

const KIB: u64 = 1024;

/// Caps of 1 MiB in all, 512 KiB for a peer, 256 KiB for a connection.
fn tight() -> Config {
    let mut config = quiet();
    config.limits.memory = 1024 * KIB;
    config.limits.memory_per_peer = 512 * KIB;
    config.limits.memory_per_connection = 256 * KIB;
    config
}

fn holds(world: &mut World, connection: u64, bytes: u64) -> Vec<(u64, CloseReason)> {
    closes(&world.tell(Input::Holds { connection: ConnectionId(connection), bytes }))
}

fn used(world: &World) -> u64 {
    world.manager.counts().limits.memory
}

#[track_caller]
fn assert_closed(closes: &[(u64, CloseReason)], connection: u64, limit: Limit) {
    let [(who, CloseReason::Limit(exceeded))] = closes else { panic!("{closes:?}") };
    assert_eq!((*who, exceeded.limit), (connection, limit));
}

#[test]
fn what_a_connection_holds_counts_until_it_holds_less_or_is_gone() {
    let mut world = World::new(tight());
    world.open(1, 1, Direction::Inbound);
    assert_eq!(holds(&mut world, 1, 200 * KIB), []);
    assert_eq!(used(&world), 200 * KIB);
    assert_eq!(holds(&mut world, 1, 64 * KIB), []);
    assert_eq!(used(&world), 64 * KIB);
    world.closed(1);
    assert_eq!(used(&world), 0);
}

#[test]
fn a_connection_that_holds_more_than_its_cap_is_closed_with_the_limit() {
    let mut world = World::new(tight());
    world.open(1, 1, Direction::Inbound);
    let closes = holds(&mut world, 1, 257 * KIB);
    assert_closed(&closes, 1, Limit::MemoryPerConnection);
    let why = format!("{}", closes[0].1);
    assert!(why.contains("263168 of 262144") && why.contains("limits.memory_per_connection"), "{why}");
    // It lets go of it, and nobody else pays until it has.
    assert_eq!(used(&world), 0);
    assert_eq!(holds(&mut world, 1, 500 * KIB), []);
    assert_eq!(used(&world), 0);
}

#[test]
fn of_a_peer_that_holds_too_much_the_connection_that_holds_most_is_closed() {
    let mut world = World::new(tight());
    for n in 1..=3 {
        world.open_as(u64::from(n), 1, Direction::Inbound, Role::Initiator, &address(n));
    }
    assert_eq!(holds(&mut world, 1, 250 * KIB), []);
    assert_eq!(holds(&mut world, 2, 200 * KIB), []);
    assert_closed(&holds(&mut world, 3, 64 * KIB), 1, Limit::MemoryPerPeer);
    assert_eq!(used(&world), 264 * KIB);
}

#[test]
fn when_all_peers_together_hold_too_much_who_holds_most_goes_and_not_who_came_last() {
    let mut world = World::new(tight());
    for n in 1..=6_u32 {
        world.open(u64::from(n), n, Direction::Inbound);
    }
    for connection in 1..=4 {
        assert_eq!(holds(&mut world, connection, (240 + connection) * KIB), []);
    }
    assert_closed(&holds(&mut world, 5, 64 * KIB), 4, Limit::Memory);
    assert_eq!(holds(&mut world, 6, 64 * KIB), []);
}

#[test]
fn what_the_application_reserved_is_not_taken_from_it() {
    let mut world = World::new(tight());
    world.open(1, 1, Direction::Inbound);
    let scope = MemoryScope::Connection(ConnectionId(1));
    assert_eq!(world.manager.reserve(scope, 200 * KIB), Ok(Ok(())));
    assert_closed(&holds(&mut world, 1, 100 * KIB), 1, Limit::MemoryPerConnection);
    assert_eq!(used(&world), 200 * KIB);
    world.closed(1);
    assert_eq!(used(&world), 0);
}
