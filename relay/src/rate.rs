//! How often somebody may ask: a token bucket for each key, in a table with a cap.
//!
//! A bucket is one number, the moment when it will be full (GCRA: ITU-T I.371 annex A, the virtual scheduling form). A bucket
//! of B tokens, one refilled each interval T, that will be full at F holds B - (F - now) / T of them: one may be taken if
//! F - now <= (B - 1) T, and that moves F by T. All in whole nanoseconds, so that a refusal can say exactly when to come again.
//!
//! A full bucket is as good as none, and is forgotten. A queue says which to look at:
//! ```text
//!   table: fingerprint of the key -> F            the truth
//!   queue: (F when it was put there, fingerprint)  one for each in the table; looked at when it is at the front and F has come
//! ```
//! A bucket that is not full then goes to the back, so one is remembered for at most twice the time that it takes to fill. All of
//! it takes O(1), whatever is remembered. A key is kept as 64 bits of its hash under the seed: two keys share a bucket by chance
//! alone (2^-64 for a pair), and nobody outside can look for such a pair.

use alloc::collections::VecDeque;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::time::Duration;
use hashbrown::HashTable;
use siphasher::sip::SipHasher13;
use tidewire_core::{Seed, Time};

/// How often one peer, or one network, may ask.
///
/// ```
/// use core::time::Duration;
/// use tidewire_relay::RateConfig;
///
/// // 30 at once; used up, one more every 4 s.
/// let rate = RateConfig::per(30, Duration::from_secs(120));
/// assert_eq!((rate.burst, rate.interval), (30, Duration::from_secs(4)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RateConfig {
    /// Beyond the burst, one each such interval. Zero: no limit.
    pub interval: Duration,
    /// How many may come at once, at least 1. `u32::MAX`: no limit.
    pub burst: u32,
    /// Keys that are remembered, at most 80 bytes each. When there are as many, of the eight that were not looked at for longest the
    /// one goes that used its rate least, so that a flood under many names drives out its own. 0: no limit.
    pub entries: u32,
}

impl RateConfig {
    /// No limit.
    pub const OFF: RateConfig = RateConfig { interval: Duration::ZERO, burst: u32::MAX, entries: 0 };

    /// So many at once, and as many again within the period; 8,192 keys are remembered.
    pub const fn per(burst: u32, period: Duration) -> Self {
        let interval = match period.checked_div(burst) {
            Some(interval) => interval,
            None => period,
        };
        RateConfig { interval, burst, entries: 8192 }
    }

    /// Whether there is no limit.
    pub const fn is_off(&self) -> bool {
        self.interval.is_zero() || self.burst == u32::MAX || self.entries == 0
    }
}

/// The buckets.
pub(crate) struct RateLimiter {
    /// Nanoseconds a token takes. 0: off.
    interval: u64,
    /// Nanoseconds that all tokens of a bucket but one take.
    tolerance: u64,
    max: usize,
    hasher: SipHasher13,
    table: HashTable<Bucket>,
    queue: VecDeque<(u64, u64)>,
}

struct Bucket {
    /// The hash of the key.
    key: u64,
    /// When it will be full.
    full_at: u64,
}

/// Buckets looked at per call. A call makes at most one, so two keep up and catch up.
const LOOK: u32 = 2;

/// Buckets compared when one must go.
const COMPARE: u32 = 8;

impl RateLimiter {
    /// An empty one. Each limiter of one seed needs its own label.
    pub(crate) fn new(config: &RateConfig, seed: &Seed, label: &str) -> Self {
        let nanos = u64::try_from(config.interval.as_nanos()).unwrap_or(u64::MAX);
        let interval = if config.is_off() { 0 } else { nanos };
        RateLimiter {
            interval,
            tolerance: interval.saturating_mul(u64::from(config.burst.max(1)) - 1),
            max: usize::try_from(config.entries).unwrap_or(usize::MAX),
            hasher: hasher(seed, label),
            table: HashTable::new(),
            queue: VecDeque::new(),
        }
    }

    /// Whether one may come now. Takes nothing.
    ///
    /// # Errors
    /// How long to wait for the next token.
    pub(crate) fn room<K: Hash + ?Sized>(&self, now: Time, key: &K) -> Result<(), Duration> {
        if self.interval == 0 {
            return Ok(());
        }
        let key = self.fingerprint(key);
        let Some(bucket) = self.table.find(key, |at| at.key == key) else { return Ok(()) };
        let wait = bucket.full_at.saturating_sub(self.tolerance).saturating_sub(now.as_nanos());
        if wait == 0 { Ok(()) } else { Err(Duration::from_nanos(wait)) }
    }

