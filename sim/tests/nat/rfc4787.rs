//! RFC 4787, NAT behavioral requirements for unicast UDP: what the simulated NAT keeps, and what it breaks when told to.

use crate::support::*;
use tidewire_core::Time;
use tidewire_sim::nat::{Filtering, Lifetimes, Mapping, Nat, Pooling, Ports, Side, Translator, Verdict};
use tidewire_sim::packet::Unreachable;
use tidewire_sim::trace::DropReason;
use tidewire_sim::{Link, World, ipv4};

/// Whether the same inside endpoint is seen as the same outer one by: another port of the same remote, another remote.
fn same(mapping: Mapping) -> (bool, bool) {
    let mut nat = at_1(Nat { mapping, ports: Ports::Random, ..Nat::default() });
    let first = out(&mut nat, T0, udp(inside(5_000), remote(8, 80)));
    let port = out(&mut nat, T0, udp(inside(5_000), remote(8, 81)));
    let address = out(&mut nat, T0, udp(inside(5_000), remote(9, 80)));
    assert_eq!(out(&mut nat, T0, udp(inside(5_000), remote(8, 80))), first, "the same remote sees the same");
    (first == port, first == address)
}

/// RFC 4787 REQ-1: endpoint-independent mapping.
#[test]
fn a_mapping_serves_the_remotes_that_its_kind_says() {
    assert_eq!(same(Mapping::EndpointIndependent), (true, true));
    assert_eq!(same(Mapping::AddressDependent), (true, false));
    assert_eq!(same(Mapping::AddressAndPortDependent), (false, false));
}

/// RFC 4787 REQ-2: paired pooling of addresses.
#[test]
fn paired_pooling_gives_a_host_one_address_and_arbitrary_pooling_any() {
    let seen = |pooling| {
        let config = Nat { pooling, ..Nat::default() };
        let mut nat = Translator::nat(config, [ipv4(1), ipv4(2)], 7);
        let mut ip = |host, port| out(&mut nat, T0, udp((private(host), port).into(), remote(9, 80))).ip();
        [ip(2, 5_000), ip(2, 5_002), ip(2, 5_004), ip(3, 5_000), ip(3, 5_002)]
    };
    let [a, b] = [ipv4(1), ipv4(2)];
    assert_eq!(seen(Pooling::Paired), [a, a, a, b, b]);
    assert_eq!(seen(Pooling::Arbitrary), [a, b, a, b, a]);
}

#[test]
fn a_host_without_mappings_is_paired_anew() {
    let mut nat = Translator::nat(Nat::default(), [ipv4(1), ipv4(2)], 7);
    assert_eq!(out(&mut nat, T0, udp(inside(5_000), remote(9, 80))).ip(), ipv4(1));
    assert_eq!(out(&mut nat, T0 + 6 * MINUTE, udp(inside(5_000), remote(9, 80))).ip(), ipv4(2));
}

/// RFC 4787 REQ-3: no overloading. Two hosts want the same port.
#[test]
fn a_port_that_is_taken_is_not_given_again_but_where_ports_are_overloaded() {
    let second = |ports, to| {
        let mut nat = at_1(Nat { ports, ..Nat::default() });
        out(&mut nat, T0, udp((private(2), 5_000).into(), remote(9, 80)));
        out(&mut nat, T0, udp((private(3), 5_000).into(), to)).port()
    };
    assert_eq!(second(Ports::Preserving, remote(8, 80)), 5_002, "the next with the same parity");
    assert_eq!(second(Ports::Overloading, remote(8, 80)), 5_000);
    assert_ne!(second(Ports::Overloading, remote(9, 80)), 5_000, "both would be one to this remote");
}

#[test]
fn answers_to_an_overloaded_port_find_who_asked() {
    let mut nat = at_1(Nat::linux_masquerade());
    for (host, to) in [(2, remote(9, 80)), (3, remote(8, 80))] {
        assert_eq!(out(&mut nat, T0, udp((private(host), 5_000).into(), to)), remote(1, 5_000));
    }
    assert_eq!(into(&mut nat, T0, udp(remote(9, 80), remote(1, 5_000))), Ok((private(2), 5_000).into()));
    assert_eq!(into(&mut nat, T0, udp(remote(8, 80), remote(1, 5_000))), Ok((private(3), 5_000).into()));
    assert_eq!(into(&mut nat, T0, udp(remote(7, 80), remote(1, 5_000))), Err(DropReason::Unsolicited));
}

