//! The reference: what the connection manager is documented to do, as slow and obvious as can be.
//!
//! Everything lies in plain lists. Every number is counted anew for each question, every order is sorted anew. Time is one
//! number, and what is due is looked for everywhere. Here are connections and streams; the other files have the rest.

use crate::world::{Answer, Lookup, Op, PEERS, WHY, address, ip_of, peer, role};
use core::net::IpAddr;
use core::time::Duration;
use tidewire_connmgr::dial::{DialFault, DialMisuse};
use tidewire_connmgr::{
    Action, By, CloseReason, Config, ConnectionId, DialId, Direction, Event, Misuse, RefuseReason, StreamId,
    StreamRefusal,
};
use tidewire_core::{Role, Time};

/// Everything that is there.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) config: Config,
    pub(crate) now: Time,
    /// The moment of the last input that was no misuse.
    pub(crate) told: Time,
    /// Pending ones as they came, and the others after them as they were established.
    pub(crate) connections: Vec<Connection>,
    /// In the order in which they were opened.
    pub(crate) streams: Vec<Stream>,
    /// What is reserved for peers, and for no one.
    pub(crate) peer_memory: [u64; PEERS],
    pub(crate) system_memory: u64,
    /// Incoming connections that were let in: from where, and when.
    pub(crate) let_in: Vec<(IpAddr, Time)>,
    pub(crate) worth: crate::worth::Worth,
    pub(crate) dials: crate::dials::Dials,
    pub(crate) shut_down: bool,
    /// What came of the last operation.
    pub(crate) answer: Answer,
    pub(crate) actions: Vec<Action>,
}

/// Where it began: what a failed run prints.
impl core::fmt::Debug for Model {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.config.fmt(f)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) id: u64,
    pub(crate) direction: Direction,
    pub(crate) at: usize,
    /// `None` while it is pending.
    pub(crate) peer: Option<usize>,
    pub(crate) role: Role,
    pub(crate) limited: bool,
    pub(crate) since: Time,
    pub(crate) used: Time,
    pub(crate) memory: u64,
    pub(crate) closing: Option<CloseReason>,
}

#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) connection: u64,
    pub(crate) peer: usize,
    pub(crate) id: u64,
    pub(crate) direction: Direction,
    /// `Some(None)`: one of those that are counted together.
    pub(crate) protocol: Option<Option<usize>>,
}

impl Connection {
    pub(crate) fn is_open(&self) -> bool {
        self.peer.is_some() && self.closing.is_none()
    }

    pub(crate) fn is_relayed(&self) -> bool {
        self.at >= 6
    }
}

impl Model {
    pub(crate) fn new(config: Config) -> Self {
        Model {
            config,
            now: Time::ZERO,
            told: Time::ZERO,
            connections: Vec::new(),
            streams: Vec::new(),
            peer_memory: [0; PEERS],
            system_memory: 0,
            let_in: Vec::new(),
            worth: crate::worth::Worth::default(),
            dials: crate::dials::Dials::default(),
            shut_down: false,
            answer: Answer::Waited,
            actions: Vec::new(),
        }
    }

    /// Does an operation. Each takes a nanosecond, so that no two connections are of the same age.
    pub(crate) fn apply(&mut self, op: Op) {
        self.actions.clear();
        match op {
            Op::Wait { time } => self.wait(time),
            Op::Sleep { time } => {
                self.wait(Duration::from_nanos(1));
                let end = self.now + time;
                let due = self.next_due() <= end;
                self.now = end;
                if due {
                    self.let_time_pass();
                }
            }
            _ => self.wait(Duration::from_nanos(1)),
        }
        self.no_step_is_due();
        self.answer = match op {
            Op::Wait { .. } | Op::Sleep { .. } | Op::Back => Answer::Waited,
            Op::Reserve { scope, bytes } => Answer::Reserved(self.reserve(scope, bytes)),
            Op::Release { scope, bytes } => Answer::Released(self.release(scope, bytes)),
            op => {
                let done = self.input(op);
                if done.is_ok() {
                    self.told = self.now;
                    self.trim_if_due();
                }
                Answer::Told(done)
            }
        };
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while self.next_due() <= end {
            self.now = self.now.max(self.next_due());
            self.let_time_pass();
        }
        self.now = end;
    }

