//! What the client is told.

use crate::exchange::Answer;
use crate::{AskId, CircuitDialId, ConnectionId, Limit, StreamKey};
use tidewire_core::{Multiaddr, PeerId, UnixTime};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Input<'a> {
    /// A connection is established: every one, whoever opened it.
    Connected {
        /// The caller's name for it.
        connection: ConnectionId,
        /// Who is at the other end.
        peer: PeerId,
        /// Where.
        remote: &'a Multiaddr,
        /// Whether a relay lies on the way.
        relayed: bool,
        /// Whether we dialed it, so that `remote` is where the peer listens.
        dialed: bool,
    },
    /// It ended, with all its streams: what was asked on it gets no answer, and its circuits are over.
    Disconnected {
        /// Which.
        connection: ConnectionId,
    },
    /// Hold a reservation with this relay, until [`Release`](Input::Release). Said again it puts the new addresses before those that
    /// are known, and tries at once if it had given up.
    Hold {
        /// Which.
        relay: PeerId,
        /// Where it is reached; those through a relay are left out. May be empty if it is connected.
        addresses: &'a [Multiaddr],
    },
    /// Give the reservation back, or stop trying. The protocol has no message for that: it isn't renewed, its addresses are not
    /// announced, and no circuit is accepted any more. The relay forgets it at its end, or with the last connection.
    Release {
        /// Which.
        relay: PeerId,
    },
    /// Get a circuit to `destination` through `relay`. Answered by [`Action::Circuit`](super::Action::Circuit) or
    /// [`Action::DialFailed`](super::Action::DialFailed). Who wants the same as another gets the same circuit.
    Dial {
        /// The caller's name for this wish.
        dial: CircuitDialId,
        /// Through whom.
        relay: PeerId,
        /// Where the relay is reached; those through a relay are left out. May be empty if it is connected.
        addresses: &'a [Multiaddr],
        /// To whom.
        destination: PeerId,
    },
    /// Forget this wish. It gets no answer.
    CancelDial {
        /// Which.
        dial: CircuitDialId,
    },
    /// There is no connection to a relay, and none is to be expected: the answer to [`Action::Connect`](super::Action::Connect)
    /// if it is not [`Connected`](Input::Connected).
    ConnectFailed {
        /// To which.
        relay: PeerId,
        /// Why, in words. Cut to 128 bytes.
        why: &'a str,
    },
    /// The answer to [`Action::Ask`](super::Action::Ask).
    Answered {
        /// To which.
        ask: AskId,
        /// On which stream: after [`Answer::Connected`] it is the circuit.
        stream: StreamKey,
        /// What.
        answer: &'a Answer,
    },
    /// A question has no answer, and won't get one.
    AskFailed {
        /// Which.
        ask: AskId,
        /// Why.
        fault: AskFault<'a>,
    },
    /// A peer brings a circuit to us, on a stop stream. Answered by [`Action::Reply`](super::Action::Reply), at once or after
    /// [`Action::AskAccept`](super::Action::AskAccept).
    StopRequested {
        /// On which stream: if it is accepted, it is the circuit.
        stream: StreamKey,
        /// From whom.
        source: PeerId,
        /// What the relay gives it.
        limit: Limit,
    },
    /// A stop stream ended before its request was answered.
    RequesterGone {
        /// Which.
        stream: StreamKey,
    },
    /// The application's answer to [`Action::AskAccept`](super::Action::AskAccept).
    Decide {
        /// The stream of the request.
        stream: StreamKey,
        /// Whether to accept.
        allow: bool,
    },
    /// A circuit is over.
    CircuitEnded {
        /// Its stream.
        over: StreamKey,
        /// How its stream ended.
        ending: Ending,
        /// Bytes that we sent on it, from its beginning: what the relay forwards, below our encryption.
        sent: u64,
        /// Bytes that we received on it, likewise.
        received: u64,
    },
    /// The time on the wall clock: once at the beginning, and whenever that clock was set. Between, the client counts on by itself.
    Clock {
        /// Now.
        unix: UnixTime,
    },
    /// We are on another network: relays that are to be tried again, or that were given up, are tried at once.
    NetworkChanged,
}

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AskFault<'a> {
    /// The peer does not speak the hop protocol.
    Unsupported,
    /// Something else, in words: the stream could not be opened, was reset, its answer can't be read. Cut to 128 bytes.
    Failed(&'a str),
}

/// How the stream of a circuit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Ending {
    /// We ended it.
    Local,
    /// The relay closed it. That may be the limit too: go-libp2p's relays close where the spec resets.
    Closed,
    /// The relay reset it.
    Reset,
}

/// What the caller did wrong, or news that crossed. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// As many actions wait to be polled as may: poll, then say it again.
    #[error("{0} actions or more wait to be polled: poll, then say it again")]
    Unpolled(u32),
    /// No such connection: it was never reported, or has ended.
    #[error("there is no connection {0}: it was never reported, or has ended")]
    UnknownConnection(ConnectionId),
    /// The id is in use.
    #[error("there is a connection {0} already")]
    ConnectionExists(ConnectionId),
    /// As many connections are known as may be.
    #[error("{0} connections are known already (`connections` allows more)")]
    TooManyConnections(u32),
    /// A reservation is wanted at as many relays as may be.
    #[error("a reservation is wanted at {0} relays already (`holds` allows more)")]
    TooManyHolds(u32),
    /// No reservation is wanted there.
    #[error("no reservation is wanted at {0}")]
    NotHeld(PeerId),
    /// We are no relay for ourselves, and no destination.
    #[error("{0} is ourselves: neither a relay for us, nor a destination")]
    Ourselves(PeerId),
    /// The relay is no destination behind itself: dial it directly.
    #[error("{0} is the relay itself: dial it directly")]
    RelayIsDestination(PeerId),
    /// The id is in use.
    #[error("there is a dial {0} already")]
    DialExists(CircuitDialId),
    /// No such dial: it was answered or cancelled.
    #[error("there is no dial {0}: it was answered or cancelled")]
    UnknownDial(CircuitDialId),
    /// Nothing is asked under this number: it was answered, cancelled, or took too long. Reset the stream.
    #[error("nothing is asked as {0}: it was answered, cancelled, or took too long")]
    UnknownAsk(AskId),
    /// It is the answer to another kind of question.
    #[error("this is no answer to what was asked as {0}")]
    OtherAnswer(AskId),
    /// The answer is on another connection than was asked on.
    #[error("it was asked on connection {expected}, the answer came on {got}")]
    OtherConnection {
        /// On which.
        expected: ConnectionId,
        /// The stream of the answer.
        got: StreamKey,
    },
    /// There is a circuit over this stream, or a request on it.
    #[error("stream {0} has a circuit or a request already")]
    StreamBusy(StreamKey),
    /// No request on this stream waits for an answer.
    #[error("no request waits on stream {0}: it was answered, or has ended")]
    UnknownStream(StreamKey),
    /// No such circuit.
    #[error("there is no circuit over stream {0}: it has ended, or never was")]
    UnknownCircuit(StreamKey),
    /// Nobody waits for a connection to this relay.
    #[error("no connection to {0} is being waited for")]
    NotConnecting(PeerId),
}
