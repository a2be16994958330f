//! The world around a relay client, which knows only the rules: it tells random things, and holds the client to what follows.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use tidewire_core::{EventMachine, Multiaddr, PeerId, Seed, Time, UnixTime};
use tidewire_relay::client::{
    AcceptFrom, Action, AskFault, Client, ClientConfig, Ending, Event, Input, Misuse, VoucherPolicy,
};
use tidewire_relay::exchange::{Answer, Ask, Asker, Config, Context, Reply, Responder, Service};
use tidewire_relay::{AskId, CircuitDialId, ConnectionId, Limit, Reservation, Status, StreamKey, circuit_address};

const UNIX: u64 = 1_900_000_000;

/// A client, and what the rules say of it.
pub struct World {
    /// Kinds of actions and events that came up.
    pub seen: BTreeSet<String>,
    config: ClientConfig,
    client: Client,
    now: Time,
    next: u64,
    /// Who is at the other end, and whether through a relay.
    connections: BTreeMap<ConnectionId, (PeerId, bool)>,
    connecting: BTreeSet<PeerId>,
    wanted: BTreeSet<PeerId>,
    /// What we have, until when.
    held: BTreeMap<PeerId, (Reservation, Time)>,
    /// In the order in which they came.
    dials: Vec<(CircuitDialId, (PeerId, PeerId))>,
    asks: BTreeMap<AskId, (ConnectionId, Ask)>,
    /// The source of those that came.
    circuits: BTreeMap<StreamKey, Option<PeerId>>,
    asked: BTreeMap<StreamKey, (PeerId, Time)>,
    announced: Vec<Multiaddr>,
    kept: BTreeSet<PeerId>,
    /// What must be said about this stop stream before anything else.
    verdict: Option<(StreamKey, Result<bool, Status>)>,
}

fn peer(n: u8) -> PeerId {
    PeerId::from_bytes(&[0, 1, n]).unwrap()
}

fn address(n: u8) -> Multiaddr {
    format!("/ip4/8.{n}.0.1/tcp/4001").parse().unwrap()
}

fn nth<T: Clone>(mut all: impl ExactSizeIterator<Item = T>, pick: u8) -> Option<T> {
    let len = all.len();
    if len == 0 { None } else { all.nth(usize::from(pick) % len) }
}

/// A reservation as it comes off the wire: so it is one that the byte machines make.
pub fn reservation(relay_seed: u8, expire: u64, addresses: &[Multiaddr]) -> Reservation {
    let key = |n: u8| tidewire_core::Keypair::from_seed(&Seed::new([n; 32]));
    let (relay, us) = (key(relay_seed), key(0));
    let (mut there, mut back) = (bytes::BytesMut::new(), bytes::BytesMut::new());
    let at_us = Context { local: us.peer_id(), remote: relay.peer_id(), relayed: false };
    let at_relay = Context { local: relay.peer_id(), remote: us.peer_id(), relayed: false };
    let mut asker = Asker::new(&Ask::Reserve, &at_us, &Config::default(), Time::ZERO, &mut there);
    let mut responder = Responder::new(Service::Hop, &at_relay, &Config::default(), Time::ZERO);
    use tidewire_core::Machine;
    responder.advance(Time::ZERO, &mut there, &mut back).unwrap();
    let (addresses, limit) = (addresses.to_vec(), Limit::UNLIMITED);
    let reply = Reply::Reserved { expire: UnixTime::from_secs(expire), addresses, limit };
    responder.reply(Time::ZERO, &reply, Some(&relay), &mut back).unwrap();
    match asker.advance(Time::ZERO, &mut back, &mut there).unwrap() {
        Some(Answer::Reserved(reservation)) => *reservation,
        other => panic!("{other:?}"),
    }
}

