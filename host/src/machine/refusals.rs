//! What was refused, told to the application, and no flood of it: the first at once, those that follow as one event a while later,
//! with their number.
//!
//! ```text
//!            refused: told                      the interval is over: none more was refused
//!  (nothing) -------------> Quiet <--------.  ----------------------------------------------> (nothing)
//!                             | refused: counted    some were: told, with the last one's data
//!                             '------------'--------------------------------------> Quiet
//! ```

use super::Host;
use crate::{ConnectionId, Event};
use alloc::collections::{BTreeMap, BTreeSet};
use tidewire_connmgr::{RefuseReason, StreamRefusal};
use tidewire_core::{Multiaddr, PeerId, Time};
use tidewire_multistream::Protocol;
use tidewire_relay as relay;
use tidewire_relay::client::{self, StopRefusal};
use tidewire_relay::server::{self, Asked};

/// Refusals of which the first was told.
#[derive(Debug)]
struct Quiet<T> {
    until: Time,
    more: u64,
    last: Option<T>,
}

/// Of a stream: its peer, its protocol, and why.
pub(super) type RefusedStream = (PeerId, Protocol, StreamRefusal);

/// Of a connection: its name, the remote's end, who was there, and why.
pub(super) type RefusedConnection = (ConnectionId, Multiaddr, Option<PeerId>, RefuseReason);

/// What was refused on a connection.
#[derive(Clone, Debug)]
pub(super) enum Refused {
    /// A stream.
    Stream(RefusedStream),
    /// What was asked of us as a relay: by whom, what, and why.
    Relay(PeerId, Asked, server::Refusal),
    /// A circuit to us: through whom, from whom, and why.
    Circuit(PeerId, PeerId, StopRefusal),
}

/// Each kind is quiet by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Stream,
    Relay,
    Circuit,
}

type Key = (ConnectionId, Kind);

/// All that is quiet: of what was refused on connections, by these; of connections together.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    on: BTreeMap<Key, Quiet<Refused>>,
    timers: BTreeSet<(Time, Key)>,
    connections: Option<Quiet<RefusedConnection>>,
}

impl Refused {
    fn kind(&self) -> Kind {
        match self {
            Refused::Stream(_) => Kind::Stream,
            Refused::Relay(..) => Kind::Relay,
            Refused::Circuit(..) => Kind::Circuit,
        }
    }
}

impl<T> Quiet<T> {
    fn new(until: Time) -> Self {
        Quiet { until, more: 0, last: None }
    }

    fn count(&mut self, what: T) {
        self.more = self.more.saturating_add(1);
        self.last = Some(what);
    }

    /// What was counted, if anything was.
    fn take(&mut self) -> Option<(T, u64)> {
        self.last.take().map(|last| (last, core::mem::take(&mut self.more)))
    }
}

impl Refusals {
    pub(super) fn deadline(&self) -> Time {
        let connections = self.connections.as_ref().map_or(Time::NEVER, |quiet| quiet.until);
        self.timers.first().map_or(Time::NEVER, |(time, _)| *time).min(connections)
    }

    pub(super) fn memory_used(&self) -> usize {
        self.on.len() * (size_of::<(Key, Quiet<Refused>)>() + size_of::<(Time, Key)>() + 64)
    }
}

impl Host {
    /// Something was refused on a connection.
    pub(super) fn refused(&mut self, connection: ConnectionId, what: Refused) {
        let key = (connection, what.kind());
        if let Some(quiet) = self.refusals.on.get_mut(&key) {
            return quiet.count(what);
        }
        self.tell_refused(connection, what, 1);
        // Of what it asked before it was gone, nothing is counted any more.
        if self.connections.contains_key(&connection) {
            let until = self.now + self.config.refusals_interval;
            self.refusals.on.insert(key, Quiet::new(until));
            self.refusals.timers.insert((until, key));
        }
    }

    /// Somebody connected, and was refused.
    pub(super) fn refused_connection(&mut self, what: RefusedConnection) {
        if let Some(quiet) = &mut self.refusals.connections {
            return quiet.count(what);
        }
        self.tell_connections_refused(what, 1);
        self.refusals.connections = Some(Quiet::new(self.now + self.config.refusals_interval));
    }

    /// A connection is no more: what was counted on it is told.
    pub(super) fn forget_refusals(&mut self, connection: ConnectionId) {
        for kind in [Kind::Stream, Kind::Relay, Kind::Circuit] {
            let key = (connection, kind);
            let Some(mut quiet) = self.refusals.on.remove(&key) else { continue };
            self.refusals.timers.remove(&(quiet.until, key));
            if let Some((last, count)) = quiet.take() {
                self.tell_refused(connection, last, count);
            }
        }
    }

    pub(super) fn refusals_timeout(&mut self) {
        let until = self.now + self.config.refusals_interval;
        while let Some((time, key)) = self.refusals.timers.first().copied()
            && time <= self.now
        {
            self.refusals.timers.remove(&(time, key));
            let Some(quiet) = self.refusals.on.get_mut(&key) else { continue };
            // An interval of no time ends with the call in which it began.
            match quiet.take().filter(|_| until > self.now) {
                Some((last, count)) => {
                    quiet.until = until;
                    self.refusals.timers.insert((until, key));
                    self.tell_refused(key.0, last, count);
                }
                None => drop(self.refusals.on.remove(&key)),
            }
        }
        if let Some(quiet) = &mut self.refusals.connections
            && quiet.until <= self.now
        {
            match quiet.take().filter(|_| until > self.now) {
                Some((last, count)) => {
                    quiet.until = until;
                    self.tell_connections_refused(last, count);
                }
                None => self.refusals.connections = None,
            }
        }
    }

    fn tell_refused(&mut self, connection: ConnectionId, what: Refused, count: u64) {
        self.tell(match what {
            Refused::Stream((peer, protocol, reason)) => {
                Event::StreamsRefused { connection, peer, protocol, reason, count }
            }
            Refused::Relay(peer, asked, why) => {
                let connection = relay::ConnectionId(connection.0);
                Event::Relay(server::Event::Refused { connection, peer, asked, why, count })
            }
            Refused::Circuit(relay, source, why) => {
                let connection = relay::ConnectionId(connection.0);
                Event::RelayClient(client::Event::CircuitRefused { connection, relay, source, why, count })
            }
        });
    }

    fn tell_connections_refused(&mut self, what: RefusedConnection, count: u64) {
        let (connection, remote, peer, reason) = what;
        self.tell(Event::ConnectionsRefused { connection, remote, peer, reason, count });
    }
}
