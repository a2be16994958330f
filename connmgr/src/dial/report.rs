//! What came of a dial: one outcome for each address, and why the whole failed. Printed for a person:
//!
//! ```text
//! not connected to 12D3KooW...: both addresses that were dialed failed (after 15.2 s)
//!   /ip4/192.0.2.7/udp/4001/quic-v1: no answer within 15 s (after 15 s)
//!   /ip4/192.0.2.7/tcp/4001: the transport failed: connection refused (after 12 ms)
//! ```

use crate::limits::LimitExceeded;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};
use core::time::Duration;
use smol_str::SmolStr;
use tidewire_core::{Multiaddr, PeerId};

/// Why a dial failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum DialFault {
    /// The transport could not be connected: refused, unreachable, reset.
    #[error("the transport failed: {0}")]
    Transport(SmolStr),
    /// The transport was connected, its upgrade failed.
    #[error("the upgrade failed: {0}")]
    Upgrade(SmolStr),
    /// Another peer than the expected one answered.
    #[error("another peer answered: {0}")]
    WrongPeer(PeerId),
    /// The caller's gate forbids it. Costs no backoff.
    #[error("forbidden: {0}")]
    Gated(SmolStr),
    /// The caller has no transport for this address. Costs no backoff.
    #[error("there is no transport for it")]
    NoTransport,
    /// It took longer than allowed.
    #[error("no answer within {}", Span(*.0))]
    Timeout(Duration),
    /// A limit of ours stands against it. Costs no backoff.
    #[error("{0}")]
    Limit(LimitExceeded),
    /// Resources of this machine ran out (descriptors, ports). Costs no backoff.
    #[error("this machine can't: {0}")]
    Local(SmolStr),
    /// The transport was refused.
    #[error("the transport failed: {0}")]
    Refused(SmolStr),
    /// There is no way there.
    #[error("the transport failed: {0}")]
    Unreachable(SmolStr),
    /// There is no local port for it; of a dial from a certain port: these two ports are connected already. Costs no backoff.
    #[error("this machine can't: {0}")]
    NoPort(SmolStr),
}

impl DialFault {
    /// Whether the address was asked, and no transport came of it.
    pub const fn is_of_transport(&self) -> bool {
        matches!(self, DialFault::Transport(_) | DialFault::Refused(_) | DialFault::Unreachable(_))
    }
}

/// What came of one address.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It was dialed and became this connection, which did not suit this caller: it is relayed.
    Connected(crate::ConnectionId),
    /// It was dialed and failed.
    Failed(DialFault),
    /// It was dialed, and aborted: the time was over, or all ended for another reason; or it was relayed, and nobody was left for
    /// whom it would do.
    Aborted,
    /// It was dialed, and this caller's time was over before its end. It goes on for others.
    Unfinished,
    /// It was not dialed: all ended before its turn.
    NotTried,
    /// It was not dialed: a failure a short time ago.
    Backoff {
        /// How long it is still left alone.
        remaining: Duration,
    },
    /// It was not dialed: dials of its kind fail here.
    BlackHole {
        /// Which kind.
        kind: &'static str,
    },
    /// It was not dialed: a rule forbids it.
    Denied {
        /// The rule's reason.
        why: SmolStr,
    },
    /// It was not dialed: relayed, and only a direct one would do.
    Relayed,
    /// It was not dialed: it names another peer.
    OtherPeer(PeerId),
    /// It was not dialed: our own, or one that can't be dialed ([`usable`](super::usable) says which).
    Undialable,
    /// It was not dialed: there were too many, and this one ranked last.
    TooMany,
}

/// One address in a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressReport {
    /// Where.
    pub address: Multiaddr,
    /// What came of it.
    pub outcome: Outcome,
    /// How long it took, from its dial to its end. Zero if it was not dialed.
    pub took: Duration,
}

/// Why a wish to be connected did not come true. Prints a line for the whole, and one for each address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialReport {
    /// With whom.
    pub peer: PeerId,
    /// In one clause.
    pub why: DialFailure,
    /// Each address that was considered, in the order of their rank.
    pub addresses: Vec<AddressReport>,
    /// Further addresses, beyond `DialConfig::max_listed`, that are not listed.
    pub unlisted: usize,
    /// How long it took.
    pub took: Duration,
}

