//! Circuits that come, and how they end.

use super::*;
use crate::splice::{Counted, LimitReached};

const LIMIT: Limit = Limit { duration: Some(Duration::from_secs(120)), data: Some(131_072) };

fn request(desk: &mut Desk, connection: u64, stream: u64, source: u8) -> Vec<Action> {
    desk.tell(Input::StopRequested { stream: over(connection, stream), source: peer(source), limit: LIMIT });
    desk.said()
}

fn refusal(said: &[Action]) -> Option<(Status, StopRefusal)> {
    match said {
        [Action::Reply { reply: Reply::Refused { status }, .. }, Action::Event(Event::CircuitRefused { why, .. })] => {
            Some((*status, *why))
        }
        _ => None,
    }
}

#[test]
fn a_circuit_of_a_relay_that_we_hold_is_accepted() {
    let mut desk = Desk::new(ClientConfig::default()).held(5, 1);
    let said = request(&mut desk, 5, 1, 2);
    let stream = over(5, 1);
    assert_eq!(
        said,
        [
            Action::Reply { stream, reply: Reply::Accepted },
            Action::CircuitIn { over: stream, relay: peer(1), source: peer(2), limit: LIMIT },
        ]
    );
    assert_eq!(desk.client.counts().circuits_in, 1);
}

#[test]
fn each_refusal_has_its_status_and_the_first_reason_counts() {
    let held = |change: fn(&mut ClientConfig)| {
        let mut config = ClientConfig::default();
        change(&mut config);
        let mut desk = Desk::new(config).held(5, 1);
        desk.connect(6, 3);
        desk.connect_over_relay(7, 1);
        desk
    };
    let full = |config: &mut ClientConfig| config.circuits_in = 0;
    let one_each = |config: &mut ClientConfig| config.circuits_per_source = 0;
    let nobody = |config: &mut ClientConfig| config.accept = AcceptFrom::Nobody;
    let nothing = |_: &mut ClientConfig| {};
    type Change = fn(&mut ClientConfig);
    let table: [(Change, u64, u8, Status, StopRefusal); 7] = [
        (nobody, 7, 0, Status::PERMISSION_DENIED, StopRefusal::Relayed),
        (nobody, 5, 0, Status::PERMISSION_DENIED, StopRefusal::OwnPeer),
        (nobody, 5, 2, Status::PERMISSION_DENIED, StopRefusal::Nobody),
        (full, 6, 2, Status::NO_RESERVATION, StopRefusal::NotHeld),
        (full, 5, 2, Status::RESOURCE_LIMIT_EXCEEDED, StopRefusal::TooMany),
        (one_each, 5, 2, Status::RESOURCE_LIMIT_EXCEEDED, StopRefusal::TooManyOfSource),
        (nothing, 7, 2, Status::PERMISSION_DENIED, StopRefusal::Relayed),
    ];
    for (change, connection, source, status, why) in table {
        let mut desk = held(change);
        assert_eq!(refusal(&request(&mut desk, connection, 1, source)), Some((status, why)));
        assert_eq!(why.status(), status);
        assert_eq!(desk.client.counts().circuits_in, 0);
    }
}

#[test]
fn any_relay_may_bring_circuits_if_so_configured() {
    let mut desk = Desk::new(ClientConfig { accept: AcceptFrom::Anyone, ..ClientConfig::default() });
    desk.connect(6, 3);
    assert!(matches!(request(&mut desk, 6, 1, 2)[..], [Action::Reply { reply: Reply::Accepted, .. }, _]));
}

#[test]
fn a_circuit_may_overtake_the_answer_to_our_request() {
    let mut desk = Desk::new(ClientConfig::default());
    desk.connect(5, 1);
    assert_eq!(refusal(&request(&mut desk, 5, 1, 2)), Some((Status::NO_RESERVATION, StopRefusal::NotHeld)));
    desk.hold(1);
    desk.said();
    assert!(matches!(request(&mut desk, 5, 2, 2)[..], [Action::Reply { reply: Reply::Accepted, .. }, _]));
}

#[test]
fn after_giving_back_or_losing_it_no_circuit_is_accepted() {
    let mut desk = Desk::new(ClientConfig::default()).held(5, 1);
    desk.tell(Input::Release { relay: peer(1) });
    desk.said();
    assert!(refusal(&request(&mut desk, 5, 1, 2)).is_some());
}

#[test]
fn the_application_may_decide() {
    let config = ClientConfig { ask_application: true, ..ClientConfig::default() };
    let mut desk = Desk::new(config).held(5, 1);
    let (relay, source, limit) = (peer(1), peer(2), LIMIT);
    for stream in [1, 2, 3, 4] {
        let expected = [Action::AskAccept { stream: over(5, stream), relay, source, limit }];
        assert_eq!(request(&mut desk, 5, stream, 2), expected);
    }
    desk.tell(Input::Decide { stream: over(5, 1), allow: true });
    assert!(matches!(desk.said()[..], [Action::Reply { reply: Reply::Accepted, .. }, Action::CircuitIn { .. }]));
    desk.tell(Input::Decide { stream: over(5, 2), allow: false });
    assert_eq!(refusal(&desk.said()), Some((Status::PERMISSION_DENIED, StopRefusal::Denied)));
    desk.tell(Input::RequesterGone { stream: over(5, 3) });
    assert_eq!(desk.said(), []);
    assert_eq!(desk.next(), secs(10));
    desk.skip();
    assert_eq!(refusal(&desk.said()), Some((Status::CONNECTION_FAILED, StopRefusal::Undecided)));
    for stream in [1, 2, 3, 4].map(|stream| over(5, stream)) {
        assert_eq!(desk.give(Input::Decide { stream, allow: true }), Err(Misuse::UnknownStream(stream)));
    }
    assert_eq!(desk.client.counts().circuits_in, 1);
}

