//! A connection's machine: shared, under a lock, by the task that owns the socket and by the handles and streams.
//!
//! ```text
//!  streams --write, read, open--> [ machine, tx ] <--advance(rx)-- task --read, write--> socket
//!                                       '-- when tx is not empty any more: wakes the task
//! ```
//! The lock is held for one call of the machine at a time, never while the socket is written or read.

use crate::buffer::{Buffer, Pool, lock};
use crate::endpoint::Clock;
use crate::wire::{Driven, Turn, Wire};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;
use tidewire_adapter::{Closed, Info, Observed, Reason};
use tidewire_core::{Machine, Time};
use tidewire_multistream::{self as multistream, Protocol, RouteId};
use tidewire_upgrade::connection::{By, Connection, Event, NEGOTIATION_FAILED, ReadStreamError};
use tidewire_upgrade::muxer::StreamId;
use tokio::sync::{Notify, oneshot};

/// A connection.
pub(crate) struct Shared {
    pub(crate) info: Info,
    /// Changes that several may wait for.
    pub(crate) openable: Notify,
    pub(crate) acceptable: Notify,
    pub(crate) over: Notify,
    state: Mutex<State>,
    clock: Clock,
    pool: Arc<Pool>,
}

/// What is under the lock.
pub(crate) struct State {
    pub(crate) machine: Connection,
    /// What the task has not taken yet.
    pub(crate) tx: Buffer,
    pub(crate) streams: BTreeMap<StreamId, Entry>,
    /// The remote's streams that nobody has accepted yet.
    pub(crate) inbound: VecDeque<(StreamId, Protocol, RouteId)>,
    pub(crate) pings: Vec<oneshot::Sender<Duration>>,
    /// Set once the last byte is sent.
    pub(crate) closed: Option<Closed>,
    /// Who ended it, and why.
    ending: Option<(By, Reason)>,
    /// The task, while it sleeps.
    task: Option<Waker>,
    /// The task will come back by itself: the socket has not taken everything yet.
    sending: bool,
    /// When the task will come back in any case.
    alarm: Time,
    /// Whom to wake once the lock is released.
    wakes: Vec<Waker>,
    since: Time,
}

/// What is known of a stream here.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub(crate) read: Option<Waker>,
    pub(crate) write: Option<Waker>,
    /// Waits for the outcome of the negotiation.
    pub(crate) settle: Option<Waker>,
    pub(crate) protocol: Option<Protocol>,
    pub(crate) refused: Option<Refused>,
    /// The application has finished and dropped it; we wait for the remote to finish too.
    pub(crate) left: bool,
}

/// Why a negotiation came to nothing.
#[derive(Clone, Debug)]
pub(crate) enum Refused {
    Negotiation(multistream::Error),
    Reset(By, u32),
}

impl Shared {
    pub(crate) fn new(machine: Connection, wire: &mut Wire, info: Info) -> Self {
        let state = State {
            machine,
            // The upgrade's last flight has room for the first stream's bytes.
            tx: wire.take_unsent(),
            streams: BTreeMap::new(),
            inbound: VecDeque::new(),
            pings: Vec::new(),
            closed: None,
            ending: None,
            task: None,
            sending: false,
            alarm: Time::NEVER,
            wakes: Vec::new(),
            since: wire.clock.now(),
        };
        Shared {
            info,
            openable: Notify::new(),
            acceptable: Notify::new(),
            over: Notify::new(),
            state: Mutex::new(state),
            clock: wire.clock,
            pool: wire.pool.clone(),
        }
    }

    /// Acts on the machine from outside its task, and wakes the task if there is something for it to do.
    pub(crate) fn act<R>(&self, action: impl FnOnce(&mut State, Time) -> R) -> R {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        let result = action(&mut state, now);
        let wanted = (!state.tx.bytes.is_empty() && !state.sending)
            || state.machine.is_closed()
            || state.machine.deadline() < state.alarm;
        let task = if wanted { state.task.take() } else { None };
        drop(state);
        if let Some(task) = task {
            task.wake();
        }
        result
    }

