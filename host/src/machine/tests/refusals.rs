//! What is refused is told, however much of it there is.

use super::*;
use tidewire_connmgr::StreamRefusal;

/// One stream a peer.
fn tight() -> World {
    World::with(|config| config.manager.limits.streams_per_peer = 1)
}

fn refused(actions: &[Action]) -> Vec<(u64, PeerId, Protocol, u64)> {
    let told = |action: &Action| match action {
        Action::Event(Event::StreamsRefused { connection, peer, protocol, reason, count }) => {
            assert!(matches!(reason, StreamRefusal::Limit(_)), "{reason}");
            Some((connection.0, *peer, protocol.clone(), *count))
        }
        _ => None,
    };
    actions.iter().filter_map(told).collect()
}

fn turned_away(actions: &[Action]) -> Vec<(u64, Option<PeerId>, RefuseReason, u64)> {
    let told = |action: &Action| match action {
        Action::Event(Event::ConnectionsRefused { connection, remote, peer, reason, count }) => {
            assert_eq!(remote.transport(), address(1).transport());
            Some((connection.0, *peer, reason.clone(), *count))
        }
        _ => None,
    };
    actions.iter().filter_map(told).collect()
}

#[test]
fn a_refused_stream_is_told_at_once_with_its_peer_its_protocol_and_the_reason() {
    let mut world = tight();
    world.connected(1, 1);
    assert_eq!(refused(&world.report(1, stream(1, Direction::Inbound, None))), []);
    assert_eq!(refused(&world.report(1, stream(2, Direction::Inbound, None))), [(1, peer(1), ECHO, 1)]);
}

#[test]
fn those_that_follow_are_counted_and_told_together() {
    let mut world = tight();
    world.connected(1, 1);
    world.connected(2, 2);
    for n in 0..1_000 {
        let told = refused(&world.report(1, stream(n, Direction::Inbound, None)));
        assert_eq!(told.len(), usize::from(n == 1), "stream {n}");
    }
    // Another peer has its own count.
    world.report(2, stream(1, Direction::Inbound, None));
    assert_eq!(refused(&world.report(2, stream(2, Direction::Inbound, None))), [(2, peer(2), ECHO, 1)]);
    assert_eq!(refused(&world.pass(Duration::from_secs(1))), [(1, peer(1), ECHO, 998)]);
    // Still one a second, as long as it goes on; then nothing is kept.
    assert_eq!(refused(&world.report(1, stream(5_000, Direction::Inbound, None))), []);
    assert_eq!(refused(&world.pass(Duration::from_secs(1))), [(1, peer(1), ECHO, 1)]);
    assert_eq!(refused(&world.pass(Duration::from_secs(60))), []);
    assert_eq!(refused(&world.report(1, stream(5_001, Direction::Inbound, None))), [(1, peer(1), ECHO, 1)]);
}

#[test]
fn what_was_counted_is_told_before_the_connection_is_gone() {
    let mut world = tight();
    world.connected(1, 1);
    for n in 0..10 {
        world.report(1, stream(n, Direction::Inbound, None));
    }
    let actions = world.report(1, gone());
    assert_eq!(refused(&actions), [(1, peer(1), ECHO, 8)]);
    let last = actions.last();
    assert!(matches!(last, Some(Action::Event(Event::Manager(connmgr::Event::Disconnected { .. })))), "{last:?}");
    assert_eq!(refused(&world.pass(Duration::from_secs(5))), []);
}

#[test]
fn our_own_wish_that_is_refused_is_answered_and_not_told_twice() {
    let mut world = tight();
    world.connected(1, 1);
    world.open(1, 1, OpenOptions::default());
    world.open(2, 1, OpenOptions::default());
    world.report(1, stream(1, Direction::Outbound, Some(1)));
    let actions = world.report(1, stream(3, Direction::Outbound, Some(2)));
    assert!(actions.iter().any(|it| matches!(it, Action::Event(Event::OpenFailed { open: OpenId(2), .. }))));
    assert_eq!(refused(&actions), []);
}

