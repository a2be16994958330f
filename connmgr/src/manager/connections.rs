//! Connections in, established, closing and gone.
//!
//! ```text
//! Incoming ---> pending ---> established ---> closing ---> gone
//!      \           |  \          ^                ^         ^
//!       v          |   '- Refuse |                |         |
//!     Refuse       '-------------|----------------|--- Closed
//!               Dial, Other -----'      Close ----'
//! ```
//! What is refused is forgotten at once. What is closing counts no longer against the hard cap, but is in the book until
//! its end is reported: its subnet, its streams and its memory are still in use.

use super::ConnectionManager;
use crate::dial::{DialFault, DialInput, DialMisuse};
use crate::limits::LimitExceeded;
use crate::table::{ConnIx, PeerIx};
use crate::{Action, By, CloseReason, ConnectionId, DialId, Direction, Event, Misuse, Origin, RefuseReason};
use alloc::vec::Vec;
use core::net::IpAddr;
use smol_str::SmolStr;
use tidewire_core::{Multiaddr, PeerId, Role};

/// Bytes of a reported reason that are kept.
const MAX_WHY: usize = 128;

impl ConnectionManager {
    pub(super) fn incoming(&mut self, connection: ConnectionId, remote: &Multiaddr) -> Result<(), Misuse> {
        if self.book.find_connection(connection).is_some() {
            return Err(Misuse::ConnectionExists(connection));
        }
        let action = match self.let_in(remote) {
            Ok(()) => {
                let _ = self.book.incoming(self.now, connection, remote.clone());
                Action::Accept { connection }
            }
            Err(reason) => Action::Refuse { connection, reason },
        };
        self.act(action);
        Ok(())
    }

    fn let_in(&mut self, remote: &Multiaddr) -> Result<(), RefuseReason> {
        if self.shut_down {
            return Err(RefuseReason::Shutdown);
        }
        let ip = remote.ip();
        if let Some(why) = ip.and_then(|ip| self.dialer.gate().ip(ip)) {
            return Err(RefuseReason::Denied { why: why.clone() });
        }
        let counted = if remote.is_relayed() { None } else { ip };
        self.limits.incoming(self.now, counted).map_err(RefuseReason::Limit)
    }

    pub(super) fn established(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        origin: Origin<'_>,
        role: Role,
        limited: bool,
    ) -> Result<(), Misuse> {
        let known = self.book.find_connection(connection);
        let newcomer = match (origin, known) {
            (Origin::Incoming, None) => return Err(Misuse::UnknownConnection(connection)),
            (Origin::Incoming, Some(ix)) => {
                let entry = self.book.connection(ix).ok_or(Misuse::UnknownConnection(connection))?;
                if entry.peer.is_some() {
                    return Err(Misuse::AlreadyEstablished(connection));
                }
                Newcomer::new(Direction::Inbound, entry.remote.clone(), Some(ix), None)
            }
            (_, Some(_)) => return Err(Misuse::ConnectionExists(connection)),
            (Origin::Dial(dial), None) => match self.dials.remove(&dial) {
                Some(pending) => Newcomer::new(Direction::Outbound, pending.address, None, Some((dial, pending.peer))),
                None if dial.0 < self.next_dial => {
                    self.act(Action::Refuse { connection, reason: RefuseReason::DialOver });
                    return Ok(());
                }
                None => return Err(DialMisuse::UnknownDial(dial).into()),
            },
            (Origin::Other { direction, remote }, None) => Newcomer::new(direction, remote.clone(), None, None),
        };
        match self.admit(&newcomer, peer) {
            Ok(victim) => {
                if let Some(victim) = victim {
                    self.close_peer(victim, &CloseReason::Evicted { newcomer: peer });
                }
                self.enter(newcomer, connection, peer, role, limited);
            }
            Err(reason) => self.turn_away(&newcomer, connection, peer, reason),
        }
        Ok(())
    }

    /// Decides about a newcomer. `Ok`: it is counted as established, and this peer goes in its favour. `Err`: it still
    /// counts as what it was.
    fn admit(&mut self, newcomer: &Newcomer, peer: PeerId) -> Result<Option<PeerIx>, RefuseReason> {
        let denied = |why: &SmolStr| RefuseReason::Denied { why: why.clone() };
        if let Some((_, expected)) = newcomer.dial
            && expected != peer
        {
            return Err(RefuseReason::WrongPeer { expected });
        }
        if peer == self.local {
            return Err(RefuseReason::Ourselves);
        }
        if self.shut_down {
            return Err(RefuseReason::Shutdown);
        }
        if let Some(why) = self.dialer.gate().peer(&peer) {
            return Err(denied(why));
        }
        if let Some(why) = newcomer.ip.and_then(|ip| self.dialer.gate().ip(ip)) {
            return Err(denied(why));
        }
        let known = self.book.find(&peer);
        let open = known.and_then(|ix| self.book.peer(ix)).map_or(0, |entry| entry.open);
        let (direction, ip) = (newcomer.direction, newcomer.counted_ip());
        self.limits.may_establish(direction, ip, open, newcomer.is_pending()).map_err(RefuseReason::Limit)?;
        let victim = match self.limits.room() {
            Ok(()) => None,
            Err(LimitExceeded { cap, .. }) => Some(self.find_victim(peer, direction, cap)?),
        };
        if newcomer.is_pending() {
            self.limits.establish(direction, ip, open)
        } else {
            self.limits.establish_new(direction, ip, open)
        }
        .map_err(RefuseReason::Limit)?;
        Ok(victim)
    }

