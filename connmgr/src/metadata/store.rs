//! What is remembered about all peers, and who is forgotten.
//!
//! ```text
//!                       set_connected(true)
//!            +--------------------------------------+
//!            v                                      |
//!   connected: never forgotten       others: in a list by when they were touched, and with a timer
//!            |                                      ^   |
//!            +--------------------------------------+   +--> forgotten: expired, or the first of the list when
//!                       set_connected(false)                 there are too many
//! ```
//! A peer that isn't connected is forgotten as a whole, when its last address has expired. The list is one of links in the
//! entries, so a touch is O(1). A peer without an entry costs 9 bytes.

use super::record::{normal, short};
use super::{AddressRecord, MetadataConfig, PeerMetadata, Source};
use crate::table::{Heap, NO_SLOT, PeerIx, reserve};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;
use tidewire_core::{Multiaddr, PeerId, Time};

/// What is remembered about all peers.
#[derive(Clone)]
pub(crate) struct Store {
    config: MetadataConfig,
    entries: Vec<Option<Box<Entry>>>,
    flags: Vec<u8>,
    /// When to look whether a peer has expired: never later than it has. Only of peers that aren't connected.
    expiry: Heap<Time>,
    /// Of peers that aren't connected, the one touched longest ago and the one touched last.
    oldest: u32,
    newest: u32,
    /// Peers that aren't connected, and their entries' bytes.
    pub(super) idle: u32,
    idle_bytes: usize,
    /// Bytes of all entries.
    pub(super) bytes: usize,
    /// Peers that were forgotten. Each at most once.
    blank: VecDeque<PeerIx>,
}

#[derive(Clone)]
struct Entry {
    peer: PeerMetadata,
    /// What it said of itself is remembered until then, even without an address.
    keep: Time,
    older: u32,
    newer: u32,
}

/// Flags of a slot: the peer is connected; it stands in `blank`.
const CONNECTED: u8 = 1;
const IN_BLANK: u8 = 1 << 1;

impl Store {
    pub(crate) fn new(config: MetadataConfig) -> Self {
        Store {
            config,
            entries: Vec::new(),
            flags: Vec::new(),
            expiry: Heap::new(),
            oldest: NO_SLOT,
            newest: NO_SLOT,
            idle: 0,
            idle_bytes: 0,
            bytes: 0,
            blank: VecDeque::new(),
        }
    }

    /// Somebody tells where the peer `id` may be, and that it may be believed for `ttl`.
    pub(crate) fn add_addresses(
        &mut self,
        now: Time,
        peer: PeerIx,
        id: &PeerId,
        addresses: &[Multiaddr],
        source: Source,
        ttl: Duration,
    ) {
        let until = now + ttl.min(self.config.max_ttl);
        self.change(peer, |config, entry| {
            for address in addresses {
                if let Some(address) = normal(config, id, address) {
                    entry.peer.told(config, now, address, source, until);
                }
            }
        });
    }

    /// What the peer said of itself; replaces what it said before.
    pub(crate) fn identified(&mut self, now: Time, peer: PeerIx, protocols: &[&str], agent: Option<&str>) {
        self.change(peer, |config, entry| {
            entry.peer.identified(config, protocols, agent);
            entry.keep = entry.keep.max(now + config.connected_ttl);
        });
    }

    /// The smoothed round-trip time. Of a peer that is neither connected nor known it is not taken.
    pub(crate) fn rtt(&mut self, peer: PeerIx, rtt: Duration) {
        if self.is_connected(peer) || !self.is_blank(peer) {
            self.change(peer, |_, entry| entry.peer.measured(rtt));
        }
    }

    /// An address of the peer was dialed: `ok` if a connection to this very peer came of it.
    pub(crate) fn outcome(&mut self, now: Time, peer: PeerIx, address: &Multiaddr, ok: bool) {
        let Some(address) = short(&self.config, address) else { return };
        self.change(peer, |config, entry| entry.peer.dialed(config, now, &address, ok));
    }

    /// What is remembered about a peer.
    pub(crate) fn get(&self, peer: PeerIx) -> Option<&PeerMetadata> {
        self.entry(peer.0).map(|entry| &entry.peer)
    }

    /// Where a peer may be, as far as that is still believed.
    pub(crate) fn addresses(&self, now: Time, peer: PeerIx) -> impl Iterator<Item = &AddressRecord> {
        self.get(peer).map_or(&[][..], PeerMetadata::addresses).iter().filter(move |record| record.until > now)
    }

    /// The first connection to a peer is there, or the last one is gone.
    pub(crate) fn set_connected(&mut self, now: Time, peer: PeerIx, connected: bool) {
        if self.is_connected(peer) == connected {
            return;
        }
        self.reserve(peer);
        let entry = self.take(peer);
        if let Some(flags) = self.flags.get_mut(peer.0 as usize) {
            *flags ^= CONNECTED;
        }
        if let Some(mut entry) = entry {
            if !connected {
                entry.peer.left(&self.config, now);
                entry.keep = entry.keep.max(now + self.config.connected_ttl);
            }
            self.put(peer, entry);
        }
    }

    /// Whether nothing is remembered about a peer.
    pub(crate) fn is_blank(&self, peer: PeerIx) -> bool {
        self.entry(peer.0).is_none()
    }

