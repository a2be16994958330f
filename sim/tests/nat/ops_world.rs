//! Any packets through one NAT or firewall, in any order, and what must hold whatever they are. For the property test beside it
//! and for the fuzz target `nat_ops`.

use bytes::Bytes;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use tidewire_core::Time;
use tidewire_sim::ipv4;
use tidewire_sim::nat::{Caps, Firewall, Nat, Pooling, Ports, Side, Translator, Verdict};
use tidewire_sim::packet::{Body, Flags, Packet, Protocol, Segment, Unreachable};

/// One call: which, with whom, and the rest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    pub(crate) what: u8,
    pub(crate) pick: u8,
    pub(crate) bits: u16,
}

pub(crate) struct Ops {
    translator: Translator,
    caps: Caps,
    /// Two mappings never have the same outer endpoint.
    distinct: bool,
    /// Answers to what went out come in.
    hairpins: bool,
    translates: bool,
    now: Time,
    /// The last packets that passed, for ICMP about them.
    passed: Vec<(Side, Packet)>,
}

const CODES: [Unreachable; 4] = [Unreachable::Network, Unreachable::Host, Unreachable::Port, Unreachable::Prohibited];

impl Ops {
    /// One of all configurations, with caps so small that they are met.
    pub(crate) fn new(config: u16) -> Self {
        let caps = Caps { max_mappings: 12, max_mappings_per_host: 7, max_sessions: 20, max_held: 3 };
        let all: Vec<Nat> = Nat::all().collect();
        let mut nat = all[usize::from(config) % all.len()].clone();
        let rest = usize::from(config) / all.len();
        nat.hairpin = rest & 1 == 0;
        nat.parity = rest & 2 == 0;
        nat.lifetimes.udp_refresh_inbound = rest & 4 == 0;
        nat.pooling = if rest & 8 == 0 { Pooling::Paired } else { Pooling::Arbitrary };
        nat.exposed = (rest & 16 != 0).then(|| host(0));
        if rest & 32 != 0 {
            nat.lifetimes.tcp_reset = Duration::ZERO;
        }
        nat.caps = caps;
        let translates = rest & 64 == 0;
        let distinct = nat.ports != Ports::Overloading;
        let hairpins = nat.hairpin && translates;
        let translator = if translates {
            Translator::nat(nat, [ipv4(1), ipv4(2)], u64::from(config))
        } else {
            let Nat { filtering, unsolicited, lifetimes, .. } = nat;
            Translator::firewall(Firewall { filtering, unsolicited, lifetimes, caps })
        };
        let now = Time::from_millis(1);
        Ops { translator, caps, distinct, hairpins, translates, now, passed: Vec::new() }
    }

    /// Runs it, and checks all.
    pub(crate) fn run(&mut self, op: Op) {
        let inside = SocketAddr::new(host(op.pick & 3), 1_022 + u16::from(op.pick >> 2 & 3));
        let remote = SocketAddr::new(ipv4(8 + u32::from(op.pick >> 4 & 1)), 80 + u16::from(op.pick >> 5 & 1));
        match op.what % 9 {
            0 | 1 => self.outward(packet(inside, remote, op.bits)),
            2 | 3 => {
                let to = self.some_outer(op.bits);
                self.inward(packet(remote, to, op.bits));
            }
            4 => {
                let to = self.some_outer(op.bits);
                self.outward(packet(inside, to, op.bits));
            }
            5 => self.wait(Duration::from_secs(u64::from(op.bits >> 4))),
            6 => self.icmp(op),
            7 => self.forward(inside, op.bits),
            _ if op.bits & 0xff == 0 => self.translator.reboot(),
            _ => {
                self.translator.unforward(Protocol::Tcp, op.bits >> 8);
            }
        }
        self.audit();
    }

    fn outward(&mut self, packet: Packet) {
        let sent = packet.clone();
        match self.translator.outward(self.now, packet) {
            Verdict::Passed(Side::Outside, packet) => {
                assert_eq!((packet.to, &packet.body), (sent.to, &sent.body));
                let outer = self.translator.outer();
                assert!(if self.translates { outer.contains(&packet.from.ip()) } else { packet.from == sent.from });
                if !is_reset(&sent) {
                    self.answer_arrives(&sent, &packet);
                }
                self.passed.push((Side::Outside, packet));
            }
            Verdict::Passed(Side::Inside, packet) => {
                assert!(self.hairpins, "{sent:?} came back as {packet:?}");
                self.passed.push((Side::Inside, packet));
            }
            Verdict::Dropped { packet, answer, .. } => {
                assert!(packet == sent || self.hairpins, "{packet:?} was {sent:?}");
                assert!(answer.is_none_or(|(side, _)| side == Side::Inside), "one inside is told");
            }
        }
    }

