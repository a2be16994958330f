//! A peer that punches as it was told, byte by byte: as other libraries do, or as none should.
//!
//! ```text
//!   Puncher -- inner    a whole node without punching: the circuit, identify, echo; its streams of /libp2p/dcutr are left alone
//!           -- script   what to say on them, when to dial, in which role
//!           -- directs  the sockets that it dials for a punch, and raw connections on them that answer pings and echo
//! ```

use crate::scene::limited;
use crate::solo_node::{ECHO, SoloNode, keypair};
use crate::town::peer;
use bytes::BytesMut;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tidewire_core::{Machine, Multiaddr, Time, encode_frame};
use tidewire_host::link::StreamEvent;
use tidewire_host::ping::PING;
use tidewire_host::solo::SoloEvent;
use tidewire_host::{ConnectionId, Event, OpenId, StreamId};
use tidewire_multistream::{Matcher, Protocol, Protocols, RouteId, Router};
use tidewire_sim::{Input, Node, Os, SocketId};
use tidewire_upgrade::connection::{Connection, Event as Raw};
use tidewire_upgrade::muxer::StreamId as RawId;
use tidewire_upgrade::pipeline::{Config, Plan, Progress, Upgrade, Upgrader};

pub(crate) const DCUTR: Protocol = Protocol::from_static(tidewire_dcutr::PROTOCOL);
/// The messages' numbers.
pub(crate) const CONNECT: u8 = 100;
pub(crate) const SYNC: u32 = 300;

/// How it behaves.
#[derive(Clone)]
pub(crate) struct Script {
    /// What it says first: to open the stream, or as the answer to our `CONNECT`.
    pub(crate) first: Vec<u8>,
    /// What it says when it has heard our `CONNECT` (side B), or our `SYNC` (side A).
    pub(crate) second: Vec<u8>,
    /// The stream is ended after the first words.
    pub(crate) ends_early: bool,
    /// In which role it dials on each try, from its listening port. `None`: it doesn't.
    pub(crate) roles: Option<[Plan; 3]>,
    /// How long a dial of a punch may take.
    pub(crate) timeout: Duration,
    /// How often it tries, as side B.
    pub(crate) tries: u32,
    /// How long it takes to answer a `CONNECT`, as side A.
    pub(crate) answers_after: Duration,
}

pub(crate) struct Puncher {
    pub(crate) inner: SoloNode,
    /// When it dialed for a punch, and where.
    pub(crate) dialed: Vec<(Time, SocketAddr)>,
    /// Exchanges that got as far as our `CONNECT`, and those that got as far as `SYNC`.
    pub(crate) heard: [u32; 2],
    script: Script,
    is_b: bool,
    /// The node that is tried, and where we listen.
    victim: u32,
    own: SocketAddr,
    upgrader: Upgrader,
    /// How many of the inner node's events were looked at.
    looked: usize,
    streams: BTreeMap<(ConnectionId, StreamId), Exchange>,
    try_number: u32,
    /// When it answers on which stream.
    answers: Option<(Time, (ConnectionId, StreamId))>,
    /// When it dials what.
    planned: Option<(Time, Vec<SocketAddr>)>,
    dialing: BTreeMap<SocketId, Time>,
    directs: BTreeMap<SocketId, Direct>,
    established: bool,
}

/// One stream.
struct Exchange {
    opened: Time,
    rx: BytesMut,
    targets: Vec<SocketAddr>,
    is_over: bool,
}

/// A socket of a punch.
struct Direct {
    upgrade: Option<Upgrade>,
    connection: Option<Connection>,
    rx: BytesMut,
    tx: BytesMut,
}

