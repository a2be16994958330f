//! The streams of the protocols inside a link: identify, identify/push and ping. No application sees them.
//!
//! ```text
//!  asked by the remote               asked by us
//!   identify  Asked, then Writing     identify  Reading
//!   push      Reading                 push      Writing
//!   ping      Echoing                 ping      Pinging, then Writing nothing; one stream a ping
//! ```

use super::message::Report;
use super::{LinkConfig, cut};
use crate::identify::{Card, IdentifyError, Identity, Reader};
use crate::ping::{Echo, Pinger};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;
use bytes::{Buf, BytesMut};
use core::time::Duration;
use tidewire_core::{Machine, Multiaddr, PeerId, Time};
use tidewire_multistream as multistream;
use tidewire_upgrade::connection::{Connection, ReadStreamError};
use tidewire_upgrade::muxer::StreamId;

/// What is done on a stream.
#[derive(Debug)]
enum Role {
    /// The remote asked who we are, and the host has yet to let the stream in: with it comes what we say by then.
    Asked {
        until: Time,
    },
    /// The message is in `out`; then we finish.
    Writing {
        until: Time,
    },
    Reading {
        reader: Box<Reader>,
        push: bool,
    },
    Echoing(Box<Echo>),
    Pinging(Box<Pinger>),
}

#[derive(Debug)]
struct Stream {
    role: Role,
    ours: bool,
    rx: BytesMut,
    /// What there was no room for yet.
    out: BytesMut,
    /// We ended our side.
    finished: bool,
    /// The remote ended its side.
    ended: bool,
}

/// Who opened a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opener {
    Us,
    Remote,
}

/// What became of a stream.
enum Outcome {
    Goes,
    /// It has yet to be ended, but this came of it.
    Tells(Report),
    /// Both ends are done, or it was reset.
    Over(Option<Report>),
}

/// All of one link.
#[derive(Debug, Default)]
pub(super) struct Inside {
    streams: BTreeMap<StreamId, Stream>,
    /// Pushes that the remote has in hand, and when the last one was added.
    pushes: u32,
    since: Time,
    /// Time for the remote to end its side of a stream that is done.
    linger: Duration,
}

impl Inside {
    pub(super) fn new(now: Time, config: &LinkConfig) -> Self {
        Inside { streams: BTreeMap::new(), pushes: config.push_burst, since: now, linger: config.write_timeout }
    }

    pub(super) fn has(&self, id: StreamId) -> bool {
        self.streams.contains_key(&id)
    }

    /// Who opened it.
    pub(super) fn opener(&self, id: StreamId) -> Option<Opener> {
        self.streams.get(&id).map(Stream::opener)
    }

    /// A stream is gone, and nobody has to be told.
    pub(super) fn forget(&mut self, id: StreamId) {
        self.remove(id);
    }

    /// Takes a stream out. A table that is empty again would keep the first node of its tree, 1 KiB on every idle link.
    fn remove(&mut self, id: StreamId) -> Option<Stream> {
        let stream = self.streams.remove(&id);
        if self.streams.is_empty() {
            self.streams = BTreeMap::new();
        }
        stream
    }

    fn count(&self, is: impl Fn(&Stream) -> bool) -> usize {
        self.streams.values().filter(|stream| is(stream)).count()
    }

    /// Whether the remote may have one more stream of any of these protocols.
    pub(super) fn has_room(&self, config: &LinkConfig) -> bool {
        self.count(|stream| !stream.ours) < config.max_inside
    }

    /// Whether a ping of ours is under way.
    pub(super) fn is_pinging(&self) -> bool {
        self.streams.values().any(|stream| matches!(stream.role, Role::Pinging(_)))
    }

    /// Whether this is a stream on which the answer to a ping of ours is to come.
    pub(super) fn was_pinging(&self, id: StreamId) -> bool {
        self.streams.get(&id).is_some_and(|stream| matches!(stream.role, Role::Pinging(_)))
    }

    /// Whether we are reading who the remote is.
    pub(super) fn is_identifying(&self) -> bool {
        self.streams.values().any(|stream| matches!(stream.role, Role::Reading { push: false, .. }))
    }

    fn insert(&mut self, id: StreamId, role: Role, ours: bool, out: BytesMut) {
        self.streams.insert(id, Stream { role, ours, rx: BytesMut::new(), out, finished: false, ended: false });
    }

    /// Says who we are: to a remote that asked, or of our own accord.
    pub(super) fn write_card(
        &mut self,
        id: StreamId,
        ours: bool,
        card: &Card,
        remote: Option<&Multiaddr>,
        until: Time,
    ) {
        let mut out = BytesMut::new();
        card.write(remote, &mut out);
        self.insert(id, Role::Writing { until }, ours, out);
    }

    /// The remote asks who we are.
    pub(super) fn asked(&mut self, id: StreamId, until: Time) {
        self.insert(id, Role::Asked { until }, false, BytesMut::new());
    }

