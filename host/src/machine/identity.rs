//! Who the others are, and who we say that we are.
//!
//! What a peer says of itself goes to the manager's metadata and to the application. What we say, our `Profile`, follows from
//! where we listen, how others see us, and what we serve; when it changes, it is pushed a while later, and told at once to
//! whoever asks. Whom we reached through a relay is told without asking.

use super::Host;
use crate::identify::{Identity, PUSH, Profile};
use crate::link::Order;
use crate::{Action, ConnectionId, Direction, Event};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use tidewire_connmgr as connmgr;
use tidewire_connmgr::metadata::Source;
use tidewire_core::{Multiaddr, PeerId, Time, UnixTime};
use tidewire_multistream::Protocol;

/// What is known of connected peers, and of ourselves.
#[derive(Debug)]
pub(super) struct Identities {
    peers: BTreeMap<PeerId, Box<Identity>>,
    bytes: usize,
    epoch: UnixTime,
    /// The number of our latest profile.
    seq: u64,
    profile: Option<Box<Profile>>,
}

impl Identities {
    pub(super) fn new(epoch: UnixTime) -> Self {
        Identities { peers: BTreeMap::new(), bytes: 0, epoch, seq: 0, profile: None }
    }

    pub(super) fn get(&self, peer: &PeerId) -> Option<&Identity> {
        self.peers.get(peer).map(|identity| &**identity)
    }

    pub(super) fn profile(&self) -> Option<&Profile> {
        self.profile.as_deref()
    }

    fn insert(&mut self, peer: PeerId, identity: Box<Identity>) {
        self.remove(&peer);
        self.bytes += identity.memory_used();
        self.peers.insert(peer, identity);
    }

    fn remove(&mut self, peer: &PeerId) -> Option<Box<Identity>> {
        let identity = self.peers.remove(peer)?;
        self.bytes = self.bytes.saturating_sub(identity.memory_used());
        Some(identity)
    }

    /// Grows from one profile to the next, and from one run to the next: nanoseconds of the wall clock.
    fn next_seq(&mut self, now: Time) -> u64 {
        let clock = self.epoch.as_secs().saturating_mul(1_000_000_000).saturating_add(now.as_nanos());
        self.seq = clock.max(self.seq.saturating_add(1));
        self.seq
    }

    pub(super) fn memory_used(&self) -> usize {
        self.bytes + self.peers.len() * size_of::<(PeerId, Box<Identity>, Identity)>()
    }
}

impl Host {
    /// A peer said who it is.
    pub(super) fn identified(&mut self, connection: ConnectionId, peer: PeerId, identity: Box<Identity>, pushed: bool) {
        // Each connection is seen from elsewhere, so what it saw of us goes with it.
        if let Some(seen) = &identity.observed
            && let Some(entry) = self.connections.get(&connection)
        {
            self.reach.observed(self.now, connection, &entry.remote, &entry.local, seen);
        }
        let identity = match (pushed, self.identities.remove(&peer)) {
            (true, Some(mut known)) => {
                known.merge_push(*identity);
                known
            }
            (false, Some(known)) => newer(*known, *identity),
            (_, None) => identity,
        };
        let protocols: Vec<&str> = identity.protocols.iter().map(Protocol::as_str).collect();
        self.manage(connmgr::Input::Identified { peer, protocols: &protocols, agent: identity.agent.as_deref() });
        // Nobody else lives where we live: such an address would lead to ourselves.
        let own = |address: &&Multiaddr| !self.reach.is_ours(address);
        let addresses: Vec<Multiaddr> = identity.listen_addresses().iter().filter(own).cloned().collect();
        let source = if identity.is_signed() { Source::Signed } else { Source::Identify };
        let ttl = self.config.identify_ttl;
        self.manage(connmgr::Input::Addresses { peer, addresses: &addresses, source, ttl });
        self.nat_identified(connection, peer, &identity);
        let seen = identity.observed.clone();
        self.identities.insert(peer, identity.clone());
        self.punching_identified(connection, peer, seen.as_ref(), pushed);
        self.tell(Event::Identified { connection, peer, identity, pushed });
        // Until now nobody knew that it takes pushes, and it may have asked before the last change.
        if self.is_behind(connection) && !self.is_push_due() {
            self.push(connection, &peer);
        }
    }

