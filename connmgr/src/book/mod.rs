//! Who is connected, and with what: peers, their connections, the streams of these. Facts and sums, no policy.
//!
//! ```text
//! PeerId ---index---> Peer <-----------------------+
//!                      | oldest ... youngest       | of
//!                      v                           |
//! ConnectionId -----> Connection <-> Connection ---+
//!                      | oldest ... youngest
//!                      v
//! (ConnIx, StreamId)-> Stream <-> Stream
//! ```
//!
//! Each of the three lies in a slab, is found by its name through an index, and hangs in a list of what it belongs to. So
//! everything is O(1) amortised, but for two things that look through one peer's connections, of which the limits allow
//! few: walking them, and finding the youngest open one after another was closed.
//!
//! Slots that hold nothing have no effect and give `None`.

mod entry;
#[cfg(test)]
mod tests;

pub(crate) use entry::{Connection, Counts, Peer, State, Stream, StreamExists};

use crate::table::{ConnIx, Index, Links, NO_SLOT, PeerIx, Slab};
use crate::text::heap_bytes;
use crate::{CloseReason, ConnectionId, Direction, StreamId};
use alloc::collections::BTreeMap;
use core::mem;
use tidewire_core::{Multiaddr, PeerId, Role, Seed, Time};

/// Who is connected, and with what.
#[derive(Clone)]
pub(crate) struct Book {
    peers: Slab<Peer>,
    by_peer_id: Index,
    connections: Slab<Connection>,
    by_connection_id: Index,
    streams: Slab<Stream>,
    by_stream_id: Index,
    /// Why the closing ones are closing. Apart, since reasons are large and few connections are closing at a time.
    reasons: BTreeMap<ConnIx, CloseReason>,
    established: u32,
    closing: u32,
    connected_peers: u32,
    /// Heap bytes of all remote addresses, and of all closing reasons with their entries.
    address_bytes: usize,
    reason_bytes: usize,
}

impl Book {
    pub(crate) fn new(seed: &Seed) -> Self {
        Book {
            peers: Slab::new(),
            by_peer_id: Index::new(seed, "connmgr book peers"),
            connections: Slab::new(),
            by_connection_id: Index::new(seed, "connmgr book connections"),
            streams: Slab::new(),
            by_stream_id: Index::new(seed, "connmgr book streams"),
            reasons: BTreeMap::new(),
            established: 0,
            closing: 0,
            connected_peers: 0,
            address_bytes: 0,
            reason_bytes: 0,
        }
    }

    /// How many there are of everything. O(1).
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            pending: self.connections.len().saturating_sub(self.established).saturating_sub(self.closing),
            established: self.established,
            closing: self.closing,
            streams: self.streams.len(),
            peers: self.peers.len(),
            connected_peers: self.connected_peers,
        }
    }

    /// Heap bytes. O(1).
    pub(crate) fn memory_used(&self) -> usize {
        self.peers.memory_used()
            + self.by_peer_id.memory_used()
            + self.connections.memory_used()
            + self.by_connection_id.memory_used()
            + self.streams.memory_used()
            + self.by_stream_id.memory_used()
            + self.address_bytes
            + self.reason_bytes
    }
}

/// Peers.
impl Book {
    /// The peer's slot; a new one if it has none.
    pub(crate) fn intern(&mut self, peer: PeerId) -> PeerIx {
        if let Some(known) = self.find(&peer) {
            return known;
        }
        let slot = self.peers.insert(Peer::new(peer));
        self.by_peer_id.add(peer, slot);
        PeerIx(slot)
    }

    pub(crate) fn find(&self, peer: &PeerId) -> Option<PeerIx> {
        self.by_peer_id.find(*peer, |slot| self.peers.get(slot).map(|entry| entry.id)).map(PeerIx)
    }

    pub(crate) fn peer(&self, peer: PeerIx) -> Option<&Peer> {
        self.peers.get(peer.0)
    }

    pub(crate) fn peer_mut(&mut self, peer: PeerIx) -> Option<&mut Peer> {
        self.peers.get_mut(peer.0)
    }

    /// Frees the slot of a peer without connections, closing ones included. No effect on others.
    pub(crate) fn forget(&mut self, peer: PeerIx) {
        if self.peer(peer).is_some_and(|entry| entry.established == 0)
            && let Some(gone) = self.peers.remove(peer.0)
        {
            self.by_peer_id.remove(gone.id, peer.0);
        }
    }

    /// All peers, in the order of their slots.
    pub(crate) fn peers(&self) -> impl Iterator<Item = PeerIx> {
        self.peers.iter().map(|(slot, _)| PeerIx(slot))
    }
}

/// Connections.
impl Book {
    /// A listener got a connection. `Err` with the connection that has this id already.
    pub(crate) fn incoming(&mut self, now: Time, id: ConnectionId, remote: Multiaddr) -> Result<ConnIx, ConnIx> {
        self.add_connection(Connection::new(now, id, remote, Direction::Inbound))
    }

