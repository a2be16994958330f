//! Nodes in one process, a few milliseconds apart: their sockets are buffers, their clock is a number.

use bytes::BytesMut;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tidewire_connmgr::dial::{DialFault, DialOptions};
use tidewire_core::{Keypair, Multiaddr, PeerId, Seed, Time, UnixTime};
use tidewire_host::link::StreamEvent;
use tidewire_host::record::RecordConfig;
use tidewire_host::solo::{Solo, SoloAction, SoloConfig, SoloEvent};
use tidewire_host::{Command, ConnectionId, DialId, ListenerId, OpenId, OpenOptions, RequestId, StreamId};
use tidewire_multistream::{Matcher, Protocol, Protocols, RouteId};

/// The protocol that every node serves: it gives back what it gets.
pub(crate) const ECHO: Protocol = Protocol::from_static("/echo/1.0.0");

/// From one node to any other, one way.
const LATENCY: Duration = Duration::from_millis(12);

/// What is under way.
enum Due {
    Syn { from: usize, dial: DialId, to: Multiaddr, local: Multiaddr },
    Dialed { node: usize, dial: DialId, socket: usize, local: Multiaddr, remote: Multiaddr },
    Refused { node: usize, dial: DialId },
    Data { socket: usize, end: usize, bytes: BytesMut },
    Fin { socket: usize, end: usize },
}

/// Several nodes.
pub(crate) struct Nodes {
    pub(crate) now: Time,
    pub(crate) solos: Vec<Solo>,
    pub(crate) events: Vec<Vec<SoloEvent>>,
    /// What each echoed stream got back at the node that asked.
    pub(crate) echoed: Vec<u8>,
    recorded: usize,
    recording: BytesMut,
    listening: Vec<Option<Multiaddr>>,
    /// Which connection a socket is at each of its ends.
    sockets: Vec<[(usize, Option<ConnectionId>); 2]>,
    /// What is said before the driver's end of a socket has a name.
    early: BTreeMap<usize, VecDeque<BytesMut>>,
    due: BTreeMap<(Time, u64), Due>,
    sequence: u64,
}

/// Where a node listens.
pub(crate) fn address(node: usize) -> Multiaddr {
    format!("/ip4/11.0.{node}.1/tcp/4001").parse().unwrap()
}

/// The key of a node.
pub(crate) fn keypair(node: usize) -> Keypair {
    Keypair::from_seed(&Seed::new([u8::try_from(node).unwrap() + 1; 32]))
}

/// The root of a node's entropy.
pub(crate) fn seed(node: usize) -> Seed {
    Seed::new([u8::try_from(node).unwrap() + 101; 32])
}

impl Nodes {
    /// So many nodes, all of which listen. The first one is recorded.
    pub(crate) fn new(count: usize, record: &RecordConfig, configure: impl Fn(&mut SoloConfig)) -> Self {
        Nodes::recording(count, 0, record, |_, config| configure(config))
    }

    /// So many nodes, each with its number's configuration. One of them is recorded.
    pub(crate) fn recording(
        count: usize,
        recorded: usize,
        record: &RecordConfig,
        configure: impl Fn(usize, &mut SoloConfig),
    ) -> Self {
        let epoch = UnixTime::from_secs(1_800_000_000);
        let solos = (0..count).map(|node| {
            let mut config = SoloConfig::default();
            config.host.agent = "test/1".into();
            configure(node, &mut config);
            if node == recorded {
                Solo::recorded(config, keypair(node), &seed(node), epoch, record.clone()).unwrap()
            } else {
                Solo::new(config, keypair(node), &seed(node), epoch).unwrap()
            }
        });
        let mut nodes = Nodes {
            now: Time::ZERO,
            solos: solos.collect(),
            events: vec![Vec::new(); count],
            echoed: Vec::new(),
            recorded,
            recording: BytesMut::new(),
            listening: vec![None; count],
            sockets: Vec::new(),
            early: BTreeMap::new(),
            due: BTreeMap::new(),
            sequence: 0,
        };
        for node in 0..count {
            nodes.solos[node].serve(nodes.now, ECHO, Matcher::Exact, RouteId::new(1)).unwrap();
            nodes.solos[node].listen(nodes.now, ListenerId(0), &address(node)).unwrap();
        }
        nodes.pass(Duration::from_millis(1));
        nodes
    }

