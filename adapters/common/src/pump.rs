//! Between the two streams of a circuit that we relay: what comes on the one goes out on the other.
//!
//! ```text
//!   source's stream  --chunk, as it is-->  write, one copy  --> destination's stream      and the same the other way
//!         |                                                             |
//!         '-- there is something to read --> Pump::wake <-- there is room, or the hub's timer, or its close
//! ```
//! A slow receiver slows the sender: nothing more is read of a stream while its last piece waits to be written. It is no task
//! and no thread: whoever wakes it runs it there and then, which is mostly the task of the connection that its bytes came on. So
//! they are sealed where they were opened, while the processor has them at hand. Whoever wakes holds no lock.

use crate::buffer::lock;
use crate::hub::Hub;
use crate::line::Line;
use bytes::{Buf, BytesMut};
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Poll, Wake, Waker};
use std::time::Duration;
use tidewire_core::{EventMachine, Time};
use tidewire_host::StreamId;
use tidewire_relay::server::{CircuitEnd, Way};
use tidewire_relay::splice::Splice;
use tidewire_relay::{CircuitId, Limit};

/// Pieces that one run moves each way at most, so that no circuit holds a connection's task for long.
const MAX_PIECES: usize = 32;

/// How many bytes went is told no more often than this.
const TELL: Duration = Duration::from_secs(1);

/// Relays one circuit. Dropped before its end, both streams are reset.
pub(crate) struct Pump {
    hub: Weak<Hub>,
    circuit: CircuitId,
    /// How often it was woken since its run began; 0 if nobody runs it.
    woken: AtomicU32,
    state: Mutex<State>,
}

struct State {
    splice: Splice,
    source: Side,
    destination: Side,
    /// When the host was told last of what went, and how much.
    told: Time,
    known: u64,
    /// When the hub wakes it.
    alarm: Time,
    over: bool,
}

/// One of the streams, and how far the direction is that comes from it.
struct Side {
    line: Arc<Line>,
    stream: StreamId,
    /// What was read of it and waits to be written.
    rest: Option<Box<BytesMut>>,
    /// It has finished.
    ended: bool,
    /// That was handed on.
    passed: bool,
}

/// What a run has to say, once the lock is released.
struct Words {
    /// What went, and how it ended.
    went: Option<(Option<CircuitEnd>, u64, u64)>,
    /// The time to be woken, and the one that was asked for before.
    alarm: Option<(Time, Time)>,
    /// There is more to move, but others want their turn.
    again: Option<Arc<Line>>,
}

/// What a direction came to.
enum Moved {
    /// It waits for one of both sides.
    Waits,
    /// There may be more at once.
    More,
    /// This side broke.
    Broke(Broken),
}

enum Broken {
    From,
    To,
}

impl Pump {
    /// Relays between two streams from now on: wake it to begin.
    pub(crate) fn new(
        hub: Weak<Hub>,
        circuit: CircuitId,
        limit: &Limit,
        now: Time,
        [source, destination]: [(Arc<Line>, StreamId); 2],
    ) -> Arc<Pump> {
        let [source, destination] =
            [source, destination].map(|(line, stream)| Side { line, stream, rest: None, ended: false, passed: false });
        let splice = Splice::new(limit, now);
        let state = State { splice, source, destination, told: now, known: 0, alarm: Time::NEVER, over: false };
        Arc::new(Pump { hub, circuit, woken: AtomicU32::new(0), state: Mutex::new(state) })
    }

    /// Of the host: it is to end.
    pub(crate) fn close(self: &Arc<Self>, why: CircuitEnd) {
        lock(&self.state).splice.close(why);
        self.wake_by_ref();
    }

    /// The time for which it asked has come.
    pub(crate) fn rang(self: &Arc<Self>) {
        lock(&self.state).alarm = Time::NEVER;
        self.wake_by_ref();
    }

    /// Without any lock, which the host's answer may want.
    fn say(&self, waker: &Waker, words: Words) {
        let Words { went, alarm, again } = words;
        if let Some(line) = again {
            line.wake_later(waker.clone());
        }
        let Some(hub) = self.hub.upgrade() else { return };
        if let Some((before, at)) = alarm {
            hub.alarm(self.circuit, before, at);
        }
        if let Some((end, forward, backward)) = went {
            hub.spliced(self.circuit, end, forward, backward);
        }
    }
}

impl Wake for Pump {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    /// Moves everything that can be moved now. If it runs already, in another thread or further up in this one, it goes on there.
    fn wake_by_ref(self: &Arc<Self>) {
        if self.woken.fetch_add(1, Ordering::AcqRel) > 0 {
            return;
        }
        let waker = Waker::from(self.clone());
        let mut seen = 1;
        loop {
            let words = lock(&self.state).run(&waker);
            if let Some(words) = words {
                self.say(&waker, words);
            }
            match self.woken.compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(woken) => seen = woken,
            }
        }
    }
}

impl State {
    fn run(&mut self, waker: &Waker) -> Option<Words> {
        if self.over {
            return None;
        }
        let now = self.source.line.now();
        self.splice.tick(now);
        let mut again = None;
        for way in [Way::Forward, Way::Backward] {
            again = self.go(way, waker).or(again);
        }
        self.notice_resets(waker);
        let went = match self.splice.ended() {
            Some(ended) => {
                self.leave(ended.resets());
                again = None;
                Some((Some(ended.end), ended.forward, ended.backward))
            }
            None => self.went(now),
        };
        let alarm = if self.over { self.no_alarm() } else { self.alarm() };
        (went.is_some() || alarm.is_some() || again.is_some()).then_some(Words { went, alarm, again })
    }

