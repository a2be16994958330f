//! Circuits in one value: connections whose transport is a stream of another one, and the streams that we relay between.
//!
//! ```text
//!   upper link  <--rx-- stream of the lower link        source's stream  <-- Splice -->  destination's stream
//!               --tx-->                                   of one link                      of another one
//! ```

use super::Solo;
use crate::link::StreamEvent;
use crate::{Carry, ConnectionId, Input, Splice as Order, StreamId};
use alloc::collections::{BTreeMap, BTreeSet};
use bytes::{Buf, BytesMut};
use core::time::Duration;
use tidewire_core::{EventMachine, Time};
use tidewire_relay::CircuitId;
use tidewire_relay::server::{CircuitEnd, Way};
use tidewire_relay::splice::Splice;
use tidewire_upgrade::connection::ReadStreamError;
use tidewire_upgrade::muxer::WriteError;
use tidewire_upgrade::pipeline::Plan;

/// No more is read of a circuit while this many bytes wait for the link that is made of it.
const MAX_RX: usize = 128 * 1024;

/// How many bytes went over a circuit is told no more often than this.
const TELL: Duration = Duration::from_secs(1);

/// A stream on its connection.
type At = (ConnectionId, StreamId);

/// What a stream that is a circuit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    /// The transport of this connection.
    Carries(ConnectionId),
    /// One half of what we relay.
    Half(CircuitId),
}

/// All of a node.
#[derive(Debug, Default)]
pub(super) struct Circuits {
    streams: BTreeMap<At, Use>,
    carried: BTreeMap<ConnectionId, At>,
    relayed: BTreeMap<CircuitId, Relayed>,
    timers: BTreeSet<(Time, CircuitId)>,
    /// Those that may have something to move.
    due: BTreeSet<Use>,
    /// Links that had no use for more: their streams are read on once they have.
    full: BTreeSet<ConnectionId>,
}

/// A circuit between others.
#[derive(Debug)]
struct Relayed {
    splice: Splice,
    source: At,
    destination: At,
    forward: Lane,
    backward: Lane,
    told: Time,
}

/// One direction: what was read, and waits to be written.
#[derive(Debug, Default)]
struct Lane {
    chunk: BytesMut,
    /// The side that it comes from has finished.
    ended: bool,
    /// That was handed on.
    finished: bool,
}

impl Lane {
    /// Whether nothing is read of the side that it comes from, and that side is not over: its last piece waits to be written, or
    /// it has finished, and the other direction still goes to it.
    fn is_unread(&self, back: &Lane) -> bool {
        if self.ended { !back.finished } else { !self.chunk.is_empty() }
    }
}

impl Circuits {
    /// Whether a connection is made of a circuit.
    pub(super) fn carries(&self, connection: ConnectionId) -> bool {
        self.carried.contains_key(&connection)
    }

    /// A connection that is made of a circuit has something to send, or was closed.
    pub(super) fn wake(&mut self, connection: ConnectionId) {
        self.due.insert(Use::Carries(connection));
    }

    /// How many are relayed.
    #[cfg(test)]
    pub(super) fn relayed(&self) -> usize {
        self.relayed.len()
    }

    /// Whether one may have something to move.
    pub(super) fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// A link has gone on, and so many bytes wait for it.
    pub(super) fn consumed(&mut self, connection: ConnectionId, waiting: usize) {
        if waiting < MAX_RX && self.full.remove(&connection) {
            self.wake(connection);
        }
    }

    /// Whether an event of a stream is ours, and no application's.
    pub(super) fn takes(&mut self, connection: ConnectionId, event: &StreamEvent) -> bool {
        let (StreamEvent::Readable(stream) | StreamEvent::Writable(stream) | StreamEvent::Reset { stream, .. }) = event
        else {
            return false;
        };
        let Some(used) = self.streams.get(&(connection, *stream)) else { return false };
        self.due.insert(*used);
        true
    }

    pub(super) fn deadline(&self) -> Time {
        self.timers.first().map_or(Time::NEVER, |(time, _)| *time)
    }

    /// Those whose time has come have something to do.
    pub(super) fn on_timeout(&mut self, now: Time) {
        while let Some((time, circuit)) = self.timers.first().copied()
            && time <= now
        {
            self.timers.remove(&(time, circuit));
            self.due.insert(Use::Half(circuit));
        }
    }

    pub(super) fn memory_used(&self) -> usize {
        let held = |relayed: &Relayed| relayed.forward.chunk.capacity() + relayed.backward.chunk.capacity();
        self.relayed.values().map(held).sum::<usize>()
            + self.relayed.len() * size_of::<(CircuitId, Relayed)>()
            + (self.streams.len() * 2 + self.full.len() + self.due.len() + self.timers.len()) * size_of::<(At, Use)>()
    }
}

