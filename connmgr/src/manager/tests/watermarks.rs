//! Who goes when there are too many, as the manager carries it out.

use super::*;
use crate::RefuseReason;
use crate::worth::{Bump, Decay, DecayingTag, TagChange};

fn crowd(low: u32, high: u32) -> Config {
    let mut config = quiet();
    config.worth.low = low;
    config.worth.high = high;
    config
}

/// peers.md, "trim": 31 connections with 10/20.
#[test]
fn of_31_connections_with_10_and_20_none_goes_in_grace_and_exactly_21_afterwards() {
    let mut world = World::new(crowd(10, 20));
    for n in 1..=31 {
        assert_eq!(closes(&world.open(u64::from(n), n, Direction::Inbound)), []);
    }
    assert_eq!(closes(&world.wait(Duration::from_millis(59_999))), []);
    let gone = closes(&world.wait(Duration::from_secs(11)));
    assert_eq!(gone.len(), 21);
    assert!(gone.iter().all(|(_, reason)| *reason == CloseReason::Trimmed { value: 0 }));
    for (connection, _) in &gone {
        world.closed(*connection);
    }
    assert_eq!(world.manager.counts().connected_peers, 10);
    assert_eq!(closes(&world.wait(Duration::from_secs(600))), []);
}

#[test]
fn a_trim_closes_the_least_valuable_and_tells_how_many() {
    let mut world = World::new(crowd(2, 4));
    for n in 1..=3 {
        world.open(u64::from(n), n, Direction::Inbound);
        world.tell(Input::Tag { peer: peer(n), tag: "dht", change: TagChange::Set(10 * i32::try_from(n).unwrap()) });
    }
    world.wait(Duration::from_secs(61));
    world.tell(Input::Protect { peer: peer(1), reason: "relay" });
    let actions = world.open(4, 4, Direction::Inbound);
    // 1 is protected, 4 in its grace, and the two others are as many as may stay.
    assert_eq!(closes(&actions), []);
    assert!(events(&actions).contains(&Event::Trimmed { closed: 0, of: 4, protected: 1, in_grace: 1 }));

    world.tell(Input::Unprotect { peer: peer(1), reason: "relay" });
    let actions = world.wait(Duration::from_secs(10));
    assert_eq!(closes(&actions), [(1, CloseReason::Trimmed { value: 10 })]);
    assert!(events(&actions).contains(&Event::Trimmed { closed: 1, of: 4, protected: 0, in_grace: 1 }));
}

/// peers.md, "decay": SumBounded(10, 20).
#[test]
fn a_bounded_sum_is_10_after_5_and_20_after_100_more() {
    let mut world = World::new(quiet());
    world.open(1, 1, Direction::Inbound);
    let decay = DecayingTag { interval: Duration::from_secs(60), decay: Decay::None };
    world.tell(Input::DefineDecaying { tag: "bitswap", decay });
    for (add, value) in [(5, 10), (100, 20)] {
        let bump = Bump::Bounded { add, min: 10, max: 20 };
        world.tell(Input::Bump { peer: peer(1), tag: "bitswap", bump });
        assert_eq!(world.manager.peer(&peer(1)).unwrap().value, value);
    }
}

/// Fills a manager whose cap is three with idle inbound peers past their grace.
fn full() -> World {
    let mut config = quiet();
    config.limits.established = 3;
    let mut world = World::new(config);
    for n in 1..=3 {
        world.open(u64::from(n), n, Direction::Inbound);
    }
    world.wait(Duration::from_secs(61));
    world
}

#[test]
fn at_the_hard_cap_a_more_valuable_newcomer_takes_the_least_valuable_s_place_at_once() {
    let mut world = full();
    world.tell(Input::Tag { peer: peer(1), tag: "dht", change: TagChange::Set(5) });
    world.tell(Input::Tag { peer: peer(3), tag: "bad", change: TagChange::Set(-5) });
    let actions = world.open(4, 4, Direction::Inbound);
    assert_eq!(closes(&actions), [(3, CloseReason::Evicted { newcomer: peer(4) })]);
    assert!(events(&actions).contains(&Event::Connected { peer: peer(4) }));
}

#[test]
fn equals_never_replace_each_other_at_the_hard_cap() {
    let mut world = full();
    let (connection, reason) =
        (ConnectionId(4), RefuseReason::Full { cap: 3, protected: 0, in_grace: 0, value: 0, least: Some(0) });
    assert_eq!(world.open(4, 4, Direction::Inbound), [Action::Refuse { connection, reason }]);
    // One that we dialed ourselves is more than an idle one that came by.
    assert_eq!(closes(&world.open(4, 4, Direction::Outbound)).len(), 1);
}

#[test]
fn when_only_protected_peers_and_peers_in_grace_are_left_newcomers_are_refused_with_that_reason() {
    let mut world = full();
    world.tell(Input::Protect { peer: peer(1), reason: "relay" });
    world.tell(Input::Protect { peer: peer(2), reason: "friend" });
    world.closed(3);
    world.open(3, 3, Direction::Inbound);
    world.tell(Input::Tag { peer: peer(4), tag: "dht", change: TagChange::Set(100) });
    let refused = world.open(4, 4, Direction::Outbound);
    let reason = RefuseReason::Full { cap: 3, protected: 2, in_grace: 1, value: 100, least: None };
    assert_eq!(refused, [Action::Refuse { connection: ConnectionId(4), reason: reason.clone() }]);
    let why = format!("{reason}");
    assert!(why.contains("2 by protected peers and 1 by peers in their grace"), "{why}");
    // Its tags are still there for its next try.
    assert_eq!(world.manager.peer(&peer(4)).unwrap().value, 100);
}

#[test]
fn what_is_closing_gives_its_place_at_once() {
    let mut world = full();
    world.tell(Input::Close { connection: ConnectionId(2), why: "" });
    assert!(events(&world.open(4, 4, Direction::Inbound)).contains(&Event::Connected { peer: peer(4) }));
    assert_eq!(world.manager.counts().limits.closing_inbound, 1);
}

#[test]
fn an_emergency_passes_over_grace_and_protection_comes_last() {
    let mut world = World::new(crowd(1, 100));
    for n in 1..=3 {
        world.open(u64::from(n), n, Direction::Inbound);
    }
    world.tell(Input::Protect { peer: peer(2), reason: "relay" });
    let gone = closes(&world.tell(Input::Emergency));
    assert_eq!(gone, [(1, CloseReason::Emergency), (3, CloseReason::Emergency)]);
}

#[test]
fn explain_tells_a_person_why_a_peer_would_stay_or_go() {
    let mut world = World::new(crowd(1, 3));
    for n in 1..=2 {
        world.open(u64::from(n), n, Direction::Inbound);
    }
    let says = |world: &World, n: u32| format!("{}", world.manager.explain(&peer(n)));
    assert!(says(&world, 1).contains("grace"), "{}", says(&world, 1));
    world.wait(Duration::from_secs(61));
    world.tell(Input::Protect { peer: peer(2), reason: "relay" });
    assert!(says(&world, 2).contains("relay"), "{}", says(&world, 2));
    assert!(says(&world, 9).contains("not connected"), "{}", says(&world, 9));
    world.tell(Input::Close { connection: ConnectionId(1), why: "enough" });
    assert!(says(&world, 1).contains("enough"), "{}", says(&world, 1));
}
