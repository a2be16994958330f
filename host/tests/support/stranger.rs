//! A peer that keeps to no rule: a raw upgraded connection, and what is done with it.

use bytes::{Bytes, BytesMut};
use prost::Message;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tidewire_core::{Keypair, Machine, Multiaddr, Seed, Time, encode_frame};
use tidewire_host::identify::{IDENTIFY, PUSH};
use tidewire_host::ping::PING;
use tidewire_multistream::{Matcher, Protocol, RouteId, Router};
use tidewire_sim::{Input, Node, Os, SocketId};
use tidewire_upgrade::connection::{Connection, Event, Selection};
use tidewire_upgrade::muxer::StreamId;
use tidewire_upgrade::pipeline::{Config, Plan, Progress, Upgrade, Upgrader};

/// What there is to act upon.
pub(crate) enum Told<'a> {
    /// The connection is there.
    Ready,
    /// Something happened on it.
    Event(&'a Event),
    /// So much time has passed again.
    Tick,
}

/// The stranger's end.
pub(crate) struct Line {
    pub(crate) connection: Connection,
    pub(crate) tx: BytesMut,
    pub(crate) keypair: Keypair,
    /// Nothing is read from the socket any more.
    pub(crate) deaf: bool,
    /// The socket is reset after this call.
    pub(crate) abort: bool,
}

