//! QUIC addresses are punched in a simulated network: A dials, B sends datagrams of random bytes, through NATs of all kinds.
//!
//! ```text
//!   A: Coordinator, QUIC's client, 11.0.0.11:4001 --[NAT]--+      +--[NAT]-- 11.0.0.12:4001, QUIC's server, Coordinator :B
//!                                                     relay, 11.0.0.1: saw both, carries the streams
//! ```
//! The coordinators and the machines of the streams are the real ones. QUIC is as much of it as matters here: see `end`.
//! libp2p/specs relay/DCUtR.md, step 5.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(missing_docs, unreachable_pub, clippy::std_instead_of_core, clippy::std_instead_of_alloc)]

#[path = "simulated/end.rs"]
mod end;
#[path = "simulated/relay.rs"]
mod relay;

use end::{End, PROBE, Seen, Wire};
use relay::Relay;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tidewire_core::Time;
use tidewire_dcutr::Plan;
use tidewire_dcutr::report::{Dial, End as Ended, How, Outcome, Side};
use tidewire_sim::nat::theory::Behaviour;
use tidewire_sim::nat::{Filtering, Firewall, Mapping, Nat, Ports};
use tidewire_sim::packet::{Body, Packet};
use tidewire_sim::{HostId, Link, Middlebox, World, check, ipv4, ipv6};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Where an end is.
#[derive(Clone, Debug)]
enum Place {
    Open,
    Behind(Nat),
    /// Behind the first, which is behind the second.
    Twice(Box<[Nat; 2]>),
    Walled(Firewall),
    /// The same, with IPv6.
    Walled6(Firewall),
}

impl Place {
    /// What it does, all together.
    fn behaviour(&self) -> Behaviour {
        match self {
            Place::Open => Behaviour::OPEN,
            Place::Behind(nat) => nat.into(),
            Place::Twice(both) => Behaviour::from(&both[0]).behind(&Behaviour::from(&both[1])),
            Place::Walled(wall) | Place::Walled6(wall) => wall.into(),
        }
    }

    fn name(&self) -> String {
        match self {
            Place::Behind(nat) => nat.label(),
            Place::Twice(both) => format!("{} behind {}", both[0].label(), both[1].label()),
            Place::Open | Place::Walled(_) | Place::Walled6(_) => format!("{self:?}"),
        }
    }

    fn add(&self, world: &mut World, side: Side, wires: &[Wire]) -> HostId {
        let n = if side == Side::A { 11 } else { 12 };
        let (inside, outside): (IpAddr, IpAddr) = (format!("192.168.{n}.2").parse().unwrap(), ipv4(n));
        let (ip, relay) = match self {
            Place::Open | Place::Walled(_) => (outside, ipv4(1)),
            Place::Walled6(_) => (ipv6(n), ipv6(1)),
            Place::Behind(_) | Place::Twice(_) => (inside, ipv4(1)),
        };
        let end = End::new(side, world.seed(), ip, relay, wires);
        let gateway = match self {
            Place::Open => return world.add(end, [ip]),
            Place::Behind(nat) => world.nat(nat.clone(), [outside]),
            Place::Twice(both) => {
                let [home, carrier] = &**both;
                let carrier = world.nat(carrier.clone(), [outside]);
                world.nat_behind(carrier, home.clone(), [format!("100.64.0.{n}").parse().unwrap()])
            }
            Place::Walled(wall) | Place::Walled6(wall) => world.firewall(wall.clone()),
        };
        world.add_behind(gateway, end, [ip])
    }
}

/// Whether A's packets arrive at B, and B's answers at A, by what their NATs do. oA and oB are what the relay saw; A dials oB, from
/// eA, and B sends its datagrams to oA.
///
/// B's NAT has a mapping at oB since B spoke with the relay. Who comes in there depends on its filter: anybody; or, if the
/// datagrams went out by that same mapping (B is stable), who has A's address, or who comes from oA itself (A is stable: eA = oA).
/// The answer has to leave from oB, for A takes nothing from elsewhere: it does if B is stable. If not, whoever was let in is answered
/// as it came, unless it comes from where the datagrams went: they made a mapping of their own. A's NAT lets the answer in, since A
/// spoke to oB from eA. TCP differs: both dial, so an unstable B gets through to an A that filters by address; here only A dials.
fn reaches(a: &Behaviour, b: &Behaviour) -> bool {
    match (b.stable, b.filtering) {
        (true, Filtering::EndpointIndependent) => true,
        (true, Filtering::AddressDependent) => a.same_address,
        (true, Filtering::AddressAndPortDependent) => a.stable,
        (false, Filtering::EndpointIndependent) => b.answers_as_asked && !a.stable,
        (false, _) => false,
    }
}

