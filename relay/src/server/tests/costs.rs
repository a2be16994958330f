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

/// Allocations and allocated bytes for one renewal.
fn work_of_renewals(count: u32, order: Order) -> (f64, f64) {
    let mut crowd = Renewing::new(count, order);
    crowd.round();
    let taken = allocation_counter::measure(|| {
        crowd.round();
    });
    assert_eq!(crowd.world.server.counts().reservations, count);
    assert!(taken.bytes_current.unsigned_abs() < 64 * 1024, "{} bytes stay", taken.bytes_current);
    let each = |total: u64| total as f64 / f64::from(count);
    (each(taken.count_total), each(taken.bytes_total))
}

/// Work, which is the same on any machine. The time is in `renewals_cost_the_same_among_many`.
#[test]
fn a_renewal_among_a_hundred_thousand_takes_no_more_than_one_among_a_thousand() {
    for order in [Order::Spread, Order::AtOnce] {
        let [few, some, many] = [1_000, 10_000, 100_000].map(|count| work_of_renewals(count, order));
        for more in [some, many] {
            let flat = more.0 <= few.0 * 1.1 && more.1 <= few.1 * 1.1;
            assert!(flat, "{order:?}: allocations and bytes: {few:?}, then {more:?}");
        }
    }
}

/// In which order renewals are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Each in time, in the order in which the reservations were given, spread over 40 minutes.
    Spread,
    /// All at one moment, in an order that knows no neighbours: each touches memory that nothing touched for long.
    AtOnce,
}

/// A crowd that renews again and again.
struct Renewing {
    world: World,
    count: u32,
    order: Order,
    rounds: u64,
}

impl Renewing {
    fn new(count: u32, order: Order) -> Renewing {
        Renewing { world: crowd(count), count, order, rounds: 0 }
    }

    /// Each renews once. Nanoseconds for one.
    fn round(&mut self) -> f64 {
        let Renewing { world, count, order, rounds } = self;
        let pause = 40 * MINUTE / *count;
        if *order == Order::AtOnce {
            world.wait(40 * MINUTE);
        }
        *rounds += 1;
        let start = std::time::Instant::now();
        for n in 0..*count {
            // A step that is prime to the count visits each once, and nobody's neighbour.
            let of = match order {
                Order::AtOnce => u64::from(n) * 7919 % u64::from(*count),
                Order::Spread => {
                    world.now = world.now + pause;
                    n.into()
                }
            };
            world.server.handle(world.now, Input::Reserve { stream: on(of + 1, *rounds + 10) }).unwrap();
            while world.server.poll().is_some() {}
        }
        let took = start.elapsed().as_secs_f64() * 1e9 / f64::from(*count);
        let counters = world.server.counters();
        assert_eq!((counters.reservations, counters.renewals), (u64::from(*count), *rounds * u64::from(*count)));
        took
    }
}

/// Nanoseconds for a renewal among 1,000, 10,000 and 100,000: medians of runs that take turns, so that what else the machine does
/// meets all alike. Few are run through as often as many renew at a time.
fn medians(order: Order) -> [f64; 3] {
    let mut crowds = [1_000, 10_000, 100_000].map(|count| Renewing::new(count, order));
    let mut taken = [(); 3].map(|()| Vec::new());
    for turn in 0..22 {
        for (crowd, taken) in crowds.iter_mut().zip(&mut taken) {
            let rounds = 100_000 / crowd.count;
            let each = (0..rounds).map(|_| crowd.round()).sum::<f64>() / f64::from(rounds);
            if turn > 0 {
                taken.push(each);
            }
        }
    }
    taken.map(|mut taken| {
        taken.sort_by(f64::total_cmp);
        taken[taken.len() / 2]
    })
}

/// What is flat is the work: a renewal takes the same steps among any number. All at one moment each step waits for memory that no
/// cache holds: that alone grows, and is printed.
///
/// `cargo test --release -p tidewire-relay renewals -- --ignored --nocapture --test-threads 1`
#[test]
#[ignore = "measures; in release alone it means something"]
fn renewals_cost_the_same_among_many() {
    for order in [Order::Spread, Order::AtOnce] {
        let costs = medians(order);
        let [few, some, many] = costs;
        std::eprintln!(
            "{order:?}: {few:.0}, {some:.0}, {many:.0} ns a renewal among 1,000, 10,000, 100,000: {:.2}",
            many / few
        );
        assert!(order == Order::AtOnce || many < 2.0 * few, "{costs:?}");
    }
}
