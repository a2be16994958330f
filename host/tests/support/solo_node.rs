//! A whole node in a simulated world: `Solo`, driven over `tidewire_sim`'s sockets, and an application on top that echoes.
//!
//! ```text
//!   World --Input--> SoloNode --> Solo --> Event --> the application: echoes what comes, checks what comes back
//!         <---Os----          <-- Action
//! ```

use bytes::{Buf, BytesMut};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;
use tidewire_connmgr as connmgr;
use tidewire_connmgr::dial::{DialFault, DialOptions};
use tidewire_core::{Component, Keypair, Multiaddr, PeerId, Seed, Time, UnixTime};
use tidewire_host::link::StreamEvent;
use tidewire_host::solo::{Solo, SoloAction, SoloConfig, SoloEvent};
use tidewire_host::{
    Command, ConnectionId, DialId, Event, Input as HostInput, ListenerId, LocalEnd, OpenFailure, OpenId, OpenOptions,
    RequestId, StreamId,
};
use tidewire_multistream::{Matcher, Protocol, Protocols, RouteId};
use tidewire_sim::{ConnectFailure, Input, Node, Os, OsError, SocketId};
use tidewire_upgrade::connection::ReadStreamError;
use tidewire_upgrade::muxer::WriteError;

/// The protocol that every node serves: it gives back what it gets.
pub(crate) const ECHO: Protocol = Protocol::from_static("/echo/1.0.0");
/// What the wall clock says when a world begins.
pub(crate) const EPOCH: UnixTime = UnixTime::from_secs(1_800_000_000);
/// Bytes that are read from a socket before the link has consumed what was read: more than a record of Noise.
const MAX_RX: usize = 128 * 1024;
/// How long a closed connection may take to send what is left.
const LINGER: Duration = Duration::from_secs(5);

/// How often a node is asked how much memory it uses.
const LOOK: Duration = Duration::from_millis(5);

/// The key of the `n`-th node.
pub(crate) fn keypair(n: u32) -> Keypair {
    Keypair::from_seed(&Seed::new([1; 32]).derive("node", u64::from(n)))
}

/// A node.
pub(crate) struct SoloNode {
    pub(crate) solo: Solo,
    /// All that was told.
    pub(crate) events: Vec<(Time, SoloEvent)>,
    /// What the application asked of others.
    pub(crate) calls: BTreeMap<OpenId, Call>,
    /// Why sockets were closed.
    pub(crate) whys: Vec<String>,
    /// How often a connection came and there was no file descriptor for it.
    pub(crate) accept_failed: u32,
    /// How often the world called.
    pub(crate) inputs: u64,
    /// The most memory that it said to use, looked at each time that it was called, and 5 ms had passed.
    pub(crate) peak: usize,
    /// Protocols whose streams are left alone here: somebody speaks them by hand.
    pub(crate) by_hand: Vec<Protocol>,
    next_look: Time,
    listen: Vec<Multiaddr>,
    next_call: u64,
    by_stream: BTreeMap<(ConnectionId, StreamId), OpenId>,
    serving: BTreeMap<(ConnectionId, StreamId), BytesMut>,
    connections: BTreeMap<SocketId, ConnectionId>,
    sockets: BTreeMap<ConnectionId, SocketId>,
    /// Said `Close`, and has something left to send until then.
    closing: BTreeMap<ConnectionId, (SocketId, Time)>,
    dials: BTreeMap<SocketId, DialId>,
    listeners: BTreeMap<ListenerId, tidewire_sim::ListenerId>,
}

/// Something said to a peer, which is to say the same.
pub(crate) struct Call {
    pub(crate) asked: Time,
    /// On which connection it is, once it is.
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) got: Vec<u8>,
    pub(crate) done: Option<(Time, Outcome)>,
    stream: Option<StreamId>,
    payload: Vec<u8>,
    written: usize,
    /// Nothing is added to the payload.
    pub(crate) complete: bool,
    finished: bool,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Call { asked, connection, stream, payload, written, finished, got, done, .. } = self;
        let (len, got) = (payload.len(), got.len());
        write!(
            f,
            "asked at {asked:?}, on {connection:?} {stream:?}: {written} of {len} written, finished: {finished}, "
        )?;
        write!(f, "{got} came back: {done:?}")
    }
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// All of it came back.
    Echoed,
    /// There was no stream.
    Failed(OpenFailure),
    /// The stream or its connection broke.
    Broken(ReadStreamError),
}

