//! Who the others are, what changed about them, and where they see us.

use crate::solo_node::{ECHO, SoloNode};
use crate::town::{at, connect, millis, node_at, of, pair, peer, secs, tell, town};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tidewire_core::{Multiaddr, Time};
use tidewire_host::identify::Identity;
use tidewire_host::{Event, ListenerId};
use tidewire_multistream::{Matcher, Protocol, RouteId};
use tidewire_sim::{HostId, Link, Middlebox, Packet, World, check, ipv4};

/// What was pushed to a node.
fn pushes(world: &World, id: HostId) -> Vec<(Time, &Identity)> {
    let pushed = |(at, event)| match event {
        &Event::Identified { pushed: true, ref identity, .. } => Some((at, &**identity)),
        _ => None,
    };
    of(world, id).told().filter_map(pushed).collect()
}

fn failed(world: &World, id: HostId) -> usize {
    of(world, id).told().filter(|(_, event)| matches!(event, Event::IdentifyFailed { .. })).count()
}

#[test]
fn both_ends_learn_who_the_other_is_and_where_it_listens() {
    check(0..5, |world| {
        world.default_link(Link::new(millis(20)).jitter(millis(20)));
        let (a, b) = pair(world);
        for (id, n) in [(a, 2), (b, 1)] {
            let identity = of(world, id).solo.host().identity(&peer(n)).ok_or("not identified")?;
            assert_eq!(identity.agent.as_deref(), Some(concat!("tidewire/", env!("CARGO_PKG_VERSION"))));
            assert_eq!(identity.listen_addresses(), [at(n)]);
            assert!(identity.is_signed() && identity.refused.is_none() && identity.dropped.is_none(), "{identity:?}");
            assert!(identity.protocols.contains(&ECHO), "{identity:?}");
            let known = of(world, id).solo.host().manager();
            assert!(known.addresses_of(&peer(n)).any(|record| record.address == at(n)), "its addresses are kept");
            assert_eq!(failed(world, id), 0);
        }
        Ok(())
    });
}

#[test]
fn each_learns_where_the_other_sees_it() {
    check(0..3, |world| {
        let (a, b) = pair(world);
        for (id, n) in [(a, 2), (b, 1)] {
            let identity = of(world, id).solo.host().identity(&peer(n)).ok_or("not identified")?;
            assert_eq!(identity.observed, Some(at(3 - n)), "dialed from the listening port, which is all that is seen");
        }
        Ok(())
    });
}

#[test]
fn a_new_listening_address_is_pushed() {
    check(0..3, |world| {
        let (a, b) = pair(world);
        let more = Multiaddr::tcp((ipv4(1), 4002).into());
        let asked = world.now();
        tell(world, a, |node, now| node.solo.listen(now, ListenerId(9), &more).unwrap());
        world.run_for(secs(3))?;
        let pushes = pushes(world, b);
        assert_eq!(pushes.len(), 1, "{pushes:?}");
        assert_eq!(
            pushes[0].0,
            asked + secs(1) + millis(10),
            "a second is waited for more, and then the way takes 10 ms"
        );
        let identity = of(world, b).solo.host().identity(&peer(1)).ok_or("forgotten")?;
        assert!(identity.listen_addresses().contains(&more) && identity.listen_addresses().contains(&at(1)));
        assert!(identity.is_signed(), "a new record came with it");
        Ok(())
    });
}

#[test]
fn an_address_that_is_gone_is_pushed() {
    check(0..3, |world| {
        let (a, b) = pair(world);
        tell(world, a, |node, now| {
            node.solo.listen(now, ListenerId(9), &Multiaddr::tcp((ipv4(1), 4002).into())).unwrap();
        });
        world.run_for(secs(3))?;
        tell(world, a, |node, now| node.solo.unlisten(now, ListenerId(9)).unwrap());
        world.run_for(secs(3))?;
        assert_eq!(pushes(world, b).len(), 2);
        assert_eq!(of(world, b).solo.host().identity(&peer(1)).ok_or("forgotten")?.listen_addresses(), [at(1)]);
        Ok(())
    });
}

#[test]
fn many_changes_within_a_second_are_one_push() {
    check(0..3, |world| {
        let (a, b) = pair(world);
        for n in 0..20_u64 {
            tell(world, a, |node, now| {
                let name: Protocol = format!("/new/{n}").parse().unwrap();
                node.solo.serve(now, name, Matcher::Exact, RouteId::new(50 + n)).unwrap();
            });
            world.run_for(millis(40))?;
        }
        world.run_for(secs(5))?;
        let pushes = pushes(world, b);
        assert_eq!(pushes.len(), 1, "{pushes:?}");
        assert_eq!(pushes[0].1.protocols.iter().filter(|name| name.as_str().starts_with("/new/")).count(), 20);
        Ok(())
    });
}

