//! The application's streams on a link: whom the host admitted, and which are over.

use super::asks::Circuit;
use super::few::Few;
use super::message::{Report, StreamEvent};
use crate::{Direction, OpenId, StreamId};
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use tidewire_core::{PeerId, Time};
use tidewire_multistream::{Protocol, RouteId};
use tidewire_upgrade::muxer;

/// What is known of a stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) stage: Stage,
    /// We sent our end.
    pub(super) finished: bool,
    /// The remote's end was read, or there was a reset.
    pub(super) ended: bool,
    /// The application let go of it, and until when the remote may end its side.
    pub(super) left: Option<Time>,
    /// It ended before the application had it: the host is told once it has.
    pub(super) early: bool,
    /// The host was told of its end.
    pub(super) told: bool,
    /// It is a circuit.
    pub(super) circuit: Option<Box<Circuit>>,
}

/// How far it is.
#[derive(Debug)]
pub(super) enum Stage {
    /// We proposed, and wait for the answer.
    Proposed(OpenId),
    /// The host was told of it.
    Reported(Who),
    /// The application has it.
    Admitted,
}

/// Who is to have it.
#[derive(Debug)]
pub(super) enum Who {
    Asked(OpenId, Protocol),
    Served(RouteId, Protocol),
}

impl Stream {
    pub(super) fn new(stage: Stage) -> Self {
        Stream { stage, finished: false, ended: false, left: None, early: false, told: false, circuit: None }
    }
}

/// All of one link.
#[derive(Debug, Default)]
pub(super) struct Streams {
    all: Few<Stream>,
    /// Those that were left, by the time that the remote has.
    leaving: BTreeSet<(Time, muxer::StreamId)>,
}

impl Streams {
    pub(super) fn get(&self, id: muxer::StreamId) -> Option<&Stream> {
        self.all.get(id)
    }

    pub(super) fn get_mut(&mut self, id: muxer::StreamId) -> Option<&mut Stream> {
        self.all.get_mut(id)
    }

    /// What is known of it as a circuit.
    pub(super) fn circuit(&mut self, id: muxer::StreamId) -> Option<&mut Circuit> {
        self.all.get_mut(id)?.circuit.as_deref_mut()
    }

    /// The application let go of it. The first time counts.
    pub(super) fn leave(&mut self, id: muxer::StreamId, until: Time) {
        if let Some(known) = self.all.get_mut(id)
            && known.left.is_none()
        {
            known.left = Some(until);
            self.leaving.insert((until, id));
        }
    }

    /// One that was left, and whose time is over.
    pub(super) fn overdue(&self, now: Time) -> Option<muxer::StreamId> {
        self.leaving.first().filter(|(until, _)| *until <= now).map(|(_, id)| *id)
    }

    pub(super) fn deadline(&self) -> Time {
        self.leaving.first().map_or(Time::NEVER, |(until, _)| *until)
    }

    pub(super) fn insert(&mut self, id: muxer::StreamId, stream: Stream) {
        self.all.insert(id, stream);
    }

    pub(super) fn remove(&mut self, id: muxer::StreamId) -> Option<Stream> {
        let known = self.all.remove(id)?;
        if let Some(until) = known.left {
            self.leaving.remove(&(until, id));
        }
        if self.leaving.is_empty() {
            // The tree would keep its first node, on every idle link.
            self.leaving = BTreeSet::new();
        }
        Some(known)
    }

    /// Whether the application has it.
    pub(super) fn is_admitted(&self, id: muxer::StreamId) -> bool {
        self.all.get(id).is_some_and(|stream| matches!(stream.stage, Stage::Admitted))
    }

    pub(super) fn any_admitted(&self) -> bool {
        self.all.iter().any(|(_, stream)| matches!(stream.stage, Stage::Admitted))
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = muxer::StreamId> {
        self.all.iter().map(|(id, _)| id)
    }

    /// Those that the application has.
    pub(super) fn admitted(&self) -> impl Iterator<Item = muxer::StreamId> {
        let has = |stream: &Stream| matches!(stream.stage, Stage::Admitted) && stream.left.is_none();
        self.all.iter().filter(move |(_, stream)| has(stream)).map(|(id, _)| id)
    }

    /// The stream of a wish that is not fulfilled yet.
    pub(super) fn of_open(&self, open: OpenId) -> Option<muxer::StreamId> {
        let wanted = |stream: &Stream| match &stream.stage {
            Stage::Proposed(id) | Stage::Reported(Who::Asked(id, _)) => *id == open,
            _ => false,
        };
        self.all.iter().find(|(_, stream)| wanted(stream)).map(|(id, _)| id)
    }

    /// Takes all streams out that were asked for and not handed out yet: they will not be. Says whose they were.
    pub(super) fn unanswered(&mut self) -> Vec<OpenId> {
        let mut wishes = Vec::new();
        self.all.retain(|stream| match &stream.stage {
            Stage::Proposed(open) | Stage::Reported(Who::Asked(open, _)) => {
                wishes.push(*open);
                false
            }
            _ => true,
        });
        wishes
    }

    /// What the host is told of a stream whose protocol is settled.
    pub(super) fn reported(&mut self, id: muxer::StreamId, who: Who) -> Report {
        let stream = StreamId(id.get());
        let report = match &who {
            Who::Asked(open, protocol) => {
                let (direction, open) = (Direction::Outbound, Some(*open));
                Report::StreamOpened { stream, direction, protocol: protocol.clone(), open }
            }
            Who::Served(_, protocol) => {
                let direction = Direction::Inbound;
                Report::StreamOpened { stream, direction, protocol: protocol.clone(), open: None }
            }
        };
        let stage = Stage::Reported(who);
        match self.all.get_mut(id) {
            Some(known) => known.stage = stage,
            None => self.insert(id, Stream::new(stage)),
        }
        report
    }

    /// The application gets a stream, and whether it ended before. `None`: there is none that waits for it.
    pub(super) fn admit(&mut self, id: muxer::StreamId, peer: PeerId) -> Option<(StreamEvent, bool)> {
        let known = self.all.get_mut(id)?;
        if !matches!(known.stage, Stage::Reported(_)) {
            return None;
        }
        let stream = StreamId(id.get());
        let over = known.early;
        known.told |= over;
        match core::mem::replace(&mut known.stage, Stage::Admitted) {
            Stage::Reported(Who::Asked(open, protocol)) => Some((StreamEvent::Opened { open, stream, protocol }, over)),
            Stage::Reported(Who::Served(route, protocol)) => {
                Some((StreamEvent::Incoming { stream, peer, protocol, route }, over))
            }
            _ => None,
        }
    }

    pub(super) fn memory_used(&self) -> usize {
        let held: usize =
            self.all.iter().flat_map(|(_, stream)| &stream.circuit).map(|circuit| circuit.held.capacity()).sum();
        held + self.all.memory_used() + self.leaving.len() * size_of::<(Time, muxer::StreamId)>()
    }
}
