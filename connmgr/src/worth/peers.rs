//! The column of peers, and how a peer moves between protection, grace, candidates and nothing. Everything that a move
//! changes (heaps, sums) is changed here.

use super::decay::{self, Due};
use super::order::OrderKey;
use super::tags::{Decaying, Details};
use super::{Standing, Worth};
use crate::table::{NO_SLOT, PeerIx, reserve};
use alloc::boxed::Box;
use alloc::vec::Vec;
use tidewire_core::Time;

/// Graces that end in one call, beside trims and evictions.
const GRACES_AT_ONCE: u32 = 2;

/// What is known about a peer; 32 bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    pub(super) details: Option<Box<Details>>,
    pub(super) newest: Time,
    pub(super) value: i32,
    pub(super) connections: u32,
    pub(super) streams: u32,
    pub(super) outbound: bool,
    /// It is in the queue of peers that may be blank.
    pub(super) noted: bool,
    pub(super) place: Place,
}

impl Entry {
    pub(super) fn order(&self) -> OrderKey {
        OrderKey::new(self.value, self.streams, self.outbound, self.newest)
    }
}

/// Where a peer stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// It has no connection.
    #[default]
    Absent,
    /// It may not be closed.
    Protected,
    /// It has a young connection.
    Grace,
    /// It may be closed.
    Candidate,
    /// A trim or an eviction gave it out; nothing was heard of it since.
    Chosen,
}

/// Connections by the place of their peer; those of chosen ones count no longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) protected: u32,
    pub(super) grace: u32,
    pub(super) candidates: u32,
}

impl Sums {
    pub(super) fn total(&self) -> u32 {
        self.protected.saturating_add(self.grace).saturating_add(self.candidates)
    }

    fn at(&mut self, place: Place) -> Option<&mut u32> {
        match place {
            Place::Absent | Place::Chosen => None,
            Place::Protected => Some(&mut self.protected),
            Place::Grace => Some(&mut self.grace),
            Place::Candidate => Some(&mut self.candidates),
        }
    }

    fn add(&mut self, place: Place, connections: u32) {
        if let Some(sum) = self.at(place) {
            *sum = sum.saturating_add(connections);
        }
    }

    fn remove(&mut self, place: Place, connections: u32) {
        if let Some(sum) = self.at(place) {
            *sum = sum.saturating_sub(connections);
        }
    }
}

impl Worth {
    pub(super) fn entry(&self, peer: u32) -> Option<&Entry> {
        self.entries.get(peer as usize)
    }

    pub(super) fn details(&self, peer: PeerIx) -> Option<&Details> {
        self.entry(peer.0)?.details.as_deref()
    }

    pub(super) fn is_connected(&self, peer: u32) -> bool {
        self.entry(peer).is_some_and(|entry| entry.connections > 0)
    }

    /// Makes the column long enough; no slot means no entry. How long it is.
    pub(super) fn make_room(&mut self, peer: u32) -> usize {
        let needed = peer as usize + 1;
        if peer != NO_SLOT && self.entries.len() < needed {
            reserve(&mut self.entries, needed);
            self.entries.resize_with(needed, Entry::default);
        }
        self.entries.len()
    }

    /// Writes down what the book says, and moves the peer. How many connections it had before.
    pub(super) fn set_standing(&mut self, now: Time, peer: u32, standing: Standing) -> Option<u32> {
        if standing.connections > 0 {
            self.make_room(peer);
        }
        let entry = self.entries.get_mut(peer as usize)?;
        let before = entry.connections;
        let from = entry.place;
        self.sums.remove(from, before);
        entry.connections = standing.connections;
        entry.streams = standing.streams;
        entry.outbound = standing.outbound;
        entry.newest = standing.newest;
        let to = self.place_now(now, peer);
        self.settle(peer, from, to);
        Some(before)
    }

