//! Any order of inputs on a coordinator, and what must hold whatever comes: a world of four peers that keeps its own books.
//!
//! The property test and the fuzz target drive it: eight bytes make the configuration, each four further ones a step.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use tidewire_core::{EventMachine, Multiaddr, PeerId, Role, Seed, Time};
use tidewire_dcutr::coordinator::{Action, Config, Coordinator, Event, Input};
use tidewire_dcutr::exchange::Fault;
use tidewire_dcutr::report::End;
use tidewire_dcutr::{AskId, Candidate, ConnectionId, DialFault, DialId, Plan, Source, StreamKey};

const PEERS: u8 = 4;

struct Link {
    peer: u8,
    relayed: bool,
    inbound: bool,
    proven: bool,
}

struct Dialing {
    peer: u8,
    started: Time,
}

/// The machine, and what is known of it from outside.
pub struct World {
    machine: Coordinator,
    now: Time,
    timeout: Duration,
    tries: u32,
    next_connection: u64,
    next_stream: u64,
    links: BTreeMap<u64, Link>,
    /// Streams of ours: with whom, and on which connection.
    asks: BTreeMap<AskId, (u8, u64)>,
    /// Streams of theirs that were answered, or asked, and not reset.
    streams: BTreeSet<StreamKey>,
    dials: BTreeMap<DialId, Dialing>,
    /// Every number that was ever given.
    given: (BTreeSet<AskId>, BTreeSet<DialId>),
    windows: BTreeSet<u8>,
    /// Attempts that were begun and not reported.
    begun: BTreeMap<u8, u32>,
    down: bool,
    /// What came up, in words: the seeds of the fuzz target say what they are for.
    pub seen: BTreeSet<String>,
}

fn peer(n: u8) -> PeerId {
    PeerId::from_bytes(&[0, 1, n]).expect("an identity hash of one byte")
}

fn number(peer: &PeerId) -> u8 {
    *peer.as_bytes().last().expect("it has three bytes")
}

fn address(text: &str) -> Multiaddr {
    text.parse().expect("written here")
}

/// Addresses that others tell: good ones, and such as nobody should dial.
fn told(n: u8, which: u8) -> Vec<Multiaddr> {
    let all = [
        format!("/ip4/11.0.1.{n}/tcp/4001"),
        format!("/ip4/11.0.1.{n}/udp/4001/quic-v1"),
        "/ip4/192.168.0.1/tcp/4001".into(),
        format!("/ip6/2600::{n}/tcp/4001"),
        "/ip4/127.0.0.1/tcp/22".into(),
        "/dns4/example.org/tcp/4001".into(),
        "/ip4/11.0.0.2/tcp/4001".into(),
        format!("/ip4/11.0.0.9/tcp/1/p2p/{}/p2p-circuit", peer(99)),
    ];
    let chosen = all.iter().enumerate().filter(|(at, _)| which & (1 << at) != 0);
    chosen.map(|(_, text)| address(text)).collect()
}

impl World {
    pub fn new(config: [u8; 8]) -> World {
        let [tries, attempts, peers, connects, unpolled, timeout, waits, seed] = config;
        let mut numbers = Config::default();
        numbers.tries = u32::from(tries % 5);
        numbers.max_attempts = u32::from(attempts % 4) + 1;
        numbers.max_peers = u32::from(peers % 5);
        numbers.connects = u32::from(connects % 8);
        numbers.connect_interval = Duration::from_millis(u64::from(connects) * 100);
        // One input makes some twenty actions at most.
        numbers.max_unpolled = u32::from(unpolled) + 64;
        numbers.punch_timeout = Duration::from_millis(u64::from(timeout) * 100);
        numbers.stream_timeout = Duration::from_millis(u64::from(timeout) * 200);
        numbers.wait_floor = Duration::from_millis(u64::from(waits));
        let timeout = numbers.punch_timeout.max(numbers.direct_timeout);
        let machine = Coordinator::new(numbers.clone(), peer(2), &Seed::new([seed; 32]));
        World {
            machine,
            now: Time::ZERO,
            timeout,
            tries: numbers.tries.max(1),
            next_connection: 0,
            next_stream: 0,
            links: BTreeMap::new(),
            asks: BTreeMap::new(),
            streams: BTreeSet::new(),
            dials: BTreeMap::new(),
            given: Default::default(),
            windows: BTreeSet::new(),
            begun: BTreeMap::new(),
            down: false,
            seen: BTreeSet::new(),
        }
    }

