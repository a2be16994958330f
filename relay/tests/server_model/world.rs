//! A relay server beside its reference, through any order of calls made from bytes; after each, both must say the same.

use super::reference::Model;
use std::collections::BTreeSet;
use std::time::Duration;
use tidewire_core::{EventMachine, Multiaddr, PeerId, Seed, Time, UnixTime};
use tidewire_relay::server::{
    Acl, AclRule, Action, CircuitEnd, CircuitState, Event, Input, Misuse, Offer, Scope, Server, ServerConfig,
    StopAnswer, Verdict, Who,
};
use tidewire_relay::{AskId, CircuitId, ConnectionId, Limit, RateConfig, Status, StreamKey};

pub struct World {
    server: Server,
    model: Model,
    now: Time,
    /// What happened, for whoever looks for the mistake.
    pub log: Vec<String>,
    /// Kinds of actions, refusals and ends that came up.
    pub seen: BTreeSet<String>,
}

const PEERS: u8 = 5;

/// The peer of this number; the relay is number 0.
pub fn peer(n: u8) -> PeerId {
    let mut bytes = [0; 38];
    bytes[..6].copy_from_slice(&[0x00, 0x24, 0x08, 0x01, 0x12, 0x20]);
    bytes[6] = n;
    PeerId::from_bytes(&bytes).unwrap()
}

fn remote(n: u8) -> (Multiaddr, bool, Option<u32>) {
    let relay = peer(99);
    let (address, relayed, asn) = match n % 8 {
        0 | 1 => ("/ip4/11.0.0.1/tcp/1".into(), false, Some(7)),
        2 => ("/ip4/11.0.0.2/tcp/1".into(), false, None),
        3 => ("/ip6/2a00:1::1/tcp/1".into(), false, Some(7)),
        4 => ("/ip6/2a00:1:0:ff::1/tcp/1".into(), false, Some(7)),
        5 => ("/ip6/2a00:2::1/tcp/1".into(), false, Some(8)),
        6 => ("/ip4/127.0.0.1/tcp/1".into(), false, None),
        _ => (format!("/ip4/11.0.0.1/tcp/1/p2p/{relay}/p2p-circuit"), true, None),
    };
    (address.parse().unwrap(), relayed, asn)
}

fn acl(n: u8) -> Acl {
    let rule = |who, scope, destination, verdict| AclRule { who, scope, destination, verdict };
    let (one, two) = (Who::Peer(peer(1)), Who::Peer(peer(2)));
    let (rules, otherwise) = match n % 6 {
        0 | 1 => (vec![], Verdict::Allow),
        2 => (vec![], Verdict::Ask),
        3 => (
            vec![rule(one, Scope::Reserve, None, Verdict::Deny), rule(two, Scope::Any, None, Verdict::Ask)],
            Verdict::Allow,
        ),
        4 => (
            vec![
                rule(Who::Asn(8), Scope::Any, None, Verdict::Allow),
                rule(one, Scope::Connect, Some(peer(3)), Verdict::Ask),
            ],
            Verdict::Allow,
        ),
        _ => (vec![AclRule::default(); 9], Verdict::Deny),
    };
    Acl { rules, otherwise }
}

fn config(bytes: [u8; 8]) -> ServerConfig {
    let [a, b, c, d, e, f, g, h] = bytes;
    let seconds = |n: u8| Duration::from_secs(n.into());
    let rate = |n: u8| {
        let on = RateConfig { interval: seconds(n % 16), burst: u32::from(n / 16) + 1, entries: 1000 };
        if n.is_multiple_of(4) { RateConfig::OFF } else { on }
    };
    let mut config = ServerConfig::default();
    config.offer = match a % 8 {
        0 => Offer::Never,
        1..5 => Offer::Always,
        _ => Offer::WhilePublic,
    };
    config.reservation_ttl = seconds(a / 8 * 4 + 1);
    config.reservations = u32::from(b % 5) + 1;
    config.reservations_per_network = u32::from(b / 5 % 4) + 1;
    config.reservations_per_asn = u32::from(b / 20 % 4) + 1;
    config.count_asn_of_ip4 = b >= 128;
    config.circuits = u32::from(c % 8) + 1;
    config.circuits_per_peer = u32::from(c / 8 % 4) + 1;
    config.limit = Limit { duration: (d % 4 != 0).then(|| seconds(d / 4)), data: (d % 8 > 3).then_some(1000) };
    config.stop_timeout = seconds(e % 32 + 1);
    config.close_timeout = seconds(e % 7 + 1);
    config.acl_timeout = seconds(e / 32 + 1);
    config.acl_questions = u32::from(f % 4) + 1;
    config.acl_questions_per_peer = u32::from(f / 4 % 3) + 1;
    config.acl_rules = 8;
    config.acl = acl(f / 16);
    (config.reserve_per_peer, config.reserve_per_network) = (rate(g), rate(g.rotate_left(3)));
    (config.connect_per_peer, config.connect_per_network) = (rate(h), rate(h.rotate_left(3)));
    config.connections = 7;
    config
}

