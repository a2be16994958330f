//! What servers said about one address, and what follows from it.
//!
//! ```text
//!             good leads by `agreeing`             bad leads by `agreeing`
//!   Public <---------------------------- Unknown ---------------------------> Private
//!     |                                   ^   ^                                  |
//!     +-- good doesn't lead any more -----+   +---- bad doesn't lead any more ---+
//! ```
//! From Private to Public, and back, it may also go at once. go-libp2p's window, with one rule more: between two changes there
//! are always `agreeing` new votes that speak for the second one, so a single vote never changes anything, nor changes it back.

use super::client::ClientConfig;
use crate::autonat::Reachability;
use alloc::vec::Vec;
use tidewire_core::{PeerId, Time};

/// The votes on one address.
#[derive(Debug, Default)]
pub(super) struct Votes {
    /// Oldest first; at most [`ClientConfig::window`].
    window: Vec<Vote>,
    decided: Reachability,
    /// Bad and good votes since that last changed.
    since: [u32; 2],
}

/// One server's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Vote {
    pub(super) server: PeerId,
    pub(super) good: bool,
    pub(super) at: Time,
}

impl Votes {
    /// Counts a vote. `false`: the server had said as much before, so that nothing new is known.
    ///
    /// That an address is reachable was proven each time. That it isn't, is a claim: of one server it counts
    /// [`failures_per_server`](ClientConfig::failures_per_server) times in a window.
    pub(super) fn cast(&mut self, config: &ClientConfig, vote: Vote) -> bool {
        let mut news = true;
        if !vote.good {
            let claims = |known: &Vote| !known.good && known.server == vote.server;
            let allowed = usize::try_from(config.failures_per_server.max(1)).unwrap_or(usize::MAX);
            if self.window.iter().filter(|known| claims(known)).count() >= allowed
                && let Some(at) = self.window.iter().position(claims)
            {
                self.window.remove(at);
                news = false;
            }
        }
        if self.window.len() >= usize::try_from(config.window.max(1)).unwrap_or(usize::MAX) {
            self.window.remove(0);
        }
        self.window.push(vote);
        if news {
            self.decide(config, vote.good);
        }
        news
    }

    /// Forgets votes that are older than [`vote_lifetime`](ClientConfig::vote_lifetime). What nobody's vote speaks for any more is
    /// unknown.
    pub(super) fn forget_old(&mut self, config: &ClientConfig, now: Time) {
        self.window.retain(|vote| vote.at + config.vote_lifetime > now);
        let (good, bad) = self.counts();
        let unsupported = match self.decided {
            Reachability::Unknown => false,
            Reachability::Public => good == 0,
            Reachability::Private => bad == 0,
        };
        if unsupported {
            self.decide_for(Reachability::Unknown);
        }
    }

    /// When the next vote is too old.
    pub(super) fn oldest_until(&self, config: &ClientConfig) -> Time {
        self.window.iter().map(|vote| vote.at + config.vote_lifetime).min().unwrap_or(Time::NEVER)
    }

    /// What was decided.
    pub(super) fn reachability(&self) -> Reachability {
        self.decided
    }

    /// By how many votes the greater side leads.
    pub(super) fn confidence(&self) -> u32 {
        let (good, bad) = self.counts();
        good.abs_diff(bad)
    }

