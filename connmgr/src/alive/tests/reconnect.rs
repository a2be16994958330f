//! Redialing: tables, then random sequences beside a model that knows the rules but not the jitter.

use crate::alive::reconnect::Full;
use crate::alive::{Reconnect, ReconnectAction, ReconnectConfig};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use proptest::prelude::*;
use tidewire_core::{PeerId, Seed, Time};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn peer(number: u8) -> PeerId {
    PeerId::from_bytes(&[0, 1, number]).unwrap()
}

fn reconnect(config: ReconnectConfig) -> Reconnect {
    Reconnect::new(config, Seed::new([3; 32]))
}

fn drain(reconnect: &mut Reconnect) -> Vec<ReconnectAction> {
    core::iter::from_fn(|| reconnect.poll()).collect()
}

fn dial(number: u8, try_: u32) -> ReconnectAction {
    ReconnectAction::Dial { peer: peer(number), try_ }
}

/// Lets time pass to the next deadline.
fn next(reconnect: &mut Reconnect) -> (Time, Vec<ReconnectAction>) {
    let now = reconnect.deadline();
    assert!(!now.is_never());
    reconnect.on_timeout(now);
    assert!(reconnect.deadline() > now);
    (now, drain(reconnect))
}

fn lost(reconnect: &mut Reconnect, now: Time, number: u8) {
    reconnect.keep(now, peer(number), true, true).unwrap();
    reconnect.disconnected(now, &peer(number));
}

#[test]
fn a_lost_peer_is_tried_with_doubling_delays_and_then_given_up_once() {
    let mut reconnect = reconnect(ReconnectConfig { tries: 8, ..ReconnectConfig::default() });
    lost(&mut reconnect, at(0), 1);
    let mut now = at(0);
    for (try_, delay) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 32), (7, 60), (8, 60)] {
        let (then, actions) = next(&mut reconnect);
        assert_eq!(actions, [dial(1, try_)]);
        let waited = then.since(now);
        assert!(waited >= secs(delay) && waited <= secs(delay) * 5 / 4, "try {try_} after {waited:?}, not {delay} s");
        now = then + secs(15);
        reconnect.dial_failed(now, &peer(1), "connection refused");
    }
    let gave_up = ReconnectAction::GaveUp { peer: peer(1), tries: 8, why: "connection refused".into() };
    assert_eq!(drain(&mut reconnect), [gave_up]);
    assert_eq!(reconnect.deadline(), Time::NEVER);
    reconnect.dial_failed(now, &peer(1), "again");
    reconnect.disconnected(now, &peer(1));
    assert_eq!(drain(&mut reconnect), []);
    assert_eq!(reconnect.deadline(), Time::NEVER);
    assert!(reconnect.is_kept(&peer(1)));
}

#[test]
fn the_delays_differ_by_jitter_and_the_same_seed_gives_the_same() {
    let run = |seed| {
        let mut reconnect =
            Reconnect::new(ReconnectConfig { max_peers: 99, ..ReconnectConfig::default() }, Seed::new(seed));
        (0..50).for_each(|number| lost(&mut reconnect, at(0), number));
        let mut times = vec![];
        while !reconnect.deadline().is_never() {
            times.push(reconnect.deadline());
            reconnect.on_timeout(reconnect.deadline());
        }
        times
    };
    let times = run([1; 32]);
    assert_eq!(times.len(), 50);
    assert_eq!(times, run([1; 32]));
    assert_ne!(times, run([2; 32]));
    let (first, last) = (times[0], times[49]);
    assert!(first >= at(1_000) && last <= at(1_250) && last.since(first) > Duration::from_millis(150));
}

