//! RESERVE and CONNECT: the checks in their order, and what is given. The table stands in the [module](super).

use super::acl::Asker;
use super::reservations::Place;
use super::table::NO_SLOT;
use super::{Action, Asked, Drain, Event, Misuse, Network, Refusal, Server, Verdict};
use crate::exchange::Reply;
use crate::{ConnectionId, StreamKey};
use tidewire_core::{PeerId, UnixTime};

/// Who asks, and over what.
#[derive(Clone, Copy)]
pub(super) struct Requester {
    /// The slots of the connection and of the peer in the book.
    connection: u32,
    pub(super) peer: u32,
    pub(super) id: PeerId,
    pub(super) network: Option<Network>,
    relayed: bool,
    /// Whether it has a reservation. Looked at early: among very many it takes time to come from memory.
    holds: bool,
}

/// What the checks of a CONNECT found.
#[derive(Clone, Copy)]
struct Found {
    /// The destination's slot.
    peer: u32,
    /// Where to open the stop stream.
    at: ConnectionId,
}

impl Server {
    pub(super) fn requested(&mut self, stream: StreamKey, asked: Asked) -> Result<(), Misuse> {
        let requester = self.requester(stream.connection)?;
        if self.questions.contains(stream) || self.circuits.of_stream(stream).is_some() {
            return Err(Misuse::StreamBusy(stream));
        }
        let done = match self.permitted(&requester, asked) {
            Err(why) => Err(why),
            Ok(false) => self.answer(stream, &requester, asked, false),
            Ok(true) => self.ask_application(stream, &requester, asked),
        };
        if let Err(why) = done {
            self.refuse(stream, requester.id, asked, why);
        }
        Ok(())
    }

    /// The application decided about a request.
    pub(super) fn decided(&mut self, stream: StreamKey, allow: bool) -> Result<(), Misuse> {
        let requester = self.requester(stream.connection)?;
        let question = self.questions.remove(stream).ok_or(Misuse::UnknownStream(stream))?;
        self.question_over(question.peer);
        let done = if allow { self.answer(stream, &requester, question.asked, true) } else { Err(Refusal::Denied) };
        if let Err(why) = done {
            self.refuse(stream, requester.id, question.asked, why);
        }
        Ok(())
    }

    /// Says no.
    pub(super) fn refuse(&mut self, stream: StreamKey, peer: PeerId, asked: Asked, why: Refusal) {
        let status = why.status(asked);
        let counter = match asked {
            Asked::Reserve => &mut self.counters.reservations_refused,
            Asked::Connect { .. } => &mut self.counters.circuits_refused,
        };
        *counter = counter.saturating_add(1);
        self.act(Action::Reply { stream, reply: Reply::Refused { status } });
        let connection = stream.connection;
        self.tell(Event::Refused { connection, peer, asked, why, count: 1 });
    }

    /// One question less about a peer.
    pub(super) fn question_over(&mut self, peer: u32) {
        if let Some(peer) = self.book.peer_mut(peer) {
            peer.questions = peer.questions.saturating_sub(1);
        }
    }

    pub(super) fn requester(&self, connection: ConnectionId) -> Result<Requester, Misuse> {
        let unknown = Misuse::UnknownConnection(connection);
        let (at, peer, found) = self.book.find(connection).ok_or(unknown)?;
        let entry = self.book.peer(peer).ok_or(unknown)?;
        let held = if entry.reservation == NO_SLOT { None } else { self.reservations.get(entry.reservation) };
        let (network, relayed) = (found.network, found.relayed);
        Ok(Requester { connection: at, peer, id: entry.id, network, relayed, holds: held.is_some() })
    }

    /// The checks that only look at who asks. `true`: the application has the last word.
    pub(super) fn permitted(&self, requester: &Requester, asked: Asked) -> Result<bool, Refusal> {
        if requester.relayed {
            return Err(Refusal::Relayed);
        }
        let acl = &self.config.acl;
        let connection = self.book.connection(requester.connection).filter(|_| !acl.rules.is_empty());
        let (ip, asn) = connection.map_or((None, None), |at| (at.remote.ip(), at.asn));
        match acl.verdict(&Asker { peer: requester.id, ip, asn }, asked) {
            Verdict::Allow => Ok(false),
            Verdict::Ask => Ok(true),
            Verdict::Deny => Err(Refusal::Denied),
        }
    }

    fn ask_application(&mut self, stream: StreamKey, requester: &Requester, asked: Asked) -> Result<(), Refusal> {
        self.offered()?;
        self.rate(requester, asked)?;
        let cap = self.config.acl_questions_per_peer;
        if self.book.peer(requester.peer).is_some_and(|peer| peer.questions >= cap) {
            return Err(Refusal::Questions { cap, of_peer: true });
        }
        let cap = self.config.acl_questions;
        if self.questions.len() >= cap {
            return Err(Refusal::Questions { cap, of_peer: false });
        }
        self.take_rate(requester, asked);
        if let Some(peer) = self.book.peer_mut(requester.peer) {
            peer.questions = peer.questions.saturating_add(1);
        }
        self.questions.add(stream, asked, requester.peer, self.now + self.config.acl_timeout);
        self.act(Action::AskAcl { stream, peer: requester.id, asked });
        Ok(())
    }

    /// All checks but the first ones, and what is given. `counted`: its rate was taken when the application was asked.
    fn answer(&mut self, stream: StreamKey, requester: &Requester, asked: Asked, counted: bool) -> Result<(), Refusal> {
        match asked {
            Asked::Reserve => {
                self.offered()?;
                self.admit(requester, asked, counted)?;
                self.room_to_reserve(requester)?;
                self.reserve(stream, requester);
            }
            Asked::Connect { destination } => {
                self.offered()?;
                // First the rate: else who asks for many ids could find out at no cost who holds here.
                self.admit(requester, asked, counted)?;
                let found = self.find_destination(destination)?;
                self.room_to_connect(requester, found)?;
                self.connect(stream, requester, found);
            }
        }
        Ok(())
    }

