//! AutoNAT: can others reach us?
//!
//! A peer can't know by itself: it asks others to dial it, and does the same for them.
//!
//! | | asks about | believes |
//! |---|---|---|
//! | [`v1`] | the host as a whole | what servers say |
//! | [`v2`] | each address | only dials that it saw come in |
//!
//! Four event machines decide: [`v1::Client`], [`v1::Server`], [`v2::Client`], [`v2::Server`]. None knows another; a host runs
//! those that it wants. What came of both clients is one word by [`Reachability::combined`].
//!
//! None of them dials. A server's `DialBack` is carried out by the caller with a dial of its own: from a port on which nothing
//! listens (autonat-v2.md: a port that the NAT knows would let the dial through by accident), under a peer id of its own, or else
//! the peer takes it for one more connection to us and loses what it opens there, under limits of its own, and without a word
//! to the connection manager, which would take the connection for one that somebody wants to keep.
//!
//! Specs: libp2p/specs autonat/autonat-v1.md, autonat/autonat-v2.md.

mod address;
mod reachability;
mod requests;
mod servers;
#[cfg(test)]
mod testing;
pub mod v1;
pub mod v2;

pub use reachability::Reachability;