#[test]
fn a_connection_from_anywhere_ends_the_tries_and_the_next_loss_begins_anew() {
    let mut reconnect = reconnect(ReconnectConfig::default());
    lost(&mut reconnect, at(0), 1);
    next(&mut reconnect);
    reconnect.dial_failed(at(2_000), &peer(1), "timed out");
    reconnect.connected(at(2_500), &peer(1));
    assert_eq!(reconnect.deadline(), Time::NEVER);
    reconnect.disconnected(at(12_500), &peer(1));
    let (then, actions) = next(&mut reconnect);
    assert_eq!(actions, [dial(1, 1)]);
    assert!(then <= at(13_750));
}

#[test]
fn a_peer_that_lets_us_in_and_hangs_up_at_once_is_given_up_too() {
    let mut reconnect = reconnect(ReconnectConfig { tries: 3, ..ReconnectConfig::default() });
    lost(&mut reconnect, at(0), 1);
    let mut lost_at = at(0);
    for (try_, delay) in [(1, 1), (2, 2), (3, 4)] {
        let (now, actions) = next(&mut reconnect);
        assert_eq!(actions, [dial(1, try_)]);
        assert!(now.since(lost_at) >= secs(delay), "try {try_} after {:?}", now.since(lost_at));
        reconnect.connected(now, &peer(1));
        // Another connection to it, or its mark once more, makes the first one no younger.
        reconnect.connected(now + secs(1), &peer(1));
        reconnect.keep(now + secs(1), peer(1), true, true).unwrap();
        lost_at = now + Duration::from_millis(1_500);
        reconnect.disconnected(lost_at, &peer(1));
    }
    let why = "it was connected, and lost again after 1500 ms".into();
    assert_eq!(drain(&mut reconnect), [ReconnectAction::GaveUp { peer: peer(1), tries: 3, why }]);
    assert_eq!(reconnect.deadline(), Time::NEVER);
}

#[test]
fn a_connection_that_lasts_ends_the_tries_however_many_came_before() {
    let mut reconnect = reconnect(ReconnectConfig { tries: 2, ..ReconnectConfig::default() });
    lost(&mut reconnect, at(0), 1);
    for _ in 0..10 {
        let (now, actions) = next(&mut reconnect);
        assert_eq!(actions, [dial(1, 1)]);
        reconnect.connected(now, &peer(1));
        reconnect.disconnected(now + secs(10), &peer(1));
    }
}

#[test]
fn a_connection_also_revives_one_that_was_given_up() {
    let mut reconnect = reconnect(ReconnectConfig { tries: 1, ..ReconnectConfig::default() });
    lost(&mut reconnect, at(0), 1);
    next(&mut reconnect);
    reconnect.dial_failed(at(2_000), &peer(1), "timed out");
    assert_eq!(drain(&mut reconnect).len(), 1);
    reconnect.connected(at(90_000), &peer(1));
    reconnect.disconnected(at(91_000), &peer(1));
    assert_eq!(next(&mut reconnect).1, [dial(1, 1)]);
}

#[test]
fn marking_a_peer_that_was_given_up_begins_anew() {
    let mut reconnect = reconnect(ReconnectConfig { tries: 1, ..ReconnectConfig::default() });
    lost(&mut reconnect, at(0), 1);
    next(&mut reconnect);
    reconnect.dial_failed(at(2_000), &peer(1), "timed out");
    // Not told yet, and no longer true.
    reconnect.keep(at(3_000), peer(1), true, false).unwrap();
    assert_eq!(drain(&mut reconnect), []);
    assert_eq!(next(&mut reconnect).1, [dial(1, 1)]);
}

#[test]
fn marking_a_peer_that_is_being_redialed_changes_nothing() {
    let mut reconnect = reconnect(ReconnectConfig::default());
    lost(&mut reconnect, at(0), 1);
    let deadline = reconnect.deadline();
    reconnect.keep(at(500), peer(1), true, false).unwrap();
    assert_eq!(reconnect.deadline(), deadline);
    next(&mut reconnect);
    reconnect.keep(at(2_000), peer(1), true, false).unwrap();
    assert_eq!(reconnect.deadline(), Time::NEVER, "its dial is under way");
}

