//! Names for things at the edges: small, `Copy`, and the caller's.

use tidewire_core::id;

pub use tidewire_connmgr::{By, ConnectionId, DialId, Direction, RequestId, StreamId};

/// Dials from here on are only to find out whether somebody can be reached.
pub(crate) const PROBES: u64 = 1 << 62;

/// Dials from here on are hole punches.
pub(crate) const PUNCHES: u64 = 1 << 63;

/// Whether a dial is only to find out whether somebody can be reached.
pub(crate) const fn is_probe(dial: DialId) -> bool {
    dial.0 >= PROBES && dial.0 < PUNCHES
}

/// Whether a dial is a hole punch.
pub(crate) const fn is_punch(dial: DialId) -> bool {
    dial.0 >= PUNCHES
}

id!(
    /// A wish for a stream to a peer. The caller's number, never used for a second one: a link's late word about the first
    /// would be taken for a word about it.
    OpenId,
    "o"
);
id!(
    /// A question that a link asks a remote. The host's number, never used twice.
    AskNumber,
    "a"
);
id!(
    /// A wish to listen. The caller's number; free again once the listener is closed.
    ListenerId,
    "l"
);
