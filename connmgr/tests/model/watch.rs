//! What must hold in any case, whatever is switched on: a driver that watches every action, and counts along.
//!
//! Actions name what is there; each peer is told of in the order that is promised; the counters equal the truth, and keep the
//! caps; a misuse changes nothing; a deadline that was served moves on; and when all is over, nothing is left. Pings are
//! answered here, by the number of the connection: with a pong, with "unsupported", or never.

use crate::setup::config;
use crate::world::{Answer, Lookup, Op, WHY, carry_out, peer};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tidewire_connmgr::{
    Action, By, Config, ConnectionId, ConnectionManager, DialId, Event, Input, RequestId, StreamId,
};
use tidewire_core::{EventMachine, PeerId, Seed, Time};

/// More than this world can take: some peers, ten connections, their streams, and what is remembered of them.
const MEMORY: usize = 256 << 10;

/// The machine, and what is known of it from its actions alone.
pub(crate) struct Watch {
    manager: ConnectionManager,
    config: Config,
    now: Time,
    pending: BTreeSet<ConnectionId>,
    established: BTreeMap<ConnectionId, PeerId>,
    closing: BTreeSet<ConnectionId>,
    streams: BTreeSet<(ConnectionId, StreamId)>,
    connected: BTreeSet<PeerId>,
    dials: BTreeMap<DialId, PeerId>,
    next_dial: u64,
    requests: BTreeSet<RequestId>,
    pinged: BTreeSet<ConnectionId>,
}

impl Watch {
    /// `per_peer`: how many connections a pair of peers may keep.
    pub(crate) fn new(bytes: &[u8; 40], per_peer: u32) -> Watch {
        let mut config = config(bytes);
        config.duplicates.per_peer = per_peer;
        config.keep_alive.ping_interval = Some(Duration::from_secs(30));
        config.dial.backoff_jitter = 25;
        Watch {
            manager: ConnectionManager::new(config.clone(), peer(0), &Seed::new([11; 32])),
            config,
            now: Time::ZERO,
            pending: BTreeSet::new(),
            established: BTreeMap::new(),
            closing: BTreeSet::new(),
            streams: BTreeSet::new(),
            connected: BTreeSet::new(),
            dials: BTreeMap::new(),
            next_dial: 0,
            requests: BTreeSet::new(),
            pinged: BTreeSet::new(),
        }
    }

    /// What four bytes bring about.
    pub(crate) fn run(&mut self, bytes: [u8; 4]) {
        self.step(Op::decode(bytes, &self.lookup(), false));
    }