    /// A pending connection is upgraded. No effect on one that is closing or established.
    pub(crate) fn establish(&mut self, now: Time, ix: ConnIx, peer: PeerIx, role: Role, limited: bool) {
        let (Some(connection), Some(entry)) = (self.connections.get_mut(ix.0), self.peers.get_mut(peer.0)) else {
            return;
        };
        if connection.state != State::Pending {
            return;
        }
        connection.state = State::Established;
        connection.since = now;
        connection.used = now;
        connection.role = role;
        connection.limited = limited;
        connection.peer = Some(peer);
        if entry.established == 0 {
            self.connected_peers = self.connected_peers.saturating_add(1);
        }
        entry.established = entry.established.saturating_add(1);
        entry.newest = now;
        count(entry, connection, u32::saturating_add);
        self.established = self.established.saturating_add(1);
        entry.connections.push(&mut self.connections, ix.0);
    }

    /// A connection that is established from the start: one that we dialed, or that something else made. `Err` with the
    /// connection that has this id already, or with a slot that holds nothing if there is no such peer.
    #[expect(clippy::too_many_arguments, reason = "each says another fact of the connection")]
    pub(crate) fn open(
        &mut self,
        now: Time,
        id: ConnectionId,
        peer: PeerIx,
        direction: Direction,
        remote: Multiaddr,
        role: Role,
        limited: bool,
    ) -> Result<ConnIx, ConnIx> {
        if self.peer(peer).is_none() {
            return Err(ConnIx(NO_SLOT));
        }
        let ix = self.add_connection(Connection::new(now, id, remote, direction))?;
        self.establish(now, ix, peer, role, limited);
        Ok(ix)
    }

    pub(crate) fn connection(&self, ix: ConnIx) -> Option<&Connection> {
        self.connections.get(ix.0)
    }

    pub(crate) fn connection_mut(&mut self, ix: ConnIx) -> Option<&mut Connection> {
        self.connections.get_mut(ix.0)
    }

    pub(crate) fn find_connection(&self, id: ConnectionId) -> Option<ConnIx> {
        self.by_connection_id.find(id, |slot| self.connections.get(slot).map(|entry| entry.id)).map(ConnIx)
    }

    /// From here on it is closing, and no longer among its peer's open ones. `false`, and no effect, if it was already.
    pub(crate) fn set_closing(&mut self, ix: ConnIx, reason: CloseReason) -> bool {
        let Some(connection) = self.connections.get_mut(ix.0) else { return false };
        let before = mem::replace(&mut connection.state, State::Closing);
        if before == State::Closing {
            return false;
        }
        if before == State::Established {
            self.established = self.established.saturating_sub(1);
            if let Some(peer) = connection.peer.and_then(|peer| self.peers.get_mut(peer.0))
                && let Some(connection) = self.connections.get(ix.0)
            {
                no_longer_open(peer, connection, &self.connections);
            }
        }
        self.closing = self.closing.saturating_add(1);
        self.reason_bytes = self.reason_bytes.saturating_add(reason_bytes(&reason));
        self.reasons.insert(ix, reason);
        true
    }

    /// Why a connection is closing; `None` if it isn't.
    pub(crate) fn closing_reason(&self, ix: ConnIx) -> Option<&CloseReason> {
        self.reasons.get(&ix)
    }

    /// Takes the reason of a closing connection away, for the report of its end. It stays closing.
    pub(crate) fn take_closing_reason(&mut self, ix: ConnIx) -> Option<CloseReason> {
        let reason = self.reasons.remove(&ix)?;
        self.reason_bytes = self.reason_bytes.saturating_sub(reason_bytes(&reason));
        Some(reason)
    }

    /// Takes a connection out, with its closing reason and whatever streams it still has: take those out before, one by
    /// one, if anyone is to hear of them.
    pub(crate) fn remove(&mut self, ix: ConnIx) -> Option<Connection> {
        let used = self.connection(ix)?.used;
        while let Some(stream) = self.next_stream(ix) {
            self.close_stream(used, ix, stream)?;
        }
        let connection = self.connections.remove(ix.0)?;
        self.by_connection_id.remove(connection.id, ix.0);
        self.address_bytes = self.address_bytes.saturating_sub(connection.remote.memory_used());
        self.unlink(ix, &connection);
        match connection.state {
            State::Pending => {}
            State::Established => {
                self.established = self.established.saturating_sub(1);
                if let Some(peer) = connection.peer.and_then(|peer| self.peers.get_mut(peer.0)) {
                    no_longer_open(peer, &connection, &self.connections);
                }
            }
            State::Closing => {
                self.closing = self.closing.saturating_sub(1);
                self.take_closing_reason(ix);
            }
        }
        Some(connection)
    }

    /// A peer's established connections, closing ones included, in the order in which they were established.
    pub(crate) fn connections_of(&self, peer: PeerIx) -> impl Iterator<Item = (ConnIx, &Connection)> {
        let entry = self.peer(peer).into_iter();
        entry.flat_map(|entry| entry.connections.iter(&self.connections)).map(|(slot, entry)| (ConnIx(slot), entry))
    }

