//! Memory: what callers reserve, and what connections make us keep.
//!
//! ```text
//! reserve --> within the caps: counted               release, or the connection's end --> given back
//!         '-> above one: an error, nothing counted
//! Holds ----> counted in any case, for it is in use; above a cap: who holds most is closed, and gives it back
//! ```

use super::ConnectionManager;
use super::view::MemoryScope;
use crate::limits::{Limit, LimitExceeded, Scope};
use crate::table::{ConnIx, PeerIx};
use crate::{CloseReason, ConnectionId, Misuse};

impl ConnectionManager {
    /// What a connection makes us keep now.
    pub(super) fn holds(&mut self, connection: ConnectionId, bytes: u64) -> Result<(), Misuse> {
        let ix = self.find_established(connection)?;
        let Some(entry) = self.book.connection(ix) else { return Ok(()) };
        // Whoever is being closed is to let go of it, and was counted out.
        let (Some(peer_ix), false) = (entry.peer, entry.is_closing()) else { return Ok(()) };
        let before = if bytes > 0 { self.held.insert(ix, bytes) } else { self.held.remove(&ix) }.unwrap_or(0);
        let (mut ours, mut theirs) = self.scopes(ix, peer_ix);
        if bytes < before {
            self.limits.release(before - bytes, Some(&mut ours), Some(&mut theirs));
        } else {
            self.limits.hold(bytes - before, &mut ours, &mut theirs);
        }
        self.set_scopes(ix, peer_ix, ours, theirs);
        loop {
            let (ours, theirs) = self.scopes(ix, peer_ix);
            let Err(limit) = self.limits.memory_room(&ours, &theirs) else { return Ok(()) };
            // What callers reserved is theirs to give back.
            let Some(victim) = self.holds_most(limit.limit, ix, peer_ix) else { return Ok(()) };
            self.close_holder(victim, limit);
        }
    }

    /// Of the connections that a cap is for, the one that holds most.
    fn holds_most(&self, limit: Limit, ix: ConnIx, peer: PeerIx) -> Option<ConnIx> {
        let concerned = |other: ConnIx| {
            let Some(entry) = self.book.connection(other) else { return false };
            match limit {
                Limit::MemoryPerConnection => other == ix,
                Limit::MemoryPerPeer => entry.peer == Some(peer),
                _ => true,
            }
        };
        let all = self.held.iter().filter(|(other, _)| concerned(**other));
        all.max_by_key(|(other, held)| (**held, **other)).map(|(other, _)| *other)
    }

    /// Closes a connection for what it holds, which no longer counts: nobody else is to pay for it meanwhile.
    fn close_holder(&mut self, ix: ConnIx, limit: LimitExceeded) {
        let held = self.held.remove(&ix).unwrap_or(0);
        if let Some(peer) = self.book.connection(ix).and_then(|entry| entry.peer) {
            let (mut ours, mut theirs) = self.scopes(ix, peer);
            self.limits.release(held, Some(&mut ours), Some(&mut theirs));
            self.set_scopes(ix, peer, ours, theirs);
        }
        self.begin_close(ix, CloseReason::Limit(limit));
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
