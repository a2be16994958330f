//! What can end a negotiation: mostly rules that the remote broke, with what was expected and what came.

use crate::{Protocol, Protocols};
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt::{self, Write};
use core::time::Duration;
use smol_str::SmolStr;

/// Why a negotiation failed. Final: the machine returns the same error ever after.
///
/// Nothing is ever sent to explain a failure: multistream-select has no word for it. Close or reset the stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The remote answered every proposal with `na`.
    #[error("the remote speaks none of the proposed protocols: {proposals}")]
    Refused {
        /// All that was proposed, in this order.
        proposals: Protocols,
    },
    /// Something other than what may stand here.
    #[error("expected {expected:?} from the remote, got {actual:?}")]
    Unexpected {
        /// What would have been right (`na` mostly would have been, too).
        expected: Excerpt,
        /// What came, cut short.
        actual: Excerpt,
    },
    /// The first frame was not the multistream header: the remote speaks something else, or another version.
    #[error("expected the header \"/multistream/1.0.0\" from the remote, got {actual:?}")]
    BadHeader {
        /// What came, cut short.
        actual: Excerpt,
    },
    /// The header came again where a proposal was due.
    #[error("the remote repeated the multistream header where a proposal was due")]
    RepeatedHeader,
    /// A frame is longer than we accept. Judged on its length, before its bytes are there.
    #[error("the remote announces a frame of {len} bytes, at most {max} are accepted")]
    FrameTooLong {
        /// As announced.
        len: u64,
        /// [`Config::max_frame`](crate::Config::max_frame), or [`Config::max_list`](crate::Config::max_list) for a list.
        max: usize,
    },
    /// A frame's length is not a minimal unsigned varint of at most 9 bytes.
    #[error("a frame from the remote does not begin with a minimal varint of at most 9 bytes")]
    BadLength,
    /// A frame without a name in it: of length 0, or a newline alone.
    #[error("the remote sent an empty frame")]
    EmptyFrame,
    /// A frame that does not end in a newline.
    #[error("a frame from the remote does not end in a newline: {frame:?}")]
    MissingNewline {
        /// What came, cut short.
        frame: Excerpt,
    },
    /// A frame that is not UTF-8.
    #[error("a frame from the remote is not UTF-8: {frame:?}")]
    NotUtf8 {
        /// What came, cut short.
        frame: Excerpt,
    },
    /// The remote finished its side before the negotiation was over.
    #[error("the remote ended the stream while we waited for {awaited}")]
    EndedEarly {
        /// What was to come.
        awaited: Awaited,
    },
    /// The remote proposed, or asked for a list, more often than we answer.
    #[error("the remote got {limit} answers without an agreement, no more are given")]
    TooManyRounds {
        /// [`Config::max_rounds`](crate::Config::max_rounds).
        limit: usize,
    },
    /// The negotiation took too long.
    #[error("no agreement within {timeout:?}: waited for {awaited}")]
    TimedOut {
        /// [`Config::timeout`](crate::Config::timeout).
        timeout: Duration,
        /// What was to come.
        awaited: Awaited,
    },
    /// Ours: a dialer was given an empty list.
    #[error("there is no protocol to propose")]
    NothingToPropose,
    /// Ours: a dialer was given more names than its config allows.
    #[error("{count} protocols to propose, the configuration allows {limit}")]
    TooManyProposals {
        /// Length of the list.
        count: usize,
        /// [`Config::max_proposals`](crate::Config::max_proposals).
        limit: usize,
    },
    /// The remote does not answer `ls`. Optional in the spec, and rare today.
    #[error("the remote does not list its protocols")]
    ListRefused,
    /// An answer to `ls` is not a sequence of frames with valid names, and a newline.
    #[error("the remote's list of protocols is malformed at byte {at}")]
    BadList {
        /// Where, within the list.
        at: usize,
    },
    /// An answer to `ls` brings too many names.
    #[error("the remote lists more than {limit} protocols")]
    ListTooLong {
        /// [`Config::max_listed`](crate::Config::max_listed).
        limit: usize,
    },
    /// Both ends proposed at the same time, so neither knows who answers. Try again on a new connection, with other
    /// waiting times, or with a tie-break on both sides.
    #[error("both ends proposed at the same time: we {ours:?}, the remote {theirs:?}")]
    Crossed {
        /// Our proposal.
        ours: Excerpt,
        /// The remote's.
        theirs: Excerpt,
    },
    /// Simultaneous open: both ends drew the same number, so neither may initiate. Dial again with another seed.
    #[error("both ends drew the number {nonce} to find the initiator: dial again")]
    Tie {
        /// The number.
        nonce: u64,
    },
}

