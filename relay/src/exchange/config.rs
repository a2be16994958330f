//! Times and caps of the streams.

use core::time::Duration;

/// Times and caps of the streams. The lengths of messages are [`Service::max_message`](super::Service::max_message).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct Config {
    /// Time for a relay to answer `RESERVE`. Default 60 s (go-libp2p).
    pub reserve: Duration,
    /// Time for a relay to answer `CONNECT`; it asks the destination meanwhile. Default 60 s (go-libp2p).
    pub connect: Duration,
    /// Time for a destination to answer a relay. Default 30 s (go-libp2p's for opening the stream and rust-libp2p's for all of
    /// it): half of what the source waits, so that it hears why.
    pub stop: Duration,
    /// Time for a remote that opened a stream of hop, stop or AutoNAT v1 to say what it wants. Default 60 s (go-libp2p). How long we may
    /// take to decide is for whoever decides.
    pub request: Duration,
    /// AutoNAT v1: time for a server to answer. Default 30 s (go-libp2p).
    pub dial_me: Duration,
    /// AutoNAT v2: time for a server to answer; begins anew when data is paid. Default 20 s: a server may wait for 3 s, dial for
    /// 10 s and try to bring the nonce for 5 s (go-libp2p's own client gives up after 15 s).
    pub probe: Duration,
    /// AutoNAT v2: time for a remote to say what it wants, and again to send the data that is asked for. Default 15 s (go-libp2p).
    pub probe_request: Duration,
    /// AutoNAT v2: time for a nonce, and for the word that it came. Default 5 s (go-libp2p).
    pub dial_back: Duration,
    /// AutoNAT v2: data that is paid waits while there are as many bytes in `tx`. Default 16 KiB; a chunk of 4 KiB may go over it.
    pub max_tx: usize,
    /// Addresses that are kept of a reservation, or of a request of AutoNAT v1; further ones are dropped and counted. A message of 4 KiB holds at most some
    /// 80. Default 64.
    pub max_addresses: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            reserve: Duration::from_secs(60),
            connect: Duration::from_secs(60),
            stop: Duration::from_secs(30),
            request: Duration::from_secs(60),
            dial_me: Duration::from_secs(30),
            probe: Duration::from_secs(20),
            probe_request: Duration::from_secs(15),
            dial_back: Duration::from_secs(5),
            max_tx: 16 * 1024,
            max_addresses: 64,
        }
    }
}
