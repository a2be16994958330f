//! Streams opened and closed, and memory reserved.

use super::ConnectionManager;
use super::view::MemoryScope;
use crate::limits::{LimitExceeded, ProtocolIx, Scope};
use crate::table::{ConnIx, PeerIx};
use crate::{Action, ConnectionId, Direction, Event, Misuse, StreamId, StreamRefusal};

impl ConnectionManager {
    pub(super) fn stream_opened(
        &mut self,
        connection: ConnectionId,
        stream: StreamId,
        direction: Direction,
        protocol: Option<&str>,
    ) -> Result<(), Misuse> {
        let ix = self.find_established(connection)?;
        if self.book.stream(ix, stream).is_some() {
            return Err(Misuse::StreamExists(connection, stream));
        }
        let Some((peer_ix, closing)) = self.book.connection(ix).and_then(|c| Some((c.peer?, c.is_closing()))) else {
            return Err(Misuse::NotEstablished(connection));
        };
        if closing {
            self.act(Action::RefuseStream { connection, stream, reason: StreamRefusal::Closing });
            return Ok(());
        }
        let (mut ours, mut theirs) = self.scopes(ix, peer_ix);
        let protocol = match self.limits.open_stream(direction, protocol, peer_ix.0, &mut ours, &mut theirs) {
            Ok(protocol) => protocol,
            Err(limit) => {
                self.act(Action::RefuseStream { connection, stream, reason: StreamRefusal::Limit(limit) });
                return Ok(());
            }
        };
        self.set_scopes(ix, peer_ix, ours, theirs);
        let _ = self.book.open_stream(self.now, ix, stream, direction, protocol.map(|protocol| protocol.0));
        self.streams_changed(ix, peer_ix);
        if let Some(peer) = self.book.peer(peer_ix).map(|peer| peer.id) {
            self.tell(Event::StreamOpened { connection, stream, peer, direction });
        }
        Ok(())
    }

    pub(super) fn stream_protocol(
        &mut self,
        connection: ConnectionId,
        stream: StreamId,
        protocol: &str,
    ) -> Result<(), Misuse> {
        let ix = self.find_established(connection)?;
        let Some(entry) = self.book.stream(ix, stream) else { return Err(Misuse::UnknownStream(connection, stream)) };
        if entry.protocol.is_some() {
            return Err(Misuse::ProtocolKnown(connection, stream));
        }
        let direction = entry.direction;
        let Some(peer_ix) = self.book.connection(ix).and_then(|c| c.peer) else { return Ok(()) };
        match self.limits.set_protocol(direction, protocol, peer_ix.0) {
            Ok(number) => {
                if let Some(entry) = self.book.stream_mut(ix, stream) {
                    entry.protocol = Some(number.0);
                }
            }
            Err(limit) => {
                self.take_stream_out(ix, peer_ix, stream);
                self.act(Action::RefuseStream { connection, stream, reason: StreamRefusal::Limit(limit) });
            }
        }
        Ok(())
    }

    pub(super) fn stream_closed(&mut self, connection: ConnectionId, stream: StreamId) -> Result<(), Misuse> {
        let ix = self.find_established(connection)?;
        if self.book.stream(ix, stream).is_none() {
            return Err(Misuse::UnknownStream(connection, stream));
        }
        if let Some(peer) = self.book.connection(ix).and_then(|entry| entry.peer) {
            self.take_stream_out(ix, peer, stream);
        }
        Ok(())
    }

    /// A stream is gone: out of the book, the limits, and the application's view.
    pub(super) fn take_stream_out(&mut self, ix: ConnIx, peer_ix: PeerIx, stream: StreamId) {
        let Some(entry) = self.book.close_stream(self.now, ix, stream) else { return };
        let (mut ours, mut theirs) = self.scopes(ix, peer_ix);
        self.limits.close_stream(entry.direction, entry.protocol.map(ProtocolIx), peer_ix.0, &mut ours, &mut theirs);
        self.set_scopes(ix, peer_ix, ours, theirs);
        self.streams_changed(ix, peer_ix);
        let connection = self.book.connection(ix).map(|entry| entry.id);
        let peer = self.book.peer(peer_ix).map(|peer| peer.id);
        if let (Some(connection), Some(peer)) = (connection, peer) {
            self.tell(Event::StreamClosed { connection, stream, peer });
        }
    }

    fn streams_changed(&mut self, ix: ConnIx, peer_ix: PeerIx) {
        let Some(entry) = self.book.connection(ix) else { return };
        let (id, open, closing) = (entry.id, entry.streams, entry.is_closing());
        if !closing {
            self.alive.streams(self.now, ix, open);
            self.standing_changed(peer_ix);
            self.pair_streams(peer_ix, id, open);
        }
    }

