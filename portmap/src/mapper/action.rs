//! What a mapper says.

use super::MappingId;
use crate::wire::{NatPmpCode, PcpCode};
use crate::{Protocol, Transport};
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Send this from a UDP socket that is bound to our address on the way to the router.
    Send {
        /// Where to: the router.
        to: SocketAddr,
        /// What.
        datagram: Vec<u8>,
    },
    /// Tell the application.
    Event(Event),
}

/// What an application may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Event {
    /// The router leads this address to our port; or another one than before.
    Mapped {
        /// Which.
        mapping: MappingId,
        /// Of what.
        transport: Transport,
        /// Our port.
        port: u16,
        /// Where it is reached. Of a router behind another NAT it may be a private address, of no use to others.
        external: SocketAddr,
        /// For so long; it will be renewed before.
        lifetime: Duration,
        /// How.
        by: Protocol,
    },
    /// It is held for longer.
    Renewed {
        /// Which.
        mapping: MappingId,
        /// For so long from now.
        lifetime: Duration,
    },
    /// It is mapped no more. It is tried again, if it is still wanted.
    Lost {
        /// Which.
        mapping: MappingId,
        /// Where it was reached.
        external: SocketAddr,
        /// Why.
        why: Lost,
    },
    /// It could not be mapped, or renewed. It is tried again.
    Failed {
        /// Which.
        mapping: MappingId,
        /// Why.
        why: Refusal,
        /// In so long.
        again: Duration,
    },
    /// It was given back as asked.
    Unmapped {
        /// Which.
        mapping: MappingId,
        /// The router knows, or had nothing to give back; else it will notice when the lifetime is over.
        told: bool,
    },
    /// The router forgot what it knew; everything is asked for again.
    Restarted {
        /// Which.
        gateway: IpAddr,
    },
}

/// Why a mapping is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Lost {
    /// It was not renewed in time.
    Expired,
    /// There is another router now, or none.
    GatewayChanged,
}

/// Why a port could not be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Refusal {
    /// Nobody answered, in either protocol or in the one that it spoke before.
    NoAnswer {
        /// Who was asked.
        gateway: IpAddr,
    },
    /// PCP's error.
    Pcp(PcpCode),
    /// NAT-PMP's error.
    NatPmp(NatPmpCode),
    /// It said yes, to something that is nothing: no address, port 0, or for no time.
    Nothing,
    /// It spoke neither protocol, though it answered.
    NoProtocol,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NoAnswer { gateway } => {
                write!(f, "the router {gateway} does not answer: port mapping (PCP, NAT-PMP) may be switched off there")
            }
            Refusal::Pcp(code) => write!(f, "the router says by PCP: {code}"),
            Refusal::NatPmp(code) => write!(f, "the router says by NAT-PMP: {code}"),
            Refusal::Nothing => {
                f.write_str("the router gave a mapping without address, port or time: expected all three")
            }
            Refusal::NoProtocol => f.write_str("the router says that it speaks neither PCP nor NAT-PMP"),
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::Expired => f.write_str("it was not renewed in time"),
            Lost::GatewayChanged => f.write_str("there is another router now, or none"),
        }
    }
}
