//! Networks behind gateways: who reaches whom, over which links, and how long it takes.

use crate::support::*;
use tidewire_core::Time;
use tidewire_sim::nat::{Firewall, Nat, Unsolicited};
use tidewire_sim::packet::Protocol;
use tidewire_sim::trace::What;
use tidewire_sim::{HostId, Input, Link, World, ipv4, ipv6};

fn connected_at(world: &World, id: HostId) -> Option<Time> {
    peer(world, id).log.iter().find(|(_, input)| matches!(input, Input::Connected { .. })).map(|(at, _)| *at)
}

#[test]
fn hosts_in_two_homes_with_the_same_address_are_seen_by_their_own_outer_ones() {
    let mut world = World::new(1);
    let homes = [1, 2].map(|n| world.nat(Nat::home_router(), [ipv4(n)]));
    let hosts = homes.map(|home| world.add_behind(home, Peer::default(), [private(2)]));
    let server = world.add(Peer::default(), [ipv4(9)]);
    world.run_for(MS).unwrap();
    for (id, n) in hosts.into_iter().zip([1, 2]) {
        assert_eq!(observed(&mut world, id, server, remote(9, PORT)), remote(n, PORT));
    }
    assert_eq!(hosts.map(|id| world.gateway_of(id)), homes.map(Some));
    assert_eq!(world.gateway_of(server), None);
}

#[test]
fn hosts_behind_one_gateway_reach_each_other_without_it() {
    let mut world = World::new(1);
    let home = world.nat(Nat::home_router(), [ipv4(1)]);
    world.lan(home, Link::new(3 * MS));
    let [a, b] = [2, 3].map(|n| world.add_behind(home, Peer::default(), [private(n)]));
    world.run_for(MS).unwrap();
    dial(&mut world, a, (private(3), PORT).into()).unwrap();
    world.run_for(SECOND).unwrap();
    assert_eq!(connected_at(&world, a), Some(Time::from_millis(7)));
    assert_eq!(peer(&world, b).connections()[0].1, (private(2), PORT).into());
    assert_eq!(world.translator(home).mappings(world.now()).count(), 0);
}

#[test]
fn a_packet_takes_the_inside_link_the_line_and_the_link_of_the_gateways() {
    let mut world = World::new(1);
    world.default_link(Link::new(100 * MS));
    let home = world.nat(Nat::home_router(), [ipv4(1)]);
    world.lan(home, Link::new(2 * MS));
    world.line(home, Link::new(7 * MS), Link::new(5 * MS));
    let a = world.add_behind(home, Peer::default(), [private(2)]);
    let server = world.add(Peer::default(), [ipv4(9)]);
    // Between two hosts, of which one is behind a gateway: the link outside of that.
    world.link_one_way(a, server, Link::new(30 * MS));
    world.link_one_way(server, a, Link::new(20 * MS));
    world.run_for(MS).unwrap();
    dial(&mut world, a, remote(9, PORT)).unwrap();
    world.run_for(SECOND).unwrap();
    assert_eq!(connected_at(&world, a), Some(Time::from_millis(1 + (2 + 7 + 30) + (20 + 5 + 2))));
}

#[test]
fn all_behind_a_gateway_share_its_line() {
    let mut world = World::new(1);
    world.default_link(Link::new(MS));
    let home = world.nat(Nat::home_router(), [ipv4(1)]);
    world.line(home, Link::new(MS).bandwidth(1_000), Link::new(MS));
    let hosts = [2, 3].map(|n| world.add_behind(home, Peer::default(), [private(n)]));
    let server = world.add(Peer::default(), [ipv4(9)]);
    world.run_for(MS).unwrap();
    for id in hosts {
        send(&mut world, id, remote(9, PORT));
    }
    world.run_for(SECOND).unwrap();
    let got = peer(&world, server).log.iter().filter(|(_, input)| matches!(input, Input::Datagram { .. }));
    let times: Vec<u64> = got.map(|(at, _)| at.as_nanos() / 1_000_000).collect();
    // 33 bytes at 1,000 a second are 33 ms each.
    assert_eq!(times, [1 + 1 + 33 + 1 + 1, 1 + 1 + 66 + 1 + 1]);
}

#[test]
fn behind_a_carriers_nat_and_ones_own_both_translate() {
    let mut world = World::new(1);
    let carrier = world.nat(Nat::home_router(), [ipv4(1)]);
    let homes = [2, 3].map(|n| {
        let address = std::net::IpAddr::from([100, 64, 0, n]);
        world.nat_behind(carrier, Nat::home_router(), [address])
    });
    let hosts = homes.map(|home| world.add_behind(home, Peer::default(), [private(2)]));
    let server = world.add(Peer::default(), [ipv4(9)]);
    world.run_for(MS).unwrap();
    let seen = hosts.map(|id| observed(&mut world, id, server, remote(9, PORT)));
    assert_eq!(seen, [remote(1, PORT), remote(1, PORT + 2)], "the second found its port taken at the carrier's");
}

