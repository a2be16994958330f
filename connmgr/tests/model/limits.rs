//! The limits of the reference: each asks how many there are, and counts them.

use crate::reference::{Model, Stream};
use crate::world::{NAMES, Scope, ip_of};
use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;
use tidewire_connmgr::limits::{Limit, LimitExceeded};
use tidewire_connmgr::{Direction, Misuse};
use tidewire_core::Time;

fn room(limit: Limit, cap: u32, used: usize) -> Result<(), LimitExceeded> {
    let used = u64::try_from(used).unwrap_or(u64::MAX);
    if cap == u32::MAX || used < u64::from(cap) { Ok(()) } else { Err(LimitExceeded { limit, cap: cap.into(), used }) }
}

/// The networks of an address, with their prefixes. None of loopback.
fn networks(ip: Option<IpAddr>) -> Vec<(IpAddr, u8)> {
    match ip {
        None => Vec::new(),
        Some(ip) if ip.is_loopback() => Vec::new(),
        Some(IpAddr::V4(ip)) => vec![(ip.into(), 32)],
        Some(IpAddr::V6(ip)) => {
            let first = |bits: u32| Ipv6Addr::from_bits(ip.to_bits() >> (128 - bits) << (128 - bits));
            vec![(first(56).into(), 56), (first(48).into(), 48)]
        }
    }
}

impl Model {
    pub(crate) fn pending(&self, direction: Direction) -> usize {
        match direction {
            Direction::Inbound => self.connections.iter().filter(|connection| connection.peer.is_none()).count(),
            Direction::Outbound => self.dials.under_way().len(),
        }
    }

    pub(crate) fn established_in(&self, direction: Direction, closing: bool) -> usize {
        let which = |connection: &&crate::reference::Connection| {
            connection.peer.is_some() && connection.direction == direction && connection.closing.is_some() == closing
        };
        self.connections.iter().filter(which).count()
    }

    pub(crate) fn pending_room(&self, direction: Direction) -> Result<(), LimitExceeded> {
        let limits = &self.config.limits;
        let cap = if direction == Direction::Inbound { limits.pending_inbound } else { limits.pending_outbound };
        room(Limit::Pending(direction), cap, self.pending(direction))
    }

    pub(crate) fn established_room(&self, direction: Direction, peer: usize) -> Result<(), LimitExceeded> {
        let limits = &self.config.limits;
        let inbound = direction == Direction::Inbound;
        let cap = if inbound { limits.established_inbound } else { limits.established_outbound };
        room(Limit::EstablishedIn(direction), cap, self.established_in(direction, false))?;
        room(Limit::EstablishedPerPeer, limits.established_per_peer, self.open_of(peer).len())
    }

    pub(crate) fn total_room(&self) -> Result<(), LimitExceeded> {
        let open = self.connections.iter().filter(|connection| connection.is_open()).count();
        room(Limit::Established, self.config.limits.established, open)
    }

    fn cap_of(&self, prefix: u8) -> u32 {
        let limits = &self.config.limits;
        match prefix {
            32 => limits.per_ip4,
            56 => limits.per_ip6_56,
            _ => limits.per_ip6_48,
        }
    }

    /// The networks of everything that is there, dials too.
    fn all_networks(&self) -> Vec<(IpAddr, u8)> {
        let connections = self.connections.iter().map(|connection| connection.at);
        let dials = self.dials.under_way().into_iter().map(|(_, peer)| peer % 5);
        connections.chain(dials).flat_map(|at| networks(ip_of(at))).collect()
    }

    pub(crate) fn network_room(&self, at: usize) -> Result<(), LimitExceeded> {
        for (network, prefix) in networks(ip_of(at)) {
            let used = self.all_networks().into_iter().filter(|other| *other == (network, prefix)).count();
            room(Limit::Subnet { network, prefix }, self.cap_of(prefix), used)?;
        }
        Ok(())
    }

    /// How many networks are counted.
    pub(crate) fn counted_networks(&self) -> usize {
        let mut all: Vec<_> = self.all_networks();
        all.retain(|(_, prefix)| self.cap_of(*prefix) != u32::MAX);
        all.sort();
        all.dedup();
        all.len()
    }

    /// A bucket for each network. It holds as many tokens as the burst, and gets one each interval; who comes in takes one.
    pub(crate) fn rate_room(&self, at: usize) -> Result<(), LimitExceeded> {
        let Some(&(network, prefix)) = networks(ip_of(at)).first() else { return Ok(()) };
        let limits = &self.config.limits;
        let (token, burst) = (limits.inbound_interval.as_nanos(), limits.inbound_burst.max(1));
        let full = token * u128::from(burst);
        let level = self.bucket(network, token, full);
        if level >= token {
            return Ok(());
        }
        let again_in = Duration::from_nanos(u64::try_from(token - level).unwrap_or(u64::MAX));
        let limit = Limit::Rate { network, prefix, again_in };
        Err(LimitExceeded { limit, cap: burst.into(), used: burst.into() })
    }

    /// What is in the bucket of a network now, in nanoseconds of refilling.
    fn bucket(&self, network: IpAddr, token: u128, full: u128) -> u128 {
        let (mut level, mut last) = (full, Time::ZERO);
        for (ip, when) in &self.let_in {
            if networks(Some(*ip)).first().is_some_and(|(other, _)| *other == network) {
                level = full.min(level + when.since(last).as_nanos()).saturating_sub(token);
                last = *when;
            }
        }
        full.min(level + self.now.since(last).as_nanos())
    }

