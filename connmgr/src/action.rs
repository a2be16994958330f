//! What to do, and what to tell the application.

use crate::dial::DialReport;
use crate::duplicates::Tolerated;
use crate::reason::{CloseReason, RefuseReason, StreamRefusal};
use crate::{By, ConnectionId, DialId, Direction, RequestId, StreamId};
use alloc::boxed::Box;
use core::time::Duration;
use smol_str::SmolStr;
use tidewire_core::{Multiaddr, PeerId};

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Upgrade this incoming connection; report `Established` or `Closed`.
    Accept {
        /// Which.
        connection: ConnectionId,
    },
    /// Drop this connection. It is forgotten: don't report it again.
    Refuse {
        /// Which.
        connection: ConnectionId,
        /// Why.
        reason: RefuseReason,
    },
    /// Reset this stream. It is forgotten: don't report it again.
    RefuseStream {
        /// On which connection.
        connection: ConnectionId,
        /// Which.
        stream: StreamId,
        /// Why.
        reason: StreamRefusal,
    },
    /// Close this connection, telling the remote so where the transport can; report `Closed` when it is gone.
    Close {
        /// Which.
        connection: ConnectionId,
        /// Why.
        reason: CloseReason,
    },
    /// Open new streams on another connection; let those on this one come to their end.
    Drain {
        /// Which one goes.
        connection: ConnectionId,
        /// Which one takes over.
        onto: ConnectionId,
    },
    /// Ping the peer on this connection; report `Pong` or `PingUnsupported`. No answer within the time is noticed here.
    Ping {
        /// On which.
        connection: ConnectionId,
        /// How long we shall wait.
        timeout: Duration,
    },
    /// Dial this address; report `DialProgress`, then `Established` or `DialFailed`. This is where a caller's gate stands:
    /// `DialFailed` with `DialFault::Gated` at once costs no backoff.
    Dial {
        /// The machine's name for the attempt.
        dial: DialId,
        /// Who is expected there.
        peer: PeerId,
        /// Where.
        address: Multiaddr,
        /// After which time, at the latest, `Abort` will come.
        timeout: Duration,
    },
    /// Drop this dial. It is forgotten: don't report it again.
    Abort {
        /// Which.
        dial: DialId,
    },
    /// Tell the application.
    Event(Event),
}

/// What an application may want to know. Per peer always in this order:
/// `Connected`, (`ConnectionOpened`, (`StreamOpened`, `StreamClosed`)*, `ConnectionClosed`)+, `Disconnected`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The first connection to this peer is there.
    Connected {
        /// Who.
        peer: PeerId,
    },
    /// The last connection to this peer is gone.
    Disconnected {
        /// Who.
        peer: PeerId,
    },
    /// A connection is there.
    ConnectionOpened {
        /// Which.
        connection: ConnectionId,
        /// To whom.
        peer: PeerId,
        /// Who opened it.
        direction: Direction,
        /// Where the other end is.
        remote: Multiaddr,
        /// Whether a relay on the way limits it.
        limited: bool,
    },
    /// A connection is gone.
    ConnectionClosed {
        /// Which.
        connection: ConnectionId,
        /// To whom it was.
        peer: PeerId,
        /// Who closed it.
        by: By,
        /// Why.
        reason: CloseReason,
        /// How long it lived.
        lived: Duration,
    },
    /// A stream is there.
    StreamOpened {
        /// On which connection.
        connection: ConnectionId,
        /// Which.
        stream: StreamId,
        /// With whom.
        peer: PeerId,
        /// Who opened it.
        direction: Direction,
    },
    /// A stream is gone, by itself or with its connection.
    StreamClosed {
        /// On which connection it was.
        connection: ConnectionId,
        /// Which.
        stream: StreamId,
        /// With whom.
        peer: PeerId,
    },
    /// A wish to be connected came true.
    Dialed {
        /// Which wish.
        request: RequestId,
        /// With whom.
        peer: PeerId,
        /// By which connection; it may be older than the wish, or inbound.
        connection: ConnectionId,
    },
    /// A wish to be connected did not come true.
    DialFailed {
        /// Which wish.
        request: RequestId,
        /// With whom.
        peer: PeerId,
        /// What was tried, and what came of each address.
        report: Box<DialReport>,
    },
    /// A trim was done. Of several in a row that could close nothing, only the first is told.
    Trimmed {
        /// Connections that were asked to close.
        closed: u32,
        /// Connections before it, those that were being closed already left out.
        of: u32,
        /// Connections passed over because their peers are protected.
        protected: u32,
        /// Connections passed over because their peers are in their grace.
        in_grace: u32,
    },
    /// There are more connections to this peer than the policy wants, and they are left alone.
    DuplicatesTolerated {
        /// Who.
        peer: PeerId,
        /// Why.
        why: Tolerated,
    },
    /// A peer marked keep-alive could not be reached again; it is no longer tried, until the network changes.
    ReconnectFailed {
        /// Who.
        peer: PeerId,
        /// How often it was tried.
        tries: u32,
        /// What came of the last try.
        why: SmolStr,
    },
}
