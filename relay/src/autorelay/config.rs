//! Every number of AutoRelay, and the two sets of them: [`AutoRelayConfig::classic`] and [`AutoRelayConfig::go`].

use super::Candidate;
use alloc::vec::Vec;
use core::time::Duration;
use smol_str::SmolStr;

/// Which public addresses of our own are announced while relays are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum AnnouncePublic {
    /// All of them.
    Always,
    /// As long as nobody said that we are private; then those that were verified one by one.
    #[default]
    UnlessPrivate,
    /// Those that were verified one by one.
    Verified,
}

/// The numbers of an [`AutoRelay`](super::AutoRelay). Times are at least a millisecond.
///
/// The default is [`classic`](AutoRelayConfig::classic). "First AutoRelay" is go-libp2p's
/// of 2019 to 2022, "go" its present one. Where no source is named, the number is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct AutoRelayConfig {
    /// Relays at which a reservation is held. First AutoRelay: 3 (`DesiredRelays`), go: 2.
    pub relays: u32,
    /// Candidates kept at hand beyond those in use. With fewer the source is asked. First AutoRelay: 3, go: 4.
    pub min_candidates: u32,
    /// Candidates from the source that are remembered, those in use included. 20 (go).
    pub max_candidates: u32,
    /// Peers that are left alone, and forgotten otherwise because others took their places. 256.
    pub max_left_alone: u32,
    /// From the start to the first choice, so that there is one, and that we may yet turn out to be public. Static relays don't wait
    /// for it. First AutoRelay: 20 s (`BootDelay`), go: 3 min.
    pub boot_delay: Duration,
    /// Whether the whole of it is waited for, or only until there are [`min_candidates`](Self::min_candidates) that will do.
    /// First AutoRelay: yes, go: no.
    pub whole_boot_delay: bool,
    /// A candidate that the source has not named again for so long is forgotten, unless it is in use. 30 min (go).
    pub candidate_age: Duration,
    /// A relay that refused, or is none, is left alone for so long; one that fails again and again, at most so long. 1 h (go).
    pub backoff: Duration,
    /// A relay that was lost, or can't be reached, is left alone for so long; doubles with each time in a row. 10 s.
    pub first_backoff: Duration,
    /// A relay that was held for so long, and is lost, begins a new row of failures. 60 s.
    pub settled: Duration,
    /// Greatest such time of a static relay, refusals included. 5 min.
    pub static_backoff: Duration,
    /// Time for a candidate to be connected and identified. 20 s (go).
    pub probe_timeout: Duration,
    /// Time for a relay to give a reservation. 10 s (go).
    pub reserve_timeout: Duration,
    /// Candidates that are being connected at one time. 4.
    pub probes: u32,
    /// Least time between two questions to the source while relays are missing. 30 s (go).
    pub find_interval: Duration,
    /// The same while only candidates are missing. 10 min.
    pub find_spare_interval: Duration,
    /// Whether the source is asked at all. Yes.
    pub discover: bool,
    /// Relays that the user named: preferred, and never forgotten. None.
    pub static_relays: Vec<Candidate>,
    /// Addresses that are kept of a candidate. 16.
    pub candidate_addresses: u32,
    /// Whether we advertise ourselves while we are a public relay. First AutoRelay: yes; go: no, it dropped that.
    pub advertise: bool,
    /// Under which key. `/libp2p/relay` (first AutoRelay).
    pub rendezvous: SmolStr,
    /// From becoming a public relay to the first advertisement. 30 s (first AutoRelay: `AdvertiseBootDelay`).
    pub advertise_boot_delay: Duration,
    /// How long an advertisement shall last; it is renewed after 7/8 of what it does last. 30 min (first AutoRelay).
    pub advertise_ttl: Duration,
    /// After an advertisement that failed, or had no answer, the next is tried after so long. 2 min (first AutoRelay).
    pub advertise_retry: Duration,
    /// After a change of our addresses we advertise ourselves anew after so long: changes rarely come alone. 30 s.
    pub advertise_changed: Duration,
    /// Which public addresses are announced while relays are held. [`AnnouncePublic::UnlessPrivate`].
    pub announce_public: AnnouncePublic,
    /// Whether the other ones are, so that peers in the same network come directly. Yes (first AutoRelay, go).
    pub announce_private: bool,
    /// Addresses that are announced. 100 (go).
    pub max_addresses: u32,
    /// Addresses of each list that is told (ours, verified, circuits) that are looked at. 1,024.
    pub max_told_addresses: u32,
    /// Connections that may be known. 4,194,304, the most that the connection manager allows by its own formula.
    pub connections: u32,
    /// Actions that may wait to be polled before a further input is misuse, and time stands still. 4,096.
    pub max_unpolled: u32,
}

impl AutoRelayConfig {
    /// The numbers of the first AutoRelay of go-libp2p: three relays, soon.
    pub fn classic() -> Self {
        let (minute, seconds) = (Duration::from_secs(60), Duration::from_secs);
        AutoRelayConfig {
            relays: 3,
            min_candidates: 3,
            max_candidates: 20,
            max_left_alone: 256,
            boot_delay: seconds(20),
            whole_boot_delay: true,
            candidate_age: 30 * minute,
            backoff: 60 * minute,
            first_backoff: seconds(10),
            settled: seconds(60),
            static_backoff: 5 * minute,
            probe_timeout: seconds(20),
            reserve_timeout: seconds(10),
            probes: 4,
            find_interval: seconds(30),
            find_spare_interval: 10 * minute,
            discover: true,
            static_relays: Vec::new(),
            candidate_addresses: 16,
            advertise: true,
            rendezvous: SmolStr::new_static("/libp2p/relay"),
            advertise_boot_delay: seconds(30),
            advertise_ttl: 30 * minute,
            advertise_retry: 2 * minute,
            advertise_changed: seconds(30),
            announce_public: AnnouncePublic::default(),
            announce_private: true,
            max_addresses: 100,
            max_told_addresses: 1024,
            connections: 1 << 22,
            max_unpolled: 4096,
        }
    }

    /// The numbers of go-libp2p v0.48: two relays out of at least four candidates, without haste.
    pub fn go() -> Self {
        AutoRelayConfig {
            relays: 2,
            min_candidates: 4,
            boot_delay: Duration::from_secs(180),
            whole_boot_delay: false,
            advertise: false,
            ..AutoRelayConfig::classic()
        }
    }
}

impl Default for AutoRelayConfig {
    fn default() -> Self {
        AutoRelayConfig::classic()
    }
}