impl SoloNode {
    /// The `n`-th node, which listens there. No seed may be used twice.
    pub(crate) fn new(n: u32, seed: &Seed, config: SoloConfig, listen: &[Multiaddr]) -> Self {
        let mut solo = Solo::new(config, keypair(n), seed, EPOCH).unwrap();
        solo.serve(Time::ZERO, ECHO, Matcher::Exact, RouteId::new(1)).unwrap();
        SoloNode {
            solo,
            events: Vec::new(),
            calls: BTreeMap::new(),
            whys: Vec::new(),
            accept_failed: 0,
            inputs: 0,
            peak: 0,
            by_hand: Vec::new(),
            next_look: Time::ZERO,
            listen: listen.to_vec(),
            next_call: 0,
            by_stream: BTreeMap::new(),
            serving: BTreeMap::new(),
            connections: BTreeMap::new(),
            sockets: BTreeMap::new(),
            closing: BTreeMap::new(),
            dials: BTreeMap::new(),
            listeners: BTreeMap::new(),
        }
    }

    /// What the host told.
    pub(crate) fn told(&self) -> impl DoubleEndedIterator<Item = (Time, &Event)> {
        self.events.iter().filter_map(|(at, event)| match event {
            SoloEvent::Host(event) => Some((*at, event)),
            _ => None,
        })
    }

    /// What its connection manager told.
    pub(crate) fn managed(&self) -> impl DoubleEndedIterator<Item = (Time, &connmgr::Event)> {
        self.told().filter_map(|(at, event)| match event {
            Event::Manager(event) => Some((at, event)),
            _ => None,
        })
    }

    /// The established connections to a peer that are not being closed.
    pub(crate) fn connections_to(&self, peer: &PeerId) -> Vec<ConnectionId> {
        let manager = self.solo.host().manager();
        manager.connections_of(peer).filter(|view| view.closing.is_none()).map(|view| view.id).collect()
    }

    /// Wants to be connected.
    pub(crate) fn connect(&mut self, now: Time, request: u64, peer: PeerId, addresses: &[Multiaddr]) {
        self.solo.connect(now, RequestId(request), peer, addresses, DialOptions::default()).unwrap();
    }

    /// Makes addresses of a peer known.
    pub(crate) fn know(&mut self, now: Time, peer: PeerId, addresses: &[Multiaddr]) {
        let ttl = Duration::from_secs(24 * 3600);
        self.solo.command(now, Command::Addresses { peer, addresses: addresses.to_vec(), ttl }).unwrap();
    }

    /// Says something that is to be echoed.
    pub(crate) fn call(&mut self, now: Time, peer: PeerId, payload: &[u8]) -> OpenId {
        self.call_with(now, peer, payload, true, OpenOptions::default())
    }

    /// Opens a stream that stays: see [`say`](SoloNode::say) and [`hang_up`](SoloNode::hang_up).
    pub(crate) fn hold(&mut self, now: Time, peer: PeerId) -> OpenId {
        self.call_with(now, peer, b"", false, OpenOptions::default())
    }

    pub(crate) fn call_with(
        &mut self,
        now: Time,
        peer: PeerId,
        payload: &[u8],
        complete: bool,
        options: OpenOptions,
    ) -> OpenId {
        let open = OpenId(self.next_call);
        self.next_call += 1;
        let call = Call {
            asked: now,
            connection: None,
            got: Vec::new(),
            done: None,
            stream: None,
            payload: payload.to_vec(),
            written: 0,
            complete,
            finished: false,
        };
        self.calls.insert(open, call);
        self.solo.open(now, open, peer, &Protocols::from(ECHO), options).unwrap();
        open
    }

    /// Says more on a stream that stays.
    pub(crate) fn say(&mut self, now: Time, open: OpenId, more: &[u8]) {
        let call = self.calls.get_mut(&open).unwrap();
        assert!(!call.complete, "all was said: {call:?}");
        call.payload.extend_from_slice(more);
        self.go_on(now, open);
    }

    /// Says no more on a stream that stays.
    pub(crate) fn hang_up(&mut self, now: Time, open: OpenId) {
        self.calls.get_mut(&open).unwrap().complete = true;
        self.go_on(now, open);
    }

