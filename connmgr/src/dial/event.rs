//! What a [`Dialer`](super::Dialer) is told, and what it says.

use super::{DialFailure, DialFault, DialOptions, DialReport};
use crate::{ConnectionId, DialId, RequestId};
use alloc::boxed::Box;
use core::time::Duration;
use tidewire_core::{Multiaddr, PeerId};

/// What happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum DialInput<'a> {
    /// Connect to this peer: begins a job, or joins the one that there is. Answered by [`DialAction::Answered`] or
    /// [`DialAction::Failed`], once.
    Dial {
        /// The caller's name for this wish.
        request: RequestId,
        /// To whom.
        peer: PeerId,
        /// Where it may be. Forms with and without the peer's own `/p2p` at the end are one address; later callers add to those
        /// of earlier ones.
        addresses: &'a [Multiaddr],
        /// How.
        options: DialOptions,
    },
    /// The caller no longer wants it, and gets no answer. The job ends when all its callers left.
    Cancel {
        /// Which wish.
        request: RequestId,
    },
    /// The transport of a dial is connected, and its handshake begins: it is no longer aborted in favour of another connection.
    Progress {
        /// Which dial.
        dial: DialId,
    },
    /// A dial became a connection. The dial is over; the callers whom it suits are answered.
    Established {
        /// Which dial.
        dial: DialId,
        /// The connection that it became.
        connection: ConnectionId,
        /// Whether no relay lies between.
        direct: bool,
    },
    /// A dial failed.
    Failed {
        /// Which dial.
        dial: DialId,
        /// Why.
        fault: DialFault,
    },
    /// There is another connection to this peer: an inbound one, or one that no dial of ours became. The callers whom it suits
    /// are answered with it. Without a job nothing happens.
    Connected {
        /// To whom.
        peer: PeerId,
        /// Which.
        connection: ConnectionId,
        /// Whether no relay lies between.
        direct: bool,
    },
    /// All wishes for this peer end with this failure, and all its dials are aborted, handshakes too. Without a job nothing
    /// happens.
    EndPeer {
        /// Which peer.
        peer: PeerId,
        /// What the callers are told.
        failure: DialFailure,
    },
    /// Our network changed: backoffs and black holes are void, and running jobs take up the addresses that they had left out for them.
    NetworkChanged,
    /// Everything ends: wishes fail with [`DialFailure::Shutdown`], now and later, and dials are aborted.
    Shutdown,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DialAction {
    /// Dial this address; report [`DialInput::Progress`], then [`DialInput::Established`] or [`DialInput::Failed`].
    Dial {
        /// The dialer's name for the attempt, never used twice.
        dial: DialId,
        /// Who is expected there.
        peer: PeerId,
        /// Where, as the caller wrote it.
        address: Multiaddr,
        /// After which time [`DialAction::Abort`] will come, at the latest.
        timeout: Duration,
    },
    /// Drop this dial. It is forgotten: don't report it again.
    Abort {
        /// Which.
        dial: DialId,
        /// Its address, or the peer as a whole, had all its time: a failure of the address. Else nobody wants it any more.
        timed_out: bool,
    },
    /// A wish came true.
    Answered {
        /// Which.
        request: RequestId,
        /// With whom.
        peer: PeerId,
        /// By which connection.
        connection: ConnectionId,
    },
    /// A wish did not come true.
    Failed {
        /// Which.
        request: RequestId,
        /// With whom.
        peer: PeerId,
        /// What came of each address.
        report: Box<DialReport>,
    },
}

/// How much a [`Dialer`](super::Dialer) has in hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DialCounts {
    /// Peers that someone wants to be connected to.
    pub jobs: u32,
    /// Wishes that are not answered yet.
    pub requests: u32,
    /// Dials under way, handshakes that nobody waits for any more included.
    pub dials: u32,
    /// Of these, dials that take a file descriptor.
    pub descriptors: u32,
}
