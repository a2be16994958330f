//! A link under a lock: shared by the task that owns its socket, and by the application's streams.
//!
//! ```text
//!  streams --write, read, finish--> [ Link, tx ] <--advance(rx)-- task --read, write--> socket
//!                                        |   '-- when there is something for the task to do: wakes it
//!                     Mailbox --Orders---'   '--Reports--> Hub
//! ```
//! The lock is held for one call of the machine at a time, never while the socket is used, and never while the hub is told
//! something: a task first collects, lets go, then tells.

use crate::audience::Inbound;
use crate::buffer::{Buffer, Pool, lock};
use crate::clock::Clock;
use crate::hooks::{Observed, PANICKED, Watch};
use crate::hub::Hub;
use crate::mailbox::{Mail, Mailbox};
use crate::stream::Stream;
use crate::waiters::{Waiters, Waiting};
use bytes::BytesMut;
use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use tidewire_core::{Machine, Multiaddr, PeerId, Time};
use tidewire_host::link::{Link, LinkEvent, Report, StreamEvent};
use tidewire_host::{ConnectionId, OpenId, StreamId};
use tidewire_multistream::{Protocol, RouteId};
use tidewire_upgrade::connection::{Connection, ReadStreamError};
use tidewire_upgrade::muxer::{StreamError, WriteError};

/// How often one turn tells and looks again at most, so that no line holds its task for long.
const MAX_ROUNDS: usize = 16;

/// Bytes that one call writes at most, so that no stream holds its connection for long.
const MAX_WRITE: usize = 64 * 1024;

/// One connection, from the moment when its socket is there.
pub struct Line {
    connection: ConnectionId,
    remote: Multiaddr,
    mailbox: Arc<Mailbox>,
    clock: Clock,
    pool: Arc<Pool>,
    watch: Watch,
    /// Bytes that the socket took, and gave.
    sent: AtomicU64,
    received: AtomicU64,
    /// What the hub knows of the memory that the link holds.
    holds: AtomicU64,
    state: Mutex<State>,
}

/// What is under the lock.
pub(crate) struct State {
    pub(crate) link: Link,
    /// What the task has not taken yet.
    pub(crate) tx: Buffer,
    waiting: Waiters,
    /// The task, while it sleeps.
    task: Option<Waker>,
    /// The task will come back by itself: the socket has not taken everything yet.
    sending: bool,
    /// The task tells what its turn brought, and will look here again.
    telling: bool,
    /// When the task will come back in any case.
    alarm: Time,
}

/// What a task is to do after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// Send what is in `tx`; come back when bytes came or went, when woken, or at this time.
    Wait(Time),
    /// Send what is in `tx`, close the socket in an orderly way.
    Over,
    /// Close the socket at once.
    Refused,
}

/// What a turn brought, to be told once the lock is released.
#[derive(Default)]
struct News {
    wakes: Vec<Waker>,
    reports: Vec<Report>,
    opened: Vec<(OpenId, StreamId, Protocol)>,
    incoming: Vec<(StreamId, Protocol, RouteId)>,
    peer: Option<PeerId>,
    /// [`Report::Holds`]: the last one.
    holds: Option<u64>,
}

impl Line {
    pub(crate) fn new(
        link: Link,
        (connection, remote): (ConnectionId, Multiaddr),
        mailbox: Arc<Mailbox>,
        (clock, pool, watch): (Clock, Arc<Pool>, Watch),
    ) -> Arc<Line> {
        let tx = Buffer::default();
        let alarm = Time::NEVER;
        let waiting = Waiters::default();
        let state = Mutex::new(State { link, tx, waiting, task: None, sending: false, telling: false, alarm });
        let [sent, received, holds] = [const { AtomicU64::new(0) }; 3];
        Arc::new(Line { connection, remote, mailbox, clock, pool, watch, sent, received, holds, state })
    }

    /// The host's name for it.
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// The remote's end of the socket.
    pub fn remote(&self) -> &Multiaddr {
        &self.remote
    }

