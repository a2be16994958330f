//! Circuits: asked for, accepted, limited, ended.

use super::*;
use crate::Limit;
use crate::server::{CircuitEnd, Way};

/// A holder, number 1, and a peer that wants to talk to it, number 2.
fn pair() -> World {
    let mut world = World::new(quiet());
    world.holder(1);
    world.connect(2);
    world
}

fn ended(world: &mut World, circuit: CircuitId, end: CircuitEnd) -> Vec<Action> {
    world.tell(Input::CircuitEnded { circuit, end, forward: 10, backward: 20 })
}

#[test]
fn the_destination_is_asked_then_both_streams_are_joined() {
    let mut world = pair();
    let limit = Limit { duration: Some(2 * MINUTE), data: Some(128 * 1024) };
    let actions = world.tell(Input::Connect { stream: on(2, 5), destination: peer(1) });
    let (ask, connection) = (AskId(0), ConnectionId(1));
    assert_eq!(actions, [Action::OpenStop { ask, connection, source: peer(2), limit }]);
    let actions = world.tell(Input::StopAnswered { ask, answer: StopAnswer::Accepted(on(1, 6)) });
    let (circuit, source, destination) = (CircuitId(0), on(2, 5), on(1, 6));
    assert_eq!(
        actions,
        [
            Action::Reply { stream: source, reply: Reply::Connected { limit } },
            Action::Splice { circuit, source, destination, limit },
            Action::Event(Event::CircuitOpened { circuit, source: peer(2), destination: peer(1) }),
        ]
    );
    world.wait(3 * SECOND);
    assert_eq!(
        ended(&mut world, circuit, CircuitEnd::Closed),
        [Action::Event(Event::CircuitClosed {
            circuit,
            source: peer(2),
            destination: peer(1),
            why: CircuitEnd::Closed,
            forward: 10,
            backward: 20,
            lasted: 3 * SECOND,
        })]
    );
    let counters = world.server.counters();
    assert_eq!((counters.circuits, counters.circuits_ended, counters.forward, counters.backward), (1, 1, 10, 20));
    assert_eq!(world.server.counts().circuits, 0);
}

/// Else a report that got lost would count for both peers until the relay is restarted.
#[test]
fn a_circuit_whose_end_is_never_reported_counts_for_30_seconds() {
    let mut world = pair();
    let circuit = world.circuit(2, 1);
    let why = CircuitEnd::TimeLimit { duration: 2 * MINUTE };
    assert_eq!(world.wait(2 * MINUTE), [Action::CloseCircuit { circuit, why: why.clone() }]);
    world.tell(Input::CircuitProgress { circuit, forward: 10, backward: 20 });
    assert_eq!(world.wait(29 * SECOND), []);
    assert_eq!(world.server.counts().circuits, 1);
    let (source, destination, lasted) = (peer(2), peer(1), 150 * SECOND);
    let closed = Event::CircuitClosed { circuit, source, destination, why, forward: 10, backward: 20, lasted };
    assert_eq!(world.wait(SECOND), [Action::Event(closed)]);
    assert_eq!((world.server.counts().circuits, world.server.counters().circuits_ended), (0, 1));
    let late = Input::CircuitEnded { circuit, end: CircuitEnd::Closed, forward: 10, backward: 20 };
    assert_eq!(world.misuse(late), Misuse::UnknownCircuit(circuit));
}

#[test]
fn the_stop_stream_goes_over_the_youngest_direct_connection() {
    let mut world = pair();
    world.connect_as(11, 1, &address(1), false, None);
    world.connect_as(12, 1, &address(1), true, None);
    assert_eq!(world.ask(on(2, 1), 1).unwrap().1, ConnectionId(11));
    world.disconnect(11);
    assert_eq!(world.ask(on(2, 2), 1).unwrap().1, ConnectionId(1));
}

