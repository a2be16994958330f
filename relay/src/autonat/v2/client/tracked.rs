//! One address, and when to ask about it again.
//!
//! ```text
//!               no vote: 5 s, 10 s .. 5 min            a lead of 3
//!   Backoff <------------------------------ Wanted ---------------> Sure, for 1 h
//!                                            |   \
//!                5 servers in a row refused  |    \ a full window that disagrees
//!   Paused, for 10 min <---------------------+     +-------------> Contested, for 5 min
//! ```

use super::ClientConfig;
use crate::autonat::Reachability;
use crate::autonat::v2::votes::{Vote, Votes};
use core::time::Duration;
use tidewire_core::{Multiaddr, PeerId, Time};

#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) address: Multiaddr,
    pub(super) votes: Votes,
    /// What was told last.
    pub(super) told: Reachability,
    /// Questions without a vote, one after the other.
    failures: u32,
    backoff_until: Time,
    /// Servers in a row that would not dial it.
    refusals: u32,
    paused_until: Time,
    /// It is to be asked about though the votes were sure.
    anew: bool,
}

/// Why an address is not asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    Paused,
    Backoff,
    Sure,
    Contested,
}

impl Tracked {
    pub(super) fn new(address: Multiaddr) -> Self {
        Tracked {
            address,
            votes: Votes::default(),
            told: Reachability::Unknown,
            failures: 0,
            backoff_until: Time::ZERO,
            refusals: 0,
            paused_until: Time::ZERO,
            anew: false,
        }
    }

    /// From when on it wants to be asked about, and why not before.
    pub(super) fn due(&self, config: &ClientConfig) -> (Time, Option<Rest>) {
        let sure = !self.anew && self.votes.confidence() >= config.target.max(1);
        let contested = !self.anew && !sure && self.votes.len() >= config.window.max(1);
        let last = self.votes.last().unwrap_or(Time::ZERO);
        let rests = [
            (sure, last + config.recheck, Rest::Sure),
            (contested, last + config.backoff_max, Rest::Contested),
            (true, self.backoff_until, Rest::Backoff),
            (true, self.paused_until, Rest::Paused),
        ];
        let applying = rests.into_iter().filter(|(applies, until, _)| *applies && *until > Time::ZERO);
        applying
            .map(|(_, until, rest)| (until, rest))
            .max_by_key(|(until, _)| *until)
            .map_or((Time::ZERO, None), |(until, rest)| (until, Some(rest)))
    }

    /// How many questions about it at one time are of use.
    pub(super) fn lacking(&self, config: &ClientConfig) -> u32 {
        config.target.saturating_sub(self.votes.confidence()).max(1)
    }

    pub(super) fn vote(&mut self, config: &ClientConfig, now: Time, server: PeerId, good: bool) {
        (self.refusals, self.anew) = (0, false);
        if self.votes.cast(config, Vote { server, good, at: now }) {
            self.failures = 0;
            self.backoff_until = Time::ZERO;
        } else {
            self.failed(config, now);
        }
    }

    /// A question about it brought no vote.
    pub(super) fn failed(&mut self, config: &ClientConfig, now: Time) {
        let doubled = 1u32.checked_shl(self.failures).and_then(|times| config.backoff_first.checked_mul(times));
        self.backoff_until = now + doubled.unwrap_or(Duration::MAX).min(config.backoff_max);
        self.failures = self.failures.saturating_add(1);
    }

    /// A server would not dial it.
    pub(super) fn refused(&mut self, config: &ClientConfig, now: Time) {
        self.refusals = self.refusals.saturating_add(1);
        if self.refusals >= config.max_refusals.max(1) {
            self.refusals = 0;
            self.paused_until = now + config.refused_pause;
        }
    }

    /// What kept it waiting, and what made it sure, is of another network.
    pub(super) fn start_anew(&mut self) {
        self.anew = true;
        (self.failures, self.refusals) = (0, 0);
        (self.backoff_until, self.paused_until) = (Time::ZERO, Time::ZERO);
    }

    pub(super) fn memory_used(&self) -> usize {
        self.address.memory_used() + self.votes.memory_used()
    }
}
