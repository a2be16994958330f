//! A NAT or a firewall at work: a machine that packets go through, without a world around it.

use super::config::{Caps, Filtering, Firewall, Lifetimes, Mapping, Nat, Unsolicited};
use super::ports::Allocator;
use super::session::Side;
use super::table::{Entry, Table, key};
use crate::packet::{Body, Packet, Protocol};
use crate::rng::Rng;
use crate::trace::DropReason;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use tidewire_core::Time;

/// A NAT or a firewall at work. [`World`](crate::World) has one in each gateway; use one alone to try what a device does:
///
/// ```
/// use bytes::Bytes;
/// use tidewire_core::Time;
/// use tidewire_sim::nat::{Nat, Side, Translator, Verdict};
/// use tidewire_sim::packet::{Body, Packet};
/// use tidewire_sim::ipv4;
///
/// let mut nat = Translator::nat(Nat::home_router(), [ipv4(1)], 7);
/// let from = "192.168.1.2:4001".parse().unwrap();
/// let packet = Packet { from, to: (ipv4(9), 80).into(), body: Body::Udp(Bytes::new()) };
/// let Verdict::Passed(Side::Outside, seen) = nat.outward(Time::ZERO, packet) else { panic!() };
/// assert_eq!(seen.from, (ipv4(1), 4001).into());
/// ```
#[derive(Debug)]
pub struct Translator {
    kind: Kind,
    allocator: Allocator,
    table: Table,
    /// SYNs to be answered then, in the order in which they came.
    held: VecDeque<(Time, Packet)>,
}

#[derive(Clone, Debug)]
enum Kind {
    Nat(Nat),
    Firewall(Firewall),
}

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on to this side, as it is now.
    Passed(Side, Packet),
    /// It goes no further.
    Dropped {
        /// As it was.
        packet: Packet,
        /// Why.
        why: DropReason,
        /// What its sender is told, and on which side that one is.
        answer: Option<(Side, Packet)>,
    },
}

/// A mapping, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mapped {
    /// Of which protocol.
    pub protocol: Protocol,
    /// The endpoint of the host.
    pub inside: SocketAddr,
    /// The endpoint that others see.
    pub outer: SocketAddr,
    /// With whom packets were exchanged through it.
    pub remotes: Vec<SocketAddr>,
    /// When it ends if nothing happens; never, if it is a forward.
    pub until: Time,
}

/// Why there is no forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// Another inside endpoint has the port.
    #[error("the outer port {0} is taken by {1}")]
    Taken(u16, SocketAddr),
    /// There is no room for another mapping, or no port.
    #[error("the NAT has no room for another forward")]
    Full,
    /// A firewall forwards nothing, and a NAT no IPv6.
    #[error("{0} is not translated here")]
    NotTranslated(SocketAddr),
}

/// What holds for a packet.
struct Rules {
    mapping: Mapping,
    filtering: Filtering,
    unsolicited: Unsolicited,
    lifetimes: Lifetimes,
    caps: Caps,
    translates: bool,
}

impl Translator {
    /// A NAT with these outer addresses, IPv4 ones. `seed`: where its random ports come from.
    pub fn nat(nat: Nat, outer: impl IntoIterator<Item = IpAddr>, seed: u64) -> Self {
        let outer = outer.into_iter().filter(IpAddr::is_ipv4).collect();
        Translator::new(Kind::Nat(nat), outer, seed)
    }

    /// A firewall, which has no addresses of its own.
    pub fn firewall(firewall: Firewall) -> Self {
        Translator::new(Kind::Firewall(firewall), Vec::new(), 0)
    }

    fn new(kind: Kind, outer: Vec<IpAddr>, seed: u64) -> Self {
        let allocator = Allocator::new(outer, Rng::new(seed));
        Translator { kind, allocator, table: Table::default(), held: VecDeque::new() }
    }

    /// The addresses by which those inside are seen.
    pub fn outer(&self) -> &[IpAddr] {
        &self.allocator.outer
    }

    /// Whether an inside address is not seen outside.
    pub const fn translates(&self, address: IpAddr) -> bool {
        matches!(self.kind, Kind::Nat(_)) && address.is_ipv4()
    }

