//! What can be wrong with an exchange, and whose fault it is.

use core::fmt;
use core::time::Duration;
use smol_str::{SmolStr, ToSmolStr};
use tidewire_core::{FrameError, MessageError, cut};

/// What is wrong with what a remote sent on a stream of `/libp2p/dcutr`. Final; the stream is to be reset, the connection may
/// go on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Fault {
    /// A message is longer than allowed. It was not waited for.
    #[error("expected a message of at most {max} bytes, the peer announced one of {len}")]
    TooLong {
        /// Bytes announced.
        len: u64,
        /// [`MAX_MESSAGE`](super::MAX_MESSAGE).
        max: usize,
    },
    /// A message can't be read.
    #[error("the peer sent what is no message: {why}")]
    Malformed {
        /// What the decoder says.
        why: SmolStr,
    },
    /// A message without its type, which the schema requires.
    #[error("expected {expected}, the peer sent a message without a type")]
    MissingType {
        /// What belongs here.
        expected: MessageType,
    },
    /// A message of a type that does not belong here.
    #[error("expected {expected}, the peer sent a message of type {got}{}", known(*got))]
    UnexpectedType {
        /// What belongs here.
        expected: MessageType,
        /// The number that came.
        got: i32,
    },
    /// Bytes while it was our turn: no peer that waits for our message has anything to say.
    #[error("the peer sent more before our {turn}")]
    OutOfTurn {
        /// What we had not said yet.
        turn: MessageType,
    },
    /// Bytes behind the last message of the exchange.
    #[error("the peer sent more after SYNC, which ends the exchange")]
    Trailing,
    /// The stream ended within a message.
    #[error("the stream ended {got} bytes into the peer's {expected}")]
    Truncated {
        /// What was due.
        expected: MessageType,
        /// Bytes of it that came, its length included.
        got: usize,
    },
    /// The stream ended before a message.
    #[error("the stream ended without the peer's {expected}")]
    Ended {
        /// What was due.
        expected: MessageType,
    },
    /// No message was complete in time.
    #[error("the peer's {expected} did not come within {} s", after.as_secs_f32())]
    Timeout {
        /// What was due.
        expected: MessageType,
        /// How long was waited: a field of [`Config`](super::Config).
        after: Duration,
    },
    /// We did not carry it on in time: whoever decides here was too slow.
    #[error("our {turn} was not sent within {} s of the start", after.as_secs_f32())]
    Undecided {
        /// What we had not said yet.
        turn: MessageType,
        /// [`Config::whole`](super::Config::whole).
        after: Duration,
    },
    /// The stream was reset, or its connection ended. Told by whoever drives the stream.
    #[error("the stream was reset")]
    Reset,
    /// The remote does not speak the protocol. Told by whoever drives the stream.
    #[error("the peer does not speak /libp2p/dcutr")]
    NotSpoken,
}

/// The two messages (relay/DCUtR.md, "RPC messages").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum MessageType {
    /// `CONNECT`, 100: addresses.
    Connect,
    /// `SYNC`, 300: now.
    Sync,
}

/// Something was to be written out of turn. The caller's mistake; nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TurnError {
    /// The remote's `CONNECT` has not come yet.
    #[error("the remote has not sent its CONNECT yet")]
    NotHeard,
    /// It was written before.
    #[error("this was written before")]
    Written,
    /// The exchange failed.
    #[error("the exchange failed before")]
    Failed,
}

/// Longest text of a decoder that is kept.
const MAX_WHY: usize = 128;

impl Fault {
    /// Bytes on the heap.
    pub fn memory_used(&self) -> usize {
        match self {
            Fault::Malformed { why } if why.is_heap_allocated() => why.len(),
            _ => 0,
        }
    }
}

impl From<MessageError> for Fault {
    fn from(error: MessageError) -> Fault {
        match error {
            MessageError::Frame(FrameError::TooLong { len, max }) => Fault::TooLong { len, max },
            other => Fault::Malformed { why: cut(&other.to_smolstr(), MAX_WHY).into() },
        }
    }
}

impl MessageType {
    /// Its number on the wire.
    pub const fn code(self) -> i32 {
        match self {
            MessageType::Connect => 100,
            MessageType::Sync => 300,
        }
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MessageType::Connect => "CONNECT",
            MessageType::Sync => "SYNC",
        })
    }
}

/// The name of a type that exists, behind its number.
fn known(code: i32) -> &'static str {
    match code {
        100 => " (CONNECT)",
        300 => " (SYNC)",
        _ => "",
    }
}