#[test]
fn a_peer_that_is_marked_without_a_connection_is_dialed() {
    let mut reconnect = reconnect(ReconnectConfig::default());
    reconnect.keep(at(0), peer(1), true, false).unwrap();
    assert_eq!(next(&mut reconnect).1, [dial(1, 1)]);
}

#[test]
fn what_the_application_ended_is_not_redialed() {
    let mut reconnect = reconnect(ReconnectConfig::default());
    reconnect.keep(at(0), peer(1), true, true).unwrap();
    reconnect.stopped(&peer(1));
    reconnect.disconnected(at(10), &peer(1));
    assert_eq!(reconnect.deadline(), Time::NEVER);
    // Nor what it ended while it was tried.
    lost(&mut reconnect, at(20), 2);
    next(&mut reconnect);
    reconnect.stopped(&peer(2));
    reconnect.dial_failed(at(2_000), &peer(2), "cancelled");
    assert_eq!((drain(&mut reconnect), reconnect.deadline()), (vec![], Time::NEVER));
    // A later connection that is lost is another matter.
    reconnect.connected(at(3_000), &peer(1));
    reconnect.disconnected(at(4_000), &peer(1));
    assert_eq!(next(&mut reconnect).1, [dial(1, 1)]);
}

#[test]
fn at_most_so_many_are_dialed_at_once_and_the_others_wait_their_turn() {
    let mut reconnect = reconnect(ReconnectConfig { at_once: 2, ..ReconnectConfig::default() });
    let mut order = vec![];
    for number in 0..6 {
        lost(&mut reconnect, at(u64::from(number) * 1_000), number);
    }
    reconnect.on_timeout(at(20_000));
    let dialed = |actions: Vec<ReconnectAction>| -> Vec<PeerId> {
        let dialed = |action| if let ReconnectAction::Dial { peer, .. } = action { Some(peer) } else { None };
        actions.into_iter().filter_map(dialed).collect()
    };
    order.extend(dialed(drain(&mut reconnect)));
    assert_eq!(order.len(), 2);
    reconnect.connected(at(20_000), &peer(1));
    reconnect.dial_failed(at(20_000), &peer(0), "refused");
    order.extend(dialed(drain(&mut reconnect)));
    assert_eq!(order.len(), 4);
    reconnect.keep(at(20_000), peer(2), false, false).unwrap();
    reconnect.keep(at(20_000), peer(4), false, false).unwrap();
    order.extend(dialed(drain(&mut reconnect)));
    assert_eq!(order, [0, 1, 2, 3, 5].map(peer));
}

#[test]
fn a_new_network_brings_every_turn_at_once_and_all_tries_again() {
    let mut reconnect = reconnect(ReconnectConfig { tries: 2, ..ReconnectConfig::default() });
    lost(&mut reconnect, at(0), 1);
    lost(&mut reconnect, at(0), 2);
    lost(&mut reconnect, at(0), 3);
    reconnect.on_timeout(at(1_250));
    assert_eq!(drain(&mut reconnect).len(), 3);
    reconnect.dial_failed(at(2_000), &peer(2), "unreachable");
    reconnect.dial_failed(at(2_000), &peer(1), "unreachable");
    reconnect.network_changed();
    let mut dials = drain(&mut reconnect);
    dials.sort_by_key(|action| alloc::format!("{action:?}"));
    assert_eq!(dials, [dial(1, 1), dial(2, 1)]);
    // The one under way was begun on the network before: it doesn't count.
    reconnect.dial_failed(at(2_100), &peer(3), "unreachable");
    assert_eq!(next(&mut reconnect).1, [dial(3, 1)]);
}

#[test]
fn a_new_network_also_revives_one_that_was_given_up() {
    let mut reconnect = reconnect(ReconnectConfig { tries: 1, ..ReconnectConfig::default() });
    lost(&mut reconnect, at(0), 1);
    next(&mut reconnect);
    reconnect.dial_failed(at(2_000), &peer(1), "unreachable");
    assert!(matches!(drain(&mut reconnect)[..], [ReconnectAction::GaveUp { .. }]));
    reconnect.network_changed();
    assert_eq!(drain(&mut reconnect), [dial(1, 1)]);
}

