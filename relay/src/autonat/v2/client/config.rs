//! How often whom to ask about which address, and when an answer is sure.

use core::time::Duration;

/// How a v2 client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct ClientConfig {
    /// Votes on an address that count, the newest. Default 5 (go-libp2p).
    pub window: u32,
    /// By how many votes one side must lead for an answer; as many are needed to take one back. Default 2 (go-libp2p). At 1 a
    /// single server decides.
    pub agreeing: u32,
    /// By how many votes one side must lead to be left alone until the recheck. Default 3 (go-libp2p; the spec says "more than 3
    /// servers").
    pub target: u32,
    /// How often one server's word that an address can't be reached counts in a window. Default 1. That it can is proven by
    /// the dial-back each time, and always counts.
    pub failures_per_server: u32,
    /// A vote counts for so long. Default 5 h: a window of rechecks (go-libp2p).
    pub vote_lifetime: Duration,
    /// An address that is sure is asked about again after so long. Default 1 h (go-libp2p).
    pub recheck: Duration,
    /// After a question that brought no vote, its first address waits so long, ... Default 5 s (go-libp2p).
    pub backoff_first: Duration,
    /// ...twice as long each time, at most so long. Also how long an address waits on which a full window of servers disagrees.
    /// Default 5 min (go-libp2p).
    pub backoff_max: Duration,
    /// After so many servers in a row that would not dial an address, ... Default 5 (go-libp2p).
    pub max_refusals: u32,
    /// ...it isn't asked about for so long. Default 10 min (go-libp2p).
    pub refused_pause: Duration,
    /// A server that was asked is left alone for so long. Default 2 min (go-libp2p).
    pub server_pause: Duration,
    /// Questions at one time, one to a server. Default 5 (go-libp2p).
    pub at_once: u32,
    /// Time for a server to answer; begins anew when it wants data. Default 20 s: a server may wait for 3 s, dial for 10 s and try to
    /// bring the nonce for 5 s (go-libp2p's own client gives up after 15 s).
    pub answer_timeout: Duration,
    /// How long a dial-back may come after the answer that claims it: they travel on two connections. Default 5 s (go-libp2p).
    pub dial_back_timeout: Duration,
    /// The most bytes that are sent for a dial at another IP address than the one we are seen with. Default 100,000, the most
    /// that the spec lets servers ask for. 0: nothing is ever sent.
    pub max_cost: u64,
    /// Addresses that are followed; further ones are passed over. Default 50 (go-libp2p).
    pub max_addresses: u32,
    /// Addresses in one question. Default 10 (go-libp2p). At most 50: servers read no more.
    pub max_asked: u32,
    /// Connections to servers that are remembered. Default 256.
    pub max_servers: u32,
    /// Whether addresses in private networks and on this machine are asked about (the spec: "SHOULD NOT"). Default false.
    pub allow_private: bool,
    /// Actions that may wait to be polled before another input is misuse. Default 1,024.
    pub max_unpolled: u32,
}

impl Default for ClientConfig {
    fn default() -> Self {
        ClientConfig {
            window: 5,
            agreeing: 2,
            target: 3,
            failures_per_server: 1,
            vote_lifetime: Duration::from_secs(5 * 3600),
            recheck: Duration::from_secs(3600),
            backoff_first: Duration::from_secs(5),
            backoff_max: Duration::from_secs(300),
            max_refusals: 5,
            refused_pause: Duration::from_secs(600),
            server_pause: Duration::from_secs(120),
            at_once: 5,
            answer_timeout: Duration::from_secs(20),
            dial_back_timeout: Duration::from_secs(5),
            max_cost: 100_000,
            max_addresses: 50,
            max_asked: 10,
            max_servers: 256,
            allow_private: false,
            max_unpolled: 1024,
        }
    }
}
