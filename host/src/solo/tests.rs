//! Two nodes side by side, their sockets two buffers.

use super::{Solo, SoloAction, SoloConfig, SoloEvent};
use crate::link::StreamEvent;
use crate::{ConnectionId, DialId, Event, ListenerId, OpenFailure, OpenId, OpenOptions, RequestId};
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use tidewire_connmgr as connmgr;
use tidewire_connmgr::dial::{DialFault, DialOptions};
use tidewire_core::{Keypair, Multiaddr, PeerId, Seed, Time, UnixTime};
use tidewire_multistream::{Matcher, Protocol, Protocols, RouteId};

const ECHO: Protocol = Protocol::from_static("/echo/1.0.0");

/// A socket between two nodes: which connection it is at each.
struct Socket {
    ends: [Option<ConnectionId>; 2],
}

/// Two nodes, and what they told.
struct Pair {
    now: Time,
    nodes: [Solo; 2],
    events: [Vec<SoloEvent>; 2],
    sockets: Vec<Socket>,
    listening: [Option<Multiaddr>; 2],
}

fn address(node: usize) -> Multiaddr {
    alloc::format!("/ip4/11.0.0.{}/tcp/4001", node + 1).parse().unwrap()
}

impl Pair {
    fn new() -> Self {
        Pair::with(|_| {})
    }

    fn with(configure: impl Fn(&mut SoloConfig)) -> Self {
        let node = |n: u8| {
            let mut config = SoloConfig::default();
            configure(&mut config);
            let keypair = Keypair::from_seed(&Seed::new([n; 32]));
            Solo::new(config, keypair, &Seed::new([n + 100; 32]), UnixTime::from_secs(1_800_000_000)).unwrap()
        };
        let mut pair = Pair {
            now: Time::ZERO,
            nodes: [node(1), node(2)],
            events: [Vec::new(), Vec::new()],
            sockets: Vec::new(),
            listening: [None, None],
        };
        for node in 0..2 {
            pair.nodes[node].serve(pair.now, ECHO, Matcher::Exact, RouteId::new(7)).unwrap();
            pair.nodes[node].listen(pair.now, ListenerId(0), &address(node)).unwrap();
        }
        pair.run();
        pair
    }

    fn peer(&self, node: usize) -> PeerId {
        self.nodes[node].local_peer()
    }

    /// Lets both go on until neither has anything to say at this moment.
    fn run(&mut self) {
        let mut busy = true;
        while core::mem::take(&mut busy) {
            for node in 0..2 {
                while let Some(action) = self.nodes[node].poll() {
                    busy = true;
                    self.act(node, action);
                }
            }
        }
    }

    fn act(&mut self, node: usize, action: SoloAction) {
        let other = 1 - node;
        match action {
            SoloAction::Listen { listener, address } => {
                self.listening[node] = Some(address.clone());
                self.nodes[node].listening(self.now, listener, &address).unwrap();
            }
            SoloAction::Unlisten { listener } => {
                self.listening[node] = None;
                self.nodes[node].listener_closed(self.now, listener, "as asked").unwrap();
            }
            SoloAction::Dial { dial, address: to, from, .. } => self.dial(node, dial, &to, from),
            SoloAction::Abort { .. } => {}
            SoloAction::Send { connection } | SoloAction::Close { connection, .. } => {
                let closing = matches!(action, SoloAction::Close { .. });
                let Some(at) = self.sockets.iter().position(|socket| socket.ends[node] == Some(connection)) else {
                    return;
                };
                let far = self.sockets[at].ends[other];
                let bytes = self.nodes[node].tx(connection).map(core::mem::take).unwrap_or_default();
                self.nodes[node].sent(self.now, connection);
                if let Some(far) = far {
                    if let Some(rx) = self.nodes[other].rx(far) {
                        rx.extend_from_slice(&bytes);
                    }
                    self.nodes[other].received(self.now, far);
                    if closing {
                        self.nodes[other].ended(self.now, far);
                    }
                }
                if closing {
                    self.sockets[at].ends[node] = None;
                }
            }
            SoloAction::Event(event) => self.events[node].push(event),
        }
    }

