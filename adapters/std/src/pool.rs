//! Receive buffers that wait for the next connection that has something to read, and the clock of an endpoint.

use bytes::BytesMut;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tidewire_core::Time;

/// Capacity of a receive buffer: two records of Noise, of at most 64 KiB each, so that one can be opened while the next
/// arrives.
pub(crate) const BUFFER: usize = 128 * 1024;

/// Buffers kept: with more connections busy at once, some allocate.
const KEPT: usize = 8;

/// Receive buffers, shared by an endpoint's connections.
#[derive(Debug, Default)]
pub(crate) struct Pool(Mutex<Vec<BytesMut>>);

impl Pool {
    /// An empty buffer.
    pub(crate) fn take(&self) -> BytesMut {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| BytesMut::with_capacity(BUFFER))
    }

    /// Takes a buffer back, unless a stream still holds a slice of it.
    pub(crate) fn give(&self, mut buffer: BytesMut) {
        buffer.clear();
        if buffer.capacity() > 0 && buffer.try_reclaim(BUFFER) {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < KEPT {
                kept.push(buffer);
            }
        }
    }
}

/// Counts from the moment when the endpoint was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn new() -> Self {
        Clock(Instant::now())
    }

    pub(crate) fn now(self) -> Time {
        Time::ZERO + self.0.elapsed()
    }

    /// How long until then; `None`: for ever.
    pub(crate) fn until(self, moment: Time) -> Option<Duration> {
        (!moment.is_never()).then(|| moment.since(self.now()))
    }
}
