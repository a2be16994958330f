//! What comes of AutoNAT: can others reach us?

use core::fmt;

/// Whether others can connect to us: to the host as a whole (v1), or at one address (v2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Reachability {
    /// Nobody has said enough about it.
    #[default]
    Unknown,
    /// Those who were asked could not connect.
    Private,
    /// Those who were asked could.
    Public,
}

impl Reachability {
    /// One word for the host, out of both versions' (for AutoRelay, say).
    ///
    /// v2 has the word when it has an answer ([`v2::Client::overall`](super::v2::Client::overall)), since it proves what v1's
    /// servers merely claim; v1's counts as long as v2's is unknown.
    ///
    /// ```
    /// use tidewire_relay::autonat::Reachability::{self, Private, Public, Unknown};
    ///
    /// assert_eq!(Reachability::combined(Public, Private), Private); // v1, v2
    /// assert_eq!(Reachability::combined(Private, Public), Public);
    /// assert_eq!(Reachability::combined(Public, Unknown), Public);
    /// assert_eq!(Reachability::combined(Unknown, Unknown), Unknown);
    /// ```
    #[must_use]
    pub const fn combined(v1: Reachability, v2: Reachability) -> Reachability {
        match v2 {
            Reachability::Unknown => v1,
            Reachability::Private | Reachability::Public => v2,
        }
    }
}

impl fmt::Display for Reachability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reachability::Unknown => "unknown",
            Reachability::Private => "private",
            Reachability::Public => "public",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Reachability::{self, Private, Public, Unknown};

    #[test]
    fn the_second_version_has_the_word_when_it_has_an_answer() {
        for v1 in [Unknown, Private, Public] {
            for v2 in [Unknown, Private, Public] {
                let expected = if v2 == Unknown { v1 } else { v2 };
                assert_eq!(Reachability::combined(v1, v2), expected, "v1 {v1}, v2 {v2}");
            }
        }
    }
}
