//! The circuits, from the stop stream that is opened for one to the news that both its streams are gone.
//!
//! ```text
//!  OpenStop --> Opening --accepted--> Open --CloseCircuit--> Closing
//!                  |                    |                       |
//!       refused, 30 s, either gone      +---- CircuitEnded -----+---> forgotten; Closing also after 30 s
//! ```
//! In each of them it counts for both peers and in all.

use super::CircuitEnd;
use super::book::tree_bytes;
use crate::{AskId, CircuitId, ConnectionId, StreamKey};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use tidewire_core::Time;

/// The circuits.
pub(super) struct Circuits {
    /// No circuit had this number or a greater one.
    next: u64,
    /// Each in memory of its own: a tree whose numbers only grow is half empty.
    circuits: BTreeMap<CircuitId, Box<Circuit>>,
    /// Their streams: the source's from the beginning, the destination's once it accepted.
    streams: BTreeMap<StreamKey, CircuitId>,
    /// Those that wait for their destination, by its connection.
    opening: BTreeSet<(ConnectionId, CircuitId)>,
    /// When each is to be looked at: not while open without a limit.
    times: BTreeSet<(Time, CircuitId)>,
}

/// One circuit.
pub(super) struct Circuit {
    pub(super) source: StreamKey,
    /// The slots of both peers in the book.
    pub(super) source_peer: u32,
    pub(super) destination_peer: u32,
    /// Where the stop stream is, or is to be opened.
    pub(super) at: ConnectionId,
    /// The stop stream on it, once the destination accepted.
    stop: Option<u64>,
    pub(super) state: State,
    /// Since when it is open; before that, since when it is being opened.
    pub(super) since: Time,
    pub(super) until: Time,
    pub(super) forward: u64,
    pub(super) backward: u64,
}

/// Where a circuit stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum State {
    Opening,
    Open,
    Closing(Box<CircuitEnd>),
}

impl Circuit {
    /// The destination's stream, once it accepted.
    pub(super) fn destination(&self) -> Option<StreamKey> {
        self.stop.map(|stream| StreamKey { connection: self.at, stream })
    }
}

impl Circuits {
    pub(super) const fn new() -> Self {
        Circuits {
            next: 0,
            circuits: BTreeMap::new(),
            streams: BTreeMap::new(),
            opening: BTreeSet::new(),
            times: BTreeSet::new(),
        }
    }

    /// The question on the stop stream bears the circuit's number.
    pub(super) fn of_ask(ask: AskId) -> CircuitId {
        CircuitId(ask.0)
    }

    /// A circuit that waits for its destination until `until`.
    pub(super) fn open(
        &mut self,
        source: StreamKey,
        peers: (u32, u32),
        at: ConnectionId,
        now: Time,
        until: Time,
    ) -> AskId {
        let id = CircuitId(self.next);
        self.next = self.next.saturating_add(1);
        self.streams.insert(source, id);
        self.opening.insert((at, id));
        self.watch(id, until);
        let (source_peer, destination_peer) = peers;
        let (stop, state, since) = (None, State::Opening, now);
        let circuit =
            Circuit { source, source_peer, destination_peer, at, stop, state, since, until, forward: 0, backward: 0 };
        self.circuits.insert(id, Box::new(circuit));
        AskId(id.0)
    }

    /// The destination accepted on this stream; the circuit may last until `until`.
    pub(super) fn accepted(&mut self, id: CircuitId, stream: StreamKey, now: Time, until: Time) {
        let Some(circuit) = self.circuits.get_mut(&id) else { return };
        self.times.remove(&(circuit.until, id));
        (circuit.stop, circuit.state) = (Some(stream.stream), State::Open);
        (circuit.since, circuit.until) = (now, until);
        self.opening.remove(&(circuit.at, id));
        self.streams.insert(stream, id);
        self.watch(id, until);
    }

    /// It is being closed, and forgotten at `until` at the latest. Whether it was open.
    pub(super) fn closing(&mut self, id: CircuitId, why: &CircuitEnd, until: Time) -> bool {
        let Some(circuit) = self.circuits.get_mut(&id) else { return false };
        if circuit.state != State::Open {
            return false;
        }
        circuit.state = State::Closing(Box::new(why.clone()));
        self.times.remove(&(circuit.until, id));
        circuit.until = until;
        self.watch(id, until);
        true
    }

    pub(super) fn remove(&mut self, id: CircuitId) -> Option<Circuit> {
        let circuit = self.circuits.remove(&id)?;
        self.streams.remove(&circuit.source);
        if let Some(stream) = circuit.destination() {
            self.streams.remove(&stream);
        }
        self.opening.remove(&(circuit.at, id));
        self.times.remove(&(circuit.until, id));
        Some(*circuit)
    }

    pub(super) fn get(&self, id: CircuitId) -> Option<&Circuit> {
        self.circuits.get(&id).map(Box::as_ref)
    }

    pub(super) fn get_mut(&mut self, id: CircuitId) -> Option<&mut Circuit> {
        self.circuits.get_mut(&id).map(Box::as_mut)
    }

    /// The circuit that a stream belongs to.
    pub(super) fn of_stream(&self, stream: StreamKey) -> Option<CircuitId> {
        self.streams.get(&stream).copied()
    }

    /// The circuits that go over a connection, at either end, or are to, the oldest first.
    pub(super) fn on(&self, connection: ConnectionId) -> Vec<CircuitId> {
        let streams = StreamKey { connection, stream: 0 }..=StreamKey { connection, stream: u64::MAX };
        let opening = (connection, CircuitId(0))..=(connection, CircuitId(u64::MAX));
        let mut all: Vec<_> = self.streams.range(streams).map(|(_, id)| *id).collect();
        all.extend(self.opening.range(opening).map(|(_, id)| *id));
        all.sort_unstable();
        // Both ends may be on one connection.
        all.dedup();
        all
    }

    /// Whose time is next.
    pub(super) fn next(&self) -> Option<(Time, CircuitId)> {
        self.times.first().copied()
    }

    /// One whose time has come by `now`, which is not looked at again.
    pub(super) fn take_due(&mut self, now: Time) -> Option<CircuitId> {
        let (at, id) = self.next().filter(|(at, _)| *at <= now)?;
        self.times.remove(&(at, id));
        Some(id)
    }

    pub(super) fn ids(&self) -> Vec<CircuitId> {
        self.circuits.keys().copied().collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (CircuitId, &Circuit)> {
        self.circuits.iter().map(|(id, circuit)| (*id, &**circuit))
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.circuits.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn memory_used(&self) -> usize {
        tree_bytes::<(CircuitId, Box<Circuit>)>(self.circuits.len())
            + self.circuits.len() * size_of::<Circuit>()
            + tree_bytes::<(StreamKey, CircuitId)>(self.streams.len())
            + tree_bytes::<(ConnectionId, CircuitId)>(self.opening.len())
            + tree_bytes::<(Time, CircuitId)>(self.times.len())
    }

    fn watch(&mut self, id: CircuitId, until: Time) {
        if !until.is_never() {
            self.times.insert((until, id));
        }
    }
}
