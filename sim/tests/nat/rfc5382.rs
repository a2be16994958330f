//! RFC 5382, NAT behavioral requirements for TCP, and RFC 7857, which updates it: what the simulated NAT keeps, and what it
//! breaks when told to.

use crate::support::*;
use core::time::Duration;
use tidewire_core::Time;
use tidewire_sim::nat::{Filtering, Lifetimes, Mapping, Nat, Ports, Side, Translator, Unsolicited, Verdict};
use tidewire_sim::packet::{Body, Flags, Unreachable};
use tidewire_sim::trace::DropReason;
use tidewire_sim::{ConnectFailure, HostId, Link, World, ipv4};

/// Two hosts at 192.168.1.2, each behind a NAT of its own at 11.0.0.1 and 11.0.0.2, and a server at 11.0.0.9.
fn two_homes(a: Nat, b: Nat, latency: Duration) -> (World, [HostId; 3]) {
    let mut world = World::new(3);
    world.trace_on(200);
    world.default_link(Link::new(latency));
    let hosts = [(a, 1), (b, 2)].map(|(nat, n)| {
        let home = world.nat(nat, [ipv4(n)]);
        world.add_behind(home, Peer::default(), [private(2)])
    });
    let server = world.add(Peer::default(), [ipv4(9)]);
    world.run_for(MS).unwrap();
    (world, [hosts[0], hosts[1], server])
}

/// RFC 5382 REQ-1: endpoint-independent mapping for TCP.
#[test]
fn a_tcp_mapping_serves_the_remotes_that_its_kind_says() {
    let seen = |mapping| {
        let mut nat = at_1(Nat { mapping, ports: Ports::Random, ..Nat::default() });
        let mut port = |to| out(&mut nat, T0, tcp(inside(5_000), to, SYN)).port();
        let ports = [port(remote(8, 80)), port(remote(8, 81)), port(remote(9, 80))];
        (ports[0] == ports[1], ports[0] == ports[2])
    };
    assert_eq!(seen(Mapping::EndpointIndependent), (true, true));
    assert_eq!(seen(Mapping::AddressDependent), (true, false));
    assert_eq!(seen(Mapping::AddressAndPortDependent), (false, false));
}

/// RFC 5382 REQ-2: the three-way handshake from inside, with data both ways, and its end.
#[test]
fn a_connection_from_inside_works_to_its_end() {
    let (mut world, [a, _, server]) = two_homes(Nat::default(), Nat::default(), 10 * MS);
    let socket = dial(&mut world, a, remote(9, PORT)).unwrap();
    world.run_for(SECOND).unwrap();
    assert_eq!(peer(&world, server).connections()[0].1, remote(1, PORT));
    world.with(a, |_: &mut Peer, os| {
        os.send(socket, &mut &b"there and back"[..]);
        os.finish(socket);
    });
    let heard = |world: &World| {
        peer(world, server).log.iter().any(|(_, input)| matches!(input, tidewire_sim::Input::Ended { .. }))
    };
    assert!(world.run_while(SECOND, heard).unwrap());
}

/// RFC 5382 REQ-2: connections from outside, where the NAT lets them in.
#[test]
fn a_connection_from_outside_works_through_a_full_cone_and_a_forward() {
    for forwarded in [false, true] {
        let nat = if forwarded { Nat::home_router() } else { Nat::full_cone() };
        let (mut world, [a, b, server]) = two_homes(nat, Nat::symmetric(), 10 * MS);
        let at = if forwarded {
            let home = world.gateway_of(a).unwrap();
            world.forward(home, tidewire_sim::packet::Protocol::Tcp, inside(PORT), 4444).unwrap()
        } else {
            observed(&mut world, a, server, remote(9, PORT))
        };
        dial(&mut world, b, at).unwrap();
        world.run_for(SECOND).unwrap();
        assert_eq!(peer(&world, b).connections().iter().filter(|(_, with)| *with == at).count(), 1);
    }
}

