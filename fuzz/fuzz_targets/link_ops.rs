//! A link against a remote that writes whatever it likes to its streams, with a host and an application that act in any order.
//! Every reported stream ends once, every wish is answered once, deadlines move on, and memory is bounded.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tidewire_connmgr::{CloseReason, StreamRefusal};
use tidewire_core::{Keypair, Machine, Seed, Time};
use tidewire_dcutr::PROTOCOL;
use tidewire_dcutr::exchange::Heard;
use tidewire_host::identify::{Card, Profile};
use tidewire_host::link::{
    Link, LinkConfig, LinkEvent, LinkSetup, LinkShared, Order, Report, Routes, Service as Served, StreamEvent,
};
use tidewire_host::{AskNumber, ConnectionId, OpenId, StreamId};
use tidewire_multistream::{Matcher, Protocol, Protocols, RouteId, Router};
use tidewire_relay::exchange::{Answer, Ask, Reply, Service};
use tidewire_relay::{Limit, Status};
use tidewire_upgrade::connection::{Connection, Event, Selection};
use tidewire_upgrade::pipeline::{Config, Plan, SecurityKind, Upgrade, Upgrader};

struct World {
    now: Time,
    link: Link,
    remote: Option<Connection>,
    upgrade: Option<Upgrade>,
    rx: BytesMut,
    tx: BytesMut,
    reported: BTreeSet<StreamId>,
    /// Reported, and not closed or refused.
    live: BTreeSet<StreamId>,
    ours: Vec<StreamId>,
    theirs: Vec<tidewire_upgrade::muxer::StreamId>,
    open: BTreeSet<OpenId>,
    /// Answered by the host, or given up.
    forgotten: BTreeSet<OpenId>,
    wishes: BTreeMap<StreamId, OpenId>,
    /// Questions of ours without an answer, those that were taken back, and the streams on which the remote asked.
    asks: BTreeSet<AskNumber>,
    taken_back: BTreeSet<AskNumber>,
    asked: Vec<StreamId>,
    /// The streams on which it punches.
    punched: Vec<StreamId>,
    circuits: BTreeSet<StreamId>,
    next: u64,
    over: bool,
}

impl World {
    fn new() -> Self {
        let mut config = Config::default();
        config.securities = vec![SecurityKind::Plaintext];
        config.muxer.yamux.max_outbound_streams = 4;
        let mut router = Router::new();
        router.add(Protocol::from_static("/echo/1.0.0"), Matcher::Exact, RouteId::new(7)).unwrap();
        let mut services: Vec<Served> = Service::ALL.map(Into::into).to_vec();
        services.push(Served::Dcutr);
        let routes = Routes::new(&router, &services, &config.connection);
        let key = |n: u8| Keypair::from_seed(&Seed::new([n; 32]));
        let shared = LinkShared::new(&key(1), &Seed::new([12; 32]), config.clone(), LinkConfig::default()).unwrap();
        for service in services {
            router.add(Protocol::from_static(service.name()), Matcher::Exact, RouteId::new(8)).unwrap();
        }
        config.connection.router = Some(Arc::new(router));
        let theirs = Upgrader::new(&key(2), &Seed::new([21; 32]), config).unwrap();
        let setup = LinkSetup {
            connection: ConnectionId(1),
            dial: None,
            plan: Plan::Respond,
            expected: None,
            remote: "/ip4/192.0.2.2/tcp/4001".parse().unwrap(),
            routes,
            card: Arc::new(Card::new(&key(1), &Profile::default()).unwrap()),
        };
        World {
            now: Time::ZERO,
            link: Link::new(&shared, setup),
            remote: None,
            upgrade: Some(Upgrade::new(&theirs, Plan::Initiate, None, &Seed::new([22; 32]))),
            rx: BytesMut::new(),
            tx: BytesMut::new(),
            reported: BTreeSet::new(),
            live: BTreeSet::new(),
            ours: Vec::new(),
            theirs: Vec::new(),
            open: BTreeSet::new(),
            forgotten: BTreeSet::new(),
            wishes: BTreeMap::new(),
            asks: BTreeSet::new(),
            taken_back: BTreeSet::new(),
            asked: Vec::new(),
            punched: Vec::new(),
            circuits: BTreeSet::new(),
            next: 0,
            over: false,
        }
    }

