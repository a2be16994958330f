//! Names for things at the edges: small, `Copy`, and the caller's.

use core::fmt;

pub use tidewire_connmgr::{By, ConnectionId, DialId, Direction, RequestId, StreamId};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $letter:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub struct $name(pub u64);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($letter, "{}"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self, f)
            }
        }
    };
}

id!(
    /// A wish for a stream to a peer. The caller's number, never used for a second one: a link's late word about the first
    /// would be taken for a word about it.
    OpenId,
    "o"
);
id!(
    /// A wish to listen. The caller's number; free again once the listener is closed.
    ListenerId,
    "l"
);
