//! What a peer is worth, and who goes when there are too many.
//!
//! ```text
//!              first tag             first connection, whose tags it keeps
//!   nothing ------------> early -----------------+
//!      ^  <-- lifetime ---'                      v
//!      |                              +-- grace --(its end)--> candidate --trim--> chosen
//!      |                              |      protect | ^ unprotect |                 |
//!      |                              |              v |           |                 |
//!      |                              '------->   protected   <----'                 |
//!      '------ last connection: the tags go, the protection stays <------------------'
//! ```
//!
//! # Who goes first
//!
//! Closing a peer closes all its connections. Each criterion decides only where those before it are equal:
//!
//! 1. temporary entries (tags of peers without a connection): they end by their lifetime, or at once in an emergency, and
//!    closing them closes nothing;
//! 2. lower value, which is the sum of the tags;
//! 3. no streams before streams;
//! 4. all connections opened by the remote before some opened by us;
//! 5. fewer streams;
//! 6. the youngest connection younger before older: old connections are harder to come by, also for one who wants to
//!    surround us;
//! 7. lower number in our book.
//!
//! Watermarks, tags and the first five criteria are go-libp2p's; js-libp2p has value, streams, inbound, newest. What
//! that means for one peer is told by [`ConnectionManager::explain`](crate::ConnectionManager::explain), in a [`Verdict`].
//!
//! | what | who may go | how many |
//! |---|---|---|
//! | a trim | candidates | connections of candidates down to `low` |
//! | an emergency | candidates and peers in their grace, in one order; then protected ones | all connections down to `low` |
//! | a newcomer at the hard cap | the first candidate, if by 2 to 4 the newcomer comes after it, or is protected | one peer |
//!
//! A newcomer has no streams yet, so that by 3 it never comes after another. Equals never go in favour of each other, or two
//! peers could push each other out for ever. A trim takes one look at each victim and none at those who stay.

mod config;
mod decay;
mod explain;
mod order;
mod peers;
mod tags;
#[cfg(test)]
mod tests;
mod trimmer;

pub use config::{Bump, Decay, DecayingTag, TagChange, TagError, WorthConfig};
pub use explain::{Fate, Rank, Verdict};
pub(crate) use trimmer::Trim;

use crate::table::{Heap, PeerIx};
use alloc::vec::Vec;
use core::time::Duration;
use decay::Definitions;
use order::OrderKey;
use peers::{Entry, Sums};
use smol_str::SmolStr;
use tags::{Decaying, Details};
use tidewire_core::Time;

/// A silence shorter than this would make the deadline spin.
const LEAST_SILENCE: Duration = Duration::from_millis(1);

/// What peers are worth: a column with an entry for each peer.
#[derive(Clone, Debug)]
pub(crate) struct Worth {
    config: WorthConfig,
    entries: Vec<Entry>,
    sums: Sums,
    /// Who may be closed, the first to go first.
    candidates: Heap<OrderKey>,
    /// When each grace ends. Those that ended move to the candidates when someone looks at these.
    grace: Heap<Time>,
    /// Peers without a connection that have tags: when these are dropped, and the least valuable first.
    early: Heap<Time>,
    early_values: Heap<(i32, Time)>,
    /// Peers without a connection that are protected, and since when.
    absent: Heap<Time>,
    definitions: Definitions,
    /// No trim is tried before this.
    silent_until: Time,
    /// Peers about whom nothing is known any more, for [`Worth::poll_blank`].
    blank: Vec<u32>,
    /// Heap bytes of all details.
    details_bytes: usize,
}

/// What the book knows about a peer, pushed after each change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Its connections that are established and not closing.
    pub(crate) connections: u32,
    /// Its streams.
    pub(crate) streams: u32,
    /// Whether any of the connections was opened by us.
    pub(crate) outbound: bool,
    /// When the youngest of them was established.
    pub(crate) newest: Time,
}

impl Worth {
    pub(crate) fn new(config: &WorthConfig) -> Self {
        let config = WorthConfig { silence: config.silence.max(LEAST_SILENCE), ..config.clone() };
        Worth {
            config,
            entries: Vec::new(),
            sums: Sums::default(),
            candidates: Heap::new(),
            grace: Heap::new(),
            early: Heap::new(),
            early_values: Heap::new(),
            absent: Heap::new(),
            definitions: Definitions::new(),
            silent_until: Time::ZERO,
            blank: Vec::new(),
            details_bytes: 0,
        }
    }