    fn dial(&mut self, node: usize, dial: DialId, to: &Multiaddr, from: Option<Multiaddr>) {
        let other = 1 - node;
        if self.listening[other].as_ref() != Some(&to.without_peer_id()) {
            let fault = DialFault::Transport("connection refused".into());
            return self.nodes[node].dial_failed(self.now, dial, fault).unwrap();
        }
        let local = from.unwrap_or_else(|| alloc::format!("/ip4/11.0.0.{}/tcp/50000", node + 1).parse().unwrap());
        let accepted = self.nodes[other].accepted(self.now, to, &local).unwrap();
        let dialed = self.nodes[node].dialed(self.now, dial, &local, to).unwrap();
        let mut ends = [None, None];
        ends[node] = Some(dialed);
        ends[other] = Some(accepted);
        self.sockets.push(Socket { ends });
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.run();
            let next = self.nodes[0].deadline().min(self.nodes[1].deadline());
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            for node in &mut self.nodes {
                node.on_timeout(self.now);
            }
        }
        self.now = end;
    }

    /// Node 0 connects to node 1.
    fn connect(&mut self) -> ConnectionId {
        let (to, addresses) = (self.peer(1), [address(1)]);
        self.nodes[0].connect(self.now, RequestId(1), to, &addresses, DialOptions::default()).unwrap();
        self.run();
        let dialed = self.events[0].iter().find_map(|event| match event {
            SoloEvent::Host(Event::Manager(connmgr::Event::Dialed { connection, .. })) => Some(*connection),
            _ => None,
        });
        dialed.expect("connected")
    }

    fn host_events(&self, node: usize) -> Vec<&Event> {
        let events = self.events[node].iter();
        events.filter_map(|event| if let SoloEvent::Host(event) = event { Some(event) } else { None }).collect()
    }

    fn streams(&self, node: usize) -> Vec<(ConnectionId, StreamEvent)> {
        let stream = |event: &SoloEvent| match event {
            SoloEvent::Stream { connection, event } => Some((*connection, event.clone())),
            _ => None,
        };
        self.events[node].iter().filter_map(stream).collect()
    }
}

#[test]
fn both_learn_who_the_other_is() {
    let mut pair = Pair::new();
    pair.connect();
    pair.pass(Duration::from_secs(1));
    for node in 0..2 {
        let other = pair.peer(1 - node);
        let identity = pair.nodes[node].host().identity(&other).expect("identified");
        assert_eq!(identity.agent.as_deref(), Some(concat!("tidewire/", env!("CARGO_PKG_VERSION"))));
        assert!(identity.protocols.contains(&ECHO), "{:?}", identity.protocols);
        let manager = pair.nodes[node].host().manager();
        assert!(manager.peer(&other).is_some());
    }
}

