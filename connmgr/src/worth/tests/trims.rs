//! Trims, emergencies, and evictions at the hard cap.

use super::*;
use crate::worth::trimmer::Full;

/// peers.md: 31 connections with 10/20: none in grace, then exactly 21.
#[test]
fn of_31_connections_with_10_and_20_none_goes_in_grace_and_exactly_21_afterwards() {
    let mut worth = crowd(&WorthConfig { grace: MINUTE, ..watermarks(10, 20) }, 31);
    let trim = worth.trim_now(Time::from_nanos(at(60).as_nanos() - 1));
    assert_eq!((trim.closed, trim.of, trim.protected, trim.in_grace), (0, 31, 0, 31));
    let trim = worth.trim_now(at(60));
    assert_eq!((trim.closed, trim.of, trim.protected, trim.in_grace), (21, 31, 0, 0));
    assert_eq!(victims(&trim), (0..21).collect::<Vec<u32>>());
    assert_eq!(worth.trim_now(at(60)).closed, 0);
}

#[test]
fn a_trim_begins_at_the_high_watermark() {
    let mut worth = crowd(&watermarks(2, 4), 3);
    assert_eq!((worth.deadline(), worth.trim(at(1))), (Time::NEVER, None));
    connect(&mut worth, at(1), 3);
    assert_eq!(worth.deadline(), Time::ZERO);
    assert_eq!(victims(&worth.trim(at(1)).unwrap()), [3, 0]);
    assert_eq!((worth.deadline(), worth.trim(at(100))), (Time::NEVER, None));
}

#[test]
fn protected_peers_and_those_in_their_grace_count_for_the_high_watermark_and_not_for_the_low_one() {
    let mut worth = crowd(&WorthConfig { grace: MINUTE, ..watermarks(2, 6) }, 5);
    for peer in 0..2 {
        worth.protect(at(0), PeerIx(peer), "a").unwrap();
    }
    worth.update(at(0), PeerIx(1), Standing { connections: 2, ..inbound(at(0)) });
    worth.update(at(50), PeerIx(4), inbound(at(50)));
    let trim = worth.trim(at(60)).unwrap();
    assert_eq!((trim.closed, trim.of, trim.protected, trim.in_grace), (0, 6, 3, 1));
    let trim = worth.trim(at(110)).unwrap();
    assert_eq!((victims(&trim), trim.of, trim.protected, trim.in_grace), (vec![4], 6, 3, 0));
}

#[test]
fn grace_ends_for_a_peer_with_its_youngest_connection() {
    let mut worth = crowd(&WorthConfig { grace: MINUTE, ..watermarks(1, 1) }, 2);
    worth.update(at(30), PeerIx(0), Standing { connections: 2, ..inbound(at(30)) });
    assert_eq!(victims(&worth.trim_now(at(60))), []);
    assert_eq!(worth.trim_now(at(60)).in_grace, 2);
    // All its connections go.
    let trim = worth.trim_now(at(90));
    assert_eq!((victims(&trim), trim.closed), (vec![0], 2));
}

#[test]
fn the_youngest_connection_s_end_ends_the_grace() {
    let mut worth = crowd(&WorthConfig { grace: MINUTE, ..watermarks(1, 1) }, 2);
    worth.update(at(30), PeerIx(0), Standing { connections: 2, ..inbound(at(30)) });
    worth.update(at(61), PeerIx(0), inbound(at(0)));
    assert_eq!(worth.trim_now(at(61)).closed, 1);
}

#[test]
fn between_two_trims_there_is_silence_though_they_closed_nothing() {
    let mut worth = crowd(&WorthConfig { grace: MINUTE, ..watermarks(1, 2) }, 2);
    assert_eq!(worth.deadline(), at(0));
    assert_eq!(worth.trim(at(55)).unwrap().closed, 0);
    assert_eq!(worth.deadline(), at(65));
    assert_eq!(worth.trim(at(60)), None);
    assert_eq!(worth.trim(Time::from_nanos(at(65).as_nanos() - 1)), None);
    assert_eq!(worth.trim(at(65)).unwrap().closed, 1);
    connect(&mut worth, at(66), 2);
    assert_eq!((worth.deadline(), worth.trim(at(74))), (at(75), None));
}

#[test]
fn a_trim_on_command_knows_no_silence_and_no_high_watermark_and_begins_a_silence() {
    let mut worth = crowd(&watermarks(1, 3), 3);
    assert_eq!(worth.trim(at(1)).unwrap().closed, 2);
    connect(&mut worth, at(2), 1);
    assert_eq!(worth.trim_now(at(2)).closed, 1);
    for peer in 0..3 {
        connect(&mut worth, at(3), peer);
    }
    assert_eq!((worth.deadline(), worth.trim(at(11))), (at(12), None));
}