impl Solo {
    /// A stream is to be a transport.
    pub(super) fn carry(&mut self, carry: Carry) {
        let Carry { over, dial, local, remote } = carry;
        let connection = self.fresh();
        let plan = if dial.is_some() { Plan::Initiate } else { Plan::Respond };
        self.insert(connection, plan, dial, &remote);
        self.circuits.streams.insert(over, Use::Carries(connection));
        self.circuits.carried.insert(connection, over);
        self.circuits.wake(connection);
        let input = match dial {
            Some((dial, _)) => Input::Dialed { dial, connection, local, remote },
            None => Input::Incoming { connection, local, remote, over: Some(over), asn: None },
        };
        if self.host.handle(self.now, input).is_err() {
            // It was aborted meanwhile.
            self.links.remove(&connection);
            self.circuits.carried.remove(&connection);
            self.circuits.streams.remove(&over);
            self.reset_stream(over);
        }
    }

    /// Two streams are to be one circuit.
    pub(super) fn splice(&mut self, order: Order) {
        let Order { circuit, source, destination, limit } = order;
        let splice = Splice::new(&limit, self.now);
        if !splice.deadline().is_never() {
            self.circuits.timers.insert((splice.deadline(), circuit));
        }
        let (forward, backward) = (Lane::default(), Lane::default());
        let relayed = Relayed { splice, source, destination, forward, backward, told: self.now };
        self.circuits.relayed.insert(circuit, relayed);
        for at in [source, destination] {
            self.circuits.streams.insert(at, Use::Half(circuit));
        }
        self.circuits.due.insert(Use::Half(circuit));
    }

    /// A circuit is to end.
    pub(super) fn unsplice(&mut self, circuit: CircuitId, why: CircuitEnd) {
        if let Some(relayed) = self.circuits.relayed.get_mut(&circuit) {
            relayed.splice.close(why);
            self.circuits.due.insert(Use::Half(circuit));
        }
    }

    /// Moves bytes of a circuit that may have some. False: there is none.
    pub(super) fn pump(&mut self) -> bool {
        match self.circuits.due.pop_first() {
            None => return false,
            Some(Use::Carries(connection)) => self.pump_carried(connection),
            Some(Use::Half(circuit)) => self.pump_relayed(circuit),
        }
        true
    }

    fn pump_carried(&mut self, connection: ConnectionId) {
        let Some(at) = self.circuits.carried.get(&connection).copied() else { return };
        // What there is to send.
        let mut tx = self.links.get_mut(&connection).map(|wire| core::mem::take(&mut wire.tx)).unwrap_or_default();
        let mut moved = false;
        while !tx.is_empty() {
            match self.write_stream(at, &tx) {
                Ok(count) => {
                    tx.advance(count);
                    moved = true;
                }
                Err(WriteError::Blocked) => break,
                // The remote takes no more; what it had said before is still read.
                Err(_) => tx.clear(),
            }
        }
        let Some(wire) = self.links.get_mut(&connection) else { return self.uncarry(connection, at) };
        wire.sending = !tx.is_empty();
        if wire.sending {
            wire.tx = tx;
        }
        if wire.closed {
            if !wire.sending {
                self.uncarry(connection, at);
            }
            return;
        }
        // What came.
        while let Some(wire) = self.links.get(&connection).filter(|wire| !wire.ended && wire.rx.len() < MAX_RX) {
            let first = wire.rx.is_empty();
            let read = self.read_stream(at);
            let Some(wire) = self.links.get_mut(&connection) else { return };
            moved |= read.is_ok();
            match read {
                Ok(Some(piece)) if first => wire.rx = piece,
                Ok(Some(piece)) => wire.rx.extend_from_slice(&piece),
                Ok(None) => wire.ended = true,
                Err(ReadStreamError::Blocked) => break,
                Err(error) => {
                    moved = true;
                    wire.link.broken(&alloc::string::ToString::to_string(&error));
                    wire.tx = BytesMut::new();
                    break;
                }
            }
        }
        if self.links.get(&connection).is_some_and(|wire| !wire.ended && wire.rx.len() >= MAX_RX) {
            // Nothing more may arrive before it is read on.
            self.circuits.full.insert(connection);
        }
        // Bytes came, or there is room to say more.
        if moved {
            self.due.insert(connection);
        }
    }

    /// A connection that was made of a circuit is closed, and all was sent: so is the circuit.
    fn uncarry(&mut self, connection: ConnectionId, at: At) {
        self.circuits.carried.remove(&connection);
        self.circuits.streams.remove(&at);
        self.circuits.full.remove(&connection);
        if let Some(wire) = self.links.get_mut(&at.0) {
            wire.link.leave(at.1, &mut wire.tx);
            self.due.insert(at.0);
            self.sweep(at.0);
        }
        self.sweep(connection);
    }