    /// What came of a call.
    pub(crate) fn outcome(&self, open: OpenId) -> Option<&Outcome> {
        self.calls[&open].done.as_ref().map(|(_, outcome)| outcome)
    }

    /// How long a call took.
    pub(crate) fn took(&self, open: OpenId) -> Option<Duration> {
        let call = &self.calls[&open];
        call.done.as_ref().map(|(at, _)| at.since(call.asked))
    }

    /// Carries out what the node wants. To be called after each call to `solo`.
    pub(crate) fn drive(&mut self, now: Time, os: &mut Os<'_>) {
        while let Some(action) = self.solo.poll() {
            match action {
                SoloAction::Listen { listener, address } => self.listen(now, listener, &address, os),
                SoloAction::Unlisten { listener } => {
                    if let Some(id) = self.listeners.remove(&listener) {
                        os.unlisten(id);
                    }
                    // If it could not be had in the first place, that was said already.
                    let _ = self.solo.listener_closed(now, listener, "as asked");
                }
                SoloAction::Dial { dial, address, from, .. } => self.dial(now, dial, &address, from.as_ref(), os),
                SoloAction::Abort { dial } => self.dials.retain(|socket, other| {
                    if *other == dial {
                        os.abort(*socket);
                    }
                    *other != dial
                }),
                SoloAction::Send { connection } => self.send(now, connection, os),
                SoloAction::Close { connection, why } => {
                    self.whys.push(why.to_string());
                    if let Some(socket) = self.sockets.get(&connection) {
                        self.closing.insert(connection, (*socket, now + LINGER));
                    }
                    self.send(now, connection, os);
                }
                SoloAction::Event(event) => {
                    self.on_event(now, &event);
                    self.events.push((now, event));
                }
                other => panic!("an action that this driver does not know: {other:?}"),
            }
        }
        if now >= self.next_look {
            self.next_look = now + LOOK;
            self.peak = self.peak.max(self.solo.memory_used());
        }
    }

    fn listen(&mut self, now: Time, listener: ListenerId, address: &Multiaddr, os: &mut Os<'_>) {
        match socket_addr(address).map(|at| os.listen(at, true)) {
            Some(Ok((id, at))) => {
                self.listeners.insert(listener, id);
                self.solo.listening(now, listener, &Multiaddr::tcp(at)).unwrap();
            }
            Some(Err(error)) => self.solo.listener_closed(now, listener, &error.to_string()).unwrap(),
            None => self.solo.listener_closed(now, listener, "no such transport").unwrap(),
        }
    }

    fn dial(&mut self, now: Time, dial: DialId, address: &Multiaddr, from: Option<&LocalEnd>, os: &mut Os<'_>) {
        let Some(remote) = socket_addr(address) else {
            return self.solo.dial_failed(now, dial, DialFault::NoTransport).unwrap();
        };
        let exact = from.is_some_and(|from| from.exact);
        let from = from.and_then(|from| socket_addr(&from.address));
        let dialed = match from.map(|from| os.connect_from(from, remote, true)) {
            Some(Err(OsError::AddressInUse | OsError::AddressNotAvailable)) if !exact => os.connect(remote),
            None => os.connect(remote),
            Some(result) => result,
        };
        let why = |error: OsError| error.to_string().into();
        match dialed {
            Ok(socket) => drop(self.dials.insert(socket, dial)),
            Err(OsError::AddressNotAvailable) => {
                self.solo.dial_failed(now, dial, DialFault::NoPort(why(OsError::AddressNotAvailable))).unwrap();
            }
            Err(error) => self.solo.dial_failed(now, dial, DialFault::Local(why(error))).unwrap(),
        }
    }

    fn send(&mut self, now: Time, connection: ConnectionId, os: &mut Os<'_>) {
        let Some(socket) = self.sockets.get(&connection).copied() else { return };
        let left = match self.solo.tx(connection) {
            Some(tx) => {
                os.send(socket, tx);
                tx.len()
            }
            None => 0,
        };
        self.solo.sent(now, connection);
        if left == 0 && self.closing.contains_key(&connection) {
            os.close(socket);
            self.lost(socket);
        }
    }

