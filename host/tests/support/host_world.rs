//! Any order of what a driver, links and an application may do to a host; what must hold in any case is checked on the way.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tidewire_connmgr as connmgr;
use tidewire_connmgr::dial::{DialFault, DialOptions};
use tidewire_core::{EventMachine, Keypair, Multiaddr, PeerId, Role, Seed, Time, UnixTime};
use tidewire_host::addresses::NatStatus;
use tidewire_host::link::{AskFault, Fault, OpenFault, Order, Report};
use tidewire_host::{
    Action, AskNumber, By, Carry, Command, Config, ConnectionId, DialId, Direction, Event, Host, Input, ListenerId,
    OpenId, OpenOptions, RelayCommand, RequestId, Splice, StreamId,
};
use tidewire_multistream::{Protocol, Protocols};
use tidewire_relay::autonat::{v1, v2};
use tidewire_relay::autorelay::{AutoRelayConfig, Candidate};
use tidewire_relay::client::Ending;
use tidewire_relay::exchange::{Answer, Ask, Reply, Request, Service};
use tidewire_relay::server::{CircuitEnd, Offer, ServerConfig};
use tidewire_relay::{CircuitId, Limit, Reservation, Status};
use tidewire_upgrade::muxer::MuxerKind;

#[path = "host_world_punches.rs"]
mod punches;
#[path = "host_world_relays.rs"]
mod relays;

/// One thing that happens: what, and to whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    pub(crate) what: u8,
    pub(crate) a: u8,
    pub(crate) b: u8,
}

/// A link as a host may assume it: it takes orders late, and its reports arrive late.
#[derive(Default)]
struct Link {
    peer: Option<PeerId>,
    initiates: bool,
    inbox: VecDeque<Order>,
    outbox: VecDeque<Report>,
    /// Not handed out yet, by the wish that they fulfil, if any.
    reported: BTreeMap<StreamId, Option<OpenId>>,
    admitted: BTreeSet<StreamId>,
    /// What the remote asks, once its stream is admitted.
    requests: BTreeMap<StreamId, Request>,
    /// What it asked, and waits for.
    asked: BTreeSet<StreamId>,
    /// What the host asks, and on which stream.
    asks: BTreeMap<AskNumber, (StreamId, Ask)>,
    circuits: BTreeSet<StreamId>,
    punches: punches::Punches,
    /// The stream that it is made of.
    over_stream: Option<(ConnectionId, StreamId)>,
    next: u64,
    over: bool,
}

pub(crate) struct World {
    now: Time,
    tight: bool,
    host: Host,
    peers: Vec<PeerId>,
    links: BTreeMap<ConnectionId, Link>,
    dials: BTreeMap<DialId, PeerId>,
    /// Those of the dials that are circuits, and the circuits that came.
    carried: BTreeMap<DialId, Carry>,
    came: Vec<Carry>,
    splices: BTreeMap<CircuitId, Splice>,
    /// Links over circuits that ended: the host may yet wait to hear why the circuit did, and speak to them.
    gone: BTreeSet<ConnectionId>,
    /// The wishes that were not answered or cancelled.
    open: BTreeSet<OpenId>,
    /// Whom the application was told to be connected.
    connected: BTreeSet<PeerId>,
    next: u64,
}

fn address(n: usize) -> Multiaddr {
    format!("/ip4/11.0.{n}.1/tcp/4001").parse().unwrap()
}

fn relayed(n: usize, by: PeerId) -> Multiaddr {
    format!("/ip4/11.9.{n}.1/tcp/4001/p2p/{by}/p2p-circuit").parse().unwrap()
}

