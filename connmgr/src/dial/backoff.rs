//! Addresses that failed a short time ago, and for how long they are left alone.
//!
//! ```text
//!            failed             failed                          until + max passed
//!   unknown --------> backoff 1 --------> backoff 2 -> ... ------------------------> unknown
//!      ^                  |                   |
//!      +------------------+-------------------+   the peer was reached, or the network changed
//! ```
//! Backoff = base + coefficient * (failures before)^2, at most max, and then longer by a share that the seed draws. Per peer
//! and address. go-libp2p's documented behaviour, but for the jitter, which users of it ask for (go-libp2p#1549), and the cap
//! on entries.

use super::DialConfig;
use alloc::collections::{BTreeMap, BTreeSet};
use core::hash::Hasher;
use core::time::Duration;
use siphasher::sip::SipHasher13;
use tidewire_core::{Multiaddr, PeerId, Seed, Time};

/// What is in backoff. Costs O(log n) a call; nothing happens by time alone, so there is no deadline.
#[derive(Clone, Debug)]
pub(crate) struct Backoffs {
    base: Duration,
    coefficient: Duration,
    max: Duration,
    jitter: u32,
    cap: usize,
    keys: (u64, u64),
    entries: BTreeMap<Key, Entry>,
    /// The same by the end of the backoff.
    by_end: BTreeSet<(Time, Key)>,
    /// Bytes of the addresses in the keys.
    address_bytes: usize,
}

/// The address without the peer at its end, so that it is the same one with and without.
type Key = (PeerId, Multiaddr);

#[derive(Clone, Copy, Debug)]
struct Entry {
    until: Time,
    failures: u32,
}

impl Backoffs {
    /// Nothing is in backoff.
    pub(crate) fn new(config: &DialConfig, seed: &Seed) -> Self {
        let seed = seed.derive("dial backoff", 0);
        let word = |from: usize| {
            let bytes = seed.as_bytes().get(from..from + 8).and_then(|bytes| bytes.try_into().ok());
            u64::from_le_bytes(bytes.unwrap_or_default())
        };
        Backoffs {
            base: config.backoff_base,
            coefficient: config.backoff_coefficient,
            max: config.backoff_max,
            jitter: config.backoff_jitter,
            cap: usize::try_from(config.max_backoffs).unwrap_or(usize::MAX),
            keys: (word(0), word(8)),
            entries: BTreeMap::new(),
            by_end: BTreeSet::new(),
            address_bytes: 0,
        }
    }

    /// A dial of this address failed by the other side's or the network's doing. Not to be told of dials that we cancelled,
    /// forbade, or had no means for.
    pub(crate) fn failed(&mut self, now: Time, peer: PeerId, address: &Multiaddr) {
        self.forget_old(now);
        let key = (peer, address.without_peer_id());
        let failures = self.remove(&key).map_or(0, |entry| entry.failures);
        let until = now + self.jittered(self.backoff(failures), &key, failures);
        self.insert(key, Entry { until, failures: failures.saturating_add(1) });
        while self.entries.len() > self.cap {
            let Some((_, key)) = self.by_end.first().cloned() else { break };
            self.remove(&key);
        }
    }

    /// The peer was reached: whatever failed before, try all its addresses again.
    pub(crate) fn succeeded(&mut self, peer: PeerId) {
        loop {
            let first = self.entries.range((peer, Multiaddr::empty())..).next();
            let Some(key) = first.map(|(key, _)| key).filter(|key| key.0 == peer).cloned() else { break };
            self.remove(&key);
        }
    }

    /// How long the address is still to be left alone; `None` if it may be dialed.
    pub(crate) fn check(&self, now: Time, peer: PeerId, address: &Multiaddr) -> Option<Duration> {
        let entry = self.entries.get(&(peer, address.without_peer_id()))?;
        (entry.until > now).then(|| entry.until.since(now))
    }

    /// What failed on another network may work on this one.
    pub(crate) fn network_changed(&mut self) {
        self.entries.clear();
        self.by_end.clear();
        self.address_bytes = 0;
    }

    /// Heap bytes. The trees' nodes are taken to be two thirds full, as random insertion leaves them.
    pub(crate) fn memory_used(&self) -> usize {
        let entry = 2 * size_of::<Key>() + size_of::<Entry>() + size_of::<Time>();
        self.entries.len().saturating_mul(entry) / 2 * 3 + self.address_bytes
    }

    fn backoff(&self, failures: u32) -> Duration {
        let longer = failures.checked_mul(failures).and_then(|squared| self.coefficient.checked_mul(squared));
        longer.and_then(|longer| self.base.checked_add(longer)).unwrap_or(Duration::MAX).min(self.max)
    }

    fn jittered(&self, backoff: Duration, (peer, address): &Key, failures: u32) -> Duration {
        let mut hasher = SipHasher13::new_with_keys(self.keys.0, self.keys.1);
        // Peer ids and addresses tell their own length: no two pairs give the same bytes.
        hasher.write(peer.as_bytes());
        hasher.write(address.as_bytes());
        hasher.write(&failures.to_le_bytes());
        let most = backoff.as_nanos().saturating_mul(u128::from(self.jitter)) / 100;
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        let share = (u128::from(most) * u128::from(hasher.finish())) >> 64;
        backoff.saturating_add(Duration::from_nanos(u64::try_from(share).unwrap_or(u64::MAX)))
    }

    /// Forgets what has been over for as long as the greatest backoff: the next failure counts as the first again.
    fn forget_old(&mut self, now: Time) {
        while let Some((until, key)) = self.by_end.first() {
            if now < *until || now.since(*until) < self.max {
                break;
            }
            let key = key.clone();
            self.remove(&key);
        }
    }

    fn insert(&mut self, key: Key, entry: Entry) {
        self.address_bytes = self.address_bytes.saturating_add(key.1.memory_used());
        self.by_end.insert((entry.until, key.clone()));
        self.entries.insert(key, entry);
    }

    fn remove(&mut self, key: &Key) -> Option<Entry> {
        let (key, entry) = self.entries.remove_entry(key)?;
        self.address_bytes = self.address_bytes.saturating_sub(key.1.memory_used());
        self.by_end.remove(&(entry.until, key));
        Some(entry)
    }
}

#[cfg(test)]
mod tests;
