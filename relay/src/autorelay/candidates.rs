//! The peers that may be relays, what is known of each, and which of them is best.

use super::Candidate;
use super::config::AutoRelayConfig;
use crate::client::direct_addresses;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::net::IpAddr;
use core::time::Duration;
use tidewire_core::{Multiaddr, PeerId, Time};

/// All candidates.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    pub(super) all: BTreeMap<PeerId, Known>,
    /// Those that are left alone until then, and made room for others meanwhile.
    alone: BTreeMap<PeerId, Time>,
}

#[derive(Debug)]
pub(super) struct Known {
    pub(super) addresses: Vec<Multiaddr>,
    pub(super) is_static: bool,
    /// Named by the source, or last in use.
    pub(super) seen: Time,
    pub(super) stage: Stage,
    /// In a row.
    pub(super) failures: u32,
    /// We have a reservation with it, whoever wanted that.
    pub(super) reserved: bool,
    /// Decides between equals.
    pub(super) lot: u64,
}

/// Where a candidate is on its way to be a relay of ours.
///
/// ```text
///           connect, if it isn't       identified: speaks hop        the best of them         reserved
///   Idle ------------------> Probing -----------------------> Fit -------------------> Asking --------> Held
///    ^                          | not, no hop                  | no hop                  | not            | lost
///    '--- time is over --- Backoff <---------------------------'<------------------------'<---------------'
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Idle,
    Probing { until: Time },
    Fit,
    Asking { until: Time },
    Held { since: Time },
    Backoff { until: Time },
}

/// What is known of a peer because it is connected directly.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peer {
    pub(super) speaks_hop: Option<bool>,
    pub(super) rtt: Option<Duration>,
    pub(super) subnet: Option<Subnet>,
}

/// A part of the internet that fails together: the first 16 bits of an IPv4 address, the first 32 of an IPv6 one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Subnet(bool, u32);

impl Subnet {
    pub(super) fn of(ip: IpAddr) -> Subnet {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Subnet(false, ip.to_bits() >> 16),
            IpAddr::V6(ip) => {
                let [a, b, ..] = ip.segments();
                Subnet(true, u32::from(a) << 16 | u32::from(b))
            }
        }
    }
}

impl Stage {
    pub(super) fn deadline(self) -> Time {
        match self {
            Stage::Probing { until } | Stage::Asking { until } | Stage::Backoff { until } => until,
            Stage::Idle | Stage::Fit | Stage::Held { .. } => Time::NEVER,
        }
    }

    /// Whether we asked the client to hold it.
    pub(super) fn is_in_use(self) -> bool {
        matches!(self, Stage::Asking { .. } | Stage::Held { .. })
    }

    /// Whether it may come into use.
    pub(super) fn is_usable(self) -> bool {
        matches!(self, Stage::Idle | Stage::Probing { .. } | Stage::Fit)
    }
}

impl Known {
    /// When it is forgotten, if it is not in use then.
    pub(super) fn dies(&self, age: Duration) -> Time {
        match self.stage {
            _ if self.is_static || self.stage.is_in_use() => Time::NEVER,
            // Forgotten sooner it would be tried again as soon as the source names it again.
            Stage::Backoff { until } => until.max(self.seen + age),
            _ => self.seen + age,
        }
    }
}

impl Candidates {
    pub(super) fn count(&self, is: impl Fn(Stage) -> bool) -> usize {
        self.all.values().filter(|known| is(known.stage)).count()
    }

    /// Those that came from the source.
    pub(super) fn found(&self) -> usize {
        self.all.values().filter(|known| !known.is_static).count()
    }

