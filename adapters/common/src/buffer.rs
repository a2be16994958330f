//! Buffers that connections share: who has bytes to move takes one, who has none gives it back.

use bytes::BytesMut;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of a buffer: two records of Noise at their longest, so that one is whole while the next arrives.
const SIZE: usize = 256 * 1024;

/// Buffers that are kept for later, at most. Further ones are freed.
const KEPT: usize = 64;

/// How many more are kept than are used: after a burst the others are freed.
const IDLE: usize = 16;

/// How many of the kept ones are looked at, beside the last one, for one that nobody reads from any more.
const TRIES: usize = 4;

/// Buffers that nobody uses now, and how many are used.
#[derive(Debug, Default)]
pub struct Pool {
    /// The one that came back first stands first: it is the likeliest to be free. The last one is the likeliest to be in the
    /// processor's caches.
    kept: Mutex<VecDeque<BytesMut>>,
    lent: AtomicUsize,
}

/// A buffer, or none. Goes back to its pool when it is dropped.
#[derive(Debug, Default)]
pub struct Buffer {
    /// What is in it.
    pub bytes: BytesMut,
    /// How much of it was sent.
    sent: usize,
    pool: Option<Arc<Pool>>,
}

impl Pool {
    /// Buffers that are in use.
    pub fn lent(&self) -> usize {
        self.lent.load(Ordering::Relaxed)
    }

    fn take(&self) -> BytesMut {
        self.lent.fetch_add(1, Ordering::Relaxed);
        let mut kept = lock(&self.kept);
        // Received data is handed out without a copy: a buffer comes back before the last of it was read.
        for first in [true].into_iter().chain([false; TRIES]) {
            let Some(mut buffer) = (if first { kept.pop_back() } else { kept.pop_front() }) else { break };
            if buffer.try_reclaim(SIZE) {
                return buffer;
            }
            kept.push_back(buffer);
        }
        drop(kept);
        BytesMut::with_capacity(SIZE)
    }

    fn give(&self, mut buffer: BytesMut) {
        let lent = self.lent.fetch_sub(1, Ordering::Relaxed) - 1;
        buffer.clear();
        let mut kept = lock(&self.kept);
        kept.push_back(buffer);
        // Freed outside of the lock.
        let surplus = kept.len().saturating_sub(KEPT.min(lent + IDLE));
        let freed: Vec<_> = kept.drain(..surplus).collect();
        drop(kept);
        drop(freed);
    }
}

impl Buffer {
    /// Takes memory from the pool, if there is none yet.
    pub fn fill(&mut self, pool: &Arc<Pool>) {
        if self.pool.is_none() && self.bytes.capacity() == 0 {
            *self = Buffer { bytes: pool.take(), sent: 0, pool: Some(pool.clone()) };
        }
    }

    /// Makes room for `room` more bytes, in this buffer or in another one.
    pub fn make_room(&mut self, room: usize, pool: &Arc<Pool>) {
        self.fill(pool);
        if self.bytes.capacity() - self.bytes.len() < room && !self.bytes.try_reclaim(room) {
            let mut fresh = Buffer::default();
            fresh.fill(pool);
            fresh.bytes.extend_from_slice(&self.bytes);
            *self = fresh;
        }
    }

    /// Adds what one read of at most `room` bytes gives, and says how much that was.
    ///
    /// # Errors
    /// As the read.
    pub fn read_from(&mut self, mut source: impl Read, room: usize, pool: &Arc<Pool>) -> io::Result<usize> {
        self.make_room(room, pool);
        let before = self.bytes.len();
        self.bytes.resize(before + room, 0);
        let result = source.read(self.bytes.get_mut(before..).unwrap_or_default());
        self.bytes.truncate(before + *result.as_ref().unwrap_or(&0));
        result
    }

    /// What is still to be sent of it.
    pub fn unsent(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    /// So many of the unsent bytes were sent, or are not going to be. Without any it is empty.
    pub fn advance(&mut self, count: usize) {
        self.sent = self.sent.saturating_add(count);
        if self.sent >= self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        }
    }

    /// Gives the memory back, if nothing is in it.
    pub fn rest(&mut self) {
        if self.bytes.is_empty() && self.bytes.capacity() > 0 {
            *self = Buffer::default();
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.give(std::mem::take(&mut self.bytes));
        }
    }
}

/// Nothing that is locked here can be left half done by a panic.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn kept(pool: &Pool) -> usize {
        lock(&pool.kept).len()
    }

    #[test]
    fn after_a_burst_a_pool_keeps_some_buffers_and_frees_the_rest() {
        let pool = Arc::new(Pool::default());
        let mut all: Vec<Buffer> = (0..2 * KEPT).map(|_| Buffer::default()).collect();
        all.iter_mut().for_each(|buffer| buffer.fill(&pool));
        assert_eq!((pool.lent(), kept(&pool)), (2 * KEPT, 0));
        all.truncate(KEPT);
        assert_eq!((pool.lent(), kept(&pool)), (KEPT, KEPT));
        drop(all);
        assert_eq!((pool.lent(), kept(&pool)), (0, IDLE));
        let mut again = Buffer::default();
        again.fill(&pool);
        assert_eq!(kept(&pool), IDLE - 1, "one that was kept is used again");
    }

    #[test]
    fn the_buffer_that_came_back_last_is_used_next_unless_somebody_still_reads_from_it() {
        let pool = Arc::new(Pool::default());
        let [mut one, mut other] = <[Buffer; 2]>::default();
        let at = |buffer: &Buffer| buffer.bytes.as_ptr();
        one.fill(&pool);
        other.fill(&pool);
        let (first, last) = (at(&one), at(&other));
        drop((one, other));
        let mut buffer = Buffer::default();
        buffer.fill(&pool);
        assert_eq!(at(&buffer), last);
        buffer.bytes.extend_from_slice(b"unread");
        let _unread = buffer.bytes.split_to(6);
        drop(buffer);
        let mut buffer = Buffer::default();
        buffer.fill(&pool);
        assert_eq!(at(&buffer), first);
    }

    #[test]
    fn what_is_sent_in_pieces_is_sent_whole_and_leaves_an_empty_buffer() {
        let mut buffer = Buffer::default();
        buffer.bytes.extend_from_slice(b"abcdef");
        buffer.advance(4);
        assert_eq!(buffer.unsent(), b"ef");
        buffer.bytes.extend_from_slice(b"gh");
        assert_eq!(buffer.unsent(), b"efgh");
        buffer.advance(4);
        assert!(buffer.unsent().is_empty() && buffer.bytes.is_empty());
        buffer.bytes.extend_from_slice(b"next");
        assert_eq!(buffer.unsent(), b"next");
        buffer.advance(usize::MAX);
        assert!(buffer.bytes.is_empty());
    }

    #[test]
    fn a_buffer_reads_behind_what_is_in_it() {
        let pool = Arc::new(Pool::default());
        let (mut buffer, mut source) = (Buffer::default(), &b"abcdef"[..]);
        assert_eq!(buffer.read_from(&mut source, 4, &pool).unwrap(), 4);
        assert_eq!(buffer.read_from(&mut source, 4, &pool).unwrap(), 2);
        assert_eq!(buffer.read_from(&mut source, 4, &pool).unwrap(), 0);
        assert_eq!(buffer.bytes, b"abcdef"[..]);
    }
}