/// RFC 5382 REQ-2a: simultaneous open.
#[test]
fn two_that_dial_each_other_through_their_nats_get_one_connection() {
    for (a_late, b_late) in [(0, 0), (0, 5), (5, 0), (0, 19)] {
        let (mut world, [a, b, server]) = two_homes(Nat::default(), Nat::default(), 20 * MS);
        let seen = [a, b].map(|id| observed(&mut world, id, server, remote(9, PORT)));
        let start = world.now();
        for (id, to, late) in [(a, seen[1], a_late), (b, seen[0], b_late)] {
            world.run_until(start + late * MS).unwrap();
            dial(&mut world, id, to).unwrap();
        }
        world.run_for(SECOND).unwrap();
        for (id, to) in [(a, seen[1]), (b, seen[0])] {
            assert_eq!(peer(&world, id).connections().iter().filter(|(_, with)| *with == to).count(), 1);
            assert_eq!(peer(&world, id).failures(), []);
        }
    }
}

/// RFC 5382 REQ-3: filtering for TCP.
#[test]
fn a_tcp_filter_admits_whom_its_kind_says() {
    let admitted = |filtering| {
        let mut nat = at_1(Nat { filtering, ..Nat::default() });
        out(&mut nat, T0, tcp(inside(5_000), remote(9, 80), SYN));
        let mut gets_in = |from| into(&mut nat, T0, tcp(from, remote(1, 5_000), SYN)).is_ok();
        [gets_in(remote(9, 80)), gets_in(remote(9, 81)), gets_in(remote(8, 80))]
    };
    assert_eq!(admitted(Filtering::EndpointIndependent), [true, true, true]);
    assert_eq!(admitted(Filtering::AddressDependent), [true, true, false]);
    assert_eq!(admitted(Filtering::AddressAndPortDependent), [true, false, false]);
}

/// What a SYN from 11.0.0.9:80 to 11.0.0.1:5000 is answered, at once and after 6 s.
fn refused(unsolicited: Unsolicited) -> (Option<Body>, Option<(u64, Body)>) {
    let mut nat = at_1(Nat { unsolicited, ..Nat::default() });
    let verdict = nat.inward(T0, tcp(remote(9, 80), remote(1, 5_000), SYN));
    let Verdict::Dropped { answer, why: DropReason::NoMapping, .. } = verdict else { panic!("{verdict:?}") };
    let to_sender = |(side, packet): (Side, tidewire_sim::Packet)| {
        assert_eq!((side, packet.to.ip(), packet.from.ip()), (Side::Outside, ipv4(9), ipv4(1)));
        packet.body
    };
    let due = nat.deadline();
    let later = nat.on_timeout(due).map(|answer| (due.since(T0).as_secs(), to_sender(answer)));
    (answer.map(to_sender), later)
}

/// RFC 5382 REQ-4: no answer to an unsolicited SYN within 6 s, then ICMP; and the ways in which others break that.
#[test]
fn an_unsolicited_syn_gets_what_the_policy_says() {
    assert_eq!(refused(Unsolicited::Drop), (None, None));
    let (reset, later) = refused(Unsolicited::Reset);
    let Some(Body::Tcp(segment)) = reset else { panic!() };
    assert_eq!((segment.flags, segment.ack, later), (RST, 1_001, None));
    let (icmp, later) = refused(Unsolicited::PROHIBITED);
    assert!(matches!(icmp, Some(Body::Icmp(icmp)) if icmp.code == Unreachable::Prohibited && icmp.seq == 1_000));
    assert_eq!(later, None);
    let (icmp, later) = refused(Unsolicited::LATER);
    assert_eq!(icmp, None);
    let Some((6, Body::Icmp(icmp))) = later else { panic!("{later:?}") };
    assert_eq!((icmp.code, icmp.code.code()), (Unreachable::Port, 3));
    assert_eq!((icmp.from, icmp.to), (remote(9, 80), remote(1, 5_000)));
}

/// RFC 5382 REQ-4: if a SYN for the connection goes out meanwhile, nothing is answered.
#[test]
fn a_syn_that_goes_out_within_six_seconds_takes_the_answer_back() {
    let mut nat = at_1(Nat::default());
    out(&mut nat, T0, tcp(inside(5_000), remote(8, 80), SYN));
    nat.inward(T0, tcp(remote(9, 80), remote(1, 5_000), SYN));
    nat.inward(T0, tcp(remote(9, 81), remote(1, 5_000), SYN));
    out(&mut nat, T0 + 5 * SECOND, tcp(inside(5_000), remote(9, 80), SYN));
    let Some((_, answer)) = nat.on_timeout(T0 + 6 * SECOND) else { panic!() };
    assert_eq!(answer.to.ip(), ipv4(9));
    assert!(matches!(answer.body, Body::Icmp(icmp) if icmp.from.port() == 81));
    assert_eq!(nat.on_timeout(T0 + 60 * SECOND), None);
}

