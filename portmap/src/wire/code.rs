//! Result codes: numbers, with their names where they have one.

use core::fmt;

/// PCP's (RFC 6887 section 7.4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PcpCode(pub u8);

/// NAT-PMP's (RFC 6886 section 3.5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NatPmpCode(pub u16);

macro_rules! codes {
    ($type:ident { $($(#[$doc:meta])* $name:ident = $value:literal, $words:literal;)* }) => {
        impl $type {
            $($(#[$doc])* pub const $name: $type = $type($value);)*

            /// What it means, in words.
            pub const fn words(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($words),)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.words() {
                    Some(words) => write!(f, "{words} ({})", self.0),
                    None => write!(f, "an unknown error ({})", self.0),
                }
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

codes!(PcpCode {
    /// It worked.
    SUCCESS = 0, "success";
    /// Not this version.
    UNSUPPORTED_VERSION = 1, "it does not speak this version";
    /// Port mapping is switched off, or not for us.
    NOT_AUTHORIZED = 2, "it is not allowed";
    /// It did not understand.
    MALFORMED_REQUEST = 3, "it did not understand the request";
    /// It has no MAP.
    UNSUPPORTED_OPCODE = 4, "it does not know this operation";
    /// An option that we never send.
    UNSUPPORTED_OPTION = 5, "it does not know an option";
    /// An option that we never send.
    MALFORMED_OPTION = 6, "it did not understand an option";
    /// It has no address itself, for example.
    NETWORK_FAILURE = 7, "its own network is down";
    /// It is full, for now.
    NO_RESOURCES = 8, "it is full";
    /// Neither TCP nor UDP, to it.
    UNSUPPORTED_PROTOCOL = 9, "it does not map this transport protocol";
    /// We have as many as we may.
    USER_EX_QUOTA = 10, "we have as many ports as we may";
    /// The port that was asked for can't be had.
    CANNOT_PROVIDE_EXTERNAL = 11, "it can't give this port";
    /// There is another NAT between us and it.
    ADDRESS_MISMATCH = 12, "our packets reach it from another address: there is a NAT between";
    /// Of an option that we never send.
    EXCESSIVE_REMOTE_PEERS = 13, "too many filters";
});

codes!(NatPmpCode {
    /// It worked.
    SUCCESS = 0, "success";
    /// Not this version.
    UNSUPPORTED_VERSION = 1, "it does not speak this version";
    /// Port mapping is switched off, or not for us.
    NOT_AUTHORIZED = 2, "it is not allowed";
    /// It has no address itself, for example.
    NETWORK_FAILURE = 3, "its own network is down";
    /// It is full, for now.
    OUT_OF_RESOURCES = 4, "it is full";
    /// It has no such operation.
    UNSUPPORTED_OPCODE = 5, "it does not know this operation";
});
