//! A whole libp2p node in one thread over mio: [`Driver`] moves the bytes of a [`Solo`] through sockets that never wait.
//!
//! A loop calls [`Driver::turn`] again and again: a program that does nothing else lets it wait, a game calls it once a frame with
//! [`Duration::ZERO`](std::time::Duration::ZERO). Between two turns the application says what it wants, and reads and writes its
//! streams, at the node itself. There are no threads, no callbacks and no locks.
//!
//! ```
//! use tidewire_mio::{DialOptions, Driver, Event, Keypair, ListenerId, RequestId, Solo, SoloConfig, SoloEvent};
//! use tidewire_mio::{epoch, random_seed};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = || -> Result<Driver, Box<dyn std::error::Error>> {
//!     let key = Keypair::from_seed(&random_seed()?);
//!     Ok(Driver::new(Solo::new(SoloConfig::default(), key, &random_seed()?, epoch())?)?)
//! };
//! let (mut server, mut client) = (node()?, node()?);
//! let now = server.now();
//! server.solo_mut().listen(now, ListenerId(0), &"/ip4/127.0.0.1/tcp/0".parse()?)?;
//! let who = server.solo().local_peer();
//!
//! let mut identified = false;
//! while !identified {
//!     for event in server.turn(Some(std::time::Duration::ZERO))? {
//!         if let SoloEvent::Host(Event::Listening { address, .. }) = event {
//!             let now = client.now();
//!             client.solo_mut().connect(now, RequestId(0), who, &[address], DialOptions::default())?;
//!         }
//!     }
//!     for event in client.turn(Some(std::time::Duration::from_millis(1)))? {
//!         identified |= matches!(event, SoloEvent::Host(Event::Identified { peer, .. }) if peer == who);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What it does
//! It listens on `/ip4/../tcp/PORT` and `/ip6/../tcp/PORT`; `0.0.0.0` and `::` stand for all addresses that the machine has at
//! that moment: who hears of others later tells the node ([`Input::Listening`], [`Input::NetworkChanged`]). It dials the same kind
//! of address, from the port on which the node listens where that can be; listeners and dials therefore set `SO_REUSEADDR` and
//! `SO_REUSEPORT` (Unix): a second program of the same user can listen on the same port, and then gets some of the connections.
//! How long a dial may take is the node's decision. Names are not resolved, for a resolver makes its caller wait: dial what they
//! stand for (the dial's failure says so). Who needs names at hand, or the cryptography of many connections on every core, takes
//! `tidewire-tokio`.
//!
//! # How long a turn takes
//! Each socket is read [`MAX_READS`] times at most, each listener accepts [`MAX_ACCEPTS`] connections at most; who has more goes
//! on in the next turn, which then doesn't wait. What takes longest is the cryptography of connections that are being made.
//!
//! # When a connection ends
//! Its streams may still be read: what was received before is kept until they are read to their end or let go
//! ([`Solo::leave`], [`Solo::leave_all`]). The example `game` does so. [`Solo::close`] closes one: at once, or when its streams are
//! over.
//!
//! # Port mapping
//! [`PortMapper`] has the router lead ports to us, in a thread of its own: say where the host listens, and tell the host what it says.
//! ```no_run
//! use tidewire_mio::{Driver, Input, PortMapConfig, PortMapper, random_seed};
//!
//! # fn example(driver: &mut Driver) -> Result<(), Box<dyn std::error::Error>> {
//! let waker = driver.waker();
//! let mut mapper = PortMapper::start(PortMapConfig::default(), &random_seed()?, move || drop(waker.wake()))?;
//! // After each turn that told of listeners..
//! mapper.follow(driver.solo().host().advertise_inputs().listening);
//! // ..and after each turn.
//! while let Some(word) = mapper.poll() {
//!     let now = driver.now();
//!     driver.solo_mut().tell_host(now, Input::PortMapping(word))?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # When something runs out
//! A listener that can't accept because no descriptors are left tries again after [`ACCEPT_PAUSE`];
//! [`Driver::exhausted`] counts it, and the log tells it. A dial fails with
//! [`DialFault::Local`](tidewire_connmgr::dial::DialFault::Local).

#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc)] // sockets need std in any case

mod driver;
mod net;

pub use driver::{ACCEPT_PAUSE, CLOSE_TIMEOUT, Driver, MAX_ACCEPTS, MAX_READS, MAX_RX, READ_SIZE};
pub use mio::Waker;
pub use tidewire_adapter::random_seed;
#[cfg(feature = "portmap")]
pub use tidewire_adapter::{PortMapConfig, PortMapper};

// What every program needs, so that it names one crate.
pub use tidewire_connmgr::{Event as ManagerEvent, dial::DialOptions};
pub use tidewire_core::{Keypair, Multiaddr, PeerId, Seed, Time, UnixTime};
pub use tidewire_host::link::StreamEvent;
pub use tidewire_host::solo::{Solo, SoloConfig, SoloEvent};
pub use tidewire_host::{Command, ConnectionId, Event, Input, ListenerId, OpenId, OpenOptions, RequestId, StreamId};
pub use tidewire_multistream::{Matcher, Protocol, Protocols, RouteId};
pub use tidewire_upgrade::{connection::ReadStreamError, muxer::WriteError};

/// What the wall clock says: the epoch of a [`Solo`] that is driven from now on.
pub fn epoch() -> UnixTime {
    tidewire_adapter::Clock::start().1
}
