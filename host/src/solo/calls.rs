//! The application's calls on the node.

use super::{ServeError, Solo};
use crate::link::{OWN_ROUTES, Routes};
use crate::{Command, ConnectionId, ConnectionView, Input, ListenerId, Misuse, OpenId, OpenOptions, RequestId};
use smol_str::SmolStr;
use tidewire_connmgr::dial::DialOptions;
use tidewire_core::{EventMachine, Multiaddr, PeerId, Time};
use tidewire_multistream::{Matcher, Protocol, Protocols, RouteId};

/// Why a connection ends that [`Solo::close`] closes.
const CLOSED: SmolStr = SmolStr::new_static("it is not needed any more");

impl Solo {
    /// Serves a protocol: streams of it come as `StreamEvent::Incoming` with this route. Replaces what was under this name.
    ///
    /// # Errors
    /// The name doesn't fit the matcher, or the number is the node's own: those from [`OWN_ROUTES`] on are.
    pub fn serve(&mut self, now: Time, name: Protocol, matcher: Matcher, route: RouteId) -> Result<(), ServeError> {
        if route.get() >= OWN_ROUTES {
            return Err(ServeError::OwnRoute { name, route });
        }
        self.router.add(name, matcher, route)?;
        self.served(now);
        Ok(())
    }

    /// Serves this protocol no more.
    pub fn unserve(&mut self, now: Time, name: &Protocol) {
        if self.router.remove(name).is_some() {
            self.served(now);
        }
    }

    pub(super) fn served(&mut self, now: Time) {
        self.routes = Routes::new(&self.router, self.host.services(), &self.upgrade.connection);
        for wire in self.links.values_mut() {
            wire.link.set_routes(self.routes.clone());
        }
        let names = self.routes.names();
        // Names are no misuse.
        let _ = self.tell(self.now.max(now), Input::Protocols(names));
    }

    /// Listens there.
    ///
    /// # Errors
    /// The id is in use, or there are too many listeners.
    pub fn listen(&mut self, now: Time, listener: ListenerId, address: &Multiaddr) -> Result<(), Misuse> {
        self.tell_host(now, Input::Listen { listener, address: address.clone() })
    }

    /// Listens there no more.
    ///
    /// # Errors
    /// There is no such listener.
    pub fn unlisten(&mut self, now: Time, listener: ListenerId) -> Result<(), Misuse> {
        self.tell_host(now, Input::Unlisten { listener })
    }

    /// Wants to be connected to a peer.
    ///
    /// # Errors
    /// The id is in use, or reserved.
    pub fn connect(
        &mut self,
        now: Time,
        request: RequestId,
        peer: PeerId,
        addresses: &[Multiaddr],
        options: DialOptions,
    ) -> Result<(), Misuse> {
        self.tell_host(now, Input::Connect { request, peer, addresses: addresses.to_vec(), options })
    }

    /// Wants a stream to a peer.
    ///
    /// # Errors
    /// The id is in use.
    pub fn open(
        &mut self,
        now: Time,
        open: OpenId,
        peer: PeerId,
        protocols: &Protocols,
        options: OpenOptions,
    ) -> Result<(), Misuse> {
        self.tell_host(now, Input::Open { open, peer, protocols: protocols.clone(), options })
    }

    /// Says something about peers and connections.
    ///
    /// # Errors
    /// It makes no sense; the error says why.
    pub fn command(&mut self, now: Time, command: Command) -> Result<(), Misuse> {
        self.tell_host(now, Input::Manage(command))
    }

    /// All connections, those in their upgrade among them, with their peers where these are proven.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionView<'_>> {
        self.host.connections()
    }

    /// Closes a connection: now, or (`graceful`) once its streams are over, at the latest after [`close_timeout`](super::SoloConfig::close_timeout).
    /// Streams that begin meanwhile are waited for too.
    ///
    /// # Errors
    /// There is no such connection.
    pub fn close(&mut self, now: Time, connection: ConnectionId, graceful: bool) -> Result<(), Misuse> {
        let until = now + self.close_timeout;
        match self.links.get_mut(&connection) {
            Some(wire) if graceful && !wire.closed && wire.link.has_streams() => {
                if now < self.now {
                    return Err(Misuse::TimeWentBack { now, last: self.now });
                }
                self.now = now;
                if wire.closing.is_none() {
                    wire.closing = Some(until);
                    self.closing.insert((until, connection));
                }
                Ok(())
            }
            _ => self.command(now, Command::Close { connection, why: CLOSED }),
        }
    }

    /// A connection that is to be closed once its streams are over: are they?
    pub(super) fn close_if_done(&mut self, connection: ConnectionId) {
        let Some(wire) = self.links.get(&connection) else { return };
        if wire.closing.is_some() && !wire.closed && !wire.link.has_streams() {
            self.close_now(connection);
        }
    }

    /// Time is over for those whose streams were waited for.
    pub(super) fn closing_timeout(&mut self) {
        while let Some((time, connection)) = self.closing.first().copied()
            && time <= self.now
        {
            self.close_now(connection);
        }
    }

    fn close_now(&mut self, connection: ConnectionId) {
        if let Some(until) = self.links.get_mut(&connection).and_then(|wire| wire.closing.take()) {
            self.closing.remove(&(until, connection));
        }
        // If it is gone by now, that is what was wanted.
        let _ = self.host.handle(self.now, Input::Manage(Command::Close { connection, why: CLOSED }));
        self.drain_host();
    }

    /// Closes everything.
    pub fn shutdown(&mut self, now: Time) {
        // It can't be refused.
        let _ = self.tell(self.now.max(now), Input::Shutdown);
    }

    /// A word for the host that has no call of its own here: externals, NAT, relays, cancelled wishes. What is said of
    /// connections and dials comes through the calls of this type.
    ///
    /// # Errors
    /// It makes no sense; the error says why.
    pub fn tell_host(&mut self, now: Time, input: Input) -> Result<(), Misuse> {
        if self.is_unpolled() {
            return Err(Misuse::Unpolled(u32::try_from(self.max_actions).unwrap_or(u32::MAX)));
        }
        self.tell(now, input)
    }

    /// What happened is taken in however many actions wait: the driver may be carrying out the first of them.
    pub(super) fn tell(&mut self, now: Time, input: Input) -> Result<(), Misuse> {
        if now < self.now {
            return Err(Misuse::TimeWentBack { now, last: self.now });
        }
        self.host.handle(now, input)?;
        self.now = now;
        self.settle();
        Ok(())
    }
}