#[test]
fn a_protocol_that_is_served_no_more_is_pushed() {
    check(0..3, |world| {
        let (a, b) = pair(world);
        tell(world, a, |node, now| node.solo.unserve(now, &ECHO));
        world.run_for(secs(3))?;
        let identity = of(world, b).solo.host().identity(&peer(1)).ok_or("forgotten")?;
        assert!(!identity.protocols.contains(&ECHO), "{identity:?}");
        Ok(())
    });
}

#[test]
fn a_change_that_is_taken_back_within_a_second_is_not_pushed() {
    check(0..3, |world| {
        let (a, b) = pair(world);
        let name = Protocol::from_static("/short/1");
        tell(world, a, |node, now| node.solo.serve(now, name.clone(), Matcher::Exact, RouteId::new(9)).unwrap());
        world.run_for(millis(300))?;
        tell(world, a, |node, now| node.solo.unserve(now, &name));
        world.run_for(secs(5))?;
        assert_eq!(pushes(world, b), []);
        Ok(())
    });
}

/// A NAT that gives each inside port the same port outside.
struct Nat {
    inside: IpAddr,
    outside: IpAddr,
}

impl Middlebox for Nat {
    fn outbound(&mut self, _: Time, mut packet: Packet) -> Option<Packet> {
        packet.from = SocketAddr::new(self.outside, packet.from.port());
        Some(packet)
    }

    fn inbound(&mut self, _: Time, mut packet: Packet) -> Option<Packet> {
        packet.to = SocketAddr::new(self.inside, packet.to.port());
        Some(packet)
    }
}

/// Node 100 behind a NAT, and `count` others outside.
fn behind_a_nat(world: &mut World, count: u32) -> (HostId, Vec<HostId>, Multiaddr) {
    let outsiders = town(world, count);
    let (inside, outside): (IpAddr, IpAddr) = ("192.168.1.2".parse().unwrap(), ipv4(100));
    let listen = Multiaddr::tcp((inside, 4001).into());
    let node: SoloNode = node_at(world, 100, |_| {}, &[listen]);
    let id = world.add(node, [inside]);
    world.middlebox(id, Nat { inside, outside });
    world.route(outside, id);
    world.run_for(Duration::ZERO).unwrap();
    (id, outsiders, at(100))
}

fn announces(world: &World, id: HostId, address: &Multiaddr) -> bool {
    of(world, id).solo.host().profile().is_some_and(|profile| profile.addresses.contains(address))
}

#[test]
fn four_observers_that_agree_make_an_address_ours_and_it_is_pushed() {
    check(0..3, |world| {
        let (inside, outsiders, external) = behind_a_nat(world, 4);
        for n in 1..=3 {
            connect(world, inside, n);
        }
        world.run_for(secs(5))?;
        assert!(!announces(world, inside, &external), "three are too few");
        connect(world, inside, 4);
        world.run_for(secs(2))?;
        assert!(announces(world, inside, &external));
        assert_eq!(of(world, inside).solo.host().externals().len(), 1);
        for outsider in outsiders {
            let identity = of(world, outsider).solo.host().identity(&peer(100)).ok_or("not identified")?;
            assert!(identity.listen_addresses().contains(&external), "{outsider}: {identity:?}");
        }
        Ok(())
    });
}

#[test]
fn an_observed_address_expires_ten_minutes_after_its_observers_left() {
    check(0..2, |world| {
        let (inside, _, external) = behind_a_nat(world, 4);
        for n in 1..=4 {
            connect(world, inside, n);
        }
        world.run_for(secs(5))?;
        assert!(announces(world, inside, &external));
        for n in 1..=4 {
            tell(world, inside, |node, now| {
                let command = tidewire_host::Command::Disconnect { peer: peer(n), why: "enough".into() };
                node.solo.command(now, command).unwrap();
            });
        }
        world.run_for(secs(590))?;
        assert!(announces(world, inside, &external), "it lingers");
        world.run_for(secs(20))?;
        assert!(!announces(world, inside, &external));
        assert_eq!(of(world, inside).solo.host().externals(), []);
        Ok(())
    });
}