    pub(crate) fn peer(&self, node: usize) -> PeerId {
        self.solos[node].local_peer()
    }

    pub(crate) fn connect(&mut self, node: usize, request: u64, to: usize, addresses: &[Multiaddr]) {
        let peer = self.peer(to);
        let options = DialOptions::default();
        self.solos[node].connect(self.now, RequestId(request), peer, addresses, options).unwrap();
    }

    pub(crate) fn know(&mut self, node: usize, other: usize) {
        let (peer, ttl) = (self.peer(other), Duration::from_secs(3600));
        self.solos[node].command(self.now, Command::Addresses { peer, addresses: vec![address(other)], ttl }).unwrap();
    }

    pub(crate) fn open(&mut self, node: usize, open: u64, to: usize, protocols: &[&str]) {
        let (peer, protocols) = (self.peer(to), Protocols::parse(protocols).unwrap());
        self.solos[node].open(self.now, OpenId(open), peer, &protocols, OpenOptions::default()).unwrap();
    }

    pub(crate) fn write(&mut self, node: usize, connection: ConnectionId, stream: StreamId, data: &[u8]) {
        assert_eq!(self.solos[node].write(self.now, connection, stream, data).unwrap(), data.len());
        self.solos[node].finish(self.now, connection, stream).unwrap();
    }

    /// The streams that a node asked for and got.
    pub(crate) fn opened(&self, node: usize) -> Vec<(ConnectionId, OpenId, StreamId)> {
        let opened = |event: &SoloEvent| match event {
            SoloEvent::Stream { connection, event: StreamEvent::Opened { open, stream, .. } } => {
                Some((*connection, *open, *stream))
            }
            _ => None,
        };
        self.events[node].iter().filter_map(opened).collect()
    }

