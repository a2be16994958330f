//! Lists of entries of one slab, in the order in which they came: connections of a peer, streams of a connection.
//!
//! ```text
//! Ring { youngest } --> [c] --younger--> [a] --younger--> [b] --younger--> [c] ..      a, b, c came in this order
//! ```
//!
//! After the youngest comes the oldest again, so that the owner of a list needs one word for both of its ends.

use super::{NO_SLOT, Slab};
use core::iter;

/// An entry that can be in one list. New ones are in none: [`Links::NONE`].
pub(crate) trait Linked {
    fn links(&self) -> &Links;
    fn links_mut(&mut self) -> &mut Links;
}

/// An entry's neighbours in its list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    older: u32,
    younger: u32,
}

impl Links {
    pub(crate) const NONE: Links = Links { older: NO_SLOT, younger: NO_SLOT };
}

/// A list.
#[derive(Clone, Debug)]
pub(crate) struct Ring {
    youngest: u32,
}

impl Ring {
    pub(crate) const EMPTY: Ring = Ring { youngest: NO_SLOT };

    /// Adds an entry that is in no list, as the youngest. No effect if the slot holds nothing.
    pub(crate) fn push<T: Linked>(&mut self, slab: &mut Slab<T>, slot: u32) {
        let oldest = slab.get(self.youngest).map_or(slot, |youngest| youngest.links().younger);
        let older = if self.youngest == NO_SLOT { slot } else { self.youngest };
        let Some(entry) = slab.get_mut(slot) else { return };
        *entry.links_mut() = Links { older, younger: oldest };
        join(slab, older, slot);
        join(slab, slot, oldest);
        self.youngest = slot;
    }

    /// Takes out an entry of this list, which was just removed from its slab.
    pub(crate) fn unlink<T: Linked>(&mut self, slab: &mut Slab<T>, slot: u32, removed: &T) {
        let Links { older, younger } = *removed.links();
        join(slab, older, younger);
        if self.youngest == slot {
            self.youngest = if older == slot { NO_SLOT } else { older };
        }
    }

    /// Its entries, the oldest first.
    pub(crate) fn iter<'a, T: Linked>(&self, slab: &'a Slab<T>) -> impl Iterator<Item = (u32, &'a T)> + use<'a, T> {
        let at = move |slot: u32| slab.get(slot).map(|entry| (slot, entry));
        let youngest = self.youngest;
        let oldest = slab.get(youngest).map_or(NO_SLOT, |entry| entry.links().younger);
        iter::successors(
            at(oldest),
            move |(slot, entry)| {
                if *slot == youngest { None } else { at(entry.links().younger) }
            },
        )
    }

    /// Its entries, the youngest first.
    pub(crate) fn iter_back<'a, T: Linked>(
        &self,
        slab: &'a Slab<T>,
    ) -> impl Iterator<Item = (u32, &'a T)> + use<'a, T> {
        let at = move |slot: u32| slab.get(slot).map(|entry| (slot, entry));
        let oldest = slab.get(self.youngest).map_or(NO_SLOT, |entry| entry.links().younger);
        iter::successors(
            at(self.youngest),
            move |(slot, entry)| {
                if *slot == oldest { None } else { at(entry.links().older) }
            },
        )
    }
}

/// Makes two entries neighbours. A slot that holds nothing is passed over.
fn join<T: Linked>(slab: &mut Slab<T>, older: u32, younger: u32) {
    if let Some(entry) = slab.get_mut(older) {
        entry.links_mut().younger = younger;
    }
    if let Some(entry) = slab.get_mut(younger) {
        entry.links_mut().older = older;
    }
}
