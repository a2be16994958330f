//! Numbers and caps.

use crate::wire::ROUTER_PORT;
use core::time::Duration;

/// Numbers and caps of [`Mapper`](super::Mapper).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct MapperConfig {
    /// The router's port. Default 5351 ([`ROUTER_PORT`]): another one is for tests.
    pub router_port: u16,
    /// How long a mapping is asked for. Default 2 h (RFC 6886 section 3.3 recommends it; for RFC 6887 section 15 it is within
    /// what a router should give).
    pub lifetime: Duration,
    /// Whatever a router gives, it is renewed at least once in this time. Default 24 h (RFC 6887 section 15: the
    /// most that a router should give).
    pub max_lifetime: Duration,
    /// The first wait for an answer of NAT-PMP; doubled each time. Default 250 ms (RFC 6886 section 3.1).
    pub nat_pmp_wait: Duration,
    /// The first wait for an answer of PCP; doubled each time, and up to a tenth longer or shorter. Default 3 s
    /// (RFC 6887 section 8.1.1, `IRT`).
    pub pcp_wait: Duration,
    /// How often NAT-PMP asks before it is said that nobody answers. Default 9 (RFC 6886 section 3.1), which takes 128 s.
    pub nat_pmp_tries: u32,
    /// The same for PCP, and as long as it isn't known what the router speaks. Default 5, which takes 93 s. RFC 6887
    /// section 8.1.1 would go on for ever, ever more rarely; this says so to whoever waits, and begins anew after
    /// [`first_pause`](MapperConfig::first_pause).
    pub pcp_tries: u32,
    /// How long nothing is asked after nobody answered, or an error without a time of its own; doubled each time.
    /// Default 1 min.
    pub first_pause: Duration,
    /// The longest such pause, and the longest that an error's own time is heeded. Default 30 min (RFC 6887 section 7.4:
    /// the lifetime of a long error).
    pub max_pause: Duration,
    /// The shortest such pause. Default 30 s (RFC 6887 section 7.4: the lifetime of a short error).
    pub min_pause: Duration,
    /// The least time between two tries to renew. Default 4 s (RFC 6887 section 11.2.1).
    pub min_renewal: Duration,
    /// After the router said to all that it restarted, the longest wait before it is asked again, so that not all hosts
    /// ask at once. Default 5 s (RFC 6887 section 14.1.3).
    pub announced_wait: Duration,
    /// Mappings. Default 32.
    pub max_mappings: usize,
    /// Actions that wait to be polled; beyond that nothing more is taken in. Default 256.
    pub max_unpolled: usize,
}

impl Default for MapperConfig {
    fn default() -> Self {
        MapperConfig {
            router_port: ROUTER_PORT,
            lifetime: Duration::from_secs(7_200),
            max_lifetime: Duration::from_secs(86_400),
            nat_pmp_wait: Duration::from_millis(250),
            pcp_wait: Duration::from_secs(3),
            nat_pmp_tries: 9,
            pcp_tries: 5,
            first_pause: Duration::from_secs(60),
            max_pause: Duration::from_secs(1_800),
            min_pause: Duration::from_secs(30),
            min_renewal: Duration::from_secs(4),
            announced_wait: Duration::from_secs(5),
            max_mappings: 32,
            max_unpolled: 256,
        }
    }
}
