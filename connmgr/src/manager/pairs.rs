//! One connection between two peers: a [`Pair`] for each peer that has more than one.

use super::ConnectionManager;
use crate::duplicates::{Action as PairAction, Initiator, Input as PairInput, Pair};
use crate::table::{ConnIx, PeerIx};
use crate::{Action, CloseReason, ConnectionId, Event};
use alloc::vec::Vec;
use tidewire_core::{EventMachine, Role, Time};

impl ConnectionManager {
    /// A connection was established.
    pub(super) fn pair_opened(&mut self, peer: PeerIx, ix: ConnIx) {
        if self.duplicates.per_peer == u32::MAX {
            return;
        }
        let known = self.pairs.contains_key(&peer);
        if !known {
            let open = self.book.peer(peer).map_or(0, |entry| entry.open);
            if open < 2 {
                return;
            }
            self.pairs.insert(peer, Pair::new(self.duplicates.clone()));
        }
        // The first duplicate brings the pair about: it hears of those that were there before, in their order.
        let news: Vec<PairInput> = self
            .book
            .connections_of(peer)
            .filter(|(other, entry)| !entry.is_closing() && (!known || *other == ix))
            .map(|(_, entry)| {
                let we = entry.role == Role::Initiator;
                let we_are_larger = self.book.peer(peer).is_some_and(|peer| self.local > peer.id);
                PairInput::Opened {
                    connection: entry.id,
                    relayed: entry.relayed,
                    initiator: if we { Initiator::We } else { Initiator::They },
                    larger: we == we_are_larger,
                    streams: entry.streams,
                }
            })
            .collect();
        for input in news {
            self.tell_pair(peer, input);
        }
    }

    pub(super) fn pair_streams(&mut self, peer: PeerIx, connection: ConnectionId, open: u32) {
        self.tell_pair(peer, PairInput::Streams { connection, open });
    }

    pub(super) fn pair_pong(&mut self, peer: PeerIx, connection: ConnectionId, sent: Time) {
        self.tell_pair(peer, PairInput::Pong { connection, sent });
    }

    pub(super) fn pair_closing(&mut self, peer: PeerIx, connection: ConnectionId) {
        self.tell_pair(peer, PairInput::Closing { connection });
    }

    pub(super) fn pair_closed(&mut self, peer: PeerIx, connection: ConnectionId) {
        self.tell_pair(peer, PairInput::Closed { connection });
    }

    /// A connection that the pair doesn't know (it was closing before the pair came about) is no misuse of the caller's.
    fn tell_pair(&mut self, peer: PeerIx, input: PairInput) {
        if self.pairs.is_empty() {
            return;
        }
        if let Some(pair) = self.pairs.get_mut(&peer) {
            let _ = pair.handle(self.now, input);
            self.touched_pairs.push(peer);
        }
    }

    /// Time passes for those whose moment has come.
    pub(super) fn pairs_timeout(&mut self) {
        while let Some((time, slot)) = self.pair_times.peek() {
            if time > self.now {
                break;
            }
            let peer = PeerIx(slot);
            self.pair_times.remove(slot);
            if let Some(pair) = self.pairs.get_mut(&peer) {
                pair.on_timeout(self.now);
                self.touched_pairs.push(peer);
            }
        }
    }

    /// Carries out what the touched pairs want, which may touch them again.
    pub(super) fn drain_pairs(&mut self) {
        while let Some(peer) = self.touched_pairs.pop() {
            while let Some(action) = self.pairs.get_mut(&peer).and_then(EventMachine::poll) {
                self.carry_out(peer, action);
            }
            let Some(pair) = self.pairs.get(&peer) else { continue };
            if pair.is_quiet(self.now) {
                self.pairs.remove(&peer);
                self.pair_times.remove(peer.0);
                self.forget_if_blank(peer);
            } else if pair.deadline().is_never() {
                self.pair_times.remove(peer.0);
            } else {
                self.pair_times.set(peer.0, pair.deadline());
            }
        }
    }

    fn carry_out(&mut self, peer: PeerIx, action: PairAction) {
        match action {
            PairAction::Ping { connection } => {
                if let Some(ix) = self.book.find_connection(connection) {
                    self.alive.ask(self.now, ix);
                }
            }
            PairAction::Drain { connection, onto } => self.act(Action::Drain { connection, onto }),
            PairAction::Close { connection, kept } => {
                if let Some(ix) = self.book.find_connection(connection) {
                    self.begin_close(ix, CloseReason::Superseded { kept });
                }
            }
            PairAction::Tolerate { why } => {
                if let Some(peer) = self.book.peer(peer).map(|entry| entry.id) {
                    self.tell(Event::DuplicatesTolerated { peer, why });
                }
            }
        }
    }
}