    /// A packet from inside.
    pub fn outward(&mut self, now: Time, packet: Packet) -> Verdict {
        self.table.expire(now);
        let rules = self.rules(packet.from.ip());
        let Some(protocol) = packet.protocol() else { return self.icmp_outward(now, packet) };
        let to_us = rules.translates && self.allocator.outer.contains(&packet.to.ip());
        if to_us && !self.hairpins() {
            return dropped(packet, DropReason::NoHairpin);
        }
        let ends = (packet.from, packet.to);
        let id = match self.table.outward(now, protocol, ends, rules.mapping) {
            Some(id) => id,
            None if matches!(&packet.body, Body::Tcp(segment) if segment.flags.rst) => {
                return dropped(packet, DropReason::NoMapping);
            }
            None => match self.make(now, &rules, protocol, ends) {
                Ok(id) => id,
                Err(why) => return dropped(packet, why),
            },
        };
        let Some(outer) = self.table.entries.get(&id).map(|entry| entry.outer) else {
            return dropped(packet, DropReason::NoMapping);
        };
        if !self.table.pass(now, id, Side::Inside, &packet, &rules.lifetimes, &rules.caps) {
            return self.no_room(id, packet);
        }
        if matches!(&packet.body, Body::Tcp(segment) if segment.flags.syn) {
            self.held.retain(|(_, held)| (held.to, held.from) != (outer, packet.to));
        }
        let packet = Packet { from: outer, ..packet };
        // By hairpin it comes back in as if from outside.
        if to_us { self.inward(now, packet) } else { Verdict::Passed(Side::Outside, packet) }
    }

    /// A packet from outside.
    pub fn inward(&mut self, now: Time, packet: Packet) -> Verdict {
        self.table.expire(now);
        let rules = self.rules(packet.to.ip());
        let Some(protocol) = packet.protocol() else { return self.icmp_inward(now, packet) };
        let ends = (packet.to, packet.from);
        let found = self.table.inward(now, protocol, ends, rules.filtering);
        let found = found.or_else(|why| self.expose(&rules, protocol, &packet).ok_or(why));
        let id = match found {
            Ok(id) => id,
            Err(why) => return self.refuse(now, &rules, packet, why),
        };
        let Some(inside) = self.table.entries.get(&id).map(|entry| entry.inside) else {
            return dropped(packet, DropReason::NoMapping);
        };
        if !self.table.pass(now, id, Side::Outside, &packet, &rules.lifetimes, &rules.caps) {
            return self.no_room(id, packet);
        }
        Verdict::Passed(Side::Inside, Packet { to: inside, ..packet })
    }

    /// When [`on_timeout`](Translator::on_timeout) has something to say.
    pub fn deadline(&self) -> Time {
        self.held.front().map_or(Time::NEVER, |(at, _)| *at)
    }

    /// What is due by now: answers to SYNs that nobody wanted, and the side on which their senders are.
    pub fn on_timeout(&mut self, now: Time) -> Option<(Side, Packet)> {
        while self.deadline() <= now {
            let (_, packet) = self.held.pop_front()?;
            let Unsolicited::Unreachable { code, .. } = self.rules(packet.to.ip()).unsolicited else { continue };
            let Some(answer) = packet.unreachable(code) else { continue };
            if let Some(answer) = self.toward(now, answer) {
                return Some(answer);
            }
        }
        None
    }

    /// Forwards an outer port, on the first outer address, to an inside endpoint: what a person sets up on a router, or a
    /// program by NAT-PMP, PCP or UPnP. All may come in by it, and what that endpoint sends leaves by it. Port 0: the inside
    /// port, or the next one that is free.
    ///
    /// # Errors
    /// The port can't be had.
    pub fn forward(
        &mut self,
        now: Time,
        protocol: Protocol,
        inside: SocketAddr,
        port: u16,
    ) -> Result<SocketAddr, ForwardError> {
        self.table.expire(now);
        let rules = self.rules(inside.ip());
        let ip = self.allocator.outer.first().copied().filter(|_| rules.translates);
        let ip = ip.ok_or(ForwardError::NotTranslated(inside))?;
        let taken = |table: &Table, port| {
            let ids = table.at(protocol, SocketAddr::new(ip, port));
            ids.iter().filter_map(|id| table.entries.get(id)).map(|entry| entry.inside).find(|other| *other != inside)
        };
        let port = match port {
            0 => (inside.port().max(1)..=u16::MAX).find(|port| taken(&self.table, *port).is_none()),
            port => Some(port),
        };
        let port = port.ok_or(ForwardError::Full)?;
        if let Some(other) = taken(&self.table, port) {
            return Err(ForwardError::Taken(port, other));
        }
        let outer = SocketAddr::new(ip, port);
        // What this endpoint had there, or as a forward, is the new forward from now on.
        let same = |entry: &Entry| entry.protocol == protocol && entry.inside == inside && entry.outer == outer;
        let old = self.table.entries.iter().filter(|(_, e)| same(e) || (e.open && e.inside == inside));
        let old: Vec<u64> = old.filter(|(_, entry)| entry.protocol == protocol).map(|(id, _)| *id).collect();
        for id in old {
            self.table.remove(id);
        }
        if !self.table.has_room(inside.ip(), &rules.caps) {
            return Err(ForwardError::Full);
        }
        self.table.insert(Entry::forward(protocol, inside, outer));
        Ok(outer)
    }

