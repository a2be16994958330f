//! Two nodes, and a relay between them, whose sockets deliver late and in pieces, or break: what must hold in any case is checked
//! on the way.

use bytes::BytesMut;
use core::time::Duration;
use std::collections::BTreeSet;
use tidewire_connmgr::dial::{DialFault, DialOptions};
use tidewire_core::{Keypair, Multiaddr, Seed, Time, UnixTime};
use tidewire_host::link::StreamEvent;
use tidewire_host::solo::{Solo, SoloAction, SoloConfig, SoloEvent};
use tidewire_host::{ConnectionId, Event, ListenerId, OpenId, OpenOptions, RequestId, StreamId};
use tidewire_multistream::{Matcher, Protocol, Protocols, RouteId};
use tidewire_relay::Limit;
use tidewire_relay::server::{Offer, ServerConfig};
use tidewire_upgrade::muxer::MuxerKind;

/// The wire of a connection: each end, and what is on its way to it.
struct Socket {
    nodes: [usize; 2],
    ends: [Option<ConnectionId>; 2],
    under_way: [BytesMut; 2],
    /// This end's other side closed.
    closed: [bool; 2],
}

pub(crate) struct World {
    now: Time,
    nodes: [Solo; 3],
    sockets: Vec<Socket>,
    /// Streams that the applications have.
    streams: [BTreeSet<(ConnectionId, StreamId)>; 3],
    open: [BTreeSet<OpenId>; 3],
    next: u64,
}

/// The node that relays.
const RELAY: usize = 2;
/// The listeners of the other two: at an address, at the relay.
const DIRECT: ListenerId = ListenerId(0);
const RELAYED: ListenerId = ListenerId(1);

fn address(node: usize) -> Multiaddr {
    format!("/ip4/11.0.{node}.1/tcp/4001").parse().unwrap()
}

impl World {
    pub(crate) fn new(mplex: bool, tight: bool) -> Self {
        let nodes = [1_u8, 2, 3].map(|n| {
            let mut config = SoloConfig::default();
            config.max_unread = 4;
            if mplex {
                config.upgrade.muxers = vec![MuxerKind::Mplex];
            }
            if tight {
                config.max_actions = 4;
                config.link.memory_step = 1024;
                config.host.manager.limits.memory_per_peer = 16 * 1024;
                config.host.manager.limits.streams_per_peer = 2;
                config.upgrade.muxer.yamux.max_outbound_streams = 3;
                config.upgrade.muxer.yamux.max_tx = 300;
            }
            if n == 3 {
                let mut server = ServerConfig::default();
                (server.offer, server.announce_private) = (Offer::Always, true);
                server.limit = Limit { duration: Some(Duration::from_secs(60)), data: Some(4096) };
                config.host.relay.server = Some(server);
            }
            let keypair = Keypair::from_seed(&Seed::new([n; 32]));
            Solo::new(config, keypair, &Seed::new([n + 100; 32]), UnixTime::from_secs(1_800_000_000)).unwrap()
        });
        let (streams, open) = (Default::default(), Default::default());
        let mut world = World { now: Time::ZERO, nodes, sockets: Vec::new(), streams, open, next: 0 };
        for node in 0..3 {
            let echo = Protocol::new("/echo/1.0.0").unwrap();
            world.nodes[node].serve(world.now, echo, Matcher::Exact, RouteId::new(7)).unwrap();
            world.nodes[node].listen(world.now, DIRECT, &address(node)).unwrap();
        }
        world.carry_out();
        world
    }

