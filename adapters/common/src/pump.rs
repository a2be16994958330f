//! Between the two streams of a circuit that we relay: what comes on the one goes out on the other.
//!
//! ```text
//!   source's stream  --chunk, as it is-->  write, one copy  --> destination's stream      and the same the other way
//! ```
//! A slow receiver slows the sender: nothing more is read of a stream while its last piece waits to be written; the stream keeps
//! what is left of it. It knows no runtime: whoever drives it calls [`Pump::poll`] when its waker was woken, and when its time has come.

use crate::circuits::Gate;
use crate::hub::Hub;
use crate::stream::Stream;
use std::fmt;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;
use tidewire_core::{EventMachine, Time};
use tidewire_relay::server::{CircuitEnd, Way};
use tidewire_relay::splice::{Ended, Splice};
use tidewire_relay::{CircuitId, Limit};

/// Pieces that one call moves each way at most, so that no circuit holds its task for long.
const MAX_PIECES: usize = 32;

/// How many bytes went is told no more often than this.
const TELL: Duration = Duration::from_secs(1);

/// Relays one circuit. Dropped before its end, both streams are reset.
pub(crate) struct Pump {
    hub: Arc<Hub>,
    circuit: CircuitId,
    splice: Splice,
    source: Stream,
    destination: Stream,
    forward: Lane,
    backward: Lane,
    /// Through which the host ends it.
    gate: Arc<Gate>,
    /// When the host was told last of what went, and what.
    told: Time,
    known: (u64, u64),
    closed: bool,
}

/// How far one direction is.
#[derive(Default)]
struct Lane {
    /// The side that it comes from has finished.
    ended: bool,
    /// That was handed on.
    finished: bool,
}

/// What a direction came to.
enum Moved {
    /// It waits for one of both sides.
    Waits,
    /// There may be more at once.
    More,
    /// This side broke.
    Broke(Side),
}

enum Side {
    From,
    To,
}

impl Pump {
    pub(crate) fn new(
        hub: Arc<Hub>,
        circuit: CircuitId,
        limit: &Limit,
        (source, destination): (Stream, Stream),
        gate: Arc<Gate>,
    ) -> Pump {
        let now = hub.clock().now();
        let splice = Splice::new(limit, now);
        let (forward, backward) = (Lane::default(), Lane::default());
        Pump {
            hub,
            circuit,
            splice,
            source,
            destination,
            forward,
            backward,
            gate,
            told: now,
            known: (0, 0),
            closed: false,
        }
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Everything that can be done now. `None`: it is over, and the host was told. Else call again when `waker` was woken, and
    /// at this time.
    pub(crate) fn poll(&mut self, waker: &Waker) -> Option<Time> {
        let now = self.hub.clock().now();
        self.splice.tick(now);
        if let Some(why) = self.gate.closed(waker) {
            self.splice.close(why);
        }
        for way in [Way::Forward, Way::Backward] {
            self.run(way, waker);
        }
        self.notice_resets(waker);
        match self.splice.ended() {
            Some(ended) => {
                self.end(ended);
                None
            }
            None => Some(self.tell(now).min(self.splice.deadline())),
        }
    }

    fn run(&mut self, way: Way, waker: &Waker) {
        let Pump { splice, source, destination, forward, backward, .. } = self;
        let (lane, from, to) = match way {
            Way::Forward => (forward, source, destination),
            Way::Backward => (backward, destination, source),
        };
        for _ in 0..MAX_PIECES {
            if splice.ended().is_some() {
                return;
            }
            match lane.step(way, splice, from, to, waker) {
                Moved::Waits => return,
                Moved::More => {}
                Moved::Broke(side) => {
                    return splice.close(match (way, side) {
                        (Way::Forward, Side::From) | (Way::Backward, Side::To) => CircuitEnd::SourceReset,
                        (Way::Forward, Side::To) | (Way::Backward, Side::From) => CircuitEnd::DestinationReset,
                    });
                }
            }
        }
        // There is more, but others want their turn.
        waker.wake_by_ref();
    }

    /// A side that has finished is not read any more, and tells of its reset nowhere else while nothing goes to it.
    fn notice_resets(&mut self, waker: &Waker) {
        let Pump { splice, source, destination, forward, backward, .. } = self;
        for (side, from, back, why) in [
            (source, &*forward, &*backward, CircuitEnd::SourceReset),
            (destination, &*backward, &*forward, CircuitEnd::DestinationReset),
        ] {
            let watched = splice.ended().is_none() && from.ended && !back.finished;
            if watched && side.poll_reset(waker).is_ready() {
                splice.close(why);
            }
        }
    }

    /// Says how many bytes went, if the host doesn't know it and was told nothing for a while. When that will be, if it is to
    /// come: the last bytes before a pause are told too.
    fn tell(&mut self, now: Time) -> Time {
        if self.known == self.bytes() {
            return Time::NEVER;
        }
        if now.since(self.told) < TELL {
            return self.told + TELL;
        }
        self.told = now;
        self.known = self.bytes();
        self.say(None);
        Time::NEVER
    }

    fn say(&self, end: Option<CircuitEnd>) {
        let (forward, backward) = self.bytes();
        self.hub.spliced(self.circuit, end, forward, backward);
    }

    fn bytes(&self) -> (u64, u64) {
        (self.splice.bytes(Way::Forward), self.splice.bytes(Way::Backward))
    }

    fn end(&mut self, ended: Ended) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        if ended.resets() {
            self.source.abandon();
            self.destination.abandon();
        }
        self.say(Some(ended.end));
    }
}

impl Lane {
    fn step(&mut self, way: Way, splice: &mut Splice, from: &mut Stream, to: &mut Stream, waker: &Waker) -> Moved {
        if self.ended {
            if self.finished || to.poll_circuit(waker).is_pending() {
                return Moved::Waits;
            }
            self.finished = true;
            if to.finish().is_err() {
                return Moved::Broke(Side::To);
            }
            splice.finished(way);
            return Moved::Waits;
        }
        // What came of writing; nothing if there was nothing to write.
        let mut wrote = None;
        let read = from.poll_read(waker, |chunk| {
            let room = splice.offer(way, chunk.len());
            let piece = chunk.get(..room).unwrap_or(chunk);
            let done = if piece.is_empty() { Poll::Ready(Ok(0)) } else { to.poll_write(waker, piece) };
            let count = if let Poll::Ready(Ok(count)) = done { count } else { 0 };
            wrote = Some(done);
            count
        });
        match (read, wrote) {
            (Poll::Pending, _) => Moved::Waits,
            (Poll::Ready(Err(_)), _) => Moved::Broke(Side::From),
            (Poll::Ready(Ok(_)), None) => {
                self.ended = true;
                Moved::More
            }
            // Nothing is read of it meanwhile, which would tell of its end.
            (_, Some(Poll::Pending)) if from.poll_reset(waker).is_ready() => Moved::Broke(Side::From),
            (_, Some(Poll::Pending)) => Moved::Waits,
            (_, Some(Poll::Ready(Ok(count)))) => {
                splice.moved(way, count);
                Moved::More
            }
            (_, Some(Poll::Ready(Err(_)))) => Moved::Broke(Side::To),
        }
    }
}

/// A runtime may end the task at any point.
impl Drop for Pump {
    fn drop(&mut self) {
        if !self.closed {
            self.splice.close(CircuitEnd::Other { why: "its task was ended".into() });
            if let Some(ended) = self.splice.ended() {
                self.end(ended);
            }
        }
    }
}

impl fmt::Debug for Pump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pump").field("circuit", &self.circuit).field("splice", &self.splice).finish_non_exhaustive()
    }
}
