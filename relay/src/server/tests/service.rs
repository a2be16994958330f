//! When the service is there, shutting down, memory, and what an operator is told.

use super::*;
use crate::Limit;
use crate::server::{Asked, CircuitEnd, CircuitState, Offer, ReservationEnd, Standing};
use alloc::string::ToString;

#[test]
fn the_service_is_offered_while_we_are_public() {
    let mut world = World::silent(quiet());
    assert_eq!(world.server.explain().standing, Standing::NotPublic);
    assert_eq!(world.tell(Input::Reachable { public: true }), []);
    assert_eq!(world.server.explain().standing, Standing::NoClock);
    assert_eq!(world.tell(Input::Clock { unix: UnixTime::from_secs(UNIX) }), [Action::Serve(true)]);
    assert_eq!(world.tell(Input::Reachable { public: true }), []);
    assert_eq!(world.tell(Input::Reachable { public: false }), [Action::Serve(false)]);
    assert_eq!(world.tell(Input::Reachable { public: true }), [Action::Serve(true)]);
}

#[test]
fn the_service_can_be_forced_and_switched_off() {
    let mut world = World::silent(ServerConfig { offer: Offer::Always, ..quiet() });
    assert_eq!(world.tell(Input::Clock { unix: UnixTime::from_secs(UNIX) }), [Action::Serve(true)]);
    assert_eq!(world.tell(Input::Reachable { public: false }), []);
    let mut world = World::silent(ServerConfig { offer: Offer::Never, ..quiet() });
    world.tell(Input::Reachable { public: true });
    assert_eq!(world.tell(Input::Clock { unix: UnixTime::from_secs(UNIX) }), []);
    assert_eq!(world.server.explain().standing, Standing::Off);
}

#[test]
fn what_was_given_stays_when_the_service_goes() {
    let mut world = World::new(quiet());
    world.holder(1);
    world.connect(2);
    let circuit = world.circuit(2, 1);
    assert_eq!(world.tell(Input::Reachable { public: false }), [Action::Serve(false)]);
    let view = world.server.view();
    assert_eq!((view.reservations.len(), view.circuits[0].circuit), (1, circuit));
    world.tell(Input::Reachable { public: true });
    assert!(world.ask(on(2, 7), 1).is_ok());
}

#[test]
fn a_shutdown_takes_nothing_new_and_waits_for_circuits() {
    let mut world = World::new(quiet());
    world.holder(1);
    world.connect(2);
    let circuit = world.circuit(2, 1);
    let (ask, _) = world.ask(on(2, 8), 1).unwrap();
    assert_eq!(world.tell(Input::Drain { grace: MINUTE }), [Action::Serve(false)]);
    assert_eq!((world.reserve(1), world.ask(on(2, 9), 1)), (Err(Refusal::Draining), Err(Refusal::Draining)));
    // What was under way goes on.
    let actions = world.tell(Input::StopAnswered { ask, answer: StopAnswer::Accepted(on(1, 8)) });
    assert_eq!(statuses(&actions), [Status::OK]);
    for circuit in [circuit, CircuitId(ask.0)] {
        assert_eq!(world.server.explain().standing, Standing::Draining);
        world.tell(Input::CircuitEnded { circuit, end: CircuitEnd::Closed, forward: 0, backward: 0 });
    }
    assert_eq!(world.server.explain().standing, Standing::Drained);
    assert_eq!(world.server.counts().reservations, 0);
    assert_eq!(world.wait(10 * MINUTE), []);
}

#[test]
fn a_shutdown_closes_what_is_left_after_its_grace() {
    let mut world = World::new(ServerConfig { limit: Limit::UNLIMITED, stop_timeout: 5 * MINUTE, ..quiet() });
    world.holder(1);
    world.connect(2);
    let circuit = world.circuit(2, 1);
    let (ask, _) = world.ask(on(2, 8), 1).unwrap();
    world.tell(Input::Drain { grace: 2 * MINUTE });
    world.tell(Input::Drain { grace: MINUTE });
    world.tell(Input::Drain { grace: 3 * MINUTE });
    assert_eq!(world.wait(MINUTE - SECOND), []);
    let actions = world.wait(SECOND);
    assert!(actions.contains(&Action::CloseCircuit { circuit, why: CircuitEnd::Drained }));
    assert!(actions.contains(&Action::CancelAsk { ask }));
    assert_eq!(statuses(&actions), [Status::RESOURCE_LIMIT_EXCEEDED]);
    let actions = world.tell(Input::CircuitEnded { circuit, end: CircuitEnd::Closed, forward: 0, backward: 0 });
    let ended = Event::ReservationEnded { peer: peer(1), why: ReservationEnd::Drained };
    assert_eq!(actions[1..], [Action::Release { peer: peer(1) }, Action::Event(ended), Action::Event(Event::Drained)]);
    assert_eq!(world.server.deadline(), Time::NEVER);
}

#[test]
fn a_shutdown_with_nothing_to_wait_for_is_done_at_once() {
    let mut world = World::new(quiet());
    let actions = world.tell(Input::Drain { grace: MINUTE });
    assert_eq!(actions, [Action::Event(Event::Drained), Action::Serve(false)]);
    assert_eq!(world.tell(Input::Drain { grace: MINUTE }), []);
}

