//! What a host knows, for whoever asks.

use super::Host;
use crate::identify::{Identity, Profile};
use crate::{ConnectionId, Direction, OpenId};
use tidewire_connmgr::ConnectionManager;
use tidewire_core::{Multiaddr, PeerId, Time};
use tidewire_multistream::Protocols;
use tidewire_upgrade::muxer::MuxerKind;

/// A connection, as the host sees it. What the manager knows is in its own view.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ConnectionView<'a> {
    /// Which.
    pub connection: ConnectionId,
    /// Who is at the other end, once that is proven.
    pub peer: Option<PeerId>,
    /// Our end.
    pub local: &'a Multiaddr,
    /// The remote's end.
    pub remote: &'a Multiaddr,
    /// Who opened it.
    pub direction: Direction,
    /// When its transport was there.
    pub since: Time,
    /// The security protocol, once it is upgraded.
    pub security: Option<&'a str>,
    /// The multiplexer, once it is upgraded.
    pub muxer: Option<MuxerKind>,
}

/// A wish for a stream that was not answered yet.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct OpeningView<'a> {
    /// Which.
    pub open: OpenId,
    /// With whom.
    pub peer: PeerId,
    /// What is proposed.
    pub protocols: &'a Protocols,
    /// The connection whose link has the order.
    pub connection: Option<ConnectionId>,
}

impl Host {
    /// Who we are.
    pub fn local_peer(&self) -> PeerId {
        self.local
    }

    /// The connection manager: who is connected, what they are worth, and why.
    pub fn manager(&self) -> &ConnectionManager {
        &self.manager
    }

    /// What a connected peer said of itself, pushes included.
    pub fn identity(&self, peer: &PeerId) -> Option<&Identity> {
        self.identities.get(peer)
    }

    /// What we say of ourselves.
    pub fn profile(&self) -> Option<&Profile> {
        self.identities.profile()
    }

    /// All connections, those in their upgrade among them.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionView<'_>> {
        self.connections.iter().map(|(connection, entry)| ConnectionView {
            connection: *connection,
            peer: entry.peer,
            local: &entry.local,
            remote: &entry.remote,
            direction: entry.direction,
            since: entry.since,
            security: entry.upgraded.as_ref().map(|upgraded| upgraded.security.as_str()),
            muxer: entry.upgraded.as_ref().map(|upgraded| upgraded.muxer),
        })
    }

    /// The wishes for streams that were not answered yet.
    pub fn openings(&self) -> impl Iterator<Item = OpeningView<'_>> {
        self.openings.iter().map(|(open, opening)| OpeningView {
            open,
            peer: opening.peer,
            protocols: &opening.protocols,
            connection: opening.connection,
        })
    }
}
