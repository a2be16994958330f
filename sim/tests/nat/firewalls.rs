//! Firewalls without a NAT, of both IP versions.

use crate::support::*;
use std::net::{IpAddr, SocketAddr};
use tidewire_sim::nat::{Filtering, Firewall, Unsolicited};
use tidewire_sim::packet::{Protocol, Unreachable};
use tidewire_sim::{ConnectFailure, HostId, Link, World, ipv4, ipv6};

/// A host at `n`, one behind a firewall at 2.
fn world(firewall: Firewall, address: fn(u32) -> IpAddr) -> (World, HostId, HostId) {
    let mut world = World::new(1);
    world.default_link(Link::new(10 * MS));
    let gate = world.firewall(firewall);
    let inside = world.add_behind(gate, Peer::default(), [address(2)]);
    let outside = world.add(Peer::default(), [address(9)]);
    world.run_for(MS).unwrap();
    (world, inside, outside)
}

const FAMILIES: [fn(u32) -> IpAddr; 2] = [v4, v6];

fn v4(n: u32) -> IpAddr {
    ipv4(n)
}

fn v6(n: u32) -> IpAddr {
    ipv6(n)
}

#[test]
fn those_behind_a_firewall_are_seen_as_they_are_and_answered() {
    for address in FAMILIES {
        let (mut world, inside, outside) = world(Firewall::default(), address);
        let at = SocketAddr::new(address(9), PORT);
        assert_eq!(observed(&mut world, inside, outside, at), SocketAddr::new(address(2), PORT));
        assert_eq!(peer(&world, inside).connections().len(), 1);
    }
}

#[test]
fn who_comes_unasked_gets_what_the_policy_says() {
    let icmp = ConnectFailure::Unreachable(Unreachable::Prohibited);
    let later = ConnectFailure::Unreachable(Unreachable::Port);
    let table = [
        (Unsolicited::Drop, None),
        (Unsolicited::Reset, Some((21, ConnectFailure::Refused))),
        (Unsolicited::PROHIBITED, Some((21, icmp))),
        // Its SYN is sent again at 1, 3 and 7 s, and ICMP is on its way before that.
        (Unsolicited::LATER, Some((6_021, later))),
    ];
    for address in FAMILIES {
        for (unsolicited, expected) in table {
            let (mut world, inside, outside) = world(Firewall { unsolicited, ..Firewall::default() }, address);
            dial(&mut world, outside, SocketAddr::new(address(2), PORT)).unwrap();
            world.run_for(30 * SECOND).unwrap();
            let failed = peer(&world, outside).failures();
            // The firewall answers itself: 10 ms there and back, after 1 ms.
            let expected = expected.map(|(ms, error)| (tidewire_core::Time::from_millis(ms), error));
            assert_eq!(failed, Vec::from_iter(expected), "{unsolicited:?}");
            assert_eq!(peer(&world, inside).connections(), []);
        }
    }
}

#[test]
fn a_firewall_that_keeps_nobody_out_is_a_mere_router() {
    let open = Firewall { filtering: Filtering::EndpointIndependent, ..Firewall::default() };
    let (mut world, inside, outside) = world(open, v6);
    // Nothing is known of it before it has sent something: it is endpoint-independent as a NAT's filter is.
    let at = observed(&mut world, inside, outside, SocketAddr::new(v6(9), PORT));
    let other = world.add(Peer::default(), [v6(8)]);
    world.run_for(MS).unwrap();
    dial(&mut world, other, at).unwrap();
    world.run_for(SECOND).unwrap();
    assert_eq!(peer(&world, inside).connections().len(), 2);
}

#[test]
fn two_behind_firewalls_punch() {
    for address in FAMILIES {
        let mut world = World::new(1);
        world.default_link(Link::new(10 * MS));
        let hosts = [1, 2].map(|n| {
            let gate = world.firewall(Firewall::corporate());
            world.add_behind(gate, Peer::default(), [address(n)])
        });
        world.run_for(MS).unwrap();
        for (id, to) in hosts.into_iter().zip([2, 1]) {
            dial(&mut world, id, SocketAddr::new(address(to), PORT)).unwrap();
        }
        world.run_for(SECOND).unwrap();
        assert_eq!(hosts.map(|id| peer(&world, id).connections().len()), [1, 1]);
    }
}

#[test]
fn a_firewall_forwards_nothing() {
    let mut world = World::new(1);
    let gate = world.firewall(Firewall::default());
    let error = world.forward(gate, Protocol::Tcp, (ipv4(2), 1).into(), 1).unwrap_err();
    assert_eq!(error.to_string(), "11.0.0.2:1 is not translated here");
}
