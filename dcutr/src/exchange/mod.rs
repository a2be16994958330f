//! The exchange on one stream of `/libp2p/dcutr`, both ends: addresses there and back, then "now".
//!
//! ```text
//! B: Opener    CONNECT ->  .............. <- CONNECT   SYNC ->              waits half of the round trip, dials
//!              |<----------- B's round trip ------->|
//! A: Answerer  .... -> CONNECT   CONNECT -> .............. -> SYNC          dials at once
//!                                |<---- A's round trip ----->|
//! ```
//! Byte machines: they decode, check, time and encode, and decide nothing. All that they tell is plain data. A message in the
//! wrong slot, one without a type, one over 4 KiB, bytes out of turn, silence: each is a [`Fault`] for good, and the stream
//! is to be reset. An address that can't be read is skipped and counted; a list may be empty.
//!
//! ```
//! use bytes::BytesMut;
//! use core::time::Duration;
//! use tidewire_core::{Machine, Multiaddr, Time};
//! use tidewire_dcutr::exchange::{Answerer, Config, Heard, Opener};
//!
//! let config = Config::default();
//! let (mut there, mut back) = (BytesMut::new(), BytesMut::new());
//! let at = Time::from_millis;
//! let (of_b, of_a): (Multiaddr, Multiaddr) = ("/ip4/8.8.8.8/tcp/4001".parse()?, "/ip4/1.1.1.1/tcp/4001".parse()?);
//!
//! // B opens the stream. A hears it 30 ms later, and answers.
//! let mut b = Opener::new(at(0), &[of_b.clone()], &config, &mut there);
//! let mut a = Answerer::new(at(30), &config);
//! let Some(Heard::Connect { addresses, .. }) = a.advance(at(30), &mut there, &mut back)? else { panic!("no CONNECT") };
//! assert_eq!(addresses, [of_b]);
//! a.connect(at(30), &[of_a.clone()], &mut back)?;
//!
//! // B hears the answer, says SYNC, and dials 30 ms later: when A has it, and dials too.
//! let Some(Heard::Connect { addresses, rtt, .. }) = b.advance(at(60), &mut back, &mut there)? else { panic!("no CONNECT") };
//! assert_eq!((addresses, rtt), (vec![of_a], Some(Duration::from_millis(60))));
//! b.sync(at(60), &mut there)?;
//! let heard = a.advance(at(90), &mut there, &mut back)?;
//! assert_eq!(heard, Some(Heard::Sync { rtt: Duration::from_millis(60) }));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! Spec: libp2p/specs relay/DCUtR.md.

mod answerer;
mod config;
mod error;
mod opener;
#[cfg(test)]
mod tests;
mod turns;

pub use answerer::Answerer;
pub use config::Config;
pub use error::{Fault, MessageType, TurnError};
pub use opener::Opener;

use alloc::vec::Vec;
use core::time::Duration;
use tidewire_core::Multiaddr;

/// The protocol's name.
pub const PROTOCOL: &str = "/libp2p/dcutr";

/// The most bytes of one message, its length not counted (relay/DCUtR.md, "RPC messages").
pub const MAX_MESSAGE: usize = 4096;

/// What a remote said.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Heard {
    /// Its `CONNECT`.
    Connect {
        /// The addresses that it names, in its order. May be empty.
        addresses: Vec<Multiaddr>,
        /// Entries that are no address.
        skipped: usize,
        /// Addresses beyond [`Config::max_addresses`].
        dropped: usize,
        /// B's measure of the relayed connection: from writing our `CONNECT` to reading this. `None` at A.
        rtt: Option<Duration>,
    },
    /// Its `SYNC`: dial now.
    Sync {
        /// A's measure of the relayed connection: from writing our `CONNECT` to reading this.
        rtt: Duration,
    },
}
