//! Entries in slots that never move while they are held. A freed slot is used again, the last freed first.

use super::{NO_SLOT, reserve};
use alloc::vec::Vec;
use core::mem;

/// Entries in slots.
#[derive(Clone)]
pub(crate) struct Slab<T> {
    entries: Vec<Entry<T>>,
    /// The slot freed last; `NO_SLOT` if none is free.
    free: u32,
    len: u32,
}

#[derive(Clone)]
enum Entry<T> {
    Taken(T),
    /// The slot freed before this one.
    Free(u32),
}

impl<T> Slab<T> {
    /// What one slot takes.
    pub(crate) const SLOT_BYTES: usize = size_of::<Entry<T>>();

    /// An empty one. Allocates nothing.
    pub(crate) const fn new() -> Self {
        Slab { entries: Vec::new(), free: NO_SLOT, len: 0 }
    }

    /// Entries held.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Puts a value into a slot. With all 2³² - 1 slots taken it is dropped, and the slot is `NO_SLOT`, which holds nothing.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        let slot = match self.entries.get_mut(self.free as usize) {
            Some(entry) => {
                let slot = self.free;
                if let Entry::Free(before) = mem::replace(entry, Entry::Taken(value)) {
                    self.free = before;
                }
                slot
            }
            None => {
                let slot = u32::try_from(self.entries.len()).unwrap_or(NO_SLOT);
                if slot == NO_SLOT {
                    return NO_SLOT;
                }
                reserve(&mut self.entries, slot as usize + 1);
                self.entries.push(Entry::Taken(value));
                slot
            }
        };
        self.len = self.len.saturating_add(1);
        slot
    }

    /// Takes a value out, and frees its slot.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let entry = self.entries.get_mut(slot as usize)?;
        match mem::replace(entry, Entry::Free(self.free)) {
            Entry::Taken(value) => {
                self.free = slot;
                self.len = self.len.saturating_sub(1);
                Some(value)
            }
            was_free => {
                *entry = was_free;
                None
            }
        }
    }

    /// What lies in a slot.
    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        match self.entries.get(slot as usize)? {
            Entry::Taken(value) => Some(value),
            Entry::Free(_) => None,
        }
    }

    /// What lies in a slot, to be changed.
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        match self.entries.get_mut(slot as usize)? {
            Entry::Taken(value) => Some(value),
            Entry::Free(_) => None,
        }
    }

    /// All entries, in the order of their slots. Walks the free slots too.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(&self.entries).filter_map(|(slot, entry)| match entry {
            Entry::Taken(value) => Some((slot, value)),
            Entry::Free(_) => None,
        })
    }

    /// Heap bytes, without those that the values themselves hold.
    pub(crate) fn memory_used(&self) -> usize {
        self.entries.capacity() * Self::SLOT_BYTES
    }
}
