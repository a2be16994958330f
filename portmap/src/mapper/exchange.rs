//! The question that is under way: sent, and sent again, until it is answered or given up.

use super::{Action, Gateway, Mapper, MappingId, Refusal};
use crate::Protocol;
use crate::wire::Request;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use tidewire_core::Time;

#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    pub(super) job: Job,
    /// How often it was sent.
    pub(super) tries: u32,
    /// When it is sent again, or given up.
    pub(super) next: Time,
    /// How it was sent last.
    pub(super) sent: Protocol,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// A mapping: asked for, renewed or given back, as it stands then.
    Map(MappingId),
    /// NAT-PMP's address outside.
    External,
}

impl Mapper {
    /// Sends again what waited long enough, gives up what did too often, and begins the next.
    pub(super) fn go_on(&mut self) {
        if let Some(exchange) = self.exchange
            && exchange.next <= self.now
        {
            if exchange.tries < self.most_tries() {
                return self.send(exchange);
            }
            let Some(Gateway { address: gateway, .. }) = self.gateway else { return };
            self.protocol = None;
            self.all_failed(Refusal::NoAnswer { gateway });
        }
        if self.exchange.is_none()
            && let Some(job) = self.next_job()
        {
            self.send(Exchange { job, tries: 0, next: self.now, sent: Protocol::Pcp });
        }
    }

    /// What is due longest; what is to be given back comes first.
    fn next_job(&self) -> Option<Job> {
        let (id, mapping) = self.mappings.iter().min_by_key(|(_, mapping)| mapping.due())?;
        if mapping.due() > self.now {
            return None;
        }
        // NAT-PMP gives a port, but not the address that it is on, which may change.
        let fresh = |(_, told): (Ipv4Addr, Time)| self.now.since(told) < self.config.first_pause;
        let leaves = mapping.leaves();
        match self.protocol {
            Some(Protocol::NatPmp) if !leaves && !self.external.is_some_and(fresh) => Some(Job::External),
            _ => Some(Job::Map(*id)),
        }
    }

    fn send(&mut self, mut exchange: Exchange) {
        let Some(gateway) = self.gateway else { return };
        exchange.sent = match self.protocol {
            Some(known) => known,
            // NAT-PMP has no IPv6.
            None if exchange.tries % 2 == 1 && gateway.address.is_ipv4() => Protocol::NatPmp,
            None => Protocol::Pcp,
        };
        let Some(request) = self.request(&exchange, gateway) else {
            self.exchange = None;
            return;
        };
        let to = SocketAddr::new(gateway.address, self.config.router_port);
        self.actions.push_back(Action::Send { to, datagram: request.encode() });
        exchange.next = self.now + self.wait(&exchange);
        exchange.tries = exchange.tries.saturating_add(1);
        self.exchange = Some(exchange);
    }

    fn request(&self, exchange: &Exchange, gateway: Gateway) -> Option<Request> {
        let Job::Map(id) = exchange.job else { return Some(Request::NatPmpExternal) };
        let mapping = self.mappings.get(&id)?;
        let (transport, internal, nonce) = (mapping.transport, mapping.port, mapping.nonce);
        let lifetime = u32::try_from(self.config.lifetime.as_secs()).unwrap_or(u32::MAX);
        let leaves = mapping.leaves();
        // What is given back is asked for with no time, and no wish (RFC 6886 section 3.4, RFC 6887 section 15).
        let (lifetime, suggested) = if leaves { (0, 0) } else { (lifetime, mapping.suggested) };
        Some(match exchange.sent {
            // Which mapping it would be is of no matter before it is known that somebody listens.
            Protocol::NatPmp if self.protocol.is_none() && !leaves => Request::NatPmpExternal,
            Protocol::NatPmp => Request::NatPmpMap { transport, internal, suggested, lifetime },
            Protocol::Pcp => {
                let unspecified = match gateway.local {
                    IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                    IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
                };
                let ip = mapping.external().filter(|_| !leaves).map_or(unspecified, |external| external.ip());
                let suggested = SocketAddr::new(ip, suggested);
                Request::PcpMap { client: gateway.local, nonce, transport, internal, suggested, lifetime }
            }
        })
    }

    /// How long to wait for an answer to what is sent now.
    fn wait(&mut self, exchange: &Exchange) -> Duration {
        let doubled = |first: Duration, times: u32| first.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX));
        let turn = match (self.protocol, exchange.sent) {
            (Some(Protocol::NatPmp), _) => return doubled(self.config.nat_pmp_wait, exchange.tries),
            (Some(Protocol::Pcp), _) => exchange.tries,
            // The other one's turn comes soon.
            (None, Protocol::Pcp) if self.gateway.is_some_and(|gateway| gateway.address.is_ipv4()) => {
                return self.config.nat_pmp_wait;
            }
            (None, _) => exchange.tries / 2,
        };
        // A tenth shorter to a tenth longer.
        let wait = doubled(self.config.pcp_wait, turn);
        (wait - wait / 10).saturating_add(self.draw.up_to(wait / 5))
    }

    fn most_tries(&self) -> u32 {
        match self.protocol {
            Some(Protocol::NatPmp) => self.config.nat_pmp_tries,
            Some(Protocol::Pcp) => self.config.pcp_tries,
            None => self.config.pcp_tries.saturating_mul(2),
        }
    }
}
