//! Two nodes whose sockets deliver late and in pieces, or break: what must hold in any case is checked on the way.

use bytes::BytesMut;
use core::time::Duration;
use std::collections::BTreeSet;
use tidewire_connmgr::dial::{DialFault, DialOptions};
use tidewire_core::{Keypair, Multiaddr, Seed, Time, UnixTime};
use tidewire_host::link::StreamEvent;
use tidewire_host::solo::{Solo, SoloAction, SoloConfig, SoloEvent};
use tidewire_host::{ConnectionId, Event, ListenerId, OpenId, OpenOptions, RequestId, StreamId};
use tidewire_multistream::{Matcher, Protocol, Protocols, RouteId};
use tidewire_upgrade::muxer::MuxerKind;

/// The wire of a connection: each end, and what is on its way to it.
struct Socket {
    ends: [Option<ConnectionId>; 2],
    under_way: [BytesMut; 2],
    /// This end's other side closed.
    closed: [bool; 2],
}

pub(crate) struct World {
    now: Time,
    nodes: [Solo; 2],
    sockets: Vec<Socket>,
    /// Streams that the applications have.
    streams: [BTreeSet<(ConnectionId, StreamId)>; 2],
    open: [BTreeSet<OpenId>; 2],
    next: u64,
}

fn address(node: usize) -> Multiaddr {
    format!("/ip4/11.0.{node}.1/tcp/4001").parse().unwrap()
}

impl World {
    pub(crate) fn new(mplex: bool, tight: bool) -> Self {
        let nodes = [1_u8, 2].map(|n| {
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
            let keypair = Keypair::from_seed(&Seed::new([n; 32]));
            Solo::new(config, keypair, &Seed::new([n + 100; 32]), UnixTime::from_secs(1_800_000_000)).unwrap()
        });
        let (streams, open) = (Default::default(), Default::default());
        let mut world = World { now: Time::ZERO, nodes, sockets: Vec::new(), streams, open, next: 0 };
        for node in 0..2 {
            let echo = Protocol::new("/echo/1.0.0").unwrap();
            world.nodes[node].serve(world.now, echo, Matcher::Exact, RouteId::new(7)).unwrap();
            world.nodes[node].listen(world.now, ListenerId(0), &address(node)).unwrap();
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
        match (what % 13, stream) {
            (0, _) => {
                let (request, addresses) = (RequestId(self.next), [address(1 - node)]);
                self.nodes[node].connect(now, request, peer, &addresses, DialOptions::default()).unwrap();
            }
            (1, _) => {
                let open = OpenId(self.next);
                self.open[node].insert(open);
                let names: &[&str] = if b.is_multiple_of(4) { &["/none/1", "/echo/1.0.0"] } else { &["/echo/1.0.0"] };
                let mut options = OpenOptions::default();
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
            _ => {}
        }
        self.carry_out();
    }

    /// All sockets break, and time passes: nothing is left.
    pub(crate) fn settle(mut self) {
        for _ in 0..30 {
            for socket in 0..self.sockets.len() {
                self.cut(socket);
            }
            self.pass(Duration::from_secs(300));
        }
        for node in 0..2 {
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
            let next = self.nodes[0].deadline().min(self.nodes[1].deadline());
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
        let node = &mut self.nodes[end];
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
                self.nodes[end].broken(self.now, connection, "cut");
            }
        }
    }

    fn carry_out(&mut self) {
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
        let now = self.now;
        match action {
            SoloAction::Listen { listener, address } => self.nodes[node].listening(now, listener, &address).unwrap(),
            SoloAction::Dial { dial, address: to, .. } if to.without_peer_id() == address(1 - node) => {
                let local = address(node);
                let there = self.nodes[1 - node].accepted(now, &to, &local).unwrap();
                let here = self.nodes[node].dialed(now, dial, &local, &to).unwrap();
                let mut ends = [Some(there); 2];
                ends[node] = Some(here);
                self.sockets.push(Socket { ends, under_way: Default::default(), closed: [false; 2] });
            }
            SoloAction::Dial { dial, .. } => {
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
        let end = |socket: &&mut Socket| socket.ends[node] == Some(connection);
        // One that was refused at once has no socket yet.
        let Some(socket) = self.sockets.iter_mut().find(end) else { return };
        socket.under_way[1 - node].extend_from_slice(&bytes);
        socket.closed[1 - node] |= close;
        if close {
            socket.ends[node] = None;
            self.nodes[node].forget(connection);
        }
    }
}