#[test]
fn a_new_network_leaves_whom_the_application_disconnected_alone() {
    let mut reconnect = reconnect(ReconnectConfig::default());
    reconnect.keep(at(0), peer(1), true, true).unwrap();
    reconnect.stopped(&peer(1));
    reconnect.disconnected(at(1_000), &peer(1));
    reconnect.network_changed();
    assert_eq!((drain(&mut reconnect), reconnect.deadline()), (vec![], Time::NEVER));
}

#[test]
fn a_new_network_is_no_try_where_none_is_allowed() {
    let mut reconnect = reconnect(ReconnectConfig { tries: 0, ..ReconnectConfig::default() });
    lost(&mut reconnect, at(0), 1);
    assert_eq!(drain(&mut reconnect).len(), 1);
    reconnect.network_changed();
    assert_eq!(drain(&mut reconnect), []);
}

#[test]
fn without_tries_a_lost_peer_is_given_up_at_once() {
    let mut reconnect = reconnect(ReconnectConfig { tries: 0, ..ReconnectConfig::default() });
    lost(&mut reconnect, at(0), 1);
    let gave_up = ReconnectAction::GaveUp { peer: peer(1), tries: 0, why: "no try is allowed".into() };
    assert_eq!(drain(&mut reconnect), [gave_up]);
}

#[test]
fn more_peers_than_the_cap_are_refused_and_a_removed_mark_makes_room() {
    let mut reconnect = reconnect(ReconnectConfig { max_peers: 2, ..ReconnectConfig::default() });
    reconnect.keep(at(0), peer(1), true, true).unwrap();
    reconnect.keep(at(0), peer(2), true, true).unwrap();
    assert_eq!(reconnect.keep(at(0), peer(3), true, true), Err(Full(2)));
    reconnect.keep(at(0), peer(2), true, true).unwrap();
    assert!(!reconnect.is_kept(&peer(3)));
    reconnect.keep(at(0), peer(1), false, true).unwrap();
    assert!(!reconnect.is_kept(&peer(1)));
    reconnect.keep(at(0), peer(3), true, true).unwrap();
}

#[test]
fn peers_without_a_mark_are_passed_over() {
    let mut reconnect = reconnect(ReconnectConfig::default());
    reconnect.connected(at(0), &peer(1));
    reconnect.disconnected(at(0), &peer(1));
    reconnect.dial_failed(at(0), &peer(1), "refused");
    reconnect.stopped(&peer(1));
    reconnect.keep(at(0), peer(1), false, false).unwrap();
    assert_eq!((drain(&mut reconnect), reconnect.deadline()), (vec![], Time::NEVER));
}

#[test]
fn clearing_forgets_all() {
    let mut reconnect = reconnect(ReconnectConfig::default());
    lost(&mut reconnect, at(0), 1);
    reconnect.clear();
    assert!(!reconnect.is_kept(&peer(1)));
    assert_eq!(reconnect.deadline(), Time::NEVER);
    assert_eq!(reconnect.memory_used(), 0);
}

#[test]
fn a_long_reason_is_cut_between_characters_and_counted() {
    let mut reconnect = reconnect(ReconnectConfig { tries: 1, ..ReconnectConfig::default() });
    lost(&mut reconnect, at(0), 1);
    next(&mut reconnect);
    let before = reconnect.memory_used();
    let why: String = core::iter::repeat_n('\u{20ac}', 1_000).collect();
    reconnect.dial_failed(at(2_000), &peer(1), &why);
    match &drain(&mut reconnect)[..] {
        [ReconnectAction::GaveUp { why: cut, .. }] => assert_eq!(cut.as_str(), &why[..126]),
        other => panic!("{other:?}"),
    }
    assert!(reconnect.memory_used() >= before + 126);
    reconnect.connected(at(3_000), &peer(1));
    reconnect.disconnected(at(3_000), &peer(1));
    assert!(reconnect.memory_used() < before + 126);
}

