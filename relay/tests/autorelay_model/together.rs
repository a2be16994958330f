//! A node of an AutoRelay and a relay client, as the host puts them together, and relays that live and die.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use tidewire_core::{EventMachine, Keypair, Multiaddr, PeerId, Seed, Time, UnixTime};
use tidewire_relay::autorelay::{self, AutoRelay, AutoRelayConfig, Candidate};
use tidewire_relay::client::{self, AskFault, Client, ClientConfig};
use tidewire_relay::exchange::{Answer, Ask, Asker, Config, Context, Reply, Responder, Service};
use tidewire_relay::{ConnectionId, Limit, StreamKey};

const UNIX: u64 = 1_900_000_000;
/// What the wire takes, one way.
const DELAY: Duration = Duration::from_millis(40);

/// The node and the world around it.
pub struct Node {
    auto: AutoRelay,
    client: Client,
    us: PeerId,
    now: Time,
    relays: BTreeMap<PeerId, Relay>,
    connections: BTreeMap<ConnectionId, PeerId>,
    /// What is on its way to the node, by the moment when it comes.
    coming: BTreeMap<(Time, u64), News>,
    count: u64,
    protected: BTreeSet<PeerId>,
    announced: Vec<Multiaddr>,
    announcements: usize,
}

struct Relay {
    key: Keypair,
    address: Multiaddr,
    alive: bool,
}

enum News {
    Connected(PeerId),
    ConnectFailed(PeerId),
    Answer(client::Action),
    Candidates,
}

