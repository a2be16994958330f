//! Circuits that end here: connections whose transport is a stream to a relay.

use super::{connection_of, key, named};
use crate::link::{Fault, Order};
use crate::machine::Host;
use crate::machine::connections::may_be_its_circuit;
use crate::{Action, By, ConnectionId, DialId, StreamId};
use alloc::collections::BTreeMap;
use smol_str::{SmolStr, ToSmolStr};
use tidewire_connmgr::CloseReason;
use tidewire_core::{Multiaddr, Time};
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

/// Connections to relays that are to be closed once what goes over them has said its goodbye.
#[derive(Debug)]
pub(super) struct Goodbyes {
    waiting: BTreeMap<ConnectionId, CloseReason>,
    until: Time,
}

impl Default for Goodbyes {
    fn default() -> Self {
        Goodbyes { waiting: BTreeMap::new(), until: Time::NEVER }
    }
}

impl Goodbyes {
    pub(super) fn deadline(&self) -> Time {
        if self.waiting.is_empty() { Time::NEVER } else { self.until }
    }

    pub(super) fn memory_used(&self) -> usize {
        self.waiting.len() * size_of::<(ConnectionId, CloseReason)>()
    }
}

/// A circuit's end.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) limit: Limit,
    /// The connection that is made of it.
    pub(super) upper: Option<ConnectionId>,
    /// The same, when it is gone too.
    made: Option<ConnectionId>,
    /// The dial that it fulfils, until it is a connection.
    dial: Option<DialId>,
    /// The connection broke, and as whose doing and how its link took that. It is told once it is known why the circuit ended.
    held: Option<(By, Fault, SmolStr)>,
}

impl Circuits {
    /// A circuit is there. It becomes a connection once the driver says so.
    pub(super) fn insert(&mut self, stream: StreamKey, limit: Limit, dial: Option<DialId>) {
        if let Some(dial) = dial {
            self.dials.insert(dial, stream);
        }
        self.all.insert(stream, End { limit, upper: None, made: None, dial, held: None });
    }

    /// A connection is made of it. False: there is no such circuit.
    pub(super) fn carried(&mut self, connection: ConnectionId, stream: StreamKey) -> bool {
        let Some(end) = self.all.get_mut(&stream) else { return false };
        (end.upper, end.made) = (Some(connection), Some(connection));
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

    /// The connection that was made of it, if one was.
    pub(super) fn made_of(&self, stream: StreamKey) -> Option<ConnectionId> {
        self.all.get(&stream)?.made
    }

    /// Whether circuits of ours go over a connection.
    fn any_over(&self, connection: ConnectionId) -> bool {
        self.all.range(StreamKey::of(named(connection))).next().is_some()
    }

    /// A connection broke. The stream that it was made of, if it is to be waited for the reason.
    fn hold(&mut self, connection: ConnectionId, by: By, fault: Fault, why: &SmolStr) -> Option<StreamKey> {
        let stream = *self.uppers.get(&connection)?;
        self.all.get_mut(&stream)?.held = Some((by, fault, why.clone()));
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
    pub(in crate::machine) fn awaits_reason(
        &mut self,
        connection: ConnectionId,
        by: By,
        fault: Fault,
        why: &SmolStr,
    ) -> bool {
        if !may_be_its_circuit(fault) {
            return false;
        }
        let Some(stream) = self.relaying.circuits.hold(connection, by, fault, why) else { return false };
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
        let end = self.relaying.circuits.remove(stream);
        self.said_goodbye(connection_of(stream.connection));
        let Some(End { upper: Some(upper), held, .. }) = end else { return };
        // Of the others the connection's own link knows as much.
        let telling = matches!(why, CircuitEnd::LimitReached(_) | CircuitEnd::RelayLost);
        if telling {
            self.relaying.circuits.explained.insert(upper, why.to_smolstr());
        }
        if let Some((by, fault, text)) = held {
            self.ended(upper, by, fault, &text);
        }
    }

    /// A connection is to be closed for this reason: `None`, not yet. In a shutdown all are closed at one time, and a circuit's last
    /// words go over the connection to its relay.
    pub(in crate::machine) fn goodbyes_first(
        &mut self,
        connection: ConnectionId,
        reason: CloseReason,
    ) -> Option<CloseReason> {
        if reason != CloseReason::Shutdown || !self.relaying.circuits.any_over(connection) {
            return Some(reason);
        }
        let goodbyes = &mut self.relaying.goodbyes;
        if goodbyes.waiting.is_empty() {
            goodbyes.until = self.now + self.config.relay.goodbye;
        }
        goodbyes.waiting.insert(connection, reason);
        None
    }

    /// A circuit over this connection is over.
    fn said_goodbye(&mut self, connection: ConnectionId) {
        if !self.relaying.circuits.any_over(connection)
            && let Some(reason) = self.relaying.goodbyes.waiting.remove(&connection)
        {
            self.act(Action::Order { connection, order: Order::Close { reason } });
        }
    }

    /// Those that took too long are waited for no more.
    pub(super) fn goodbyes_timeout(&mut self) {
        if self.relaying.goodbyes.deadline() <= self.now {
            for (connection, reason) in core::mem::take(&mut self.relaying.goodbyes.waiting) {
                self.act(Action::Order { connection, order: Order::Close { reason } });
            }
        }
    }

    /// A connection is gone.
    pub(super) fn goodbyes_closed(&mut self, connection: ConnectionId) {
        self.relaying.goodbyes.waiting.remove(&connection);
    }

    /// Whether a relayed connection has limits. One whose circuit ended already is as good as limited.
    pub(in crate::machine) fn is_limited(&self, connection: ConnectionId) -> bool {
        self.relaying.circuits.limit(connection).is_none_or(|limit| !limit.is_unlimited())
    }
}
