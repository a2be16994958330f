//! What the coordinator is told.

use crate::candidate::Candidate;
use crate::exchange::Fault;
use crate::nat::Guess;
use crate::{AskId, ConnectionId, DialFault, DialId, StreamKey};
use core::net::IpAddr;
use core::time::Duration;
use tidewire_core::{Multiaddr, PeerId, Role};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input<'a> {
    /// A connection is established: every one, whoever opened it, but those that [`Dialed`](Input::Dialed) tells of.
    Connected {
        /// The caller's name for it.
        connection: ConnectionId,
        /// Who is at the other end.
        peer: PeerId,
        /// Whether a relay lies on the way.
        relayed: bool,
        /// Whether the other one made it: of a relayed one, whether the circuit came to us.
        inbound: bool,
        /// The other end.
        remote: &'a Multiaddr,
    },
    /// A connection ended.
    Disconnected {
        /// Which.
        connection: ConnectionId,
    },
    /// What a peer says of itself: by identify, each time.
    Identified {
        /// Who.
        peer: PeerId,
        /// Whether [`PROTOCOL`](crate::PROTOCOL) is among its protocols.
        speaks_dcutr: bool,
        /// Where it says that it listens.
        listens: &'a [Multiaddr],
    },
    /// Our own addresses, all of them; each time they change. Every try tells what was said last.
    Own(&'a [Candidate]),
    /// What our NAT probably does; for the reports.
    Nat(&'a [Guess]),
    /// How long a round trip takes on a connection.
    Rtt {
        /// On which.
        connection: ConnectionId,
        /// How long.
        rtt: Duration,
    },
    /// On a stream that we opened, the remote answered with its `CONNECT`.
    Connects {
        /// Which.
        ask: AskId,
        /// What it named.
        addresses: &'a [Multiaddr],
        /// Entries that were no addresses, or too many.
        skipped: usize,
        /// From our `CONNECT` to this one.
        rtt: Duration,
    },
    /// A stream that we wanted could not be opened, or came to nothing before `SYNC` was written.
    AskFailed {
        /// Which.
        ask: AskId,
        /// Why.
        why: Fault,
    },
    /// On a stream that the remote opened, its `CONNECT` came.
    Asked {
        /// Which.
        stream: StreamKey,
        /// What it named.
        addresses: &'a [Multiaddr],
        /// Entries that were no addresses, or too many.
        skipped: usize,
    },
    /// On a stream that the remote opened, `SYNC` came.
    Synced {
        /// Which.
        stream: StreamKey,
        /// From our `CONNECT` to this.
        rtt: Duration,
    },
    /// A stream that the remote opened came to nothing before `SYNC`.
    StreamGone {
        /// Which.
        stream: StreamKey,
        /// Why.
        why: Fault,
    },
    /// The transport of one of our dials is there, its upgrade runs. Not needed for the datagrams of a QUIC transport.
    Upgrading {
        /// Which.
        dial: DialId,
    },
    /// One of our dials became a connection, which is known from here on: not to be told by [`Connected`](Input::Connected) again.
    Dialed {
        /// Which.
        dial: DialId,
        /// The caller's name for it.
        connection: ConnectionId,
        /// Our end of it.
        local: &'a Multiaddr,
        /// The other end.
        remote: &'a Multiaddr,
        /// Which role we took.
        role: Role,
    },
    /// One of our dials failed.
    DialFailed {
        /// Which.
        dial: DialId,
        /// Why.
        why: DialFault,
    },
    /// A socket from this address was accepted inside a window, and is being upgraded. Followed by
    /// [`Connected`](Input::Connected) or [`ArrivalFailed`](Input::ArrivalFailed). Optional: without it a try may be given up a little
    /// too early.
    Arriving {
        /// The remote address.
        ip: IpAddr,
    },
    /// Its upgrade failed.
    ArrivalFailed {
        /// The remote address.
        ip: IpAddr,
    },
    /// Both ends are known to have this direct connection: the connection manager proved it, and drains the relayed one.
    Proven {
        /// Which.
        connection: ConnectionId,
    },
    /// The application wants a direct connection to this peer now, whatever failed before. There must be a relayed one.
    Punch {
        /// To whom.
        peer: PeerId,
    },
    /// It wants none any more.
    Cancel {
        /// To whom.
        peer: PeerId,
    },
    /// We are on another network: what failed may work now.
    NetworkChanged,
    /// All ends. Nothing is begun any more.
    Shutdown,
}

/// What the caller did wrong, or news that crossed an action. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// As many actions wait to be polled as may: poll, then say it again.
    #[error("{0} actions or more wait to be polled: poll, then say it again")]
    Unpolled(u32),
    /// No such connection: it was never reported, or has ended.
    #[error("there is no connection {0}: it was never reported, or has ended")]
    UnknownConnection(ConnectionId),
    /// The id is in use.
    #[error("there is a connection {0} already")]
    ConnectionExists(ConnectionId),
    /// As many connections are known as may be.
    #[error("{0} connections are known already (`max_connections` allows more)")]
    TooManyConnections(u32),
    /// No such exchange: it was never asked for, has ended, or was reset meanwhile.
    #[error("there is no exchange {0}: it was never asked for, has ended, or was reset")]
    UnknownAsk(AskId),
    /// No such dial: it was never asked for, has ended, or was aborted. A connection that came of it is to be dropped.
    #[error("there is no dial {0}: it was never asked for, has ended, or was aborted; drop what came of it")]
    UnknownDial(DialId),
    /// A second `CONNECT` on a stream that was answered.
    #[error("the stream {0} was told before")]
    StreamExists(StreamKey),
    /// There is no relayed connection to this peer.
    #[error("there is no relayed connection to that peer, so there is nothing to punch")]
    NotRelayed,
    /// It was shut down.
    #[error("the coordinator was shut down")]
    Down,
}