    /// The rate, and one of it taken: what fails a later check counts too.
    fn admit(&mut self, requester: &Requester, asked: Asked, counted: bool) -> Result<(), Refusal> {
        if counted {
            return Ok(());
        }
        self.rate(requester, asked)?;
        self.take_rate(requester, asked);
        Ok(())
    }

    /// Whether the service is there.
    pub(super) fn offered(&self) -> Result<(), Refusal> {
        if self.drain != Drain::No {
            return Err(Refusal::Draining);
        }
        if self.is_offered() { Ok(()) } else { Err(Refusal::NotServing) }
    }

    pub(super) fn rate(&self, requester: &Requester, asked: Asked) -> Result<(), Refusal> {
        let rates = match asked {
            Asked::Reserve => &self.reserve_rates,
            Asked::Connect { .. } => &self.connect_rates,
        };
        if let Err(again_in) = rates.peers.room(self.now, &requester.id) {
            return Err(Refusal::PeerRate { again_in });
        }
        match requester.network.map(|network| (network, rates.networks.room(self.now, &network))) {
            Some((network, Err(again_in))) => Err(Refusal::NetworkRate { network, again_in }),
            Some((_, Ok(()))) | None => Ok(()),
        }
    }

    fn take_rate(&mut self, requester: &Requester, asked: Asked) {
        let rates = match asked {
            Asked::Reserve => &mut self.reserve_rates,
            Asked::Connect { .. } => &mut self.connect_rates,
        };
        rates.peers.take(self.now, &requester.id);
        if let Some(network) = requester.network {
            rates.networks.take(self.now, &network);
        }
    }

    /// Whether there is room for a reservation. Always, if there is one already.
    pub(super) fn room_to_reserve(&self, requester: &Requester) -> Result<(), Refusal> {
        if requester.holds {
            return Ok(());
        }
        if let Some(connection) = self.book.connection(requester.connection) {
            self.reservations.room(Place::of(connection, &self.config), &self.config)?;
        }
        self.memory(1)
    }

    fn reserve(&mut self, stream: StreamKey, requester: &Requester) {
        let Some(unix) = self.unix() else { return };
        let ttl = self.config.reservation_ttl;
        let (until, expire) = (self.now + ttl, UnixTime::from_secs(unix.as_secs().saturating_add(ttl.as_secs())));
        let Some(connection) = self.book.connection(requester.connection) else { return };
        let place = Place::of(connection, &self.config);
        let held = self.book.peer(requester.peer).map_or(NO_SLOT, |peer| peer.reservation);
        let renewed = held != NO_SLOT;
        if renewed {
            self.reservations.renew(held, connection, place, until, expire, &self.config);
            self.counters.renewals = self.counters.renewals.saturating_add(1);
        } else {
            let slot = self.reservations.add(requester.peer, connection, place, self.now, until, expire);
            if let Some(peer) = self.book.peer_mut(requester.peer) {
                peer.reservation = slot;
            }
            self.counters.reservations = self.counters.reservations.saturating_add(1);
            self.act(Action::Keep { peer: requester.id });
        }
        let reply = Reply::Reserved { expire, addresses: self.addresses.clone(), limit: self.config.limit };
        self.act(Action::Reply { stream, reply });
        self.tell(Event::Reserved { peer: requester.id, expire, renewed });
    }

    fn find_destination(&self, destination: PeerId) -> Result<Found, Refusal> {
        let peer = self.book.find_peer(&destination);
        let holder = peer.filter(|slot| self.book.peer(*slot).is_some_and(|peer| peer.reservation != NO_SLOT));
        let found = holder.and_then(|peer| self.book.best(peer).map(|at| Found { peer, at }));
        found.ok_or(Refusal::NoReservation { destination })
    }

    fn room_to_connect(&self, requester: &Requester, destination: Found) -> Result<(), Refusal> {
        let cap = self.config.circuits_per_peer;
        let is_full = |peer| self.book.peer(peer).is_some_and(|peer| peer.circuits >= cap);
        if is_full(requester.peer) {
            return Err(Refusal::SourceCircuits { cap });
        }
        if is_full(destination.peer) {
            return Err(Refusal::DestinationCircuits { cap });
        }
        let cap = self.config.circuits;
        if self.circuits.len() >= cap {
            return Err(Refusal::Circuits { cap });
        }
        self.memory(self.config.memory_of_circuit())?;
        if requester.peer == destination.peer { Err(Refusal::Itself) } else { Ok(()) }
    }

    fn connect(&mut self, stream: StreamKey, requester: &Requester, Found { peer, at }: Found) {
        let until = self.now + self.config.stop_timeout;
        let ask = self.circuits.open(stream, (requester.peer, peer), at, self.now, until);
        for slot in [requester.peer, peer] {
            if let Some(peer) = self.book.peer_mut(slot) {
                peer.circuits = peer.circuits.saturating_add(1);
            }
        }
        self.act(Action::OpenStop { ask, connection: at, source: requester.id, limit: self.config.limit });
    }

    /// Whether so many bytes more may be held.
    fn memory(&self, more: u32) -> Result<(), Refusal> {
        let cap = self.config.memory;
        let fits = self.may_hold().saturating_add(more.into()) <= cap;
        if fits { Ok(()) } else { Err(Refusal::Memory { cap }) }
    }
}
