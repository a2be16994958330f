//! NATs and firewalls, as RFC 4787, RFC 5382 and RFC 7857 describe them.
//!
//! ```text
//!   inside                                       outside
//!   192.168.1.2:4001 --> [ mapping  11.0.0.1:4001 ] --> 11.0.0.9:80      mapping: which outer endpoint it is seen by
//!                    <-- [ filter: who was sent to ] <-- 11.0.0.9:80     filtering: who may come in by it
//!                              X <-------------------- 11.0.0.8:80      unsolicited: nothing, RST, ICMP
//! ```
//!
//! In a [`World`](crate::World) a gateway stands between an inside network of many hosts, with addresses of their own that
//! may be the same as in other inside networks, and the internet or the inside of another gateway:
//! [`World::nat`](crate::World::nat), [`World::nat_behind`](crate::World::nat_behind),
//! [`World::firewall`](crate::World::firewall), and [`World::add_behind`](crate::World::add_behind) for the hosts.
//!
//! ```
//! use core::time::Duration;
//! use tidewire_sim::nat::{Nat, theory};
//! use tidewire_sim::{Link, Speaker, World, ipv4};
//! # use tidewire_sim::{Input, Node, Os};
//! # use tidewire_core::Time;
//! # struct Idle;
//! # impl Node for Idle { fn handle(&mut self, _: Time, _: Input, _: &mut Os<'_>) {} }
//!
//! let mut world = World::new(1);
//! let carrier = world.nat(Nat::carrier_grade(), [ipv4(1)]);
//! let home = world.nat_behind(carrier, Nat::home_router(), ["100.64.0.7".parse().unwrap()]);
//! world.line(home, Link::new(Duration::from_millis(8)), Link::new(Duration::from_millis(8)));
//! let laptop = world.add_behind(home, Idle, ["192.168.1.2".parse().unwrap()]);
//! # let _ = laptop;
//!
//! // May two of these punch through to each other by TCP?
//! let behind_both = theory::Behaviour::from(&Nat::home_router()).behind(&Nat::carrier_grade().into());
//! assert!(theory::punchable(&behind_both, &behind_both).crossing);
//! assert!(!theory::punchable(&behind_both, &Nat::symmetric().into()).crossing);
//! ```
//!
//! - [`Nat`], [`Firewall`]: how they behave; presets by name; [`Nat::all`] for matrices.
//! - [`Translator`]: one of them at work, a machine without a world around it: packets in, [`Verdict`]s out.
//! - [`theory`]: whether a punch can work, by thought alone.
//!
//! # Choices where the RFCs leave them
//!
//! - A mapping is looked for by what [`Nat::mapping`] says. If there is none, but its remote came in through another mapping of
//!   this inside endpoint, the answer leaves by that one.
//! - What comes in without a session of its own, through filtering that is not by port, makes one, so that TCP is tracked.
//! - A segment that is no SYN makes a mapping too, as Linux lets it (`nf_conntrack_tcp_loose`). A reset makes none.
//! - Sequence numbers are not looked at: a reset is believed.
//! - ICMP "unreachable" is translated if it speaks of a session, and changes no state (RFC 5382 REQ-9 and 10).

mod config;
mod ports;
mod presets;
mod session;
mod table;
pub mod theory;
mod translator;

pub use config::{Caps, Filtering, Firewall, Lifetimes, Mapping, Nat, Pooling, Ports, Unsolicited};
pub use session::Side;
pub use translator::{ForwardError, Mapped, Translator, Verdict};