/// Why a wish to be connected did not come true, in one clause.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialFailure {
    /// There is nothing to dial.
    #[error("no address of this peer is known")]
    NoAddresses,
    /// There are addresses, and none may be dialed.
    #[error("{}", NoneOf(*.0, "may not be dialed", "may be dialed"))]
    NoneDialable(usize),
    /// Only a direct connection would do, and no address leads to one: they are relayed, or may not be dialed.
    #[error("{}", NoneOf(*.0, "leads to no direct connection", "leads to a direct connection"))]
    NoneDirect(usize),
    /// All that were dialed failed.
    #[error("{}", AllOf(*.0))]
    AllFailed(usize),
    /// The time for the peer was over.
    #[error("not connected within {}", Span(*.0))]
    Timeout(Duration),
    /// A rule forbids the peer.
    #[error("the peer is forbidden: {0}")]
    Denied(SmolStr),
    /// The peer is ourselves.
    #[error("the peer is ourselves")]
    Ourselves,
    /// Too many peers are being dialed, or too many callers wait for this one.
    #[error("there are {cap} {what} already, which is the most")]
    Full {
        /// Of what.
        what: &'static str,
        /// The cap.
        cap: u32,
    },
    /// The application disconnected from the peer meanwhile.
    #[error("the application disconnected from it: {0}")]
    Disconnected(SmolStr),
    /// We are shutting down.
    #[error("we are shutting down")]
    Shutdown,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Connected(connection) => {
                write!(f, "it became connection {connection}, which is relayed, and only a direct one would do")
            }
            Outcome::Failed(fault) => fault.fmt(f),
            Outcome::Aborted => f.write_str("aborted before it was done"),
            Outcome::Unfinished => f.write_str("no answer so far"),
            Outcome::NotTried => f.write_str("not tried: it was over before its turn came"),
            Outcome::Backoff { remaining } => {
                write!(f, "not tried: it failed a short time ago, and is left alone for another {}", Span(*remaining))
            }
            Outcome::BlackHole { kind } => write!(f, "not tried: dials over {kind} fail on this network"),
            Outcome::Denied { why } => write!(f, "forbidden: {why}"),
            Outcome::Relayed => f.write_str("not tried: it is relayed, and only a direct connection will do"),
            Outcome::OtherPeer(peer) => write!(f, "not tried: it names another peer, {peer}"),
            Outcome::Undialable => f.write_str("not tried: it can't be dialed, or is our own"),
            Outcome::TooMany => f.write_str("not tried: there were too many addresses, and this one ranked last"),
        }
    }
}

impl Outcome {
    /// Whether the address was dialed.
    pub fn was_dialed(&self) -> bool {
        matches!(self, Outcome::Connected(_) | Outcome::Failed(_) | Outcome::Aborted | Outcome::Unfinished)
    }
}

impl fmt::Display for AddressReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(OneLine(f), "{}: {}", self.address, self.outcome)?;
        if self.outcome.was_dialed() {
            write!(f, " ({})", After(self.took))?;
        }
        Ok(())
    }
}

impl fmt::Display for DialReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(OneLine(f), "not connected to {}: {} ({})", self.peer, self.why, After(self.took))?;
        for address in &self.addresses {
            write!(f, "\n  {address}")?;
        }
        if self.unlisted > 0 {
            write!(f, "\n  and {} more that are not listed", self.unlisted)?;
        }
        Ok(())
    }
}

impl core::error::Error for DialReport {}

/// Words of remotes, systems and callers are among it: what would break the line, or the terminal, becomes a space.
struct OneLine<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut parts = text.split(char::is_control);
        self.0.write_str(parts.next().unwrap_or_default())?;
        parts.try_for_each(|part| {
            self.0.write_char(' ')?;
            self.0.write_str(part)
        })
    }
}

/// How long it took, for people: "at once", "after 12 ms", "after 15.2 s".
struct After(Duration);

impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_zero() { f.write_str("at once") } else { write!(f, "after {}", Span(self.0)) }
    }
}

/// A length of time, for people: two units at most, and what is left is cut off, so that nothing seems longer than it was.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (millis, seconds) = (self.0.subsec_millis(), self.0.as_secs());
        let (minutes, hours) = (seconds / 60, seconds / 3600);
        match (hours, minutes, seconds, millis) {
            (0, 0, 0, 0) if self.0.is_zero() => f.write_str("0 s"),
            (0, 0, 0, 0) => f.write_str("less than 1 ms"),
            (0, 0, 0, _) => write!(f, "{millis} ms"),
            (0, 0, _, 0..100) => write!(f, "{seconds} s"),
            (0, 0, _, _) => write!(f, "{seconds}.{} s", millis / 100),
            (0, ..) => two(f, (minutes, "min"), (seconds % 60, "s")),
            _ => two(f, (hours, "h"), (minutes % 60, "min")),
        }
    }
}

fn two(f: &mut fmt::Formatter<'_>, (large, unit): (u64, &str), (small, of): (u64, &str)) -> fmt::Result {
    write!(f, "{large} {unit}")?;
    if small > 0 { write!(f, " {small} {of}") } else { Ok(()) }
}

/// So many addresses that all failed.
struct AllOf(usize);

impl fmt::Display for AllOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("the address that was dialed failed"),
            2 => f.write_str("both addresses that were dialed failed"),
            dialed => write!(f, "all {dialed} addresses that were dialed failed"),
        }
    }
}

/// None of so many addresses does something: said of one, and of several.
struct NoneOf(usize, &'static str, &'static str);

impl fmt::Display for NoneOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            NoneOf(1, one, _) => write!(f, "its only address {one}"),
            NoneOf(all, _, several) => write!(f, "none of its {all} addresses {several}"),
        }
    }
}

#[cfg(test)]
mod tests;