impl World {
    pub(crate) fn new(tight: bool) -> Self {
        let peers: Vec<PeerId> = (0..5).map(|n| Keypair::from_seed(&Seed::new([n; 32])).peer_id()).collect();
        let mut config = Config::default();
        if tight {
            config.max_opening = 3;
            config.manager.limits.streams_per_peer = 2;
            config.manager.limits.established = 3;
            config.manager.worth.low = 1;
            config.manager.worth.high = 2;
        }
        let mut server = ServerConfig::default();
        server.offer = Offer::Always;
        server.circuits_per_peer = 2;
        let relay = &mut config.relay;
        relay.server = Some(server);
        relay.autonat_v1_server = Some(v1::ServerConfig::default());
        relay.autonat_v2_server = Some(v2::ServerConfig::default());
        relay.auto_relay = Some(AutoRelayConfig::classic());
        relay.max_probes = 3;
        let host = Host::new(config, peers[0], &Seed::new([9; 32]), UnixTime::from_secs(1_800_000_000));
        let (links, dials, open) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        World {
            now: Time::ZERO,
            tight,
            host,
            peers,
            links,
            dials,
            carried: BTreeMap::new(),
            came: Vec::new(),
            splices: BTreeMap::new(),
            gone: BTreeSet::new(),
            open,
            connected: BTreeSet::new(),
            next: 0,
        }
    }

    pub(crate) fn run(&mut self, op: Op) {
        let n = usize::from(op.a) % self.peers.len();
        let peer = self.peers[n];
        let connection = self.links.keys().copied().nth(usize::from(op.a) % self.links.len().max(1));
        match op.what % 22 {
            0 => self.incoming(if op.b.is_multiple_of(4) { relayed(n, self.peers[4]) } else { address(n) }),
            1 => {
                let (request, addresses) = (RequestId(self.fresh()), vec![address(n)]);
                self.tell(Input::Connect { request, peer, addresses, options: DialOptions::default() });
            }
            2 => self.wish(peer, op.b),
            3 => {
                let open = self.open.iter().copied().nth(usize::from(op.a) % self.open.len().max(1));
                // One that was let in is the link's to answer.
                if let Some(open) = open
                    && self.host.handle(self.now, Input::CancelOpen { open }).is_ok()
                {
                    self.open.remove(&open);
                    self.carry_out();
                }
            }
            4 | 5 => self.settle_dial(usize::from(op.a), op.b),
            6 => {
                if let Some(link) = connection.and_then(|it| self.links.get_mut(&it))
                    && link.peer.is_none()
                    && !link.over
                {
                    link.peer = Some(peer);
                    let role = if link.initiates { Role::Initiator } else { Role::Responder };
                    let (security, muxer) = ("/noise".into(), MuxerKind::Yamux);
                    link.outbox.push_back(Report::Established { peer, role, security, muxer });
                }
            }
            7 | 8 => self.obey(connection, op.b),
            9 | 10 => self.deliver(connection),
            11 => self.stream(connection, op.b),
            12 => {
                if let Some(link) = connection.and_then(|it| self.links.get_mut(&it)) {
                    link.end();
                }
            }
            13 => self.pass(Duration::from_millis(1 << (op.b % 17))),
            14 => match op.b % 5 {
                0 => self.tell(Input::Manage(Command::TrimNow)),
                1 => self.tell(Input::Manage(Command::Disconnect { peer, why: "enough".into() })),
                2 => self.tell(Input::NetworkChanged),
                3 => {
                    if let Some(link) = connection.and_then(|it| self.links.get_mut(&it))
                        && link.peer.is_some()
                        && !link.over
                    {
                        link.outbox.push_back(Report::Holds { bytes: u64::from(op.b) << 17 });
                    }
                }
                _ => {
                    let (addresses, ttl) = (vec![address(n)], Duration::from_secs(60));
                    self.tell(Input::Manage(Command::Addresses { peer, addresses, ttl }));
                }
            },
            16 => self.say_of_relays(n, op.b),
            21 => self.punch(connection, n, op.b),
            17 => {
                self.ask(connection, op.b);
                if op.a >= 64 {
                    self.exchange(connection);
                }
            }
            18 => {
                if op.a >= 64 {
                    self.exchange(connection);
                }
                self.answer(connection, op.b);
            }
            19 => self.drive(op.b),
            15 if op.a == 255 => self.tell(Input::Shutdown),
            20 => {
                if let Some(link) = connection.and_then(|it| self.links.get_mut(&it))
                    && let Some(stream) =
                        link.circuits.iter().copied().nth(usize::from(op.b) % link.circuits.len().max(1))
                {
                    let ending = [Ending::Local, Ending::Closed, Ending::Reset][usize::from(op.b) % 3];
                    link.end_circuit(stream, ending);
                }
            }
            _ => self.tell(Input::Protocols(vec![Protocol::new(&format!("/p/{}", op.b)).unwrap()])),
        }
    }

