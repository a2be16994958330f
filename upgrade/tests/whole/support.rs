//! The two-party loop: two ends, a lossless pipe between them, and a clock that stands still unless it is moved.

use bytes::BytesMut;
use std::sync::Arc;
use tidewire_core::{Keypair, Machine, PeerId, Seed, Time};
use tidewire_multistream::{Matcher, Protocol, Protocols, RouteId, Router};
use tidewire_upgrade::connection::{Connection, ConnectionError, Event, ReadStreamError, Selection};
use tidewire_upgrade::muxer::StreamId;
use tidewire_upgrade::pipeline::{Config, Plan, Progress, Upgrade, UpgradeError, Upgrader};

pub(crate) const ECHO: Protocol = Protocol::from_static("/echo/1.0.0");
pub(crate) const CHAT: Protocol = Protocol::from_static("/chat/1.0.0");
pub(crate) const ECHO_ROUTE: RouteId = RouteId::new(7);

/// A node whose identity is drawn from `n`.
pub(crate) fn node(n: u8, change: impl FnOnce(&mut Config)) -> Upgrader {
    let seed = Seed::new([n; 32]);
    let mut config = Config::default();
    change(&mut config);
    Upgrader::new(&Keypair::from_seed(&seed), &seed, config).unwrap()
}

pub(crate) fn start(upgrader: &Upgrader, plan: Plan, expected: Option<PeerId>, seed: u8) -> Upgrade {
    Upgrade::new(upgrader, plan, expected, &Seed::new([seed; 32]))
}

/// Serves [`ECHO`].
pub(crate) fn router() -> Arc<Router> {
    let mut router = Router::new();
    router.add(ECHO, Matcher::Exact, ECHO_ROUTE).unwrap();
    Arc::new(router)
}

/// One end of an upgrade.
pub(crate) struct Upgrading {
    pub(crate) machine: Upgrade,
    pub(crate) rx: BytesMut,
    pub(crate) tx: BytesMut,
    pub(crate) told: Vec<Progress>,
    pub(crate) error: Option<UpgradeError>,
    pub(crate) ready: bool,
}

impl Upgrading {
    pub(crate) fn new(machine: Upgrade) -> Self {
        let (rx, tx, told) = (BytesMut::new(), BytesMut::new(), Vec::new());
        Upgrading { machine, rx, tx, told, error: None, ready: false }
    }

    /// Goes as far as it can.
    pub(crate) fn turn(&mut self, now: Time) {
        while !self.ready && self.error.is_none() {
            match self.machine.advance(now, &mut self.rx, &mut self.tx) {
                Ok(Some(progress)) => {
                    self.ready = progress == Progress::Ready;
                    self.told.push(progress);
                }
                Ok(None) => break,
                Err(error) => self.error = Some(error),
            }
        }
    }

    /// The remote has gone.
    pub(crate) fn end(&mut self, now: Time) {
        while !self.ready && self.error.is_none() {
            match self.machine.end(now, &mut self.rx, &mut self.tx) {
                Ok(Some(progress)) => {
                    self.ready = progress == Progress::Ready;
                    self.told.push(progress);
                }
                Ok(None) => panic!("an upgrade can't end well before it is ready"),
                Err(error) => self.error = Some(error),
            }
        }
    }

    pub(crate) fn peer_told(&self) -> bool {
        self.told.iter().any(|progress| matches!(progress, Progress::Peer(_)))
    }

    pub(crate) fn into_end(self) -> End {
        let connection = self.machine.into_connection().expect("ready");
        End { connection, rx: self.rx, tx: self.tx, events: Vec::new(), error: None }
    }
}

/// Runs both until nothing moves any more. An end that failed hangs up once its last words are out.
pub(crate) fn upgrade(a: Upgrade, b: Upgrade) -> (Upgrading, Upgrading) {
    let (mut a, mut b) = (Upgrading::new(a), Upgrading::new(b));
    loop {
        a.turn(Time::ZERO);
        b.turn(Time::ZERO);
        if a.tx.is_empty() && b.tx.is_empty() {
            break;
        }
        deliver(&mut a.tx, &mut b.rx);
        deliver(&mut b.tx, &mut a.rx);
        // The last flight belongs to the connection.
        if a.ready && b.ready {
            break;
        }
    }
    if a.error.is_some() {
        b.end(Time::ZERO);
    } else if b.error.is_some() {
        a.end(Time::ZERO);
    }
    (a, b)
}

