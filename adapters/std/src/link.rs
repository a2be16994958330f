//! What the threads of a connection share: the machine, its buffers, and who waits for it.
//!
//! ```text
//!  Upgrading --Ready, and the gate agrees--> Open --closed, broken, socket failed--> over
//!      '---failed, or refused--> Failed
//! ```
//! The one loop that drives a machine is [`Link::turn`].

use crate::shared::Shared;
use bytes::BytesMut;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar};
use std::time::Duration;
use tidewire_adapter::{Closed, Info, Observed, Reason, UpgradeFailed};
use tidewire_core::{Machine, Time};
use tidewire_multistream::{self as multistream, Protocol, RouteId};
use tidewire_upgrade::connection::{By, Connection, Event, NEGOTIATION_FAILED, ReadStreamError};
use tidewire_upgrade::muxer::StreamId;
use tidewire_upgrade::pipeline::{Progress, Upgrade};

pub(crate) struct Link {
    pub(crate) phase: Phase,
    /// Came and is not consumed. The reader thread borrows it while it reads.
    pub(crate) rx: BytesMut,
    /// Waits for the writer thread.
    pub(crate) tx: BytesMut,
    /// No more will come.
    pub(crate) ended: bool,
    /// The socket failed. What came before is still taken in, up to the end.
    pub(crate) fault: Option<Reason>,
    pub(crate) streams: BTreeMap<StreamId, Slot>,
    pub(crate) inbound: VecDeque<(StreamId, Protocol, RouteId)>,
    /// How many answers to pings came, and the last round trip.
    pub(crate) pongs: (u64, Duration),
    /// Until when the writer thread sleeps, while it does.
    pub(crate) sleeps: Option<Time>,
    /// When it was upgraded.
    pub(crate) since: Time,
    pub(crate) over: Option<Over>,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    /// Both threads are done with the socket.
    pub(crate) closed: Option<Closed>,
}

pub(crate) enum Phase {
    Upgrading(Box<Upgrade>),
    Open(Box<Connection>),
    Failed(UpgradeFailed),
}

/// Since when it is over, and why: what is in `tx` is still sent.
pub(crate) struct Over {
    pub(crate) since: Time,
    pub(crate) by: By,
    pub(crate) why: Reason,
}

/// A stream, beside what the machine knows of it.
#[derive(Default)]
pub(crate) struct Slot {
    /// Whoever waits for the stream does it here.
    pub(crate) changed: Arc<Condvar>,
    pub(crate) protocol: Option<Protocol>,
    pub(crate) refused: Option<multistream::Error>,
    /// Read, and too long for the reader's buffer.
    pub(crate) ahead: BytesMut,
    pub(crate) read_timeout: Option<Duration>,
    pub(crate) write_timeout: Option<Duration>,
    pub(crate) read_to_end: bool,
    pub(crate) finished: bool,
    pub(crate) reset: bool,
    pub(crate) owner: Owner,
}

/// Who has a stream.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Owner {
    #[default]
    Application,
    /// It waits to be accepted.
    Inbound,
    /// Dropped after it was finished: it lives until the remote has finished too, or sends what nobody will read.
    Nobody,
}

/// What a machine said, or how it failed.
enum Told {
    Progress(Progress),
    Event(Event),
    Failed(UpgradeFailed),
    Broken(Reason),
}

/// One step of any machine.
fn step<M: Machine>(
    machine: &mut M,
    ended: bool,
    now: Time,
    rx: &mut BytesMut,
    tx: &mut BytesMut,
) -> Result<Option<M::Output>, M::Error> {
    if ended { machine.end(now, rx, tx) } else { machine.advance(now, rx, tx) }
}

impl Link {
    pub(crate) fn new(upgrade: Upgrade) -> Self {
        Link {
            phase: Phase::Upgrading(Box::new(upgrade)),
            rx: BytesMut::new(),
            tx: BytesMut::new(),
            ended: false,
            fault: None,
            streams: BTreeMap::new(),
            inbound: VecDeque::new(),
            pongs: (0, Duration::ZERO),
            sleeps: None,
            since: Time::ZERO,
            over: None,
            received: 0,
            sent: 0,
            closed: None,
        }
    }

    /// Lets the machine go as far as bytes, room and time allow, and wakes whoever waits for what came of it.
    pub(crate) fn turn(&mut self, shared: &Shared) {
        let now = shared.clock.now();
        while self.over.is_none() {
            let Link { phase, rx, tx, ended, .. } = self;
            let told = match phase {
                Phase::Upgrading(upgrade) => match step(&mut **upgrade, *ended, now, rx, tx) {
                    Ok(progress) => progress.map(Told::Progress),
                    Err(error) => Some(Told::Failed(error.into())),
                },
                Phase::Open(connection) => match step(&mut **connection, *ended, now, rx, tx) {
                    Ok(event) => event.map(Told::Event),
                    Err(error) => Some(Told::Broken(Reason::Protocol(error))),
                },
                Phase::Failed(_) => None,
            };
            match told {
                None => break,
                Some(Told::Progress(progress)) => self.progress(shared, &progress),
                Some(Told::Event(event)) => {
                    shared.watch.tell(|| Observed::Event(event.clone()));
                    self.event(shared, event);
                }
                Some(Told::Failed(error)) => self.fail(shared, error),
                Some(Told::Broken(why)) => self.finish(shared, By::Us, why),
            }
        }
        if self.ended
            && let Some(why) = self.fault.take()
        {
            self.finish(shared, By::Remote, why);
        }
        if self.over.is_some() || self.rx.is_empty() {
            shared.pool.give(std::mem::take(&mut self.rx));
        }
    }

