//! Listening: sockets are accepted and upgraded in the background, at most so many at a time.

use crate::connection::Connection;
use crate::endpoint::Endpoint;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tidewire_adapter::{ListenError, Observed, Target, named, reachable};
use tidewire_core::Multiaddr;
use tidewire_upgrade::pipeline::Plan;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// How long to wait when the operating system has no socket to give: too many are open, say.
const PAUSE: Duration = Duration::from_millis(100);

/// Upgraded connections that wait to be accepted, each with its place among the pending ones.
type Upgraded = (Connection, OwnedSemaphorePermit);

/// Listens on one address. Dropping it closes the socket; accepted connections go on.
#[derive(Debug)]
pub struct Listener {
    address: Multiaddr,
    addresses: Vec<Multiaddr>,
    upgraded: Mutex<mpsc::Receiver<Upgraded>>,
    task: JoinHandle<()>,
}

impl Listener {
    pub(crate) async fn bind(endpoint: &Endpoint, address: &Multiaddr) -> Result<Listener, ListenError> {
        let target = Target::to_listen(address)
            .map_err(|reason| ListenError::Unsupported { address: address.clone(), reason })?;
        let failed = |error| ListenError::Bind { address: address.clone(), error };
        let listener = TcpListener::bind(target.question()).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let peer = endpoint.peer();
        let (give, upgraded) = mpsc::channel(endpoint.max_pending);
        Ok(Listener {
            address: named(bound, peer),
            addresses: reachable(bound).into_iter().map(|socket| named(socket, peer)).collect(),
            upgraded: Mutex::new(upgraded),
            task: tokio::spawn(run(endpoint.clone(), listener, give)),
        })
    }

    /// The bound address, with our peer id.
    pub fn address(&self) -> &Multiaddr {
        &self.address
    }

    /// Where it can be reached, as far as that is known: for an unspecified address, loopback and the address that the way
    /// to the internet begins with. With our peer id.
    pub fn addresses(&self) -> Vec<Multiaddr> {
        self.addresses.clone()
    }

    /// The next upgraded connection. Those whose upgrade fails only the observer hears of. Cancel safe.
    ///
    /// # Errors
    /// The runtime has ended the task that listens.
    pub async fn accept(&self) -> io::Result<Connection> {
        match self.upgraded.lock().await.recv().await {
            Some((connection, _pending)) => Ok(connection),
            None => Err(io::Error::new(io::ErrorKind::NotConnected, "the listener was ended with its runtime")),
        }
    }

    /// Closes the socket, and every connection that was not accepted. Returns when the port is free.
    pub async fn shutdown(mut self) {
        self.task.abort();
        // It was aborted: that is the error.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(endpoint: Endpoint, listener: TcpListener, give: mpsc::Sender<Upgraded>) {
    let places = Arc::new(Semaphore::new(endpoint.max_pending));
    // Dropped with this task, and then so are the upgrades.
    let mut upgrades = JoinSet::new();
    while let Ok(place) = places.clone().acquire_owned().await {
        while upgrades.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, remote)) => {
                upgrades.spawn(upgrade(endpoint.clone(), stream, remote, place, give.clone()));
            }
            Err(error) => {
                endpoint.watch().tell(|| Observed::Failed(format!("can't accept: {error}")));
                sleep(PAUSE).await;
            }
        }
    }
}

async fn upgrade(
    endpoint: Endpoint,
    stream: TcpStream,
    remote: SocketAddr,
    place: OwnedSemaphorePermit,
    give: mpsc::Sender<Upgraded>,
) {
    let watch = endpoint.watch();
    if let Err(reason) = endpoint.gate.accept(&Multiaddr::tcp(remote)) {
        watch.tell(|| Observed::Failed(format!("a connection from {remote} was refused by us: {reason}")));
        return;
    }
    match endpoint.upgrade_watched(stream, remote, Plan::Respond, None, watch.clone()).await {
        // Each has a place, so there is room; if nobody listens any more, it is closed.
        Ok(connection) => drop(give.send((connection, place)).await),
        Err(error) => watch.tell(|| Observed::Failed(format!("a connection from {remote}: {error}"))),
    }
}
