//! What is remembered about a peer.

use core::time::Duration;

/// Caps on what is remembered about peers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetadataConfig {
    /// Peers about whom anything is remembered, connected ones not counted. The one touched longest ago goes first. Default 10,000.
    pub max_peers: u32,
    /// Addresses of one peer. Default 64.
    pub max_addresses: u32,
    /// Protocols of one peer. Default 128 (go-libp2p's peer store).
    pub max_protocols: u32,
    /// Bytes of a protocol's name. Longer ones are left out. Default 256.
    pub max_protocol_name: u32,
    /// Bytes of the agent. Longer ones are cut. Default 128.
    pub max_agent: u32,
    /// Most that an address may be believed without being told again. Default 24 h.
    pub max_ttl: Duration,
    /// How long an address that a connection was made to is believed after the connection. Default 30 min (go-libp2p: recently connected, 15 to 30 min).
    pub connected_ttl: Duration,
}

impl Default for MetadataConfig {
    fn default() -> Self {
        MetadataConfig {
            max_peers: 10_000,
            max_addresses: 64,
            max_protocols: 128,
            max_protocol_name: 256,
            max_agent: 128,
            max_ttl: Duration::from_secs(24 * 3600),
            connected_ttl: Duration::from_secs(30 * 60),
        }
    }
}

/// Who says that a peer has an address. Later ones weigh more: an address keeps the strongest source that told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Source {
    /// Another peer, unsigned: a DHT, peer exchange.
    Hearsay,
    /// Multicast on the local network.
    Local,
    /// The peer itself, unsigned.
    Identify,
    /// The peer itself, in a signed record.
    Signed,
    /// The application, or its configuration.
    Application,
    /// We were connected to it there.
    Connected,
}