    /// When anything happens by time alone.
    pub(crate) fn next_due(&self) -> Time {
        let idle = self.connections.iter().filter_map(|connection| self.idle_at(connection)).min();
        idle.unwrap_or(Time::NEVER).min(self.next_worth()).min(self.next_dialing())
    }

    /// All that is due now.
    fn let_time_pass(&mut self) {
        self.worth_passes();
        let idle = |model: &Model, connection: &Connection| model.idle_at(connection).is_some_and(|at| at <= model.now);
        let ids: Vec<(u64, Time)> = self
            .connections
            .iter()
            .filter(|c| idle(self, c))
            .map(|connection| (connection.id, connection.used))
            .collect();
        for (id, used) in ids {
            self.close(id, &CloseReason::Idle { idle: self.now.since(used) });
        }
        self.dialing_passes();
        self.trim_if_due();
    }

    /// "A connection without streams and data for this long is closed; at least 1 ms."
    fn idle_at(&self, connection: &Connection) -> Option<Time> {
        let idle = self.config.keep_alive.idle?.max(Duration::from_millis(1));
        let quiet = connection.is_open() && self.streams_on(connection.id).is_empty();
        quiet.then(|| connection.used + idle)
    }

    fn input(&mut self, op: Op) -> Result<(), Misuse> {
        match op {
            Op::Incoming { c, at } => self.incoming(c, at),
            Op::Upgraded { c, peer } => {
                let at = match self.find(c) {
                    None => return Err(Misuse::UnknownConnection(ConnectionId(c))),
                    Some(known) if known.peer.is_some() => return Err(Misuse::AlreadyEstablished(ConnectionId(c))),
                    Some(known) => known.at,
                };
                self.newcomer(Newcomer {
                    c,
                    peer,
                    direction: Direction::Inbound,
                    at,
                    limited: false,
                    from: From::Pending,
                });
                Ok(())
            }
            Op::Opened { c, peer, direction, at, limited } => {
                self.free(c)?;
                self.newcomer(Newcomer { c, peer, direction, at, limited, from: From::Nowhere });
                Ok(())
            }
            Op::Dialed { c, peer, d } => {
                self.free(c)?;
                let Some(expected) = self.take_dial(d) else {
                    if d >= self.dials.next_dial {
                        return Err(DialMisuse::UnknownDial(DialId(d)).into());
                    }
                    self.refuse(c, RefuseReason::DialOver);
                    return Ok(());
                };
                let from = From::Dial(expected);
                let at = expected % 5;
                self.newcomer(Newcomer { c, peer, direction: Direction::Outbound, at, limited: false, from });
                Ok(())
            }
            Op::Closed { c, by } => self.closed(c, by),
            Op::StreamOpened { c, s, direction, protocol } => self.stream_opened(c, s, direction, protocol),
            Op::StreamProtocol { c, s, protocol } => self.stream_protocol(c, s, protocol),
            Op::StreamClosed { c, s } => {
                self.established(c)?;
                self.stream(c, s)?;
                self.end_stream(c, s);
                Ok(())
            }
            Op::Used { c } => {
                self.established(c)?;
                self.touch(c);
                Ok(())
            }
            // No ping is ever sent; but an answer may have crossed with the close.
            Op::Pong { c } | Op::PingUnsupported { c } => {
                let closing = self.established(c)?.closing.is_some();
                if closing { Ok(()) } else { Err(Misuse::NoPing(ConnectionId(c))) }
            }
            Op::Close { c } => {
                let known = self.find(c).ok_or(Misuse::UnknownConnection(ConnectionId(c)))?;
                if known.peer.is_some() {
                    self.close(c, &CloseReason::Asked { why: WHY.into() });
                } else {
                    self.connections.retain(|connection| connection.id != c);
                    self.refuse(c, RefuseReason::Denied { why: WHY.into() });
                }
                Ok(())
            }
            Op::TrimNow => {
                self.trim();
                Ok(())
            }
            Op::Emergency => {
                self.emergency();
                Ok(())
            }
            Op::Shutdown => {
                self.shutdown();
                Ok(())
            }
            Op::Disconnect { peer } => {
                self.disconnect(peer);
                Ok(())
            }
            Op::Deny { .. } | Op::Allow { .. } => self.gate_input(op),
            Op::Dial { .. }
            | Op::Cancel { .. }
            | Op::Progress { .. }
            | Op::DialFailed { .. }
            | Op::NetworkChanged
            | Op::Addresses { .. } => self.dial_input(op),
            other => self.worth_input(other),
        }
    }

