//! What a v2 server is told, what it wants done, and what it explains.

use crate::exchange::{Reply, Request};
use crate::{DialBackId, StreamKey};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use tidewire_core::{Multiaddr, PeerId};

/// What a [`Server`](super::Server) is told.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum ServerInput<'a> {
    /// A peer opened a stream. Nothing of it is read before [`ServerAction::Admit`].
    Opened {
        /// The stream.
        stream: StreamKey,
        /// Who.
        peer: PeerId,
        /// Where its connection comes from; with `/p2p-circuit` in it if it is relayed.
        remote: &'a Multiaddr,
    },
    /// What it asks, or that the data came that we asked for.
    Requested {
        /// The stream.
        stream: StreamKey,
        /// A [`Request::Probe`] or [`Request::Paid`].
        request: &'a Request,
    },
    /// The stream ended, failed or was reset before we answered. To be told of streams that were let in.
    Gone {
        /// The stream.
        stream: StreamKey,
    },
    /// What came of a [`ServerAction::DialBack`].
    DialedBack {
        /// Which one.
        attempt: DialBackId,
        /// How far it came.
        outcome: DialBackOutcome,
    },
    /// Which versions of IP the internet can be reached with from here (the spec: "SHOULD determine").
    Connectivity {
        /// IPv4.
        ipv4: bool,
        /// IPv6.
        ipv6: bool,
    },
}

/// How far a dial-back came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum DialBackOutcome {
    /// The address was reached, and the nonce was brought: [`Answer::BackHeard`](crate::exchange::Answer::BackHeard).
    Heard,
    /// The address was reached, but the nonce could not be brought.
    NotHeard,
    /// The address could not be reached, or the peer wasn't there.
    NotReached,
    /// It was not tried: the host is at a limit, or has no means for it.
    NotTried,
}

/// What a [`Server`](super::Server) wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerAction {
    /// Read the request.
    Admit {
        /// The stream.
        stream: StreamKey,
    },
    /// Give this answer. After [`Reply::AskData`] the stream goes on; after [`Reply::Probed`] close it. It may come instead of
    /// [`ServerAction::Admit`]: then nothing is read.
    Reply {
        /// The stream.
        stream: StreamKey,
        /// A [`Reply::Probed`] or [`Reply::AskData`].
        reply: Reply,
    },
    /// Reset the stream: the peer was too slow.
    Reset {
        /// The stream.
        stream: StreamKey,
    },
    /// Dial the peer at this address and no other, from a port that listens to nothing, apart from all other connections; there
    /// ask [`Ask::DialBack`](crate::exchange::Ask::DialBack) with the nonce; report [`ServerInput::DialedBack`] and close what was
    /// made.
    DialBack {
        /// Its number, among those of this server.
        attempt: DialBackId,
        /// Who must be there.
        peer: PeerId,
        /// Where. A name must not be resolved to a private address, unless those are allowed.
        address: Multiaddr,
        /// What to bring.
        nonce: u64,
        /// How long the dial and its handshake may take.
        dial_timeout: Duration,
        /// How long it may take to bring the nonce after that.
        dial_back_timeout: Duration,
    },
    /// The result is not waited for any more.
    CancelDialBack {
        /// Which one.
        attempt: DialBackId,
    },
}

/// What a [`Server`](super::Server) did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerCounters {
    /// Streams that were let in.
    pub admitted: u64,
    /// Streams that were refused unread.
    pub rejected: u64,
    /// Requests with no address that we would dial.
    pub refused: u64,
    /// Requests that had to pay.
    pub charged: u64,
    /// Bytes that they paid.
    pub paid: u64,
    /// Dials that were asked for.
    pub dials: u64,
    /// Those that brought the nonce.
    pub heard: u64,
}

/// What a [`Server`](super::Server) is doing, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerExplanation {
    /// What it did so far.
    pub counters: ServerCounters,
    /// Who is being served, and with what.
    pub requests: Vec<(StreamKey, PeerId, ServerStep)>,
}

/// How far a request is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerStep {
    /// Waits for what the peer wants.
    Reading,
    /// Waits for so many bytes, because the address is not the peer's as we see it.
    Paying {
        /// Where it would be dialed.
        address: Multiaddr,
        /// How many.
        bytes: u64,
    },
    /// It paid; it is dialed in so long.
    Waiting {
        /// Where.
        address: Multiaddr,
        /// How long.
        left: Duration,
    },
    /// It is being dialed.
    Dialing {
        /// Where.
        address: Multiaddr,
    },
}

impl fmt::Display for ServerExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ServerCounters { admitted, rejected, refused, charged, paid, dials, heard } = self.counters;
        write!(f, "{admitted} let in, {rejected} refused unread, {refused} without an address to dial, ")?;
        write!(f, "{charged} asked to pay ({paid} bytes), {dials} dials, {heard} nonces brought")?;
        for (stream, peer, step) in &self.requests {
            write!(f, "\n{stream} of {peer}: {step}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ServerStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerStep::Reading => f.write_str("waits for the request"),
            ServerStep::Paying { address, bytes } => write!(f, "is to send {bytes} bytes for {address}"),
            ServerStep::Waiting { address, left } => {
                write!(f, "paid for {address}, dialed in {} s", left.as_secs_f32())
            }
            ServerStep::Dialing { address } => write!(f, "is being dialed at {address}"),
        }
    }
}
