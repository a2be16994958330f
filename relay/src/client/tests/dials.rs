//! Dials through relays.

use super::*;

const LIMIT: Limit = Limit { duration: Some(Duration::from_secs(120)), data: Some(131_072) };

fn failures(said: &[Action]) -> Vec<(u64, DialError)> {
    let failed = |action: &Action| match action {
        Action::DialFailed { dial, why } => Some((dial.0, why.clone())),
        _ => None,
    };
    said.iter().filter_map(failed).collect()
}

#[test]
fn a_dial_connects_to_the_relay_first_then_asks_and_gets_its_circuit() {
    let mut desk = Desk::new(ClientConfig::default());
    desk.dial(1, 1, 2);
    assert_eq!(desk.said(), [Action::Connect { relay: peer(1), addresses: vec![address(1)] }]);
    desk.connect(5, 1);
    let what = Ask::Connect { destination: peer(2) };
    assert_eq!(desk.said(), [Action::Ask { ask: AskId(0), connection: ConnectionId(5), what }]);
    desk.answer(AskId(0), 5, &Answer::Connected { limit: LIMIT }).unwrap();
    let (dials, over) = (vec![CircuitDialId(1)], over(5, 100));
    assert_eq!(desk.said(), [Action::Circuit { dials, over, relay: peer(1), destination: peer(2), limit: LIMIT }]);
    assert_eq!(desk.client.counts().circuits_out, 1);
    assert!(desk.client.deadline().is_never());
}

#[test]
fn who_wants_the_same_shares_one_dial_whenever_it_comes() {
    let mut desk = Desk::new(ClientConfig::default());
    desk.dial(1, 1, 2);
    desk.dial(2, 1, 2);
    desk.connect(5, 1);
    desk.dial(3, 1, 2);
    let asks = desk.said().iter().filter(|action| matches!(action, Action::Ask { .. })).count();
    assert_eq!(asks, 1);
    desk.answer(AskId(0), 5, &Answer::Connected { limit: LIMIT }).unwrap();
    let said = desk.said();
    let [Action::Circuit { dials, .. }] = &said[..] else { panic!("{said:?}") };
    assert_eq!(dials[..], [1, 2, 3].map(CircuitDialId));
}

#[test]
fn other_destinations_and_other_relays_are_other_dials() {
    let mut desk = Desk::new(ClientConfig::default());
    desk.connect(5, 1);
    desk.connect(6, 3);
    desk.dial(1, 1, 2);
    desk.dial(2, 1, 4);
    desk.dial(3, 3, 2);
    assert_eq!(desk.client.counts().asks, 3);
}

#[test]
fn a_refusal_is_told_to_all_and_not_tried_again() {
    for status in
        [Status::NO_RESERVATION, Status::CONNECTION_FAILED, Status::RESOURCE_LIMIT_EXCEEDED, Status::from_code(777)]
    {
        let mut desk = Desk::new(ClientConfig::default());
        desk.connect(5, 1);
        desk.dial(1, 1, 2);
        desk.dial(2, 1, 2);
        desk.refuse(5, status);
        let why = DialError::Refused(status);
        assert_eq!(failures(&desk.said()), [(1, why.clone()), (2, why)]);
        desk.wait(secs(HOUR));
        assert_eq!(desk.said(), []);
        assert_eq!(desk.client.counts(), Counts::default());
    }
}

#[test]
fn each_step_has_its_time() {
    let mut desk = Desk::new(ClientConfig::default());
    desk.dial(1, 1, 2);
    assert_eq!(desk.next(), secs(5));
    desk.skip();
    let said = desk.said();
    assert_eq!(failures(&said), [(1, DialError::RelayTimeout(secs(5)))]);
    assert!(said.contains(&Action::CancelConnect { relay: peer(1) }));
    desk.connect(5, 1);
    desk.dial(2, 1, 2);
    let ask = desk.asked();
    assert_eq!(desk.next(), secs(60));
    desk.skip();
    let said = desk.said();
    assert_eq!(failures(&said), [(2, DialError::Timeout(secs(60)))]);
    assert!(said.contains(&Action::CancelAsk { ask }));
    let late = desk.answer(ask, 5, &Answer::Connected { limit: LIMIT });
    assert_eq!(late, Err(Misuse::UnknownAsk(ask)), "the stream is to be reset");
}

#[test]
fn cancelling_the_last_caller_ends_the_dial() {
    let mut desk = Desk::new(ClientConfig::default());
    desk.dial(1, 1, 2);
    desk.dial(2, 1, 2);
    desk.said();
    desk.tell(Input::CancelDial { dial: CircuitDialId(1) });
    assert_eq!(desk.said(), [], "another wants it");
    desk.tell(Input::CancelDial { dial: CircuitDialId(2) });
    assert_eq!(desk.said(), [Action::CancelConnect { relay: peer(1) }]);
    desk.connect(5, 1);
    assert_eq!(desk.said(), []);
    desk.dial(3, 1, 2);
    let ask = desk.asked();
    desk.tell(Input::CancelDial { dial: CircuitDialId(3) });
    assert_eq!(desk.said(), [Action::CancelAsk { ask }]);
    assert_eq!(desk.give(Input::CancelDial { dial: CircuitDialId(3) }), Err(Misuse::UnknownDial(CircuitDialId(3))));
    assert_eq!(desk.client.counts(), Counts::default());
}

