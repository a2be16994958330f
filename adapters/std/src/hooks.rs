//! What an application may refuse, and what it may watch.

use crate::error::Closed;
use tidewire_core::{Multiaddr, PeerId, Role};
use tidewire_upgrade::connection::Event;
use tidewire_upgrade::muxer::MuxerKind;
use tidewire_upgrade::pipeline::Progress;

/// A connection whose upgrade is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// Four places where a connection can be refused, with a reason. By default all are welcome.
///
/// `peer` and `upgraded` are asked by the connection's own thread, which waits for the answer.
pub trait Gate: Send + Sync {
    /// Before dialing.
    ///
    /// # Errors
    /// The reason for not dialing.
    fn dial(&self, address: &Multiaddr) -> Result<(), String> {
        let _ = address;
        Ok(())
    }

    /// When someone connected: nothing was said yet.
    ///
    /// # Errors
    /// The reason for closing the socket.
    fn accept(&self, remote: &Multiaddr) -> Result<(), String> {
        let _ = remote;
        Ok(())
    }

    /// When the remote has proved who it is.
    ///
    /// # Errors
    /// The reason for closing the socket.
    fn peer(&self, peer: PeerId, remote: &Multiaddr) -> Result<(), String> {
        let _ = (peer, remote);
        Ok(())
    }

    /// When the upgrade is complete.
    ///
    /// # Errors
    /// The reason for closing the socket.
    fn upgraded(&self, info: &Info) -> Result<(), String> {
        let _ = info;
        Ok(())
    }
}

/// What happens to a connection, from its first moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Observed {
    /// We dial this address.
    Connecting(Multiaddr),
    /// There is a socket, with this remote.
    Connected(Multiaddr),
    /// The upgrade goes on.
    Progress(Progress),
    /// Bytes went out to the socket.
    Sent(usize),
    /// Bytes came in from the socket.
    Received(usize),
    /// The connection tells something.
    Event(Event),
    /// There will be no connection, for this reason.
    Failed(String),
    /// An upgraded connection is over.
    Closed(Closed),
}

/// Watches connections: for logs, and for timelines.
///
/// It is called while the connection is locked, so that the order is true: be quick, and don't call the connection or its
/// streams from here.
pub trait Observer: Send + Sync {
    /// `connection` is a number that the endpoint gives to each dial and each accepted socket.
    fn event(&self, connection: u64, event: &Observed);
}
