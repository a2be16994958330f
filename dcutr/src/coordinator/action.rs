//! What the coordinator wants done, and what it tells.

use crate::report::{Outcome, Report, Side};
use crate::{AskId, ConnectionId, DialId, Local, Plan, StreamKey};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use tidewire_core::{Multiaddr, PeerId, Time};

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Open a stream of [`PROTOCOL`](crate::PROTOCOL) on this connection and send `CONNECT` with these addresses: an
    /// [`Opener`](crate::exchange). Answered by [`Input::Connects`](super::Input::Connects) or
    /// [`Input::AskFailed`](super::Input::AskFailed).
    Open {
        /// The exchange's number.
        ask: AskId,
        /// On which connection.
        connection: ConnectionId,
        /// What to tell.
        addresses: Vec<Multiaddr>,
    },
    /// Send `SYNC` on it now, and close it. Nothing is expected of it any more.
    Sync {
        /// Which.
        ask: AskId,
    },
    /// Reset it. Nothing is expected of it any more.
    ResetAsk {
        /// Which.
        ask: AskId,
    },
    /// Answer on this stream of the remote's: `CONNECT` with these addresses.
    Answer {
        /// Which.
        stream: StreamKey,
        /// What to tell.
        addresses: Vec<Multiaddr>,
    },
    /// Reset this stream of the remote's. Nothing is expected of it any more.
    ResetStream {
        /// Which.
        stream: StreamKey,
        /// Why; for the log.
        why: Refusal,
    },
    /// Dial, at once and whatever failed there before. Answered by [`Input::Dialed`](super::Input::Dialed) or
    /// [`Input::DialFailed`](super::Input::DialFailed).
    Dial {
        /// The dial's number.
        dial: DialId,
        /// Who should be there.
        peer: PeerId,
        /// Where.
        address: Multiaddr,
        /// From which port.
        local: Local,
        /// In which role.
        plan: Plan,
        /// How long it may take, upgrade included; afterwards it is aborted.
        timeout: Duration,
    },
    /// Drop this dial, whatever became of it. Nothing is expected of it any more.
    Abort {
        /// Which.
        dial: DialId,
    },
    /// From now on, a socket that is accepted from one of these addresses gets this plan. Replaces what was said for the peer
    /// before. [`Coordinator::accepts`](super::Coordinator::accepts) answers the same for one address.
    Window {
        /// For whom.
        peer: PeerId,
        /// The remote addresses: sorted, not empty.
        ips: Vec<IpAddr>,
        /// The plan.
        plan: Plan,
        /// Until when, at most.
        until: Time,
    },
    /// The peer's window is closed.
    CloseWindow {
        /// Whose.
        peer: PeerId,
    },
    /// Send one UDP datagram, so that our NAT lets the other's QUIC packets in (relay/DCUtR.md, step 5).
    Datagram {
        /// For whom.
        peer: PeerId,
        /// To where.
        to: SocketAddr,
        /// From which port.
        from: Local,
        /// Random bytes.
        payload: Box<[u8; DATAGRAM]>,
    },
    /// Tell the application.
    Event(Event),
}

/// Bytes of a datagram that opens a NAT. 64 (go-libp2p); the spec says "filled with random bytes".
pub const DATAGRAM: usize = 64;

/// Why a stream of the remote's was reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It is on a connection that is not relayed, or not known.
    #[error("it is on a connection that is not relayed")]
    NotRelayed,
    /// The circuit came from the remote, so we are the ones to open the stream (relay/DCUtR.md: the inbound peer does).
    #[error("the one who dialed through the relay does not open the stream")]
    WrongSide,
    /// Both ends are known to have a direct connection.
    #[error("there is a direct connection already")]
    Direct,
    /// We have our own exchange under way, and ours counts.
    #[error("our own exchange is further on")]
    Ours,
    /// A newer one takes its place.
    #[error("a newer exchange takes its place")]
    Newer,
    /// It came too often.
    #[error("the peer asked too often")]
    TooOften,
    /// We have enough to do with others.
    #[error("too many attempts are under way")]
    TooMany,
    /// The attempt is over: there is a connection, or nobody wants one.
    #[error("the attempt is over")]
    Over,
    /// `SYNC` did not come in time.
    #[error("SYNC did not come in time")]
    Late,
}

/// What the application may want to know, as it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// An attempt begins.
    Started {
        /// With whom.
        peer: PeerId,
        /// Which side we are.
        side: Side,
    },
    /// It is at another stage.
    Stage {
        /// With whom.
        peer: PeerId,
        /// Where it is.
        stage: Stage,
    },
    /// An address is dialed.
    Dialing {
        /// With whom.
        peer: PeerId,
        /// The dial's number.
        dial: DialId,
        /// Where.
        address: Multiaddr,
        /// From which port.
        local: Local,
        /// In which role.
        plan: Plan,
    },
    /// What came of it.
    Outcome {
        /// With whom.
        peer: PeerId,
        /// The dial's number.
        dial: DialId,
        /// What.
        outcome: Outcome,
    },
    /// The attempt is over, and this was all of it.
    Report(Box<Report>),
}

/// Where an attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// The remote's public addresses are dialed, as any dialer does.
    Direct {
        /// How many.
        dials: u32,
    },
    /// B: the stream is opened, `CONNECT` sent; the remote's is awaited.
    WaitConnect {
        /// Which try.
        number: u32,
    },
    /// B: `SYNC` is sent; the dials follow in so long.
    Armed {
        /// Which try.
        number: u32,
        /// Half of the round trip.
        wait: Duration,
    },
    /// A: `CONNECT` is answered; `SYNC` is awaited.
    AwaitSync {
        /// Which try.
        number: u32,
    },
    /// Dialing.
    Punching {
        /// Which try.
        number: u32,
        /// How many addresses.
        dials: u32,
    },
    /// There is a direct connection; it has to be proven to both ends.
    Settling {
        /// Which.
        connection: ConnectionId,
    },
    /// A: a try failed; another `CONNECT` is awaited.
    Between {
        /// Which try failed.
        number: u32,
    },
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stage::Direct { dials } => write!(f, "dials {dials} of its addresses directly"),
            Stage::WaitConnect { number } => write!(f, "try {number}: sent CONNECT, waits for the peer's"),
            Stage::Armed { number, wait } => write!(f, "try {number}: sent SYNC, dials in {wait:?}"),
            Stage::AwaitSync { number } => write!(f, "try {number}: answered CONNECT, waits for SYNC"),
            Stage::Punching { number, dials: 1 } => write!(f, "try {number}: punches, 1 dial under way"),
            Stage::Punching { number, dials } => write!(f, "try {number}: punches, {dials} dials under way"),
            Stage::Settling { connection } => write!(f, "{connection} is direct, and has to be proven to both ends"),
            Stage::Between { number } => write!(f, "try {number} failed, waits for the peer to try again"),
        }
    }
}
