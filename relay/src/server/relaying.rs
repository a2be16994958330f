//! What becomes of circuits: answers of destinations, ends of streams and connections, time.

use super::circuits::{Circuit, Circuits, State};
use super::table::NO_SLOT;
use super::{Action, Asked, CircuitEnd, Event, MAX_TEXT, Misuse, Refusal, ReservationEnd, Server, StopAnswer};
use crate::exchange::Reply;
use crate::{AskId, CircuitId, ConnectionId, StreamKey};
use tidewire_core::{PeerId, Time, cut};

impl Server {
    pub(super) fn disconnected(&mut self, connection: ConnectionId) -> Result<(), Misuse> {
        let peer = self.book.disconnect(connection).ok_or(Misuse::UnknownConnection(connection))?;
        for stream in self.questions.on(connection) {
            if let Some(question) = self.questions.remove(stream) {
                self.question_over(question.peer);
            }
        }
        for id in self.circuits.on(connection) {
            let Some(circuit) = self.circuits.get(id) else { continue };
            let is_source = circuit.source.connection == connection;
            match (&circuit.state, is_source) {
                (State::Opening, true) => self.cancel(id),
                (State::Opening, false) => self.fail(id, Refusal::DestinationLost),
                (State::Open, true) => self.close(id, CircuitEnd::SourceDisconnected),
                (State::Open, false) => self.close(id, CircuitEnd::DestinationDisconnected),
                (State::Closing(_), _) => {}
            }
        }
        if self.book.peer(peer).is_some_and(|peer| peer.direct == 0) {
            let held = self.book.peer(peer).map_or(NO_SLOT, |peer| peer.reservation);
            self.end_reservation(held, ReservationEnd::Disconnected);
        }
        self.book.forget_if_blank(peer);
        Ok(())
    }

    pub(super) fn requester_gone(&mut self, stream: StreamKey) -> Result<(), Misuse> {
        if let Some(question) = self.questions.remove(stream) {
            self.question_over(question.peer);
            return Ok(());
        }
        let circuit = self.circuits.of_stream(stream).and_then(|id| self.circuits.get(id).map(|at| (id, at)));
        match circuit {
            Some((id, Circuit { source, state: State::Opening, .. })) if *source == stream => self.cancel(id),
            Some((id, Circuit { source, state: State::Open, .. })) if *source == stream => {
                self.close(id, CircuitEnd::RequesterGone);
            }
            Some((_, Circuit { source, state: State::Closing(_), .. })) if *source == stream => {}
            _ => return Err(Misuse::UnknownStream(stream)),
        }
        Ok(())
    }

    pub(super) fn stop_answered(&mut self, ask: AskId, answer: StopAnswer<'_>) -> Result<(), Misuse> {
        let id = Circuits::of_ask(ask);
        let circuit = self.circuits.get(id).filter(|circuit| circuit.state == State::Opening);
        let Circuit { source, at, .. } = *circuit.ok_or(Misuse::UnknownAsk(ask))?;
        match answer {
            StopAnswer::Accepted(stream) => {
                if stream.connection != at {
                    return Err(Misuse::OtherConnection { expected: at, got: stream });
                }
                if self.circuits.of_stream(stream).is_some() || self.questions.contains(stream) {
                    return Err(Misuse::StreamBusy(stream));
                }
                self.splice(id, source, stream);
            }
            StopAnswer::Refused(status) => self.fail(id, Refusal::StopRefused { status }),
            StopAnswer::Failed(why) => self.fail(id, Refusal::StopFailed { why: cut(why, MAX_TEXT).into() }),
        }
        Ok(())
    }

    pub(super) fn circuit_progress(&mut self, id: CircuitId, forward: u64, backward: u64) -> Result<(), Misuse> {
        let circuit = self.circuits.get_mut(id).filter(|circuit| circuit.state != State::Opening);
        let circuit = circuit.ok_or(Misuse::UnknownCircuit(id))?;
        for (total, counter, so_far) in [
            (&mut self.counters.forward, &mut circuit.forward, forward),
            (&mut self.counters.backward, &mut circuit.backward, backward),
        ] {
            // News may cross: what was counted once stays counted.
            *total = total.saturating_add(so_far.saturating_sub(*counter));
            *counter = so_far.max(*counter);
        }
        Ok(())
    }

    pub(super) fn circuit_ended(
        &mut self,
        id: CircuitId,
        end: CircuitEnd,
        forward: u64,
        backward: u64,
    ) -> Result<(), Misuse> {
        self.circuit_progress(id, forward, backward)?;
        self.end_circuit(id, end);
        Ok(())
    }