pub(crate) fn deliver(tx: &mut BytesMut, rx: &mut BytesMut) {
    rx.extend_from_slice(tx);
    tx.clear();
}

/// One end of a connection.
pub(crate) struct End {
    pub(crate) connection: Connection,
    pub(crate) rx: BytesMut,
    pub(crate) tx: BytesMut,
    pub(crate) events: Vec<Event>,
    pub(crate) error: Option<ConnectionError>,
}

impl End {
    /// Goes as far as it can.
    pub(crate) fn turn(&mut self, now: Time) {
        while self.error.is_none() {
            match self.connection.advance(now, &mut self.rx, &mut self.tx) {
                Ok(Some(event)) => self.events.push(event),
                Ok(None) => break,
                Err(error) => self.error = Some(error),
            }
        }
    }

    /// The remote has gone.
    pub(crate) fn end(&mut self, now: Time) {
        while self.error.is_none() {
            match self.connection.end(now, &mut self.rx, &mut self.tx) {
                Ok(Some(event)) => self.events.push(event),
                Ok(None) => break,
                Err(error) => self.error = Some(error),
            }
        }
    }

    pub(crate) fn open(&mut self, protocol: Protocol, selection: Selection) -> StreamId {
        self.open_any(&Protocols::from(protocol), selection)
    }

    pub(crate) fn open_any(&mut self, protocols: &Protocols, selection: Selection) -> StreamId {
        self.connection.open(Time::ZERO, protocols, selection, &mut self.tx).unwrap()
    }

    pub(crate) fn write(&mut self, id: StreamId, data: &[u8]) {
        assert_eq!(self.connection.write(id, data, &mut self.tx), Ok(data.len()));
    }

    pub(crate) fn finish(&mut self, id: StreamId) {
        self.connection.finish(id, &mut self.tx).unwrap();
    }

    pub(crate) fn read(&mut self, id: StreamId) -> Result<Option<BytesMut>, ReadStreamError> {
        self.connection.read(id, &mut self.tx)
    }

    /// All that can be read now, and why no more.
    pub(crate) fn read_all(&mut self, id: StreamId) -> (Vec<u8>, Result<(), ReadStreamError>) {
        let mut data = Vec::new();
        loop {
            match self.read(id) {
                Ok(Some(piece)) => data.extend_from_slice(&piece),
                Ok(None) => return (data, Ok(())),
                Err(error) => return (data, Err(error)),
            }
        }
    }

    /// The streams that the remote opened, in order, once their protocol is known.
    pub(crate) fn accepted(&self) -> Vec<StreamId> {
        let accepted = |event: &Event| match event {
            Event::Negotiated { id, route: Some(_), .. } | Event::Opened(id) => Some(*id),
            _ => None,
        };
        self.events.iter().filter_map(accepted).collect()
    }
}

/// Two ends of a connection.
pub(crate) struct Pair {
    pub(crate) a: End,
    pub(crate) b: End,
    pub(crate) now: Time,
}

impl Pair {
    /// Both ends serve [`ECHO`]; `change` is applied to both.
    pub(crate) fn new(change: impl Fn(&mut Config)) -> Self {
        let make = |n| {
            node(n, |config| {
                config.connection.router = Some(router());
                change(config);
            })
        };
        Pair::of(&make(1), &make(2))
    }

    pub(crate) fn of(alice: &Upgrader, bob: &Upgrader) -> Self {
        let a = start(alice, Plan::Initiate, Some(bob.peer()), 3);
        let (a, b) = upgrade(a, start(bob, Plan::Respond, None, 4));
        assert_eq!((a.error.as_ref(), b.error.as_ref()), (None, None));
        let mut pair = Pair { a: a.into_end(), b: b.into_end(), now: Time::ZERO };
        pair.settle();
        pair.a.events.clear();
        pair.b.events.clear();
        pair
    }

    /// Runs both until nothing moves any more.
    pub(crate) fn settle(&mut self) {
        loop {
            self.a.turn(self.now);
            self.b.turn(self.now);
            if self.a.tx.is_empty() && self.b.tx.is_empty() {
                return;
            }
            deliver(&mut self.a.tx, &mut self.b.rx);
            deliver(&mut self.b.tx, &mut self.a.rx);
        }
    }

    /// Opens a stream from `a` and brings it to `b`: its id on both ends.
    pub(crate) fn stream(&mut self) -> (StreamId, StreamId) {
        let before = self.b.accepted().len();
        let ours = self.a.open(ECHO, Selection::Lazy);
        self.settle();
        (ours, *self.b.accepted().get(before).unwrap())
    }
}
