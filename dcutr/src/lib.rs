//! Hole punching as sans-IO machines: a relayed connection becomes a direct one, and a report says how, or why not.
//!
//! ```text
//!   a stream's bytes                              who decides                   what for
//!   exchange::Opener    (B opened /libp2p/dcutr)  coordinator::Coordinator      when to dial which address, in which role
//!   exchange::Answerer  (A answers on it)         candidate, nat                which addresses are worth a dial
//!                                                 report::Report                what was tried, what came of it, and why
//! ```
//! **A** dialed through the relay. **B** was dialed, and opens the stream. The byte machines ([`exchange`]) read and write one
//! stream each; the coordinator decides, by plain data, and sees no byte. [`candidate`] filters and ranks addresses, [`nat`]
//! guesses what a NAT does from what others saw of us, and [`report`] holds one attempt as data, with a sentence for a person.
//!
//! `tidewire-host` plugs all of it into a node. Each part stands alone.
//!
//! Specs: libp2p/specs relay/DCUtR.md, connections/hole-punching.md; words for NATs from RFC 4787 and RFC 5382.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod ids;
mod message;
mod plan;

pub mod candidate;
pub mod coordinator;
pub mod exchange;
pub mod nat;
pub mod report;

pub use candidate::{Candidate, Source};
pub use exchange::PROTOCOL;
pub use ids::{AskId, ConnectionId, DialId, StreamKey};
pub use plan::{DialFault, Local, Plan};
pub use report::Report;
