//! Duplicates, pings, idleness and what is remembered, as the manager carries them out.

use super::*;

fn pings(actions: &[Action]) -> Vec<u64> {
    let ping = |action: &Action| match action {
        Action::Ping { connection, .. } => Some(connection.0),
        _ => None,
    };
    actions.iter().filter_map(ping).collect()
}

/// Answers each ping after 10 ms, for a while.
fn answer_pings(world: &mut World, mut actions: Vec<Action>, time: Duration) -> Vec<Action> {
    let end = world.now + time;
    let mut all = Vec::new();
    loop {
        let asked = pings(&actions);
        all.append(&mut actions);
        if asked.is_empty() && world.now >= end {
            return all;
        }
        actions = world.wait(Duration::from_millis(10));
        for connection in asked {
            let rtt = Duration::from_millis(10);
            actions.extend(world.tell(Input::Pong { connection: ConnectionId(connection), rtt }));
        }
    }
}

/// Rule A: the connection whose security initiator has the smaller id stays. Ours is the smaller one here.
#[test]
fn of_a_simultaneous_dial_the_one_that_both_sides_prefer_stays() {
    for ours_first in [true, false] {
        let mut world = World::new(quiet());
        let (first, second) = if ours_first {
            (Direction::Outbound, Direction::Inbound)
        } else {
            (Direction::Inbound, Direction::Outbound)
        };
        world.open(1, 1, first);
        let actions = world.open(2, 1, second);
        let actions = answer_pings(&mut world, actions, Duration::from_secs(200));
        let (kept, gone) = if ours_first { (1, 2) } else { (2, 1) };
        assert!(actions.contains(&Action::Drain { connection: ConnectionId(gone), onto: ConnectionId(kept) }));
        assert_eq!(closes(&actions), [(gone, CloseReason::Superseded { kept: ConnectionId(kept) })]);
        assert_eq!(world.manager.best_connection(&peer(1), true), Some(ConnectionId(kept)));
    }
}

#[test]
fn a_direct_connection_supersedes_a_relayed_one_once_it_has_answered() {
    let mut world = World::new(quiet());
    let circuit = address(7).with_peer_id(peer(7)).unwrap().with(tidewire_core::Component::P2pCircuit).unwrap();
    world.open_as(1, 1, Direction::Outbound, Role::Initiator, &circuit);
    world.stream(1, 1);
    let actions = world.open(2, 1, Direction::Inbound);
    assert_eq!(world.manager.best_connection(&peer(1), true), Some(ConnectionId(2)));
    let actions = answer_pings(&mut world, actions, Duration::from_secs(60));
    assert_eq!(closes(&actions), [(1, CloseReason::Superseded { kept: ConnectionId(2) })]);
}

#[test]
fn nothing_is_closed_while_the_better_one_doesn_t_answer() {
    let mut world = World::new(quiet());
    world.open(1, 1, Direction::Outbound);
    let actions = world.open(2, 1, Direction::Inbound);
    assert_eq!(closes(&actions), []);
    let asked = pings(&actions);
    let all = world.wait(Duration::from_secs(30));
    assert!(!asked.is_empty());
    assert_eq!(closes(&all), []);
}

#[test]
fn a_peer_that_doesn_t_answer_a_ping_is_closed_with_how_long_we_waited() {
    let mut config = quiet();
    config.keep_alive.ping_interval = Some(Duration::from_secs(30));
    let mut world = World::new(config);
    world.open(1, 1, Direction::Inbound);
    let actions = world.wait(Duration::from_secs(30));
    assert_eq!(pings(&actions), [1]);
    world.tell(Input::Pong { connection: ConnectionId(1), rtt: Duration::from_millis(20) });
    assert_eq!(world.manager.peer(&peer(1)).unwrap().rtt, Some(Duration::from_millis(20)));
    let actions = world.wait(Duration::from_secs(36));
    // The time for an answer follows the round trip, down to its least.
    assert_eq!(closes(&actions), [(1, CloseReason::Unresponsive { waited: Duration::from_secs(5) })]);
}

#[test]
fn who_doesn_t_speak_ping_counts_as_alive() {
    let mut config = quiet();
    config.keep_alive.ping_interval = Some(Duration::from_secs(30));
    let mut world = World::new(config);
    world.open(1, 1, Direction::Inbound);
    world.wait(Duration::from_secs(30));
    world.tell(Input::PingUnsupported { connection: ConnectionId(1) });
    assert_eq!(closes(&world.wait(Duration::from_secs(600))), []);
}

#[test]
fn a_connection_that_carries_nothing_is_closed_when_that_is_wished() {
    let mut config = quiet();
    config.keep_alive.idle = Some(Duration::from_secs(60));
    let mut world = World::new(config);
    world.open(1, 1, Direction::Inbound);
    world.open(2, 2, Direction::Inbound);
    world.stream(2, 1);
    world.wait(Duration::from_secs(40));
    world.tell(Input::Used { connection: ConnectionId(1) });
    assert_eq!(closes(&world.wait(Duration::from_secs(59))), []);
    let idle = Duration::from_secs(60);
    assert_eq!(closes(&world.wait(Duration::from_secs(2))), [(1, CloseReason::Idle { idle })]);
}

#[test]
fn a_kept_peer_is_never_closed_for_being_idle() {
    let mut config = quiet();
    config.keep_alive.idle = Some(Duration::from_secs(60));
    let mut world = World::new(config);
    world.open(1, 1, Direction::Inbound);
    world.tell(Input::KeepAlive { peer: peer(1), on: true });
    assert_eq!(closes(&world.wait(Duration::from_secs(600))), []);
    world.tell(Input::KeepAlive { peer: peer(1), on: false });
    assert_eq!(closes(&world.wait(Duration::from_secs(61))).len(), 1);
}

#[test]
fn what_a_peer_said_about_itself_is_remembered_and_capped() {
    let mut config = quiet();
    config.metadata.max_protocols = 3;
    let mut world = World::new(config);
    world.open(1, 1, Direction::Inbound);
    let names: Vec<_> = (0..100).map(|n| format!("/app/{n}")).collect();
    let protocols: Vec<&str> = names.iter().map(|name| &name[..]).collect();
    world.tell(Input::Identified { peer: peer(1), protocols: &protocols, agent: Some("go-ipfs/0.4") });
    let view = world.manager.peer(&peer(1)).unwrap();
    let metadata = view.metadata.unwrap();
    assert_eq!((metadata.protocols().len(), metadata.agent()), (3, Some("go-ipfs/0.4")));
}

#[test]
fn an_empty_list_of_addresses_is_no_matter() {
    let mut world = World::new(quiet());
    let source = crate::metadata::Source::Hearsay;
    world.tell(Input::Addresses { peer: peer(1), addresses: &[], source, ttl: Duration::from_secs(1) });
    assert_eq!(world.manager.counts().known_peers, 0);
}
