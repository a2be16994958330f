//! How connections end.

use std::fmt;
use std::io;
use std::time::Duration;
use tidewire_upgrade::connection::{By, ConnectionError};

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// Who ended it; the remote too where the network did.
    pub by: By,
    /// Why.
    pub reason: Reason,
    /// How long it lived, upgraded.
    pub lived: Duration,
    /// Bytes that were given to the socket, those of the upgrade too.
    pub sent: u64,
    /// Bytes that came from the socket, those of the upgrade too.
    pub received: u64,
}

/// Why a connection ended.
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
    /// The runtime ended its task.
    Runtime,
}

impl Closed {
    /// All that there is to say of it.
    pub fn new(by: By, reason: Reason, lived: Duration, sent: u64, received: u64) -> Closed {
        Closed { by, reason, lived, sent, received }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Closed(None) => f.write_str("it was closed"),
            Reason::Closed(Some(code)) => write!(f, "it was closed (code {code:#x})"),
            Reason::Protocol(error) => error.fmt(f),
            Reason::Socket(kind) => write!(f, "the socket failed: {kind}"),
            Reason::Panicked => f.write_str("a hook panicked"),
            Reason::Runtime => f.write_str("it ended with the runtime"),
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Reason::Closed(None) => write!(f, "closed by {}", self.by)?,
            Reason::Closed(Some(code)) => write!(f, "closed by {} (code {code:#x})", self.by)?,
            Reason::Protocol(error) => write!(f, "closed by {}: {error}", self.by)?,
            other => other.fmt(f)?,
        }
        write!(f, " after {:?}, {} bytes sent, {} received", self.lived, self.sent, self.received)
    }
}