    /// Moves a peer to where it belongs, and there to its place in the order. One that was chosen stays so.
    pub(super) fn place(&mut self, now: Time, peer: u32) {
        let Some(entry) = self.entry(peer) else { return };
        let from = entry.place;
        if from != Place::Chosen {
            self.sums.remove(from, entry.connections);
            let to = self.place_now(now, peer);
            self.settle(peer, from, to);
        }
    }

    /// A trim or an eviction gives a peer out. Its connections and its value.
    pub(super) fn choose(&mut self, peer: u32) -> Option<(u32, i32)> {
        let entry = self.entry(peer)?;
        let (from, connections, value) = (entry.place, entry.connections, entry.value);
        self.sums.remove(from, connections);
        self.settle(peer, from, Place::Chosen);
        Some((connections, value))
    }

    /// Moves those whose grace ended to the candidates.
    pub(super) fn end_graces(&mut self, now: Time) {
        while self.end_grace(now) {}
    }

    /// Moves one whose grace ended to the candidates, if there is one.
    fn end_grace(&mut self, now: Time) -> bool {
        let Some((_, peer)) = self.grace.peek().filter(|(end, _)| *end <= now) else { return false };
        self.grace.pop();
        self.place(now, peer);
        true
    }

    fn place_now(&self, now: Time, peer: u32) -> Place {
        let Some(entry) = self.entry(peer) else { return Place::Absent };
        if entry.connections == 0 {
            Place::Absent
        } else if self.is_protected(PeerIx(peer), None) {
            Place::Protected
        } else if entry.newest + self.config.grace > now {
            Place::Grace
        } else {
            Place::Candidate
        }
    }

    /// Brings heaps and sums in line with a peer's new place.
    fn settle(&mut self, peer: u32, from: Place, to: Place) {
        let Some(entry) = self.entries.get_mut(peer as usize) else { return };
        entry.place = to;
        self.sums.add(to, entry.connections);
        match to {
            Place::Candidate => self.candidates.set(peer, entry.order()),
            Place::Grace => self.grace.set(peer, entry.newest + self.config.grace),
            _ => {}
        }
        if from != to {
            match from {
                Place::Candidate => _ = self.candidates.remove(peer),
                Place::Grace => _ = self.grace.remove(peer),
                _ => {}
            }
        }
    }
}

/// Tags and protections.
impl Worth {
    /// Changes a peer's details, and keeps their bytes counted. Details that say nothing are dropped.
    pub(super) fn change_details(&mut self, peer: u32, change: impl FnOnce(&mut Details)) {
        self.make_room(peer);
        let Some(entry) = self.entries.get_mut(peer as usize) else { return };
        let before = entry.details.as_ref().map_or(0, |details| details.memory_used());
        let details = entry.details.get_or_insert_default();
        change(details);
        entry.value = details.value();
        let after = if details.count() == 0 && details.protections.is_empty() {
            entry.details = None;
            0
        } else {
            details.memory_used()
        };
        self.details_bytes = self.details_bytes.saturating_sub(before).saturating_add(after);
    }

    /// A peer's tags changed: its place in the order may be another; without a connection it becomes a temporary entry, or
    /// ceases to be one.
    pub(super) fn value_changed(&mut self, now: Time, peer: u32) {
        let Some(entry) = self.entry(peer) else { return };
        if entry.connections > 0 {
            self.place(now, peer);
            return;
        }
        let value = entry.value;
        if entry.details.as_ref().is_none_or(|details| details.count() == 0) {
            self.early.remove(peer);
            self.early_values.remove(peer);
            return;
        }
        let end = self.early.key(peer).unwrap_or(now + self.config.early_tags_ttl);
        self.early.set(peer, end);
        self.early_values.set(peer, (value, end));
        while self.early.len() > self.config.max_early as usize {
            let Some((_, least)) = self.early_values.peek() else { break };
            self.drop_early(least);
        }
        self.end_early(now); // with a lifetime of 0, this one too
    }

