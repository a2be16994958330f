//! The theory of punching, and the simulator: they must find the same, for every pair of behaviours.

use crate::support::*;
use core::time::Duration;
use std::net::SocketAddr;
use tidewire_core::Time;
use tidewire_sim::nat::theory::{Behaviour, punchable};
use tidewire_sim::nat::{Filtering, Firewall, Mapping, Nat, Pooling, Ports, Unsolicited};
use tidewire_sim::{GatewayId, HostId, Input, Link, World, ipv4};

struct Pair {
    world: World,
    hosts: [HostId; 2],
    seen: [SocketAddr; 2],
}

/// Two hosts that each know how a third one sees the other. `gateway` builds what is in front of one.
fn pair(seed: u64, gateway: impl Fn(&mut World, usize) -> (Option<GatewayId>, std::net::IpAddr)) -> Pair {
    let mut world = World::new(seed);
    world.default_link(Link::new(30 * MS));
    let hosts = [0, 1].map(|n| match gateway(&mut world, n) {
        (Some(gateway), address) => world.add_behind(gateway, Peer::default(), [address]),
        (None, address) => world.add(Peer::default(), [address]),
    });
    let server = world.add(Peer::default(), [ipv4(9)]);
    world.run_for(MS).unwrap();
    let seen = hosts.map(|id| observed(&mut world, id, server, remote(9, PORT)));
    Pair { world, hosts, seen }
}

fn behind_nats(seed: u64, nats: [&Nat; 2]) -> Pair {
    pair(seed, |world, n| (Some(world.nat(nats[n].clone(), [ipv4(n as u32 + 1)])), private(2)))
}

impl Pair {
    /// Dials from `n` to what was seen of the other.
    fn dial(&mut self, n: usize) {
        // The address may be connected already, by the other's dial.
        let _ = dial(&mut self.world, self.hosts[n], self.seen[1 - n]);
    }

    /// Whether bytes go both ways on a connection between the two.
    fn connected(&mut self) -> bool {
        let [a, b] = self.hosts;
        let direct = |world: &World, id| {
            let all = peer(world, id).connections().into_iter();
            all.filter(|(_, with)| *with != remote(9, PORT)).map(|(socket, _)| socket).collect::<Vec<_>>()
        };
        for socket in direct(&self.world, a) {
            self.world.with(a, |_: &mut Peer, os| os.send(socket, &mut &b"?"[..]));
        }
        let start = self.world.now();
        self.world.run_for(2 * SECOND).unwrap();
        let (ours, theirs) = (direct(&self.world, a), direct(&self.world, b));
        let heard = |id, sockets: &[_]| {
            peer(&self.world, id).log.iter().any(
                |(at, input)| matches!(input, Input::Received { socket } if *at > start && sockets.contains(socket)),
            )
        };
        heard(b, &theirs) && heard(a, &ours)
    }

    /// Both dial at once; from any port, whom nobody else sees as the third host does.
    fn punch_from(&mut self, stable: [bool; 2]) -> bool {
        for (n, stable) in stable.into_iter().enumerate() {
            let to = self.seen[1 - n];
            match stable {
                true => self.dial(n),
                false => drop(self.world.with(self.hosts[n], |_: &mut Peer, os| os.connect(to)).unwrap()),
            }
        }
        self.world.run_for(4 * SECOND).unwrap();
        self.connected()
    }

    /// Both dial at once.
    fn punch(&mut self) -> bool {
        self.dial(0);
        self.dial(1);
        self.world.run_for(4 * SECOND).unwrap();
        self.connected()
    }
}

/// All mappings, filters and ports, and what an unsolicited SYN gets: with each other, where that matters.
fn some() -> Vec<Nat> {
    Nat::all().filter(|nat| nat.unsolicited != Unsolicited::PROHIBITED).collect()
}

