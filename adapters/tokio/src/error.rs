//! How dialing, listening, upgrading, opening and pinging fail.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use tidewire_core::Multiaddr;
use tidewire_multistream as multistream;
use tidewire_upgrade::connection::{By, OpenStreamError, ReadStreamError};
use tidewire_upgrade::pipeline;

/// Why there is no connection to an address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The address is not one of TCP.
    #[error("can't dial {address}: {why}")]
    Unsupported {
        /// The address.
        address: Multiaddr,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Our gate refused.
    #[error("dialing {address} was refused by us: {reason}")]
    Refused {
        /// The address.
        address: Multiaddr,
        /// The gate's reason.
        reason: String,
    },
    /// The name has no address.
    #[error("can't resolve the name in {address}: {error}")]
    Resolve {
        /// The address.
        address: Multiaddr,
        /// What the resolver said.
        error: io::Error,
    },
    /// Nobody answered.
    #[error("can't connect to {address}: {tried}")]
    Connect {
        /// The address.
        address: Multiaddr,
        /// What was tried, and what came of it.
        tried: Tried,
    },
    /// Somebody answered, and the upgrade failed.
    #[error("connected to {address} at {socket}, but {error}")]
    Upgrade {
        /// The address.
        address: Multiaddr,
        /// What it resolved to.
        socket: SocketAddr,
        /// Why.
        error: UpgradeFailed,
    },
}

/// The socket addresses that were tried, each with what came of it.
#[derive(Debug)]
pub struct Tried(pub Vec<(SocketAddr, io::Error)>);

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("its name has no address of this kind");
        }
        for (i, (socket, error)) in self.0.iter().enumerate() {
            write!(f, "{}{socket}: {error}", if i > 0 { "; " } else { "" })?;
        }
        Ok(())
    }
}

/// Why a socket did not become a connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpgradeFailed {
    /// The socket failed.
    #[error("the socket failed: {0}")]
    Io(#[from] io::Error),
    /// The upgrade failed: a broken rule, nothing in common, the wrong peer, time, or our gate when it heard of the peer.
    #[error("{0}")]
    Upgrade(#[from] pipeline::UpgradeError),
    /// Our gate refused the upgraded connection.
    #[error("the connection was refused by us: {reason}")]
    Refused {
        /// The gate's reason.
        reason: String,
    },
}

/// Why we don't listen on an address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The address is not `/ip4/../tcp/..` or `/ip6/../tcp/..`.
    #[error("can't listen on {address}: it must be /ip4/<address>/tcp/<port> or /ip6/<address>/tcp/<port>")]
    Unsupported {
        /// The address.
        address: Multiaddr,
    },
    /// The operating system refused.
    #[error("can't listen on {address}: {error}")]
    Bind {
        /// The address.
        address: Multiaddr,
        /// What it said.
        error: io::Error,
    },
}

/// Why there is no stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It can't be opened.
    #[error(transparent)]
    Open(#[from] OpenStreamError),
    /// The remote speaks none of the protocols.
    #[error("the protocol was not agreed on: {0}")]
    Negotiation(multistream::Error),
    /// The stream was reset before a protocol was agreed on.
    #[error("{} before a protocol was agreed on", ReadStreamError::Reset { by: *by, code: *code })]
    Reset {
        /// Who reset it.
        by: By,
        /// Why; 0 where no reason was given.
        code: u32,
    },
    /// The connection is over.
    #[error("the connection is over")]
    Closed,
}

/// Why there is no round trip to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PingError {
    /// The multiplexer has no ping.
    #[error("{0} has no ping: open a stream of /ipfs/ping/1.0.0 instead")]
    Unsupported(tidewire_upgrade::muxer::MuxerKind),
    /// The connection is over.
    #[error("the connection is over")]
    Closed,
}