#[test]
#[should_panic(expected = "g2 can't have the address 100.64.0.2: Some(g1) has it")]
fn an_address_belongs_to_one_gateway_of_a_network() {
    let mut world = World::new(1);
    let carrier = world.nat(Nat::carrier_grade(), [ipv4(1)]);
    let address = "100.64.0.2".parse().unwrap();
    world.nat_behind(carrier, Nat::home_router(), [address]);
    world.nat_behind(carrier, Nat::home_router(), [address]);
}

/// Both homes behind one carrier: each knows the other by the carrier's outer address alone.
#[test]
fn two_homes_behind_one_carrier_punch_if_the_carrier_hairpins() {
    for hairpin in [true, false] {
        let mut world = World::new(1);
        world.trace_on(300);
        let carrier = world.nat(Nat { hairpin, ..Nat::carrier_grade() }, [ipv4(1)]);
        let hosts = [2, 3].map(|n| {
            let address = std::net::IpAddr::from([100, 64, 0, n]);
            let home = world.nat_behind(carrier, Nat::home_router(), [address]);
            world.add_behind(home, Peer::default(), [private(2)])
        });
        let server = world.add(Peer::default(), [ipv4(9)]);
        world.run_for(MS).unwrap();
        let seen = hosts.map(|id| observed(&mut world, id, server, remote(9, PORT)));
        dial(&mut world, hosts[0], seen[1]).unwrap();
        dial(&mut world, hosts[1], seen[0]).unwrap();
        world.run_for(SECOND).unwrap();
        let connected = peer(&world, hosts[0]).connections().iter().any(|(_, with)| *with == seen[1]);
        assert_eq!(connected, hairpin, "{}", world.trace());
    }
}

#[test]
fn a_forward_lets_everybody_in_until_it_ends() {
    let mut world = World::new(1);
    let home = world.nat(Nat::symmetric(), [ipv4(1)]);
    let a = world.add_behind(home, Peer::default(), [private(2)]);
    let server = world.add(Peer::default(), [ipv4(9)]);
    world.run_for(MS).unwrap();
    let at = world.forward(home, Protocol::Tcp, inside(PORT), 0).unwrap();
    assert_eq!(at, remote(1, PORT), "0: the inside port");
    let taken = world.forward(home, Protocol::Tcp, (private(3), PORT).into(), PORT).unwrap_err();
    assert_eq!(taken.to_string(), "the outer port 4001 is taken by 192.168.1.2:4001");
    dial(&mut world, server, at).unwrap();
    world.run_for(SECOND).unwrap();
    assert_eq!(peer(&world, a).connections().len(), 1);
    // What it dials itself is seen by the same endpoint, though the NAT is symmetric.
    assert_eq!(world.translator(home).outer_of(world.now(), Protocol::Tcp, inside(PORT), remote(8, 1)), Some(at));
    assert!(world.unforward(home, Protocol::Tcp, PORT));
    assert!(!world.unforward(home, Protocol::Tcp, PORT));
    dial(&mut world, server, remote(1, PORT)).unwrap_err();
    let other = world.add(Peer::default(), [ipv4(8)]);
    world.run_for(MS).unwrap();
    dial(&mut world, other, at).unwrap();
    world.run_for(SECOND).unwrap();
    assert_eq!(peer(&world, a).connections().len(), 1);
}

#[test]
fn what_is_forwarded_to_nobody_is_lost_inside_and_does_not_come_back_out() {
    let mut world = World::new(1);
    world.trace_on(100);
    let home = world.nat(Nat::home_router(), [ipv4(1)]);
    let server = world.add(Peer::default(), [ipv4(9)]);
    world.run_for(MS).unwrap();
    let at = world.forward(home, Protocol::Udp, (private(77), PORT).into(), 0).unwrap();
    send(&mut world, server, at);
    world.run_for(SECOND).unwrap();
    let said = world.trace().to_string();
    assert!(
        said.ends_with("11.0.0.9:4001 > 192.168.1.77:4001  UDP 5 bytes  LOST: nobody has this address\n"),
        "{said}"
    );
    assert_eq!(world.translator(home).mappings(world.now()).count(), 1);
}

