//! The streams of a connection, by number.
//!
//! A sorted list of (number, slot) for each parity, so that opening appends; a slab of streams; and the last hit, since
//! frames of one stream come in rows.

use super::stream::Stream;
use alloc::vec::Vec;

/// Memory for so many streams is kept when the last one goes.
const SPARE: usize = 16;

#[derive(Debug)]
pub(super) struct Table {
    /// Even numbers, odd numbers; each sorted.
    index: [Vec<(u32, u32)>; 2],
    slots: Vec<Option<Stream>>,
    free: Vec<u32>,
    /// The last slot that was asked for.
    last: usize,
}

impl Table {
    pub(super) const fn new() -> Self {
        Table { index: [Vec::new(), Vec::new()], slots: Vec::new(), free: Vec::new(), last: 0 }
    }

    /// How many streams there are.
    pub(super) fn len(&self) -> usize {
        self.index.iter().map(Vec::len).sum()
    }

    /// How many streams have odd numbers, or even ones.
    pub(super) fn len_of(&self, odd: bool) -> usize {
        self.index[usize::from(odd)].len()
    }

    pub(super) fn get(&self, id: u32) -> Option<&Stream> {
        self.slots.get(self.search(id)?)?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Stream> {
        let slot = self.find(id)?;
        self.slots.get_mut(slot)?.as_mut()
    }

    /// Adds a stream whose number is not there.
    pub(super) fn insert(&mut self, stream: Stream) {
        let id = stream.id;
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                push(&mut self.slots, None);
                // Far under 2^32: the configuration caps both kinds of stream, and ids are 32 bits.
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(stream);
            self.last = slot as usize;
            let index = &mut self.index[usize::from(id % 2 == 1)];
            let at = match index.last() {
                Some(last) if last.0 > id => index.partition_point(|entry| entry.0 < id),
                _ => index.len(),
            };
            if index.capacity() == 0 {
                index.reserve_exact(1);
            }
            index.insert(at, (id, slot));
        }
    }

    pub(super) fn remove(&mut self, id: u32) -> Option<Stream> {
        let index = &mut self.index[usize::from(id % 2 == 1)];
        let at = index.binary_search_by_key(&id, |entry| entry.0).ok()?;
        let (_, slot) = index.remove(at);
        let stream = self.slots.get_mut(slot as usize)?.take();
        push(&mut self.free, slot);
        if self.free.len() == self.slots.len() && self.slots.capacity() > SPARE {
            *self = Table::new();
        }
        stream
    }

    /// Bytes on the heap.
    pub(super) fn memory_used(&self) -> usize {
        self.index.iter().map(|index| index.capacity() * size_of::<(u32, u32)>()).sum::<usize>()
            + self.slots.capacity() * size_of::<Option<Stream>>()
            + self.free.capacity() * size_of::<u32>()
    }

    #[inline]
    fn find(&mut self, id: u32) -> Option<usize> {
        if let Some(Some(stream)) = self.slots.get(self.last)
            && stream.id == id
        {
            return Some(self.last);
        }
        self.last = self.search(id)?;
        Some(self.last)
    }

    fn search(&self, id: u32) -> Option<usize> {
        let index = &self.index[usize::from(id % 2 == 1)];
        // Streams are mostly numbered without gaps: then the place is known.
        let guess = id.checked_sub(index.first()?.0)? / 2;
        if let Some((found, slot)) = index.get(guess as usize)
            && *found == id
        {
            return Some(*slot as usize);
        }
        let at = index.binary_search_by_key(&id, |entry| entry.0).ok()?;
        Some(index.get(at)?.1 as usize)
    }
}

/// Appends to a list that most connections need one place of: a `Vec` starts with four.
pub(super) fn push<T>(list: &mut Vec<T>, item: T) {
    if list.capacity() == 0 {
        list.reserve_exact(1);
    }
    list.push(item);
}
