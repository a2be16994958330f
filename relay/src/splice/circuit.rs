//! A circuit at the relay: its bytes, its time, its end.
//!
//! ```text
//! Open --one side is done--> Open, other way only --the other is done--> Ended: Closed
//! Open --one byte too many, the time is over, a reset, told to--> Ended: both streams are reset
//! ```
//! Ended is final: the first reason stays, and nothing more goes.

use crate::Limit;
use crate::server::{CircuitEnd, Way};
use alloc::boxed::Box;
use tidewire_core::{EventMachine, Time};

/// The accounting of one circuit: an [`EventMachine`], and the same as plain calls for whoever moves the bytes.
///
/// Each direction has the whole limit for itself, as the spec says; go, js and rust share one limit out to both.
#[derive(Debug)]
pub struct Splice {
    /// Bytes that may go each way; `u64::MAX` without a limit.
    most: u64,
    opened: Time,
    until: Time,
    forward: Lane,
    backward: Lane,
    /// Apart: a relay has many circuits that go on.
    end: Option<Box<CircuitEnd>>,
    told: bool,
}

/// One direction.
#[derive(Clone, Copy, Debug, Default)]
struct Lane {
    moved: u64,
    finished: bool,
}

/// What happened on a circuit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// As [`Splice::offer`].
    Offer {
        /// Which way.
        way: Way,
        /// Bytes that came.
        bytes: usize,
    },
    /// As [`Splice::moved`].
    Moved {
        /// Which way.
        way: Way,
        /// Bytes that went on.
        bytes: usize,
    },
    /// As [`Splice::finished`].
    Finished {
        /// Which way.
        way: Way,
    },
    /// As [`Splice::close`].
    Close {
        /// Why.
        end: CircuitEnd,
    },
}

/// How a circuit ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Ended {
    /// Why.
    pub end: CircuitEnd,
    /// Bytes from the source to the destination.
    pub forward: u64,
    /// Bytes from the destination to the source.
    pub backward: u64,
}

/// There is no wrong call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misuse {}

impl Splice {
    /// A circuit that is open from now on.
    pub fn new(limit: &Limit, now: Time) -> Self {
        let most = limit.bytes().unwrap_or(u64::MAX);
        let until = limit.time().map_or(Time::NEVER, |duration| now + duration);
        let (forward, backward) = (Lane::default(), Lane::default());
        Splice { most, opened: now, until, forward, backward, end: None, told: false }
    }

    /// How many bytes may still go this way; `usize::MAX` if there is no limit. 0 after the direction's or the circuit's end.
    ///
    /// Don't stop reading at 0: only the next byte shows that there is more than the limit.
    #[inline]
    pub fn room(&self, way: Way) -> usize {
        let lane = self.lane(way);
        if self.end.is_some() || lane.finished {
            return 0;
        }
        match self.most {
            u64::MAX => usize::MAX,
            most => usize::try_from(most.saturating_sub(lane.moved)).unwrap_or(usize::MAX),
        }
    }

    /// `bytes` came from the one side, and wait to go on: how many of them may. 0, of more than 0: the circuit is over.
    ///
    /// It counts nothing: say what really went with [`moved`](Self::moved), and offer what is left again.
    #[inline]
    pub fn offer(&mut self, way: Way, bytes: usize) -> usize {
        let room = self.room(way);
        if bytes > 0 && room == 0 {
            self.overrun(way);
        }
        bytes.min(room)
    }

    /// So many bytes went on to the other side. More than there was [`room`](Self::room) for: the circuit is over, and what
    /// there was room for counts.
    #[inline]
    pub fn moved(&mut self, way: Way, bytes: usize) {
        let went = bytes.min(self.room(way));
        let lane = self.lane_mut(way);
        lane.moved = lane.moved.saturating_add(went as u64);
        if went < bytes {
            self.overrun(way);
        }
    }

    /// The one side ended its direction, and that was handed on. When both have, the circuit is over, and well.
    pub fn finished(&mut self, way: Way) {
        self.lane_mut(way).finished = true;
        if self.forward.finished && self.backward.finished {
            self.close(CircuitEnd::Closed);
        }
    }

    /// The circuit is over for this reason, unless it is already: an end reset its stream, or its connection is gone.
    pub fn close(&mut self, end: CircuitEnd) {
        if self.end.is_none() {
            self.end = Some(Box::new(end));
        }
    }

    /// Lets time pass. At [`deadline`](EventMachine::deadline) the circuit is over.
    pub fn tick(&mut self, now: Time) {
        if !self.until.is_never() && now >= self.until {
            self.close(CircuitEnd::TimeLimit { duration: self.until.since(self.opened) });
        }
    }

    /// Whether it has ended.
    #[inline]
    pub const fn is_over(&self) -> bool {
        self.end.is_some()
    }

    /// How it ended; `None` while it goes on.
    pub fn ended(&self) -> Option<Ended> {
        let end = self.end.as_deref()?.clone();
        Some(Ended { end, forward: self.forward.moved, backward: self.backward.moved })
    }

    /// Bytes that went this way so far.
    pub const fn bytes(&self, way: Way) -> u64 {
        self.lane(way).moved
    }

    const fn lane(&self, way: Way) -> &Lane {
        match way {
            Way::Forward => &self.forward,
            Way::Backward => &self.backward,
        }
    }

    const fn lane_mut(&mut self, way: Way) -> &mut Lane {
        match way {
            Way::Forward => &mut self.forward,
            Way::Backward => &mut self.backward,
        }
    }

    /// More came than may go. Behind the direction's end that is the remote's affair, not the limit's.
    #[cold]
    fn overrun(&mut self, way: Way) {
        if self.most < u64::MAX && !self.lane(way).finished {
            self.close(CircuitEnd::DataLimit { way, bytes: self.most });
        }
    }
}

impl Ended {
    /// Whether both streams are to be reset, as far as they are still there. Else both are closed already.
    pub fn resets(&self) -> bool {
        self.end != CircuitEnd::Closed
    }
}

impl EventMachine for Splice {
    type Input<'a> = Input;
    type Action = Ended;
    type Misuse = Misuse;

    fn handle(&mut self, _: Time, input: Input) -> Result<(), Misuse> {
        match input {
            Input::Offer { way, bytes } => {
                self.offer(way, bytes);
            }
            Input::Moved { way, bytes } => self.moved(way, bytes),
            Input::Finished { way } => self.finished(way),
            Input::Close { end } => self.close(end),
        }
        Ok(())
    }

    fn on_timeout(&mut self, now: Time) {
        self.tick(now);
    }

    /// The circuit's end, once.
    fn poll(&mut self) -> Option<Ended> {
        let ended = if self.told { None } else { self.ended() };
        self.told |= ended.is_some();
        ended
    }

    #[inline]
    fn deadline(&self) -> Time {
        if self.end.is_none() { self.until } else { Time::NEVER }
    }

    fn memory_used(&self) -> usize {
        let said = match self.end.as_deref() {
            Some(CircuitEnd::Other { why }) if why.is_heap_allocated() => why.len(),
            _ => 0,
        };
        said + if self.end.is_some() { size_of::<CircuitEnd>() } else { 0 }
    }
}