#[test]
fn the_memory_counted_is_the_memory_allocated() {
    let mut reconnect = reconnect(ReconnectConfig { tries: 1, at_once: 9, ..ReconnectConfig::default() });
    let allocated = allocation_counter::measure(|| {
        for number in 0..30 {
            lost(&mut reconnect, at(0), number);
        }
        reconnect.on_timeout(at(2_000));
        while reconnect.poll().is_some() {}
        for number in 0..30 {
            reconnect.dial_failed(at(3_000), &peer(number), "a reason that is too long to stand inline");
        }
    });
    assert_eq!(i64::try_from(reconnect.memory_used()).unwrap(), allocated.bytes_current);
}

#[derive(Clone, Debug)]
enum Op {
    Keep(u8, bool),
    Connected(u8),
    Disconnected(u8),
    Stopped(u8),
    Failed(u8),
    Network,
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let peer = 0..6u8;
    prop_oneof![
        3 => (peer.clone(), prop::bool::weighted(0.8)).prop_map(|(peer, on)| Op::Keep(peer, on)),
        2 => peer.clone().prop_map(Op::Connected),
        3 => peer.clone().prop_map(Op::Disconnected),
        1 => peer.clone().prop_map(Op::Stopped),
        6 => peer.prop_map(Op::Failed),
        1 => Just(Op::Network),
        6 => (0..20_000u64).prop_map(Op::Wait),
    ]
}

/// What a person would write down about one peer.
#[derive(Clone, Debug, PartialEq)]
enum Noted {
    Connected {
        since: Time,
        stopped: bool,
    },
    /// Its turn comes between these.
    Waiting {
        from: Time,
        to: Time,
    },
    Dialing,
    GivenUp {
        told: bool,
    },
    Quiet,
}

struct Model {
    config: ReconnectConfig,
    peers: BTreeMap<u8, (Noted, u32)>,
}

impl Model {
    fn wait(&mut self, now: Time, number: u8) {
        let (noted, tries) = self.peers.get_mut(&number).unwrap();
        *noted = if *tries == self.config.tries {
            Noted::GivenUp { told: false }
        } else {
            let delay = core::cmp::min(self.config.first_delay * 2u32.pow(*tries), self.config.max_delay);
            Noted::Waiting { from: now + delay, to: now + delay * 5 / 4 }
        };
    }

    fn dialing(&self) -> u32 {
        u32::try_from(self.peers.values().filter(|(noted, _)| *noted == Noted::Dialing).count()).unwrap()
    }

