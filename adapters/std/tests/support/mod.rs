//! Nodes on loopback TCP, and what tests do with them.
#![allow(dead_code, unreachable_pub)] // not every test file uses all of it

#[path = "../../../common/tests/shared/mod.rs"]
mod shared;

pub use shared::*;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tidewire_connmgr::{By, CloseReason};
use tidewire_std::{
    Event, Events, Incoming, Matcher, Multiaddr, Node, NodeConfig, Notice, Observer, OpenOptions, Protocol, Protocols,
    Stream, random_seed,
};

pub fn node_with(n: u8, config: NodeConfig) -> Node {
    let node = Node::new(config, key(n)).unwrap();
    serve(node.handle(ECHO, Matcher::Exact).unwrap());
    node
}

pub fn node(n: u8) -> Node {
    node_with(n, NodeConfig::default())
}

pub fn observed(n: u8, config: NodeConfig, observer: Option<Arc<dyn Observer>>) -> Node {
    let node = Node::observed(config, key(n), &random_seed().unwrap(), observer).unwrap();
    serve(node.handle(ECHO, Matcher::Exact).unwrap());
    node
}

pub fn watched(n: u8, config: NodeConfig) -> (Node, Arc<Log>) {
    let log = Arc::new(Log::default());
    (observed(n, config, Some(log.clone())), log)
}

/// Listens on a free port, and says where.
pub fn listen(node: &Node) -> Multiaddr {
    node.listen(&loopback()).unwrap().addresses()[0].clone()
}

/// Two nodes with a connection, the dialer first, and the streams of [`TALK`] at the other.
pub fn pair_of(a: Node, b: Node) -> (Node, Node, Incoming) {
    let talks = b.handle(TALK, Matcher::Exact).unwrap();
    a.connect(&listen(&b)).unwrap();
    // The dialer is done a flight earlier.
    until(|| b.counters().peers > 0);
    (a, b, talks)
}

pub fn pair() -> (Node, Node, Incoming) {
    pair_of(node(1), node(2))
}

/// Echoes on every stream.
pub fn serve(streams: Incoming) {
    thread::spawn(move || {
        for inbound in streams {
            thread::spawn(move || echo(&inbound.stream));
        }
    });
}

pub fn echo(stream: &Stream) -> std::io::Result<()> {
    while let Some(chunk) = stream.read_chunk()? {
        { stream }.write_all(&chunk)?;
    }
    stream.shutdown()
}

/// A stream from the first node of a pair to the second.
pub fn open(node: &Node, protocol: Protocol) -> Stream {
    node.open(id(2), &Protocols::from(protocol), OpenOptions::default()).unwrap()
}

/// Sends `len` bytes and reads them back at the same time.
pub fn round_trip(stream: &Stream, len: usize, salt: usize) {
    let sent = data(len, salt);
    let mut received = Vec::with_capacity(len);
    thread::scope(|scope| {
        scope.spawn(|| {
            { stream }.write_all(&sent).unwrap();
            stream.shutdown().unwrap();
        });
        { stream }.read_to_end(&mut received).unwrap();
    });
    assert!(received == sent, "{} of {len} bytes came back, not the same", received.len());
}

/// Until `holds`, at most 5 s.
pub fn until(holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(5), "it never came to hold");
        thread::sleep(Duration::from_millis(2));
    }
}

/// What is done within 5 s.
pub fn soon<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    let (give, done) = std::sync::mpsc::channel();
    thread::spawn(move || give.send(what()));
    done.recv_timeout(Duration::from_secs(5)).expect("it was not done within 5 s")
}

/// The first event that `pick` takes, within 5 s.
pub fn event<T>(events: &mut Events, pick: impl Fn(Event) -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        let notice = events.next_within(until.saturating_duration_since(Instant::now()));
        match notice.expect("the event never came") {
            Notice::Event(event) => {
                if let Some(found) = pick(event) {
                    return found;
                }
            }
            missed => panic!("{missed:?}"),
        }
    }
}

/// How the next connection ends: who ended it, and why.
pub fn closed(events: &mut Events) -> (By, CloseReason) {
    event(events, of_closed)
}

/// Passes the bytes of connections on.
pub struct Proxy {
    pub address: Multiaddr,
    sockets: Arc<Mutex<Vec<TcpStream>>>,
    silent: Arc<AtomicBool>,
    stalled: Arc<AtomicBool>,
}

impl Proxy {
    /// In front of a node; the address names the peer behind it.
    pub fn new(to: &Multiaddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Multiaddr::tcp(listener.local_addr().unwrap()).with_peer_id(to.peer_id().unwrap()).unwrap();
        let to: SocketAddr = to.socket_addr().unwrap();
        let proxy = Proxy { address, sockets: Arc::default(), silent: Arc::default(), stalled: Arc::default() };
        let (sockets, silent, stalled) = (proxy.sockets.clone(), proxy.silent.clone(), proxy.stalled.clone());
        thread::spawn(move || {
            while let Ok((near, _)) = listener.accept() {
                let far = TcpStream::connect(to).unwrap();
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let (silent, stalled) = (silent.clone(), stalled.clone());
                    thread::spawn(move || pass(from, to, &silent, &stalled));
                }
                sockets.lock().unwrap().extend([near, far]);
            }
        });
        proxy
    }

    /// Ends all connections, as a machine that is switched off and on again.
    pub fn cut(&self) {
        for socket in self.sockets.lock().unwrap().drain(..) {
            socket.shutdown(std::net::Shutdown::Both).ok();
        }
    }

    /// Takes nothing any more, and keeps the connections.
    pub fn stall(&self) {
        self.stalled.store(true, Ordering::SeqCst);
    }

    /// Passes nothing on any more, and keeps the connections.
    pub fn silence(&self) {
        self.silent.store(true, Ordering::SeqCst);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, silent: &AtomicBool, stalled: &AtomicBool) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        while stalled.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(10));
        }
        if !silent.load(Ordering::SeqCst) && to.write_all(&piece[..count]).is_err() {
            return;
        }
    }
    to.shutdown(std::net::Shutdown::Write).ok();
}
