//! What is driven in a world: the trait, what it is told, and the names of things.

use crate::os::Os;
use crate::packet::Unreachable;
use crate::slab::Key;
use bytes::Bytes;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use tidewire_core::Time;

/// A program on a host: it is told what happened, and acts through the calls of its operating system, [`Os`].
///
/// Nothing is read or written behind its back, and no call blocks. It must not look at a clock, at entropy or at the order
/// of a hash table, or runs will differ.
pub trait Node: Any {
    /// Something happened. Do what there is to do.
    fn handle(&mut self, now: Time, input: Input, os: &mut Os<'_>);

    /// When to be told [`Input::Timeout`]. Asked after each call. A deadline that stays in the past although the node was
    /// told so ends the run with [`Fault::Spin`](crate::Fault::Spin). Default: never.
    fn deadline(&self) -> Time {
        Time::NEVER
    }
}

/// What a node is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// The program begins. The first input of each node.
    Started,
    /// The deadline has come.
    Timeout,
    /// The host has another address.
    AddressUp(IpAddr),
    /// The host has lost an address. Connections from it aren't told: they time out, as they would.
    AddressDown(IpAddr),
    /// Somebody connected to a listener of ours.
    Accepted {
        /// The connection.
        socket: SocketId,
        /// Which listener.
        listener: ListenerId,
        /// Our address, as the remote dialed it.
        local: SocketAddr,
        /// Where it comes from.
        remote: SocketAddr,
    },
    /// Somebody connected, but the host has no file descriptor left for it. It is accepted when there is one again.
    AcceptFailed {
        /// Which listener.
        listener: ListenerId,
    },
    /// A connection that we asked for is there.
    Connected {
        /// The connection.
        socket: SocketId,
        /// Where we dialed from.
        local: SocketAddr,
        /// Whom we dialed.
        remote: SocketAddr,
    },
    /// A connection that we asked for did not come about. The socket is no more.
    ConnectFailed {
        /// The socket that was to become it.
        socket: SocketId,
        /// Why.
        error: ConnectFailure,
    },
    /// More bytes have arrived: [`Os::read`] gives them.
    Received {
        /// The connection.
        socket: SocketId,
    },
    /// The remote has said that it sends no more, and all that it sent was read.
    Ended {
        /// The connection.
        socket: SocketId,
    },
    /// After [`Os::send`] took less than it was given: at least a third of the send buffer is free now, as on Linux.
    Writable {
        /// The connection.
        socket: SocketId,
    },
    /// The connection broke. What was not read yet is lost; the socket is no more.
    Broken {
        /// The connection that was.
        socket: SocketId,
        /// Why.
        error: BrokenBy,
    },
    /// A datagram arrived.
    Datagram {
        /// Where it was received.
        socket: UdpId,
        /// Who says to have sent it.
        from: SocketAddr,
        /// Our address that it was sent to.
        to: SocketAddr,
        /// What it carries.
        bytes: Bytes,
    },
}

/// Why a connection did not come about, learnt after a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectFailure {
    /// The host answered that nobody listens there.
    #[error("connection refused")]
    Refused,
    /// Nobody answered, for as long as [`Tcp::syn_retries`](crate::Tcp::syn_retries) allows.
    #[error("connecting timed out")]
    TimedOut,
    /// An ICMP message said that the SYN can't get there. Linux ends the attempt by that, too: `ENETUNREACH` for a network,
    /// `EHOSTUNREACH` for a host and where it is prohibited, `ECONNREFUSED` for a port.
    #[error("{0}")]
    Unreachable(Unreachable),
}

/// Why a connection broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum BrokenBy {
    /// The remote aborted it, or does not know it any more.
    #[error("connection reset by peer")]
    Reset,
    /// Nobody acknowledged what we sent, for as long as [`Tcp::retries`](crate::Tcp::retries) allows.
    #[error("connection timed out")]
    TimedOut,
}

/// Why a call that wants an address or a file descriptor failed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum OsError {
    /// `EADDRINUSE`: another socket has this local address, and not both allow to share it.
    #[error("address in use")]
    AddressInUse,
    /// `EADDRNOTAVAIL`: the host does not have this local address; or there is, or was a moment ago, a connection with the
    /// same two ends.
    #[error("address not available")]
    AddressNotAvailable,
    /// `ENETUNREACH`: the host has no address of this family.
    #[error("network is unreachable")]
    NetworkUnreachable,
    /// `EMFILE`: the host's limit of open sockets is reached.
    #[error("too many open files")]
    TooManyFiles,
    /// `EINVAL`: this address can't be connected or sent to.
    #[error("invalid address")]
    InvalidAddress,
    /// `EMSGSIZE`: larger than a UDP datagram can be.
    #[error("message too long")]
    MessageTooLong,
    /// `EBADF`: there is no such socket, or none any more.
    #[error("no such socket")]
    NoSuchSocket,
}

/// A host of a world.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub(crate) u32);

/// A NAT or a firewall of a world.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewayId(pub(crate) u32);

/// A TCP connection, or one that is to become one. Its number is never reused on the same host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub(crate) Key);

/// A listening TCP socket.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(pub(crate) Key);

/// A bound UDP socket.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UdpId(pub(crate) Key);

/// The `n`-th IPv4 address of a world, from a range that looks public: 11.0.0.0 + `n`.
pub const fn ipv4(n: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x0b00_0000 | (n & 0x00ff_ffff)))
}

/// The `n`-th IPv6 address of a world, from a range that looks public: 2a00:: + `n`, each in a /64 of its own.
pub const fn ipv6(n: u32) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from_bits((0x2a00 << 112) | ((n as u128) << 64) | 1))
}

impl HostId {
    /// Its number: 0 for the first host that was added, and so on.
    pub const fn index(self) -> u32 {
        self.0
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "h{}", self.0)
    }
}

impl GatewayId {
    /// Its number: 0 for the first gateway that was added, and so on.
    pub const fn index(self) -> u32 {
        self.0
    }
}

impl fmt::Display for GatewayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "g{}", self.0)
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

impl fmt::Display for ListenerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "l{}", self.0)
    }
}

impl fmt::Display for UdpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "u{}", self.0)
    }
}

macro_rules! debug_as_display {
    ($($name:ty),+) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )+};
}

debug_as_display!(HostId, GatewayId, SocketId, ListenerId, UdpId);
