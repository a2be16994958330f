//! Which addresses are dialed, which are left out, and what the report says of each.

use super::*;

#[test]
fn the_report_has_the_whole_outcome_of_each_address_in_the_order_of_their_rank() {
    let mut world = World::new(config());
    world.dialer.gate_mut().deny(GateRule::Address(at(TCP_3)), "spam").unwrap();
    let (other, zero) = (format!("{TCP}/p2p/{}", peer(3)), "/ip4/11.0.0.1/tcp/0");
    world.wish(1, 1, &[zero, TCP_3, TCP, QUIC, &other], plain());
    world.wait(SECOND);
    world.fail(DialId(0));
    let actions = world.fail(DialId(1));
    assert_eq!(report(&actions).why, DialFailure::AllFailed(2));
    let expected = [
        outcome(QUIC, Outcome::Failed(refused())),
        (zero.to_string(), Outcome::Undialable),
        (other, Outcome::OtherPeer(peer(3))),
        outcome(TCP_3, Outcome::Denied { why: "spam".into() }),
    ];
    let mut outcomes = outcomes(&actions);
    let tcp = outcomes.iter().position(|row| row.0 == TCP).map(|row| outcomes.remove(row));
    assert_eq!(tcp, Some(outcome(TCP, Outcome::Failed(refused()))));
    assert_eq!(outcomes.len(), expected.len());
    for row in expected {
        assert!(outcomes.contains(&row), "{row:?}");
    }
    assert_eq!(outcomes[0].0, QUIC);
    let took: Vec<_> =
        report(&actions).addresses.iter().map(|row| row.took.as_millis()).filter(|took| *took > 0).collect();
    assert_eq!(took, [1000, 750]);
    assert_eq!(report(&actions).took, SECOND);
}

#[test]
fn without_addresses_a_wish_fails_at_once() {
    let mut world = World::new(config());
    let actions = world.wish(1, 1, &[], plain());
    assert_eq!(report(&actions).why, DialFailure::NoAddresses);
    world.idle();
}

#[test]
fn with_none_that_may_be_dialed_a_wish_fails_at_once() {
    let mut world = World::new(config());
    let actions = world.wish(1, 1, &["/ip4/0.0.0.0/tcp/1", "/ip4/11.0.0.1"], plain());
    assert_eq!(report(&actions).why, DialFailure::NoneDialable(2));
    world.idle();
}

#[test]
fn an_address_with_and_without_the_peers_id_is_one() {
    let mut world = World::new(config());
    let named = format!("{TCP}/p2p/{}", peer(1));
    assert_eq!(shorts(&world.wish(1, 1, &[&named, TCP], plain())), [format!("d0 {named}")], "as it was written first");
    assert_eq!(world.wish(2, 1, &[TCP, &named], plain()), []);
    let actions = world.fail(DialId(0));
    assert_eq!(shorts(&actions), ["r1 failed", "r2 failed"]);
    let DialAction::Failed { report, .. } = &actions[0] else { panic!("{actions:?}") };
    assert_eq!(report.addresses.len(), 1);
}

#[test]
fn an_address_that_names_the_peer_twice_is_not_dialed_beside_the_one_that_names_it_once() {
    let mut world = World::new(config());
    let once = format!("{TCP}/p2p/{}", peer(1));
    let twice = format!("{once}/p2p/{}", peer(1));
    assert_eq!(shorts(&world.wish(1, 1, &[&twice, &once], plain())), [format!("d0 {once}")]);
    assert_eq!(world.wait(SECOND), []);
    assert!(outcomes(&world.fail(DialId(0))).contains(&(twice, Outcome::Undialable)));
}

#[test]
fn an_address_that_failed_is_left_alone_for_its_backoff_and_then_dialed_again() {
    let mut world = World::new(config());
    world.wish(1, 1, &[TCP], plain());
    world.fail(DialId(0));
    assert_eq!(world.dialer.backoff(world.now, peer(1), &at(TCP)), Some(5 * SECOND));
    world.wait(4 * SECOND);
    let actions = world.wish(2, 1, &[TCP], plain());
    assert_eq!(report(&actions).why, DialFailure::NoneDialable(1));
    assert_eq!(outcomes(&actions), [outcome(TCP, Outcome::Backoff { remaining: SECOND })]);
    world.wait(SECOND);
    assert_eq!(shorts(&world.wish(3, 1, &[TCP], plain())), [format!("d1 {TCP}")]);
}

