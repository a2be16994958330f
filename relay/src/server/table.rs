//! Slots with small numbers, in the order in which their entries came or were last moved; and an index of them by key.
//!
//! ```text
//! key --Index--> slot --Line--> entry      first <--> .. <--> .. <--> last
//! ```
//! What waits for one length of time stands in a line: who came first is due first. Entering, leaving and going to the end take
//! O(1), so that the cost of a renewal doesn't depend on how many there are.

use crate::rate::hasher;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};
use core::iter;
use hashbrown::HashTable;
use siphasher::sip::SipHasher13;
use tidewire_core::Seed;

/// No slot. A line never gives it out.
pub(super) const NO_SLOT: u32 = u32::MAX;

/// Entries in slots that stay where they are while they are held.
pub(super) struct Line<T> {
    entries: Vec<Entry<T>>,
    len: u32,
    first: u32,
    last: u32,
    /// The slot freed last; the others behind it.
    free: u32,
}

struct Entry<T> {
    value: Option<T>,
    before: u32,
    /// In a free slot, the next free one.
    after: u32,
}

impl<T> Line<T> {
    pub(super) const fn new() -> Self {
        Line { entries: Vec::new(), len: 0, first: NO_SLOT, last: NO_SLOT, free: NO_SLOT }
    }

    /// Puts a value at the end. With all 2^32 - 1 slots taken it is dropped, and the slot is [`NO_SLOT`].
    pub(super) fn push(&mut self, value: T) -> u32 {
        let slot = match self.entries.get_mut(self.free as usize) {
            Some(entry) => {
                let slot = self.free;
                self.free = entry.after;
                entry.value = Some(value);
                slot
            }
            None => {
                let slot = u32::try_from(self.entries.len()).unwrap_or(NO_SLOT);
                if slot == NO_SLOT {
                    return NO_SLOT;
                }
                self.grow();
                self.entries.push(Entry { value: Some(value), before: NO_SLOT, after: NO_SLOT });
                slot
            }
        };
        self.len = self.len.saturating_add(1);
        self.link_last(slot);
        slot
    }

    /// Takes a value out, and frees its slot.
    pub(super) fn remove(&mut self, slot: u32) -> Option<T> {
        let value = self.entries.get_mut(slot as usize)?.value.take()?;
        self.unlink(slot);
        if let Some(entry) = self.entries.get_mut(slot as usize) {
            entry.after = self.free;
        }
        self.free = slot;
        self.len = self.len.saturating_sub(1);
        if self.len == 0 {
            *self = Line::new();
        }
        Some(value)
    }

    /// Moves an entry to the end.
    pub(super) fn send_to_end(&mut self, slot: u32) {
        if self.get(slot).is_some() && slot != self.last {
            self.unlink(slot);
            self.link_last(slot);
        }
    }

    pub(super) fn get(&self, slot: u32) -> Option<&T> {
        self.entries.get(slot as usize)?.value.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.entries.get_mut(slot as usize)?.value.as_mut()
    }

    /// Who has been at its place longest.
    pub(super) fn first(&self) -> Option<(u32, &T)> {
        self.get(self.first).map(|value| (self.first, value))
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let at = |slot: u32| self.get(slot).map(|value| (slot, value));
        iter::successors(at(self.first), move |(slot, _)| at(self.entries.get(*slot as usize)?.after))
    }

    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Heap bytes, without those that the values hold.
    pub(super) fn memory_used(&self) -> usize {
        self.entries.capacity() * size_of::<Entry<T>>()
    }

    /// Large ones grow by a quarter, so that at most a fifth stands empty.
    fn grow(&mut self) {
        let (len, capacity) = (self.entries.len(), self.entries.capacity());
        if len == capacity && len >= 1024 {
            self.entries.reserve_exact(capacity / 4);
        }
    }

