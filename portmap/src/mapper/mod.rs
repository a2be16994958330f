//! Has ports mapped by the router, and keeps them so. An event machine; the datagrams that it sends and hears are its bytes.
//!
//! ```text
//!              mapping    what is wanted, what is held and until when
//!  Input --->  exchange   the one question that is under way, repeated until it is answered   ---> Send
//!              epoch      whether the router still knows what it said                         ---> Event
//! ```
//! One question at a time, so that a router is never flooded. Which protocol it speaks is found out by the first one: asked in
//! PCP, and in NAT-PMP a quarter of a second later, if nothing came yet, and so on by turns; the first answer decides.
//! When nobody answers any more it is found out anew.

mod action;
mod answers;
mod config;
mod epoch;
mod exchange;
mod input;
mod mapping;
#[cfg(test)]
mod tests;
mod view;

pub use action::{Action, Event, Lost, Refusal};
pub use config::MapperConfig;
pub use input::{Gateway, Input, Misuse};
pub use view::{MappingState, MappingView};

use crate::{Protocol, Transport};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;
use epoch::Epoch;
use exchange::{Exchange, Job};
use mapping::{Mapping, State};
use tidewire_core::{Draw, EventMachine, Seed, Time, id};

id!(
    /// A mapping. The caller's number; free again once [`Event::Unmapped`] was told.
    MappingId,
    "m"
);

/// Keeps ports mapped at one router. An [`EventMachine`]; see the [crate](crate).
pub struct Mapper {
    config: MapperConfig,
    draw: Draw,
    /// Of nonces.
    nonces: Seed,
    /// The latest moment that was ever said.
    now: Time,
    gateway: Option<Gateway>,
    /// What the router speaks, once it answered.
    protocol: Option<Protocol>,
    mappings: BTreeMap<MappingId, Mapping>,
    exchange: Option<Exchange>,
    /// NAT-PMP's address outside, and when it was told.
    external: Option<(Ipv4Addr, Time)>,
    epoch: Option<Epoch>,
    shut_down: bool,
    /// When there is something to do.
    wake: Time,
    actions: VecDeque<Action>,
}

impl Mapper {
    /// One that knows of no router yet. The seed feeds nonces and waits.
    pub fn new(config: MapperConfig, seed: &Seed) -> Self {
        Mapper {
            config,
            draw: Draw::new(seed, "port mapping"),
            nonces: seed.derive("port mapping nonces", 0),
            now: Time::ZERO,
            gateway: None,
            protocol: None,
            mappings: BTreeMap::new(),
            exchange: None,
            external: None,
            epoch: None,
            shut_down: false,
            wake: Time::NEVER,
            actions: VecDeque::new(),
        }
    }

    /// Whether it was shut down, and has given everything back.
    pub fn is_over(&self) -> bool {
        self.shut_down && self.mappings.is_empty()
    }

    fn tell(&mut self, event: Event) {
        self.actions.push_back(Action::Event(event));
    }

    fn map(&mut self, id: MappingId, transport: Transport, port: u16, suggested: Option<u16>) -> Result<(), Misuse> {
        if self.shut_down {
            return Err(Misuse::ShutDown);
        }
        if port == 0 {
            return Err(Misuse::NoPort);
        }
        if self.mappings.contains_key(&id) {
            return Err(Misuse::MappingExists(id));
        }
        let same = |mapping: &Mapping| (mapping.transport, mapping.port) == (transport, port);
        if let Some((by, _)) = self.mappings.iter().find(|(_, mapping)| same(mapping)) {
            return Err(Misuse::PortTaken { transport, port, by: *by });
        }
        let limit = self.config.max_mappings;
        if self.mappings.len() >= limit {
            return Err(Misuse::TooMany { limit });
        }
        let nonce = self.nonce(transport, port);
        let (suggested, state) = (suggested.unwrap_or(port), State::Wanted { at: self.now });
        self.mappings.insert(id, Mapping { transport, port, suggested, nonce, state, failures: 0 });
        Ok(())
    }