/// The relay, A and B. All paths take so long, each way.
fn placed(world: &mut World, places: [&Place; 2], wires: &[Wire], latency: Duration) -> [HostId; 3] {
    world.default_link(Link::new(latency));
    let relay = world.add(Relay::default(), [ipv4(1), ipv6(1)]);
    let a = places[0].add(world, Side::A, wires);
    let b = places[1].add(world, Side::B, wires);
    [relay, a, b]
}

fn of(world: &World, id: HostId) -> &End {
    world.node(id)
}

/// Both learn where the relay sees them, and then that the circuit is there.
fn begin(world: &mut World, [_, a, b]: [HostId; 3]) -> Time {
    let ready = |world: &World| [a, b].into_iter().all(|id| of(world, id).is_ready());
    assert!(world.run_while(secs(60), ready).unwrap(), "the relay did not say where it sees us");
    for id in [a, b] {
        world.with(id, |end: &mut End, os| end.begin(os.now(), os));
    }
    world.now()
}

/// Until B has its report, and A too, if the attempt ended.
fn punch(world: &mut World, hosts @ [_, a, b]: [HostId; 3]) {
    begin(world, hosts);
    let over = |world: &World| [a, b].into_iter().all(|id| !of(world, id).reports.is_empty());
    assert!(world.run_while(secs(180), over).unwrap(), "{:#?}", of(world, b).seen);
}

fn up(end: &End, wire: Wire) -> Option<Time> {
    end.first(|seen| *seen == Seen::Up(wire))
}

/// What holds of every punch of QUIC addresses, whatever came of it.
#[track_caller]
fn assert_manners(world: &World, [_, a, b]: [HostId; 3]) {
    let (a, b) = (of(world, a), of(world, b));
    assert!(!a.broken && !b.broken, "the circuit stands");
    // The one who dialed the circuit dials, at once when SYNC comes; the other one sends, half a round trip after it said SYNC.
    assert_eq!(a.when(|seen| matches!(seen, Seen::Hole(_))).count(), 0, "A sends no datagrams");
    assert_eq!(b.when(|seen| matches!(seen, Seen::Initial(_))).count(), 0, "B dials no QUIC");
    for (at, seen) in &a.seen {
        if let Seen::Dial(address, plan) = seen
            && address.to_string().contains("quic")
        {
            assert_eq!(*plan, Plan::Initiate);
            assert!(a.when(|seen| *seen == Seen::Sync).any(|sync| sync == *at), "A dials on SYNC");
        }
    }
    let established = b.when(|seen| matches!(seen, Seen::Up(_))).min().unwrap_or(Time::NEVER);
    let syncs: Vec<Time> = b.when(|seen| *seen == Seen::Sync).collect();
    let holes =
        || b.seen.iter().filter_map(|(at, seen)| if let Seen::Hole(to) = seen { Some((*at, *to)) } else { None });
    let targets: BTreeSet<SocketAddr> = holes().map(|(_, to)| to).collect();
    for ((n, sync), target) in syncs.iter().enumerate().flat_map(|one| targets.iter().map(move |to| (one, to))) {
        let next = syncs.get(n + 1).copied().unwrap_or(Time::NEVER);
        let of_try = |(at, to): &(Time, SocketAddr)| to == target && (*sync..next).contains(at);
        let sent: Vec<Time> = holes().filter(of_try).map(|(at, _)| at).collect();
        let Some((first, last)) = sent.first().zip(sent.last()) else { continue };
        assert!(last.since(*first) <= secs(5), "for 5 s at most");
        assert!(established >= next || *last <= established, "silent once there is a connection");
        if established > *first + secs(5) {
            assert!(last.since(*first) > millis(4799), "for as long as there is none: {:?}", last.since(*first));
        }
        for gap in sent.windows(2).map(|two| two[1].since(two[0])) {
            assert!((millis(10)..=millis(200)).contains(&gap), "{gap:?} between two datagrams");
        }
    }
}

