//! What is remembered about one peer.

use super::MetadataConfig;
use crate::text::heap_bytes;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::num::NonZeroU32;
use core::time::Duration;
use smol_str::SmolStr;
use tidewire_core::{Multiaddr, PeerId, Reach, Time, cut};

/// Who says that a peer has an address. Later ones weigh more: an address keeps the strongest source that told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Source {
    /// Another peer, unsigned: a DHT, peer exchange.
    Hearsay,
    /// Multicast on the local network.
    Local,
    /// The peer itself, unsigned.
    Identify,
    /// The peer itself, in a signed record.
    Signed,
    /// The application, or its configuration.
    Application,
    /// We were connected to it there.
    Connected,
}

/// What came of dialing an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AddressOutcome {
    /// The peer was there.
    Connected,
    /// No connection came of it.
    Failed,
}

/// An address of a peer, and what makes it believable. 56 bytes beside the address itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddressRecord {
    /// Where, without `/p2p/<the peer>` at its end.
    pub address: Multiaddr,
    /// The strongest source that told of it.
    pub source: Source,
    /// When it was first told.
    pub since: Time,
    /// Until when it is believed; from that moment on it is not dialed.
    pub until: Time,
    /// When it was dialed last, and what came of it.
    pub last: Option<(Time, AddressOutcome)>,
    /// Dials that failed since the last one that did not.
    pub failures: u32,
}

/// What is remembered about a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerMetadata {
    addresses: Vec<AddressRecord>,
    /// What it said of itself. Apart, because of most peers nothing is known but an address.
    said: Option<Box<Said>>,
    /// In microseconds.
    rtt: Option<NonZeroU32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    protocols: Box<[SmolStr]>,
    agent: Option<SmolStr>,
}

impl PeerMetadata {
    /// Where it may be, in the order in which it was told. Some may no longer be believed: see
    /// [`until`](AddressRecord::until).
    pub fn addresses(&self) -> &[AddressRecord] {
        &self.addresses
    }

    /// What it said it speaks: sorted, each once.
    pub fn protocols(&self) -> &[SmolStr] {
        self.said.as_ref().map_or(&[], |said| &said.protocols)
    }

    /// The software that it said it runs.
    pub fn agent(&self) -> Option<&str> {
        self.said.as_ref()?.agent.as_deref()
    }

