//! The manager as a state of a model check: copied, compared, its clock set back. Behind the feature `model`, for tests of what
//! stands on the manager; no part of the interface.
//!
//! ```text
//!   level 0, 1, .. (pings and marks, in turns) .. windows' beginnings .. PRESENT .. graces, short then long .. windows' ends
//! ```
//! Two managers are alike if they decide alike whatever follows. What decisions depend on, with everything switched off that
//! needs a configuration to take part: the connections of each peer in the order of their establishment, each with its class,
//! its streams, and the ping that is under way; those that are pending; and what the rule of duplicates knows.
//!
//! Left out, and why nothing reads it: round-trip times (they set the time for an answer, whose end a model does not reach);
//! when a connection was established or used (the order counts, and idleness is off); `Worth` and `Limits` (sums over the book,
//! compared with caps that a model does not reach); numbers of slots, and the keys of hash tables. Whoever has jobs, redials,
//! tags, metadata, or memory in use is no state: hashing it panics.

use super::ConnectionManager;
use crate::duplicates::Moment;
use crate::table::{ConnIx, PeerIx};
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};
use tidewire_core::{EventMachine, Time};

/// The present, in nanoseconds.
const PRESENT: u64 = 1_000;
/// How much later than the short graces the long ones are.
const LONG: u64 = 500_000;

impl ConnectionManager {
    /// The present after [`ConnectionManager::rebase`].
    #[doc(hidden)]
    pub const PRESENT: Time = Time::from_nanos(PRESENT);

    /// Gives the moments that are stored names around a fixed present, which keep what their comparisons say, and makes that the
    /// present. So managers that decide alike are alike.
    ///
    /// Pings are compared with marks alone (`sent >= mark`): what counts is how they take turns. Of what is still to come the
    /// order counts: a grace is a microsecond at least, or nothing.
    #[doc(hidden)]
    pub fn rebase(&mut self) {
        let mut all = Vec::new();
        self.each_moment(self.now, &mut |moment, at| {
            all.push((at, moment));
            at
        });
        // At the same moment, the ping counts as sent after the mark.
        all.sort_by_key(|(at, moment)| (*at, *moment == Moment::Sent));
        all.dedup();
        let names = self.names(&all);
        let present = Self::PRESENT;
        self.each_moment(present, &mut |moment, at| {
            let known = names.iter().find(|(known, _)| *known == (at, moment));
            known.map_or(at, |(_, name)| *name)
        });
        self.now = present;
        self.pair_times = crate::table::Heap::new();
        for (peer, pair) in self.pairs.iter().filter(|(_, pair)| !pair.deadline().is_never()) {
            self.pair_times.set(peer.0, pair.deadline());
        }
        for peer in self.book.peers().collect::<Vec<_>>() {
            let connections: Vec<ConnIx> = self.book.connections_of(peer).map(|(ix, _)| ix).collect();
            for (age, ix) in (1..).zip(connections) {
                if let Some(connection) = self.book.connection_mut(ix) {
                    (connection.since, connection.used) = (Time::from_nanos(age), present);
                }
            }
        }
    }

    fn names(&self, all: &[(Time, Moment)]) -> Vec<((Time, Moment), Time)> {
        let (now, long) = (self.now, self.duplicates.grace.saturating_mul(2));
        let (mut level, mut last, mut to_come) = (0, Moment::Sent, 0);
        let windows = all.iter().filter(|(_, moment)| *moment == Moment::Window).count();
        let mut windows = u64::try_from(windows).unwrap_or_default();
        let name = |(at, moment): &(Time, Moment)| match moment {
            Moment::Grace if at.is_never() => u64::MAX,
            Moment::Grace if *at <= now => 0,
            Moment::Grace => {
                to_come += 1;
                PRESENT + to_come + if at.since(now) > long { LONG } else { 10 }
            }
            Moment::Window => {
                windows -= 1;
                PRESENT - windows
            }
            Moment::Mark | Moment::Sent => {
                level += u64::from(*moment == Moment::Mark && last == Moment::Sent);
                last = *moment;
                level
            }
        };
        let names: Vec<Time> = all.iter().map(name).map(Time::from_nanos).collect();
        all.iter().copied().zip(names).collect()
    }

    fn each_moment(&mut self, now: Time, map: &mut dyn FnMut(Moment, Time) -> Time) {
        for pair in self.pairs.values_mut() {
            pair.rebase(now, map);
        }
        self.alive.rebase(now, &mut |sent| map(Moment::Sent, sent));
    }

    /// Whether all parts are at rest that [`Hash`] leaves out.
    fn is_bare(&self) -> bool {
        let (dials, worth) = (self.dialer.counts(), &self.worth);
        let idle = self.actions.is_empty() && self.touched_pairs.is_empty() && !self.shut_down;
        let tags = |peer: PeerIx| worth.tags(peer).count() + worth.protections(peer).count();
        let known = |peer: PeerIx| tags(peer) > 0 || self.metadata.get(peer).is_some();
        idle && dials.jobs + dials.dials == 0
            && self.dials.is_empty()
            && self.held.is_empty()
            && self.limits.counts().memory == 0
            && self.reconnect.is_empty()
            && self.book.peers().all(|peer| !known(peer))
    }
}

/// What decisions depend on, and nothing else.
///
/// # Panics
/// If actions wait to be polled, or a part is in use that is left out.
impl Hash for ConnectionManager {
    fn hash<H: Hasher>(&self, state: &mut H) {
        assert!(self.is_bare(), "a part of the manager is in use that is no part of its state");
        let mut pending: Vec<_> = self.book.connections().filter(|(_, entry)| entry.peer.is_none()).collect();
        pending.sort_unstable_by_key(|(_, entry)| entry.id);
        for (_, entry) in &pending {
            (entry.id, entry.relayed, entry.is_closing()).hash(state);
        }
        pending.len().hash(state);
        let mut peers: Vec<PeerIx> = self.book.peers().collect();
        peers.sort_unstable_by_key(|peer| self.book.peer(*peer).map(|entry| entry.id));
        for peer in peers {
            self.book.peer(peer).map(|entry| (entry.id, entry.established)).hash(state);
            for (ix, entry) in self.book.connections_of(peer) {
                (entry.id, entry.direction, entry.role, entry.relayed, entry.limited).hash(state);
                (entry.is_closing(), entry.streams, self.alive.ping(ix)).hash(state);
            }
            self.pairs.get(&peer).hash(state);
        }
    }
}
