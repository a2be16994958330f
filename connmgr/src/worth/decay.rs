//! Values that fade: what a step does, when steps are, and who takes part in them.
//!
//! All peers with a tag step together, at multiples of its interval since its definition. The arithmetic takes any number
//! of steps at once, so that a late call ends where calls in time would have ended.

use super::tags::{Decaying, saturate};
use super::{Bump, Decay, DecayingTag, TagError};
use crate::table::Heap;
use crate::text::heap_bytes;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;
use smol_str::SmolStr;
use tidewire_core::Time;

/// A decaying tag that was defined.
#[derive(Clone, Debug)]
pub(super) struct Definition {
    pub(super) name: SmolStr,
    pub(super) decay: Decay,
    /// Nanoseconds between two steps, never 0.
    interval: u64,
    since: Time,
    /// Slots of the peers that have this tag.
    pub(super) members: Vec<u32>,
}

/// All of them, and when each steps next.
#[derive(Clone, Debug)]
pub(super) struct Definitions {
    slots: Vec<Option<Definition>>,
    /// The next step of those that have members and fade at all.
    steps: Heap<Time>,
}

/// Steps that are due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    pub(super) definition: u32,
    pub(super) decay: Decay,
    /// How many steps, at least one.
    pub(super) steps: u64,
    /// When the last of them was to be.
    pub(super) last: Time,
}