    /// Until when this question of the remote is to be answered, if it is one.
    pub(super) fn is_asked(&self, id: StreamId) -> Option<Time> {
        match self.streams.get(&id).map(|stream| &stream.role) {
            Some(Role::Asked { until }) => Some(*until),
            _ => None,
        }
    }

    /// Reads who the remote is: the answer to our question.
    pub(super) fn identify(&mut self, now: Time, id: StreamId, peer: PeerId, config: &LinkConfig) {
        let reader = Box::new(Reader::new(&config.identify, peer, now));
        self.insert(id, Role::Reading { reader, push: false }, true, BytesMut::new());
    }

    /// Reads what the remote pushes, if it doesn't do so too often.
    pub(super) fn receive_push(&mut self, now: Time, id: StreamId, peer: PeerId, config: &LinkConfig) -> bool {
        let busy = self.streams.values().any(|stream| matches!(stream.role, Role::Reading { push: true, .. }));
        let interval = config.push_interval.max(Duration::from_millis(1));
        while self.pushes < config.push_burst && now.since(self.since) >= interval {
            self.pushes += 1;
            self.since = if self.pushes == config.push_burst { now } else { self.since + interval };
        }
        if busy || self.pushes == 0 {
            return false;
        }
        if self.pushes == config.push_burst {
            self.since = now;
        }
        self.pushes -= 1;
        let reader = Box::new(Reader::new(&config.identify, peer, now));
        self.insert(id, Role::Reading { reader, push: true }, false, BytesMut::new());
        true
    }

    pub(super) fn echo(&mut self, now: Time, id: StreamId, config: &LinkConfig) -> bool {
        let pings = self.count(|stream| matches!(stream.role, Role::Echoing(_)));
        if pings >= config.max_pings {
            return false;
        }
        self.insert(id, Role::Echoing(Box::new(Echo::new(&config.ping, now))), false, BytesMut::new());
        true
    }

    pub(super) fn ping(&mut self, now: Time, id: StreamId, payload: [u8; 32], config: &LinkConfig) {
        let mut out = BytesMut::new();
        let mut pinger = Box::new(Pinger::new(&config.ping));
        // A fresh one takes its first ping.
        let _ = pinger.start(now, payload, &mut out);
        self.insert(id, Role::Pinging(pinger), true, out);
    }

    /// The remote doesn't speak what we proposed.
    pub(super) fn refused(&mut self, id: StreamId, error: &multistream::Error) -> Option<Report> {
        match self.remove(id)?.role {
            Role::Reading { push: false, .. } => Some(Report::IdentifyFailed { why: cut(&error.to_string()) }),
            _ => None,
        }
    }

    /// The stream was reset.
    pub(super) fn reset(&mut self, id: StreamId) -> Option<Report> {
        let stream = self.remove(id)?;
        match stream.role {
            // Some peers reset the stream once they have said all: what is complete counts.
            Role::Reading { mut reader, push } => {
                let Stream { mut rx, .. } = stream;
                told(reader.settle(&mut rx), push)
            }
            _ => None,
        }
    }

    /// Lets a stream go as far as its bytes, the room to write and the time allow. Tells what came of it, and if it is over,
    /// who had opened it.
    pub(super) fn advance(
        &mut self,
        now: Time,
        id: StreamId,
        connection: &mut Connection,
        tx: &mut BytesMut,
    ) -> (Option<Report>, Option<Opener>) {
        let linger = now + self.linger;
        let Some(stream) = self.streams.get_mut(&id) else { return (None, None) };
        match stream.run(now, id, connection, tx, linger) {
            Outcome::Goes => (None, None),
            Outcome::Tells(report) => (Some(report), None),
            Outcome::Over(report) => {
                let opener = stream.opener();
                self.remove(id);
                (report, Some(opener))
            }
        }
    }

    pub(super) fn expired(&self, now: Time) -> Vec<StreamId> {
        self.streams.iter().filter(|(_, stream)| stream.deadline() <= now).map(|(id, _)| *id).collect()
    }

    /// A link has few such streams: a walk over them is O(1).
    pub(super) fn deadline(&self) -> Time {
        self.streams.values().map(Stream::deadline).min().unwrap_or(Time::NEVER)
    }

    pub(super) fn memory_used(&self) -> usize {
        let each = |stream: &Stream| {
            size_of::<(StreamId, Stream)>()
                + stream.rx.capacity()
                + stream.out.capacity()
                + match &stream.role {
                    Role::Reading { reader, .. } => size_of::<Reader>() + reader.memory_used(),
                    _ => 64,
                }
        };
        self.streams.values().map(each).sum()
    }
}