    /// The sockets of a node break.
    pub(crate) fn cut(&mut self, node: usize) {
        for socket in self.sockets.clone() {
            for (end, connection) in socket {
                if let (true, Some(connection)) = (socket.iter().any(|(end, _)| *end == node), connection) {
                    self.solos[end].broken(self.now, connection, "connection reset by peer");
                }
            }
        }
        self.settle();
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.settle();
            let timer = self.solos.iter().map(Solo::deadline).min().unwrap_or(Time::NEVER);
            let wire = self.due.keys().next().map_or(Time::NEVER, |(at, _)| *at);
            let next = timer.min(wire);
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            while let Some(entry) = self.due.first_entry()
                && entry.key().0 <= self.now
            {
                let due = entry.remove();
                self.arrive(due);
            }
            for solo in &mut self.solos {
                if solo.deadline() <= self.now {
                    solo.on_timeout(self.now);
                }
            }
        }
        self.now = end;
    }

    /// The recording, finished.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.settle();
        if let Some(recorder) = self.solos[self.recorded].recorder() {
            recorder.finish();
            self.recording.unsplit(recorder.bytes().split());
        }
        self.recording.to_vec()
    }

    /// What is recorded so far: of a process that is killed now.
    pub(crate) fn killed(mut self) -> Vec<u8> {
        self.settle();
        self.recording.to_vec()
    }

    fn settle(&mut self) {
        let mut busy = true;
        while core::mem::take(&mut busy) {
            for node in 0..self.solos.len() {
                while let Some(action) = self.solos[node].poll() {
                    busy = true;
                    self.act(node, action);
                }
            }
        }
        if let Some(recorder) = self.solos[self.recorded].recorder() {
            self.recording.extend_from_slice(&recorder.bytes().split());
        }
    }

    fn later(&mut self, due: Due) {
        self.sequence += 1;
        self.due.insert((self.now + LATENCY, self.sequence), due);
    }

    fn act(&mut self, node: usize, action: SoloAction) {
        match action {
            SoloAction::Listen { listener, address } => {
                self.listening[node] = Some(address.clone());
                self.solos[node].listening(self.now, listener, &address).unwrap();
            }
            SoloAction::Unlisten { listener } => {
                self.listening[node] = None;
                self.solos[node].listener_closed(self.now, listener, "as asked").unwrap();
            }
            SoloAction::Dial { dial, address: to, from, .. } => {
                let local = from
                    .map(|from| from.address)
                    .unwrap_or_else(|| format!("/ip4/11.0.{node}.1/tcp/50000").parse().unwrap());
                self.later(Due::Syn { from: node, dial, to, local });
            }
            SoloAction::Send { connection } => self.send(node, connection),
            SoloAction::Close { connection, .. } => {
                self.send(node, connection);
                if let Some((socket, end)) = self.socket(node, connection) {
                    self.sockets[socket][end].1 = None;
                    self.later(Due::Fin { socket, end: 1 - end });
                }
            }
            SoloAction::Event(event) => {
                self.serve(node, &event);
                self.events[node].push(event);
            }
            _ => {}
        }
    }

    fn send(&mut self, node: usize, connection: ConnectionId) {
        let bytes = self.solos[node].tx(connection).map(core::mem::take).unwrap_or_default();
        self.solos[node].sent(self.now, connection);
        if let Some((socket, end)) = self.socket(node, connection) {
            self.later(Due::Data { socket, end: 1 - end, bytes });
        }
    }

    fn socket(&self, node: usize, connection: ConnectionId) -> Option<(usize, usize)> {
        let ends = self.sockets.iter().enumerate().flat_map(|(at, ends)| [(at, 0, ends[0]), (at, 1, ends[1])]);
        ends.into_iter().find(|(_, _, end)| *end == (node, Some(connection))).map(|(socket, end, _)| (socket, end))
    }

    fn arrive(&mut self, due: Due) {
        match due {
            Due::Syn { from, dial, to, local } => {
                let at = to.without_peer_id();
                let Some(there) = self.listening.iter().position(|known| known.as_ref() == Some(&at)) else {
                    return self.later(Due::Refused { node: from, dial });
                };
                let accepted = self.solos[there].accepted(self.now, &at, &local).unwrap();
                self.sockets.push([(from, None), (there, Some(accepted))]);
                let socket = self.sockets.len() - 1;
                self.later(Due::Dialed { node: from, dial, socket, local, remote: at });
            }
            Due::Dialed { node, dial, socket, local, remote } => {
                if let Ok(connection) = self.solos[node].dialed(self.now, dial, &local, &remote) {
                    self.sockets[socket][0].1 = Some(connection);
                    for bytes in self.early.remove(&socket).unwrap_or_default() {
                        self.arrive(Due::Data { socket, end: 0, bytes });
                    }
                }
            }
            Due::Refused { node, dial } => {
                let fault = DialFault::Transport("connection refused".into());
                // It may have been aborted meanwhile.
                let _ = self.solos[node].dial_failed(self.now, dial, fault);
            }
            Due::Data { socket, end, bytes } => {
                let (node, connection) = self.sockets[socket][end];
                let Some(connection) = connection else {
                    return self.early.entry(socket).or_default().push_back(bytes);
                };
                if let Some(rx) = self.solos[node].rx(connection) {
                    rx.extend_from_slice(&bytes);
                }
                self.solos[node].received(self.now, connection);
            }
            Due::Fin { socket, end } => {
                if let (node, Some(connection)) = self.sockets[socket][end] {
                    self.solos[node].ended(self.now, connection);
                }
            }
        }
    }

    /// Gives back what came on a stream that the other opened, and keeps what comes back on one of ours.
    fn serve(&mut self, node: usize, event: &SoloEvent) {
        let SoloEvent::Stream { connection, event } = event else { return };
        let (connection, stream) = match event {
            StreamEvent::Incoming { stream, .. } | StreamEvent::Readable(stream) => (*connection, *stream),
            _ => return,
        };
        let ours = self.opened(node).iter().any(|(at, _, known)| (*at, *known) == (connection, stream));
        loop {
            match self.solos[node].read(self.now, connection, stream) {
                Ok(Some(piece)) if ours => self.echoed.extend_from_slice(&piece),
                Ok(Some(piece)) => {
                    let _ = self.solos[node].write(self.now, connection, stream, &piece);
                }
                Ok(None) => {
                    let _ = self.solos[node].finish(self.now, connection, stream);
                    return;
                }
                Err(_) => return,
            }
        }
    }
}