impl Error {
    pub(crate) fn unexpected(expected: &str, actual: &[u8]) -> Error {
        Error::Unexpected { expected: Excerpt::new(expected), actual: Excerpt::of(actual) }
    }

    pub(crate) fn unexpected_reply(expected: &Protocol, actual: &[u8]) -> Error {
        Error::Unexpected { expected: Excerpt(expected.text().clone()), actual: Excerpt::of(actual) }
    }

    /// Bytes on the heap, beside `size_of::<Error>()`.
    fn memory_used(&self) -> usize {
        match self {
            Error::Unexpected { expected, actual } => expected.memory_used() + actual.memory_used(),
            Error::BadHeader { actual } => actual.memory_used(),
            Error::MissingNewline { frame } | Error::NotUtf8 { frame } => frame.memory_used(),
            Error::Crossed { ours, theirs } => ours.memory_used() + theirs.memory_used(),
            _ => 0,
        }
    }
}

/// The error that a machine ended with, out of the way of its other states: they stay small and plain.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fault(Option<Box<Error>>);

impl Fault {
    /// Keeps the first error.
    #[cold]
    pub(crate) fn keep(&mut self, error: &Error) {
        self.0.get_or_insert_with(|| Box::new(error.clone()));
    }

    /// The error that was kept; fallback for a machine that says it failed, and has none: there is no such machine.
    pub(crate) fn get(&self) -> Error {
        self.0.as_deref().cloned().unwrap_or(Error::NothingToPropose)
    }

    /// Bytes on the heap.
    pub(crate) fn memory_used(&self) -> usize {
        self.0.as_deref().map_or(0, |error| size_of::<Error>() + error.memory_used())
    }
}

/// What a machine waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Awaited {
    /// The multistream header.
    Header,
    /// The answer to a proposal.
    Answer,
    /// A proposal.
    Proposal,
    /// The answer to `ls`.
    List,
    /// Simultaneous open: the remote's word on who initiates.
    Selection,
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Awaited::Header => "the multistream header",
            Awaited::Answer => "the answer to a proposal",
            Awaited::Proposal => "a proposal",
            Awaited::List => "the list of protocols",
            Awaited::Selection => "the selection of the initiator",
        })
    }
}

/// A short, printable piece of what stood, or should stand, on the wire.
///
/// Bytes that are not printable are escaped; what the remote sent is cut after 48 bytes, and "..." says so.
#[derive(Clone, PartialEq, Eq)]
pub struct Excerpt(SmolStr);

impl Excerpt {
    /// Bytes of the remote's that are shown at most.
    pub const MAX: usize = 48;

    pub(crate) fn of(bytes: &[u8]) -> Excerpt {
        let shown = &bytes[..bytes.len().min(Self::MAX)];
        let mut text = String::new();
        for chunk in shown.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() { text.extend(c.escape_default()) } else { text.push(c) }
            }
            for byte in chunk.invalid() {
                // Writing to a String can't fail.
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
        if shown.len() < bytes.len() {
            text.push_str("...");
        }
        Excerpt(SmolStr::from(text))
    }

    /// This text, as it is: to compare an error with an expected one.
    pub fn new(text: &str) -> Excerpt {
        Excerpt(SmolStr::new(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    fn memory_used(&self) -> usize {
        if self.0.is_heap_allocated() { self.0.len() } else { 0 }
    }
}

impl PartialEq<str> for Excerpt {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// In quotes, without a second round of escapes.
impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn excerpts_are_printable_and_short() {
        assert_eq!(Excerpt::of(b"/noise").as_str(), "/noise");
        assert_eq!(Excerpt::of(b"a\x00\n\xff\xc3").as_str(), "a\\u{0}\\n\\xff\\xc3");
        let long = Excerpt::of(&[b'y'; 1000]);
        assert_eq!(long.as_str().len(), Excerpt::MAX + 3);
        assert!(long.as_str().ends_with("y..."));
    }

    #[test]
    fn errors_say_what_was_expected_and_what_came() {
        let error = Error::unexpected_reply(&Protocol::from_static("/noise"), b"/tls/1.0.0");
        assert_eq!(format!("{error}"), "expected \"/noise\" from the remote, got \"/tls/1.0.0\"");
        let error = Error::Refused { proposals: Protocols::parse(&["/a", "/b"]).unwrap() };
        assert_eq!(format!("{error}"), "the remote speaks none of the proposed protocols: /a, /b");
    }
}