    fn link_last(&mut self, slot: u32) {
        let last = self.last;
        if let Some(entry) = self.entries.get_mut(slot as usize) {
            (entry.before, entry.after) = (last, NO_SLOT);
        }
        match self.entries.get_mut(last as usize) {
            Some(entry) => entry.after = slot,
            None => self.first = slot,
        }
        self.last = slot;
    }

    fn unlink(&mut self, slot: u32) {
        let Some((before, after)) = self.entries.get(slot as usize).map(|entry| (entry.before, entry.after)) else {
            return;
        };
        match self.entries.get_mut(before as usize) {
            Some(entry) => entry.after = after,
            None => self.first = after,
        }
        match self.entries.get_mut(after as usize) {
            Some(entry) => entry.before = before,
            None => self.last = before,
        }
    }
}

/// Slots by key, without storing the key twice. Remotes choose keys (a peer id is easily ground), so the hash is keyed by the
/// seed. It is never walked, so hash order decides nothing.
pub(super) struct Index {
    hasher: SipHasher13,
    slots: HashTable<Place>,
}

struct Place {
    hash: u32,
    slot: u32,
}

impl Index {
    /// An empty one. Each index of one seed needs its own label.
    pub(super) fn new(seed: &Seed, label: &str) -> Self {
        Index { hasher: hasher(seed, label), slots: HashTable::new() }
    }

    /// The slot that holds a key. `holds` says whether a slot does.
    pub(super) fn find<K: Hash>(&self, key: &K, holds: impl Fn(u32) -> bool) -> Option<u32> {
        let hash = self.hash(key);
        self.slots.find(spread(hash), |place| place.hash == hash && holds(place.slot)).map(|place| place.slot)
    }

    /// Adds a slot for a key that is not in the index.
    pub(super) fn add<K: Hash>(&mut self, key: &K, slot: u32) {
        let hash = self.hash(key);
        self.slots.insert_unique(spread(hash), Place { hash, slot }, |place| spread(place.hash));
    }

    /// Takes a slot out.
    pub(super) fn remove<K: Hash>(&mut self, key: &K, slot: u32) {
        if let Ok(entry) = self.slots.find_entry(spread(self.hash(key)), |place| place.slot == slot) {
            entry.remove();
        }
        if self.slots.capacity() > 64 && self.slots.len() < self.slots.capacity() / 8 {
            self.slots.shrink_to(self.slots.len() * 2, |place| spread(place.hash));
        }
    }

    /// Heap bytes.
    pub(super) fn memory_used(&self) -> usize {
        self.slots.allocation_size()
    }

    fn hash<K: Hash>(&self, key: &K) -> u32 {
        let mut hasher = self.hasher;
        key.hash(&mut hasher);
        (hasher.finish() >> 32) as u32
    }
}

/// Slots by a number that the caller chose: two for each. Nobody else has a say in those numbers, so they need no secret hash;
/// numbers that follow each other lie beside each other.
pub(super) struct Numbers {
    slots: HashTable<(u64, u32, u32)>,
}

impl Numbers {
    pub(super) const fn new() -> Self {
        Numbers { slots: HashTable::new() }
    }

    pub(super) fn find(&self, number: u64) -> Option<(u32, u32)> {
        self.slots.find(place_of(number), |at| at.0 == number).map(|at| (at.1, at.2))
    }

    /// Adds slots for a number that has none.
    pub(super) fn add(&mut self, number: u64, (one, other): (u32, u32)) {
        self.slots.insert_unique(place_of(number), (number, one, other), |at| place_of(at.0));
    }

    pub(super) fn remove(&mut self, number: u64) {
        if let Ok(entry) = self.slots.find_entry(place_of(number), |at| at.0 == number) {
            entry.remove();
        }
        if self.slots.capacity() > 64 && self.slots.len() < self.slots.capacity() / 8 {
            self.slots.shrink_to(self.slots.len() * 2, |at| place_of(at.0));
        }
    }

