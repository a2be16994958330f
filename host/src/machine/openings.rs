//! Streams that the application wants: which connection they go on, and what they wait for.
//!
//! ```text
//!            a connection that will do             the link's answer
//!  Open ---> Waiting ------------------> Ordered ------------------> StreamEvent::Opened, or OpenFailed
//!               |  no connection: dial      |  connection ended
//!               '---------------------------'--> OpenFailed, also when the time is over
//! ```

use super::{Host, Misuse};
use crate::input::OpenOptions;
use crate::link::{OpenFault, Order};
use crate::{Action, ConnectionId, Event, OpenFailure, OpenId, RequestId, StreamId};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use tidewire_connmgr as connmgr;
use tidewire_connmgr::StreamRefusal;
use tidewire_connmgr::dial::{DialOptions, DialReport};
use tidewire_core::{EventMachine, Multiaddr, PeerId, Time};
use tidewire_multistream::Protocols;

/// Request ids from here on are the host's own.
const OWN_REQUESTS: u64 = 1 << 62;

/// A wish for a stream.
#[derive(Clone, Debug)]
pub(super) struct Opening {
    pub(super) peer: PeerId,
    pub(super) protocols: Protocols,
    pub(super) options: OpenOptions,
    pub(super) deadline: Time,
    /// The dial that it waits for.
    pub(super) request: Option<RequestId>,
    /// The link that has the order.
    pub(super) connection: Option<ConnectionId>,
    /// The stream on that link that waits for the manager's word.
    stream: Option<StreamId>,
}

/// All wishes.
#[derive(Debug, Default)]
pub(super) struct Openings {
    all: BTreeMap<OpenId, Opening>,
    by_peer: BTreeSet<(PeerId, OpenId)>,
    by_connection: BTreeSet<(ConnectionId, OpenId)>,
    by_stream: BTreeMap<(ConnectionId, StreamId), OpenId>,
    by_request: BTreeMap<RequestId, OpenId>,
    /// Let in, and the link has yet to hear of it, or has: its streams that live.
    admitted: BTreeMap<OpenId, (ConnectionId, StreamId, PeerId)>,
    timers: BTreeSet<(Time, OpenId)>,
    requests: u64,
}

impl Openings {
    pub(super) fn deadline(&self) -> Time {
        self.timers.first().map_or(Time::NEVER, |(time, _)| *time)
    }

