//! The ends of circuits: each is told once, with its reason, and takes its slot along.

use super::*;
use alloc::string::{String, ToString};
use tidewire_relay::client::CircuitEnd as Why;

/// A circuit, or a connection with the words with which it was closed.
type Ended = (Option<Why>, Option<(u64, String)>);

const LIMITED: Limit = Limit { duration: None, data: Some(1 << 17) };

/// A circuit came through the first peer, and is the connection 8 with the third.
fn carried() -> World {
    let mut world = World::new();
    world.connected(1, 1);
    world.held(1, 1);
    let carry = carry_of(&world.asked(1, 7, Request::Stop { source: peer(3), limit: LIMITED }));
    let (connection, over) = (c(8), Some(carry.over));
    world.tell(Input::Incoming { connection, local: carry.local, remote: carry.remote, over, asn: None });
    world.report(8, established(3, Role::Responder));
    world
}

/// As the link of the relay's connection tells it.
fn over(received: u64) -> Report {
    Report::CircuitEnded { stream: s(7), sent: 10, received, ending: Ending::Reset }
}

/// Which circuits ended, and with what words which connections, in the order in which it was told.
fn ends(actions: &[Action]) -> Vec<Ended> {
    let end = |action: &Action| match action {
        Action::Event(Event::RelayClient(ClientEvent::CircuitEnded { why, .. })) => Some((Some(*why), None)),
        Action::Event(Event::Manager(connmgr::Event::ConnectionClosed { connection, reason, .. })) => {
            Some((None, Some((connection.0, reason.to_string()))))
        }
        _ => None,
    };
    actions.iter().filter_map(end).collect()
}

#[test]
fn a_circuit_whose_stream_ends_before_its_link_made_one_of_it_takes_no_slot_for_good() {
    let mut world = World::new();
    world.connected(1, 1);
    world.held(1, 1);
    // More than may be open at once, of this source and in all.
    for n in 0..300 {
        let stream = 100 + 2 * n;
        let actions = world.asked(1, stream, Request::Stop { source: peer(3), limit: LIMITED });
        assert!(
            actions.contains(&order(1, Order::Reply { stream: s(stream), reply: Reply::Accepted })),
            "{n}: {actions:?}"
        );
        let told = world.report(1, Report::StreamClosed { stream: s(stream) });
        assert_eq!(ends(&told), [(Some(Why::Reset), None)], "{n}");
        world.pass(Duration::from_secs(1));
    }
}

#[test]
fn a_circuit_that_its_link_tells_of_is_told_once() {
    let mut world = carried();
    let mut told = world.report(1, over(20));
    told.extend(world.report(1, Report::StreamClosed { stream: s(7) }));
    assert_eq!(ends(&told), [(Some(Why::Reset), None)]);
}

/// Whichever of both links speaks first.
#[test]
fn a_connection_whose_circuit_reached_its_limit_is_closed_with_these_words_and_after_it_was_told() {
    for upper_first in [true, false] {
        let mut world = carried();
        let mut told = Vec::new();
        if upper_first {
            let broke = world.report(8, gone());
            assert_eq!(ends(&broke), []);
            assert_eq!(broke, [order(1, Order::Reset { stream: s(7) })], "it ends whatever the driver does");
        }
        told.extend(world.report(1, over(1 << 17)));
        told.extend(world.report(1, Report::StreamClosed { stream: s(7) }));
        if !upper_first {
            told.extend(world.report(8, gone()));
        }
        let [(Some(why @ Why::LimitReached(_)), None), (None, Some((8, words)))] = &ends(&told)[..] else {
            panic!("{told:?}")
        };
        let said = why.to_string();
        assert!(words.contains(&said), "{words:?} does not say {said:?}");
        assert!(world.host.manager().connection(c(8)).is_none());
    }
}