impl World {
    pub fn new(bytes: [u8; 8]) -> Self {
        let mut config = ClientConfig::default();
        config.ask_application = bytes[0] % 3 == 0;
        config.accept =
            [AcceptFrom::Held, AcceptFrom::Held, AcceptFrom::Anyone, AcceptFrom::Nobody][usize::from(bytes[1] % 4)];
        config.voucher = [VoucherPolicy::RefuseWrong, VoucherPolicy::Ignore][usize::from(bytes[2] % 2)];
        if bytes[3] % 2 == 0 {
            (config.holds, config.dials, config.circuits_in, config.circuits_out) = (2, 3, 3, 2);
            (config.circuits_per_source, config.tries) = (2, 3);
        }
        if bytes[4] % 4 == 0 {
            config.first_delay = Duration::ZERO;
            config.relay_dial_timeout = Duration::ZERO;
            config.renew_min = Duration::ZERO;
        }
        let mut world = World {
            seen: BTreeSet::new(),
            client: Client::new(config.clone(), peer(0), &Seed::new([bytes[7]; 32])),
            config,
            now: Time::ZERO,
            next: 1,
            connections: BTreeMap::new(),
            connecting: BTreeSet::new(),
            wanted: BTreeSet::new(),
            held: BTreeMap::new(),
            dials: Vec::new(),
            asks: BTreeMap::new(),
            circuits: BTreeMap::new(),
            asked: BTreeMap::new(),
            announced: Vec::new(),
            kept: BTreeSet::new(),
            verdict: None,
        };
        world.give(Input::Clock { unix: UnixTime::from_secs(UNIX) }, true);
        world
    }

    /// One random thing.
    pub fn step(&mut self, [what, pick, low, high]: [u8; 4]) {
        let relay = peer(1 + pick % 3);
        let bits = u16::from_le_bytes([low, high]);
        match what % 16 {
            0 => self.connect(relay, 1 + pick % 3, low % 4 == 0),
            1 => {
                if let Some(connection) = nth(self.connections.keys().copied(), pick) {
                    self.disconnect(connection);
                } else {
                    self.give(Input::Disconnected { connection: ConnectionId(u64::MAX) }, false);
                }
            }
            2 | 3 => {
                let room = self.wanted.contains(&relay) || self.wanted.len() < self.config.holds as usize;
                let addresses = [address(1 + pick % 3)];
                if room {
                    self.wanted.insert(relay);
                }
                self.give(Input::Hold { relay, addresses: &addresses[usize::from(low % 2)..] }, room);
            }
            4 => {
                let ok = self.wanted.remove(&relay);
                self.held.remove(&relay);
                self.give(Input::Release { relay }, ok);
            }
            5 | 6 => self.dial(relay, 1 + pick % 3, peer(1 + low % 5), high),
            7 => match nth(self.dials.iter().copied(), pick) {
                Some((dial, _)) => {
                    self.dials.retain(|(other, _)| *other != dial);
                    self.give(Input::CancelDial { dial }, true);
                }
                None => self.give(Input::CancelDial { dial: CircuitDialId(u64::MAX) }, false),
            },
            8 => {
                let ok = self.connecting.remove(&relay);
                self.give(Input::ConnectFailed { relay, why: "refused" }, ok);
            }
            9..=11 => self.answer(pick, low, high),
            12 => self.stop(pick, low, high),
            13 => self.end_something(pick, low, bits),
            14 => match low % 8 {
                0 => self.give(Input::NetworkChanged, true),
                1 => self.give(Input::Clock { unix: UnixTime::from_secs(u64::from(bits) << 32) }, true),
                2 => self.give(Input::Clock { unix: UnixTime::from_secs(UNIX) }, true),
                _ => self.wait(self.client.deadline().since(self.now).min(Duration::from_secs(4000))),
            },
            _ => self.wait(Duration::from_millis(u64::from(bits) * u64::from(bits % 50))),
        }
    }

    /// What is left comes to an end.
    pub fn finish(&mut self) {
        self.wait(Duration::from_secs(200));
        assert_eq!(self.dials, [], "each wish is answered in time");
        assert!(self.asked.is_empty());
        let connections: Vec<_> = self.connections.keys().copied().collect();
        for connection in connections {
            self.disconnect(connection);
        }
        for relay in self.wanted.clone() {
            self.wanted.remove(&relay);
            self.give(Input::Release { relay }, true);
        }
        assert_eq!(self.client.counts(), Default::default());
        assert!(self.client.deadline().is_never());
        assert!(self.kept.is_empty() && self.announced.is_empty() && self.circuits.is_empty());
    }

    fn direct(&self, relay: PeerId) -> bool {
        self.connections.values().any(|known| *known == (relay, false))
    }

