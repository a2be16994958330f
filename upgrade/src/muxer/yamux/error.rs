//! What a remote can do wrong: one variant for each rule.

use super::frame::Kind;
use core::time::Duration;

/// The remote broke a rule of yamux, and the connection is over.
///
/// A GO_AWAY that says so was appended to `tx`: "protocol error", or "internal error" for [`Error::NoPong`]; nothing for
/// [`Error::EndedInsideFrame`], since nobody listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A header whose first byte is not 0. Spec: "Version Field".
    #[error("a frame of yamux version {version} from the remote; only 0 exists. Does it speak yamux at all?")]
    Version {
        /// What stood there.
        version: u8,
    },
    /// A frame type that does not exist. Spec: "Type Field".
    #[error("a frame of unknown type {kind} for stream {stream} from the remote; types are 0 to 3")]
    UnknownType {
        /// What stood there.
        kind: u8,
        /// The stream it names.
        stream: u32,
    },
    /// Flags that this frame type does not have. Spec: "Flag Field".
    ///
    /// A PING carries SYN (a question) or ACK (an answer), a GO_AWAY nothing, the others SYN, ACK, FIN and RST.
    #[error("a {kind} frame for stream {stream} from the remote with flags {flags:#06x}, which it can't have")]
    Flags {
        /// The frame's type.
        kind: Kind,
        /// All its flags.
        flags: u16,
        /// The stream it names.
        stream: u32,
    },
    /// A DATA or WINDOW_UPDATE for stream 0. Spec: "StreamID Field".
    #[error("a {kind} frame from the remote for stream 0, which is the connection itself")]
    StreamFrameOnConnection {
        /// The frame's type.
        kind: Kind,
    },
    /// A PING or GO_AWAY for a stream. Spec: "StreamID Field".
    #[error("a {kind} frame from the remote for stream {stream}; it belongs to the connection, stream 0")]
    ConnectionFrameOnStream {
        /// The frame's type.
        kind: Kind,
        /// The stream it names.
        stream: u32,
    },
    /// The remote opened a stream with one of our numbers. Spec: "StreamID Field".
    ///
    /// Often both ends took the same role: exactly one of them must be the initiator.
    #[error("the remote opened stream {stream}, but its streams have {} numbers: do both ends have the same role?", if *.odd { "odd" } else { "even" })]
    WrongParity {
        /// The number it chose.
        stream: u32,
        /// Whether its numbers are the odd ones.
        odd: bool,
    },
    /// SYN for a stream that exists. Spec: "Opening a stream".
    #[error("the remote opened stream {stream} a second time")]
    OpenedTwice {
        /// The stream.
        stream: u32,
    },
    /// SYN for a stream that existed before. Spec: "Opening a stream" ("a new StreamID").
    #[error("the remote opened stream {stream}, a number that it has used before")]
    Reused {
        /// The stream.
        stream: u32,
    },
    /// More data than the window that we gave. Spec: "Flow Control".
    ///
    /// Found on the header, before any of the data is taken.
    #[error("a frame of {len} bytes from the remote for stream {stream}, whose window has {window} left")]
    OverWindow {
        /// The stream.
        stream: u32,
        /// Length of the frame's payload.
        len: u32,
        /// What the remote was allowed.
        window: u32,
    },
    /// More credit than a window can hold. Spec: "Flow Control".
    #[error("credit of {credit} bytes from the remote for stream {stream} on top of {window} is over 4 GiB")]
    CreditOverflow {
        /// The stream.
        stream: u32,
        /// What we had.
        window: u32,
        /// What came on top.
        credit: u32,
    },
    /// Data after FIN. Spec: "Closing a stream" ("the sender will send no further data").
    #[error("{len} bytes from the remote on stream {stream}, which it had finished")]
    DataAfterFinish {
        /// The stream.
        stream: u32,
        /// Length of the frame's payload.
        len: u32,
    },
    /// Data for a stream that does not exist, more than can have been on its way when streams were reset.
    #[error(
        "{len} bytes from the remote for stream {stream}, which does not exist; \
         streams that were reset account for {allowed} at most"
    )]
    UnknownStream {
        /// The stream.
        stream: u32,
        /// Length of the frame's payload.
        len: u32,
        /// How much could still have been on its way.
        allowed: u64,
    },
    /// No answer to a ping, nor anything else, in [`Config::pong_timeout`](super::Config::pong_timeout).
    #[error("no answer to a ping, and nothing else from the remote, for {waited:?}: it is gone, or stuck")]
    NoPong {
        /// Since the ping, or since the last byte.
        waited: Duration,
    },
    /// The remote's bytes ended inside a frame.
    #[error("the remote's bytes end inside a frame: {missing} more were announced")]
    EndedInsideFrame {
        /// How many bytes of the header or the payload did not come.
        missing: u32,
    },
}
