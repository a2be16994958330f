//! A whole libp2p node over blocking sockets and threads, without an async runtime: it listens, dials, keeps its connections
//! in order, and gives streams as [`Read`](std::io::Read) and [`Write`](std::io::Write).
//!
//! All protocols live in machines that know no socket: the [host](tidewire_host), which decides, and its
//! [links](tidewire_host::link), which carry bytes. Here they meet TCP, the clock and the operating system's entropy.
//!
//! ```
//! use std::io::{Read, Write};
//! use tidewire_std::{Keypair, Matcher, Node, NodeConfig, OpenOptions, Protocol, Protocols, random_seed};
//!
//! const ECHO: Protocol = Protocol::from_static("/echo/1.0.0");
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A node that serves a protocol.
//! let server = Node::new(NodeConfig::default(), Keypair::from_seed(&random_seed()?))?;
//! let streams = server.handle(ECHO, Matcher::Exact)?;
//! std::thread::spawn(move || {
//!     for inbound in streams {
//!         std::thread::spawn(move || {
//!             std::io::copy(&mut &inbound.stream, &mut &inbound.stream)?;
//!             inbound.stream.shutdown()
//!         });
//!     }
//! });
//! let listener = server.listen(&"/ip4/127.0.0.1/tcp/0".parse()?)?;
//!
//! // A node that uses it. The address names the peer, who has to prove that it is the one.
//! let client = Node::new(NodeConfig::default(), Keypair::from_seed(&random_seed()?))?;
//! let peer = client.connect(&listener.addresses()[0])?.peer;
//! let mut stream = client.open(peer, &Protocols::from(ECHO), OpenOptions::default())?;
//! stream.write_all(b"hello")?;
//! stream.shutdown()?;
//! let mut echoed = Vec::new();
//! stream.read_to_end(&mut echoed)?;
//! assert_eq!(echoed, b"hello");
//!
//! // The same in one call.
//! assert_eq!(client.request(peer, ECHO, b"hello", 1024)?, "hello");
//! client.shutdown();
//! # Ok(())
//! # }
//! ```
//!
//! # Threads, buffers, time
//! ```text
//!  your threads: Node --calls--> [ the host, under a lock ] --jobs--> main thread --> a thread for each listener, each dial
//!
//!  socket --reader thread--> [ a connection's link, under a lock ] --writer thread--> socket
//!                                ^ your threads: Stream, read and write
//! ```
//! Each connection has two threads: one waits for bytes, the other sends what there is to say and keeps the deadlines. Your own
//! threads never touch a socket: they act on the link, and sleep until there is something to read, or room to write. Buffers
//! belong to a pool of the [`Node`]: an idle connection holds none. Where a remote does not read, writes wait: at most the
//! multiplexer's `max_tx` twice over is held for it.
//!
//! A circuit costs one thread: at the relay, where it carries bytes from one stream to the other, and at each of its two ends, where
//! it is a connection without a socket. So caps on circuits are caps on threads. At a relay that is
//! `host.relay.server.circuits` (`ServerConfig::circuits`, 1024), at the ends
//! `host.relay.client.circuits_out` and `circuits_in`
//! (`ClientConfig`, 256 each). Where the system gives no thread, the circuit
//! ends, and both sides are told. For a relay with many circuits take `tidewire-tokio`, where each is a task, or `tidewire-mio`.
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

mod main_thread;
mod net;
mod node;
mod stream;
mod wire;

pub use net::TxtResolver;
pub use node::{Events, Inbound, Incoming, Listener, Node};
pub use stream::Stream;
#[cfg(feature = "portmap")]
pub use tidewire_adapter::PortMapConfig;
pub use tidewire_adapter::{
    ConnectError, Connected, Counters, Handle, ListenError, NodeConfig, NodeError, Notice, Observed, Observer,
    RequestError, random_seed,
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