    fn asks_of(&self, relay: PeerId, what: &Ask) -> usize {
        let of = |(connection, asked): &&(ConnectionId, Ask)| {
            asked == what && self.connections.get(connection).is_some_and(|known| known.0 == relay)
        };
        self.asks.values().filter(of).count()
    }

    fn connect(&mut self, peer: PeerId, n: u8, relayed: bool) {
        let connection = ConnectionId(self.next);
        self.next += 1;
        self.connections.insert(connection, (peer, relayed));
        if !relayed {
            self.connecting.remove(&peer);
        }
        let remote = address(n);
        self.give(Input::Connected { connection, peer, remote: &remote, relayed, dialed: n % 2 == 0 }, true);
        let again = Input::Connected { connection, peer, remote: &remote, relayed, dialed: true };
        self.give(again, false);
    }

    fn disconnect(&mut self, connection: ConnectionId) {
        let (peer, relayed) = self.connections.remove(&connection).unwrap();
        self.circuits.retain(|over, _| over.connection != connection);
        self.asked.retain(|stream, _| stream.connection != connection);
        let gone: Vec<_> = self.asks.iter().filter(|(_, (on, _))| *on == connection).map(|(ask, _)| *ask).collect();
        for ask in gone {
            self.asks.remove(&ask);
        }
        if !relayed && !self.direct(peer) {
            self.held.remove(&peer);
        }
        self.give(Input::Disconnected { connection }, true);
    }

    fn dial(&mut self, relay: PeerId, n: u8, destination: PeerId, high: u8) {
        let dial = CircuitDialId(self.next);
        self.next += 1;
        let ok = relay != destination;
        if ok {
            self.dials.push((dial, (relay, destination)));
        }
        let addresses = [address(n)];
        let addresses = &addresses[usize::from(high % 2)..];
        self.give(Input::Dial { dial, relay, addresses, destination }, ok);
    }

    fn answer(&mut self, pick: u8, low: u8, high: u8) {
        let Some((ask, (connection, what))) = nth(self.asks.iter().map(|(ask, on)| (*ask, on.clone())), pick) else {
            let ask = AskId(u64::MAX);
            return self.give(Input::AskFailed { ask, fault: AskFault::Unsupported }, false);
        };
        let relay = self.connections[&connection].0;
        self.next += 1;
        let stream = StreamKey { connection, stream: self.next };
        if low % 8 < 2 {
            self.asks.remove(&ask);
            let fault = if low % 8 == 0 { AskFault::Unsupported } else { AskFault::Failed("reset") };
            return self.give(Input::AskFailed { ask, fault }, true);
        }
        let answer = match &what {
            _ if low % 8 < 4 => Answer::Refused { status: Status::from_code(i32::from(high) + 101) },
            Ask::Reserve => {
                let expire = match high % 8 {
                    0 => 0,
                    1 => u64::MAX,
                    n => UNIX + self.now.as_nanos() / 1_000_000_000 + u64::from(n) * u64::from(high) * 4,
                };
                let mut given = reservation(1, expire, &[]);
                given.relay = relay;
                given.addresses = vec![address(100 + high % 3)];
                given.voucher = given.voucher.filter(|_| low % 16 < 8);
                Answer::Reserved(Box::new(given))
            }
            _ => Answer::Connected { limit: Limit::UNLIMITED },
        };
        // News that don't fit change nothing.
        self.give(Input::Answered { ask, stream, answer: &Answer::Accepted }, false);
        let elsewhere = StreamKey { connection: ConnectionId(u64::MAX), stream: 1 };
        self.give(Input::Answered { ask, stream: elsewhere, answer: &answer }, false);
        self.asks.remove(&ask);
        match &answer {
            Answer::Reserved(given) => {
                self.held.insert(relay, ((**given).clone(), self.now));
            }
            Answer::Connected { .. } => {
                self.circuits.insert(stream, None);
            }
            _ => {}
        }
        self.give(Input::Answered { ask, stream, answer: &answer }, true);
    }