    /// The hard cap is reached: who goes in the newcomer's favour.
    fn find_victim(&mut self, newcomer: PeerId, direction: Direction, cap: u64) -> Result<PeerIx, RefuseReason> {
        let ix = self.book.intern(newcomer);
        self.worth.evict_for(self.now, ix, direction == Direction::Outbound).map_err(|full| {
            self.forget_if_blank(ix);
            RefuseReason::Full {
                cap: u32::try_from(cap).unwrap_or(u32::MAX),
                protected: full.protected,
                in_grace: full.in_grace,
                value: full.value,
                least: full.least,
            }
        })
    }

    fn turn_away(&mut self, newcomer: &Newcomer, connection: ConnectionId, peer: PeerId, reason: RefuseReason) {
        if newcomer.is_pending() {
            self.limits.end_pending(newcomer.direction, newcomer.counted_ip());
        }
        if let Some(ix) = newcomer.pending {
            self.book.remove(ix);
        }
        if let Some((dial, expected)) = newcomer.dial {
            let fault = match &reason {
                RefuseReason::WrongPeer { .. } | RefuseReason::Ourselves => DialFault::WrongPeer(peer),
                RefuseReason::Limit(limit) => DialFault::Limit(*limit),
                RefuseReason::Denied { why } => DialFault::Gated(why.clone()),
                other => DialFault::Local(SmolStr::new(alloc::format!("{other}"))),
            };
            if matches!(fault, DialFault::WrongPeer(_)) {
                self.note_outcome(expected, &newcomer.remote, false);
            }
            self.tell_dialer(DialInput::Failed { dial, fault });
        }
        self.act(Action::Refuse { connection, reason });
    }

    fn enter(&mut self, newcomer: Newcomer, id: ConnectionId, peer: PeerId, role: Role, limited: bool) {
        let Newcomer { direction, remote, pending, dial, relayed, .. } = newcomer;
        let peer_ix = self.book.intern(peer);
        let first = self.book.peer(peer_ix).is_none_or(|entry| entry.established == 0);
        let direct = !relayed;
        let ix = match pending {
            Some(ix) => {
                self.book.establish(self.now, ix, peer_ix, role, limited);
                ix
            }
            None => match self.book.open(self.now, id, peer_ix, direction, remote.clone(), role, limited) {
                Ok(ix) | Err(ix) => ix,
            },
        };
        self.standing_changed(peer_ix);
        self.alive.opened(self.now, ix);
        self.reconnect.connected(self.now, &peer);
        self.metadata.set_connected(self.now, peer_ix, true);
        if dial.is_some() {
            self.metadata.outcome(self.now, peer_ix, &remote, true);
        }
        if first {
            self.tell(Event::Connected { peer });
        }
        self.tell(Event::ConnectionOpened { connection: id, peer, direction, remote, limited });
        match dial {
            Some((dial, _)) => self.tell_dialer(DialInput::Established { dial, connection: id, direct }),
            None if self.dialer.job(&peer) => {
                self.tell_dialer(DialInput::Connected { peer, connection: id, direct });
            }
            None => {}
        }
        self.pair_opened(peer_ix, ix);
    }

    pub(super) fn closed(&mut self, connection: ConnectionId, by: By, why: &str) -> Result<(), Misuse> {
        let ix = self.book.find_connection(connection).ok_or(Misuse::UnknownConnection(connection))?;
        let entry = self.book.connection(ix).ok_or(Misuse::UnknownConnection(connection))?;
        match entry.peer {
            None => {
                let ip = Self::counted_ip_of(entry);
                self.limits.end_pending(Direction::Inbound, ip);
                self.book.remove(ix);
            }
            Some(peer) => self.leave(ix, peer, by, why),
        }
        Ok(())
    }

