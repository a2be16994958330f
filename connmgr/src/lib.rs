//! libp2p's connection manager as pure event machines: who stays, who goes, whom to dial, and why.
//!
//! There are no bytes in it, no sockets, clock or threads. You tell it what happens; it says what to do, each decision with
//! its reason.
//!
//! ```text
//!   what happened                                                               what to do
//!                        .--------------- ConnectionManager ---------------.
//!   Incoming             |  Limits     may it come in?                     |    Accept, Refuse
//!   Established, Closed  |  book       who is connected, with what         |    Event: Connected, ..
//!   StreamOpened, ..     |  Worth      tags, grace, who goes first         |    Close, RefuseStream
//!   Pong, Used           |  KeepAlive  who still answers, who is idle      |    Ping
//!   Dial, DialFailed     |  Dialer     which address, when; backoff; gate  |    Dial, Abort
//!   Tag, Protect, Deny   |  Pair       which of two connections stays      |    Drain, Close
//!                        '-------------------------------------------------'
//!        handle(now, Input), on_timeout(now)       poll() -> Action, deadline()
//! ```
//!
//! ```
//! use core::time::Duration;
//! use tidewire_connmgr::{Action, Config, ConnectionId, ConnectionManager, Event, Input, Origin};
//! use tidewire_core::{EventMachine, Keypair, Multiaddr, Role, Seed, Time};
//!
//! let (us, friend) = (Keypair::from_seed(&Seed::new([1; 32])), Keypair::from_seed(&Seed::new([2; 32])));
//! let mut manager = ConnectionManager::new(Config::default(), us.peer_id(), &Seed::new([3; 32]));
//!
//! // A listener got a connection. May it come in?
//! let (connection, remote) = (ConnectionId(1), "/ip4/11.0.0.2/tcp/4001".parse::<Multiaddr>()?);
//! manager.handle(Time::ZERO, Input::Incoming { connection, remote: &remote })?;
//! assert_eq!(manager.poll(), Some(Action::Accept { connection }));
//!
//! // It was upgraded: now we know who it is.
//! let (peer, origin) = (friend.peer_id(), Origin::Incoming);
//! let input = Input::Established { connection, peer, origin, role: Role::Responder, limited: false };
//! manager.handle(Time::from_millis(80), input)?;
//! assert_eq!(manager.poll(), Some(Action::Event(Event::Connected { peer })));
//!
//! // A person asks what would become of it.
//! let why = manager.explain(&peer).to_string();
//! assert!(why.contains("grace"), "{why}");
//!
//! // Time passes; the machine says when it wants to be called again.
//! manager.on_timeout(manager.deadline());
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! # The parts
//!
//! Each can be used alone: [`dial::Dialer`] (jobs, ranks, backoff, black holes, the gate), [`duplicates::Pair`] (one
//! connection between two peers), [`components::Components`] (application components told in order), and
//! [`limits::Limits`] (hard caps). [`ConnectionManager`] composes them, and adds the book, worth, pings and redials.
//!
//! # The gate
//!
//! [`Input::Deny`] adds rules. A gate of your own stands where the actions pass: answer [`Action::Dial`] with
//! [`Input::DialFailed`] and [`dial::DialFault::Gated`], or [`Action::Accept`] with [`Input::Closed`]; both are free.
//!
//! # What is refused is forgotten
//!
//! After [`Action::Refuse`], [`Action::RefuseStream`] and [`Action::Abort`] the id is unknown here. Telling about it again,
//! because the news crossed, is a [`Misuse`] that changes nothing.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod action;
pub mod alive;
mod book;
pub mod components;
mod config;
pub mod dial;
pub mod duplicates;
mod ids;
mod input;
pub mod limits;
mod manager;
pub mod metadata;
mod reason;
mod table;
mod text;
pub mod worth;

pub use action::{Action, Event};
pub use config::{Config, Resources};
pub use ids::{By, ConnectionId, DialId, Direction, RequestId, StreamId};
pub use input::{Input, Origin};
pub use manager::{ConnectionManager, ConnectionView, Counts, Explanation, MemoryScope, PeerView};
pub use reason::{CloseReason, Misuse, RefuseReason, StreamRefusal};