    fn stop(&mut self, pick: u8, low: u8, high: u8) {
        let source = peer(low % 4);
        let limit = Limit::UNLIMITED;
        let Some(connection) = nth(self.connections.keys().copied(), pick) else { return };
        self.next += 1;
        let stream = StreamKey { connection, stream: self.next - u64::from(high % 16 == 0) };
        if self.circuits.contains_key(&stream) || self.asked.contains_key(&stream) {
            return self.give(Input::StopRequested { stream, source, limit }, false);
        }
        let (relay, relayed) = self.connections[&connection];
        let of = |source: PeerId| {
            self.circuits.values().filter(|from| **from == Some(source)).count()
                + self.asked.values().filter(|(from, _)| *from == source).count()
        };
        let came = self.circuits.values().filter(|from| from.is_some()).count() + self.asked.len();
        let may_bring = self.held.contains_key(&relay) || self.asks_of(relay, &Ask::Reserve) > 0;
        let verdict = if relayed || source == peer(0) || self.config.accept == AcceptFrom::Nobody {
            Err(Status::PERMISSION_DENIED)
        } else if self.config.accept == AcceptFrom::Held && !may_bring {
            Err(Status::NO_RESERVATION)
        } else if came >= self.config.circuits_in as usize || of(source) >= self.config.circuits_per_source as usize {
            Err(Status::RESOURCE_LIMIT_EXCEEDED)
        } else {
            Ok(!self.config.ask_application)
        };
        match verdict {
            Ok(true) => {
                self.circuits.insert(stream, Some(source));
            }
            Ok(false) => {
                self.asked.insert(stream, (source, self.now + self.config.accept_timeout));
            }
            Err(_) => {}
        }
        self.verdict = Some((stream, verdict));
        self.give(Input::StopRequested { stream, source, limit }, true);
        assert_eq!(self.verdict, None, "a request is answered at once");
    }

    fn end_something(&mut self, pick: u8, low: u8, bits: u16) {
        if low % 2 == 0 {
            let Some(over) = nth(self.circuits.keys().copied(), pick) else { return };
            self.circuits.remove(&over);
            let ending = [Ending::Local, Ending::Closed, Ending::Reset][usize::from(bits % 3)];
            let (sent, received) = (bits.into(), u64::MAX - u64::from(bits));
            self.give(Input::CircuitEnded { over, ending, sent, received }, true);
            return self.give(Input::CircuitEnded { over, ending, sent, received }, false);
        }
        let Some((stream, (source, _))) = nth(self.asked.iter().map(|(at, of)| (*at, *of)), pick) else { return };
        self.asked.remove(&stream);
        if low % 4 == 1 {
            return self.give(Input::RequesterGone { stream }, true);
        }
        let allow = low % 8 == 3;
        if allow {
            self.circuits.insert(stream, Some(source));
        }
        self.verdict = Some((stream, if allow { Ok(true) } else { Err(Status::PERMISSION_DENIED) }));
        self.give(Input::Decide { stream, allow }, true);
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        let mut calls = 0;
        while self.client.deadline() <= end {
            self.now = self.now.max(self.client.deadline());
            self.client.on_timeout(self.now);
            assert!(self.client.deadline() > self.now, "at its deadline it did what there was to do");
            self.listen();
            calls += 1;
            if calls > 3000 {
                // Delays of a millisecond are legal; they need not be waited through.
                self.now = end;
                self.client.on_timeout(self.now);
                self.listen();
                return;
            }
        }
        self.now = end;
    }

    fn give(&mut self, input: Input<'_>, ok: bool) {
        let before = self.client.counts();
        let done: Result<(), Misuse> = self.client.handle(self.now, input);
        assert_eq!(done.is_ok(), ok, "{input:?}: {done:?}");
        if !ok {
            assert_eq!((self.client.poll(), self.client.counts()), (None, before), "misuse changes nothing");
        }
        self.listen();
    }

    fn listen(&mut self) {
        while let Some(action) = self.client.poll() {
            self.hear(action);
        }
        self.compare();
    }