    /// The last connection to a peer is gone.
    pub(super) fn forget_identity(&mut self, peer: &PeerId) {
        self.identities.remove(peer);
    }

    /// What we say of ourselves, if it is not what we said last.
    pub(super) fn announce(&mut self, addresses: Vec<Multiaddr>, protocols: Vec<Protocol>) {
        let (protocol_version, agent) = (self.config.protocol_version.clone(), self.config.agent.clone());
        let mut profile = Profile { protocol_version, agent, protocols, addresses, ..Profile::default() };
        if let Some(last) = &self.identities.profile {
            profile.seq = last.seq;
            if **last == profile {
                return;
            }
            if last.addresses != profile.addresses {
                self.tell(Event::Announced { addresses: profile.addresses.clone() });
            }
        } else if !profile.addresses.is_empty() {
            self.tell(Event::Announced { addresses: profile.addresses.clone() });
        }
        profile.seq = self.identities.next_seq(self.now);
        let profile = Box::new(profile);
        self.identities.profile = Some(profile.clone());
        self.act(Action::Profile(profile));
    }

    /// A peer asks who we are: it is told what holds now.
    pub(super) fn asked_who(&mut self, connection: ConnectionId) {
        self.refresh();
        let seq = self.profile().map_or(0, |profile| profile.seq);
        if let Some(entry) = self.connections.get_mut(&connection) {
            entry.told = seq;
        }
    }

    /// Tells each peer that takes it, on its best connection, unless it asked since the last change.
    pub(super) fn push_all(&mut self) {
        let peers: Vec<PeerId> = self.manager.connected_peers().collect();
        for peer in peers {
            if let Some(connection) = self.manager.best_connection(&peer, true)
                && self.is_behind(connection)
            {
                self.push(connection, &peer);
            }
        }
    }

    /// Whether something changed since it was told on this connection who we are.
    fn is_behind(&self, connection: ConnectionId) -> bool {
        let seq = self.profile().map_or(0, |profile| profile.seq);
        self.connections.get(&connection).is_some_and(|entry| entry.told < seq)
    }

    /// Says unasked who we are to a peer that we reached through a relay, with the first bytes: it makes a direct connection of
    /// it once it knows us (libp2p/specs relay/DCUtR.md, "The Protocol"), and would ask first, for a round trip of the relay.
    /// Whether it takes pushes isn't known yet; if it doesn't, it refuses the stream, and asks.
    pub(super) fn introduce(&mut self, connection: ConnectionId, peer: &PeerId) {
        let Some(entry) = self.connections.get(&connection) else { return };
        let reached = entry.direction == Direction::Outbound && entry.remote.is_relayed();
        // On an earlier connection the peer has asked us, or will have soon.
        let first = self.manager.connections_of(peer).count() == 1;
        if reached && first && self.config.push && self.punching().is_some() {
            self.refresh();
            self.order_push(connection);
        }
    }

    /// Tells a peer on this connection, if it takes it.
    fn push(&mut self, connection: ConnectionId, peer: &PeerId) {
        if self.config.push && self.identity(peer).is_some_and(|identity| identity.protocols.contains(&PUSH)) {
            self.order_push(connection);
        }
    }

    fn order_push(&mut self, connection: ConnectionId) {
        let seq = self.profile().map_or(0, |profile| profile.seq);
        if let Some(entry) = self.connections.get_mut(&connection) {
            entry.told = seq;
            self.act(Action::Order { connection, order: Order::Push });
        }
    }
}

/// The answer to a question on a further connection. A record that is older than the one that is known is a replay, or
/// crossed it on the way.
fn newer(mut known: Identity, mut said: Identity) -> Box<Identity> {
    if said.record.as_ref().zip(known.record.as_ref()).is_some_and(|(said, known)| !said.is_newer_than(known)) {
        known.merge_push(said);
        return Box::new(known);
    }
    said.refused = said.refused.or(known.refused);
    Box::new(said)
}
