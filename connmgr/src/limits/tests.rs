//! Tables, and [`model`]: every counter against a recount of everything.

mod defaults;
mod model;
mod streams;

use super::protocols::ProtocolIx;
use super::rate::Rates;
use super::subnets::Network;
use super::*;
use crate::Direction::*;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::time::Duration;
use proptest::prelude::*;

const SEED: Seed = Seed::new([7; 32]);

/// Everything off.
fn boundless() -> LimitsConfig {
    LimitsConfig {
        pending_inbound: u32::MAX,
        pending_outbound: u32::MAX,
        established: u32::MAX,
        established_inbound: u32::MAX,
        established_outbound: u32::MAX,
        established_per_peer: u32::MAX,
        per_ip4: u32::MAX,
        per_ip6_56: u32::MAX,
        per_ip6_48: u32::MAX,
        inbound_interval: Duration::ZERO,
        inbound_burst: u32::MAX,
        inbound_rate_entries: u32::MAX,
        streams: u32::MAX,
        streams_inbound: u32::MAX,
        streams_outbound: u32::MAX,
        streams_per_connection: u32::MAX,
        streams_per_peer: u32::MAX,
        streams_per_protocol: u32::MAX,
        streams_per_protocol_peer: u32::MAX,
        protocols: u32::MAX,
        protocol_name: u32::MAX,
        memory: u64::MAX,
        memory_per_peer: u64::MAX,
        memory_per_connection: u64::MAX,
    }
}

fn with(change: impl FnOnce(&mut LimitsConfig)) -> Limits {
    let mut config = boundless();
    change(&mut config);
    Limits::new(config, &SEED)
}

