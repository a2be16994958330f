//! The caps on what is remembered.

use core::time::Duration;

/// Caps on what is remembered about peers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct MetadataConfig {
    /// Peers about whom anything is remembered, connected ones not counted. The one touched longest ago goes first.
    /// Default 10,000.
    pub max_peers: u32,
    /// Bytes of all that is remembered about peers, connected ones not counted. Again the one touched longest ago goes first.
    /// Default 32 MiB. Of a connected peer as much is remembered as the caps below allow: 76 kB with the defaults.
    pub max_bytes: usize,
    /// Addresses of one peer. Default 64.
    pub max_addresses: u32,
    /// Bytes of an address. Longer ones are not taken. Real ones stay below 300. Default 512.
    pub max_address: u32,
    /// Protocols of one peer. Default 128 (go-libp2p's peer store).
    pub max_protocols: u32,
    /// Bytes of a protocol's name. Longer ones are left out. Default 256.
    pub max_protocol_name: u32,
    /// Bytes of the agent. Longer ones are cut. Default 128.
    pub max_agent: u32,
    /// Most that an address may be believed without being told again. Default 24 h.
    pub max_ttl: Duration,
    /// How long an address that a connection was made to is believed after the connection, and how long at least what a peer
    /// said of itself is remembered after it. Default 30 min (go-libp2p: recently connected, 15 to 30 min).
    pub connected_ttl: Duration,
}

impl Default for MetadataConfig {
    fn default() -> Self {
        MetadataConfig {
            max_peers: 10_000,
            max_bytes: 32 << 20,
            max_addresses: 64,
            max_address: 512,
            max_protocols: 128,
            max_protocol_name: 256,
            max_agent: 128,
            max_ttl: Duration::from_secs(24 * 3600),
            connected_ttl: Duration::from_secs(30 * 60),
        }
    }
}
