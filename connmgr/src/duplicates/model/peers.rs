//! Peers that don't know the rule: they answer pings or don't, and keep both, close the newer, or close the older.

use crate::ConnectionId;
use crate::duplicates::{Action, Input};
use alloc::vec::Vec;

/// What a foreign peer does about a second connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Policy {
    /// Nothing, as go-libp2p and js-libp2p.
    KeepBoth,
    /// Nothing, and it doesn't answer pings.
    Mute,
    /// Closes the newer at once.
    CloseNewer,
    /// Closes the older at once.
    CloseOlder,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Foreign {
    policy: Policy,
    /// In the order in which they were established.
    open: Vec<ConnectionId>,
}

impl Foreign {
    pub(super) fn new(policy: Policy) -> Foreign {
        Foreign { policy, open: Vec::new() }
    }

    pub(super) fn tell(&mut self, input: Input) {
        match input {
            Input::Opened { connection, .. } => self.open.push(connection),
            Input::Closed { connection } => self.open.retain(|open| *open != connection),
            _ => {}
        }
    }

    pub(super) fn poll(&mut self) -> Option<Action> {
        let (oldest, newest) = (*self.open.first()?, *self.open.last()?);
        let (connection, kept) = match self.policy {
            Policy::KeepBoth | Policy::Mute => return None,
            Policy::CloseNewer => (newest, oldest),
            Policy::CloseOlder => (oldest, newest),
        };
        (connection != kept).then_some(Action::Close { connection, kept })
    }
}
