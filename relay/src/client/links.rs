//! The connections that there are, and which of them leads to a relay.

use crate::ConnectionId;
use alloc::collections::BTreeMap;
use tidewire_core::{Multiaddr, PeerId};

/// All connections, and the direct ones by peer.
#[derive(Debug, Default)]
pub(crate) struct Links {
    all: BTreeMap<ConnectionId, Link>,
    /// In the order in which they came.
    direct: BTreeMap<(PeerId, u64), ConnectionId>,
    count: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) peer: PeerId,
    /// Of a direct one that we dialed: where the peer is reached.
    pub(crate) dialed: Option<Multiaddr>,
    pub(crate) relayed: bool,
    order: u64,
}

impl Links {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn get(&self, connection: ConnectionId) -> Option<&Link> {
        self.all.get(&connection)
    }

    pub(crate) fn add(&mut self, connection: ConnectionId, peer: PeerId, dialed: Option<&Multiaddr>, relayed: bool) {
        self.count = self.count.wrapping_add(1);
        let order = self.count;
        if !relayed {
            self.direct.insert((peer, order), connection);
        }
        let dialed = dialed.filter(|_| !relayed).cloned();
        self.all.insert(connection, Link { peer, dialed, relayed, order });
    }

    pub(crate) fn remove(&mut self, connection: ConnectionId) -> Option<Link> {
        let link = self.all.remove(&connection)?;
        self.direct.remove(&(link.peer, link.order));
        Some(link)
    }

    /// The youngest direct connection to this peer.
    pub(crate) fn direct(&self, peer: PeerId) -> Option<ConnectionId> {
        self.direct.range((peer, 0)..=(peer, u64::MAX)).next_back().map(|(_, connection)| *connection)
    }

    /// Where this peer was reached, of the connections that we dialed: the youngest.
    pub(crate) fn dialed(&self, peer: PeerId) -> Option<&Multiaddr> {
        let of_peer = self.direct.range((peer, 0)..=(peer, u64::MAX)).rev();
        of_peer.filter_map(|(_, connection)| self.all.get(connection)?.dialed.as_ref()).next()
    }

    /// Bytes on the heap. An address is shared with whoever told it, and counts here too.
    pub(crate) fn memory_used(&self) -> usize {
        let each = size_of::<(ConnectionId, Link)>() + size_of::<((PeerId, u64), ConnectionId)>();
        self.all.len() * each
            + self.all.values().filter_map(|link| link.dialed.as_ref()).map(Multiaddr::memory_used).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u8) -> PeerId {
        PeerId::from_bytes(&[0, 1, n]).unwrap()
    }

    #[test]
    fn the_youngest_direct_connection_is_taken() {
        let c = ConnectionId;
        let mut links = Links::default();
        let address: Multiaddr = "/ip4/192.0.2.1/tcp/4001".parse().unwrap();
        links.add(c(9), peer(1), Some(&address), false);
        links.add(c(5), peer(1), None, false);
        links.add(c(7), peer(1), None, true);
        links.add(c(1), peer(2), None, true);
        assert_eq!(links.direct(peer(1)), Some(c(5)));
        assert_eq!(links.dialed(peer(1)), Some(&address));
        assert_eq!(links.direct(peer(2)), None);
        links.remove(c(5));
        assert_eq!(links.direct(peer(1)), Some(c(9)));
        links.remove(c(9));
        assert_eq!((links.direct(peer(1)), links.dialed(peer(1))), (None, None));
        links.remove(c(7));
        links.remove(c(1));
        assert_eq!((links.len(), links.memory_used()), (0, 0));
    }
}