    /// Everything comes to its end.
    pub(crate) fn settle(mut self) {
        if self.tight {
            self.tell(Input::Shutdown);
        } else {
            // Nobody wants a relay any more.
            self.tell(Input::NatStatus(NatStatus::Public));
            for relay in self.peers.clone() {
                let _ = self.host.handle(self.now, Input::Relay(RelayCommand::Release { relay }));
            }
            for listener in (0..3).map(ListenerId) {
                let _ = self.host.handle(self.now, Input::Unlisten { listener });
            }
            self.carry_out();
        }
        for _ in 0..20 {
            while !self.came.is_empty() || !self.splices.is_empty() {
                self.drive(3);
            }
            for connection in self.links.keys().copied().collect::<Vec<_>>() {
                self.obey(Some(connection), 255);
                if let Some(link) = self.links.get_mut(&connection) {
                    link.end();
                }
                while self.links.get(&connection).is_some_and(|link| !link.outbox.is_empty()) {
                    self.deliver(Some(connection));
                }
            }
            while !self.dials.is_empty() {
                self.settle_dial(0, 0);
            }
            self.pass(Duration::from_secs(30));
        }
        assert!(self.open.is_empty(), "never answered: {:?}", self.open);
        assert!(self.connected.is_empty(), "{:?}", self.connected);
        let server = self.host.relay_server().unwrap().counts();
        assert_eq!((server.connections, server.reservations, server.circuits), (0, 0, 0));
        let client = self.host.relay_client().counts();
        assert_eq!((client.reservations, client.dials, client.circuits_out, client.circuits_in), (0, 0, 0, 0));
        assert_eq!(client.asks, 0);
        assert!(self.host.autonat_v1_server().unwrap().explain(self.now).requests.is_empty());
        assert!(self.host.autonat_v2_server().unwrap().explain(self.now).requests.is_empty());
        assert_eq!(self.host.connections().count(), 0);
        self.assert_no_punches();
        let limits = self.host.manager().counts().limits;
        assert_eq!((limits.streams_inbound, limits.streams_outbound), (0, 0));
        assert_eq!((limits.pending_inbound, limits.pending_outbound), (0, 0));
        assert_eq!(limits.memory, 0);
        let memory = self.host.memory_used();
        assert!(memory < 128 * 1024, "{memory}");
    }

    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn tell(&mut self, input: Input) {
        self.host.handle(self.now, input).unwrap();
        self.carry_out();
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.host.deadline() <= end {
            self.now = self.now.max(self.host.deadline());
            self.host.on_timeout(self.now);
            self.carry_out();
        }
        self.now = end;
    }

    fn incoming(&mut self, remote: Multiaddr) {
        let connection = ConnectionId(self.fresh());
        self.links.insert(connection, Link::default());
        self.tell(Input::Incoming { connection, local: address(0), remote, over: None, asn: None });
    }

    fn wish(&mut self, peer: PeerId, how: u8) {
        let open = OpenId(self.fresh());
        self.open.insert(open);
        let mut options = OpenOptions::default();
        options.limited = how & 1 != 0;
        options.dial = how & 2 != 0;
        options.timeout = Duration::from_millis(u64::from(how) * 100);
        let protocols = Protocols::from(Protocol::new("/echo/1.0.0").unwrap());
        self.tell(Input::Open { open, peer, protocols, options });
    }

