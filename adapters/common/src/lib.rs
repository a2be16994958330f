//! What drivers of tidewire connections over sockets have in common: who has a say and who watches ([`Gate`], [`Observer`]),
//! how things fail and end ([`DialError`], [`Closed`]), and what addresses mean to sockets ([`Target`]).
//!
//! Applications find the names they need in the driver that they use, `tidewire-tokio` or `tidewire-std`. This crate is for who
//! writes another driver. It knows no runtime: a [`Target`] says what to ask a resolver, and the driver asks it in its own way.
//!
//! ```
//! use std::net::ToSocketAddrs;
//! use tidewire_adapter::Target;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let address = "/ip4/127.0.0.1/tcp/4001".parse()?;
//! let target = Target::parse(&address)?;
//! let sockets = target.pick(target.question().to_socket_addrs()?)?;
//! assert_eq!(sockets, ["127.0.0.1:4001".parse()?]);
//! # Ok(())
//! # }
//! ```
// Sockets need std in any case.
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc)]

mod address;
mod closed;
mod error;
mod hooks;

pub use address::{Target, named, reachable};
pub use closed::{Closed, Reason};
pub use error::{
    DialError, ListenError, OpenError, PingError, Tried, UpgradeFailed, finish_error, read_error, write_error,
};
pub use hooks::{Gate, Info, Observed, Observer, Watch};

use std::io;
use tidewire_core::Seed;

/// 32 bytes from the operating system: for a new identity, or an [`Upgrader`](tidewire_upgrade::pipeline::Upgrader).
///
/// # Errors
/// The operating system has none to give.
pub fn random_seed() -> io::Result<Seed> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(Seed::new(bytes))
}