impl Definitions {
    pub(super) fn new() -> Self {
        Definitions { slots: Vec::new(), steps: Heap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    pub(super) fn find(&self, name: &str) -> Option<u32> {
        let place = self.slots.iter().position(|slot| slot.as_ref().is_some_and(|known| known.name == name))?;
        u32::try_from(place).ok()
    }

    pub(super) fn get(&self, definition: u32) -> Option<&Definition> {
        self.slots.get(definition as usize)?.as_ref()
    }

    fn get_mut(&mut self, definition: u32) -> Option<&mut Definition> {
        self.slots.get_mut(definition as usize)?.as_mut()
    }

    /// Defines a tag, or gives a known one another decay; its members stay.
    pub(super) fn define(&mut self, now: Time, name: &str, tag: DecayingTag, resolution: Duration) {
        let interval = round_up(tag.interval, resolution);
        let Some(place) = self.find(name) else {
            let free = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
            let fresh =
                Definition { name: SmolStr::new(name), decay: tag.decay, interval, since: now, members: Vec::new() };
            match self.slots.get_mut(free) {
                Some(slot) => *slot = Some(fresh),
                None => self.slots.push(Some(fresh)),
            }
            return;
        };
        if let Some(known) = self.get_mut(place) {
            known.decay = tag.decay;
            known.interval = interval;
            known.since = now;
        }
        self.schedule(now, place);
    }

    /// Takes a definition away, and says who had the tag.
    pub(super) fn undefine(&mut self, definition: u32) -> Vec<u32> {
        self.steps.remove(definition);
        let slot = self.slots.get_mut(definition as usize).and_then(Option::take);
        slot.map(|gone| gone.members).unwrap_or_default()
    }

    /// One peer more. Where it stands.
    pub(super) fn join(&mut self, now: Time, definition: u32, peer: u32) -> u32 {
        let Some(known) = self.get_mut(definition) else { return 0 };
        let place = u32::try_from(known.members.len()).unwrap_or(u32::MAX);
        known.members.push(peer);
        if place == 0 {
            self.schedule(now, definition);
        }
        place
    }

    /// One peer less. Who stands at its place now, if anybody.
    pub(super) fn leave(&mut self, definition: u32, member: u32) -> Option<u32> {
        let known = self.get_mut(definition)?;
        let place = member as usize;
        if place < known.members.len() {
            known.members.swap_remove(place);
        }
        let moved = known.members.get(place).copied();
        if known.members.is_empty() {
            known.members = Vec::new();
            self.steps.remove(definition);
        }
        moved
    }

    /// The next steps that are due, together with who takes part. Give back who stayed by [`Definitions::stepped`].
    pub(super) fn take_due(&mut self, now: Time) -> Option<(Due, Vec<u32>)> {
        let (_, definition) = self.steps.peek()?;
        let due = self.due(now, definition)?;
        let members = self.get_mut(definition).map(|known| mem::take(&mut known.members));
        Some((due, members.unwrap_or_default()))
    }

    pub(super) fn stepped(&mut self, now: Time, definition: u32, members: Vec<u32>) {
        if let Some(known) = self.get_mut(definition) {
            known.members = members;
        }
        self.schedule(now, definition);
    }

    /// Whether a tag survives the steps that are due.
    pub(super) fn survives(&self, now: Time, tag: &Decaying) -> bool {
        self.due(now, tag.definition).is_none_or(|due| decayed(tag.value, tag.bumped, &due).is_some())
    }

    /// When the next step is.
    pub(super) fn next_step(&self) -> Time {
        self.steps.peek().map_or(Time::NEVER, |(next, _)| next)
    }

    /// Heap bytes. Linear in the number of definitions, which has a cap.
    pub(super) fn memory_used(&self) -> usize {
        self.slots.capacity() * size_of::<Option<Definition>>()
            + self.steps.memory_used()
            + self
                .slots
                .iter()
                .flatten()
                .map(|known| known.members.capacity() * size_of::<u32>() + heap_bytes(&known.name))
                .sum::<usize>()
    }

    fn due(&self, now: Time, definition: u32) -> Option<Due> {
        let next = self.steps.key(definition).filter(|next| *next <= now && !next.is_never())?;
        let known = self.get(definition)?;
        let further = nanos(now.since(next)) / known.interval;
        let last = next + Duration::from_nanos(further.saturating_mul(known.interval));
        Some(Due { definition, decay: known.decay, steps: further.saturating_add(1), last })
    }

    fn schedule(&mut self, now: Time, definition: u32) {
        let next =
            self.get(definition).filter(|known| !known.members.is_empty() && known.decay != Decay::None).map(|known| {
                let steps = (nanos(now.since(known.since)) / known.interval).saturating_add(1);
                known.since + Duration::from_nanos(steps.saturating_mul(known.interval))
            });
        match next {
            Some(next) => self.steps.set(definition, next),
            None => {
                self.steps.remove(definition);
            }
        }
    }
}

/// What can be wrong with a definition.
pub(super) fn check(tag: DecayingTag) -> Result<(), TagError> {
    let wrong = match tag.decay {
        _ if tag.interval.is_zero() => "a decaying tag needs an interval above 0",
        Decay::Linear { denominator: 0, .. } => "the denominator of a linear decay is 0",
        Decay::Linear { numerator, denominator } if numerator > denominator => {
            "a linear decay whose numerator is above its denominator would grow"
        }
        Decay::Fixed(step) if step < 0 => "a fixed decay by less than 0 would grow",
        _ => return Ok(()),
    };
    Err(TagError::Nonsense(wrong))
}

/// The value after a bump. `Err` if the bump makes no sense.
pub(super) fn bumped(value: Option<i32>, bump: Bump) -> Result<i32, TagError> {
    let value = value.unwrap_or(0);
    match bump {
        Bump::Unbounded(add) => Ok(value.saturating_add(add)),
        Bump::Bounded { min, max, .. } if min > max => {
            Err(TagError::Nonsense("the least sum of a bounded bump is above its greatest"))
        }
        Bump::Bounded { add, min, max } => Ok(value.saturating_add(add).clamp(min, max)),
        Bump::Overwrite(value) => Ok(value),
    }
}

/// What is left of a value after the steps that were due; `None` if it is gone.
pub(super) fn decayed(value: i32, bumped: Time, due: &Due) -> Option<i32> {
    match due.decay {
        Decay::None => Some(value),
        Decay::ExpireWhenInactive(after) => (due.last.since(bumped) < after).then_some(value),
        _ if value <= 0 => None, // neither of the others makes a value greater
        Decay::Fixed(step) => {
            let less = i64::from(step).saturating_mul(i64::try_from(due.steps).unwrap_or(i64::MAX));
            let left = i64::from(value).saturating_sub(less);
            (left > 0).then(|| saturate(left))
        }
        Decay::Linear { numerator, denominator } => linear(value, numerator, denominator, due.steps),
    }
}

/// `steps` times to `numerator / denominator`, rounded down, of a value above 0.
///
/// A step takes `ceil(value * (denominator - numerator) / denominator)`. Steps that take the same are done at once, so
/// that even the slowest decay over the longest time needs only some 10,000 rounds.
fn linear(value: i32, numerator: u32, denominator: u32, mut steps: u64) -> Option<i32> {
    let (mut value, whole) = (u64::from(value.unsigned_abs()), u64::from(denominator.max(1)));
    let lost = whole.saturating_sub(u64::from(numerator));
    while steps > 0 && value > 0 && lost > 0 {
        // Below 2^31 times below 2^32: no overflow.
        let less = (value * lost).div_ceil(whole);
        // The greatest value from which a step takes less than that.
        let until = less.saturating_sub(1) * whole / lost;
        let same = value.saturating_sub(until).div_ceil(less.max(1)).clamp(1, steps);
        value = value.saturating_sub(less.saturating_mul(same));
        steps -= same;
    }
    i32::try_from(value).ok().filter(|value| *value > 0)
}

fn round_up(interval: Duration, resolution: Duration) -> u64 {
    let (interval, resolution) = (nanos(interval).max(1), nanos(resolution).max(1));
    interval.div_ceil(resolution).saturating_mul(resolution)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
