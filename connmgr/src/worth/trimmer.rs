//! Who goes: trims, emergencies, and evictions at the hard cap.

use super::order::OrderKey;
use super::peers::Place;
use super::{Entry, Worth};
use crate::table::PeerIx;
use alloc::vec::Vec;
use tidewire_core::Time;

/// What a trim decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trim {
    /// Whose connections are to be closed, all of each, and what the peer was worth. The first to go first.
    pub(crate) victims: Vec<(PeerIx, i32)>,
    /// Their connections.
    pub(crate) closed: u32,
    /// Connections before the trim.
    pub(crate) of: u32,
    /// Connections passed over because their peers are protected.
    pub(crate) protected: u32,
    /// Connections passed over because their peers are in their grace, and not protected.
    pub(crate) in_grace: u32,
}

/// Why nobody goes in favour of a newcomer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full {
    /// Connections of protected peers.
    pub(crate) protected: u32,
    /// Connections of peers in their grace that are not protected.
    pub(crate) in_grace: u32,
    /// The newcomer's value.
    pub(crate) value: i32,
    /// The least value among those who may be closed, if there is one.
    pub(crate) least: Option<i32>,
}

impl Worth {
    /// The trim that is due, if one is.
    pub(crate) fn trim(&mut self, now: Time) -> Option<Trim> {
        let due = self.next_trim();
        if due > now || due.is_never() {
            return None;
        }
        Some(self.trim_now(now))
    }

    /// A trim down to the low watermark, whatever the high one and the silence say. Does nothing if trimming is off.
    pub(crate) fn trim_now(&mut self, now: Time) -> Trim {
        let mut trim = self.begin(now);
        if !self.is_off() {
            let target = self.sums.candidates.saturating_sub(self.config.low);
            while trim.closed < target
                && let Some((_, peer)) = self.candidates.peek()
            {
                self.add_victim(&mut trim, peer);
            }
        }
        trim
    }

    /// A trim down to the low watermark that passes over grace, and over protection where nothing else is left. Linear in the
    /// number of peers in their grace, and of all peers if protected ones must go. Temporary entries are dropped. Without a
    /// low watermark no connection is closed: nothing says how many may stay.
    pub(crate) fn emergency(&mut self, now: Time) -> Trim {
        let mut trim = self.begin(now);
        trim.in_grace = 0; // grace holds nobody back here
        while let Some((_, peer)) = self.early.peek() {
            self.drop_early(peer);
        }
        if self.config.low == 0 {
            return trim;
        }
        let target = trim.of.saturating_sub(self.config.low);
        let mut young = self.in_order(Place::Grace, self.grace.iter().map(|(_, peer)| peer), target);
        while trim.closed < target {
            let peer = match (self.candidates.peek(), young.last()) {
                (Some(old), Some(last)) if old < *last => old.1,
                (Some(old), None) => old.1,
                (_, Some(_)) => match young.pop() {
                    Some((_, peer)) => peer,
                    None => break,
                },
                (None, None) => break,
            };
            self.add_victim(&mut trim, peer);
        }
        let all = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let mut protected = self.in_order(Place::Protected, 0..all, target.saturating_sub(trim.closed));
        while trim.closed < target
            && let Some((_, peer)) = protected.pop()
        {
            self.add_victim(&mut trim, peer);
        }
        trim.protected = self.sums.protected;
        trim
    }

    /// Who goes in favour of a newcomer, who may be connected already. Only one who is worth less; at the same value one
    /// without streams, whose connections are all inbound, goes for a newcomer that we dialed. Equals never go.
    pub(crate) fn evict_for(&mut self, now: Time, newcomer: PeerIx, outbound: bool) -> Result<PeerIx, Full> {
        self.pass(now);
        self.end_graces(now);
        let own = self.candidates.remove(newcomer.0);
        let least = self.candidates.peek();
        if let Some(key) = own {
            self.candidates.set(newcomer.0, key);
        }
        let value = self.value(newcomer);
        let class = OrderKey::new(value, 0, outbound, now).class();
        match least {
            Some((key, peer)) if self.is_protected(newcomer, None) || key.class() < class => {
                self.choose(peer);
                Ok(PeerIx(peer))
            }
            _ => Err(Full {
                protected: self.sums.protected,
                in_grace: self.sums.grace,
                value,
                least: least.map(|(_, peer)| self.value(PeerIx(peer))),
            }),
        }
    }

    /// When the next trim is to be tried: after the silence, if there are enough connections.
    pub(super) fn next_trim(&self) -> Time {
        if self.is_off() || self.sums.total() < self.config.high { Time::NEVER } else { self.silent_until }
    }

    /// Either watermark switches trimming off.
    pub(super) fn is_off(&self) -> bool {
        self.config.low == 0 || self.config.high == 0
    }

    fn begin(&mut self, now: Time) -> Trim {
        self.pass(now);
        self.end_graces(now);
        self.silent_until = now + self.config.silence;
        Trim { of: self.sums.total(), protected: self.sums.protected, in_grace: self.sums.grace, ..Trim::default() }
    }

    fn add_victim(&mut self, trim: &mut Trim, peer: u32) {
        if let Some((connections, value)) = self.choose(peer) {
            trim.closed = trim.closed.saturating_add(connections);
            trim.victims.push((PeerIx(peer), value));
        }
    }

    /// Those of some peers who stand at a place, the first to go last. None if none are needed.
    fn in_order(&self, place: Place, peers: impl Iterator<Item = u32>, needed: u32) -> Vec<(OrderKey, u32)> {
        if needed == 0 {
            return Vec::new();
        }
        let at_place = |peer: &u32| self.entry(*peer).filter(|entry| entry.place == place).map(Entry::order);
        let mut found: Vec<_> = peers.filter_map(|peer| Some((at_place(&peer)?, peer))).collect();
        found.sort_unstable_by(|left, right| right.cmp(left));
        found
    }
}