impl World {
    pub fn new(bytes: [u8; 8]) -> World {
        let config = config(bytes);
        let server = Server::new(config.clone(), peer(0), &Seed::new([bytes[0]; 32]));
        let mut world = World {
            server,
            model: Model::new(config, peer(0)),
            now: Time::ZERO,
            log: Vec::new(),
            seen: BTreeSet::new(),
        };
        if !bytes[1].is_multiple_of(8) {
            world.tell(Input::Clock { unix: UnixTime::from_secs(1_800_000_000) });
            world.tell(Input::Reachable { public: true });
        }
        world
    }

    /// Four bytes make one thing that happens.
    pub fn step(&mut self, [kind, a, b, c]: [u8; 4]) {
        let connection = ConnectionId(u64::from(a % 8));
        let stream = StreamKey { connection, stream: u64::from(b % 4) };
        match kind % 32 {
            0..4 => {
                let (remote, relayed, asn) = remote(c);
                self.tell(Input::Connected { connection, peer: peer(b % PEERS + 1), remote: &remote, relayed, asn });
            }
            4 => self.tell(Input::Disconnected { connection }),
            5..10 => self.tell(Input::Reserve { stream }),
            10..16 => self.tell(Input::Connect { stream, destination: peer(c % (PEERS + 1)) }),
            16 => {
                let circuits = &self.model.circuits;
                let of_circuit = circuits.get(usize::from(a) % circuits.len().max(1)).map(|at| at.source);
                let stream = of_circuit.filter(|_| c % 4 != 0).unwrap_or(stream);
                self.tell(Input::RequesterGone { stream });
            }
            17..20 => self.answer_stop(a, b, c),
            20 | 21 => {
                let circuit = self.some_circuit(a);
                let (forward, backward) = (u64::from(b) << (c % 57), u64::from(c));
                if kind % 32 == 20 {
                    self.tell(Input::CircuitProgress { circuit, forward, backward });
                } else {
                    let ends = [CircuitEnd::Closed, CircuitEnd::SourceReset, CircuitEnd::DestinationReset];
                    let end = ends[usize::from(a % 3)].clone();
                    self.tell(Input::CircuitEnded { circuit, end, forward, backward });
                }
            }
            22 => self.tell(Input::Reachable { public: a % 3 != 0 }),
            23 => {
                let unix = [0, 1_700_000_000, 1_800_000_000, 1_900_000_000, u64::MAX - 5, u64::MAX];
                self.tell(Input::Clock { unix: UnixTime::from_secs(unix[usize::from(a % 6)]) });
            }
            24 | 25 => self.tell(Input::Decide { stream, allow: c % 2 == 0 }),
            26 => self.tell(Input::Acl { acl: &acl(a) }),
            27 if a % 8 == 0 => self.tell(Input::Drain { grace: Duration::from_secs((b % 32).into()) }),
            28 => {
                let texts =
                    ["/ip4/12.0.0.1/tcp/1", "/ip4/10.0.0.1/tcp/1", "/dns4/relay.net/tcp/2", "/ip4/0.0.0.0/tcp/1"];
                let addresses: Vec<Multiaddr> =
                    texts.iter().take(usize::from(a % 5)).map(|text| text.parse().unwrap()).collect();
                self.tell(Input::Addresses { addresses: &addresses });
            }
            _ => self.wait(Duration::from_millis(u64::from(a) * u64::from(b % 8 + 1) * 20), c % 4 == 0),
        }
        self.compare();
    }

    /// Everything ends, and nothing is left.
    pub fn finish(&mut self) {
        self.tell(Input::Drain { grace: Duration::ZERO });
        for circuit in self.model.circuits.iter().map(|at| at.id).collect::<Vec<_>>() {
            self.tell(Input::CircuitEnded { circuit, end: CircuitEnd::Closed, forward: 0, backward: 0 });
        }
        for connection in self.model.connections.iter().map(|at| at.id).collect::<Vec<_>>() {
            self.tell(Input::Disconnected { connection });
        }
        self.compare();
        assert_eq!(self.server.counts(), Default::default(), "something is left after the end");
        assert_eq!(self.server.deadline(), Time::NEVER);
        let counters = self.server.counters();
        assert_eq!(counters.circuits, counters.circuits_ended, "a circuit never ended");
    }

