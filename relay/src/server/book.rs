//! Who is connected, and over what: no policy.

use super::table::{Index, Line, NO_SLOT, Numbers};
use super::{Misuse, Network};
use crate::ConnectionId;
use alloc::collections::BTreeMap;
use tidewire_core::{Multiaddr, PeerId, Seed};

/// Connections and the peers behind them. A peer's slot is free again when it has neither connections nor circuits.
pub(super) struct Book {
    connections: Line<Connection>,
    /// The slots of a connection and of its peer: both can be fetched at one time.
    by_id: Numbers,
    peers: Line<Peer>,
    by_peer: Index,
    /// Direct connections of each peer, in the order of their arrival.
    direct: BTreeMap<(u32, u64), ConnectionId>,
    arrivals: u64,
    /// Heap bytes of the remotes' addresses.
    addresses: usize,
}

/// One connection.
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    /// The slot of who is at the other end.
    pub(super) peer: u32,
    pub(super) relayed: bool,
    pub(super) asn: Option<u32>,
    pub(super) network: Option<Network>,
    pub(super) remote: Multiaddr,
    arrival: u64,
}

/// One peer.
pub(super) struct Peer {
    pub(super) id: PeerId,
    pub(super) connections: u32,
    /// Those that no relay carries.
    pub(super) direct: u32,
    /// Circuits that it began or that lead to it.
    pub(super) circuits: u32,
    /// Questions about it that the application has not answered.
    pub(super) questions: u32,
    /// The slot of its reservation, or `NO_SLOT`.
    pub(super) reservation: u32,
}

impl Book {
    pub(super) fn new(seed: &Seed) -> Self {
        Book {
            connections: Line::new(),
            by_id: Numbers::new(),
            peers: Line::new(),
            by_peer: Index::new(seed, "relay peers"),
            direct: BTreeMap::new(),
            arrivals: 0,
            addresses: 0,
        }
    }

    pub(super) fn connect(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        relayed: bool,
        asn: Option<u32>,
        cap: u32,
    ) -> Result<(), Misuse> {
        if self.find(id).is_some() {
            return Err(Misuse::ConnectionExists(id));
        }
        // One slot less than there are: the last is nobody's.
        if self.connections.len() >= cap.min(NO_SLOT - 1) {
            return Err(Misuse::TooManyConnections(cap));
        }
        let slot = match self.find_peer(&peer) {
            Some(slot) => slot,
            None => {
                let slot = self.peers.push(Peer::new(peer));
                self.by_peer.add(&peer, slot);
                slot
            }
        };
        let arrival = self.arrivals;
        self.arrivals = self.arrivals.saturating_add(1);
        if let Some(entry) = self.peers.get_mut(slot) {
            entry.connections = entry.connections.saturating_add(1);
            if !relayed {
                entry.direct = entry.direct.saturating_add(1);
                self.direct.insert((slot, arrival), id);
            }
        }
        self.addresses = self.addresses.saturating_add(remote.memory_used());
        let network = if relayed { None } else { Network::of(remote) };
        let connection = Connection { id, peer: slot, relayed, asn, network, remote: remote.clone(), arrival };
        let at = self.connections.push(connection);
        self.by_id.add(id.0, (at, slot));
        Ok(())
    }

    /// Takes a connection out, and gives its peer's slot; the peer stays until [`Book::forget_if_blank`].
    pub(super) fn disconnect(&mut self, id: ConnectionId) -> Option<u32> {
        let (at, _) = self.by_id.find(id.0)?;
        self.by_id.remove(id.0);
        let gone = self.connections.remove(at)?;
        self.addresses = self.addresses.saturating_sub(gone.remote.memory_used());
        if let Some(peer) = self.peers.get_mut(gone.peer) {
            peer.connections = peer.connections.saturating_sub(1);
            if !gone.relayed {
                peer.direct = peer.direct.saturating_sub(1);
                self.direct.remove(&(gone.peer, gone.arrival));
            }
        }
        Some(gone.peer)
    }

    pub(super) fn forget_if_blank(&mut self, slot: u32) {
        let Some(peer) = self.peers.get(slot) else { return };
        if peer.connections == 0 && peer.circuits == 0 && peer.reservation == NO_SLOT {
            let id = peer.id;
            self.by_peer.remove(&id, slot);
            self.peers.remove(slot);
        }
    }

    /// The slots of a connection and of its peer, and the connection.
    pub(super) fn find(&self, id: ConnectionId) -> Option<(u32, u32, &Connection)> {
        let (at, peer) = self.by_id.find(id.0)?;
        Some((at, peer, self.connections.get(at)?))
    }

    pub(super) fn connection(&self, slot: u32) -> Option<&Connection> {
        self.connections.get(slot)
    }

    pub(super) fn find_peer(&self, id: &PeerId) -> Option<u32> {
        self.by_peer.find(id, |slot| self.peers.get(slot).is_some_and(|peer| peer.id == *id))
    }

    pub(super) fn peer(&self, slot: u32) -> Option<&Peer> {
        self.peers.get(slot)
    }

    pub(super) fn peer_mut(&mut self, slot: u32) -> Option<&mut Peer> {
        self.peers.get_mut(slot)
    }

    /// The best connection of a peer: the youngest direct one. An older one may be dead without anybody knowing.
    pub(super) fn best(&self, peer: u32) -> Option<ConnectionId> {
        self.direct.range((peer, 0)..=(peer, u64::MAX)).next_back().map(|(_, id)| *id)
    }

    pub(super) fn connections(&self) -> u32 {
        self.connections.len()
    }

    pub(super) fn peers(&self) -> u32 {
        self.peers.len()
    }

    pub(super) fn memory_used(&self) -> usize {
        self.connections.memory_used()
            + self.by_id.memory_used()
            + self.peers.memory_used()
            + self.by_peer.memory_used()
            + tree_bytes::<((u32, u64), ConnectionId)>(self.direct.len())
            + self.addresses
    }
}

impl Peer {
    fn new(id: PeerId) -> Self {
        Peer { id, connections: 0, direct: 0, circuits: 0, questions: 0, reservation: NO_SLOT }
    }
}

/// About what so many entries of a `BTreeMap` take: nodes of eleven, six of them taken, as growing at one end leaves them.
pub(super) const fn tree_bytes<T>(len: usize) -> usize {
    (len * (size_of::<T>() + 4)).div_ceil(6) * 11
}
