//! Hard caps: how many connections and streams, how much memory, how fast.

use crate::Direction;
use crate::Resources;
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

/// Hard caps. `u32::MAX` and `u64::MAX` switch one off.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitsConfig {
    /// Incoming connections that are not upgraded yet.
    pub pending_inbound: u32,
    /// Dials under way, their upgrades included.
    pub pending_outbound: u32,
    /// Established connections, both directions. The hard cap: at it, a more valuable newcomer evicts.
    pub established: u32,
    /// Established connections that the remote opened.
    pub established_inbound: u32,
    /// Established connections that we opened.
    pub established_outbound: u32,
    /// Established connections with one peer.
    pub established_per_peer: u32,
    /// Connections, pending and established, per IPv4 address (/32).
    pub per_ip4: u32,
    /// Connections, pending and established, per IPv6 /56.
    pub per_ip6_56: u32,
    /// Connections, pending and established, per IPv6 /48.
    pub per_ip6_48: u32,
    /// Incoming connections per IP (/32 and /56), as a rate: one is let in each such interval, beyond the burst.
    pub inbound_interval: Duration,
    /// Incoming connections per IP that may come at once.
    pub inbound_burst: u32,
    /// IPs whose rate is remembered. When full, the one that would be forgotten first goes.
    pub inbound_rate_entries: u32,
    /// Streams, both directions, of all connections.
    pub streams: u32,
    /// Streams that remotes opened.
    pub streams_inbound: u32,
    /// Streams that we opened.
    pub streams_outbound: u32,
    /// Streams of one connection, per direction.
    pub streams_per_connection: u32,
    /// Streams with one peer, per direction.
    pub streams_per_peer: u32,
    /// Streams of one protocol, per direction.
    pub streams_per_protocol: u32,
    /// Streams of one protocol with one peer, per direction.
    pub streams_per_protocol_peer: u32,
    /// Names of protocols that are counted apart at one time; streams of others count as one protocol together.
    pub protocols: u32,
    /// Bytes that may be reserved in all.
    pub memory: u64,
    /// Bytes that may be reserved for one peer.
    pub memory_per_peer: u64,
    /// Bytes that may be reserved for one connection.
    pub memory_per_connection: u64,
}

impl LimitsConfig {
    /// Sized to the machine.
    pub fn for_resources(_resources: Resources) -> Self {
        LimitsConfig {
            pending_inbound: 64,
            pending_outbound: 160,
            established: 896,
            established_inbound: u32::MAX,
            established_outbound: u32::MAX,
            established_per_peer: 8,
            per_ip4: 8,
            per_ip6_56: 8,
            per_ip6_48: 64,
            inbound_interval: Duration::from_millis(200),
            inbound_burst: 16,
            inbound_rate_entries: 8192,
            streams: 16384,
            streams_inbound: 16384,
            streams_outbound: 16384,
            streams_per_connection: 1024,
            streams_per_peer: 1024,
            streams_per_protocol: 8192,
            streams_per_protocol_peer: 256,
            protocols: 256,
            memory: 1 << 27,
            memory_per_peer: 1 << 24,
            memory_per_connection: 1 << 24,
        }
    }
}

/// Which cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// [`LimitsConfig::pending_inbound`] or [`LimitsConfig::pending_outbound`].
    Pending(Direction),
    /// [`LimitsConfig::established`].
    Established,
    /// [`LimitsConfig::established_inbound`] or [`LimitsConfig::established_outbound`].
    EstablishedIn(Direction),
    /// [`LimitsConfig::established_per_peer`].
    EstablishedPerPeer,
    /// Per subnet: [`LimitsConfig::per_ip4`], [`LimitsConfig::per_ip6_56`], [`LimitsConfig::per_ip6_48`].
    Subnet {
        /// The network.
        network: IpAddr,
        /// Its prefix: 32, 56 or 48.
        prefix: u8,
    },
    /// [`LimitsConfig::inbound_interval`] and burst.
    Rate {
        /// The network whose rate it is.
        network: IpAddr,
        /// Its prefix: 32 or 56.
        prefix: u8,
        /// When the next one would be let in.
        again_in: Duration,
    },
    /// [`LimitsConfig::streams`].
    Streams,
    /// [`LimitsConfig::streams_inbound`] or [`LimitsConfig::streams_outbound`].
    StreamsIn(Direction),
    /// [`LimitsConfig::streams_per_connection`].
    StreamsPerConnection(Direction),
    /// [`LimitsConfig::streams_per_peer`].
    StreamsPerPeer(Direction),
    /// [`LimitsConfig::streams_per_protocol`].
    StreamsPerProtocol(Direction),
    /// [`LimitsConfig::streams_per_protocol_peer`].
    StreamsPerProtocolPeer(Direction),
    /// [`LimitsConfig::memory`].
    Memory,
    /// [`LimitsConfig::memory_per_peer`].
    MemoryPerPeer,
    /// [`LimitsConfig::memory_per_connection`].
    MemoryPerConnection,
}

/// A cap is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LimitExceeded {
    /// Which cap.
    pub limit: Limit,
    /// What it allows.
    pub cap: u64,
    /// What is in use already.
    pub used: u64,
}

impl fmt::Display for LimitExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {} of {} in use", self.limit, self.used, self.cap)
    }
}

impl core::error::Error for LimitExceeded {}

/// What is counted for one connection, or for one peer. Lies in the book's entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Streams that the remote opened.
    pub inbound_streams: u32,
    /// Streams that we opened.
    pub outbound_streams: u32,
    /// Bytes reserved.
    pub memory: u64,
}