#[test]
fn a_refused_connection_is_told_and_a_flood_of_them_once_in_a_while() {
    let mut world = World::with(|config| config.manager.limits.pending_inbound = 1);
    assert_eq!(turned_away(&world.incoming(1, 1)), []);
    let told = turned_away(&world.incoming(2, 2));
    assert!(matches!(told[..], [(2, None, RefuseReason::Limit(_), 1)]), "{told:?}");
    for n in 3..103 {
        assert_eq!(turned_away(&world.incoming(n, 2)), []);
    }
    let told = turned_away(&world.pass(Duration::from_secs(1)));
    assert!(matches!(told[..], [(102, None, RefuseReason::Limit(_), 100)]), "{told:?}");
    // After the handshake, who it was is told too.
    world.pass(Duration::from_secs(5));
    let told = turned_away(&world.report(1, established(0, Role::Responder)));
    assert_eq!(told, [(1, Some(peer(0)), RefuseReason::Ourselves, 1)]);
}

#[test]
fn a_dial_that_is_refused_is_told_as_a_dial_that_failed() {
    let mut world = World::new();
    let dial = world.dial(1, 1);
    world.dialed(dial, 1, 1);
    let actions = world.report(1, established(2, Role::Initiator));
    assert!(actions.iter().any(|it| matches!(it, Action::Refuse { reason: RefuseReason::WrongPeer { .. }, .. })));
    assert_eq!(turned_away(&actions), []);
}

#[test]
fn what_was_agreed_on_is_told_and_how_long_that_took() {
    let mut world = World::new();
    world.incoming(1, 1);
    world.pass(Duration::from_millis(30));
    let actions = world.report(1, established(1, Role::Responder));
    let opened = |it: &Action| matches!(it, Action::Event(Event::Manager(connmgr::Event::ConnectionOpened { .. })));
    let at = actions.iter().position(opened).unwrap();
    let upgraded = Event::Upgraded {
        connection: c(1),
        peer: peer(1),
        role: Role::Responder,
        security: "/noise".into(),
        muxer: MuxerKind::Yamux,
        took: Duration::from_millis(30),
    };
    assert_eq!(actions[at + 1], Action::Event(upgraded));
    let view = world.host.connections().next().unwrap();
    assert_eq!((view.security, view.muxer), (Some("/noise"), Some(MuxerKind::Yamux)));
    assert_eq!((view.direction, view.peer), (Direction::Inbound, Some(peer(1))));
}

/// Refusals of what was asked of us as a relay: on which connection, and how many.
fn refused_by_the_relay(actions: &[Action]) -> Vec<(u64, u64)> {
    use tidewire_relay::{client, server};
    let told = |action: &Action| match action {
        Action::Event(Event::Relay(server::Event::Refused { connection, count, .. })) => Some((connection.0, *count)),
        Action::Event(Event::RelayClient(client::Event::CircuitRefused { connection, count, .. })) => {
            Some((connection.0, *count))
        }
        _ => None,
    };
    actions.iter().filter_map(told).collect()
}

/// Floods with requests that are refused, from two peers, and says what was told.
fn flooded(mut world: World, request: impl Fn() -> tidewire_relay::exchange::Request) {
    let ask = |world: &mut World, connection, n| {
        let request = Box::new(request());
        world.report(connection, Report::Asked { stream: StreamId(n), request })
    };
    world.connected(1, 1);
    world.connected(2, 2);
    for n in 0..1_000 {
        let actions = ask(&mut world, 1, 2 * n);
        let answered = |it: &&Action| matches!(it, Action::Order { order: Order::Reply { .. }, .. });
        assert_eq!(actions.iter().filter(answered).count(), 1, "each is answered");
        assert_eq!(refused_by_the_relay(&actions).len(), usize::from(n == 0), "request {n}");
    }
    assert_eq!(refused_by_the_relay(&ask(&mut world, 2, 0)), [(2, 1)], "another connection has its own count");
    assert_eq!(refused_by_the_relay(&world.pass(Duration::from_secs(1))), [(1, 999)]);
    ask(&mut world, 1, 5_000);
    assert_eq!(refused_by_the_relay(&world.report(1, gone())), [(1, 1)], "before it is gone");
    assert_eq!(refused_by_the_relay(&world.pass(Duration::from_secs(60))), []);
}

#[test]
fn a_flood_of_requests_to_the_relay_is_no_flood_of_events() {
    let mut server = tidewire_relay::server::ServerConfig::default();
    server.offer = tidewire_relay::server::Offer::Always;
    let world = World::with(|config| config.relay.server = Some(server));
    flooded(world, || tidewire_relay::exchange::Request::Connect { destination: peer(9) });
}

#[test]
fn a_flood_of_circuits_that_we_do_not_want_is_no_flood_of_events() {
    let limit = tidewire_relay::Limit::UNLIMITED;
    flooded(World::new(), || tidewire_relay::exchange::Request::Stop { source: peer(9), limit });
}
