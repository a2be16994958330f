//! Times and caps of an exchange.

use core::time::Duration;

/// Times and caps of an exchange. The longest message is [`MAX_MESSAGE`](super::MAX_MESSAGE).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct Config {
    /// Time for each message of the remote. Default 20 s: py-libp2p dials for 10 s before it answers. (rust-libp2p gives the whole
    /// exchange 10 s, js-libp2p an attempt 5 s.)
    pub message: Duration,
    /// Time for the whole exchange, what we take to decide included. Default 60 s (go-libp2p's for the stream).
    pub whole: Duration,
    /// Addresses that are kept of a `CONNECT`; further ones are dropped and counted. Default 32: a node with a handful of
    /// interfaces, transports and predicted ports has less.
    pub max_addresses: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config { message: Duration::from_secs(20), whole: Duration::from_secs(60), max_addresses: 32 }
    }
}
