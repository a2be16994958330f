//! Who goes when there are too many, as the manager carries it out.

use super::*;
use crate::RefuseReason;
use crate::worth::{Bump, Decay, DecayingTag, TagChange};
use alloc::string::ToString;

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

/// No saw-tooth: the cap stays filled, and each newcomer costs one.
#[test]
fn at_the_hard_cap_each_better_newcomer_costs_one_and_the_cap_stays_filled() {
    let mut world = full();
    for n in 4..=30 {
        world.tell(Input::Tag { peer: peer(n), tag: "dht", change: TagChange::Set(i32::try_from(n).unwrap()) });
        let gone = closes(&world.open(u64::from(n), n, Direction::Inbound));
        assert_eq!(gone.len(), 1, "newcomer {n}");
        let counts = world.manager.counts().limits;
        assert_eq!((counts.established_inbound, counts.closing_inbound), (3, 1), "newcomer {n}");
        world.closed(gone[0].0);
        world.wait(Duration::from_secs(61));
    }
    let left: Vec<bool> = (26..=30).map(|n| world.manager.is_connected(&peer(n))).collect();
    assert_eq!(left, [false, false, true, true, true]);
}

#[test]
fn an_evicted_peer_loses_all_its_connections() {
    let mut config = quiet();
    config.limits.established = 3;
    config.duplicates.per_peer = 2;
    let mut world = World::new(config);
    for (connection, n) in [(1, 1), (2, 2), (3, 2)] {
        world.open(connection, n, Direction::Inbound);
    }
    world.tell(Input::Tag { peer: peer(1), tag: "dht", change: TagChange::Set(5) });
    world.wait(Duration::from_secs(61));
    let evicted = CloseReason::Evicted { newcomer: peer(4) };
    assert_eq!(closes(&world.open(4, 4, Direction::Outbound)), [(2, evicted.clone()), (3, evicted)]);
}

#[test]
fn a_trim_on_command_needs_no_high_watermark_and_is_followed_by_silence() {
    let mut config = crowd(1, 3);
    config.worth.grace = Duration::ZERO;
    let mut world = World::new(config);
    for n in 1..=2 {
        world.open(u64::from(n), n, Direction::Inbound);
    }
    assert_eq!(closes(&world.tell(Input::TrimNow)), [(1, CloseReason::Trimmed { value: 0 })]);
    for n in 3..=4 {
        assert_eq!(closes(&world.open(u64::from(n), n, Direction::Inbound)), []);
    }
    assert_eq!(closes(&world.wait(Duration::from_millis(9_999))), []);
    assert_eq!(closes(&world.wait(Duration::from_millis(1))).len(), 2);
}

#[test]
fn of_trims_in_a_row_that_could_close_nothing_only_the_first_is_told() {
    let mut world = World::new(crowd(1, 2));
    let trimmed = |actions: &[Action]| {
        let all = events(actions);
        all.into_iter().filter(|event| matches!(event, Event::Trimmed { .. })).collect::<Vec<_>>()
    };
    world.open(1, 1, Direction::Inbound);
    let told = trimmed(&world.open(2, 2, Direction::Inbound));
    assert_eq!(told, [Event::Trimmed { closed: 0, of: 2, protected: 0, in_grace: 2 }]);
    assert_eq!(trimmed(&world.wait(Duration::from_secs(59))), []);
    let told = trimmed(&world.wait(Duration::from_secs(1)));
    assert_eq!(told, [Event::Trimmed { closed: 1, of: 2, protected: 0, in_grace: 0 }]);
}

#[test]
fn tags_of_a_peer_without_a_connection_are_forgotten_after_a_minute_and_the_peer_with_them() {
    let mut world = World::new(quiet());
    world.tell(Input::Tag { peer: peer(1), tag: "dht", change: TagChange::Set(5) });
    assert_eq!(world.manager.peer(&peer(1)).unwrap().value, 5);
    world.wait(Duration::from_secs(60));
    assert!(world.manager.peer(&peer(1)).is_none());
    assert_eq!(world.manager.counts().known_peers, 0);
}

