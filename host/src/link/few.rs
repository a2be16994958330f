//! What a link knows of its streams, by number: mostly of one or two, so that it is kept as a list in order. A tree's first node
//! would have room for eleven.

use alloc::vec::Vec;
use tidewire_upgrade::muxer::StreamId;

/// A map for few entries, of which the newest stand at the end.
#[derive(Debug)]
pub(super) struct Few<V>(Vec<(StreamId, V)>);

impl<V> Few<V> {
    pub(super) fn get(&self, id: StreamId) -> Option<&V> {
        let at = self.place(id).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, id: StreamId) -> Option<&mut V> {
        let at = self.place(id).ok()?;
        self.0.get_mut(at).map(|(_, value)| value)
    }

    /// In the place of what was there.
    pub(super) fn insert(&mut self, id: StreamId, value: V) {
        match self.place(id) {
            Ok(at) => {
                if let Some(entry) = self.0.get_mut(at) {
                    entry.1 = value;
                }
            }
            Err(at) => {
                if self.0.capacity() == 0 {
                    // A `Vec` starts with four places.
                    self.0.reserve_exact(1);
                }
                self.0.insert(at, (id, value));
            }
        }
    }

    /// The last one takes the memory with it.
    pub(super) fn remove(&mut self, id: StreamId) -> Option<V> {
        let at = self.place(id).ok()?;
        let (_, value) = self.0.remove(at);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        Some(value)
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&mut V) -> bool) {
        self.0.retain_mut(|(_, value)| keep(value));
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (StreamId, &V)> {
        self.0.iter().map(|(id, value)| (*id, value))
    }

    /// Bytes of the list itself.
    pub(super) fn memory_used(&self) -> usize {
        self.0.capacity() * size_of::<(StreamId, V)>()
    }

    /// Where it stands, or would stand: looked for from the end, where new ones are.
    fn place(&self, id: StreamId) -> Result<usize, usize> {
        match self.0.last() {
            Some((last, _)) if *last < id => Err(self.0.len()),
            _ => self.0.binary_search_by_key(&id, |(known, _)| *known),
        }
    }
}

impl<V> Default for Few<V> {
    fn default() -> Self {
        Few(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn id(number: u64) -> StreamId {
        StreamId::new(number)
    }

    #[test]
    fn entries_are_found_and_stand_in_order_however_they_came() {
        let mut few = Few::default();
        for number in [3, 1, 2, 6, 5] {
            few.insert(id(number), number * 10);
        }
        few.insert(id(2), 21);
        assert_eq!(
            few.iter().map(|(id, value)| (id.get(), *value)).collect::<Vec<_>>(),
            vec![(1, 10), (2, 21), (3, 30), (5, 50), (6, 60)]
        );
        assert_eq!((few.get(id(3)), few.get(id(4)), few.get(id(7))), (Some(&30), None, None));
        assert_eq!((few.remove(id(3)), few.remove(id(3))), (Some(30), None));
        few.retain(|value| *value > 50);
        assert_eq!(few.get_mut(id(6)), Some(&mut 60));
        assert_eq!(few.get_mut(id(1)), None);
    }

    #[test]
    fn one_entry_takes_one_place_and_none_takes_nothing() {
        let mut few = Few::default();
        few.insert(id(1), 7_u64);
        assert_eq!(few.memory_used(), size_of::<(StreamId, u64)>());
        few.remove(id(1));
        assert_eq!((few.iter().count(), few.memory_used()), (0, 0));
        few.insert(id(1), 7);
        few.retain(|_| false);
        assert_eq!(few.memory_used(), 0);
    }
}