#[test]
fn a_forced_wish_passes_over_backoff_and_so_does_the_job_that_it_joins() {
    let mut world = World::new(config());
    world.wish(1, 1, &[TCP], plain());
    world.fail(DialId(0));
    assert_eq!(shorts(&world.wish(2, 1, &[TCP, TCP_2], plain())), [format!("d1 {TCP_2}")]);
    assert_eq!(shorts(&world.wish(3, 1, &[], forced())), [format!("d2 {TCP}")]);
}

#[test]
fn when_the_one_who_forced_leaves_what_was_not_begun_is_left_alone_again() {
    let mut world = World::new(config());
    world.wish(1, 1, &[TCP_2], plain());
    world.fail(DialId(0));
    world.wish(2, 1, &[TCP, TCP_2], plain());
    world.wish(3, 1, &[], forced());
    world.cancel(3);
    assert_eq!(timed(&world.wait(SECOND)), <Vec<String>>::new());
    let actions = world.fail(DialId(1));
    assert!(matches!(&outcomes(&actions)[1].1, Outcome::Backoff { .. }), "{actions:?}");
}

#[test]
fn reaching_the_peer_clears_the_backoff_of_all_its_addresses() {
    let mut world = World::new(config());
    world.wish(1, 1, &[TCP, TCP_2], plain());
    world.fail(DialId(0));
    world.established(DialId(1), 5, true);
    assert_eq!(world.dialer.backoff(world.now, peer(1), &at(TCP)), None);
}

#[test]
fn faults_that_say_nothing_of_the_address_cost_no_backoff() {
    let local = [DialFault::NoTransport, DialFault::Gated("no".into()), DialFault::Local("no descriptors".into())];
    let remote =
        [refused(), DialFault::Upgrade("bad".into()), DialFault::WrongPeer(peer(3)), DialFault::Timeout(SECOND)];
    for (fault, costs) in local.map(|fault| (fault, false)).into_iter().chain(remote.map(|fault| (fault, true))) {
        let mut world = World::new(config());
        world.wish(1, 1, &[TCP], plain());
        world.tell(DialInput::Failed { dial: DialId(0), fault: fault.clone() });
        assert_eq!(world.dialer.backoff(world.now, peer(1), &at(TCP)).is_some(), costs, "{fault}");
    }
}

#[test]
fn an_aborted_dial_costs_no_backoff() {
    let mut world = World::new(config());
    world.wish(1, 1, &[TCP], plain());
    world.cancel(1);
    assert_eq!(shorts(&world.wish(2, 1, &[TCP], plain())), [format!("d1 {TCP}")]);
}

#[test]
fn when_the_network_changes_running_jobs_take_up_what_they_had_left_out() {
    let mut world = World::new(config());
    world.wish(1, 1, &[TCP_2], plain());
    world.fail(DialId(0));
    world.wish(2, 1, &[TCP, TCP_2], plain());
    assert_eq!(world.tell(DialInput::NetworkChanged), []);
    assert_eq!(timed(&world.wait(SECOND)), [format!("250 d2 {TCP_2}")]);
}

/// One dial over QUIC failed, and that makes a black hole.
fn in_a_black_hole() -> World {
    let (black_hole_window, black_hole_successes, black_hole_probe) = (1, 1, 3);
    let mut world = World::new(DialConfig { black_hole_window, black_hole_successes, black_hole_probe, ..config() });
    world.wish(1, 1, &[QUIC], plain());
    world.fail(DialId(0));
    world
}

#[test]
fn in_a_black_hole_addresses_are_left_out_and_the_report_says_so() {
    let mut world = in_a_black_hole();
    let actions = world.wish(2, 2, &[QUIC], plain());
    assert_eq!(outcomes(&actions), [outcome(QUIC, Outcome::BlackHole { kind: "UDP" })]);
    assert_eq!(shorts(&world.wish(3, 2, &[QUIC], forced())), [format!("d1 {QUIC}")]);
}

