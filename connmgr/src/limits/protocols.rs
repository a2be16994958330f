//! Small numbers for the names of protocols, and the streams of each.

use super::exceeded::{Limit, LimitExceeded, room};
use super::{LimitsConfig, Pair, shrink};
use crate::Direction;
use crate::text::heap_bytes;
use alloc::vec::Vec;
use hashbrown::HashTable;
use siphasher::sip::SipHasher13;
use smol_str::SmolStr;

/// A protocol's number while it has streams; afterwards another may get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolIx(pub(crate) u32);

impl ProtocolIx {
    /// All protocols that found no number of their own: [`LimitsConfig::protocols`] and [`LimitsConfig::protocol_name`].
    pub const OTHERS: ProtocolIx = ProtocolIx(u32::MAX);
}

/// The streams of each protocol, and of each with each peer.
#[derive(Clone)]
pub(super) struct Protocols {
    names: usize,
    name_bytes: usize,
    cap: u32,
    cap_with_peer: u32,
    key: SipHasher13,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Slots by name. Never walked.
    index: HashTable<u32>,
    /// Bytes of names that don't fit into a slot.
    long_names: usize,
    others: Pair,
    /// Streams by peer and protocol. Never walked; empty if that cap is off.
    peers: HashTable<WithPeer>,
}

#[derive(Clone)]
struct Slot {
    name: SmolStr,
    streams: Pair,
}

#[derive(Clone)]
struct WithPeer {
    peer: u32,
    protocol: ProtocolIx,
    streams: Pair,
}

/// Where a name's streams are counted, or would be.
#[derive(Clone, Copy)]
enum Place {
    Known(ProtocolIx),
    New,
}

impl Protocols {
    pub(super) fn new(config: &LimitsConfig, key: SipHasher13) -> Self {
        Protocols {
            names: usize::try_from(config.protocols).unwrap_or(usize::MAX),
            name_bytes: usize::try_from(config.protocol_name).unwrap_or(usize::MAX),
            cap: config.streams_per_protocol,
            cap_with_peer: config.streams_per_protocol_peer,
            key,
            slots: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            long_names: 0,
            others: Pair::default(),
            peers: HashTable::new(),
        }
    }

    /// Whether the protocol may have one more stream.
    pub(super) fn room(&self, direction: Direction, name: &str) -> Result<(), LimitExceeded> {
        let used = match self.place(name) {
            Place::Known(protocol) => self.streams(protocol).of(direction),
            Place::New => 0,
        };
        room(Limit::StreamsPerProtocol(direction), self.cap, used)
    }

    /// Whether the protocol may have one more stream with this peer.
    pub(super) fn room_with(&self, direction: Direction, name: &str, peer: u32) -> Result<(), LimitExceeded> {
        let used = match self.place(name) {
            Place::Known(protocol) => self.with(peer, protocol).of(direction),
            Place::New => 0,
        };
        room(Limit::StreamsPerProtocolPeer(direction), self.cap_with_peer, used)
    }

    pub(super) fn add(&mut self, direction: Direction, name: &str, peer: u32) -> ProtocolIx {
        let protocol = match self.place(name) {
            Place::Known(protocol) => protocol,
            Place::New => self.intern(name),
        };
        self.streams_mut(protocol).add(direction);
        if self.cap_with_peer != u32::MAX {
            let key = &self.key;
            self.peers
                .entry(hash(key, peer, protocol), |at| at.is(peer, protocol), |at| at.hash(key))
                .or_insert_with(|| WithPeer { peer, protocol, streams: Pair::default() })
                .into_mut()
                .streams
                .add(direction);
        }
        protocol
    }

    pub(super) fn remove(&mut self, direction: Direction, protocol: ProtocolIx, peer: u32) {
        if self.streams(protocol).of(direction) == 0 {
            return;
        }
        self.streams_mut(protocol).sub(direction);
        if protocol != ProtocolIx::OTHERS && self.streams(protocol).is_zero() {
            self.forget(protocol);
        }
        let (key, peers) = (&self.key, &mut self.peers);
        if let Ok(mut entry) = peers.find_entry(hash(key, peer, protocol), |at| at.is(peer, protocol)) {
            entry.get_mut().streams.sub(direction);
            if entry.get().streams.is_zero() {
                entry.remove();
                shrink(peers, |at| at.hash(key));
            }
        }
    }