fn ip(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

fn exceeded(limit: Limit, cap: u64, used: u64) -> Result<(), LimitExceeded> {
    Err(LimitExceeded { limit, cap, used })
}

#[test]
fn connections_count_with_the_networks_of_their_address() {
    // Addresses of connections that are there, another one, and what it finds in use where the caps are 2, 2 and 3.
    type Row<'a> = (&'a [&'a str], &'a str, Option<(&'a str, u8, u64)>);
    let table: [Row<'_>; 10] = [
        (&["192.0.2.1", "192.0.2.1"], "192.0.2.1", Some(("192.0.2.1", 32, 2))),
        (&["192.0.2.1", "192.0.2.1"], "192.0.2.2", None),
        (&["192.0.2.1", "::ffff:192.0.2.1"], "192.0.2.1", Some(("192.0.2.1", 32, 2))),
        (&["192.0.2.1", "192.0.2.1"], "::ffff:192.0.2.1", Some(("192.0.2.1", 32, 2))),
        (&["2001:db8:0:1::1", "2001:db8:0:ff::1"], "2001:db8:0:f0::1", Some(("2001:db8::", 56, 2))),
        (&["2001:db8:0:1::1", "2001:db8:0:ff::1"], "2001:db8:0:100::1", None),
        (
            &["2001:db8:7:1::1", "2001:db8:7:100::1", "2001:db8:7:200::1"],
            "2001:db8:7:300::1",
            Some(("2001:db8:7::", 48, 3)),
        ),
        (&["2001:db8:7:1::1", "2001:db8:7:100::1", "2001:db8:7:200::1"], "2001:db8:8::1", None),
        (&["127.0.0.1"; 9], "127.0.0.1", None),
        (&["::1", "::1", "::ffff:127.0.0.1", "::ffff:127.3.2.1"], "::1", None),
    ];
    for (there, newcomer, expected) in table {
        let mut limits = with(|config| (config.per_ip4, config.per_ip6_56, config.per_ip6_48) = (2, 2, 3));
        for there in there {
            assert_eq!(limits.dialing(ip(there)), Ok(()));
        }
        let before = limits.counts();
        let found = limits.incoming(Time::ZERO, ip(newcomer));
        match expected {
            None => assert_eq!(found, Ok(()), "{newcomer} after {there:?}"),
            Some((network, prefix, used)) => {
                let network = network.parse().unwrap();
                assert_eq!(
                    found,
                    exceeded(Limit::Subnet { network, prefix }, used, used),
                    "{newcomer} after {there:?}"
                );
                assert_eq!(limits.counts(), before);
            }
        }
    }
}

#[test]
fn a_connection_without_an_ip_counts_with_no_network() {
    let mut limits = with(|config| {
        (config.per_ip4, config.per_ip6_56, config.per_ip6_48) = (0, 0, 0);
        (config.inbound_interval, config.inbound_burst) = (Duration::from_secs(1), 1);
    });
    for _ in 0..10 {
        assert_eq!(limits.incoming(Time::ZERO, None), Ok(()));
        assert_eq!(limits.dialing(None), Ok(()));
    }
    assert_eq!((limits.counts().subnets, limits.counts().rates), (0, 0));
}

#[test]
fn dials_that_fail_leave_nothing_behind() {
    let mut limits = Limits::new(LimitsConfig::default(), &SEED);
    for round in 0..10_000_u32 {
        let ip = ip(["192.0.2.1", "2001:db8::1", "127.0.0.1"][round as usize % 3]);
        assert_eq!(limits.dialing(ip), Ok(()), "round {round}");
        limits.end_pending(Outbound, ip);
    }
    assert_eq!(limits.counts(), Counts::default());
}

#[test]
fn a_closing_connection_gives_its_place_but_not_its_network() {
    let mut limits = with(|config| (config.established, config.per_ip4) = (1, 1));
    let here = ip("192.0.2.1");
    limits.incoming(Time::ZERO, here).unwrap();
    limits.establish(Inbound, here, 0).unwrap();
    assert_eq!(limits.room(), exceeded(Limit::Established, 1, 1));

    limits.closing(Inbound);
    assert_eq!(limits.room(), Ok(()));
    let network = here.unwrap();
    assert_eq!(limits.dialing(here), exceeded(Limit::Subnet { network, prefix: 32 }, 1, 1));
    assert_eq!(limits.may_establish(Outbound, here, 0, true), Ok(()));
    assert_eq!(limits.may_establish(Outbound, here, 0, false), limits.dialing(here));

    limits.end_established(Inbound, here, true);
    assert_eq!(limits.counts(), Counts::default());
    assert_eq!(limits.dialing(here), Ok(()));
}

#[test]
fn ending_what_was_never_counted_does_nothing() {
    let mut limits = with(|config| (config.per_ip4, config.streams) = (8, 8));
    let here = ip("192.0.2.1");
    limits.establish_new(Inbound, here, 0).unwrap();
    let before = limits.counts();

    limits.end_pending(Inbound, here);
    limits.end_pending(Outbound, here);
    limits.closing(Outbound);
    limits.end_established(Inbound, here, true);
    limits.end_established(Outbound, here, false);
    let (mut connection, mut peer) = Default::default();
    limits.close_stream(Inbound, Some(ProtocolIx::OTHERS), 1, &mut connection, &mut peer);
    assert_eq!(limits.establish(Outbound, here, 0), Ok(()));
    assert_eq!(limits.release(100, Some(&mut connection), Some(&mut peer)), 0);
    assert_eq!(limits.counts(), before);
    assert_eq!((connection, peer), Default::default());
}

#[test]
fn a_retry_succeeds_at_the_nanosecond_that_was_named_and_not_before() {
    let here = ip("192.0.2.1");
    let table = [(1, 200_000_000, 0), (5, 200_000_000, 0), (16, 1, 3), (3, 7, 1_000_000_007), (2, u64::MAX, 5)];
    for (burst, interval, start) in table {
        let mut limits =
            with(|config| (config.inbound_burst, config.inbound_interval) = (burst, Duration::from_nanos(interval)));
        let start = Time::from_nanos(start);
        if interval < u64::MAX {
            for _ in 0..burst {
                assert_eq!(limits.incoming(start, here), Ok(()));
            }
            let mut now = start;
            for round in 0..50 {
                let Err(LimitExceeded { limit: Limit::Rate { again_in, prefix: 32, .. }, cap, .. }) =
                    limits.incoming(now, here)
                else {
                    panic!("burst {burst}, round {round}: let in")
                };
                assert_eq!(again_in, Duration::from_nanos(interval));
                assert_eq!(cap, u64::from(burst));
                now = now + again_in;
                let before = Time::from_nanos(now.as_nanos() - 1);
                assert!(limits.incoming(before, here).is_err(), "burst {burst}, round {round}: too early");
                assert_eq!(limits.incoming(now, here), Ok(()), "burst {burst}, round {round}");
            }
        } else {
            // Nearly never: the arithmetic holds at the end of time.
            assert_eq!(limits.incoming(start, here), Ok(()));
            assert_eq!(limits.incoming(Time::NEVER, here), Ok(()));
        }
    }
}

#[test]
fn loopback_other_networks_and_dials_are_exempt_from_the_rate() {
    let mut limits = with(|config| (config.inbound_burst, config.inbound_interval) = (1, Duration::from_secs(3600)));
    for _ in 0..100 {
        for loopback in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(limits.incoming(Time::ZERO, ip(loopback)), Ok(()));
        }
        assert_eq!(limits.dialing(ip("192.0.2.1")), Ok(()));
    }
    for first in ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:100::1"] {
        assert_eq!(limits.incoming(Time::ZERO, ip(first)), Ok(()), "{first}");
    }
    for second in ["192.0.2.1", "::ffff:192.0.2.2", "2001:db8:0:77::1", "2001:db8:0:1ff::1"] {
        assert!(limits.incoming(Time::ZERO, ip(second)).is_err(), "{second}");
    }
}

#[test]
fn a_refused_connection_takes_no_token() {
    let mut limits = with(|config| {
        (config.inbound_burst, config.inbound_interval) = (2, Duration::from_secs(1));
        config.per_ip4 = 1;
    });
    let here = ip("192.0.2.1");
    assert_eq!(limits.incoming(Time::ZERO, here), Ok(()));
    for _ in 0..10 {
        let refused = limits.incoming(Time::ZERO, here).unwrap_err();
        assert!(matches!(refused.limit, Limit::Subnet { .. }), "{refused}");
    }
    limits.end_pending(Inbound, here);
    assert_eq!(limits.incoming(Time::ZERO, here), Ok(()));
}

#[test]
fn a_flood_from_many_addresses_takes_bounded_memory_and_frees_nobody_who_is_fast() {
    let mut limits = with(|config| {
        (config.inbound_burst, config.inbound_interval) = (4, Duration::from_millis(200));
        config.inbound_rate_entries = 1000;
    });
    let fast = ip("192.0.2.1");
    for _ in 0..4 {
        limits.incoming(Time::ZERO, fast).unwrap();
    }
    for number in 0..200_000_u32 {
        // 799 ms in all: the fast one's bucket is never full, and never the one that is full first.
        let now = Time::from_nanos(u64::from(number / 1000) * 1000);
        let flood = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number));
        assert_eq!(limits.incoming(now, Some(flood)), Ok(()));
        assert!(limits.counts().rates <= 1000);
    }
    assert!(limits.incoming(Time::from_millis(1), fast).is_err());
    assert!(limits.memory_used() <= 1000 * 110, "{} bytes", limits.memory_used());
}