#[test]
fn in_a_black_hole_a_job_asks_once_and_the_next_probe_passes() {
    let mut world = in_a_black_hole();
    world.wish(2, 2, &[QUIC, TCP], plain());
    // What makes plans anew asks no further time.
    world.wish(3, 2, &[], plain());
    world.cancel(3);
    assert_eq!(report(&world.wish(4, 3, &[QUIC], plain())).why, DialFailure::NoneDialable(1));
    assert_eq!(shorts(&world.wish(5, 4, &[QUIC], plain())), [format!("d2 {QUIC}")], "the third is a probe");
    assert_eq!(shorts(&world.established(DialId(2), 5, true)), ["r5 -> c5"]);
    assert_eq!(shorts(&world.wish(6, 5, &[QUIC], plain())), [format!("d3 {QUIC}")], "it is open again");
}

#[test]
fn a_network_change_ends_a_black_hole_for_running_jobs_too() {
    let mut world = in_a_black_hole();
    world.wish(2, 2, &[QUIC, TCP], plain());
    // Ranked before the one that is under way, it needs no further delay.
    assert_eq!(shorts(&world.tell(DialInput::NetworkChanged)), [format!("d2 {QUIC}")]);
}

#[test]
fn a_handshake_that_failed_shows_that_the_network_lets_us_through() {
    let config = DialConfig { black_hole_window: 1, black_hole_successes: 1, ..config() };
    let mut world = World::new(config);
    world.wish(1, 1, &[QUIC], plain());
    world.tell(DialInput::Progress { dial: DialId(0) });
    world.fail(DialId(0));
    assert_eq!(shorts(&world.wish(2, 2, &[QUIC], plain())), [format!("d1 {QUIC}")]);
}

#[test]
fn the_gate_is_asked_again_when_an_address_has_its_turn() {
    let mut world = World::new(config());
    world.wish(1, 1, &[TCP, TCP_2], plain());
    world.dialer.gate_mut().deny(GateRule::Address(at(TCP_2)), "spam").unwrap();
    assert_eq!(world.wait(SECOND), []);
    let expected = [outcome(TCP, Outcome::Failed(refused())), outcome(TCP_2, Outcome::Denied { why: "spam".into() })];
    assert_eq!(outcomes(&world.fail(DialId(0))), expected);
}

#[test]
fn a_forbidden_peer_is_not_dialed_whatever_forces_it() {
    let mut world = World::new(config());
    world.dialer.gate_mut().deny(GateRule::Peer(peer(1)), "spam").unwrap();
    let actions = world.wish(1, 1, &[TCP], forced());
    assert_eq!(report(&actions).why, DialFailure::Denied("spam".into()));
    world.idle();
}

#[test]
fn beyond_the_cap_the_best_ranked_are_dialed_and_the_others_reported() {
    let mut world = World::new(DialConfig { max_addresses: 2, ..config() });
    assert_eq!(shorts(&world.wish(1, 1, &[TCP_2, TCP, QUIC], plain())), [format!("d0 {QUIC}")]);
    world.fail(DialId(0));
    let actions = world.fail(DialId(1));
    let expected = [
        outcome(QUIC, Outcome::Failed(refused())),
        outcome(TCP, Outcome::Failed(refused())),
        outcome(TCP_2, Outcome::TooMany),
    ];
    assert_eq!(outcomes(&actions), expected);
}

#[test]
fn a_report_lists_no_more_than_its_cap_and_counts_the_rest() {
    let mut world = World::new(DialConfig { max_addresses: 1, max_listed: 2, ..config() });
    world.wish(1, 1, &[TCP, TCP_2, TCP_3, QUIC], plain());
    let actions = world.fail(DialId(0));
    assert_eq!(report(&actions).addresses.len(), 2);
    assert_eq!(report(&actions).unlisted, 2);
    let mut world = World::new(DialConfig { max_listed: 2, ..config() });
    let actions = world.wish(1, 0, &[TCP, TCP_2, TCP_3, QUIC], plain());
    assert_eq!((report(&actions).addresses.len(), report(&actions).unlisted), (2, 2), "of a refused wish as well");
}