#[test]
fn a_destination_has_thirty_seconds() {
    let mut world = pair();
    let (ask, _) = world.ask(on(2, 1), 1).unwrap();
    assert_eq!(world.wait(30 * SECOND - Duration::from_nanos(1)), []);
    let actions = world.wait(Duration::from_nanos(1));
    assert_eq!(actions[0], Action::CancelAsk { ask });
    assert_eq!(statuses(&actions), [Status::CONNECTION_FAILED]);
    assert_eq!(outcome(&actions), Err(Refusal::StopTimeout { after: 30 * SECOND }));
    let late = Input::StopAnswered { ask, answer: StopAnswer::Accepted(on(1, 9)) };
    assert_eq!(world.misuse(late), Misuse::UnknownAsk(ask));
}

#[test]
fn a_requester_that_goes_meanwhile_takes_its_question_along() {
    let mut world = pair();
    let (ask, _) = world.ask(on(2, 1), 1).unwrap();
    assert_eq!(world.tell(Input::RequesterGone { stream: on(2, 1) }), [Action::CancelAsk { ask }]);
    let (ask, _) = world.ask(on(2, 1), 1).unwrap();
    assert_eq!(world.disconnect(2), [Action::CancelAsk { ask }]);
    assert_eq!((world.server.counts().circuits, world.server.counts().peers), (0, 1));
}

#[test]
fn a_destination_lost_midway_is_a_failed_connection() {
    let mut world = pair();
    world.ask(on(2, 1), 1).unwrap();
    let actions = world.disconnect(1);
    assert_eq!(statuses(&actions), [Status::CONNECTION_FAILED]);
    assert_eq!(outcome(&actions), Err(Refusal::DestinationLost));
    assert_eq!(world.server.explain_peer(&peer(2)).unwrap().circuits, 0);
}

#[test]
fn a_peer_gets_no_circuit_to_itself() {
    let mut world = pair();
    world.connect_as(11, 1, &address(1), false, None);
    for connection in [1, 11] {
        assert_eq!(world.ask(on(connection, 9), 1), Err(Refusal::Itself));
    }
    assert_eq!(world.server.counts().circuits, 0);
}

#[test]
fn a_circuit_ends_with_either_connection() {
    for (lost, why) in [(1, CircuitEnd::DestinationDisconnected), (2, CircuitEnd::SourceDisconnected)] {
        let mut world = pair();
        let circuit = world.circuit(2, 1);
        let close = Action::CloseCircuit { circuit, why: why.clone() };
        assert!(world.disconnect(lost).contains(&close));
        // It counts until both streams are gone, and what the server said first stays the reason.
        assert_eq!(world.server.counts().circuits, 1);
        let actions = ended(&mut world, circuit, CircuitEnd::SourceReset);
        assert!(matches!(&actions[..], [Action::Event(Event::CircuitClosed { why: told, .. })] if *told == why));
        world.disconnect(3 - lost);
        assert_eq!(world.server.counts(), Default::default());
    }
}

#[test]
fn both_connections_ending_close_a_circuit_once() {
    let mut world = pair();
    let circuit = world.circuit(2, 1);
    let closes = |actions: Vec<Action>| actions.iter().filter(|at| matches!(at, Action::CloseCircuit { .. })).count();
    assert_eq!((closes(world.disconnect(2)), closes(world.disconnect(1))), (1, 0));
    assert_eq!(world.server.counts().peers, 2, "the circuit still names them");
    ended(&mut world, circuit, CircuitEnd::Closed);
    assert_eq!(world.server.counts(), Default::default());
}

#[test]
fn a_circuit_whose_time_is_over_is_closed() {
    let mut world = pair();
    let circuit = world.circuit(2, 1);
    assert_eq!(world.wait(2 * MINUTE - SECOND), []);
    let why = CircuitEnd::TimeLimit { duration: 2 * MINUTE };
    assert_eq!(world.wait(SECOND), [Action::CloseCircuit { circuit, why: why.clone() }]);
    // Nothing more happens until the caller says that it is gone, or had its time for that.
    assert_eq!(world.wait(29 * SECOND), []);
    let actions = ended(&mut world, circuit, CircuitEnd::Closed);
    assert!(matches!(&actions[..], [Action::Event(Event::CircuitClosed { why: told, .. })] if *told == why));
}