/// RFC 4787 REQ-3b: the ranges below and from 1024 are kept apart.
#[test]
fn ports_stay_in_their_range_whatever_chooses_them() {
    for ports in [Ports::Preserving, Ports::Overloading, Ports::Random, Ports::Sequential { delta: 1 }] {
        let mut nat = at_1(Nat { ports, ..Nat::default() });
        for port in (1..400).map(|n| n * 5) {
            let outer = out(&mut nat, T0, udp(inside(port), remote(9, 80))).port();
            assert_eq!(outer < 1_024, port < 1_024, "{ports:?}: {port} became {outer}");
        }
    }
}

/// RFC 4787 REQ-4: parity is preserved.
#[test]
fn parity_is_kept_if_asked_for() {
    let odd_ones = |parity| {
        let mut nat = at_1(Nat { ports: Ports::Random, parity, ..Nat::default() });
        let outer = |n: u16| out(&mut nat, T0, udp(inside(5_000 + 2 * n), remote(9, 80)));
        (0..100).map(outer).filter(|outer| outer.port() % 2 == 1).count()
    };
    assert_eq!(odd_ones(true), 0);
    assert!((25..75).contains(&odd_ones(false)));
}

#[test]
fn ports_in_sequence_differ_by_delta_and_skip_what_is_taken() {
    let mut nat = at_1(Nat { ports: Ports::Sequential { delta: 3 }, parity: false, ..Nat::default() });
    let first = out(&mut nat, T0, udp(inside(5_000), remote(9, 80))).port();
    let next = |n: u16| 1_024 + (first - 1_024 + n) % 64_512;
    assert_eq!(out(&mut nat, T0, udp(inside(5_001), remote(9, 80))).port(), next(3));
    let taken = next(6);
    nat.forward(T0, tidewire_sim::packet::Protocol::Udp, (private(9), 1).into(), taken).unwrap();
    assert_eq!(out(&mut nat, T0, udp(inside(5_002), remote(9, 80))).port(), next(9));
}

#[test]
fn random_ports_follow_from_the_seed() {
    let ports = |seed| {
        let mut nat = Translator::nat(Nat::symmetric(), [ipv4(1)], seed);
        (0..20).map(|n| out(&mut nat, T0, udp(inside(5_000), remote(9, n))).port()).collect::<Vec<_>>()
    };
    assert_eq!(ports(1), ports(1));
    assert_ne!(ports(1), ports(2));
}

fn is_open(nat: &mut Translator, now: Time) -> bool {
    into(nat, now, udp(remote(9, 80), remote(1, 5_000))).is_ok()
}

/// RFC 4787 REQ-5: a UDP mapping lives for two minutes at least, five by default; less on demand.
#[test]
fn a_udp_mapping_lives_as_long_as_it_says_to_the_nanosecond() {
    for minutes in [1, 2, 5] {
        let lifetimes = Lifetimes { udp: minutes * MINUTE, ..Lifetimes::default() };
        let mut nat = at_1(Nat { lifetimes, ..Nat::default() });
        out(&mut nat, T0, udp(inside(5_000), remote(9, 80)));
        let end = T0 + minutes * MINUTE;
        assert!(is_open(&mut nat, Time::from_nanos(end.as_nanos() - 1)));
        assert!(!is_open(&mut nat, end));
        assert_eq!(nat.mappings(end).count(), 0);
    }
    assert_eq!(Lifetimes::default().udp, 5 * MINUTE);
}

/// RFC 4787 REQ-6: what goes out refreshes; what comes in if told so.
#[test]
fn outbound_refreshes_a_mapping_and_inbound_if_it_is_told_so() {
    let lives = |udp_refresh_inbound, outbound: bool| {
        let lifetimes = Lifetimes { udp_refresh_inbound, ..Lifetimes::default() };
        let mut nat = at_1(Nat { lifetimes, ..Nat::default() });
        out(&mut nat, T0, udp(inside(5_000), remote(9, 80)));
        let later = T0 + 4 * MINUTE;
        if outbound {
            out(&mut nat, later, udp(inside(5_000), remote(9, 80)));
        } else {
            assert!(is_open(&mut nat, later));
        }
        is_open(&mut nat, later + 4 * MINUTE)
    };
    assert!(lives(false, true));
    assert!(!lives(false, false));
    assert!(lives(true, false));
}

