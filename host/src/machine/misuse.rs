//! What the caller of a host did wrong.

use crate::{ConnectionId, DialId, ListenerId, OpenId, RequestId};
use tidewire_core::{Multiaddr, Time};

/// What the caller of a [`Host`](super::Host) did wrong. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// `now` is earlier than it was in a call before.
    #[error("time went back: now is {now:?}, and it was {last:?} before")]
    TimeWentBack {
        /// What this call said.
        now: Time,
        /// The latest moment that was ever said.
        last: Time,
    },
    /// So many actions wait that no more is taken in: poll them first.
    #[error("{0} actions wait to be carried out, as many as may: poll them first")]
    Unpolled(u32),
    /// The id is in use.
    #[error("there is a connection {0} already")]
    ConnectionExists(ConnectionId),
    /// No such dial was ever asked for.
    #[error("there is no dial {0}: it was never asked for, or is over")]
    UnknownDial(DialId),
    /// The id is in use.
    #[error("there is a listener {0} already")]
    ListenerExists(ListenerId),
    /// No such listener.
    #[error("there is no listener {0}: it was never asked for, or is closed")]
    UnknownListener(ListenerId),
    /// There are as many listeners, or addresses of listeners, as there may be.
    #[error("{limit} {what} are there already, as many as may be")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: u32,
    },
    /// The listener has this address already.
    #[error("listener {0} has the address {1} already")]
    AddressExists(ListenerId, Multiaddr),
    /// The listener doesn't have this address.
    #[error("listener {0} does not have the address {1}")]
    UnknownAddress(ListenerId, Multiaddr),
    /// The id is in use.
    #[error("there is a wish {0} for a stream already")]
    OpenExists(OpenId),
    /// No such wish.
    #[error("there is no wish {0} for a stream: it was never made, or was answered or cancelled")]
    UnknownOpen(OpenId),
    /// Request ids of 2^62 and more are the host's own.
    #[error("request {0} is not the caller's to use: ids of 2^62 and more are the host's own")]
    ReservedRequest(RequestId),
    /// The address can't be an external one.
    #[error(transparent)]
    External(#[from] crate::addresses::ExternalError),
    /// We are no relay: `relay.server` of the configuration makes us one.
    #[error("this node is no relay: `relay.server` of its configuration makes it one")]
    NoRelay,
    /// We look for no relays: `relay.auto_relay` of the configuration makes us.
    #[error("this node looks for no relays: `relay.auto_relay` of its configuration makes it")]
    NoAutoRelay,
    /// We punch no holes: `punching` of the configuration makes us.
    #[error("this node punches no holes: `punching` of its configuration makes it")]
    NoPunching,
    /// What the coordinator of hole punches says of it.
    #[error(transparent)]
    Punch(tidewire_dcutr::coordinator::Misuse),
    /// What the relay says of it.
    #[error("{0}")]
    Relay(smol_str::SmolStr),
    /// What the connection manager says of it.
    #[error(transparent)]
    Manager(#[from] tidewire_connmgr::Misuse),
}
