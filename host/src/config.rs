//! How a host behaves: every number that may be turned.

use crate::addresses;
use crate::link::LinkConfig;
use core::time::Duration;
use smol_str::SmolStr;
use tidewire_relay::autonat;
use tidewire_relay::autorelay::AutoRelayConfig;
use tidewire_relay::client::ClientConfig;
use tidewire_relay::server::ServerConfig;

/// How a host behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct Config {
    /// Who stays, who goes, whom to dial.
    pub manager: tidewire_connmgr::Config,
    /// At which addresses others reach us.
    pub addresses: addresses::Config,
    /// Which family of protocols we belong to, for identify. Default `ipfs/0.1.0`, as the peers have it.
    pub protocol_version: SmolStr,
    /// Which program we are, for identify. Default `tidewire/` and the version.
    pub agent: SmolStr,
    /// Ask each peer who it is. Default true.
    pub identify: bool,
    /// Tell peers when what we say of ourselves changed; and those that we reached through a relay at once and unasked, if holes are
    /// punched: they then need not ask before they make the connection a direct one. Default true.
    pub push: bool,
    /// How long addresses are believed that a peer said of itself, counted from its last word. Default 2 h.
    pub identify_ttl: Duration,
    /// Dial from the ports on which we listen, so that others see them. Default true.
    pub reuse_port: bool,
    /// What is refused is told at once, and what is refused on the same connection (a stream), or at all (a connection), within so
    /// long after it is told together, with its number: a flood of refusals is no flood of events. Default 1 s.
    pub refusals_interval: Duration,
    /// Relays and reachability.
    pub relay: Relaying,
    /// Make direct connections of relayed ones. Default: yes, over TCP (there is no other transport yet).
    pub punching: Option<tidewire_dcutr::coordinator::Config>,
    /// Streams that are to be opened and wait for a connection or for its link. Default 4,096.
    pub max_opening: u32,
    /// Listeners. Default 64.
    pub max_listeners: u32,
    /// Addresses of all listeners together. Default 256.
    pub max_listen_addresses: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            manager: tidewire_connmgr::Config::default(),
            addresses: addresses::Config::default(),
            protocol_version: SmolStr::new_static("ipfs/0.1.0"),
            agent: SmolStr::new_static(concat!("tidewire/", env!("CARGO_PKG_VERSION"))),
            identify: true,
            push: true,
            identify_ttl: Duration::from_secs(2 * 3600),
            reuse_port: true,
            refusals_interval: Duration::from_secs(1),
            relay: Relaying::default(),
            punching: Some(over_tcp()),
            max_opening: 4096,
            max_listeners: 64,
            max_listen_addresses: 256,
        }
    }
}

/// QUIC addresses would be told and dialed for nothing.
fn over_tcp() -> tidewire_dcutr::coordinator::Config {
    let mut config = tidewire_dcutr::coordinator::Config::default();
    config.addresses.quic = false;
    config
}

impl Config {
    /// The same for links that are set up like this: [`Solo`](crate::solo::Solo) and the drivers call it. A circuit counts in the
    /// relay's memory for no less than such links may hold for it.
    #[must_use]
    pub fn with_links(mut self, links: &LinkConfig) -> Config {
        if let Some(server) = &mut self.relay.server {
            server.circuit_memory = server.circuit_memory.max(links.circuit_memory());
        }
        self
    }
}

/// Relays and reachability.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct Relaying {
    /// Others are relays for us.
    pub client: ClientConfig,
    /// Find relays and hold reservations with them, while others can't reach us. Default: no.
    pub auto_relay: Option<AutoRelayConfig>,
    /// Ask others whether we can be reached: AutoNAT v1. Default: yes.
    pub autonat_v1: Option<autonat::v1::ClientConfig>,
    /// The same, of each address: AutoNAT v2. Default: yes.
    pub autonat_v2: Option<autonat::v2::ClientConfig>,
    /// Tell others whether they can be reached: AutoNAT v1. Default: no.
    pub autonat_v1_server: Option<autonat::v1::ServerConfig>,
    /// The same, of each address: AutoNAT v2. Default: no.
    pub autonat_v2_server: Option<autonat::v2::ServerConfig>,
    /// Dials for these servers at once. Default 32.
    pub max_probes: u32,
    /// How long a shutdown waits for the last words of connections that are made of circuits, and for the other end to hear of
    /// them, before it closes the connections to their relays. Default 1 s.
    pub goodbye: Duration,
    /// We are a relay for others, under these limits. Default: no.
    pub server: Option<ServerConfig>,
}

impl Default for Relaying {
    fn default() -> Self {
        Relaying {
            client: ClientConfig::default(),
            auto_relay: None,
            autonat_v1: Some(autonat::v1::ClientConfig::default()),
            autonat_v2: Some(autonat::v2::ClientConfig::default()),
            autonat_v1_server: None,
            autonat_v2_server: None,
            max_probes: 32,
            goodbye: Duration::from_secs(1),
            server: None,
        }
    }
}
