//! A link against a remote that a test plays: a connection without anything on top of it.

mod ends;
mod exchanges;
mod inside;
mod introductions;
mod laws;
mod limits;
mod probes;
mod punches;
mod streams;

use super::{Link, LinkConfig, LinkEvent, LinkSetup, LinkShared, Order, Report, Routes, StreamEvent};
use crate::identify::{Card, Profile};
use crate::{ConnectionId, DialId, OpenId, StreamId};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::BytesMut;
use core::time::Duration;
use tidewire_core::{Keypair, Machine, PeerId, Seed, Time};
use tidewire_multistream::{Matcher, Protocol, Protocols, RouteId, Router};
use tidewire_relay::exchange::Service;
use tidewire_upgrade::connection::{self, Connection, Event, Selection};
use tidewire_upgrade::muxer::{self, MuxerKind};
use tidewire_upgrade::pipeline::{Config, Plan, Upgrade, Upgrader};

const ECHO: Protocol = Protocol::from_static("/echo/1.0.0");
const CHAT: Protocol = Protocol::from_static("/chat/1.0.0");
const ROUTE: RouteId = RouteId::new(7);

fn keypair(n: u8) -> Keypair {
    Keypair::from_seed(&Seed::new([n; 32]))
}

fn peer(n: u8) -> PeerId {
    keypair(n).peer_id()
}

fn router(names: &[Protocol]) -> Router {
    let mut router = Router::new();
    for name in names {
        router.add(name.clone(), Matcher::Exact, ROUTE).unwrap();
    }
    router
}

/// How both ends are set up.
struct Setup {
    muxer: MuxerKind,
    link: LinkConfig,
    ours: Config,
    theirs: Config,
    /// What the remote serves.
    serves: Vec<Protocol>,
    /// What the link lets a remote ask.
    services: Vec<Service>,
    /// And whether it lets it punch.
    punches: bool,
    /// Every stream that is reported is admitted.
    admit: bool,
    dial: Option<DialId>,
    expected: Option<PeerId>,
}

impl Default for Setup {
    fn default() -> Self {
        let (ours, theirs, muxer) = (Config::default(), Config::default(), MuxerKind::Yamux);
        Setup {
            muxer,
            link: LinkConfig::default(),
            ours,
            theirs,
            serves: alloc::vec![ECHO],
            services: Vec::new(),
            punches: false,
            admit: true,
            dial: None,
            expected: None,
        }
    }
}

impl Setup {
    fn link(&self, plan: Plan) -> Link {
        let mut config = self.ours.clone();
        config.muxers = alloc::vec![self.muxer];
        let mut services: Vec<_> = self.services.iter().copied().map(super::Service::Relay).collect();
        services.extend(self.punches.then_some(super::Service::Dcutr));
        let routes = Routes::new(&router(&[ECHO]), &services, &config.connection);
        let shared = LinkShared::new(&keypair(1), &Seed::new([12; 32]), config, self.link.clone()).unwrap();
        let profile = Profile { agent: "us/1".into(), protocols: routes.names(), ..Profile::default() };
        let card = Arc::new(Card::new(&keypair(1), &profile).unwrap());
        let remote = "/ip4/192.0.2.2/tcp/4001".parse().unwrap();
        let (connection, dial, expected) = (ConnectionId(5), self.dial, self.expected);
        Link::new(&shared, LinkSetup { connection, dial, plan, expected, remote, routes, card })
    }

    fn upgrade(&self, plan: Plan) -> Upgrade {
        let mut config = self.theirs.clone();
        config.muxers = alloc::vec![self.muxer];
        config.connection.router = Some(Arc::new(router(&self.serves)));
        let upgrader = Upgrader::new(&keypair(2), &Seed::new([21; 32]), config).unwrap();
        Upgrade::new(&upgrader, plan, None, &Seed::new([22; 32]))
    }

    /// Upgraded, the first reports taken.
    fn start(self) -> World {
        let mut upgrade = self.upgrade(Plan::Respond);
        let mut link = self.link(Plan::Initiate);
        let (mut rx, mut tx) = (BytesMut::new(), BytesMut::new());
        let mut reports = Vec::new();
        for _ in 0..6 {
            while let Ok(Some(event)) = link.advance(Time::ZERO, &mut rx, &mut tx) {
                if let LinkEvent::Report(report) = event {
                    reports.push(report);
                }
            }
            while upgrade.advance(Time::ZERO, &mut tx, &mut rx).unwrap().is_some() {}
        }
        assert!(matches!(reports[..], [Report::Established { .. }]), "{reports:?}");
        World {
            now: Time::ZERO,
            link,
            remote: upgrade.into_connection().unwrap(),
            rx,
            tx,
            told: Vec::new(),
            seen: Vec::new(),
            admit: self.admit,
        }
    }
}

