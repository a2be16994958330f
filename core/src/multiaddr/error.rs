//! What is wrong with an address, where, and what was expected: in words for the person who typed it.

use crate::{ParsePeerIdError, PeerId, PeerIdError};
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use thiserror::Error;

/// Characters of the input that an error repeats.
const SHOWN: usize = 160;

/// An address that is none: the fault, where it is, and the text if it came as text.
///
/// ```
/// use tidewire_core::Multiaddr;
///
/// let error = "/ip4/1.2.3/tcp/1".parse::<Multiaddr>().unwrap_err();
/// assert_eq!(error.to_string(), "/ip4/1.2.3/tcp/1: `1.2.3` is not an IPv4 address");
/// assert_eq!((error.component(), error.offset()), (0, 5));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MultiaddrError {
    fault: MultiaddrFault,
    component: usize,
    offset: usize,
    text: Option<Box<str>>,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MultiaddrFault {
    /// No component at all.
    #[error("an address needs at least one component, such as /ip4/192.0.2.1")]
    Empty,
    /// The text begins with something else than `/`.
    #[error("an address begins with `/`, such as /ip4/192.0.2.1/tcp/4001")]
    NoSlash,
    /// More than [`Multiaddr::MAX_LEN`](crate::Multiaddr::MAX_LEN) bytes, or
    /// [`Multiaddr::MAX_TEXT_LEN`](crate::Multiaddr::MAX_TEXT_LEN) as text.
    #[error("{len} bytes are too long, an address has at most {max}")]
    TooLong {
        /// Bytes found.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// More than [`Multiaddr::MAX_COMPONENTS`](crate::Multiaddr::MAX_COMPONENTS).
    #[error("there are more than {max} components")]
    TooManyComponents {
        /// Components allowed.
        max: usize,
    },
    /// Two slashes in a row.
    #[error("there is nothing between two slashes, where a protocol's name should be")]
    EmptyName,
    /// A name that isn't in the table.
    #[error("`{name}` is not a protocol that we know")]
    UnknownName {
        /// The name found.
        name: Box<str>,
    },
    /// The text stops after a protocol that has a value.
    #[error("`{name}` must be followed by {expected}")]
    MissingValue {
        /// The protocol.
        name: &'static str,
        /// What its value looks like.
        expected: &'static str,
    },
    /// A value in text that isn't what its protocol takes.
    #[error("`{value}` is not {expected}")]
    Value {
        /// The protocol.
        name: &'static str,
        /// The value found.
        value: Box<str>,
        /// What its value looks like.
        expected: &'static str,
    },
    /// A peer id in text that is none.
    #[error("`{value}` is not a peer id: {error}")]
    Peer {
        /// The value found.
        value: Box<str>,
        /// Why.
        error: ParsePeerIdError,
    },
    /// A code or a length that is no varint.
    #[error("a code or length is no varint: it is cut short, longer than 9 bytes, or not minimal")]
    Varint,
    /// The bytes stop within a value.
    #[error("`{name}` needs {needed} bytes, {left} are left")]
    Truncated {
        /// The protocol.
        name: &'static str,
        /// Bytes of its value.
        needed: u64,
        /// Bytes that are there.
        left: usize,
    },
    /// A value in bytes that isn't what its protocol takes.
    #[error("the value of `{name}` is not {expected}")]
    ValueBytes {
        /// The protocol.
        name: &'static str,
        /// What its value looks like.
        expected: &'static str,
    },
    /// A peer id in bytes that is none.
    #[error("the value of `p2p` is not a peer id: {0}")]
    PeerBytes(PeerIdError),
    /// Something was to be put behind a component with an unknown code, which runs to the end.
    #[error("nothing can follow a component with an unknown code, it runs to the end")]
    AfterUnknown,
    /// [`Component::Unknown`](crate::Component::Unknown) was given a code that has a name.
    #[error("code {code} is not unknown, or too large for a varint of 9 bytes")]
    NotUnknown {
        /// The code.
        code: u64,
    },
    /// The address already ends in the id of another peer.
    #[error("the address ends in the peer {found}, not in {wanted}")]
    OtherPeer {
        /// The peer that it ends in.
        found: Box<PeerId>,
        /// The peer that was to be added.
        wanted: Box<PeerId>,
    },
}

impl MultiaddrError {
    pub(super) fn new(fault: MultiaddrFault, component: usize, offset: usize) -> Self {
        MultiaddrError { fault, component, offset, text: None }
    }

    pub(super) fn in_text(mut self, text: &str) -> Self {
        self.text = Some(shown(text));
        self
    }

    /// What is wrong.
    pub fn fault(&self) -> &MultiaddrFault {
        &self.fault
    }

    /// In which component, counted from 0.
    pub fn component(&self) -> usize {
        self.component
    }

    /// At which byte of the text or of the bytes.
    pub fn offset(&self) -> usize {
        self.offset
    }
}

impl fmt::Display for MultiaddrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Some(text) => write!(f, "{text}: {}", self.fault),
            None => write!(f, "multiaddr, component {}, byte {}: {}", self.component, self.offset, self.fault),
        }
    }
}

impl core::error::Error for MultiaddrError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match &self.fault {
            MultiaddrFault::Peer { error, .. } => Some(error),
            MultiaddrFault::PeerBytes(error) => Some(error),
            _ => None,
        }
    }
}

/// Text fit for a log line: short, and without control characters.
pub(super) fn shown(text: &str) -> Box<str> {
    let mut out = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == SHOWN {
            out.push('…');
            break;
        }
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out.into_boxed_str()
}
