//! Two nodes side by side, their sockets two buffers.

mod calls;
mod circuits;
mod ends;
mod streams;

use super::{ServeError, Solo, SoloAction, SoloConfig, SoloEvent};
use crate::link::StreamEvent;
use crate::{ConnectionId, DialId, Event, ListenerId, OpenFailure, OpenId, OpenOptions, RequestId, StreamId};
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

    fn dial(&mut self, node: usize, dial: DialId, to: &Multiaddr, from: Option<crate::LocalEnd>) {
        let other = 1 - node;
        if self.listening[other].as_ref() != Some(&to.without_peer_id()) {
            let fault = DialFault::Transport("connection refused".into());
            return self.nodes[node].dial_failed(self.now, dial, fault).unwrap();
        }
        let local = from
            .map(|from| from.address)
            .unwrap_or_else(|| alloc::format!("/ip4/11.0.0.{}/tcp/50000", node + 1).parse().unwrap());
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

    /// Node 0 has a stream to node 1: the connection and the stream at each end.
    fn stream(&mut self, open: u64) -> [(ConnectionId, StreamId); 2] {
        let (peer, before) = (self.peer(1), self.streams(1).len());
        self.nodes[0].open(self.now, OpenId(open), peer, &Protocols::from(ECHO), OpenOptions::default()).unwrap();
        self.run();
        let here = self.streams(0).into_iter().find_map(|(connection, event)| match event {
            StreamEvent::Opened { open: OpenId(it), stream, .. } if it == open => Some((connection, stream)),
            _ => None,
        });
        let (connection, stream) = here.expect("opened");
        self.nodes[0].write(self.now, connection, stream, b"?").unwrap();
        self.run();
        let there = self.streams(1).into_iter().skip(before).find_map(|(connection, event)| match event {
            StreamEvent::Incoming { stream, .. } => Some((connection, stream)),
            _ => None,
        });
        [(connection, stream), there.expect("incoming")]
    }

    /// Why a connection of a node ended, and who ended it.
    fn closed(&self, node: usize) -> Option<(crate::By, connmgr::CloseReason)> {
        self.host_events(node).into_iter().find_map(|event| match event {
            Event::Manager(connmgr::Event::ConnectionClosed { by, reason, .. }) => Some((*by, reason.clone())),
            _ => None,
        })
    }
}