    fn drain(&mut self, ended: bool) {
        loop {
            let Ok(event) = self.link.advance_or_end(self.now, &mut self.rx, &mut self.tx, ended);
            let Some(event) = event else { break };
            match event {
                LinkEvent::Report(report) => self.hear(report),
                LinkEvent::Stream(StreamEvent::Opened { open, stream, .. }) => {
                    self.answered(open);
                    self.ours.push(stream);
                }
                LinkEvent::Stream(StreamEvent::Incoming { stream, .. }) => self.ours.push(stream),
                _ => {}
            }
        }
        assert!(ended || self.link.deadline() > self.now, "{:?} at {:?}", self.link.deadline(), self.now);
        assert!(self.link.memory_used() < 4 << 20, "{}", self.link.memory_used());
    }

    fn hear(&mut self, report: Report) {
        let late = matches!(report, Report::OpenFailed { .. } | Report::Answered { .. });
        assert!(!self.over || late, "after the last report: {report:?}");
        match report {
            Report::StreamOpened { stream, open, .. } => {
                self.wishes.extend(open.map(|open| (stream, open)));
                assert!(self.reported.insert(stream), "{stream} was reported twice");
                self.live.insert(stream);
            }
            Report::StreamClosed { stream } => assert!(self.live.remove(&stream), "{stream} ended twice"),
            Report::OpenFailed { open, .. } => self.answered(open),
            // Another answer may follow this one.
            Report::Answered { ask, answer, .. } if matches!(answer.as_deref(), Ok(Answer::CostAsked { .. })) => {
                assert!(self.asks.contains(&ask) || self.taken_back.contains(&ask), "{ask:?} was answered before");
            }
            Report::Answered { ask, stream, answer } => {
                assert!(self.asks.remove(&ask) || self.taken_back.contains(&ask), "{ask:?} was answered twice");
                if matches!(answer.as_deref(), Ok(Answer::Connected { .. } | Answer::Accepted)) {
                    self.ours.extend(stream);
                    self.circuits.extend(stream);
                }
            }
            Report::Asked { stream, .. } => self.asked.push(stream),
            // After CONNECT there may be a fault, until we say SYNC.
            Report::Heard { ask: Some(ask), heard, .. } => {
                let known = if heard.is_ok() { self.asks.contains(&ask) } else { self.asks.remove(&ask) };
                assert!(known || self.taken_back.contains(&ask), "{ask:?} was answered twice");
            }
            Report::Heard { ask: None, stream, heard: Ok(Heard::Connect { .. }) } => self.punched.push(stream),
            Report::CircuitEnded { stream, .. } => assert!(self.circuits.remove(&stream), "{stream} was no circuit"),
            Report::Ended { .. } => self.over = true,
            _ => {}
        }
    }

    fn answered(&mut self, open: OpenId) {
        assert!(self.open.remove(&open) || self.forgotten.contains(&open), "{open} was answered twice");
    }

    fn turn(&mut self) {
        for _ in 0..4 {
            self.drain(false);
            if let Some(upgrade) = &mut self.upgrade {
                while let Ok(Some(_)) = upgrade.advance(self.now, &mut self.tx, &mut self.rx) {}
                let Some(connection) = self.upgrade.take().unwrap().into_connection() else { return };
                self.remote = Some(connection);
            }
            let Some(remote) = &mut self.remote else { return };
            while let Ok(Some(event)) = remote.advance(self.now, &mut self.tx, &mut self.rx) {
                match event {
                    Event::Opened(id) => self.theirs.push(id),
                    Event::Reset { id, .. } => drop(remote.reset(id, 0, &mut self.rx)),
                    _ => {}
                }
            }
        }
    }

