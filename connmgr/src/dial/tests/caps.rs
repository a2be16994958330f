//! So many dials at a time, in turn.

use super::*;

const FOUR: [&str; 4] =
    ["/ip4/192.168.1.7/tcp/1", "/ip4/192.168.1.7/tcp/2", "/ip4/192.168.1.7/tcp/3", "/ip4/192.168.1.7/tcp/4"];

/// The peers of the dials, in their order.
fn whom(actions: &[DialAction]) -> Vec<PeerId> {
    let peer = |action: &DialAction| if let DialAction::Dial { peer, .. } = action { Some(*peer) } else { None };
    actions.iter().filter_map(peer).collect()
}

#[test]
fn no_more_dials_to_one_peer_than_its_cap_and_the_next_when_one_ends() {
    let mut world = World::new(DialConfig { per_peer: 2, ..config() });
    world.wish(1, 1, &FOUR, plain());
    world.wait(SECOND);
    assert_eq!(world.dialer.counts().dials, 2);
    assert_eq!(shorts(&world.fail(DialId(0))), [format!("d2 {}", FOUR[2])]);
}

#[test]
fn no_more_dials_at_once_than_the_cap_and_the_next_in_line_when_one_ends() {
    let mut world = World::new(DialConfig { at_once: 2, ..config() });
    for n in 1..=3 {
        world.wish(u64::from(n), n, &[TCP], plain());
    }
    assert_eq!(world.dialer.counts(), DialCounts { jobs: 3, requests: 3, dials: 2, descriptors: 2 });
    assert_eq!(whom(&world.established(DialId(0), 5, true)), [peer(3)]);
}

#[test]
fn only_dials_that_take_a_descriptor_wait_for_one() {
    let mut world = World::new(DialConfig { file_descriptors: 1, ..config() });
    assert_eq!(whom(&world.wish(1, 1, &[TCP], plain())), [peer(1)]);
    assert_eq!(world.wish(2, 2, &[TCP], plain()), []);
    assert_eq!(whom(&world.wish(3, 3, &[QUIC], plain())), [peer(3)]);
    assert_eq!(whom(&world.wish(4, 4, &[&relayed().to_string()], plain())), [peer(4)]);
    assert_eq!(world.dialer.counts().descriptors, 1);
    assert_eq!(whom(&world.fail(DialId(0))), [peer(2)]);
}

#[test]
fn a_peer_that_waits_for_a_descriptor_dials_its_light_address_meanwhile() {
    let mut world = World::new(DialConfig { file_descriptors: 1, ..config() });
    world.wish(1, 1, &[TCP], plain());
    // Over TCP first, as it is private, and QUIC beside it.
    let actions = world.wish(2, 2, &[LAN, QUIC], plain());
    assert_eq!(shorts(&actions), [format!("d1 {QUIC}")]);
    assert_eq!(shorts(&world.fail(DialId(0))), ["r1 failed".into(), format!("d2 {LAN}")]);
}

#[test]
fn peers_take_turns_one_dial_each() {
    let mut world = World::new(DialConfig { at_once: 1, ..config() });
    world.wish(1, 1, &FOUR, plain());
    world.wish(2, 2, &FOUR, plain());
    world.wish(3, 3, &FOUR, plain());
    let mut order = Vec::new();
    for dial in 0..8 {
        world.wait(100 * MILLI);
        order.extend(whom(&world.fail(DialId(dial))));
    }
    assert_eq!(order, [2, 3, 1, 2, 3, 1, 2, 3].map(peer));
}

#[test]
fn who_leaves_the_line_lets_the_next_one_pass() {
    let mut world = World::new(DialConfig { at_once: 1, ..config() });
    for n in 1..=3 {
        world.wish(u64::from(n), n, &[TCP], plain());
    }
    assert_eq!(world.cancel(2), []);
    assert_eq!(whom(&world.cancel(1)), [peer(3)]);
    world.cancel(3);
    world.idle();
}

#[test]
fn who_never_gets_a_turn_is_told_when_its_time_is_over() {
    let mut world = World::new(DialConfig { at_once: 0, ..config() });
    world.wish(1, 1, &[TCP], plain());
    let actions: Vec<_> = world
        .wait(HOUR)
        .into_iter()
        .map(|(millis, action)| {
            assert_eq!(millis, 60_000);
            action
        })
        .collect();
    assert_eq!(report(&actions).why, DialFailure::Timeout(60 * SECOND));
    assert_eq!(outcomes(&actions), [outcome(TCP, Outcome::NotTried)]);
    world.idle();
}

#[test]
fn beyond_so_many_jobs_or_callers_a_wish_is_turned_away_with_the_cap() {
    let mut world = World::new(DialConfig { max_jobs: 1, max_requests: 2, ..config() });
    world.wish(1, 1, &[TCP], plain());
    let actions = world.wish(2, 2, &[TCP], plain());
    assert_eq!(report(&actions).why.to_string(), "there are 1 peers being dialed already, which is the most");
    world.wish(3, 1, &[], plain());
    let actions = world.wish(4, 1, &[TCP], plain());
    assert_eq!(
        report(&actions).why.to_string(),
        "there are 2 callers waiting for this peer already, which is the most"
    );
    assert_eq!(world.dialer.counts(), DialCounts { jobs: 1, requests: 2, dials: 1, descriptors: 1 });
}

#[test]
fn a_handshake_that_nobody_waits_for_counts_as_a_dial_but_not_as_a_job() {
    let mut world = World::new(DialConfig { max_jobs: 1, at_once: 1, ..config() });
    world.wish(1, 1, &[TCP], plain());
    world.tell(DialInput::Progress { dial: DialId(0) });
    world.connected(1, 5, true);
    assert_eq!(world.wish(2, 2, &[TCP], plain()), [], "it is a job, and waits for the dial to end");
    assert_eq!(whom(&world.fail(DialId(0))), [peer(2)]);
}

#[test]
fn the_memory_of_a_hundred_jobs_is_counted_and_given_back() {
    let count = |world: &World| world.dialer.memory_used();
    let mut world = World::new(DialConfig { at_once: 10, ..config() });
    let before = count(&world);
    let addresses: Vec<String> = (1..=20).map(|port| format!("/ip4/11.0.0.1/tcp/{port}")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    for n in 1..=100 {
        world.wish(u64::from(n), n, &addresses, plain());
    }
    let waiting = count(&world);
    assert!(waiting > before + 100 * 20 * 100, "{waiting}");
    for n in 1..=100 {
        world.cancel(n);
    }
    world.idle();
    assert!(count(&world) < before + 64 * size_of::<DialAction>() + 1, "{} {before}", count(&world));
}
