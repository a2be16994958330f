//! What the router says.

use super::exchange::{Exchange, Job};
use super::mapping::Mapping;
use super::{Epoch, Event, Mapper, MappingId, Refusal};
use crate::wire::{NatPmpCode, PcpCode, Response};
use crate::{Protocol, Transport};
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;

/// ANNOUNCE of PCP (RFC 6887 section 14.1).
const ANNOUNCE: u8 = 0;
/// MAP (section 11).
const MAP: u8 = 1;

impl Mapper {
    pub(super) fn hear(&mut self, from: SocketAddr, datagram: &[u8]) {
        // Whoever else sends may be anybody (RFC 6886 section 3.1, RFC 6887 section 8.3).
        let Some(gateway) = self.gateway else { return };
        if from != SocketAddr::new(gateway.address, self.config.router_port) {
            return;
        }
        let Ok(response) = Response::decode(datagram) else { return };
        match response {
            // To NAT-PMP's own question; what names another operation is the answer to PCP.
            Response::NatPmpError { opcode: 0, code: NatPmpCode::UNSUPPORTED_VERSION, .. }
            | Response::NatPmpExternal { code: NatPmpCode::UNSUPPORTED_VERSION, .. } => self.no_nat_pmp(),
            Response::NatPmpError { code: NatPmpCode::UNSUPPORTED_VERSION, .. }
            | Response::NatPmpMap { code: NatPmpCode::UNSUPPORTED_VERSION, .. }
            | Response::Pcp { code: PcpCode::UNSUPPORTED_VERSION, .. }
            | Response::PcpMap { code: PcpCode::UNSUPPORTED_VERSION, .. } => self.no_pcp(),
            Response::PcpMap { code, lifetime, epoch, nonce, transport, internal, external } => {
                let of_it = |mapping: &Mapping| {
                    (mapping.nonce, mapping.transport, mapping.port) == (nonce, transport, internal)
                };
                let Some((id, mapping)) = self.mappings.iter().find(|(_, mapping)| of_it(mapping)) else { return };
                let id = *id;
                if mapping.leaves() && code == PcpCode::SUCCESS && lifetime != 0 {
                    return; // A late answer to what is given back now.
                }
                self.speaks(Protocol::Pcp, epoch, Duration::ZERO);
                let asked = self.answered(id);
                let given = Given { external, lifetime };
                match code {
                    PcpCode::SUCCESS => self.given(id, given, Protocol::Pcp),
                    // Said again of what was sent again, it is no second failure.
                    _ if !asked => {}
                    code => self.failed(id, Refusal::Pcp(code), Some(seconds(lifetime))),
                }
            }
            Response::Pcp { opcode: ANNOUNCE, code: PcpCode::SUCCESS, epoch, .. } => {
                if self.protocol == Some(Protocol::Pcp) {
                    self.speaks(Protocol::Pcp, epoch, self.config.announced_wait);
                }
            }
            // An error to what we asked; of another operation, or a success without what it is of, it is not.
            Response::Pcp { opcode: MAP, code, lifetime, .. } if code != PcpCode::SUCCESS => {
                if let Some(Exchange { job: Job::Map(id), sent: Protocol::Pcp, .. }) = self.exchange {
                    self.answered(id);
                    self.failed(id, Refusal::Pcp(code), Some(seconds(lifetime)));
                }
            }
            Response::Pcp { .. } => {}
            Response::NatPmpExternal { code, epoch, external } => self.outside(code, epoch, external),
            Response::NatPmpMap { transport, code, epoch, internal, external, lifetime } => {
                let given = GivenPort { port: external, lifetime };
                self.nat_pmp_mapped((transport, internal), code, epoch, given);
            }
            Response::NatPmpError { code, .. } => {
                if let Some(Exchange { sent: Protocol::NatPmp, .. }) = self.exchange {
                    self.all_failed(Refusal::NatPmp(code));
                }
            }
        }
    }

    /// It answered in this protocol, and counts so many seconds. `within`: after it was heard to have restarted, the time in which it
    /// is asked again.
    fn speaks(&mut self, protocol: Protocol, epoch: u32, within: Duration) {
        let known = self.protocol.replace(protocol) == Some(protocol);
        let now = self.now;
        match &mut self.epoch {
            Some(before) if known => {
                if !before.follows(now, epoch, protocol) {
                    self.restarted(within);
                }
            }
            other => *other = Some(Epoch::new(now, epoch)),
        }
    }

