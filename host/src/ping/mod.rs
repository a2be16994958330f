//! ping: is the peer there, and how far away (libp2p/specs ping/ping.md).
//!
//! ```text
//! Pinger   Quiet --start: 32 bytes go out--> Waiting --the same 32 bytes--> Quiet, Pong { rtt }
//!          Waiting --other bytes, the end, or the time is over--> Failed, for good
//! Echo     Waiting --32 bytes--> Waiting, the same 32 bytes go out
//!          Waiting --the end between two pings--> Done      --the end within one, or silence--> Failed, for good
//! ```
//!
//! Both machines are for one stream, any number of pings. Who drives them keeps to one outbound stream per peer, as the spec
//! asks ("MUST NOT keep more than one"), and to [`MAX_INBOUND`].
//!
//! ```
//! use bytes::BytesMut;
//! use core::time::Duration;
//! use tidewire_core::{Machine, Time};
//! use tidewire_host::ping::{Config, Echo, Pinger, Pong};
//!
//! let (mut pinger, mut echo) = (Pinger::new(&Config::default()), Echo::new(&Config::default(), Time::ZERO));
//! let (mut there, mut back) = (BytesMut::new(), BytesMut::new());
//! pinger.start(Time::ZERO, [7; 32], &mut there)?;
//! echo.advance(Time::from_millis(20), &mut there, &mut back)?;
//!
//! let pong = pinger.advance(Time::from_millis(40), &mut back, &mut there)?;
//! assert_eq!(pong, Some(Pong { rtt: Duration::from_millis(40) }));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

mod echo;
mod pinger;
#[cfg(test)]
mod tests;

pub use echo::Echo;
pub use pinger::{Pinger, Pong, StartError};

use core::time::Duration;
use tidewire_multistream::Protocol;

/// The protocol's name (ping.md, "Protocol").
pub const PING: Protocol = Protocol::from_static("/ipfs/ping/1.0.0");
/// Bytes of a ping (ping.md, "Protocol").
pub const SIZE: usize = 32;
/// Ping streams that a remote may have open: "The listening peer SHOULD accept at most two streams per peer" (ping.md,
/// "Protocol").
pub const MAX_INBOUND: usize = 2;

/// Times and caps of both ends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct Config {
    /// Time for an answer. Default 60 s, which is the most that the connection manager waits; it gives up earlier where it
    /// knows the round-trip time.
    pub timeout: Duration,
    /// Time that a remote may let pass between two pings, and before the first. Default 30 s: go-libp2p has 10 s, but
    /// rust-libp2p pings every 15 s over one stream, and would lose it each time.
    pub idle: Duration,
    /// Bytes that may wait in `tx` before an echo stops reading: a remote that doesn't take its answers isn't read on.
    /// Default 1 KiB.
    pub max_tx: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config { timeout: Duration::from_secs(60), idle: Duration::from_secs(30), max_tx: 1024 }
    }
}

/// Why a ping stream is of no more use. Final: the stream is to be reset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PingError {
    /// Other bytes came back than were sent.
    #[error("the peer's answer to a ping differs from what was sent, in byte {at}")]
    WrongEcho {
        /// The first byte that differs, from 0.
        at: usize,
    },
    /// Bytes came, though nothing was asked.
    #[error("the peer answered a ping that was never sent")]
    Unasked,
    /// No answer came in time.
    #[error("the peer did not answer a ping within {} ms", after.as_millis())]
    Timeout {
        /// [`Config::timeout`].
        after: Duration,
    },
    /// The stream ended, and the answer was still to come.
    #[error("the peer ended the stream instead of answering a ping")]
    Ended,
    /// The stream ended within a ping.
    #[error("the peer ended the stream after {got} of the {SIZE} bytes of a ping")]
    Truncated {
        /// Bytes of the ping that came.
        got: usize,
    },
    /// No ping came for too long.
    #[error("the peer sent no ping for {} ms, and its stream was given up", after.as_millis())]
    Idle {
        /// [`Config::idle`].
        after: Duration,
    },
}
