//! What happens with time: pings, idleness, decay, trims.

use super::ConnectionManager;
use crate::alive::AliveAction;
use crate::book::Connection;
use crate::table::ConnIx;
use crate::worth::Trim;
use crate::{Action, CloseReason, ConnectionId, Event, Misuse};
use core::time::Duration;
use tidewire_core::EventMachine;

impl ConnectionManager {
    pub(super) fn let_time_pass(&mut self) {
        self.alive.on_timeout(self.now);
        self.pairs_timeout();
        self.worth.on_timeout(self.now);
        self.dialer.on_timeout(self.now);
        self.reconnect.on_timeout(self.now);
        self.metadata.on_timeout(self.now);
    }

    pub(super) fn used(&mut self, connection: ConnectionId) -> Result<(), Misuse> {
        let ix = self.find_established(connection)?;
        let Some(entry) = self.book.connection_mut(ix) else { return Ok(()) };
        entry.used = self.now;
        if !entry.is_closing() {
            self.alive.used(self.now, ix);
        }
        Ok(())
    }

    pub(super) fn pong(&mut self, connection: ConnectionId, rtt: Duration) -> Result<(), Misuse> {
        let ix = self.find_established(connection)?;
        let Some(sent) = self.alive.pong(self.now, ix, rtt) else { return self.no_ping(ix, connection) };
        if let Some(peer) = self.book.connection(ix).and_then(|entry| entry.peer) {
            self.pair_pong(peer, connection, sent);
        }
        Ok(())
    }

    pub(super) fn ping_unsupported(&mut self, connection: ConnectionId) -> Result<(), Misuse> {
        let ix = self.find_established(connection)?;
        if self.alive.unsupported(self.now, ix) { Ok(()) } else { self.no_ping(ix, connection) }
    }

    /// An answer that crossed our own `Close` on the way is nobody's mistake.
    fn no_ping(&self, ix: ConnIx, connection: ConnectionId) -> Result<(), Misuse> {
        let closing = self.book.connection(ix).is_some_and(Connection::is_closing);
        if closing { Ok(()) } else { Err(Misuse::NoPing(connection)) }
    }

    pub(super) fn drain_alive(&mut self) {
        while let Some(action) = self.alive.poll() {
            match action {
                AliveAction::Ping { conn, timeout } => {
                    if let Some(connection) = self.book.connection(conn).map(|entry| entry.id) {
                        self.act(Action::Ping { connection, timeout });
                    }
                }
                AliveAction::Dead { conn, waited } => self.begin_close(conn, CloseReason::Unresponsive { waited }),
                // It would be dialed again at once.
                AliveAction::Idle { conn, .. } if self.is_kept(conn) => self.alive.used(self.now, conn),
                AliveAction::Idle { conn, idle } => self.begin_close(conn, CloseReason::Idle { idle }),
            }
        }
    }

    /// Whether the peer at the other end is marked keep-alive.
    fn is_kept(&self, conn: ConnIx) -> bool {
        let peer = self.book.connection(conn).and_then(|entry| entry.peer).and_then(|peer| self.book.peer(peer));
        peer.is_some_and(|entry| self.reconnect.is_kept(&entry.id))
    }

    /// The trim that is due, if one is.
    pub(super) fn trim(&mut self) {
        if let Some(trim) = self.worth.trim(self.now) {
            self.close_trimmed(&trim, false);
        }
    }

    pub(super) fn trim_now(&mut self) -> Result<(), Misuse> {
        let trim = self.worth.trim_now(self.now);
        self.close_trimmed(&trim, false);
        Ok(())
    }

    pub(super) fn emergency(&mut self) -> Result<(), Misuse> {
        let trim = self.worth.emergency(self.now);
        self.close_trimmed(&trim, true);
        Ok(())
    }

    fn close_trimmed(&mut self, trim: &Trim, emergency: bool) {
        for (peer, value) in &trim.victims {
            let reason = if emergency { CloseReason::Emergency } else { CloseReason::Trimmed { value: *value } };
            self.close_peer(*peer, &reason);
        }
        let Trim { closed, of, protected, in_grace, .. } = *trim;
        let idle = closed == 0;
        if !(idle && self.idle_trim) {
            self.tell(Event::Trimmed { closed, of, protected, in_grace });
        }
        self.idle_trim = idle;
    }

    /// Peers about whom a part forgot what it knew.
    pub(super) fn drain_blank(&mut self) {
        while let Some(peer) = self.worth.poll_blank() {
            self.forget_if_blank(peer);
        }
        while let Some(peer) = self.metadata.poll_blank() {
            self.forget_if_blank(peer);
        }
    }
}
