//! tidewire connections over tokio: dial, listen, and streams as [`AsyncRead`](tokio::io::AsyncRead) and
//! [`AsyncWrite`](tokio::io::AsyncWrite).
//!
//! All protocols live in machines that know no socket: the [upgrade](tidewire_upgrade::pipeline) and the
//! [connection](tidewire_upgrade::connection). Here they meet TCP, the clock and the operating system's entropy.
//!
//! ```
//! use std::sync::Arc;
//! use tidewire_tokio::{
//!     Config, Endpoint, Keypair, Matcher, Protocol, Protocols, RouteId, Router, Selection, Upgrader, random_seed,
//! };
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A node that serves a protocol.
//! let mut router = Router::new();
//! router.add(Protocol::from_static("/echo/1.0.0"), Matcher::Exact, RouteId::new(0))?;
//! let mut config = Config::default();
//! config.connection.router = Some(Arc::new(router));
//! let identity = Keypair::from_seed(&random_seed()?);
//! let server = Endpoint::new(Upgrader::new(&identity, &random_seed()?, config)?)?;
//! let listener = server.listen(&"/ip4/127.0.0.1/tcp/0".parse()?).await?;
//! let address = listener.address().clone();
//! tokio::spawn(async move {
//!     let connection = listener.accept().await.ok()?;
//!     let mut stream = connection.accept().await?.stream;
//!     while let Some(chunk) = stream.read_chunk().await.ok()? {
//!         stream.write_all(&chunk).await.ok()?;
//!     }
//!     stream.shutdown().await.ok()
//! });
//!
//! // A node that uses it. The address names the peer, who has to prove that it is the one.
//! let identity = Keypair::from_seed(&random_seed()?);
//! let client = Endpoint::new(Upgrader::new(&identity, &random_seed()?, Config::default())?)?;
//! let connection = client.dial(&address).await?;
//! let mut stream = connection.open(&Protocols::parse(&["/echo/1.0.0"])?, Selection::Lazy).await?;
//! stream.write_all(b"hello").await?;
//! stream.shutdown().await?;
//! let mut echoed = Vec::new();
//! stream.read_to_end(&mut echoed).await?;
//! assert_eq!(echoed, b"hello");
//! # Ok(())
//! # }
//! ```
//!
//! # Tasks, buffers, time
//! Each connection has one task, which owns its socket. Streams and handles share the machine with it under a lock that is held
//! for one call at a time, and never while the socket is written or read. Buffers belong to a pool of the [`Endpoint`]:
//! an idle connection holds none. Every future may be dropped at any time without losing data. Where a remote does not
//! read, writes wait: at most the multiplexer's `max_tx` twice over is held for it.

#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc)] // sockets and threads need std in any case

mod buffer;
mod connection;
mod driver;
mod endpoint;
mod listener;
mod stream;
mod upgrade;
mod wire;

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