/// A message of this type with these addresses, and its length before it.
pub(crate) fn message(kind: u32, addresses: &[Multiaddr]) -> Vec<u8> {
    let mut body = vec![8];
    if kind < 128 {
        body.push(kind as u8);
    } else {
        body.extend([kind as u8 | 128, (kind >> 7) as u8]);
    }
    for address in addresses {
        body.extend([0x12, u8::try_from(address.as_bytes().len()).unwrap()]);
        body.extend(address.as_bytes());
    }
    let mut framed = BytesMut::new();
    encode_frame(&body, &mut framed);
    framed.to_vec()
}

/// The next whole message: its type, and its addresses.
fn parse(rx: &mut BytesMut) -> Option<(u32, Vec<Multiaddr>)> {
    let (length, rest) = varint(rx)?;
    let begins = rx.len() - rest.len();
    let body = rest.get(..length)?.to_vec();
    let _ = rx.split_to(begins + length);
    let (mut left, mut kind, mut addresses) = (&body[..], 0, Vec::new());
    while let Some((tag, rest)) = left.split_first() {
        let (value, rest) = varint(rest).unwrap();
        match tag {
            8 => (kind, left) = (value as u32, rest),
            0x12 => {
                let (address, rest) = rest.split_at(value);
                addresses.extend(Multiaddr::from_bytes(address));
                left = rest;
            }
            _ => panic!("we send no field of tag {tag}"),
        }
    }
    Some((kind, addresses))
}

fn varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let end = bytes.iter().position(|byte| byte & 128 == 0)?;
    let value = bytes[..=end].iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 127));
    Some((value, &bytes[end + 1..]))
}

impl Puncher {
    /// The `n`-th node, around one without punching, which listens there and only there.
    pub(crate) fn new(n: u32, mut inner: SoloNode, own: SocketAddr, victim: u32, script: Script) -> Puncher {
        inner.solo.serve(Time::ZERO, DCUTR, Matcher::Exact, RouteId::new(2)).unwrap();
        inner.by_hand.push(DCUTR);
        let mut router = Router::new();
        for (route, name) in [(1, PING), (2, ECHO)] {
            router.add(name, Matcher::Exact, RouteId::new(route)).unwrap();
        }
        let mut config = Config::default();
        config.connection.router = Some(Arc::new(router));
        let seed = tidewire_core::Seed::new([n as u8; 32]);
        Puncher {
            inner,
            dialed: Vec::new(),
            heard: [0; 2],
            script,
            is_b: n == 2,
            victim,
            own,
            upgrader: Upgrader::new(&keypair(n), &seed, config).unwrap(),
            looked: 0,
            streams: BTreeMap::new(),
            try_number: 0,
            answers: None,
            planned: None,
            dialing: BTreeMap::new(),
            directs: BTreeMap::new(),
            established: false,
        }
    }

    /// Whether one of its own dials became a connection.
    pub(crate) fn is_through(&self) -> bool {
        self.established
    }

    /// Whether it has nothing more to try.
    pub(crate) fn is_done(&self) -> bool {
        let idle = self.answers.is_none() && self.planned.is_none() && self.dialing.is_empty();
        idle && self.streams.values().all(|stream| stream.is_over)
    }

    /// What the inner node was told since.
    fn look(&mut self, now: Time) {
        while let Some((_, event)) = self.inner.events.get(self.looked).cloned() {
            self.looked += 1;
            match event {
                SoloEvent::Host(Event::Identified { peer: who, .. })
                    if who == peer(self.victim) && self.is_b && self.try_number == 0 =>
                {
                    self.next_try(now);
                }
                SoloEvent::Stream { connection, event } => self.on_stream(now, connection, &event),
                _ => {}
            }
        }
    }

    fn next_try(&mut self, now: Time) {
        if self.try_number >= self.script.tries || self.established {
            return;
        }
        self.try_number += 1;
        let open = OpenId(1_000 + u64::from(self.try_number));
        self.inner.solo.open(now, open, peer(self.victim), &Protocols::from(DCUTR), limited()).unwrap();
    }

