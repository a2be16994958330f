//! Tables for a million entries: slots with small numbers, an index by key, a heap that entries can leave.

/// A peer's slot: small, dense, used again when the peer is forgotten. What each part knows about a peer lies in a column of its own at this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PeerIx(pub(crate) u32);

/// A connection's slot, likewise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnIx(pub(crate) u32);
