//! One attempt to get a direct connection, as data, with a sentence for a person.
//!
//! ```text
//! Report -- Direct        B's plain dial before any punch
//!        -- Try, up to 3  one CONNECT, CONNECT, SYNC, and the dials after it
//!            -- Dial      one address: from where, in which role, what came of it
//!        -- End           how it ended; Display of the report says it in words
//! ```
//! Plain data: whoever decides fills it in, and owns the caps of its lists. go-libp2p's tracer tells five events and an outcome
//! per address; this says in addition what was dropped, what the NATs probably are, and what to do.
//!
//! ```
//! use core::time::Duration;
//! use tidewire_core::{Keypair, Seed, Time};
//! use tidewire_dcutr::ConnectionId;
//! use tidewire_dcutr::nat::TheirNat;
//! use tidewire_dcutr::report::{End, How, Report, Side};
//!
//! let end = End::Upgraded {
//!     connection: ConnectionId(7),
//!     address: "/ip4/8.8.8.8/tcp/4001".parse()?,
//!     how: How::Dialed { number: 1 },
//!     after: Duration::from_millis(340),
//! };
//! let report = Report {
//!     peer: Keypair::from_seed(&Seed::new([1; 32])).peer_id(),
//!     relay: None,
//!     side: Side::B,
//!     started: Time::ZERO,
//!     ended: Time::from_millis(500),
//!     direct: None,
//!     tries: vec![],
//!     our_nat: vec![],
//!     their_nat: TheirNat::Unknown,
//!     end,
//! };
//! assert_eq!(report.to_string(), "punched through on try 1, 340 ms after the start: our dial reached 8.8.8.8:4001 over TCP");
//! # Ok::<(), tidewire_core::MultiaddrError>(())
//! ```

mod details;
#[cfg(test)]
mod tests;
mod words;

pub use details::Details;

use crate::candidate::{Candidate, Dropped, Source};
use crate::exchange::Fault;
use crate::nat::{Guess, TheirNat};
use crate::{ConnectionId, DialFault, Local, Plan};
use alloc::vec::Vec;
use core::time::Duration;
use tidewire_core::{Multiaddr, PeerId, Time};

/// One attempt: all tries with one peer, from the first thing done to the last.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Report {
    /// With whom.
    pub peer: PeerId,
    /// Through which relay, if that is known.
    pub relay: Option<PeerId>,
    /// Which side we were.
    pub side: Side,
    /// When it began.
    pub started: Time,
    /// When it ended.
    pub ended: Time,
    /// The plain dial before any punch; only B has one, and only if A has addresses that are worth it.
    pub direct: Option<Direct>,
    /// The tries, in order.
    pub tries: Vec<Try>,
    /// What our NAT probably does, by transport and family. Empty: nothing was observed.
    pub our_nat: Vec<Guess>,
    /// What the remote's NAT probably does.
    pub their_nat: TheirNat,
    /// How it ended.
    pub end: End,
}

/// The two sides of a punch (relay/DCUtR.md, "The Protocol").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Side {
    /// Dialed through the relay. Answers `CONNECT`, dials on `SYNC`.
    A,
    /// Was dialed. Opens the stream, dials half a round trip after `SYNC`.
    B,
}

/// B's plain dial of A's public addresses (relay/DCUtR.md: "unilateral connection upgrade").
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Direct {
    /// When it began.
    pub started: Time,
    /// Each address that was dialed.
    pub dials: Vec<Dial>,
    /// Addresses of A that were not dialed, and why.
    pub dropped: Vec<Dropped>,
    /// How many more of those there were.
    pub further: usize,
}

/// One try: an exchange, and the dials after it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Try {
    /// 1 for the first.
    pub number: u32,
    /// When it began: B opened the stream, A was sent the `CONNECT`.
    pub started: Time,
    /// What we told: fresh for this try.
    pub ours: Vec<Candidate>,
    /// What we dial of theirs, best first.
    pub theirs: Vec<Candidate>,
    /// Addresses of ours that were not told, and why.
    pub ours_dropped: Vec<Dropped>,
    /// Addresses of theirs that were not dialed, and why.
    pub theirs_dropped: Vec<Dropped>,
    /// How many more were dropped, of both; entries of the remote's message that were no addresses included.
    pub further: usize,
    /// The round trip over the relay: B from its `CONNECT` to A's, A from its `CONNECT` to `SYNC`. `None`: it didn't get so far.
    pub rtt: Option<Duration>,
    /// When `SYNC` went out (B) or came (A).
    pub synced: Option<Time>,
    /// When we dialed.
    pub dialed: Option<Time>,
    /// When the other side probably dialed, on our clock: by `SYNC` and half the round trip.
    pub dialed_by_them: Option<Time>,
    /// Each address that was dialed, or sent datagrams to.
    pub dials: Vec<Dial>,
    /// Why the exchange failed, if it did.
    pub fault: Option<Fault>,
}