#[test]
fn an_exposed_host_gets_all_that_is_for_nobody_else() {
    let mut world = World::new(1);
    let home = world.nat(Nat { exposed: Some(private(2)), ..Nat::linux_masquerade() }, [ipv4(1)]);
    let [a, b] = [2, 3].map(|n| world.add_behind(home, Peer::default(), [private(n)]));
    let [server, other] = [9, 8].map(|n| world.add(Peer::default(), [ipv4(n)]));
    world.run_for(MS).unwrap();
    dial(&mut world, other, remote(1, PORT)).unwrap();
    world.run_for(SECOND).unwrap();
    assert_eq!(peer(&world, a).connections().len(), 1);
    assert_eq!(peer(&world, other).connections()[0].1, remote(1, PORT));
    // The other one inside is still itself to those that it speaks to.
    dial(&mut world, b, remote(9, PORT)).unwrap();
    world.run_for(SECOND).unwrap();
    assert_eq!((peer(&world, b).connections().len(), peer(&world, server).connections().len()), (1, 1));
}

#[test]
fn a_gateway_that_is_switched_off_and_on_has_forgotten_all_but_forwards() {
    let mut world = World::new(1);
    let home = world.nat(Nat::home_router(), [ipv4(1)]);
    let a = world.add_behind(home, Peer::default(), [private(2)]);
    let server = world.add(Peer::default(), [ipv4(9)]);
    world.run_for(MS).unwrap();
    world.forward(home, Protocol::Udp, inside(7), 7).unwrap();
    observed(&mut world, a, server, remote(9, PORT));
    assert_eq!(world.translator(home).mappings(world.now()).count(), 2);
    world.reboot(home);
    let left: Vec<_> = world.translator(home).mappings(world.now()).collect();
    assert_eq!((left.len(), left[0].outer, left[0].until), (1, remote(1, 7), Time::NEVER));
}

#[test]
fn another_outer_address_is_what_others_see_from_then_on() {
    let mut world = World::new(1);
    let home = world.nat(Nat::home_router(), [ipv4(1)]);
    let a = world.add_behind(home, Peer::default(), [private(2)]);
    let server = world.add(Peer::default(), [ipv4(9)]);
    world.run_for(MS).unwrap();
    send(&mut world, a, remote(9, PORT));
    world.run_for(SECOND).unwrap();
    world.renumber(home, [ipv4(5)]);
    send(&mut world, a, remote(9, PORT));
    world.run_for(SECOND).unwrap();
    let seen: Vec<_> = peer(&world, server).got.iter().map(|(from, _)| *from).collect();
    assert_eq!(seen, [remote(1, PORT), remote(5, PORT)]);
    world.add(Peer::default(), [ipv4(1)]);
}

#[test]
fn a_cut_between_gateways_stops_those_behind_and_isolation_one_host_alone() {
    let mut world = World::new(1);
    let home = world.nat(Nat::home_router(), [ipv4(1)]);
    let [a, b] = [2, 3].map(|n| world.add_behind(home, Peer::default(), [private(n)]));
    let server = world.add(Peer::default(), [ipv4(9)]);
    world.run_for(MS).unwrap();
    let heard = |world: &mut World| {
        let before = peer(world, server).got.len();
        send(world, a, remote(9, PORT));
        send(world, b, remote(9, PORT));
        world.run_for(SECOND).unwrap();
        peer(world, server).got.len() - before
    };
    assert_eq!(heard(&mut world), 2);
    world.cut(a, server, Time::NEVER);
    assert_eq!(heard(&mut world), 0);
    world.heal(a, server);
    assert_eq!(heard(&mut world), 2);
    world.isolate(a, Time::NEVER);
    assert_eq!(heard(&mut world), 1);
    world.heal(a, server);
    assert_eq!(heard(&mut world), 2);
}

#[test]
fn ipv6_goes_through_a_nat_untranslated_and_through_firewalls_in_a_row() {
    let mut world = World::new(1);
    let office = world.firewall(Firewall::default());
    let desk = world.nat_behind(office, Nat::home_router(), [ipv4(1)]);
    let a = world.add_behind(desk, Peer::default(), [ipv6(2), private(2)]);
    let server = world.add(Peer::default(), [ipv6(9), ipv4(9)]);
    world.run_for(MS).unwrap();
    assert_eq!(observed(&mut world, a, server, (ipv6(9), PORT).into()), (ipv6(2), PORT).into());
    assert_eq!(observed(&mut world, a, server, (ipv4(9), PORT).into()), (ipv4(1), PORT).into());
    world.remove_address(a, ipv6(2));
    world.add(Peer::default(), [ipv6(2)]);
}

