//! What reservations and circuits cost, in bytes and in time.

use super::*;
use crate::server::Offer;

/// As many peers, each with a reservation, from addresses of their own.
fn crowd(count: u32) -> World {
    let mut world = World::silent(ServerConfig { offer: Offer::Always, ..with_rates() });
    world.tell(Input::Clock { unix: UnixTime::from_secs(UNIX) });
    let addresses = [address(1 << 20), text("/ip6/2a00:1::1/udp/4001/quic-v1")];
    world.tell(Input::Addresses { addresses: &addresses });
    for n in 1..=count {
        world.holder(n);
    }
    world
}

/// No counts, but the rates as they are by default, remembered for everybody.
fn with_rates() -> ServerConfig {
    let default = ServerConfig::default();
    let all = |rate: RateConfig| RateConfig { entries: 1 << 20, ..rate };
    ServerConfig {
        reserve_per_peer: all(default.reserve_per_peer),
        reserve_per_network: all(default.reserve_per_network),
        ..ServerConfig::unlimited()
    }
}

/// The bytes that are said, and those that the allocator gave.
fn measured(work: impl FnOnce() -> World) -> (i64, i64) {
    let mut said = 0;
    let taken = allocation_counter::measure(|| {
        let world = work();
        said = i64::try_from(world.server.memory_used()).unwrap();
        core::mem::forget(world);
    });
    (said, taken.bytes_current)
}

#[test]
fn a_reservation_takes_less_than_a_kibibyte() {
    let count = 5000;
    let (said, taken) = measured(|| crowd(count));
    let each = taken / i64::from(count);
    std::eprintln!("{each} bytes a reservation, its connection, its peer and its rates included");
    assert!(each < 1024, "{each} bytes a reservation");
    assert!(said * 10 >= taken * 9 && said * 2 <= taken * 3, "{said} bytes are said, {taken} are taken");
}

#[test]
fn an_idle_circuit_takes_less_than_a_kibibyte() {
    let count = 5000u64;
    let (_, before) = measured(|| crowd(100));
    let (said, taken) = measured(|| {
        let mut world = crowd(100);
        for n in 0..count {
            world.circuit(n % 50 + 1, 51 + u32::try_from(n % 50).unwrap());
        }
        world
    });
    let each = (taken - before) / i64::try_from(count).unwrap();
    std::eprintln!("{each} bytes a circuit");
    assert!(each < 1024, "{each} bytes a circuit");
    assert!(said * 10 >= taken * 9 && said * 2 <= taken * 3, "{said} bytes are said, {taken} are taken");
}

/// CVE-2022-23486 and its kin, CVE-2026-35405: an adversary opens and asks all that it may, under as many names as it likes.
#[test]
fn a_flood_of_everything_stays_under_the_caps() {
    let mut config =
        ServerConfig { connections: 300, acl_questions: 20, memory: 256 * 1024, ..ServerConfig::default() };
    for rate in [
        &mut config.reserve_per_peer,
        &mut config.reserve_per_network,
        &mut config.connect_per_peer,
        &mut config.connect_per_network,
    ] {
        rate.entries = 100;
    }
    let ask = crate::server::AclRule {
        who: crate::server::Who::Network { address: "11.0.0.0".parse().unwrap(), prefix: 24 },
        verdict: crate::server::Verdict::Ask,
        ..Default::default()
    };
    config.acl.rules.push(ask);
    let mut world = World::new(config);
    let mut most = 0;
    for n in 0..20_000u32 {
        let (id, remote) = (u64::from(n % 700), address(n % 5000));
        let connection = ConnectionId(id);
        let connected = Input::Connected { connection, peer: peer(n), remote: &remote, relayed: false, asn: Some(n) };
        for input in [
            connected,
            Input::Reserve { stream: on(id, 1) },
            Input::Reserve { stream: on(id, n.into()) },
            Input::Connect { stream: on(id, 2), destination: peer(n / 100 * 100) },
            Input::Connect { stream: on(id, u64::from(n) + 3), destination: peer(n.saturating_sub(1)) },
        ] {
            let _ = world.server.handle(world.now, input);
        }
        if n % 3 == 0 {
            let _ = world.server.handle(world.now, Input::Disconnected { connection: ConnectionId(id / 2) });
        }
        world.actions();
        world.wait(SECOND / 100);
        let counts = world.server.counts();
        assert!(counts.connections <= 300 && counts.peers <= 600 && counts.questions <= 20, "{counts:?}");
        assert!(counts.reservations <= 128 && counts.circuits <= 1024, "{counts:?}");
        most = most.max(world.server.memory_used());
    }
    assert!(world.server.counters().reservations > 128, "{:?}", world.server.counters());
    assert!(most < 400 * 1024, "{most} bytes");
}