/// The places that matter.
fn places() -> Vec<Place> {
    let random = Nat { ports: Ports::Random, ..Nat::home_router() };
    let per_address = Nat { mapping: Mapping::AddressDependent, ports: Ports::Random, ..Nat::home_router() };
    let open_per_address = Nat { filtering: Filtering::EndpointIndependent, ..per_address.clone() };
    let lenient = Nat { filtering: Filtering::AddressDependent, ..Nat::symmetric() };
    let open_symmetric = Nat { filtering: Filtering::EndpointIndependent, ..Nat::symmetric() };
    let behind = [
        Nat::home_router(),
        Nat::restricted_cone(),
        Nat::full_cone(),
        Nat::symmetric(),
        Nat::linux_masquerade(),
        random,
        per_address,
        open_per_address,
        lenient,
        open_symmetric,
    ];
    let walls = [Firewall::default(), Firewall::corporate()];
    let mut all: Vec<Place> = behind.into_iter().map(Place::Behind).collect();
    all.extend(walls.map(Place::Walled));
    all.extend([Place::Open, Place::Twice(Box::new([Nat::home_router(), Nat::carrier_grade()]))]);
    all
}

#[test]
fn where_theory_allows_a_is_through_on_the_first_try_and_elsewhere_not_at_all() {
    let all = places();
    let (mut yes, mut no) = (0, 0);
    for pair @ [a, b] in all.iter().flat_map(|a| all.iter().map(move |b| [a, b])) {
        let names = format!("{} dials {}", a.name(), b.name());
        check(0..2, |world| {
            let latency = millis(10) + world.rng().up_to(millis(90));
            let hosts @ [_, at_a, at_b] = placed(world, pair, &[Wire::Quic], latency);
            punch(world, hosts);
            assert_manners(world, hosts);
            let ends = [at_a, at_b].map(|id| of(world, id));
            let [up_a, up_b] = ends.map(|end| up(end, Wire::Quic).is_some());
            let came = ends[1].first(|seen| matches!(seen, Seen::InitialCame(_)));
            let allowed = reaches(&a.behaviour(), &b.behaviour());
            let tries = ends[1].reports[0].tries.len();
            assert_eq!([up_a, up_b], [allowed; 2], "{names}: {}", ends[1].reports[0].details());
            assert_eq!(tries, if allowed { 1 } else { 3 }, "{names}");
            if allowed {
                let report = &ends[1].reports[0];
                let until = report.tries[0].dialed.unwrap() + secs(10);
                assert!(came.is_some_and(|came| came <= until), "within the try");
                assert!(matches!(report.end, Ended::Upgraded { how: How::Accepted { number: 1 }, .. }), "{report}");
            } else if b.behaviour().filtering != Filtering::EndpointIndependent {
                assert_eq!(came, None, "{names}");
            }
            Ok(())
        });
        let allowed = reaches(&a.behaviour(), &b.behaviour());
        (yes, no) = (yes + usize::from(allowed), no + usize::from(!allowed));
    }
    assert!(yes > 60 && no > 60, "{yes} pairs can, {no} can't");
}

#[test]
fn firewalls_are_passed_by_ipv6() {
    for walls in [[Firewall::default(), Firewall::default()], [Firewall::corporate(), Firewall::default()]] {
        let [a, b] = walls.map(Place::Walled6);
        check(0..4, |world| {
            let hosts @ [_, a, b] = placed(world, [&a, &b], &[Wire::Quic], millis(30));
            punch(world, hosts);
            assert_manners(world, hosts);
            assert!([a, b].into_iter().all(|id| up(of(world, id), Wire::Quic).is_some()));
            Ok(())
        });
    }
}

/// Lets no random datagrams through.
struct NoNoise;

impl Middlebox for NoNoise {
    fn outbound(&mut self, _: Time, packet: Packet) -> Option<Packet> {
        let is_noise = matches!(&packet.body, Body::Udp(bytes) if bytes.len() == 64);
        (!is_noise).then_some(packet)
    }

    fn inbound(&mut self, _: Time, packet: Packet) -> Option<Packet> {
        Some(packet)
    }
}

#[test]
fn it_is_the_datagrams_that_open_the_way() {
    let home = Place::Behind(Nat::home_router());
    check(0..4, |world| {
        let hosts @ [_, _, b] = placed(world, [&home, &home], &[Wire::Quic], millis(30));
        world.middlebox(b, NoNoise);
        punch(world, hosts);
        assert_manners(world, hosts);
        assert!(of(world, b).first(|seen| matches!(seen, Seen::InitialCame(_))).is_none());
        let report = &of(world, b).reports[0];
        assert_eq!(report.tries.len(), 3);
        for one in &report.tries {
            let sent: Vec<u32> = one
                .dials
                .iter()
                .map(|dial| if let Outcome::Datagrams { sent } = dial.outcome { sent } else { panic!("{dial:?}") })
                .collect();
            assert!(matches!(sent[..], [25..=500]), "{sent:?} datagrams in 5 s");
        }
        Ok(())
    });
}

