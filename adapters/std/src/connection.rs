//! The application's handle of a connection.

use crate::link::{Link, Owner, Slot};
use crate::shared::Shared;
use crate::stream::Stream;
use std::fmt;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;
use tidewire_adapter::{Closed, Info, OpenError, PingError, Reason};
use tidewire_core::{Multiaddr, PeerId, Role};
use tidewire_multistream::{Protocol, Protocols, RouteId};
use tidewire_upgrade::connection::{OpenStreamError, Selection};
use tidewire_upgrade::muxer::{self, MuxerKind};

/// A connection to a peer that is known. A clone is another handle to the same; when the last handle and the last stream
/// are dropped, it is closed.
///
/// All calls that wait may be made from any number of threads.
#[derive(Clone)]
pub struct Connection(pub(crate) Arc<Handle>);

pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
    info: Info,
}

/// A stream that the remote opened.
#[derive(Debug)]
pub struct Inbound {
    /// What both ends speak on it.
    pub protocol: Protocol,
    /// Which route took it.
    pub route: RouteId,
    /// The stream.
    pub stream: Stream,
}

impl Connection {
    pub(crate) fn new(shared: Arc<Shared>, info: Info) -> Self {
        Connection(Arc::new(Handle { shared, info }))
    }

    /// Who the remote is.
    pub fn peer(&self) -> PeerId {
        self.0.info.peer
    }

    /// The name of the security protocol.
    pub fn security(&self) -> &'static str {
        self.0.info.security
    }

    /// The multiplexer.
    pub fn muxer(&self) -> MuxerKind {
        self.0.info.muxer
    }

    /// Our side of the handshake.
    pub fn role(&self) -> Role {
        self.0.info.role
    }

    /// Where the remote is.
    pub fn remote_address(&self) -> &Multiaddr {
        &self.0.info.remote_address
    }

    /// Opens a stream with the first of these protocols that the remote speaks. Waits while the remote has too many of our
    /// streams unacknowledged.
    ///
    /// With [`Selection::Lazy`] and a single protocol it doesn't wait for the answer: a refusal shows at the first read.
    ///
    /// # Errors
    /// The remote speaks none of them, or there can be no stream now.
    pub fn open(&self, protocols: &Protocols, selection: Selection) -> Result<Stream, OpenError> {
        let shared = &*self.0.shared;
        let mut link = shared.lock();
        let id = loop {
            let now = shared.clock.now();
            let opened = match link.machine() {
                Some((connection, tx)) => connection.open(now, protocols, selection, tx),
                None => Err(OpenStreamError::Closed),
            };
            match opened {
                Ok(id) => break id,
                Err(OpenStreamError::Closed) => return Err(OpenError::Closed),
                Err(OpenStreamError::Muxer(muxer::OpenError::Backlog { .. } | muxer::OpenError::Full)) => {
                    link = self.0.wait(link);
                }
                Err(error) => return Err(OpenError::Open(error)),
            }
        };
        let slot = Slot::default();
        let stream = Stream::new(self.0.clone(), id, slot.changed.clone());
        link.streams.insert(id, slot);
        shared.kick(&mut link);
        drop(link);
        if selection == Selection::Plain || protocols.as_slice().len() != 1 {
            stream.negotiated()?;
        }
        Ok(stream)
    }

    /// The next stream that the remote opens, with a protocol of our router. `None`: the connection is over, and
    /// those that came before were accepted.
    pub fn accept(&self) -> Option<Inbound> {
        let mut link = self.0.shared.lock();
        loop {
            if let Some((id, protocol, route)) = link.inbound.pop_front() {
                let Some(slot) = link.streams.get_mut(&id) else { continue };
                slot.owner = Owner::Application;
                let stream = Stream::new(self.0.clone(), id, slot.changed.clone());
                return Some(Inbound { protocol, route, stream });
            }
            if link.over.is_some() {
                return None;
            }
            link = self.0.wait(link);
        }
    }

    /// Asks the remote for an answer of its multiplexer, and waits for it.
    ///
    /// # Errors
    /// The multiplexer has no ping, or the connection is over.
    pub fn ping(&self) -> Result<Duration, PingError> {
        let shared = &*self.0.shared;
        let mut link = shared.lock();
        let (before, _) = link.pongs;
        let now = shared.clock.now();
        let asked = link.machine().is_some_and(|(connection, tx)| connection.ping(now, tx));
        loop {
            if link.pongs.0 != before {
                return Ok(link.pongs.1);
            }
            if link.over.is_some() {
                return Err(PingError::Closed);
            }
            if !asked {
                return Err(PingError::Unsupported(self.muxer()));
            }
            link = self.0.wait(link);
        }
    }

    /// Says that we accept no more streams, with a reason: 0 for none. Those that exist go on.
    pub fn go_away(&self, code: u32) {
        let mut link = self.0.shared.lock();
        if let Some((connection, tx)) = link.machine() {
            connection.go_away(code, tx);
        }
        self.0.shared.kick(&mut link);
    }

    /// Closes the connection with a reason: 0 for none. Waits until all that was written before is out and the remote has
    /// closed its side too, no longer than
    /// [`Endpoint::close_timeout`](crate::Endpoint::close_timeout) says.
    pub fn close(&self, code: u32) {
        self.0.shared.lock().close(&self.0.shared, code);
        self.closed();
    }

    /// Waits until the connection is over and its socket is closed.
    pub fn closed(&self) -> Closed {
        let mut link = self.0.shared.lock();
        loop {
            if let Some(closed) = &link.closed {
                return closed.clone();
            }
            link = self.0.wait(link);
        }
    }

    /// The same as [`closed`](Connection::closed).
    pub fn wait(&self) -> Closed {
        self.closed()
    }
}

impl Handle {
    fn wait<'a>(&self, mut link: MutexGuard<'a, Link>) -> MutexGuard<'a, Link> {
        let shared = &self.shared;
        shared.kick(&mut link);
        shared.changed.wait(link).unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.lock().close(&self.shared, 0);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connection").field(&self.0.info).finish()
    }
}

/// Reason it is over.
pub(crate) fn why(link: &Link) -> Reason {
    link.over.as_ref().map_or(Reason::Closed(None), |over| over.why.clone())
}
