//! How dialing, listening, reading and writing fail.

use std::io;
use tidewire_connmgr::dial::{DialFault, DialReport};
use tidewire_core::Multiaddr;
use tidewire_host::Misuse;
use tidewire_upgrade::connection::ReadStreamError;
use tidewire_upgrade::muxer::{StreamError, WriteError};

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
    /// There are as many listeners as may be.
    #[error("can't listen: {0}")]
    Misuse(#[from] Misuse),
    /// The listener was closed before it listened.
    #[error("the listener was closed: {why}")]
    Closed {
        /// Why.
        why: String,
    },
}

/// Why a node is not connected to a peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address doesn't say whom to expect.
    #[error("{address} doesn't end in /p2p/ID: whom to expect there?")]
    NoPeer {
        /// The address.
        address: Multiaddr,
    },
    /// What was tried, and what came of each address.
    #[error(transparent)]
    Failed(Box<DialReport>),
    /// There is too much to do already.
    #[error(transparent)]
    Misuse(#[from] Misuse),
    /// The node is gone.
    #[error("the node is shut down")]
    Stopped,
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

/// Whether resources of this machine ran out: descriptors, memory. Waiting may help, trying again at once will not.
pub fn is_exhausted(error: &io::Error) -> bool {
    // EMFILE, ENFILE, ENOMEM, ENOBUFS (Linux, BSD); WSAEMFILE, WSAENOBUFS.
    const CODES: &[i32] = if cfg!(windows) { &[10_024, 10_055] } else { &[24, 23, 12, 105, 55] };
    error.raw_os_error().is_some_and(|code| CODES.contains(&code))
}

/// Whether a socket that waits, for so long at most, has only waited: try again.
pub fn is_pause(error: &io::Error) -> bool {
    // A write that takes too long is `TimedOut` on Windows; elsewhere that is a connection that broke.
    let waits = error.kind() == io::ErrorKind::TimedOut && cfg!(windows);
    waits || matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}

/// What the connection manager is told when a socket could not be connected.
pub fn dial_fault(error: &io::Error) -> DialFault {
    let why = error.to_string().into();
    match error.kind() {
        _ if is_exhausted(error) => DialFault::Local(why),
        io::ErrorKind::AddrNotAvailable => DialFault::NoPort(why),
        io::ErrorKind::ConnectionRefused => DialFault::Refused(why),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => DialFault::Unreachable(why),
        _ => DialFault::Transport(why),
    }
}
