//! The main thread of a node: listens, dials, watches the machine's interfaces, calls the host when its time has come.

use crate::net::{self, TxtResolver};
use crate::wire;
use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tidewire_adapter::{Job, Line, ListenError, Rest, Rounds, Works, listen, lock, poke};
use tidewire_connmgr::dial::DialFault;
use tidewire_core::{Multiaddr, PeerId};
use tidewire_host::{DialId, ListenerId, LocalEnd};

/// Whom dials ask for TXT records.
pub(crate) type Txt = Arc<Mutex<Option<Arc<dyn TxtResolver>>>>;

struct Listener {
    bound: SocketAddr,
    over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

struct Main {
    works: Arc<Works>,
    txt: Txt,
    /// Each with the word that it is aborted, which its thread holds too.
    dials: BTreeMap<DialId, Arc<AtomicBool>>,
    rounds: Rounds<Listener>,
}

pub(crate) fn run(works: Works, txt: Txt, jobs: &Receiver<Job>) {
    let mut main = Main { rounds: works.rounds(), works: Arc::new(works), txt, dials: BTreeMap::new() };
    loop {
        match jobs.recv_timeout(main.rounds.next().saturating_duration_since(Instant::now())) {
            Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            Ok(job) => main.work(job),
            Err(RecvTimeoutError::Timeout) => {}
        }
        main.rounds.go();
    }
    main.dials.values().for_each(|aborted| aborted.store(true, Ordering::Relaxed));
    main.rounds.listeners.iter().for_each(Listener::close);
}

impl Main {
    fn work(&mut self, job: Job) {
        match job {
            Job::Listen { listener, address } => {
                if let Err(error) = self.listen(listener, &address) {
                    self.works.hub.not_listening(listener, error);
                }
            }
            Job::Unlisten { listener } => {
                if let Some(entry) = self.rounds.listeners.remove(listener) {
                    entry.close();
                    self.works.hub.unlistened(listener);
                }
            }
            Job::Dial { dial, peer, address, from } => {
                if let Err(error) = self.dial(dial, peer, address, from) {
                    self.works.hub.dial_failed(dial, DialFault::Local(error.to_string().into()));
                }
            }
            Job::Abort { dial } => self.dials.get(&dial).iter().for_each(|dial| dial.store(true, Ordering::Relaxed)),
            // Without a thread it is dropped, and that is said.
            Job::Circuit(circuit) => drop(spawn("circuit", self.works.blocking(circuit))),
            Job::Hurry => self.rounds.hurry(),
            _ => {}
        }
    }

    fn listen(&mut self, listener: ListenerId, address: &Multiaddr) -> Result<(), ListenError> {
        let socket = listen(address)?;
        let (over, works) = (Arc::new(AtomicBool::new(false)), self.works.clone());
        let begin = || {
            // Its thread does nothing but wait.
            socket.set_nonblocking(false)?;
            let (bound, over) = (socket.local_addr()?, over.clone());
            Ok((bound, spawn("accept", move || accept(&works, &socket, &over))?))
        };
        let (bound, thread) = begin().map_err(|error| ListenError::Bind { address: address.clone(), error })?;
        self.rounds.listeners.add(&self.works.hub, listener, bound, Listener { bound, over, thread });
        Ok(())
    }

    fn dial(&mut self, dial: DialId, peer: PeerId, address: Multiaddr, from: Option<LocalEnd>) -> io::Result<()> {
        self.dials.retain(|_, aborted| Arc::strong_count(aborted) > 1);
        if self.dials.len() >= self.works.max_dials {
            // Aborted ones, whose resolvers don't answer.
            return Err(io::Error::other(format!("{} threads dial, as many as may", self.dials.len())));
        }
        let (aborted, txt) = (Arc::new(AtomicBool::new(false)), lock(&self.txt).clone());
        self.dials.insert(dial, aborted.clone());
        // It may wait for a resolver until long after the node is over.
        let works = Arc::downgrade(&self.works);
        let run = move || {
            let dialed = net::dial((peer, &address), from.as_ref(), txt.as_deref(), &aborted);
            let Some(works) = works.upgrade() else { return };
            match dialed {
                Ok(Some((socket, local, remote))) => drive(&works, works.hub.dialed(dial, peer, local, remote), socket),
                Ok(None) => {}
                Err(fault) => works.hub.dial_failed(dial, fault),
            }
        };
        spawn(&format!("dial-{}", dial.0), run).map(drop)
    }
}

impl Listener {
    /// Returns when the port is free.
    fn close(&self) {
        self.over.store(true, Ordering::Release);
        while !self.thread.is_finished() {
            self.thread.thread().unpark();
            poke(self.bound);
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn accept(works: &Arc<Works>, listener: &TcpListener, over: &AtomicBool) {
    let mut rest = Rest::default();
    loop {
        let accepted = listener.accept();
        if over.load(Ordering::Acquire) {
            return;
        }
        match accepted {
            Ok((socket, remote)) => {
                rest = Rest::default();
                // One that is broken already is not worth a word.
                if let Ok(local) = socket.set_nodelay(true).and_then(|()| socket.local_addr()) {
                    drive(works, works.hub.accepted(local, remote), socket);
                }
            }
            Err(error) => thread::park_timeout(rest.after(&works.hub, &error)),
        }
    }
}

/// Drives a connection in threads of its own, if it is welcome.
fn drive(works: &Arc<Works>, line: Option<Arc<Line>>, socket: TcpStream) {
    let Some(line) = line else { return };
    let (of_thread, driven) = (works.clone(), line.clone());
    if let Err(error) = spawn(&line.connection().0.to_string(), move || wire::run(&of_thread, &driven, &socket)) {
        line.broken(&works.hub, &format!("there is no thread for it: {error}"));
    }
}

/// A thread with this name.
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(format!("tidewire-{name}")).spawn(run)
}
