//! The four machines of AutoNAT in any order of calls made from bytes. Nothing may panic, grow or loop; no server dials a third
//! party that nobody paid for; no client believes in an address at which nothing came in.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use tidewire_core::{EventMachine, Keypair, Multiaddr, PeerId, Seed, Time};
use tidewire_relay::autonat::{Reachability, v1, v2};
use tidewire_relay::exchange::{Answer, Ask, Reply, Request};
use tidewire_relay::{AskId, ConnectionId, DialBackId, StreamKey};

static PEERS: LazyLock<Vec<PeerId>> =
    LazyLock::new(|| (0..8u8).map(|n| Keypair::from_seed(&Seed::new([n; 32])).peer_id()).collect());

/// Sixteen addresses: ours, a victim's, private, named, relayed, not to be dialed.
static ADDRESSES: LazyLock<Vec<Multiaddr>> = LazyLock::new(|| {
    let relayed = format!("/ip4/8.8.8.8/tcp/1/p2p/{}/p2p-circuit", PEERS[7]);
    let texts = [
        "/ip4/8.8.8.8/tcp/4001",
        "/ip4/8.8.8.8/tcp/4002",
        "/ip4/8.8.4.4/tcp/4001",
        "/ip4/1.1.1.1/tcp/80",
        "/ip4/192.168.1.2/tcp/4001",
        "/ip4/127.0.0.1/tcp/4001",
        "/ip6/2606:4700::1/tcp/4001",
        "/ip6/::ffff:8.8.8.8/tcp/4001",
        "/dns4/libp2p.io/tcp/443",
        "/ip4/8.8.8.8/udp/4001/quic-v1",
        "/ip4/8.8.8.8/tcp/0",
        "/ip4/0.0.0.0/tcp/4001",
        "/ip4/8.8.8.8/tcp/443/ws",
        "/dnsaddr/libp2p.io",
        "/memory/7",
        &relayed,
    ];
    texts.iter().map(|text| text.parse().unwrap()).collect()
});

fn some(which: u16) -> Vec<Multiaddr> {
    (0..16).filter(|bit| which & 1 << bit != 0).map(|bit| ADDRESSES[bit].clone()).collect()
}

fn peer(n: u8) -> PeerId {
    PEERS[usize::from(n % 8)]
}

fn stream(n: u8) -> StreamKey {
    StreamKey { connection: ConnectionId((n % 16).into()), stream: (n / 16 % 2).into() }
}

fn ip(address: &Multiaddr) -> Option<IpAddr> {
    address.ip().map(|ip| ip.to_canonical())
}

pub struct World {
    /// What came up, for whoever wants to know whether it did.
    pub seen: BTreeSet<String>,
    now: Time,
    v1_client: v1::Client,
    v2_client: v2::Client,
    v1_server: v1::Server,
    v2_server: v2::Server,
    v1_asks: BTreeSet<AskId>,
    v2_asks: BTreeMap<AskId, (u64, Vec<Multiaddr>)>,
    /// Transports and IP versions at which a nonce came in on a good connection: without those no address is public.
    heard: bool,
    charged: BTreeMap<StreamKey, u64>,
    /// Streams with where they come from, whether they paid, and whether they were dialed for.
    streams: BTreeMap<StreamKey, (Multiaddr, bool, bool)>,
    attempts: [BTreeMap<DialBackId, Vec<Multiaddr>>; 2],
}

