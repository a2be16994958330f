//! A world to try sans-IO machines in: virtual time, hosts, links with latency and loss, TCP and UDP, NATs and
//! firewalls, everything from one seed.
//!
//! ```text
//!      your node                                                   another
//!   handle | ^ Os: connect, send, read ..                             |
//!          v |                                                        |
//!   [ TCP, UDP, ports ]   host                            host   [ TCP, UDP, ports ]
//!          |   ^ 192.168.1.2, 2a00::1                 11.0.0.2 ^      |
//!     [ middlebox ]                                            [ middlebox ]
//!          |   |                                                 |    |
//!    [ gateway: NAT or firewall, 11.0.0.1, in front of many ]    |    |
//!          |   |                                                 |    |
//!          '-- | --> access link --> link of the pair --> access link '      latency, jitter, loss,
//!              '---- access link <-- link of the pair <-- access link        bandwidth, queue, cuts
//!
//!   World: one heap of events (time, order) --> now jumps from one to the next, and never polls
//! ```
//!
//! - [`World`]: the hosts, the network between them, the time that passes. Same seed, same run, to the byte.
//! - [`Node`]: what you bring. It is told [`Input`]s, and asks its operating system, [`Os`], as a driver would: connect, listen,
//!   send, read, without blocking. A node that keeps time from passing is a [`Fault`] with its name.
//! - [`Link`]: latency, jitter, loss, bandwidth, MTU; per pair of hosts, per host, or for all. [`Middlebox`]: what stands in
//!   front of one host.
//! - [`nat`]: NATs and firewalls as RFC 4787 and RFC 5382 describe them, in front of networks of hosts with private addresses, and
//!   behind each other; presets by name, and the theory of which can be punched.
//! - TCP is packets underneath: a lost SYN costs its second, a reader that stops stops the writer, a killed host answers with
//!   resets, two that dial each other from their listening ports get one connection, and the same two ends can't be
//!   connected twice. Its settings are [`Tcp`].
//! - [`talk`] lets two [`Machine`](tidewire_core::Machine)s speak over a link; [`Speaker`] is a node around one.
//! - [`check`] runs a test in many worlds. A failure names its seed; `TIDEWIRE_SIM_SEED=n` runs that world alone. It leaves a file
//!   with the trace of that world.
//! - [`trace`]: what happened, packet by packet, for people, for tests, and as a file.
//!
//! ```
//! use core::time::Duration;
//! use tidewire_core::Time;
//! use tidewire_sim::{Input, Link, Node, Os, World, ipv4};
//!
//! /// Sends back what it gets.
//! struct Echo;
//!
//! impl Node for Echo {
//!     fn handle(&mut self, _: Time, input: Input, os: &mut Os<'_>) {
//!         match input {
//!             Input::Started => drop(os.listen("0.0.0.0:7".parse().unwrap(), true)),
//!             Input::Received { socket } => {
//!                 while let Some(mut bytes) = os.read_bytes(socket, usize::MAX) {
//!                     os.send(socket, &mut bytes);
//!                 }
//!             }
//!             _ => {}
//!         }
//!     }
//! }
//!
//! /// Says hello, and remembers when it was answered.
//! struct Caller(Option<Time>);
//!
//! impl Node for Caller {
//!     fn handle(&mut self, now: Time, input: Input, os: &mut Os<'_>) {
//!         match input {
//!             Input::Started => drop(os.connect((ipv4(2), 7).into())),
//!             Input::Connected { socket, .. } => drop(os.send(socket, &mut &b"hello"[..])),
//!             Input::Received { .. } => self.0 = Some(now),
//!             _ => {}
//!         }
//!     }
//! }
//!
//! let mut world = World::new(42);
//! world.default_link(Link::new(Duration::from_millis(30)));
//! let caller = world.add(Caller(None), [ipv4(1)]);
//! world.add(Echo, [ipv4(2)]);
//! world.run_for(Duration::from_secs(1))?;
//! assert_eq!(world.node::<Caller>(caller).0, Some(Time::from_millis(120))); // two round trips
//! # Ok::<(), tidewire_sim::Fault>(())
//! ```
//!
//! # What is not here
//!
//! ICMP but for "destination unreachable": a TCP connect fails by it, with its own reason. Hosts send none: a datagram for a port
//! that nobody has bound is lost in silence, and an address that nobody has is a black hole. Translation of IPv6: it passes NATs
//! as through a firewall. NAT-PMP, PCP and UPnP as packets: a test forwards a port with [`World::forward`]. Fragments. Path MTU
//! discovery: TCP is taken to know the MTU.
// This crate is for tests on a machine that has std.
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod check;
mod fault;
mod gateway;
mod host;
mod link;
mod middlebox;
pub mod nat;
mod network;
mod node;
mod os;
pub mod packet;
mod queue;
mod rng;
mod slab;
mod stack;
mod talk;
mod tcp;
pub mod trace;
mod world;

pub use check::{Failed, SEED_VARIABLE, TRACE_VARIABLE, check, try_check};
pub use fault::Fault;
pub use link::Link;
pub use middlebox::Middlebox;
pub use node::{
    BrokenBy, ConnectFailure, GatewayId, HostId, Input, ListenerId, Node, OsError, SocketId, UdpId, ipv4, ipv6,
};
pub use os::Os;
pub use packet::Packet;
pub use rng::Rng;
pub use talk::{Said, Speaker, talk};
pub use tcp::Tcp;
pub use trace::Trace;
pub use world::{Stats, World};
