//! Names for things at the edges: small, `Copy`, and the caller's wherever the caller makes the thing.

use core::fmt;
use tidewire_core::id;

id!(
    /// A connection, from the moment a listener got it or a dial became one. The caller's number; free again once it is closed
    /// or was refused.
    ConnectionId,
    "c"
);
id!(
    /// A stream within its connection: the multiplexer's number, or any other of the caller's.
    StreamId,
    "s"
);
id!(
    /// One attempt at one address. The machine's number, never used twice.
    DialId,
    "d"
);
id!(
    /// A wish to be connected to a peer. The caller's number; free again once it was answered or cancelled.
    RequestId,
    "r"
);

/// Who opened a connection or a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Direction {
    /// The remote.
    Inbound,
    /// We.
    Outbound,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        })
    }
}

/// Who ended something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum By {
    /// We: this machine, or the application through it.
    Local,
    /// The remote, in an orderly way or by a reset.
    Remote,
    /// Nobody: the network failed, or the process that owned the socket did.
    Network,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            By::Local => "us",
            By::Remote => "the remote",
            By::Network => "the network",
        })
    }
}
