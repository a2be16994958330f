//! Delays, timeouts, and calls that come late.

use super::*;

#[test]
fn addresses_are_dialed_one_after_another_with_the_delays_of_their_rank() {
    let mut world = World::new(config());
    let addresses = [TCP_2, TCP, QUIC, LAN, &relayed().to_string()];
    let mut actions: Vec<_> = world.wish(1, 1, &addresses, plain()).into_iter().map(|action| (0, action)).collect();
    actions.extend(world.wait(SECOND));
    let expected = [
        format!("0 d0 {LAN}"),
        format!("0 d1 {QUIC}"),
        format!("250 d2 {TCP}"),
        format!("500 d3 {TCP_2}"),
        format!("500 d4 {}", relayed()),
    ];
    assert_eq!(timed(&actions), expected);
}

#[test]
fn when_one_fails_and_nothing_else_is_under_way_the_next_is_dialed_at_once() {
    let mut world = World::new(config());
    world.wish(1, 1, &[QUIC, TCP], plain());
    world.wait(100 * MILLI);
    assert_eq!(shorts(&world.fail(DialId(0))), [format!("d1 {TCP}")]);
}

#[test]
fn while_another_is_under_way_the_next_keeps_its_delay() {
    let mut world = World::new(config());
    world.wish(1, 1, &[LAN, QUIC, TCP], plain());
    world.wait(100 * MILLI);
    assert_eq!(world.fail(DialId(0)), []);
    assert_eq!(timed(&world.wait(SECOND)), [format!("250 d2 {TCP}")]);
}

#[test]
fn addresses_that_come_late_are_staggered_too() {
    let mut world = World::new(config());
    world.wish(1, 1, &[TCP], plain());
    world.wait(10 * SECOND);
    let tcp_6 = "/ip6/2a00::1/tcp/1";
    assert_eq!(shorts(&world.wish(2, 1, &[TCP_2, tcp_6, QUIC], plain())), [format!("d1 {QUIC}")]);
    assert_eq!(timed(&world.wait(SECOND)), [format!("10250 d2 {tcp_6}"), format!("10750 d3 {TCP_2}")]);
}

#[test]
fn who_joins_does_not_put_off_what_waits() {
    let mut world = World::new(config());
    world.wish(1, 1, &[QUIC, TCP], plain());
    world.wait(200 * MILLI);
    world.wish(2, 1, &[], plain());
    assert_eq!(timed(&world.wait(SECOND)), [format!("250 d1 {TCP}")]);
}

#[test]
fn an_address_has_15_seconds_and_a_local_one_5() {
    let mut world = World::new(config());
    let actions = world.wish(1, 1, &[LAN, QUIC], plain());
    let timeout = |action: &DialAction| match action {
        DialAction::Dial { timeout, .. } => timeout.as_secs(),
        _ => panic!("{action:?}"),
    };
    assert_eq!(actions.iter().map(timeout).collect::<Vec<_>>(), [5, 15]);
    let actions = world.wait(HOUR);
    assert_eq!(timed(&actions), ["5000 abort d0", "15000 abort d1", "15000 r1 failed"]);
    let actions: Vec<_> = actions.into_iter().map(|(_, action)| action).collect();
    let timeout = |seconds| Outcome::Failed(DialFault::Timeout(seconds * SECOND));
    assert_eq!(outcomes(&actions), [outcome(LAN, timeout(5)), outcome(QUIC, timeout(15))]);
    assert!(world.dialer.backoff(world.now, peer(1), &at(TCP)).is_none());
    world.idle();
}

#[test]
fn an_address_that_timed_out_is_in_backoff() {
    let mut world = World::new(config());
    world.wish(1, 1, &[TCP], plain());
    world.wait(16 * SECOND);
    assert_eq!(world.dialer.backoff(world.now, peer(1), &at(TCP)), Some(4 * SECOND));
}

