//! A program that does what the test says, and remembers what it was told.

use bytes::{Bytes, BytesMut};
use core::time::Duration;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use tidewire_core::Time;
use tidewire_sim::packet::{Body, Packet, Segment};
use tidewire_sim::{HostId, Input, Link, ListenerId, Middlebox, Node, Os, SocketId, World, ipv4};

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const PORT: u16 = 4001;

/// Listens on [`PORT`], reads all that comes unless told to wait, and sends what it was given as the socket takes it.
#[derive(Default)]
pub(crate) struct App {
    pub(crate) log: Vec<(Time, Input)>,
    pub(crate) got: BTreeMap<SocketId, BytesMut>,
    pub(crate) waiting: BTreeMap<SocketId, BytesMut>,
    /// Does not read.
    pub(crate) lazy: bool,
    /// Closes a socket when the remote has ended.
    pub(crate) polite: bool,
    pub(crate) listener: Option<ListenerId>,
}

impl App {
    pub(crate) fn polite() -> Self {
        App { polite: true, ..App::default() }
    }

    pub(crate) fn lazy() -> Self {
        App { lazy: true, ..App::default() }
    }

    pub(crate) fn send(&mut self, socket: SocketId, bytes: &[u8], os: &mut Os<'_>) {
        let waiting = self.waiting.entry(socket).or_default();
        waiting.extend_from_slice(bytes);
        os.send(socket, waiting);
    }

    pub(crate) fn read(&mut self, socket: SocketId, most: usize, os: &mut Os<'_>) -> usize {
        os.read_some(socket, self.got.entry(socket).or_default(), most)
    }

    /// The inputs without their times, but `Started`.
    pub(crate) fn told(&self) -> Vec<Input> {
        self.log.iter().map(|(_, input)| input.clone()).filter(|input| *input != Input::Started).collect()
    }

    /// The only socket that was accepted or connected.
    pub(crate) fn socket(&self) -> SocketId {
        let sockets: Vec<SocketId> = self.sockets().collect();
        assert_eq!(sockets.len(), 1, "{:?}", self.log);
        sockets[0]
    }

    pub(crate) fn sockets(&self) -> impl Iterator<Item = SocketId> {
        self.log.iter().filter_map(|(_, input)| match input {
            Input::Accepted { socket, .. } | Input::Connected { socket, .. } => Some(*socket),
            _ => None,
        })
    }

    /// When it was told something that matches.
    pub(crate) fn when(&self, is: impl Fn(&Input) -> bool) -> Option<Time> {
        self.log.iter().find(|(_, input)| is(input)).map(|(at, _)| *at)
    }

    pub(crate) fn bytes(&self, socket: SocketId) -> &[u8] {
        self.got.get(&socket).map_or(&[], |got| got)
    }
}

impl Node for App {
    fn handle(&mut self, now: Time, input: Input, os: &mut Os<'_>) {
        match &input {
            Input::Started => {
                self.listener = os.listen(any(PORT), true).ok().map(|(listener, _)| listener);
            }
            Input::Received { socket } if !self.lazy => {
                self.read(*socket, usize::MAX, os);
            }
            Input::Writable { socket } => {
                os.send(*socket, self.waiting.entry(*socket).or_default());
            }
            Input::Ended { socket } if self.polite => os.close(*socket),
            _ => {}
        }
        self.log.push((now, input));
    }
}

/// A middlebox that does this to the segments that leave its host: the number of the segment with data, and the segment.
pub(crate) struct Tamper<F>(pub(crate) F, pub(crate) u32);

impl<F: FnMut(u32, &mut Segment) -> bool + 'static> Middlebox for Tamper<F> {
    fn outbound(&mut self, _: Time, mut packet: Packet) -> Option<Packet> {
        if let Body::Tcp(segment) = &mut packet.body {
            self.1 += u32::from(!segment.data.is_empty());
            if !(self.0)(self.1, segment) {
                return None;
            }
        }
        Some(packet)
    }

    fn inbound(&mut self, _: Time, packet: Packet) -> Option<Packet> {
        Some(packet)
    }
}

pub(crate) fn any(port: u16) -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], port))
}

pub(crate) fn at(n: u32) -> SocketAddr {
    SocketAddr::new(ipv4(n), PORT)
}

pub(crate) fn ms(n: u64) -> Time {
    Time::from_millis(n)
}

/// `World::with` for an [`App`].
pub(crate) fn act<R>(world: &mut World, id: HostId, act: impl FnOnce(&mut App, &mut Os<'_>) -> R) -> R {
    world.with(id, act)
}

pub(crate) fn app(world: &World, id: HostId) -> &App {
    world.node(id)
}

/// Two apps at 11.0.0.1 and 11.0.0.2, the link between them, listening.
pub(crate) fn two(link: Link) -> (World, HostId, HostId) {
    two_with(1, link, App::default(), App::default())
}

pub(crate) fn two_with(seed: u64, link: Link, a: App, b: App) -> (World, HostId, HostId) {
    let mut world = World::new(seed);
    world.default_link(link);
    let a = world.add(a, [ipv4(1)]);
    let b = world.add(b, [ipv4(2)]);
    world.run_for(Duration::ZERO).unwrap();
    (world, a, b)
}

/// The first of two dials the second. Nothing has run since.
pub(crate) fn dial(world: &mut World, from: HostId, to: u32) -> SocketId {
    act(world, from, |_, os| os.connect(at(to))).unwrap()
}

/// Two apps with a connection: the sockets at both ends. 10 ms each way, so the present is 30 ms.
pub(crate) fn connected(link: Link, a: App, b: App) -> (World, (HostId, SocketId), (HostId, SocketId)) {
    let (mut world, a, b) = two_with(1, link, a, b);
    dial(&mut world, a, 2);
    let done = |world: &World| app(world, b).sockets().next().is_some();
    assert!(world.run_while(600 * SECOND, done).unwrap());
    let (left, right) = (app(&world, a).socket(), app(&world, b).socket());
    (world, (a, left), (b, right))
}

pub(crate) fn pattern(len: usize) -> Bytes {
    (0..len).map(|i| (i.wrapping_mul(31) ^ (i >> 8)) as u8).collect()
}

pub(crate) fn v6(n: u32) -> IpAddr {
    tidewire_sim::ipv6(n)
}
