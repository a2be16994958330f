//! Which cap was reached, in types and in words.

use crate::Direction;
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

#[cfg(doc)]
use super::LimitsConfig;

/// Which cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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
    /// [`LimitsConfig::inbound_interval`] and [`LimitsConfig::inbound_burst`].
    Rate {
        /// The network whose rate it is.
        network: IpAddr,
        /// Its prefix: 32 or 56.
        prefix: u8,
        /// When the next one would be let in, to the nanosecond.
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

/// A cap is reached. Prints what is full, how full, and which field of [`LimitsConfig`] allows more.
///
/// ```
/// use tidewire_connmgr::limits::{Limit, LimitExceeded};
///
/// let full = LimitExceeded { limit: Limit::EstablishedPerPeer, cap: 8, used: 8 };
/// assert_eq!(
///     full.to_string(),
///     "no more connections with this peer: 8 of 8 are in use (`limits.established_per_peer` raises it)",
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LimitExceeded {
    /// Which cap.
    pub limit: Limit,
    /// What it allows: connections, streams, or bytes; for [`Limit::Rate`] the burst.
    pub cap: u64,
    /// What is in use already, in the same unit.
    pub used: u64,
}

impl fmt::Display for LimitExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Direction::{Inbound, Outbound};
        let LimitExceeded { limit, cap, used } = self;
        let (what, field) = match limit {
            Limit::Pending(Inbound) => ("incoming connections that are being upgraded", "pending_inbound"),
            Limit::Pending(Outbound) => ("dials under way", "pending_outbound"),
            Limit::Established => ("connections", "established"),
            Limit::EstablishedIn(Inbound) => ("inbound connections", "established_inbound"),
            Limit::EstablishedIn(Outbound) => ("outbound connections", "established_outbound"),
            Limit::EstablishedPerPeer => ("connections with this peer", "established_per_peer"),
            Limit::Subnet { network, prefix } => {
                let field = match prefix {
                    56 => "per_ip6_56",
                    48 => "per_ip6_48",
                    _ => "per_ip4",
                };
                return write!(
                    f,
                    "no more connections with {network}/{prefix}: {used} of {cap} are in use (`limits.{field}` raises it)"
                );
            }
            Limit::Rate { network, prefix, again_in } => {
                return write!(
                    f,
                    "connections from {network}/{prefix} come too fast: the next is let in after {again_in:?} \
                     (a larger `limits.inbound_burst`, now {cap}, or a shorter `limits.inbound_interval` lets in more)"
                );
            }
            Limit::Streams => ("streams", "streams"),
            Limit::StreamsIn(Inbound) => ("inbound streams", "streams_inbound"),
            Limit::StreamsIn(Outbound) => ("outbound streams", "streams_outbound"),
            Limit::StreamsPerConnection(Inbound) => ("inbound streams on this connection", "streams_per_connection"),
            Limit::StreamsPerConnection(Outbound) => ("outbound streams on this connection", "streams_per_connection"),
            Limit::StreamsPerPeer(Inbound) => ("inbound streams with this peer", "streams_per_peer"),
            Limit::StreamsPerPeer(Outbound) => ("outbound streams with this peer", "streams_per_peer"),
            Limit::StreamsPerProtocol(Inbound) => ("inbound streams of this protocol", "streams_per_protocol"),
            Limit::StreamsPerProtocol(Outbound) => ("outbound streams of this protocol", "streams_per_protocol"),
            Limit::StreamsPerProtocolPeer(Inbound) => {
                ("inbound streams of this protocol with this peer", "streams_per_protocol_peer")
            }
            Limit::StreamsPerProtocolPeer(Outbound) => {
                ("outbound streams of this protocol with this peer", "streams_per_protocol_peer")
            }
            Limit::Memory => ("bytes", "memory"),
            Limit::MemoryPerPeer => ("bytes for this peer", "memory_per_peer"),
            Limit::MemoryPerConnection => ("bytes for this connection", "memory_per_connection"),
        };
        let no = if what.starts_with("bytes") { "no room for that many more" } else { "no more" };
        write!(f, "{no} {what}: {used} of {cap} are in use (`limits.{field}` raises it)")
    }
}

impl core::error::Error for LimitExceeded {}

/// `Err` if one more doesn't fit. `u32::MAX`: off.
pub(super) fn room(limit: Limit, cap: u32, used: u32) -> Result<(), LimitExceeded> {
    if used < cap || cap == u32::MAX {
        return Ok(());
    }
    Err(LimitExceeded { limit, cap: cap.into(), used: used.into() })
}
