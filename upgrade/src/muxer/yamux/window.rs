//! When to give credit back, and how much: yamux spec, "Flow Control".
//!
//! Credit goes out in halves of the window, so that the frames that carry it do not depend on how the data was cut, and
//! that a sender who keeps a full window on its way never stands still. A window doubles when half of it was used up in
//! less than two round trips: then it, and not the application, bounds the rate. All windows share one budget.

use super::stream::{NARROW, Stream};
use core::time::Duration;
use tidewire_core::Time;

/// The budget, and the round trip that growth is measured by.
#[derive(Debug)]
pub(super) struct Windows {
    /// All windows together.
    limit: u64,
    used: u64,
    /// Largest window of one stream.
    max: u32,
    /// Of one that is to stay narrow.
    max_narrow: u32,
}

impl Windows {
    pub(super) const fn new(limit: u64, max: u32, max_narrow: u32) -> Self {
        Windows { limit, used: 0, max, max_narrow }
    }

    /// Largest window of this stream.
    const fn max(&self, stream: &Stream) -> u32 {
        if stream.is(NARROW) { self.max_narrow } else { self.max }
    }

    /// Takes `window` bytes of the budget, if they are left.
    pub(super) const fn reserve(&mut self, window: u32) -> bool {
        let used = self.used.saturating_add(window as u64);
        let fits = used <= self.limit;
        if fits {
            self.used = used;
        }
        fits
    }

    /// Gives `window` bytes back.
    pub(super) const fn release(&mut self, window: u32) {
        self.used = self.used.saturating_sub(window as u64);
    }

    /// Whether what the application has read on `stream` has come to half a window.
    pub(super) const fn owes_credit(stream: &Stream) -> bool {
        stream.read >= stream.window / 2
    }

    /// The next credit that we owe the remote on `stream`; `None`: not half a window yet. Call again until `None`.
    pub(super) fn next_credit(&mut self, stream: &mut Stream, now: Time, rtt: Option<Duration>) -> Option<u32> {
        if !Windows::owes_credit(stream) {
            return None;
        }
        let half = stream.window / 2;
        stream.read -= half;
        let mut credit = half;
        let fast = rtt.is_some_and(|rtt| now.since(stream.credited) < rtt * 2);
        let more = stream.window.min(self.max(stream).saturating_sub(stream.window));
        if fast && more > 0 && self.reserve(more) {
            stream.window += more;
            credit += more;
        }
        stream.credited = now;
        stream.remote_credit = stream.remote_credit.saturating_add(credit);
        Some(credit)
    }

    #[cfg(test)]
    pub(super) const fn is_unused(&self) -> bool {
        self.used == 0
    }

    /// Whether it is time to learn the round trip: the remote has used half of a window that may grow.
    pub(super) const fn needs_rtt(&self, stream: &Stream) -> bool {
        stream.window < self.max(stream) && stream.remote_credit <= stream.window / 2
    }
}