#[test]
fn circuits_in_have_caps_in_all_and_for_a_source() {
    let config = ClientConfig { circuits_in: 3, circuits_per_source: 2, ..ClientConfig::default() };
    let mut desk = Desk::new(config).held(5, 1);
    assert!(refusal(&request(&mut desk, 5, 1, 2)).is_none());
    assert!(refusal(&request(&mut desk, 5, 2, 2)).is_none());
    assert_eq!(refusal(&request(&mut desk, 5, 3, 2)).unwrap().1, StopRefusal::TooManyOfSource);
    assert!(refusal(&request(&mut desk, 5, 4, 3)).is_none());
    assert_eq!(refusal(&request(&mut desk, 5, 5, 4)).unwrap().1, StopRefusal::TooMany);
    desk.tell(Input::CircuitEnded { over: over(5, 1), ending: Ending::Closed, sent: 1, received: 1 });
    desk.said();
    assert!(refusal(&request(&mut desk, 5, 6, 2)).is_none(), "one ended, so there is room for one");
}

#[test]
fn a_stream_has_one_circuit_and_must_be_on_a_connection() {
    let mut desk = Desk::new(ClientConfig::default()).held(5, 1);
    request(&mut desk, 5, 1, 2);
    let again = Input::StopRequested { stream: over(5, 1), source: peer(3), limit: LIMIT };
    assert_eq!(desk.give(again), Err(Misuse::StreamBusy(over(5, 1))));
    let nowhere = Input::StopRequested { stream: over(8, 1), source: peer(3), limit: LIMIT };
    assert_eq!(desk.give(nowhere), Err(Misuse::UnknownConnection(ConnectionId(8))));
    let unknown = Input::CircuitEnded { over: over(5, 9), ending: Ending::Local, sent: 0, received: 0 };
    assert_eq!(desk.give(unknown), Err(Misuse::UnknownCircuit(over(5, 9))));
}

#[test]
fn a_limit_is_told_as_a_limit() {
    let data = |counted| CircuitEnd::LimitReached(LimitReached::Data { bytes: 131_072, counted });
    let time = CircuitEnd::LimitReached(LimitReached::Time { duration: secs(120) });
    // How it ended, sent, received, open for, what is told.
    let table = [
        (Ending::Reset, 131_072, 0, 5, data(Counted::Sent)),
        (Ending::Reset, 100, 131_072, 5, data(Counted::Received)),
        (Ending::Reset, 70_000, 61_072, 5, data(Counted::Both)),
        (Ending::Reset, 100, 100, 120, time),
        (Ending::Reset, 100, 100, 60, CircuitEnd::Reset),
        // go closes where the spec resets.
        (Ending::Closed, 131_072, 0, 5, data(Counted::Sent)),
        (Ending::Closed, 100, 131_072, 5, data(Counted::Received)),
        // Who is done closes too, and may have been near a limit: an echo of 60,000 bytes, say.
        (Ending::Closed, 60_000, 60_000, 5, CircuitEnd::Closed),
        (Ending::Closed, 131_071, 131_071, 5, CircuitEnd::Closed),
        (Ending::Closed, 100, 100, 5, CircuitEnd::Closed),
        (Ending::Closed, 100, 100, 120, CircuitEnd::Closed),
        (Ending::Local, 131_072, 0, 120, CircuitEnd::Local),
    ];
    for (ending, sent, received, after, expected) in table {
        let mut desk = Desk::new(ClientConfig::default()).held(5, 1);
        request(&mut desk, 5, 1, 2);
        desk.wait(secs(after));
        desk.tell(Input::CircuitEnded { over: over(5, 1), ending, sent, received });
        let events = desk.events();
        let [Event::CircuitEnded { relay, peer: with, why, lasted, .. }] = &events[..] else { panic!("{events:?}") };
        assert_eq!((*relay, *with, *why, *lasted), (peer(1), peer(2), expected, secs(after)), "{sent} and {received}");
    }
}

#[test]
fn an_unlimited_circuit_reaches_no_limit() {
    let mut desk = Desk::new(ClientConfig::default()).held(5, 1);
    let limit = Limit { duration: Some(Duration::ZERO), data: Some(0) };
    desk.tell(Input::StopRequested { stream: over(5, 1), source: peer(2), limit });
    desk.said();
    desk.wait(secs(HOUR / 2));
    desk.tell(Input::CircuitEnded { over: over(5, 1), ending: Ending::Reset, sent: u64::MAX, received: u64::MAX });
    assert!(matches!(desk.events()[..], [Event::CircuitEnded { why: CircuitEnd::Reset, .. }]));
}

#[test]
fn with_the_connection_its_circuits_end() {
    let config = ClientConfig { ask_application: true, ..ClientConfig::default() };
    let mut desk = Desk::new(config).held(5, 1);
    request(&mut desk, 5, 1, 2);
    desk.tell(Input::Decide { stream: over(5, 1), allow: true });
    request(&mut desk, 5, 2, 2);
    desk.dial(1, 1, 3);
    let ask = desk.asked();
    desk.answer(ask, 5, &Answer::Connected { limit: LIMIT }).unwrap();
    desk.said();
    desk.disconnect(5);
    let ends = desk
        .events()
        .into_iter()
        .filter(|event| matches!(event, Event::CircuitEnded { why: CircuitEnd::RelayLost, .. }));
    assert_eq!(ends.count(), 2);
    let counts = desk.client.counts();
    assert_eq!((counts.circuits_in, counts.circuits_out), (0, 0));
}