    /// If this is what was asked, it was answered. Whether it was asked.
    fn answered(&mut self, id: MappingId) -> bool {
        let asked = self.exchange.is_some_and(|exchange| exchange.job == Job::Map(id));
        if asked {
            self.exchange = None;
        }
        asked
    }

    /// It does not speak PCP as we do: the older protocol, then (RFC 6887 section 9; RFC 6886 section 3.5).
    fn no_pcp(&mut self) {
        if self.exchange.is_none() || self.protocol == Some(Protocol::NatPmp) {
            return;
        }
        if self.gateway.is_none_or(|gateway| gateway.address.is_ipv6()) {
            return self.all_failed(Refusal::NoProtocol);
        }
        (self.protocol, self.epoch, self.exchange) = (Some(Protocol::NatPmp), None, None);
    }

    /// It does not even speak that one.
    fn no_nat_pmp(&mut self) {
        if let Some(Exchange { sent: Protocol::NatPmp, .. }) = self.exchange {
            self.protocol = None;
            self.all_failed(Refusal::NoProtocol);
        }
    }

    /// NAT-PMP's address outside: asked for, or announced.
    fn outside(&mut self, code: NatPmpCode, epoch: u32, external: Ipv4Addr) {
        let asked = match self.exchange {
            Some(Exchange { job: Job::External, .. }) => true,
            Some(Exchange { job: Job::Map(_), .. }) => self.protocol.is_none(),
            None => false,
        };
        if !asked && self.protocol != Some(Protocol::NatPmp) {
            return;
        }
        let within = if asked { Duration::ZERO } else { self.config.announced_wait };
        let before = self.external.map(|(external, _)| external);
        self.speaks(Protocol::NatPmp, epoch, within);
        if code != NatPmpCode::SUCCESS {
            if asked {
                self.all_failed(Refusal::NatPmp(code));
            }
            return;
        }
        if external.is_unspecified() {
            if asked {
                self.all_failed(Refusal::Nothing);
            }
            return;
        }
        if asked {
            self.exchange = None;
        } else if self.external.is_some() && before != Some(external) {
            // What it gave may be gone with the address (RFC 6886 section 3.2.1).
            self.restarted(within);
        }
        self.external = Some((external, self.now));
    }

    fn nat_pmp_mapped(&mut self, port: (Transport, u16), code: NatPmpCode, epoch: u32, given: GivenPort) {
        let Some(Exchange { job: Job::Map(id), sent: Protocol::NatPmp, .. }) = self.exchange else { return };
        let Some(mapping) = self.mappings.get(&id) else { return };
        if (mapping.transport, mapping.port) != port {
            return;
        }
        let leaves = mapping.leaves();
        // A late answer to what is given back now.
        if leaves && code == NatPmpCode::SUCCESS && given.lifetime != 0 {
            return;
        }
        self.speaks(Protocol::NatPmp, epoch, Duration::ZERO);
        self.exchange = None;
        match (code, self.external) {
            (NatPmpCode::SUCCESS, Some((ip, _))) => {
                let external = SocketAddr::new(ip.into(), given.port);
                self.given(id, Given { external, lifetime: given.lifetime }, Protocol::NatPmp);
            }
            (NatPmpCode::SUCCESS, None) if leaves => self.unmapped(id, true),
            // It restarted just now: it may have another address.
            (NatPmpCode::SUCCESS, None) => {}
            (code, _) => self.failed(id, Refusal::NatPmp(code), None),
        }
    }

    /// The router said yes.
    fn given(&mut self, id: MappingId, given: Given, by: Protocol) {
        let Some(mapping) = self.mappings.get_mut(&id) else { return };
        let Given { external, lifetime } = given;
        if mapping.leaves() {
            return self.unmapped(id, true);
        }
        if lifetime == 0 || external.port() == 0 || external.ip().is_unspecified() {
            return self.failed(id, Refusal::Nothing, None);
        }
        let lifetime = seconds(lifetime).min(self.config.max_lifetime);
        let before = mapping.external();
        mapping.grant(self.now, external, lifetime, &mut self.draw);
        let (transport, port) = (mapping.transport, mapping.port);
        self.tell(match before == Some(external) {
            true => Event::Renewed { mapping: id, lifetime },
            false => Event::Mapped { mapping: id, transport, port, external, lifetime, by },
        });
    }
}

#[derive(Clone, Copy)]
struct Given {
    external: SocketAddr,
    lifetime: u32,
}

#[derive(Clone, Copy)]
struct GivenPort {
    port: u16,
    lifetime: u32,
}

const fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds as u64)
}
