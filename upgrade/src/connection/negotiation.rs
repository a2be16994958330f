//! The streams of a connection whose protocol is not settled yet.
//!
//! ```text
//!            our proposals              agreed, nothing left over
//!  Dialing ------------------> answer ---------------------------> forgotten: a plain stream
//!  Listening <-- proposals --    |  agreed, data behind the answer
//!                                +--------> Head --read--> forgotten
//!                                |  refused, timed out
//!                                +--------> Failed --read, reset--> forgotten      (only of our own streams)
//! ```
//! Spec: libp2p/specs connections/README.md, "Protocol Negotiation": each stream is negotiated with multistream-select.

use crate::muxer::{By, StreamId};
use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::BytesMut;
use tidewire_core::{Machine, Time};
use tidewire_multistream::{self as multistream, Dialer, Listener, Protocol, RouteId};

/// A stream that is not a plain one.
#[derive(Debug)]
pub(super) enum Negotiation {
    /// The machine is at work.
    Running(Box<Running>),
    /// Agreed; this came behind the answer and is to be read first.
    Head(BytesMut),
    /// Refused; the application has yet to hear of it.
    Failed(Box<multistream::Error>),
}

#[derive(Debug)]
pub(super) struct Running {
    machine: Side,
    rx: BytesMut,
    /// What the stream had no room for yet.
    tx: BytesMut,
    /// The application has finished the stream before there was an answer.
    pub(super) finish: bool,
    /// The remote has finished its side.
    pub(super) ended: bool,
    /// Agreed; the answer waits for room in the stream.
    pub(super) settled: Option<Settled>,
}

#[derive(Debug)]
enum Side {
    Dialer(Dialer),
    Listener(Listener),
}

/// Pieces shorter than this don't keep the receive buffer that they came in, once a pass is over; as in the
/// queues of the multiplexers.
const COPIED: usize = 16 * 1024;

/// What a negotiation came to.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) protocol: Protocol,
    pub(super) route: Option<RouteId>,
    pub(super) head: BytesMut,
}

impl Running {
    pub(super) fn dialing(dialer: Dialer) -> Box<Running> {
        Running::new(Side::Dialer(dialer))
    }

    pub(super) fn listening(listener: Listener) -> Box<Running> {
        Running::new(Side::Listener(listener))
    }

    fn new(machine: Side) -> Box<Running> {
        Box::new(Running {
            machine,
            rx: BytesMut::new(),
            tx: BytesMut::new(),
            finish: false,
            ended: false,
            settled: None,
        })
    }

    pub(super) fn by(&self) -> By {
        match self.machine {
            Side::Dialer(_) => By::Us,
            Side::Listener(_) => By::Remote,
        }
    }

    /// Whether the application may write before there is an answer.
    pub(super) fn may_write(&self) -> bool {
        let Side::Dialer(dialer) = &self.machine else { return false };
        dialer.may_write() && self.tx.is_empty()
    }

    /// What waits to be written to the stream.
    pub(super) fn tx(&mut self) -> &mut BytesMut {
        &mut self.tx
    }

    /// Adds what was read from the stream.
    fn receive(&mut self, piece: BytesMut) {
        if self.rx.is_empty() {
            self.rx = piece;
        } else {
            self.rx.extend_from_slice(&piece);
        }
    }

    /// Goes as far as the bytes and the time allow.
    pub(super) fn advance(&mut self, now: Time) -> Result<Option<Settled>, multistream::Error> {
        let Running { machine, rx, tx, ended, .. } = self;
        let agreed = match machine {
            Side::Dialer(dialer) => dialer.advance_or_end(now, rx, tx, *ended)?.map(|agreed| (agreed.protocol, None)),
            Side::Listener(listener) => {
                listener.advance_or_end(now, rx, tx, *ended)?.map(|accepted| (accepted.protocol, Some(accepted.route)))
            }
        };
        Ok(agreed.map(|(protocol, route)| Settled { protocol, route, head: core::mem::take(rx) }))
    }

    pub(super) fn deadline(&self) -> Time {
        match &self.machine {
            Side::Dialer(dialer) => dialer.deadline(),
            Side::Listener(listener) => listener.deadline(),
        }
    }

    fn memory_used(&self) -> usize {
        size_of::<Running>() + self.rx.capacity() + self.tx.capacity()
    }
}