impl World {
    pub fn new([seed, allow_private, tight, ..]: [u8; 8]) -> World {
        let seed = Seed::new([seed; 32]);
        let (allow_private, tight) = (allow_private % 2 == 1, tight % 2 == 1);
        let mut v1_server = v1::ServerConfig::default();
        let mut v2_server = v2::ServerConfig::default();
        let mut v2_client = v2::ClientConfig::default();
        let mut v1_client = v1::ClientConfig::default();
        v1_server.allow_private = allow_private;
        v2_server.allow_private = allow_private;
        v2_client.allow_private = allow_private;
        if tight {
            (v1_server.max_requests, v2_server.max_requests) = (2, 2);
            (v2_client.max_addresses, v2_client.max_asked, v2_client.window) = (3, 2, 2);
            (v1_client.max_servers, v2_client.max_servers) = (2, 2);
            (v1_client.server_pause, v2_client.server_pause) = (Duration::ZERO, Duration::ZERO);
        }
        World {
            seen: BTreeSet::new(),
            now: Time::ZERO,
            v1_client: v1::Client::new(v1_client, &seed, Time::ZERO),
            v2_client: v2::Client::new(v2_client, &seed),
            v1_server: v1::Server::new(v1_server, &seed),
            v2_server: v2::Server::new(v2_server, &seed),
            v1_asks: BTreeSet::new(),
            v2_asks: BTreeMap::new(),
            heard: false,
            charged: BTreeMap::new(),
            streams: BTreeMap::new(),
            attempts: [BTreeMap::new(), BTreeMap::new()],
        }
    }

    /// Four bytes make one thing that happens.
    pub fn step(&mut self, [what, a, b, c]: [u8; 4]) {
        let now = self.now;
        match what % 16 {
            0 => {
                let (connection, peer) = (ConnectionId(a.into()), peer(b));
                self.v1_client.handle(now, v1::ClientInput::Server { connection, peer }).unwrap();
                self.v2_client.handle(now, v2::ClientInput::Server { connection, peer }).unwrap();
            }
            1 => {
                let connection = ConnectionId(a.into());
                self.v1_client.handle(now, v1::ClientInput::ServerGone { connection }).unwrap();
                self.v2_client.handle(now, v2::ClientInput::ServerGone { connection }).unwrap();
            }
            2 => {
                let own = some(u16::from_le_bytes([a, b]));
                self.v1_client.handle(now, v1::ClientInput::Addresses(&own)).unwrap();
                self.v2_client.handle(now, v2::ClientInput::Addresses(&own)).unwrap();
            }
            3 => self.answer(a, b % 4, b / 4, c),
            4 => {
                let ask = AskId(a.into());
                let known = self.v1_asks.remove(&ask);
                assert_eq!(self.v1_client.handle(now, v1::ClientInput::Failed { ask }).is_ok(), known);
                let _ = self.v2_client.handle(now, v2::ClientInput::Failed { ask });
            }
            5 => {
                let (ask, inbound, before) = (a, b % 2 == 1, b / 2 % 2 == 1);
                let known = self.v2_asks.get(&AskId(ask.into()));
                let nonce = known.map_or(u64::from(ask), |(nonce, _)| *nonce);
                let since = if before { Time::ZERO } else { now };
                let local = &ADDRESSES[usize::from(c % 16)];
                self.heard |= inbound && known.is_some();
                let on = v2::HeardOn { inbound, since, local };
                let heard = v2::ClientInput::DialBackHeard { stream: stream(ask), on, nonce };
                self.v2_client.handle(now, heard).unwrap();
            }
            6 => {
                self.v1_client.handle(now, v1::ClientInput::NetworkChanged).unwrap();
                self.v2_client.handle(now, v2::ClientInput::NetworkChanged).unwrap();
            }
            7 => {
                let (stream, peer) = (stream(a), peer(b));
                let remote = &ADDRESSES[usize::from(c % 16)];
                let first = self.v1_server.handle(now, v1::ServerInput::Opened { stream, peer, remote });
                let second = self.v2_server.handle(now, v2::ServerInput::Opened { stream, peer, remote });
                if first.is_ok() && second.is_ok() {
                    self.streams.insert(stream, (remote.clone(), false, false));
                } else {
                    // One of the machines still serves it under its old name: then nothing is said of it any more.
                    let _ = self.v1_server.handle(now, v1::ServerInput::Gone { stream });
                    let _ = self.v2_server.handle(now, v2::ServerInput::Gone { stream });
                    self.streams.remove(&stream);
                }
            }
            8 => {
                let (stream, addresses) = (stream(a), some(u16::from_le_bytes([b, c])));
                let dial_me = Request::DialMe { addresses: addresses.clone() };
                let probe = Request::Probe { nonce: a.into(), addresses };
                let _ = self.v1_server.handle(now, v1::ServerInput::Requested { stream, request: &dial_me });
                let _ = self.v2_server.handle(now, v2::ServerInput::Requested { stream, request: &probe });
            }
            9 => {
                let (stream, part) = (stream(a), b);
                let price = self.charged.get(&stream).copied().unwrap_or(u64::MAX / 2);
                let bytes = if part < 8 { price - 1 } else { price };
                let paid = Request::Paid { bytes };
                let taken = self.v2_server.handle(now, v2::ServerInput::Requested { stream, request: &paid }).is_ok();
                assert!(!taken || (part >= 8 && self.charged.contains_key(&stream)));
                if let Some((_, paid, _)) = self.streams.get_mut(&stream) {
                    *paid |= taken;
                }
            }
            10 => {
                let stream = stream(a);
                let _ = self.v1_server.handle(now, v1::ServerInput::Gone { stream });
                let _ = self.v2_server.handle(now, v2::ServerInput::Gone { stream });
            }
            11 => {
                use v2::DialBackOutcome::{Heard, NotHeard, NotReached, NotTried};
                let (attempt, outcome) = (DialBackId(a.into()), b);
                let dialed = self.attempts[0].remove(&attempt);
                let reached = dialed.as_ref().and_then(|dialed| dialed.first()).filter(|_| outcome % 2 == 0);
                let result = self.v1_server.handle(now, v1::ServerInput::DialedBack { attempt, reached });
                assert_eq!(result.is_ok(), dialed.is_some());
                let known = self.attempts[1].remove(&attempt).is_some();
                let outcome = [Heard, NotHeard, NotReached, NotTried][usize::from(outcome % 4)];
                let result = self.v2_server.handle(now, v2::ServerInput::DialedBack { attempt, outcome });
                assert_eq!(result.is_ok(), known);
            }
            12 => {
                let (ipv4, ipv6) = (a % 2 == 1, b % 2 == 1);
                self.v2_server.handle(now, v2::ServerInput::Connectivity { ipv4, ipv6 }).unwrap();
            }
            13 | 14 => self.wait(u16::from_le_bytes([a, b])),
            _ => {
                self.now = now + Duration::from_secs(u16::from_le_bytes([a, b]).into());
                self.time_passed();
            }
        }
        self.drain();
    }

