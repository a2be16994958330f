//! A router for tests: it keeps mappings, forgets them when their time is over, and can be made to misbehave.

use crate::Transport;
use crate::wire::{NatPmpCode, PcpCode, Request, Response};
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use tidewire_core::Time;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    Pcp,
    /// And says so when it is spoken to in PCP.
    NatPmp,
    /// And says nothing when it is spoken to in PCP.
    SilentNatPmp,
    Both,
    /// A version that nobody speaks.
    Neither,
    Nothing,
}

pub(super) struct Router {
    pub(super) speaks: Speaks,
    pub(super) external: Ipv4Addr,
    /// What it says to every mapping that is asked for.
    pub(super) refuses: Option<u8>,
    pub(super) max_lifetime: u32,
    /// When it last lost its memory.
    pub(super) since: Time,
    mappings: BTreeMap<(Transport, u16), (u16, Time)>,
}

impl Router {
    pub(super) fn new(speaks: Speaks) -> Self {
        let external = Ipv4Addr::new(192, 0, 2, 33);
        Router { speaks, external, refuses: None, max_lifetime: 86_400, since: Time::ZERO, mappings: BTreeMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.mappings.len()
    }

    pub(super) fn restart(&mut self, now: Time) {
        self.since = now;
        self.mappings.clear();
    }

    pub(super) fn answer(&mut self, now: Time, datagram: &[u8]) -> Vec<Vec<u8>> {
        self.mappings.retain(|_, (_, until)| *until > now);
        let epoch = u32::try_from(now.since(self.since).as_secs()).unwrap();
        let request = Request::decode(datagram).unwrap();
        let pcp = matches!(request, Request::PcpMap { .. });
        let answer = match (self.speaks, pcp) {
            (Speaks::Nothing, _) | (Speaks::SilentNatPmp, true) => return vec![],
            (Speaks::Neither, true) | (Speaks::NatPmp, true) => {
                Response::NatPmpError { opcode: 1, code: NatPmpCode::UNSUPPORTED_VERSION, epoch }
            }
            (Speaks::Neither, false) => {
                Response::NatPmpError { opcode: 0, code: NatPmpCode::UNSUPPORTED_VERSION, epoch }
            }
            (Speaks::Pcp, false) => {
                Response::Pcp { version: 2, opcode: 0, code: PcpCode::UNSUPPORTED_VERSION, lifetime: 30, epoch }
            }
            _ => self.give(now, epoch, &request),
        };
        vec![answer.encode()]
    }

    fn give(&mut self, now: Time, epoch: u32, request: &Request) -> Response {
        match *request {
            Request::NatPmpExternal => {
                Response::NatPmpExternal { code: NatPmpCode::SUCCESS, epoch, external: self.external }
            }
            Request::NatPmpMap { transport, internal, suggested, lifetime } => {
                let code = NatPmpCode(self.refuses.map_or(0, u16::from));
                let (external, lifetime) = self.keep(now, (transport, internal), suggested, lifetime);
                Response::NatPmpMap { transport, code, epoch, internal, external, lifetime }
            }
            Request::PcpMap { nonce, transport, internal, suggested, lifetime, .. } => {
                let code = PcpCode(self.refuses.unwrap_or(0));
                let (port, lifetime) = self.keep(now, (transport, internal), suggested.port(), lifetime);
                let external = SocketAddr::new(IpAddr::V4(self.external), port);
                let lifetime = if self.refuses.is_some() { 120 } else { lifetime };
                Response::PcpMap { code, lifetime, epoch, nonce, transport, internal, external }
            }
        }
    }

    fn keep(&mut self, now: Time, port: (Transport, u16), suggested: u16, lifetime: u32) -> (u16, u32) {
        let lifetime = lifetime.min(self.max_lifetime);
        if lifetime == 0 {
            self.mappings.remove(&port);
            return (0, 0);
        }
        let (external, _) = *self.mappings.get(&port).unwrap_or(&(suggested, now));
        if self.refuses.is_none() {
            self.mappings.insert(port, (external, now + Duration::from_secs(u64::from(lifetime))));
        }
        (external, lifetime)
    }
}
