//! How a socket of a punch is made, which role it takes, and how a dial can fail.
//!
//! On a simultaneous open both ends dialed, so "who dialed" says nothing about who speaks first. Each socket gets its plan when
//! it is made, and keeps it.

use core::time::Duration;
use smol_str::SmolStr;
use tidewire_core::{Multiaddr, cut};

/// Who proposes on a socket of a punch: fixed when the socket is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Plan {
    /// We propose: initiator at once, as A's dial after its first `CONNECT` (relay/DCUtR.md, step 5).
    Initiate,
    /// We answer: responder, as any listener.
    Respond,
    /// We say our header and wait so long for a proposal, which makes us responder; without one we propose.
    ListenFirst {
        /// How long, from the moment when the transport is there.
        wait: Duration,
    },
}

/// From which port a dial goes out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Local {
    /// From this listening address, so that the NAT maps it as it mapped what others observed.
    Reuse(Multiaddr),
    /// From any port: a plain dial, or a NAT that gives a new one per destination, or nothing of ours listens.
    Any,
}

/// Why a dial of a punch came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum DialFault {
    /// The address refused (`ECONNREFUSED`, or a reset before the connection stood). A NAT that answers unexpected packets with
    /// a reset looks the same.
    #[error("it refused")]
    Refused,
    /// Nothing came back in time.
    #[error("no answer")]
    TimedOut,
    /// No way there (`ENETUNREACH`, `EHOSTUNREACH`, ICMP).
    #[error("it is unreachable")]
    Unreachable,
    /// The very pair of addresses is taken (`EADDRNOTAVAIL`): the other's SYN won, and a connection between us is coming up.
    #[error("the other side's connection came first")]
    AddressNotAvailable,
    /// The local port can't be used (`EADDRINUSE`, `EACCES`).
    #[error("the local port can't be used")]
    LocalPort,
    /// The transport was there, but the upgrade failed.
    #[error("the upgrade failed: {0}")]
    Upgrade(SmolStr),
    /// Something else.
    #[error("{0}")]
    Other(SmolStr),
}

/// Longest text of a fault that is kept.
const MAX_WHY: usize = 128;

impl DialFault {
    /// The upgrade failed, in these words. Cut to 128 bytes.
    pub fn upgrade(why: &str) -> DialFault {
        DialFault::Upgrade(cut(why, MAX_WHY).into())
    }

    /// Something else, in these words. Cut to 128 bytes.
    pub fn other(why: &str) -> DialFault {
        DialFault::Other(cut(why, MAX_WHY).into())
    }

    /// Bytes on the heap.
    pub fn memory_used(&self) -> usize {
        match self {
            DialFault::Upgrade(why) | DialFault::Other(why) if why.is_heap_allocated() => why.len(),
            _ => 0,
        }
    }
}
