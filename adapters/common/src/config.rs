//! How a node of a driver behaves, and how its calls fail.

use crate::hub::{HubConfig, HubError};
use std::io;
use std::time::Duration;
use tidewire_core::PeerId;
use tidewire_host::link::LinkConfig;
use tidewire_host::{Config, ConnectionId, OpenFailure};
use tidewire_relay::server::AsnTable;
use tidewire_upgrade::pipeline;

/// How a node behaves: every number that may be turned.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodeConfig {
    /// Who stays, who goes, whom to dial, what is announced.
    pub host: Config,
    /// identify and ping.
    pub link: LinkConfig,
    /// How connections are upgraded.
    pub upgrade: pipeline::Config,
    /// Which autonomous system an address belongs to, for the limits of a relay. Default: nothing is known of that.
    pub asns: AsnTable,
    /// How long a closed connection may take to send what is left, and to hear that the remote closed too. Default 2 s.
    pub close_timeout: Duration,
    /// Time for a request with its answer, or for sending a whole message. Default 60 s.
    pub request_timeout: Duration,
    /// Streams of one protocol that wait in the handler's queue; further ones are reset. Default 256.
    pub max_incoming: usize,
    /// Events that wait in a subscription; the oldest are missed. Default 1,024.
    pub max_events: usize,
    /// How often the machine's interfaces are looked at. Default 10 s.
    pub interfaces: Duration,
    /// Have the router lead the ports of TCP listeners to us (PCP, NAT-PMP; with the feature `upnp` also UPnP). What comes of it is told
    /// by [`Event::PortMapping`](tidewire_host::Event::PortMapping). Default: no.
    #[cfg(feature = "portmap")]
    pub port_mapping: Option<crate::portmap::PortMapConfig>,
    /// Record what the host is told. Whoever wants it takes the bytes from the recorder, again and again. Default: no.
    #[cfg(feature = "record")]
    pub record: Option<tidewire_host::record::RecordConfig>,
}

impl Default for NodeConfig {
    fn default() -> Self {
        NodeConfig {
            host: Config::default(),
            link: LinkConfig::default(),
            upgrade: pipeline::Config::default(),
            asns: AsnTable::default(),
            close_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(60),
            max_incoming: 256,
            max_events: 1024,
            interfaces: Duration::from_secs(10),
            #[cfg(feature = "portmap")]
            port_mapping: None,
            #[cfg(feature = "record")]
            record: None,
        }
    }
}

/// Why a node can't be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The configuration contradicts itself.
    #[error(transparent)]
    Config(#[from] HubError),
    /// The operating system has no entropy to give.
    #[error("no entropy: {0}")]
    Entropy(#[from] io::Error),
    /// There is no thread for port mapping.
    #[cfg(feature = "portmap")]
    #[error("no thread for port mapping: {0}")]
    PortMapping(io::Error),
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// There is no stream for it.
    #[error(transparent)]
    Open(#[from] OpenFailure),
    /// The stream ended before.
    #[error(transparent)]
    Stream(#[from] io::Error),
    /// The answer was longer than allowed.
    #[error("the answer has more than {max} bytes, which is the most that was wanted")]
    TooLong {
        /// The limit.
        max: usize,
    },
    /// It took too long.
    #[error("there was no answer within {timeout:?}")]
    TimedOut {
        /// The limit.
        timeout: Duration,
    },
}

/// A connection that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connected {
    /// To whom: proven.
    pub peer: PeerId,
    /// Which one; it may be older than the wish.
    pub connection: ConnectionId,
}

impl NodeConfig {
    /// What of it is the hub's.
    pub fn into_hub(self) -> HubConfig {
        HubConfig {
            host: self.host,
            link: self.link,
            upgrade: self.upgrade,
            asns: self.asns,
            #[cfg(feature = "record")]
            record: self.record,
        }
    }
}
