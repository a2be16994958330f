//! Drives tidewire connections over blocking sockets and threads, without an async runtime.
//!
//! ```text
//!  Endpoint --dial, upgrade----------------> Connection --open, accept--> Stream: Read + Write
//!     '-----listen--> Listener --accept-----^
//!
//!  socket --reader thread--> rx --> [ the machine, behind a mutex ] --> tx --writer thread--> socket
//!                                     ^ your threads: open, read, write
//! ```
//! Each connection has two threads. One waits for bytes. The other sends what there is to say, and keeps the machine's
//! deadlines while it waits for that. Your own threads never touch the socket: they act on the machine, and sleep until
//! there is something to read, or room to write. What waits to be sent is bounded by the multiplexer's `max_tx`; an idle
//! connection holds no buffer.
//!
//! ```
//! use std::io::{Read, Write};
//! use std::sync::Arc;
//! use tidewire_std::{Config, Endpoint, Keypair, Matcher, Protocol, Protocols, RouteId, Router, Selection, Upgrader};
//!
//! const ECHO: Protocol = Protocol::from_static("/echo/1.0.0");
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // The one who answers.
//! let seed = tidewire_std::random_seed()?;
//! let mut router = Router::new();
//! router.add(ECHO, Matcher::Exact, RouteId::new(1))?;
//! let mut config = Config::default();
//! config.connection.router = Some(Arc::new(router));
//! let server = Endpoint::new(Upgrader::new(&Keypair::from_seed(&seed), &seed, config)?)?;
//! let listener = server.listen(&"/ip4/127.0.0.1/tcp/0".parse()?)?;
//! let address = listener.address().clone();
//! std::thread::spawn(move || {
//!     let connection = listener.accept().ok()?;
//!     while let Some(inbound) = connection.accept() {
//!         let (mut from, mut to) = (inbound.stream.try_clone(), inbound.stream);
//!         std::io::copy(&mut from, &mut to).ok()?;
//!         to.shutdown().ok()?;
//!     }
//!     Some(())
//! });
//!
//! // The one who asks. The address names the peer; anyone else would be refused.
//! let seed = tidewire_std::random_seed()?;
//! let client = Endpoint::new(Upgrader::new(&Keypair::from_seed(&seed), &seed, Config::default())?)?;
//! let connection = client.dial(&address)?;
//! let mut stream = connection.open(&Protocols::from(ECHO), Selection::Lazy)?;
//! stream.write_all(b"hello")?;
//! stream.shutdown()?;
//! let mut answer = String::new();
//! stream.read_to_string(&mut answer)?;
//! assert_eq!(answer, "hello");
//! connection.close(0);
//! # Ok(())
//! # }
//! ```
// This crate is about the standard library's sockets and threads: it doesn't pretend to do without.
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc)]

mod connection;
mod endpoint;
mod link;
mod listener;
mod pool;
mod shared;
mod stream;
#[cfg(test)]
mod tests;
mod threads;

pub use connection::{Connection, Inbound};
pub use endpoint::Endpoint;
pub use listener::Listener;
pub use stream::Stream;
pub use tidewire_adapter::{
    Closed, DialError, Gate, Info, ListenError, Observed, Observer, OpenError, PingError, Reason, Tried, UpgradeFailed,
    random_seed,
};

// What every program needs, so that it names one crate.
#[doc(no_inline)]
pub use tidewire_core::{Keypair, Multiaddr, PeerId, Role, Seed};
#[doc(no_inline)]
pub use tidewire_multistream::{Matcher, Protocol, Protocols, RouteId, Router};
#[doc(no_inline)]
pub use tidewire_upgrade::connection::{By, Event, ReadStreamError, Selection};
#[doc(no_inline)]
pub use tidewire_upgrade::muxer::{MuxerKind, StreamId, WriteError};
#[doc(no_inline)]
pub use tidewire_upgrade::pipeline::{Config, Plan, Progress, SecurityKind, Upgrader};
