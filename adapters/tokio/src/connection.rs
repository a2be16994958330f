//! The application's handle to a connection.

use crate::driver::{self, Shared};
use crate::stream::Stream;
use crate::wire::Wire;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tidewire_adapter::{Closed, Info, OpenError, PingError};
use tidewire_core::{Multiaddr, PeerId, Role};
use tidewire_multistream::{Protocol, Protocols, RouteId};
use tidewire_upgrade::connection::{self, OpenStreamError, Selection};
use tidewire_upgrade::muxer::{self, MuxerKind};
use tokio::sync::oneshot;

/// go-libp2p's code for a connection that the node's gate refused.
const GATED: u32 = 0x1007;

/// A secured connection with many streams on it. A clone is another handle to the same; the connection is closed when the last
/// handle and the last stream are dropped.
#[derive(Clone)]
pub struct Connection(Arc<Handle>);

/// What handles and streams hold; the task of the connection does not.
pub(crate) struct Handle(pub(crate) Arc<Shared>);

/// A stream that the remote opened.
#[derive(Debug)]
#[non_exhaustive]
pub struct Inbound {
    /// What both ends speak on it.
    pub protocol: Protocol,
    /// The route that took it.
    pub route: RouteId,
    /// The stream.
    pub stream: Stream,
}

impl Connection {
    pub(crate) fn start(machine: connection::Connection, mut wire: Wire, info: Info, limit: Duration) -> Connection {
        let shared = Arc::new(Shared::new(machine, &mut wire, info));
        tokio::spawn(driver::run(shared.clone(), wire, limit));
        Connection(Arc::new(Handle(shared)))
    }

    /// Closes it because the gate said so.
    pub(crate) fn refuse(&self) {
        self.shared().close(GATED);
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.0
    }

    /// Who the remote is: proven.
    pub fn peer(&self) -> PeerId {
        self.shared().info.peer
    }

    /// The name of the security protocol.
    pub fn security(&self) -> &'static str {
        self.shared().info.security
    }

    /// The multiplexer.
    pub fn muxer(&self) -> MuxerKind {
        self.shared().info.muxer
    }

    /// Our side of the handshake.
    pub fn role(&self) -> Role {
        self.shared().info.role
    }

    /// Where the remote is: its end of the socket.
    pub fn remote_address(&self) -> &Multiaddr {
        &self.shared().info.remote_address
    }

    /// Opens a stream for the first of `protocols` that the remote speaks.
    ///
    /// With [`Selection::Lazy`] and a single protocol it returns without waiting for the remote: a refusal shows at the
    /// first read, or with [`Stream::negotiated`]. Waits while the remote has many streams of ours to acknowledge.
    ///
    /// Cancel safe: dropped, the stream is reset.
    ///
    /// # Errors
    /// There is no stream to be had, or the remote speaks none of the protocols.
    pub async fn open(&self, protocols: &Protocols, selection: Selection) -> Result<Stream, OpenError> {
        let shared = self.shared();
        let id = shared
            .wait(&shared.openable, |state, now| {
                match state.machine.open(now, protocols, selection, &mut state.tx.bytes) {
                    Err(OpenStreamError::Muxer(muxer::OpenError::Backlog { .. } | muxer::OpenError::Full)) => None,
                    Err(OpenStreamError::Closed) => Some(Err(OpenError::Closed)),
                    Err(error) => Some(Err(error.into())),
                    Ok(id) => {
                        state.streams.insert(id, driver::Entry::default());
                        Some(Ok(id))
                    }
                }
            })
            .await?;
        let stream = Stream::new(self.0.clone(), id);
        if selection == Selection::Plain || protocols.len() > 1 {
            stream.negotiated().await?;
        }
        Ok(stream)
    }

    /// The next stream that the remote opened and for which a route was found. `None`: the connection is over.
    ///
    /// Cancel safe. The routes are those of [`Config::router`](connection::Config::router); without a router the remote's
    /// streams are reset.
    pub async fn accept(&self) -> Option<Inbound> {
        let shared = self.shared();
        let (id, protocol, route) = shared
            .wait(&shared.acceptable, |state, _| match state.inbound.pop_front() {
                None if state.machine.is_closed() => Some(None),
                None => None,
                some => Some(some),
            })
            .await?;
        Some(Inbound { protocol, route, stream: Stream::new(self.0.clone(), id) })
    }

    /// Asks the remote's multiplexer for an answer; returns the round trip.
    ///
    /// # Errors
    /// The multiplexer has no ping, or the connection is over.
    pub async fn ping(&self) -> Result<Duration, PingError> {
        let (pong, answered) = oneshot::channel();
        let muxer = self.muxer();
        self.shared().act(|state, now| {
            if state.machine.is_closed() {
                return Err(PingError::Closed);
            }
            if !state.machine.ping(now, &mut state.tx.bytes) {
                return Err(PingError::Unsupported(muxer));
            }
            state.pings.push(pong);
            Ok(())
        })?;
        answered.await.map_err(|_| PingError::Closed)
    }

    /// Says that we accept no more streams; those that exist go on. Codes: libp2p/specs connections/README.md, "Error Codes";
    /// 0 is normal.
    pub async fn go_away(&self, code: u32) {
        self.shared().act(|state, _| state.machine.go_away(code, &mut state.tx.bytes));
    }

    /// Closes the connection: what was written to its streams is sent first. Returns when all is sent, or after
    /// [`close_timeout`](crate::Endpoint::close_timeout).
    pub async fn close(&self, code: u32) {
        self.shared().close(code);
        self.closed().await;
    }

    /// Waits until the connection is over.
    pub async fn closed(&self) -> Closed {
        let shared = self.shared();
        shared.wait(&shared.over, |state, _| state.closed.clone()).await
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close(0);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connection").field(&self.shared().info).finish()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.0.info).finish()
    }
}
