//! Requests that wait for the application's word.

use super::Asked;
use super::book::tree_bytes;
use crate::{ConnectionId, StreamKey};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use tidewire_core::Time;

/// The questions that are open.
pub(super) struct Questions {
    open: BTreeMap<StreamKey, Question>,
    times: BTreeSet<(Time, StreamKey)>,
}

/// One of them.
#[derive(Clone, Copy)]
pub(super) struct Question {
    pub(super) asked: Asked,
    /// The slot in the book of who asks.
    pub(super) peer: u32,
    until: Time,
}

impl Questions {
    pub(super) const fn new() -> Self {
        Questions { open: BTreeMap::new(), times: BTreeSet::new() }
    }

    pub(super) fn add(&mut self, stream: StreamKey, asked: Asked, peer: u32, until: Time) {
        self.open.insert(stream, Question { asked, peer, until });
        self.times.insert((until, stream));
    }

    pub(super) fn remove(&mut self, stream: StreamKey) -> Option<Question> {
        let question = self.open.remove(&stream)?;
        self.times.remove(&(question.until, stream));
        Some(question)
    }

    pub(super) fn contains(&self, stream: StreamKey) -> bool {
        self.open.contains_key(&stream)
    }

    /// The streams of a connection that have one.
    pub(super) fn on(&self, connection: ConnectionId) -> Vec<StreamKey> {
        self.open.range(StreamKey::of(connection)).map(|(stream, _)| *stream).collect()
    }

    pub(super) fn streams(&self) -> Vec<StreamKey> {
        self.open.keys().copied().collect()
    }

    /// Whose time is next.
    pub(super) fn next(&self) -> Option<(Time, StreamKey)> {
        self.times.first().copied()
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.open.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn memory_used(&self) -> usize {
        tree_bytes::<(StreamKey, Question)>(self.open.len()) + tree_bytes::<(Time, StreamKey)>(self.times.len())
    }
}
