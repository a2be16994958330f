//! Tables for a million entries: slots with small numbers, an index by key, a heap that entries can leave, lists through slots.
//!
//! ```text
//! key --Index--> slot --Slab--> entry
//!                 |
//!                 +--Heap--> place in an order that changes
//!                 +--Ring--> neighbours in a list
//! ```
//!
//! None of them depends on hash order, and none panics: a slot that holds nothing gives `None`.

mod heap;
mod index;
mod ring;
mod slab;
#[cfg(test)]
mod tests;

pub(crate) use heap::Heap;
pub(crate) use index::Index;
pub(crate) use ring::{Linked, Links, Ring};
pub(crate) use slab::Slab;

use alloc::vec::Vec;

/// A peer's slot: small, dense, used again when the peer is forgotten. What each part knows about a peer lies in a column of its own at this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PeerIx(pub(crate) u32);

/// A connection's slot, likewise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnIx(pub(crate) u32);

/// No slot: what links hold where there is nothing more. A slab never gives it out.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// Makes room for `len` elements in a column. Large ones grow by a quarter instead of doubling: at a million entries that
/// is the difference between a tenth and a half of the memory standing empty. Still O(1) amortised for each element.
pub(crate) fn reserve<T>(column: &mut Vec<T>, len: usize) {
    const DOUBLING_UNTIL: usize = 1024;

    let capacity = column.capacity();
    if len > capacity && len > DOUBLING_UNTIL {
        let target = len.max(capacity.saturating_add(capacity / 4));
        column.reserve_exact(target.saturating_sub(column.len()));
    }
}