impl Stream {
    fn deadline(&self) -> Time {
        match &self.role {
            Role::Asked { until } | Role::Writing { until } => *until,
            Role::Reading { reader, .. } => reader.deadline(),
            Role::Echoing(echo) => echo.deadline(),
            Role::Pinging(pinger) => pinger.deadline(),
        }
    }

    fn opener(&self) -> Opener {
        if self.ours { Opener::Us } else { Opener::Remote }
    }

    fn run(
        &mut self,
        now: Time,
        id: StreamId,
        connection: &mut Connection,
        tx: &mut BytesMut,
        linger: Time,
    ) -> Outcome {
        if let Role::Asked { until } = self.role {
            if now < until {
                return Outcome::Goes;
            }
            self.leave(id, connection, tx);
            return Outcome::Over(None);
        }
        loop {
            self.write(id, connection, tx);
            // Whoever doesn't take our answers is not read on: its window closes.
            if !self.out.is_empty() && matches!(self.role, Role::Echoing(_)) && now < self.deadline() {
                return Outcome::Goes;
            }
            // After the end of both sides the connection knows nothing of it any more.
            let read = !self.ended
                && match connection.read(id, tx) {
                    Ok(Some(piece)) => {
                        self.rx.extend_from_slice(&piece);
                        true
                    }
                    Ok(None) => {
                        self.ended = true;
                        false
                    }
                    // An event will say so; but it has no more time than anything else.
                    Err(error) if error != ReadStreamError::Blocked && now < self.deadline() => return Outcome::Goes,
                    Err(_) => false,
                };
            let ended = self.ended;
            let done = match &mut self.role {
                Role::Writing { until } if now >= *until => Some(None),
                Role::Asked { .. } | Role::Writing { .. } => {
                    self.rx.clear();
                    (ended && self.finished).then_some(None)
                }
                Role::Reading { reader, push } => {
                    let push = *push;
                    // Advanced first: what is complete at the deadline counts, though the end came with it, too early.
                    let result = match reader.advance(now, &mut self.rx, &mut self.out) {
                        Ok(None) if ended => reader.end(now, &mut self.rx, &mut self.out),
                        result => result,
                    };
                    match result {
                        Ok(None) if ended => Some(None),
                        Ok(None) => None,
                        Ok(Some(identity)) => Some(told(Ok(Some(identity)), push)),
                        Err(error) => Some(told(Err(error), push)),
                    }
                }
                Role::Echoing(echo) => {
                    let result = echo.advance_or_end(now, &mut self.rx, &mut self.out, ended);
                    self.write(id, connection, tx);
                    match result {
                        Ok(_) if ended && self.rx.is_empty() && self.out.is_empty() => Some(None),
                        Ok(_) => None,
                        Err(_) => Some(None),
                    }
                }
                Role::Pinging(pinger) => match pinger.advance_or_end(now, &mut self.rx, &mut self.out, ended) {
                    Ok(Some(pong)) => {
                        // Ended as the spec has it: we end our side, the remote ends its own.
                        self.role = Role::Writing { until: linger };
                        self.rx = BytesMut::new();
                        self.write(id, connection, tx);
                        return Outcome::Tells(Report::Pong { rtt: pong.rtt });
                    }
                    Ok(None) if ended => Some(None),
                    Ok(None) => None,
                    Err(_) => Some(None),
                },
            };
            if let Some(report) = done {
                self.leave(id, connection, tx);
                return Outcome::Over(report);
            }
            if !read {
                return Outcome::Goes;
            }
        }
    }

    fn write(&mut self, id: StreamId, connection: &mut Connection, tx: &mut BytesMut) {
        while !self.out.is_empty() {
            match connection.write(id, &self.out, tx) {
                Ok(count) if count > 0 => self.out.advance(count),
                _ => return,
            }
        }
        self.out = BytesMut::new();
        if matches!(self.role, Role::Writing { .. }) && !self.finished {
            self.finished = connection.finish(id, tx).is_ok();
        }
    }

    /// Ends the stream: in an orderly way if the remote did so too and all was written, else at once.
    fn leave(&mut self, id: StreamId, connection: &mut Connection, tx: &mut BytesMut) {
        let orderly = self.ended && self.out.is_empty() && (self.finished || connection.finish(id, tx).is_ok());
        if !orderly {
            connection.reset(id, 0, tx).ok();
        }
    }
}

/// What came of reading who the remote is. A push that says nothing is of no matter.
fn told(result: Result<Option<Box<Identity>>, IdentifyError>, push: bool) -> Option<Report> {
    match (result, push) {
        (Ok(Some(identity)), false) => Some(Report::Identified(identity)),
        (Ok(Some(identity)), true) => Some(Report::Pushed(identity)),
        (Ok(None), false) => {
            Some(Report::IdentifyFailed { why: "the stream ended before a message was complete".into() })
        }
        (Err(error), false) => Some(Report::IdentifyFailed { why: cut(&error.to_string()) }),
        (Ok(None) | Err(_), true) => None,
    }
}