    /// The smoothed round-trip time, as measured last; 1 us to 71 min.
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt.map(|micros| Duration::from_micros(u64::from(micros.get())))
    }

    /// Whether nothing is known.
    pub(super) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.said.is_none() && self.rtt.is_none()
    }

    /// The moment when its last address expires; `Time::ZERO` without one.
    pub(super) fn until(&self) -> Time {
        self.addresses.iter().map(|record| record.until).max().unwrap_or(Time::ZERO)
    }

    /// Somebody tells of an address, as [`normal`] gives it.
    pub(super) fn told(&mut self, config: &MetadataConfig, now: Time, address: Multiaddr, source: Source, until: Time) {
        if let Some(record) = self.addresses.iter_mut().find(|record| record.address == address) {
            record.source = record.source.max(source);
            record.until = record.until.max(until);
        } else if until > now {
            let record = AddressRecord { address, source, since: now, until, last: None, failures: 0 };
            self.add(config, now, record);
        }
    }

    /// An address was dialed. One that isn't known, or no longer, is learnt if the peer was there.
    pub(super) fn dialed(&mut self, config: &MetadataConfig, now: Time, address: &Multiaddr, ok: bool) {
        if ok {
            self.told(config, now, address.clone(), Source::Connected, now + config.connected_ttl);
        }
        if let Some(record) = self.addresses.iter_mut().find(|record| record.address == *address) {
            let outcome = if ok { AddressOutcome::Connected } else { AddressOutcome::Failed };
            record.last = Some((now, outcome));
            record.failures = if ok { 0 } else { record.failures.saturating_add(1) };
        }
    }

    /// The address at which we were connected last is believed for a while more.
    pub(super) fn left(&mut self, config: &MetadataConfig, now: Time) {
        let connected = |record: &AddressRecord| match record.last {
            Some((at, AddressOutcome::Connected)) => Some(at),
            _ => None,
        };
        let last = self.addresses.iter().filter_map(connected).max();
        for record in self.addresses.iter_mut().filter(|record| last.is_some() && connected(record) == last) {
            record.until = record.until.max(now + config.connected_ttl);
        }
    }

    /// What it said of itself replaces what it said before.
    pub(super) fn identified(&mut self, config: &MetadataConfig, protocols: &[&str], agent: Option<&str>) {
        let mut names: Vec<SmolStr> = Vec::new();
        for name in protocols {
            if names.len() >= config.max_protocols as usize {
                break;
            }
            let fits = !name.is_empty() && name.len() <= config.max_protocol_name as usize;
            if let (true, Err(at)) = (fits, names.binary_search_by(|known| known.as_str().cmp(name))) {
                names.insert(at, SmolStr::new(name));
            }
        }
        let agent = agent.map(|agent| cut(agent, config.max_agent as usize)).filter(|agent| !agent.is_empty());
        self.said = (agent.is_some() || !names.is_empty())
            .then(|| Box::new(Said { protocols: names.into_boxed_slice(), agent: agent.map(SmolStr::new) }));
    }

    pub(super) fn measured(&mut self, rtt: Duration) {
        let micros = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX);
        self.rtt = NonZeroU32::new(micros.max(1));
    }

    /// Bytes on the heap. The addresses' own are counted though they may be shared with other parts.
    pub(super) fn heap(&self) -> usize {
        let addresses: usize = self.addresses.iter().map(|record| record.address.memory_used()).sum();
        let said = self.said.as_ref().map_or(0, |said| {
            let names: usize = said.protocols.iter().chain(&said.agent).map(heap_bytes).sum();
            size_of::<Said>() + said.protocols.len() * size_of::<SmolStr>() + names
        });
        self.addresses.capacity() * size_of::<AddressRecord>() + addresses + said
    }

    /// Adds an address that isn't there. When there are too many, the least valuable goes, be it this one.
    fn add(&mut self, config: &MetadataConfig, now: Time, record: AddressRecord) {
        if self.addresses.len() < config.max_addresses as usize {
            self.addresses.reserve_exact(1);
            self.addresses.push(record);
            return;
        }
        let least = self.addresses.iter().enumerate().min_by_key(|(_, record)| record.value(now));
        if let Some((at, least)) = least
            && least.value(now) < record.value(now)
        {
            self.addresses.remove(at);
            self.addresses.push(record);
        }
    }
}

impl AddressRecord {
    /// What is worth least comes first: expired, then told by the weakest source, then failed when dialed last, then oldest.
    fn value(&self, now: Time) -> (bool, Source, bool, Time) {
        let failed = matches!(self.last, Some((_, AddressOutcome::Failed)));
        (self.until > now, self.source, !failed, self.since)
    }
}

/// The address as it is remembered, without `/p2p/<the peer>` at its end. `None` if it is none where this peer could be: it
/// names another one, or goes through the peer itself; it is unspecified, or a group; it is empty, or too long.
pub(super) fn normal(config: &MetadataConfig, id: &PeerId, address: &Multiaddr) -> Option<Multiaddr> {
    let other = address.peer_id().is_some_and(|named| named != *id) || address.relay_peer_id() == Some(*id);
    if other || matches!(address.reach(), Reach::Unspecified | Reach::Multicast) {
        return None;
    }
    short(config, address)
}

/// The address without a `/p2p/...` at its end, unless that is nothing, or too long.
pub(super) fn short(config: &MetadataConfig, address: &Multiaddr) -> Option<Multiaddr> {
    let address = if address.peer_id().is_some() { address.without_peer_id() } else { address.clone() };
    (!address.is_empty() && address.as_bytes().len() <= config.max_address as usize).then_some(address)
}
