//! Who may have a say in connections, and who may watch them: the timeline.

use crate::closed::Closed;
use std::fmt;
use std::sync::Arc;
use tidewire_core::{Multiaddr, PeerId, Role};
use tidewire_upgrade::connection::{Connection, Event};
use tidewire_upgrade::muxer::MuxerKind;
use tidewire_upgrade::pipeline::Progress;

/// Refuses connections: `Err` with the reason. Each hook lets everything pass unless it is written; `()` refuses nobody.
///
/// The hooks are called from the tasks or threads of connections, which wait for the answer: they should not block.
pub trait Gate: Send + Sync {
    /// Before an address is resolved and dialed.
    ///
    /// # Errors
    /// It is not to be dialed.
    fn dial(&self, address: &Multiaddr) -> Result<(), String> {
        let _ = address;
        Ok(())
    }

    /// A socket was accepted; nothing was read or sent.
    ///
    /// # Errors
    /// It is to be closed.
    fn accept(&self, remote: &Multiaddr) -> Result<(), String> {
        let _ = remote;
        Ok(())
    }

    /// The remote has proved who it is; no multiplexer was agreed on yet.
    ///
    /// # Errors
    /// It is not welcome.
    fn peer(&self, peer: PeerId, remote: &Multiaddr) -> Result<(), String> {
        let _ = (peer, remote);
        Ok(())
    }

    /// All is agreed on.
    ///
    /// # Errors
    /// The connection is to be closed.
    fn upgraded(&self, info: &Info) -> Result<(), String> {
        let _ = info;
        Ok(())
    }
}

impl Gate for () {}

/// Watches connections: for logs, for a timeline.
pub trait Observer: Send + Sync {
    /// Something happened on the connection with this number, which an endpoint gives to each dial and each accepted socket.
    ///
    /// Called in the order of the happenings, while the connection is locked: be quick, don't block, and don't call the
    /// connection or its streams from here.
    fn event(&self, connection: u64, event: &Observed);
}

/// What an [`Observer`] sees.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Observed {
    /// We dial this address.
    Connecting(Multiaddr),
    /// There is a socket to or from this address.
    Connected(Multiaddr),
    /// The upgrade went on.
    Progress(Progress),
    /// So many bytes were given to the socket at once.
    Sent(usize),
    /// So many bytes came from the socket at once.
    Received(usize),
    /// What the connection told.
    Event(Event),
    /// There will be no connection, and why.
    Failed(String),
    /// The connection is over.
    Closed(Closed),
}

/// What is known of a connection once it is upgraded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// Who the remote is: proven.
    pub peer: PeerId,
    /// The name of the security protocol.
    pub security: &'static str,
    /// The multiplexer.
    pub muxer: MuxerKind,
    /// Our side of the handshake.
    pub role: Role,
    /// Where the remote is: its end of the socket.
    pub remote_address: Multiaddr,
}

impl Info {
    /// Of this connection, with the remote at this address.
    pub fn new(connection: &Connection, remote_address: Multiaddr) -> Info {
        Info {
            peer: connection.peer(),
            security: connection.security(),
            muxer: connection.muxer(),
            role: connection.role(),
            remote_address,
        }
    }
}

/// The observer's view of one connection.
#[derive(Clone)]
pub struct Watch {
    observer: Option<Arc<dyn Observer>>,
    connection: u64,
}

impl Watch {
    /// The connection with this number, seen by this observer if there is one.
    pub fn new(observer: Option<Arc<dyn Observer>>, connection: u64) -> Watch {
        Watch { observer, connection }
    }

    /// The connection's number.
    pub fn connection(&self) -> u64 {
        self.connection
    }

    /// Tells the observer; without one, `event` is not even made.
    #[inline]
    pub fn tell(&self, event: impl FnOnce() -> Observed) {
        if let Some(observer) = &self.observer {
            observer.event(self.connection, &event());
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("connection", &self.connection).finish_non_exhaustive()
    }
}
