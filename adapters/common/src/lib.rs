//! What drivers of tidewire nodes over sockets have in common: a host under a lock with all who wait for it ([`Hub`]), a link
//! that its socket's task and the application's streams share ([`Line`], [`Stream`]), what addresses mean to sockets
//! ([`Target`], [`DnsAddr`], [`listen`], [`connect`]), who watches ([`Observer`]), what is counted ([`Counters`]) and logged.
//!
//! Applications find the names they need in the driver that they use, `tidewire-tokio` or `tidewire-std`. This crate is for who
//! writes another driver. It knows no runtime: a [`Target`] says what to ask a resolver, and the driver asks it in its own way;
//! what an application asks of its [`Node`] are futures that any executor can poll, and that [`wait`] blocks on.
//!
//! Ports are mapped at the router by a thread of their own ([`NodeConfig::port_mapping`], [`PortMapper`]), whatever the driver runs on.
//!
//! A driver has a main task, which takes [`Job`]s and makes [`Rounds`]; something that accepts for each listener, and tells
//! [`Hub::accepted`]; something for each dial, which tells [`Hub::dialed`]; and something for each connection, which moves bytes
//! between a socket and a [`Line`], and holds [`Alive`].
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
mod answer;
mod audience;
mod buffer;
mod calls;
mod carrier;
mod circuits;
mod clock;
mod config;
mod counters;
mod dnsaddr;
mod error;
mod hooks;
mod hub;
mod interfaces;
mod line;
mod listeners;
mod log;
mod mailbox;
mod node;
mod park;
#[cfg(feature = "portmap")]
mod portmap;
mod pump;
mod queue;
mod rounds;
mod sockets;
mod stream;
mod waiters;

pub use address::{Found, Target, with_peer};
pub use answer::Answer;
pub use audience::{Alive, Inbound};
pub use buffer::{Buffer, Pool, lock};
pub use circuits::{Circuit, Task};
pub use clock::Clock;
pub use config::{Connected, NodeConfig, NodeError, RequestError};
pub use counters::{Counters, Traffic};
pub use dnsaddr::DnsAddr;
pub use error::{ConnectError, ListenError, dial_fault, finish_error, is_exhausted, is_pause, read_error, write_error};
pub use hooks::{Observed, Observer, Watch};
pub use hub::{Hub, HubConfig, HubError, Job};
pub use interfaces::{expand, interfaces};
pub use line::{Line, Turned};
pub use listeners::Listeners;
pub use log::listener_waits;
pub use node::{Events, Handle, Incoming, Listener, Node, Notice, Works};
pub use park::{Parker, Turns, block, block_on, wait};
#[cfg(feature = "upnp")]
pub use portmap::UpnpConfig;
#[cfg(feature = "portmap")]
pub use portmap::{MapperConfig, PortMapConfig, PortMapper};
pub use rounds::{Rest, Rounds};
pub use sockets::{ConnectedSocket, LocalPort, Race, STAGGER, connect, connected, listen, poke};
pub use stream::{Stream, gather};

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