    /// All connections, in the order of their slots.
    pub(crate) fn connections(&self) -> impl Iterator<Item = (ConnIx, &Connection)> {
        self.connections.iter().map(|(slot, connection)| (ConnIx(slot), connection))
    }

    fn add_connection(&mut self, connection: Connection) -> Result<ConnIx, ConnIx> {
        let id = connection.id;
        if let Some(known) = self.find_connection(id) {
            return Err(known);
        }
        self.address_bytes = self.address_bytes.saturating_add(connection.remote.memory_used());
        let slot = self.connections.insert(connection);
        self.by_connection_id.add(id, slot);
        Ok(ConnIx(slot))
    }

    /// Takes a connection that was just removed out of its peer's list.
    fn unlink(&mut self, ix: ConnIx, connection: &Connection) {
        let Some(entry) = connection.peer.and_then(|peer| self.peers.get_mut(peer.0)) else { return };
        entry.established = entry.established.saturating_sub(1);
        if entry.established == 0 {
            self.connected_peers = self.connected_peers.saturating_sub(1);
        }
        entry.connections.unlink(&mut self.connections, ix.0, connection);
    }
}

/// Streams.
impl Book {
    /// A stream was opened. It counts as use of its connection.
    pub(crate) fn open_stream(
        &mut self,
        now: Time,
        ix: ConnIx,
        stream: StreamId,
        direction: Direction,
        protocol: Option<u32>,
    ) -> Result<(), StreamExists> {
        if self.find_stream(ix, stream).is_some() {
            return Err(StreamExists);
        }
        let connection = self.connections.get_mut(ix.0).ok_or(StreamExists)?;
        let entry = Stream { id: stream, direction, protocol, connection: ix, links: Links::NONE };
        let slot = self.streams.insert(entry);
        connection.open_streams.push(&mut self.streams, slot);
        connection.used = now;
        connection.streams = connection.streams.saturating_add(1);
        if connection.is_open()
            && let Some(peer) = connection.peer.and_then(|peer| self.peers.get_mut(peer.0))
        {
            peer.streams = peer.streams.saturating_add(1);
        }
        self.by_stream_id.add((ix, stream), slot);
        Ok(())
    }

    pub(crate) fn stream(&self, ix: ConnIx, stream: StreamId) -> Option<&Stream> {
        self.streams.get(self.find_stream(ix, stream)?)
    }

    pub(crate) fn stream_mut(&mut self, ix: ConnIx, stream: StreamId) -> Option<&mut Stream> {
        self.streams.get_mut(self.find_stream(ix, stream)?)
    }

    /// A stream is gone. It counts as use of its connection.
    pub(crate) fn close_stream(&mut self, now: Time, ix: ConnIx, stream: StreamId) -> Option<Stream> {
        let slot = self.find_stream(ix, stream)?;
        let gone = self.streams.remove(slot)?;
        self.by_stream_id.remove((ix, stream), slot);
        let connection = self.connections.get_mut(ix.0)?;
        connection.open_streams.unlink(&mut self.streams, slot, &gone);
        connection.used = now;
        connection.streams = connection.streams.saturating_sub(1);
        if connection.is_open()
            && let Some(peer) = connection.peer.and_then(|peer| self.peers.get_mut(peer.0))
        {
            peer.streams = peer.streams.saturating_sub(1);
        }
        Some(gone)
    }

    /// The oldest stream of a connection.
    pub(crate) fn next_stream(&self, ix: ConnIx) -> Option<StreamId> {
        self.connection(ix)?.open_streams.iter(&self.streams).next().map(|(_, oldest)| oldest.id)
    }

    fn find_stream(&self, ix: ConnIx, stream: StreamId) -> Option<u32> {
        let key_of = |slot| self.streams.get(slot).map(|entry| (entry.connection, entry.id));
        self.by_stream_id.find((ix, stream), key_of)
    }
}

/// What a closing reason takes: its entry, in a node of the tree that may be only half full, and its words if they are too
/// long to lie in it.
fn reason_bytes(reason: &CloseReason) -> usize {
    let words = match reason {
        CloseReason::Asked { why } | CloseReason::Denied { why } | CloseReason::Reported { why } => heap_bytes(why),
        _ => 0,
    };
    2 * size_of::<(ConnIx, CloseReason)>() + words
}

/// Takes a connection that was open, and isn't any more, out of its peer's sums.
fn no_longer_open(peer: &mut Peer, connection: &Connection, connections: &Slab<Connection>) {
    count(peer, connection, u32::saturating_sub);
    // The list is in order of establishment, so the last open one is the youngest.
    let youngest = peer.connections.iter_back(connections).find(|(_, candidate)| candidate.is_open());
    peer.newest = youngest.map_or(Time::ZERO, |(_, youngest)| youngest.since);
}

/// Adds an open connection to its peer's sums, or takes it away.
fn count(peer: &mut Peer, connection: &Connection, change: fn(u32, u32) -> u32) {
    peer.open = change(peer.open, 1);
    peer.outbound = change(peer.outbound, u32::from(connection.direction == Direction::Outbound));
    peer.direct = change(peer.direct, u32::from(!connection.relayed));
    peer.streams = change(peer.streams, connection.streams);
}