    pub fn step(&mut self, [op, a, b, c]: [u8; 4]) {
        let n = a % PEERS;
        // Our own id is 2: peers 0 and 1 are smaller.
        let id = if n < 2 { n } else { n + 1 };
        match op % 20 {
            0..=2 => self.connect(id, op % 20 < 2, b % 2 == 0),
            3 => self.disconnect(a),
            4 => {
                let listens = told(id, c);
                self.tell(Input::Identified { peer: peer(id), speaks_dcutr: b % 8 != 0, listens: &listens });
            }
            5 => {
                let own = told(1, a);
                let own: Vec<_> = own.into_iter().map(|address| Candidate::new(address, Source::Observed)).collect();
                self.tell(Input::Own(&own));
            }
            6 | 7 => {
                if let Some((ask, (of, _))) = nth(&self.asks, a) {
                    let addresses = told(of, c);
                    let rtt = Duration::from_millis(u64::from(b) * 10);
                    self.tell(Input::Connects { ask, addresses: &addresses, skipped: usize::from(b), rtt });
                }
            }
            8 => {
                if let Some((ask, _)) = nth(&self.asks, a) {
                    self.asks.remove(&ask);
                    let why = if b % 8 == 0 { Fault::NotSpoken } else { Fault::Reset };
                    self.tell(Input::AskFailed { ask, why });
                }
            }
            9 | 10 => self.ask(a, c),
            11 => {
                if let Some(stream) = self.streams.iter().nth(usize::from(a) % self.streams.len().max(1)).copied() {
                    let rtt = Duration::from_millis(u64::from(b) * 10);
                    self.tell(Input::Synced { stream, rtt });
                }
            }
            12 => {
                if let Some(stream) = self.streams.iter().nth(usize::from(a) % self.streams.len().max(1)).copied() {
                    self.streams.remove(&stream);
                    self.tell(Input::StreamGone { stream, why: Fault::Reset });
                }
            }
            13 => {
                let first = self.dials.keys().nth(usize::from(a) % self.dials.len().max(1)).copied();
                if let Some(dial) = first {
                    self.tell(Input::Upgrading { dial });
                }
            }
            14 => self.dialed(a),
            15 => self.dial_failed(a, b),
            16 => {
                let ip = told(id, 1).first().and_then(Multiaddr::ip).expect("it has one");
                self.tell(if b % 2 == 0 { Input::Arriving { ip } } else { Input::ArrivalFailed { ip } });
            }
            17 => {
                let direct: Vec<u64> =
                    self.links.iter().filter(|(_, link)| !link.relayed).map(|(connection, _)| *connection).collect();
                if let Some(connection) = direct.get(usize::from(a) % direct.len().max(1)) {
                    self.links.get_mut(connection).expect("it is known").proven = true;
                    self.tell(Input::Proven { connection: ConnectionId(*connection) });
                }
            }
            18 => match b % 16 {
                0 if c % 4 == 0 => {
                    self.down = true;
                    self.tell(Input::Shutdown);
                }
                0 | 1 => self.tell(Input::NetworkChanged),
                2..=8 => self.tell(Input::Cancel { peer: peer(id) }),
                _ => {
                    let _ = self.machine.handle(self.now, Input::Punch { peer: peer(id) });
                    self.drain();
                }
            },
            _ => self.wait(Duration::from_millis(u64::from(a) * u64::from(b) * 4)),
        }
    }

    /// All connections end, and time passes: nothing is left.
    pub fn finish(&mut self) {
        self.wait(Duration::from_secs(200));
        for connection in self.links.keys().copied().collect::<Vec<_>>() {
            self.links.remove(&connection);
            self.asks.retain(|_, (_, on)| *on != connection);
            self.tell(Input::Disconnected { connection: ConnectionId(connection) });
        }
        self.wait(Duration::from_secs(20_000));
        let counts = self.machine.counts();
        let left = [
            counts.connections,
            counts.peers,
            counts.attempts,
            counts.queued,
            counts.dials,
            counts.asks,
            counts.windows,
        ];
        assert_eq!(left, [0; 7], "{counts:?}");
        assert!(self.dials.is_empty(), "a dial is left running");
        assert!(self.windows.is_empty(), "a window is left open");
        assert!(self.begun.values().all(|begun| *begun == 0), "an attempt was not reported");
        assert!(self.machine.deadline().is_never(), "it waits for something");
    }