#[test]
fn a_bucket_that_was_full_long_ago_holds_no_more_than_the_burst() {
    let mut limits = with(|config| (config.inbound_burst, config.inbound_interval) = (3, Duration::from_secs(1)));
    // More of them than one call forgets, so that the one asked for is still there.
    let address = |number: u32| Some(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number)));
    for number in 0..50 {
        limits.incoming(Time::ZERO, address(number)).unwrap();
    }
    let much_later = Time::from_millis(1_000_000);
    for _ in 0..3 {
        limits.incoming(much_later, address(49)).unwrap();
    }
    assert!(limits.incoming(much_later, address(49)).is_err());
}

#[test]
fn full_buckets_are_forgotten() {
    let mut limits = with(|config| (config.inbound_burst, config.inbound_interval) = (4, Duration::from_secs(1)));
    for number in 0..10_000 {
        limits.incoming(Time::ZERO, Some(Ipv4Addr::from_bits(0x0a00_0000 + number).into())).unwrap();
    }
    assert_eq!(limits.counts().rates, 10_000);
    let full = limits.memory_used();
    for _ in 0..4000 {
        let _ = limits.incoming(Time::from_millis(1000), ip("192.0.2.1"));
    }
    assert!(limits.counts().rates <= 10_000);
    for number in 0..4000_u32 {
        let now = Time::from_millis(2000 + u64::from(number) * 2000);
        limits.incoming(now, ip("192.0.2.1")).unwrap();
    }
    assert_eq!(limits.counts().rates, 1);
    assert!(limits.memory_used() < full / 8, "{} of {full} bytes", limits.memory_used());
}