#[test]
fn an_initial_that_comes_before_the_first_datagram_is_sent_again_and_gets_through() {
    let home = Place::Behind(Nat::home_router());
    check(0..4, |world| {
        let hosts @ [relay, a, b] = placed(world, [&home, &home], &[Wire::Quic], millis(5));
        // SYNC is at A at once, and B, whose round trip is all on the way back, waits for half of it.
        world.link_one_way(relay, b, Link::new(millis(400)));
        punch(world, hosts);
        assert_manners(world, hosts);
        let (a, b) = (of(world, a), of(world, b));
        let initials: Vec<Time> = a.when(|seen| matches!(seen, Seen::Initial(_))).collect();
        let hole = b.first(|seen| matches!(seen, Seen::Hole(_))).unwrap();
        let came = b.first(|seen| matches!(seen, Seen::InitialCame(_))).unwrap();
        assert!(initials[0] + millis(7) < hole, "the first one was too early");
        assert_eq!(initials[1], initials[0] + PROBE);
        // 5 ms between the NATs, and 1 ms in each home.
        assert_eq!((initials.len(), came), (2, initials[1] + millis(7)));
        assert_eq!(b.reports[0].tries.len(), 1);
        Ok(())
    });
}

#[test]
fn lossy_and_lopsided_paths_cost_a_probe_or_two_and_seldom_a_try() {
    let home = Place::Behind(Nat::home_router());
    let first = std::cell::Cell::new(0);
    check(0..60, |world| {
        let hosts @ [relay, a, b] = placed(world, [&home, &home], &[Wire::Quic], millis(1));
        for (from, to) in [(relay, a), (a, relay), (relay, b), (b, relay), (a, b), (b, a)] {
            let latency = millis(10) + world.rng().up_to(millis(190));
            world.link_one_way(from, to, Link::new(latency).jitter(millis(10)).loss(0.1));
        }
        punch(world, hosts);
        assert_manners(world, hosts);
        let [up_a, up_b] = [a, b].map(|id| up(of(world, id), Wire::Quic));
        assert!(up_a.is_some() && up_b.is_some(), "{}", of(world, b).reports[0].details());
        first.set(first.get() + usize::from(of(world, b).reports[0].tries.len() == 1));
        Ok(())
    });
    assert!(first.get() >= 59, "{} of 60 on the first try", first.get());
}

#[test]
fn datagrams_are_noise_at_a_and_none_is_like_another() {
    let open = Place::Behind(Nat::full_cone());
    let closed = Place::Behind(Nat::symmetric());
    check(0..4, |world| {
        // B can't be reached, so A's NAT, which is open to all, sees B's noise for as long as it is sent.
        let hosts @ [_, a, b] = placed(world, [&open, &closed], &[Wire::Quic], millis(30));
        punch(world, hosts);
        assert_manners(world, hosts);
        let noise = of(world, a).when(|seen| matches!(seen, Seen::Noise(_))).count();
        let sent: Vec<Time> = of(world, b).when(|seen| matches!(seen, Seen::Hole(_))).collect();
        assert_eq!(noise, sent.len());
        let gaps: BTreeSet<Duration> = sent.windows(2).map(|two| two[1].since(two[0])).collect();
        assert!(gaps.len() > 50, "drawn anew each time: {} different ones", gaps.len());
        Ok(())
    });
}

#[test]
fn datagrams_go_to_every_address_so_that_a_predicted_port_is_open_too() {
    let sequential = Place::Behind(Nat { ports: Ports::Sequential { delta: 1 }, parity: false, ..Nat::symmetric() });
    let home = Place::Behind(Nat::home_router());
    for predicts in [0, 3] {
        check(0..4, |world| {
            let hosts @ [_, a, b] = placed(world, [&sequential, &home], &[Wire::Quic], millis(30));
            world.with(a, |end: &mut End, _| end.predicts = predicts);
            punch(world, hosts);
            assert_manners(world, hosts);
            let through = predicts > 0;
            assert_eq!([a, b].map(|id| up(of(world, id), Wire::Quic).is_some()), [through; 2]);
            let report = &of(world, b).reports[0];
            assert_eq!(
                (report.tries.len(), report.tries[0].dials.len()),
                (if through { 1 } else { 3 }, predicts as usize + 1)
            );
            for one in &report.tries {
                let same = |dial: &Dial| dial.outcome == one.dials[0].outcome;
                assert!(one.dials.iter().all(same), "as many to each: {}", report.details());
            }
            Ok(())
        });
    }
}