    fn connect(&mut self, peer_number: u8, relayed: bool, inbound: bool) {
        if self.links.len() >= 12 {
            return;
        }
        let connection = self.new_link(peer_number, relayed, inbound);
        let text = if relayed { 128 } else { 1 };
        let remote = told(peer_number, text).pop().expect("one was chosen");
        self.tell(Input::Connected { connection, peer: peer(peer_number), relayed, inbound, remote: &remote });
    }

    fn new_link(&mut self, peer: u8, relayed: bool, inbound: bool) -> ConnectionId {
        self.next_connection += 1;
        self.links.insert(self.next_connection, Link { peer, relayed, inbound, proven: false });
        ConnectionId(self.next_connection)
    }

    fn disconnect(&mut self, which: u8) {
        let all: Vec<u64> = self.links.keys().copied().collect();
        let Some(connection) = all.get(usize::from(which) % all.len().max(1)).copied() else { return };
        self.links.remove(&connection);
        self.streams.retain(|stream| stream.connection.0 != connection);
        self.asks.retain(|_, (_, on)| *on != connection);
        self.tell(Input::Disconnected { connection: ConnectionId(connection) });
    }

    fn ask(&mut self, which: u8, addresses: u8) {
        let all: Vec<u64> = self.links.keys().copied().collect();
        let Some(connection) = all.get(usize::from(which) % all.len().max(1)).copied() else { return };
        self.next_stream += 1;
        let stream = StreamKey { connection: ConnectionId(connection), stream: self.next_stream };
        self.streams.insert(stream);
        let addresses = told(self.links[&connection].peer, addresses);
        self.tell(Input::Asked { stream, addresses: &addresses, skipped: 0 });
    }

    fn dialed(&mut self, which: u8) {
        let Some(dial) = self.dials.keys().nth(usize::from(which) % self.dials.len().max(1)).copied() else { return };
        let Dialing { peer, .. } = self.dials.remove(&dial).expect("it is known");
        let connection = self.new_link(peer, false, false);
        let (local, remote) = (address("/ip4/10.0.0.2/tcp/4001"), address("/ip4/11.0.1.1/tcp/4001"));
        self.tell(Input::Dialed { dial, connection, local: &local, remote: &remote, role: Role::Initiator });
    }

    fn dial_failed(&mut self, which: u8, why: u8) {
        let Some(dial) = self.dials.keys().nth(usize::from(which) % self.dials.len().max(1)).copied() else { return };
        self.dials.remove(&dial);
        let why = match why % 4 {
            0 => DialFault::AddressNotAvailable,
            1 => DialFault::upgrade("nobody leads"),
            _ => DialFault::Refused,
        };
        self.tell(Input::DialFailed { dial, why });
    }

    /// What the books know of is never refused, but for a `CONNECT` on an exchange that was reset meanwhile.
    fn tell(&mut self, input: Input<'_>) {
        let text = format!("{input:?}");
        self.machine.handle(self.now, input).unwrap_or_else(|misuse| panic!("{text}: {misuse}"));
        self.drain();
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        let mut calls = 0;
        while self.machine.deadline() <= end {
            self.now = self.now.max(self.machine.deadline());
            self.machine.on_timeout(self.now);
            self.drain();
            assert!(self.machine.deadline() > self.now, "the deadline is over");
            calls += 1;
            assert!(calls < 20_000, "it never ends");
        }
        self.now = end;
        for dialing in self.dials.values() {
            assert!(self.now.since(dialing.started) <= self.timeout, "a dial runs too long");
        }
    }

    fn drain(&mut self) {
        while let Some(action) = self.machine.poll() {
            self.act(action);
        }
        assert!(self.machine.memory_used() < 128 * 1024, "{} bytes", self.machine.memory_used());
        let counts = self.machine.counts();
        assert_eq!(
            (counts.dials, counts.asks, counts.windows),
            (self.dials.len(), self.asks.len(), self.windows_with_ips(&counts.windows))
        );
    }

