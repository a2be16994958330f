//! When to send again: the round trip as it is measured, and the timeout that follows from it (RFC 6298).

use super::Tcp;
use core::time::Duration;
use tidewire_core::Time;

#[derive(Clone, Debug)]
pub(crate) struct Clock {
    /// Smoothed round trip and its variation, once measured.
    measured: Option<(Duration, Duration)>,
    /// How often the timeout was doubled.
    doubled: u32,
    /// What is measured: when this sequence number is acknowledged, and since when.
    probe: Option<(u64, Time)>,
}

impl Clock {
    pub(crate) const fn new() -> Self {
        Clock { measured: None, doubled: 0, probe: None }
    }

    pub(crate) fn timeout(&self, config: &Tcp) -> Duration {
        let base = match self.measured {
            None => config.first_timeout,
            Some((smoothed, variation)) => smoothed + (variation * 4).max(config.least_timeout),
        };
        base.saturating_mul(1 << self.doubled.min(20)).min(config.longest_timeout)
    }

    pub(crate) const fn doubled(&self) -> u32 {
        self.doubled
    }

    /// The timeout has passed.
    pub(crate) const fn double(&mut self) {
        self.doubled += 1;
        self.forget_probe();
    }

    /// The timeout is as it was before it was doubled.
    pub(crate) const fn settle(&mut self) {
        self.doubled = 0;
    }

    pub(crate) const fn sent(&mut self, end: u64, now: Time) {
        if self.probe.is_none() {
            self.probe = Some((end, now));
        }
    }

    /// Karn's rule: what was sent twice measures nothing.
    pub(crate) const fn forget_probe(&mut self) {
        self.probe = None;
    }

    /// Something new was acknowledged, up to here.
    pub(crate) fn acknowledged(&mut self, up_to: u64, now: Time) {
        self.settle();
        let Some((_, since)) = self.probe.filter(|(end, _)| up_to >= *end) else { return };
        self.probe = None;
        let took = now.since(since);
        self.measured = Some(match self.measured {
            None => (took, took / 2),
            Some((smoothed, variation)) => ((smoothed * 7 + took) / 8, (variation * 3 + smoothed.abs_diff(took)) / 4),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_timeout_follows_the_round_trip() {
        let config = Tcp::default();
        let mut clock = Clock::new();
        assert_eq!(clock.timeout(&config), Duration::from_secs(1));
        clock.sent(1, Time::ZERO);
        clock.acknowledged(1, Time::ZERO + 100 * MS);
        assert_eq!(clock.timeout(&config), 300 * MS, "the trip and four times its half");
        for round in 1..50 {
            let now = Time::from_millis(1_000 * round);
            clock.sent(round, now);
            clock.acknowledged(round, now + 100 * MS);
        }
        assert_eq!(clock.timeout(&config), 300 * MS, "the least variation is 200 ms");
    }

    #[test]
    fn each_timeout_doubles_the_next_and_progress_ends_that() {
        let config = Tcp::default();
        let mut clock = Clock::new();
        clock.double();
        clock.double();
        assert_eq!(clock.timeout(&config), Duration::from_secs(4));
        for _ in 0..100 {
            clock.double();
        }
        assert_eq!(clock.timeout(&config), config.longest_timeout);
        clock.acknowledged(1, Time::ZERO);
        assert_eq!(clock.timeout(&config), Duration::from_secs(1));
    }

    #[test]
    fn what_was_sent_twice_measures_nothing() {
        let mut clock = Clock::new();
        clock.sent(1, Time::ZERO);
        clock.double();
        clock.acknowledged(1, Time::from_millis(5_000));
        assert_eq!(clock.timeout(&Tcp::default()), Duration::from_secs(1));
    }
}
