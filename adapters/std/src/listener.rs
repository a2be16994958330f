//! Accepting: one thread takes sockets, a thread each upgrades them, and what is ready waits for the application.

use crate::connection::Connection;
use crate::endpoint::{Endpoint, upgraded};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use tidewire_adapter::{ListenError, Observed, Target, UpgradeFailed, Watch, named, reachable};
use tidewire_core::Multiaddr;
use tidewire_upgrade::pipeline::Plan;

/// How long to wait when the operating system has no socket to give, before asking again.
const PAUSE: Duration = Duration::from_millis(50);

/// A socket that listens. Dropped, it is shut down.
pub struct Listener {
    address: Multiaddr,
    all: Vec<Multiaddr>,
    bound: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    endpoint: Endpoint,
}

#[derive(Default)]
struct Queue {
    upgrading: usize,
    ready: VecDeque<Connection>,
    over: bool,
    /// The accepting thread has let go of the socket.
    released: bool,
}

impl Listener {
    pub(crate) fn new(endpoint: &Endpoint, address: &Multiaddr) -> Result<Self, ListenError> {
        let target = Target::to_listen(address)
            .map_err(|reason| ListenError::Unsupported { address: address.clone(), reason })?;
        let peer = endpoint.peer();
        let bind = || {
            let socket = TcpListener::bind(target.question())?;
            let bound = socket.local_addr()?;
            let shared =
                Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new(), endpoint: endpoint.clone() });
            let accepting = shared.clone();
            thread::Builder::new().name("tidewire-accept".into()).spawn(move || accept(&accepting, socket))?;
            let all = reachable(bound).into_iter().map(|socket| named(socket, peer)).collect();
            Ok(Listener { address: named(bound, peer), all, bound, shared })
        };
        bind().map_err(|error| ListenError::Bind { address: address.clone(), error })
    }

    /// The address that is bound, with our peer id.
    pub fn address(&self) -> &Multiaddr {
        &self.address
    }

    /// Addresses at which it can be dialed from this machine: where all interfaces are bound, the loopback one and that of
    /// the default route; else the one that is bound.
    pub fn addresses(&self) -> Vec<Multiaddr> {
        self.all.clone()
    }

    /// Waits for the next connection, upgraded. Those that fail are told to the observer alone.
    ///
    /// # Errors
    /// The listener was shut down.
    pub fn accept(&self) -> io::Result<Connection> {
        let mut queue = self.shared.lock();
        loop {
            if let Some(connection) = queue.ready.pop_front() {
                self.shared.changed.notify_all();
                return Ok(connection);
            }
            if queue.over {
                return Err(io::Error::new(io::ErrorKind::NotConnected, "the listener was shut down"));
            }
            queue = self.shared.wait(queue);
        }
    }

    /// Stops listening, and closes the connections that nobody has accepted. Waits until the port is free.
    pub fn shutdown(&self) {
        let mut queue = self.shared.lock();
        queue.over = true;
        let unwanted = std::mem::take(&mut queue.ready);
        self.shared.changed.notify_all();
        while !queue.released {
            drop(queue);
            // Only a connection wakes the thread that waits for one.
            if let Some(address) = reachable(self.bound).first() {
                TcpStream::connect_timeout(address, PAUSE).ok();
            }
            queue = self.shared.lock();
            if !queue.released {
                queue = self.shared.changed.wait_timeout(queue, PAUSE).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        drop(queue);
        drop(unwanted);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner)
    }

    /// Upgrades one socket.
    fn upgrade(&self, socket: TcpStream, watch: Watch) {
        let result = self.endpoint.start(socket, Plan::Respond, None, watch).and_then(|shared| {
            let result = upgraded(shared.clone());
            if result.is_err() {
                // It counts as pending until its socket and threads are gone.
                let mut link = shared.lock();
                while link.closed.is_none() {
                    link = shared.wait(&shared.changed, link, None)?;
                }
            }
            result
        });
        let mut queue = self.lock();
        queue.upgrading -= 1;
        if let Ok(connection) = result
            && !queue.over
        {
            queue.ready.push_back(connection);
        }
        self.changed.notify_all();
    }
}

fn accept(shared: &Arc<Shared>, socket: TcpListener) {
    loop {
        let mut queue = shared.lock();
        while !queue.over && queue.upgrading + queue.ready.len() >= shared.endpoint.limits.max_pending {
            queue = shared.wait(queue);
        }
        if queue.over {
            break;
        }
        drop(queue);
        let Ok((incoming, remote)) = socket.accept() else {
            thread::sleep(PAUSE);
            continue;
        };
        if shared.lock().over {
            break;
        }
        let watch = shared.endpoint.watch();
        if let Err(reason) = shared.endpoint.gate.accept(&Multiaddr::tcp(remote)) {
            watch.tell(|| Observed::Failed(UpgradeFailed::refused(&reason).to_string()));
            continue;
        }
        shared.lock().upgrading += 1;
        let upgrading = shared.clone();
        let spawned = thread::Builder::new()
            .name(format!("tidewire-{}-upgrade", watch.connection()))
            .spawn(move || upgrading.upgrade(incoming, watch));
        if spawned.is_err() {
            shared.lock().upgrading -= 1;
            thread::sleep(PAUSE);
        }
    }
    drop(socket);
    shared.lock().released = true;
    shared.changed.notify_all();
}