    /// Moves what it can. Is there more, but too much for one run: the line whose task is to come back to it.
    fn go(&mut self, way: Way, waker: &Waker) -> Option<Arc<Line>> {
        let State { splice, source, destination, .. } = self;
        let (from, to) = match way {
            Way::Forward => (source, destination),
            Way::Backward => (destination, source),
        };
        for _ in 0..MAX_PIECES {
            if splice.is_over() {
                return None;
            }
            match from.step(way, splice, to, waker) {
                Moved::Waits => return None,
                Moved::More => {}
                Moved::Broke(side) => {
                    splice.close(match (way, side) {
                        (Way::Forward, Broken::From) | (Way::Backward, Broken::To) => CircuitEnd::SourceReset,
                        (Way::Forward, Broken::To) | (Way::Backward, Broken::From) => CircuitEnd::DestinationReset,
                    });
                    return None;
                }
            }
        }
        Some(from.line.clone())
    }

    /// A side that has finished is not read any more, and tells of its reset nowhere else while nothing goes to it.
    fn notice_resets(&mut self, waker: &Waker) {
        let State { splice, source, destination, .. } = self;
        for (side, back, why) in [
            (&*source, &*destination, CircuitEnd::SourceReset),
            (&*destination, &*source, CircuitEnd::DestinationReset),
        ] {
            let watched = !splice.is_over() && side.ended && !back.passed;
            if watched && side.line.poll_reset(side.stream, waker).is_ready() {
                splice.close(why);
            }
        }
    }

    /// How many bytes went, if the host doesn't know it and was told nothing for a while.
    fn went(&mut self, now: Time) -> Option<(Option<CircuitEnd>, u64, u64)> {
        let (forward, backward) = (self.splice.bytes(Way::Forward), self.splice.bytes(Way::Backward));
        if self.known == forward.wrapping_add(backward) || now.since(self.told) < TELL {
            return None;
        }
        (self.told, self.known) = (now, forward.wrapping_add(backward));
        Some((None, forward, backward))
    }

    /// The time to be woken, if it is earlier than what was asked for: the limit's, or when what went is to be told, so that the
    /// last bytes before a pause are told too. Moved with every byte it would cost more than being woken too early.
    fn alarm(&mut self) -> Option<(Time, Time)> {
        let known = self.splice.bytes(Way::Forward).wrapping_add(self.splice.bytes(Way::Backward)) == self.known;
        let tell = if known { Time::NEVER } else { self.told + TELL };
        let at = self.splice.deadline().min(tell);
        (at < self.alarm).then(|| (std::mem::replace(&mut self.alarm, at), at))
    }

    /// It is not to be woken any more.
    fn no_alarm(&mut self) -> Option<(Time, Time)> {
        let before = std::mem::replace(&mut self.alarm, Time::NEVER);
        (!before.is_never()).then_some((before, Time::NEVER))
    }

    fn leave(&mut self, reset: bool) {
        if !std::mem::replace(&mut self.over, true) {
            for side in [&mut self.source, &mut self.destination] {
                side.rest = None;
                side.line.leave(side.stream, reset.then_some(0));
            }
        }
    }
}

impl Side {
    /// A piece from this side to the other one.
    fn step(&mut self, way: Way, splice: &mut Splice, to: &Side, waker: &Waker) -> Moved {
        if self.ended {
            if self.passed || to.line.poll_circuit(to.stream, waker).is_pending() {
                return Moved::Waits;
            }
            self.passed = true;
            if to.line.finish(to.stream).is_err() {
                return Moved::Broke(Broken::To);
            }
            splice.finished(way);
            return Moved::Waits;
        }
        let mut chunk = match self.rest.take() {
            Some(rest) => *rest,
            None => match self.line.poll_read(self.stream, waker) {
                Poll::Pending => return Moved::Waits,
                Poll::Ready(Err(_)) => return Moved::Broke(Broken::From),
                Poll::Ready(Ok(None)) => {
                    self.ended = true;
                    return Moved::More;
                }
                Poll::Ready(Ok(Some(chunk))) => chunk,
            },
        };
        while !chunk.is_empty() {
            let room = splice.offer(way, chunk.len());
            let Some(piece) = chunk.get(..room).filter(|piece| !piece.is_empty()) else { break };
            match to.line.poll_write(to.stream, waker, piece) {
                Poll::Ready(Ok(count)) => {
                    splice.moved(way, count);
                    chunk.advance(count);
                }
                Poll::Ready(Err(_)) => return Moved::Broke(Broken::To),
                Poll::Pending => {
                    self.rest = Some(Box::new(chunk));
                    // Nothing is read of it meanwhile, which would tell of its end.
                    if self.line.poll_reset(self.stream, waker).is_ready() {
                        return Moved::Broke(Broken::From);
                    }
                    return Moved::Waits;
                }
            }
        }
        Moved::More
    }
}

/// The node is over.
impl Drop for State {
    fn drop(&mut self) {
        self.leave(true);
    }
}

impl fmt::Debug for Pump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pump").field("circuit", &self.circuit).finish_non_exhaustive()
    }
}
