//! Chance, drawn from the seed.

use crate::{Seed, Time};
use core::time::Duration;

/// A sequence of draws, for nonces, choices, and waits that are to differ from one node to the next. The same seed and label
/// give the same sequence.
///
/// ```
/// use tidewire_core::{Draw, Seed};
///
/// let mut draw = Draw::new(&Seed::new([1; 32]), "which relay");
/// assert!((1..=6).contains(&draw.between(1, 6)));
/// ```
pub struct Draw {
    seed: Seed,
    count: u64,
}

impl Draw {
    /// The draws of one purpose.
    pub fn new(seed: &Seed, label: &str) -> Self {
        Draw { seed: seed.derive(label, 0), count: 0 }
    }

    /// Any 64 bits.
    pub fn word(&mut self) -> u64 {
        self.count = self.count.wrapping_add(1);
        let drawn = self.seed.derive("draw", self.count);
        drawn.as_bytes().iter().take(8).fold(0, |word, byte| (word << 8) | u64::from(*byte))
    }

    /// A number under `n`; 0 if `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        // The high half of the product: evenly spread but for 2^-64 of n.
        u64::try_from((u128::from(self.word()) * u128::from(n)) >> 64).unwrap_or_default()
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low.saturating_add(self.below(high.saturating_sub(low).saturating_add(1)))
    }

    /// A moment from `now` until `longest` later.
    pub fn within(&mut self, now: Time, longest: Duration) -> Time {
        let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        now + Duration::from_nanos(self.between(0, nanos))
    }

    /// From nothing to not quite `longest`.
    pub fn up_to(&mut self, longest: Duration) -> Duration {
        let nanos = longest.as_nanos().min(u128::from(u64::MAX));
        Duration::from_nanos(u64::try_from((u128::from(self.word()) * nanos) >> 64).unwrap_or_default())
    }

    /// `first`, doubled for each failure before this one, at most `max`; longer by up to a quarter; at least a millisecond.
    pub fn backoff(&mut self, first: Duration, max: Duration, failures: u32) -> Duration {
        let times = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let delay = first.saturating_mul(times).min(max);
        delay.saturating_add(self.up_to(delay / 4)).max(Duration::from_millis(1))
    }
}

impl core::fmt::Debug for Draw {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Draw(number {})", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn draws_stay_within_their_bounds_and_reach_them() {
        let mut draw = Draw::new(&Seed::new([1; 32]), "test");
        let drawn: BTreeSet<u64> = (0..200).map(|_| draw.between(3, 6)).collect();
        assert_eq!(drawn, BTreeSet::from([3, 4, 5, 6]));
        assert_eq!(draw.below(0), 0);
        assert_eq!(draw.below(1), 0);
        assert_eq!(draw.between(9, 9), 9);
        assert_eq!(draw.between(9, 2), 9, "turned round, the lower bound counts");
        assert_eq!(draw.between(0, u64::MAX).min(1), 1);
    }

    #[test]
    fn the_seed_decides_and_no_draw_comes_twice() {
        let run = |seed: u8| {
            let mut draw = Draw::new(&Seed::new([seed; 32]), "test");
            (0..100).map(|_| draw.word()).collect::<BTreeSet<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_eq!(run(1).len(), 100);
        assert!(run(1).is_disjoint(&run(2)));
    }

    #[test]
    fn a_backoff_doubles_to_its_cap_and_is_never_shorter() {
        let mut draw = Draw::new(&Seed::new([1; 32]), "test");
        let (first, max) = (Duration::from_secs(1), Duration::from_secs(60));
        for (failures, least) in
            [(0, 1), (1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (31, 60), (32, 60), (33, 60), (u32::MAX, 60)]
        {
            for _ in 0..20 {
                let delay = draw.backoff(first, max, failures);
                let least = Duration::from_secs(least);
                assert!(delay >= least && delay < least * 5 / 4, "{delay:?} after {failures} failures");
            }
        }
        assert_eq!(draw.backoff(Duration::ZERO, max, 9), Duration::from_millis(1));
        assert!(draw.backoff(Duration::MAX, Duration::MAX, 9) > Duration::from_secs(1 << 40));
    }
}
