//! Circuits: whether one that comes is accepted, and why one that was is over.

use super::Client;
use super::action::{Action, CircuitEnd, Event, StopRefusal};
use super::config::{AcceptFrom, at_least_a_millisecond};
use super::input::{Ending, Misuse};
use crate::exchange::Reply;
use crate::splice::Meter;
use crate::{ConnectionId, Limit, StreamKey};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use tidewire_core::{PeerId, Time};

/// All circuits, and those that the application is asked about.
#[derive(Debug, Default)]
pub(super) struct Circuits {
    open: BTreeMap<StreamKey, Circuit>,
    /// Of [`open`](Circuits::open), those that came to us.
    incoming: usize,
    asked: BTreeMap<StreamKey, Asked>,
}

#[derive(Debug)]
struct Circuit {
    relay: PeerId,
    peer: PeerId,
    limit: Limit,
    came: bool,
    since: Time,
}

#[derive(Debug)]
struct Asked {
    relay: PeerId,
    source: PeerId,
    limit: Limit,
    until: Time,
}

impl Circuits {
    pub(super) fn outgoing(&self) -> usize {
        self.open.len().saturating_sub(self.incoming)
    }

    /// Those that came, and those that the application is asked about.
    pub(super) fn incoming(&self) -> usize {
        self.incoming.saturating_add(self.asked.len())
    }

    pub(super) fn contains(&self, stream: StreamKey) -> bool {
        self.open.contains_key(&stream) || self.asked.contains_key(&stream)
    }

    fn of_source(&self, source: PeerId) -> usize {
        let open = self.open.values().filter(|circuit| circuit.came && circuit.peer == source).count();
        open.saturating_add(self.asked.values().filter(|asked| asked.source == source).count())
    }

    fn remove(&mut self, over: StreamKey) -> Option<Circuit> {
        let circuit = self.open.remove(&over)?;
        if circuit.came {
            self.incoming = self.incoming.saturating_sub(1);
        }
        Some(circuit)
    }

    pub(super) fn deadline(&self) -> Time {
        self.asked.values().map(|asked| asked.until).min().unwrap_or(Time::NEVER)
    }

    pub(super) fn memory_used(&self) -> usize {
        self.open.len() * size_of::<(StreamKey, Circuit)>() + self.asked.len() * size_of::<(StreamKey, Asked)>()
    }
}

impl Client {
    /// A dial has its circuit.
    pub(super) fn open_circuit(&mut self, over: StreamKey, relay: PeerId, peer: PeerId, limit: Limit) {
        let circuit = Circuit { relay, peer, limit, came: false, since: self.now };
        self.circuits.open.insert(over, circuit);
    }

    pub(super) fn stop_requested(&mut self, stream: StreamKey, source: PeerId, limit: Limit) -> Result<(), Misuse> {
        let link = self.links.get(stream.connection).ok_or(Misuse::UnknownConnection(stream.connection))?;
        if self.circuits.contains(stream) {
            return Err(Misuse::StreamBusy(stream));
        }
        let (relay, relayed) = (link.peer, link.relayed);
        if let Some(why) = self.stop_refusal(relay, relayed, source) {
            self.refuse(stream, relay, source, why);
        } else if self.config.ask_application {
            let until = self.now + at_least_a_millisecond(self.config.accept_timeout);
            self.circuits.asked.insert(stream, Asked { relay, source, limit, until });
            self.act(Action::AskAccept { stream, relay, source, limit });
        } else {
            self.accept(stream, relay, source, limit);
        }
        Ok(())
    }

    fn stop_refusal(&self, relay: PeerId, relayed: bool, source: PeerId) -> Option<StopRefusal> {
        let is_full = |len: usize, cap: u32| cap != u32::MAX && u32::try_from(len).is_ok_and(|len| len >= cap);
        Some(if relayed {
            StopRefusal::Relayed
        } else if source == self.local {
            StopRefusal::OwnPeer
        } else if self.config.accept == AcceptFrom::Nobody {
            StopRefusal::Nobody
        } else if !self.may_bring(relay) {
            StopRefusal::NotHeld
        } else if is_full(self.circuits.incoming(), self.config.circuits_in) {
            StopRefusal::TooMany
        } else if is_full(self.circuits.of_source(source), self.config.circuits_per_source) {
            StopRefusal::TooManyOfSource
        } else {
            return None;
        })
    }