    /// Takes one that the source names. `lot` is drawn only for a new one.
    pub(super) fn add(&mut self, now: Time, given: &Candidate, config: &AutoRelayConfig, lot: impl FnOnce() -> u64) {
        let addresses = direct_addresses(&given.addresses, config.candidate_addresses);
        // A relay behind a relay is none.
        if addresses.is_empty() && !given.addresses.is_empty() {
            return;
        }
        if let Some(known) = self.all.get_mut(&given.peer) {
            known.seen = now;
            if !known.is_static && !addresses.is_empty() {
                known.addresses = addresses;
            }
            return;
        }
        if self.alone.get(&given.peer).is_some_and(|until| *until > now) {
            return;
        }
        self.alone.remove(&given.peer);
        if self.found() >= usize::try_from(config.max_candidates).unwrap_or(usize::MAX) {
            let hopeless = |(peer, known): (&PeerId, &Known)| match known.stage {
                Stage::Backoff { until } if !known.is_static => Some((until, *peer)),
                _ => None,
            };
            let Some((until, gone)) = self.all.iter().filter_map(hopeless).max() else { return };
            self.all.remove(&gone);
            self.leave_alone(gone, until, config.max_left_alone);
        }
        self.insert(now, given.peer, addresses, false, lot());
    }

    /// Remembers that much of one that is forgotten otherwise. Of too many the first one to be free again goes.
    fn leave_alone(&mut self, peer: PeerId, until: Time, max: u32) {
        self.alone.insert(peer, until);
        if self.alone.len() > usize::try_from(max).unwrap_or(usize::MAX) {
            let first = self.alone.iter().map(|(peer, until)| (*until, *peer)).min();
            first.and_then(|(_, peer)| self.alone.remove(&peer));
        }
    }

    /// Nobody is left alone any more.
    pub(super) fn forgive(&mut self) {
        self.alone.clear();
        for known in self.all.values_mut() {
            known.failures = 0;
            if let Stage::Backoff { .. } = known.stage {
                known.stage = Stage::Idle;
            }
        }
    }

    pub(super) fn insert(&mut self, now: Time, peer: PeerId, addresses: Vec<Multiaddr>, is_static: bool, lot: u64) {
        let stage = Stage::Idle;
        let known = Known { addresses, is_static, seen: now, stage, failures: 0, reserved: false, lot };
        self.all.insert(peer, known);
    }

    /// The best one that will do: a static one before others; from a subnet where no relay of ours is before one from where the
    /// fewest are; the nearest; by lot.
    pub(super) fn best(&self, peers: &BTreeMap<PeerId, Peer>, only_static: bool) -> Option<PeerId> {
        let subnet = |peer: &PeerId| peers.get(peer).and_then(|known| known.subnet);
        let used: Vec<Subnet> =
            self.all.iter().filter(|(_, known)| known.stage.is_in_use()).filter_map(|(peer, _)| subnet(peer)).collect();
        let fit = self.all.iter().filter(|(_, known)| known.stage == Stage::Fit && (known.is_static || !only_static));
        let rank = |(peer, known): &(&PeerId, &Known)| {
            let shared = subnet(peer).map_or(0, |subnet| used.iter().filter(|used| **used == subnet).count());
            let rtt = peers.get(peer).and_then(|peer| peer.rtt).unwrap_or(Duration::MAX);
            (Reverse(known.is_static), shared, rtt, known.lot, **peer)
        };
        fit.min_by_key(rank).map(|(peer, _)| *peer)
    }

    /// The next one to connect to: a static one, one that is connected already, by lot.
    pub(super) fn next_probe(&self, peers: &BTreeMap<PeerId, Peer>) -> Option<PeerId> {
        let idle = self.all.iter().filter(|(_, known)| known.stage == Stage::Idle);
        let rank = |(peer, known): &(&PeerId, &Known)| {
            (Reverse(known.is_static), Reverse(peers.contains_key(*peer)), known.lot, **peer)
        };
        idle.min_by_key(rank).map(|(peer, _)| *peer)
    }

    pub(super) fn memory_used(&self) -> usize {
        let of = |known: &Known| size_of::<(PeerId, Known)>() + Multiaddr::list_memory_used(&known.addresses);
        self.all.values().map(of).sum::<usize>() + self.alone.len() * size_of::<(PeerId, Time)>()
    }
}