    fn end_circuit(&mut self, id: CircuitId, end: CircuitEnd) {
        let Some((circuit, source, destination)) = self.forget(id) else { return };
        let why = match (circuit.state, end) {
            (State::Closing(why), _) => *why,
            (_, CircuitEnd::Other { why }) => CircuitEnd::Other { why: cut(&why, MAX_TEXT).into() },
            (_, end) => end,
        };
        self.counters.circuits_ended = self.counters.circuits_ended.saturating_add(1);
        let lasted = self.now.since(circuit.since);
        let (forward, backward) = (circuit.forward, circuit.backward);
        let event = Event::CircuitClosed { circuit: id, source, destination, why, forward, backward, lasted };
        self.tell(event);
    }

    /// A circuit whose time has come: the destination's to answer, its own, or the caller's to close it.
    pub(super) fn circuit_due(&mut self, id: CircuitId) {
        match self.circuits.get(id).map(|circuit| &circuit.state) {
            Some(State::Opening) => {
                self.act(Action::CancelAsk { ask: AskId(id.0) });
                self.fail(id, Refusal::StopTimeout { after: self.config.stop_timeout });
            }
            Some(State::Open) => {
                let duration = self.config.limit.time().unwrap_or_default();
                self.close(id, CircuitEnd::TimeLimit { duration });
            }
            Some(State::Closing(why)) => {
                let why = (**why).clone();
                self.end_circuit(id, why);
            }
            None => {}
        }
    }

    /// Ends what is left of the circuits at the end of the grace.
    pub(super) fn close_all(&mut self) {
        for id in self.circuits.ids() {
            match self.circuits.get(id).map(|circuit| &circuit.state) {
                Some(State::Opening) => {
                    self.act(Action::CancelAsk { ask: AskId(id.0) });
                    self.fail(id, Refusal::Draining);
                }
                Some(State::Open) => self.close(id, CircuitEnd::Drained),
                _ => {}
            }
        }
    }

    /// Ends a reservation; no effect on a slot that holds none.
    pub(super) fn end_reservation(&mut self, slot: u32, why: ReservationEnd) {
        let Some(held) = self.reservations.remove(slot) else { return };
        let Some(peer) = self.book.peer_mut(held.peer) else { return };
        peer.reservation = NO_SLOT;
        let id = peer.id;
        self.act(Action::Release { peer: id });
        self.tell(Event::ReservationEnded { peer: id, why });
        self.book.forget_if_blank(held.peer);
    }

    fn splice(&mut self, id: CircuitId, source: StreamKey, destination: StreamKey) {
        let limit = self.config.limit;
        let until = limit.time().map_or(Time::NEVER, |duration| self.now + duration);
        self.circuits.accepted(id, destination, self.now, until);
        self.counters.circuits = self.counters.circuits.saturating_add(1);
        self.act(Action::Reply { stream: source, reply: Reply::Connected { limit } });
        self.act(Action::Splice { circuit: id, source, destination, limit });
        let peers = self.circuits.get(id).map(|circuit| (circuit.source_peer, circuit.destination_peer));
        if let Some((source, destination)) = peers.and_then(|peers| self.peer_ids(peers)) {
            self.tell(Event::CircuitOpened { circuit: id, source, destination });
        }
    }

    /// The destination can't be had: the requester hears it.
    fn fail(&mut self, id: CircuitId, why: Refusal) {
        if let Some((circuit, source, destination)) = self.forget(id) {
            self.counters.circuits_failed = self.counters.circuits_failed.saturating_add(1);
            self.refuse(circuit.source, source, Asked::Connect { destination }, why);
        }
    }

    /// Nobody waits for the destination any more.
    fn cancel(&mut self, id: CircuitId) {
        self.act(Action::CancelAsk { ask: AskId(id.0) });
        self.forget(id);
    }

    fn close(&mut self, id: CircuitId, why: CircuitEnd) {
        if self.circuits.closing(id, &why, self.now + self.config.close_timeout) {
            self.act(Action::CloseCircuit { circuit: id, why });
        }
    }

    /// Takes a circuit out, and from the counts of its peers, whom it names.
    fn forget(&mut self, id: CircuitId) -> Option<(Circuit, PeerId, PeerId)> {
        let circuit = self.circuits.remove(id)?;
        let peers = (circuit.source_peer, circuit.destination_peer);
        let (source, destination) = self.peer_ids(peers)?;
        for slot in [peers.0, peers.1] {
            if let Some(peer) = self.book.peer_mut(slot) {
                peer.circuits = peer.circuits.saturating_sub(1);
            }
            self.book.forget_if_blank(slot);
        }
        Some((circuit, source, destination))
    }

    fn peer_ids(&self, (source, destination): (u32, u32)) -> Option<(PeerId, PeerId)> {
        Some((self.book.peer(source)?.id, self.book.peer(destination)?.id))
    }
}
