//! How often whom to ask.

use core::time::Duration;

/// How a v1 client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct ClientConfig {
    /// From the start to the first question: first there must be peers and addresses. Default 15 s (go-libp2p).
    pub boot_delay: Duration,
    /// Between questions as long as the answer isn't sure. Default 90 s (go-libp2p).
    pub retry: Duration,
    /// Between questions once it is. Default 15 min (go-libp2p).
    pub refresh: Duration,
    /// Time for a server to answer. Default 30 s (go-libp2p).
    pub request_timeout: Duration,
    /// A server that was asked is left alone for so long. Default 90 s (go-libp2p).
    pub server_pause: Duration,
    /// How many answers beyond the first make it sure; as many against it are needed to lose that again. Default 3 (go-libp2p;
    /// the spec says "more than 3").
    pub confidence: u32,
    /// Addresses in one question; a message has at most 4 KiB. Default 16, as many as go's server tries.
    pub max_addresses: u32,
    /// Connections to servers that are remembered. Default 256.
    pub max_servers: u32,
    /// Actions that may wait to be polled before another input is misuse. Default 1,024.
    pub max_unpolled: u32,
}

impl Default for ClientConfig {
    fn default() -> Self {
        ClientConfig {
            boot_delay: Duration::from_secs(15),
            retry: Duration::from_secs(90),
            refresh: Duration::from_secs(15 * 60),
            request_timeout: Duration::from_secs(30),
            server_pause: Duration::from_secs(90),
            confidence: 3,
            max_addresses: 16,
            max_servers: 256,
            max_unpolled: 1024,
        }
    }
}
