//! A node in this thread, which echoes and does what a test asks of it, and another one in a thread of its own.
#![allow(dead_code, unreachable_pub)] // not every test file uses all of it

#[path = "../../../common/tests/shared/mod.rs"]
pub mod shared;

use shared::{ECHO, key, loopback};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tidewire_connmgr::By;
use tidewire_mio::{
    ConnectionId, DialOptions, Driver, Event, ListenerId, ManagerEvent, Matcher, Multiaddr, OpenId, OpenOptions,
    PeerId, Protocols, ReadStreamError, RequestId, RouteId, Solo, SoloConfig, SoloEvent, StreamEvent, StreamId, Time,
    Waker, WriteError, epoch, random_seed,
};

/// More than a connection ever takes.
pub const LIMIT: Duration = Duration::from_secs(20);

pub type Stream = (ConnectionId, StreamId);

pub fn socket(address: &Multiaddr) -> SocketAddr {
    address.socket_addr().unwrap()
}

/// A node that serves ECHO.
pub struct Node {
    pub driver: Driver,
    /// What is still to be sent back; and whether its end came.
    echoes: BTreeMap<Stream, (Vec<u8>, bool)>,
    ids: u64,
}

impl Node {
    pub fn new(n: u8) -> Node {
        Node::with(n, SoloConfig::default())
    }

    pub fn with(n: u8, config: SoloConfig) -> Node {
        let solo = Solo::new(config, key(n), &random_seed().unwrap(), epoch()).unwrap();
        let mut node = Node { driver: Driver::new(solo).unwrap(), echoes: BTreeMap::new(), ids: 0 };
        node.tell(|solo, now| solo.serve(now, ECHO, Matcher::Exact, RouteId::new(1)).unwrap());
        node
    }

    pub fn tell<R>(&mut self, what: impl FnOnce(&mut Solo, Time) -> R) -> R {
        let now = self.driver.now();
        what(self.driver.solo_mut(), now)
    }