    /// Ends a forward. Says whether there was one.
    pub fn unforward(&mut self, protocol: Protocol, port: u16) -> bool {
        let is = |entry: &Entry| entry.forward && entry.protocol == protocol && entry.outer.port() == port;
        let Some(id) = self.table.entries.iter().find(|(_, entry)| is(entry)).map(|(id, _)| *id) else { return false };
        self.table.remove(id);
        true
    }

    /// Forgets all mappings and sessions but the forwards: it was switched off and on.
    pub fn reboot(&mut self) {
        let gone: Vec<u64> = self.table.entries.iter().filter(|(_, entry)| !entry.forward).map(|(id, _)| *id).collect();
        for id in gone {
            self.table.remove(id);
        }
        self.held.clear();
    }

    /// Other outer addresses, as a provider gives them: all mappings end, forwards too.
    pub fn renumber(&mut self, outer: impl IntoIterator<Item = IpAddr>) {
        self.table = Table::default();
        self.held.clear();
        self.allocator.outer = outer.into_iter().filter(IpAddr::is_ipv4).collect();
    }

    /// The mappings, the oldest first.
    pub fn mappings(&self, now: Time) -> impl Iterator<Item = Mapped> {
        self.table.entries.values().filter(move |entry| entry.end() > now).map(move |entry| Mapped {
            protocol: entry.protocol,
            inside: entry.inside,
            outer: entry.outer,
            remotes: entry.sessions.keys().copied().filter(|remote| entry.session(now, *remote).is_some()).collect(),
            until: entry.end(),
        })
    }

    /// By which outer endpoint a remote sees an inside one now, if there is a mapping for it.
    pub fn outer_of(
        &self,
        now: Time,
        protocol: Protocol,
        inside: SocketAddr,
        remote: SocketAddr,
    ) -> Option<SocketAddr> {
        let id = self.table.outward(now, protocol, (inside, remote), self.rules(inside.ip()).mapping)?;
        self.table.entries.get(&id).filter(|entry| entry.end() > now).map(|entry| entry.outer)
    }

    fn make(
        &mut self,
        now: Time,
        rules: &Rules,
        protocol: Protocol,
        ends: (SocketAddr, SocketAddr),
    ) -> Result<u64, DropReason> {
        if !self.table.has_room(ends.0.ip(), &rules.caps) {
            return Err(DropReason::NatFull);
        }
        let outer = match &self.kind {
            Kind::Nat(nat) if rules.translates => {
                let outer = self.allocator.allocate(now, nat, &self.table, protocol, ends);
                outer.ok_or(DropReason::NoPortLeft)?
            }
            _ => ends.0,
        };
        Ok(self.table.insert(Entry::new(protocol, ends.0, outer, Some(key(rules.mapping, ends.1)))))
    }

    /// The mapping by which an exposed host gets a packet that nobody has asked for.
    fn expose(&mut self, rules: &Rules, protocol: Protocol, packet: &Packet) -> Option<u64> {
        let Kind::Nat(Nat { exposed: Some(host), .. }) = self.kind else { return None };
        if !rules.translates || matches!(&packet.body, Body::Tcp(segment) if segment.flags.rst) {
            return None;
        }
        let inside = SocketAddr::new(host, packet.to.port());
        if let Some(id) = self.table.at(protocol, packet.to).first().copied() {
            let entry = self.table.entries.get_mut(&id).filter(|entry| entry.inside == inside)?;
            entry.open = true;
            return Some(id);
        }
        let room = self.table.has_room(host, &rules.caps) && !self.table.is_open(protocol, inside);
        room.then(|| self.table.insert(Entry::new(protocol, inside, packet.to, None)))
    }

