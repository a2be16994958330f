//! One stream, and the table of them.
//!
//! ```text
//!            remote's half                       our half
//!   Open -- close --> Finished            Open -- finish --> Finished
//!      '--- reset, by it or by us --> Reset (both halves) <--'
//! ```

use super::super::queue::ReceiveQueue;
use super::super::{By, StreamId};
use alloc::vec::Vec;

/// The remote's half of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remote {
    Open,
    Finished,
    /// Both halves are over.
    Reset {
        by: By,
        code: u32,
    },
}

/// A stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    pub(super) queue: ReceiveQueue,
    pub(super) remote: Remote,
    /// We send no more.
    pub(super) finished: bool,
    /// The application has read the remote's end.
    pub(super) read_to_end: bool,
    /// The next bytes are news: the application was told of none, or found nothing.
    pub(super) wants_readable: bool,
    /// A write was blocked, and the application was not told yet that it may go on.
    pub(super) wants_writable: bool,
    /// It is on the list of those to settle when the pass ends.
    pub(super) listed: bool,
}

impl Stream {
    pub(super) fn new(id: StreamId) -> Self {
        Stream {
            id,
            queue: ReceiveQueue::default(),
            remote: Remote::Open,
            finished: false,
            read_to_end: false,
            wants_readable: true,
            wants_writable: false,
            listed: false,
        }
    }

    /// Whether both halves are over on the wire.
    pub(super) fn is_silent(&self) -> bool {
        match self.remote {
            Remote::Open => false,
            Remote::Finished => self.finished,
            Remote::Reset { .. } => true,
        }
    }

    /// Both ends have finished, and the application knows.
    pub(super) const fn is_forgettable(&self) -> bool {
        self.finished && self.read_to_end
    }
}

/// The id of a stream: its number on the wire, and who opened it.
pub(super) const fn stream_id(wire: u64, opened_by_us: bool) -> StreamId {
    StreamId::new((wire << 1) | opened_by_us as u64)
}

/// What [`stream_id`] was made of.
pub(super) const fn wire_id(id: StreamId) -> (u64, bool) {
    (id.get() >> 1, id.get() & 1 == 1)
}

/// Streams, sorted by id: new ones nearly always come last.
#[derive(Debug, Default)]
pub(super) struct Streams(Vec<Stream>);

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, id: StreamId) -> Option<&Stream> {
        self.0.get(self.find(id).ok()?)
    }

    pub(super) fn get_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        let at = self.find(id).ok()?;
        self.0.get_mut(at)
    }

    /// Adds a stream, unless there is one with its id.
    pub(super) fn insert(&mut self, stream: Stream) {
        if let Err(at) = self.find(stream.id) {
            self.0.insert(at, stream);
        }
    }

    pub(super) fn remove(&mut self, id: StreamId) -> Option<Stream> {
        let at = self.find(id).ok()?;
        let stream = self.0.remove(at);
        if self.0.len() < self.0.capacity() / 4 {
            self.0.shrink_to(self.0.len() * 2);
        }
        Some(stream)
    }

    pub(super) fn memory_used(&self) -> usize {
        self.0.capacity() * size_of::<Stream>() + self.0.iter().map(|s| s.queue.memory_used()).sum::<usize>()
    }

    fn find(&self, id: StreamId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&id, |stream| stream.id)
    }
}

/// Which ids the remote has used: the highest, and which of those just below it.
///
/// A stream id must not come back ("Reusing a stream ID after closing a stream may result in undefined behaviour", mplex
/// spec, "Opening a new stream"), and remembering all of them is no option. Peers count upwards, but may put a few out of
/// order on the wire; so ids near the highest are told apart, and lower ones count as used.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UsedIds {
    /// One above the highest id; 0: none.
    next: u64,
    /// Bit n: id `next - 1 - n` was used.
    below: u128,
}

impl UsedIds {
    /// Marks `id` as used. Returns whether it is new.
    pub(super) fn mark(&mut self, id: u64) -> bool {
        if id >= self.next {
            let shift = u32::try_from(id + 1 - self.next).unwrap_or(u32::MAX);
            self.below = self.below.checked_shl(shift).unwrap_or(0) | 1;
            self.next = id + 1;
            return true;
        }
        let bit = u32::try_from(self.next - 1 - id).ok().and_then(|back| 1u128.checked_shl(back)).unwrap_or(0);
        let new = bit != 0 && self.below & bit == 0;
        self.below |= bit;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn an_id_is_new_once() {
        let mut used = UsedIds::default();
        let mut seen = BTreeSet::new();
        let mut x = 1u64;
        for _ in 0..20_000 {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let near = seen.last().copied().unwrap_or(0u64) + 8;
            let id = near.saturating_sub((x >> 33) % 64);
            assert_eq!(used.mark(id), seen.insert(id), "{id}");
        }
    }

    #[test]
    fn an_id_far_below_the_highest_counts_as_used() {
        let mut used = UsedIds::default();
        assert!(used.mark(1000));
        assert!(used.mark(1000 - 127));
        assert!(!used.mark(1000 - 128));
        assert!(used.mark(super::super::frame::MAX_ID));
        assert!(!used.mark(1001));
    }

    #[test]
    fn a_stream_id_says_who_opened_the_stream() {
        for (wire, ours) in [(0, false), (0, true), (5, false), ((1 << 60) - 1, true)] {
            assert_eq!(wire_id(stream_id(wire, ours)), (wire, ours));
        }
    }
}
