//! What a server answers (autonat-v2.md, the message `DialResponse`).

use core::fmt;

/// A server's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Response {
    /// Whether an address was dialed at all.
    pub status: Status,
    /// Which one, counted from 0. Means something only with [`Status::OK`], and is then one that was asked for.
    pub index: u32,
    /// What came of it. Means something only with [`Status::OK`].
    pub dial: DialStatus,
}

/// Whether the server did what it was asked: the spec's `ResponseStatus`. Unknown codes are kept as they came.
///
/// ```
/// use tidewire_relay::autonat::v2::Status;
///
/// assert_eq!(Status::DIAL_REFUSED.to_string(), "E_DIAL_REFUSED (101)");
/// assert_eq!(Status::from_code(7).to_string(), "unknown status 7");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct Status(i32);

/// What came of the dial: the spec's `DialStatus`. Unknown codes are kept as they came.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct DialStatus(i32);

impl Response {
    /// No address was dialed.
    pub const fn refused(status: Status) -> Response {
        Response { status, index: 0, dial: DialStatus::UNUSED }
    }

    /// This address was dialed.
    pub const fn dialed(index: u32, dial: DialStatus) -> Response {
        Response { status: Status::OK, index, dial }
    }
}

impl Status {
    /// The server failed, or has no other code for what is wrong.
    pub const INTERNAL_ERROR: Status = Status(0);
    /// The server is at a limit, or does not serve this peer.
    pub const REQUEST_REJECTED: Status = Status(100);
    /// The server can't or won't dial any of the addresses.
    pub const DIAL_REFUSED: Status = Status(101);
    /// It dialed one.
    pub const OK: Status = Status(200);

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
            Self::INTERNAL_ERROR => "E_INTERNAL_ERROR",
            Self::REQUEST_REJECTED => "E_REQUEST_REJECTED",
            Self::DIAL_REFUSED => "E_DIAL_REFUSED",
            Self::OK => "OK",
            _ => return None,
        })
    }
}

impl DialStatus {
    /// What proto3 has for "nothing was said".
    pub const UNUSED: DialStatus = DialStatus(0);
    /// The address could not be reached.
    pub const DIAL_ERROR: DialStatus = DialStatus(100);
    /// The address was reached, but the nonce could not be brought.
    pub const DIAL_BACK_ERROR: DialStatus = DialStatus(101);
    /// The nonce was brought.
    pub const OK: DialStatus = DialStatus(200);

    /// The status with this number.
    pub const fn from_code(code: i32) -> DialStatus {
        DialStatus(code)
    }

    /// The number on the wire.
    pub const fn code(self) -> i32 {
        self.0
    }

    /// Its name in the spec; `None` if the spec has none.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::UNUSED => "UNUSED",
            Self::DIAL_ERROR => "E_DIAL_ERROR",
            Self::DIAL_BACK_ERROR => "E_DIAL_BACK_ERROR",
            Self::OK => "OK",
            _ => return None,
        })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.name(), self.0, f)
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.name(), self.0, f)
    }
}

impl fmt::Display for DialStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.name(), self.0, f)
    }
}

impl fmt::Debug for DialStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.name(), self.0, f)
    }
}

fn show(name: Option<&str>, code: i32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match name {
        Some(name) => write!(f, "{name} ({code})"),
        None => write!(f, "unknown status {code}"),
    }
}