/// A relay that is at its limit may close in the middle of a record, or of the upgrade: our own link then sees a fault.
#[test]
fn whatever_a_circuit_breaks_in_its_limit_is_told() {
    for fault in [Fault::Protocol, Fault::Transport, Fault::Upgrade] {
        let mut world = carried();
        let broke = world.report(8, Report::Ended { by: By::Local, fault, why: "a record is cut".into() });
        assert_eq!(
            broke,
            [order(1, Order::Reset { stream: s(7) })],
            "{fault:?}: at once, not after the carrier's time"
        );
        let closed = Report::CircuitEnded { stream: s(7), sent: 10, received: 1 << 17, ending: Ending::Closed };
        let told = world.report(1, closed);
        let of_eight = |action: &&Action| matches!(action, Action::Event(Event::Manager(connmgr::Event::ConnectionClosed { by, .. })) if *by == By::Network);
        assert_eq!(told.iter().filter(of_eight).count(), 1, "{fault:?}: {told:?}");
        let Some((_, Some((8, words)))) = ends(&told).pop() else { panic!("{fault:?}: {told:?}") };
        assert!(words.contains("131072 bytes"), "{fault:?}: {words}");
    }
}

/// Dials the third peer through the second one, and gives the connection 8 that is being upgraded.
fn upgrading(limit: Limit) -> World {
    let mut world = World::new();
    let ask = asking(&mut world);
    let carry = carry_of(&world.answer(2, ask, 7, Answer::Connected { limit }));
    let (dial, _) = carry.dial.unwrap();
    world.tell(Input::Dialed { dial, connection: c(8), local: carry.local, remote: carry.remote });
    world
}

/// Why the dial failed.
fn dial_failed(actions: &[Action]) -> Option<String> {
    actions.iter().find_map(|action| match action {
        Action::Event(Event::Manager(connmgr::Event::DialFailed { report, .. })) => Some(report.to_string()),
        _ => None,
    })
}

#[test]
fn an_upgrade_that_a_limit_cuts_fails_with_the_words_of_the_limit() {
    for fault in [Fault::Upgrade, Fault::Transport] {
        let limit = Limit { duration: Some(Duration::from_secs(20)), data: None };
        let mut world = upgrading(limit);
        world.pass(Duration::from_secs(4));
        let mut told = world.report(8, Report::Ended { by: By::Local, fault, why: "it ended early".into() });
        assert_eq!(dial_failed(&told), None, "{told:?}");
        world.now = world.now + Duration::from_secs(16);
        told.extend(
            world.report(2, Report::CircuitEnded { stream: s(7), sent: 9, received: 9, ending: Ending::Reset }),
        );
        let words = dial_failed(&told).unwrap_or_else(|| panic!("{told:?}"));
        assert!(words.contains("the relay's limit of 20 s"), "{words}");
    }
}

#[test]
fn an_upgrade_that_fails_by_itself_keeps_its_own_words() {
    let mut world = upgrading(LIMITED);
    let (by, fault) = (By::Local, Fault::Upgrade);
    let mut told = world.report(8, Report::Ended { by, fault, why: "no protocol in common".into() });
    // We reset it ourselves.
    told.extend(world.report(2, Report::CircuitEnded { stream: s(7), sent: 9, received: 9, ending: Ending::Local }));
    let words = dial_failed(&told).unwrap_or_else(|| panic!("{told:?}"));
    assert!(words.contains("no protocol in common"), "{words}");
    // Another peer than the expected one is nobody's limit.
    let mut world = upgrading(LIMITED);
    let told = world.report(8, Report::Ended { by, fault: Fault::WrongPeer(peer(4)), why: "another".into() });
    assert!(dial_failed(&told).is_some(), "{told:?}");
}

/// The connection that was made of the circuit that these say is over.
fn made_of(actions: &[Action]) -> Vec<Option<u64>> {
    let end = |event: &ClientEvent| match event {
        ClientEvent::CircuitEnded { connection, .. } => Some(connection.map(|connection| connection.0)),
        _ => None,
    };
    client_events(actions).iter().filter_map(end).collect()
}

#[test]
fn the_end_of_a_circuit_names_the_connection_that_was_made_of_it() {
    let mut world = carried();
    assert_eq!(made_of(&world.report(1, over(20))), [Some(8)]);
    // Also when that was closed before.
    let mut world = carried();
    world.report(8, Report::Ended { by: By::Remote, fault: Fault::None, why: "enough".into() });
    assert_eq!(made_of(&world.report(1, over(20))), [Some(8)]);
    // Of one that the driver had yet to carry, there is none.
    let mut world = World::new();
    world.connected(1, 1);
    world.held(1, 1);
    world.asked(1, 7, Request::Stop { source: peer(3), limit: LIMITED });
    assert_eq!(made_of(&world.report(1, over(0))), [None]);
}