    /// A peer got its first connection: its tags stay as long as that.
    pub(super) fn connected(&mut self, peer: u32) {
        self.early.remove(peer);
        self.early_values.remove(peer);
        self.absent.remove(peer);
    }

    /// A peer lost its last connection: its tags die with it, its protection stays, under the cap.
    pub(super) fn disconnected(&mut self, now: Time, peer: u32) {
        self.drop_tags(peer);
        if self.is_protected(PeerIx(peer), None) {
            self.absent.set(peer, now);
            while self.absent.len() > self.config.max_protected_absent as usize {
                let Some((_, longest)) = self.absent.pop() else { break };
                self.change_details(longest, |details| details.protections = Vec::new());
                self.note_if_blank(longest);
            }
        }
    }

    pub(super) fn drop_early(&mut self, peer: u32) {
        self.early.remove(peer);
        self.early_values.remove(peer);
        self.drop_tags(peer);
        self.note_if_blank(peer);
    }

    pub(super) fn leave_definition(&mut self, tag: Decaying) {
        let Some(moved) = self.definitions.leave(tag.definition, tag.member) else { return };
        let details = self.entries.get_mut(moved as usize).and_then(|entry| entry.details.as_mut());
        if let Some(other) = details.and_then(|details| details.decaying_mut(tag.definition)) {
            other.member = tag.member;
        }
    }

    pub(super) fn note_if_blank(&mut self, peer: u32) {
        if !self.is_blank(PeerIx(peer)) {
            return;
        }
        if let Some(entry) = self.entries.get_mut(peer as usize)
            && !entry.noted
        {
            entry.noted = true;
            self.blank.push(peer);
        }
    }

    fn drop_tags(&mut self, peer: u32) {
        if self.details(PeerIx(peer)).is_none() {
            return;
        }
        let mut decaying = Vec::new();
        self.change_details(peer, |details| {
            details.tags = Vec::new();
            decaying = core::mem::take(&mut details.decaying);
        });
        for tag in decaying {
            self.leave_definition(tag);
        }
    }
}

/// Time.
impl Worth {
    /// Brings everything that time changes to `now`; trims aside. Graces end a few at a time, so that a trim that comes
    /// late finds few that are over: each newcomer brings one, and is told of more than once.
    pub(super) fn pass(&mut self, now: Time) {
        for _ in 0..GRACES_AT_ONCE {
            if !self.end_grace(now) {
                break;
            }
        }
        if self.next_timer() > now {
            return;
        }
        // First, so that nobody leaves a definition while its members are being stepped.
        self.end_early(now);
        while let Some((due, members)) = self.definitions.take_due(now) {
            let left = self.step(now, due, members);
            self.definitions.stepped(now, due.definition, left);
        }
    }

    /// When values decay or early tags end next.
    pub(super) fn next_timer(&self) -> Time {
        let early = self.early.peek().map_or(Time::NEVER, |(end, _)| end);
        early.min(self.definitions.next_step())
    }

    /// Does the steps that are due. Who still has the tag afterwards.
    fn step(&mut self, now: Time, due: Due, mut members: Vec<u32>) -> Vec<u32> {
        let mut place = 0;
        members.retain(|peer| {
            let mut stays = false;
            self.change_details(*peer, |details| {
                details.decaying.retain_mut(|tag| {
                    if tag.definition != due.definition {
                        return true;
                    }
                    let left = decay::decayed(tag.value, tag.bumped, &due);
                    stays = left.is_some();
                    tag.value = left.unwrap_or(0);
                    tag.member = place;
                    stays
                });
            });
            place += u32::from(stays);
            self.value_changed(now, *peer);
            self.note_if_blank(*peer);
            stays
        });
        members
    }

    fn end_early(&mut self, now: Time) {
        while let Some((_, peer)) = self.early.peek().filter(|(end, _)| *end <= now && !end.is_never()) {
            self.drop_early(peer);
        }
    }
}
