//! What can be asked: who is connected, with what, and why a peer would stay or go.

use super::ConnectionManager;
use crate::book::Connection;
use crate::dial::Gate;
use crate::limits::{self, LimitExceeded};
use crate::metadata::{AddressRecord, PeerMetadata};
use crate::table::PeerIx;
use crate::worth::{Fate, Verdict};
use crate::{CloseReason, ConnectionId, Direction};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use tidewire_core::{Multiaddr, PeerId, Role, Time, Transport};

/// What bytes are reserved for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryScope {
    /// Everything together.
    System,
    /// One peer, connected or not.
    Peer(PeerId),
    /// One established connection, and so its peer.
    Connection(ConnectionId),
}

/// One connection, as it stands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionView<'a> {
    /// The caller's name for it.
    pub id: ConnectionId,
    /// Who is at the other end; `None` while it is pending.
    pub peer: Option<PeerId>,
    /// Who opened it.
    pub direction: Direction,
    /// Our role in its security handshake.
    pub role: Role,
    /// Where the other end is.
    pub remote: &'a Multiaddr,
    /// What carries it.
    pub transport: Transport,
    /// Whether a relay lies on the way.
    pub relayed: bool,
    /// Whether that relay limits it.
    pub limited: bool,
    /// Since when it is established; since when it is there, while it is pending.
    pub since: Time,
    /// When it was last used, as far as was told: streams opened and closed, and `Used`.
    pub used: Time,
    /// Streams that the remote opened.
    pub inbound_streams: u32,
    /// Streams that we opened.
    pub outbound_streams: u32,
    /// Bytes reserved for it.
    pub memory: u64,
    /// The smoothed time that a ping takes.
    pub rtt: Option<Duration>,
    /// Why it is being closed.
    pub closing: Option<&'a CloseReason>,
}

/// One peer, as it stands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PeerView<'a> {
    /// Who.
    pub id: PeerId,
    /// Connections, those that are closing included.
    pub connections: u32,
    /// Streams on all of them.
    pub streams: u32,
    /// Bytes reserved for it and its connections.
    pub memory: u64,
    /// The sum of its tags.
    pub value: i32,
    /// Its tags.
    pub tags: Vec<(&'a str, i32)>,
    /// Why it is protected; empty if it isn't.
    pub protections: Vec<&'a str>,
    /// Whether it is redialed when its last connection is lost.
    pub kept_alive: bool,
    /// The smoothed time that a ping takes on its best connection, or took on the last one.
    pub rtt: Option<Duration>,
    /// What is remembered about it.
    pub metadata: Option<&'a PeerMetadata>,
}

/// How much there is of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Peers with a connection.
    pub connected_peers: u32,
    /// Peers about whom anything is known.
    pub known_peers: u32,
    /// Peers that are dialed, or wait for it.
    pub dialed_peers: u32,
    /// What the limits count.
    pub limits: limits::Counts,
}

/// Why a peer's connections would be closed or not, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// Who.
    pub peer: PeerId,
    /// What the watermarks say.
    pub verdict: Verdict,
    /// The hard cap, if it is reached: a newcomer comes only in somebody's stead.
    pub full: Option<LimitExceeded>,
    /// Connections that are being closed already, and why.
    pub closing: Vec<(ConnectionId, CloseReason)>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.peer, self.verdict)?;
        if let Some(full) = &self.full {
            write!(f, "; {full}, so that a more valuable newcomer takes the least valuable's place")?;
        }
        for (connection, reason) in &self.closing {
            write!(f, "; connection {connection} is being closed: {reason}")?;
        }
        Ok(())
    }
}

impl ConnectionManager {
    /// Whether there is an established connection to this peer, one that is closing included.
    pub fn is_connected(&self, peer: &PeerId) -> bool {
        self.book.find(peer).and_then(|ix| self.book.peer(ix)).is_some_and(|entry| entry.established > 0)
    }

    /// The connection that new streams to this peer go on: the one that rule A settled on, else unlimited before limited,
    /// direct before relayed, more streams, the newest (go-libp2p's order). Never one that is closing. Without `relayed`, only
    /// a direct one: streams wait for it unless their protocol is made for limited connections.
    pub fn best_connection(&self, peer: &PeerId, relayed: bool) -> Option<ConnectionId> {
        let ix = self.book.find(peer)?;
        let chosen = self.pairs.get(&ix).and_then(|pair| pair.preferred(!relayed));
        self.book
            .connections_of(ix)
            .map(|(_, entry)| entry)
            .filter(|entry| !entry.is_closing() && (relayed || !entry.relayed))
            .max_by_key(|entry| {
                (!entry.limited, !entry.relayed, chosen == Some(entry.id), entry.streams, entry.since, entry.id)
            })
            .map(|entry| entry.id)
    }

