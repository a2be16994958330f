//! Who may have a say in connections, and who may watch them.

use crate::connection::Closed;
use tidewire_core::{Multiaddr, PeerId, Role};
use tidewire_upgrade::connection::Event;
use tidewire_upgrade::muxer::MuxerKind;
use tidewire_upgrade::pipeline::Progress;

/// Refuses connections: `Err` with the reason. Each hook lets everything pass unless it is written.
///
/// The hooks are called from the tasks of connections, and should not block.
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

/// Watches connections: for logs, for a timeline.
pub trait Observer: Send + Sync {
    /// Something happened on the connection with this number. Called from its task, in the order of the happenings; should
    /// not block.
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
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Info {
    /// Who the remote is.
    pub peer: PeerId,
    /// The name of the security protocol.
    pub security: &'static str,
    /// The multiplexer.
    pub muxer: MuxerKind,
    /// Our side of the handshake.
    pub role: Role,
    /// Where the remote is.
    pub remote_address: Multiaddr,
}