#[test]
fn a_repeated_syn_is_answered_once() {
    let mut nat = at_1(Nat::default());
    for second in 0..4 {
        nat.inward(T0 + second * SECOND, tcp(remote(9, 80), remote(1, 5_000), SYN));
    }
    assert!(nat.on_timeout(T0 + 6 * SECOND).is_some());
    assert!(nat.deadline().is_never());
}

#[test]
fn resets_and_icmp_are_never_answered() {
    let mut nat = at_1(Nat { unsolicited: Unsolicited::Reset, ..Nat::default() });
    let reset = tcp(remote(9, 80), remote(1, 5_000), RST);
    let Verdict::Dropped { answer: None, .. } = nat.inward(T0, reset.clone()) else { panic!() };
    let icmp = reset.unreachable(Unreachable::Host).unwrap();
    let Verdict::Dropped { answer: None, .. } = nat.inward(T0, icmp) else { panic!() };
}

/// Sends these through a new mapping to 11.0.0.9:80, and says how long the last of them keeps it.
fn lives(lifetimes: Lifetimes, packets: &[(Side, Flags)]) -> Duration {
    let mut nat = at_1(Nat { lifetimes, ..Nat::default() });
    for (side, flags) in packets {
        pass(&mut nat, T0, *side, *flags);
    }
    nat.mappings(T0).next().map_or(Duration::ZERO, |mapped| mapped.until.since(T0))
}

fn pass(nat: &mut Translator, now: Time, side: Side, flags: Flags) {
    match side {
        Side::Inside => drop(out(nat, now, tcp(inside(5_000), remote(9, 80), flags))),
        Side::Outside => drop(into(nat, now, tcp(remote(9, 80), remote(1, 5_000), flags)).unwrap()),
    }
}

const OUT: Side = Side::Inside;
const IN: Side = Side::Outside;

/// RFC 5382 REQ-5: 2 h 4 min once established, 4 min before and after. RFC 7857 section 2.
#[test]
fn a_tcp_mapping_lives_as_its_connection_is() {
    let (transitory, established) = (4 * MINUTE, 124 * MINUTE);
    let opened = [(OUT, SYN), (IN, SYN_ACK), (OUT, ACK)];
    let simultaneous = [(OUT, SYN), (IN, SYN), (OUT, SYN_ACK), (IN, SYN_ACK)];
    let then = |more: &[(Side, Flags)]| [&opened, more].concat();
    let table = [
        ("one SYN", vec![(OUT, SYN)], transitory),
        ("both SYNs", opened[..2].to_vec(), transitory),
        ("all three", opened.to_vec(), established),
        ("a simultaneous open, half", simultaneous[..3].to_vec(), transitory),
        ("a simultaneous open", simultaneous.to_vec(), established),
        ("one FIN", then(&[(OUT, FIN)]), established),
        ("both FINs", then(&[(OUT, FIN), (IN, FIN)]), transitory),
        ("a RST", then(&[(IN, RST)]), transitory),
        ("acknowledgements of a SYN that was not seen", vec![(OUT, SYN), (OUT, ACK), (IN, ACK)], transitory),
        ("picked up in the middle", vec![(OUT, ACK), (IN, ACK)], established),
    ];
    for (name, packets, expected) in table {
        assert_eq!(lives(Lifetimes::default(), &packets), expected, "{name}");
    }
}

