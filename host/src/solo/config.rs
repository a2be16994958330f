//! How a node in one value behaves, and why it can't be set up.

use crate::Config;
use crate::identify::CardError;
use crate::link::{LinkConfig, LinkError, OWN_ROUTES};
use core::time::Duration;
use tidewire_multistream::{Protocol, RouteError, RouteId};
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
    /// Bytes that they hold together; of more the oldest are forgotten. They count for no peer any more. Default 32 MiB.
    pub max_unread_bytes: usize,
    /// Time for the streams of a connection that is closed gracefully ([`Solo::close`](super::Solo::close)). Default 30 s.
    pub close_timeout: Duration,
    /// Actions that wait to be polled, above which links stand still, and what the application says is refused
    /// ([`Misuse::Unpolled`](crate::Misuse::Unpolled)). What the driver reports is taken in all the same, and what one call brings
    /// about comes on top: at most a few actions for each connection. Default 8,192.
    pub max_actions: usize,
}

impl Default for SoloConfig {
    fn default() -> Self {
        SoloConfig {
            host: Config::default(),
            link: LinkConfig::default(),
            upgrade: pipeline::Config::default(),
            max_unread: 256,
            max_unread_bytes: 32 * 1024 * 1024,
            close_timeout: Duration::from_secs(30),
            max_actions: 8192,
        }
    }
}

/// Why a protocol can't be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The name doesn't fit the matcher.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// The number is the node's own.
    #[error("{name} can't be served as route {}: the numbers from {OWN_ROUTES} on are the node's own", route.get())]
    OwnRoute {
        /// The protocol.
        name: Protocol,
        /// The number.
        route: RouteId,
    },
}

/// Why a node can't be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SoloError {
    /// What its links are made with.
    #[error(transparent)]
    Links(#[from] LinkError),
    /// What we would say of ourselves.
    #[error(transparent)]
    Card(#[from] CardError),
}