impl Node {
    /// A node with so many relays around it.
    pub fn new(seed: u8, relays: u8) -> Self {
        let us = Keypair::from_seed(&Seed::new([200; 32])).peer_id();
        let relay = |n: u8| {
            let key = Keypair::from_seed(&Seed::new([n; 32]));
            (key.peer_id(), Relay { key, address: format!("/ip4/8.{n}.0.1/tcp/4001").parse().unwrap(), alive: true })
        };
        let root = Seed::new([seed; 32]);
        let mut node = Node {
            auto: AutoRelay::new(AutoRelayConfig::classic(), us, &root, Time::ZERO),
            client: Client::new(ClientConfig::default(), us, &root),
            us,
            now: Time::ZERO,
            relays: (0..relays).map(|n| relay(n + 1)).collect(),
            connections: BTreeMap::new(),
            coming: BTreeMap::new(),
            count: 0,
            protected: BTreeSet::new(),
            announced: Vec::new(),
            announcements: 0,
        };
        node.client.handle(Time::ZERO, client::Input::Clock { unix: UnixTime::from_secs(UNIX) }).unwrap();
        node.settle();
        node
    }

    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let news = self.coming.keys().next().map_or(Time::NEVER, |(at, _)| *at);
            let next = self.auto.deadline().min(self.client.deadline()).min(news);
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            self.auto.on_timeout(self.now);
            self.client.on_timeout(self.now);
            self.settle();
            while let Some(first) = self.coming.first_entry().filter(|first| first.key().0 <= self.now) {
                let news = first.remove();
                self.arrive(&news);
                self.settle();
            }
        }
    }

    pub fn kill(&mut self, relay: PeerId) {
        self.relays.get_mut(&relay).unwrap().alive = false;
        let gone: Vec<_> =
            self.connections.iter().filter(|(_, peer)| **peer == relay).map(|(connection, _)| *connection).collect();
        for connection in gone {
            self.connections.remove(&connection);
            self.client.handle(self.now, client::Input::Disconnected { connection }).unwrap();
            self.auto.handle(self.now, autorelay::Input::Disconnected { connection }).unwrap();
        }
        self.settle();
    }

    pub fn revive(&mut self, relay: PeerId) {
        self.relays.get_mut(&relay).unwrap().alive = true;
    }

    pub fn all(&self) -> Vec<PeerId> {
        self.relays.keys().copied().collect()
    }

    pub fn held(&self) -> Vec<PeerId> {
        let held = self.auto.explain(self.now).held;
        assert!(held.iter().all(|relay| self.client.reservation(relay).is_some()), "both say the same");
        held
    }

    pub fn protected(&self) -> Vec<PeerId> {
        self.protected.iter().copied().collect()
    }

    /// The relays through which we are announced.
    pub fn announced(&self) -> Vec<PeerId> {
        let relays: BTreeSet<_> = self.announced.iter().filter_map(Multiaddr::relay_peer_id).collect();
        relays.into_iter().collect()
    }

    pub fn announcements(&self) -> usize {
        self.announcements
    }

    fn send(&mut self, after: Duration, news: News) {
        self.count += 1;
        self.coming.insert((self.now + after, self.count), news);
    }

    /// Both machines' actions are carried out, and the client's are told to AutoRelay.
    fn settle(&mut self) {
        loop {
            if let Some(action) = self.client.poll() {
                if let Some(input) = autorelay::Input::of_client(&action) {
                    self.auto.handle(self.now, input).unwrap();
                }
                match action {
                    client::Action::Connect { relay, .. } => self.dial(relay),
                    client::Action::Ask { .. } => self.send(2 * DELAY, News::Answer(action)),
                    _ => {}
                }
            } else if let Some(action) = self.auto.poll() {
                self.carry_out(action);
            } else {
                return;
            }
        }
    }

    fn carry_out(&mut self, action: autorelay::Action) {
        match action {
            autorelay::Action::Find { .. } => self.send(Duration::from_secs(1), News::Candidates),
            autorelay::Action::Connect { peer, .. } => self.dial(peer),
            autorelay::Action::Hold { relay, addresses } => {
                self.client.handle(self.now, client::Input::Hold { relay, addresses: &addresses }).unwrap();
            }
            autorelay::Action::Release { relay } => {
                self.client.handle(self.now, client::Input::Release { relay }).unwrap();
            }
            autorelay::Action::Protect { peer } => assert!(self.protected.insert(peer)),
            autorelay::Action::Unprotect { peer } => assert!(self.protected.remove(&peer)),
            autorelay::Action::Announce(set) => {
                self.announced = set;
                self.announcements += 1;
            }
            _ => {}
        }
    }

    fn dial(&mut self, relay: PeerId) {
        let alive = self.relays[&relay].alive;
        self.send(3 * DELAY, if alive { News::Connected(relay) } else { News::ConnectFailed(relay) });
    }

    fn arrive(&mut self, news: &News) {
        let now = self.now;
        match *news {
            News::Candidates => {
                let named = |(peer, relay): (&PeerId, &Relay)| Candidate {
                    peer: *peer,
                    addresses: vec![relay.address.clone()],
                };
                let list: Vec<_> = self.relays.iter().map(named).collect();
                self.auto.handle(now, autorelay::Input::Candidates(&list)).unwrap();
            }
            News::Connected(peer) if self.relays[&peer].alive => {
                self.count += 1;
                let connection = ConnectionId(self.count);
                self.connections.insert(connection, peer);
                let remote = &self.relays[&peer].address;
                let input = client::Input::Connected { connection, peer, remote, relayed: false, dialed: true };
                self.client.handle(now, input).unwrap();
                self.auto
                    .handle(now, autorelay::Input::Connected { connection, peer, remote, relayed: false })
                    .unwrap();
                self.auto.handle(now, autorelay::Input::Identified { peer, speaks_hop: true }).unwrap();
            }
            News::Connected(peer) | News::ConnectFailed(peer) => {
                // Of the two only who asked waits for it.
                let _ = self.client.handle(now, client::Input::ConnectFailed { relay: peer, why: "refused" });
                self.auto.handle(now, autorelay::Input::ConnectFailed { peer }).unwrap();
            }
            News::Answer(client::Action::Ask { ask, connection, what: Ask::Reserve }) => {
                // After the end of a connection nobody waits for its answers.
                let Some(relay) = self.connections.get(&connection) else { return };
                let answer = self.reserve(*relay);
                let stream = StreamKey { connection, stream: ask.0 };
                self.client.handle(now, client::Input::Answered { ask, stream, answer: &answer }).unwrap();
            }
            News::Answer(client::Action::Ask { ask, .. }) => {
                self.client.handle(now, client::Input::AskFailed { ask, fault: AskFault::Unsupported }).unwrap();
            }
            News::Answer(_) => {}
        }
    }

    /// A relay gives an hour, over the wire.
    fn reserve(&self, relay: PeerId) -> Answer {
        use tidewire_core::Machine;
        let relay = &self.relays[&relay];
        let id = relay.key.peer_id();
        let (mut there, mut back) = (bytes::BytesMut::new(), bytes::BytesMut::new());
        let (at_us, at_relay) = (
            Context { local: self.us, remote: id, relayed: false },
            Context { local: id, remote: self.us, relayed: false },
        );
        let mut asker = Asker::new(&Ask::Reserve, &at_us, &Config::default(), self.now, &mut there);
        let mut responder = Responder::new(Service::Hop, &at_relay, &Config::default(), self.now);
        responder.advance(self.now, &mut there, &mut back).unwrap();
        let expire = UnixTime::from_secs(UNIX + self.now.as_nanos() / 1_000_000_000 + 3600);
        let reply = Reply::Reserved { expire, addresses: vec![relay.address.clone()], limit: Limit::UNLIMITED };
        responder.reply(self.now, &reply, Some(&relay.key), &mut back).unwrap();
        asker.advance(self.now, &mut back, &mut there).unwrap().expect("an answer")
    }
}
