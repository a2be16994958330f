//! One connection between two peers: both sides keep the same one.
//!
//! Two peers that dial each other at once get two connections, and so does a peer whose hole punch succeeds while a relay
//! still carries it. Closing one of them is a decision of two sides that can't ask each other, about connections that may
//! be dead at the other end. The rule here was explored exhaustively before it was written down, and is explored again, as
//! it runs, by this crate's tests; in large worlds by
//! `cargo test --release -p tidewire-connmgr duplicates::model -- --ignored --nocapture --test-threads 1`.
//!
//! **Class.** `2 x relayed + (its security initiator is the peer with the larger id)`, lower is better. Both sides see the
//! same class. The initiator is that of the security handshake, never "who dialed": in a simultaneous open both dialed.
//! All connections of one class have the same initiator, and within a class the initiator alone decides, by the order in
//! which they were established at its side. So there is one order, and no connection is closed but for a better one.
//!
//! | # | when | do |
//! |---|---|---|
//! | 1 | `k` has the better class than `c`; or the same, we initiated `c`, and `k` was established earlier here | `c` is a candidate, `k` its keeper |
//! | 2 | the candidate has never answered | ping it; without an answer this rule never closes it, keep-alive does |
//! | 3 | it has answered: the remote has it too | ping the keeper |
//! | 4 | the keeper answered a ping sent at or after the candidate's first answer | the keeper is proven over the candidate |
//! | 5 | it is proven | new streams go on the keeper, the candidate drains. After the grace: prove again, close |
//! | 6 | the budget of closes is spent | tolerate duplicates, and say so |
//! | 7, 8 | dials whose transport is not connected; handshakes in progress | not seen here: a connection counts from `Opened` on |
//!
//! The grace is short for what we initiated. What the remote initiated we close only if it has no streams, and after a much
//! longer grace: the remote will have done it before, if it follows the rule.
//!
//! **Several per peer.** With `per_peer` N, a candidate is a connection with N better ones, and its keepers are the best N of
//! them. Each of them must be proven, so that N working connections remain.
//!
//! **The budget** is for peers whose dialers follow another rule: each close is answered by a new connection. So a close counts if
//! that connection came after the close before; those that were there by then are paid for, as long as the budget isn't spent. A
//! hole punch may leave several at once, beside the circuit.
//!
//! **A proof is old** if its ping was sent before the moment when the candidate was found ready to be closed (grace over,
//! and no streams if the remote initiated it), or before another connection went, for the keeper is another one then. So the
//! close follows at once upon the keeper's answer.

mod config;
#[cfg(test)]
mod model;
mod pair;
#[cfg(test)]
mod tests;

pub use config::{DuplicatesConfig, Tolerated};
#[cfg(any(test, feature = "model"))]
pub(crate) use pair::Moment;
pub use pair::Pair;

use crate::ConnectionId;
use tidewire_core::Time;

/// What happened between us and this peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Input {
    /// A connection is established. The order of these inputs is the age of the connections.
    Opened {
        /// Which.
        connection: ConnectionId,
        /// Whether it runs over a relay.
        relayed: bool,
        /// Who initiated its security handshake.
        initiator: Initiator,
        /// Whether that initiator is, of us two, the peer with the larger id (the ids compared as bytes).
        larger: bool,
        /// Its open streams, those alone that are a reason to keep it.
        streams: u32,
    },
    /// Its streams changed.
    Streams {
        /// Of which connection.
        connection: ConnectionId,
        /// How many are open now, those alone that are a reason to keep it.
        open: u32,
    },
    /// An answer came to a ping, whoever asked for that ping.
    Pong {
        /// On which connection.
        connection: ConnectionId,
        /// When the ping was sent. A later moment than now is taken as now.
        sent: Time,
    },
    /// Somebody else closes it. From here on it is neither candidate nor keeper. Idempotent.
    Closing {
        /// Which.
        connection: ConnectionId,
    },
    /// It is gone, whoever closed it.
    Closed {
        /// Which.
        connection: ConnectionId,
    },
}

/// Who sent the first message of a security handshake (Noise's initiator, TLS's client).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Initiator {
    /// We.
    We,
    /// The remote.
    They,
}

/// What to do. Whatever it names exists when it is polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Ping on this connection, or wait for the answer to the ping that is under way. Not asked again before a `Pong`.
    Ping {
        /// On which.
        connection: ConnectionId,
    },
    /// Open new streams on another connection; let those on this one come to their end. Void when `onto` is gone.
    Drain {
        /// Which one goes.
        connection: ConnectionId,
        /// Which one takes over.
        onto: ConnectionId,
    },
    /// Close this connection, and report `Closed` when it is gone.
    Close {
        /// Which.
        connection: ConnectionId,
        /// The better one, which has just answered.
        kept: ConnectionId,
    },
    /// Duplicates are left alone from here on. Said once a window.
    Tolerate {
        /// Why.
        why: Tolerated,
    },
}

/// What the caller of [`Pair`] did wrong. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DuplicatesMisuse {
    /// No such connection: it was never opened, was closed, or came when the pair was full.
    #[error("there is no connection {0} in this pair: it was never opened, was closed, or came when the pair was full")]
    Unknown(ConnectionId),
    /// The id is in use.
    #[error("there is a connection {0} in this pair already")]
    Exists(ConnectionId),
    /// As many connections as are ranked are open. This one is left alone for as long as it lives: don't report on it.
    #[error("this pair has {max} connections already: connection {connection} is not ranked, and stays as it is")]
    Full {
        /// Which.
        connection: ConnectionId,
        /// [`DuplicatesConfig::max_connections`].
        max: u32,
    },
}