const NONE: [u64; 0] = [];

fn closing(actions: &[Action]) -> Vec<u64> {
    let close = |action: &Action| match action {
        Action::Order { connection, order: Order::Close { reason: CloseReason::Shutdown } } => Some(connection.0),
        _ => None,
    };
    actions.iter().filter_map(close).collect()
}

#[test]
fn a_shutdown_closes_circuits_first_and_their_relays_once_they_said_goodbye() {
    let mut world = carried();
    world.connected(2, 2);
    let actions = world.tell(Input::Shutdown);
    assert_eq!(closing(&actions), [8, 2], "not the one that the circuit goes over");
    let ended = Report::Ended { by: By::Local, fault: Fault::None, why: "we are shutting down".into() };
    assert_eq!(closing(&world.report(8, ended)), NONE, "its last words are on their way");
    let told = world.report(1, Report::CircuitEnded { stream: s(7), sent: 9, received: 9, ending: Ending::Local });
    assert_eq!(closing(&told), [1]);
    world.report(1, gone());
    assert_eq!(closing(&world.pass(Duration::from_secs(60))), NONE);
}

#[test]
fn a_shutdown_waits_for_goodbyes_no_longer_than_it_may() {
    let mut world = carried();
    assert_eq!(closing(&world.tell(Input::Shutdown)), [8]);
    assert_eq!(closing(&world.pass(Duration::from_millis(999))), NONE);
    assert_eq!(closing(&world.pass(Duration::from_millis(1))), [1]);
    assert_eq!(closing(&world.pass(Duration::from_secs(60))), NONE, "once");
    // A relay that is gone is waited for no more.
    let mut world = carried();
    world.tell(Input::Shutdown);
    world.report(1, gone());
    assert_eq!(closing(&world.pass(Duration::from_secs(60))), NONE);
}

#[test]
fn a_connection_that_breaks_by_itself_keeps_its_own_words() {
    let mut world = carried();
    world.report(8, gone());
    let told = ends(&world.report(1, over(20)));
    assert!(
        matches!(&told[..], [(Some(Why::Reset), None), (None, Some((8, words)))] if words.contains("cut")),
        "{told:?}"
    );
}

#[test]
fn a_connection_that_ends_in_order_waits_for_nothing() {
    let mut world = carried();
    let told = world.report(8, Report::Ended { by: By::Remote, fault: Fault::None, why: "enough".into() });
    assert!(matches!(&ends(&told)[..], [(None, Some((8, _)))]), "{told:?}");
    let told = world.report(1, over(20));
    assert_eq!(ends(&told), [(Some(Why::Reset), None)]);
}

#[test]
fn a_connection_that_broke_is_closed_when_the_relay_is_lost_and_says_so() {
    for upper_first in [true, false] {
        let mut world = carried();
        let mut told = Vec::new();
        if upper_first {
            told.extend(world.report(8, gone()));
        }
        told.extend(world.report(1, gone()));
        if !upper_first {
            told.extend(world.report(8, gone()));
        }
        let of_eight: Vec<_> =
            ends(&told).into_iter().filter_map(|(_, closed)| closed.filter(|(id, _)| *id == 8)).collect();
        let [(8, words)] = &of_eight[..] else { panic!("{told:?}") };
        assert!(words.contains("relay"), "{words:?}");
    }
}

#[test]
fn circuits_that_end_in_each_way_leave_nothing_behind() {
    flat(World::new(), |world, n| {
        world.connected(1, 1);
        world.held(1, 1);
        let carry = carry_of(&world.asked(1, 7, Request::Stop { source: peer(3), limit: LIMITED }));
        let (connection, over_it) = (c(8), Some(carry.over));
        world.tell(Input::Incoming { connection, local: carry.local, remote: carry.remote, over: over_it, asn: None });
        world.report(8, established(3, Role::Responder));
        match n % 3 {
            0 => {
                world.report(8, gone());
                world.report(1, over(1 << 17));
            }
            1 => {
                world.report(1, over(1 << 17));
                world.report(8, gone());
            }
            _ => drop(world.report(8, gone())),
        }
        world.report(1, gone());
        world.command(RelayCommand::Release { relay: peer(1) });
    });
}