    /// What proves to the router that a mapping is ours. Another one for each router, so that none can act as us at the next
    /// (RFC 6887 section 11.2), and the same one for as long as we live: a router that is there again still has what we asked for.
    fn nonce(&self, transport: Transport, port: u16) -> [u8; 12] {
        let router = match self.gateway.map(|gateway| gateway.address) {
            Some(IpAddr::V4(ip)) => ip.to_ipv6_mapped().to_bits(),
            Some(IpAddr::V6(ip)) => ip.to_bits(),
            None => 0,
        };
        let [high, low] =
            [router >> 64, router & u128::from(u64::MAX)].map(|half| u64::try_from(half).unwrap_or(u64::MAX));
        let of = u64::from(port) << 1 | u64::from(transport == Transport::Tcp);
        let seed = self.nonces.derive("router", high).derive("router", low).derive("mapping", of);
        let mut nonce = [0; 12];
        for (to, from) in nonce.iter_mut().zip(seed.as_bytes()) {
            *to = *from;
        }
        nonce
    }

    fn unmap(&mut self, id: MappingId) {
        let asking = self.exchange.as_ref().is_some_and(|exchange| exchange.job == Job::Map(id));
        let Some(mapping) = self.mappings.get_mut(&id) else { return };
        match mapping.state {
            State::Unwanted { .. } => return,
            State::Wanted { .. } if !asking => return self.unmapped(id, true),
            State::Wanted { .. } | State::Held { .. } => {
                mapping.state = State::Unwanted { external: mapping.external() };
            }
        }
        if asking {
            self.exchange = None;
        }
    }

    /// It is no more.
    fn unmapped(&mut self, mapping: MappingId, told: bool) {
        if self.mappings.remove(&mapping).is_some() {
            self.tell(Event::Unmapped { mapping, told });
        }
    }

    fn set_gateway(&mut self, gateway: Option<Gateway>) {
        if gateway == self.gateway {
            return;
        }
        (self.gateway, self.protocol, self.exchange, self.external, self.epoch) = (gateway, None, None, None, None);
        let (now, all) = (self.now, self.mappings.keys().copied().collect::<Vec<_>>());
        for id in all {
            let Some((transport, port)) = self.mappings.get(&id).map(|mapping| (mapping.transport, mapping.port))
            else {
                continue;
            };
            let nonce = self.nonce(transport, port);
            let Some(mapping) = self.mappings.get_mut(&id) else { continue };
            (mapping.failures, mapping.nonce) = (0, nonce);
            match core::mem::replace(&mut mapping.state, State::Wanted { at: now }) {
                State::Held { external, .. } => {
                    self.tell(Event::Lost { mapping: id, external, why: Lost::GatewayChanged });
                }
                State::Unwanted { .. } => self.unmapped(id, false),
                State::Wanted { .. } => {}
            }
        }
    }

    /// The router forgot everything, as far as we can see: everything is asked for again, within this time.
    fn restarted(&mut self, within: Duration) {
        let Some(Gateway { address: gateway, .. }) = self.gateway else { return };
        self.external = None;
        self.tell(Event::Restarted { gateway });
        for mapping in self.mappings.values_mut() {
            let at = self.now + self.draw.up_to(within);
            mapping.failures = 0;
            match &mut mapping.state {
                State::Wanted { at: when } | State::Held { renew: when, .. } => *when = at.min(*when),
                State::Unwanted { .. } => {}
            }
        }
    }

    /// It could not be mapped, renewed, or given back. `pause`: as the router said.
    fn failed(&mut self, id: MappingId, why: Refusal, pause: Option<Duration>) {
        let Some(mapping) = self.mappings.get_mut(&id) else { return };
        mapping.failures = mapping.failures.saturating_add(1);
        let again = match mapping.state {
            State::Unwanted { .. } => return self.unmapped(id, false),
            State::Held { .. } => {
                mapping.put_off(self.now, &self.config, &mut self.draw).unwrap_or(self.config.min_renewal)
            }
            State::Wanted { .. } => {
                let pause = match pause {
                    Some(pause) => pause,
                    None => self.draw.backoff(self.config.first_pause, self.config.max_pause, mapping.failures),
                };
                let pause = pause.clamp(self.config.min_pause.min(self.config.max_pause), self.config.max_pause);
                mapping.state = State::Wanted { at: self.now + pause };
                pause
            }
        };
        self.tell(Event::Failed { mapping: id, why, again });
    }