#[test]
fn a_trim_that_must_close_one_connection_closes_all_of_its_peer() {
    let mut worth = crowd(&watermarks(3, 4), 2);
    worth.update(at(0), PeerIx(1), Standing { connections: 3, ..inbound(at(0)) });
    set(&mut worth, at(0), 1, -1);
    let trim = worth.trim(at(1)).unwrap();
    assert_eq!((trim.victims, trim.closed, trim.of), (vec![(PeerIx(1), -1)], 3, 4));
}

#[test]
fn either_watermark_of_0_switches_trims_off() {
    for (low, high) in [(0, 1), (1, 0), (0, 0)] {
        let mut worth = crowd(&watermarks(low, high), 5);
        assert_eq!((worth.deadline(), worth.trim(at(1))), (Time::NEVER, None));
        assert_eq!(worth.trim_now(at(1)).closed, 0);
    }
}

#[test]
fn a_low_watermark_above_the_high_one_is_kept() {
    let mut worth = crowd(&watermarks(5, 2), 4);
    assert_eq!(worth.trim(at(1)).unwrap().closed, 0);
    connect(&mut worth, at(2), 4);
    connect(&mut worth, at(2), 5);
    assert_eq!(worth.trim(at(11)).unwrap().closed, 1);
}

#[test]
fn a_silence_of_nothing_does_not_make_the_deadline_spin() {
    let mut worth = crowd(&WorthConfig { silence: Duration::ZERO, grace: MINUTE, ..watermarks(1, 1) }, 2);
    assert!(worth.trim(at(1)).is_some());
    assert_eq!(worth.deadline(), Time::ZERO + Duration::from_millis(1001));
}

#[test]
fn a_victim_counts_no_longer_until_something_is_heard_of_it() {
    let mut worth = crowd(&watermarks(2, 3), 3);
    assert_eq!(victims(&worth.trim(at(1)).unwrap()), [0]);
    // No change of its worth brings it back.
    set(&mut worth, at(1), 0, -9);
    worth.protect(at(1), PeerIx(0), "a").unwrap();
    worth.unprotect(at(1), PeerIx(0), "a");
    assert_eq!((worth.deadline(), worth.trim_now(at(2)).of), (Time::NEVER, 2));
    connect(&mut worth, at(3), 0);
    assert_eq!((worth.trim_now(at(3)).victims), [(PeerIx(0), -9)]);
}

#[test]
fn an_emergency_passes_over_grace_in_the_order_of_all_and_protected_ones_come_last() {
    let mut worth = crowd(&WorthConfig { grace: MINUTE, ..watermarks(1, 100) }, 6);
    for (peer, value) in [(0, 3), (1, 1), (2, 2), (3, 0), (4, -4), (5, -5)] {
        set(&mut worth, at(0), peer, value);
    }
    worth.update(at(40), PeerIx(1), inbound(at(40)));
    worth.update(at(40), PeerIx(3), inbound(at(40)));
    for peer in 4..6 {
        worth.protect(at(0), PeerIx(peer), "a").unwrap();
    }
    let trim = worth.emergency(at(60));
    assert_eq!(victims(&trim), [3, 1, 2, 0, 5]);
    // Nobody was passed over for being in its grace, and one stayed that is protected.
    assert_eq!((trim.closed, trim.of, trim.protected, trim.in_grace), (5, 6, 1, 0));
    assert_eq!(worth.emergency(at(60)).closed, 0);
}

#[test]
fn an_emergency_closes_nobody_protected_when_others_are_enough() {
    let mut worth = crowd(&WorthConfig { grace: MINUTE, ..watermarks(2, 100) }, 4);
    worth.protect(at(0), PeerIx(0), "a").unwrap();
    let trim = worth.emergency(at(1));
    assert_eq!((victims(&trim), trim.protected, trim.in_grace), (vec![1, 2], 1, 0));
}

#[test]
fn an_emergency_without_a_low_watermark_drops_temporary_entries_only() {
    let mut worth = crowd(&watermarks(0, 2), 4);
    set(&mut worth, at(0), 9, 5);
    assert_eq!((worth.emergency(at(1)).closed, blank(&mut worth)), (0, vec![9]));
}

#[test]
fn an_emergency_begins_a_silence() {
    let mut worth = crowd(&watermarks(2, 2), 3);
    worth.emergency(at(5));
    assert_eq!(worth.deadline(), at(15));
}