#[test]
fn a_stream_is_opened_read_and_over() {
    let mut pair = Pair::new();
    let peer = pair.peer(1);
    let known = [address(1)];
    let ttl = Duration::from_secs(60);
    pair.nodes[0].command(pair.now, crate::Command::Addresses { peer, addresses: known.to_vec(), ttl }).unwrap();
    let protocols = Protocols::from(ECHO);
    pair.nodes[0].open(pair.now, OpenId(5), peer, &protocols, OpenOptions::default()).unwrap();
    pair.run();

    let (here, stream) = match pair.streams(0).first() {
        Some((connection, StreamEvent::Opened { open: OpenId(5), stream, .. })) => (*connection, *stream),
        other => panic!("{other:?}"),
    };
    assert_eq!(pair.nodes[0].write(pair.now, here, stream, b"hello"), Ok(5));
    pair.nodes[0].finish(pair.now, here, stream).unwrap();
    pair.run();
    let (there, incoming) = match pair.streams(1).first() {
        Some((connection, StreamEvent::Incoming { stream, route, .. })) => {
            assert_eq!(*route, RouteId::new(7));
            (*connection, *stream)
        }
        other => panic!("{other:?}"),
    };
    let piece = pair.nodes[1].read(pair.now, there, incoming).unwrap().unwrap();
    assert_eq!(&piece[..], b"hello");
    assert_eq!(pair.nodes[1].read(pair.now, there, incoming), Ok(None));
    pair.nodes[1].finish(pair.now, there, incoming).unwrap();
    pair.run();
    assert_eq!(pair.nodes[0].read(pair.now, here, stream), Ok(None));
    pair.pass(Duration::from_secs(2));
    for node in &pair.nodes {
        let limits = node.host().manager().counts().limits;
        assert_eq!((limits.streams_inbound, limits.streams_outbound), (0, 0));
    }
    // The application hears of the peer before it hears of the stream.
    let order: Vec<bool> = pair.events[1]
        .iter()
        .filter_map(|event| match event {
            SoloEvent::Host(Event::Manager(connmgr::Event::Connected { .. })) => Some(true),
            SoloEvent::Stream { event: StreamEvent::Incoming { .. }, .. } => Some(false),
            _ => None,
        })
        .collect();
    assert_eq!(order, vec![true, false]);
}

#[test]
fn a_wish_for_a_stream_that_nobody_serves_is_answered_with_the_reason() {
    let mut pair = Pair::new();
    pair.connect();
    let (peer, protocols) = (pair.peer(1), Protocols::parse(&["/none/1", "/none/2"]).unwrap());
    pair.nodes[0].open(pair.now, OpenId(1), peer, &protocols, OpenOptions::default()).unwrap();
    pair.run();
    let failed = pair.host_events(0).into_iter().find_map(|event| match event {
        Event::OpenFailed { open: OpenId(1), why, .. } => Some(why.clone()),
        _ => None,
    });
    assert_eq!(failed, Some(OpenFailure::Link(crate::link::OpenFault::Unsupported)));
}

#[test]
fn an_idle_pair_pings_and_stays() {
    let mut pair = Pair::new();
    let connection = pair.connect();
    pair.pass(Duration::from_secs(300));
    let view = pair.nodes[0].host().manager().connection(connection).expect("still there");
    assert!(view.rtt.is_some());
}

#[test]
fn shutting_down_closes_everything() {
    let mut pair = Pair::new();
    pair.connect();
    pair.pass(Duration::from_secs(1));
    pair.nodes[0].shutdown(pair.now);
    pair.pass(Duration::from_secs(1));
    for node in 0..2 {
        assert_eq!(pair.nodes[node].host().connections().count(), 0, "node {node}");
        let gone = pair.host_events(node).into_iter().any(|event| {
            matches!(event, Event::Manager(connmgr::Event::Disconnected { peer }) if *peer == pair.peer(1 - node))
        });
        assert!(gone, "node {node}");
    }
    let by: BTreeMap<usize, _> = (0..2)
        .map(|node| {
            let closed = pair.host_events(node).into_iter().find_map(|event| match event {
                Event::Manager(connmgr::Event::ConnectionClosed { by, reason, .. }) => Some((*by, reason.clone())),
                _ => None,
            });
            (node, closed)
        })
        .collect();
    assert_eq!(by[&0], Some((crate::By::Local, connmgr::CloseReason::Shutdown)));
    assert!(matches!(&by[&1], Some((crate::By::Remote, _))), "{by:?}");
}

