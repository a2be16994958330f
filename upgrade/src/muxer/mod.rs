//! What a stream multiplexer is to the stages around it: many streams on one pair of byte sequences.

/// What a record around a frame may take of `tx`: its header, its tag, and some bytes so that it is worth its while.
const AROUND: usize = 64;

mod any;
pub mod mplex;
mod queue;
pub mod yamux;

pub(crate) use any::{AnyMuxer, SharedConfig};
pub use any::{MuxerConfig, MuxerError, MuxerKind};

use bytes::BytesMut;
use core::fmt;
use core::time::Duration;
use tidewire_core::Time;

/// A stream of one connection. The number means nothing outside it, and is not used again for another stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u64);

impl StreamId {
    /// The stream with this number, as [`get`](StreamId::get) gave it.
    pub const fn new(number: u64) -> Self {
        StreamId(number)
    }

    /// The number, to carry it over a foreign interface.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Which end did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum By {
    /// We.
    Us,
    /// The remote.
    Remote,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            By::Us => "us",
            By::Remote => "the remote",
        })
    }
}

/// A stream multiplexer over plaintext bytes. It knows no cipher: `rx` is opened before, `tx` sealed afterwards.
///
/// It is a byte machine (see [`tidewire_core::Machine`]) with calls between the advances that act on streams. What those
/// calls have to say goes to the end of `tx` within the call.
///
/// A stream exists from [`open`](Muxer::open) or [`Event::Opened`] until both ends have finished, the application has
/// read to the end, or it called [`reset`](Muxer::reset). What was received before the remote's reset, or one of ours
/// that [`Event::Reset`] tells of, or before the connection failed, stays readable. After that its id is unknown.
pub trait Muxer {
    /// The remote's fault that ended the connection.
    type Error;

    /// As [`tidewire_core::Machine::advance`].
    ///
    /// Payload goes to the streams' queues without a copy. Once it returns `Ok(None)`, what it queued in this pass and
    /// is still unread, in small pieces, is copied together so that it does not pin `rx`'s memory.
    ///
    /// # Errors
    /// The remote broke a rule; what tells it so is in `tx`.
    fn advance(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Event>, Self::Error>;

    /// As [`tidewire_core::Machine::end`]: the remote sends no more bytes at all.
    ///
    /// # Errors
    /// The input ends inside a frame. (Streams that are still open are the caller's to report.)
    fn end(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Event>, Self::Error>;

    /// When to call [`advance`](Muxer::advance) though no byte came. O(1).
    fn deadline(&self) -> Time;

    /// Opens a stream.
    ///
    /// # Errors
    /// Not now, or not any more; see [`OpenError`].
    fn open(&mut self, tx: &mut BytesMut) -> Result<StreamId, OpenError>;

    /// Appends one frame with the beginning of `data` to `tx`, all in all at most `room` bytes, and returns how much of
    /// `data` that was: 1 at least, unless `data` is empty.
    ///
    /// A further write to the same stream lengthens the previous frame instead, as long as nothing else was appended
    /// and [`boundary`](Muxer::boundary) was not called.
    ///
    /// # Errors
    /// [`WriteError::Blocked`]: no window, no room, or `tx` over its cap; [`Event::Writable`] says when to try again.
    fn write(&mut self, id: StreamId, data: &[u8], room: usize, tx: &mut BytesMut) -> Result<usize, WriteError>;

    /// Says that what is in `tx` is sealed or gone: no frame in it may be lengthened any more.
    fn boundary(&mut self);

    /// The next piece that the remote sent; returns its credit to the remote. `Ok(None)`: the remote finished.
    ///
    /// # Errors
    /// [`ReadError::Blocked`]: nothing to read yet; [`Event::Readable`] says when.
    fn read(&mut self, id: StreamId, tx: &mut BytesMut) -> Result<Option<BytesMut>, ReadError>;

    /// Says that we send no more on this stream. Finishing twice is harmless.
    ///
    /// # Errors
    /// There is no such stream, or it was reset.
    fn finish(&mut self, id: StreamId, tx: &mut BytesMut) -> Result<(), StreamError>;

    /// Ends a stream at once in both directions, and forgets it. `code` is told where the protocol has a place for it.
    /// On a stream of which [`Event::Reset`] was told, it only forgets.
    ///
    /// # Errors
    /// There is no such stream.
    fn reset(&mut self, id: StreamId, code: u32, tx: &mut BytesMut) -> Result<(), StreamError>;

    /// Asks the remote for an answer; [`Event::Pong`] comes with the round trip. One at a time: a second call before the
    /// answer does nothing. Returns whether the protocol can do this at all.
    fn ping(&mut self, now: Time, tx: &mut BytesMut) -> bool;

    /// Says that we accept no more streams, with the reason; those that exist go on. Streams that the remote opens
    /// afterwards are reset.
    fn go_away(&mut self, code: u32, tx: &mut BytesMut);

    /// How many streams exist.
    fn streams(&self) -> usize;

    /// Bytes on the heap.
    fn memory_used(&self) -> usize;
}

/// What a multiplexer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The remote opened a stream.
    Opened(StreamId),
    /// There is something to read again: after [`ReadError::Blocked`], or for the first time.
    Readable(StreamId),
    /// There is room to write again, after [`WriteError::Blocked`].
    Writable(StreamId),
    /// The remote sends no more on this stream; what it sent is still to be read.
    Finished(StreamId),
    /// This stream ended at once: the remote reset it, or we did because the remote broke its rules or overran a limit.
    /// (Not after [`Muxer::reset`]: the caller knows.)
    Reset {
        /// The stream.
        id: StreamId,
        /// Who reset it.
        by: By,
        /// Why. The remote's reason, where the protocol carries one; else 0.
        code: u32,
    },
    /// [`Muxer::open`] may succeed again, after [`OpenError::Backlog`] or [`OpenError::Full`].
    Openable,
    /// The answer to our ping.
    Pong {
        /// From [`Muxer::ping`] to here.
        rtt: Duration,
    },
    /// The remote accepts no more streams; those that exist go on.
    GoAway {
        /// The remote's reason: 0 normal, 1 protocol error, 2 internal error, others as the libp2p error codes say.
        code: u32,
    },
}

/// Why a stream can't be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// As many streams are open as the config allows. Close one first.
    #[error("{limit} streams are open, as many as the configuration allows: close one first")]
    TooManyStreams {
        /// The limit.
        limit: usize,
    },
    /// The remote has not acknowledged our last streams. Wait for [`Event::Openable`].
    #[error("the remote has yet to acknowledge {limit} streams: wait until it does")]
    Backlog {
        /// The limit.
        limit: usize,
    },
    /// `tx` is over its cap. Send first; [`Event::Openable`] follows.
    #[error("too much is waiting to be sent: send first")]
    Full,
    /// The remote, or we, said that no more streams are welcome.
    #[error("no new streams: the connection is going away")]
    GoingAway,
    /// Every stream id was used. Open a new connection.
    #[error("every stream id of this connection was used: open a new connection")]
    IdsUsedUp,
    /// The connection failed.
    #[error("the connection failed")]
    Failed,
}

