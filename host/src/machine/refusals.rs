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

/// All that is quiet: of streams by connection, of connections together.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    streams: BTreeMap<ConnectionId, Quiet<RefusedStream>>,
    timers: BTreeSet<(Time, ConnectionId)>,
    connections: Option<Quiet<RefusedConnection>>,
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
        self.streams.len()
            * (size_of::<(ConnectionId, Quiet<RefusedStream>)>() + size_of::<(Time, ConnectionId)>() + 64)
    }
}

impl Host {
    /// The remote opened a stream, and it was refused.
    pub(super) fn refused_stream(&mut self, connection: ConnectionId, what: RefusedStream) {
        if let Some(quiet) = self.refusals.streams.get_mut(&connection) {
            return quiet.count(what);
        }
        self.tell_streams_refused(connection, what, 1);
        let until = self.now + self.config.refusals_interval;
        self.refusals.streams.insert(connection, Quiet::new(until));
        self.refusals.timers.insert((until, connection));
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
        let Some(mut quiet) = self.refusals.streams.remove(&connection) else { return };
        self.refusals.timers.remove(&(quiet.until, connection));
        if let Some((last, count)) = quiet.take() {
            self.tell_streams_refused(connection, last, count);
        }
    }

    pub(super) fn refusals_timeout(&mut self) {
        let until = self.now + self.config.refusals_interval;
        while let Some((time, connection)) = self.refusals.timers.first().copied()
            && time <= self.now
        {
            self.refusals.timers.remove(&(time, connection));
            let Some(quiet) = self.refusals.streams.get_mut(&connection) else { continue };
            // An interval of no time ends with the call in which it began.
            match quiet.take().filter(|_| until > self.now) {
                Some((last, count)) => {
                    quiet.until = until;
                    self.refusals.timers.insert((until, connection));
                    self.tell_streams_refused(connection, last, count);
                }
                None => drop(self.refusals.streams.remove(&connection)),
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

    fn tell_streams_refused(&mut self, connection: ConnectionId, what: RefusedStream, count: u64) {
        let (peer, protocol, reason) = what;
        self.tell(Event::StreamsRefused { connection, peer, protocol, reason, count });
    }

    fn tell_connections_refused(&mut self, what: RefusedConnection, count: u64) {
        let (connection, remote, peer, reason) = what;
        self.tell(Event::ConnectionsRefused { connection, remote, peer, reason, count });
    }
}
