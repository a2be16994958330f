//! What a server of either version keeps of those who ask: how far each is, until when it waits, and which dial is for whom.
//!
//! ```text
//!   insert --> enter, with the next step and its time --> finish: answered, gone, or its time is over
//!                '-- a step that dials has an attempt, which leads back to the request
//! ```

use crate::{DialBackId, StreamKey};
use alloc::collections::{BTreeMap, BTreeSet};
use core::net::IpAddr;
use tidewire_core::{PeerId, Time};

/// What the caller of a server did wrong. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerMisuse {
    /// The stream was told before, and is not gone.
    #[error("stream {stream} is being served already")]
    Twice {
        /// The stream given.
        stream: StreamKey,
    },
    /// The stream is not being served: it never was let in, is answered, or gone.
    #[error("stream {stream} is not being served")]
    UnknownStream {
        /// The stream given.
        stream: StreamKey,
    },
    /// The stream does not wait for such a request.
    #[error("stream {stream} does not wait for this request")]
    OtherRequest {
        /// The stream given.
        stream: StreamKey,
    },
    /// The dial was never asked for, was reported, or is cancelled. Harmless where a cancellation crossed a result.
    #[error("{attempt} is not a dial that is waited for")]
    UnknownAttempt {
        /// The number given.
        attempt: DialBackId,
    },
    /// So many actions wait to be polled.
    #[error("{waiting} actions wait to be polled; poll them first")]
    Unpolled {
        /// The configuration's `max_unpolled`.
        waiting: u32,
    },
}

/// How far a request is.
pub(super) trait Step {
    /// The dial that it waits for.
    fn attempt(&self) -> Option<DialBackId>;

    /// Bytes on the heap.
    fn memory_used(&self) -> usize;
}

/// One who asks.
pub(super) struct Serving<S> {
    pub(super) peer: PeerId,
    /// Where it comes from.
    pub(super) ip: IpAddr,
    pub(super) step: S,
    /// When the step is over.
    pub(super) until: Time,
}

/// All who ask.
pub(super) struct Requests<S> {
    all: BTreeMap<StreamKey, Serving<S>>,
    attempts: BTreeMap<DialBackId, StreamKey>,
    timers: BTreeSet<(Time, StreamKey)>,
    next_attempt: u64,
}

impl<S: Step> Requests<S> {
    pub(super) const fn new() -> Self {
        Requests { all: BTreeMap::new(), attempts: BTreeMap::new(), timers: BTreeSet::new(), next_attempt: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Nobody asks, and nothing is left of those who did.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.attempts.is_empty() && self.timers.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (StreamKey, &Serving<S>)> {
        self.all.iter().map(|(stream, serving)| (*stream, serving))
    }

    /// # Errors
    /// It is not being served.
    pub(super) fn get(&self, stream: StreamKey) -> Result<&Serving<S>, ServerMisuse> {
        self.all.get(&stream).ok_or(ServerMisuse::UnknownStream { stream })
    }

    /// # Errors
    /// It is being served.
    pub(super) fn check_new(&self, stream: StreamKey) -> Result<(), ServerMisuse> {
        if self.all.contains_key(&stream) { Err(ServerMisuse::Twice { stream }) } else { Ok(()) }
    }

    pub(super) fn insert(&mut self, stream: StreamKey, serving: Serving<S>) {
        self.timers.insert((serving.until, stream));
        self.all.insert(stream, serving);
    }

    /// The number of a dial for this request; [`enter`](Self::enter) a step that has it.
    pub(super) fn attempt(&mut self, stream: StreamKey) -> DialBackId {
        let attempt = DialBackId(self.next_attempt);
        self.next_attempt = self.next_attempt.wrapping_add(1);
        self.attempts.insert(attempt, stream);
        attempt
    }

    /// A dial is over: for whom it was.
    ///
    /// # Errors
    /// Nobody waits for it.
    pub(super) fn attempted(&mut self, attempt: DialBackId) -> Result<StreamKey, ServerMisuse> {
        self.attempts.remove(&attempt).ok_or(ServerMisuse::UnknownAttempt { attempt })
    }

    pub(super) fn enter(&mut self, stream: StreamKey, step: S, until: Time) {
        let Some(serving) = self.all.get_mut(&stream) else { return };
        self.timers.remove(&(serving.until, stream));
        (serving.step, serving.until) = (step, until);
        self.timers.insert((until, stream));
    }

    /// It is answered, or gone.
    pub(super) fn finish(&mut self, stream: StreamKey) -> Option<Serving<S>> {
        let serving = self.all.remove(&stream)?;
        self.timers.remove(&(serving.until, stream));
        if let Some(attempt) = serving.step.attempt() {
            self.attempts.remove(&attempt);
        }
        Some(serving)
    }

    /// Whose time is over.
    pub(super) fn overdue(&self, now: Time) -> Option<StreamKey> {
        self.timers.first().filter(|(until, _)| *until <= now).map(|(_, stream)| *stream)
    }

    pub(super) fn deadline(&self) -> Time {
        self.timers.first().map_or(Time::NEVER, |(until, _)| *until)
    }

    pub(super) fn memory_used(&self) -> usize {
        // The trees' nodes are taken to be two thirds full, as random insertion leaves them.
        let each = size_of::<StreamKey>() * 3 + size_of::<Serving<S>>() + size_of::<Time>() + size_of::<DialBackId>();
        self.all.len() * each / 2 * 3 + self.all.values().map(|serving| serving.step.memory_used()).sum::<usize>()
    }
}

/// One more.
pub(super) fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}