    pub fn fresh(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// A turn, its echoes done.
    pub fn turn(&mut self, wait: Duration) -> Vec<SoloEvent> {
        let events = self.driver.turn(Some(wait)).unwrap();
        for event in &events {
            let SoloEvent::Stream { connection, event } = event else { continue };
            match event {
                StreamEvent::Incoming { stream, .. } => {
                    self.echoes.insert((*connection, *stream), Default::default());
                    self.echo((*connection, *stream));
                }
                StreamEvent::Readable(stream) | StreamEvent::Writable(stream) => self.echo((*connection, *stream)),
                StreamEvent::Reset { stream, .. } => drop(self.echoes.remove(&(*connection, *stream))),
                _ => {}
            }
        }
        events
    }

    pub fn echo(&mut self, at: Stream) {
        let Some((mut bytes, mut ended)) = self.echoes.remove(&at) else { return };
        loop {
            while !bytes.is_empty() {
                match self.tell(|solo, now| solo.write(now, at.0, at.1, &bytes)) {
                    Ok(count) => drop(bytes.drain(..count)),
                    Err(WriteError::Blocked) => return drop(self.echoes.insert(at, (bytes, ended))),
                    Err(_) => return,
                }
            }
            if ended {
                return self.tell(|solo, now| solo.finish(now, at.0, at.1).unwrap_or_default());
            }
            match self.tell(|solo, now| solo.read(now, at.0, at.1)) {
                Ok(Some(piece)) => bytes = piece.to_vec(),
                Ok(None) => ended = true,
                Err(ReadStreamError::Blocked) => return drop(self.echoes.insert(at, (bytes, ended))),
                Err(_) => return,
            }
        }
    }

    /// Goes on until `find` finds something.
    pub fn until<R>(&mut self, what: &str, mut find: impl FnMut(&SoloEvent) -> Option<R>) -> R {
        let begun = Instant::now();
        loop {
            let found = self.turn(Duration::from_millis(100)).iter().find_map(&mut find);
            if let Some(found) = found {
                return found;
            }
            assert!(begun.elapsed() < LIMIT, "{what} never came: {:?}", self.driver);
        }
    }

    /// Goes on until it is so.
    pub fn wait(&mut self, what: &str, mut so: impl FnMut(&Driver) -> bool) {
        let begun = Instant::now();
        while !so(&self.driver) {
            self.turn(Duration::from_millis(20));
            assert!(begun.elapsed() < LIMIT, "{what} never came: {:?}", self.driver);
        }
    }

    pub fn listen(&mut self, at: &Multiaddr) -> Result<Multiaddr, String> {
        let listener = ListenerId(self.fresh());
        self.tell(|solo, now| solo.listen(now, listener, at).unwrap());
        self.until("an address", |event| match event {
            SoloEvent::Host(Event::Listening { address, .. }) => Some(Ok(address.clone())),
            SoloEvent::Host(Event::ListenerClosed { why, .. }) => Some(Err(why.to_string())),
            _ => None,
        })
    }

    pub fn begin(&mut self, peer: PeerId, at: &Multiaddr) -> RequestId {
        let request = RequestId(self.fresh());
        let addresses = [at.clone()];
        self.tell(|solo, now| solo.connect(now, request, peer, &addresses, DialOptions::default()).unwrap());
        request
    }

    pub fn connect(&mut self, peer: PeerId, at: &Multiaddr) -> Result<ConnectionId, String> {
        self.begin(peer, at);
        self.until("the dial's end", |event| match event {
            SoloEvent::Host(Event::Manager(ManagerEvent::Dialed { connection, .. })) => Some(Ok(*connection)),
            SoloEvent::Host(Event::Manager(ManagerEvent::DialFailed { report, .. })) => Some(Err(report.to_string())),
            _ => None,
        })
    }

    pub fn open(&mut self, peer: PeerId) -> Stream {
        let open = OpenId(self.fresh());
        let protocols = Protocols::from(ECHO);
        self.tell(|solo, now| solo.open(now, open, peer, &protocols, OpenOptions::default()).unwrap());
        self.until("the stream", |event| match event {
            SoloEvent::Stream { connection, event: StreamEvent::Opened { stream, .. } } => Some((*connection, *stream)),
            _ => None,
        })
    }

    /// Writes all, finishes, and reads to the end.
    pub fn ask(&mut self, at: Stream, question: &[u8]) -> Vec<u8> {
        let (mut rest, mut answer, begun, mut finished) = (question, Vec::new(), Instant::now(), false);
        loop {
            while !rest.is_empty() {
                match self.tell(|solo, now| solo.write(now, at.0, at.1, rest)) {
                    Ok(count) => rest = &rest[count..],
                    Err(WriteError::Blocked) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            if rest.is_empty() && !std::mem::replace(&mut finished, true) {
                self.tell(|solo, now| solo.finish(now, at.0, at.1).unwrap());
            }
            loop {
                match self.tell(|solo, now| solo.read(now, at.0, at.1)) {
                    Ok(Some(piece)) => answer.extend_from_slice(&piece),
                    Ok(None) => return answer,
                    Err(ReadStreamError::Blocked) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            self.turn(Duration::from_millis(100));
            assert!(begun.elapsed() < LIMIT, "{} of {} came back", answer.len(), question.len());
        }
    }

    /// Closes everything, and goes on until all is done.
    pub fn shut_down(&mut self) {
        self.tell(Solo::shutdown);
        self.wait("the end of all sockets", |driver| driver.sockets() == 0);
    }

    /// Who closed a connection, and why.
    pub fn closed(&mut self) -> (By, String) {
        self.until("the connection's end", |event| match event {
            SoloEvent::Host(Event::Manager(ManagerEvent::ConnectionClosed { by, reason, .. })) => {
                Some((*by, reason.to_string()))
            }
            _ => None,
        })
    }
}

/// Another node, in a thread of its own.
pub struct Other {
    pub address: Multiaddr,
    waker: Arc<Waker>,
    ends: Sender<bool>,
    told: Receiver<SoloEvent>,
    thread: Option<JoinHandle<()>>,
}

/// The last to go: its remotes are gone by then, and it waits for no goodbye.
impl Drop for Other {
    fn drop(&mut self) {
        // A test that failed has not told it to end.
        if !thread::panicking() {
            let joined = self.thread.take().map(JoinHandle::join);
            assert!(matches!(joined, Some(Ok(()))), "the other node failed");
        }
    }
}

impl Other {
    pub fn new(n: u8) -> Other {
        Other::of(move || Node::new(n))
    }

    pub fn of(node: impl FnOnce() -> Node + Send + 'static) -> Other {
        let ((ends, end), (tell, told), (ready, up)) = (channel(), channel(), channel());
        let thread = thread::spawn(move || {
            let mut node = node();
            ready.send((node.listen(&loopback()).unwrap(), node.driver.waker())).unwrap();
            let kindly = loop {
                node.turn(Duration::from_secs(60)).into_iter().for_each(|event| tell.send(event).unwrap_or_default());
                if let Ok(kindly) = end.try_recv() {
                    break kindly;
                }
            };
            if kindly {
                node.shut_down();
            }
        });
        let (address, waker) = up.recv().unwrap();
        Other { address, waker, ends, told, thread: Some(thread) }
    }

    /// Ends it: in an orderly way, or all its sockets at once.
    pub fn end(&self, kindly: bool) {
        self.ends.send(kindly).unwrap();
        self.waker.wake().unwrap();
    }

    pub fn until<R>(&self, find: impl Fn(SoloEvent) -> Option<R>) -> R {
        loop {
            if let Some(found) = find(self.told.recv_timeout(LIMIT).unwrap()) {
                return found;
            }
        }
    }
}

pub fn identified(event: &SoloEvent, who: PeerId) -> Option<()> {
    let SoloEvent::Host(Event::Identified { peer, identity, .. }) = event else { return None };
    (*peer == who && identity.protocols.contains(&ECHO)).then_some(())
}