    fn lookup(&self) -> Lookup {
        let open = self.established.keys().filter(|id| !self.closing.contains(id));
        Lookup {
            pending: self.pending.iter().map(|id| id.0).collect(),
            open: open.map(|id| id.0).collect(),
            closing: self.closing.iter().map(|id| id.0).collect(),
            streams: self.streams.iter().map(|(connection, stream)| (connection.0, stream.0)).collect(),
            dials: self
                .dials
                .iter()
                .map(|(dial, to)| (dial.0, (1..7).find(|n| peer(*n) == *to).unwrap_or(0)))
                .collect(),
            requests: self.requests.iter().map(|request| request.0).collect(),
        }
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Wait { time } => self.wait(time),
            Op::Sleep { time } => {
                self.now = self.now + time;
                self.pass(self.now);
            }
            _ => self.wait(Duration::from_nanos(1)),
        }
        let before = self.manager.counts();
        let at = if op == Op::Back { Time::ZERO } else { self.now };
        let answer = carry_out(&mut self.manager, at, op);
        if matches!(&answer, Answer::Told(Err(_)) | Answer::Reserved(Err(_) | Ok(Err(_))) | Answer::Released(Err(_))) {
            assert_eq!(self.manager.poll(), None, "{op:?} was a misuse");
            assert_eq!(self.manager.counts(), before, "{op:?} was a misuse");
        } else {
            self.note(op);
        }
        self.drain(Some(op));
        self.check();
    }

    /// What the caller knows from having said it.
    fn note(&mut self, op: Op) {
        match op {
            Op::Closed { c, .. } => {
                self.pending.remove(&ConnectionId(c));
            }
            Op::Upgraded { c, .. } => {
                self.pending.remove(&ConnectionId(c));
            }
            Op::Dialed { d, .. } | Op::DialFailed { d, .. } => {
                self.dials.remove(&DialId(d));
            }
            Op::Dial { r, .. } => {
                self.requests.insert(RequestId(r));
            }
            Op::Pong { c } | Op::PingUnsupported { c } => {
                self.pinged.remove(&ConnectionId(c));
            }
            Op::Cancel { r } => {
                self.requests.remove(&RequestId(r));
            }
            _ => {}
        }
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while self.manager.deadline() <= end {
            let due = self.now.max(self.manager.deadline());
            self.pass(due);
        }
        self.now = end;
    }

    fn pass(&mut self, now: Time) {
        self.now = now;
        self.manager.on_timeout(now);
        self.drain(None);
        assert!(self.manager.deadline() > now, "the deadline stands still at {now:?}");
    }

    /// Takes the actions, and answers pings, until there is nothing more.
    fn drain(&mut self, op: Option<Op>) {
        let mut pings = VecDeque::new();
        loop {
            while let Some(action) = self.manager.poll() {
                pings.extend(self.see(action, op));
            }
            let Some(connection) = pings.pop_front() else { return };
            let input = match connection.0 % 3 {
                1 => Input::Pong { connection, rtt: Duration::from_millis(connection.0 * 30) },
                2 => Input::PingUnsupported { connection },
                _ => continue,
            };
            // It may be closing by now.
            if self.pinged.remove(&connection) {
                self.manager.handle(self.now, input).expect("a ping is under way");
            }
        }
    }

    /// Checks one action. A ping is to be answered.
    fn see(&mut self, action: Action, op: Option<Op>) -> Option<ConnectionId> {
        match action {
            Action::Accept { connection } => {
                assert!(matches!(op, Some(Op::Incoming { c, .. }) if ConnectionId(c) == connection));
                assert!(self.pending.insert(connection), "{connection} is accepted twice");
            }
            Action::Refuse { connection, .. } => {
                let now = match op {
                    Some(
                        Op::Incoming { c, .. } | Op::Upgraded { c, .. } | Op::Opened { c, .. } | Op::Dialed { c, .. },
                    ) => ConnectionId(c) == connection,
                    _ => false,
                };
                assert!(self.pending.remove(&connection) || now, "{connection} is refused, and isn't there");
                assert!(!self.established.contains_key(&connection), "{connection} is refused, and established");
            }
            Action::RefuseStream { connection, .. } => {
                assert!(self.established.contains_key(&connection), "a stream on {connection} is refused");
            }
            Action::Close { connection, .. } => {
                assert!(self.established.contains_key(&connection), "{connection} isn't there to be closed");
                assert!(self.closing.insert(connection), "{connection} is closed twice");
                self.pinged.remove(&connection);
            }
            Action::Drain { connection, onto } => {
                assert_ne!(connection, onto);
                assert!(self.is_open(connection) && self.is_open(onto), "{connection} is drained onto {onto}");
                assert_eq!(self.established.get(&connection), self.established.get(&onto));
            }
            Action::Ping { connection, .. } => {
                assert!(self.is_open(connection), "{connection} isn't there to be pinged");
                assert!(self.pinged.insert(connection), "{connection} is pinged twice");
                return Some(connection);
            }
            Action::Dial { dial, peer, .. } => {
                assert!(dial.0 >= self.next_dial, "{dial} is used twice");
                self.next_dial = dial.0 + 1;
                self.dials.insert(dial, peer);
            }
            Action::Abort { dial } => {
                assert!(self.dials.remove(&dial).is_some(), "{dial} isn't there to be aborted");
            }
            Action::Event(event) => self.hear(&event),
            other => panic!("an action that nobody knows: {other:?}"),
        }
        None
    }

    fn is_open(&self, connection: ConnectionId) -> bool {
        self.established.contains_key(&connection) && !self.closing.contains(&connection)
    }

    /// Per peer: connected, (opened, (stream opened, stream closed)*, closed)+, disconnected.
    fn hear(&mut self, event: &Event) {
        match *event {
            Event::Connected { peer } => assert!(self.connected.insert(peer), "{peer} is connected twice"),
            Event::Disconnected { peer } => {
                assert!(self.connected.remove(&peer), "{peer} isn't connected");
                assert!(!self.established.values().any(|other| *other == peer), "{peer} has connections");
            }
            Event::ConnectionOpened { connection, peer, .. } => {
                assert!(self.connected.contains(&peer), "{peer} isn't connected");
                assert!(self.established.insert(connection, peer).is_none(), "{connection} is opened twice");
            }
            Event::ConnectionClosed { connection, peer, .. } => {
                assert_eq!(self.established.remove(&connection), Some(peer), "{connection} is closed");
                assert!(!self.streams.iter().any(|(on, _)| *on == connection), "{connection} has streams");
                self.closing.remove(&connection);
                self.pinged.remove(&connection);
            }
            Event::StreamOpened { connection, stream, peer, .. } => {
                assert_eq!(self.established.get(&connection), Some(&peer));
                assert!(self.is_open(connection), "{connection} is closing, and gets a stream");
                assert!(self.streams.insert((connection, stream)), "{stream} on {connection} is opened twice");
            }
            Event::StreamClosed { connection, stream, peer } => {
                assert_eq!(self.established.get(&connection), Some(&peer));
                assert!(self.streams.remove(&(connection, stream)), "{stream} on {connection} isn't open");
            }
            Event::Dialed { request, peer, connection } => {
                assert!(self.requests.remove(&request), "{request} is answered, and nobody asked");
                assert_eq!(self.established.get(&connection), Some(&peer), "{request} is answered with {connection}");
                assert!(self.is_open(connection), "{request} is answered with {connection}, which is closing");
            }
            Event::DialFailed { request, .. } => {
                assert!(self.requests.remove(&request), "{request} is answered, and nobody asked");
            }
            Event::Trimmed { closed, of, .. } => assert!(closed <= of),
            _ => {}
        }
    }

    fn check(&self) {
        let counts = self.manager.counts();
        let (limits, caps) = (counts.limits, &self.config.limits);
        let count = |number: usize| u32::try_from(number).unwrap();
        let established = limits.established_inbound + limits.established_outbound;
        assert_eq!(counts.connected_peers, count(self.connected.len()));
        assert_eq!(limits.pending_inbound, count(self.pending.len()));
        assert_eq!(limits.pending_outbound, count(self.dials.len()));
        assert_eq!(established, count(self.established.len() - self.closing.len()));
        assert_eq!(limits.closing_inbound + limits.closing_outbound, count(self.closing.len()));
        assert_eq!(limits.streams_inbound + limits.streams_outbound, count(self.streams.len()));
        assert_eq!(self.manager.connections().count(), self.pending.len() + self.established.len());

        assert!(limits.pending_inbound <= caps.pending_inbound && limits.pending_outbound <= caps.pending_outbound);
        assert!(established <= caps.established && limits.established_inbound <= caps.established_inbound);
        assert!(limits.established_outbound <= caps.established_outbound);
        assert!(count(self.streams.len()) <= caps.streams && limits.streams_inbound <= caps.streams_inbound);
        assert!(limits.streams_outbound <= caps.streams_outbound && limits.memory <= caps.memory);
        assert!(self.manager.deadline() > self.now, "the deadline stands still");
        assert!(self.manager.memory_used() < MEMORY, "{} bytes are used", self.manager.memory_used());
    }

    /// Everything ends: nothing is counted any more, every wish was answered, and no time is waited for.
    pub(crate) fn finish(mut self) {
        self.step(Op::Shutdown);
        assert!(self.pending.is_empty() && self.dials.is_empty() && self.requests.is_empty());
        for connection in self.established.keys().copied().collect::<Vec<_>>() {
            assert!(self.closing.contains(&connection), "{connection} stays open");
            self.step(Op::Closed { c: connection.0, by: By::Local });
        }
        self.wait(Duration::from_secs(48 * 3600));
        self.check();
        assert!(self.manager.deadline().is_never(), "{:?} is waited for: {WHY}", self.manager.deadline());
        let limits = self.manager.counts().limits;
        assert_eq!((limits.subnets, limits.protocols), (0, 0));
    }
}