    pub(crate) fn run(&mut self, what: u8, a: u8, b: u8) {
        let node = usize::from(a & 1);
        let pick = usize::from(a >> 1);
        let socket = pick % self.sockets.len().max(1);
        let stream = self.streams[node].iter().copied().nth(pick % self.streams[node].len().max(1));
        let (peer, now) = (self.nodes[1 - node].local_peer(), self.now);
        self.next += 1;
        match (what % 17, stream) {
            (0, _) => {
                let (request, addresses) = (RequestId(self.next), [address(1 - node)]);
                self.nodes[node].connect(now, request, peer, &addresses, DialOptions::default()).unwrap();
            }
            (1, _) => {
                let open = OpenId(self.next);
                self.open[node].insert(open);
                let names: &[&str] = if b.is_multiple_of(4) { &["/none/1", "/echo/1.0.0"] } else { &["/echo/1.0.0"] };
                let mut options = OpenOptions::default();
                options.limited = !b.is_multiple_of(3);
                options.timeout = Duration::from_secs(u64::from(b));
                let protocols = Protocols::parse(names).unwrap();
                self.nodes[node].open(now, open, peer, &protocols, options).unwrap();
            }
            (2..=4, _) => self.deliver(socket, usize::from(b % 2), usize::from(b) * 8),
            (5, _) => self.pass(Duration::from_millis(1 << (b % 16))),
            (6, Some((connection, stream))) => {
                let _ = self.nodes[node].write(now, connection, stream, &vec![b; usize::from(b) * 4]);
            }
            (7, Some((connection, stream))) => {
                let _ = self.nodes[node].read(now, connection, stream);
            }
            (8, Some((connection, stream))) => {
                let _ = self.nodes[node].finish(now, connection, stream);
            }
            (9, Some((connection, stream))) => {
                let _ = self.nodes[node].reset(now, connection, stream, u32::from(b));
                self.streams[node].remove(&(connection, stream));
            }
            (10, Some((connection, stream))) => {
                self.nodes[node].leave(now, connection, stream);
                self.streams[node].remove(&(connection, stream));
            }
            (11, _) if b < 64 => self.cut(socket),
            (12, Some((connection, _))) if b.is_multiple_of(2) => {
                // It may be over.
                let _ = self.nodes[node].close(now, connection, b.is_multiple_of(4));
            }
            (12, Some((connection, _))) => {
                self.nodes[node].leave_all(now, connection);
                self.streams[node].retain(|(other, _)| *other != connection);
            }
            (13, _) => {
                // It may do so already.
                let _ = self.nodes[node].listen(now, RELAYED, &self.through(None));
            }
            (14, _) if b < 64 => {
                let _ = self.nodes[node].unlisten(now, RELAYED);
            }
            (15, _) => {
                let (request, addresses) = (RequestId(self.next), [self.through(Some(1 - node))]);
                self.nodes[node].connect(now, request, peer, &addresses, DialOptions::default()).unwrap();
            }
            // All that is under way arrives: circuits need a few flights.
            (16, _) => {
                for _ in 0..6 {
                    for socket in 0..self.sockets.len() {
                        self.deliver(socket, 0, usize::MAX);
                        self.deliver(socket, 1, usize::MAX);
                    }
                    self.carry_out();
                }
            }
            _ => {}
        }
        self.carry_out();
    }

    /// Where a node is reached through the relay, or where nodes listen at it.
    fn through(&self, node: Option<usize>) -> Multiaddr {
        let at = format!("{}/p2p/{}/p2p-circuit", address(RELAY), self.nodes[RELAY].local_peer());
        let to = node.map(|node| format!("/p2p/{}", self.nodes[node].local_peer())).unwrap_or_default();
        format!("{at}{to}").parse().unwrap()
    }

    /// All sockets break, and time passes: nothing is left.
    pub(crate) fn settle(mut self) {
        for node in 0..2 {
            // It may not listen there.
            let _ = self.nodes[node].unlisten(self.now, RELAYED);
        }
        self.carry_out();
        for _ in 0..30 {
            for socket in 0..self.sockets.len() {
                self.cut(socket);
            }
            self.pass(Duration::from_secs(300));
        }
        let counts = self.nodes[RELAY].host().relay_server().unwrap().counts();
        assert_eq!((counts.reservations, counts.circuits), (0, 0));
        for node in 0..3 {
            assert!(self.open[node].is_empty(), "never answered: {:?}", self.open[node]);
            for (connection, stream) in core::mem::take(&mut self.streams[node]) {
                self.nodes[node].leave(self.now, connection, stream);
            }
            let host = self.nodes[node].host();
            assert_eq!(host.connections().count(), 0);
            let limits = host.manager().counts().limits;
            assert_eq!((limits.streams_inbound, limits.streams_outbound), (0, 0), "node {node}");
            assert_eq!((limits.pending_inbound, limits.pending_outbound), (0, 0), "node {node}");
            let memory = self.nodes[node].memory_used();
            assert!(memory < 64 * 1024, "{memory}");
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.carry_out();
            let next = self.nodes.iter().map(Solo::deadline).min().unwrap();
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            for node in &mut self.nodes {
                node.on_timeout(self.now);
                assert!(node.deadline() > self.now, "a deadline that stays");
            }
        }
        self.now = end;
    }