    fn free(&self, c: u64) -> Result<(), Misuse> {
        if self.find(c).is_some() { Err(Misuse::ConnectionExists(ConnectionId(c))) } else { Ok(()) }
    }

    pub(crate) fn find(&self, c: u64) -> Option<&Connection> {
        self.connections.iter().find(|connection| connection.id == c)
    }

    pub(crate) fn established(&self, c: u64) -> Result<&Connection, Misuse> {
        let known = self.find(c).ok_or(Misuse::UnknownConnection(ConnectionId(c)))?;
        if known.peer.is_some() { Ok(known) } else { Err(Misuse::NotEstablished(ConnectionId(c))) }
    }

    fn stream(&self, c: u64, s: u64) -> Result<&Stream, Misuse> {
        let found = self.streams.iter().find(|stream| (stream.connection, stream.id) == (c, s));
        found.ok_or(Misuse::UnknownStream(ConnectionId(c), StreamId(s)))
    }

    /// A peer's connections, closing ones too.
    pub(crate) fn of(&self, peer: usize) -> Vec<&Connection> {
        self.connections.iter().filter(|connection| connection.peer == Some(peer)).collect()
    }

    /// A peer's connections that are not closing.
    pub(crate) fn open_of(&self, peer: usize) -> Vec<&Connection> {
        self.of(peer).into_iter().filter(|connection| connection.is_open()).collect()
    }

    pub(crate) fn streams_on(&self, c: u64) -> Vec<&Stream> {
        self.streams.iter().filter(|stream| stream.connection == c).collect()
    }

    pub(crate) fn touch(&mut self, c: u64) {
        let now = self.now;
        self.connections.iter_mut().filter(|connection| connection.id == c).for_each(|found| found.used = now);
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.actions.push(Action::Event(event));
    }

    pub(crate) fn refuse(&mut self, c: u64, reason: RefuseReason) {
        self.actions.push(Action::Refuse { connection: ConnectionId(c), reason });
    }

    fn incoming(&mut self, c: u64, at: usize) -> Result<(), Misuse> {
        self.free(c)?;
        if let Err(reason) = self.may_come_in(at) {
            self.refuse(c, reason);
            return Ok(());
        }
        if let Some(ip) = ip_of(at) {
            self.let_in.push((ip, self.now));
        }
        self.connections.push(Connection {
            id: c,
            direction: Direction::Inbound,
            at,
            peer: None,
            role: Role::Responder,
            limited: false,
            since: self.now,
            used: self.now,
            memory: 0,
            closing: None,
        });
        self.actions.push(Action::Accept { connection: ConnectionId(c) });
        Ok(())
    }

    fn may_come_in(&self, at: usize) -> Result<(), RefuseReason> {
        if self.shut_down {
            return Err(RefuseReason::Shutdown);
        }
        if self.denies_ip_of(at) {
            return Err(RefuseReason::Denied { why: WHY.into() });
        }
        self.rate_room(at).map_err(RefuseReason::Limit)?;
        self.pending_room(Direction::Inbound).map_err(RefuseReason::Limit)?;
        self.network_room(at).map_err(RefuseReason::Limit)
    }

