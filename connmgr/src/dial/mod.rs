//! Whom to dial, where, in which order, and what came of it.
//!
//! ```text
//! addresses of a peer
//!    | usable      names this peer, and can be dialed at all        rank.rs
//!    | Gate        no rule forbids it                               gate.rs
//!    | Backoffs    did not fail a short time ago                    backoff.rs
//!    | BlackHoles  dials of its kind don't all fail here            black_hole.rs
//!    v
//!  rank            in which order, how long after one another       rank.rs
//!    |
//!    v
//!  Dialer          one job a peer, so many dials at a time          dialer.rs, job.rs
//!    |
//!    v
//!  a connection, or a DialReport: what came of each address         report.rs
//! ```

mod backoff;
mod black_hole;
mod config;
mod dialer;
mod event;
mod gate;
mod job;
mod misuse;
mod rank;
mod report;
mod shared;

pub(crate) use backoff::Backoffs;
pub(crate) use black_hole::BlackHoles;
pub use config::{Delays, DialConfig, DialOptions};
pub use dialer::Dialer;
pub use event::{DialAction, DialCounts, DialInput};
pub use gate::{Gate, GateRule};
pub use misuse::DialMisuse;
pub use rank::{Ranked, rank, usable};
pub(crate) use rank::{is_local, takes_descriptor};
pub use report::{AddressReport, DialFailure, DialFault, DialReport, Outcome};

#[cfg(test)]
mod tests;