    /// How many votes there are.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.window.len()).unwrap_or(u32::MAX)
    }

    /// When the last vote came.
    pub(super) fn last(&self) -> Option<Time> {
        self.window.last().map(|vote| vote.at)
    }

    /// Whether this server has a vote in the window.
    pub(super) fn knows(&self, server: &PeerId) -> bool {
        self.window.iter().any(|vote| vote.server == *server)
    }

    pub(super) fn memory_used(&self) -> usize {
        self.window.capacity() * size_of::<Vote>()
    }

    fn counts(&self) -> (u32, u32) {
        let good = self.window.iter().filter(|vote| vote.good).count();
        let bad = self.window.len() - good;
        (u32::try_from(good).unwrap_or(u32::MAX), u32::try_from(bad).unwrap_or(u32::MAX))
    }

    fn decide(&mut self, config: &ClientConfig, good_vote: bool) {
        let agreeing = config.agreeing.max(1);
        let since = &mut self.since[usize::from(good_vote)];
        *since = since.saturating_add(1);
        let [bad_since, good_since] = self.since.map(|since| since >= agreeing);
        let (good, bad) = self.counts();
        let (lead, behind) = (good.saturating_sub(bad), bad.saturating_sub(good));
        let next = match self.decided {
            _ if lead >= agreeing && good_since => Reachability::Public,
            _ if behind >= agreeing && bad_since => Reachability::Private,
            Reachability::Public if lead == 0 && bad_since => Reachability::Unknown,
            Reachability::Private if behind == 0 && good_since => Reachability::Unknown,
            same => same,
        };
        if next != self.decided {
            self.decide_for(next);
        }
    }

    fn decide_for(&mut self, decided: Reachability) {
        self.decided = decided;
        self.since = [0; 2];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autonat::testing::peer;
    use Reachability::{Private, Public, Unknown};
    use core::time::Duration;
    use proptest::prelude::*;

    fn vote(server: u8, good: bool) -> Vote {
        Vote { server: peer(server), good, at: Time::ZERO }
    }

    fn cast_all(votes: &mut Votes, goods: &str) -> Vec<Reachability> {
        let config = ClientConfig::default();
        let each = goods.chars().enumerate().map(|(i, good)| {
            votes.cast(&config, vote(u8::try_from(i + 1).unwrap(), good == '+'));
            votes.reachability()
        });
        each.collect()
    }

    #[test]
    fn two_that_agree_decide_and_one_that_disagrees_changes_nothing() {
        let table: [(&str, &[Reachability]); 7] = [
            ("++", &[Unknown, Public]),
            ("--", &[Unknown, Private]),
            ("+-+", &[Unknown, Unknown, Unknown]),
            ("+-++", &[Unknown, Unknown, Unknown, Public]),
            ("++-+-", &[Unknown, Public, Public, Public, Public]),
            ("++--", &[Unknown, Public, Public, Unknown]),
            ("+++-----", &[Unknown, Public, Public, Public, Public, Unknown, Unknown, Private]),
        ];
        for (goods, expected) in table {
            assert_eq!(cast_all(&mut Votes::default(), goods), expected, "{goods}");
        }
    }

    #[test]
    fn one_server_that_repeats_a_failure_is_one_vote_but_each_success_was_proven() {
        let config = ClientConfig::default();
        let mut votes = Votes::default();
        assert!(votes.cast(&config, vote(1, false)));
        for _ in 0..5 {
            assert!(!votes.cast(&config, vote(1, false)));
        }
        assert_eq!((votes.reachability(), votes.len()), (Unknown, 1));
        let mut votes = Votes::default();
        assert!(votes.cast(&config, vote(1, true)));
        assert!(votes.cast(&config, vote(1, true)));
        assert_eq!(votes.reachability(), Public);
    }

    #[test]
    fn what_nobody_speaks_for_any_more_is_unknown() {
        let config = ClientConfig::default();
        let mut votes = Votes::default();
        cast_all(&mut votes, "++");
        let end = votes.oldest_until(&config);
        assert_eq!(end, Time::ZERO + config.vote_lifetime);
        votes.forget_old(&config, Time::from_nanos(end.as_nanos() - 1));
        assert_eq!(votes.reachability(), Public);
        votes.forget_old(&config, end);
        assert_eq!((votes.reachability(), votes.len(), votes.oldest_until(&config)), (Unknown, 0, Time::NEVER));
    }

    proptest! {
        /// Between any two changes at least `agreeing` votes for the second one were cast: never flapping on a single vote.
        #[test]
        fn no_single_vote_changes_back_what_another_changed(
            window in 1u32..8,
            agreeing in 2u32..4,
            failures_per_server in 1u32..4,
            cast in prop::collection::vec((0u8..6, any::<bool>(), 0u64..3600), 0..200),
        ) {
            let config = ClientConfig { window, agreeing, failures_per_server, ..ClientConfig::default() };
            let mut votes = Votes::default();
            let (mut now, mut since) = (Time::ZERO, [0u32; 2]);
            let mut before = Unknown;
            for (server, good, wait) in cast {
                now = now + Duration::from_secs(wait);
                votes.forget_old(&config, now);
                if votes.reachability() != before {
                    prop_assert_eq!(votes.reachability(), Unknown, "time alone only forgets");
                    (before, since) = (Unknown, [0; 2]);
                }
                if votes.cast(&config, Vote { server: peer(server), good, at: now }) {
                    since[usize::from(good)] += 1;
                }
                prop_assert!(votes.len() <= window);
                let after = votes.reachability();
                if after == before {
                    continue;
                }
                let speaks_for = match (before, after) {
                    (_, Public) | (Private, _) => since[1],
                    _ => since[0],
                };
                prop_assert!(speaks_for >= agreeing, "{:?} -> {:?} after {:?}", before, after, since);
                if after != Unknown {
                    prop_assert!(votes.confidence() >= agreeing);
                }
                (before, since) = (after, [0; 2]);
            }
        }
    }
}
