//! Every cap, what it is by default, and how the defaults are sized to the machine.

use crate::Resources;
use core::time::Duration;

/// Hard caps. `u32::MAX` and `u64::MAX` switch one off.
///
/// The defaults are [`LimitsConfig::for_resources`] of [`Resources::default`], 1 GiB and 1,024 file descriptors. Each field
/// says how it is sized (M: [`Resources::memory`], F: [`Resources::file_descriptors`]) and what comes of it for these.
/// Where no source is named, the number is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct LimitsConfig {
    /// Incoming connections that are not upgraded yet. `established / 8`, 8 to 4,096: 64.
    pub pending_inbound: u32,
    /// Dials under way, their upgrades included. `established x 5/16`, 8 to 4,096: 160 (go-libp2p's dials at once).
    pub pending_outbound: u32,
    /// Established connections, both directions. The hard cap: at it, a more valuable newcomer evicts.
    /// The lesser of `F / 2` and `M / 512 KiB`, 16 to 4,194,304: 512. So all connections together, pending ones included,
    /// take at most 4/5 of the file descriptors, from 64 on; and half of the memory if each buffers 256 KiB.
    pub established: u32,
    /// Established connections that the remote opened. Off: nobody is evicted at this one, so that at it worthless
    /// peers would keep valuable ones out.
    pub established_inbound: u32,
    /// Established connections that we opened. Off, likewise.
    pub established_outbound: u32,
    /// Established connections with one peer, those being closed not counted. 8 (go-libp2p).
    pub established_per_peer: u32,
    /// Connections, pending and established, per IPv4 address (/32). 8 (go-libp2p). Loopback is exempt from all three.
    pub per_ip4: u32,
    /// Connections, pending and established, per IPv6 /56. 8 (go-libp2p).
    pub per_ip6_56: u32,
    /// Connections, pending and established, per IPv6 /48. 64 (go-libp2p).
    pub per_ip6_48: u32,
    /// Incoming connections per IP (/32 and /56), as a rate: one is let in each such interval, beyond the burst.
    /// 200 ms: 5 a second (js-libp2p's per host). Zero: off. Loopback is exempt.
    pub inbound_interval: Duration,
    /// Incoming connections per IP that may come at once, at least 1. 16.
    pub inbound_burst: u32,
    /// IPs whose rate is remembered, at most 110 bytes each. When full, the one that would be forgotten first goes, so that a
    /// flood from many addresses frees those that use their rate least. `M / 128 KiB`, 256 to 1,048,576: 8,192. 0: off.
    pub inbound_rate_entries: u32,
    /// Streams, both directions, of all connections. `M / 64 KiB`, 256 to 16,777,216: 16,384.
    pub streams: u32,
    /// Streams that remotes opened. 3/4 of `streams`, so that remotes can't take the places of our own: 12,288.
    pub streams_inbound: u32,
    /// Streams that we opened. As `streams`: 16,384.
    pub streams_outbound: u32,
    /// Streams of one connection, per direction. `streams / 16`, 64 to 1,024: 1,024.
    pub streams_per_connection: u32,
    /// Streams with one peer, per direction. `streams / 16`, 64 to 1,024: 1,024.
    pub streams_per_peer: u32,
    /// Streams of one protocol, per direction. `streams / 2`: 8,192.
    pub streams_per_protocol: u32,
    /// Streams of one protocol with one peer, per direction. `streams / 64`, 16 to 256: 256.
    pub streams_per_protocol_peer: u32,
    /// Names of protocols that are counted apart at one time; streams of others count as one protocol together. 256.
    pub protocols: u32,
    /// Bytes of a protocol's name; streams of one with a longer name count with the others. 256.
    pub protocol_name: u32,
    /// Bytes that may be reserved in all. `M / 8` (go-libp2p), at least 2 MiB: 128 MiB.
    pub memory: u64,
    /// Bytes that may be reserved for one peer, its connections included. `memory / 8`, at most 256 MiB: 16 MiB.
    pub memory_per_peer: u64,
    /// Bytes that may be reserved for one connection. `memory / 8`, at most 64 MiB: 16 MiB.
    pub memory_per_connection: u64,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

impl LimitsConfig {
    /// Sized to the machine. The formulas stand at the fields.
    ///
    /// ```
    /// use tidewire_connmgr::{Resources, limits::LimitsConfig};
    ///
    /// let config = LimitsConfig::for_resources(Resources { memory: 16 << 30, file_descriptors: 65_536 });
    /// assert_eq!(config.established, 32_768); // file descriptors allow as many as memory does
    /// assert_eq!(config.memory, 2 << 30);
    /// ```
    pub fn for_resources(resources: Resources) -> Self {
        let Resources { memory, file_descriptors } = resources;
        let established = (file_descriptors / 2).min(clamped(memory / (512 * KIB), 0, u32::MAX)).clamp(16, 1 << 22);
        let streams = clamped(memory / (64 * KIB), 256, 1 << 24);
        let reserved = (memory / 8).max(2 * MIB);
        LimitsConfig {
            pending_inbound: (established / 8).clamp(8, 4096),
            pending_outbound: clamped(u64::from(established) * 5 / 16, 8, 4096),
            established,
            established_inbound: u32::MAX,
            established_outbound: u32::MAX,
            established_per_peer: 8,
            per_ip4: 8,
            per_ip6_56: 8,
            per_ip6_48: 64,
            inbound_interval: Duration::from_millis(200),
            inbound_burst: 16,
            inbound_rate_entries: clamped(memory / (128 * KIB), 256, 1 << 20),
            streams,
            streams_inbound: streams - streams / 4,
            streams_outbound: streams,
            streams_per_connection: (streams / 16).clamp(64, 1024),
            streams_per_peer: (streams / 16).clamp(64, 1024),
            streams_per_protocol: streams / 2,
            streams_per_protocol_peer: (streams / 64).clamp(16, 256),
            protocols: 256,
            protocol_name: 256,
            memory: reserved,
            memory_per_peer: (reserved / 8).min(256 * MIB),
            memory_per_connection: (reserved / 8).min(64 * MIB),
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        LimitsConfig::for_resources(Resources::default())
    }
}

fn clamped(value: u64, least: u32, most: u32) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX).clamp(least, most)
}