#[test]
fn a_mapping_that_is_kept_alive_for_one_remote_does_not_stay_open_for_another() {
    let mut nat = at_1(Nat::default());
    out(&mut nat, T0, udp(inside(5_000), remote(9, 80)));
    out(&mut nat, T0, udp(inside(5_000), remote(8, 80)));
    out(&mut nat, T0 + 4 * MINUTE, udp(inside(5_000), remote(8, 80)));
    assert_eq!(into(&mut nat, T0 + 6 * MINUTE, udp(remote(9, 80), remote(1, 5_000))), Err(DropReason::Unsolicited));
    assert!(into(&mut nat, T0 + 6 * MINUTE, udp(remote(8, 80), remote(1, 5_000))).is_ok());
}

/// Who gets in after something went to 11.0.0.9:80: another port there, another address.
fn admitted(filtering: Filtering) -> (bool, bool) {
    let mut nat = at_1(Nat { filtering, ..Nat::default() });
    out(&mut nat, T0, udp(inside(5_000), remote(9, 80)));
    let mut gets_in = |from| into(&mut nat, T0, udp(from, remote(1, 5_000))).is_ok();
    assert!(gets_in(remote(9, 80)));
    (gets_in(remote(9, 81)), gets_in(remote(8, 80)))
}

/// RFC 4787 REQ-8: filtering.
#[test]
fn a_filter_admits_whom_its_kind_says() {
    assert_eq!(admitted(Filtering::EndpointIndependent), (true, true));
    assert_eq!(admitted(Filtering::AddressDependent), (true, false));
    assert_eq!(admitted(Filtering::AddressAndPortDependent), (false, false));
}

#[test]
fn what_came_in_through_a_filter_opens_it_for_no_one_else() {
    let mut nat = at_1(Nat { filtering: Filtering::AddressDependent, exposed: None, ..Nat::default() });
    out(&mut nat, T0, udp(inside(5_000), remote(9, 80)));
    assert!(into(&mut nat, T0 + 4 * MINUTE, udp(remote(9, 81), remote(1, 5_000))).is_ok());
    out(&mut nat, T0 + 4 * MINUTE, udp(inside(5_000), remote(8, 80)));
    // What went to 9 is over; what came from there was never answered.
    assert_eq!(into(&mut nat, T0 + 6 * MINUTE, udp(remote(9, 82), remote(1, 5_000))), Err(DropReason::Unsolicited));
}

#[test]
fn the_answer_to_who_came_in_leaves_as_it_came_also_where_mappings_are_for_one_remote() {
    let config = Nat { filtering: Filtering::EndpointIndependent, ..Nat::symmetric() };
    let mut nat = at_1(config);
    let outer = out(&mut nat, T0, udp(inside(5_000), remote(9, 80)));
    assert!(into(&mut nat, T0, udp(remote(8, 80), outer)).is_ok());
    assert_eq!(out(&mut nat, T0, udp(inside(5_000), remote(8, 80))), outer);
    assert_ne!(out(&mut nat, T0, udp(inside(5_000), remote(7, 80))), outer);
}

/// RFC 4787 REQ-9: hairpinning, with the outer address and port as the source (REQ-9a).
#[test]
fn two_inside_reach_each_other_by_outer_addresses_if_it_hairpins() {
    let hairpin = |hairpin| {
        let mut nat = at_1(Nat { hairpin, filtering: Filtering::EndpointIndependent, ..Nat::default() });
        let other = out(&mut nat, T0, udp((private(3), 6_000).into(), remote(9, 80)));
        nat.outward(T0, udp(inside(5_000), other))
    };
    let Verdict::Passed(Side::Inside, packet) = hairpin(true) else { panic!() };
    assert_eq!((packet.from, packet.to), (remote(1, 5_000), (private(3), 6_000).into()));
    let Verdict::Dropped { why, .. } = hairpin(false) else { panic!() };
    assert_eq!(why, DropReason::NoHairpin);
}

