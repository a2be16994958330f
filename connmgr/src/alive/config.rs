//! The numbers of keep-alive and of redialing.

use core::time::Duration;

/// Pings and idle connections.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct KeepAliveConfig {
    /// Time from one answer to the next ping, and from the opening to the first. `None` switches pings of our own off.
    /// Default 30 s.
    pub ping_interval: Option<Duration>,
    /// Least time for an answer, at least 1 ms; it wins if it is above the greatest. Default 5 s (js-libp2p).
    pub ping_timeout_min: Duration,
    /// Greatest time for an answer, and that of the first ping. Default 60 s (js-libp2p).
    pub ping_timeout_max: Duration,
    /// The time for an answer is this many tenths of the smoothed RTT, within the two above. Default 12 (js-libp2p: 1.2).
    pub ping_timeout_tenths: u32,
    /// A connection without streams and data for this long is closed, unless its peer is marked keep-alive; at least 1 ms.
    /// `None` switches it off. Default `None`.
    pub idle: Option<Duration>,
}

impl Default for KeepAliveConfig {
    fn default() -> Self {
        KeepAliveConfig {
            ping_interval: Some(Duration::from_secs(30)),
            ping_timeout_min: Duration::from_secs(5),
            ping_timeout_max: Duration::from_secs(60),
            ping_timeout_tenths: 12,
            idle: None,
        }
    }
}

/// Redialing of peers that are marked keep-alive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct ReconnectConfig {
    /// Tries before giving up. With 0 a lost peer is given up at once. Default 5 (js-libp2p).
    pub tries: u32,
    /// Delay before the first try; doubles with each. Default 1 s (js-libp2p).
    pub first_delay: Duration,
    /// Greatest delay. Up to a quarter of the delay is added to every one, so that peers who lost each other together don't
    /// all dial together. Default 60 s.
    pub max_delay: Duration,
    /// A connection that lasts this long ends the tries: once it is lost, they begin anew. One that is lost sooner counts as a
    /// try that failed, so that a peer that lets us in and hangs up at once is not dialed for ever. Default 10 s.
    pub settled: Duration,
    /// Peers redialed at one time. With 0 none ever is. Default 5 (js-libp2p).
    pub at_once: u32,
    /// Peers marked keep-alive. Default 1,024.
    pub max_peers: u32,
}

impl Default for ReconnectConfig {
    fn default() -> Self {
        ReconnectConfig {
            tries: 5,
            first_delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(60),
            settled: Duration::from_secs(10),
            at_once: 5,
            max_peers: 1024,
        }
    }
}
