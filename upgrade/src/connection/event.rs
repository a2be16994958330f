//! What a connection tells, and how it can fail.

use crate::channel::ChannelError;
use crate::muxer::{By, MuxerError, MuxerKind, OpenError, Reset, StreamId};
use alloc::boxed::Box;
use core::time::Duration;
use tidewire_multistream::{self as multistream, Protocol, RouteId};

/// What a connection tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The remote confirmed the multiplexer that we went ahead with.
    MuxerConfirmed(MuxerKind),
    /// The remote opened a stream. Only without a router; with one, [`Event::Negotiated`] says so.
    Opened(StreamId),
    /// Both ends agreed on a stream's protocol: try to read and to write.
    Negotiated {
        /// The stream.
        id: StreamId,
        /// What both ends speak on it.
        protocol: Protocol,
        /// On a stream that the remote opened: the route that took it.
        route: Option<RouteId>,
        /// Who opened the stream.
        by: By,
    },
    /// The ends did not agree on a protocol; the stream was reset. Of one that we opened, reading says so too, until it is
    /// forgotten with [`Connection::reset`](super::Connection::reset).
    NegotiationFailed {
        /// The stream.
        id: StreamId,
        /// Who opened the stream.
        by: By,
        /// Why.
        error: multistream::Error,
    },
    /// There is something to read again: data, the end, or a reset.
    Readable(StreamId),
    /// There is room to write again.
    Writable(StreamId),
    /// The remote sends no more on this stream; what it sent is still to be read.
    Finished(StreamId),
    /// This stream ended at once: the remote reset it, or the multiplexer did because the remote broke its rules or overran
    /// a limit. (Not after [`Connection::reset`](super::Connection::reset): the caller knows.)
    Reset {
        /// The stream.
        id: StreamId,
        /// Who reset it.
        by: By,
        /// Why. The remote's reason, where it gave one; else 0.
        code: u32,
    },
    /// [`Connection::open`](super::Connection::open) may succeed again.
    Openable,
    /// The answer to a ping of the multiplexer.
    Pong {
        /// The round trip.
        rtt: Duration,
    },
    /// The remote accepts no more streams; those that exist go on.
    GoAway {
        /// The remote's reason: 0 normal, 1 protocol error, 2 internal error, others as the libp2p error codes say.
        code: u32,
    },
    /// The connection is over. The last event.
    Closed {
        /// Who closed it.
        by: By,
        /// The reason, where one was given with a go-away.
        code: Option<u32>,
    },
}

/// The remote's fault that ended a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// A record, or the private network under it.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The multiplexer.
    #[error(transparent)]
    Muxer(#[from] MuxerError),
    /// The multiplexer that we went ahead with was refused. Dial again without assuming it.
    #[error("we went ahead with {muxer}, and the remote did not agree: {error}")]
    MuxerRefused {
        /// What we assumed.
        muxer: MuxerKind,
        /// What the remote answered.
        error: multistream::Error,
    },
}

// Boxed inside the machine: the way of a byte passes many results, and small ones cost less to hand on.
impl From<ChannelError> for Box<ConnectionError> {
    #[cold]
    fn from(error: ChannelError) -> Self {
        Box::new(error.into())
    }
}

impl From<MuxerError> for Box<ConnectionError> {
    #[cold]
    fn from(error: MuxerError) -> Self {
        Box::new(error.into())
    }
}

/// Why a stream can't be opened with a protocol to be negotiated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenStreamError {
    /// The multiplexer has no stream to give.
    #[error(transparent)]
    Muxer(#[from] OpenError),
    /// As many of our streams wait for an answer, or were refused and not yet forgotten with
    /// [`Connection::reset`](super::Connection::reset), as the configuration allows. Try again after the next
    /// [`Event::Negotiated`], or once one is forgotten.
    #[error("{limit} streams of ours are being negotiated, as many as the configuration allows")]
    TooManyNegotiations {
        /// The limit.
        limit: usize,
    },
    /// The list of protocols can't be proposed.
    #[error(transparent)]
    Proposals(multistream::Error),
    /// The connection is closed.
    #[error("the connection is closed")]
    Closed,
}

/// Why nothing was read from a stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadStreamError {
    /// Nothing to read yet. [`Event::Readable`] or [`Event::Negotiated`] says when.
    #[error("nothing to read yet: wait until the stream is readable")]
    Blocked,
    /// The remote did not agree to the protocol. With lazy selection this is the first that we hear of it.
    #[error("the protocol was not agreed on: {0}")]
    Negotiation(multistream::Error),
    /// This stream was reset; what was received before was read.
    #[error("{}", Reset { by: *by, code: *code })]
    Reset {
        /// Who reset it.
        by: By,
        /// Why; 0 where no reason was given.
        code: u32,
    },
    /// There is no such stream, or no more.
    #[error("there is no such stream")]
    Unknown,
    /// The connection is over; what was received before was read.
    #[error("the connection is over")]
    Closed,
}
