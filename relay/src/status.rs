//! What a relay or a destination answers, as a number (circuit-v2.md, the enum `Status`).

use core::fmt;

/// A status code, known or not.
///
/// Only [`OK`](Status::OK) is a yes. A code that we don't know is a no like any other, and is kept and shown as it came.
///
/// ```
/// use tidewire_relay::Status;
///
/// assert_eq!(Status::NO_RESERVATION.to_string(), "NO_RESERVATION (204)");
/// assert_eq!(Status::from_code(777).to_string(), "unknown status 777");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct Status(i32);

impl Status {
    /// What proto3 has for "nothing was said".
    pub const UNUSED: Status = Status(0);
    /// Yes.
    pub const OK: Status = Status(100);
    /// No reservation, because a limit is reached or for a reason that has no code of its own.
    pub const RESERVATION_REFUSED: Status = Status(200);
    /// Too many circuits.
    pub const RESOURCE_LIMIT_EXCEEDED: Status = Status(201);
    /// This peer may not, or not over this connection.
    pub const PERMISSION_DENIED: Status = Status(202);
    /// The destination could not be reached, or refused.
    pub const CONNECTION_FAILED: Status = Status(203);
    /// The destination has no reservation.
    pub const NO_RESERVATION: Status = Status(204);
    /// The request can't be read, or lacks something.
    pub const MALFORMED_MESSAGE: Status = Status(400);
    /// The request can be read, but is none that belongs here.
    pub const UNEXPECTED_MESSAGE: Status = Status(401);

    /// The status with this number.
    pub const fn from_code(code: i32) -> Status {
        Status(code)
    }

    /// The number on the wire.
    pub const fn code(self) -> i32 {
        self.0
    }

    /// Whether this is [`OK`](Status::OK).
    pub const fn is_ok(self) -> bool {
        self.0 == Self::OK.0
    }

    /// Its name in the spec; `None` if the spec has none.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::UNUSED => "UNUSED",
            Self::OK => "OK",
            Self::RESERVATION_REFUSED => "RESERVATION_REFUSED",
            Self::RESOURCE_LIMIT_EXCEEDED => "RESOURCE_LIMIT_EXCEEDED",
            Self::PERMISSION_DENIED => "PERMISSION_DENIED",
            Self::CONNECTION_FAILED => "CONNECTION_FAILED",
            Self::NO_RESERVATION => "NO_RESERVATION",
            Self::MALFORMED_MESSAGE => "MALFORMED_MESSAGE",
            Self::UNEXPECTED_MESSAGE => "UNEXPECTED_MESSAGE",
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

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn the_codes_are_those_of_the_spec() {
        let table = [
            (0, "UNUSED"),
            (100, "OK"),
            (200, "RESERVATION_REFUSED"),
            (201, "RESOURCE_LIMIT_EXCEEDED"),
            (202, "PERMISSION_DENIED"),
            (203, "CONNECTION_FAILED"),
            (204, "NO_RESERVATION"),
            (400, "MALFORMED_MESSAGE"),
            (401, "UNEXPECTED_MESSAGE"),
        ];
        for (code, name) in table {
            let status = Status::from_code(code);
            assert_eq!((status.name(), status.code(), status.is_ok()), (Some(name), code, code == 100));
            assert_eq!(status.to_string(), alloc::format!("{name} ({code})"));
        }
    }

    #[test]
    fn an_unknown_code_is_kept_and_is_a_no() {
        for code in [-1, 1, 101, 205, 402, i32::MAX, i32::MIN] {
            let status = Status::from_code(code);
            assert_eq!((status.code(), status.name(), status.is_ok()), (code, None, false));
            assert_eq!(status.to_string(), alloc::format!("unknown status {code}"));
        }
    }
}