/// A link, and the remote.
struct World {
    now: Time,
    link: Link,
    remote: Connection,
    rx: BytesMut,
    tx: BytesMut,
    /// What the link told, the upgrade's progress left out.
    told: Vec<LinkEvent>,
    /// What the remote saw.
    seen: Vec<Event>,
    admit: bool,
}

impl World {
    fn new() -> Self {
        Setup::default().start()
    }

    /// The link goes on as far as it can.
    fn drain(&mut self) {
        while let Ok(Some(event)) = self.link.advance(self.now, &mut self.rx, &mut self.tx) {
            self.hear(event);
        }
        assert!(self.link.deadline() > self.now, "{:?} at {:?}", self.link.deadline(), self.now);
    }

    fn hear(&mut self, event: LinkEvent) {
        if let (LinkEvent::Report(Report::StreamOpened { stream, .. }), true) = (&event, self.admit) {
            let stream = *stream;
            self.told.push(event);
            return self.order(Order::Admit { stream });
        }
        self.told.push(event);
    }

    fn order(&mut self, order: Order) {
        self.link.order(self.now, order, &mut self.tx);
    }

    /// Both go on until neither has anything to say.
    fn turn(&mut self) {
        loop {
            self.drain();
            let before = (self.rx.len(), self.tx.len());
            while let Ok(Some(event)) = self.remote.advance(self.now, &mut self.tx, &mut self.rx) {
                if let Event::Reset { id, .. } = event {
                    self.remote.reset(id, 0, &mut self.rx).unwrap();
                }
                self.seen.push(event);
            }
            if self.rx.is_empty() && (self.rx.len(), self.tx.len()) == before {
                return;
            }
        }
    }

    /// Time passes, each deadline of the link on the dot.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.turn();
            let next = self.link.deadline().min(self.remote.deadline());
            if next > end {
                break;
            }
            self.now = self.now.max(next);
        }
        self.now = end;
        self.turn();
    }

    /// The remote's transport ends.
    fn end(&mut self) {
        while let Ok(Some(event)) = self.link.end(self.now, &mut self.rx, &mut self.tx) {
            self.hear(event);
        }
    }

    fn reports(&self) -> Vec<&Report> {
        let told = self.told.iter();
        told.filter_map(|event| if let LinkEvent::Report(report) = event { Some(report) } else { None }).collect()
    }

    fn has(&self, report: &Report) -> bool {
        self.reports().contains(&report)
    }

    fn streams(&self) -> Vec<&StreamEvent> {
        let told = self.told.iter();
        told.filter_map(|event| if let LinkEvent::Stream(event) = event { Some(event) } else { None }).collect()
    }

    /// Opens a stream for the application.
    fn ask(&mut self, open: u64, protocols: &Protocols, selection: Selection) {
        self.order(Order::Open { open: OpenId(open), protocols: protocols.clone(), selection });
    }

    /// A stream that the application has, opened by us.
    fn opened(&mut self) -> StreamId {
        self.ask(1, &Protocols::from(ECHO), Selection::Lazy);
        self.turn();
        let opened = self.streams().into_iter().find_map(|event| match event {
            StreamEvent::Opened { stream, .. } => Some(*stream),
            _ => None,
        });
        opened.expect("opened")
    }

    /// The remote opens a stream, and says this on it.
    fn call(&mut self, protocol: Protocol, data: &[u8]) -> muxer::StreamId {
        let id = self.remote.open(self.now, &Protocols::from(protocol), Selection::Lazy, &mut self.rx).unwrap();
        if !data.is_empty() {
            self.remote.write(id, data, &mut self.rx).unwrap();
        }
        id
    }

    /// The streams that came to the application.
    fn incoming(&self) -> Vec<StreamId> {
        let incoming = |event: &StreamEvent| match event {
            StreamEvent::Incoming { stream, .. } => Some(*stream),
            _ => None,
        };
        self.streams().into_iter().filter_map(incoming).collect()
    }

    /// How many streams were reported to begin, and to end.
    fn counted(&self) -> (usize, usize) {
        let opened = |report: &&&Report| matches!(report, Report::StreamOpened { .. });
        let closed = |report: &&&Report| matches!(report, Report::StreamClosed { .. });
        let reports = self.reports();
        (reports.iter().filter(opened).count(), reports.iter().filter(closed).count())
    }

    fn memory(&self) -> usize {
        size_of::<Link>() + self.link.memory_used()
    }
}

/// Everything that the remote sent on a stream.
fn read_all(world: &mut World, id: muxer::StreamId) -> Vec<u8> {
    let mut all = Vec::new();
    while let Ok(Some(piece)) = world.remote.read(id, &mut world.rx) {
        all.extend_from_slice(&piece);
    }
    all
}

fn connection_config(change: impl FnOnce(&mut connection::Config)) -> Config {
    let mut config = Config::default();
    change(&mut config.connection);
    config
}
