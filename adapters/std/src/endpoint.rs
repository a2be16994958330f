//! A node's sockets: dialing, listening, and the upgrade of a socket that came from elsewhere.

use crate::connection::Connection;
use crate::link::Phase;
use crate::listener::Listener;
use crate::pool::{Clock, Pool};
use crate::shared::Shared;
use crate::threads;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tidewire_adapter::{
    DialError, Gate, Info, ListenError, Observed, Observer, Target, Tried, UpgradeFailed, Watch, random_seed,
};
use tidewire_core::{Multiaddr, PeerId, Seed, Time};
use tidewire_upgrade::pipeline::{Plan, Upgrade, Upgrader};

/// The caps of an endpoint, as its builder documents them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) connect: Duration,
    pub(crate) max_pending: usize,
    pub(crate) close: Duration,
}

/// A node that dials and listens over TCP. A clone is another handle to the same.
#[derive(Clone)]
pub struct Endpoint {
    upgrader: Upgrader,
    seed: Seed,
    connections: Arc<AtomicU64>,
    pub(crate) clock: Clock,
    pub(crate) pool: Arc<Pool>,
    pub(crate) limits: Limits,
    pub(crate) gate: Arc<dyn Gate>,
    observer: Option<Arc<dyn Observer>>,
}

impl Endpoint {
    /// With a seed from the operating system.
    ///
    /// # Errors
    /// The operating system has none.
    pub fn new(upgrader: Upgrader) -> io::Result<Endpoint> {
        Ok(Endpoint::with_seed(upgrader, random_seed()?))
    }

    /// With this seed, from which each connection's is derived: never give the same twice, but in tests.
    pub fn with_seed(upgrader: Upgrader, seed: Seed) -> Endpoint {
        Endpoint {
            upgrader,
            seed,
            connections: Arc::default(),
            clock: Clock::new(),
            pool: Arc::default(),
            limits: Limits { connect: Duration::from_secs(10), max_pending: 16, close: Duration::from_secs(2) },
            gate: Arc::new(()),
            observer: None,
        }
    }

    /// The same, with a gate that may refuse connections.
    #[must_use]
    pub fn gate(self, gate: Arc<dyn Gate>) -> Endpoint {
        Endpoint { gate, ..self }
    }

    /// The same, with an observer of all its connections.
    #[must_use]
    pub fn observe(self, observer: Arc<dyn Observer>) -> Endpoint {
        Endpoint { observer: Some(observer), ..self }
    }

    /// How long connecting to an address may take, all that its name stands for together; the upgrade has its own
    /// deadline. Default 10 s.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Endpoint {
        self.limits.connect = limit;
        self
    }

    /// How many sockets of each listener may be in an upgrade, or upgraded and not yet accepted; further ones wait in the
    /// operating system's queue. Default 16.
    #[must_use]
    pub fn max_pending(mut self, count: usize) -> Endpoint {
        self.limits.max_pending = count.max(1);
        self
    }

    /// How long a closed connection may take to send what is left, and to hear that the remote closed too. Default 2 s.
    #[must_use]
    pub fn close_timeout(mut self, limit: Duration) -> Endpoint {
        self.limits.close = limit;
        self
    }

    /// Who we are.
    pub fn peer(&self) -> PeerId {
        self.upgrader.peer()
    }

    /// Now, on the clock of this endpoint's connections: for [`Plan::ListenFirst`].
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Dials `/ip4|ip6|dns|dns4|dns6/../tcp/PORT[/p2p/ID]`. Where the address names a peer, anyone else is refused.
    ///
    /// # Errors
    /// No connection; see [`DialError`].
    pub fn dial(&self, address: &Multiaddr) -> Result<Connection, DialError> {
        self.dial_as(address, Plan::Initiate)
    }

    /// The same, where who speaks first is settled otherwise: hole punching.
    ///
    /// # Errors
    /// No connection; see [`DialError`].
    pub fn dial_as(&self, address: &Multiaddr, plan: Plan) -> Result<Connection, DialError> {
        let named = || address.clone();
        let target = Target::parse(address).map_err(|reason| DialError::Unsupported { address: named(), reason })?;
        self.gate.dial(address).map_err(|reason| DialError::Refused { address: named(), reason })?;
        let watch = self.watch();
        watch.tell(|| Observed::Connecting(named()));
        let failed = |error: DialError| {
            watch.tell(|| Observed::Failed(error.to_string()));
            error
        };
        let found = target.question().to_socket_addrs().and_then(|found| target.pick(found));
        let found = found.map_err(|error| failed(DialError::Resolve { address: named(), error }))?;
        let (socket, stream) =
            self.connect(found).map_err(|tried| failed(DialError::Connect { address: named(), tried }))?;
        self.start(stream, plan, target.peer(), watch).and_then(upgraded).map_err(|error| DialError::Upgrade {
            address: named(),
            socket,
            error: error.into(),
        })
    }

    /// Makes a connection of a socket. `expected`: anyone else is refused.
    ///
    /// # Errors
    /// The remote did not come along, or is not welcome, or the socket failed.
    pub fn upgrade(
        &self,
        socket: TcpStream,
        plan: Plan,
        expected: Option<PeerId>,
    ) -> Result<Connection, UpgradeFailed> {
        upgraded(self.start(socket, plan, expected, self.watch())?)
    }

    /// Listens on `/ip4|ip6|../tcp/PORT`; port 0 lets the operating system choose.
    ///
    /// # Errors
    /// Not such an address, or it can't be had.
    pub fn listen(&self, address: &Multiaddr) -> Result<Listener, ListenError> {
        Listener::new(self, address)
    }

    /// Starts the upgrade, and the connection's threads.
    pub(crate) fn start(
        &self,
        socket: TcpStream,
        plan: Plan,
        expected: Option<PeerId>,
        watch: Watch,
    ) -> Result<Arc<Shared>, UpgradeFailed> {
        let remote = Multiaddr::tcp(socket.peer_addr()?);
        watch.tell(|| Observed::Connected(remote.clone()));
        let upgrade = Upgrade::new(&self.upgrader, plan, expected, &self.seed.derive("connection", watch.connection()));
        let shared = Arc::new(Shared::new(self, socket, remote, watch, upgrade));
        threads::start(&shared)?;
        Ok(shared)
    }

    /// The observer's view of the next connection.
    pub(crate) fn watch(&self) -> Watch {
        Watch::new(self.observer.clone(), self.connections.fetch_add(1, Ordering::Relaxed))
    }

    fn connect(&self, found: Vec<SocketAddr>) -> Result<(SocketAddr, TcpStream), Tried> {
        let until = Instant::now() + self.limits.connect;
        let mut tried = Vec::new();
        for address in found {
            let left = until.saturating_duration_since(Instant::now());
            let socket = match left.is_zero() {
                true => Err(io::ErrorKind::TimedOut.into()),
                false => TcpStream::connect_timeout(&address, left),
            };
            match socket {
                Ok(socket) => return Ok((address, socket)),
                Err(error) => tried.push((address, error)),
            }
        }
        Err(Tried(tried))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("peer", &self.peer()).field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Waits for the end of the upgrade.
pub(crate) fn upgraded(shared: Arc<Shared>) -> Result<Connection, UpgradeFailed> {
    let mut link = shared.lock();
    let info = loop {
        match &link.phase {
            Phase::Upgrading(_) => {}
            Phase::Open(connection) => break Info::new(connection, shared.remote.clone()),
            Phase::Failed(error) => return Err(error.clone()),
        }
        link = shared.wait(&shared.changed, link, None)?;
    };
    drop(link);
    Ok(Connection::new(shared, info))
}
