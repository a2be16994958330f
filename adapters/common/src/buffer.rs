//! Buffers that connections share: who has bytes to move takes one, who has none gives it back.

use bytes::BytesMut;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of a buffer: two records of Noise at their longest, so that one is whole while the next arrives.
const SIZE: usize = 256 * 1024;

/// Buffers that are kept for later. Further ones are freed.
const KEPT: usize = 64;

/// How many of the kept ones are looked at for one that nobody reads from any more.
const TRIES: usize = 4;

/// Buffers that nobody uses now, and how many are used.
#[derive(Debug, Default)]
pub struct Pool {
    /// The one that came back first stands first: it is the likeliest to be free.
    kept: Mutex<VecDeque<BytesMut>>,
    lent: AtomicUsize,
}

/// A buffer, or none. Goes back to its pool when it is dropped.
#[derive(Debug, Default)]
pub struct Buffer {
    /// What is in it.
    pub bytes: BytesMut,
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
        for _ in 0..TRIES.min(kept.len()) {
            let Some(mut buffer) = kept.pop_front() else { break };
            if buffer.try_reclaim(SIZE) {
                return buffer;
            }
            kept.push_back(buffer);
        }
        drop(kept);
        BytesMut::with_capacity(SIZE)
    }

    fn give(&self, mut buffer: BytesMut) {
        self.lent.fetch_sub(1, Ordering::Relaxed);
        buffer.clear();
        let mut kept = lock(&self.kept);
        if kept.len() < KEPT {
            kept.push_back(buffer);
        }
    }
}

impl Buffer {
    /// Takes memory from the pool, if there is none yet.
    pub fn fill(&mut self, pool: &Arc<Pool>) {
        if self.pool.is_none() && self.bytes.capacity() == 0 {
            *self = Buffer { bytes: pool.take(), pool: Some(pool.clone()) };
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