    pub(super) fn get(&self, open: OpenId) -> Option<&Opening> {
        self.all.get(&open)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (OpenId, &Opening)> {
        self.all.iter().map(|(open, opening)| (*open, opening))
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    fn insert(&mut self, open: OpenId, opening: Opening) {
        self.by_peer.insert((opening.peer, open));
        self.timers.insert((opening.deadline, open));
        self.all.insert(open, opening);
    }

    fn remove(&mut self, open: OpenId) -> Option<Opening> {
        let opening = self.all.remove(&open)?;
        self.by_peer.remove(&(opening.peer, open));
        self.timers.remove(&(opening.deadline, open));
        if let Some(connection) = opening.connection {
            self.by_connection.remove(&(connection, open));
            if let Some(stream) = opening.stream {
                self.by_stream.remove(&(connection, stream));
            }
        }
        if let Some(request) = opening.request {
            self.by_request.remove(&request);
        }
        Some(opening)
    }

    /// A number for a wish of our own.
    pub(super) fn own_request(&mut self) -> RequestId {
        let request = RequestId(OWN_REQUESTS.saturating_add(self.requests));
        self.requests = self.requests.saturating_add(1) % OWN_REQUESTS;
        request
    }

    /// A dial for it begins.
    fn dialing(&mut self, open: OpenId) -> Option<RequestId> {
        let request = self.own_request();
        let opening = self.all.get_mut(&open)?;
        opening.request = Some(request);
        self.by_request.insert(request, open);
        Some(request)
    }

    /// A link gets the order. Says which dial it needs no more.
    fn ordered(&mut self, open: OpenId, connection: ConnectionId) -> Option<RequestId> {
        let opening = self.all.get_mut(&open)?;
        opening.connection = Some(connection);
        self.by_connection.insert((connection, open));
        let request = opening.request.take()?;
        self.by_request.remove(&request);
        Some(request)
    }

    /// Those for whom a connection to this peer may do, the oldest ids first.
    fn waiting_for(&self, peer: PeerId) -> Vec<OpenId> {
        let range = (peer, OpenId(0))..=(peer, OpenId(u64::MAX));
        let waits = |open: &OpenId| self.all.get(open).is_some_and(|opening| opening.connection.is_none());
        self.by_peer.range(range).map(|(_, open)| *open).filter(waits).collect()
    }

    pub(super) fn of_connection(&self, connection: ConnectionId) -> Vec<OpenId> {
        let range = (connection, OpenId(0))..=(connection, OpenId(u64::MAX));
        self.by_connection.range(range).map(|(_, open)| *open).collect()
    }

    /// The link has the stream, and waits for the manager's word.
    pub(super) fn opened(&mut self, open: OpenId, connection: ConnectionId, stream: StreamId) {
        if let Some(opening) = self.all.get_mut(&open)
            && opening.connection == Some(connection)
            && opening.stream.is_none()
        {
            opening.stream = Some(stream);
            self.by_stream.insert((connection, stream), open);
        }
    }

    /// Whether this link has the order.
    fn is_on(&self, open: OpenId, connection: ConnectionId) -> bool {
        self.all.get(&open).is_some_and(|opening| opening.connection == Some(connection))
    }

    /// The wish whose stream this is.
    fn of_stream(&self, connection: ConnectionId, stream: StreamId) -> Option<OpenId> {
        self.by_stream.get(&(connection, stream)).copied()
    }

    /// The manager let the stream of a wish in: the wish is the link's to answer.
    fn admit(&mut self, connection: ConnectionId, stream: StreamId) {
        if let Some(open) = self.of_stream(connection, stream)
            && let Some(opening) = self.remove(open)
        {
            self.admitted.insert(open, (connection, stream, opening.peer));
            self.by_stream.insert((connection, stream), open);
        }
    }

    /// A stream is gone, in an orderly way.
    pub(super) fn closed(&mut self, connection: ConnectionId, stream: StreamId) {
        if let Some(open) = self.by_stream.get(&(connection, stream))
            && self.admitted.remove(open).is_some()
        {
            self.by_stream.remove(&(connection, stream));
        }
    }

    /// The link ended before it heard that the wish's stream was let in. Says whose it was.
    fn unanswered(&mut self, open: OpenId, connection: ConnectionId) -> Option<PeerId> {
        let (on, stream, peer) = *self.admitted.get(&open)?;
        if on != connection {
            return None;
        }
        self.admitted.remove(&open);
        self.by_stream.remove(&(connection, stream));
        Some(peer)
    }

    /// A connection is gone, with all its streams.
    pub(super) fn ended(&mut self, connection: ConnectionId) {
        let range = (connection, StreamId(0))..=(connection, StreamId(u64::MAX));
        let streams: Vec<StreamId> = self.by_stream.range(range).map(|((_, stream), _)| *stream).collect();
        for stream in streams {
            self.closed(connection, stream);
        }
    }

    pub(super) fn memory_used(&self) -> usize {
        // Each stands in three indexes, or four.
        self.all.len() * (size_of::<(OpenId, Opening)>() + size_of::<(PeerId, OpenId)>() + 64)
            + self.admitted.len() * (size_of::<(OpenId, ConnectionId, StreamId, PeerId)>() + 24)
    }
}

impl Host {
    pub(super) fn open(
        &mut self,
        open: OpenId,
        peer: PeerId,
        protocols: Protocols,
        options: OpenOptions,
    ) -> Result<(), Misuse> {
        if self.openings.get(open).is_some() || self.openings.admitted.contains_key(&open) {
            return Err(Misuse::OpenExists(open));
        }
        let limit = self.config.max_opening;
        let failure = if self.shut_down {
            Some(OpenFailure::Shutdown)
        } else if u32::try_from(self.openings.len()).unwrap_or(u32::MAX) >= limit {
            Some(OpenFailure::TooMany { limit })
        } else {
            None
        };
        if let Some(why) = failure {
            self.tell(Event::OpenFailed { open, peer, why });
            return Ok(());
        }
        let deadline = self.now + options.timeout;
        self.openings.insert(
            open,
            Opening { peer, protocols, options, deadline, request: None, connection: None, stream: None },
        );
        if self.try_open(open) {
            return Ok(());
        }
        if !options.dial {
            // A connection that a relay limits is one on which a direct one may follow: that is worth the wait.
            if !self.has_open(&peer) {
                self.fail_opening(open, OpenFailure::NotConnected);
            }
            return Ok(());
        }
        if let Some(request) = self.openings.dialing(open) {
            let mut dial = DialOptions::default();
            dial.direct_only = !options.limited && self.has_open(&peer);
            self.manage(connmgr::Input::Dial { request, peer, addresses: &[], options: dial });
        }
        Ok(())
    }

    pub(super) fn cancel_open(&mut self, open: OpenId) -> Result<(), Misuse> {
        self.end_opening(open).map(drop).ok_or(Misuse::UnknownOpen(open))
    }

    /// Takes a wish away, with what was begun for it.
    pub(super) fn end_opening(&mut self, open: OpenId) -> Option<Opening> {
        let opening = self.openings.remove(open)?;
        if let Some(request) = opening.request {
            self.manage(connmgr::Input::Cancel { request });
        }
        if let Some(connection) = opening.connection {
            self.act(Action::Order { connection, order: Order::Forget { open } });
        }
        Some(opening)
    }

    fn fail_opening(&mut self, open: OpenId, why: OpenFailure) {
        if let Some(opening) = self.openings.remove(open) {
            self.tell(Event::OpenFailed { open, peer: opening.peer, why });
        }
    }

    /// Gives the order to the best link, if one will do.
    fn try_open(&mut self, open: OpenId) -> bool {
        let Some(opening) = self.openings.get(open) else { return true };
        let Some(connection) = self.usable(&opening.peer, opening.options.limited) else { return false };
        let (protocols, selection) = (opening.protocols.clone(), opening.options.selection);
        if let Some(request) = self.openings.ordered(open, connection) {
            self.manage(connmgr::Input::Cancel { request });
        }
        self.act(Action::Order { connection, order: Order::Open { open, protocols, selection } });
        true
    }

    /// The connection on which new streams to a peer go.
    fn usable(&self, peer: &PeerId, limited: bool) -> Option<ConnectionId> {
        let best = self.manager.best_connection(peer, true)?;
        let is_limited = self.manager.connection(best).is_some_and(|view| view.limited);
        (limited || !is_limited).then_some(best)
    }

    /// Whether there is a connection to this peer that is not being closed: one on which a stream could go, or beside which
    /// a better one may come.
    fn has_open(&self, peer: &PeerId) -> bool {
        self.manager.best_connection(peer, true).is_some()
    }

    /// The last connection to this peer is gone: what waited for a better one beside it waits in vain.
    pub(super) fn fail_undialed(&mut self, peer: PeerId) {
        for open in self.openings.waiting_for(peer) {
            if self.openings.get(open).is_some_and(|opening| opening.request.is_none()) {
                self.fail_opening(open, OpenFailure::NotConnected);
            }
        }
    }

    /// There is another connection to this peer.
    pub(super) fn serve_openings(&mut self, peer: PeerId) {
        for open in self.openings.waiting_for(peer) {
            self.try_open(open);
        }
    }

    /// A dial was answered: was it ours?
    pub(super) fn opening_dialed(&mut self, request: RequestId) -> bool {
        if request.0 < OWN_REQUESTS {
            return false;
        }
        if let Some(open) = self.openings.by_request.remove(&request) {
            if let Some(opening) = self.openings.all.get_mut(&open) {
                opening.request = None;
            }
            // If the connection will not do, the wish waits for another one until its time is over; if it is gone already, it
            // waits for nothing.
            if !self.try_open(open) && self.openings.get(open).is_some_and(|opening| !self.has_open(&opening.peer)) {
                self.fail_opening(open, OpenFailure::NotConnected);
            }
        }
        true
    }

    /// A dial failed: was it ours?
    pub(super) fn opening_dial_failed(&mut self, request: RequestId, report: &DialReport) -> bool {
        if request.0 < OWN_REQUESTS {
            return false;
        }
        if let Some(open) = self.openings.by_request.remove(&request) {
            if let Some(opening) = self.openings.all.get_mut(&open) {
                opening.request = None;
                // With a connection that is limited, a hole punch may still make a better one.
                if self.manager.best_connection(&opening.peer, true).is_some() {
                    return true;
                }
            }
            self.fail_opening(open, OpenFailure::Dial(Box::new(report.clone())));
        }
        true
    }

    /// The manager let a stream in: the link answers the wish.
    pub(super) fn opening_admitted(&mut self, connection: ConnectionId, stream: StreamId) {
        self.openings.admit(connection, stream);
    }

    /// The manager did not let a stream in.
    pub(super) fn opening_refused(&mut self, connection: ConnectionId, stream: StreamId, reason: &StreamRefusal) {
        if let Some(open) = self.openings.of_stream(connection, stream) {
            self.fail_opening(open, OpenFailure::Link(OpenFault::Refused(reason.clone())));
        }
    }

    /// The link could not. What another link has to answer meanwhile, or nobody any more, is left alone.
    pub(super) fn open_failed(&mut self, open: OpenId, connection: ConnectionId, why: OpenFault) {
        if self.openings.is_on(open, connection) {
            self.fail_opening(open, OpenFailure::Link(why));
        } else if let Some(peer) = self.openings.unanswered(open, connection) {
            self.tell(Event::OpenFailed { open, peer, why: OpenFailure::Link(why) });
        }
    }

    pub(super) fn openings_timeout(&mut self) {
        while let Some((time, open)) = self.openings.timers.first().copied()
            && time <= self.now
        {
            let Some(opening) = self.end_opening(open) else { break };
            let limited = opening.connection.is_none() && self.has_open(&opening.peer);
            let why = OpenFailure::TimedOut { timeout: opening.options.timeout, limited };
            self.tell(Event::OpenFailed { open, peer: opening.peer, why });
        }
    }

    pub(super) fn connect(
        &mut self,
        request: RequestId,
        peer: PeerId,
        addresses: &[Multiaddr],
        options: DialOptions,
    ) -> Result<(), Misuse> {
        if request.0 >= OWN_REQUESTS {
            return Err(Misuse::ReservedRequest(request));
        }
        Ok(self.manager.handle(self.now, connmgr::Input::Dial { request, peer, addresses, options })?)
    }

    pub(super) fn cancel_connect(&mut self, request: RequestId) -> Result<(), Misuse> {
        if request.0 >= OWN_REQUESTS {
            return Err(Misuse::ReservedRequest(request));
        }
        Ok(self.manager.handle(self.now, connmgr::Input::Cancel { request })?)
    }
}
