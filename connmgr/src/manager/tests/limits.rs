//! Hard caps, as the manager keeps them.

use super::*;
use crate::limits::Limit;
use crate::{MemoryScope, RefuseReason, StreamRefusal};

fn refused(actions: &[Action]) -> Option<Limit> {
    actions.iter().find_map(|action| match action {
        Action::Refuse { reason: RefuseReason::Limit(exceeded), .. }
        | Action::RefuseStream { reason: StreamRefusal::Limit(exceeded), .. } => Some(exceeded.limit),
        _ => None,
    })
}

#[test]
fn incoming_connections_are_capped_while_they_are_pending() {
    let mut config = quiet();
    config.limits.pending_inbound = 2;
    let mut world = World::new(config);
    for n in 1..=3 {
        let remote = address(n);
        let actions = world.tell(Input::Incoming { connection: ConnectionId(n.into()), remote: &remote });
        assert_eq!(refused(&actions), (n == 3).then_some(Limit::Pending(Direction::Inbound)));
    }
    world.closed(1);
    let remote = address(3);
    let connection = ConnectionId(3);
    assert_eq!(world.tell(Input::Incoming { connection, remote: &remote }), [Action::Accept { connection }]);
}

#[test]
fn one_address_holds_few_connections_and_a_relay_s_address_doesn_t_count_for_its_circuits() {
    let mut config = quiet();
    config.limits.per_ip4 = 2;
    config.duplicates.per_peer = u32::MAX;
    let mut world = World::new(config);
    let one = address(1);
    for n in 1..=3 {
        let actions = world.open_as(n, u32::try_from(n).unwrap(), Direction::Inbound, Role::Responder, &one);
        assert_eq!(refused(&actions).is_some(), n == 3);
    }
    let circuit = one.with_peer_id(peer(9)).unwrap().with(tidewire_core::Component::P2pCircuit).unwrap();
    for n in 10..20 {
        let actions = world.open_as(n, u32::try_from(n).unwrap(), Direction::Inbound, Role::Responder, &circuit);
        assert_eq!(refused(&actions), None);
    }
}

#[test]
fn streams_are_capped_per_connection_and_a_refused_one_is_forgotten() {
    let mut config = quiet();
    config.limits.streams_per_connection = 2;
    let mut world = World::new(config);
    world.open(1, 1, Direction::Inbound);
    for stream in 1..=3 {
        let actions = world.stream(1, stream);
        let limit = Limit::StreamsPerConnection(Direction::Outbound);
        assert_eq!(refused(&actions), (stream == 3).then_some(limit));
    }
    let (connection, stream) = (ConnectionId(1), StreamId(3));
    assert_eq!(world.misuse(Input::StreamClosed { connection, stream }), Misuse::UnknownStream(connection, stream));
    world.tell(Input::StreamClosed { connection, stream: StreamId(1) });
    assert_eq!(refused(&world.stream(1, 3)), None);
}

#[test]
fn a_protocol_that_turns_out_to_have_too_many_streams_costs_the_stream() {
    let mut config = quiet();
    config.limits.streams_per_protocol_peer = 1;
    let mut world = World::new(config);
    world.open(1, 1, Direction::Inbound);
    let (connection, direction) = (ConnectionId(1), Direction::Inbound);
    for stream in [StreamId(1), StreamId(2)] {
        world.tell(Input::StreamOpened { connection, stream, direction, protocol: None });
    }
    let named = |stream| Input::StreamProtocol { connection, stream, protocol: "/app" };
    assert_eq!(world.tell(named(StreamId(1))), []);
    let actions = world.tell(named(StreamId(2)));
    assert_eq!(refused(&actions), Some(Limit::StreamsPerProtocolPeer(direction)));
    let gone = Event::StreamClosed { connection, stream: StreamId(2), peer: peer(1) };
    assert_eq!(events(&actions), [gone]);
    assert_eq!(world.manager.connection(connection).unwrap().inbound_streams, 1);
}

#[test]
fn memory_is_reserved_in_each_scope_at_once_and_released_with_the_connection() {
    let mut config = quiet();
    config.limits.memory = 1000;
    config.limits.memory_per_peer = 600;
    config.limits.memory_per_connection = 400;
    let mut world = World::new(config);
    world.open(1, 1, Direction::Inbound);
    let connection = MemoryScope::Connection(ConnectionId(1));
    assert_eq!(world.manager.reserve(connection, 400), Ok(Ok(())));
    assert_eq!(world.manager.reserve(connection, 1).unwrap().unwrap_err().limit, Limit::MemoryPerConnection);
    assert_eq!(
        world.manager.reserve(MemoryScope::Peer(peer(1)), 201).unwrap().unwrap_err().limit,
        Limit::MemoryPerPeer
    );
    assert_eq!(world.manager.reserve(MemoryScope::Peer(peer(1)), 200), Ok(Ok(())));
    assert_eq!(world.manager.reserve(MemoryScope::System, 401).unwrap().unwrap_err().limit, Limit::Memory);
    assert_eq!(world.manager.counts().limits.memory, 600);
    world.closed(1);
    assert_eq!(world.manager.counts().limits.memory, 200);
    assert_eq!(world.manager.release(MemoryScope::Peer(peer(1)), 500), Ok(200));
    assert_eq!(world.manager.counts().limits.memory, 0);
    assert_eq!(world.manager.counts().known_peers, 0);
    assert_eq!(world.manager.reserve(connection, 1), Err(Misuse::UnknownConnection(ConnectionId(1))));
}

/// rust-libp2p#4249, litep2p PR 286: counters that leaked.
#[test]
fn after_dials_that_fail_in_every_way_nothing_is_counted_any_more() {
    let mut world = World::new(quiet());
    let before = world.manager.counts();
    for (n, end) in (1..).zip(["failed", "wrong peer", "cancelled", "timeout", "limit", "denied"]) {
        let (request, target) = (crate::RequestId(u64::from(n)), peer(n));
        let addresses = [address(n)];
        let options = crate::dial::DialOptions::default();
        let actions = world.tell(Input::Dial { request, peer: target, addresses: &addresses, options });
        let dial = actions
            .iter()
            .find_map(|action| match action {
                Action::Dial { dial, .. } => Some(*dial),
                _ => None,
            })
            .unwrap();
        assert_eq!(world.manager.counts().limits.pending_outbound, 1, "{end}");
        match end {
            "failed" => {
                let fault = crate::dial::DialFault::Transport("refused".into());
                world.tell(Input::DialFailed { dial, fault });
            }
            "wrong peer" => {
                world.tell(Input::DialProgress { dial });
                let (connection, origin) = (ConnectionId(1), Origin::Dial(dial));
                let actions = world.tell(Input::Established {
                    connection,
                    peer: peer(99),
                    origin,
                    role: Role::Initiator,
                    limited: false,
                });
                assert!(
                    actions
                        .contains(&Action::Refuse { connection, reason: RefuseReason::WrongPeer { expected: target } })
                );
            }
            "cancelled" => {
                assert_eq!(world.tell(Input::Cancel { request }), [Action::Abort { dial }]);
            }
            "denied" => {
                world.tell(Input::Deny { rule: crate::dial::GateRule::Peer(target), why: "spam" });
                world.tell(Input::Allow { rule: crate::dial::GateRule::Peer(target) });
            }
            _ => {
                world.wait(Duration::from_secs(61));
            }
        }
        assert_eq!(world.manager.counts(), before, "{end}");
    }
}
