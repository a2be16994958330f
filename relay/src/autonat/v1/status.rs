//! What a server answers, as a number (autonat-v1.md, the enum `ResponseStatus`).

use core::fmt;
use smol_str::SmolStr;
use tidewire_core::Multiaddr;

/// A server's answer: the spec's `DialResponse`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Response {
    /// Whether a dial succeeded.
    pub status: Status,
    /// In words, for a person; at most [`Response::MAX_TEXT`] bytes.
    pub text: SmolStr,
    /// With [`Status::OK`]: the address that was reached, if the server says so in a form that can be read.
    pub address: Option<Multiaddr>,
}

impl Response {
    /// The most bytes of a text that are kept.
    pub const MAX_TEXT: usize = 128;

    /// A dial succeeded.
    pub const fn ok(address: Option<Multiaddr>) -> Response {
        Response { status: Status::OK, text: SmolStr::new_inline(""), address }
    }

    /// None did, or none was made. At most 128 bytes of `text` are kept.
    pub fn failed(status: Status, text: &str) -> Response {
        Response { status, text: tidewire_core::cut(text, Self::MAX_TEXT).into(), address: None }
    }
}

/// A status code of AutoNAT v1, known or not.
///
/// ```
/// use tidewire_relay::autonat::v1::Status;
///
/// assert_eq!(Status::DIAL_ERROR.to_string(), "E_DIAL_ERROR (100)");
/// assert_eq!(Status::from_code(7).to_string(), "unknown status 7");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct Status(i32);

impl Status {
    /// At least one dial succeeded.
    pub const OK: Status = Status(0);
    /// All dials failed.
    pub const DIAL_ERROR: Status = Status(100);
    /// The server did not dial, and won't.
    pub const DIAL_REFUSED: Status = Status(101);
    /// The request can't be read, or lacks something.
    pub const BAD_REQUEST: Status = Status(200);
    /// The server failed.
    pub const INTERNAL_ERROR: Status = Status(300);

    /// The status with this number.
    pub const fn from_code(code: i32) -> Status {
        Status(code)
    }

    /// The number on the wire.
    pub const fn code(self) -> i32 {
        self.0
    }

    /// Its name in the spec; `None` if the spec has none.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::OK => "OK",
            Self::DIAL_ERROR => "E_DIAL_ERROR",
            Self::DIAL_REFUSED => "E_DIAL_REFUSED",
            Self::BAD_REQUEST => "E_BAD_REQUEST",
            Self::INTERNAL_ERROR => "E_INTERNAL_ERROR",
            _ => return None,
        })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.0),
            None => write!(f, "unknown status {}", self.0),
        }
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