#[test]
fn a_socket_that_breaks_ends_its_streams_behind_what_they_had_received() {
    let mut pair = Pair::new();
    let connection = pair.connect();
    let peer = pair.peer(1);
    pair.nodes[0].open(pair.now, OpenId(1), peer, &Protocols::from(ECHO), OpenOptions::default()).unwrap();
    pair.run();
    let opened = pair.streams(0).into_iter().find_map(|(_, event)| match event {
        StreamEvent::Opened { stream, .. } => Some(stream),
        _ => None,
    });
    let stream = opened.expect("opened");
    pair.nodes[0].write(pair.now, connection, stream, b"?").unwrap();
    pair.run();
    let Some((theirs, StreamEvent::Incoming { stream: incoming, .. })) = pair.streams(1).first().cloned() else {
        panic!("no stream came");
    };
    pair.nodes[1].write(pair.now, theirs, incoming, b"!").unwrap();
    pair.run();
    let told = pair.streams(0).into_iter().any(|(_, event)| event == StreamEvent::Readable(stream));
    assert!(told, "what comes together with the agreement on a protocol is told too");
    pair.nodes[0].broken(pair.now, connection, "cut");
    assert_eq!(pair.nodes[0].read(pair.now, connection, stream).unwrap().as_deref(), Some(&b"!"[..]));
    let read = pair.nodes[0].read(pair.now, connection, stream);
    assert_eq!(read, Err(tidewire_upgrade::connection::ReadStreamError::Closed));
    assert!(pair.nodes[0].write(pair.now, connection, stream, b"?").is_err());
}

#[test]
fn what_is_served_is_what_is_announced() {
    let mut pair = Pair::new();
    pair.connect();
    pair.pass(Duration::from_secs(1));
    let other = pair.peer(1);
    let served = |pair: &Pair| pair.nodes[0].host().identity(&other).unwrap().protocols.contains(&ECHO);
    assert!(served(&pair));
    pair.nodes[1].unserve(pair.now, &ECHO);
    pair.pass(Duration::from_secs(10));
    assert!(!served(&pair), "pushed");
}

#[test]
fn a_connection_over_the_limit_is_closed_with_the_reason() {
    let mut pair = Pair::with(|config| {
        config.host.manager.limits.established = 1;
        config.host.manager.limits.established_inbound = 0;
    });
    let (to, addresses) = (pair.peer(1), [address(1)]);
    pair.nodes[0].connect(pair.now, RequestId(1), to, &addresses, DialOptions::default()).unwrap();
    pair.pass(Duration::from_secs(1));
    assert_eq!(pair.nodes[1].host().connections().count(), 0);
    assert!(!pair.nodes[1].host().manager().is_connected(&pair.peer(0)));
}

#[test]
fn a_misuse_changes_nothing() {
    let mut pair = Pair::new();
    pair.pass(Duration::from_secs(5));
    let (to, addresses) = (pair.peer(1), [address(1)]);
    pair.nodes[0].connect(pair.now, RequestId(1), to, &addresses, DialOptions::default()).unwrap();
    let dial = core::iter::from_fn(|| pair.nodes[0].poll()).find_map(|action| match action {
        SoloAction::Dial { dial, .. } => Some(dial),
        _ => None,
    });
    let dial = dial.unwrap();
    let went_back = |result| matches!(result, Err(crate::Misuse::TimeWentBack { .. }));
    let fault = || DialFault::Transport("refused".into());
    assert!(went_back(pair.nodes[0].dialed(Time::ZERO, dial, &address(0), &address(1)).map(drop)));
    assert!(went_back(pair.nodes[0].dial_failed(Time::ZERO, dial, fault())));
    assert!(went_back(pair.nodes[0].accepted(Time::ZERO, &address(0), &address(1)).map(drop)));
    let never = DialId(99);
    assert_eq!(pair.nodes[0].dial_failed(pair.now, never, fault()), Err(crate::Misuse::UnknownDial(never)));
    assert_eq!(pair.nodes[0].host().connections().count(), 0);
    // It is under way as before.
    pair.nodes[0].dial_failed(pair.now, dial, fault()).unwrap();
    let failed = |event: &SoloEvent| {
        matches!(event, SoloEvent::Host(Event::Manager(connmgr::Event::DialFailed { request: RequestId(1), .. })))
    };
    pair.run();
    assert!(pair.events[0].iter().any(failed));
}

