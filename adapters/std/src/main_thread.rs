//! The main thread of a node: listens, dials, watches the machine's interfaces, calls the host when its time has come.

use crate::driver::Alive;
use crate::net::{self, TxtResolver};
use crate::wire;
use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tidewire_adapter::{Hub, Job, Line, ListenError, Listeners, Target, is_exhausted, listener_waits, lock};
use tidewire_connmgr::dial::DialFault;
use tidewire_core::{Multiaddr, PeerId, Time};
use tidewire_host::{DialId, Input, ListenerId};

/// How long a listener waits when the operating system has no socket to give: at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// What every thread of a node has.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) hub: Arc<Hub>,
    pub(crate) close_timeout: Duration,
    pub(crate) txt: Arc<Mutex<Option<Arc<dyn TxtResolver>>>>,
    /// For the threads of connections. A dial may wait for a resolver long after the node is over.
    pub(crate) alive: Weak<Alive>,
}

struct Listener {
    bound: SocketAddr,
    over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

struct Main {
    shared: Shared,
    /// Each with the word that it is aborted, which its thread holds too.
    dials: BTreeMap<DialId, Arc<AtomicBool>>,
    max_dials: usize,
    listeners: Listeners<Listener>,
}

pub(crate) fn run(shared: Shared, jobs: &Receiver<Job>, interval: Duration, max_dials: usize) {
    let (hub, clock) = (shared.hub.clone(), shared.hub.clock());
    let mut main = Main { shared, dials: BTreeMap::new(), max_dials, listeners: Listeners::default() };
    let (mut alarm, mut look) = (hub.on_timeout(), clock.now() + interval);
    loop {
        let left = clock.instant(alarm.min(look)).saturating_duration_since(Instant::now());
        match jobs.recv_timeout(left) {
            Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            Ok(Job::Hurry) => alarm = Time::ZERO,
            Ok(job) => main.work(job),
            Err(RecvTimeoutError::Timeout) => {}
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
    main.dials.values().for_each(|aborted| aborted.store(true, Ordering::Relaxed));
    main.listeners.iter().for_each(Listener::close);
}

impl Main {
    fn work(&mut self, job: Job) {
        match job {
            Job::Listen { listener, address } => {
                if let Err(error) = self.listen(listener, &address) {
                    self.shared.hub.not_listening(listener, error);
                }
            }
            Job::Unlisten { listener } => {
                if let Some(entry) = self.listeners.remove(listener) {
                    entry.close();
                    self.tell(Input::ListenerClosed { listener, why: "it was asked for".into() });
                }
            }
            Job::Dial { dial, peer, address, from } => {
                if let Err(error) = self.dial(dial, peer, address, from) {
                    self.tell(Input::DialFailed { dial, fault: DialFault::Local(error.to_string().into()) });
                }
            }
            Job::Abort { dial } => {
                if let Some(aborted) = self.dials.get(&dial) {
                    aborted.store(true, Ordering::Relaxed);
                }
            }
            _ => {}
        }
    }

    fn listen(&mut self, listener: ListenerId, address: &Multiaddr) -> Result<(), ListenError> {
        let target = Target::to_listen(address)
            .map_err(|reason| ListenError::Unsupported { address: address.clone(), reason })?;
        let over = Arc::new(AtomicBool::new(false));
        let bind = || {
            let found = target.pick(target.question().to_socket_addrs()?)?;
            let socket = net::listen(found.first().copied().ok_or(io::ErrorKind::NotFound)?)?;
            let (bound, shared, over) = (socket.local_addr()?, self.shared.clone(), over.clone());
            let thread = thread::Builder::new().name("tidewire-accept".into());
            Ok((bound, thread.spawn(move || shared.accept(&socket, &over))?))
        };
        let (bound, thread) = bind().map_err(|error| ListenError::Bind { address: address.clone(), error })?;
        self.listeners.add(&self.shared.hub, listener, bound, Listener { bound, over, thread });
        Ok(())
    }

    fn dial(&mut self, dial: DialId, peer: PeerId, address: Multiaddr, from: Option<Multiaddr>) -> io::Result<()> {
        self.dials.retain(|_, aborted| Arc::strong_count(aborted) > 1);
        if self.dials.len() >= self.max_dials {
            // Aborted ones, whose resolvers don't answer.
            return Err(io::Error::other(format!("{} threads dial, as many as may", self.dials.len())));
        }
        let (aborted, shared) = (Arc::new(AtomicBool::new(false)), self.shared.clone());
        self.dials.insert(dial, aborted.clone());
        let thread = thread::Builder::new().name(format!("tidewire-dial-{}", dial.0));
        thread.spawn(move || shared.dial(dial, (peer, &address), from.as_ref(), &aborted)).map(drop)
    }

    /// What crossed something on the way is of no matter.
    fn tell(&self, input: Input) {
        let _ = self.shared.hub.tell(input);
    }
}

impl Listener {
    /// Returns when the port is free.
    fn close(&self) {
        self.over.store(true, Ordering::Release);
        while !self.thread.is_finished() {
            self.thread.thread().unpark();
            net::poke(self.bound, PAUSE.0);
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Shared {
    /// Drives a connection in threads of its own.
    fn drive(&self, line: &Arc<Line>, socket: TcpStream) {
        let (hub, close_timeout, alive) = (self.hub.clone(), self.close_timeout, self.alive.upgrade());
        let (driven, thread) = (line.clone(), thread::Builder::new().name(format!("tidewire-{}", line.connection().0)));
        let spawned = thread.spawn(move || {
            wire::run(&hub, &driven, &socket, close_timeout);
            drop((socket, alive));
        });
        if let Err(error) = spawned {
            line.broken(&self.hub, &format!("there is no thread for it: {error}"));
        }
    }

    fn dial(&self, dial: DialId, whom: (PeerId, &Multiaddr), from: Option<&Multiaddr>, aborted: &AtomicBool) {
        let txt = lock(&self.txt).clone();
        let connected = net::dial(whom, from, txt.as_deref(), aborted).and_then(|connected| {
            let Some((socket, remote)) = connected else { return Ok(None) };
            // One that is broken already ends with its first use.
            let _ = socket.set_nodelay(true);
            let local = socket.local_addr().map_err(|error| DialFault::Transport(error.to_string().into()))?;
            Ok(Some((socket, Multiaddr::tcp(local), Multiaddr::tcp(remote))))
        });
        match connected {
            Ok(Some((socket, local, remote))) => {
                if let Some(line) = self.hub.dialed(dial, whom.0, local, remote) {
                    self.drive(&line, socket);
                }
            }
            Ok(None) => {}
            // If it was aborted meanwhile, that is of no matter.
            Err(fault) => drop(self.hub.tell(Input::DialFailed { dial, fault })),
        }
    }

    fn accept(&self, listener: &TcpListener, over: &AtomicBool) {
        let mut pause = PAUSE.0;
        loop {
            let accepted = listener.accept();
            if over.load(Ordering::Acquire) {
                return;
            }
            let error = match accepted {
                Ok((socket, remote)) => {
                    pause = PAUSE.0;
                    // A socket that is broken already is refused below, or ends with its first use.
                    let _ = socket.set_nodelay(true);
                    if let Ok(local) = socket.local_addr()
                        && let Some(line) = self.hub.accepted(Multiaddr::tcp(local), Multiaddr::tcp(remote))
                    {
                        self.drive(&line, socket);
                    }
                    continue;
                }
                Err(error) => error,
            };
            if is_exhausted(&error) {
                self.hub.traffic().exhausted.fetch_add(1, Ordering::Relaxed);
                listener_waits(&error, pause);
            }
            thread::park_timeout(pause);
            pause = (pause * 2).min(PAUSE.1);
        }
    }
}