/// Why nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// No window, no room in the record, or too much waits to be sent. [`Event::Writable`] says when to try again.
    #[error("the stream can't take data now: wait until it is writable")]
    Blocked,
    /// We finished this stream.
    #[error("we have finished this stream")]
    Finished,
    /// The ends did not agree on this stream's protocol. Only a [`Connection`](crate::connection::Connection) says so;
    /// [reading](crate::connection::ReadStreamError::Negotiation) says why.
    #[error("this stream's protocol was not agreed on: reading says why")]
    Refused,
    /// This stream was reset.
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
    /// The connection failed.
    #[error("the connection failed")]
    Failed,
}

/// Why nothing was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Nothing to read yet. [`Event::Readable`] says when.
    #[error("nothing to read yet: wait until the stream is readable")]
    Blocked,
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
    /// The connection failed, or ended; what was received before was read.
    #[error("the connection failed")]
    Failed,
}

/// Why a call on a stream did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// There is no such stream, or no more.
    #[error("there is no such stream")]
    Unknown,
    /// The ends did not agree on this stream's protocol. Only a [`Connection`](crate::connection::Connection) says so;
    /// [reading](crate::connection::ReadStreamError::Negotiation) says why.
    #[error("this stream's protocol was not agreed on: reading says why")]
    Refused,
    /// This stream was reset.
    #[error("{}", Reset { by: *by, code: *code })]
    Reset {
        /// Who reset it.
        by: By,
        /// Why; 0 where no reason was given.
        code: u32,
    },
    /// The connection failed.
    #[error("the connection failed")]
    Failed,
}

/// A reset, for people.
pub(crate) struct Reset {
    pub(crate) by: By,
    pub(crate) code: u32,
}

impl fmt::Display for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reset { by, code } = *self;
        let who = match by {
            By::Us => "we",
            By::Remote => "the remote",
        };
        write!(f, "{who} reset this stream")?;
        match (reason(by, code), code) {
            (_, 0) => Ok(()),
            ("", _) => write!(f, " (code {code:#x})"),
            (reason, _) => write!(f, ": {reason} (code {code:#x})"),
        }
    }
}

/// What the codes mean that libp2p's implementations share, as far as we give them or know what they say of a stream:
/// go-libp2p core/network, `StreamErrorCode`. Of our own we know more. Empty: it means nothing to us.
fn reason(by: By, code: u32) -> &'static str {
    match (by, code) {
        (_, 0x1001) => "no protocol was agreed on",
        (By::Us, mplex::OVERRUN) => {
            "what waits to be read on it reached a limit, and mplex can't ask the remote to wait"
        }
        (By::Remote, mplex::OVERRUN) => "a resource limit was exceeded",
        (By::Us, mplex::DATA_AFTER_CLOSE) => "the remote sent data on it after closing it",
        (By::Remote, mplex::DATA_AFTER_CLOSE) => "it says that we broke the protocol",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_resets_text_says_who_and_why() {
        let text = |by, code| ReadError::Reset { by, code }.to_string();
        assert_eq!(text(By::Remote, 0), "the remote reset this stream");
        assert_eq!(text(By::Remote, 77), "the remote reset this stream (code 0x4d)");
        assert_eq!(text(By::Remote, 0x1001), "the remote reset this stream: no protocol was agreed on (code 0x1001)");
        let ours = text(By::Us, mplex::OVERRUN);
        assert!(ours.starts_with("we reset this stream: what waits to be read on it reached a limit"), "{ours}");
        assert_eq!(ours, WriteError::Reset { by: By::Us, code: mplex::OVERRUN }.to_string());
        assert_eq!(ours, StreamError::Reset { by: By::Us, code: mplex::OVERRUN }.to_string());
    }
}