/// RFC 5382 REQ-5 broken: many devices forget earlier.
#[test]
fn shorter_lifetimes_are_kept_to_the_nanosecond() {
    let lifetimes = Lifetimes { tcp_established: 30 * MINUTE, tcp_transitory: MINUTE, ..Lifetimes::default() };
    let mut nat = at_1(Nat { lifetimes, ..Nat::default() });
    for (side, flags) in [(OUT, SYN), (IN, SYN_ACK), (OUT, ACK)] {
        pass(&mut nat, T0, side, flags);
    }
    let last = Time::from_nanos((T0 + 30 * MINUTE).as_nanos() - 1);
    pass(&mut nat, last, IN, ACK);
    let gone = into(&mut nat, last + 30 * MINUTE, tcp(remote(9, 80), remote(1, 5_000), ACK));
    assert_eq!(gone, Err(DropReason::NoMapping));
}

/// RFC 7857 section 2.2: four minutes after a RST; Linux forgets at once.
#[test]
fn after_a_reset_a_mapping_stays_or_goes_as_it_is_told() {
    assert_eq!(lives(Lifetimes::default(), &[(OUT, SYN), (IN, RST)]), 4 * MINUTE);
    let at_once = Lifetimes { tcp_reset: Duration::ZERO, ..Lifetimes::default() };
    assert_eq!(lives(at_once, &[(OUT, SYN), (IN, RST)]), Duration::ZERO);
}

#[test]
fn a_reset_does_not_prolong_and_what_follows_it_neither() {
    let mut nat = at_1(Nat::default());
    pass(&mut nat, T0, OUT, SYN);
    pass(&mut nat, T0 + MINUTE, IN, RST);
    pass(&mut nat, T0 + 2 * MINUTE, IN, RST);
    pass(&mut nat, T0 + 3 * MINUTE, OUT, ACK);
    assert_eq!(nat.mappings(T0).next().unwrap().until, T0 + 4 * MINUTE);
}

#[test]
fn a_mapping_whose_connection_was_reset_is_gone_in_time_with_its_port() {
    let mut nat = at_1(Nat { filtering: Filtering::EndpointIndependent, ..Nat::default() });
    for (side, flags) in [(OUT, SYN), (IN, SYN_ACK), (OUT, ACK)] {
        pass(&mut nat, T0, side, flags);
    }
    // By now its end is two hours away.
    pass(&mut nat, T0 + 5 * MINUTE, IN, ACK);
    pass(&mut nat, T0 + 6 * MINUTE, IN, RST);
    let end = T0 + 10 * MINUTE;
    let late = into(&mut nat, end, tcp(remote(8, 80), remote(1, 5_000), SYN));
    assert_eq!(late, Err(DropReason::NoMapping));
    assert_eq!(out(&mut nat, end, tcp((private(3), 5_000).into(), remote(9, 80), SYN)).port(), 5_000);
}

#[test]
fn a_new_syn_on_the_same_ends_begins_anew() {
    let mut nat = at_1(Nat::default());
    for (side, flags) in [(OUT, SYN), (IN, SYN_ACK), (OUT, ACK), (IN, RST)] {
        pass(&mut nat, T0, side, flags);
    }
    for (side, flags) in [(OUT, SYN), (IN, SYN_ACK), (OUT, ACK)] {
        pass(&mut nat, T0 + MINUTE, side, flags);
    }
    assert_eq!(nat.mappings(T0).next().unwrap().until, T0 + MINUTE + 124 * MINUTE);
}

/// RFC 5382 REQ-7: no overloading for TCP.
#[test]
fn tcp_ports_are_not_overloaded_unless_told_so() {
    let second = |ports| {
        let mut nat = at_1(Nat { ports, ..Nat::default() });
        out(&mut nat, T0, tcp((private(2), 5_000).into(), remote(9, 80), SYN));
        out(&mut nat, T0, tcp((private(3), 5_000).into(), remote(8, 80), SYN)).port()
    };
    for ports in [Ports::Preserving, Ports::Random, Ports::Sequential { delta: 1 }] {
        assert_ne!(second(ports), 5_000);
    }
    assert_eq!(second(Ports::Overloading), 5_000);
}

