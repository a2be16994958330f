//! A queue by priority that entries can leave, and in which they can move: who is least, in O(1); any change in O(log n).
//!
//! A heap of arity 4: half as deep as a binary one, and the four children lie side by side in one or two cache lines.

use super::{NO_SLOT, reserve};
use alloc::vec::Vec;
use core::fmt;

const ARITY: usize = 4;

/// Slots in the order of their keys, least first; equal keys in the order of their slots. `Heap<Time>` is a timer table.
///
/// ```text
/// entries  (key, slot), each not greater than its four children
///             ^     |
///             |     v
/// places   slot -> where its entry lies, or NO_SLOT
/// ```
pub(crate) struct Heap<K> {
    entries: Vec<Entry<K>>,
    places: Vec<u32>,
}

/// A key and its slot, without the hole that a tuple of 8 and 4 bytes ends with.
#[repr(C, packed(4))]
struct Entry<K> {
    key: K,
    slot: u32,
}

impl<K: Copy> Clone for Entry<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: Copy> Copy for Entry<K> {}

impl<K: Copy + Ord> Entry<K> {
    fn pair(self) -> (K, u32) {
        (self.key, self.slot)
    }
}

impl<K: Copy> Clone for Heap<K> {
    fn clone(&self) -> Self {
        Heap { entries: self.entries.clone(), places: self.places.clone() }
    }
}

/// Room for entries that is kept, however few there are.
const KEPT: usize = 1024;

impl<K> Default for Heap<K> {
    fn default() -> Self {
        Heap { entries: Vec::new(), places: Vec::new() }
    }
}

impl<K> fmt::Debug for Heap<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Heap({} slots)", self.entries.len())
    }
}

impl<K: Copy + Ord> Heap<K> {
    /// An empty one. Allocates nothing.
    pub(crate) fn new() -> Self {
        Heap::default()
    }

    /// Slots in it.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The slot's key.
    pub(crate) fn key(&self, slot: u32) -> Option<K> {
        self.entries.get(self.place(slot)?).map(|entry| entry.key)
    }

    /// The least key and its slot.
    pub(crate) fn peek(&self) -> Option<(K, u32)> {
        self.entries.first().map(|entry| entry.pair())
    }

    /// Puts a slot in, or changes its key. Slots must be dense: memory follows the greatest one.
    pub(crate) fn set(&mut self, slot: u32, key: K) {
        match self.place(slot) {
            Some(place) => self.settle(place, Entry { key, slot }),
            None if slot == NO_SLOT => {}
            None => {
                let needed = slot as usize + 1;
                if self.places.len() < needed {
                    reserve(&mut self.places, needed);
                    self.places.resize(needed, NO_SLOT);
                }
                let (place, entry) = (self.entries.len(), Entry { key, slot });
                reserve(&mut self.entries, place + 1);
                self.entries.push(entry);
                self.rise(place, entry);
            }
        }
    }

    /// Takes a slot out.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<K> {
        let place = self.place(slot)?;
        let last = self.entries.pop()?;
        *self.places.get_mut(slot as usize)? = NO_SLOT;
        let key = match self.entries.get(place).map(|entry| entry.key) {
            Some(key) => {
                self.settle(place, last);
                key
            }
            None => last.key, // it was the last one
        };
        // What everyone left at one time isn't kept for the next such time. Paid for by those who left.
        if self.entries.capacity() > KEPT && self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
        Some(key)
    }

    /// Takes the least out.
    pub(crate) fn pop(&mut self) -> Option<(K, u32)> {
        let least = self.peek()?;
        self.remove(least.1);
        Some(least)
    }

    /// All of it, the least first, the others in no order that means anything; the same after the same calls.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, u32)> {
        self.entries.iter().map(|entry| entry.pair())
    }

    /// Heap bytes.
    pub(crate) fn memory_used(&self) -> usize {
        self.entries.capacity() * size_of::<Entry<K>>() + self.places.capacity() * size_of::<u32>()
    }

    fn place(&self, slot: u32) -> Option<usize> {
        self.places.get(slot as usize).filter(|place| **place != NO_SLOT).map(|place| *place as usize)
    }

    /// Puts an entry where it belongs, beginning at a place whose own entry is to be overwritten.
    fn settle(&mut self, place: usize, entry: Entry<K>) {
        match place.checked_sub(1).and_then(|before| self.entries.get(before / ARITY)) {
            Some(parent) if parent.pair() > entry.pair() => self.rise(place, entry),
            _ => self.sink(place, entry),
        }
    }

    fn rise(&mut self, mut place: usize, entry: Entry<K>) {
        while let Some(parent) = place.checked_sub(1).map(|before| before / ARITY) {
            match self.entries.get(parent) {
                Some(&above) if above.pair() > entry.pair() => self.put(place, above),
                _ => break,
            }
            place = parent;
        }
        self.put(place, entry);
    }

    fn sink(&mut self, mut place: usize, entry: Entry<K>) {
        loop {
            let first = place * ARITY + 1;
            let children = self.entries.iter().enumerate().skip(first).take(ARITY);
            match children.min_by_key(|(_, child)| child.pair()) {
                Some((child, &below)) if below.pair() < entry.pair() => {
                    self.put(place, below);
                    place = child;
                }
                _ => break,
            }
        }
        self.put(place, entry);
    }

    fn put(&mut self, place: usize, entry: Entry<K>) {
        if let (Some(at), Some(known)) = (self.entries.get_mut(place), self.places.get_mut(entry.slot as usize)) {
            *at = entry;
            // As many entries as slots, which are `u32`.
            *known = u32::try_from(place).unwrap_or(NO_SLOT);
        }
    }
}
