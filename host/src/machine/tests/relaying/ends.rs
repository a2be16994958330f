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
