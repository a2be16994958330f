//! What a mapper is told.

use super::MappingId;
use crate::Transport;
use core::net::{IpAddr, SocketAddr};
use thiserror::Error;
use tidewire_core::Time;

/// The router, and how we reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Gateway {
    /// The router's address on our side: the default route's.
    pub address: IpAddr,
    /// Our own address on the way to it.
    pub local: IpAddr,
}

/// What happened.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// The router that there is now, if any. The same one again changes nothing; with another one all begins anew.
    Gateway(Option<Gateway>),
    /// Have this port mapped, as long as there is a router.
    Map {
        /// The caller's name for it.
        mapping: MappingId,
        /// Of what.
        transport: Transport,
        /// Our port.
        port: u16,
        /// The port outside that would be best; `None`: the same as ours.
        suggested: Option<u16>,
    },
    /// Give it back. Idempotent.
    Unmap {
        /// Which.
        mapping: MappingId,
    },
    /// A datagram came to the socket that sends ours, or to one that listens for announcements
    /// ([`ANNOUNCE_PORT`](crate::wire::ANNOUNCE_PORT)).
    Datagram {
        /// From where. What isn't from the router is not looked at.
        from: SocketAddr,
        /// What.
        datagram: &'a [u8],
    },
    /// Give everything back, and take nothing more.
    Shutdown,
}

/// The caller's mistake. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Misuse {
    /// There is a mapping of this name.
    #[error("{0} is mapped already")]
    MappingExists(MappingId),
    /// This port is mapped already, under another name.
    #[error("{transport} port {port} is mapped already, as {by}")]
    PortTaken {
        /// Of what.
        transport: Transport,
        /// Which port.
        port: u16,
        /// Its name.
        by: MappingId,
    },
    /// Port 0 is all ports, which nobody wants.
    #[error("port 0 can't be mapped")]
    NoPort,
    /// As many as may be.
    #[error("{limit} mappings are wanted already, as many as may be")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// Nothing more is taken after `Shutdown`.
    #[error("it is shutting down")]
    ShutDown,
    /// Too many actions wait.
    #[error("{limit} actions wait to be polled")]
    Unpolled {
        /// The limit.
        limit: usize,
    },
    /// Time goes forward.
    #[error("it was {last:?} already, and now it is said to be {now:?}")]
    TimeWentBack {
        /// What was said.
        now: Time,
        /// The latest before.
        last: Time,
    },
}