    fn on_stream(&mut self, now: Time, connection: ConnectionId, event: &StreamEvent) {
        let new = || Exchange { opened: now, rx: BytesMut::new(), targets: Vec::new(), is_over: false };
        match event {
            StreamEvent::Opened { stream, protocol, .. } if *protocol == DCUTR => {
                self.streams.insert((connection, *stream), new());
                let first = self.script.first.clone();
                self.say(now, (connection, *stream), &first);
                if self.script.ends_early {
                    let _ = self.inner.solo.finish(now, connection, *stream);
                }
            }
            StreamEvent::Incoming { stream, protocol, .. } if *protocol == DCUTR => {
                self.streams.insert((connection, *stream), new());
                self.read(now, (connection, *stream));
            }
            StreamEvent::Readable(stream) => self.read(now, (connection, *stream)),
            StreamEvent::Reset { stream, .. } => {
                if let Some(exchange) = self.streams.get_mut(&(connection, *stream)) {
                    exchange.is_over = true;
                }
            }
            _ => {}
        }
    }

    fn say(&mut self, now: Time, (connection, stream): (ConnectionId, StreamId), mut bytes: &[u8]) {
        while !bytes.is_empty()
            && let Ok(count) = self.inner.solo.write(now, connection, stream, bytes)
        {
            bytes = &bytes[count..];
        }
    }

    fn read(&mut self, now: Time, key @ (connection, stream): (ConnectionId, StreamId)) {
        let Some(exchange) = self.streams.get_mut(&key) else { return };
        loop {
            match self.inner.solo.read(now, connection, stream) {
                Ok(Some(piece)) => exchange.rx.unsplit(piece),
                Err(tidewire_upgrade::connection::ReadStreamError::Blocked) => break,
                Ok(None) | Err(_) => {
                    exchange.is_over = true;
                    break;
                }
            }
        }
        while let Some((kind, addresses)) = self.streams.get_mut(&key).and_then(|exchange| parse(&mut exchange.rx)) {
            self.hear(now, key, kind, &addresses);
        }
    }

    fn hear(&mut self, now: Time, key @ (connection, stream): (ConnectionId, StreamId), kind: u32, told: &[Multiaddr]) {
        let exchange = self.streams.get_mut(&key).unwrap();
        let Script { second, roles, answers_after, .. } = self.script.clone();
        if kind == u32::from(CONNECT) {
            self.heard[0] += 1;
            exchange.targets = told.iter().filter_map(Multiaddr::socket_addr).collect();
            let (targets, rtt) = (exchange.targets.clone(), now.since(exchange.opened));
            exchange.is_over |= self.is_b;
            if !self.is_b {
                self.answers = Some((now + answers_after, key));
                return self.answer(now);
            }
            self.say(now, key, &second);
            let _ = self.inner.solo.finish(now, connection, stream);
            if roles.is_some() {
                self.planned = Some((now + rtt / 2, targets));
            }
        } else {
            assert_eq!(kind, SYNC);
            self.heard[1] += 1;
            exchange.is_over = true;
            let targets = exchange.targets.clone();
            self.say(now, key, &second);
            let _ = self.inner.solo.finish(now, connection, stream);
            if roles.is_some() {
                self.planned = Some((now, targets));
            }
        }
    }

    fn answer(&mut self, now: Time) {
        let Some((_, key @ (connection, stream))) = self.answers.take_if(|(at, _)| *at <= now) else { return };
        let first = self.script.first.clone();
        self.say(now, key, &first);
        if self.script.ends_early {
            let _ = self.inner.solo.finish(now, connection, stream);
        }
    }

    /// Dials what is due, gives up what took too long, and tries again if there is nothing left of a try.
    fn punch(&mut self, now: Time, os: &mut Os<'_>) {
        if let Some((_, targets)) = self.planned.take_if(|(at, _)| *at <= now) {
            for target in targets {
                self.dialed.push((now, target));
                // If it can't be had, the other end's dial came first.
                if let Ok(socket) = os.connect_from(self.own, target, true) {
                    self.dialing.insert(socket, now + self.script.timeout);
                }
            }
            self.maybe_again(now);
        }
        let late: BTreeSet<SocketId> =
            self.dialing.iter().filter(|(_, until)| **until <= now).map(|(socket, _)| *socket).collect();
        for socket in late {
            os.abort(socket);
            self.failed(now, socket);
        }
    }

