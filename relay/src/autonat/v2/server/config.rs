//! How much a server does for others, and what it wants for it.

use crate::RateConfig;
use alloc::vec::Vec;
use core::time::Duration;
use tidewire_core::Transport;

/// How a v2 server dials back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct ServerConfig {
    /// Requests of all together. Default 60 a minute (go-libp2p).
    pub rate: RateConfig,
    /// Requests of one peer. Default 12 a minute (go-libp2p).
    pub peer_rate: RateConfig,
    /// Requests of one peer at one time. Default 2 (go-libp2p).
    pub per_peer: u32,
    /// Requests at one time. Default 64.
    pub max_requests: u32,
    /// Time for a peer to say what it wants once it is let in, and again to send the data that is asked for. Default 15 s
    /// (go-libp2p).
    pub stream_timeout: Duration,
    /// Time for the dial and its handshake. Default 10 s (go-libp2p).
    pub dial_timeout: Duration,
    /// Time to bring the nonce once connected. Default 5 s (go-libp2p).
    pub dial_back_timeout: Duration,
    /// The least that is asked for before another IP is dialed. Default 30,000 bytes (the spec: "SHOULD"): more than a handshake
    /// costs the one who is dialed.
    pub min_data: u64,
    /// The most that is asked for. Default 100,000 bytes (the spec: "SHOULD").
    pub max_data: u64,
    /// After the data, the dial waits for up to so long, so that many servers can't be made to dial a victim at one moment.
    /// Default 3 s (go-libp2p).
    pub max_wait: Duration,
    /// What can be dialed. Default TCP.
    pub transports: Vec<Transport>,
    /// Whether addresses that are names are dialed. An address that can't be dialed is passed over before anything is charged for it,
    /// so switch it on only if the caller resolves names. Default false.
    pub names: bool,
    /// Whether addresses in private networks and on this machine are dialed (the spec: "SHOULD NOT"), and peers from there served.
    /// Default false.
    pub allow_private: bool,
    /// Whether IPv4 addresses can be dialed, as long as [`ServerInput::Connectivity`](super::ServerInput::Connectivity) says
    /// nothing else. Default true.
    pub ipv4: bool,
    /// The same of IPv6. Default false.
    pub ipv6: bool,
    /// Actions that may wait to be polled before another input is misuse. Default 1,024.
    pub max_unpolled: u32,
}

impl Default for ServerConfig {
    fn default() -> Self {
        ServerConfig {
            rate: RateConfig::per(60, Duration::from_secs(60)),
            peer_rate: RateConfig::per(12, Duration::from_secs(60)),
            per_peer: 2,
            max_requests: 64,
            stream_timeout: Duration::from_secs(15),
            dial_timeout: Duration::from_secs(10),
            dial_back_timeout: Duration::from_secs(5),
            min_data: 30_000,
            max_data: 100_000,
            max_wait: Duration::from_secs(3),
            transports: [Transport::Tcp].into(),
            names: false,
            allow_private: false,
            ipv4: true,
            ipv6: false,
            max_unpolled: 1024,
        }
    }
}