#[test]
fn the_relays_end_is_the_dials() {
    let mut desk = Desk::new(ClientConfig::default());
    desk.connect(5, 1);
    desk.dial(1, 1, 2);
    desk.disconnect(5);
    assert_eq!(failures(&desk.said()), [(1, DialError::RelayLost)]);
    desk.dial(2, 1, 2);
    desk.tell(Input::ConnectFailed { relay: peer(1), why: "no route" });
    assert_eq!(failures(&desk.said()), [(2, DialError::RelayUnreachable("no route".into()))]);
    desk.connect(6, 1);
    desk.dial(3, 1, 2);
    let ask = desk.asked();
    desk.tell(Input::AskFailed { ask, fault: AskFault::Unsupported });
    assert_eq!(failures(&desk.said()), [(3, DialError::Unsupported)]);
    desk.dial(4, 1, 2);
    let ask = desk.asked();
    desk.tell(Input::AskFailed { ask, fault: AskFault::Failed("reset") });
    assert_eq!(failures(&desk.said()), [(4, DialError::NoAnswer("reset".into()))]);
    assert_eq!(desk.client.counts(), Counts::default());
}

#[test]
fn addresses_of_who_came_later_are_tried_when_the_first_ones_fail() {
    let mut desk = Desk::new(ClientConfig::default());
    desk.hold(1);
    let more = "/ip4/8.8.8.8/tcp/1".parse::<Multiaddr>().unwrap();
    let addresses = &[address(1), more.clone()];
    desk.tell(Input::Dial { dial: CircuitDialId(1), relay: peer(1), addresses, destination: peer(2) });
    desk.said();
    desk.tell(Input::ConnectFailed { relay: peer(1), why: "refused" });
    assert_eq!(desk.said(), [Action::Connect { relay: peer(1), addresses: vec![more] }]);
    desk.tell(Input::ConnectFailed { relay: peer(1), why: "refused" });
    let said = desk.said();
    assert_eq!(failures(&said).len(), 1);
    assert!(matches!(said[0], Action::Event(Event::Failed { .. })));
    let again = desk.give(Input::ConnectFailed { relay: peer(1), why: "refused" });
    assert_eq!(again, Err(Misuse::NotConnecting(peer(1))));
}

#[test]
fn a_circuit_does_not_go_over_a_circuit() {
    let mut desk = Desk::new(ClientConfig::default());
    desk.connect_over_relay(4, 1);
    let addresses = &[circuit_of(3, 1)];
    desk.tell(Input::Dial { dial: CircuitDialId(1), relay: peer(1), addresses, destination: peer(2) });
    assert_eq!(failures(&desk.said()), [(1, DialError::NoAddresses)]);
}

#[test]
fn nonsense_is_misuse() {
    let mut desk = Desk::new(ClientConfig::default());
    let mut dial = |relay: u8, destination: u8| {
        let (dial, relay, destination) = (CircuitDialId(1), peer(relay), peer(destination));
        desk.give(Input::Dial { dial, relay, addresses: &[address(1)], destination })
    };
    assert_eq!(dial(1, 1), Err(Misuse::RelayIsDestination(peer(1))));
    assert_eq!(dial(1, 0), Err(Misuse::Ourselves(peer(0))));
    assert_eq!(dial(0, 1), Err(Misuse::Ourselves(peer(0))));
    assert_eq!(dial(1, 2), Ok(()));
    assert_eq!(dial(1, 3), Err(Misuse::DialExists(CircuitDialId(1))));
}

#[test]
fn dials_and_circuits_have_caps() {
    let mut desk = Desk::new(ClientConfig { dials: 2, circuits_out: 1, ..ClientConfig::default() });
    desk.connect(5, 1);
    desk.dial(1, 1, 2);
    let ask = desk.asked();
    desk.dial(2, 1, 3);
    assert_eq!(failures(&desk.said()), [(2, DialError::TooManyCircuits(1))]);
    desk.dial(3, 1, 2);
    desk.dial(4, 1, 2);
    assert_eq!(failures(&desk.said()), [(4, DialError::TooManyDials(2))]);
    desk.answer(ask, 5, &Answer::Connected { limit: LIMIT }).unwrap();
    desk.said();
    desk.dial(5, 1, 2);
    assert_eq!(failures(&desk.said()), [(5, DialError::TooManyCircuits(1))]);
    let ending = Ending::Local;
    desk.tell(Input::CircuitEnded { over: over(5, 100), ending, sent: 0, received: 0 });
    desk.dial(6, 1, 2);
    assert!(desk.said().iter().any(|action| matches!(action, Action::Ask { .. })), "there is room again");
}

#[test]
fn the_youngest_connection_is_used() {
    let mut desk = Desk::new(ClientConfig::default());
    desk.connect(9, 1);
    desk.connect(5, 1);
    desk.dial(1, 1, 2);
    assert!(matches!(desk.said()[..], [Action::Ask { connection: ConnectionId(5), .. }]));
}
