//! A whole libp2p node over tokio: it listens, dials, keeps its connections in order, and gives streams as
//! [`AsyncRead`](tokio::io::AsyncRead) and [`AsyncWrite`](tokio::io::AsyncWrite).
//!
//! All protocols live in machines that know no socket: the [host](tidewire_host), which decides, and its
//! [links](tidewire_host::link), which carry bytes. Here they meet TCP, the clock and the operating system's entropy.
//!
//! ```
//! use tidewire_tokio::{Keypair, Matcher, Node, NodeConfig, OpenOptions, Protocol, Protocols, random_seed};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! const ECHO: Protocol = Protocol::from_static("/echo/1.0.0");
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A node that serves a protocol.
//! let server = Node::new(NodeConfig::default(), Keypair::from_seed(&random_seed()?))?;
//! let mut streams = server.handle(ECHO, Matcher::Exact)?;
//! tokio::spawn(async move {
//!     while let Some(mut inbound) = streams.next().await {
//!         tokio::spawn(async move {
//!             while let Some(chunk) = inbound.stream.read_chunk().await? {
//!                 inbound.stream.write_all(&chunk).await?;
//!             }
//!             inbound.stream.shutdown().await
//!         });
//!     }
//! });
//! let listener = server.listen(&"/ip4/127.0.0.1/tcp/0".parse()?).await?;
//!
//! // A node that uses it. The address names the peer, who has to prove that it is the one.
//! let client = Node::new(NodeConfig::default(), Keypair::from_seed(&random_seed()?))?;
//! let peer = client.connect(&listener.addresses()[0]).await?.peer;
//! let mut stream = client.open(peer, &Protocols::from(ECHO), OpenOptions::default()).await?;
//! stream.write_all(b"hello").await?;
//! stream.shutdown().await?;
//! let mut echoed = Vec::new();
//! stream.read_to_end(&mut echoed).await?;
//! assert_eq!(echoed, b"hello");
//!
//! // The same in one call.
//! assert_eq!(client.request(peer, ECHO, b"hello", 1024).await?, "hello");
//! client.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Tasks, buffers, time
//! Each connection has one task, which owns its socket; a main task has the listeners, the dials and the host's time. Streams
//! share a connection's machine with its task under a lock that is held for one call at a time, and never while the socket
//! is written or read. Buffers belong to a pool of the [`Node`]: an idle connection holds none. Every future may be dropped
//! at any time without losing data. Where a remote does not read, writes wait: at most the multiplexer's `max_tx` twice over
//! is held for it.
//!
//! # Port mapping
//! With [`NodeConfig::port_mapping`] set the router is asked to lead the ports of TCP listeners to us: by PCP or NAT-PMP, and with the
//! feature `upnp` by UPnP where nobody speaks these. What comes of it is [`Event::PortMapping`]; mapped addresses are announced and
//! used for hole punches. The shutdown gives them back, which takes [`PortMapConfig::give_back`] at most. On systems other than Linux
//! and Android say [`PortMapConfig::gateway`], or have the router found by UPnP.
//!
//! # Ports
//! Dials leave from the port on which the node listens, where that can be ([`Config::reuse_port`]): so that others see us at an
//! address at which we can be reached. Listeners and dials therefore set `SO_REUSEADDR` and `SO_REUSEPORT` (Unix): a second
//! program of the same user can listen on the same port, and then gets some of the connections.

#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc)] // sockets and threads need std in any case

mod main_task;
mod net;
mod node;
mod stream;
mod wire;

pub use node::{Inbound, Incoming, Node};
pub use stream::Stream;
#[cfg(feature = "portmap")]
pub use tidewire_adapter::PortMapConfig;
pub use tidewire_adapter::{
    ConnectError, Connected, Counters, Events, Handle, ListenError, Listener, NodeConfig, NodeError, Notice, Observed,
    Observer, RequestError, random_seed,
};

// What every program needs, so that it names one crate.
#[doc(no_inline)]
pub use tidewire_connmgr::dial::DialOptions;
#[doc(no_inline)]
pub use tidewire_core::{Keypair, Multiaddr, PeerId, Role, Seed};
#[doc(no_inline)]
pub use tidewire_host::{
    Command, Config, ConnectionId, Event, Host, Input, ListenerId, OpenFailure, OpenOptions, StreamId,
};
#[doc(no_inline)]
pub use tidewire_multistream::{Matcher, Protocol, Protocols};
#[doc(no_inline)]
pub use tidewire_upgrade::connection::{ReadStreamError, Selection};
#[doc(no_inline)]
pub use tidewire_upgrade::muxer::{By, MuxerKind, WriteError};
#[doc(no_inline)]
pub use tidewire_upgrade::pipeline::{Progress, SecurityKind};
