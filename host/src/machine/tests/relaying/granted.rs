//! We are the relay: reservations and circuits that we give.

use super::*;

#[test]
fn who_asks_for_a_reservation_gets_one_and_is_kept_until_it_is_gone() {
    let mut world = relay();
    world.connected(1, 1);
    let actions = world.asked(1, 3, Request::Reserve);
    let replied = actions.iter().any(|action| {
        matches!(
            action,
            Action::Order {
                connection: ConnectionId(1),
                order: Order::Reply { stream: StreamId(3), reply: Reply::Reserved { .. } }
            }
        )
    });
    assert!(replied, "{actions:?}");
    let is_protected = |world: &World| world.host.manager().is_protected(&peer(1), Some("has a relay reservation"));
    assert!(is_protected(&world));
    let ended = server_events(&world.report(1, gone()));
    let why = ReservationEnd::Disconnected;
    assert_eq!(ended, [server::Event::ReservationEnded { peer: peer(1), why }]);
    assert!(!is_protected(&world));
}

#[test]
fn a_circuit_is_spliced_once_its_destination_accepts() {
    let mut world = relay();
    let splice = world.spliced();
    assert_eq!((splice.source, splice.destination), ((c(2), s(5)), (c(1), s(7))));
    assert_eq!(world.circuits(), 1);
    world.tell(Input::Spliced { circuit: splice.circuit, end: None, forward: 4, backward: 2 });
    let ended = server_events(&world.ended(splice.circuit, CircuitEnd::Closed));
    let [server::Event::CircuitClosed { why: CircuitEnd::Closed, forward: 10, backward: 20, .. }] = ended[..] else {
        panic!("{ended:?}")
    };
    assert_eq!(world.circuits(), 0);
}

#[test]
fn a_circuit_whose_connection_ends_is_the_drivers_to_end_and_counts_until_it_has() {
    for (connection, end) in [(1, CircuitEnd::DestinationDisconnected), (2, CircuitEnd::SourceDisconnected)] {
        let mut world = relay();
        let circuit = world.spliced().circuit;
        let actions = world.report(connection, gone());
        assert!(actions.contains(&Action::Unsplice { circuit, why: end.clone() }), "{actions:?}");
        assert_eq!(world.circuits(), 1);
        let told = server_events(&world.ended(circuit, CircuitEnd::SourceReset));
        assert!(matches!(&told[..], [server::Event::CircuitClosed { why, .. }] if *why == end), "{told:?}");
        assert_eq!(world.circuits(), 0);
    }
}

#[test]
fn a_circuit_that_the_driver_ended_before_its_connection_is_not_unspliced() {
    let mut world = relay();
    let circuit = world.spliced().circuit;
    world.ended(circuit, CircuitEnd::DestinationReset);
    let actions = world.report(1, gone());
    assert!(!actions.iter().any(|action| matches!(action, Action::Unsplice { .. })), "{actions:?}");
    assert_eq!(world.ended(circuit, CircuitEnd::Closed), [], "said twice, it is of no matter");
}

#[test]
fn a_requester_that_goes_takes_its_question_back() {
    let mut world = relay();
    world.connected(1, 1);
    world.connected(2, 2);
    world.asked(1, 3, Request::Reserve);
    let asked = world.asked(2, 5, Request::Connect { destination: peer(1) });
    let (_, ask, _) = question(&asked);
    let actions = world.report(2, Report::StreamClosed { stream: s(5) });
    assert_eq!(actions, [order(1, Order::Unask { ask })]);
    assert_eq!(world.circuits(), 0);
}

#[test]
fn an_acceptance_that_crossed_the_end_of_its_question_ends_its_stream() {
    let mut world = relay();
    world.connected(1, 1);
    world.connected(2, 2);
    world.asked(1, 3, Request::Reserve);
    let asked = world.asked(2, 5, Request::Connect { destination: peer(1) });
    let (_, ask, _) = question(&asked);
    world.report(2, Report::StreamClosed { stream: s(5) });
    // The link of the destination had its answer already: for it the stream is a circuit now, and nobody else knows it.
    let actions = world.answer(1, ask, 7, Answer::Accepted);
    assert_eq!(actions, [order(1, Order::Reset { stream: s(7) })]);
}

#[test]
fn a_destination_that_goes_before_it_answered_is_told_to_the_requester_once() {
    let mut world = relay();
    world.connected(1, 1);
    world.connected(2, 2);
    world.asked(1, 3, Request::Reserve);
    let asked = world.asked(2, 5, Request::Connect { destination: peer(1) });
    let (_, ask, _) = question(&asked);
    let mut actions = world.report(1, gone());
    actions.extend(world.unanswered(1, ask, OpenFault::ConnectionEnded));
    let replies = actions.iter().filter(|action| {
        matches!(
            action,
            Action::Order { connection: ConnectionId(2), order: Order::Reply { reply: Reply::Refused { .. }, .. } }
        )
    });
    assert_eq!(replies.count(), 1, "{actions:?}");
}

#[test]
fn a_request_that_the_relay_cannot_take_in_is_ended() {
    let mut world = World::with(|config| {
        let mut server = serving();
        server.connections = 1;
        config.relay.server = Some(server);
    });
    world.connected(1, 1);
    world.connected(2, 2);
    assert_eq!(world.asked(2, 5, Request::Reserve), [order(2, Order::Reset { stream: s(5) })]);
}

#[test]
fn a_host_that_is_no_relay_ends_what_is_asked_of_one() {
    let mut world = World::new();
    world.connected(1, 1);
    for request in [Request::Reserve, Request::Connect { destination: peer(2) }] {
        assert_eq!(world.asked(1, 3, request), [order(1, Order::Reset { stream: s(3) })]);
        world.report(1, Report::StreamClosed { stream: s(3) });
    }
}

#[test]
fn requests_and_circuits_leave_nothing_behind() {
    flat(relay(), |world, n| {
        let splice = world.spliced();
        match n % 3 {
            0 => drop(world.ended(splice.circuit, CircuitEnd::Closed)),
            1 => {
                world.report(1, gone());
                world.ended(splice.circuit, CircuitEnd::DestinationReset);
            }
            _ => {
                world.asked(2, 9, Request::Connect { destination: peer(1) });
                world.report(2, gone());
                world.ended(splice.circuit, CircuitEnd::SourceReset);
            }
        }
        for connection in [1, 2] {
            world.report(connection, gone());
        }
        world.pass(Duration::from_secs(60));
    });
}

#[test]
fn the_application_is_asked_and_its_answer_decides() {
    let mut world = World::with(|config| {
        let mut server = serving();
        server.acl.otherwise = server::Verdict::Ask;
        config.relay.server = Some(server);
    });
    world.connected(1, 1);
    let actions = world.asked(1, 3, Request::Reserve);
    assert!(matches!(actions[..], [Action::Event(Event::RelayAsks { .. })]), "{actions:?}");
    let actions = world.command(RelayCommand::Decide { stream: key(1, 3), allow: false });
    let reply = Reply::Refused { status: Status::PERMISSION_DENIED };
    assert!(actions.contains(&order(1, Order::Reply { stream: s(3), reply })), "{actions:?}");
    let again = world.host.handle(world.now, Input::Relay(RelayCommand::Decide { stream: key(1, 3), allow: true }));
    assert!(matches!(again, Err(Misuse::Relay(_))), "{again:?}");
}