    /// Everything that can be done now: for the task that owns the socket. `rx` is what came, `ended` that no more will come;
    /// what is to be sent is put into `tx` if that is empty.
    pub fn turn(self: &Arc<Self>, hub: &Hub, task: &Waker, rx: &mut BytesMut, ended: bool, tx: &mut Buffer) -> Turned {
        let (mut holds, mut round) = (None, 1);
        let turned = loop {
            let mut news = News::default();
            let turned = self.step(task, rx, ended, tx, &mut news);
            holds = news.holds.take().or(holds);
            let told = news.is_told();
            self.tell(hub, news);
            // What was told may have been answered, at once or by mail: it goes out with the rest. A link that is over still hands
            // out the streams that came before its end.
            let answered = told && lock(&self.state).answered();
            if turned == Turned::Refused || (!answered && self.mailbox.is_empty()) {
                break turned;
            }
            if round == MAX_ROUNDS {
                // Others want their turn.
                task.wake_by_ref();
                break turned;
            }
            round += 1;
        };
        self.tell_holds(hub, turned, holds);
        turned
    }

    /// What came, said by a thread that does nothing but read the socket. What there is to send is left to the task, which is
    /// woken if there is something for it to do. One of both is to be here at a time, so that what is told keeps its order.
    pub fn hear(self: &Arc<Self>, hub: &Hub, task: &Waker, rx: &mut BytesMut, ended: bool) -> Turned {
        let mut news = News::default();
        let mail = self.mailbox.take(task);
        let now = self.clock.now();
        let turned = self.act(|state| {
            let refused = state.deliver(now, mail, &mut news);
            let over = state.advance(self, now, (rx, ended), &mut news);
            state.turned(refused, over, &mut news)
        });
        let holds = news.holds.take();
        self.tell(hub, news);
        self.tell_holds(hub, turned, holds);
        turned
    }

    /// The socket took so many bytes.
    pub fn sent(&self, hub: &Hub, count: usize) {
        self.sent.fetch_add(count as u64, Relaxed);
        hub.traffic().sent.fetch_add(count as u64, Relaxed);
        self.watch(|| Observed::Sent(count));
    }

    /// The socket gave so many bytes: not none, which is its end.
    pub fn received(&self, hub: &Hub, count: usize) {
        self.received.fetch_add(count as u64, Relaxed);
        hub.traffic().received.fetch_add(count as u64, Relaxed);
        self.watch(|| Observed::Received(count));
    }

    /// The socket is closed.
    pub fn done(&self) {
        let (sent, received) = (self.sent.load(Relaxed), self.received.load(Relaxed));
        self.watch.tell(|| Observed::Done { sent, received });
    }

    /// The socket broke, or its task is over: the last turn.
    pub fn broken(self: &Arc<Self>, hub: &Hub, why: &str) {
        self.watch.tell(|| Observed::Failed(why.to_owned()));
        lock(&self.state).link.broken(why);
        // Nobody takes it any more.
        let mut unsent = Buffer::default();
        self.turn(hub, Waker::noop(), &mut BytesMut::new(), false, &mut unsent);
    }

    /// Wakes somebody in the task's next turn.
    pub(crate) fn wake_later(&self, waker: Waker) {
        self.mailbox.push(Mail::Wake(waker));
    }

    /// What the clock says.
    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    pub(crate) fn watch(&self, event: impl FnOnce() -> Observed) {
        if self.watch.is_observed() {
            lock(&self.state).watch(self, event);
        }
    }

    fn step(&self, task: &Waker, rx: &mut BytesMut, ended: bool, out: &mut Buffer, news: &mut News) -> Turned {
        let mail = self.mailbox.take(task);
        let now = self.clock.now();
        let mut state = lock(&self.state);
        state.swap(out);
        let refused = state.deliver(now, mail, news);
        let over = state.advance(self, now, (rx, ended), news);
        state.swap(out);
        if over {
            out.bytes.extend_from_slice(&state.tx.bytes);
            state.tx = Buffer::default();
        }
        state.sending = !out.bytes.is_empty();
        if !state.sending {
            // What was swapped may be an empty buffer: who has nothing to say holds none.
            state.tx.rest();
        }
        state.alarm = state.link.deadline();
        if !state.task.as_ref().is_some_and(|known| known.will_wake(task)) {
            state.task = Some(task.clone());
        }
        let turned = state.turned(refused, over, news);
        state.telling = news.is_told();
        turned
    }

    /// A piece that is read at once is held for a moment only: that is not worth a word.
    fn tell_holds(&self, hub: &Hub, turned: Turned, holds: Option<u64>) {
        if let (Turned::Wait(_), Some(bytes)) = (turned, holds)
            && self.holds.swap(bytes, Relaxed) != bytes
        {
            hub.reports(self.connection, vec![Report::Holds { bytes }]);
        }
    }

