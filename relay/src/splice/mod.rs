//! What goes over a circuit, counted: at the relay, and at the circuit's ends.
//!
//! ```text
//! source ----Forward---> relay ----Forward---> destination
//!  Meter <--Backward---  Splice <--Backward---  Meter
//! ```
//!
//! [`Splice`] is the relay's: how many bytes may still go each way, and when the circuit is over. No byte passes through it,
//! only numbers, so each piece costs a few instructions. [`Meter`] is an end's: whether the relay reset the circuit for its
//! limits, so that the application hears that instead of "reset".
//!
//! A pump asks for each piece that came how much of it may go on, and says how much went:
//!
//! ```
//! use tidewire_core::Time;
//! use tidewire_relay::Limit;
//! use tidewire_relay::server::{CircuitEnd, Way};
//! use tidewire_relay::splice::Splice;
//!
//! let limit = Limit { duration: None, data: Some(1000) };
//! let mut splice = Splice::new(&limit, Time::ZERO);
//! assert_eq!(splice.offer(Way::Forward, 700), 700);
//! splice.moved(Way::Forward, 700);
//! assert_eq!(splice.offer(Way::Forward, 700), 300);
//! splice.moved(Way::Forward, 300);
//! assert!(splice.ended().is_none(), "exactly the limit is allowed");
//!
//! // 400 bytes of the piece are left: more than the limit.
//! assert_eq!(splice.offer(Way::Forward, 400), 0);
//! let ended = splice.ended().ok_or("it goes on")?;
//! assert_eq!(ended.end, CircuitEnd::DataLimit { way: Way::Forward, bytes: 1000 });
//! assert_eq!((ended.forward, ended.backward), (1000, 0));
//! assert!(ended.resets(), "both streams");
//! # Ok::<(), &str>(())
//! ```
//!
//! Spec: libp2p/specs relay/circuit-v2.md, "Reservation": "If more data than the limit specified in the `data` field is
//! transferred over the relayed connection, or the relayed connection has been open for longer than `duration`, the relay should
//! reset the stream to the source and the stream to the destination."

mod circuit;
mod meter;
#[cfg(test)]
mod tests;

pub use circuit::{Ended, Input, Misuse, Splice};
pub use meter::{Counted, LimitReached, Meter};
