//! One NAT without a world: packets in, and what became of them. And worlds with hosts behind gateways.

use bytes::Bytes;
use core::time::Duration;
use std::net::{IpAddr, SocketAddr};
use tidewire_core::Time;
use tidewire_sim::nat::{Nat, Side, Translator, Verdict};
use tidewire_sim::packet::{Body, Flags, Packet, Segment};
use tidewire_sim::trace::DropReason;
use tidewire_sim::{ConnectFailure, HostId, Input, Node, Os, SocketId, World, ipv4};

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const PORT: u16 = 4001;
pub(crate) const T0: Time = Time::from_millis(1_000);

pub(crate) const SYN: Flags = Flags { syn: true, ack: false, fin: false, rst: false };
pub(crate) const SYN_ACK: Flags = Flags { syn: true, ack: true, fin: false, rst: false };
pub(crate) const ACK: Flags = Flags { syn: false, ack: true, fin: false, rst: false };
pub(crate) const FIN: Flags = Flags { syn: false, ack: true, fin: true, rst: false };
pub(crate) const RST: Flags = Flags { syn: false, ack: true, fin: false, rst: true };

/// 192.168.1.`n`.
pub(crate) fn private(n: u8) -> IpAddr {
    IpAddr::from([192, 168, 1, n])
}

pub(crate) fn inside(port: u16) -> SocketAddr {
    SocketAddr::new(private(2), port)
}

pub(crate) fn remote(n: u32, port: u16) -> SocketAddr {
    SocketAddr::new(ipv4(n), port)
}

pub(crate) fn udp(from: SocketAddr, to: SocketAddr) -> Packet {
    Packet { from, to, body: Body::Udp(Bytes::from_static(b"hello")) }
}

pub(crate) fn tcp(from: SocketAddr, to: SocketAddr, flags: Flags) -> Packet {
    Packet { from, to, body: Body::Tcp(Segment { flags, seq: 1_000, ack: 2_000, ..Segment::default() }) }
}

/// A NAT at 11.0.0.1.
pub(crate) fn at_1(nat: Nat) -> Translator {
    Translator::nat(nat, [ipv4(1)], 7)
}

/// What others see of a packet that leaves.
pub(crate) fn out(nat: &mut Translator, now: Time, packet: Packet) -> SocketAddr {
    match nat.outward(now, packet) {
        Verdict::Passed(Side::Outside, packet) => packet.from,
        other => panic!("{other:?}"),
    }
}

/// Whom a packet from outside gets to.
pub(crate) fn into(nat: &mut Translator, now: Time, packet: Packet) -> Result<SocketAddr, DropReason> {
    match nat.inward(now, packet) {
        Verdict::Passed(Side::Inside, packet) => Ok(packet.to),
        Verdict::Dropped { why, .. } => Err(why),
        other => panic!("{other:?}"),
    }
}

/// Listens on [`PORT`], dials from it, and remembers what became of that.
#[derive(Default)]
pub(crate) struct Peer {
    pub(crate) log: Vec<(Time, Input)>,
    pub(crate) udp: Option<tidewire_sim::UdpId>,
    pub(crate) got: Vec<(SocketAddr, Bytes)>,
}

impl Node for Peer {
    fn handle(&mut self, now: Time, input: Input, os: &mut Os<'_>) {
        match &input {
            Input::Started => {
                os.listen(any(PORT), true).unwrap();
                os.listen("[::]:4001".parse().unwrap(), true).unwrap();
                self.udp = Some(os.bind_udp(any(PORT)).unwrap().0);
            }
            Input::Received { socket } => {
                while let Some(bytes) = os.read_bytes(*socket, usize::MAX) {
                    os.send(*socket, &mut bytes.clone());
                }
            }
            Input::Datagram { from, bytes, .. } => self.got.push((*from, bytes.clone())),
            _ => {}
        }
        self.log.push((now, input));
    }
}

impl Peer {
    /// The connections that are there: the socket, and whom it is with.
    pub(crate) fn connections(&self) -> Vec<(SocketId, SocketAddr)> {
        let there = self.log.iter().filter_map(|(_, input)| match input {
            Input::Connected { socket, remote, .. } | Input::Accepted { socket, remote, .. } => {
                Some((*socket, *remote))
            }
            _ => None,
        });
        let broken =
            |of: SocketId| self.log.iter().any(|(_, i)| matches!(i, Input::Broken { socket, .. } if *socket == of));
        there.filter(|(socket, _)| !broken(*socket)).collect()
    }

    /// How dialing failed, and when.
    pub(crate) fn failures(&self) -> Vec<(Time, ConnectFailure)> {
        let failed = self.log.iter().filter_map(|(at, input)| match input {
            Input::ConnectFailed { error, .. } => Some((*at, *error)),
            _ => None,
        });
        failed.collect()
    }
}

pub(crate) fn any(port: u16) -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], port))
}

pub(crate) fn peer(world: &World, id: HostId) -> &Peer {
    world.node(id)
}

/// Dials from the listening port.
pub(crate) fn dial(world: &mut World, id: HostId, to: SocketAddr) -> Result<SocketId, tidewire_sim::OsError> {
    let local = if to.is_ipv4() { any(PORT) } else { "[::]:4001".parse().unwrap() };
    world.with(id, |_: &mut Peer, os| os.connect_from(local, to, true))
}

pub(crate) fn send(world: &mut World, id: HostId, to: SocketAddr) {
    world.with(id, |peer: &mut Peer, os| os.send_to(peer.udp.unwrap(), to, Bytes::from_static(b"hello")).unwrap());
}

/// As whom `server` has seen `id`, who dials it for that.
pub(crate) fn observed(world: &mut World, id: HostId, server: HostId, at: SocketAddr) -> SocketAddr {
    let before = peer(world, server).connections().len();
    dial(world, id, at).unwrap();
    world.run_for(SECOND).unwrap();
    peer(world, server).connections()[before].1
}