    fn answer(&mut self, ask: u8, kind: u8, index: u8, status: u8) {
        let (now, id) = (self.now, AskId(ask.into()));
        let code = [0, 100, 101, 200, 300, 7][usize::from(status % 6)];
        let known = self.v1_asks.contains(&id);
        let answer = Answer::Dialed(v1::Response::failed(v1::Status::from_code(code), "so"));
        let taken = self.v1_client.handle(now, v1::ClientInput::Answered { ask: id, answer: &answer }).is_ok();
        assert_eq!(taken, known);
        self.v1_asks.remove(&id);
        let answer = match kind % 4 {
            0 => Answer::CostAsked { index: index.into(), bytes: u64::from(status) * 1000 },
            1 => Answer::Probed(v2::Response::refused(v2::Status::from_code(code))),
            2 => Answer::BackHeard,
            _ => Answer::Probed(v2::Response::dialed(index.into(), v2::DialStatus::from_code(code))),
        };
        let taken = self.v2_client.handle(now, v2::ClientInput::Answered { ask: id, answer: &answer }).is_ok();
        assert!(!taken || self.v2_asks.contains_key(&id));
    }

    fn wait(&mut self, seconds: u16) {
        let end = self.now + Duration::from_secs((seconds % 4096).into());
        for _ in 0..20_000 {
            let deadlines = [
                self.v1_client.deadline(),
                self.v2_client.deadline(),
                self.v1_server.deadline(),
                self.v2_server.deadline(),
            ];
            let next = deadlines.into_iter().min().unwrap_or(end);
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            self.time_passed();
            self.drain();
            assert!(self.v1_client.deadline() > self.now && self.v2_client.deadline() > self.now);
            assert!(self.v1_server.deadline() > self.now && self.v2_server.deadline() > self.now);
        }
        panic!("deadlines without end");
    }