    /// Connected peers, in no particular order that means anything, but the same in every run.
    pub fn connected_peers(&self) -> impl Iterator<Item = PeerId> {
        self.book
            .peers()
            .filter_map(|ix| self.book.peer(ix))
            .filter(|entry| entry.established > 0)
            .map(|entry| entry.id)
    }

    /// All connections, pending ones included.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionView<'_>> {
        self.book.connections().map(|(ix, entry)| self.view(ix, entry))
    }

    /// The connections to one peer, the oldest first.
    pub fn connections_of(&self, peer: &PeerId) -> impl Iterator<Item = ConnectionView<'_>> {
        let ix = self.book.find(peer);
        ix.into_iter().flat_map(|ix| self.book.connections_of(ix)).map(|(ix, entry)| self.view(ix, entry))
    }

    /// One connection.
    pub fn connection(&self, id: ConnectionId) -> Option<ConnectionView<'_>> {
        let ix = self.book.find_connection(id)?;
        self.book.connection(ix).map(|entry| self.view(ix, entry))
    }

    fn view<'a>(&'a self, ix: crate::table::ConnIx, entry: &'a Connection) -> ConnectionView<'a> {
        ConnectionView {
            id: entry.id,
            peer: entry.peer.and_then(|peer| self.book.peer(peer)).map(|peer| peer.id),
            direction: entry.direction,
            role: entry.role,
            remote: &entry.remote,
            transport: entry.remote.transport(),
            relayed: entry.relayed,
            limited: entry.limited,
            since: entry.since,
            used: entry.used,
            inbound_streams: entry.scope.inbound_streams,
            outbound_streams: entry.scope.outbound_streams,
            memory: entry.scope.memory,
            rtt: self.alive.rtt(ix),
            closing: self.book.closing_reason(ix),
        }
    }

    /// One peer; `None` if nothing is known about it.
    pub fn peer(&self, peer: &PeerId) -> Option<PeerView<'_>> {
        let ix = self.book.find(peer)?;
        let entry = self.book.peer(ix)?;
        let metadata = self.metadata.get(ix);
        let best = self.best_connection(peer, true).and_then(|id| self.book.find_connection(id));
        let rtt = best.and_then(|ix| self.alive.rtt(ix)).or_else(|| metadata.and_then(PeerMetadata::rtt));
        Some(PeerView {
            id: entry.id,
            connections: entry.established,
            streams: entry.scope.inbound_streams.saturating_add(entry.scope.outbound_streams),
            memory: entry.scope.memory,
            value: self.worth.value(ix),
            tags: self.worth.tags(ix).map(|(name, value, _)| (name, value)).collect(),
            protections: self.worth.protections(ix).collect(),
            kept_alive: self.reconnect.is_kept(peer),
            rtt,
            metadata,
        })
    }

    /// Addresses of a peer that may still be believed.
    pub fn addresses_of(&self, peer: &PeerId) -> impl Iterator<Item = &AddressRecord> {
        self.book.find(peer).into_iter().flat_map(|ix| self.metadata.addresses(self.now, ix))
    }

    /// Why a peer's connections would be closed, or would not, as of the last call. Walks over all peers: for people, not for
    /// each event.
    pub fn explain(&self, peer: &PeerId) -> Explanation {
        let ix = self.book.find(peer);
        let closing = ix.into_iter().flat_map(|ix| self.book.connections_of(ix)).filter_map(|(ix, entry)| {
            let reason = self.book.closing_reason(ix)?;
            Some((entry.id, reason.clone()))
        });
        let closing: Vec<(ConnectionId, CloseReason)> = closing.collect();
        let mut verdict = self.worth.explain(self.now, ix.unwrap_or(PeerIx(u32::MAX)));
        // What is closing is no part of worth any more.
        if !closing.is_empty() && matches!(verdict.fate, Fate::NotConnected { .. }) {
            verdict.fate = Fate::Closing;
        }
        Explanation { peer: *peer, verdict, full: self.limits.room().err(), closing }
    }

    /// Whether the peer is protected, for this reason or for any.
    pub fn is_protected(&self, peer: &PeerId, reason: Option<&str>) -> bool {
        self.book.find(peer).is_some_and(|ix| self.worth.is_protected(ix, reason))
    }

    /// The rules of the gate.
    pub fn gate(&self) -> &Gate {
        self.dialer.gate()
    }

    /// How much there is of everything.
    pub fn counts(&self) -> Counts {
        let book = self.book.counts();
        Counts {
            connected_peers: book.connected_peers,
            known_peers: book.peers,
            dialed_peers: self.dialer.counts().jobs,
            limits: self.limits.counts(),
        }
    }
}