    /// All that is due came to nothing, since the router said so of everything, or nothing at all.
    fn all_failed(&mut self, why: Refusal) {
        self.exchange = None;
        let due: Vec<MappingId> =
            self.mappings.iter().filter(|(_, mapping)| mapping.due() <= self.now).map(|(id, _)| *id).collect();
        for id in due {
            self.failed(id, why, None);
        }
    }

    /// What is over now, what is asked next, and when to wake up.
    fn settle(&mut self) {
        let now = self.now;
        let over = |mapping: &Mapping| matches!(mapping.state, State::Held { until, .. } if until <= now);
        while let Some((id, external)) = self
            .mappings
            .iter_mut()
            .find(|(_, mapping)| over(mapping))
            .and_then(|(id, mapping)| Some((*id, mapping.lapse(now)?)))
        {
            self.tell(Event::Lost { mapping: id, external, why: Lost::Expired });
        }
        if self.gateway.is_none() {
            while let Some(id) = self.mappings.iter().find(|(_, mapping)| mapping.leaves()).map(|(id, _)| *id) {
                self.unmapped(id, false);
            }
            self.wake = Time::NEVER;
            return;
        }
        self.go_on();
        let next = self.exchange.as_ref().map(|exchange| exchange.next);
        let due = || self.mappings.values().map(Mapping::due).min();
        let until = self.mappings.values().filter_map(Mapping::until).min();
        // What is due waits for the exchange that is under way.
        self.wake = next.or_else(due).unwrap_or(Time::NEVER).min(until.unwrap_or(Time::NEVER));
    }
}

impl EventMachine for Mapper {
    type Input<'a> = Input<'a>;
    type Action = Action;
    type Misuse = Misuse;

    fn handle(&mut self, now: Time, input: Input<'_>) -> Result<(), Misuse> {
        if now < self.now {
            return Err(Misuse::TimeWentBack { now, last: self.now });
        }
        if self.actions.len() >= self.config.max_unpolled {
            return Err(Misuse::Unpolled { limit: self.config.max_unpolled });
        }
        let before = core::mem::replace(&mut self.now, now);
        match input {
            Input::Gateway(gateway) => self.set_gateway(gateway),
            Input::Map { mapping, transport, port, suggested } => {
                if let Err(misuse) = self.map(mapping, transport, port, suggested) {
                    self.now = before;
                    return Err(misuse);
                }
            }
            Input::Unmap { mapping } => self.unmap(mapping),
            Input::Datagram { from, datagram } => self.hear(from, datagram),
            Input::Shutdown => {
                self.shut_down = true;
                for mapping in self.mappings.keys().copied().collect::<Vec<_>>() {
                    self.unmap(mapping);
                }
            }
        }
        self.settle();
        Ok(())
    }

    fn on_timeout(&mut self, now: Time) {
        if now < self.wake || now < self.now || self.actions.len() >= self.config.max_unpolled {
            return;
        }
        self.now = now;
        self.settle();
    }

    fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn deadline(&self) -> Time {
        self.wake
    }

    fn memory_used(&self) -> usize {
        let datagrams = self.actions.iter().map(|action| match action {
            Action::Send { datagram, .. } => datagram.capacity(),
            Action::Event(_) => 0,
        });
        // The tree's nodes are taken to be two thirds full, as random insertion leaves them.
        self.mappings.len() * size_of::<(MappingId, Mapping)>() / 2 * 3
            + self.actions.capacity() * size_of::<Action>()
            + datagrams.sum::<usize>()
    }
}

impl fmt::Debug for Mapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapper")
            .field("gateway", &self.gateway)
            .field("protocol", &self.protocol)
            .field("mappings", &self.mappings)
            .field("exchange", &self.exchange)
            .finish_non_exhaustive()
    }
}