proptest! {
    #[test]
    fn the_rate_is_that_of_a_naive_token_bucket_that_forgets_the_fullest(
        burst in 1_u32..5, interval in 1_u64..20, max in 1_usize..6,
        arrivals in prop::collection::vec((0_u64..12, 0_u8..8), 0..300),
    ) {
        let mut config = boundless();
        (config.inbound_burst, config.inbound_interval) = (burst, Duration::from_nanos(interval));
        config.inbound_rate_entries = u32::try_from(max).unwrap();
        let mut rates = Rates::new(&config, SipHasher13::new());
        // (nanoseconds of tokens that are missing, as of `now`; the address)
        let mut buckets: Vec<(u64, u8)> = Vec::new();
        let mut now = 0;
        for (pause, address) in arrivals {
            now += pause;
            for (missing, _) in &mut buckets {
                *missing = missing.saturating_sub(pause);
            }
            buckets.retain(|(missing, _)| *missing > 0);

            let missing = buckets.iter().find(|at| at.1 == address).map_or(0, |at| at.0);
            let tokens_left = u64::from(burst) * interval - missing;
            let expected = interval.saturating_sub(tokens_left);
            let ip = Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, address)));
            let time = Time::from_nanos(now);
            match rates.room(time, ip) {
                Ok(()) => prop_assert_eq!(expected, 0),
                Err(LimitExceeded { limit: Limit::Rate { again_in, .. }, .. }) => {
                    prop_assert_eq!(again_in, Duration::from_nanos(expected));
                    continue;
                }
                Err(other) => prop_assert!(false, "{}", other),
            }
            rates.take(time, ip);
            if let Some(bucket) = buckets.iter_mut().find(|at| at.1 == address) {
                bucket.0 += interval;
            } else {
                if buckets.len() == max {
                    buckets.sort_unstable();
                    buckets.remove(0);
                }
                buckets.push((interval, address));
            }
            prop_assert!(rates.len() <= max);
        }
    }
}

