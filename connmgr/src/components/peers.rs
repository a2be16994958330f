//! The set of connected peers, sorted: a list of short sorted chunks.
//!
//! An insertion moves at most one chunk's worth of ids, and a walk can stop anywhere and go on at a [`Cursor`]. Its memory
//! is known exactly, which a B-tree's is not.

use alloc::vec::Vec;
use core::mem::size_of;
use tidewire_core::PeerId;

/// Ids of a chunk, at most. Each chunk has room for as many: 64 ids are 2,880 bytes.
const CHUNK: usize = 64;

/// Peers in the order of their ids.
#[derive(Clone, Debug, Default)]
pub(super) struct Peers {
    /// None is empty, each is sorted, and each ends before the next begins.
    chunks: Vec<Vec<PeerId>>,
    len: usize,
}

/// A place in a walk. Good as long as the set does not change.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor {
    chunk: usize,
    at: usize,
}

impl Peers {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn contains(&self, peer: &PeerId) -> bool {
        self.chunks.get(self.chunk_of(peer)).is_some_and(|chunk| chunk.binary_search(peer).is_ok())
    }

    /// Whether it was new.
    pub(super) fn insert(&mut self, peer: PeerId) -> bool {
        let at = self.chunk_of(&peer);
        let Some(chunk) = self.chunks.get_mut(at) else {
            let mut chunk = Vec::with_capacity(CHUNK);
            chunk.push(peer);
            self.chunks.push(chunk);
            self.len += 1;
            return true;
        };
        let Err(place) = chunk.binary_search(&peer) else { return false };
        self.len += 1;
        if chunk.len() < CHUNK {
            chunk.insert(place, peer);
            return true;
        }
        let mut upper = Vec::with_capacity(CHUNK);
        upper.extend(chunk.drain(CHUNK / 2..));
        if place <= CHUNK / 2 {
            chunk.insert(place, peer);
        } else {
            upper.insert(place - CHUNK / 2, peer);
        }
        self.chunks.insert(at + 1, upper);
        true
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, peer: &PeerId) -> bool {
        let at = self.chunk_of(peer);
        let Some(chunk) = self.chunks.get_mut(at) else { return false };
        let Ok(place) = chunk.binary_search(peer) else { return false };
        chunk.remove(place);
        self.len -= 1;
        // Below a quarter it joins a neighbour, if both fit into one with room to spare.
        if chunk.is_empty() {
            self.chunks.remove(at);
        } else if chunk.len() < CHUNK / 4 {
            let lower = if at > 0 { at - 1 } else { at };
            self.join(lower);
        }
        true
    }

    /// The peer at this place, which moves on by one.
    pub(super) fn next(&self, cursor: &mut Cursor) -> Option<PeerId> {
        let chunk = self.chunks.get(cursor.chunk)?;
        let peer = chunk.get(cursor.at).copied()?;
        cursor.at += 1;
        if cursor.at == chunk.len() {
            *cursor = Cursor { chunk: cursor.chunk + 1, at: 0 };
        }
        Some(peer)
    }

    pub(super) fn memory_used(&self) -> usize {
        self.chunks.capacity() * size_of::<Vec<PeerId>>() + self.chunks.len() * CHUNK * size_of::<PeerId>()
    }

    /// The last chunk that begins at this peer or before; the first, if all begin behind it.
    fn chunk_of(&self, peer: &PeerId) -> usize {
        self.chunks.partition_point(|chunk| chunk.first().is_some_and(|first| first <= peer)).saturating_sub(1)
    }

    /// Makes one of a chunk and the next, if they fit into three quarters of one.
    fn join(&mut self, lower: usize) {
        let (Some(one), Some(other)) = (self.chunks.get(lower), self.chunks.get(lower + 1)) else { return };
        if one.len() + other.len() > CHUNK / 4 * 3 {
            return;
        }
        let upper = self.chunks.remove(lower + 1);
        if let Some(chunk) = self.chunks.get_mut(lower) {
            chunk.extend(upper);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    fn peer(n: u16) -> PeerId {
        let [high, low] = n.to_be_bytes();
        PeerId::from_bytes(&[0, 2, high, low]).unwrap()
    }

    fn walk(peers: &Peers) -> Vec<PeerId> {
        let mut cursor = Cursor::default();
        core::iter::from_fn(|| peers.next(&mut cursor)).collect()
    }

    fn check(peers: &Peers, model: &BTreeSet<u16>) {
        assert_eq!(walk(peers), model.iter().copied().map(peer).collect::<Vec<_>>());
        assert_eq!(peers.len(), model.len());
        for chunk in &peers.chunks {
            assert!(!chunk.is_empty() && chunk.len() <= CHUNK && chunk.capacity() == CHUNK);
        }
    }

    proptest! {
        #[test]
        fn it_is_a_sorted_set(ops in proptest::collection::vec((0_u16..1500, 0_u8..5), 0..3000), gone in 0_u16..1500) {
            let (mut peers, mut model) = (Peers::default(), BTreeSet::new());
            for (n, what) in ops {
                if what < 3 {
                    assert_eq!(peers.insert(peer(n)), model.insert(n));
                } else {
                    assert_eq!(peers.remove(&peer(n)), model.remove(&n));
                }
                assert_eq!(peers.contains(&peer(n)), model.contains(&n));
            }
            check(&peers, &model);
            for n in gone..1500 {
                assert_eq!(peers.remove(&peer(n)), model.remove(&n));
            }
            check(&peers, &model);
        }
    }

    #[test]
    fn chunks_that_run_low_are_joined() {
        let mut peers = Peers::default();
        for n in 0..10_000 {
            assert!(peers.insert(peer(n)));
        }
        let full = peers.memory_used();
        for n in (0..10_000).filter(|n| n % 10 > 0) {
            assert!(peers.remove(&peer(n)));
        }
        assert!(peers.memory_used() * 3 < full, "{} of {full}", peers.memory_used());
    }
}