    /// Reads what has come, as long as the link takes it.
    fn receive(&mut self, now: Time, socket: SocketId, os: &mut Os<'_>) {
        let Some(connection) = self.connections.get(&socket).copied() else { return };
        while let Some(rx) = self.solo.rx(connection) {
            let room = MAX_RX.saturating_sub(rx.len());
            if room == 0 || os.read_some(socket, rx, room) == 0 {
                return;
            }
            self.solo.received(now, connection);
        }
    }

    fn lost(&mut self, socket: SocketId) -> Option<ConnectionId> {
        let connection = self.connections.remove(&socket)?;
        self.sockets.remove(&connection);
        self.closing.remove(&connection);
        Some(connection)
    }

    fn connected(&mut self, socket: SocketId, connection: ConnectionId) {
        self.connections.insert(socket, connection);
        self.sockets.insert(connection, socket);
    }

    /// Connections whose last bytes nobody takes are given up.
    fn end_lingering(&mut self, now: Time, os: &mut Os<'_>) {
        let over = self.closing.iter().filter(|(_, (_, until))| *until <= now);
        for (connection, socket) in over.map(|(connection, (socket, _))| (*connection, *socket)).collect::<Vec<_>>() {
            os.abort(socket);
            self.lost(socket);
            self.solo.forget(connection);
        }
    }

    fn on_event(&mut self, now: Time, event: &SoloEvent) {
        match event {
            SoloEvent::Host(Event::OpenFailed { open, why, .. }) => {
                if let Some(call) = self.calls.get_mut(open) {
                    assert!(call.done.is_none() && call.stream.is_none(), "answered twice: {call:?}");
                    call.done = Some((now, Outcome::Failed(why.clone())));
                }
            }
            SoloEvent::Host(Event::Manager(connmgr::Event::ConnectionClosed { connection, .. })) => {
                let of_it = (*connection, StreamId(0))..=(*connection, StreamId(u64::MAX));
                for open in self.by_stream.range(of_it.clone()).map(|(_, open)| *open).collect::<Vec<_>>() {
                    self.go_on(now, open);
                }
                for (connection, stream) in self.serving.range(of_it).map(|(key, _)| *key).collect::<Vec<_>>() {
                    self.serve(now, connection, stream);
                }
            }
            SoloEvent::Stream { connection, event } => self.on_stream(now, *connection, event),
            _ => {}
        }
    }

    fn on_stream(&mut self, now: Time, connection: ConnectionId, event: &StreamEvent) {
        let stream = match event {
            StreamEvent::Opened { protocol, .. } | StreamEvent::Incoming { protocol, .. }
                if self.by_hand.contains(protocol) =>
            {
                return;
            }
            StreamEvent::Opened { open, stream, .. } => {
                let call = self.calls.get_mut(open).unwrap();
                assert!(call.done.is_none() && call.stream.is_none(), "answered twice: {call:?}");
                (call.connection, call.stream) = (Some(connection), Some(*stream));
                self.by_stream.insert((connection, *stream), *open);
                *stream
            }
            StreamEvent::Incoming { stream, .. } => {
                self.serving.insert((connection, *stream), BytesMut::new());
                *stream
            }
            StreamEvent::Readable(stream) | StreamEvent::Writable(stream) | StreamEvent::Reset { stream, .. } => {
                *stream
            }
            _ => return,
        };
        match self.by_stream.get(&(connection, stream)).copied() {
            Some(open) => self.go_on(now, open),
            None => self.serve(now, connection, stream),
        }
    }

    /// Gives back what comes.
    fn serve(&mut self, now: Time, connection: ConnectionId, stream: StreamId) {
        let Some(back) = self.serving.get_mut(&(connection, stream)) else { return };
        loop {
            while !back.is_empty() {
                match self.solo.write(now, connection, stream, back) {
                    Ok(count) => back.advance(count),
                    Err(WriteError::Blocked) => return,
                    // Reading says why.
                    Err(_) => back.clear(),
                }
            }
            match self.solo.read(now, connection, stream) {
                Ok(Some(piece)) => *back = piece,
                Err(ReadStreamError::Blocked) => return,
                Ok(None) => {
                    let _ = self.solo.finish(now, connection, stream);
                    break;
                }
                Err(_) => break,
            }
        }
        self.serving.remove(&(connection, stream));
    }