    /// A peer that isn't connected and about whom nothing is remembered any more, or nothing of what was told.
    pub(crate) fn poll_blank(&mut self) -> Option<PeerIx> {
        while let Some(peer) = self.blank.pop_front() {
            if let Some(flags) = self.flags.get_mut(peer.0 as usize) {
                *flags &= !IN_BLANK;
            }
            if self.is_blank(peer) && !self.is_connected(peer) {
                return Some(peer);
            }
        }
        // Many may have expired at one moment; the room for that isn't kept.
        if self.blank.capacity() > 1024 {
            self.blank = VecDeque::new();
        }
        None
    }

    pub(crate) fn on_timeout(&mut self, now: Time) {
        while let Some((at, slot)) = self.expiry.peek() {
            if at > now || at.is_never() {
                return;
            }
            match self.entry(slot).map(Entry::until) {
                Some(until) if until.is_never() => {
                    self.expiry.remove(slot);
                }
                Some(until) if until > now => self.expiry.set(slot, until),
                _ => self.forget(PeerIx(slot)),
            }
        }
    }

    /// When to call [`on_timeout`](Store::on_timeout). O(1).
    pub(crate) fn deadline(&self) -> Time {
        self.expiry.peek().map_or(Time::NEVER, |(at, _)| at)
    }

    pub(crate) fn memory_used(&self) -> usize {
        self.entries.capacity() * size_of::<Option<Box<Entry>>>()
            + self.flags.capacity()
            + self.expiry.memory_used()
            + self.blank.capacity() * size_of::<PeerIx>()
            + self.bytes
    }

    /// Changes what is remembered about a peer, which touches it.
    fn change(&mut self, peer: PeerIx, how: impl FnOnce(&MetadataConfig, &mut Entry)) {
        self.reserve(peer);
        let mut entry = self.take(peer).unwrap_or_default();
        how(&self.config, &mut entry);
        self.put(peer, entry);
    }

    fn forget(&mut self, peer: PeerIx) {
        self.take(peer);
        self.blanked(peer);
    }

    /// Its entry was taken out, and comes not back.
    fn blanked(&mut self, peer: PeerIx) {
        self.expiry.remove(peer.0);
        if let Some(flags) = self.flags.get_mut(peer.0 as usize)
            && *flags & (CONNECTED | IN_BLANK) == 0
        {
            *flags |= IN_BLANK;
            self.blank.push_back(peer);
        }
    }

    /// Takes the entry of a peer out of everything but `expiry`.
    fn take(&mut self, peer: PeerIx) -> Option<Box<Entry>> {
        let entry = self.entries.get_mut(peer.0 as usize)?.take()?;
        let bytes = entry.bytes();
        self.bytes = self.bytes.saturating_sub(bytes);
        if !self.is_connected(peer) {
            self.idle = self.idle.saturating_sub(1);
            self.idle_bytes = self.idle_bytes.saturating_sub(bytes);
            match self.entry_mut(entry.older) {
                Some(older) => older.newer = entry.newer,
                None => self.oldest = entry.newer,
            }
            match self.entry_mut(entry.newer) {
                Some(newer) => newer.older = entry.older,
                None => self.newest = entry.older,
            }
        }
        Some(entry)
    }

    /// Puts it in again, as the one touched last, and makes room for it. One that holds nothing is gone instead.
    fn put(&mut self, peer: PeerIx, mut entry: Box<Entry>) {
        let connected = self.is_connected(peer);
        if entry.peer.is_empty() || self.entries.len() <= peer.0 as usize {
            return self.blanked(peer);
        }
        let (bytes, until) = (entry.bytes(), entry.until());
        self.bytes = self.bytes.saturating_add(bytes);
        if connected {
            self.expiry.remove(peer.0);
        } else {
            self.idle = self.idle.saturating_add(1);
            self.idle_bytes = self.idle_bytes.saturating_add(bytes);
            (entry.older, entry.newer) = (self.newest, NO_SLOT);
            match self.entry_mut(self.newest) {
                Some(newest) => newest.newer = peer.0,
                None => self.oldest = peer.0,
            }
            self.newest = peer.0;
            if self.expiry.key(peer.0).unwrap_or(Time::NEVER) > until {
                self.expiry.set(peer.0, until);
            }
        }
        if let Some(place) = self.entries.get_mut(peer.0 as usize) {
            *place = Some(entry);
        }
        while (self.idle > self.config.max_peers || self.idle_bytes > self.config.max_bytes) && self.oldest != NO_SLOT {
            self.forget(PeerIx(self.oldest));
        }
    }

    fn reserve(&mut self, peer: PeerIx) {
        let len = peer.0 as usize + 1;
        if self.entries.len() < len && peer.0 != NO_SLOT {
            reserve(&mut self.entries, len);
            self.entries.resize_with(len, || None);
            reserve(&mut self.flags, len);
            self.flags.resize(len, 0);
        }
    }

    fn entry(&self, slot: u32) -> Option<&Entry> {
        self.entries.get(slot as usize)?.as_deref()
    }

    fn entry_mut(&mut self, slot: u32) -> Option<&mut Entry> {
        self.entries.get_mut(slot as usize)?.as_deref_mut()
    }

    fn is_connected(&self, peer: PeerIx) -> bool {
        self.flags.get(peer.0 as usize).is_some_and(|flags| flags & CONNECTED != 0)
    }
}

impl Entry {
    /// When the peer is forgotten, unless it is connected then.
    fn until(&self) -> Time {
        self.peer.until().max(self.keep)
    }

    fn bytes(&self) -> usize {
        size_of::<Entry>() + self.peer.heap()
    }
}

impl Default for Entry {
    fn default() -> Self {
        Entry { peer: PeerMetadata::default(), keep: Time::ZERO, older: NO_SLOT, newer: NO_SLOT }
    }
}
