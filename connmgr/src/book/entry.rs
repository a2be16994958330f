//! What the book holds: peers, connections, streams. Compact, since there may be a million of each.

use crate::limits::Scope;
use crate::table::{ConnIx, Linked, Links, PeerIx, Ring};
use crate::{ConnectionId, Direction, StreamId};
use tidewire_core::{Multiaddr, PeerId, Role, Time};

/// A peer. The sums are the book's to write; only `scope` is for others.
///
/// A connection is *open* when it is established and not closing.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Who.
    pub(crate) id: PeerId,
    /// What the limits count for it.
    pub(crate) scope: Scope,
    /// Open connections.
    pub(crate) open: u32,
    /// Open connections that we opened.
    pub(crate) outbound: u32,
    /// Open connections that are not relayed.
    pub(crate) direct: u32,
    /// Streams of its open connections.
    pub(crate) streams: u32,
    /// Established connections, closing ones included.
    pub(crate) established: u32,
    /// When its youngest open connection was established; [`Time::ZERO`] if it has none.
    pub(crate) newest: Time,
    /// Its established connections, closing ones included, in order of establishment.
    pub(super) connections: Ring,
    pub(super) _niche: Niche,
}

impl Peer {
    pub(super) fn new(id: PeerId) -> Self {
        Peer {
            id,
            scope: Scope::default(),
            open: 0,
            outbound: 0,
            direct: 0,
            streams: 0,
            established: 0,
            newest: Time::ZERO,
            connections: Ring::EMPTY,
            _niche: Niche::Only,
        }
    }
}

/// A byte with one value, in what would be padding. The slab tells free slots by its other values, and needs no word of its own.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum Niche {
    Only,
}

/// How far a connection is.
///
/// ```text
/// incoming --> Pending --establish--> Established <-- open
///                 |                        |
///                 +------set_closing-------+----> Closing
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Incoming, not upgraded yet: nobody knows who it is.
    Pending,
    /// Open.
    Established,
    /// The caller was asked to close it, and has not reported yet that it is gone. It may never have been established.
    Closing,
}

/// A connection. Others may write `used` and `scope`.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    /// The caller's name.
    pub(crate) id: ConnectionId,
    /// Where the other end is.
    pub(crate) remote: Multiaddr,
    /// When it was established; before that, when it came.
    pub(crate) since: Time,
    /// When it was last used, streams opened and closed included.
    pub(crate) used: Time,
    /// What the limits count for it.
    pub(crate) scope: Scope,
    /// Open streams.
    pub(crate) streams: u32,
    /// How far it is.
    pub(crate) state: State,
    /// Who opened it.
    pub(crate) direction: Direction,
    /// Our role in its security handshake; [`Role::Responder`] while it is pending.
    pub(crate) role: Role,
    /// Whether it goes through a relay.
    pub(crate) relayed: bool,
    /// Whether the relay limits bytes or time.
    pub(crate) limited: bool,
    /// Whose it is; `None` until it is established.
    pub(crate) peer: Option<PeerIx>,
    /// Its neighbours among the established connections of its peer.
    pub(super) links: Links,
    /// Its streams, in order of opening.
    pub(super) open_streams: Ring,
}

impl Linked for Connection {
    fn links(&self) -> &Links {
        &self.links
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

impl Connection {
    /// Pending, or on its way into the peer's list.
    pub(super) fn new(now: Time, id: ConnectionId, remote: Multiaddr, direction: Direction) -> Self {
        Connection {
            id,
            since: now,
            used: now,
            scope: Scope::default(),
            streams: 0,
            state: State::Pending,
            direction,
            role: Role::Responder,
            relayed: remote.is_relayed(),
            limited: false,
            peer: None,
            links: Links::NONE,
            open_streams: Ring::EMPTY,
            remote,
        }
    }

    /// Established and not closing.
    pub(crate) fn is_open(&self) -> bool {
        self.state == State::Established
    }

    /// The caller was asked to close it.
    pub(crate) fn is_closing(&self) -> bool {
        self.state == State::Closing
    }
}

/// A stream.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// The caller's name, unique on its connection.
    pub(crate) id: StreamId,
    /// Who opened it.
    pub(crate) direction: Direction,
    /// What it speaks: the limits' number for it.
    pub(crate) protocol: Option<u32>,
    pub(super) connection: ConnIx,
    /// Its neighbours among the streams of its connection.
    pub(super) links: Links,
}

impl Linked for Stream {
    fn links(&self) -> &Links {
        &self.links
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

/// How many there are. The three of connections are apart: their sum is all connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Incoming connections that are not established yet, and not closing.
    pub(crate) pending: u32,
    /// Open connections: established and not closing.
    pub(crate) established: u32,
    /// Connections that are closing, established before or not.
    pub(crate) closing: u32,
    /// Streams, of all connections.
    pub(crate) streams: u32,
    /// Peers, with connections or without.
    pub(crate) peers: u32,
    /// Peers with an established connection, a closing one included.
    pub(crate) connected_peers: u32,
}

/// The stream was not opened: its name is in use on this connection, or there is no such connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamExists;
