//! How dialing, listening, upgrading, opening, pinging, reading and writing fail.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use tidewire_core::Multiaddr;
use tidewire_multistream as multistream;
use tidewire_upgrade::connection::{By, OpenStreamError, ReadStreamError};
use tidewire_upgrade::muxer::{MuxerKind, StreamError, WriteError};
use tidewire_upgrade::pipeline::UpgradeError;

/// Why there is no connection to an address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The address is not one of TCP.
    #[error("can't dial {address}: {reason}")]
    Unsupported {
        /// The address.
        address: Multiaddr,
        /// What is wrong with it.
        reason: &'static str,
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
        /// Why. Boxed, so that results that travel are small.
        error: Box<UpgradeFailed>,
    },
}

/// The socket addresses that were tried, each with what came of it.
#[derive(Debug)]
pub struct Tried(pub Vec<(SocketAddr, io::Error)>);

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (socket, error)) in self.0.iter().enumerate() {
            write!(f, "{}{socket}: {error}", if i > 0 { "; " } else { "" })?;
        }
        Ok(())
    }
}

/// Why a socket did not become a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpgradeFailed {
    /// The upgrade failed: a broken rule, nothing in common, the wrong peer, time, or our gate.
    #[error(transparent)]
    Upgrade(#[from] UpgradeError),
    /// The socket failed.
    #[error("the socket failed during the upgrade: {message}")]
    Socket {
        /// In which way.
        kind: io::ErrorKind,
        /// What the operating system said.
        message: String,
    },
}

impl UpgradeFailed {
    /// The gate refused, for this reason.
    pub fn refused(reason: &str) -> UpgradeFailed {
        UpgradeError::Refused { reason: reason.into() }.into()
    }
}

impl From<io::Error> for UpgradeFailed {
    fn from(error: io::Error) -> Self {
        UpgradeFailed::Socket { kind: error.kind(), message: error.to_string() }
    }
}

/// Why we don't listen on an address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The address is not `/ip4/../tcp/..` or `/ip6/../tcp/..`.
    #[error("can't listen on {address}: {reason}")]
    Unsupported {
        /// The address.
        address: Multiaddr,
        /// What is wrong with it.
        reason: &'static str,
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
    /// The remote speaks none of the protocols, or broke a rule.
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
    Unsupported(MuxerKind),
    /// The connection is over.
    #[error("the connection is over")]
    Closed,
}

/// For who reads from a stream: [`io::Error::get_ref`] has it as it was.
pub fn read_error(error: ReadStreamError) -> io::Error {
    let kind = match error {
        ReadStreamError::Negotiation(_) => io::ErrorKind::Unsupported,
        ReadStreamError::Reset { .. } => io::ErrorKind::ConnectionReset,
        ReadStreamError::Closed => io::ErrorKind::ConnectionAborted,
        _ => io::ErrorKind::NotConnected,
    };
    io::Error::new(kind, error)
}

/// The same for who writes to a stream; [`io::Error::get_ref`] has it as it was.
pub fn write_error(error: WriteError) -> io::Error {
    let kind = match error {
        WriteError::Finished => io::ErrorKind::BrokenPipe,
        WriteError::Refused => io::ErrorKind::Unsupported,
        WriteError::Reset { .. } => io::ErrorKind::ConnectionReset,
        WriteError::Failed => io::ErrorKind::ConnectionAborted,
        _ => io::ErrorKind::NotConnected,
    };
    io::Error::new(kind, error)
}

/// The same for who finishes a stream.
pub fn finish_error(error: StreamError) -> io::Error {
    write_error(match error {
        StreamError::Unknown => WriteError::Unknown,
        StreamError::Refused => WriteError::Refused,
        StreamError::Reset { by, code } => WriteError::Reset { by, code },
        _ => WriteError::Failed,
    })
}