    /// Takes what the machine says to do, and says what is wrong with it.
    fn check(&mut self, now: Time, actions: &[ReconnectAction]) -> Result<(), TestCaseError> {
        for action in actions {
            match action {
                ReconnectAction::Dial { peer, try_ } => {
                    let number = peer.as_bytes()[2];
                    let Some((Noted::Waiting { from, .. }, tries)) = self.peers.get(&number).cloned() else {
                        return Err(TestCaseError::fail("a dial of a peer that doesn't wait"));
                    };
                    prop_assert!(from <= now, "too early");
                    prop_assert_eq!(*try_, tries + 1);
                    let mut all = self.peers.values();
                    let overtaken = all.any(|(noted, _)| matches!(noted, Noted::Waiting { to, .. } if *to < from));
                    prop_assert!(!overtaken, "another one waited longer");
                    self.peers.insert(number, (Noted::Dialing, tries + 1));
                }
                ReconnectAction::GaveUp { peer, tries, .. } => {
                    let number = peer.as_bytes()[2];
                    let noted = self.peers.get_mut(&number).unwrap();
                    prop_assert_eq!(&*noted, &(Noted::GivenUp { told: false }, *tries));
                    noted.0 = Noted::GivenUp { told: true };
                }
            }
        }
        prop_assert!(self.dialing() <= self.config.at_once);
        for (noted, _) in self.peers.values() {
            prop_assert!(*noted != Noted::GivenUp { told: false }, "it was not told");
            if let Noted::Waiting { to, .. } = noted {
                prop_assert!(
                    *to > now || self.dialing() == self.config.at_once,
                    "a place is free, and nobody takes it"
                );
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn it_does_what_the_model_allows(ops in prop::collection::vec(op(), 1..100), at_once in 1..4u32, tries in 0..4u32) {
        let config = ReconnectConfig { at_once, tries, max_peers: 4, max_delay: secs(3), ..ReconnectConfig::default() };
        let mut reconnect = reconnect(config.clone());
        let mut model = Model { config, peers: BTreeMap::new() };
        let mut now = Time::ZERO;
        for op in ops {
            match op {
                Op::Keep(number, on) => {
                    let full = on && !model.peers.contains_key(&number) && model.peers.len() == 4;
                    prop_assert_eq!(reconnect.keep(now, peer(number), on, false).is_err(), full);
                    match model.peers.get(&number) {
                        _ if !on => { model.peers.remove(&number); }
                        None if full => {}
                        Some((Noted::Waiting { .. } | Noted::Dialing, _)) => {}
                        _ => {
                            model.peers.insert(number, (Noted::Quiet, 0));
                            model.wait(now, number);
                        }
                    }
                }
                Op::Connected(number) => {
                    reconnect.connected(now, &peer(number));
                    if let Some((noted, tries)) = model.peers.get_mut(&number) {
                        match noted {
                            Noted::Connected { stopped, .. } => *stopped = false,
                            _ => {
                                if matches!(noted, Noted::Quiet | Noted::GivenUp { .. }) {
                                    *tries = 0;
                                }
                                *noted = Noted::Connected { since: now, stopped: false };
                            }
                        }
                    }
                }
                Op::Disconnected(number) => {
                    reconnect.disconnected(now, &peer(number));
                    match model.peers.get_mut(&number) {
                        Some((Noted::Connected { since, stopped: false }, tries)) => {
                            if now.since(*since) >= model.config.settled {
                                *tries = 0;
                            }
                            model.wait(now, number);
                        }
                        Some((noted @ Noted::Connected { .. }, _)) => *noted = Noted::Quiet,
                        _ => {}
                    }
                }
                Op::Stopped(number) => {
                    reconnect.stopped(&peer(number));
                    if let Some((noted, _)) = model.peers.get_mut(&number) {
                        *noted = match noted {
                            Noted::Connected { since, .. } => Noted::Connected { since: *since, stopped: true },
                            _ => Noted::Quiet,
                        };
                    }
                }
                Op::Failed(number) => {
                    reconnect.dial_failed(now, &peer(number), "refused");
                    if matches!(model.peers.get(&number), Some((Noted::Dialing, _))) {
                        model.wait(now, number);
                    }
                }
                Op::Network => {
                    reconnect.network_changed();
                    for (noted, tries) in model.peers.values_mut() {
                        match noted {
                            Noted::Waiting { from, .. } => {
                                *from = now.min(*from);
                                *noted = Noted::Waiting { from: *from, to: now };
                                *tries = 0;
                            }
                            Noted::GivenUp { .. } if model.config.tries > 0 => {
                                *noted = Noted::Waiting { from: now, to: now };
                                *tries = 0;
                            }
                            Noted::Dialing | Noted::Connected { .. } => *tries = 0,
                            _ => {}
                        }
                    }
                }
                Op::Wait(wait) => {
                    let until = now + Duration::from_millis(wait);
                    while reconnect.deadline() <= until {
                        now = now.max(reconnect.deadline());
                        reconnect.on_timeout(now);
                        prop_assert!(reconnect.deadline() > now);
                        let actions = drain(&mut reconnect);
                        model.check(now, &actions)?;
                    }
                    now = until;
                }
            }
            let actions = drain(&mut reconnect);
            model.check(now, &actions)?;
        }
    }
}
