//! Chance from the seed, so that those who began together don't all come together again.

use core::time::Duration;
use tidewire_core::Seed;

/// A sequence of draws. The same seed gives the same sequence.
#[derive(Debug)]
pub(crate) struct Jitter {
    seed: Seed,
    count: u64,
}

impl Jitter {
    pub(crate) fn new(seed: &Seed, label: &str) -> Self {
        Jitter { seed: seed.derive(label, 0), count: 0 }
    }

    /// Any 64 bits.
    pub(crate) fn word(&mut self) -> u64 {
        self.count = self.count.wrapping_add(1);
        let drawn = self.seed.derive("jitter", self.count);
        drawn.as_bytes().iter().take(8).fold(0, |word, byte| (word << 8) | u64::from(*byte))
    }

    /// From nothing to not quite `longest`.
    pub(crate) fn up_to(&mut self, longest: Duration) -> Duration {
        let nanos = longest.as_nanos().min(u128::from(u64::MAX));
        Duration::from_nanos(u64::try_from((u128::from(self.word()) * nanos) >> 64).unwrap_or_default())
    }

    /// `first`, doubled for each failure before this one, at most `max`; longer by up to a quarter; at least a millisecond.
    pub(crate) fn backoff(&mut self, first: Duration, max: Duration, failures: u32) -> Duration {
        let times = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let delay = first.saturating_mul(times).min(max);
        delay.saturating_add(self.up_to(delay / 4)).max(Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backoff_doubles_to_its_cap_and_is_never_shorter() {
        let mut jitter = Jitter::new(&Seed::new([1; 32]), "test");
        let (first, max) = (Duration::from_secs(1), Duration::from_secs(60));
        for (failures, least) in
            [(0, 1), (1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (31, 60), (32, 60), (33, 60), (u32::MAX, 60)]
        {
            for _ in 0..20 {
                let delay = jitter.backoff(first, max, failures);
                let least = Duration::from_secs(least);
                assert!(delay >= least && delay < least * 5 / 4, "{delay:?} after {failures} failures");
            }
        }
        assert_eq!(jitter.backoff(Duration::ZERO, max, 9), Duration::from_millis(1));
        assert!(jitter.backoff(Duration::MAX, Duration::MAX, 9) > Duration::from_secs(1 << 40));
    }

    #[test]
    fn the_seed_decides() {
        let run = |seed: u8| {
            let mut jitter = Jitter::new(&Seed::new([seed; 32]), "test");
            [(); 20].map(|()| jitter.up_to(Duration::from_secs(1)))
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        assert!(run(1).iter().all(|drawn| *drawn < Duration::from_secs(1)));
    }
}