/// Allocations and allocated bytes for one renewal, each asked for in time.
fn work_of_renewals(count: u32) -> (f64, f64) {
    let mut world = crowd(count);
    let pause = 40 * MINUTE / count;
    let mut round = |stream: u64| {
        for n in 0..count {
            world.now = world.now + pause;
            world.server.handle(world.now, Input::Reserve { stream: on(u64::from(n) + 1, stream) }).unwrap();
            while world.server.poll().is_some() {}
        }
    };
    round(10);
    let taken = allocation_counter::measure(|| round(11));
    assert_eq!(world.server.counters().renewals, u64::from(2 * count));
    assert_eq!(world.server.counts().reservations, count);
    assert!(taken.bytes_current.unsigned_abs() < 64 * 1024, "{} bytes stay", taken.bytes_current);
    let each = |total: u64| total as f64 / f64::from(count);
    (each(taken.count_total), each(taken.bytes_total))
}

/// Work, which is the same on any machine. The time is in `renewals_cost_the_same_among_many`.
#[test]
fn a_renewal_among_a_hundred_thousand_takes_no_more_than_one_among_a_thousand() {
    let (few, many) = (work_of_renewals(1_000), work_of_renewals(100_000));
    assert!(many.0 <= few.0 * 1.1 && many.1 <= few.1 * 1.1, "allocations and bytes: {few:?}, then {many:?}");
}

/// Nanoseconds for one renewal: each is asked for in time, in the order in which the reservations were given; or all of them at
/// one moment, in an order that knows no neighbours.
fn renewal(count: u32, at_one_moment: bool) -> f64 {
    const ROUNDS: u32 = 20;
    let mut world = crowd(count);
    let mut best = f64::MAX;
    let pause = 40 * MINUTE / count;
    for round in 0..ROUNDS {
        if at_one_moment {
            world.wait(40 * MINUTE);
        }
        let start = std::time::Instant::now();
        for n in 0..count {
            // A step that is prime to the count visits each once, and nobody's neighbour.
            let of = if at_one_moment { u64::from(n) * 7919 % u64::from(count) } else { n.into() };
            if !at_one_moment {
                world.now = world.now + pause;
            }
            let stream = on(of + 1, u64::from(round) + 10);
            world.server.handle(world.now, Input::Reserve { stream }).unwrap();
            while world.server.poll().is_some() {}
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(count));
    }
    let counters = world.server.counters();
    assert_eq!((counters.reservations, counters.renewals), (count.into(), u64::from(ROUNDS * count)));
    best
}

const COUNTS: [u32; 3] = [1_000, 10_000, 100_000];

/// `cargo test --release -p tidewire-relay renewals -- --ignored --nocapture`
#[test]
#[ignore = "measures; in release alone it means something"]
fn renewals_cost_the_same_among_many() {
    let costs = COUNTS.map(|count| renewal(count, false));
    for (count, cost) in COUNTS.iter().zip(costs) {
        std::eprintln!("{count:>7} reservations: {cost:.0} ns a renewal");
    }
    assert!(costs[2] < 2.0 * costs[0], "{costs:?}");
}

/// Then each touches memory that nothing touched for long: the caches are what is measured.
#[test]
#[ignore = "measures; in release alone it means something"]
fn renewals_at_one_moment() {
    for count in COUNTS {
        std::eprintln!("{count:>7} reservations, all at one moment: {:.0} ns a renewal", renewal(count, true));
    }
}