    fn time_passed(&mut self) {
        self.v1_client.on_timeout(self.now);
        self.v2_client.on_timeout(self.now);
        self.v1_server.on_timeout(self.now);
        self.v2_server.on_timeout(self.now);
    }

    /// The kind of an action, and the words in it that are none of its names and numbers.
    fn saw(&mut self, who: &str, action: &impl core::fmt::Debug) {
        let text = format!("{action:?}");
        let words = ["Public", "Private", "AskData", "Dialed", "Probed", "Refused", "OK", "E_DIAL"];
        let kind = text.split([' ', '(']).next().unwrap_or_default();
        self.seen.insert(format!("{who} {kind}"));
        for word in words.iter().filter(|word| text.contains(*word)) {
            self.seen.insert(format!("{who} {kind} {word}"));
        }
    }

    fn drain(&mut self) {
        while let Some(action) = self.v1_client.poll() {
            self.saw("v1 client", &action);
            match action {
                v1::ClientAction::Ask { ask, what: Ask::DialMe { addresses }, .. } => {
                    assert!(!addresses.is_empty() && addresses.iter().all(|address| !address.is_relayed()));
                    assert!(self.v1_asks.is_empty(), "one at a time");
                    self.v1_asks.insert(ask);
                }
                v1::ClientAction::CancelAsk { ask } => assert!(self.v1_asks.remove(&ask)),
                _ => {}
            }
        }
        while let Some(action) = self.v2_client.poll() {
            self.saw("v2 client", &action);
            match action {
                v2::ClientAction::Ask { ask, what: Ask::Probe { nonce, addresses }, .. } => {
                    assert!(!addresses.is_empty() && addresses.len() <= 10);
                    self.v2_asks.insert(ask, (nonce, addresses));
                }
                v2::ClientAction::Address { reachability: Reachability::Public, .. } => assert!(self.heard),
                _ => {}
            }
        }
        while let Some(action) = self.v1_server.poll() {
            self.saw("v1 server", &action);
            match action {
                v1::ServerAction::DialBack { attempt, addresses, .. } => {
                    assert!(!addresses.is_empty() && addresses.len() <= 16);
                    self.attempts[0].insert(attempt, addresses);
                }
                v1::ServerAction::CancelDialBack { attempt } => assert!(self.attempts[0].remove(&attempt).is_some()),
                _ => {}
            }
        }
        while let Some(action) = self.v2_server.poll() {
            self.saw("v2 server", &action);
            match action {
                v2::ServerAction::Reply { stream, reply: Reply::AskData { bytes, .. } } => {
                    assert!((30_000..=100_000).contains(&bytes));
                    self.charged.insert(stream, bytes);
                }
                v2::ServerAction::Reply { stream, .. } | v2::ServerAction::Reset { stream } => {
                    self.charged.remove(&stream);
                }
                v2::ServerAction::DialBack { attempt, address, nonce, .. } => {
                    let dialed_for = self.streams.iter_mut().find(|(stream, (remote, paid, dialed))| {
                        let named = u64::from(stream.connection.0 as u8 + stream.stream as u8 * 16);
                        nonce % 32 == named && !*dialed && (*paid || ip(remote) == ip(&address))
                    });
                    let Some((_, (_, _, dialed))) = dialed_for else { panic!("{address} for nobody who may have it") };
                    *dialed = true;
                    self.attempts[1].insert(attempt, vec![address]);
                }
                v2::ServerAction::CancelDialBack { attempt } => assert!(self.attempts[1].remove(&attempt).is_some()),
                _ => {}
            }
        }
        for memory in [
            self.v1_client.memory_used(),
            self.v2_client.memory_used(),
            self.v1_server.memory_used(),
            self.v2_server.memory_used(),
        ] {
            assert!(memory < 128 * 1024, "{memory} bytes");
        }
    }

    /// Whatever happened, it comes to rest, and can be explained.
    pub fn finish(&mut self) {
        self.wait(3600);
        let _ = format!(
            "{} {} {} {}",
            self.v1_client.explain(self.now),
            self.v2_client.explain(self.now),
            self.v1_server.explain(self.now),
            self.v2_server.explain(self.now)
        );
    }
}