    fn accept(&mut self, over: StreamKey, relay: PeerId, source: PeerId, limit: Limit) {
        self.circuits.open.insert(over, Circuit { relay, peer: source, limit, came: true, since: self.now });
        self.circuits.incoming = self.circuits.incoming.saturating_add(1);
        self.act(Action::Reply { stream: over, reply: Reply::Accepted });
        self.act(Action::CircuitIn { over, relay, source, limit });
    }

    fn refuse(&mut self, stream: StreamKey, relay: PeerId, source: PeerId, why: StopRefusal) {
        self.act(Action::Reply { stream, reply: Reply::Refused { status: why.status() } });
        let connection = stream.connection;
        self.tell(Event::CircuitRefused { connection, relay, source, why, count: 1 });
    }

    pub(super) fn requester_gone(&mut self, stream: StreamKey) -> Result<(), Misuse> {
        self.circuits.asked.remove(&stream).map(|_| ()).ok_or(Misuse::UnknownStream(stream))
    }

    pub(super) fn decide(&mut self, stream: StreamKey, allow: bool) -> Result<(), Misuse> {
        let asked = self.circuits.asked.remove(&stream).ok_or(Misuse::UnknownStream(stream))?;
        if allow {
            self.accept(stream, asked.relay, asked.source, asked.limit);
        } else {
            self.refuse(stream, asked.relay, asked.source, StopRefusal::Denied);
        }
        Ok(())
    }

    pub(super) fn circuits_timeout(&mut self) {
        let now = self.now;
        let due = |(_, asked): &(&StreamKey, &Asked)| asked.until <= now;
        let due: Vec<StreamKey> = self.circuits.asked.iter().filter(due).map(|(stream, _)| *stream).collect();
        for stream in due {
            if let Some(asked) = self.circuits.asked.remove(&stream) {
                self.refuse(stream, asked.relay, asked.source, StopRefusal::Undecided);
            }
        }
    }

    pub(super) fn circuit_ended(
        &mut self,
        over: StreamKey,
        ending: Ending,
        sent: u64,
        received: u64,
    ) -> Result<(), Misuse> {
        let circuit = self.circuits.remove(over).ok_or(Misuse::UnknownCircuit(over))?;
        let mut meter = Meter::new(circuit.since);
        meter.sent(usize::try_from(sent).unwrap_or(usize::MAX));
        meter.received(usize::try_from(received).unwrap_or(usize::MAX));
        let limit = &circuit.limit;
        let (reached, otherwise) = match ending {
            Ending::Local => (None, CircuitEnd::Local),
            Ending::Reset => (meter.explain_reset(limit, self.now), CircuitEnd::Reset),
            Ending::Closed => (meter.explain_close(limit), CircuitEnd::Closed),
        };
        let why = reached.map_or(otherwise, CircuitEnd::LimitReached);
        self.tell_end(over, &circuit, why);
        Ok(())
    }

    /// A connection is gone, and with it what went over it.
    pub(super) fn circuits_disconnected(&mut self, connection: ConnectionId) {
        let range = StreamKey::of(connection);
        let open: Vec<StreamKey> = self.circuits.open.range(range.clone()).map(|(over, _)| *over).collect();
        for over in open {
            if let Some(circuit) = self.circuits.remove(over) {
                self.tell_end(over, &circuit, CircuitEnd::RelayLost);
            }
        }
        let asked: Vec<StreamKey> = self.circuits.asked.range(range).map(|(stream, _)| *stream).collect();
        for stream in asked {
            self.circuits.asked.remove(&stream);
        }
    }

    fn tell_end(&mut self, over: StreamKey, circuit: &Circuit, why: CircuitEnd) {
        let lasted = self.now.since(circuit.since);
        let Circuit { relay, peer, .. } = *circuit;
        self.tell(Event::CircuitEnded { over, connection: None, relay, peer, why, lasted });
    }
}