#[test]
fn memory_is_reserved_wholly_or_not_at_all() {
    let mut limits =
        with(|config| (config.memory, config.memory_per_peer, config.memory_per_connection) = (100, 50, 30));
    let mut peer = Scope::default();
    let mut connection = Scope::default();
    assert_eq!(limits.reserve(30, Some(&mut connection), Some(&mut peer)), Ok(()));
    let refused = limits.reserve(1, Some(&mut connection), Some(&mut peer));
    assert_eq!(refused, exceeded(Limit::MemoryPerConnection, 30, 30));
    assert_eq!(limits.reserve(21, None, Some(&mut peer)), exceeded(Limit::MemoryPerPeer, 50, 30));
    assert_eq!(limits.reserve(71, None, None), exceeded(Limit::Memory, 100, 30));
    assert_eq!(limits.reserve(u64::MAX, None, None), exceeded(Limit::Memory, 100, 30));
    assert_eq!((limits.counts().memory, peer.memory, connection.memory), (30, 30, 30));

    assert_eq!(limits.reserve(70, None, None), Ok(()));
    assert_eq!(limits.release(u64::MAX, Some(&mut connection), Some(&mut peer)), 30);
    assert_eq!((limits.counts().memory, peer.memory, connection.memory), (70, 0, 0));
    assert_eq!(limits.release(1, None, Some(&mut peer)), 0, "the peer has none, though the system has");
    assert_eq!(limits.release(71, None, None), 70);
    assert_eq!(limits.counts(), Counts::default());
}

#[test]
fn nobody_gives_back_what_others_reserved() {
    let mut limits = with(|_| ());
    let mut peer = Scope::default();
    limits.reserve(10, None, Some(&mut peer)).unwrap();
    assert_eq!(limits.release(10, None, None), 0);
    assert_eq!(limits.counts().memory, 10);
}

#[test]
fn with_everything_off_nothing_is_refused() {
    let mut limits = with(|_| ());
    let here = ip("2001:db8::1");
    let (mut connection, mut peer) = Default::default();
    for round in 0..3000 {
        limits.incoming(Time::ZERO, here).unwrap();
        limits.dialing(here).unwrap();
        limits.establish(Outbound, here, round).unwrap();
        limits.establish_new(Inbound, here, round).unwrap();
        limits.room().unwrap();
        limits.open_stream(Inbound, Some("/a"), 1, &mut connection, &mut peer).unwrap();
        limits.reserve(1 << 40, Some(&mut connection), Some(&mut peer)).unwrap();
    }
    assert_eq!((limits.counts().subnets, limits.counts().rates), (0, 0), "what is off costs nothing");
}

#[test]
fn each_cap_names_itself_and_the_field_that_raises_it() {
    let v6 = "2001:db8::".parse().unwrap();
    let v4 = "192.0.2.1".parse().unwrap();
    let rate = Limit::Rate { network: v4, prefix: 32, again_in: Duration::from_millis(150) };
    let table = [
        (Limit::Pending(Inbound), "pending_inbound", "being upgraded"),
        (Limit::Pending(Outbound), "pending_outbound", "dials"),
        (Limit::Established, "established", "no more connections:"),
        (Limit::EstablishedIn(Inbound), "established_inbound", "inbound connections"),
        (Limit::EstablishedIn(Outbound), "established_outbound", "outbound connections"),
        (Limit::EstablishedPerPeer, "established_per_peer", "this peer"),
        (Limit::Subnet { network: v4, prefix: 32 }, "per_ip4", "192.0.2.1/32"),
        (Limit::Subnet { network: v6, prefix: 56 }, "per_ip6_56", "2001:db8::/56"),
        (Limit::Subnet { network: v6, prefix: 48 }, "per_ip6_48", "2001:db8::/48"),
        (rate, "inbound_burst", "192.0.2.1/32 come too fast: the next is let in after 150ms"),
        (rate, "inbound_interval", "now 8"),
        (Limit::Streams, "streams", "no more streams:"),
        (Limit::StreamsIn(Inbound), "streams_inbound", "inbound streams"),
        (Limit::StreamsIn(Outbound), "streams_outbound", "outbound streams"),
        (Limit::StreamsPerConnection(Inbound), "streams_per_connection", "inbound streams on this connection"),
        (Limit::StreamsPerConnection(Outbound), "streams_per_connection", "outbound streams on this connection"),
        (Limit::StreamsPerPeer(Inbound), "streams_per_peer", "inbound streams with this peer"),
        (Limit::StreamsPerPeer(Outbound), "streams_per_peer", "outbound streams with this peer"),
        (Limit::StreamsPerProtocol(Inbound), "streams_per_protocol", "inbound streams of this protocol"),
        (Limit::StreamsPerProtocol(Outbound), "streams_per_protocol", "outbound streams of this protocol"),
        (Limit::StreamsPerProtocolPeer(Inbound), "streams_per_protocol_peer", "inbound streams of this protocol with"),
        (
            Limit::StreamsPerProtocolPeer(Outbound),
            "streams_per_protocol_peer",
            "outbound streams of this protocol with",
        ),
        (Limit::Memory, "memory", "no room for that many more bytes:"),
        (Limit::MemoryPerPeer, "memory_per_peer", "bytes for this peer"),
        (Limit::MemoryPerConnection, "memory_per_connection", "bytes for this connection"),
    ];
    let fields = format!("{:?}", LimitsConfig::default());
    for (limit, field, words) in table {
        let text = LimitExceeded { limit, cap: 8, used: 7 }.to_string();
        assert!(text.contains(&format!("`limits.{field}`")), "{text}");
        assert!(text.contains(words), "{text}");
        assert!(matches!(limit, Limit::Rate { .. }) || text.contains("7 of 8"), "{text}");
        assert!(fields.contains(&format!(" {field}: ")), "no field {field}");
    }
}