    /// The answer to what went out comes back to who sent it.
    fn answer_arrives(&mut self, sent: &Packet, seen: &Packet) {
        if !self.distinct {
            return;
        }
        let flags = Flags { ack: true, ..Flags::default() };
        let body = match &sent.body {
            Body::Tcp(_) => Body::Tcp(Segment { flags, ..Segment::default() }),
            other => other.clone(),
        };
        let answer = Packet { from: seen.to, to: seen.from, body };
        let verdict = self.translator.inward(self.now, answer);
        assert!(matches!(&verdict, Verdict::Passed(Side::Inside, packet) if packet.to == sent.from), "{verdict:?}");
    }

    fn inward(&mut self, packet: Packet) {
        let sent = packet.clone();
        match self.translator.inward(self.now, packet) {
            Verdict::Passed(side, packet) => {
                assert_eq!((side, packet.from, &packet.body), (Side::Inside, sent.from, &sent.body));
                self.passed.push((side, packet));
            }
            Verdict::Dropped { packet, answer, .. } => {
                assert_eq!(packet, sent);
                if let Some((side, answer)) = answer {
                    assert_eq!((side, answer.to.ip(), answer.from.ip()), (Side::Outside, sent.from.ip(), sent.to.ip()));
                    assert!(!is_reset(&sent), "a reset is not answered");
                }
            }
        }
    }

    fn icmp(&mut self, op: Op) {
        let Some((side, about)) = self.passed.get(usize::from(op.pick) % self.passed.len().max(1)).cloned() else {
            return;
        };
        let Some(icmp) = about.unreachable(CODES[usize::from(op.bits) % CODES.len()]) else { return };
        let before = self.mappings();
        match side {
            Side::Outside => drop(self.translator.inward(self.now, icmp)),
            Side::Inside => drop(self.translator.outward(self.now, icmp)),
        }
        assert_eq!(self.mappings(), before, "ICMP changes nothing");
    }

    fn forward(&mut self, inside: SocketAddr, bits: u16) {
        let protocol = if bits & 1 == 0 { Protocol::Tcp } else { Protocol::Udp };
        let port = bits >> 8;
        let Ok(outer) = self.translator.forward(self.now, protocol, inside, port) else { return };
        assert!(port == 0 || outer.port() == port);
        let found = self.translator.outer_of(self.now, protocol, inside, SocketAddr::new(ipv4(77), 7));
        assert_eq!(found, Some(outer), "a forward is for everybody");
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        let mut said = 0;
        while let Some((side, answer)) = self.translator.on_timeout(self.now) {
            assert!(side == Side::Outside || self.hairpins, "{answer:?}");
            said += 1;
        }
        assert!(said <= self.caps.max_held);
        assert!(self.translator.deadline() > self.now);
    }

    /// An outer endpoint that there is, or one that there is not.
    fn some_outer(&self, bits: u16) -> SocketAddr {
        let mappings = self.mappings();
        let nth = usize::from(bits >> 8);
        let taken = nth.checked_rem(mappings.len()).map(|n| mappings[n].2);
        taken.filter(|_| bits & 0x80 == 0).unwrap_or(SocketAddr::new(ipv4(1), 1_022 + (bits >> 8 & 3)))
    }

    fn mappings(&self) -> Vec<(Protocol, SocketAddr, SocketAddr, Time)> {
        let all = self.translator.mappings(self.now);
        all.map(|mapped| (mapped.protocol, mapped.inside, mapped.outer, mapped.until)).collect()
    }

    fn audit(&mut self) {
        let all: Vec<_> = self.translator.mappings(self.now).collect();
        assert!(all.len() <= self.caps.max_mappings);
        assert!(all.iter().map(|mapped| mapped.remotes.len()).sum::<usize>() <= self.caps.max_sessions);
        let mut of_host: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for mapped in &all {
            *of_host.entry(mapped.inside.ip()).or_default() += 1;
            assert!(mapped.until > self.now);
        }
        assert!(of_host.values().all(|count| *count <= self.caps.max_mappings_per_host), "{of_host:?}");
        if self.distinct {
            let ends: BTreeSet<_> = all.iter().map(|mapped| (mapped.protocol, mapped.outer)).collect();
            assert_eq!(ends.len(), all.len(), "{all:?}");
        }
        let keep = self.passed.len().saturating_sub(16);
        self.passed.drain(..keep);
    }
}

fn host(n: u8) -> IpAddr {
    IpAddr::from([192, 168, 1, 2 + n])
}

fn packet(from: SocketAddr, to: SocketAddr, bits: u16) -> Packet {
    let bit = |n: u16| bits >> n & 1 == 1;
    let flags = Flags { syn: bit(1), ack: bit(2), fin: bit(3), rst: bit(4) && bit(5) };
    let body = if bit(0) {
        Body::Tcp(Segment { flags, seq: 1, ack: 2, ..Segment::default() })
    } else {
        Body::Udp(Bytes::from_static(b"datagram"))
    };
    Packet { from, to, body }
}

fn is_reset(packet: &Packet) -> bool {
    matches!(&packet.body, Body::Tcp(segment) if segment.flags.rst)
}