#[test]
fn what_is_under_way_when_the_peer_s_time_is_over_has_failed() {
    let mut world = World::new(DialConfig { address_timeout: 50 * SECOND, per_peer: 1, ..config() });
    world.wish(1, 1, &[TCP, TCP_2], plain());
    let actions = world.wait(60 * SECOND);
    assert!(actions.iter().any(|(_, action)| *action == DialAction::Abort { dial: DialId(1), timed_out: true }));
    let actions: Vec<_> = actions.into_iter().map(|(_, action)| action).collect();
    let timeout = |seconds| Outcome::Failed(DialFault::Timeout(seconds * SECOND));
    assert_eq!(outcomes(&actions), [outcome(TCP, timeout(50)), outcome(TCP_2, timeout(10))]);
    assert!(world.dialer.backoff(world.now, peer(1), &at(TCP_2)).is_some());
}

#[test]
fn a_dial_that_its_caller_cancels_is_no_failure_of_the_address() {
    let mut world = World::new(config());
    world.wish(1, 1, &[TCP], plain());
    world.wait(14 * SECOND);
    assert_eq!(world.cancel(1), [DialAction::Abort { dial: DialId(0), timed_out: false }]);
    assert_eq!(world.dialer.backoff(world.now, peer(1), &at(TCP)), None);
}

#[test]
fn a_handshake_has_no_longer_than_the_address() {
    let mut world = World::new(config());
    world.wish(1, 1, &[TCP], plain());
    world.wait(14 * SECOND);
    world.tell(DialInput::Progress { dial: DialId(0) });
    assert_eq!(timed(&world.wait(HOUR)), ["15000 abort d0", "15000 r1 failed"]);
}