    fn pump_relayed(&mut self, circuit: CircuitId) {
        let Some(mut relayed) = self.circuits.relayed.remove(&circuit) else { return };
        self.circuits.timers.remove(&(relayed.splice.deadline(), circuit));
        relayed.splice.tick(self.now);
        self.run_lane(Way::Forward, &mut relayed);
        self.run_lane(Way::Backward, &mut relayed);
        self.notice_resets(&mut relayed);
        let (forward, backward) = (relayed.splice.bytes(Way::Forward), relayed.splice.bytes(Way::Backward));
        let end = match relayed.splice.ended() {
            Some(ended) => {
                for at in [relayed.source, relayed.destination] {
                    self.circuits.streams.remove(&at);
                    if ended.resets() {
                        self.reset_stream(at);
                    }
                }
                Some(ended.end)
            }
            None => {
                let tell = self.now.since(relayed.told) >= TELL;
                if tell {
                    relayed.told = self.now;
                }
                if !relayed.splice.deadline().is_never() {
                    self.circuits.timers.insert((relayed.splice.deadline(), circuit));
                }
                self.circuits.relayed.insert(circuit, relayed);
                if !tell {
                    return;
                }
                None
            }
        };
        // A circuit that the host has forgotten is of no matter to it.
        let _ = self.host.handle(self.now, Input::Spliced { circuit, end, forward, backward });
    }

    fn run_lane(&mut self, way: Way, relayed: &mut Relayed) {
        let (lane, from, to) = match way {
            Way::Forward => (&mut relayed.forward, relayed.source, relayed.destination),
            Way::Backward => (&mut relayed.backward, relayed.destination, relayed.source),
        };
        let (source_broke, destination_broke) = (CircuitEnd::SourceReset, CircuitEnd::DestinationReset);
        let (from_broke, to_broke) = match way {
            Way::Forward => (source_broke, destination_broke),
            Way::Backward => (destination_broke, source_broke),
        };
        let splice = &mut relayed.splice;
        while splice.ended().is_none() && !lane.finished {
            if lane.chunk.is_empty() && !lane.ended {
                match self.read_stream(from) {
                    Ok(Some(chunk)) => lane.chunk = chunk,
                    Ok(None) => lane.ended = true,
                    Err(ReadStreamError::Blocked) => return,
                    Err(_) => return splice.close(from_broke),
                }
            }
            if lane.chunk.is_empty() {
                if lane.ended {
                    if self.links.get_mut(&to.0).is_some_and(|wire| wire.link.awaits_circuit(to.1)) {
                        return;
                    }
                    lane.finished = true;
                    match self.finish_stream(to) {
                        true => splice.finished(way),
                        false => splice.close(to_broke),
                    }
                    return;
                }
                continue;
            }
            let room = splice.offer(way, lane.chunk.len());
            let Some(piece) = lane.chunk.get(..room).filter(|piece| !piece.is_empty()) else { return };
            match self.write_stream(to, piece) {
                Ok(count) => {
                    splice.moved(way, count);
                    lane.chunk.advance(count);
                    if lane.chunk.is_empty() {
                        // Even an empty handle would hold the buffer.
                        lane.chunk = BytesMut::new();
                    }
                }
                Err(WriteError::Blocked) => return,
                Err(_) => return splice.close(to_broke),
            }
        }
    }

    /// A side of which nothing is read now tells of its reset nowhere else.
    fn notice_resets(&mut self, relayed: &mut Relayed) {
        let Relayed { source, destination, forward, backward, .. } = &*relayed;
        let source = forward.is_unread(backward).then_some((*source, CircuitEnd::SourceReset));
        let destination = backward.is_unread(forward).then_some((*destination, CircuitEnd::DestinationReset));
        for (at, why) in source.into_iter().chain(destination) {
            if relayed.splice.ended().is_none() && self.is_reset(at) {
                relayed.splice.close(why);
            }
        }
    }

    fn is_reset(&mut self, at: At) -> bool {
        let written = self.write_stream(at, &[]);
        matches!(written, Err(WriteError::Reset { .. } | WriteError::Unknown | WriteError::Failed))
    }

    fn read_stream(&mut self, (connection, stream): At) -> Result<Option<BytesMut>, ReadStreamError> {
        let wire = self.links.get_mut(&connection).ok_or(ReadStreamError::Unknown)?;
        self.due.insert(connection);
        wire.link.read(stream, &mut wire.tx)
    }

    fn write_stream(&mut self, (connection, stream): At, data: &[u8]) -> Result<usize, WriteError> {
        let wire = self.links.get_mut(&connection).ok_or(WriteError::Unknown)?;
        self.due.insert(connection);
        wire.link.write(stream, data, &mut wire.tx)
    }

    fn finish_stream(&mut self, (connection, stream): At) -> bool {
        let Some(wire) = self.links.get_mut(&connection) else { return false };
        self.due.insert(connection);
        wire.link.finish(stream, &mut wire.tx).is_ok()
    }

    fn reset_stream(&mut self, (connection, stream): At) {
        if let Some(wire) = self.links.get_mut(&connection) {
            // It may be gone already.
            let _ = wire.link.reset(stream, 0, &mut wire.tx);
            self.due.insert(connection);
            self.sweep(connection);
        }
    }
}