    fn newcomer(&mut self, newcomer: Newcomer) {
        let Newcomer { c, peer: n, direction, at, limited, from } = newcomer;
        let judged = self.judge(newcomer);
        self.connections.retain(|connection| connection.id != c);
        if let Err(reason) = judged {
            self.refuse(c, reason.clone());
            if let From::Dial(..) = from {
                let fault = match reason {
                    RefuseReason::WrongPeer { .. } | RefuseReason::Ourselves => DialFault::WrongPeer(peer(n)),
                    RefuseReason::Limit(limit) => DialFault::Limit(limit),
                    RefuseReason::Denied { why } => DialFault::Gated(why),
                    other => DialFault::Local(other.to_string().into()),
                };
                self.dial_is_over(fault);
            }
            return;
        }
        let first = self.of(n).is_empty();
        self.connections.push(Connection {
            id: c,
            direction,
            at,
            peer: Some(n),
            role: role(direction),
            limited,
            since: self.now,
            used: self.now,
            memory: 0,
            closing: None,
        });
        self.worth.has_connection(n);
        if first {
            self.tell(Event::Connected { peer: peer(n) });
        }
        let (connection, remote) = (ConnectionId(c), address(at));
        self.tell(Event::ConnectionOpened { connection, peer: peer(n), direction, remote, limited });
        self.dial_answered(n, c, at < 6, matches!(from, From::Dial(..)));
    }

    /// Whether a newcomer may stay. If only the hard cap stands against it, somebody goes in its favour.
    fn judge(&mut self, newcomer: Newcomer) -> Result<(), RefuseReason> {
        let Newcomer { peer: n, direction, at, from, .. } = newcomer;
        if let From::Dial(expected) = from
            && expected != n
        {
            return Err(RefuseReason::WrongPeer { expected: peer(expected) });
        }
        if n == 0 {
            return Err(RefuseReason::Ourselves);
        }
        if self.shut_down {
            return Err(RefuseReason::Shutdown);
        }
        if self.denies_peer(n) || self.denies_ip_of(at) {
            return Err(RefuseReason::Denied { why: WHY.into() });
        }
        self.established_room(direction, n).map_err(RefuseReason::Limit)?;
        if from == From::Nowhere {
            self.network_room(at).map_err(RefuseReason::Limit)?;
        }
        if let Err(full) = self.total_room() {
            let victim = self.victim_for(n, direction, u32::try_from(full.cap).unwrap_or(u32::MAX))?;
            self.close_peer(victim, &CloseReason::Evicted { newcomer: peer(n) });
        }
        Ok(())
    }

    fn closed(&mut self, c: u64, by: By) -> Result<(), Misuse> {
        let gone = self.find(c).ok_or(Misuse::UnknownConnection(ConnectionId(c)))?.clone();
        let Some(n) = gone.peer else {
            self.connections.retain(|connection| connection.id != c);
            return Ok(());
        };
        for stream in self.streams_on(c).into_iter().map(|stream| stream.id).collect::<Vec<_>>() {
            self.end_stream(c, stream);
        }
        self.connections.retain(|connection| connection.id != c);
        self.connection_ended(n, gone.is_open());
        let (by, reason) = match gone.closing {
            Some(reason) => (By::Local, reason),
            None => (by, CloseReason::Reported { why: WHY.into() }),
        };
        let (connection, lived) = (ConnectionId(c), self.now.since(gone.since));
        self.tell(Event::ConnectionClosed { connection, peer: peer(n), by, reason, lived });
        if self.of(n).is_empty() {
            self.tell(Event::Disconnected { peer: peer(n) });
            self.addresses_after_disconnect(n);
        }
        Ok(())
    }

    /// Asks for a connection's end, once.
    pub(crate) fn close(&mut self, c: u64, reason: &CloseReason) {
        let Some(found) = self.connections.iter_mut().find(|connection| connection.id == c) else { return };
        let (Some(peer), None) = (found.peer, &found.closing) else { return };
        found.closing = Some(reason.clone());
        self.connection_ended(peer, true);
        self.actions.push(Action::Close { connection: ConnectionId(c), reason: reason.clone() });
    }

