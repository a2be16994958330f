//! The calls that a node makes: what a driver asks of its operating system, without blocking.

use crate::network::Names;
use crate::node::{HostId, ListenerId, OsError, SocketId, UdpId};
use crate::stack::Stack;
use crate::trace::{Trace, What};
use bytes::{Buf, Bytes, BytesMut};
use core::fmt;
use std::net::{IpAddr, SocketAddr};
use tidewire_core::{Seed, Time};

/// The operating system of a node's host, for the length of one call to the node.
///
/// A socket ends with [`close`](Os::close) or [`abort`](Os::abort), or when the node is told
/// [`ConnectFailed`](crate::Input::ConnectFailed) or [`Broken`](crate::Input::Broken). A call for a socket that is no more
/// does nothing: the news may be under way.
pub struct Os<'a> {
    pub(crate) now: Time,
    pub(crate) host: HostId,
    pub(crate) seed: &'a Seed,
    pub(crate) stack: &'a mut Stack,
    pub(crate) names: &'a Names,
    pub(crate) trace: &'a mut Trace,
}

impl Os<'_> {
    /// The present.
    pub const fn now(&self) -> Time {
        self.now
    }

    /// The host that the node runs on.
    pub const fn host(&self) -> HostId {
        self.host
    }

    /// Entropy for this node, derived from the world's seed: always the same for the same start on the same host of the same
    /// world, and another one for each start.
    pub const fn seed(&self) -> &Seed {
        self.seed
    }

    /// The host's addresses, without loopback.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.stack.addresses
    }

    /// What a name stands for; empty if nothing. Names are given with [`World::name`](crate::World::name).
    pub fn resolve(&self, name: &str) -> &[IpAddr] {
        self.names.addresses.get(name).map_or(&[], |found| found)
    }

    /// The text records of a name, as `/dnsaddr` asks for them; empty if there are none.
    pub fn resolve_text(&self, name: &str) -> &[String] {
        self.names.texts.get(name).map_or(&[], |found| found)
    }

    /// Listens for TCP connections. An unspecified address is all addresses of its family, port 0 any free port.
    ///
    /// `reuse` (`SO_REUSEADDR` and `SO_REUSEPORT`): connections may be dialed from this address too.
    ///
    /// # Errors
    /// The address can't be had, or there is no file descriptor left.
    pub fn listen(&mut self, at: SocketAddr, reuse: bool) -> Result<(ListenerId, SocketAddr), OsError> {
        self.stack.listen(at, reuse)
    }

    /// Ends a listener. What was accepted from it goes on.
    pub fn unlisten(&mut self, listener: ListenerId) {
        self.stack.unlisten(self.now, listener);
    }

    /// Begins to connect, from any port of the first address of the right family.
    ///
    /// # Errors
    /// It can't even begin.
    pub fn connect(&mut self, remote: SocketAddr) -> Result<SocketId, OsError> {
        self.stack.connect(self.now, None, remote, false)
    }

    /// Begins to connect from this local address, with `reuse` as in [`listen`](Os::listen): it may be shared with a listener
    /// and with other connections that all say so. If both ends do so at the same time, one connection comes of it.
    ///
    /// # Errors
    /// It can't even begin. [`OsError::AddressNotAvailable`]: there is such a connection already.
    pub fn connect_from(&mut self, local: SocketAddr, remote: SocketAddr, reuse: bool) -> Result<SocketId, OsError> {
        self.stack.connect(self.now, Some(local), remote, reuse)
    }

    /// Takes bytes from the front of `bytes` to be sent, as many as there is room for, and says how many. If some are left,
    /// [`Writable`](crate::Input::Writable) tells when to go on. 0 before the connection is there.
    ///
    /// `BytesMut` and `Bytes` aren't copied. What one call of a node sends travels together.
    pub fn send(&mut self, socket: SocketId, bytes: &mut impl Buf) -> usize {
        self.stack.send(socket, bytes)
    }

    /// How many bytes [`send`](Os::send) would take.
    pub fn room(&self, socket: SocketId) -> usize {
        self.stack.room(socket)
    }

    /// Appends what has arrived to `rx`, and says how much. What stays unread takes room in the receive buffer, and stops
    /// the remote once that is full.
    pub fn read(&mut self, socket: SocketId, rx: &mut BytesMut) -> usize {
        self.read_some(socket, rx, usize::MAX)
    }

    /// The same, at most `most` bytes.
    pub fn read_some(&mut self, socket: SocketId, rx: &mut BytesMut, most: usize) -> usize {
        let mut left = most;
        while left > 0
            && let Some(bytes) = self.stack.read(self.now, socket, left)
        {
            rx.extend_from_slice(&bytes);
            left -= bytes.len();
        }
        most - left
    }

    /// The next bytes that have arrived, at most `most`, without copying.
    pub fn read_bytes(&mut self, socket: SocketId, most: usize) -> Option<Bytes> {
        self.stack.read(self.now, socket, most)
    }

    /// How many bytes have arrived and were not read.
    pub fn unread(&self, socket: SocketId) -> usize {
        self.stack.unread(socket)
    }

    /// Says that no more will be sent (`shutdown` for writing). What was taken is delivered first. The other direction goes
    /// on.
    pub fn finish(&mut self, socket: SocketId) {
        self.stack.finish(socket);
    }

    /// Closes the socket. What was taken is still delivered; what was not read is lost, and then the remote is told with a
    /// reset.
    pub fn close(&mut self, socket: SocketId) {
        self.stack.close(self.now, socket);
    }

    /// Ends the connection at once, with a reset. A connect that is under way is given up.
    pub fn abort(&mut self, socket: SocketId) {
        self.stack.abort(self.now, socket);
    }

    /// Binds a UDP socket. An unspecified address is all addresses of its family, port 0 any free port.
    ///
    /// # Errors
    /// The address can't be had, or there is no file descriptor left.
    pub fn bind_udp(&mut self, at: SocketAddr) -> Result<(UdpId, SocketAddr), OsError> {
        self.stack.bind_udp(at)
    }

    /// Ends a UDP socket.
    pub fn unbind_udp(&mut self, socket: UdpId) {
        self.stack.unbind_udp(socket);
    }

    /// Sends a datagram. It may get lost; nobody will tell.
    ///
    /// # Errors
    /// It can't even be sent.
    pub fn send_to(&mut self, socket: UdpId, to: SocketAddr, bytes: Bytes) -> Result<(), OsError> {
        self.stack.send_to(socket, to, bytes)
    }

    /// Puts a remark into the trace, if there is one.
    pub fn note(&mut self, text: impl fmt::Display) {
        let host = self.host;
        self.trace.record(self.now, || What::Note(host, text.to_string()));
    }
}

impl fmt::Debug for Os<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Os").field("now", &self.now).field("host", &self.host).finish_non_exhaustive()
    }
}