type Act = Box<dyn FnMut(Time, Told<'_>, &mut Line)>;

/// Dials a node when it is started, and does what it was told.
pub(crate) struct Stranger {
    /// Events that the connection gave.
    pub(crate) events: Vec<Event>,
    /// When the socket ended or broke.
    pub(crate) over: Option<Time>,
    to: SocketAddr,
    keypair: Keypair,
    upgrader: Upgrader,
    act: Act,
    every: Duration,
    next: Time,
    socket: Option<SocketId>,
    upgrade: Option<Upgrade>,
    line: Option<Line>,
    rx: BytesMut,
    tx: BytesMut,
}

/// Settings that keep no measure.
fn unbounded(serves: &[Protocol]) -> Config {
    let mut router = Router::new();
    for (n, name) in serves.iter().enumerate() {
        router.add(name.clone(), Matcher::Exact, RouteId::new(n as u64)).unwrap();
    }
    let mut config = Config::default();
    config.connection.router = Some(Arc::new(router));
    config.connection.max_negotiations = usize::MAX;
    config.muxer.yamux.max_outbound_streams = usize::MAX;
    config.muxer.yamux.max_unacknowledged = usize::MAX;
    config.muxer.yamux.max_tx = usize::MAX / 4;
    config
}

impl Stranger {
    /// Serves identify, push and ping, as far as `act` answers them.
    pub(crate) fn new(keypair: Keypair, to: SocketAddr, act: impl FnMut(Time, Told<'_>, &mut Line) + 'static) -> Self {
        let seed = Seed::new([9; 32]);
        let upgrader = Upgrader::new(&keypair, &seed, unbounded(&[IDENTIFY, PUSH, PING])).unwrap();
        Stranger {
            events: Vec::new(),
            over: None,
            to,
            keypair,
            upgrader,
            act: Box::new(act),
            every: Duration::MAX,
            next: Time::NEVER,
            socket: None,
            upgrade: None,
            line: None,
            rx: BytesMut::new(),
            tx: BytesMut::new(),
        }
    }

    /// Acts each time that so much time has passed since the connection is there.
    pub(crate) fn every(mut self, every: Duration) -> Self {
        self.every = every;
        self
    }

    /// How often something happened.
    pub(crate) fn count(&self, is: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|event| is(event)).count()
    }

    /// Resets the connection, whatever is going on.
    pub(crate) fn hang_up(&mut self, os: &mut Os<'_>) {
        if let Some(socket) = self.socket.take() {
            os.abort(socket);
        }
    }

    fn run(&mut self, now: Time, os: &mut Os<'_>) {
        let Some(socket) = self.socket else { return };
        if !self.line.as_ref().is_some_and(|line| line.deaf) {
            os.read(socket, &mut self.rx);
        }
        if let Some(upgrade) = &mut self.upgrade {
            loop {
                match upgrade.advance(now, &mut self.rx, &mut self.tx) {
                    Ok(Some(Progress::Ready)) => break,
                    Ok(Some(_)) => {}
                    Ok(None) => {
                        os.send(socket, &mut self.tx);
                        return;
                    }
                    Err(_) => return os.abort(socket),
                }
            }
            let connection = self.upgrade.take().and_then(Upgrade::into_connection).unwrap();
            let (tx, keypair) = (std::mem::take(&mut self.tx), self.keypair.clone());
            let mut line = Line { connection, tx, keypair, deaf: false, abort: false };
            (self.act)(now, Told::Ready, &mut line);
            self.line = Some(line);
            self.next = if self.every == Duration::MAX { Time::NEVER } else { now + self.every };
        }
        let Some(line) = &mut self.line else { return };
        if now >= self.next {
            self.next = now + self.every;
            (self.act)(now, Told::Tick, line);
        }
        while let Ok(Some(event)) = line.connection.advance(now, &mut self.rx, &mut line.tx) {
            (self.act)(now, Told::Event(&event), line);
            if let Event::Reset { id, .. } | Event::NegotiationFailed { id, .. } = &event {
                // Its place is free again.
                let _ = line.connection.reset(*id, 0, &mut line.tx);
            }
            self.events.push(event);
        }
        os.send(socket, &mut line.tx);
        if line.abort {
            os.abort(socket);
            self.socket = None;
            self.over = Some(now);
        }
    }
}

impl Node for Stranger {
    fn handle(&mut self, now: Time, input: Input, os: &mut Os<'_>) {
        match input {
            Input::Started => {
                self.socket = os.connect(self.to).ok();
                let seed = os.seed().derive("upgrade", 0);
                self.upgrade = Some(Upgrade::new(&self.upgrader, Plan::Initiate, None, &seed));
                return;
            }
            Input::Ended { .. } | Input::Broken { .. } | Input::ConnectFailed { .. } => {
                if let (Some(socket), Input::Ended { .. }) = (self.socket, &input) {
                    self.run(now, os);
                    os.close(socket);
                }
                self.socket = None;
                self.over.get_or_insert(now);
                return;
            }
            _ => {}
        }
        self.run(now, os);
    }

    fn deadline(&self) -> Time {
        let upgrade = self.upgrade.as_ref().map_or(Time::NEVER, Upgrade::deadline);
        if self.socket.is_some() { self.next.min(upgrade) } else { Time::NEVER }
    }
}

impl Line {
    /// Opens a stream, and goes ahead with this protocol.
    pub(crate) fn open(&mut self, now: Time, protocol: Protocol) -> Option<StreamId> {
        self.connection.open(now, &protocol.into(), Selection::Lazy, &mut self.tx).ok()
    }

    /// Writes as much as there is room for, and ends the stream.
    pub(crate) fn say(&mut self, id: StreamId, mut bytes: &[u8]) {
        while !bytes.is_empty()
            && let Ok(count) = self.connection.write(id, bytes, &mut self.tx)
        {
            bytes = &bytes[count..];
        }
        let _ = self.connection.finish(id, &mut self.tx);
    }

    /// Reads what is there, and gives it back.
    pub(crate) fn echo(&mut self, id: StreamId) {
        while let Ok(Some(piece)) = self.connection.read(id, &mut self.tx) {
            let _ = self.connection.write(id, &piece, &mut self.tx);
        }
    }
}

/// What a stranger says of itself: the message of identify, with anything in it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Says {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(crate) public_key: Option<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(crate) listen_addrs: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub(crate) protocols: Vec<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub(crate) observed_addr: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub(crate) protocol_version: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "6")]
    pub(crate) agent_version: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "8")]
    pub(crate) signed_peer_record: Option<Bytes>,
}

impl Says {
    /// A decent one.
    pub(crate) fn decent(keypair: &Keypair) -> Self {
        Says {
            public_key: Some(keypair.public().to_protobuf().into()),
            protocols: [IDENTIFY, PUSH, PING].map(|name| Bytes::copy_from_slice(name.as_bytes())).to_vec(),
            agent_version: Some("stranger/1".into()),
            ..Says::default()
        }
    }

    pub(crate) fn listens_at(mut self, addresses: &[Multiaddr]) -> Self {
        self.listen_addrs = addresses.iter().map(|address| Bytes::copy_from_slice(address.as_bytes())).collect();
        self
    }

    pub(crate) fn framed(&self) -> BytesMut {
        let mut out = BytesMut::new();
        encode_frame(&self.encode_to_vec(), &mut out);
        out
    }
}