#[test]
fn what_comes_by_hairpin_is_filtered_as_all_else() {
    let mut nat = at_1(Nat::default());
    let a = out(&mut nat, T0, udp(inside(5_000), remote(9, 80)));
    let b = out(&mut nat, T0, udp((private(3), 6_000).into(), remote(9, 80)));
    let Verdict::Dropped { why, .. } = nat.outward(T0, udp(inside(5_000), b)) else { panic!() };
    assert_eq!(why, DropReason::Unsolicited);
    let Verdict::Passed(Side::Inside, packet) = nat.outward(T0, udp((private(3), 6_000).into(), a)) else { panic!() };
    assert_eq!((packet.from, packet.to), (b, inside(5_000)), "for a has sent to b's outer endpoint");
}

/// RFC 4787 REQ-7, second way: the outside uses the same addresses as the inside.
#[test]
fn inside_and_outside_may_have_the_same_addresses() {
    let mut world = World::new(1);
    world.default_link(Link::new(10 * MS));
    let carrier = world.nat(Nat::full_cone(), [ipv4(1)]);
    let home = world.nat_behind(carrier, Nat::home_router(), [private(1)]);
    // Both have 192.168.1.2: one in the carrier's network, one at home behind 192.168.1.1 of that network.
    let neighbour = world.add_behind(carrier, Peer::default(), [private(2)]);
    let laptop = world.add_behind(home, Peer::default(), [private(2)]);
    let server = world.add(Peer::default(), [ipv4(9)]);
    world.run_for(MS).unwrap();
    for id in [neighbour, laptop] {
        send(&mut world, id, remote(9, PORT));
        world.run_for(SECOND).unwrap();
    }
    let seen: Vec<_> = peer(&world, server).got.iter().map(|(from, _)| *from).collect();
    assert_eq!(seen, [remote(1, PORT), remote(1, PORT + 2)]);
}

/// RFC 4787 REQ-11: what it does never changes by itself.
#[test]
fn behaviour_does_not_change_under_load() {
    let mut nat = at_1(Nat { filtering: Filtering::AddressDependent, ..Nat::default() });
    for n in 0..2_000 {
        let outer = out(&mut nat, T0, udp((private((n % 200) as u8 + 2), 5_000 + n).into(), remote(9, n + 1)));
        assert_eq!(out(&mut nat, T0, udp((private((n % 200) as u8 + 2), 5_000 + n).into(), remote(8, 1))), outer);
        assert_eq!(into(&mut nat, T0, udp(remote(7, 1), outer)), Err(DropReason::Unsolicited));
        assert!(into(&mut nat, T0, udp(remote(8, 2), outer)).is_ok());
    }
}

/// RFC 4787 REQ-12a: a message of a router on the way has that router's address.
#[test]
fn icmp_about_what_was_sent_is_let_in_whoever_says_it() {
    for filtering in Filtering::ALL {
        let mut nat = at_1(Nat { filtering, ..Nat::default() });
        let sent = udp(inside(5_000), remote(9, 80));
        let Verdict::Passed(_, seen) = nat.outward(T0, sent) else { panic!() };
        for reporter in [9, 77] {
            let mut icmp = seen.unreachable(Unreachable::Network).unwrap();
            icmp.from = remote(reporter, 0);
            let Verdict::Passed(Side::Inside, told) = nat.inward(T0, icmp) else { panic!() };
            assert_eq!((told.from, told.to.ip()), (remote(reporter, 0), private(2)));
        }
    }
}

#[test]
fn udp_and_tcp_have_ports_of_their_own() {
    let mut nat = at_1(Nat::default());
    assert_eq!(out(&mut nat, T0, udp(inside(5_000), remote(9, 80))).port(), 5_000);
    assert_eq!(out(&mut nat, T0, tcp((private(3), 5_000).into(), remote(9, 80), SYN)).port(), 5_000);
    assert_eq!(into(&mut nat, T0, tcp(remote(9, 80), remote(1, 5_000), ACK)), Ok((private(3), 5_000).into()));
}
