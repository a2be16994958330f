//! What the server wants done, and what it tells.

use super::{Asked, Refusal};
use crate::exchange::Reply;
use crate::{AskId, CircuitId, ConnectionId, Limit, StreamKey};
use core::fmt;
use core::time::Duration;
use smol_str::SmolStr;
use tidewire_core::{PeerId, UnixTime};

/// What to do.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// Answer the request on this hop stream. After a `Refused` or `Reserved`, and once it is sent, the stream is to be closed.
    Reply {
        /// Which.
        stream: StreamKey,
        /// What to say.
        reply: Reply,
    },
    /// Open a stop stream and ask the peer at its other end to accept a circuit. Answered by
    /// [`Input::StopAnswered`](super::Input::StopAnswered).
    OpenStop {
        /// Under this number.
        ask: AskId,
        /// On this connection.
        connection: ConnectionId,
        /// Who wants to come.
        source: PeerId,
        /// What the circuit may use.
        limit: Limit,
    },
    /// Give that up: reset the stream if there is one. No answer is expected any more.
    CancelAsk {
        /// Which.
        ask: AskId,
    },
    /// Pump bytes between these two streams, from those that already came behind the last message. What is counted and limited
    /// in bytes is the pump's; the server watches the time. Ends with [`Input::CircuitEnded`](super::Input::CircuitEnded).
    Splice {
        /// Under this number.
        circuit: CircuitId,
        /// The hop stream; its `Reply` stands before this action.
        source: StreamKey,
        /// The stop stream.
        destination: StreamKey,
        /// What it may use.
        limit: Limit,
    },
    /// Reset both streams of a circuit, if they still are there, and say [`Input::CircuitEnded`](super::Input::CircuitEnded).
    CloseCircuit {
        /// Which.
        circuit: CircuitId,
        /// Why.
        why: CircuitEnd,
    },
    /// This peer has a reservation: keep its connections (circuit-v2.md, "Reservation": tag it to prevent termination).
    Keep {
        /// Which.
        peer: PeerId,
    },
    /// It has none any more.
    Release {
        /// Which.
        peer: PeerId,
    },
    /// Whether to offer the hop protocol. Not, until this is said.
    Serve(bool),
    /// The rules leave this to the application. Answered by [`Input::Decide`](super::Input::Decide); a question that isn't answered
    /// in time is a no.
    AskAcl {
        /// The stream of the request.
        stream: StreamKey,
        /// Who asks.
        peer: PeerId,
        /// For what.
        asked: Asked,
    },
    /// Tell the application.
    Event(Event),
}

/// What the application may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A peer has a reservation.
    Reserved {
        /// Who.
        peer: PeerId,
        /// Until when, as it was told.
        expire: UnixTime,
        /// Whether it had one already.
        renewed: bool,
    },
    /// A reservation is over.
    ReservationEnded {
        /// Whose.
        peer: PeerId,
        /// Why.
        why: ReservationEnd,
    },
    /// A request was refused.
    Refused {
        /// On which connection.
        connection: ConnectionId,
        /// Whose.
        peer: PeerId,
        /// What it asked for.
        asked: Asked,
        /// Why.
        why: Refusal,
        /// How many requests this stands for; the rest speaks of the last of them. The server itself tells of each: 1. Its caller
        /// may tell those that follow on one connection together, as `tidewire-host` does.
        count: u64,
    },
    /// A circuit carries bytes.
    CircuitOpened {
        /// Its number.
        circuit: CircuitId,
        /// Who asked for it.
        source: PeerId,
        /// Who accepted it.
        destination: PeerId,
    },
    /// A circuit is over.
    CircuitClosed {
        /// Which.
        circuit: CircuitId,
        /// Who asked for it.
        source: PeerId,
        /// Who accepted it.
        destination: PeerId,
        /// Why.
        why: CircuitEnd,
        /// Bytes from the source to the destination.
        forward: u64,
        /// Bytes from the destination to the source.
        backward: u64,
        /// How long it was open.
        lasted: Duration,
    },
    /// After [`Input::Drain`](super::Input::Drain): no circuit and no reservation is left.
    Drained,
}

/// Why a reservation is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum ReservationEnd {
    /// It was not renewed in time.
    Expired,
    /// The holder's last direct connection ended.
    Disconnected,
    /// We are shutting down.
    Drained,
}

/// Which way bytes go on a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Way {
    /// From the source to the destination.
    Forward,
    /// From the destination to the source.
    Backward,
}

/// Why a circuit is over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum CircuitEnd {
    /// Both ends said that they were done.
    Closed,
    /// The source reset its stream.
    SourceReset,
    /// The destination reset its stream.
    DestinationReset,
    /// As many bytes went one way as may. Both streams are reset (circuit-v2.md, "Reservation").
    DataLimit {
        /// Which way.
        way: Way,
        /// How many may.
        bytes: u64,
    },
    /// It was open as long as it may be. Both streams are reset, likewise.
    TimeLimit {
        /// How long it may be.
        duration: Duration,
    },
    /// The source's connection ended.
    SourceDisconnected,
    /// The destination's connection ended.
    DestinationDisconnected,
    /// The caller said that the source's stream was gone.
    RequesterGone,
    /// We are shutting down, and its grace is over.
    Drained,
    /// Something else, in the caller's words, cut to 128 bytes.
    Other {
        /// What.
        why: SmolStr,
    },
}

impl fmt::Display for ReservationEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReservationEnd::Expired => "it was not renewed in time",
            ReservationEnd::Disconnected => "the holder's last direct connection ended",
            ReservationEnd::Drained => "we are shutting down",
        })
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::Forward => "from the source to the destination",
            Way::Backward => "from the destination to the source",
        })
    }
}

impl fmt::Display for CircuitEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CircuitEnd::Closed => f.write_str("both ends were done"),
            CircuitEnd::SourceReset => f.write_str("the source reset it"),
            CircuitEnd::DestinationReset => f.write_str("the destination reset it"),
            CircuitEnd::DataLimit { way, bytes } => write!(f, "{bytes} bytes went {way}, which is the most"),
            CircuitEnd::TimeLimit { duration } => write!(f, "it was open for {duration:?}, which is the most"),
            CircuitEnd::SourceDisconnected => f.write_str("the source's connection ended"),
            CircuitEnd::DestinationDisconnected => f.write_str("the destination's connection ended"),
            CircuitEnd::RequesterGone => f.write_str("the source's stream was gone"),
            CircuitEnd::Drained => f.write_str("we are shutting down"),
            CircuitEnd::Other { why } => f.write_str(why),
        }
    }
}