    fn refuse(&mut self, now: Time, rules: &Rules, packet: Packet, why: DropReason) -> Verdict {
        let is_syn = matches!(&packet.body, Body::Tcp(segment) if segment.is_first_syn());
        let why = if rules.translates { why } else { DropReason::Unsolicited };
        let answer = match rules.unsolicited {
            Unsolicited::Drop => None,
            Unsolicited::Reset => packet.refusal(),
            Unsolicited::Unreachable { .. } if !is_syn => None,
            Unsolicited::Unreachable { code, after } if after.is_zero() => packet.unreachable(code),
            Unsolicited::Unreachable { after, .. } => {
                let known = self.held.iter().any(|(_, held)| (held.from, held.to) == (packet.from, packet.to));
                if !known && self.held.len() < rules.caps.max_held {
                    let at = now + after;
                    let place = self.held.partition_point(|(other, _)| *other <= at);
                    self.held.insert(place, (at, packet.clone()));
                }
                None
            }
        };
        let answer = answer.and_then(|answer| self.toward(now, answer));
        Verdict::Dropped { packet, why, answer }
    }

    /// Where an answer of ours goes: to one inside who came by hairpin, or out.
    fn toward(&mut self, now: Time, answer: Packet) -> Option<(Side, Packet)> {
        if !self.allocator.outer.contains(&answer.to.ip()) {
            return Some((Side::Outside, answer));
        }
        match self.inward(now, answer) {
            Verdict::Passed(side, answer) => Some((side, answer)),
            Verdict::Dropped { .. } => None,
        }
    }

    /// Word from outside about a packet that went out.
    fn icmp_inward(&self, now: Time, mut packet: Packet) -> Verdict {
        let Body::Icmp(icmp) = &mut packet.body else { return dropped(packet, DropReason::NoMapping) };
        let ids = self.table.at(icmp.protocol, icmp.from).iter().filter_map(|id| self.table.entries.get(id));
        let Some(entry) = ids.into_iter().find(|entry| entry.session(now, icmp.to).is_some()) else {
            return dropped(packet, DropReason::NoMapping);
        };
        icmp.from = entry.inside;
        packet.to = SocketAddr::new(entry.inside.ip(), 0);
        Verdict::Passed(Side::Inside, packet)
    }

    /// Word from inside about a packet that came in.
    fn icmp_outward(&mut self, now: Time, mut packet: Packet) -> Verdict {
        let Body::Icmp(icmp) = &mut packet.body else { return dropped(packet, DropReason::NoMapping) };
        let Some(entry) = self.table.of_session(now, icmp.protocol, (icmp.to, icmp.from)) else {
            return dropped(packet, DropReason::NoMapping);
        };
        icmp.to = entry.outer;
        packet.from = SocketAddr::new(entry.outer.ip(), 0);
        match self.toward(now, packet.clone()) {
            Some((side, packet)) => Verdict::Passed(side, packet),
            None => dropped(packet, DropReason::NoMapping),
        }
    }

    fn no_room(&mut self, id: u64, packet: Packet) -> Verdict {
        if self.table.entries.get(&id).is_some_and(|entry| entry.sessions.is_empty() && !entry.forward) {
            self.table.remove(id);
        }
        dropped(packet, DropReason::NatFull)
    }

    const fn hairpins(&self) -> bool {
        matches!(&self.kind, Kind::Nat(nat) if nat.hairpin)
    }

    fn rules(&self, inside: IpAddr) -> Rules {
        let firewall = match &self.kind {
            Kind::Nat(nat) if inside.is_ipv4() => {
                return Rules {
                    mapping: nat.mapping,
                    filtering: nat.filtering,
                    unsolicited: nat.unsolicited,
                    lifetimes: nat.lifetimes,
                    caps: nat.caps,
                    translates: true,
                };
            }
            Kind::Nat(nat) => &nat.ipv6,
            Kind::Firewall(firewall) => firewall,
        };
        Rules {
            mapping: Mapping::EndpointIndependent,
            filtering: firewall.filtering,
            unsolicited: firewall.unsolicited,
            lifetimes: firewall.lifetimes,
            caps: firewall.caps,
            translates: false,
        }
    }
}

const fn dropped(packet: Packet, why: DropReason) -> Verdict {
    Verdict::Dropped { packet, why, answer: None }
}
