//! Streams opened and closed.

use super::ConnectionManager;
use crate::limits::{ProtocolIx, Scope};
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

    pub(super) fn scopes(&self, ix: ConnIx, peer_ix: PeerIx) -> (Scope, Scope) {
        let ours = self.book.connection(ix).map(|entry| entry.scope).unwrap_or_default();
        let theirs = self.book.peer(peer_ix).map(|entry| entry.scope).unwrap_or_default();
        (ours, theirs)
    }

    pub(super) fn set_scopes(&mut self, ix: ConnIx, peer_ix: PeerIx, ours: Scope, theirs: Scope) {
        if let Some(entry) = self.book.connection_mut(ix) {
            entry.scope = ours;
        }
        if let Some(entry) = self.book.peer_mut(peer_ix) {
            entry.scope = theirs;
        }
    }
}
