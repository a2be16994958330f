//! Chance, drawn from the seed: when the next datagram goes, and what is in it.

use core::time::Duration;
use tidewire_core::Seed;

/// A sequence of draws. The same seed gives the same sequence.
#[derive(Clone)]
pub(super) struct Draw {
    seed: Seed,
    count: u64,
}

impl Draw {
    pub(super) fn new(seed: &Seed) -> Self {
        Draw { seed: seed.derive("dcutr coordinator", 0), count: 0 }
    }

    fn next(&mut self) -> Seed {
        self.count = self.count.wrapping_add(1);
        self.seed.derive("draw", self.count)
    }

    /// From `low` to `high`, both included.
    pub(super) fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let word = self.next().as_bytes().iter().take(8).fold(0_u64, |word, byte| (word << 8) | u64::from(*byte));
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let width = u128::from(nanos(high).saturating_sub(nanos(low))) + 1;
        // The high half of the product: evenly spread but for 2^-64 of the width.
        let above = u64::try_from((u128::from(word) * width) >> 64).unwrap_or_default();
        Duration::from_nanos(nanos(low).saturating_add(above))
    }

    /// So many random bytes.
    pub(super) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for chunk in bytes.chunks_mut(32) {
            let drawn = self.next();
            for (byte, drawn) in chunk.iter_mut().zip(drawn.as_bytes()) {
                *byte = *drawn;
            }
        }
        bytes
    }
}

impl core::fmt::Debug for Draw {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Draw(number {})", self.count)
    }
}

/// All of one machine come from one seed.
#[cfg(test)]
impl core::hash::Hash for Draw {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.count.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn draws_stay_within_their_bounds_and_reach_them() {
        let mut draw = Draw::new(&Seed::new([1; 32]));
        let nanos = Duration::from_nanos;
        let drawn: BTreeSet<_> = (0..200).map(|_| draw.between(nanos(3), nanos(6))).collect();
        assert_eq!(drawn, (3..=6).map(nanos).collect());
        assert_eq!(draw.between(nanos(9), nanos(2)), nanos(9), "turned round, the lower bound counts");
        assert!(draw.between(Duration::ZERO, Duration::MAX) < Duration::MAX);
    }

    #[test]
    fn the_seed_decides_and_no_payload_comes_twice() {
        let run = |seed: u8| {
            let mut draw = Draw::new(&Seed::new([seed; 32]));
            (0..50).map(|_| draw.bytes::<64>()).collect::<BTreeSet<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_eq!(run(1).len(), 50);
        assert!(run(1).is_disjoint(&run(2)));
    }
}