#[test]
fn networks_survive_their_8_bytes() {
    let table: [(Network, &str, u8); 4] = [
        (Network::v4(Ipv4Addr::BROADCAST), "255.255.255.255", 32),
        (Network::v4(Ipv4Addr::UNSPECIFIED), "0.0.0.0", 32),
        (Network::v6_56(Ipv6Addr::from_bits(u128::MAX)), "ffff:ffff:ffff:ff00::", 56),
        (Network::v6_48(Ipv6Addr::from_bits(u128::MAX)), "ffff:ffff:ffff::", 48),
    ];
    for (network, address, prefix) in table {
        let found: (String, u8) = (network.address().to_string(), network.prefix());
        assert_eq!(found, (address.into(), prefix));
    }
}

#[test]
fn a_million_addresses_cost_at_most_28_bytes_each_and_give_them_back() {
    let mut limits = with(|config| config.per_ip4 = 8);
    let address = |number: u32| Some(IpAddr::V4(Ipv4Addr::from_bits(number.wrapping_mul(0x9e37_79b1))));
    for number in 1..=1_000_000 {
        limits.establish_new(Inbound, address(number), 0).unwrap();
    }
    let counted = limits.counts().subnets;
    assert!(counted > 990_000, "all but loopback");
    let each = limits.memory_used() / counted;
    assert!(each <= 28, "{} bytes, {each} each", limits.memory_used());

    for number in 1..=1_000_000 {
        limits.end_established(Inbound, address(number), false);
    }
    assert_eq!(limits.counts(), Counts::default());
    assert!(limits.memory_used() < 8192, "{} bytes", limits.memory_used());
}

#[test]
fn the_memory_counted_is_the_memory_allocated() {
    let mut limits = Limits::new(LimitsConfig::default(), &SEED);
    let (mut connection, mut peer) = Default::default();
    let counted = allocation_counter::measure(|| {
        for number in 0..60_u32 {
            let there = Some(IpAddr::V6(Ipv6Addr::from_bits(u128::from(number + 1) << 100)));
            limits.incoming(Time::ZERO, there).unwrap();
            limits.establish(Inbound, there, 0).unwrap();
        }
        for name in ["/a", "/b", "/a-name-that-does-not-stand-inline/1.0.0"] {
            limits.open_stream(Inbound, Some(name), 7, &mut connection, &mut peer).unwrap();
        }
    });
    assert_eq!(i64::try_from(limits.memory_used()).unwrap(), counted.bytes_current);
}

#[test]
fn a_scope_is_16_bytes() {
    assert_eq!(size_of::<Scope>(), 16);
    assert!(size_of::<Limits>() <= 1024, "{}", size_of::<Limits>());
}