    /// Heap bytes.
    pub(super) fn memory_used(&self) -> usize {
        self.slots.allocation_size()
    }
}

/// Bits from above are mixed in, should a caller put a kind or a generation there; the seven highest are the table's tag.
fn place_of(number: u64) -> u64 {
    let folded = number ^ (number >> 32).wrapping_mul(0x9e37_79b9);
    (folded & (u64::MAX >> 7)) | (folded << 57)
}

/// The table takes a bucket from the low bits and a tag from the high ones, so both halves must be filled.
fn spread(hash: u32) -> u64 {
    (u64::from(hash) << 32) | u64::from(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Copy, Debug)]
    enum Op {
        Push(u64),
        Remove(usize),
        ToEnd(usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            3 => any::<u64>().prop_map(Op::Push),
            2 => (0usize..20).prop_map(Op::Remove),
            2 => (0usize..20).prop_map(Op::ToEnd),
        ]
    }

    proptest! {
        #[test]
        fn a_line_is_a_list(ops in prop::collection::vec(op(), 1..300)) {
            let mut line = Line::new();
            let mut list: Vec<(u32, u64)> = Vec::new();
            for op in ops {
                match op {
                    Op::Push(value) => {
                        let slot = line.push(value);
                        prop_assert!(list.iter().all(|(held, _)| *held != slot));
                        list.push((slot, value));
                    }
                    Op::Remove(at) if at < list.len() => {
                        let (slot, value) = list.remove(at);
                        prop_assert_eq!(line.remove(slot), Some(value));
                        prop_assert_eq!(line.remove(slot), None);
                    }
                    Op::ToEnd(at) if at < list.len() => {
                        let moved = list.remove(at);
                        line.send_to_end(moved.0);
                        list.push(moved);
                    }
                    Op::Remove(_) | Op::ToEnd(_) => {
                        line.send_to_end(NO_SLOT);
                        prop_assert_eq!(line.remove(NO_SLOT), None);
                    }
                }
                prop_assert!(line.iter().map(|(slot, value)| (slot, *value)).eq(list.iter().copied()));
                prop_assert_eq!(line.first().map(|(slot, value)| (slot, *value)), list.first().copied());
                prop_assert_eq!(line.len() as usize, list.len());
            }
        }
    }

    #[test]
    fn numbers_find_their_slots() {
        let mut numbers = Numbers::new();
        let all: Vec<u64> = (0..1000).flat_map(|n| [n, n << 32, u64::MAX - n, n << 56 | 7 << 40]).collect();
        let all: alloc::collections::BTreeSet<u64> = all.into_iter().collect();
        for (slot, number) in (0..).zip(&all) {
            numbers.add(*number, (slot, !slot));
        }
        for (slot, number) in (0..).zip(&all) {
            assert_eq!(numbers.find(*number), Some((slot, !slot)));
            if slot % 2 == 0 {
                numbers.remove(*number);
                assert_eq!(numbers.find(*number), None);
            }
        }
        assert_eq!(numbers.find(123_456), None);
    }

    #[test]
    fn keys_of_one_hash_are_told_apart() {
        let mut index = Index::new(&Seed::new([3; 32]), "numbers");
        let mut known = alloc::collections::BTreeMap::new();
        // Of 200,000 keys some share their 32 bits of hash.
        let (one, other) = (0..200_000u64)
            .find_map(|key| known.insert(index.hash(&key), key).map(|before| (before, key)))
            .expect("two keys of one hash");
        let keys = [one, other];
        let find = |index: &Index, key: u64| index.find(&key, |slot| keys.get(slot as usize) == Some(&key));
        index.add(&other, 1);
        assert_eq!(find(&index, one), None);
        index.add(&one, 0);
        assert_eq!((find(&index, one), find(&index, other)), (Some(0), Some(1)));
        index.remove(&one, 0);
        assert_eq!((find(&index, one), find(&index, other)), (None, Some(1)));
    }
}