    /// As [`act`](Shared::act), for who is about to write.
    pub(crate) fn write<R>(&self, action: impl FnOnce(&mut State) -> R) -> R {
        self.act(|state, _| {
            state.tx.fill(&self.pool);
            action(state)
        })
    }

    /// Acts until it comes to something, each time that `changed` is told.
    pub(crate) async fn wait<R>(&self, changed: &Notify, mut action: impl FnMut(&mut State, Time) -> Option<R>) -> R {
        loop {
            let mut notified = pin!(changed.notified());
            notified.as_mut().enable();
            if let Some(result) = self.act(&mut action) {
                return result;
            }
            notified.await;
        }
    }

    /// Closes the connection, unless it is over.
    pub(crate) fn close(&self, code: u32) {
        self.act(|state, _| {
            if state.ending.is_none() {
                state.machine.close(code, &mut state.tx.bytes);
                state.ending = Some((By::Us, Reason::Closed(Some(code))));
            }
        });
    }
}

/// The task of a connection.
pub(crate) async fn run(shared: Arc<Shared>, mut wire: Wire, limit: Duration) {
    let mut driver = Driver { shared, wakes: Vec::new() };
    let alive = wire.drive(&mut driver).await;
    if alive {
        wire.finish(limit).await;
    }
    driver.close(Some(&wire));
}

struct Driver {
    shared: Arc<Shared>,
    wakes: Vec<Waker>,
}

impl Driven for Driver {
    /// Whether the socket is still good.
    type Done = bool;

    fn turn(&mut self, cx: &Context<'_>, now: Time, wire: &mut Wire) -> Turn<bool> {
        let mut state = lock(&self.shared.state);
        state.swap(wire);
        loop {
            let State { machine, tx, .. } = &mut *state;
            let (rx, tx) = (&mut wire.rx.bytes, &mut tx.bytes);
            match if wire.ended { machine.end(now, rx, tx) } else { machine.advance(now, rx, tx) } {
                Ok(None) => break,
                Ok(Some(event)) => {
                    wire.watch.tell(|| Observed::Event(event.clone()));
                    state.on_event(event, &self.shared);
                }
                Err(error) => {
                    state.ending.get_or_insert((By::Us, Reason::Protocol(error)));
                    break;
                }
            }
        }
        state.swap(wire);
        let over = state.machine.is_closed();
        if over {
            state.wake_all();
            state.flush(wire);
        }
        let deadline = state.machine.deadline();
        state.sending = !wire.tx.bytes.is_empty();
        state.alarm = deadline;
        if !state.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            state.task = Some(cx.waker().clone());
        }
        std::mem::swap(&mut state.wakes, &mut self.wakes);
        drop(state);
        self.wakes.drain(..).for_each(Waker::wake);
        if over {
            self.shared.acceptable.notify_waiters();
            self.shared.openable.notify_waiters();
            return Turn::Done(true);
        }
        Turn::Wait(deadline)
    }

    fn broken(&mut self, error: io::Error) -> bool {
        let mut state = lock(&self.shared.state);
        state.machine.close(0, &mut Buffer::default().bytes);
        state.ending.get_or_insert((By::Remote, Reason::Socket(error.kind())));
        false
    }
}

impl Driver {
    /// Nothing more will happen.
    fn close(&mut self, wire: Option<&Wire>) {
        let now = self.shared.clock.now();
        let mut state = lock(&self.shared.state);
        if state.closed.is_some() {
            return;
        }
        let unused = &mut Buffer::default().bytes;
        state.machine.close(0, unused);
        // Nobody ended it, but the task is over.
        let lost = if thread::panicking() { Reason::Panicked } else { Reason::Runtime };
        let (by, reason) = state.ending.clone().unwrap_or((By::Us, lost));
        let (sent, received) = wire.map_or((0, 0), |wire| (wire.sent, wire.received));
        let closed = Closed::new(by, reason, now.since(state.since), sent, received);
        state.closed = Some(closed.clone());
        state.tx = Buffer::default();
        state.wake_all();
        let wakes = std::mem::take(&mut state.wakes);
        drop(state);
        wakes.into_iter().for_each(Waker::wake);
        self.shared.acceptable.notify_waiters();
        self.shared.openable.notify_waiters();
        self.shared.over.notify_waiters();
        if let Some(wire) = wire {
            wire.watch.tell(|| Observed::Closed(closed));
        }
    }
}

