//! What the program asks of its operating system.

use super::{Listener, Stack};
use crate::node::{ListenerId, OsError, SocketId, UdpId};
use crate::packet::{Body, Packet, Segment};
use crate::tcp::{Connection, Event, Owner};
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::net::SocketAddr;
use tidewire_core::Time;

/// What fits into a datagram whose length is 16 bits: 65,535 less the UDP header and the smaller of the two IP headers.
const LARGEST_DATAGRAM: usize = 65_507;

impl Stack {
    pub(crate) fn listen(&mut self, at: SocketAddr, reuse: bool) -> Result<(ListenerId, SocketAddr), OsError> {
        self.called = true;
        self.need_file()?;
        let at = self.place(at, |stack, at| stack.can_listen(at, reuse))?;
        let listener = Listener { at, reuse, pending: 0, waiting: VecDeque::new() };
        Ok((ListenerId(self.listeners.insert(listener)), at))
    }

    /// Connections that weren't accepted yet are reset.
    pub(crate) fn unlisten(&mut self, now: Time, id: ListenerId) {
        self.called = true;
        if self.listeners.remove(id.0).is_none() {
            return;
        }
        let orphans = self.connections.iter().filter(|(_, c)| c.listener == Some(id) && c.owner == Owner::Nobody);
        for id in orphans.map(|(key, _)| SocketId(key)).collect::<Vec<_>>() {
            self.abort(now, id);
        }
        self.accept_waiting();
    }

    pub(crate) fn connect(
        &mut self,
        now: Time,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        reuse: bool,
    ) -> Result<SocketId, OsError> {
        self.called = true;
        self.need_file()?;
        if remote.port() == 0 || remote.ip().is_unspecified() || remote.ip().is_multicast() {
            return Err(OsError::InvalidAddress);
        }
        let local = self.place_dial(now, local, remote, reuse)?;
        let initial = self.next_initial();
        let config = self.config.clone();
        let mut connection = Connection::dial(now, local, remote, initial, &config, &mut self.segments);
        connection.reuse = reuse;
        connection.owner = Owner::Program;
        self.owned += 1;
        let id = self.insert(connection);
        self.settle(now, id);
        Ok(id)
    }

    pub(crate) fn send(&mut self, id: SocketId, bytes: &mut impl Buf) -> usize {
        let Some(connection) = self.connections.get_mut(id.0) else { return 0 };
        let taken = connection.send(bytes);
        self.called |= taken > 0;
        self.touched.push(id);
        taken
    }

    pub(crate) fn room(&self, id: SocketId) -> usize {
        self.connections.get(id.0).map_or(0, Connection::room)
    }

    pub(crate) fn read(&mut self, now: Time, id: SocketId, most: usize) -> Option<Bytes> {
        let bytes = self.connections.get_mut(id.0)?.read(most, &mut self.events)?;
        self.called = true;
        self.settle(now, id);
        Some(bytes)
    }

    pub(crate) fn unread(&self, id: SocketId) -> usize {
        self.connections.get(id.0).map_or(0, Connection::unread)
    }

    pub(crate) fn finish(&mut self, id: SocketId) {
        self.called = true;
        if let Some(connection) = self.connections.get_mut(id.0) {
            connection.finish();
            self.touched.push(id);
        }
    }

    /// What was sent is still delivered. If bytes are unread, the remote is told that they are lost.
    pub(crate) fn close(&mut self, now: Time, id: SocketId) {
        self.let_go(now, id, Connection::close);
    }

    pub(crate) fn abort(&mut self, now: Time, id: SocketId) {
        self.let_go(now, id, Connection::abort);
    }

    pub(crate) fn bind_udp(&mut self, at: SocketAddr) -> Result<(UdpId, SocketAddr), OsError> {
        self.called = true;
        self.need_file()?;
        let at = self.place(at, Stack::can_bind_udp)?;
        Ok((UdpId(self.udp.insert(at)), at))
    }

    pub(crate) fn unbind_udp(&mut self, id: UdpId) {
        self.called = true;
        self.udp.remove(id.0);
        self.accept_waiting();
    }

    pub(crate) fn send_to(&mut self, id: UdpId, to: SocketAddr, bytes: Bytes) -> Result<(), OsError> {
        self.called = true;
        let at = *self.udp.get(id.0).ok_or(OsError::NoSuchSocket)?;
        if to.port() == 0 || to.ip().is_unspecified() || at.is_ipv4() != to.is_ipv4() {
            return Err(OsError::InvalidAddress);
        }
        if bytes.len() > LARGEST_DATAGRAM {
            return Err(OsError::MessageTooLong);
        }
        let source = if at.ip().is_unspecified() { self.source_for(to)? } else { at.ip() };
        self.out.push(Packet { from: SocketAddr::new(source, at.port()), to, body: Body::Udp(bytes) });
        Ok(())
    }

    /// The program has no more to do with it.
    fn let_go(
        &mut self,
        now: Time,
        id: SocketId,
        how: impl FnOnce(&mut Connection, &mut Vec<Segment>, &mut Vec<Event>),
    ) {
        let Some(connection) = self.connections.get_mut(id.0) else { return };
        self.called = true;
        if connection.owner == Owner::Program {
            self.owned -= 1;
        }
        how(connection, &mut self.segments, &mut self.events);
        self.settle(now, id);
        self.accept_waiting();
    }

    fn need_file(&self) -> Result<(), OsError> {
        if self.open_files() < self.files { Ok(()) } else { Err(OsError::TooManyFiles) }
    }
}
