//! ICMP as far as TCP sees it: it ends attempts, not connections.

use crate::support::*;
use tidewire_core::Time;
use tidewire_sim::packet::{Body, Protocol, Unreachable};
use tidewire_sim::{ConnectFailure, Input, Link, Middlebox, Packet, World, ipv4};

/// In front of a host: answers what comes in with ICMP, once it is told to.
struct Teller {
    code: Unreachable,
    since: Time,
    /// Lets the packet in nevertheless.
    passes: bool,
    /// As if it spoke of another segment.
    shift: u64,
    waiting: Option<Packet>,
}

impl Middlebox for Teller {
    fn outbound(&mut self, _: Time, packet: Packet) -> Option<Packet> {
        Some(packet)
    }

    fn inbound(&mut self, now: Time, packet: Packet) -> Option<Packet> {
        if now < self.since {
            return Some(packet);
        }
        self.waiting = packet.unreachable(self.code);
        if let Some(Packet { body: Body::Icmp(icmp), .. }) = &mut self.waiting {
            icmp.seq = icmp.seq.wrapping_add(self.shift);
        }
        self.passes.then_some(packet)
    }

    fn answer(&mut self, _: Time) -> Option<Packet> {
        self.waiting.take()
    }
}

fn world(teller: Teller) -> (World, [tidewire_sim::HostId; 2]) {
    let mut world = World::new(1);
    world.trace_on(100);
    world.default_link(Link::new(10 * MS));
    let a = world.add(Peer::default(), [ipv4(1)]);
    let b = world.add(Peer::default(), [ipv4(2)]);
    world.middlebox(b, teller);
    world.run_for(MS).unwrap();
    (world, [a, b])
}

const TELLER: Teller = Teller { code: Unreachable::Host, since: Time::ZERO, passes: false, shift: 0, waiting: None };

#[test]
fn each_code_fails_a_dial_with_its_own_reason() {
    let table = [
        (Unreachable::Network, "network unreachable"),
        (Unreachable::Host, "host unreachable"),
        (Unreachable::Port, "port unreachable"),
        (Unreachable::Prohibited, "administratively prohibited"),
    ];
    for (code, text) in table {
        let (mut world, [a, _]) = world(Teller { code, ..TELLER });
        dial(&mut world, a, remote(2, PORT)).unwrap();
        world.run_for(SECOND).unwrap();
        let failure = ConnectFailure::Unreachable(code);
        assert_eq!(peer(&world, a).failures(), [(Time::from_millis(21), failure)]);
        assert_eq!(failure.to_string(), text);
    }
}

#[test]
fn an_established_connection_goes_on_whatever_icmp_says() {
    let (mut world, [a, b]) = world(Teller { since: Time::from_millis(500), passes: true, ..TELLER });
    let socket = dial(&mut world, a, remote(2, PORT)).unwrap();
    world.run_until(Time::from_millis(600)).unwrap();
    world.with(a, |_: &mut Peer, os| os.send(socket, &mut &b"still there?"[..]));
    world.run_for(SECOND).unwrap();
    assert!(world.trace().to_string().contains("ICMP host unreachable: TCP 11.0.0.1:4001 > 11.0.0.2:4001"));
    assert_eq!((peer(&world, a).connections().len(), peer(&world, b).connections().len()), (1, 1));
    assert!(peer(&world, a).log.iter().any(|(_, input)| matches!(input, Input::Received { .. })), "the echo");
}

#[test]
fn icmp_about_a_segment_that_was_not_sent_is_not_believed() {
    let (mut world, [a, _]) = world(Teller { shift: 77, ..TELLER });
    dial(&mut world, a, remote(2, PORT)).unwrap();
    world.run_for(10 * SECOND).unwrap();
    assert_eq!(peer(&world, a).failures(), []);
}

#[test]
fn icmp_about_a_datagram_is_not_told_to_anybody() {
    let (mut world, [a, b]) = world(TELLER);
    send(&mut world, a, remote(2, PORT));
    world.run_for(SECOND).unwrap();
    assert_eq!((peer(&world, a).log.len(), peer(&world, b).log.len()), (1, 1), "started, and nothing else");
}

#[test]
fn a_packet_says_what_it_is_about() {
    let syn = tcp(remote(1, 5), remote(2, 80), SYN);
    let icmp = syn.unreachable(Unreachable::Port).unwrap();
    assert_eq!((icmp.from, icmp.to, icmp.size()), (remote(2, 0), remote(1, 0), 56));
    assert!(matches!(&icmp.body, Body::Icmp(of) if of.protocol == Protocol::Tcp && of.seq == 1_000));
    assert_eq!(icmp.unreachable(Unreachable::Host), None, "nobody is told about ICMP");
    assert_eq!(icmp.refusal(), None);
}
