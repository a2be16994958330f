//! What an operator can see: who holds what, who talks to whom, and why the service is or isn't there.

use super::circuits::State;
use super::table::NO_SLOT;
use super::{Asked, Drain, Offer, Refusal, Server};
use crate::{CircuitId, ConnectionId};
use alloc::vec::Vec;
use core::fmt;
use tidewire_core::{Multiaddr, PeerId, Time, UnixTime};

/// All of it, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct View {
    /// Whether the service is offered, and why.
    pub standing: Standing,
    /// The reservations; the one that ends first stands first.
    pub reservations: Vec<ReservationView>,
    /// The circuits, in the order in which they were asked for.
    pub circuits: Vec<CircuitView>,
    /// How much there is now.
    pub counts: Counts,
    /// How much there was since the beginning.
    pub counters: Counters,
}

/// One reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReservationView {
    /// Whose.
    pub peer: PeerId,
    /// From where it was asked for last.
    pub address: Multiaddr,
    /// Over which connection; that may have ended.
    pub connection: ConnectionId,
    /// Since when the peer has it.
    pub since: Time,
    /// When it ends.
    pub until: Time,
    /// When it ends, as the peer was told.
    pub expire: UnixTime,
    /// How often it was renewed.
    pub renewals: u32,
    /// Circuits of the peer, in both roles.
    pub circuits: u32,
}

/// Where a circuit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitState {
    /// The destination is being asked.
    Opening,
    /// It carries bytes.
    Open,
    /// It is being closed.
    Closing,
}

/// One circuit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CircuitView {
    /// Its number.
    pub circuit: CircuitId,
    /// Who asked for it.
    pub source: PeerId,
    /// To whom it leads.
    pub destination: PeerId,
    /// Where it stands.
    pub state: CircuitState,
    /// Since when it is open; before that, since when the destination is asked.
    pub since: Time,
    /// When its time is over; [`Time::NEVER`] without a limit.
    pub until: Time,
    /// Bytes from the source to the destination, as far as was told.
    pub forward: u64,
    /// Bytes from the destination to the source, likewise.
    pub backward: u64,
}

/// How much there is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Connections that are known.
    pub connections: u32,
    /// Peers that are known: connected, or with a circuit that is being closed.
    pub peers: u32,
    /// Reservations.
    pub reservations: u32,
    /// Networks that hold any.
    pub networks: u32,
    /// Autonomous systems that hold any.
    pub systems: u32,
    /// Circuits, those that are being opened or closed included.
    pub circuits: u32,
    /// Questions that the application has not answered.
    pub questions: u32,
}

/// How much there was since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Counters {
    /// Reservations given, renewals not counted.
    pub reservations: u64,
    /// Renewals.
    pub renewals: u64,
    /// Requests for reservations that were refused.
    pub reservations_refused: u64,
    /// Circuits that were spliced.
    pub circuits: u64,
    /// Those of them that ended.
    pub circuits_ended: u64,
    /// Requests for circuits that were refused, for whatever reason.
    pub circuits_refused: u64,
    /// Those of them that failed at the destination.
    pub circuits_failed: u64,
    /// Bytes from sources to destinations.
    pub forward: u64,
    /// Bytes from destinations to sources.
    pub backward: u64,
}

/// Whether the service is offered, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// It is.
    Serving,
    /// We are not known to be reachable from anywhere.
    NotPublic,
    /// Nobody said what time it is.
    NoClock,
    /// It is switched off.
    Off,
    /// We are shutting down, and circuits are still there.
    Draining,
    /// We have shut down.
    Drained,
}

/// How things stand, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// Whether the service is offered, and why.
    pub standing: Standing,
    /// How much there is now.
    pub counts: Counts,
    /// Reservations that there may be.
    pub reservations_cap: u32,
    /// Circuits that there may be.
    pub circuits_cap: u32,
    /// Addresses that holders are told.
    pub addresses: usize,
    /// Bytes that relaying takes, with all that its circuits may hold: what [`ServerConfig::memory`](super::ServerConfig::memory)
    /// counts.
    pub memory: u64,
    /// How many it may take.
    pub memory_cap: u64,
}

/// How things stand for one peer, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerExplanation {
    /// Who.
    pub peer: PeerId,
    /// Its connections.
    pub connections: u32,
    /// Those of them that no relay carries.
    pub direct: u32,
    /// Its circuits, in both roles.
    pub circuits: u32,
    /// Its reservation.
    pub reservation: Option<ReservationView>,
    /// What a RESERVE over its youngest direct connection would be told now; `Err(None)`: it has no such connection.
    /// `Ok(true)`: the application would be asked.
    pub reserve: Result<bool, Option<Refusal>>,
}

impl Server {
    /// Everything, for an operator. Walks all of it.
    pub fn view(&self) -> View {
        View {
            standing: self.standing(),
            reservations: self.reservations.iter().filter_map(|held| self.reservation_view(held)).collect(),
            circuits: self.circuits.iter().filter_map(|(id, circuit)| self.circuit_view(id, circuit)).collect(),
            counts: self.counts(),
            counters: self.counters,
        }
    }

    /// How much there is now.
    pub fn counts(&self) -> Counts {
        let (networks, systems) = self.reservations.places();
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        Counts {
            connections: self.book.connections(),
            peers: self.book.peers(),
            reservations: self.reservations.len(),
            networks: count(networks),
            systems: count(systems),
            circuits: self.circuits.len(),
            questions: self.questions.len(),
        }
    }

