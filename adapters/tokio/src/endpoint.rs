//! A node's way to its connections: dials, listens, and upgrades sockets.

use crate::buffer::Pool;
use crate::connection::Connection;
use crate::listener::Listener;
use crate::upgrade;
use crate::wire::Wire;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tidewire_adapter::{
    DialError, Gate, ListenError, Observed, Observer, Target, Tried, UpgradeFailed, Watch, random_seed,
};
use tidewire_core::{Multiaddr, PeerId, Seed, Time};
use tidewire_upgrade::pipeline::{Plan, Upgrade, Upgrader};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

/// A node that dials and listens on TCP. A clone is another handle to the same.
///
/// Each connection runs in a task of its own on the runtime in which it was made.
#[derive(Clone)]
pub struct Endpoint {
    pub(crate) upgrader: Upgrader,
    seed: Seed,
    /// Counts the connections of all clones.
    counter: Arc<AtomicU64>,
    pub(crate) gate: Arc<dyn Gate>,
    observer: Option<Arc<dyn Observer>>,
    pub(crate) clock: Clock,
    pool: Arc<Pool>,
    pub(crate) max_pending: usize,
    pub(crate) close_timeout: Duration,
}

/// The monotonic clock that all machines of an endpoint share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Endpoint {
    /// A node that is known by what `upgrader` was made with. Its entropy comes from the operating system.
    ///
    /// # Errors
    /// The operating system has no entropy to give.
    pub fn new(upgrader: Upgrader) -> io::Result<Endpoint> {
        Ok(Endpoint::with_seed(upgrader, random_seed()?))
    }

    /// As [`new`](Endpoint::new), with all entropy drawn from `seed`: for tests. Never use a seed twice.
    pub fn with_seed(upgrader: Upgrader, seed: Seed) -> Endpoint {
        Endpoint {
            upgrader,
            seed,
            counter: Arc::default(),
            gate: Arc::new(()),
            observer: None,
            clock: Clock(Instant::now()),
            pool: Arc::default(),
            max_pending: 16,
            close_timeout: Duration::from_secs(2),
        }
    }

    /// Lets `gate` refuse connections.
    #[must_use]
    pub fn gate(mut self, gate: Arc<dyn Gate>) -> Endpoint {
        self.gate = gate;
        self
    }

    /// Tells `observer` all that happens.
    #[must_use]
    pub fn observe(mut self, observer: Arc<dyn Observer>) -> Endpoint {
        self.observer = Some(observer);
        self
    }

    /// How many sockets of each listener may be in an upgrade, or upgraded and not yet accepted; further ones wait in the
    /// operating system's queue. Default 16.
    #[must_use]
    pub fn max_pending(mut self, count: usize) -> Endpoint {
        self.max_pending = count.max(1);
        self
    }

    /// How long a closed connection may take to send what is left, and to hear that the remote closed too. Default 2 s.
    #[must_use]
    pub fn close_timeout(mut self, limit: Duration) -> Endpoint {
        self.close_timeout = limit;
        self
    }

    /// Who we are.
    pub fn peer(&self) -> PeerId {
        self.upgrader.peer()
    }

    /// The time that this endpoint's machines see, for [`Plan::ListenFirst`].
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// How many buffers of 256 KiB its connections hold right now. An idle connection holds none.
    pub fn buffers_in_use(&self) -> usize {
        self.pool.lent()
    }

    /// Connects to an address of TCP, and upgrades the connection: `/ip4`, `/ip6`, `/dns`, `/dns4` or `/dns6`, then `/tcp/PORT`,
    /// and then perhaps `/p2p/ID`, which the remote has to prove.
    ///
    /// Cancel safe: dropped, it closes what it had begun.
    ///
    /// # Errors
    /// What was tried, and why it failed.
    pub async fn dial(&self, address: &Multiaddr) -> Result<Connection, DialError> {
        self.dial_as(address, Plan::Initiate).await
    }

    /// As [`dial`](Endpoint::dial), where it is not the dialer who speaks first.
    ///
    /// # Errors
    /// As [`dial`](Endpoint::dial).
    pub async fn dial_as(&self, address: &Multiaddr, plan: Plan) -> Result<Connection, DialError> {
        let watch = self.watch();
        let result = self.dial_watched(address, plan, watch.clone()).await;
        if let Err(error) = &result {
            watch.tell(|| Observed::Failed(error.to_string()));
        }
        result
    }

    /// Upgrades a socket that is connected already, from a hole punch say. `expected`: anyone else is refused.
    ///
    /// # Errors
    /// The socket or the upgrade failed, or the [`Gate`] refused.
    pub async fn upgrade(
        &self,
        stream: TcpStream,
        plan: Plan,
        expected: Option<PeerId>,
    ) -> Result<Connection, UpgradeFailed> {
        let watch = self.watch();
        let result = match stream.peer_addr() {
            Ok(remote) => self.upgrade_watched(stream, remote, plan, expected, watch.clone()).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = &result {
            watch.tell(|| Observed::Failed(error.to_string()));
        }
        result
    }

    /// Listens on `/ip4/../tcp/PORT` or `/ip6/../tcp/PORT`; port 0 takes a free one.
    ///
    /// # Errors
    /// The address is not of this kind, or the operating system refuses.
    pub async fn listen(&self, address: &Multiaddr) -> Result<Listener, ListenError> {
        Listener::bind(self, address).await
    }

    /// The observer's view of the next connection.
    pub(crate) fn watch(&self) -> Watch {
        Watch::new(self.observer.clone(), self.counter.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) async fn upgrade_watched(
        &self,
        stream: TcpStream,
        remote: SocketAddr,
        plan: Plan,
        expected: Option<PeerId>,
        watch: Watch,
    ) -> Result<Connection, UpgradeFailed> {
        stream.set_nodelay(true)?;
        let remote = Multiaddr::tcp(remote);
        watch.tell(|| Observed::Connected(remote.clone()));
        let seed = self.seed.derive("connection", watch.connection());
        let upgrade = Upgrade::new(&self.upgrader, plan, expected, &seed);
        let wire = Wire::new(stream, self.clock, self.pool.clone(), watch);
        upgrade::run(self, upgrade, wire, remote).await
    }

    async fn dial_watched(&self, address: &Multiaddr, plan: Plan, watch: Watch) -> Result<Connection, DialError> {
        watch.tell(|| Observed::Connecting(address.clone()));
        let address = address.clone();
        let target = match Target::parse(&address) {
            Ok(target) => target,
            Err(reason) => return Err(DialError::Unsupported { address, reason }),
        };
        if let Err(reason) = self.gate.dial(&address) {
            return Err(DialError::Refused { address, reason });
        }
        let limit = self.upgrader.config().timeout;
        let found = within(limit, lookup_host(target.question())).await;
        let sockets = match found.and_then(|found| target.pick(found)) {
            Ok(sockets) => sockets,
            Err(error) => return Err(DialError::Resolve { address, error }),
        };
        let mut tried = Vec::new();
        for socket in sockets {
            match within(limit, TcpStream::connect(socket)).await {
                Ok(stream) => {
                    let expected = target.peer();
                    let upgraded = self.upgrade_watched(stream, socket, plan, expected, watch).await;
                    return upgraded.map_err(|error| DialError::Upgrade { address, socket, error: error.into() });
                }
                Err(error) => tried.push((socket, error)),
            }
        }
        Err(DialError::Connect { address, tried: Tried(tried) })
    }
}

async fn within<T>(limit: Duration, what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, what).await.unwrap_or_else(|_| {
        let text = format!("no answer within {limit:?}");
        Err(io::Error::new(io::ErrorKind::TimedOut, text))
    })
}

impl Clock {
    pub(crate) fn now(self) -> Time {
        Time::ZERO + self.0.elapsed()
    }

    /// The runtime's name for a time that is not `NEVER`.
    pub(crate) fn instant(self, time: Time) -> Instant {
        // tokio's timers end after two years; one that fires early does no harm.
        self.0 + time.since(Time::ZERO).min(self.0.elapsed() + Duration::from_secs(365 * 86_400))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("peer", &self.peer()).finish_non_exhaustive()
    }
}