    /// An established connection is gone.
    fn leave(&mut self, ix: ConnIx, peer_ix: PeerIx, by: By, why: &str) {
        while let Some(stream) = self.book.next_stream(ix) {
            self.take_stream_out(ix, peer_ix, stream);
        }
        self.held.remove(&ix);
        self.release_all(ix, peer_ix);
        self.remember_rtt(ix, peer_ix);
        self.alive.closed(ix);
        let asked = self.book.take_closing_reason(ix);
        let Some(entry) = self.book.remove(ix) else { return };
        let Some(peer) = self.book.peer(peer_ix).map(|peer| peer.id) else { return };
        self.limits.end_established(entry.direction, Self::counted_ip_of(&entry), asked.is_some());
        self.pair_closed(peer_ix, entry.id);
        if asked.is_none() {
            self.standing_changed(peer_ix);
        }
        let (by, reason) = match asked {
            Some(reason) => (By::Local, reason),
            None => (by, CloseReason::Reported { why: cut(why) }),
        };
        let stopped = matches!(reason, CloseReason::Asked { .. } | CloseReason::Denied { .. } | CloseReason::Shutdown);
        let gave_way = matches!(
            reason,
            CloseReason::Trimmed { .. } | CloseReason::Evicted { .. } | CloseReason::Emergency | CloseReason::Limit(_)
        );
        let lived = self.now.since(entry.since);
        self.tell(Event::ConnectionClosed { connection: entry.id, peer, by, reason, lived });
        if self.book.peer(peer_ix).is_none_or(|entry| entry.established == 0) {
            self.tell(Event::Disconnected { peer });
            self.metadata.set_connected(self.now, peer_ix, false);
            if stopped {
                self.reconnect.stopped(&peer);
            }
            if gave_way {
                self.reconnect.gave_way(self.now, &peer);
            } else {
                self.reconnect.disconnected(self.now, &peer);
            }
        }
        self.forget_if_blank(peer_ix);
    }

    /// Asks for a connection's end, once.
    pub(super) fn begin_close(&mut self, ix: ConnIx, reason: CloseReason) {
        let Some(entry) = self.book.connection(ix) else { return };
        let (id, direction, Some(peer)) = (entry.id, entry.direction, entry.peer) else { return };
        if !self.book.set_closing(ix, reason.clone()) {
            return;
        }
        self.limits.closing(direction);
        self.remember_rtt(ix, peer);
        self.alive.closed(ix);
        self.pair_closing(peer, id);
        self.standing_changed(peer);
        self.act(Action::Close { connection: id, reason });
    }

    /// Beside what is remembered of a peer its RTT is remembered too; by itself it isn't worth an entry.
    fn remember_rtt(&mut self, ix: ConnIx, peer: PeerIx) {
        if let Some(rtt) = self.alive.rtt(ix)
            && self.metadata.get(peer).is_some()
        {
            self.metadata.rtt(peer, rtt);
        }
    }

    /// Asks for the end of all connections to a peer.
    pub(super) fn close_peer(&mut self, peer: PeerIx, reason: &CloseReason) {
        let all: Vec<ConnIx> = self.book.connections_of(peer).map(|(ix, _)| ix).collect();
        for ix in all {
            self.begin_close(ix, reason.clone());
        }
    }

    pub(super) fn close(&mut self, connection: ConnectionId, why: &str) -> Result<(), Misuse> {
        let ix = self.book.find_connection(connection).ok_or(Misuse::UnknownConnection(connection))?;
        let pending = self.book.connection(ix).is_none_or(|entry| entry.peer.is_none());
        if pending {
            self.refuse_pending(ix, RefuseReason::Denied { why: cut(why) });
        } else {
            self.begin_close(ix, CloseReason::Asked { why: cut(why) });
        }
        Ok(())
    }

    /// Drops a connection that is not established yet.
    pub(super) fn refuse_pending(&mut self, ix: ConnIx, reason: RefuseReason) {
        let Some(entry) = self.book.remove(ix) else { return };
        self.limits.end_pending(Direction::Inbound, Self::counted_ip_of(&entry));
        self.act(Action::Refuse { connection: entry.id, reason });
    }

    /// Tells what depends on it how many connections and streams a peer has now.
    pub(super) fn standing_changed(&mut self, peer: PeerIx) {
        let Some(entry) = self.book.peer(peer) else { return };
        let standing = crate::worth::Standing {
            connections: entry.open,
            streams: entry.streams,
            outbound: entry.outbound > 0,
            newest: entry.newest,
        };
        self.worth.update(self.now, peer, standing);
    }
}

/// A connection that asks to be let into the book.
struct Newcomer {
    direction: Direction,
    remote: Multiaddr,
    /// Where it is pending, if it was incoming.
    pending: Option<ConnIx>,
    /// The dial that it came of, and who was expected.
    dial: Option<(DialId, PeerId)>,
    /// The first IP address in `remote`: the relay's, if it is relayed.
    ip: Option<IpAddr>,
    relayed: bool,
}

impl Newcomer {
    fn new(direction: Direction, remote: Multiaddr, pending: Option<ConnIx>, dial: Option<(DialId, PeerId)>) -> Self {
        let (ip, relayed) = (remote.ip(), remote.is_relayed());
        Newcomer { direction, remote, pending, dial, ip, relayed }
    }

    /// The address whose subnets it counts against.
    fn counted_ip(&self) -> Option<IpAddr> {
        if self.relayed { None } else { self.ip }
    }

    /// Whether it counts as pending until now.
    fn is_pending(&self) -> bool {
        self.pending.is_some() || self.dial.is_some()
    }
}

/// At most 128 bytes of a reason, whole characters.
pub(super) fn cut(why: &str) -> SmolStr {
    SmolStr::new(tidewire_core::cut(why, MAX_WHY))
}