/// One address in one try.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Dial {
    /// To where.
    pub address: Multiaddr,
    /// Who named it.
    pub source: Source,
    /// From where, as asked for.
    pub local: Local,
    /// From where, as it turned out.
    pub bound: Option<Multiaddr>,
    /// In which role.
    pub plan: Plan,
    /// When it began.
    pub started: Time,
    /// When its outcome was known.
    pub ended: Option<Time>,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of one address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Outcome {
    /// Nothing yet.
    Running,
    /// A connection.
    Connected(ConnectionId),
    /// It failed.
    Failed(DialFault),
    /// It was given up: another one was faster, or the attempt ended.
    Cancelled,
    /// QUIC at B: so many datagrams went there to open the way, and nothing is dialed.
    Datagrams {
        /// How many.
        sent: u32,
    },
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum End {
    /// There is a direct connection, and both ends know.
    Upgraded {
        /// Which.
        connection: ConnectionId,
        /// Where the peer is.
        address: Multiaddr,
        /// How it came to be.
        how: How,
        /// From the start of the attempt until it stood.
        after: Duration,
    },
    /// There is none; the relayed one goes on, if it still stands.
    Failed(Failure),
}

/// How a direct connection came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum How {
    /// B's plain dial reached A.
    Direct,
    /// Our dial of this try.
    Dialed {
        /// 1 for the first.
        number: u32,
    },
    /// Theirs, which we accepted, during this try (0: before any).
    Accepted {
        /// 1 for the first.
        number: u32,
    },
    /// Not by the punch: somebody else made it meanwhile.
    Elsewhere,
}

/// Why there is no direct connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Failure {
    /// We have nothing to tell: nobody sees us at a public address.
    NothingOfOurs,
    /// The remote told nothing that can be dialed.
    NothingOfTheirs,
    /// The remote does not speak the protocol.
    NotSpoken,
    /// The exchange failed on every try; the last fault.
    Exchange(Fault),
    /// Every try was made, and no address answered.
    NoAnswer,
    /// Connections came up, and each was lost before both ends knew.
    Lost,
    /// The relayed connection ended, and with it the way to agree on another try.
    RelayLost,
    /// The remote punches as well, and carries it on as B.
    TheirTurn,
    /// The remote, which decides about tries, made no further one.
    NoFurtherTry,
    /// The network of this machine changed.
    NetworkChanged,
    /// Nobody wants it any more: it was cancelled.
    Cancelled,
    /// The node shuts down.
    Shutdown,
}

impl Report {
    /// Whether there is a direct connection.
    pub const fn is_upgraded(&self) -> bool {
        matches!(self.end, End::Upgraded { .. })
    }

    /// Every address that was dialed, in the order in which they were.
    pub fn dials(&self) -> impl Iterator<Item = &Dial> {
        let direct = self.direct.iter().flat_map(|direct| &direct.dials);
        direct.chain(self.tries.iter().flat_map(|one| &one.dials))
    }

    /// Everything in lines, to be shown: candidates, dials, times, NATs. The first line ends with the sentence.
    pub const fn details(&self) -> Details<'_> {
        Details(self)
    }

    /// Bytes on the heap.
    pub fn memory_used(&self) -> usize {
        let direct =
            self.direct.as_ref().map_or(0, |direct| dials_memory(&direct.dials) + dropped_memory(&direct.dropped));
        let tries = self.tries.iter().map(Try::memory_used).sum::<usize>();
        let nat = self.our_nat.iter().map(Guess::memory_used).sum::<usize>();
        let end = match &self.end {
            End::Upgraded { address, .. } => address.memory_used(),
            End::Failed(Failure::Exchange(fault)) => fault.memory_used(),
            End::Failed(_) => 0,
        };
        let lists = self.tries.capacity() * size_of::<Try>() + self.our_nat.capacity() * size_of::<Guess>();
        direct + tries + nat + end + lists + self.their_nat.memory_used()
    }
}

impl Try {
    /// Half of the round trip: what B waits between `SYNC` and its dials, and how long `SYNC` probably takes.
    pub fn half_rtt(&self) -> Option<Duration> {
        Some(self.rtt? / 2)
    }

    /// How far apart both sides dialed, probably: zero is what a punch aims at.
    pub fn skew(&self) -> Option<Duration> {
        let (ours, theirs) = (self.dialed?, self.dialed_by_them?);
        Some(ours.since(theirs).max(theirs.since(ours)))
    }

    fn memory_used(&self) -> usize {
        let candidates = |list: &Vec<Candidate>| {
            list.capacity() * size_of::<Candidate>() + list.iter().map(Candidate::memory_used).sum::<usize>()
        };
        candidates(&self.ours)
            + candidates(&self.theirs)
            + dropped_memory(&self.ours_dropped)
            + dropped_memory(&self.theirs_dropped)
            + dials_memory(&self.dials)
            + self.fault.as_ref().map_or(0, Fault::memory_used)
    }
}

fn dropped_memory(list: &Vec<Dropped>) -> usize {
    list.capacity() * size_of::<Dropped>() + list.iter().map(|one| one.address.memory_used()).sum::<usize>()
}

fn dials_memory(list: &Vec<Dial>) -> usize {
    let each = |dial: &Dial| {
        let local = if let Local::Reuse(local) = &dial.local { local.memory_used() } else { 0 };
        let bound = dial.bound.as_ref().map_or(0, Multiaddr::memory_used);
        let outcome = if let Outcome::Failed(fault) = &dial.outcome { fault.memory_used() } else { 0 };
        dial.address.memory_used() + local + bound + outcome
    };
    list.capacity() * size_of::<Dial>() + list.iter().map(each).sum::<usize>()
}