#[test]
fn for_every_pair_of_nats_the_simulator_finds_what_theory_says_of_syns_that_cross() {
    let all = some();
    let mut wrong = Vec::new();
    for (seed, (a, b)) in all.iter().enumerate().flat_map(|(n, a)| all[n..].iter().map(move |b| (a, b))).enumerate() {
        // Each pair of mapping, filter and ports meets, with one of the policies: crossing SYNs are not answered.
        if seed % 5 != 0 && a.unsolicited != b.unsolicited {
            continue;
        }
        let expected = punchable(&a.into(), &b.into()).crossing;
        if behind_nats(seed as u64, [a, b]).punch() != expected {
            wrong.push(format!("{} x {}: theory says {expected}", a.label(), b.label()));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn who_is_not_stable_and_dials_from_another_port_is_still_reached_where_it_listens() {
    let all = some();
    let mut wrong = Vec::new();
    for (seed, (a, b)) in all.iter().flat_map(|a| all.iter().map(move |b| (a, b))).enumerate() {
        if seed % 5 != 0 && a.unsolicited != b.unsolicited {
            continue;
        }
        let sides: [Behaviour; 2] = [a.into(), b.into()];
        let expected = punchable(&sides[0], &sides[1]).possible();
        if behind_nats(seed as u64, [a, b]).punch_from(sides.map(|side| side.stable)) != expected {
            wrong.push(format!("{} x {}: theory says {expected}", a.label(), b.label()));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn for_every_nat_one_dial_alone_gets_what_theory_says() {
    for (seed, b) in Nat::all().enumerate() {
        for a in [Nat::home_router(), Nat::symmetric(), Nat::linux_masquerade()] {
            let verdict = punchable(&Behaviour::from(&a), &Behaviour::from(&b));
            let mut pair = behind_nats(seed as u64, [&a, &b]);
            let start = pair.world.now();
            pair.dial(0);
            pair.world.run_for(SECOND / 2).unwrap();
            let died = peer(&pair.world, pair.hosts[0]).failures().first().map(|(at, _)| at.since(start));
            assert_eq!(died, verdict.a_dies_early.then_some(62 * MS), "{} dials {}", a.label(), b.label());
            assert_eq!(pair.connected(), verdict.b_is_open, "{} dials {}", a.label(), b.label());
        }
    }
}

/// When the first of two sides dials long before the other.
fn staggered(nats: [&Nat; 2], wait: Duration) -> bool {
    let mut pair = behind_nats(1, nats);
    pair.dial(0);
    pair.world.run_for(wait).unwrap();
    pair.dial(1);
    pair.world.run_for(4 * SECOND).unwrap();
    pair.connected()
}

#[test]
fn where_nothing_is_answered_the_order_does_not_matter() {
    for unsolicited in [Unsolicited::Drop, Unsolicited::LATER] {
        let nat = Nat { unsolicited, ..Nat::home_router() };
        assert!(staggered([&nat, &nat], 500 * MS));
    }
}

/// What was measured between Linux systems: a router that answers for itself and forgets with the reset lets no punch through
/// unless the SYNs cross.
#[test]
fn linux_routers_that_answer_need_syns_that_cross() {
    let nat = Nat { unsolicited: Unsolicited::Reset, ..Nat::linux_masquerade() };
    assert!(behind_nats(1, [&nat, &nat]).punch());
    assert!(!staggered([&nat, &nat], 100 * MS));
    let quiet = Nat::linux_masquerade();
    assert!(staggered([&quiet, &quiet], 100 * MS));
    assert!(!behind_nats(1, [&quiet, &Nat::linux_fully_random()]).punch());
}

/// What a side is, for [`pair`].
enum Front {
    Open,
    Wall(Firewall),
    Home(Box<Nat>),
    Carrier(Box<(Nat, Nat)>),
}

impl Front {
    fn behaviour(&self) -> Behaviour {
        match self {
            Front::Open => Behaviour::OPEN,
            Front::Wall(firewall) => firewall.into(),
            Front::Home(nat) => Behaviour::from(&**nat),
            Front::Carrier(both) => Behaviour::from(&both.0).behind(&Behaviour::from(&both.1)),
        }
    }

    fn build(&self, world: &mut World, n: usize) -> (Option<GatewayId>, std::net::IpAddr) {
        let public = ipv4(n as u32 + 1);
        match self {
            Front::Open => (None, public),
            Front::Wall(firewall) => (Some(world.firewall(firewall.clone())), public),
            Front::Home(nat) => (Some(world.nat(Nat::clone(nat), [public])), private(2)),
            Front::Carrier(both) => {
                let (home, carrier) = &**both;
                let carrier = world.nat(carrier.clone(), [public]);
                let address = "100.64.0.7".parse().unwrap();
                (Some(world.nat_behind(carrier, home.clone(), [address])), private(2))
            }
        }
    }
}

#[test]
fn firewalls_carriers_and_open_hosts_follow_the_theory_too() {
    let fronts = [
        Front::Open,
        Front::Wall(Firewall::default()),
        Front::Wall(Firewall::corporate()),
        Front::Home(Box::new(Nat::home_router())),
        Front::Home(Box::new(Nat::symmetric())),
        Front::Home(Box::new(Nat::restricted_cone())),
        Front::Home(Box::new(Nat { exposed: Some(private(2)), ..Nat::home_router() })),
        Front::Carrier(Box::new((Nat::home_router(), Nat::carrier_grade()))),
        Front::Carrier(Box::new((Nat::full_cone(), Nat::mobile()))),
        Front::Carrier(Box::new((Nat::symmetric(), Nat::home_router()))),
        Front::Carrier(Box::new((Nat::full_cone(), Nat::full_cone()))),
    ];
    for (at, a) in fronts.iter().enumerate() {
        for (bt, b) in fronts.iter().enumerate() {
            let expected = punchable(&a.behaviour(), &b.behaviour()).crossing;
            let found = pair(1, |world, n| [a, b][n].build(world, n)).punch();
            assert_eq!(found, expected, "{at} x {bt}");
        }
    }
}

#[test]
fn behaviours_add_up_to_the_worse_of_both() {
    let home = Behaviour::from(&Nat::home_router());
    assert_eq!(home.behind(&Behaviour::OPEN), home);
    let both = Behaviour::from(&Nat::full_cone()).behind(&Nat::corporate().into());
    assert!(!both.stable && both.filtering == Filtering::AddressAndPortDependent && both.answers_at_once());
    let arbitrary = Nat { pooling: Pooling::Arbitrary, mapping: Mapping::AddressDependent, ..Nat::linux_masquerade() };
    assert!(!Behaviour::from(&arbitrary).stable && !Behaviour::from(&arbitrary).same_address);
}

#[test]
fn all_combinations_are_different_and_have_labels_of_their_own() {
    let labels: std::collections::BTreeSet<String> = Nat::all().map(|nat| nat.label()).collect();
    assert_eq!(labels.len(), 144);
    assert!(labels.contains("EIM/APDF/preserving/drop") && labels.contains("APDM/EIF/+1/icmp-later"), "{labels:?}");
    assert_eq!(Nat::all().filter(|nat| nat.ports == Ports::Random).count(), 36);
}

#[test]
fn a_mapping_that_ended_since_it_was_seen_is_of_no_use() {
    let mut pair = behind_nats(1, [&Nat::home_router(), &Nat { ports: Ports::Random, ..Nat::home_router() }]);
    pair.world.reboot(pair.world.gateway_of(pair.hosts[1]).unwrap());
    assert!(!pair.punch());
    assert!(pair.world.now() > Time::ZERO);
}
