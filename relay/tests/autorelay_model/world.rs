//! The world around an AutoRelay, which knows only the rules: it tells random things, and holds it to what follows.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use tidewire_core::{EventMachine, Multiaddr, PeerId, Seed, Time};
use tidewire_relay::autonat::Reachability;
use tidewire_relay::autorelay::{Action, AutoRelay, AutoRelayConfig, Candidate, Event, Input};
use tidewire_relay::{ConnectionId, circuit_address};

/// An AutoRelay, and what the rules say of it.
pub struct World {
    /// Kinds of actions and events that came up, and why relays were dropped.
    pub seen: BTreeSet<String>,
    config: AutoRelayConfig,
    auto: AutoRelay,
    now: Time,
    next: u64,
    reachability: Reachability,
    serving: bool,
    connections: BTreeMap<ConnectionId, (PeerId, bool)>,
    /// What each said since it is connected.
    hop: BTreeMap<PeerId, bool>,
    named: BTreeSet<PeerId>,
    connecting: BTreeSet<PeerId>,
    /// What the client was told to hold.
    wanted: BTreeSet<PeerId>,
    protected: BTreeSet<PeerId>,
    reserved: BTreeSet<PeerId>,
    /// Who may not be used again before then.
    paused: BTreeMap<PeerId, Time>,
    told: BTreeSet<Multiaddr>,
    announced: Vec<Multiaddr>,
    found: Option<Time>,
    advertised: bool,
}

fn peer(n: u8) -> PeerId {
    PeerId::from_bytes(&[0, 1, n]).unwrap()
}

fn address(n: u8) -> Multiaddr {
    format!("/ip4/8.{}.0.{n}/tcp/4001", n % 3).parse().unwrap()
}

fn nth<T: Clone>(mut all: impl ExactSizeIterator<Item = T>, pick: u8) -> Option<T> {
    let len = all.len();
    if len == 0 { None } else { all.nth(usize::from(pick) % len) }
}

impl World {
    pub fn new(bytes: [u8; 8]) -> Self {
        let mut config = if bytes[0] % 2 == 0 { AutoRelayConfig::classic() } else { AutoRelayConfig::go() };
        config.relays = u32::from(bytes[1] % 4);
        config.max_candidates = 3 + u32::from(bytes[2] % 8);
        config.probes = 1 + u32::from(bytes[3] % 4);
        config.max_addresses = u32::from(bytes[4] % 16);
        config.discover = bytes[5] % 8 != 0;
        let fixed = |n: u8| Candidate { peer: peer(n), addresses: vec![address(n)] };
        config.static_relays = (0..bytes[6] % 3).map(|n| fixed(10 + n)).collect();
        let mut world = World {
            seen: BTreeSet::new(),
            auto: AutoRelay::new(config.clone(), peer(0), &Seed::new([bytes[7]; 32]), Time::ZERO),
            now: Time::ZERO,
            next: 1,
            reachability: Reachability::Unknown,
            serving: false,
            connections: BTreeMap::new(),
            hop: BTreeMap::new(),
            named: config.static_relays.iter().map(|relay| relay.peer).collect(),
            connecting: BTreeSet::new(),
            wanted: BTreeSet::new(),
            protected: BTreeSet::new(),
            reserved: BTreeSet::new(),
            paused: BTreeMap::new(),
            told: BTreeSet::new(),
            announced: Vec::new(),
            found: None,
            advertised: false,
            config,
        };
        world.listen();
        world
    }

