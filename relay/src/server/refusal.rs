//! Why a request was refused, and the status that says so.
//!
//! For each request the first check that fails decides; their order is the table of the [module](super).

use super::{Asked, Network};
use crate::Status;
use core::fmt;
use core::time::Duration;
use smol_str::SmolStr;
use tidewire_core::PeerId;

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It came over a connection that is relayed itself.
    Relayed,
    /// The access rules forbid it, or the application did.
    Denied,
    /// The application didn't decide in time.
    Undecided {
        /// How long it had.
        after: Duration,
    },
    /// We are shutting down.
    Draining,
    /// The service is not offered now.
    NotServing,
    /// The peer asks too often.
    PeerRate {
        /// When it may again.
        again_in: Duration,
    },
    /// Peers of its network ask too often.
    NetworkRate {
        /// Which network.
        network: Network,
        /// When they may again.
        again_in: Duration,
    },
    /// As many questions to the application are open as may be.
    Questions {
        /// How many may be.
        cap: u32,
        /// Whether of this peer, or of all.
        of_peer: bool,
    },
    /// A circuit to a peer that has no reservation.
    NoReservation {
        /// Which.
        destination: PeerId,
    },
    /// All reservations are taken.
    Reservations {
        /// How many there are.
        cap: u32,
    },
    /// All reservations of its network are taken.
    NetworkReservations {
        /// Which network.
        network: Network,
        /// How many it may have.
        cap: u32,
    },
    /// All reservations of its autonomous system are taken.
    AsnReservations {
        /// Which system.
        asn: u32,
        /// How many it may have.
        cap: u32,
    },
    /// The source has as many circuits as it may.
    SourceCircuits {
        /// How many it may have.
        cap: u32,
    },
    /// The destination has as many circuits as it may.
    DestinationCircuits {
        /// How many it may have.
        cap: u32,
    },
    /// All circuits are taken.
    Circuits {
        /// How many there are.
        cap: u32,
    },
    /// The memory for relaying is used up.
    Memory {
        /// Bytes that may be used.
        cap: u64,
    },
    /// A peer wants a circuit to itself.
    Itself,
    /// The destination refused.
    StopRefused {
        /// With what.
        status: Status,
    },
    /// The stop stream came to no answer.
    StopFailed {
        /// The caller's words, cut to 128 bytes.
        why: SmolStr,
    },
    /// The destination didn't answer in time.
    StopTimeout {
        /// How long it had.
        after: Duration,
    },
    /// The destination's connection ended before it answered.
    DestinationLost,
}

impl Refusal {
    /// What the remote is told (circuit-v2.md, "Reservation" and "Connection Initiation": the common codes; their order is
    /// go-libp2p's).
    pub fn status(&self, asked: Asked) -> Status {
        match self {
            Refusal::Relayed | Refusal::Denied | Refusal::Undecided { .. } => Status::PERMISSION_DENIED,
            Refusal::NoReservation { .. } => Status::NO_RESERVATION,
            Refusal::Itself
            | Refusal::StopRefused { .. }
            | Refusal::StopFailed { .. }
            | Refusal::StopTimeout { .. }
            | Refusal::DestinationLost => Status::CONNECTION_FAILED,
            _ => match asked {
                Asked::Reserve => Status::RESERVATION_REFUSED,
                Asked::Connect { .. } => Status::RESOURCE_LIMIT_EXCEEDED,
            },
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Relayed => f.write_str("it was asked over a relayed connection"),
            Refusal::Denied => f.write_str("the access rules forbid it"),
            Refusal::Undecided { after } => write!(f, "the application didn't decide within {after:?}"),
            Refusal::NoReservation { destination } => write!(f, "{destination} has no reservation"),
            Refusal::NotServing => f.write_str("the service is not offered now"),
            Refusal::Draining => f.write_str("we are shutting down"),
            Refusal::PeerRate { again_in } => {
                write!(f, "it asks too often: again in {again_in:?} (`reserve_per_peer`, `connect_per_peer`)")
            }
            Refusal::NetworkRate { network, again_in } => write!(
                f,
                "peers of {network} ask too often: again in {again_in:?} (`reserve_per_network`, `connect_per_network`)"
            ),
            Refusal::Questions { cap, of_peer } => {
                let (whose, field) =
                    if *of_peer { ("about it ", "acl_questions_per_peer") } else { ("", "acl_questions") };
                write!(f, "{cap} questions {whose}wait for the application already (`{field}` allows more)")
            }
            Refusal::Reservations { cap } => write!(f, "all {cap} reservations are taken (`reservations` allows more)"),
            Refusal::NetworkReservations { network, cap } => {
                write!(f, "all {cap} reservations of {network} are taken (`reservations_per_network` allows more)")
            }
            Refusal::AsnReservations { asn, cap } => {
                write!(f, "all {cap} reservations of AS{asn} are taken (`reservations_per_asn` allows more)")
            }
            Refusal::SourceCircuits { cap } => {
                write!(f, "the source has {cap} circuits already (`circuits_per_peer` allows more)")
            }
            Refusal::DestinationCircuits { cap } => {
                write!(f, "the destination has {cap} circuits already (`circuits_per_peer` allows more)")
            }
            Refusal::Circuits { cap } => write!(f, "all {cap} circuits are taken (`circuits` allows more)"),
            Refusal::Memory { cap } => write!(f, "the {cap} bytes for relaying are used up (`memory` allows more)"),
            Refusal::Itself => f.write_str("a circuit to itself is none"),
            Refusal::StopRefused { status } => write!(f, "the destination refused: {status}"),
            Refusal::StopFailed { why } => write!(f, "the destination could not be asked: {why}"),
            Refusal::StopTimeout { after } => write!(f, "the destination didn't answer within {after:?}"),
            Refusal::DestinationLost => f.write_str("the destination's connection ended before it answered"),
        }
    }
}