#[test]
fn requests_that_wait_for_the_application_are_refused_by_a_shutdown() {
    let mut config = quiet();
    config.acl.otherwise = crate::server::Verdict::Ask;
    let mut world = World::new(config);
    world.connect(1);
    world.tell(Input::Reserve { stream: on(1, 1) });
    assert_eq!(statuses(&world.tell(Input::Drain { grace: MINUTE })), [Status::RESERVATION_REFUSED]);
    assert_eq!(world.server.counts().questions, 0);
}

#[test]
fn memory_has_a_cap() {
    let cap = 64 * 1024;
    let mut world = World::new(ServerConfig { memory: cap, ..ServerConfig::unlimited() });
    let mut given = 0;
    for n in 1..2000 {
        world.connect(n);
        match world.reserve(n.into()) {
            Ok(()) => given += 1,
            Err(why) => assert_eq!(why, Refusal::Memory { cap }),
        }
    }
    assert!((100..1900).contains(&given), "{given} reservations");
    assert_eq!(world.reserve(1), Ok(()), "renewals need no memory");
    assert_eq!(world.ask(on(2, 1), 1), Err(Refusal::Memory { cap }));
    let used = world.server.explain().memory;
    assert!(used < 2 * 64 * 1024, "{used} bytes");
}

#[test]
fn what_circuits_may_hold_counts_against_the_memory() {
    let cap = 4 << 20;
    let mut world = World::new(ServerConfig { memory: cap, ..ServerConfig::unlimited() });
    world.holder(1);
    let each = u64::from(world.server.config.circuit_memory);
    let mut given = Vec::new();
    for n in 2..20 {
        world.connect(n);
        match world.ask(on(u64::from(n), 1), 1) {
            Ok(ask) => given.push(ask),
            Err(why) => {
                assert_eq!(why, Refusal::Memory { cap });
                assert_eq!(why.status(Asked::Connect { destination: peer(1) }), Status::RESOURCE_LIMIT_EXCEEDED);
            }
        }
    }
    // Those that are being opened count already.
    assert_eq!(given.len() as u64, (cap - 1) / each, "{each} bytes each");
    assert!(world.server.explain().memory <= cap);
    let refused = StopAnswer::Refused(Status::PERMISSION_DENIED);
    world.tell(Input::StopAnswered { ask: given[0].0, answer: refused });
    assert!(world.ask(on(19, 1), 1).is_ok(), "one is gone");
    // A reservation finds what is left.
    world.connect(30);
    assert_eq!(world.reserve(30), Ok(()));
}

#[test]
fn a_circuit_counts_for_no_more_than_its_limit_lets_through() {
    let config = ServerConfig::default();
    let room = config.memory / u64::from(config.memory_of_circuit());
    assert!(room >= u64::from(config.circuits), "room for {room}");
    for (data, expected) in [(Some(0), 0), (Some(1000), 2000), (Some(u64::MAX), 640 << 10), (None, 640 << 10)] {
        let limit = Limit { data, ..Limit::UNLIMITED };
        assert_eq!(ServerConfig { limit, ..ServerConfig::default() }.memory_of_circuit(), expected, "{data:?}");
    }
}

#[test]
fn an_operator_sees_who_holds_what_and_who_talks_to_whom() {
    let mut world = World::new(quiet());
    world.holder(1);
    world.connect(2);
    world.wait(SECOND);
    let circuit = world.circuit(2, 1);
    world.tell(Input::CircuitProgress { circuit, forward: 5, backward: 7 });
    world.ask(on(2, 5), 1).unwrap();
    let view = world.server.view();
    let held = &view.reservations[0];
    assert_eq!((held.peer, &held.address, held.connection), (peer(1), &address(1), ConnectionId(1)));
    assert_eq!((held.since, held.until, held.circuits), (Time::ZERO, Time::ZERO + 60 * MINUTE, 2));
    let open = &view.circuits[0];
    assert_eq!((open.source, open.destination, open.state), (peer(2), peer(1), CircuitState::Open));
    assert_eq!((open.since, open.forward, open.backward), (world.now, 5, 7));
    assert_eq!(view.circuits[1].state, CircuitState::Opening);
    assert_eq!(
        world.server.explain().to_string(),
        format!(
            "the relay service is offered\n1 of 128 reservations, 2 of 1024 circuits\n{} of 335544320 bytes\n\
             holders are told 1 addresses of ours",
            world.server.explain().memory
        )
    );
}

#[test]
fn a_person_is_told_what_a_peer_would_be_told() {
    let mut world = World::new(ServerConfig { reservations: 1, ..quiet() });
    world.holder(1);
    world.connect(2);
    world.connect_as(3, 3, &address(3), true, None);
    let explain = |n| world.server.explain_peer(&peer(n)).map(|at| at.to_string());
    let [one, two, three] = [1, 2, 3].map(|n| explain(n).unwrap().replace(&peer(n).to_string(), "it"));
    assert_eq!(
        one,
        "it: 1 connections, 1 of them direct, 0 circuits; a reservation until 1800003600 (UNIX time), renewed 0 times; \
         a renewal would be given"
    );
    assert_eq!(
        two,
        "it: 1 connections, 1 of them direct, 0 circuits; no reservation; a reservation would be refused: all 1 \
         reservations are taken (`reservations` allows more)"
    );
    assert!(three.ends_with("it can't ask for one: no connection is direct"), "{three}");
    assert_eq!(explain(9), None);
    assert!(world.server.has_reservation(&peer(1)) && !world.server.has_reservation(&peer(2)));
}
