//! Circuits that end here: connections whose transport is a stream to a relay.

use super::key;
use crate::link::Fault;
use crate::machine::Host;
use crate::{By, ConnectionId, DialId, StreamId};
use alloc::collections::BTreeMap;
use smol_str::{SmolStr, ToSmolStr};
use tidewire_core::Multiaddr;
use tidewire_relay::client::CircuitEnd;
use tidewire_relay::{Limit, StreamKey};

/// Those of a host, by the streams that they are made of.
#[derive(Debug, Default)]
pub(super) struct Circuits {
    all: BTreeMap<StreamKey, End>,
    /// The connections that are made of them.
    uppers: BTreeMap<ConnectionId, StreamKey>,
    dials: BTreeMap<DialId, StreamKey>,
    /// Dials that the relay's client works at, and where they lead.
    dialing: BTreeMap<DialId, Multiaddr>,
    /// Why the circuits of connections ended that are still to hear of it.
    explained: BTreeMap<ConnectionId, SmolStr>,
}

/// A circuit's end.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) limit: Limit,
    /// The connection that is made of it.
    pub(super) upper: Option<ConnectionId>,
    /// The dial that it fulfils, until it is a connection.
    dial: Option<DialId>,
    /// The connection broke, and as whose doing and how its link took that. It is told once it is known why the circuit ended.
    held: Option<(By, SmolStr)>,
}

impl Circuits {
    /// A circuit is there. It becomes a connection once the driver says so.
    pub(super) fn insert(&mut self, stream: StreamKey, limit: Limit, dial: Option<DialId>) {
        if let Some(dial) = dial {
            self.dials.insert(dial, stream);
        }
        self.all.insert(stream, End { limit, upper: None, dial, held: None });
    }

    /// A connection is made of it. False: there is no such circuit.
    pub(super) fn carried(&mut self, connection: ConnectionId, stream: StreamKey) -> bool {
        let Some(end) = self.all.get_mut(&stream) else { return false };
        end.upper = Some(connection);
        self.uppers.insert(connection, stream);
        true
    }

    /// The same, of a dial.
    pub(super) fn dialed(&mut self, connection: ConnectionId, dial: DialId) {
        if let Some(stream) = self.dials.remove(&dial) {
            self.carried(connection, stream);
        }
    }

    /// The relay's client works at a dial.
    pub(super) fn dialing(&mut self, dial: DialId, address: Multiaddr) {
        self.dialing.insert(dial, address);
    }

    /// It does no more. Where it leads.
    pub(super) fn undial(&mut self, dial: DialId) -> Option<Multiaddr> {
        self.dialing.remove(&dial)
    }

    /// Whether a stream is a circuit's, or is to be.
    pub(super) fn has(&self, stream: StreamKey) -> bool {
        self.all.contains_key(&stream)
    }

    /// A connection broke. The stream that it was made of, if it is to be waited for the reason.
    fn hold(&mut self, connection: ConnectionId, by: By, why: &SmolStr) -> Option<StreamKey> {
        let stream = *self.uppers.get(&connection)?;
        self.all.get_mut(&stream)?.held = Some((by, why.clone()));
        Some(stream)
    }

    /// What limits a connection that is made of a circuit.
    pub(super) fn limit(&self, connection: ConnectionId) -> Option<Limit> {
        self.uppers.get(&connection).and_then(|stream| self.all.get(stream)).map(|end| end.limit)
    }

    /// A circuit's stream is over.
    pub(super) fn remove(&mut self, stream: StreamKey) -> Option<End> {
        let end = self.all.remove(&stream)?;
        if let Some(upper) = end.upper {
            self.uppers.remove(&upper);
        }
        // The driver may have dropped the dial, or be about to say that it failed.
        if let Some(dial) = end.dial {
            self.dials.remove(&dial);
        }
        Some(end)
    }

    /// A connection is gone. What went over it ends by a word of the relay's client.
    pub(super) fn closed(&mut self, connection: ConnectionId) {
        self.explained.remove(&connection);
        let stream = self.uppers.remove(&connection);
        if let Some(end) = stream.and_then(|stream| self.all.get_mut(&stream)) {
            (end.upper, end.held) = (None, None);
        }
    }

    pub(super) fn memory_used(&self) -> usize {
        let dialing = self.dialing.values().map(|address| size_of::<(DialId, Multiaddr)>() + address.memory_used());
        self.all.len() * (size_of::<(StreamKey, End)>() + size_of::<(ConnectionId, StreamKey)>())
            + self.dials.len() * size_of::<(DialId, StreamKey)>()
            + dialing.sum::<usize>()
            + self.explained.len() * size_of::<(ConnectionId, SmolStr)>()
    }
}

impl Host {
    /// Where an incoming connection is from, beside its address: of a circuit that was asked of us, of which network.
    pub(in crate::machine) fn arrived(
        &mut self,
        connection: ConnectionId,
        over: Option<(ConnectionId, StreamId)>,
        asn: Option<u32>,
    ) {
        if let Some((lower, stream)) = over {
            self.relaying.circuits.carried(connection, key(lower, stream));
        }
        if let Some(entry) = self.connections.get_mut(&connection) {
            entry.asn = asn;
        }
    }

    /// A connection is made of a circuit that we asked for, if this dial was of one.
    pub(in crate::machine) fn carried_dial(&mut self, connection: ConnectionId, dial: DialId) {
        self.relaying.circuits.dialed(connection, dial);
    }

    /// A connection broke. True: it is made of a circuit, and is told to be closed once it is known why that ended.
    pub(in crate::machine) fn awaits_reason(&mut self, connection: ConnectionId, by: By, why: &SmolStr) -> bool {
        let Some(stream) = self.relaying.circuits.hold(connection, by, why) else { return false };
        // Its end is near anyway: this way it doesn't depend on anybody.
        self.reset_stream(stream);
        true
    }

    /// Why the circuit of a connection that broke had ended, if that says more than the link could.
    pub(in crate::machine) fn reason_of_circuit(&mut self, connection: ConnectionId) -> Option<SmolStr> {
        self.relaying.circuits.explained.remove(&connection)
    }

    /// It was told why a circuit ended: now the connection that is made of it may be closed.
    pub(super) fn circuit_explained(&mut self, stream: StreamKey, why: CircuitEnd) {
        let Some(End { upper: Some(upper), held, .. }) = self.relaying.circuits.remove(stream) else { return };
        // Of the others the connection's own link knows as much.
        let telling = matches!(why, CircuitEnd::LimitReached(_) | CircuitEnd::RelayLost);
        if telling {
            self.relaying.circuits.explained.insert(upper, why.to_smolstr());
        }
        if let Some((by, text)) = held {
            self.ended(upper, by, Fault::Transport, &text);
        }
    }

    /// Whether a relayed connection has limits. One whose circuit ended already is as good as limited.
    pub(in crate::machine) fn is_limited(&self, connection: ConnectionId) -> bool {
        self.relaying.circuits.limit(connection).is_none_or(|limit| !limit.is_unlimited())
    }
}