    /// Takes a token. The caller asked [`RateLimiter::room`].
    pub(crate) fn take<K: Hash + ?Sized>(&mut self, now: Time, key: &K) {
        if self.interval == 0 {
            return;
        }
        let (key, now) = (self.fingerprint(key), now.as_nanos());
        self.forget_full(now);
        if let Some(bucket) = self.table.find_mut(key, |at| at.key == key) {
            bucket.full_at = bucket.full_at.max(now).saturating_add(self.interval);
            return;
        }
        if self.table.len() >= self.max {
            self.forget_one();
        }
        let bucket = Bucket { key, full_at: now.saturating_add(self.interval) };
        self.queue.push_back((bucket.full_at, key));
        self.table.insert_unique(key, bucket, |at| at.key);
    }

    /// Keys that are remembered.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Heap bytes.
    pub(crate) fn memory_used(&self) -> usize {
        self.table.allocation_size() + self.queue.capacity() * size_of::<(u64, u64)>()
    }

    fn fingerprint<K: Hash + ?Sized>(&self, key: &K) -> u64 {
        let mut hasher = self.hasher;
        key.hash(&mut hasher);
        hasher.finish()
    }

    fn forget_full(&mut self, now: u64) {
        for _ in 0..LOOK {
            let Some((_, key)) = self.queue.front().copied().filter(|(full_at, _)| *full_at <= now) else { break };
            self.queue.pop_front();
            let Ok(entry) = self.table.find_entry(key, |at| at.key == key) else { continue };
            let full_at = entry.get().full_at;
            if full_at <= now {
                entry.remove();
            } else {
                self.queue.push_back((full_at, key));
            }
        }
        if self.table.capacity() > 64 && self.table.len() < self.table.capacity() / 8 {
            self.table.shrink_to(self.table.len() * 2, |at| at.key);
        }
        if self.queue.capacity() > 64 && self.queue.len() < self.queue.capacity() / 8 {
            self.queue.shrink_to(self.queue.len() * 2);
        }
    }

    /// Forgets, of some buckets at the front, the one that is full first; the others go to the back.
    fn forget_one(&mut self) {
        let mut least: Option<(u64, u64)> = None;
        for _ in 0..COMPARE {
            let Some((_, key)) = self.queue.pop_front() else { break };
            let Some(bucket) = self.table.find(key, |at| at.key == key) else { continue };
            let this = (bucket.full_at, key);
            let stays = match least {
                Some(before) if before.0 <= this.0 => this,
                _ => match least.replace(this) {
                    Some(before) => before,
                    None => continue,
                },
            };
            self.queue.push_back(stays);
        }
        if let Some((_, key)) = least
            && let Ok(entry) = self.table.find_entry(key, |at| at.key == key)
        {
            entry.remove();
        }
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RateLimiter({} keys, one each {:?})", self.table.len(), Duration::from_nanos(self.interval))
    }
}

