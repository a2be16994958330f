//! The order in which an application hears of connections and streams.

use super::*;
use core::time::Duration;
use smol_str::SmolStr;

/// The names of what came, in order.
fn names(actions: &[Action]) -> Vec<&'static str> {
    let name = |event: &Event| match event {
        Event::Connected { .. } => "connected",
        Event::ConnectionOpened { .. } => "opened",
        Event::StreamOpened { .. } => "stream",
        Event::StreamClosed { .. } => "stream closed",
        Event::ConnectionClosed { .. } => "closed",
        Event::Disconnected { .. } => "disconnected",
        _ => "another",
    };
    events(actions).iter().map(name).collect()
}

#[test]
fn connected_comes_before_the_first_stream_and_disconnected_after_the_last() {
    let mut world = World::new(quiet());
    let mut all = world.open(1, 1, Direction::Inbound);
    all.extend(world.stream(1, 1));
    all.extend(world.stream(1, 2));
    all.extend(world.closed(1));
    assert_eq!(
        names(&all),
        ["connected", "opened", "stream", "stream", "stream closed", "stream closed", "closed", "disconnected"]
    );
}

#[test]
fn a_second_connection_is_no_second_connected() {
    let mut config = quiet();
    config.duplicates.per_peer = 2;
    let mut world = World::new(config);
    let mut all = world.open(1, 1, Direction::Inbound);
    all.extend(world.open(2, 1, Direction::Outbound));
    all.extend(world.closed(1));
    all.extend(world.closed(2));
    all.extend(world.open(1, 1, Direction::Inbound));
    assert_eq!(
        names(&all),
        ["connected", "opened", "opened", "closed", "closed", "disconnected", "connected", "opened"]
    );
}

#[test]
fn a_connection_that_ends_by_itself_says_who_ended_it_why_and_how_long_it_lived() {
    let mut world = World::new(quiet());
    world.open(1, 1, Direction::Inbound);
    world.wait(Duration::from_secs(7));
    let (connection, lived) = (ConnectionId(1), Duration::from_secs(7));
    let actions = world.tell(Input::Closed { connection, by: By::Network, why: "reset by peer" });
    let reason = CloseReason::Reported { why: SmolStr::new("reset by peer") };
    let closed = Event::ConnectionClosed { connection, peer: peer(1), by: By::Network, reason, lived };
    assert_eq!(events(&actions), [closed, Event::Disconnected { peer: peer(1) }]);
}

#[test]
fn a_close_that_we_asked_for_keeps_our_reason() {
    let mut world = World::new(quiet());
    world.open(1, 1, Direction::Inbound);
    let asked = world.tell(Input::Close { connection: ConnectionId(1), why: "done with it" });
    let why = SmolStr::new("done with it");
    assert_eq!(closes(&asked), [(1, CloseReason::Asked { why: why.clone() })]);
    // Asking again asks for nothing.
    assert_eq!(world.tell(Input::Close { connection: ConnectionId(1), why: "again" }), []);
    let events = events(&world.closed(1));
    assert!(
        matches!(&events[0], Event::ConnectionClosed { by: By::Local, reason: CloseReason::Asked { why: said }, .. } if *said == why)
    );
}

#[test]
fn an_incoming_connection_is_accepted_then_in_the_book_or_gone_without_a_word() {
    let mut world = World::new(quiet());
    let (connection, remote) = (ConnectionId(1), address(1));
    assert_eq!(world.tell(Input::Incoming { connection, remote: &remote }), [Action::Accept { connection }]);
    assert_eq!(world.tell(Input::Closed { connection, by: By::Remote, why: "noise: no" }), []);
    assert_eq!(world.manager.counts().limits, World::new(quiet()).manager.counts().limits);

    world.tell(Input::Incoming { connection, remote: &remote });
    let origin = Origin::Incoming;
    let opened =
        world.tell(Input::Established { connection, peer: peer(1), origin, role: Role::Responder, limited: false });
    assert_eq!(names(&opened), ["connected", "opened"]);
    let view = world.manager.connection(connection).unwrap();
    assert_eq!((view.peer, view.direction, view.remote), (Some(peer(1)), Direction::Inbound, &remote));
}

#[test]
fn streams_on_a_closing_connection_are_refused_and_those_that_are_there_end_with_it() {
    let mut world = World::new(quiet());
    world.open(1, 1, Direction::Inbound);
    world.stream(1, 1);
    world.tell(Input::Close { connection: ConnectionId(1), why: "" });
    let refused = world.stream(1, 2);
    let (connection, stream, reason) = (ConnectionId(1), StreamId(2), crate::StreamRefusal::Closing);
    assert_eq!(refused, [Action::RefuseStream { connection, stream, reason }]);
    assert_eq!(names(&world.closed(1)), ["stream closed", "closed", "disconnected"]);
}

#[test]
fn everything_about_a_peer_is_forgotten_when_nothing_is_left_to_know() {
    let mut world = World::new(quiet());
    for round in 0..3 {
        world.open(1, 1, Direction::Inbound);
        world.stream(1, 1);
        world.closed(1);
        assert_eq!(world.manager.counts().known_peers, 0, "round {round}");
        assert!(world.manager.peer(&peer(1)).is_none());
    }
}

#[test]
fn the_best_connection_is_unlimited_then_direct_then_the_one_with_more_streams() {
    let mut config = quiet();
    config.duplicates.per_peer = u32::MAX;
    let mut world = World::new(config);
    let circuit = address(7).with_peer_id(peer(7)).unwrap().with(tidewire_core::Component::P2pCircuit).unwrap();
    world.open_as(1, 1, Direction::Inbound, Role::Responder, &circuit);
    assert_eq!(world.manager.best_connection(&peer(1), true), Some(ConnectionId(1)));
    assert_eq!(world.manager.best_connection(&peer(1), false), None);
    world.open(2, 1, Direction::Inbound);
    assert_eq!(world.manager.best_connection(&peer(1), true), Some(ConnectionId(2)));
    world.open(3, 1, Direction::Inbound);
    world.stream(2, 1);
    assert_eq!(world.manager.best_connection(&peer(1), true), Some(ConnectionId(2)));
    world.tell(Input::Close { connection: ConnectionId(2), why: "" });
    assert_eq!(world.manager.best_connection(&peer(1), true), Some(ConnectionId(3)));
}

#[test]
fn shutdown_closes_everything_and_lets_nothing_in() {
    let mut world = World::new(quiet());
    world.open(1, 1, Direction::Inbound);
    world.tell(Input::Incoming { connection: ConnectionId(2), remote: &address(2) });
    let actions = world.tell(Input::Shutdown);
    assert_eq!(closes(&actions), [(1, CloseReason::Shutdown)]);
    let reason = crate::RefuseReason::Shutdown;
    assert!(actions.contains(&Action::Refuse { connection: ConnectionId(2), reason: reason.clone() }));
    let connection = ConnectionId(3);
    assert_eq!(
        world.tell(Input::Incoming { connection, remote: &address(3) }),
        [Action::Refuse { connection, reason: reason.clone() }]
    );
    assert_eq!(world.open(3, 3, Direction::Outbound), [Action::Refuse { connection, reason }]);
}