    fn failed(&mut self, now: Time, socket: SocketId) {
        self.dialing.remove(&socket);
        self.directs.remove(&socket);
        self.maybe_again(now);
    }

    fn maybe_again(&mut self, now: Time) {
        if self.is_b && self.dialing.is_empty() && self.planned.is_none() {
            self.next_try(now);
        }
    }

    /// Runs a socket of a punch.
    fn run(&mut self, now: Time, socket: SocketId, os: &mut Os<'_>) {
        let Some(direct) = self.directs.get_mut(&socket) else { return };
        os.read(socket, &mut direct.rx);
        let mut failed = false;
        while let Some(upgrade) = &mut direct.upgrade {
            match upgrade.advance(now, &mut direct.rx, &mut direct.tx) {
                Ok(Some(Progress::Ready)) => {
                    direct.connection = direct.upgrade.take().and_then(Upgrade::into_connection);
                    self.dialing.remove(&socket);
                    self.established = true;
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => {
                    failed = true;
                    break;
                }
            }
        }
        if let Some(connection) = &mut direct.connection {
            while let Ok(Some(event)) = connection.advance(now, &mut direct.rx, &mut direct.tx) {
                if let Raw::Negotiated { id, .. } | Raw::Readable(id) | Raw::Finished(id) = event {
                    echo(connection, id, &mut direct.tx);
                }
            }
        }
        os.send(socket, &mut direct.tx);
        if failed {
            os.abort(socket);
            self.failed(now, socket);
        }
    }
}

/// Gives back what came, to its end.
fn echo(connection: &mut Connection, id: RawId, tx: &mut BytesMut) {
    loop {
        match connection.read(id, tx) {
            Ok(Some(piece)) => {
                let _ = connection.write(id, &piece, tx);
            }
            Ok(None) => {
                let _ = connection.finish(id, tx);
                return;
            }
            Err(_) => return,
        }
    }
}

impl Node for Puncher {
    fn handle(&mut self, now: Time, input: Input, os: &mut Os<'_>) {
        match input {
            Input::Connected { socket, .. } if self.dialing.contains_key(&socket) => {
                let seed = os.seed().derive("punch", self.dialed.len() as u64);
                let plan = self.script.roles.unwrap()[(self.heard[0] as usize).clamp(1, 3) - 1];
                let upgrade = Some(Upgrade::new(&self.upgrader, plan, Some(peer(self.victim)), &seed));
                let direct = Direct { upgrade, connection: None, rx: BytesMut::new(), tx: BytesMut::new() };
                self.directs.insert(socket, direct);
                self.run(now, socket, os);
            }
            Input::Received { socket } | Input::Writable { socket } | Input::Ended { socket }
                if self.directs.contains_key(&socket) =>
            {
                self.run(now, socket, os);
            }
            Input::ConnectFailed { socket, .. } | Input::Broken { socket, .. }
                if self.dialing.contains_key(&socket) || self.directs.contains_key(&socket) =>
            {
                self.failed(now, socket);
            }
            other => self.inner.handle(now, other, os),
        }
        self.look(now);
        self.answer(now);
        self.punch(now, os);
        self.inner.drive(now, os);
        self.look(now);
    }

    fn deadline(&self) -> Time {
        let planned = self.planned.as_ref().map_or(Time::NEVER, |(at, _)| *at);
        let late = self.dialing.values().copied().min().unwrap_or(Time::NEVER);
        let answers = self.answers.map_or(Time::NEVER, |(at, _)| at);
        self.inner.deadline().min(planned).min(late).min(answers)
    }
}
