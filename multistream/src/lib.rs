//! multistream-select as pure state machines: which protocol do two ends speak on a connection or a stream?
//!
//! | you are | use |
//! |---|---|
//! | the side that proposes | [`Dialer`]; [`Dialer::lazy`] to send data in the first flight |
//! | the side that answers | [`Listener`], over a fixed list of [`Protocols`] or a [`Router`] |
//! | curious | [`List`]: which names does the remote serve? |
//! | one of two ends that both dialed | [`ListenFirst`]: roles by listening; [`SimultaneousOpen`]: roles by tie-break |
//!
//! All are [`tidewire_core::Machine`]s: they read from the caller's `rx`, append to the caller's `tx`, hold no buffer, and
//! keep the [laws](tidewire_core#the-laws). A negotiation over names that are equal byte for byte never allocates, as long as `tx`
//! has room.
//!
//! Specs: [multistream-select](https://github.com/multiformats/multistream-select),
//! [connections](https://github.com/libp2p/specs/blob/master/connections/README.md),
//! [simultaneous open](https://github.com/libp2p/specs/blob/master/connections/simopen.md).
#![no_std]

extern crate alloc;

mod config;
mod dialer;
mod error;
mod list;
mod listen_first;
mod listener;
mod machine;
mod protocol;
mod roles;
mod router;
#[cfg(feature = "serde")]
mod serialize;
mod simopen;
mod wire;

pub use config::Config;
pub use dialer::{Agreed, Dialer};
pub use error::{Awaited, Error, Excerpt};
pub use list::List;
pub use listen_first::ListenFirst;
pub use listener::{Accepted, Listener};
pub use protocol::{NameError, Protocol, Protocols};
pub use roles::RoleEvent;
pub use router::{Matcher, RouteError, RouteId, Router};
pub use simopen::SimultaneousOpen;