    /// Says what the book knows about a peer now. A victim of a trim or an eviction counts again from here on.
    pub(crate) fn update(&mut self, now: Time, peer: PeerIx, standing: Standing) {
        self.pass(now);
        if let Some(before) = self.set_standing(now, peer.0, standing) {
            match (before, standing.connections) {
                (0, 1..) => self.connected(peer.0),
                (1.., 0) => self.disconnected(now, peer.0),
                _ => {}
            }
        }
    }

    /// Changes a plain tag.
    pub(crate) fn tag(&mut self, now: Time, peer: PeerIx, tag: &str, change: TagChange) -> Result<(), TagError> {
        self.check_name(tag)?;
        let known = self.details(peer).is_some_and(|details| details.has_tag(tag));
        if !known && change == TagChange::Remove {
            return Ok(());
        }
        if !known {
            self.check_room_for_tag(now, peer)?;
        }
        self.pass(now);
        self.change_details(peer.0, |details| details.change(tag, change));
        self.value_changed(now, peer.0);
        Ok(())
    }

    /// Defines a decaying tag. A known one gets another decay, steps from now on, and its values stay.
    pub(crate) fn define(&mut self, now: Time, tag: &str, decay: DecayingTag) -> Result<(), TagError> {
        self.check_name(tag)?;
        decay::check(decay)?;
        let cap = self.config.max_decaying;
        if self.definitions.find(tag).is_none() && self.definitions.len() >= cap as usize {
            return Err(TagError::Full { what: "definitions of decaying tags", cap });
        }
        self.pass(now);
        self.definitions.define(now, tag, decay, self.config.resolution);
        Ok(())
    }

    /// Takes a decaying tag away from all peers.
    pub(crate) fn undefine(&mut self, now: Time, tag: &str) -> Result<(), TagError> {
        let definition = self.find_definition(tag)?;
        self.pass(now);
        for peer in self.definitions.undefine(definition) {
            self.change_details(peer, |details| details.decaying.retain(|tag| tag.definition != definition));
            self.value_changed(now, peer);
            self.note_if_blank(peer);
        }
        Ok(())
    }

    /// Bumps a decaying tag of a peer.
    pub(crate) fn bump(&mut self, now: Time, peer: PeerIx, tag: &str, bump: Bump) -> Result<(), TagError> {
        let definition = self.find_definition(tag)?;
        decay::bumped(None, bump)?;
        if self.details(peer).is_none_or(|details| details.decaying(definition).is_none()) {
            self.check_room_for_tag(now, peer)?;
        }
        self.pass(now);
        if peer.0 as usize >= self.make_room(peer.0) {
            return Ok(());
        }
        let known = self.details(peer).and_then(|details| details.decaying(definition)).map(|tag| tag.value);
        let value = decay::bumped(known, bump)?;
        if known.is_none() {
            let member = self.definitions.join(now, definition, peer.0);
            let fresh = Decaying { definition, member, value, bumped: now };
            self.change_details(peer.0, |details| details.decaying.push(fresh));
        } else {
            self.change_details(peer.0, |details| {
                if let Some(tag) = details.decaying_mut(definition) {
                    tag.value = value;
                    tag.bumped = now;
                }
            });
        }
        self.value_changed(now, peer.0);
        Ok(())
    }

    /// Takes a decaying tag away from one peer.
    pub(crate) fn unbump(&mut self, now: Time, peer: PeerIx, tag: &str) -> Result<(), TagError> {
        let definition = self.find_definition(tag)?;
        self.pass(now);
        if let Some(known) = self.details(peer).and_then(|details| details.decaying(definition)).copied() {
            self.change_details(peer.0, |details| details.decaying.retain(|tag| tag.definition != definition));
            self.leave_definition(known);
            self.value_changed(now, peer.0);
        }
        Ok(())
    }

    /// Keeps a peer from being trimmed or evicted, for one more reason.
    pub(crate) fn protect(&mut self, now: Time, peer: PeerIx, reason: &str) -> Result<(), TagError> {
        self.check_name(reason)?;
        if self.is_protected(peer, Some(reason)) {
            return Ok(());
        }
        let cap = self.config.max_protections;
        let reasons = self.details(peer).map_or(0, |details| details.protections.len());
        if reasons >= cap as usize {
            return Err(TagError::Full { what: "reasons to protect this peer", cap });
        }
        let cap = self.config.max_protected_absent;
        let absent = !self.is_connected(peer.0);
        if absent && reasons == 0 && self.absent.len() >= cap as usize {
            return Err(TagError::Full { what: "protected peers without a connection", cap });
        }
        self.pass(now);
        self.change_details(peer.0, |details| details.protections.push(SmolStr::new(reason)));
        if absent && reasons == 0 && self.details(peer).is_some() {
            self.absent.set(peer.0, now);
        }
        self.place(now, peer.0);
        Ok(())
    }

