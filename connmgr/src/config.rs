//! Every number that a user may turn, in one place; each part documents its own.

use crate::alive::{KeepAliveConfig, ReconnectConfig};
use crate::dial::DialConfig;
use crate::duplicates::DuplicatesConfig;
use crate::limits::LimitsConfig;
use crate::metadata::MetadataConfig;
use crate::worth::WorthConfig;

/// What the connection manager is to do, and how much of everything it may hold.
///
/// [`Config::for_resources`] sizes it to the machine; [`Config::default`] is that for 1 GiB of memory and 1,024 file descriptors.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct Config {
    /// Watermarks, grace, tags: who goes when there are too many.
    pub worth: WorthConfig,
    /// Hard caps on connections, streams, memory and rates.
    pub limits: LimitsConfig,
    /// How peers are dialed.
    pub dial: DialConfig,
    /// How many connections a pair of peers may have.
    pub duplicates: DuplicatesConfig,
    /// Pings and idle connections.
    pub keep_alive: KeepAliveConfig,
    /// Redialing of peers that are marked keep-alive.
    pub reconnect: ReconnectConfig,
    /// What is remembered about peers.
    pub metadata: MetadataConfig,
    /// Actions that may wait to be polled before a further input is misuse, and time stands still. One input may go beyond it:
    /// a shutdown says as much as there are connections. Default 65,536.
    pub max_unpolled: u32,
}

/// What the process may use, as the caller found it out: the machine can't ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Bytes of memory that this process may use, other uses than ours included.
    pub memory: u64,
    /// File descriptors that this process may open (`ulimit -n`).
    pub file_descriptors: u32,
}

impl Default for Resources {
    fn default() -> Self {
        Resources { memory: 1 << 30, file_descriptors: 1024 }
    }
}

impl Config {
    /// Sized to the machine. The formulas stand at each field of [`LimitsConfig`].
    pub fn for_resources(resources: Resources) -> Self {
        let limits = LimitsConfig::for_resources(resources);
        Config {
            worth: WorthConfig::default(),
            dial: DialConfig::for_resources(resources),
            limits,
            duplicates: DuplicatesConfig::default(),
            keep_alive: KeepAliveConfig::default(),
            reconnect: ReconnectConfig::default(),
            metadata: MetadataConfig::default(),
            max_unpolled: 65_536,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config::for_resources(Resources::default())
    }
}
