//! What a caller can do wrong, and news that crosses: typed, and nothing changes.

use super::*;
use crate::server::{Acl, AclRule, CircuitEnd, Verdict};

#[test]
fn what_was_never_there_is_misuse() {
    let mut world = World::new(ServerConfig { acl_rules: 1, connections: 3, ..quiet() });
    world.holder(1);
    world.connect(2);
    let (connection, remote, circuit, ask) = (ConnectionId(9), &address(9), CircuitId(9), AskId(9));
    let acl = Acl { rules: [AclRule::default(); 2].to_vec(), otherwise: Verdict::Allow };
    let rows = [
        (Input::Disconnected { connection }, Misuse::UnknownConnection(connection)),
        (Input::Reserve { stream: on(9, 1) }, Misuse::UnknownConnection(connection)),
        (Input::Connect { stream: on(9, 1), destination: peer(1) }, Misuse::UnknownConnection(connection)),
        (Input::Decide { stream: on(9, 1), allow: true }, Misuse::UnknownConnection(connection)),
        (Input::Decide { stream: on(1, 1), allow: true }, Misuse::UnknownStream(on(1, 1))),
        (Input::RequesterGone { stream: on(1, 1) }, Misuse::UnknownStream(on(1, 1))),
        (Input::StopAnswered { ask, answer: StopAnswer::Failed("") }, Misuse::UnknownAsk(ask)),
        (Input::CircuitProgress { circuit, forward: 1, backward: 1 }, Misuse::UnknownCircuit(circuit)),
        (
            Input::CircuitEnded { circuit, end: CircuitEnd::Closed, forward: 1, backward: 1 },
            Misuse::UnknownCircuit(circuit),
        ),
        (
            Input::Connected { connection: ConnectionId(1), peer: peer(1), remote, relayed: false, asn: None },
            Misuse::ConnectionExists(ConnectionId(1)),
        ),
        (Input::Acl { acl: &acl }, Misuse::TooManyRules { got: 2, cap: 1 }),
    ];
    for (input, misuse) in rows {
        assert_eq!(world.misuse(input), misuse);
    }
    world.connect(3);
    let input = Input::Connected { connection, peer: peer(9), remote, relayed: false, asn: None };
    assert_eq!(world.misuse(input), Misuse::TooManyConnections(3));
}

#[test]
fn a_stream_has_one_request_or_one_circuit() {
    let mut world = World::new(quiet());
    world.holder(1);
    world.connect(2);
    let (ask, _) = world.ask(on(2, 1), 1).unwrap();
    assert_eq!(world.misuse(Input::Reserve { stream: on(2, 1) }), Misuse::StreamBusy(on(2, 1)));
    let other = Input::StopAnswered { ask, answer: StopAnswer::Accepted(on(2, 7)) };
    assert_eq!(world.misuse(other), Misuse::OtherConnection { expected: ConnectionId(1), got: on(2, 7) });
    world.tell(Input::StopAnswered { ask, answer: StopAnswer::Accepted(on(1, 7)) });
    let again = Input::Connect { stream: on(1, 7), destination: peer(1) };
    assert_eq!(world.misuse(again), Misuse::StreamBusy(on(1, 7)));
    let (ask, _) = world.ask(on(2, 2), 1).unwrap();
    let taken = Input::StopAnswered { ask, answer: StopAnswer::Accepted(on(1, 7)) };
    assert_eq!(world.misuse(taken), Misuse::StreamBusy(on(1, 7)));
    assert_eq!(
        world.misuse(Input::CircuitEnded { circuit: CircuitId(1), end: CircuitEnd::Closed, forward: 0, backward: 0 }),
        Misuse::UnknownCircuit(CircuitId(1)),
        "it is not spliced yet"
    );
}

#[test]
fn a_caller_that_never_polls_is_told_and_time_stands_still() {
    let mut world = World::new(ServerConfig { max_unpolled: 6, ..quiet() });
    world.connect(1);
    for stream in 0..3 {
        world.server.handle(world.now, Input::Reserve { stream: on(1, stream) }).unwrap();
    }
    let deadline = world.server.deadline();
    let input = Input::Reserve { stream: on(1, 9) };
    assert_eq!(world.server.handle(deadline, input.clone()), Err(Misuse::Unpolled(6)));
    world.server.on_timeout(deadline);
    assert_eq!((world.server.deadline(), world.server.counts().reservations), (deadline, 1));
    world.actions();
    world.server.handle(world.now, input).unwrap();
}

#[test]
fn a_clock_that_goes_back_stands_still() {
    let mut world = World::new(quiet());
    world.wait(MINUTE);
    world.holder(1);
    world.now = Time::ZERO;
    assert_eq!(world.reserve(1), Ok(()));
    assert_eq!(world.server.deadline(), Time::ZERO + 61 * MINUTE);
}

#[test]
fn long_texts_of_callers_are_cut() {
    let mut world = World::new(quiet());
    world.holder(1);
    world.connect(2);
    let (ask, _) = world.ask(on(2, 1), 1).unwrap();
    let long = "x".repeat(1000);
    let actions = world.tell(Input::StopAnswered { ask, answer: StopAnswer::Failed(&long) });
    assert_eq!(outcome(&actions), Err(Refusal::StopFailed { why: "x".repeat(128).into() }));
    let circuit = world.circuit(2, 1);
    let end = CircuitEnd::Other { why: long.into() };
    let actions = world.tell(Input::CircuitEnded { circuit, end, forward: 0, backward: 0 });
    let cut = CircuitEnd::Other { why: "x".repeat(128).into() };
    assert!(matches!(&actions[..], [Action::Event(Event::CircuitClosed { why, .. })] if *why == cut));
}