    /// Writes what is left of a call, and reads what came back.
    fn go_on(&mut self, now: Time, open: OpenId) {
        let Some(call) = self.calls.get_mut(&open) else { return };
        let (Some(connection), Some(stream), None) = (call.connection, call.stream, &call.done) else { return };
        while call.written < call.payload.len()
            && let Ok(count) = self.solo.write(now, connection, stream, &call.payload[call.written..])
        {
            call.written += count;
        }
        if call.complete && call.written == call.payload.len() && !call.finished {
            call.finished = self.solo.finish(now, connection, stream).is_ok();
        }
        loop {
            match self.solo.read(now, connection, stream) {
                Ok(Some(piece)) => {
                    call.got.extend_from_slice(&piece);
                    assert!(call.payload.starts_with(&call.got), "another thing came back than was said: {call:?}");
                }
                Err(ReadStreamError::Blocked) => return,
                Ok(None) => {
                    assert!(call.finished && call.got == call.payload, "it ended before all came back: {call:?}");
                    call.done = Some((now, Outcome::Echoed));
                    break;
                }
                Err(error) => {
                    call.done = Some((now, Outcome::Broken(error)));
                    break;
                }
            }
        }
        self.by_stream.remove(&(connection, stream));
    }
}

impl Node for SoloNode {
    fn handle(&mut self, now: Time, input: Input, os: &mut Os<'_>) {
        self.inputs += 1;
        match input {
            Input::Started => {
                for (n, address) in self.listen.clone().iter().enumerate() {
                    self.solo.listen(now, ListenerId(n as u64), address).unwrap();
                }
            }
            Input::Timeout => {
                self.end_lingering(now, os);
                self.solo.on_timeout(now);
            }
            Input::AddressUp(_) | Input::AddressDown(_) => {
                self.solo.tell_host(now, HostInput::NetworkChanged).unwrap();
            }
            Input::Accepted { socket, local, remote, .. } => {
                let (local, remote) = (Multiaddr::tcp(local), Multiaddr::tcp(remote));
                match self.solo.accepted(now, &local, &remote) {
                    Ok(connection) => self.connected(socket, connection),
                    Err(error) => panic!("{error}"),
                }
            }
            Input::AcceptFailed { .. } => self.accept_failed += 1,
            Input::Connected { socket, local, remote } => match self.dials.remove(&socket) {
                None => os.abort(socket),
                Some(dial) => {
                    let remote = Multiaddr::tcp(remote);
                    match self.solo.dialed(now, dial, &Multiaddr::tcp(local), &remote) {
                        Ok(connection) => self.connected(socket, connection),
                        Err(error) => panic!("{error}"),
                    }
                }
            },
            Input::ConnectFailed { socket, error } => {
                if let Some(dial) = self.dials.remove(&socket) {
                    let why = error.to_string().into();
                    let fault = match error {
                        ConnectFailure::Refused => DialFault::Refused(why),
                        ConnectFailure::Unreachable(_) => DialFault::Unreachable(why),
                        _ => DialFault::Transport(why),
                    };
                    self.solo.dial_failed(now, dial, fault).unwrap();
                }
            }
            Input::Received { socket } => self.receive(now, socket, os),
            Input::Ended { socket } => {
                if let Some(connection) = self.connections.get(&socket) {
                    self.solo.ended(now, *connection);
                }
            }
            Input::Writable { socket } => {
                if let Some(connection) = self.connections.get(&socket).copied() {
                    self.send(now, connection, os);
                    self.receive(now, socket, os);
                }
            }
            Input::Broken { socket, error } => {
                if let Some(connection) = self.lost(socket) {
                    self.solo.broken(now, connection, &error.to_string());
                    self.solo.forget(connection);
                }
            }
            _ => {}
        }
        self.drive(now, os);
    }

    fn deadline(&self) -> Time {
        let lingering = self.closing.values().map(|(_, until)| *until).min().unwrap_or(Time::NEVER);
        self.solo.deadline().min(lingering)
    }
}

fn socket_addr(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    match (parts.next()?, parts.next()?) {
        (Component::Ip4(ip), Component::Tcp(port)) => Some((ip, port).into()),
        (Component::Ip6(ip), Component::Tcp(port)) => Some((ip, port).into()),
        _ => None,
    }
}
