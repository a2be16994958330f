//! How a node in one value behaves, and why it can't be set up.

use crate::Config;
use crate::identify::CardError;
use crate::link::LinkConfig;
use tidewire_upgrade::pipeline;

/// How a node behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SoloConfig {
    /// The host.
    pub host: Config,
    /// Its links.
    pub link: LinkConfig,
    /// How connections are upgraded.
    pub upgrade: pipeline::Config,
    /// Connections that are over, but of which the application has yet to read what their streams received. Of more the oldest
    /// are forgotten. Default 256.
    pub max_unread: usize,
}

impl Default for SoloConfig {
    fn default() -> Self {
        SoloConfig {
            host: Config::default(),
            link: LinkConfig::default(),
            upgrade: pipeline::Config::default(),
            max_unread: 256,
        }
    }
}

/// Why a node can't be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SoloError {
    /// What upgrades are made with.
    #[error(transparent)]
    Upgrade(#[from] pipeline::ConfigError),
    /// What we would say of ourselves.
    #[error(transparent)]
    Card(#[from] CardError),
}