    /// A window without addresses is open inside alone.
    fn windows_with_ips(&self, counted: &usize) -> usize {
        assert!(self.windows.len() <= *counted, "a window was forgotten without a word");
        *counted
    }

    fn proven(&self, of: u8) -> bool {
        self.links.values().any(|link| link.peer == of && link.proven)
    }

    fn act(&mut self, action: Action) {
        let text = format!("{action:?}");
        self.seen.extend(text.split([' ', '{', '(']).next().map(String::from));
        match action {
            Action::Open { ask, connection, addresses } => {
                let link = self.links.get(&connection.0).expect("a stream on a connection that is gone");
                let of = link.peer;
                assert!(link.relayed && link.inbound, "a stream where the other one opens it");
                assert!(!addresses.is_empty(), "nothing to tell");
                assert!(!self.proven(of), "opened while a direct connection is proven");
                assert!(
                    !self.links.values().any(|link| link.peer == of && !link.relayed),
                    "opened beside a direct one"
                );
                assert!(!self.asks.values().any(|(peer, _)| *peer == of), "two tries at a time");
                assert!(self.dials.values().all(|dialing| dialing.peer != of), "an own earlier dial is in the way");
                assert!(!self.down, "begun after the shutdown");
                assert!(self.given.0.insert(ask), "a number comes twice");
                self.asks.insert(ask, (of, connection.0));
            }
            Action::Sync { ask } | Action::ResetAsk { ask } => {
                self.asks.remove(&ask).expect("it was asked for");
            }
            Action::Answer { stream, .. } => {
                let link = self.links.get(&stream.connection.0).expect("an answer on a connection that is gone");
                assert!(link.relayed && !link.inbound, "an answer on the wrong connection");
                assert!(!self.proven(link.peer), "answered while a direct connection is proven");
                assert!(self.streams.contains(&stream), "an answer on a stream that is gone");
            }
            Action::ResetStream { stream, why } => {
                self.seen.insert(format!("{why:?}"));
                self.streams.remove(&stream);
            }
            Action::Dial { dial, peer, address, plan, timeout, .. } => {
                assert!(address.is_public() && !address.is_relayed(), "dials {address}");
                assert!(timeout <= self.timeout, "{timeout:?}");
                assert!(plan != Plan::Respond, "nobody would lead");
                assert!(self.given.1.insert(dial), "a number comes twice");
                let of = number(&peer);
                self.dials.insert(dial, Dialing { peer: of, started: self.now });
                let all = self.dials.values().filter(|dialing| dialing.peer == of).count();
                assert!(all <= 8 * 4, "{all} dials at a time");
            }
            Action::Abort { dial } => {
                self.dials.remove(&dial).expect("it runs");
            }
            Action::Window { peer, ips, until, .. } => {
                assert!(!ips.is_empty() && ips.len() <= 8 && until >= self.now);
                self.windows.insert(number(&peer));
            }
            Action::CloseWindow { peer } => assert!(self.windows.remove(&number(&peer)), "it was not open"),
            Action::Datagram { to, .. } => assert!(to.port() != 0),
            Action::Event(event) => self.note(event),
            other => panic!("{other:?}"),
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Started { peer, .. } => {
                let begun = self.begun.entry(number(&peer)).or_default();
                *begun += 1;
                assert_eq!(*begun, 1, "two attempts with one peer");
            }
            Event::Report(report) => {
                let begun = self.begun.entry(number(&report.peer)).or_default();
                assert_eq!(*begun, 1, "a report of nothing");
                *begun = 0;
                assert!(report.tries.len() <= usize::try_from(self.tries).expect("a small number"), "too many tries");
                assert!(!report.to_string().is_empty());
                self.seen.insert(match &report.end {
                    End::Upgraded { how, .. } => format!("{how:?}"),
                    End::Failed(why) => format!("{why:?}"),
                    other => format!("{other:?}"),
                });
            }
            _ => {}
        }
    }
}

fn nth(asks: &BTreeMap<AskId, (u8, u64)>, which: u8) -> Option<(AskId, (u8, u64))> {
    asks.iter().nth(usize::from(which) % asks.len().max(1)).map(|(ask, of)| (*ask, *of))
}
