//! How things end.

use std::fmt;
use std::io;
use std::time::Duration;
use tidewire_core::Multiaddr;
use tidewire_multistream as multistream;
use tidewire_upgrade::connection::{By, ConnectionError, OpenStreamError, ReadStreamError};
use tidewire_upgrade::muxer::MuxerKind;
use tidewire_upgrade::pipeline::UpgradeError;

/// Why a socket did not become a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpgradeFailed {
    /// The upgrade failed.
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

impl From<io::Error> for UpgradeFailed {
    fn from(error: io::Error) -> Self {
        UpgradeFailed::Socket { kind: error.kind(), message: error.to_string() }
    }
}

/// Why there is no connection to an address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// Not an address that can be dialed over TCP.
    #[error("can't dial {address}: {reason}")]
    Address {
        /// The address.
        address: Multiaddr,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The gate refused it.
    #[error("dialing {address} was refused by us: {reason}")]
    Refused {
        /// The address.
        address: Multiaddr,
        /// The gate's reason.
        reason: String,
    },
    /// No address was found for the name.
    #[error("the name in {address} was not found: {error}")]
    Resolve {
        /// The address.
        address: Multiaddr,
        /// What the resolver said.
        error: io::Error,
    },
    /// No TCP connection.
    #[error("can't connect to {address}: {error}")]
    Connect {
        /// The address.
        address: Multiaddr,
        /// What the last attempt came to.
        error: io::Error,
    },
    /// The upgrade failed.
    #[error("connected to {address}, but: {error}")]
    Upgrade {
        /// The address.
        address: Multiaddr,
        /// Why.
        error: UpgradeFailed,
    },
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Not an address that can be listened on.
    #[error("can't listen on {address}: {reason}")]
    Address {
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
    /// The connection could not open one.
    #[error(transparent)]
    Open(OpenStreamError),
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

/// Why there is no answer to a ping.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PingError {
    /// The multiplexer has no ping.
    #[error("{0} has no ping: use the ping protocol on a stream")]
    Unsupported(MuxerKind),
    /// The connection is over.
    #[error("the connection is over")]
    Closed,
}

/// Why a connection is over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It was closed, with this code if one was given.
    Closed(Option<u32>),
    /// The remote broke a rule, or gave no sign of life.
    Protocol(ConnectionError),
    /// The socket failed.
    Socket(io::ErrorKind),
    /// A hook of the application panicked.
    Panicked,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Closed(None) => f.write_str("it was closed"),
            Reason::Closed(Some(code)) => write!(f, "it was closed (code {code:#x})"),
            Reason::Protocol(error) => error.fmt(f),
            Reason::Socket(kind) => write!(f, "the socket failed: {kind}"),
            Reason::Panicked => f.write_str("a hook panicked"),
        }
    }
}

/// The end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// Who ended it; the remote too where the network did.
    pub by: By,
    /// Why.
    pub reason: Reason,
    /// From the socket to here.
    pub lived: Duration,
    /// Bytes that came in from the socket.
    pub received: u64,
    /// Bytes that went out to it.
    pub sent: u64,
}