    fn tell(&mut self, input: Input<'_>) {
        self.log.push(format!("{:?} {input:?}", self.now));
        let expected = self.model.handle(self.now, input.clone());
        let got: Result<(), Misuse> = self.server.handle(self.now, input);
        assert_eq!(got, expected, "after {:#?}", self.log);
        self.drain();
    }

    fn wait(&mut self, time: Duration, late: bool) {
        let end = self.now + time;
        self.log.push(format!("{:?} wait until {end:?}{}", self.now, if late { ", late" } else { "" }));
        while !late && self.server.deadline() <= end {
            self.now = self.server.deadline();
            self.server.on_timeout(self.now);
            self.model.on_timeout(self.now);
            self.drain();
            assert!(self.server.deadline() > self.now, "the deadline stands still");
        }
        self.now = end;
        if self.server.deadline() > self.now {
            self.server.on_timeout(self.now);
            assert_eq!(self.server.poll(), None, "before its deadline");
        }
    }

    fn drain(&mut self) {
        let actions: Vec<_> = std::iter::from_fn(|| self.server.poll()).collect();
        assert_eq!(actions, std::mem::take(&mut self.model.out), "after {:#?}", self.log);
        for action in actions {
            let kind = |what: String| what.split([' ', '(']).next().unwrap_or_default().to_owned();
            self.seen.insert(match action {
                Action::Event(Event::Refused { why, .. }) => kind(format!("{why:?}")),
                Action::Event(Event::ReservationEnded { why, .. }) => kind(format!("{why:?}")),
                Action::Event(Event::CircuitClosed { why, .. }) => kind(format!("{why:?}")),
                Action::Event(event) => kind(format!("{event:?}")),
                action => kind(format!("{action:?}")),
            });
        }
    }

    fn compare(&self) {
        assert_eq!(self.server.deadline(), self.model.deadline(), "after {:#?}", self.log);
        let view = self.server.view();
        assert_eq!(view.counts, self.model.counts(), "after {:#?}", self.log);
        assert_eq!(view.counters, self.model.counters, "after {:#?}", self.log);
        let held = view.reservations.iter().map(|at| (at.peer, at.until, at.expire, at.renewals, at.circuits));
        let expected = self.model.reservations.iter();
        let expected = expected.map(|at| (at.peer, at.until, at.expire, at.renewals, self.model.circuits_of(at.peer)));
        assert!(held.eq(expected), "after {:#?}", self.log);
        let state = |open: bool, closing: bool| match (open, closing) {
            (false, _) => CircuitState::Opening,
            (true, false) => CircuitState::Open,
            (true, true) => CircuitState::Closing,
        };
        let circuits =
            view.circuits.iter().map(|at| (at.circuit, at.source, at.destination, at.state, at.forward, at.backward));
        let expected = self.model.circuits.iter().map(|at| {
            (at.id, at.peers.0, at.peers.1, state(at.open.is_some(), at.closing.is_some()), at.forward, at.backward)
        });
        assert!(circuits.eq(expected), "after {:#?}", self.log);
        for n in 1..=PEERS {
            let explained = self.server.explain_peer(&peer(n)).map_or(0, |at| at.circuits);
            assert_eq!(explained, self.model.circuits_of(peer(n)), "after {:#?}", self.log);
        }
        assert!(self.server.memory_used() < 256 * 1024, "{} bytes", self.server.memory_used());
    }

    fn some_circuit(&self, n: u8) -> CircuitId {
        let circuits = &self.model.circuits;
        circuits.get(usize::from(n) % (circuits.len() + 1)).map_or(CircuitId(n.into()), |circuit| circuit.id)
    }

    fn answer_stop(&mut self, a: u8, b: u8, c: u8) {
        let asked: Vec<_> = self.model.circuits.iter().filter(|at| at.open.is_none()).collect();
        let (ask, at) = match asked.get(usize::from(a) % asked.len().max(1)) {
            Some(circuit) => (AskId(circuit.id.0), circuit.at),
            None => (AskId(a.into()), ConnectionId(b.into())),
        };
        let connection = if b.is_multiple_of(16) { ConnectionId(99) } else { at };
        let answer = match c % 8 {
            0 => StopAnswer::Refused(Status::CONNECTION_FAILED),
            1 => StopAnswer::Failed("the protocol is not spoken"),
            _ => StopAnswer::Accepted(StreamKey { connection, stream: u64::from(b % 8) }),
        };
        self.tell(Input::StopAnswered { ask, answer });
    }
}