    /// One random thing.
    pub fn step(&mut self, [what, pick, low, high]: [u8; 4]) {
        let who = 1 + pick % 12;
        match what % 16 {
            0 => {
                self.reachability =
                    [Reachability::Private, Reachability::Unknown, Reachability::Public][usize::from(low % 3)];
                self.give(Input::Reachability(self.reachability));
            }
            1 | 2 => {
                let list: Vec<_> = (0..low % 4).map(|n| 1 + (pick.wrapping_add(n * 3)) % 12).collect();
                self.name(&list);
            }
            3 | 4 => self.connect(who, low % 4 == 0),
            5 => {
                if let Some(connection) = nth(self.connections.keys().copied(), pick) {
                    self.disconnect(connection);
                }
            }
            6 | 7 => self.identify(who, low % 4 != 0),
            8 => {
                self.connecting.remove(&peer(who));
                self.give(Input::ConnectFailed { peer: peer(who) });
            }
            9 | 10 => {
                if let Some(relay) = nth(self.wanted.iter().copied(), pick) {
                    self.reserved.insert(relay);
                    self.give(Input::Reserved { relay });
                }
            }
            11 => {
                if let Some(relay) = nth(self.wanted.iter().copied(), pick) {
                    self.give(Input::ReserveFailed { relay, refused: low % 2 == 0 });
                }
            }
            12 => {
                if let Some(relay) = nth(self.reserved.iter().copied(), pick) {
                    self.reserved.remove(&relay);
                    self.give(Input::Lost { relay });
                    assert!(!self.wanted.contains(&relay));
                }
            }
            13 => self.addresses(pick, low, high),
            14 => match low % 8 {
                0 => self.give(Input::NetworkChanged),
                1 | 2 => {
                    self.serving = !self.serving;
                    self.give(Input::Serving(self.serving));
                }
                3 => self.give(Input::Advertised { ttl: (high % 2 == 0).then_some(Duration::from_secs(high.into())) }),
                4 => self.give(Input::AdvertiseFailed),
                _ => self.give(Input::Rtt { peer: peer(who), rtt: Duration::from_millis(high.into()) }),
            },
            _ => self.wait(Duration::from_millis(u64::from(low) * u64::from(high) * 20)),
        }
    }

    /// All are relays, all are reachable, and all give: then as many are held as are wanted.
    pub fn finish(&mut self) {
        self.reachability = Reachability::Private;
        self.give(Input::Reachability(Reachability::Private));
        self.give(Input::NetworkChanged);
        for _ in 0..20 {
            let all: Vec<u8> = (1..=12).collect();
            self.name(&all);
            for n in 1..=12 {
                if !self.direct(peer(n)) {
                    self.connect(n, false);
                }
                self.identify(n, true);
            }
            for relay in self.wanted.clone() {
                self.reserved.insert(relay);
                self.give(Input::Reserved { relay });
            }
            self.wait(Duration::from_secs(30));
        }
        let explained = self.auto.explain(self.now);
        let able = 12.min(self.config.max_candidates as usize + self.config.static_relays.len());
        assert_eq!(explained.held.len(), able.min(self.config.relays as usize), "{explained}");
        self.reachability = Reachability::Public;
        self.give(Input::Reachability(Reachability::Public));
        assert!(self.wanted.is_empty() && self.protected.is_empty(), "nothing is kept that isn't needed");
    }

    fn direct(&self, peer: PeerId) -> bool {
        self.connections.values().any(|known| *known == (peer, false))
    }

    fn name(&mut self, peers: &[u8]) {
        let list: Vec<_> = peers.iter().map(|n| Candidate { peer: peer(*n), addresses: vec![address(*n)] }).collect();
        self.named.extend(list.iter().map(|candidate| candidate.peer));
        self.give(Input::Candidates(&list));
    }

    fn connect(&mut self, n: u8, relayed: bool) {
        let connection = ConnectionId(self.next);
        self.next += 1;
        self.connections.insert(connection, (peer(n), relayed));
        if !relayed {
            self.connecting.remove(&peer(n));
        }
        let remote = address(n);
        self.give(Input::Connected { connection, peer: peer(n), remote: &remote, relayed });
        let again = Input::Connected { connection, peer: peer(n), remote: &remote, relayed };
        assert!(self.auto.handle(self.now, again).is_err());
        self.listen();
    }

    fn disconnect(&mut self, connection: ConnectionId) {
        let (peer, _) = self.connections.remove(&connection).unwrap();
        if !self.direct(peer) {
            self.hop.remove(&peer);
        }
        self.give(Input::Disconnected { connection });
    }

    fn identify(&mut self, n: u8, speaks_hop: bool) {
        if self.direct(peer(n)) {
            self.hop.insert(peer(n), speaks_hop);
        }
        self.give(Input::Identified { peer: peer(n), speaks_hop });
    }

    fn addresses(&mut self, pick: u8, low: u8, high: u8) {
        if pick % 2 == 0 {
            let circuits: Vec<_> =
                self.reserved.iter().filter_map(|relay| circuit_address(&address(low), *relay, peer(0))).collect();
            self.told.extend(circuits.iter().cloned());
            return self.give(Input::Circuits(&circuits));
        }
        let port = |n: u8| 4000 + u16::from(n) % 4;
        let own: Vec<Multiaddr> = (0..high % 20)
            .map(|n| {
                let ip = if (low ^ n) % 3 == 0 { "10.0.0.1" } else { "8.8.8.8" };
                format!("/ip4/{ip}/tcp/{}", port(n)).parse().unwrap()
            })
            .collect();
        self.told.extend(own.iter().cloned());
        let verified = &own[..own.len().min(usize::from(low % 3))];
        self.give(Input::Addresses { own: &own, verified });
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while self.auto.deadline() <= end {
            self.now = self.now.max(self.auto.deadline());
            self.auto.on_timeout(self.now);
            assert!(self.auto.deadline() > self.now, "at its deadline it did what there was to do");
            self.listen();
        }
        self.now = end;
    }