    fn hear(&mut self, action: Action) {
        let said = match &action {
            Action::Event(event) => format!("{event:?}"),
            action => format!("{action:?}"),
        };
        self.seen.extend(said.split([' ', '(']).next().map(str::to_owned));
        match action {
            Action::Connect { relay, addresses } => {
                assert!(!self.direct(relay), "there is a connection");
                assert!(addresses.iter().all(|address| !address.is_relayed()));
                assert!(self.connecting.insert(relay), "said once");
            }
            Action::CancelConnect { relay } => assert!(self.connecting.remove(&relay)),
            Action::Ask { ask, connection, what } => {
                let (relay, relayed) = self.connections[&connection];
                assert!(!relayed, "over a circuit");
                assert_eq!(self.asks_of(relay, &what), 0, "asked once");
                match &what {
                    Ask::Reserve => assert!(self.wanted.contains(&relay)),
                    Ask::Connect { destination } => {
                        assert!(self.dials.iter().any(|(_, way)| *way == (relay, *destination)));
                    }
                    other => panic!("{other:?}"),
                }
                assert!(self.asks.insert(ask, (connection, what)).is_none());
            }
            Action::CancelAsk { ask } => assert!(self.asks.remove(&ask).is_some()),
            Action::Reply { stream, reply } => match (self.verdict.take(), reply) {
                (Some((of, Ok(true))), Reply::Accepted) => assert_eq!(of, stream),
                (Some((of, Err(expected))), Reply::Refused { status }) => assert_eq!((of, expected), (stream, status)),
                (None, Reply::Refused { status: Status::CONNECTION_FAILED }) => {
                    let (_, until) = self.asked.remove(&stream).expect("nobody decided");
                    assert!(until <= self.now);
                }
                other => panic!("{other:?}"),
            },
            Action::AskAccept { stream, .. } => assert_eq!(self.verdict.take(), Some((stream, Ok(false)))),
            Action::Circuit { dials, over, relay, destination, .. } => {
                assert!(self.circuits.contains_key(&over));
                let wanted = self.dials.iter().filter(|(_, way)| *way == (relay, destination));
                assert_eq!(dials, wanted.map(|(dial, _)| *dial).collect::<Vec<_>>(), "all who wanted it");
                self.dials.retain(|(_, way)| *way != (relay, destination));
            }
            Action::CircuitIn { over, source, .. } => assert_eq!(self.circuits[&over], Some(source)),
            Action::DialFailed { dial, .. } => {
                let len = self.dials.len();
                self.dials.retain(|(other, _)| *other != dial);
                assert_eq!(self.dials.len() + 1, len, "each wish is answered once");
            }
            Action::Circuits(circuits) => {
                assert_ne!(circuits, self.announced, "said when they differ");
                self.announced = circuits;
            }
            Action::Keep { peer } => assert!(self.kept.insert(peer)),
            Action::Release { peer } => assert!(self.kept.remove(&peer)),
            Action::Event(Event::Lost { relay, .. }) => {
                self.held.remove(&relay);
            }
            Action::Event(_) => {}
            other => panic!("{other:?}"),
        }
    }

    fn compare(&self) {
        let counts = self.client.counts();
        let ways: BTreeSet<_> = self.dials.iter().map(|(_, way)| *way).collect();
        let came = self.circuits.values().filter(|from| from.is_some()).count();
        assert_eq!((counts.holds, counts.reservations), (self.wanted.len(), self.held.len()));
        assert_eq!((counts.dials, counts.dialing), (self.dials.len(), ways.len()));
        assert_eq!((counts.circuits_in, counts.circuits_out), (came + self.asked.len(), self.circuits.len() - came));
        assert_eq!(counts.asks, self.asks.len());
        assert_eq!(self.kept, self.held.keys().copied().collect::<BTreeSet<_>>(), "protected while it is held");
        for (relay, (given, since)) in &self.held {
            assert!(self.direct(*relay), "a reservation ends with the last connection");
            assert_eq!(self.client.reservation(relay), Some(given));
            assert!(self.now.since(*since) <= self.config.max_ttl, "none outlives what is believed");
        }
        for relay in &self.connecting {
            let dialed = ways.iter().any(|way| way.0 == *relay);
            assert!(!self.direct(*relay) && (self.wanted.contains(relay) || dialed), "for nobody");
        }
        for (relay, destination) in &ways {
            let asked = self.asks_of(*relay, &Ask::Connect { destination: *destination });
            assert_eq!(asked == 0, self.connecting.contains(relay), "each dial waits for one thing");
        }
        let of = |(relay, (given, _)): (&PeerId, &(Reservation, Time))| -> Vec<Multiaddr> {
            given.addresses.iter().filter_map(|at| circuit_address(at, *relay, peer(0))).collect()
        };
        let mut circuits: Vec<_> = self.held.iter().flat_map(of).collect();
        circuits.sort();
        circuits.dedup();
        assert_eq!(self.announced, circuits);
        assert!(self.client.memory_used() < 256 * 1024);
    }
}