    /// The name of a number that is in use.
    pub(super) fn name(&self, protocol: ProtocolIx) -> Option<&str> {
        self.slot(protocol).filter(|slot| !slot.streams.is_zero()).map(|slot| slot.name.as_str())
    }

    pub(super) fn streams(&self, protocol: ProtocolIx) -> Pair {
        if protocol == ProtocolIx::OTHERS {
            return self.others;
        }
        self.slot(protocol).map_or(Pair::default(), |slot| slot.streams)
    }

    /// Names that are in use.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn memory_used(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
            + self.free.capacity() * size_of::<u32>()
            + self.index.allocation_size()
            + self.long_names
            + self.peers.allocation_size()
    }

    fn place(&self, name: &str) -> Place {
        let known = self.index.find(self.key.hash(name.as_bytes()), |ix| self.is(*ix, name));
        match known {
            Some(ix) => Place::Known(ProtocolIx(*ix)),
            None if self.index.len() >= self.names || name.len() > self.name_bytes => Place::Known(ProtocolIx::OTHERS),
            None => Place::New,
        }
    }

    fn intern(&mut self, name: &str) -> ProtocolIx {
        let slot = Slot { name: SmolStr::new(name), streams: Pair::default() };
        self.long_names += heap_bytes(&slot.name);
        let ix = match self.free.pop() {
            Some(ix) => ix,
            // Fewer slots than `protocols`, a u32; the last number is never reached.
            None => u32::try_from(self.slots.len()).unwrap_or(u32::MAX),
        };
        match usize::try_from(ix).ok().and_then(|at| self.slots.get_mut(at)) {
            Some(free) => *free = slot,
            None => self.slots.push(slot),
        }
        let (key, slots) = (&self.key, &self.slots);
        self.index.insert_unique(key.hash(name.as_bytes()), ix, |ix| {
            let name = usize::try_from(*ix).ok().and_then(|at| slots.get(at)).map_or("", |slot| slot.name.as_str());
            key.hash(name.as_bytes())
        });
        ProtocolIx(ix)
    }

    fn forget(&mut self, protocol: ProtocolIx) {
        let Some(slot) = self.slot_mut(protocol) else { return };
        let name = core::mem::take(&mut slot.name);
        self.long_names -= heap_bytes(&name);
        if let Ok(entry) = self.index.find_entry(self.key.hash(name.as_bytes()), |ix| *ix == protocol.0) {
            entry.remove();
        }
        self.free.push(protocol.0);
    }

    fn is(&self, ix: u32, name: &str) -> bool {
        self.slot(ProtocolIx(ix)).is_some_and(|slot| slot.name == name)
    }

    fn with(&self, peer: u32, protocol: ProtocolIx) -> Pair {
        let found = self.peers.find(hash(&self.key, peer, protocol), |at| at.is(peer, protocol));
        found.map_or(Pair::default(), |at| at.streams)
    }

    fn slot(&self, protocol: ProtocolIx) -> Option<&Slot> {
        self.slots.get(usize::try_from(protocol.0).ok()?)
    }

    fn slot_mut(&mut self, protocol: ProtocolIx) -> Option<&mut Slot> {
        self.slots.get_mut(usize::try_from(protocol.0).ok()?)
    }

    fn streams_mut(&mut self, protocol: ProtocolIx) -> &mut Pair {
        let at = usize::try_from(protocol.0).unwrap_or(usize::MAX);
        self.slots.get_mut(at).map_or(&mut self.others, |slot| &mut slot.streams)
    }
}

impl WithPeer {
    fn is(&self, peer: u32, protocol: ProtocolIx) -> bool {
        self.peer == peer && self.protocol == protocol
    }

    fn hash(&self, key: &SipHasher13) -> u64 {
        hash(key, self.peer, self.protocol)
    }
}

fn hash(key: &SipHasher13, peer: u32, protocol: ProtocolIx) -> u64 {
    key.hash(&(u64::from(peer) << 32 | u64::from(protocol.0)).to_le_bytes())
}