    /// What the driver has to do for circuits.
    fn drive(&mut self, how: u8) {
        if let Some(Carry { over, local, remote, .. }) = self.came.pop() {
            let connection = ConnectionId(self.fresh());
            self.links.insert(connection, Link { over_stream: Some(over), ..Link::default() });
            return self.tell(Input::Incoming { connection, local, remote, over: Some(over), asn: None });
        }
        let Some((circuit, splice)) = self.splices.first_key_value().map(|(circuit, splice)| (*circuit, *splice))
        else {
            return;
        };
        let (forward, backward) = (u64::from(how), 7);
        if how.is_multiple_of(4) {
            return self.tell(Input::Spliced { circuit, end: None, forward, backward });
        }
        self.splices.remove(&circuit);
        for (connection, stream) in [splice.source, splice.destination] {
            self.end_circuit(connection, stream);
        }
        let end = Some(CircuitEnd::Closed);
        self.tell(Input::Spliced { circuit, end, forward, backward });
    }

    /// The driver ends the stream of a circuit, if it is there.
    fn end_circuit(&mut self, connection: ConnectionId, stream: StreamId) {
        if let Some(link) = self.links.get_mut(&connection) {
            link.end_circuit(stream, Ending::Local);
        }
    }

    /// A link is gone, and with it the circuit that it is made of.
    fn remove_link(&mut self, connection: ConnectionId) -> bool {
        let link = self.links.remove(&connection);
        if let Some((lower, stream)) = link.as_ref().and_then(|link| link.over_stream) {
            self.gone.insert(connection);
            self.end_circuit(lower, stream);
        }
        link.is_some()
    }

    fn settle_dial(&mut self, at: usize, how: u8) {
        let Some((dial, _)) = self.dials.pop_first().filter(|_| at < 256) else { return };
        if let Some(Carry { over, local, remote, .. }) = self.carried.remove(&dial) {
            if how.is_multiple_of(3) {
                self.end_circuit(over.0, over.1);
                let fault = DialFault::Transport("its relay is gone".into());
                return self.tell(Input::DialFailed { dial, fault });
            }
            let connection = ConnectionId(self.fresh());
            self.links.insert(connection, Link { initiates: true, over_stream: Some(over), ..Link::default() });
            return self.tell(Input::Dialed { dial, connection, local, remote });
        }
        if how.is_multiple_of(3) {
            return self.tell(Input::DialFailed { dial, fault: DialFault::Transport("refused".into()) });
        }
        let connection = ConnectionId(self.fresh());
        self.links.insert(connection, Link { initiates: true, ..Link::default() });
        self.tell(Input::Dialed { dial, connection, local: address(0), remote: address(usize::from(how) % 5) });
    }

    /// The link hands a stream to the application, or the host says that there will be none.
    fn answered(&mut self, open: OpenId) {
        assert!(self.open.remove(&open), "{open} was answered twice, or never asked for");
    }

    fn stream(&mut self, connection: Option<ConnectionId>, how: u8) {
        let Some(link) = connection.and_then(|it| self.links.get_mut(&it)) else { return };
        if link.over || link.peer.is_none() {
            return;
        }
        if how.is_multiple_of(2) {
            let (stream, direction) = (link.number(), Direction::Inbound);
            link.reported.insert(stream, None);
            let name = if how.is_multiple_of(8) { "/ipfs/id/1.0.0" } else { "/echo/1.0.0" };
            let protocol = Protocol::new(name).unwrap();
            link.outbox.push_back(Report::StreamOpened { stream, direction, protocol, open: None });
        } else if let Some(stream) = link.admitted.pop_first() {
            link.outbox.push_back(Report::StreamClosed { stream });
        }
    }