    fn tell(self: &Arc<Self>, hub: &Hub, news: News) {
        let News { wakes, reports, opened, incoming, peer, .. } = news;
        wakes.into_iter().for_each(Waker::wake);
        if !reports.is_empty() {
            hub.reports(self.connection, reports);
        }
        for (open, id, protocol) in opened {
            hub.opened(open, Stream::new(self.clone(), id, protocol));
        }
        // Only what is upgraded has streams.
        let Some(peer) = peer else { return };
        for (id, protocol, route) in incoming {
            let stream = Stream::new(self.clone(), id, protocol.clone());
            hub.audience.incoming(route, Inbound { peer, connection: self.connection, protocol, stream });
        }
    }

    /// Acts on the link from outside its task, and wakes the task if there is something for it to do.
    fn act<R>(&self, action: impl FnOnce(&mut State) -> R) -> R {
        let mut state = lock(&self.state);
        let result = action(&mut state);
        let task = if !state.telling && state.is_wanted() { state.task.take() } else { None };
        drop(state);
        if let Some(task) = task {
            task.wake();
        }
        result
    }

    pub(crate) fn poll_read(&self, id: StreamId, waker: &Waker) -> Poll<Result<Option<BytesMut>, ReadStreamError>> {
        self.act(|state| match state.link.read(id, &mut state.tx.bytes) {
            Err(ReadStreamError::Blocked) => {
                state.waiting.keep_read(id, waker);
                Poll::Pending
            }
            done => Poll::Ready(done),
        })
    }

    pub(crate) fn poll_write(&self, id: StreamId, waker: &Waker, data: &[u8]) -> Poll<Result<usize, WriteError>> {
        let data = data.get(..MAX_WRITE).unwrap_or(data);
        self.act(|state| {
            state.tx.fill(&self.pool);
            match state.link.write(id, data, &mut state.tx.bytes) {
                Err(WriteError::Blocked) => {
                    state.waiting.keep_write(id, waker);
                    Poll::Pending
                }
                done => Poll::Ready(done),
            }
        })
    }

    /// Ready once both ends agreed on the protocol of a stream, or did not.
    pub(crate) fn poll_negotiated(&self, id: StreamId, waker: &Waker) -> Poll<Result<(), ReadStreamError>> {
        self.act(|state| {
            let tx = &mut state.tx.bytes;
            if state.link.is_negotiating(id) {
                if state.link.is_over() {
                    return Poll::Ready(Err(ReadStreamError::Closed));
                }
                state.waiting.keep_read(id, waker);
                return Poll::Pending;
            }
            Poll::Ready(match state.link.write(id, &[], tx) {
                // Why, reading says: there is nothing to be read.
                Err(WriteError::Refused) => state.link.read(id, tx).map(drop),
                Err(WriteError::Reset { by, code }) => Err(ReadStreamError::Reset { by, code }),
                Err(WriteError::Unknown) => Err(ReadStreamError::Unknown),
                _ => Ok(()),
            })
        })
    }

    /// Ready once a stream is a circuit, or can't be one any more.
    pub(crate) fn poll_circuit(&self, id: StreamId, waker: &Waker) -> Poll<()> {
        self.act(|state| {
            if !state.link.awaits_circuit(id) {
                return Poll::Ready(());
            }
            state.waiting.keep_read(id, waker);
            Poll::Pending
        })
    }

    /// Ready once a stream is reset, or gone.
    pub(crate) fn poll_reset(&self, id: StreamId, waker: &Waker) -> Poll<()> {
        self.act(|state| match state.link.write(id, &[], &mut state.tx.bytes) {
            Err(WriteError::Reset { .. } | WriteError::Unknown | WriteError::Failed) => Poll::Ready(()),
            _ => {
                state.waiting.keep_write(id, waker);
                Poll::Pending
            }
        })
    }

    pub(crate) fn finish(&self, id: StreamId) -> Result<(), StreamError> {
        self.act(|state| state.link.finish(id, &mut state.tx.bytes))
    }

