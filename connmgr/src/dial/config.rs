//! How peers are dialed: every number that may be turned, and the options of one wish.

use crate::Resources;
use core::time::Duration;

/// How peers are dialed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct DialConfig {
    /// The delays between addresses of one peer.
    pub delays: Delays,
    /// Time for one address. Default 15 s (go-libp2p).
    pub address_timeout: Duration,
    /// Time for one address that is private or on this machine. Default 5 s (go-libp2p).
    pub local_timeout: Duration,
    /// Time for a peer, all addresses together, for each who wants it. Default 60 s (go-libp2p).
    pub peer_timeout: Duration,
    /// Dials at one time that take a file descriptor (all but QUIC and its kin). Default 160 (go-libp2p), at most a quarter of what there are.
    pub file_descriptors: u32,
    /// Dials at one time, all together. Default 640.
    pub at_once: u32,
    /// Dials at one time to one peer. Default 8 (go-libp2p).
    pub per_peer: u32,
    /// Addresses of one peer that are considered; the best ranked stay. Default 64.
    pub max_addresses: u32,
    /// Addresses of one peer that a job remembers and reports, those that are not dialed among them. Default 256.
    pub max_listed: u32,
    /// Peers that are dialed or wait for it. Default 1,024.
    pub max_jobs: u32,
    /// Callers that wait for one peer. Default 256.
    pub max_requests: u32,
    /// Actions that may wait to be polled before another request is misuse. Default 65,536.
    pub max_unpolled: u32,
    /// Backoff after the first failure at an address. Default 5 s (go-libp2p).
    pub backoff_base: Duration,
    /// Backoff is the base plus this times the square of the failures before. Default 1 s (go-libp2p).
    pub backoff_coefficient: Duration,
    /// Greatest backoff, before the jitter. Default 5 min (go-libp2p).
    pub backoff_max: Duration,
    /// Each backoff is longer by up to this many percent, from the seed, so that many peers don't return all at once. Default 25.
    pub backoff_jitter: u32,
    /// Addresses in backoff that are remembered; the one that ends first goes. Default 8,192.
    pub max_backoffs: u32,
    /// Black holes: of the last so many dials over UDP, or to IPv6... Default 100 (go-libp2p).
    pub black_hole_window: u32,
    /// ...at least so many must succeed. Default 5 (go-libp2p).
    pub black_hole_successes: u32,
    /// In a black hole, one dial in so many is made all the same, to notice its end. Default 100 (go-libp2p).
    pub black_hole_probe: u32,
    /// Rules of the gate. Default 4,096.
    pub max_rules: u32,
}

impl DialConfig {
    /// Sized to the machine.
    pub fn for_resources(resources: Resources) -> Self {
        DialConfig { file_descriptors: (resources.file_descriptors / 4).clamp(1, 160), ..DialConfig::default() }
    }
}

impl Default for DialConfig {
    fn default() -> Self {
        DialConfig {
            delays: Delays::default(),
            address_timeout: Duration::from_secs(15),
            local_timeout: Duration::from_secs(5),
            peer_timeout: Duration::from_secs(60),
            file_descriptors: 160,
            at_once: 640,
            per_peer: 8,
            max_addresses: 64,
            max_listed: 256,
            max_jobs: 1024,
            max_requests: 256,
            max_unpolled: 65_536,
            backoff_base: Duration::from_secs(5),
            backoff_coefficient: Duration::from_secs(1),
            backoff_max: Duration::from_secs(300),
            backoff_jitter: 25,
            max_backoffs: 8192,
            black_hole_window: 100,
            black_hole_successes: 5,
            black_hole_probe: 100,
            max_rules: 4096,
        }
    }
}

/// Time between one address and the next (go-libp2p's dial ranker; RFC 8305 section 5 for the 250 ms).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct Delays {
    /// Between steps of public addresses over TCP. Default 250 ms.
    pub public_tcp: Duration,
    /// Between steps of public addresses over QUIC. Default 250 ms.
    pub public_quic: Duration,
    /// Between steps of private addresses over TCP. Default 30 ms.
    pub private_tcp: Duration,
    /// Between steps of private addresses over QUIC. Default 30 ms.
    pub private_quic: Duration,
    /// Before relayed addresses, if there are public ones. Default 500 ms.
    pub relayed: Duration,
    /// Before public and relayed addresses over transports that are neither TCP nor QUIC, and second choices. Default 1 s.
    pub other: Duration,
    /// The same of private addresses. Default 100 ms.
    pub private_other: Duration,
}

impl Default for Delays {
    fn default() -> Self {
        Delays {
            public_tcp: Duration::from_millis(250),
            public_quic: Duration::from_millis(250),
            private_tcp: Duration::from_millis(30),
            private_quic: Duration::from_millis(30),
            relayed: Duration::from_millis(500),
            other: Duration::from_secs(1),
            private_other: Duration::from_millis(100),
        }
    }
}

/// How one wish to be connected is carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct DialOptions {
    /// Only a direct connection will do: relayed ones don't answer the wish, relayed addresses are not dialed.
    pub direct_only: bool,
    /// Pass over backoff and black holes.
    pub forced: bool,
    /// Dial even when there is a connection.
    pub new: bool,
}