/// The streams that are not plain ones, by id.
#[derive(Debug, Default)]
pub(super) struct Negotiations {
    /// Sorted. Few at a time: a stream leaves when it is settled.
    entries: Vec<(StreamId, Negotiation)>,
    /// Not later than the first deadline among them.
    deadline: Option<Time>,
    /// Pieces came in this pass.
    fresh: bool,
}

impl Negotiations {
    /// How many streams of this end there are.
    pub(super) fn count(&self, by: By) -> usize {
        let ours = |entry: &&(StreamId, Negotiation)| match &entry.1 {
            Negotiation::Running(running) => running.by() == by,
            Negotiation::Head(_) => false,
            Negotiation::Failed(_) => by == By::Us,
        };
        self.entries.iter().filter(ours).count()
    }

    pub(super) fn get_mut(&mut self, id: StreamId) -> Option<&mut Negotiation> {
        if self.entries.is_empty() {
            return None;
        }
        let at = self.find(id).ok()?;
        self.entries.get_mut(at).map(|entry| &mut entry.1)
    }

    pub(super) fn running_mut(&mut self, id: StreamId) -> Option<&mut Running> {
        match self.get_mut(id)? {
            Negotiation::Running(running) => Some(running),
            Negotiation::Head(_) | Negotiation::Failed(_) => None,
        }
    }

    pub(super) fn is_running(&self, id: StreamId) -> bool {
        let entry = self.find(id).ok().and_then(|at| self.entries.get(at));
        matches!(entry, Some((_, Negotiation::Running(_))))
    }

    /// Adds what was read from a stream in negotiation.
    pub(super) fn receive(&mut self, id: StreamId, piece: BytesMut) {
        if let Some(running) = self.running_mut(id) {
            running.receive(piece);
            self.fresh = true;
        }
    }

    /// Ends the pass: what is still unread must not pin the receive buffer.
    pub(super) fn settle(&mut self) {
        if !core::mem::take(&mut self.fresh) {
            return;
        }
        for (_, negotiation) in &mut self.entries {
            let piece = match negotiation {
                Negotiation::Running(running) => &mut running.rx,
                Negotiation::Head(head) => head,
                Negotiation::Failed(_) => continue,
            };
            if piece.len() < COPIED && piece.capacity() > 0 {
                *piece = BytesMut::from(&piece[..]);
            }
        }
    }

    pub(super) fn insert(&mut self, id: StreamId, negotiation: Negotiation) {
        if let Negotiation::Running(running) = &negotiation {
            let deadline = running.deadline();
            self.deadline = Some(self.deadline.map_or(deadline, |first| first.min(deadline)));
        }
        match self.find(id) {
            Ok(at) => {
                if let Some(entry) = self.entries.get_mut(at) {
                    entry.1 = negotiation;
                }
            }
            Err(at) => self.entries.insert(at, (id, negotiation)),
        }
    }

    pub(super) fn remove(&mut self, id: StreamId) -> Option<Negotiation> {
        let at = self.find(id).ok()?;
        let (_, negotiation) = self.entries.remove(at);
        if self.entries.is_empty() {
            *self = Negotiations::default();
        }
        Some(negotiation)
    }

    pub(super) fn deadline(&self) -> Time {
        self.deadline.unwrap_or(Time::NEVER)
    }

    /// A stream whose time is up. `None`: no one's; then the deadline is exact again.
    pub(super) fn expired(&mut self, now: Time) -> Option<StreamId> {
        if now < self.deadline() {
            return None;
        }
        let mut first = None;
        for (id, negotiation) in &self.entries {
            let Negotiation::Running(running) = negotiation else { continue };
            let deadline = running.deadline();
            if deadline <= now {
                return Some(*id);
            }
            first = Some(first.map_or(deadline, |first: Time| first.min(deadline)));
        }
        self.deadline = first;
        None
    }

    pub(super) fn memory_used(&self) -> usize {
        let inside = |entry: &(StreamId, Negotiation)| match &entry.1 {
            Negotiation::Running(running) => running.memory_used(),
            Negotiation::Head(head) => head.capacity(),
            Negotiation::Failed(_) => size_of::<multistream::Error>(),
        };
        self.entries.capacity() * size_of::<(StreamId, Negotiation)>() + self.entries.iter().map(inside).sum::<usize>()
    }

    fn find(&self, id: StreamId) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&id, |entry| entry.0)
    }
}