    fn run(&mut self, what: u8, a: u8, data: &[u8]) {
        let pick = |list: &[StreamId]| list.get(usize::from(a) % list.len().max(1)).copied();
        let own = pick(&self.ours);
        let reported: Vec<StreamId> = self.reported.iter().copied().collect();
        let mut order = None;
        match what % 24 {
            0 => self.turn(),
            1..=3 => {
                if let Some(remote) = &mut self.remote
                    && let Ok(id) = remote.open_raw(&mut self.rx)
                {
                    let others = ["/echo/1.0.0", "/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0", "/ipfs/ping/1.0.0"];
                    let names = others.into_iter().chain(Service::ALL.map(Service::name)).chain([PROTOCOL]);
                    let name = names.cycle().nth(usize::from(a % 10)).unwrap();
                    let mut hello = b"\x13/multistream/1.0.0\n".to_vec();
                    hello.push(u8::try_from(name.len() + 1).unwrap());
                    hello.extend_from_slice(name.as_bytes());
                    hello.push(b'\n');
                    let _ = remote.write(id, &hello, &mut self.rx);
                    let _ = remote.write(id, data, &mut self.rx);
                    self.theirs.push(id);
                }
            }
            4..=6 => {
                let id = self.theirs.get(usize::from(a) % self.theirs.len().max(1)).copied();
                if let (Some(remote), Some(id)) = (&mut self.remote, id) {
                    let _ = match what % 24 {
                        4 => remote.write(id, data, &mut self.rx).map(drop).ok(),
                        5 => remote.finish(id, &mut self.rx).ok(),
                        _ if a % 2 == 0 => remote.reset(id, 1, &mut self.rx).ok(),
                        _ => remote.read(id, &mut self.rx).map(drop).ok(),
                    };
                }
            }
            7 => {
                self.next += 1;
                let open = OpenId(self.next);
                self.open.insert(open);
                let names: &[&str] = if a % 2 == 0 { &["/echo/1.0.0"] } else { &["/none", "/echo/1.0.0"] };
                let protocols = Protocols::parse(names).unwrap();
                order = Some(Order::Open { open, protocols, selection: Selection::Lazy });
            }
            8 => {
                if let Some(open) = self.open.pop_first() {
                    self.forgotten.insert(open);
                    order = Some(Order::Forget { open });
                }
            }
            9 | 10 => order = pick(&reported).map(|stream| Order::Admit { stream }),
            11 => {
                // A host refuses what it was told of, before it admits it, and answers the wish.
                if let Some(stream) = pick(&reported).filter(|it| !self.ours.contains(it) && self.live.remove(it)) {
                    self.reported.remove(&stream);
                    if let Some(open) = self.wishes.remove(&stream).filter(|open| self.open.remove(open)) {
                        self.forgotten.insert(open);
                    }
                    order = Some(Order::Refuse { stream, reason: StreamRefusal::Closing });
                }
            }
            12 => order = Some([Order::Identify, Order::Push, Order::Ping][usize::from(a % 3)].clone()),
            13 if a == 7 => order = Some(Order::Close { reason: CloseReason::Shutdown }),
            13 if a == 8 => self.link.broken("cut"),
            14 => {
                if let Some(stream) = own {
                    let _ = match a % 3 {
                        0 => self.link.read(stream, &mut self.tx).map(drop).ok(),
                        1 => self.link.write(stream, data, &mut self.tx).map(drop).ok(),
                        _ => self.link.finish(stream, &mut self.tx).ok(),
                    };
                }
            }
            15 => {
                if let Some(stream) = own {
                    if a % 2 == 0 {
                        let _ = self.link.reset(stream, 5, &mut self.tx);
                    } else {
                        self.link.leave(stream, &mut self.tx);
                    }
                }
            }
            16 => self.now = self.now + Duration::from_millis(1 << (a % 18)),
            17 => {
                self.next += 1;
                let ask = AskNumber(self.next);
                let (peer, nonce) = (Keypair::from_seed(&Seed::new([3; 32])).peer_id(), 7);
                let address = "/ip4/192.0.2.3/tcp/1".parse().unwrap();
                let asks = [
                    Ask::Reserve,
                    Ask::Connect { destination: peer },
                    Ask::Stop { source: peer, limit: Limit::UNLIMITED },
                    Ask::DialMe { addresses: vec![address] },
                    Ask::DialBack { nonce },
                ];
                self.asks.insert(ask);
                order = Some(Order::Ask { ask, what: asks[usize::from(a) % asks.len()].clone() });
            }
            18 => {
                let ask = if a % 2 == 0 { self.asks.first() } else { self.asks.last() };
                if let Some(ask) = ask.copied() {
                    order = Some(match a % 3 {
                        0 => Order::Pay { ask },
                        _ => {
                            self.asks.remove(&ask);
                            self.taken_back.insert(ask);
                            Order::Unask { ask }
                        }
                    });
                }
            }
            19 => {
                if let Some(stream) = pick(&self.asked) {
                    let limit = Limit::UNLIMITED;
                    let replies = [
                        Reply::Connected { limit },
                        Reply::Accepted,
                        Reply::Refused { status: Status::PERMISSION_DENIED },
                        Reply::AskData { index: 0, bytes: 30_000 },
                        Reply::BackHeard,
                    ];
                    let reply = replies[data.len() % replies.len()].clone();
                    if matches!(reply, Reply::Connected { .. } | Reply::Accepted) && !self.ours.contains(&stream) {
                        // A host hands it to its driver at once.
                        self.ours.push(stream);
                        self.circuits.insert(stream);
                    }
                    order = Some(Order::Reply { stream, reply });
                }
            }
            20 => {
                self.next += 1;
                let (ask, count) = (AskNumber(self.next), usize::from(a % 40));
                self.asks.insert(ask);
                order = Some(Order::Punch { ask, addresses: vec!["/ip4/192.0.2.3/tcp/1".parse().unwrap(); count] });
            }
            21 => {
                // Nothing more is told of it.
                if let Some(ask) = self.asks.pop_first() {
                    self.taken_back.insert(ask);
                    order = Some(Order::Sync { ask });
                }
            }
            22 => {
                let addresses = vec!["/ip4/192.0.2.3/tcp/1".parse().unwrap()];
                order = pick(&self.punched).map(|stream| Order::Connect { stream, addresses });
            }
            // Bytes that no machine of ours would send.
            _ if a == 9 => self.rx.extend_from_slice(data),
            _ => {}
        }
        if let Some(order) = order {
            self.link.order(self.now, order, &mut self.tx);
        }
        self.drain(false);
    }
}

fuzz_target!(|data: &[u8]| {
    let mut world = World::new();
    for _ in 0..4 {
        world.turn();
    }
    let mut rest = data;
    for _ in 0..200 {
        let Some(([what, a, len], more)) = rest.split_first_chunk() else { break };
        let (bytes, after) = more.split_at(more.len().min(usize::from(*len)));
        rest = after;
        world.run(*what, *a, bytes);
    }
    world.link.broken("the end");
    world.drain(true);
    assert!(world.over);
    assert!(world.open.is_empty(), "never answered: {:?}", world.open);
    assert!(world.asks.is_empty(), "never answered: {:?}", world.asks);
    assert_eq!(world.link.deadline(), Time::NEVER);
    for stream in world.ours {
        while world.link.read(stream, &mut world.tx).is_ok() {}
        let _ = world.link.reset(stream, 0, &mut world.tx);
    }
    assert!(!world.link.has_streams());
});
