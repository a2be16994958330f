//! When we advertise ourselves as a relay.
//!
//! ```text
//!         public and serving            boot delay            told, renewed after 7/8
//!   Off ---------------------> Due later ---------> Advertise -------------------> Due later
//!    ^                            ^                      '---- failed, no answer: in 2 min ----'
//!    '--- not any more (Withdraw) '
//! ```
//! Other addresses than before are advertised soon, whenever the next time would be.

use super::config::AutoRelayConfig;
use crate::client::config::at_least_a_millisecond;
use core::time::Duration;
use tidewire_core::Time;

#[derive(Debug)]
pub(super) struct Advertiser {
    /// [`Time::NEVER`]: off.
    due: Time,
    /// We may be advertised somewhere.
    said: bool,
    /// When, at the latest, because our addresses are others than those advertised. [`Time::NEVER`]: they aren't.
    changed: Time,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Advertise {
    Now,
    Withdraw,
}

impl Advertiser {
    pub(super) const fn new() -> Self {
        Advertiser { due: Time::NEVER, said: false, changed: Time::NEVER }
    }

    pub(super) const fn due(&self) -> Time {
        self.due
    }

    /// Whether we are a public relay.
    pub(super) fn set(&mut self, now: Time, on: bool, config: &AutoRelayConfig) -> Option<Advertise> {
        match (on, self.due.is_never()) {
            (true, true) => self.due = now + at_least_a_millisecond(config.advertise_boot_delay),
            (false, false) => {
                (self.due, self.changed) = (Time::NEVER, Time::NEVER);
                return core::mem::take(&mut self.said).then_some(Advertise::Withdraw);
            }
            _ => {}
        }
        None
    }

    pub(super) fn on_timeout(&mut self, now: Time, config: &AutoRelayConfig) -> Option<Advertise> {
        if now < self.due || self.due.is_never() {
            return None;
        }
        (self.said, self.changed) = (true, Time::NEVER);
        // Until something is heard it counts as failed.
        self.due = now + at_least_a_millisecond(config.advertise_retry);
        Some(Advertise::Now)
    }

    /// What came of it; `None`: it failed.
    pub(super) fn told(&mut self, now: Time, ttl: Option<Duration>, config: &AutoRelayConfig) {
        if self.said {
            // Never sooner than after a failure: who grants a second would have us advertise without end.
            let after = ttl.map_or(Duration::ZERO, |ttl| ttl - ttl / 8).max(config.advertise_retry);
            self.due = (now + at_least_a_millisecond(after)).min(self.changed);
        }
    }

    /// Our addresses are others than before.
    pub(super) fn addresses_changed(&mut self, now: Time, config: &AutoRelayConfig) {
        if self.said && self.changed.is_never() {
            self.changed = now + at_least_a_millisecond(config.advertise_changed);
            self.due = self.due.min(self.changed);
        }
    }
}
