//! The peers that can be asked, and which of them were asked lately.

use crate::ConnectionId;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;
use tidewire_core::{PeerId, Time};

#[derive(Debug, Default)]
pub(super) struct Servers {
    connected: BTreeMap<ConnectionId, PeerId>,
    /// Who was asked, until when it is left alone; also of peers that are gone, so that coming back changes nothing.
    resting: BTreeMap<PeerId, Time>,
}

impl Servers {
    /// A connection to one. Beyond `max` connections it is passed over.
    pub(super) fn add(&mut self, connection: ConnectionId, peer: PeerId, max: u32) {
        let full = self.connected.len() >= usize::try_from(max).unwrap_or(usize::MAX);
        if !full || self.connected.contains_key(&connection) {
            self.connected.insert(connection, peer);
        }
    }

    pub(super) fn remove(&mut self, connection: ConnectionId) {
        self.connected.remove(&connection);
    }

    /// It was asked now.
    pub(super) fn asked(&mut self, now: Time, peer: PeerId, pause: Duration, max: u32) {
        self.resting.retain(|_, until| *until > now);
        self.resting.insert(peer, now + pause);
        if self.resting.len() > usize::try_from(max).unwrap_or(usize::MAX).max(1) {
            let first = self.resting.iter().map(|(peer, until)| (*until, *peer)).min();
            if let Some((_, peer)) = first {
                self.resting.remove(&peer);
            }
        }
    }

    /// Those that may be asked now, each with one connection, in order.
    pub(super) fn free(&self, now: Time) -> Vec<(PeerId, ConnectionId)> {
        let mut free: BTreeMap<PeerId, ConnectionId> = BTreeMap::new();
        for (connection, peer) in &self.connected {
            if self.free_at(peer) <= now {
                free.entry(*peer).or_insert(*connection);
            }
        }
        free.into_iter().collect()
    }

    /// When the first of those that `may` be asked may be; `None` if there is none.
    pub(super) fn next_free(&self, may: impl Fn(&PeerId) -> bool) -> Option<Time> {
        self.connected.values().filter(|peer| may(peer)).map(|peer| self.free_at(peer)).min()
    }

    /// Connections.
    pub(super) fn len(&self) -> usize {
        self.connected.len()
    }

    pub(super) fn memory_used(&self) -> usize {
        // The trees' nodes are taken to be two thirds full, as random insertion leaves them.
        let connected = self.connected.len() * (size_of::<ConnectionId>() + size_of::<PeerId>());
        let resting = self.resting.len() * (size_of::<PeerId>() + size_of::<Time>());
        (connected + resting) / 2 * 3
    }

    fn free_at(&self, peer: &PeerId) -> Time {
        self.resting.get(peer).copied().unwrap_or(Time::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autonat::testing::peer;
    use alloc::vec;

    const PAUSE: Duration = Duration::from_secs(60);

    #[test]
    fn each_peer_is_free_once_however_many_connections_it_has() {
        let mut servers = Servers::default();
        for (connection, n) in [(5, 1), (3, 1), (4, 2)] {
            servers.add(ConnectionId(connection), peer(n), 10);
        }
        let mut expected = vec![(peer(1), ConnectionId(3)), (peer(2), ConnectionId(4))];
        expected.sort_unstable();
        assert_eq!(servers.free(Time::ZERO), expected);
        servers.asked(Time::ZERO, peer(1), PAUSE, 10);
        assert_eq!(servers.free(Time::ZERO), [(peer(2), ConnectionId(4))]);
        assert_eq!(servers.next_free(|who| *who == peer(1)), Some(Time::ZERO + PAUSE));
        assert_eq!(servers.free(Time::ZERO + PAUSE), expected);
    }

    #[test]
    fn connections_and_those_who_rest_have_a_cap() {
        let mut servers = Servers::default();
        for n in 0..100 {
            servers.add(ConnectionId(n.into()), peer(n), 3);
            servers.asked(Time::from_nanos(n.into()), peer(n), PAUSE, 3);
        }
        assert_eq!((servers.len(), servers.resting.len()), (3, 3));
        assert!(servers.resting.contains_key(&peer(99)), "who would be free first is forgotten first");
        servers.remove(ConnectionId(0));
        servers.add(ConnectionId(7), peer(7), 3);
        assert_eq!(servers.len(), 3);
    }
}