#[test]
fn a_peer_has_60_seconds_all_addresses_together() {
    let mut world = World::new(DialConfig { per_peer: 1, ..config() });
    let addresses: Vec<String> = (1..=6).map(|port| format!("/ip4/11.0.0.1/tcp/{port}")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    world.wish(1, 1, &addresses, plain());
    world.wait(50 * SECOND);
    world.wait(5 * SECOND);
    let actions = world.wait(HOUR);
    let [abort, failed] = &timed(&actions)[..] else { panic!("{actions:?}") };
    assert_eq!([&abort[..], failed], ["60000 abort d3", "60000 r1 failed"]);
    let actions: Vec<_> = actions.into_iter().map(|(_, action)| action).collect();
    assert_eq!(report(&actions).why, DialFailure::Timeout(60 * SECOND));
    world.idle();
}

#[test]
fn each_caller_has_its_own_60_seconds() {
    let mut world = World::new(DialConfig { address_timeout: 50 * SECOND, per_peer: 1, ..config() });
    world.wish(1, 1, &[TCP, TCP_2], plain());
    world.wait(30 * SECOND);
    world.wish(2, 1, &[], plain());
    let actions = world.wait(40 * SECOND);
    assert_eq!(timed(&actions), ["50000 abort d0".into(), format!("50000 d1 {TCP_2}"), "60000 r1 failed".into()]);
    let actions: Vec<_> = actions.into_iter().map(|(_, action)| action).collect();
    let timeout = Outcome::Failed(DialFault::Timeout(50 * SECOND));
    assert_eq!(outcomes(&actions), [outcome(TCP, timeout), outcome(TCP_2, Outcome::Unfinished)]);
    assert_eq!(report(&actions).took, 60 * SECOND);
    // The other one's time ends the rest.
    assert_eq!(timed(&world.wait(HOUR)), ["90000 abort d1", "90000 r2 failed"]);
    world.idle();
}

#[test]
fn an_hour_late_all_is_said_in_the_order_of_a_timely_call() {
    let script = |world: &mut World| {
        world.wish(1, 1, &[TCP, QUIC], plain());
        world.wait(SECOND);
        world.wish(2, 2, &[QUIC, LAN], plain());
        world.wait(SECOND);
        world.wish(3, 1, &[LAN], plain());
    };
    let (mut timely, mut late) = (World::new(config()), World::new(config()));
    script(&mut timely);
    script(&mut late);
    let timely: Vec<_> = timely.wait(HOUR).iter().map(|(_, action)| short(action)).collect();
    assert_eq!(
        timely,
        ["abort d2", "abort d4", "abort d0", "abort d1", "r1 failed", "r3 failed", "abort d3", "r2 failed"]
    );
    assert_eq!(shorts(&late.oversleep(HOUR)), timely);
    late.idle();
}

#[test]
fn late_by_a_little_the_dials_come_in_their_order() {
    let mut world = World::new(config());
    world.wish(1, 1, &[QUIC, TCP, TCP_2], plain());
    world.wait(100 * MILLI);
    world.wish(2, 2, &[QUIC, TCP], plain());
    let expected = [format!("d2 {TCP}"), format!("d3 {TCP}"), format!("d4 {TCP_2}")];
    assert_eq!(shorts(&world.oversleep(SECOND)), expected);
    // They began when the call came, and have their whole time from then.
    assert!(timed(&world.wait(HOUR)).contains(&"16100 abort d2".into()));
}

#[test]
fn so_late_that_the_peers_time_is_over_nothing_is_begun_any_more() {
    let mut world = World::new(config());
    world.wish(1, 1, &[QUIC, TCP], plain());
    let actions = world.oversleep(HOUR);
    assert_eq!(shorts(&actions), ["abort d0", "r1 failed"]);
    assert_eq!(report(&actions).why, DialFailure::Timeout(60 * SECOND));
    let timeout = Outcome::Failed(DialFault::Timeout(15 * SECOND));
    assert_eq!(outcomes(&actions), [outcome(QUIC, timeout), outcome(TCP, Outcome::NotTried)]);
    world.idle();
}

#[test]
fn who_still_has_time_is_served_before_the_late_timeout_of_another() {
    let mut world = World::new(DialConfig { address_timeout: HOUR, per_peer: 1, ..config() });
    world.wish(1, 1, &[TCP, TCP_2], plain());
    world.wait(30 * SECOND);
    world.wish(2, 1, &[], plain());
    world.now = world.now + 31 * SECOND;
    assert_eq!(shorts(&world.fail(DialId(0))), [format!("d1 {TCP_2}")]);
    assert_eq!(shorts(&world.timeout()), ["r1 failed"]);
}

#[test]
fn an_answer_that_comes_before_a_late_timeout_counts() {
    let mut world = World::new(config());
    world.wish(1, 1, &[TCP], plain());
    world.now = world.now + HOUR;
    assert_eq!(shorts(&world.established(DialId(0), 5, true)), ["r1 -> c5"]);
}

#[test]
fn time_that_goes_backwards_stands_still() {
    let mut world = World::new(config());
    world.wait(10 * SECOND);
    world.wish(1, 1, &[QUIC, TCP], plain());
    let deadline = world.dialer.deadline();
    world.now = Time::ZERO;
    world.dialer.on_timeout(Time::ZERO);
    assert_eq!(world.actions(), []);
    assert_eq!(world.dialer.deadline(), deadline);
    world.fail(DialId(0));
    assert_eq!(world.dialer.deadline(), Time::ZERO + 25 * SECOND);
}

#[test]
fn times_of_zero_and_without_end_are_no_harm() {
    for (address_timeout, peer_timeout) in
        [(Duration::ZERO, SECOND), (SECOND, Duration::ZERO), (Duration::MAX, Duration::MAX)]
    {
        let mut world = World::new(DialConfig { address_timeout, peer_timeout, ..config() });
        world.wish(1, 1, &[TCP, TCP_2], plain());
        world.wait(HOUR);
        if peer_timeout == Duration::MAX {
            assert_eq!(world.dialer.counts().dials, 2);
            world.cancel(1);
        }
        world.idle();
    }
}
