//! Names for things at the edges: small, `Copy`.

use core::fmt;
use core::ops::RangeInclusive;
use tidewire_core::id;

id!(
    /// A connection to a peer. The caller's number; free again once its end was told.
    ConnectionId,
    "c"
);
id!(
    /// An exchange on a stream that we open. The machine's number, never used twice.
    AskId,
    "a"
);
id!(
    /// A dial of a punch. The machine's number, never used twice.
    DialId,
    "d"
);

/// A stream that the remote opened: the connection's number and its own within it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StreamKey {
    /// On which connection.
    pub connection: ConnectionId,
    /// Which of its streams: the multiplexer's number.
    pub stream: u64,
}

impl StreamKey {
    /// All streams that a connection may have: a range for ordered maps.
    pub const fn of(connection: ConnectionId) -> RangeInclusive<StreamKey> {
        RangeInclusive::new(StreamKey { connection, stream: 0 }, StreamKey { connection, stream: u64::MAX })
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s{}", self.connection, self.stream)
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
