//! What the caller may do wrong: a typed error, and nothing changed.

use super::*;
use crate::dial::DialMisuse;
use crate::{DialId, RequestId};

#[test]
fn time_that_goes_back_is_told() {
    let mut world = World::new(quiet());
    world.now = Time::from_millis(10);
    world.open(1, 1, Direction::Inbound);
    world.now = Time::from_millis(9);
    let misuse = world.misuse(Input::Used { connection: ConnectionId(1) });
    assert_eq!(misuse, Misuse::TimeWentBack { now: Time::from_millis(9), last: Time::from_millis(10) });
    world.manager.on_timeout(Time::from_millis(1));
    assert_eq!(world.actions(), []);
}

#[test]
fn unknown_ids_are_told() {
    let mut world = World::new(quiet());
    let (connection, stream) = (ConnectionId(5), StreamId(6));
    let unknown = Misuse::UnknownConnection(connection);
    assert_eq!(world.misuse(Input::Closed { connection, by: By::Remote, why: "" }), unknown);
    assert_eq!(world.misuse(Input::Used { connection }), unknown);
    assert_eq!(world.misuse(Input::Close { connection, why: "" }), unknown);
    assert_eq!(world.misuse(Input::Pong { connection, rtt: Duration::ZERO }), unknown);
    assert_eq!(world.misuse(Input::StreamClosed { connection, stream }), unknown);
    let origin = Origin::Incoming;
    let input = Input::Established { connection, peer: peer(1), origin, role: Role::Responder, limited: false };
    assert_eq!(world.misuse(input), unknown);
    let dial = DialId(77);
    assert_eq!(world.misuse(Input::DialProgress { dial }), DialMisuse::UnknownDial(dial).into());
    let origin = Origin::Dial(dial);
    let input = Input::Established { connection, peer: peer(1), origin, role: Role::Initiator, limited: false };
    assert_eq!(world.misuse(input), DialMisuse::UnknownDial(dial).into());
    let request = RequestId(3);
    assert_eq!(world.misuse(Input::Cancel { request }), Misuse::UnknownRequest(request));
}

#[test]
fn events_that_come_twice_are_told() {
    let mut world = World::new(quiet());
    let (connection, stream, remote) = (ConnectionId(1), StreamId(1), address(1));
    world.tell(Input::Incoming { connection, remote: &remote });
    assert_eq!(world.misuse(Input::Incoming { connection, remote: &remote }), Misuse::ConnectionExists(connection));
    let direction = Direction::Inbound;
    let open = Input::StreamOpened { connection, stream, direction, protocol: None };
    assert_eq!(world.misuse(open.clone()), Misuse::NotEstablished(connection));
    let origin = Origin::Incoming;
    let established = Input::Established { connection, peer: peer(1), origin, role: Role::Responder, limited: false };
    world.tell(established.clone());
    assert_eq!(world.misuse(established), Misuse::AlreadyEstablished(connection));
    world.tell(open.clone());
    assert_eq!(world.misuse(open), Misuse::StreamExists(connection, stream));
    world.tell(Input::StreamProtocol { connection, stream, protocol: "/a" });
    let again = Input::StreamProtocol { connection, stream, protocol: "/b" };
    assert_eq!(world.misuse(again), Misuse::ProtocolKnown(connection, stream));
    world.tell(Input::StreamClosed { connection, stream });
    assert_eq!(world.misuse(Input::StreamClosed { connection, stream }), Misuse::UnknownStream(connection, stream));
    assert_eq!(world.misuse(Input::Pong { connection, rtt: Duration::ZERO }), Misuse::NoPing(connection));
    world.closed(1);
    assert_eq!(
        world.misuse(Input::Closed { connection, by: By::Remote, why: "" }),
        Misuse::UnknownConnection(connection)
    );
}

#[test]
fn request_ids_of_the_machine_s_own_are_not_the_caller_s() {
    let mut world = World::new(quiet());
    let request = RequestId(1 << 63);
    let options = crate::dial::DialOptions::default();
    let input = Input::Dial { request, peer: peer(1), addresses: &[], options };
    assert_eq!(world.misuse(input), Misuse::ReservedRequest(request));
    assert_eq!(world.misuse(Input::Cancel { request }), Misuse::ReservedRequest(request));
}

#[test]
fn who_never_polls_is_told_to_and_nothing_is_lost() {
    let mut config = quiet();
    config.max_unpolled = 2;
    let mut world = World::new(config);
    let open = |world: &mut World, n: u64| {
        let (now, origin, remote) = (world.now, Origin::Incoming, address(1));
        world.manager.handle(now, Input::Incoming { connection: ConnectionId(n), remote: &remote })?;
        let established = Input::Established {
            connection: ConnectionId(n),
            peer: peer(1),
            origin,
            role: Role::Responder,
            limited: false,
        };
        world.manager.handle(now, established)
    };
    assert_eq!(open(&mut world, 1), Ok(()));
    // Accept, Connected, ConnectionOpened wait.
    assert_eq!(open(&mut world, 2), Err(Misuse::Unpolled(2)));
    assert_eq!(world.actions().len(), 3);
    assert_eq!(open(&mut world, 2), Ok(()));
    assert_eq!(world.manager.connections().count(), 2);
}

#[test]
fn an_answer_that_crosses_our_own_close_is_no_mistake() {
    let mut config = quiet();
    config.keep_alive.ping_interval = Some(Duration::from_secs(10));
    let mut world = World::new(config);
    let connection = ConnectionId(1);
    world.open(1, 1, Direction::Inbound);
    assert!(world.wait(Duration::from_secs(10)).iter().any(|action| matches!(action, Action::Ping { .. })));
    world.tell(Input::Close { connection, why: "enough" });
    assert_eq!(world.tell(Input::Pong { connection, rtt: Duration::from_millis(1) }), []);
    assert_eq!(world.tell(Input::PingUnsupported { connection }), []);
}