    /// How much there was since the beginning.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether a peer has a reservation.
    pub fn has_reservation(&self, peer: &PeerId) -> bool {
        let slot = self.book.find_peer(peer).and_then(|slot| self.book.peer(slot));
        slot.is_some_and(|peer| peer.reservation != NO_SLOT)
    }

    /// Whether the service is offered, what is used, and what is left.
    pub fn explain(&self) -> Explanation {
        Explanation {
            standing: self.standing(),
            counts: self.counts(),
            reservations_cap: self.config.reservations,
            circuits_cap: self.config.circuits,
            addresses: self.addresses.len(),
            memory: self.may_hold(),
            memory_cap: self.config.memory,
        }
    }

    /// What a peer has, and what it would be told if it asked; `None` if it is not connected.
    pub fn explain_peer(&self, peer: &PeerId) -> Option<PeerExplanation> {
        let slot = self.book.find_peer(peer)?;
        let entry = self.book.peer(slot)?;
        let reserve = match self.book.best(slot).and_then(|connection| self.requester(connection).ok()) {
            None => Err(None),
            Some(requester) => self
                .permitted(&requester, Asked::Reserve)
                .and_then(|asks| {
                    self.offered()?;
                    self.rate(&requester, Asked::Reserve)?;
                    if !asks {
                        self.room_to_reserve(&requester)?;
                    }
                    Ok(asks)
                })
                .map_err(Some),
        };
        Some(PeerExplanation {
            peer: *peer,
            connections: entry.connections,
            direct: entry.direct,
            circuits: entry.circuits,
            reservation: self.reservations.get(entry.reservation).and_then(|held| self.reservation_view(held)),
            reserve,
        })
    }

    fn standing(&self) -> Standing {
        match (self.drain, self.config.offer) {
            (Drain::Done, _) => Standing::Drained,
            (Drain::Until(_) | Drain::Ending, _) => Standing::Draining,
            (Drain::No, Offer::Never) => Standing::Off,
            (Drain::No, Offer::WhilePublic) if !self.public => Standing::NotPublic,
            (Drain::No, _) if self.clock.is_none() => Standing::NoClock,
            (Drain::No, _) => Standing::Serving,
        }
    }

    fn reservation_view(&self, held: &super::reservations::Held) -> Option<ReservationView> {
        let peer = self.book.peer(held.peer)?;
        Some(ReservationView {
            peer: peer.id,
            address: held.address.clone(),
            connection: held.connection,
            since: held.since,
            until: held.until,
            expire: held.expire,
            renewals: held.renewals,
            circuits: peer.circuits,
        })
    }

    fn circuit_view(&self, circuit: CircuitId, at: &super::circuits::Circuit) -> Option<CircuitView> {
        let state = match at.state {
            State::Opening => CircuitState::Opening,
            State::Open => CircuitState::Open,
            State::Closing(_) => CircuitState::Closing,
        };
        Some(CircuitView {
            circuit,
            source: self.book.peer(at.source_peer)?.id,
            destination: self.book.peer(at.destination_peer)?.id,
            state,
            since: at.since,
            until: at.until,
            forward: at.forward,
            backward: at.backward,
        })
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Standing::Serving => "the relay service is offered",
            Standing::NotPublic => {
                "the relay service is not offered: we are not known to be reachable from anywhere (`offer` may force it)"
            }
            Standing::NoClock => "the relay service is not offered: the wall clock was never said",
            Standing::Off => "the relay service is switched off (`offer`)",
            Standing::Draining => "we are shutting down, and wait for the circuits",
            Standing::Drained => "we have shut down",
        })
    }
}

/// A cap, for a person.
struct Of(u32);

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == u32::MAX { f.write_str("any number") } else { write!(f, "{}", self.0) }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { reservations, circuits, questions, .. } = self.counts;
        writeln!(f, "{}", self.standing)?;
        writeln!(
            f,
            "{reservations} of {} reservations, {circuits} of {} circuits",
            Of(self.reservations_cap),
            Of(self.circuits_cap)
        )?;
        writeln!(f, "{} of {} bytes", self.memory, self.memory_cap)?;
        if questions > 0 {
            writeln!(f, "{questions} requests wait for the application")?;
        }
        match self.addresses {
            0 => write!(f, "holders are told no address of ours: none is public"),
            count => write!(f, "holders are told {count} addresses of ours"),
        }
    }
}

impl fmt::Display for PeerExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PeerExplanation { peer, connections, direct, circuits, .. } = self;
        write!(f, "{peer}: {connections} connections, {direct} of them direct, {circuits} circuits; ")?;
        match &self.reservation {
            Some(held) => write!(
                f,
                "a reservation until {} (UNIX time), renewed {} times; ",
                held.expire.as_secs(),
                held.renewals
            )?,
            None => f.write_str("no reservation; ")?,
        }
        let what = if self.reservation.is_some() { "a renewal" } else { "a reservation" };
        match &self.reserve {
            Ok(false) => write!(f, "{what} would be given"),
            Ok(true) => write!(f, "the application would be asked for {what}"),
            Err(Some(why)) => write!(f, "{what} would be refused: {why}"),
            Err(None) => f.write_str("it can't ask for one: no connection is direct"),
        }
    }
}