/// The runtime may end the task at any point.
impl Drop for Driver {
    fn drop(&mut self) {
        self.close(None);
    }
}

impl State {
    /// Hands what is to be sent to the task, if it has sent everything before.
    fn swap(&mut self, wire: &mut Wire) {
        if wire.tx.bytes.is_empty() && !self.tx.bytes.is_empty() {
            std::mem::swap(&mut wire.tx, &mut self.tx);
        }
    }

    /// Hands all that is to be sent to the task.
    fn flush(&mut self, wire: &mut Wire) {
        wire.tx.bytes.extend_from_slice(&self.tx.bytes);
        self.tx = Buffer::default();
    }

    fn on_event(&mut self, event: Event, shared: &Shared) {
        match event {
            Event::Negotiated { id, protocol, route: Some(route), by: By::Remote } => {
                self.streams.insert(id, Entry { protocol: Some(protocol.clone()), ..Entry::default() });
                self.inbound.push_back((id, protocol, route));
                shared.acceptable.notify_waiters();
            }
            Event::Negotiated { id, protocol, .. } => self.on_stream(id, |entry| entry.protocol = Some(protocol)),
            Event::NegotiationFailed { id, by: By::Us, error } => {
                self.on_stream(id, |entry| entry.refused = Some(Refused::Negotiation(error)));
            }
            Event::Reset { id, by, code } => {
                self.on_stream(id, |entry| entry.refused = Some(Refused::Reset(by, code)));
            }
            Event::Readable(id) | Event::Finished(id) => self.on_readable(id),
            Event::Writable(id) => {
                if let Some(entry) = self.streams.get_mut(&id) {
                    self.wakes.extend(entry.write.take());
                }
            }
            // Without a router nobody waits for the remote's streams.
            Event::Opened(id) => drop(self.machine.reset(id, NEGOTIATION_FAILED, &mut self.tx.bytes)),
            Event::Openable | Event::GoAway { .. } => shared.openable.notify_waiters(),
            Event::Pong { rtt } => self.pings.drain(..).for_each(|pong| pong.send(rtt).unwrap_or_default()),
            Event::Closed { by, code } => {
                self.ending.get_or_insert((by, Reason::Closed(code)));
            }
            _ => {}
        }
    }

    fn on_readable(&mut self, id: StreamId) {
        let Some(entry) = self.streams.get_mut(&id) else { return };
        self.wakes.extend(entry.read.take());
        if entry.left {
            self.see_off(id);
        }
    }

    /// All who wait for something on this stream shall look again.
    fn on_stream(&mut self, id: StreamId, change: impl FnOnce(&mut Entry)) {
        let Some(entry) = self.streams.get_mut(&id) else { return };
        change(entry);
        self.wakes.extend(entry.wakers());
        if entry.left {
            self.see_off(id);
        }
    }

    /// A stream that we have finished, and that nobody will read: over as soon as the remote finishes too. Whoever still
    /// sends on it shall stop.
    pub(crate) fn see_off(&mut self, id: StreamId) {
        match self.machine.read(id, &mut self.tx.bytes) {
            Err(ReadStreamError::Blocked) => {
                if let Some(entry) = self.streams.get_mut(&id) {
                    entry.left = true;
                }
                return;
            }
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => drop(self.machine.reset(id, 0, &mut self.tx.bytes)),
        }
        self.streams.remove(&id);
    }

    fn wake_all(&mut self) {
        let State { streams, wakes, pings, .. } = self;
        wakes.extend(streams.values_mut().flat_map(Entry::wakers));
        pings.clear();
    }
}

impl Entry {
    fn wakers(&mut self) -> impl Iterator<Item = Waker> {
        [self.read.take(), self.write.take(), self.settle.take()].into_iter().flatten()
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("info", &self.info).finish_non_exhaustive()
    }
}