    fn deliver(&mut self, socket: usize, end: usize, len: usize) {
        let Some(socket) = self.sockets.get_mut(socket) else { return };
        let Some(connection) = socket.ends[end] else { return };
        let node = &mut self.nodes[socket.nodes[end]];
        if let Some(rx) = node.rx(connection) {
            let under_way = &mut socket.under_way[end];
            rx.extend_from_slice(&under_way.split_to(len.min(under_way.len())));
            node.received(self.now, connection);
            if under_way.is_empty() && socket.closed[end] {
                node.ended(self.now, connection);
            }
        }
    }

    fn cut(&mut self, socket: usize) {
        let Some(socket) = self.sockets.get_mut(socket) else { return };
        for end in 0..2 {
            if let Some(connection) = socket.ends[end] {
                self.nodes[socket.nodes[end]].broken(self.now, connection, "cut");
            }
        }
    }

    fn carry_out(&mut self) {
        let mut busy = true;
        while core::mem::take(&mut busy) {
            for node in 0..3 {
                while let Some(action) = self.nodes[node].poll() {
                    busy = true;
                    self.act(node, action);
                }
            }
        }
    }

    fn act(&mut self, node: usize, action: SoloAction) {
        let now = self.now;
        match action {
            SoloAction::Listen { listener, address } => self.nodes[node].listening(now, listener, &address).unwrap(),
            SoloAction::Dial { dial, address: to, .. } => {
                let other = (0..3).find(|other| *other != node && to.without_peer_id() == address(*other));
                if let Some(other) = other {
                    let local = address(node);
                    let there = self.nodes[other].accepted(now, &to, &local).unwrap();
                    let here = self.nodes[node].dialed(now, dial, &local, &to).unwrap();
                    let (nodes, ends) = ([node, other], [Some(here), Some(there)]);
                    self.sockets.push(Socket { nodes, ends, under_way: Default::default(), closed: [false; 2] });
                    return;
                }
                let fault = DialFault::Transport("refused".into());
                self.nodes[node].dial_failed(now, dial, fault).unwrap();
            }
            SoloAction::Send { connection } => self.send(node, connection, false),
            SoloAction::Close { connection, .. } => self.send(node, connection, true),
            SoloAction::Event(SoloEvent::Host(Event::OpenFailed { open, .. })) => self.answered(node, open),
            SoloAction::Event(SoloEvent::Stream { connection, event }) => match event {
                StreamEvent::Opened { open, stream, .. } => {
                    self.answered(node, open);
                    self.streams[node].insert((connection, stream));
                }
                StreamEvent::Incoming { stream, .. } => {
                    self.streams[node].insert((connection, stream));
                }
                _ => {}
            },
            _ => {}
        }
    }

    fn answered(&mut self, node: usize, open: OpenId) {
        assert!(self.open[node].remove(&open), "{open} was answered twice, or never asked for");
    }

    fn send(&mut self, node: usize, connection: ConnectionId, close: bool) {
        let bytes = self.nodes[node].tx(connection).map(core::mem::take).unwrap_or_default();
        self.nodes[node].sent(self.now, connection);
        let end =
            |socket: &Socket| (0..2).find(|end| socket.nodes[*end] == node && socket.ends[*end] == Some(connection));
        // One that was refused at once has no socket yet.
        let found = self.sockets.iter_mut().find_map(|socket| end(socket).map(|end| (socket, end)));
        let Some((socket, end)) = found else { return };
        socket.under_way[1 - end].extend_from_slice(&bytes);
        socket.closed[1 - end] |= close;
        if close {
            socket.ends[end] = None;
            self.nodes[node].forget(connection);
        }
    }
}