    /// A link takes its orders.
    fn obey(&mut self, connection: Option<ConnectionId>, how: u8) {
        let Some(link) = connection.and_then(|it| self.links.get_mut(&it)) else { return };
        let mut answered = Vec::new();
        for order in core::mem::take(&mut link.inbox) {
            let Some(order) = link.take_punch(order, how) else { continue };
            match order {
                Order::Open { open, .. } if link.over || how.is_multiple_of(3) => {
                    link.outbox.push_back(Report::OpenFailed { open, why: OpenFault::Unsupported });
                }
                Order::Open { open, .. } => {
                    let (stream, direction) = (link.number(), Direction::Outbound);
                    link.reported.insert(stream, Some(open));
                    let protocol = Protocol::new("/echo/1.0.0").unwrap();
                    link.outbox.push_back(Report::StreamOpened { stream, direction, protocol, open: Some(open) });
                }
                Order::Forget { open } => {
                    let stream = link.reported.iter().find(|(_, it)| **it == Some(open)).map(|(stream, _)| *stream);
                    if let Some(stream) = stream {
                        link.reported.remove(&stream);
                        link.outbox.push_back(Report::StreamClosed { stream });
                    }
                }
                Order::Admit { stream } => {
                    if let Some(open) = link.reported.remove(&stream) {
                        match link.requests.remove(&stream) {
                            Some(request) => {
                                link.asked.insert(stream);
                                link.outbox.push_back(Report::Asked { stream, request: Box::new(request) });
                            }
                            // The stream of a question is the link's own to end.
                            None if link.asks.values().any(|(on, _)| *on == stream) => {}
                            None => drop(link.admitted.insert(stream)),
                        }
                        answered.extend(open);
                    }
                }
                Order::Refuse { stream, .. } => {
                    link.reported.remove(&stream);
                    link.requests.remove(&stream);
                    let ask = link.asks.iter().find(|(_, (on, _))| *on == stream).map(|(ask, _)| *ask);
                    if let Some(ask) = ask {
                        link.asks.remove(&ask);
                        let answer = Err(Box::new(AskFault::Open(OpenFault::Unsupported)));
                        link.outbox.push_back(Report::Answered { ask, stream: Some(stream), answer });
                    }
                }
                Order::Ping if how.is_multiple_of(2) => {
                    link.outbox.push_back(Report::Pong { rtt: Duration::from_millis(9) });
                }
                Order::Close { .. } => link.end(),
                Order::Ask { ask, .. } if link.over || how.is_multiple_of(5) => {
                    let answer = Err(Box::new(AskFault::Open(OpenFault::ConnectionEnded)));
                    link.outbox.push_back(Report::Answered { ask, stream: None, answer });
                }
                Order::Ask { ask, what } => {
                    let (stream, direction) = (link.number(), Direction::Outbound);
                    let protocol = Protocol::new(what.service().name()).unwrap();
                    link.reported.insert(stream, None);
                    assert!(link.asks.insert(ask, (stream, what)).is_none(), "{ask} was asked twice");
                    link.outbox.push_back(Report::StreamOpened { stream, direction, protocol, open: None });
                }
                Order::Unask { ask } => {
                    if let Some((stream, _)) = link.asks.remove(&ask) {
                        link.close_stream(stream);
                    }
                }
                Order::Reply { stream, reply } => {
                    // An answer may cross the end of its stream; there is never a second one.
                    let waited = link.asked.remove(&stream) || link.requests.remove(&stream).is_some();
                    match reply {
                        _ if !waited => {}
                        Reply::Connected { .. } | Reply::Accepted => drop(link.circuits.insert(stream)),
                        Reply::AskData { bytes, .. } => {
                            link.asked.insert(stream);
                            if how.is_multiple_of(2) {
                                let request = Box::new(Request::Paid { bytes });
                                link.outbox.push_back(Report::Asked { stream, request });
                            }
                        }
                        _ => link.close_stream(stream),
                    }
                }
                Order::Reset { stream } => {
                    if link.circuits.contains(&stream) {
                        link.end_circuit(stream, Ending::Local);
                    } else if link.asked.remove(&stream) || link.requests.remove(&stream).is_some() {
                        link.close_stream(stream);
                    }
                }
                _ => {}
            }
        }
        answered.into_iter().for_each(|open| self.answered(open));
    }

