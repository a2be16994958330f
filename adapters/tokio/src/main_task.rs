//! The main task of a node: listens, dials, watches the machine's interfaces, calls the host when its time has come.

use crate::net;
use crate::wire;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use tidewire_adapter::{Job, Line, ListenError, Rest, Rounds, Task, Works, listen};
use tidewire_core::{Multiaddr, PeerId};
use tidewire_host::{DialId, ListenerId, LocalEnd};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Sleep, sleep, sleep_until, timeout_at};

struct Main {
    works: Works,
    dials: BTreeMap<DialId, AbortHandle>,
    rounds: Rounds<JoinHandle<()>>,
}

pub(crate) async fn run(works: Works, mut jobs: mpsc::UnboundedReceiver<Job>) {
    let mut main = Main { dials: BTreeMap::new(), rounds: works.rounds(), works };
    loop {
        match timeout_at(main.rounds.next().into(), jobs.recv()).await {
            Ok(None | Some(Job::Stop)) => break,
            Ok(Some(job)) => main.work(job).await,
            Err(_) => {}
        }
        main.rounds.go();
    }
    main.dials.values().for_each(AbortHandle::abort);
    main.rounds.listeners.iter().for_each(JoinHandle::abort);
}

impl Main {
    async fn work(&mut self, job: Job) {
        match job {
            Job::Listen { listener, address } => {
                if let Err(error) = self.listen(listener, &address) {
                    self.works.hub.not_listening(listener, error);
                }
            }
            Job::Unlisten { listener } => {
                if let Some(task) = self.rounds.listeners.remove(listener) {
                    task.abort();
                    // It was aborted: that is the error. Now the port is free.
                    let _ = task.await;
                    self.works.hub.unlistened(listener);
                }
            }
            Job::Dial { dial, peer, address, from } => {
                self.dials.retain(|_, task| !task.is_finished());
                let task = tokio::spawn(run_dial(self.works.clone(), dial, peer, address, from));
                self.dials.insert(dial, task.abort_handle());
            }
            Job::Abort { dial } => {
                if let Some(task) = self.dials.remove(&dial) {
                    task.abort();
                }
            }
            Job::Circuit(circuit) => drop(tokio::spawn(run_task(self.works.task(circuit)))),
            Job::Hurry => self.rounds.hurry(),
            _ => {}
        }
    }

    fn listen(&mut self, listener: ListenerId, address: &Multiaddr) -> Result<(), ListenError> {
        let socket = listen(address)?;
        let bound = socket.local_addr().and_then(|bound| Ok((bound, TcpListener::from_std(socket)?)));
        let (bound, socket) = bound.map_err(|error| ListenError::Bind { address: address.clone(), error })?;
        let task = tokio::spawn(accept(self.works.clone(), socket));
        self.rounds.listeners.add(&self.works.hub, listener, bound, task);
        Ok(())
    }
}

/// Runs one end of a circuit until it is over. No `async fn`: that would hold the task twice.
fn run_task(mut task: Task) -> impl Future<Output = ()> {
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    poll_fn(move |cx| {
        loop {
            let Some(time) = task.poll(cx.waker()) else { return Poll::Ready(()) };
            let Some(at) = task.instant(time) else { return Poll::Pending };
            let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(at.into())));
            // As a connection's timer: moved only when it would fire too late.
            if timer.deadline() > at.into() || timer.is_elapsed() {
                timer.as_mut().reset(at.into());
            }
            ready!(timer.as_mut().poll(cx));
        }
    })
}

async fn run_dial(works: Works, dial: DialId, peer: PeerId, address: Multiaddr, from: Option<LocalEnd>) {
    match net::dial(&address, peer, from.as_ref()).await {
        Ok((socket, local, remote)) => drive(&works, works.hub.dialed(dial, peer, local, remote), socket),
        Err(fault) => works.hub.dial_failed(dial, fault),
    }
}

async fn accept(works: Works, listener: TcpListener) {
    let mut rest = Rest::default();
    loop {
        match listener.accept().await {
            Ok((socket, remote)) => {
                rest = Rest::default();
                // One that is broken already is not worth a word.
                if let Ok(local) = socket.set_nodelay(true).and_then(|()| socket.local_addr()) {
                    drive(&works, works.hub.accepted(local, remote), socket);
                }
            }
            Err(error) => sleep(rest.after(&works.hub, &error)).await,
        }
    }
}

/// Drives a connection in a task of its own, if it is welcome.
fn drive(works: &Works, line: Option<Arc<Line>>, socket: TcpStream) {
    if let Some(line) = line {
        tokio::spawn(wire::run(works.clone(), line, socket));
    }
}
