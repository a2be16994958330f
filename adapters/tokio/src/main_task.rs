//! The main task of a node: listens, dials, watches the machine's interfaces, calls the host when its time has come.

use crate::net;
use crate::wire;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tidewire_adapter::{Hub, Job, Line, ListenError, Listeners, Target, is_exhausted, listener_waits};
use tidewire_connmgr::dial::DialFault;
use tidewire_core::{Multiaddr, PeerId, Time};
use tidewire_host::{DialId, Input, ListenerId};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{sleep, timeout_at};

/// How long a listener waits when the operating system has no socket to give: at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// What every task of a node has.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) hub: Arc<Hub>,
    pub(crate) close_timeout: Duration,
    /// Held until the task is over.
    pub(crate) alive: watch::Receiver<()>,
}

struct Main {
    shared: Shared,
    dials: BTreeMap<DialId, AbortHandle>,
    listeners: Listeners<JoinHandle<()>>,
}

pub(crate) async fn run(shared: Shared, mut jobs: mpsc::UnboundedReceiver<Job>, interval: Duration) {
    let (hub, clock) = (shared.hub.clone(), shared.hub.clock());
    let mut main = Main { shared, dials: BTreeMap::new(), listeners: Listeners::default() };
    let (mut alarm, mut look) = (hub.on_timeout(), clock.now() + interval);
    loop {
        match timeout_at(clock.instant(alarm.min(look)).into(), jobs.recv()).await {
            Ok(None | Some(Job::Stop)) => break,
            Ok(Some(Job::Hurry)) => alarm = Time::ZERO,
            Ok(Some(job)) => main.work(job).await,
            Err(_) => {}
        }
        let now = clock.now();
        if alarm <= now {
            alarm = hub.on_timeout();
        }
        if look <= now {
            look = now + interval;
            main.listeners.look(&hub);
        }
    }
    main.dials.values().for_each(AbortHandle::abort);
    main.listeners.iter().for_each(JoinHandle::abort);
}

impl Main {
    async fn work(&mut self, job: Job) {
        match job {
            Job::Listen { listener, address } => {
                if let Err(error) = self.listen(listener, &address).await {
                    self.shared.hub.not_listening(listener, error);
                }
            }
            Job::Unlisten { listener } => {
                if let Some(task) = self.listeners.remove(listener) {
                    task.abort();
                    // It was aborted: that is the error. Now the port is free.
                    let _ = task.await;
                    let why = "it was asked for".into();
                    // What the host knows no more is of no matter.
                    let _ = self.shared.hub.tell(Input::ListenerClosed { listener, why });
                }
            }
            Job::Dial { dial, peer, address, from } => {
                self.dials.retain(|_, task| !task.is_finished());
                let task = tokio::spawn(self.shared.clone().dial(dial, peer, address, from));
                self.dials.insert(dial, task.abort_handle());
            }
            Job::Abort { dial } => {
                if let Some(task) = self.dials.remove(&dial) {
                    task.abort();
                }
            }
            _ => {}
        }
    }

    async fn listen(&mut self, listener: ListenerId, address: &Multiaddr) -> Result<(), ListenError> {
        let target = Target::to_listen(address)
            .map_err(|reason| ListenError::Unsupported { address: address.clone(), reason })?;
        let failed = |error| ListenError::Bind { address: address.clone(), error };
        let bind = async {
            let found = target.pick(lookup_host(target.question()).await?)?;
            let socket = net::listen(found.first().copied().ok_or(io::ErrorKind::NotFound)?)?;
            Ok((socket.local_addr()?, socket))
        };
        let (bound, socket) = bind.await.map_err(failed)?;
        let task = tokio::spawn(self.shared.clone().accept(socket));
        self.listeners.add(&self.shared.hub, listener, bound, task);
        Ok(())
    }
}

impl Shared {
    /// Drives a connection in a task of its own.
    fn drive(&self, line: Arc<Line>, socket: TcpStream) {
        let Shared { hub, close_timeout, alive } = self.clone();
        tokio::spawn(async move {
            wire::run(hub, line, socket, close_timeout).await;
            drop(alive);
        });
    }

    async fn dial(self, dial: DialId, peer: PeerId, address: Multiaddr, from: Option<Multiaddr>) {
        let connected = net::dial(&address, peer, from.as_ref()).await.and_then(|(socket, remote)| {
            let local = socket.local_addr().map_err(|error| DialFault::Transport(error.to_string().into()))?;
            Ok((socket, Multiaddr::tcp(local), Multiaddr::tcp(remote)))
        });
        match connected {
            Ok((socket, local, remote)) => {
                if let Some(line) = self.hub.dialed(dial, peer, local, remote) {
                    self.drive(line, socket);
                }
            }
            // If it was aborted meanwhile, that is of no matter.
            Err(fault) => drop(self.hub.tell(Input::DialFailed { dial, fault })),
        }
    }

    async fn accept(self, listener: TcpListener) {
        let mut pause = PAUSE.0;
        loop {
            let error = match listener.accept().await {
                Ok((socket, remote)) => {
                    pause = PAUSE.0;
                    // A socket that is broken already is refused below, or ends with its first use.
                    let _ = socket.set_nodelay(true);
                    if let Ok(local) = socket.local_addr()
                        && let Some(line) = self.hub.accepted(Multiaddr::tcp(local), Multiaddr::tcp(remote))
                    {
                        self.drive(line, socket);
                    }
                    continue;
                }
                Err(error) => error,
            };
            if is_exhausted(&error) {
                self.hub.traffic().exhausted.fetch_add(1, Relaxed);
                listener_waits(&error, pause);
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }
}
