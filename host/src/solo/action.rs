//! What a whole node in one value says.

use crate::link::StreamEvent;
use crate::{ConnectionId, DialId, Event, ListenerId, LocalEnd};
use core::time::Duration;
use smol_str::SmolStr;
use tidewire_core::{Multiaddr, PeerId};
use tidewire_upgrade::pipeline::Progress;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SoloAction {
    /// Listen there; say [`listening`](super::Solo::listening) for each address that it has, or
    /// [`listener_closed`](super::Solo::listener_closed).
    Listen {
        /// Which listener.
        listener: ListenerId,
        /// Where.
        address: Multiaddr,
    },
    /// Close this listener; say `listener_closed`. Its connections stay.
    Unlisten {
        /// Which.
        listener: ListenerId,
    },
    /// Connect there; say [`dialed`](super::Solo::dialed) or [`dial_failed`](super::Solo::dial_failed).
    Dial {
        /// The attempt.
        dial: DialId,
        /// Who is expected there.
        peer: PeerId,
        /// Where.
        address: Multiaddr,
        /// The local end to dial from.
        from: Option<LocalEnd>,
        /// After which time `Abort` will come.
        timeout: Duration,
    },
    /// Stop dialing. Say nothing more about it.
    Abort {
        /// Which dial.
        dial: DialId,
    },
    /// There is something in [`tx`](super::Solo::tx) again.
    Send {
        /// Of which connection.
        connection: ConnectionId,
    },
    /// Send what is in `tx`, then close the socket, and forget it.
    Close {
        /// Which connection.
        connection: ConnectionId,
        /// Why, in words.
        why: SmolStr,
    },
    /// Tell the application.
    Event(SoloEvent),
}

/// What an application may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SoloEvent {
    /// Of the node.
    Host(Event),
    /// Of a stream.
    Stream {
        /// On which connection.
        connection: ConnectionId,
        /// What happened.
        event: StreamEvent,
    },
    /// Of an upgrade: for a timeline, of no consequence.
    Progress {
        /// Of which connection.
        connection: ConnectionId,
        /// How far it is.
        progress: Progress,
    },
}
