use super::*;
use alloc::vec::Vec;
use proptest::prelude::*;

const UDP4: &str = "/ip4/1.2.3.4/udp/1/quic-v1";
const UDP6: &str = "/ip6/1::2/udp/1/quic-v1";
const TCP4: &str = "/ip4/1.2.3.4/tcp/1";
const TCP6: &str = "/ip6/1::2/tcp/1";

fn at(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

fn holes() -> BlackHoles {
    BlackHoles::new(&DialConfig::default())
}

fn tell(holes: &mut BlackHoles, address: &str, outcomes: &[(usize, bool)]) {
    for (times, success) in outcomes {
        (0..*times).for_each(|_| holes.outcome(&at(address), *success));
    }
}

/// What is said of UDP4, UDP6, TCP4 and TCP6.
fn ask(holes: &mut BlackHoles) -> [Result<(), &'static str>; 4] {
    [UDP4, UDP6, TCP4, TCP6].map(|address| holes.allows(&at(address)))
}

#[test]
fn a_kind_is_blocked_when_the_window_is_full_with_too_few_successes() {
    let table: [(&[(usize, bool)], bool); 8] = [
        (&[], true),
        (&[(99, false)], true),
        (&[(100, false)], false),
        (&[(96, false), (4, true)], false),
        (&[(95, false), (5, true)], true),
        (&[(5, true), (95, false)], true),
        (&[(5, true), (96, false)], false),
        (&[(100, true), (95, false)], true),
    ];
    for (outcomes, allowed) in table {
        let mut holes = holes();
        tell(&mut holes, UDP4, outcomes);
        assert_eq!(holes.allows(&at(UDP4)).is_ok(), allowed, "{outcomes:?}");
    }
}

#[test]
fn udp_and_ipv6_are_judged_apart() {
    let (ok, udp, ipv6) = (Ok(()), Err("UDP"), Err("IPv6"));
    let table = [
        (UDP4, [udp, udp, ok, ok]),
        (TCP6, [ok, ipv6, ok, ipv6]),
        (UDP6, [udp, udp, ok, ipv6]),
        (TCP4, [ok, ok, ok, ok]),
    ];
    for (failing, expected) in table {
        let mut holes = holes();
        tell(&mut holes, failing, &[(100, false)]);
        assert_eq!(ask(&mut holes), expected, "{failing} fails");
    }
}

#[test]
fn all_that_goes_over_udp_or_ipv6_is_known() {
    let mut holes = holes();
    tell(&mut holes, UDP6, &[(100, false)]);
    let table = [
        ("/ip4/1.2.3.4/udp/1/quic-v1/webtransport", Err("UDP")),
        ("/ip4/1.2.3.4/udp/1/webrtc-direct", Err("UDP")),
        ("/dns4/libp2p.io/udp/1/quic-v1", Err("UDP")),
        ("/dns6/libp2p.io/tcp/1", Err("IPv6")),
        ("/ip6/1::2/tcp/1/ws", Err("IPv6")),
        ("/ip6/::ffff:1.2.3.4/tcp/1", Ok(())),
        ("/dns/libp2p.io/tcp/1", Ok(())),
    ];
    for (address, expected) in table {
        assert_eq!(holes.allows(&at(address)), expected, "{address}");
    }
}

#[test]
fn private_and_relayed_ones_do_not_count_and_are_never_blocked() {
    let relayed = "/ip4/1.2.3.4/udp/1/quic-v1/p2p/12D3KooWHwXSqqkBuwUWM3zFkxWWBBHkPR2DHMfVwc2eFq4TUXBk/p2p-circuit";
    let exempt =
        ["/ip4/10.0.0.1/udp/1/quic-v1", "/ip6/fd00::1/udp/1/quic-v1", "/ip6/::1/tcp/1", "/ip6/fe80::1/tcp/1", relayed];
    for address in exempt {
        let mut holes = holes();
        tell(&mut holes, address, &[(200, false)]);
        assert_eq!(ask(&mut holes), [Ok(()); 4], "{address} does not count");
        tell(&mut holes, UDP6, &[(100, false)]);
        assert_eq!(holes.allows(&at(address)), Ok(()), "{address} is not blocked");
    }
}

#[test]
fn each_hundredth_passes_as_a_probe_and_a_failure_begins_the_count_anew() {
    let mut holes = holes();
    tell(&mut holes, UDP4, &[(100, false)]);
    for _ in 0..3 {
        let passed: Vec<_> = (1..=100).filter(|_| holes.allows(&at(UDP4)).is_ok()).collect();
        assert_eq!(passed, [100]);
        tell(&mut holes, UDP4, &[(1, false)]);
    }
}

#[test]
fn probes_pass_until_one_tells_something() {
    let mut holes = holes();
    tell(&mut holes, UDP4, &[(100, false)]);
    (0..99).for_each(|_| assert_eq!(holes.allows(&at(UDP4)), Err("UDP")));
    (0..5).for_each(|_| assert_eq!(holes.allows(&at(UDP4)), Ok(())));
    tell(&mut holes, UDP4, &[(1, false)]);
    assert_eq!(holes.allows(&at(UDP4)), Err("UDP"));
}

#[test]
fn one_success_in_a_black_hole_opens_it() {
    let mut holes = holes();
    tell(&mut holes, UDP4, &[(150, false), (1, true)]);
    assert_eq!(ask(&mut holes), [Ok(()); 4]);
    // And it is judged anew: by a whole window.
    tell(&mut holes, UDP4, &[(99, false)]);
    assert_eq!(holes.allows(&at(UDP4)), Ok(()));
    tell(&mut holes, UDP4, &[(1, false)]);
    assert_eq!(holes.allows(&at(UDP4)), Err("UDP"));
}

#[test]
fn a_probe_of_one_kind_passes_though_the_other_is_blocked() {
    let mut holes = holes();
    tell(&mut holes, UDP6, &[(100, false)]);
    (0..99).for_each(|_| assert_eq!(holes.allows(&at(UDP4)), Err("UDP")));
    assert_eq!(holes.allows(&at(TCP6)), Err("IPv6"));
    assert_eq!(holes.allows(&at(UDP6)), Ok(()));
}

#[test]
fn another_network_begins_anew() {
    let mut holes = holes();
    tell(&mut holes, UDP6, &[(100, false)]);
    holes.reset();
    assert_eq!(ask(&mut holes), [Ok(()); 4]);
}

#[test]
fn odd_numbers_are_taken_in_a_sensible_way() {
    let config = DialConfig::default;
    let table = [
        (DialConfig { black_hole_window: 0, ..config() }, Ok(()), "no window, no judgement"),
        (DialConfig { black_hole_successes: 0, ..config() }, Ok(()), "none need succeed"),
        (DialConfig { black_hole_probe: 0, ..config() }, Ok(()), "each is a probe"),
        (DialConfig { black_hole_probe: 1, ..config() }, Ok(()), "each is a probe"),
        (DialConfig { black_hole_probe: 2, ..config() }, Err("UDP"), "each second is a probe"),
    ];
    for (config, expected, why) in table {
        let mut holes = BlackHoles::new(&config);
        tell(&mut holes, UDP4, &[(300, false)]);
        assert_eq!(holes.allows(&at(UDP4)), expected, "{why}");
    }
    let mut holes = BlackHoles::new(&DialConfig { black_hole_window: 10, black_hole_successes: 11, ..config() });
    tell(&mut holes, UDP4, &[(10, true)]);
    assert_eq!(holes.allows(&at(UDP4)), Ok(()), "more than all can't be asked for");
}

#[test]
fn memory_is_that_of_the_window() {
    let mut holes = holes();
    assert_eq!(holes.memory_used(), 0);
    tell(&mut holes, UDP6, &[(10_000, true)]);
    assert!((200..=512).contains(&holes.memory_used()), "{}", holes.memory_used());
}

proptest! {
    /// The rule over the whole history, as a list.
    #[test]
    fn it_judges_as_the_rule_over_the_whole_history(
        window in 1u32..12,
        successes in 0u32..6,
        probe in 0u32..6,
        steps in proptest::collection::vec((any::<bool>(), proptest::bool::weighted(0.2)), 0..300),
    ) {
        let config = DialConfig {
            black_hole_window: window,
            black_hole_successes: successes,
            black_hole_probe: probe,
            ..DialConfig::default()
        };
        let mut holes = BlackHoles::new(&config);
        let (mut history, mut held_back): (Vec<bool>, u32) = (Vec::new(), 0);
        let address = at(UDP4);
        for (asks, success) in steps {
            let last = &history[history.len().saturating_sub(window as usize)..];
            let good = last.iter().filter(|success| **success).count();
            let blocked = last.len() == window as usize && good < successes.min(window) as usize;
            if asks {
                let expected = !blocked || held_back + 1 >= probe;
                prop_assert_eq!(holes.allows(&address).is_ok(), expected);
                held_back += u32::from(!expected);
            } else {
                holes.outcome(&address, success);
                held_back = 0;
                if blocked && success {
                    history.clear();
                } else {
                    history.push(success);
                }
            }
        }
    }
}