#[test]
fn the_trace_tells_what_gateways_do() {
    let mut world = World::new(1);
    world.trace_on(100);
    let home = world.nat(Nat { unsolicited: Unsolicited::Reset, ..Nat::home_router() }, [ipv4(1)]);
    let a = world.add_behind(home, Peer::default(), [private(2)]);
    let server = world.add(Peer::default(), [ipv4(9)]);
    world.run_for(MS).unwrap();
    dial(&mut world, server, remote(1, PORT)).unwrap();
    world.run_for(SECOND).unwrap();
    send(&mut world, a, remote(9, PORT));
    world.run_for(SECOND).unwrap();
    let said = world.trace().to_string();
    assert!(said.contains("SYN seq 0  LOST: the NAT has no mapping for it"), "{said}");
    assert!(said.contains("11.0.0.1:4001 > 11.0.0.9:4001  RST ACK seq 0 ack 1 window 0  by g0"), "{said}");
    assert!(said.contains("g0 192.168.1.2:4001 > 11.0.0.9:4001 becomes 11.0.0.1:4001 > 11.0.0.9:4001"), "{said}");
    assert!(
        world.trace().records().any(|record| matches!(record.what, What::Translated(gateway, ..) if gateway == home))
    );
}

#[test]
fn a_file_with_the_trace_has_a_line_for_each_record_and_says_who_is_where() {
    let mut world = World::new(7);
    let home = world.nat(Nat { unsolicited: Unsolicited::PROHIBITED, ..Nat::home_router() }, [ipv4(1)]);
    let a = world.add_behind(home, Peer::default(), [private(2)]);
    let server = world.add(Peer::default(), [ipv4(9)]);
    world.run_for(MS).unwrap();
    world.trace_on(100);
    dial(&mut world, server, remote(1, PORT)).unwrap();
    send(&mut world, a, remote(9, 7));
    world.run_for(SECOND).unwrap();
    let mut file = Vec::new();
    world.write_trace(&mut file).unwrap();
    let lines: Vec<String> = String::from_utf8(file).unwrap().replace('"', "").lines().map(Into::into).collect();
    let expected = [
        "{tidewire_sim_trace:1,seed:7,now_ns:1001000000,left_out:0,\
         hosts:[{host:h0,addresses:[192.168.1.2],behind:g0},{host:h1,addresses:[11.0.0.9]}],\
         gateways:[{gateway:g0,addresses:[11.0.0.1]}]}",
        "{at_ns:1000000,what:sent,from:11.0.0.9:4001,to:11.0.0.1:4001,protocol:tcp,flags:SYN,seq:0,len:0}",
        "{at_ns:1000000,what:sent,from:192.168.1.2:4001,to:11.0.0.9:7,protocol:udp,len:5}",
        "{at_ns:2000000,what:translated,gateway:g0,from:11.0.0.1:4001,to:11.0.0.9:7,protocol:udp,len:5,\
         was_from:192.168.1.2:4001,was_to:11.0.0.9:7}",
        "{at_ns:11000000,what:lost,why:the NAT has no mapping for it,\
         from:11.0.0.9:4001,to:11.0.0.1:4001,protocol:tcp,flags:SYN,seq:0,len:0}",
        "{at_ns:11000000,what:answered,gateway:g0,from:11.0.0.1,to:11.0.0.9,protocol:icmp,\
         says:administratively prohibited,code:13,about:TCP,about_from:11.0.0.9:4001,about_to:11.0.0.1:4001}",
        "{at_ns:12000000,what:arrived,from:11.0.0.1:4001,to:11.0.0.9:7,protocol:udp,len:5}",
        "{at_ns:12000000,what:lost,why:nobody has bound this port,from:11.0.0.1:4001,to:11.0.0.9:7,protocol:udp,len:5}",
        "{at_ns:21000000,what:arrived,from:11.0.0.1,to:11.0.0.9,protocol:icmp,\
         says:administratively prohibited,code:13,about:TCP,about_from:11.0.0.9:4001,about_to:11.0.0.1:4001}",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn the_same_seed_is_the_same_run_with_gateways_too() {
    let run = |seed| {
        let mut world = World::new(seed);
        world.trace_on(1);
        world.default_link(Link::new(10 * MS).jitter(5 * MS).loss(0.1));
        let carrier = world.nat(Nat::carrier_grade(), [ipv4(1), ipv4(2)]);
        let hosts: Vec<HostId> = (2..10)
            .map(|n| {
                let home = world.nat_behind(carrier, Nat::symmetric(), [std::net::IpAddr::from([100, 64, 0, n])]);
                world.add_behind(home, Peer::default(), [private(2)])
            })
            .collect();
        let server = world.add(Peer::default(), [ipv4(9)]);
        world.run_for(MS).unwrap();
        for id in hosts {
            let socket = dial(&mut world, id, remote(9, PORT)).unwrap();
            world.run_for(SECOND).unwrap();
            world.with(id, |_: &mut Peer, os| os.send(socket, &mut &b"hello"[..]));
        }
        world.run_for(60 * SECOND).unwrap();
        let seen: Vec<_> = peer(&world, server).connections();
        (world.trace().hash(), world.stats(), seen)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
