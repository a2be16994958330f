//! Which local addresses may be had: the rules of `bind`, `listen` and `connect` on Linux, for sockets that say
//! `SO_REUSEADDR` and `SO_REUSEPORT` (`reuse`) and for those that don't.

use super::{Ends, Stack};
use crate::node::{ListenerId, OsError};
use core::net::{Ipv4Addr, Ipv6Addr};
use std::net::{IpAddr, SocketAddr};
use tidewire_core::Time;

/// The ports that the system chooses from: Linux, `ip_local_port_range`.
pub(super) const EPHEMERAL: core::ops::RangeInclusive<u16> = 32_768..=60_999;

impl Stack {
    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.addresses.contains(&address)
    }

    /// The listener that a SYN for this address is for, and whether it is too busy to answer.
    pub(super) fn listener_for(&self, to: SocketAddr) -> Option<(ListenerId, bool)> {
        let any = SocketAddr::new(unspecified(to), to.port());
        let find = |at| self.listeners.iter().find(|(_, listener)| listener.at == at);
        let (key, listener) = find(to).or_else(|| find(any))?;
        Some((ListenerId(key), listener.pending >= self.config.backlog))
    }

    /// Where a listener or a UDP socket that asks for `at` gets.
    pub(super) fn place(
        &mut self,
        at: SocketAddr,
        free: impl Fn(&Self, SocketAddr) -> bool,
    ) -> Result<SocketAddr, OsError> {
        if !at.ip().is_unspecified() && !self.has_address(at.ip()) {
            return Err(OsError::AddressNotAvailable);
        }
        if at.port() != 0 {
            return if free(self, at) { Ok(at) } else { Err(OsError::AddressInUse) };
        }
        self.ephemeral(at.ip(), free)
    }

    /// Where a connection to `remote` comes from.
    pub(super) fn place_dial(
        &mut self,
        now: Time,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        reuse: bool,
    ) -> Result<SocketAddr, OsError> {
        let asked = local.unwrap_or_else(|| SocketAddr::new(unspecified(remote), 0));
        if asked.is_ipv4() != remote.is_ipv4() {
            return Err(OsError::InvalidAddress);
        }
        let ip = if asked.ip().is_unspecified() { self.source_for(remote)? } else { asked.ip() };
        if !self.has_address(ip) {
            return Err(OsError::AddressNotAvailable);
        }
        if asked.port() == 0 {
            return self
                .ephemeral(ip, |stack, at| stack.port_is_free(at, false) && stack.ends_are_free(now, (at, remote)));
        }
        let at = SocketAddr::new(ip, asked.port());
        if !self.port_is_free(at, reuse) {
            return Err(OsError::AddressInUse);
        }
        if !self.ends_are_free(now, (at, remote)) {
            return Err(OsError::AddressNotAvailable);
        }
        Ok(at)
    }

    /// The address of ours from which `remote` is spoken to.
    pub(super) fn source_for(&self, remote: SocketAddr) -> Result<IpAddr, OsError> {
        if remote.ip().is_loopback() {
            return Ok(match remote {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        let same_family = |address: &&IpAddr| address.is_ipv4() == remote.is_ipv4();
        self.addresses.iter().find(same_family).copied().ok_or(OsError::NetworkUnreachable)
    }

    /// Whether no listener or connection has the port for itself. Those that share must all say `reuse`.
    pub(super) fn port_is_free(&self, at: SocketAddr, reuse: bool) -> bool {
        let listeners = self.listeners.iter().filter(|(_, other)| overlap(other.at, at));
        let connections = self.by_ends.range((at, LOWEST)..).take_while(|((local, _), _)| *local == at);
        let connections = connections.filter_map(|(_, id)| self.connections.get(id.0));
        listeners.map(|(_, other)| other.reuse).chain(connections.map(|other| other.reuse)).all(|other| other && reuse)
    }

    /// Whether nobody listens there, and no connection has the port for itself.
    pub(super) fn can_listen(&self, at: SocketAddr, reuse: bool) -> bool {
        !self.listeners.iter().any(|(_, other)| overlap(other.at, at)) && self.port_is_free(at, reuse)
    }

    pub(super) fn can_bind_udp(&self, at: SocketAddr) -> bool {
        !self.udp.iter().any(|(_, other)| overlap(*other, at))
    }

    fn ends_are_free(&self, now: Time, ends: Ends) -> bool {
        !self.by_ends.contains_key(&ends) && self.time_wait.get(&ends).is_none_or(|old| old.until <= now)
    }

    fn ephemeral(&mut self, ip: IpAddr, free: impl Fn(&Self, SocketAddr) -> bool) -> Result<SocketAddr, OsError> {
        for _ in EPHEMERAL {
            let port = self.next_port.clamp(*EPHEMERAL.start(), *EPHEMERAL.end());
            self.next_port = if port == *EPHEMERAL.end() { *EPHEMERAL.start() } else { port + 1 };
            let at = SocketAddr::new(ip, port);
            if free(self, at) {
                return Ok(at);
            }
        }
        Err(OsError::AddressNotAvailable)
    }
}

/// Before every other address in their order.
const LOWEST: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

const fn unspecified(like: SocketAddr) -> IpAddr {
    match like {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

/// Whether a packet could be for both.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let same_ip = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.is_ipv4() == b.is_ipv4() && same_ip
}