#[test]
fn tags_go_with_the_last_connection_and_protection_stays() {
    let mut world = World::new(quiet());
    world.open(1, 1, Direction::Inbound);
    world.tell(Input::Tag { peer: peer(1), tag: "dht", change: TagChange::Set(5) });
    world.tell(Input::Protect { peer: peer(1), reason: "relay" });
    world.closed(1);
    let known = world.manager.peer(&peer(1)).unwrap();
    assert_eq!((known.value, known.protections), (0, Vec::from(["relay"])));
    world.tell(Input::Unprotect { peer: peer(1), reason: "relay" });
    assert_eq!(world.manager.counts().known_peers, 0);
}

#[test]
fn a_timeout_that_is_an_hour_late_leaves_what_timely_ones_leave() {
    let decays = [
        ("fixed", Decay::Fixed(7)),
        ("linear", Decay::Linear { numerator: 99, denominator: 100 }),
        ("inactive", Decay::ExpireWhenInactive(Duration::from_secs(3600))),
        ("soon", Decay::ExpireWhenInactive(Duration::from_secs(90))),
        ("none", Decay::None),
    ];
    let start = || {
        let mut world = World::new(quiet());
        world.open(1, 1, Direction::Inbound);
        for (tag, decay) in decays {
            world.tell(Input::DefineDecaying { tag, decay: DecayingTag { interval: Duration::from_secs(60), decay } });
            world.tell(Input::Bump { peer: peer(1), tag, bump: Bump::Unbounded(1000) });
        }
        world.tell(Input::Tag { peer: peer(2), tag: "early", change: TagChange::Set(5) });
        world
    };
    let (mut timely, mut late) = (start(), start());
    timely.wait(Duration::from_secs(3599));
    late.now = timely.now;
    late.manager.on_timeout(late.now);
    let tags = |world: &World| {
        let view = world.manager.peer(&peer(1)).unwrap();
        let tags: Vec<_> = view.tags.iter().map(|(tag, value)| (tag.to_string(), *value)).collect();
        tags
    };
    assert_eq!(tags(&late), tags(&timely));
    assert_eq!(tags(&late)[0], ("fixed".to_string(), 1000 - 59 * 7));
    assert_eq!(tags(&late).len(), 4);
    assert_eq!(late.manager.counts().known_peers, 1);
    assert_eq!(late.manager.deadline(), timely.manager.deadline());
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
fn an_emergency_tells_what_it_closed_and_what_protection_kept() {
    let mut world = World::new(crowd(1, 100));
    for n in 1..=4 {
        world.open(u64::from(n), n, Direction::Inbound);
    }
    for n in 1..=2 {
        world.tell(Input::Protect { peer: peer(n), reason: "relay" });
    }
    let actions = world.tell(Input::Emergency);
    assert_eq!(closes(&actions).iter().map(|(connection, _)| *connection).collect::<Vec<_>>(), [3, 4, 1]);
    assert_eq!(events(&actions), [Event::Trimmed { closed: 3, of: 4, protected: 1, in_grace: 0 }]);
}

#[test]
fn explain_tells_a_person_why_a_peer_would_stay_or_go() {
    let mut world = World::new(crowd(1, 3));
    let says = |world: &World, n: u32, text: &str| {
        let id = peer(n);
        assert_eq!(format!("{}", world.manager.explain(&id)), format!("{id}: {text}"));
    };
    for n in 1..=3 {
        world.open(u64::from(n), n, Direction::Inbound);
    }
    let text = "would not be closed for another 60s: it is in its grace, and its value is 0; a trim comes in 10s: there are \
                3 connections, and the high watermark is 3";
    says(&world, 1, text);
    world.wait(Duration::from_secs(1));
    world.closed(3);
    world.wait(Duration::from_secs(60));
    // It speaks of the moment of the last call.
    world.tell(Input::Used { connection: ConnectionId(1) });
    let text = "would be closed by a trim: 1 of the 2 connections that may be closed must go (the low watermark is 1), and \
                it is the first of 2 peers to go: its value is 0 (no tags), and it has no streams; no trim comes below the \
                high watermark of 3: there are 2 connections";
    says(&world, 1, text);
    world.tell(Input::Protect { peer: peer(2), reason: "relay" });
    says(&world, 2, "would not be closed: it is protected for \"relay\"");
    says(&world, 9, "not connected");
    world.tell(Input::Close { connection: ConnectionId(1), why: "enough" });
    says(&world, 1, "being closed already; connection c1 is being closed: the application asked for it: enough");
}