/// A hash that nobody knows who doesn't know the seed.
pub(crate) fn hasher(seed: &Seed, label: &str) -> SipHasher13 {
    let derived = seed.derive(label, 0);
    let word =
        |at: usize| derived.as_bytes().iter().skip(at).take(8).fold(0u64, |word, byte| (word << 8) | u64::from(*byte));
    SipHasher13::new_with_keys(word(0), word(8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limiter(burst: u32, interval: Duration, entries: u32) -> RateLimiter {
        RateLimiter::new(&RateConfig { interval, burst, entries }, &Seed::new([7; 32]), "test")
    }

    fn try_take(limiter: &mut RateLimiter, now: Time, key: u64) -> Result<(), Duration> {
        limiter.room(now, &key)?;
        limiter.take(now, &key);
        Ok(())
    }

    #[test]
    fn a_burst_may_come_at_once_and_then_one_each_interval() {
        let mut limiter = limiter(3, 4 * SECOND, 10);
        for _ in 0..3 {
            assert_eq!(try_take(&mut limiter, Time::ZERO, 1), Ok(()));
        }
        assert_eq!(try_take(&mut limiter, Time::ZERO, 1), Err(4 * SECOND));
        assert_eq!(try_take(&mut limiter, Time::ZERO, 2), Ok(()), "another key has its own bucket");
        let later = Time::ZERO + 4 * SECOND;
        assert_eq!(try_take(&mut limiter, later, 1), Ok(()));
        assert_eq!(try_take(&mut limiter, later, 1), Err(4 * SECOND));
    }

    #[test]
    fn who_is_refused_may_come_exactly_when_it_was_told() {
        let mut limiter = limiter(1, SECOND, 10);
        assert_eq!(try_take(&mut limiter, Time::from_nanos(5), 1), Ok(()));
        let wait = limiter.room(Time::from_nanos(6), &1u64).unwrap_err();
        assert_eq!(limiter.room(Time::from_nanos(6) + wait, &1u64), Ok(()));
        assert!(limiter.room(Time::from_nanos(5) + wait, &1u64).is_err());
    }

    #[test]
    fn a_flood_under_many_names_drives_out_its_own() {
        let mut limiter = limiter(5, 1000 * SECOND, 20);
        for _ in 0..5 {
            limiter.take(Time::ZERO, &0u64);
        }
        for key in 1..10_000u64 {
            limiter.take(Time::ZERO, &key);
            assert!(limiter.len() <= 20);
        }
        assert!(limiter.room(Time::ZERO, &0u64).is_err(), "who used its rate up is remembered");
    }

    #[test]
    fn a_full_table_forgets_who_uses_its_rate_least() {
        let mut limiter = limiter(5, SECOND, 2);
        for _ in 0..3 {
            limiter.take(Time::ZERO, &1u64);
        }
        limiter.take(Time::ZERO, &2u64);
        limiter.take(Time::ZERO, &3u64);
        assert_eq!(limiter.len(), 2);
        limiter.take(Time::ZERO, &1u64);
        limiter.take(Time::ZERO, &1u64);
        assert_eq!(limiter.room(Time::ZERO, &1u64), Err(SECOND), "the busiest was remembered");
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let mut limiter = limiter(2, SECOND, 10_000);
        for key in 0..5000u64 {
            limiter.take(Time::ZERO, &key);
        }
        let full = limiter.memory_used();
        for call in 0..5000u64 {
            limiter.take(Time::ZERO + 2 * SECOND * 60, &(call % 2));
        }
        assert!(limiter.len() <= 2, "{limiter:?}");
        assert!(limiter.memory_used() < full / 8, "{} of {full} bytes", limiter.memory_used());
    }

    #[test]
    fn an_entry_takes_at_most_what_is_said() {
        let mut limiter = limiter(2, SECOND, 100_000);
        for key in 0..100_000u64 {
            limiter.take(Time::ZERO, &key);
            if key > 1000 {
                let each = limiter.memory_used() / (usize::try_from(key).unwrap() + 1);
                assert!(each <= 80, "{each} bytes a key at {key}");
            }
        }
        assert_eq!(limiter.len(), 100_000);
    }

    #[test]
    fn switched_off_it_lets_all_in_and_remembers_nobody() {
        let off = [
            RateConfig::OFF,
            RateConfig { interval: Duration::ZERO, ..RateConfig::per(3, SECOND) },
            RateConfig { entries: 0, ..RateConfig::per(3, SECOND) },
        ];
        for config in off {
            let mut limiter = RateLimiter::new(&config, &Seed::new([1; 32]), "off");
            for _ in 0..1000 {
                assert_eq!(try_take(&mut limiter, Time::ZERO, 1), Ok(()));
            }
            assert_eq!((limiter.len(), limiter.memory_used()), (0, 0));
        }
    }

    #[test]
    fn the_end_of_time_does_not_wrap() {
        let mut limiter = limiter(2, Duration::MAX, 10);
        let last = Time::from_nanos(u64::MAX - 1);
        assert_eq!(try_take(&mut limiter, last, 1), Ok(()));
        let _ = try_take(&mut limiter, last, 1);
        let _ = try_take(&mut limiter, Time::NEVER, 1);
    }

    proptest! {
        /// Beside the plain token bucket that GCRA stands for: tokens counted in nanoseconds of refilling.
        #[test]
        fn it_is_a_token_bucket(
            burst in 1u32..6,
            interval in 1u64..20,
            steps in prop::collection::vec((0u64..12, 0u64..4), 1..200),
        ) {
            let mut limiter = limiter(burst, Duration::from_nanos(interval), 100);
            let full = u64::from(burst) * interval;
            let mut buckets: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
            let mut now = 0u64;
            for (wait, key) in steps {
                now += wait;
                let (level, at) = buckets.entry(key).or_insert((full, 0));
                *level = (*level + now - *at).min(full);
                *at = now;
                let expected = if *level >= interval { Ok(()) } else { Err(Duration::from_nanos(interval - *level)) };
                if expected.is_ok() {
                    *level -= interval;
                }
                prop_assert_eq!(try_take(&mut limiter, Time::from_nanos(now), key), expected);
            }
            let held: Vec<_> = buckets.iter().filter(|(_, (level, at))| level + (now - at) < full).collect();
            prop_assert!(limiter.len() >= held.len());
        }
    }
}