    /// The first report of a link arrives.
    fn deliver(&mut self, connection: Option<ConnectionId>) {
        let Some(connection) = connection else { return };
        let Some(report) = self.links.get_mut(&connection).and_then(|link| link.outbox.pop_front()) else { return };
        let last = matches!(report, Report::Ended { .. });
        self.tell(Input::Report { connection, report });
        if last {
            // The orders that were given before are still taken.
            self.obey(Some(connection), 0);
            // The answers to what was asked too late come behind the end.
            while let Some(report) = self.links.get_mut(&connection).and_then(|link| link.outbox.pop_front()) {
                self.tell(Input::Report { connection, report });
            }
            self.remove_link(connection);
        }
    }

    fn carry_out(&mut self) {
        while let Some(action) = self.host.poll() {
            match action {
                Action::Accept { connection } => assert!(self.links.contains_key(&connection)),
                Action::Refuse { connection, .. } => {
                    let there = self.remove_link(connection) || self.gone.remove(&connection);
                    assert!(there, "{connection} is not there to be refused");
                }
                Action::Dial { dial, peer, .. } => assert!(self.dials.insert(dial, peer).is_none(), "{dial}"),
                Action::Abort { dial } => {
                    assert!(self.dials.remove(&dial).is_some(), "{dial} is not under way");
                    if let Some(carry) = self.carried.remove(&dial) {
                        self.end_circuit(carry.over.0, carry.over.1);
                    }
                }
                Action::Carry(carry) => match carry.dial {
                    Some((dial, peer)) => {
                        assert!(self.dials.insert(dial, peer).is_none(), "{dial}");
                        self.carried.insert(dial, *carry);
                    }
                    None => self.came.push(*carry),
                },
                Action::Splice(splice) => {
                    assert!(self.splices.insert(splice.circuit, splice).is_none(), "{splice:?}");
                }
                Action::Unsplice { circuit, .. } => assert!(self.splices.contains_key(&circuit), "{circuit}"),
                Action::Order { connection, .. } if self.gone.contains(&connection) => {}
                Action::Order { connection, order } => {
                    let link = self.links.get_mut(&connection).unwrap_or_else(|| panic!("{connection}: {order:?}"));
                    if let Order::Admit { .. } = order {
                        let known = link.peer.is_some_and(|peer| self.connected.contains(&peer));
                        assert!(known || link.initiates, "a stream of a stranger");
                    }
                    link.inbox.push_back(order);
                }
                Action::Event(Event::OpenFailed { open, .. }) => self.answered(open),
                Action::Event(Event::Manager(connmgr::Event::Connected { peer })) => {
                    assert!(self.connected.insert(peer), "{peer} was connected already");
                }
                Action::Event(Event::Manager(connmgr::Event::Disconnected { peer })) => {
                    assert!(self.connected.remove(&peer), "{peer} was not connected");
                }
                _ => {}
            }
        }
    }
}

impl Link {
    fn number(&mut self) -> StreamId {
        self.next += 1;
        StreamId(self.next)
    }

    /// A stream of the link's own is over.
    fn close_stream(&mut self, stream: StreamId) {
        self.reported.remove(&stream);
        self.outbox.push_back(Report::StreamClosed { stream });
    }

    fn end_circuit(&mut self, stream: StreamId, ending: Ending) {
        if self.circuits.remove(&stream) && !self.over {
            self.outbox.push_back(Report::CircuitEnded { stream, sent: 1, received: 2, ending });
            self.close_stream(stream);
        }
    }

    fn end(&mut self) {
        if core::mem::replace(&mut self.over, true) {
            return;
        }
        let wishes = self.reported.values().copied().flatten().collect::<Vec<_>>();
        self.reported.retain(|_, open| open.is_none());
        self.end_punches();
        let asks = core::mem::take(&mut self.asks).into_keys();
        let answer = || Err(Box::new(AskFault::Open(OpenFault::ConnectionEnded)));
        self.outbox.extend(asks.map(|ask| Report::Answered { ask, stream: None, answer: answer() }));
        let (why, by, fault) = (OpenFault::ConnectionEnded, By::Network, Fault::Transport);
        self.outbox.extend(wishes.into_iter().map(|open| Report::OpenFailed { open, why: why.clone() }));
        self.outbox.push_back(Report::Ended { by, fault, why: "cut".into() });
    }
}