    /// When the machine wants its next turn.
    pub(crate) fn deadline(&self) -> Time {
        match &self.phase {
            _ if self.over.is_some() => Time::NEVER,
            Phase::Upgrading(upgrade) => upgrade.deadline(),
            Phase::Open(connection) => connection.deadline(),
            Phase::Failed(_) => Time::NEVER,
        }
    }

    /// The open connection, and where it says what it has to say.
    pub(crate) fn machine(&mut self) -> Option<(&mut Connection, &mut BytesMut)> {
        match &mut self.phase {
            Phase::Open(connection) => Some((connection, &mut self.tx)),
            _ => None,
        }
    }

    /// Nothing more will come from the socket.
    pub(crate) fn end(&mut self, shared: &Shared, fault: Option<Reason>) {
        self.ended = true;
        self.fault = self.fault.take().or(fault);
        self.turn(shared);
    }

    /// We close it.
    pub(crate) fn close(&mut self, shared: &Shared, code: u32) {
        if self.over.is_none()
            && let Some((connection, tx)) = self.machine()
        {
            connection.close(code, tx);
            self.finish(shared, By::Us, Reason::Closed(Some(code)));
        }
    }

    /// It is over: from here on the writer sends what is left, and that was it.
    pub(crate) fn finish(&mut self, shared: &Shared, by: By, why: Reason) {
        if self.over.is_some() {
            return;
        }
        match &mut self.phase {
            Phase::Upgrading(_) => {
                let Reason::Socket(kind) = why else { return };
                return self.fail(shared, std::io::Error::from(kind).into());
            }
            // Closing it again is harmless: it only makes sure that reading says so too.
            Phase::Open(connection) => connection.close(0, &mut BytesMut::new()),
            Phase::Failed(_) => {}
        }
        self.over = Some(Over { since: shared.clock.now(), by, why });
        self.streams.values().for_each(|slot| slot.changed.notify_all());
        shared.changed.notify_all();
        shared.kick(self);
    }

    fn fail(&mut self, shared: &Shared, error: UpgradeFailed) {
        shared.watch.tell(|| Observed::Failed(error.to_string()));
        self.phase = Phase::Failed(error);
        self.finish(shared, By::Us, Reason::Closed(None));
    }

    fn progress(&mut self, shared: &Shared, progress: &Progress) {
        shared.watch.tell(|| Observed::Progress(progress.clone()));
        let Phase::Upgrading(upgrade) = &mut self.phase else { return };
        match progress {
            Progress::Peer(peer) => {
                if let Err(reason) = shared.gate.peer(*peer, &shared.remote) {
                    upgrade.refuse(&reason);
                    self.tx.clear();
                }
            }
            Progress::Ready => self.open(shared),
            _ => {}
        }
    }

    fn open(&mut self, shared: &Shared) {
        let placeholder = Phase::Failed(UpgradeFailed::refused(""));
        let Phase::Upgrading(upgrade) = std::mem::replace(&mut self.phase, placeholder) else { return };
        let Some(connection) = upgrade.into_connection() else { return };
        let info = Info::new(&connection, shared.remote.clone());
        self.since = shared.clock.now();
        self.phase = Phase::Open(Box::new(connection));
        if let Err(reason) = shared.gate.upgraded(&info) {
            self.tx.clear();
            self.fail(shared, UpgradeFailed::refused(&reason));
        }
        shared.changed.notify_all();
    }

    fn event(&mut self, shared: &Shared, event: Event) {
        match event {
            Event::Negotiated { id, protocol, route: Some(route), by: By::Remote } => {
                let slot = Slot { protocol: Some(protocol.clone()), owner: Owner::Inbound, ..Slot::default() };
                self.streams.insert(id, slot);
                self.inbound.push_back((id, protocol, route));
                shared.changed.notify_all();
            }
            Event::Negotiated { id, protocol, .. } => {
                if let Some(slot) = self.streams.get_mut(&id) {
                    slot.protocol = Some(protocol);
                }
                self.touch(id);
            }
            Event::NegotiationFailed { id, by: By::Us, error } => {
                if let Some(slot) = self.streams.get_mut(&id) {
                    slot.refused = Some(error);
                }
                self.touch(id);
            }
            Event::Readable(id) | Event::Writable(id) | Event::Finished(id) => self.touch(id),
            Event::Reset { id, .. } => {
                if self.streams.get(&id).is_some_and(|slot| slot.owner == Owner::Inbound) {
                    // Else a remote that opens and resets could make the queue grow.
                    self.inbound.retain(|(waiting, ..)| *waiting != id);
                    self.forget(id, 0);
                }
                self.touch(id);
            }
            // Without a router no protocol is served.
            Event::Opened(id) => self.forget(id, NEGOTIATION_FAILED),
            Event::Pong { rtt } => {
                self.pongs = (self.pongs.0 + 1, rtt);
                shared.changed.notify_all();
            }
            Event::Closed { by, code } => {
                let why = self.fault.take().unwrap_or(Reason::Closed(code));
                self.finish(shared, by, why);
            }
            Event::Openable | Event::GoAway { .. } => shared.changed.notify_all(),
            _ => {}
        }
    }

    /// Something happened on a stream.
    pub(crate) fn touch(&mut self, id: StreamId) {
        let Some(slot) = self.streams.get(&id) else { return };
        slot.changed.notify_all();
        if slot.owner == Owner::Nobody
            && let Some((connection, tx)) = self.machine()
            && connection.read(id, tx) != Err(ReadStreamError::Blocked)
        {
            self.forget(id, 0);
        }
    }

    /// Resets a stream, if it is not over by itself.
    pub(crate) fn forget(&mut self, id: StreamId, code: u32) {
        self.streams.remove(&id);
        if let Some((connection, tx)) = self.machine() {
            // A stream that the machine does not know any more is over.
            connection.reset(id, code, tx).ok();
        }
    }
}