/// Who goes for a newcomer of this value.
fn evict(worth: &mut Worth, value: i32, outbound: bool) -> Result<u32, Full> {
    worth.tag(at(100), PeerIx(99), "v", TagChange::Set(value)).unwrap();
    worth.evict_for(at(100), PeerIx(99), outbound).map(|peer| peer.0)
}

fn one(value: i32, standing: Standing) -> Worth {
    let mut worth = Worth::new(&quiet());
    worth.update(at(0), PeerIx(0), standing);
    set(&mut worth, at(0), 0, value);
    worth
}

#[test]
fn a_newcomer_takes_the_place_of_one_that_is_worth_less() {
    let idle = inbound(at(0));
    let (busy, ours) = (Standing { streams: 5, ..idle }, Standing { outbound: true, ..idle });
    // What the one that is there is like, the newcomer's value, whether we dialed it, whether it gets the place.
    let table = [
        (0, idle, 1, false, true),
        (0, Standing { outbound: true, ..busy }, 1, false, true),
        (0, idle, 0, false, false),
        (0, idle, 0, true, true),
        (0, ours, 0, true, false),
        (0, busy, 0, true, false),
        (0, Standing { newest: at(99), ..idle }, 0, false, false),
        (0, idle, -1, true, false),
        (-5, ours, -4, false, true),
        (i32::MIN, busy, i32::MIN, true, false),
        (i32::MAX, idle, i32::MAX, false, false),
    ];
    for (value, standing, newcomer, outbound, gets_it) in table {
        let got = evict(&mut one(value, standing), newcomer, outbound);
        let refused = Full { protected: 0, in_grace: 0, value: newcomer, least: Some(value) };
        assert_eq!(got, if gets_it { Ok(0) } else { Err(refused) }, "{standing:?} {value}, {newcomer} {outbound}");
    }
}

#[test]
fn an_eviction_takes_one_peer_the_first_in_the_order_and_no_more() {
    let mut worth = crowd(&watermarks(1, 100), 5);
    set(&mut worth, at(0), 3, -1);
    assert_eq!(evict(&mut worth, 5, false), Ok(3));
    assert_eq!(worth.sums.total(), 4);
    assert_eq!(evict(&mut worth, 5, false), Ok(0));
    assert_eq!(worth.sums.total(), 3);
}

#[test]
fn a_protected_newcomer_takes_the_place_of_anybody_who_may_be_closed() {
    let mut worth = one(i32::MAX, Standing { streams: 9, outbound: true, ..inbound(at(0)) });
    worth.protect(at(0), PeerIx(99), "relay").unwrap();
    assert_eq!(evict(&mut worth, -5, false), Ok(0));
    assert_eq!(evict(&mut worth, -5, false), Err(Full { protected: 0, in_grace: 0, value: -5, least: None }));
}

#[test]
fn when_only_protected_peers_and_peers_in_their_grace_are_left_nobody_goes() {
    let mut worth = crowd(&WorthConfig { grace: MINUTE, ..quiet() }, 3);
    worth.protect(at(0), PeerIx(0), "relay").unwrap();
    worth.update(at(0), PeerIx(0), Standing { connections: 2, ..inbound(at(0)) });
    for peer in 1..3 {
        worth.update(at(90), PeerIx(peer), inbound(at(90)));
    }
    assert_eq!(evict(&mut worth, 1000, true), Err(Full { protected: 2, in_grace: 2, value: 1000, least: None }));
}

#[test]
fn a_newcomer_that_is_connected_already_does_not_take_its_own_place() {
    let mut worth = Worth::new(&quiet());
    connect(&mut worth, at(0), 99);
    assert_eq!(evict(&mut worth, 5, true), Err(Full { protected: 0, in_grace: 0, value: 5, least: None }));
    connect(&mut worth, at(0), 1);
    set(&mut worth, at(0), 1, 7);
    assert_eq!(evict(&mut worth, 5, true), Err(Full { protected: 0, in_grace: 0, value: 5, least: Some(7) }));
    // And it is where it was.
    assert_eq!(worth.candidates.peek().map(|(_, peer)| peer), Some(99));
}

#[test]
fn a_newcomer_meets_values_as_they_are_by_now() {
    let mut worth = crowd(&quiet(), 1);
    worth.define(at(0), "d", DecayingTag { interval: MINUTE, decay: Decay::Fixed(1) }).unwrap();
    worth.bump(at(0), PeerIx(0), "d", Bump::Unbounded(10)).unwrap();
    let full = Full { protected: 0, in_grace: 0, value: 0, least: Some(1) };
    assert_eq!(worth.evict_for(at(599), PeerIx(1), true), Err(full));
    assert_eq!(worth.evict_for(at(600), PeerIx(1), true), Ok(PeerIx(0)));
}
