//! What AutoRelay is told.

use crate::ConnectionId;
use crate::autonat::Reachability;
use crate::client;
use alloc::vec::Vec;
use core::time::Duration;
use tidewire_core::{Multiaddr, PeerId};

/// A peer that may be a relay.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Candidate {
    /// Who.
    pub peer: PeerId,
    /// Where. May be empty: where else it is known to be.
    pub addresses: Vec<Multiaddr>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Input<'a> {
    /// Whether others can connect to us ([`Reachability::combined`]). Unknown, until it is said.
    Reachability(Reachability),
    /// Peers that may be relays: what the source has for [`Action::Find`](super::Action::Find), or found by itself.
    Candidates(&'a [Candidate]),
    /// A connection is established: every one, whoever opened it.
    Connected {
        /// The caller's name for it.
        connection: ConnectionId,
        /// Who is at the other end.
        peer: PeerId,
        /// Where.
        remote: &'a Multiaddr,
        /// Whether a relay lies on the way.
        relayed: bool,
    },
    /// It ended.
    Disconnected {
        /// Which.
        connection: ConnectionId,
    },
    /// A peer said, by identify, which protocols it speaks: the first time, or others than before.
    Identified {
        /// Who.
        peer: PeerId,
        /// Whether [`Service::Hop`](crate::exchange::Service::Hop) is among them.
        speaks_hop: bool,
    },
    /// How long a round trip to a peer takes.
    Rtt {
        /// Who.
        peer: PeerId,
        /// The time, smoothed or not.
        rtt: Duration,
    },
    /// There is no connection to a candidate: the answer to [`Action::Connect`](super::Action::Connect) if it is not
    /// [`Connected`](Input::Connected).
    ConnectFailed {
        /// Who.
        peer: PeerId,
    },
    /// We have a reservation.
    Reserved {
        /// With whom.
        relay: PeerId,
    },
    /// A try to get one failed; what was held is held still.
    ReserveFailed {
        /// With whom.
        relay: PeerId,
        /// Whether the relay said no, or can't.
        refused: bool,
    },
    /// We have none any more.
    Lost {
        /// With whom.
        relay: PeerId,
    },
    /// Our addresses through relays, all of them: [`client::Action::Circuits`].
    Circuits(&'a [Multiaddr]),
    /// Our addresses without relays, all of them.
    Addresses {
        /// Where we listen, with real ports, and what others say.
        own: &'a [Multiaddr],
        /// Of them, those that were proven to be reachable one by one (AutoNAT v2).
        verified: &'a [Multiaddr],
    },
    /// Whether we serve as a relay ourselves: [`server::Action::Serve`](crate::server::Action::Serve).
    Serving(bool),
    /// We are advertised.
    Advertised {
        /// For how long; `None`: as asked.
        ttl: Option<Duration>,
    },
    /// We could not be advertised.
    AdvertiseFailed,
    /// We are on another network: nobody is left alone any more for what happened on the old one.
    NetworkChanged,
}

impl<'a> Input<'a> {
    /// What the relay client says that concerns AutoRelay.
    pub fn of_client(action: &'a client::Action) -> Option<Input<'a>> {
        Some(match action {
            client::Action::Circuits(circuits) => Input::Circuits(circuits),
            client::Action::Event(client::Event::Reserved { relay, .. }) => Input::Reserved { relay: *relay },
            client::Action::Event(client::Event::Refused { relay, .. }) => {
                Input::ReserveFailed { relay: *relay, refused: true }
            }
            client::Action::Event(client::Event::Failed { relay, .. }) => {
                Input::ReserveFailed { relay: *relay, refused: false }
            }
            client::Action::Event(client::Event::Lost { relay, .. }) => Input::Lost { relay: *relay },
            _ => return None,
        })
    }
}

/// What the caller did wrong, or news that crossed. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// As many actions wait to be polled as may: poll, then say it again.
    #[error("{0} actions or more wait to be polled: poll, then say it again")]
    Unpolled(u32),
    /// No such connection: it was never reported, or has ended.
    #[error("there is no connection {0}: it was never reported, or has ended")]
    UnknownConnection(ConnectionId),
    /// The id is in use.
    #[error("there is a connection {0} already")]
    ConnectionExists(ConnectionId),
    /// As many connections are known as may be.
    #[error("{0} connections are known already (`connections` allows more)")]
    TooManyConnections(u32),
}
