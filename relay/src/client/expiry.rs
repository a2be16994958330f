//! How long a reservation lasts, and when it is renewed: the one place where a remote's clock is looked at.
//!
//! | the relay says that it ends | it is taken to last |
//! |---|---|
//! | later, by our clock | as long, but at most [`max_ttl`](ClientConfig::max_ttl) |
//! | later than `max_ttl` and an eighth of it: tomorrow, the end of time | [`assumed_ttl`](ClientConfig::assumed_ttl): if a clock is wrong, the end may be near |
//! | now or earlier, by our clock | `assumed_ttl`: it was given just now, so a clock is wrong |
//! | any time, and we have no clock | `assumed_ttl` |
//!
//! From then on only our monotonic clock counts: nobody who sets a clock makes a reservation longer or shorter.

use super::config::{ClientConfig, at_least_a_millisecond};
use core::time::Duration;
use tidewire_core::{Draw, UnixTime};

/// How long a reservation lasts that was given at `now`.
pub(super) fn time_to_live(expire: UnixTime, now: Option<UnixTime>, config: &ClientConfig) -> Duration {
    let left = now.map_or(Duration::ZERO, |now| now.until(expire));
    let is_likely = !left.is_zero() && left <= config.max_ttl.saturating_add(config.max_ttl / 8);
    at_least_a_millisecond(if is_likely { left.min(config.max_ttl) } else { config.assumed_ttl })
}

/// After how long to renew it.
pub(super) fn renewal(ttl: Duration, config: &ClientConfig, jitter: &mut Draw) -> Duration {
    let lead = config.renew_before.min(ttl / 3);
    let early = jitter.up_to(lead / 4);
    at_least_a_millisecond(ttl.saturating_sub(lead).saturating_sub(early).max(config.renew_min))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidewire_core::Seed;

    const NOW: u64 = 1_900_000_000;

    #[test]
    fn the_time_to_live_is_the_relays_within_reason() {
        let config = ClientConfig::default();
        let (assumed, max) = (config.assumed_ttl.as_secs(), config.max_ttl.as_secs());
        let table = [
            (Some(NOW), NOW + 3600, 3600),
            (Some(NOW), NOW + 1, 1),
            (Some(NOW), NOW + max, max),
            (Some(NOW), NOW + max + 1, max),
            (Some(NOW), NOW + max + max / 8, max),
            (Some(NOW), NOW + max + max / 8 + 1, assumed),
            (Some(NOW), NOW + 24 * 3600, assumed),
            (Some(NOW), u64::MAX, assumed),
            (Some(NOW), u64::MAX - 1, assumed),
            (Some(NOW), NOW, assumed),
            (Some(NOW), NOW - 1, assumed),
            (Some(NOW), 0, assumed),
            (Some(u64::MAX), u64::MAX, assumed),
            (Some(0), u64::MAX, assumed),
            (None, NOW + 3600, assumed),
            (None, u64::MAX, assumed),
        ];
        for (now, expire, expected) in table {
            let ttl = time_to_live(UnixTime::from_secs(expire), now.map(UnixTime::from_secs), &config);
            assert_eq!(ttl.as_secs(), expected, "at {now:?} one until {expire}");
        }
    }

    #[test]
    fn a_renewal_comes_well_before_the_end() {
        let config = ClientConfig::default();
        let mut jitter = Draw::new(&Seed::new([1; 32]), "test");
        // Time to live, earliest and latest renewal.
        let table = [
            (3600, 3225, 3300),
            (7200, 6825, 6900),
            (900, 525, 600),
            (300, 175, 200),
            (60, 35, 40),
            (12, 7, 8),
            (6, 4, 4),
            (1, 4, 4),
        ];
        for (ttl, earliest, latest) in table {
            for _ in 0..50 {
                let after = renewal(Duration::from_secs(ttl), &config, &mut jitter);
                let range = Duration::from_secs(earliest)..=Duration::from_secs(latest);
                assert!(range.contains(&after), "of {ttl} s after {after:?}");
            }
        }
    }

    #[test]
    fn renewals_of_holders_who_reserved_together_spread() {
        let config = ClientConfig::default();
        let after = |seed: u8| {
            let mut jitter = Draw::new(&Seed::new([seed; 32]), "test");
            renewal(Duration::from_secs(3600), &config, &mut jitter)
        };
        let all: alloc::vec::Vec<_> = (0..50).map(after).collect();
        let spread = all.iter().max().unwrap().saturating_sub(*all.iter().min().unwrap());
        assert!(spread > Duration::from_secs(60), "{spread:?}");
    }
}
