//! Between the two streams of a circuit that we relay: what comes on the one goes out on the other.
//!
//! ```text
//!   source's stream  --chunk, as it is-->  write, one copy  --> destination's stream      and the same the other way
//! ```
//! A slow receiver slows the sender: nothing more is read of a stream while its last piece waits to be written. It knows no
//! runtime: whoever drives it calls [`Pump::poll`] when its waker was woken, and when its time has come.

use crate::circuits::Gate;
use crate::hub::Hub;
use crate::stream::Stream;
use bytes::{Buf, BytesMut};
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

/// One direction: what was read, and waits to be written.
#[derive(Default)]
struct Lane {
    chunk: BytesMut,
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
        Pump { hub, circuit, splice, source, destination, forward, backward, gate, told: now, known: (0, 0), closed: false }
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
        if self.chunk.is_empty() {
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
            match from.poll_chunk(waker) {
                Poll::Pending => return Moved::Waits,
                Poll::Ready(Ok(Some(chunk))) => self.chunk = chunk,
                Poll::Ready(Ok(None)) => {
                    self.ended = true;
                    return Moved::More;
                }
                Poll::Ready(Err(_)) => return Moved::Broke(Side::From),
            }
        }
        let room = splice.offer(way, self.chunk.len());
        let Some(piece) = self.chunk.get(..room).filter(|piece| !piece.is_empty()) else { return Moved::More };
        match to.poll_write(waker, piece) {
            // Nothing is read of it meanwhile, which would tell of its end.
            Poll::Pending if from.poll_reset(waker).is_ready() => Moved::Broke(Side::From),
            Poll::Pending => Moved::Waits,
            Poll::Ready(Ok(count)) => {
                splice.moved(way, count);
                self.chunk.advance(count);
                if self.chunk.is_empty() {
                    // Even an empty handle would hold the buffer.
                    self.chunk = BytesMut::new();
                }
                Moved::More
            }
            Poll::Ready(Err(_)) => Moved::Broke(Side::To),
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
