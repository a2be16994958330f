//! What the server is told.

use super::{Acl, CircuitEnd};
use crate::{AskId, CircuitId, ConnectionId, Status, StreamKey};
use core::time::Duration;
use tidewire_core::{Multiaddr, PeerId, UnixTime};

/// What happened.
#[derive(Clone, Debug, PartialEq)]
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
        /// The autonomous system of the remote's IP address, if the caller knows it: [`AsnTable`](super::AsnTable).
        asn: Option<u32>,
    },
    /// It ended, with all its streams.
    Disconnected {
        /// Which.
        connection: ConnectionId,
    },
    /// A RESERVE came on a hop stream. Answered by [`Action::Reply`](super::Action::Reply), at once or after
    /// [`Action::AskAcl`](super::Action::AskAcl).
    Reserve {
        /// On which stream.
        stream: StreamKey,
    },
    /// A CONNECT came on a hop stream. Answered by [`Action::Reply`](super::Action::Reply), unless the requester goes.
    Connect {
        /// On which stream.
        stream: StreamKey,
        /// To whom.
        destination: PeerId,
    },
    /// A hop stream ended before its request was answered, or before its circuit was spliced.
    RequesterGone {
        /// Which.
        stream: StreamKey,
    },
    /// What came of [`Action::OpenStop`](super::Action::OpenStop).
    StopAnswered {
        /// Of which.
        ask: AskId,
        /// What.
        answer: StopAnswer<'a>,
    },
    /// How many bytes a circuit has forwarded so far; for [`Server::view`](super::Server::view), as often as the caller likes.
    CircuitProgress {
        /// Which.
        circuit: CircuitId,
        /// Bytes from the source to the destination, since its beginning.
        forward: u64,
        /// Bytes from the destination to the source, likewise.
        backward: u64,
    },
    /// A circuit is over: both its streams are closed or reset. After [`Action::CloseCircuit`](super::Action::CloseCircuit) too.
    CircuitEnded {
        /// Which.
        circuit: CircuitId,
        /// Why. What the server said itself in `CloseCircuit` goes before this.
        end: CircuitEnd,
        /// Bytes from the source to the destination.
        forward: u64,
        /// Bytes from the destination to the source.
        backward: u64,
    },
    /// Our addresses, all of them. Holders are told the public ones that are no circuits.
    Addresses {
        /// With or without our peer id at the end.
        addresses: &'a [Multiaddr],
    },
    /// Whether we can be reached from anywhere. Not, until it is said.
    Reachable {
        /// Whether.
        public: bool,
    },
    /// The time on the wall clock: once at the beginning, without which no reservation is given, and whenever that clock was set.
    /// Between, the server counts on by itself.
    Clock {
        /// Now.
        unix: UnixTime,
    },
    /// The application's answer to [`Action::AskAcl`](super::Action::AskAcl).
    Decide {
        /// The stream of the request.
        stream: StreamKey,
        /// Whether to go on.
        allow: bool,
    },
    /// New rules. They hold for requests from now on, renewals included; what was given stays.
    Acl {
        /// In place of the old ones.
        acl: &'a Acl,
    },
    /// Take nothing new, wait for the circuits, then end all. Final. Said again, the earlier end counts.
    Drain {
        /// How long circuits may go on.
        grace: Duration,
    },
}

/// What came of opening a stop stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopAnswer<'a> {
    /// The destination accepts; this is the stream.
    Accepted(StreamKey),
    /// The destination answered with this status.
    Refused(Status),
    /// It came to no answer: the stream could not be opened, the protocol is not spoken, the answer can't be read.
    Failed(&'a str),
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
    /// A request on this stream is being answered, or a circuit goes over it.
    #[error("stream {0} has a request or a circuit already")]
    StreamBusy(StreamKey),
    /// No request on this stream waits for an answer.
    #[error("no request waits on stream {0}: it was answered, or has ended")]
    UnknownStream(StreamKey),
    /// Nothing is asked on a stop stream under this number: it was answered, cancelled, or took too long. Reset the stream.
    #[error("nothing is asked as {0}: it was answered, cancelled, or took too long")]
    UnknownAsk(AskId),
    /// The stop stream is on another connection than it was to be opened on.
    #[error("a stop stream was to be opened on connection {expected}, this one is {got}")]
    OtherConnection {
        /// On which.
        expected: ConnectionId,
        /// The stream.
        got: StreamKey,
    },
    /// No such circuit. Harmless where the report came after [`ServerConfig::close_timeout`](super::ServerConfig::close_timeout).
    #[error("there is no circuit {0}: it was never spliced, or has ended")]
    UnknownCircuit(CircuitId),
    /// More rules than may be.
    #[error("{got} rules, at most {cap} may be (`acl_rules` allows more)")]
    TooManyRules {
        /// How many.
        got: usize,
        /// How many may be.
        cap: u32,
    },
}