/// RFC 5382 REQ-8: hairpinning for TCP, with the outer address and port as the source.
#[test]
fn two_at_home_connect_by_their_outer_addresses_if_the_nat_hairpins() {
    for hairpin in [true, false] {
        let mut world = World::new(1);
        let home = world.nat(Nat { hairpin, ..Nat::full_cone() }, [ipv4(1)]);
        let [a, b] = [2, 3].map(|n| world.add_behind(home, Peer::default(), [private(n)]));
        let server = world.add(Peer::default(), [ipv4(9)]);
        world.run_for(MS).unwrap();
        let seen = observed(&mut world, b, server, remote(9, PORT));
        dial(&mut world, a, seen).unwrap();
        world.run_for(SECOND).unwrap();
        let from: Vec<_> = peer(&world, b).connections().iter().map(|(_, from)| *from).collect();
        assert_eq!(from.contains(&remote(1, PORT + 2)), hairpin, "{from:?}");
    }
}

/// RFC 5382 REQ-9: ICMP about TCP is translated: the dialer learns it.
#[test]
fn icmp_for_a_dial_gets_through_the_dialers_nat() {
    let far = Nat { unsolicited: Unsolicited::PROHIBITED, ..Nat::default() };
    let (mut world, [a, b, server]) = two_homes(Nat::default(), far, 10 * MS);
    let seen = observed(&mut world, b, server, remote(9, PORT));
    let start = world.now();
    dial(&mut world, a, seen).unwrap();
    world.run_for(SECOND).unwrap();
    // 1 ms inside and 10 ms outside, twice.
    let failure = (start + 22 * MS, ConnectFailure::Unreachable(Unreachable::Prohibited));
    assert_eq!(peer(&world, a).failures(), [failure]);
}

/// RFC 5382 REQ-10: ICMP ends no mapping.
#[test]
fn icmp_of_any_kind_ends_no_mapping_and_prolongs_none() {
    let mut nat = at_1(Nat::default());
    let syn = tcp(inside(5_000), remote(9, 80), SYN);
    let Verdict::Passed(_, seen) = nat.outward(T0, syn) else { panic!() };
    let before: Vec<_> = nat.mappings(T0).collect();
    for code in [Unreachable::Network, Unreachable::Host, Unreachable::Port, Unreachable::Prohibited] {
        let icmp = seen.unreachable(code).unwrap();
        let Verdict::Passed(Side::Inside, icmp) = nat.inward(T0 + MINUTE, icmp) else { panic!() };
        assert_eq!(icmp.to.ip(), private(2));
        assert!(matches!(icmp.body, Body::Icmp(icmp) if icmp.from == inside(5_000) && icmp.to == remote(9, 80)));
    }
    assert_eq!(nat.mappings(T0).collect::<Vec<_>>(), before);
}

#[test]
fn icmp_about_a_remote_that_nobody_has_spoken_with_is_dropped() {
    let mut nat = at_1(Nat::full_cone());
    let seen = out(&mut nat, T0, tcp(inside(5_000), remote(9, 80), SYN));
    let icmp = tcp(seen, remote(8, 80), SYN).unreachable(Unreachable::Host).unwrap();
    assert_eq!(into(&mut nat, T0, icmp), Err(DropReason::NoMapping));
}

/// A reset from the far router on the first SYN ends the dial, as on Linux; the far side's SYN then finds a listener, unless the
/// near NAT has forgotten with the reset that anything went out.
#[test]
fn an_early_syn_is_answered_with_a_reset_and_the_dial_dies() {
    for (tcp_reset, gets_through) in [(4 * MINUTE, true), (Duration::ZERO, false)] {
        let lifetimes = Lifetimes { tcp_reset, ..Lifetimes::default() };
        let nat = Nat { unsolicited: Unsolicited::Reset, lifetimes, ..Nat::default() };
        let (mut world, [a, b, server]) = two_homes(nat.clone(), nat, 10 * MS);
        let seen = [a, b].map(|id| observed(&mut world, id, server, remote(9, PORT)));
        dial(&mut world, a, seen[1]).unwrap();
        world.run_for(100 * MS).unwrap();
        assert_eq!(peer(&world, a).failures().len(), 1);
        assert_eq!(peer(&world, a).failures()[0].1, ConnectFailure::Refused);
        dial(&mut world, b, seen[0]).unwrap();
        world.run_for(SECOND).unwrap();
        let connected = peer(&world, b).connections().iter().any(|(_, with)| *with == seen[0]);
        assert_eq!(connected, gets_through, "{tcp_reset:?}\n{}", world.trace());
    }
}