    /// Takes one reason back. Whether the peer is still protected.
    pub(crate) fn unprotect(&mut self, now: Time, peer: PeerIx, reason: &str) -> bool {
        self.pass(now);
        if !self.is_protected(peer, Some(reason)) {
            return self.is_protected(peer, None);
        }
        self.change_details(peer.0, |details| details.protections.retain(|known| known != reason));
        let left = self.is_protected(peer, None);
        if !left {
            self.absent.remove(peer.0);
            self.place(now, peer.0);
        }
        left
    }

    /// Whether a peer is protected for this reason, or for any.
    pub(crate) fn is_protected(&self, peer: PeerIx, reason: Option<&str>) -> bool {
        self.details(peer).is_some_and(|details| match reason {
            Some(reason) => details.protections.iter().any(|known| known == reason),
            None => !details.protections.is_empty(),
        })
    }

    /// The sum of a peer's tags.
    pub(crate) fn value(&self, peer: PeerIx) -> i32 {
        self.entry(peer.0).map_or(0, |entry| entry.value)
    }

    /// A peer's tags: name, value, whether it decays.
    pub(crate) fn tags(&self, peer: PeerIx) -> impl Iterator<Item = (&str, i32, bool)> {
        let details = self.details(peer);
        let plain =
            details.into_iter().flat_map(|details| &details.tags).map(|(name, value)| (name.as_str(), *value, false));
        let decaying = details.into_iter().flat_map(|details| &details.decaying).filter_map(|tag| {
            let definition = self.definitions.get(tag.definition)?;
            Some((definition.name.as_str(), tag.value, true))
        });
        plain.chain(decaying)
    }

    /// Why a peer is protected.
    pub(crate) fn protections(&self, peer: PeerIx) -> impl Iterator<Item = &str> {
        self.details(peer).into_iter().flat_map(|details| &details.protections).map(SmolStr::as_str)
    }

    /// When there is something to do: a step of decay, tags that end, or a trim to be tried.
    pub(crate) fn deadline(&self) -> Time {
        self.next_timer().min(self.next_trim())
    }

    /// Lets values decay and early tags end. Trims are for [`Worth::trim`].
    pub(crate) fn on_timeout(&mut self, now: Time) {
        self.pass(now);
    }

    /// Whether nothing is known about a peer.
    pub(crate) fn is_blank(&self, peer: PeerIx) -> bool {
        self.entry(peer.0).is_none_or(|entry| entry.connections == 0 && entry.details.is_none())
    }

    /// A peer that became blank by time, by a cap, or with a definition.
    pub(crate) fn poll_blank(&mut self) -> Option<PeerIx> {
        while let Some(peer) = self.blank.pop() {
            if let Some(entry) = self.entries.get_mut(peer as usize) {
                entry.noted = false;
            }
            if self.is_blank(PeerIx(peer)) {
                return Some(PeerIx(peer));
            }
        }
        None
    }

    /// Heap bytes. Linear in the number of definitions, which has a cap.
    pub(crate) fn memory_used(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
            + self.candidates.memory_used()
            + self.grace.memory_used()
            + self.early.memory_used()
            + self.early_values.memory_used()
            + self.absent.memory_used()
            + self.definitions.memory_used()
            + self.blank.capacity() * size_of::<u32>()
            + self.details_bytes
    }

    fn find_definition(&self, tag: &str) -> Result<u32, TagError> {
        self.check_name(tag)?;
        self.definitions.find(tag).ok_or_else(|| TagError::Undefined(SmolStr::new(tag)))
    }

    fn check_name(&self, name: &str) -> Result<(), TagError> {
        let max = self.config.max_name;
        if name.is_empty() || name.len() > max as usize {
            return Err(TagError::Name { max, got: name.len() });
        }
        Ok(())
    }

    /// Room for one tag more. What time has taken since the last call takes no room, though it is not cleared yet: an error
    /// changes nothing.
    fn check_room_for_tag(&self, now: Time, peer: PeerIx) -> Result<(), TagError> {
        let cap = self.config.max_tags;
        let count = match self.details(peer) {
            Some(details) if details.count() >= cap as usize && self.next_timer() <= now => {
                let ended = self.early.key(peer.0).is_some_and(|end| end <= now);
                let decaying = details.decaying.iter().filter(|tag| self.definitions.survives(now, tag)).count();
                if ended { 0 } else { details.tags.len() + decaying }
            }
            details => details.map_or(0, Details::count),
        };
        if count >= cap as usize {
            return Err(TagError::Full { what: "tags of this peer", cap });
        }
        Ok(())
    }
}
