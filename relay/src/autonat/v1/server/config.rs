//! How much a server does for others.

use crate::RateConfig;
use core::time::Duration;
use tidewire_core::Transport;

use alloc::vec::Vec;

/// How a v1 server dials back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct ServerConfig {
    /// Requests of all together. Default 30 a minute (go-libp2p).
    pub rate: RateConfig,
    /// Requests of one peer. Default 3 a minute (go-libp2p).
    pub peer_rate: RateConfig,
    /// Requests at one time. Default 64: more than come at [`rate`](Self::rate) within the times below.
    pub max_requests: u32,
    /// Time for a peer to say what it wants, once it is let in. Default 60 s (go-libp2p).
    pub request_timeout: Duration,
    /// Time for the dial. A failure is told only when it is over, so that the answer doesn't show a closed port from a silent
    /// one. Default 15 s (go-libp2p).
    pub dial_timeout: Duration,
    /// Addresses that are dialed for one request. Default 16 (go-libp2p).
    pub max_addresses: u32,
    /// Whether the address that the request comes from is dialed too, before the others (the spec: "MAY"). Default true
    /// (go-libp2p).
    pub dial_observed: bool,
    /// What can be dialed. Default TCP.
    pub transports: Vec<Transport>,
    /// Whether peers in private networks and on this machine are served. Default false.
    pub allow_private: bool,
    /// Actions that may wait to be polled before another input is misuse. Default 1,024.
    pub max_unpolled: u32,
}

impl Default for ServerConfig {
    fn default() -> Self {
        ServerConfig {
            rate: RateConfig::per(30, Duration::from_secs(60)),
            peer_rate: RateConfig::per(3, Duration::from_secs(60)),
            max_requests: 64,
            request_timeout: Duration::from_secs(60),
            dial_timeout: Duration::from_secs(15),
            max_addresses: 16,
            dial_observed: true,
            transports: [Transport::Tcp].into(),
            allow_private: false,
            max_unpolled: 1024,
        }
    }
}
