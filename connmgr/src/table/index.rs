//! From a key to the slot of the entry that holds it, without storing the key twice.

use core::hash::{Hash, Hasher};
use hashbrown::HashTable;
use siphasher::sip::SipHasher13;
use tidewire_core::Seed;

/// Slots by key. Remotes choose keys (a peer id is easily ground), so the hash is keyed by the seed: nobody outside can
/// make keys that collide. It is never walked, so hash order decides nothing.
///
/// The keys lie in the caller's entries; `key_of` says which key a slot holds, and `None` for a free slot. Each slot lies
/// beside 32 bits of its key's hash: growing needs no look at the entries, which takes a tenth of the time at a million.
#[derive(Clone)]
pub(crate) struct Index {
    sip: (u64, u64),
    slots: HashTable<Place>,
}

#[derive(Clone)]
struct Place {
    hash: u32,
    slot: u32,
}

impl Index {
    /// An empty one. Each index of one seed needs its own label.
    pub(crate) fn new(seed: &Seed, label: &str) -> Self {
        let derived = seed.derive(label, 0);
        let word = |at: usize| {
            derived.as_bytes().iter().skip(at).take(8).fold(0u64, |word, byte| (word << 8) | u64::from(*byte))
        };
        Index { sip: (word(0), word(8)), slots: HashTable::new() }
    }

    /// The slot that holds a key.
    pub(crate) fn find<K: Copy + Hash + Eq>(&self, key: K, key_of: impl Fn(u32) -> Option<K>) -> Option<u32> {
        let hash = self.hash(&key);
        let is_it = |place: &Place| place.hash == hash && key_of(place.slot).is_some_and(|held| held == key);
        self.slots.find(spread(hash), is_it).map(|place| place.slot)
    }

    /// Adds a slot for a key that is not in the index yet.
    pub(crate) fn add<K: Copy + Hash>(&mut self, key: K, slot: u32) {
        let hash = self.hash(&key);
        self.slots.insert_unique(spread(hash), Place { hash, slot }, |place| spread(place.hash));
    }

    /// Takes a slot out. It needs no entry behind it any more. Whether it was there.
    pub(crate) fn remove<K: Copy + Hash>(&mut self, key: K, slot: u32) -> bool {
        match self.slots.find_entry(spread(self.hash(&key)), |place| place.slot == slot) {
            Ok(entry) => {
                entry.remove();
                true
            }
            Err(_) => false,
        }
    }

    /// Heap bytes.
    pub(crate) fn memory_used(&self) -> usize {
        self.slots.allocation_size()
    }

    pub(super) fn hash<K: Hash>(&self, key: &K) -> u32 {
        let mut hasher = SipHasher13::new_with_keys(self.sip.0, self.sip.1);
        key.hash(&mut hasher);
        (hasher.finish() >> 32) as u32
    }
}

/// The table takes a bucket from the low bits and a tag from the high ones, so both halves must be filled.
fn spread(hash: u32) -> u64 {
    (u64::from(hash) << 32) | u64::from(hash)
}