    pub(crate) fn close_peer(&mut self, peer: usize, reason: &CloseReason) {
        for c in self.open_of(peer).into_iter().map(|connection| connection.id).collect::<Vec<_>>() {
            self.close(c, reason);
        }
    }

    fn stream_opened(&mut self, c: u64, s: u64, direction: Direction, protocol: Option<usize>) -> Result<(), Misuse> {
        let (connection, stream) = (ConnectionId(c), StreamId(s));
        let on = self.established(c)?.clone();
        if self.stream(c, s).is_ok() {
            return Err(Misuse::StreamExists(connection, stream));
        }
        let n = on.peer.unwrap_or_default();
        let refusal = if on.closing.is_some() {
            Err(StreamRefusal::Closing)
        } else {
            self.stream_room(c, n, direction, protocol).map_err(StreamRefusal::Limit)
        };
        if let Err(reason) = refusal {
            self.actions.push(Action::RefuseStream { connection, stream, reason });
            return Ok(());
        }
        let protocol = protocol.map(|name| self.counted_name(name));
        self.streams.push(Stream { connection: c, peer: n, id: s, direction, protocol });
        self.touch(c);
        self.tell(Event::StreamOpened { connection, stream, peer: peer(n), direction });
        Ok(())
    }

    fn stream_protocol(&mut self, c: u64, s: u64, name: usize) -> Result<(), Misuse> {
        let (connection, stream) = (ConnectionId(c), StreamId(s));
        self.established(c)?;
        let known = self.stream(c, s)?.clone();
        if known.protocol.is_some() {
            return Err(Misuse::ProtocolKnown(connection, stream));
        }
        if let Err(limit) = self.protocol_room(known.peer, known.direction, name) {
            self.end_stream(c, s);
            self.actions.push(Action::RefuseStream { connection, stream, reason: StreamRefusal::Limit(limit) });
            return Ok(());
        }
        let group = self.counted_name(name);
        let found = self.streams.iter_mut().find(|stream| (stream.connection, stream.id) == (c, s));
        found.into_iter().for_each(|stream| stream.protocol = Some(group));
        Ok(())
    }

    fn end_stream(&mut self, c: u64, s: u64) {
        let Some(at) = self.streams.iter().position(|stream| (stream.connection, stream.id) == (c, s)) else { return };
        let gone = self.streams.remove(at);
        self.touch(c);
        self.tell(Event::StreamClosed { connection: ConnectionId(c), stream: StreamId(s), peer: peer(gone.peer) });
    }

    fn shutdown(&mut self) {
        if self.shut_down {
            return;
        }
        self.shut_down = true;
        for connection in self.connections.clone() {
            self.end_for(&connection, &CloseReason::Shutdown, RefuseReason::Shutdown);
        }
        self.end_all_dials();
    }

    /// Closes an established connection, refuses a pending one.
    pub(crate) fn end_for(&mut self, connection: &Connection, close: &CloseReason, refuse: RefuseReason) {
        if connection.peer.is_some() {
            self.close(connection.id, close);
        } else {
            self.connections.retain(|other| other.id != connection.id);
            self.refuse(connection.id, refuse);
        }
    }

    /// What there is, for the operations to come.
    pub(crate) fn lookup(&self) -> Lookup {
        let ids = |which: fn(&Connection) -> bool| {
            self.connections.iter().filter(|connection| which(connection)).map(|connection| connection.id).collect()
        };
        Lookup {
            pending: ids(|connection| connection.peer.is_none()),
            open: ids(Connection::is_open),
            closing: ids(|connection| connection.closing.is_some()),
            streams: self.streams.iter().map(|stream| (stream.connection, stream.id)).collect(),
            dials: self.dials.under_way(),
            requests: self.dials.requests(),
        }
    }
}

#[derive(Clone, Copy)]
struct Newcomer {
    c: u64,
    peer: usize,
    direction: Direction,
    at: usize,
    limited: bool,
    from: From,
}

#[derive(Clone, Copy, PartialEq)]
enum From {
    Pending,
    Nowhere,
    /// A dial to this peer.
    Dial(usize),
}