    fn scopes(&self, ix: ConnIx, peer_ix: PeerIx) -> (Scope, Scope) {
        let ours = self.book.connection(ix).map(|entry| entry.scope).unwrap_or_default();
        let theirs = self.book.peer(peer_ix).map(|entry| entry.scope).unwrap_or_default();
        (ours, theirs)
    }

    fn set_scopes(&mut self, ix: ConnIx, peer_ix: PeerIx, ours: Scope, theirs: Scope) {
        if let Some(entry) = self.book.connection_mut(ix) {
            entry.scope = ours;
        }
        if let Some(entry) = self.book.peer_mut(peer_ix) {
            entry.scope = theirs;
        }
    }

    /// Reserves bytes: for a connection, its peer and the system at once. All or nothing.
    ///
    /// Say it before allocating what a remote makes you allocate, and [`release`](Self::release) it afterwards. What is
    /// reserved for a connection is released when it is gone.
    ///
    /// # Errors
    /// The inner error: a limit is reached. The outer one: there is no such connection, or it is not established.
    pub fn reserve(&mut self, scope: MemoryScope, bytes: u64) -> Result<Result<(), LimitExceeded>, Misuse> {
        let (ix, peer_ix) = self.find_scope(scope, true)?;
        let (mut ours, mut theirs) = self.scopes_of(ix, peer_ix);
        let done =
            self.limits.reserve(bytes, ix.is_some().then_some(&mut ours), peer_ix.is_some().then_some(&mut theirs));
        self.set_scopes_of(ix, peer_ix, ours, theirs);
        if let Some(peer) = peer_ix {
            self.forget_if_blank(peer);
        }
        Ok(done)
    }

    /// Gives reserved bytes back, and says how many: no more than were reserved in this scope.
    ///
    /// # Errors
    /// There is no such connection, or it is not established.
    pub fn release(&mut self, scope: MemoryScope, bytes: u64) -> Result<u64, Misuse> {
        let (ix, peer_ix) = self.find_scope(scope, false)?;
        if matches!(scope, MemoryScope::Peer(_)) && peer_ix.is_none() {
            return Ok(0);
        }
        let (mut ours, mut theirs) = self.scopes_of(ix, peer_ix);
        // A peer's sum holds what its connections reserved, which is theirs to give back.
        let bytes = match (ix, peer_ix) {
            (None, Some(peer)) => {
                let of_connections: u64 = self.book.connections_of(peer).map(|(_, entry)| entry.scope.memory).sum();
                bytes.min(theirs.memory.saturating_sub(of_connections))
            }
            _ => bytes,
        };
        let released =
            self.limits.release(bytes, ix.is_some().then_some(&mut ours), peer_ix.is_some().then_some(&mut theirs));
        self.set_scopes_of(ix, peer_ix, ours, theirs);
        if let Some(peer) = peer_ix {
            self.forget_if_blank(peer);
        }
        Ok(released)
    }

    /// What is reserved for a connection goes with it.
    pub(super) fn release_all(&mut self, ix: ConnIx, peer_ix: PeerIx) {
        let (mut ours, mut theirs) = self.scopes(ix, peer_ix);
        if ours.memory > 0 {
            self.limits.release(ours.memory, Some(&mut ours), Some(&mut theirs));
            self.set_scopes(ix, peer_ix, ours, theirs);
        }
    }

    fn find_scope(&mut self, scope: MemoryScope, make: bool) -> Result<(Option<ConnIx>, Option<PeerIx>), Misuse> {
        match scope {
            MemoryScope::System => Ok((None, None)),
            MemoryScope::Peer(peer) => {
                Ok((None, if make { Some(self.book.intern(peer)) } else { self.book.find(&peer) }))
            }
            MemoryScope::Connection(connection) => {
                let ix = self.find_established(connection)?;
                Ok((Some(ix), self.book.connection(ix).and_then(|entry| entry.peer)))
            }
        }
    }

    fn scopes_of(&self, ix: Option<ConnIx>, peer: Option<PeerIx>) -> (Scope, Scope) {
        let ours = ix.and_then(|ix| self.book.connection(ix)).map(|entry| entry.scope).unwrap_or_default();
        let theirs = peer.and_then(|ix| self.book.peer(ix)).map(|entry| entry.scope).unwrap_or_default();
        (ours, theirs)
    }

    fn set_scopes_of(&mut self, ix: Option<ConnIx>, peer: Option<PeerIx>, ours: Scope, theirs: Scope) {
        if let Some(entry) = ix.and_then(|ix| self.book.connection_mut(ix)) {
            entry.scope = ours;
        }
        if let Some(entry) = peer.and_then(|ix| self.book.peer_mut(ix)) {
            entry.scope = theirs;
        }
    }
}