    /// The application has let go of a stream. With a code it ends at once; else what was written still arrives.
    pub(crate) fn leave(&self, id: StreamId, reset: Option<u32>) {
        let waiting = self.act(|state| {
            match reset {
                // The link may have forgotten it already.
                Some(code) => drop(state.link.reset(id, code, &mut state.tx.bytes)),
                None => state.link.leave(id, &mut state.tx.bytes),
            }
            state.waiting.remove(id)
        });
        // Another thread's read, say.
        waiting.into_iter().for_each(|mut waiting| waiting.all().for_each(Waker::wake));
    }
}

impl News {
    /// Whether anybody is told anything who may answer at once.
    fn is_told(&self) -> bool {
        !(self.wakes.is_empty() && self.reports.is_empty() && self.opened.is_empty() && self.incoming.is_empty())
    }
}

impl State {
    /// Whether there is something for the task to do.
    fn is_wanted(&self) -> bool {
        (!self.tx.bytes.is_empty() && !self.sending) || self.link.deadline() < self.alarm
    }

    /// All was told. True: that led to something for the task to do.
    fn answered(&mut self) -> bool {
        self.telling = false;
        self.is_wanted()
    }

    /// Hands what is to be sent to the task, if it has sent everything before.
    fn swap(&mut self, out: &mut Buffer) {
        if out.bytes.is_empty() && !self.tx.bytes.is_empty() {
            std::mem::swap(out, &mut self.tx);
        }
    }

    /// Hands over what the hub has to say. True: it refuses the connection.
    fn deliver(&mut self, now: Time, mail: VecDeque<Mail>, news: &mut News) -> bool {
        let State { link, tx, .. } = self;
        let mut refused = false;
        for mail in mail {
            match mail {
                Mail::Order(order) => link.order(now, order, &mut tx.bytes),
                Mail::Card(card) => link.set_card(card),
                Mail::Routes(routes) => link.set_routes(routes),
                Mail::Refuse => {
                    link.broken("refused");
                    refused = true;
                }
                Mail::Wake(waker) => news.wakes.push(waker),
            }
        }
        refused
    }

    /// What a turn comes to.
    fn turned(&self, refused: bool, over: bool, news: &mut News) -> Turned {
        match over {
            _ if refused => {
                news.reports.clear();
                Turned::Refused
            }
            true => Turned::Over,
            false => Turned::Wait(self.link.deadline()),
        }
    }

    /// Lets the link go as far as bytes, room and time allow. True: it is over.
    fn advance(&mut self, line: &Line, now: Time, (rx, ended): (&mut BytesMut, bool), news: &mut News) -> bool {
        loop {
            let State { link, tx, .. } = self;
            let Ok(event) = link.advance_or_end(now, rx, &mut tx.bytes, ended);
            match event {
                None => break,
                Some(LinkEvent::Report(report)) => {
                    self.watch(line, || Observed::Report(report.clone()));
                    match report {
                        Report::Holds { bytes } => news.holds = Some(bytes),
                        report => news.reports.push(report),
                    }
                }
                Some(LinkEvent::Progress(progress)) => self.watch(line, || Observed::Progress(progress)),
                Some(LinkEvent::Stream(event)) => self.on_stream(event, news),
                Some(_) => {}
            }
        }
        news.peer = self.link.connection().map(Connection::peer);
        let over = self.link.is_over();
        if over {
            news.wakes.extend(self.waiting.all());
        }
        over
    }

    /// Tells the observer. One that panics ends the connection of which it was told.
    fn watch(&mut self, line: &Line, event: impl FnOnce() -> Observed) {
        if !line.watch.tell(event) {
            let peer = self.link.connection().map(Connection::peer);
            crate::log::hook_panicked(line.connection, peer, &line.remote);
            self.link.broken(PANICKED);
        }
    }

    fn on_stream(&mut self, event: StreamEvent, news: &mut News) {
        match event {
            StreamEvent::Opened { open, stream, protocol } => news.opened.push((open, stream, protocol)),
            StreamEvent::Incoming { stream, protocol, route, .. } => news.incoming.push((stream, protocol, route)),
            StreamEvent::Readable(id) => {
                news.wakes.extend(self.waiting.get(id).and_then(|waiting| waiting.read.take()));
            }
            StreamEvent::Writable(id) => {
                news.wakes.extend(self.waiting.get(id).and_then(|waiting| waiting.write.take()));
            }
            StreamEvent::Reset { stream, .. } => {
                news.wakes.extend(self.waiting.get(stream).into_iter().flat_map(Waiting::all));
            }
            _ => {}
        }
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("connection", &self.connection)
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}
