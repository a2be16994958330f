//! A whole libp2p node as one sans-IO machine: it decides, connections carry bytes.
//!
//! ```text
//!              Input                               Action
//!  driver  ----------->  .------- Host -------.  -------->  Listen, Dial, Accept, Refuse, Event
//!  application           |  who stays, goes,  |
//!                        |  is dialed; where  |
//!                        '--we are reachable--'
//!                           ^ Report   | Order         one Host, any number of Links, each with its bytes
//!                           |          v
//!  socket  --- rx --->   .------- Link -------.  -------->  StreamEvent: the application's streams
//!          <-- tx ----   |  upgrade, streams, |
//!                        |  identify, ping    |
//!                        '--------------------'
//! ```
//! - [`Host`] owns no socket, no key and no byte: an [`EventMachine`](tidewire_core::EventMachine), fed by whoever has them.
//! - [`Link`](link::Link) is one connection: a byte machine that may live in a task of its own, on any core.
//! - [`Solo`](solo::Solo) is both in one value: for one thread, for bindings, for simulation.
//! - [`identify`] and [`ping`] are the protocols inside a link, [`addresses`] decides at which addresses we are reached.
//!
//! Two nodes that talk, their sockets two buffers:
//!
//! ```
//! use tidewire_connmgr::dial::DialOptions;
//! use tidewire_core::{Keypair, Multiaddr, Seed, Time, UnixTime};
//! use tidewire_host::link::StreamEvent;
//! use tidewire_host::solo::{Solo, SoloAction, SoloConfig, SoloEvent};
//! use tidewire_host::{OpenId, OpenOptions, RequestId};
//! use tidewire_multistream::{Matcher, Protocol, RouteId};
//!
//! let node = |n: u8| {
//!     let keypair = Keypair::from_seed(&Seed::new([n; 32]));
//!     Solo::new(SoloConfig::default(), keypair, &Seed::new([n + 100; 32]), UnixTime::from_secs(1_800_000_000))
//! };
//! let (mut alice, mut bob, now) = (node(1)?, node(2)?, Time::ZERO);
//! let chat = Protocol::new("/chat/1.0.0")?;
//! bob.serve(now, chat.clone(), Matcher::Exact, RouteId::new(1))?;
//!
//! // Alice's node says what to dial, and the sockets are connected.
//! let (from, to): (Multiaddr, Multiaddr) = ("/ip4/192.0.2.1/tcp/50000".parse()?, "/ip4/192.0.2.2/tcp/4001".parse()?);
//! alice.connect(now, RequestId(1), bob.local_peer(), &[to.clone()], DialOptions::default())?;
//! alice.open(now, OpenId(1), bob.local_peer(), &chat.into(), OpenOptions::default())?;
//! let dial = core::iter::from_fn(|| alice.poll()).find_map(|action| match action {
//!     SoloAction::Dial { dial, .. } => Some(dial),
//!     _ => None,
//! });
//! let a = alice.dialed(now, dial.ok_or("nothing to dial")?, &from, &to)?;
//! let b = bob.accepted(now, &to, &from)?;
//!
//! let mut heard = None;
//! while heard.is_none() {
//!     while let Some(action) = alice.poll() {
//!         if let SoloAction::Event(SoloEvent::Stream { event: StreamEvent::Opened { stream, .. }, .. }) = action {
//!             alice.write(now, a, stream, b"hello")?;
//!         }
//!     }
//!     while let Some(action) = bob.poll() {
//!         if let SoloAction::Event(SoloEvent::Stream { event: StreamEvent::Incoming { stream, .. }, .. }) = action {
//!             heard = bob.read(now, b, stream)?;
//!         }
//!     }
//!     // The network: what one has to send, the other receives.
//!     let (there, back) = (alice.tx(a).ok_or("closed")?.split(), bob.tx(b).ok_or("closed")?.split());
//!     bob.rx(b).ok_or("closed")?.extend_from_slice(&there);
//!     alice.rx(a).ok_or("closed")?.extend_from_slice(&back);
//!     (alice.sent(now, a), bob.sent(now, b));
//!     (alice.received(now, a), bob.received(now, b));
//! }
//! assert_eq!(heard.as_deref(), Some(&b"hello"[..]));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod action;
pub mod addresses;
mod config;
pub mod identify;
mod ids;
mod input;
pub mod link;
mod machine;
pub mod ping;
#[cfg(feature = "record")]
pub mod record;
pub mod solo;

pub use action::{Action, Carry, Event, LocalEnd, OpenFailure, Splice};
pub use config::{Config, Relaying};
pub use ids::{AskNumber, By, ConnectionId, DialId, Direction, ListenerId, OpenId, RequestId, StreamId};
pub use input::{Command, Input, OpenOptions, PunchCommand, RelayCommand};
pub use machine::{ConnectionView, Host, Misuse, OpeningView};