#[test]
fn one_end_that_resets_and_a_limit_are_told_as_they_came() {
    let ends = [
        CircuitEnd::SourceReset,
        CircuitEnd::DestinationReset,
        CircuitEnd::DataLimit { way: Way::Forward, bytes: 131_072 },
    ];
    for end in ends {
        let mut world = pair();
        let circuit = world.circuit(2, 1);
        let actions = ended(&mut world, circuit, end.clone());
        assert!(matches!(&actions[..], [Action::Event(Event::CircuitClosed { why, .. })] if *why == end));
    }
}

#[test]
fn without_limits_a_circuit_lasts() {
    let mut world = World::new(ServerConfig::unlimited());
    world.holder(1);
    world.connect(2);
    let actions = world.tell(Input::Connect { stream: on(2, 5), destination: peer(1) });
    assert!(matches!(actions[..], [Action::OpenStop { limit, .. }] if limit.is_unlimited()));
    world.tell(Input::StopAnswered { ask: AskId(0), answer: StopAnswer::Accepted(on(1, 6)) });
    world.wait(50 * MINUTE);
    assert_eq!(world.server.view().circuits[0].until, Time::NEVER);
    assert_eq!(world.server.counts().circuits, 1);
}

#[test]
fn both_roles_count_for_a_peer() {
    let mut world = World::new(ServerConfig { circuits_per_peer: 3, ..quiet() });
    for n in 1..=5 {
        world.holder(n);
    }
    world.circuit(1, 2);
    world.circuit(3, 1);
    world.ask(on(1, 7), 4).unwrap();
    assert_eq!(world.ask(on(1, 8), 5), Err(Refusal::SourceCircuits { cap: 3 }));
    assert_eq!(world.ask(on(5, 8), 1), Err(Refusal::DestinationCircuits { cap: 3 }));
    assert!(world.ask(on(5, 8), 4).is_ok());
}

#[test]
fn circuits_outlast_the_reservation_and_new_ones_do_not_begin() {
    let mut world = World::new(ServerConfig { limit: Limit::UNLIMITED, ..quiet() });
    world.holder(1);
    world.connect(2);
    let circuit = world.circuit(2, 1);
    world.wait(60 * MINUTE);
    assert_eq!(world.ask(on(2, 3), 1), Err(Refusal::NoReservation { destination: peer(1) }));
    assert_eq!(world.server.view().circuits[0].circuit, circuit);
}

#[test]
fn news_of_bytes_that_cross_count_once() {
    let mut world = pair();
    let circuit = world.circuit(2, 1);
    for (forward, backward) in [(10, 0), (30, 5), (20, 6)] {
        world.tell(Input::CircuitProgress { circuit, forward, backward });
    }
    let view = world.server.view();
    assert_eq!((view.circuits[0].forward, view.circuits[0].backward), (30, 6));
    assert_eq!((view.counters.forward, view.counters.backward), (30, 6));
    ended(&mut world, circuit, CircuitEnd::Closed);
    assert_eq!((world.server.counters().forward, world.server.counters().backward), (30, 20));
}

#[test]
fn counts_are_right_again_after_every_way_to_fail() {
    let mut world = World::new(ServerConfig { circuits_per_peer: 1, circuits: 1, ..quiet() });
    world.holder(1);
    world.connect(2);
    for round in 0..40 {
        let (ask, _) = world.ask(on(2, round), 1).unwrap();
        match round % 5 {
            0 => drop(world.wait(30 * SECOND)),
            1 => drop(world.tell(Input::RequesterGone { stream: on(2, round) })),
            2 => drop(world.tell(Input::StopAnswered { ask, answer: StopAnswer::Failed("no") })),
            3 => drop(world.tell(Input::StopAnswered { ask, answer: StopAnswer::Refused(Status::CONNECTION_FAILED) })),
            _ => {
                world.tell(Input::StopAnswered { ask, answer: StopAnswer::Accepted(on(1, round)) });
                ended(&mut world, CircuitId(ask.0), CircuitEnd::Closed);
            }
        }
        assert_eq!(world.server.counts().circuits, 0, "round {round}");
        assert_eq!(world.server.explain_peer(&peer(1)).unwrap().circuits, 0, "round {round}");
    }
    world.disconnect(1);
    world.disconnect(2);
    assert_eq!((world.server.counts(), world.server.explain().memory), (Default::default(), 0));
}