#[test]
fn a_relay_that_is_lost_after_sync_is_needed_no_more() {
    let home = Place::Behind(Nat::home_router());
    check(0..4, |world| {
        let hosts @ [relay, a, b] = placed(world, [&home, &home], &[Wire::Quic], millis(30));
        begin(world, hosts);
        let synced = |world: &World| of(world, a).first(|seen| *seen == Seen::Sync).is_some();
        assert!(world.run_while(secs(5), synced)?);
        world.power_off(relay);
        world.run_for(secs(5))?;
        assert!([a, b].into_iter().all(|id| up(of(world, id), Wire::Quic).is_some()));
        Ok(())
    });
}

/// Lets one kind of packets through.
struct Only(Wire);

impl Only {
    /// What goes to the relay, or comes from there, passes.
    fn pass(&self, packet: Packet) -> Option<Packet> {
        let is_wire = matches!(packet.body, Body::Udp(_)) == (self.0 == Wire::Quic);
        let of_relay = [packet.from.ip(), packet.to.ip()].contains(&ipv4(1));
        (is_wire || of_relay).then_some(packet)
    }
}

impl Middlebox for Only {
    fn outbound(&mut self, _: Time, packet: Packet) -> Option<Packet> {
        self.pass(packet)
    }

    fn inbound(&mut self, _: Time, packet: Packet) -> Option<Packet> {
        self.pass(packet)
    }
}

#[test]
fn of_tcp_and_quic_in_one_connect_whichever_stands_first_ends_the_other() {
    let home = Place::Behind(Nat::home_router());
    for passes in [Wire::Tcp, Wire::Quic] {
        check(0..6, |world| {
            let latency = millis(10) + world.rng().up_to(millis(90));
            let hosts @ [_, a, b] = placed(world, [&home, &home], &[Wire::Quic, Wire::Tcp], latency);
            world.middlebox(a, Only(passes));
            punch(world, hosts);
            assert_manners(world, hosts);
            let other = if passes == Wire::Tcp { Wire::Quic } else { Wire::Tcp };
            for id in [a, b] {
                let end = of(world, id);
                let stands = up(end, passes).unwrap_or_else(|| panic!("{}", end.reports[0].details()));
                assert_eq!(up(end, other), None);
                let is_late = |seen: &Seen| matches!(seen, Seen::Hole(_) | Seen::Initial(_) | Seen::Dial(..));
                assert!(end.when(is_late).all(|at| at <= stands), "{:#?}", end.seen);
                let report = &end.reports[0];
                assert_eq!((report.is_upgraded(), report.tries.len(), report.tries[0].dials.len()), (true, 1, 2));
            }
            // A dialed both. B dialed one, and sent datagrams to the other.
            let aborts = [a, b].map(|id| of(world, id).when(|seen| *seen == Seen::Abort).count());
            assert_eq!(aborts, if passes == Wire::Tcp { [1, 0] } else { [1, 1] });
            let outcomes = &of(world, b).reports[0].tries[0].dials;
            assert_eq!(outcomes.iter().filter(|d| matches!(d.outcome, Outcome::Datagrams { .. })).count(), 1);
            Ok(())
        });
    }
}

#[test]
fn where_tcp_and_quic_both_pass_nothing_is_begun_after_the_first_connection() {
    let home = Place::Behind(Nat::home_router());
    check(0..20, |world| {
        let hosts @ [relay, a, b] = placed(world, [&home, &home], &[Wire::Quic, Wire::Tcp], millis(1));
        for (from, to) in [(relay, a), (a, relay), (relay, b), (b, relay), (a, b), (b, a)] {
            let latency = millis(10) + world.rng().up_to(millis(90));
            world.link_one_way(from, to, Link::new(latency));
        }
        punch(world, hosts);
        assert_manners(world, hosts);
        for id in [a, b] {
            let end = of(world, id);
            let stands = end.first(|seen| matches!(seen, Seen::Up(_))).unwrap();
            let is_late = |seen: &Seen| matches!(seen, Seen::Hole(_) | Seen::Initial(_) | Seen::Dial(..));
            assert!(end.when(is_late).all(|at| at <= stands), "{:#?}", end.seen);
            assert_eq!((end.reports[0].is_upgraded(), end.reports[0].tries.len()), (true, 1));
        }
        Ok(())
    });
}