    /// How many buckets are not full.
    pub(crate) fn buckets_in_use(&self) -> usize {
        let limits = &self.config.limits;
        let (token, burst) = (limits.inbound_interval.as_nanos(), limits.inbound_burst.max(1));
        let full = token * u128::from(burst);
        let mut seen: Vec<IpAddr> =
            self.let_in.iter().filter_map(|(ip, _)| Some(networks(Some(*ip)).first()?.0)).collect();
        seen.sort();
        seen.dedup();
        seen.into_iter().filter(|network| self.bucket(*network, token, full) < full).count()
    }

    pub(crate) fn streams_that(&self, which: impl Fn(&Stream) -> bool) -> usize {
        self.streams.iter().filter(|stream| which(stream)).count()
    }

    /// Checks the totals, the protocol, the connection, the peer, and the protocol with the peer.
    pub(crate) fn stream_room(
        &self,
        c: u64,
        peer: usize,
        direction: Direction,
        protocol: Option<usize>,
    ) -> Result<(), LimitExceeded> {
        let limits = &self.config.limits;
        let inbound = direction == Direction::Inbound;
        let cap = if inbound { limits.streams_inbound } else { limits.streams_outbound };
        room(Limit::Streams, limits.streams, self.streams.len())?;
        room(Limit::StreamsIn(direction), cap, self.streams_that(|s| s.direction == direction))?;
        let protocols = protocol.map_or(Ok(()), |name| self.protocol_total_room(direction, name));
        protocols?;
        let on_connection = self.streams_that(|s| s.connection == c && s.direction == direction);
        room(Limit::StreamsPerConnection(direction), limits.streams_per_connection, on_connection)?;
        let with_peer = self.streams_that(|s| s.peer == peer && s.direction == direction);
        room(Limit::StreamsPerPeer(direction), limits.streams_per_peer, with_peer)?;
        protocol.map_or(Ok(()), |name| self.protocol_peer_room(peer, direction, name))
    }

    pub(crate) fn protocol_room(&self, peer: usize, direction: Direction, name: usize) -> Result<(), LimitExceeded> {
        self.protocol_total_room(direction, name)?;
        self.protocol_peer_room(peer, direction, name)
    }

    fn protocol_total_room(&self, direction: Direction, name: usize) -> Result<(), LimitExceeded> {
        let group = Some(self.counted_name(name));
        let used = self.streams_that(|s| s.protocol == group && s.direction == direction);
        room(Limit::StreamsPerProtocol(direction), self.config.limits.streams_per_protocol, used)
    }

    fn protocol_peer_room(&self, peer: usize, direction: Direction, name: usize) -> Result<(), LimitExceeded> {
        let group = Some(self.counted_name(name));
        let used = self.streams_that(|s| s.protocol == group && s.peer == peer && s.direction == direction);
        room(Limit::StreamsPerProtocolPeer(direction), self.config.limits.streams_per_protocol_peer, used)
    }

    /// The name that a stream counts under; `None` if it counts with the others, because of its length, or since there are
    /// as many names as are counted apart.
    pub(crate) fn counted_name(&self, name: usize) -> Option<usize> {
        let names = self.names_in_use();
        let room = u64::try_from(names.len()).unwrap_or(u64::MAX) < u64::from(self.config.limits.protocols);
        let long = NAMES[name].len() > usize::try_from(self.config.limits.protocol_name).unwrap_or(usize::MAX);
        (!long && (room || names.contains(&name))).then_some(name)
    }

    pub(crate) fn names_in_use(&self) -> Vec<usize> {
        let mut names: Vec<usize> = self.streams.iter().filter_map(|stream| stream.protocol?).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Bytes for a peer, its connections included.
    pub(crate) fn memory_of(&self, peer: usize) -> u64 {
        self.peer_memory[peer] + self.of(peer).iter().map(|connection| connection.memory).sum::<u64>()
    }

    pub(crate) fn memory(&self) -> u64 {
        let connections: u64 = self.connections.iter().map(|connection| connection.memory).sum();
        self.system_memory + self.peer_memory.iter().sum::<u64>() + connections
    }

    pub(crate) fn reserve(&mut self, scope: Scope, bytes: u64) -> Result<Result<(), LimitExceeded>, Misuse> {
        let limits = &self.config.limits;
        let fits = |limit, cap, used: u64| {
            let fits = cap == u64::MAX || used.checked_add(bytes).is_some_and(|sum| sum <= cap);
            if fits { Ok(()) } else { Err(LimitExceeded { limit, cap, used }) }
        };
        let system = fits(Limit::Memory, limits.memory, self.memory());
        let of_peer = |peer| fits(Limit::MemoryPerPeer, limits.memory_per_peer, self.memory_of(peer));
        let fit = match scope {
            Scope::System => system,
            Scope::Peer(peer) => system.and_then(|()| of_peer(peer)),
            Scope::Connection(c) => {
                let connection = self.established(c)?;
                let own = fits(Limit::MemoryPerConnection, limits.memory_per_connection, connection.memory);
                system.and_then(|()| of_peer(connection.peer.unwrap_or_default())).and(own)
            }
        };
        if fit.is_ok() {
            *self.reserved(scope) += bytes;
        }
        Ok(fit)
    }

    /// "No more than were reserved in this scope."
    pub(crate) fn release(&mut self, scope: Scope, bytes: u64) -> Result<u64, Misuse> {
        if let Scope::Connection(c) = scope {
            self.established(c)?;
        }
        let reserved = self.reserved(scope);
        let released = bytes.min(*reserved);
        *reserved -= released;
        Ok(released)
    }

    fn reserved(&mut self, scope: Scope) -> &mut u64 {
        match scope {
            Scope::System => &mut self.system_memory,
            Scope::Peer(peer) => &mut self.peer_memory[peer],
            Scope::Connection(c) => match self.connections.iter_mut().find(|connection| connection.id == c) {
                Some(found) => &mut found.memory,
                None => &mut self.system_memory,
            },
        }
    }
}