    fn give(&mut self, input: Input<'_>) {
        if input == Input::NetworkChanged {
            self.paused.clear();
            self.found = None;
        }
        self.auto.handle(self.now, input).unwrap();
        self.listen();
    }

    fn listen(&mut self) {
        while let Some(action) = self.auto.poll() {
            self.hear(action);
        }
        self.compare();
    }

    fn hear(&mut self, action: Action) {
        let said = match &action {
            Action::Event(Event::Dropped { why, .. }) => format!("Dropped:{why:?}"),
            Action::Event(event) => format!("{event:?}"),
            action => format!("{action:?}"),
        };
        self.seen.extend(said.split([' ', '(']).next().map(str::to_owned));
        match action {
            Action::Find { count } => {
                assert!(self.config.discover && count > 0 && count <= self.config.max_candidates);
                let pause = self.config.find_interval;
                assert!(self.found.is_none_or(|found| self.now.since(found) >= pause), "not all the time");
                self.found = Some(self.now);
            }
            Action::Connect { peer, addresses } => {
                assert!(self.named.contains(&peer) && !self.direct(peer));
                assert!(addresses.iter().all(|address| !address.is_relayed()));
                assert!(self.paused.get(&peer).is_none_or(|until| *until <= self.now), "it is left alone");
            }
            Action::Protect { peer } => assert!(self.protected.insert(peer)),
            Action::Unprotect { peer } => assert!(self.protected.remove(&peer), "as often as protected"),
            Action::Hold { relay, .. } => {
                assert!(self.protected.contains(&relay) && self.named.contains(&relay));
                assert!(self.direct(relay) && self.hop.get(&relay) == Some(&true), "direct, identified, speaks hop");
                assert!(self.paused.get(&relay).is_none_or(|until| *until <= self.now), "it is left alone");
                let is_static = self.config.static_relays.iter().any(|fixed| fixed.peer == relay);
                let early = self.now.since(Time::ZERO) < self.config.boot_delay && self.config.whole_boot_delay;
                assert!(is_static || !early, "before the boot delay was over");
                assert!(self.wanted.insert(relay));
            }
            Action::Release { relay } => {
                assert!(self.wanted.remove(&relay));
                self.reserved.remove(&relay);
            }
            Action::Announce(set) => {
                assert_ne!(set, self.announced, "said when it differs");
                assert!(set.is_sorted() && set.len() <= self.config.max_addresses as usize);
                assert!(set.iter().all(|address| self.told.contains(address)));
                let public = self.reachability == Reachability::Public;
                assert!(!public || set.iter().all(|address| !address.is_relayed()));
                self.announced = set;
            }
            Action::Advertise { .. } => {
                assert!(self.serving && self.reachability == Reachability::Public && self.config.advertise);
                self.advertised = true;
            }
            Action::Withdraw { .. } => assert!(core::mem::take(&mut self.advertised)),
            Action::Event(Event::Dropped { relay, pause, .. }) => {
                assert!(!self.wanted.contains(&relay));
                self.paused.insert(relay, self.now + pause);
            }
            Action::Event(_) => {}
            other => panic!("{other:?}"),
        }
    }

    fn compare(&self) {
        let explained = self.auto.explain(self.now);
        assert!(!explained.to_string().is_empty());
        let used: BTreeSet<_> = explained.held.iter().chain(&explained.asked).copied().collect();
        assert_eq!((&used, &used), (&self.wanted, &self.protected));
        assert!(used.len() <= self.config.relays as usize);
        assert!(explained.probing <= self.config.probes as usize);
        assert!(self.reachability != Reachability::Public || used.is_empty());
        let all = used.len() + explained.candidates;
        assert!(all <= self.config.max_candidates as usize + self.config.static_relays.len());
        assert_eq!(self.auto.announced(), self.announced);
        assert!(self.auto.memory_used() < 256 * 1024);
    }
}