#[test]
fn a_clock_that_goes_back_stops_neither_a_shutdown_nor_what_is_served() {
    let mut pair = Pair::new();
    pair.pass(Duration::from_secs(5));
    let chat = Protocol::from_static("/chat/1");
    pair.nodes[0].serve(Time::ZERO, chat.clone(), Matcher::Exact, RouteId::new(8)).unwrap();
    pair.pass(Duration::from_secs(10));
    assert!(pair.nodes[0].host().profile().unwrap().protocols.contains(&chat));
    pair.nodes[0].shutdown(Time::ZERO);
    pair.run();
    assert_eq!(pair.listening[0], None);
}

#[test]
fn a_text_that_no_message_could_hold_is_refused_at_the_beginning() {
    let mut config = SoloConfig::default();
    config.host.agent = "x".repeat(10_000).into();
    let keypair = Keypair::from_seed(&Seed::new([1; 32]));
    let solo = Solo::new(config, keypair, &Seed::new([2; 32]), UnixTime::from_secs(0));
    assert!(matches!(solo, Err(super::SoloError::Card(_))));
}

/// Node 0 sends a message on a stream, and hangs up at once; all of it arrives together.
fn one_way(pair: &mut Pair, open: u64) {
    let connection = pair.connect();
    let peer = pair.peer(1);
    pair.nodes[0].open(pair.now, OpenId(open), peer, &Protocols::from(ECHO), OpenOptions::default()).unwrap();
    let stream = core::iter::from_fn(|| pair.nodes[0].poll()).find_map(|action| match action {
        SoloAction::Event(SoloEvent::Stream { event: StreamEvent::Opened { stream, .. }, .. }) => Some(stream),
        _ => None,
    });
    let stream = stream.unwrap();
    pair.nodes[0].write(pair.now, connection, stream, b"one way").unwrap();
    pair.nodes[0].finish(pair.now, connection, stream).unwrap();
    let why = "done".into();
    pair.nodes[0].command(pair.now, crate::Command::Close { connection, why }).unwrap();
    pair.act(0, SoloAction::Close { connection, why: "done".into() });
    pair.pass(Duration::from_secs(1));
    pair.events[0].clear();
}

#[test]
fn a_message_whose_sender_hangs_up_at_once_is_read_and_nothing_is_left() {
    let mut pair = Pair::new();
    one_way(&mut pair, 1);
    let (there, stream) = match pair.streams(1)[..] {
        [(there, StreamEvent::Incoming { stream, .. }), ..] => (there, stream),
        ref other => panic!("{other:?}"),
    };
    assert_eq!(pair.nodes[1].host().connections().count(), 0);
    assert_eq!(pair.nodes[1].read(pair.now, there, stream).unwrap().as_deref(), Some(&b"one way"[..]));
    assert!(pair.nodes[1].link(there).is_some());
    assert_eq!(pair.nodes[1].read(pair.now, there, stream), Ok(None));
    assert!(pair.nodes[1].link(there).is_none(), "nothing is left to read");
}

#[test]
fn of_connections_that_nobody_reads_any_more_a_few_are_kept() {
    let mut pair = Pair::with(|config| config.max_unread = 2);
    for n in 1..=4 {
        one_way(&mut pair, n);
    }
    let unread: Vec<ConnectionId> = pair.streams(1).into_iter().map(|(connection, _)| connection).collect();
    let mut kept = unread.clone();
    kept.dedup();
    assert_eq!(kept.len(), 4);
    kept.retain(|connection| pair.nodes[1].link(*connection).is_some());
    assert_eq!(kept.len(), 2, "the newest");
    assert_eq!(kept.last(), unread.last());
}

#[test]
fn a_connection_with_more_streams_than_there_are_ids_for_a_ping_stays() {
    let mut pair = Pair::with(|config| config.upgrade.muxer.yamux.max_outbound_streams = 3);
    let connection = pair.connect();
    let peer = pair.peer(1);
    for open in 1..=3 {
        pair.nodes[0].open(pair.now, OpenId(open), peer, &Protocols::from(ECHO), OpenOptions::default()).unwrap();
    }
    pair.pass(Duration::from_secs(600));
    assert!(pair.nodes[0].host().manager().connection(connection).is_some(), "{:?}", pair.host_events(0));
}
