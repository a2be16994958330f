//! What is known about one peer beside its connections: its tags, and why it is protected. Most peers have neither, so it
//! lies in a box.

use super::TagChange;
use crate::text::heap_bytes;
use alloc::vec::Vec;
use smol_str::SmolStr;
use tidewire_core::Time;

/// Tags and protections of a peer.
#[derive(Clone, Debug, Default)]
pub(super) struct Details {
    pub(super) tags: Vec<(SmolStr, i32)>,
    pub(super) decaying: Vec<Decaying>,
    pub(super) protections: Vec<SmolStr>,
}

/// A decaying tag of a peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decaying {
    /// Its definition's number.
    pub(super) definition: u32,
    /// Where the peer stands among the definition's members.
    pub(super) member: u32,
    pub(super) value: i32,
    /// When it was last bumped.
    pub(super) bumped: Time,
}

impl Details {
    /// The sum of all tags. Exact before it is cut to 32 bits, so that the order of changes doesn't matter.
    pub(super) fn value(&self) -> i32 {
        let plain: i64 = self.tags.iter().map(|(_, value)| i64::from(*value)).sum();
        let decaying: i64 = self.decaying.iter().map(|tag| i64::from(tag.value)).sum();
        saturate(plain.saturating_add(decaying))
    }

    pub(super) fn count(&self) -> usize {
        self.tags.len() + self.decaying.len()
    }

    pub(super) fn has_tag(&self, name: &str) -> bool {
        self.tags.iter().any(|(known, _)| known == name)
    }

    pub(super) fn change(&mut self, name: &str, change: TagChange) {
        let place = self.tags.iter().position(|(known, _)| known == name);
        let known = place.and_then(|place| self.tags.get_mut(place));
        let value = match (change, &known) {
            (TagChange::Remove, _) => {
                if let Some(place) = place {
                    self.tags.remove(place);
                }
                return;
            }
            (TagChange::Set(value), _) | (TagChange::Upsert { absent: value, .. } | TagChange::Add(value), None) => {
                value
            }
            (TagChange::Add(add) | TagChange::Upsert { add, .. }, Some((_, value))) => value.saturating_add(add),
        };
        match known {
            Some((_, known)) => *known = value,
            None => self.tags.push((SmolStr::new(name), value)),
        }
    }

    pub(super) fn decaying(&self, definition: u32) -> Option<&Decaying> {
        self.decaying.iter().find(|tag| tag.definition == definition)
    }

    pub(super) fn decaying_mut(&mut self, definition: u32) -> Option<&mut Decaying> {
        self.decaying.iter_mut().find(|tag| tag.definition == definition)
    }

    /// Heap bytes, the box included.
    pub(super) fn memory_used(&self) -> usize {
        size_of::<Details>()
            + self.tags.capacity() * size_of::<(SmolStr, i32)>()
            + self.decaying.capacity() * size_of::<Decaying>()
            + self.protections.capacity() * size_of::<SmolStr>()
            + self.tags.iter().map(|(name, _)| heap_bytes(name)).sum::<usize>()
            + self.protections.iter().map(heap_bytes).sum::<usize>()
    }
}

pub(super) fn saturate(value: i64) -> i32 {
    i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX })
}
