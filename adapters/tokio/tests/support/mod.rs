//! Nodes on loopback TCP, and what tests do with them.
#![allow(dead_code, unreachable_pub)] // not every test file uses all of it

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidewire_connmgr as connmgr;
use tidewire_tokio::{
    Event, Events, Inbound, Incoming, Keypair, Matcher, Multiaddr, Node, NodeConfig, Notice, Observed, Observer,
    OpenOptions, PeerId, Protocol, Protocols, Seed, Selection, Stream, random_seed,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub const ECHO: Protocol = Protocol::from_static("/echo/1.0.0");
/// Served by [`pair`] for the test to take.
pub const TALK: Protocol = Protocol::from_static("/talk/1.0.0");

pub fn key(n: u8) -> Keypair {
    Keypair::from_seed(&Seed::new([n; 32]))
}

pub fn id(n: u8) -> PeerId {
    key(n).peer_id()
}

pub fn node_with(n: u8, config: NodeConfig) -> Node {
    let node = Node::new(config, key(n)).unwrap();
    serve(node.handle(ECHO, Matcher::Exact).unwrap());
    node
}

pub fn node(n: u8) -> Node {
    node_with(n, NodeConfig::default())
}

pub fn watched(n: u8, config: NodeConfig) -> (Node, Arc<Log>) {
    let log = Arc::new(Log::default());
    let node = Node::observed(config, key(n), &random_seed().unwrap(), Some(log.clone())).unwrap();
    serve(node.handle(ECHO, Matcher::Exact).unwrap());
    (node, log)
}

pub fn loopback() -> Multiaddr {
    "/ip4/127.0.0.1/tcp/0".parse().unwrap()
}

/// Listens on a free port, and says where.
pub async fn listen(node: &Node) -> Multiaddr {
    node.listen(&loopback()).await.unwrap().addresses()[0].clone()
}

/// Two nodes with a connection, the dialer first, and the streams of [`TALK`] at the other.
pub async fn pair_of(a: Node, b: Node) -> (Node, Node, Incoming) {
    let talks = b.handle(TALK, Matcher::Exact).unwrap();
    a.connect(&listen(&b).await).await.unwrap();
    // The dialer is done a flight earlier.
    until(|| b.counters().peers == 1).await;
    (a, b, talks)
}

pub async fn pair() -> (Node, Node, Incoming) {
    pair_of(node(1), node(2)).await
}

/// Echoes on every stream.
pub fn serve(mut streams: Incoming) {
    tokio::spawn(async move {
        while let Some(Inbound { stream, .. }) = streams.next().await {
            tokio::spawn(echo(stream));
        }
    });
}

pub async fn echo(mut stream: Stream) -> std::io::Result<()> {
    while let Some(chunk) = stream.read_chunk().await? {
        stream.write_all(&chunk).await?;
    }
    stream.shutdown().await
}

/// A stream from the first node of a pair to the second.
pub async fn open(node: &Node, protocol: Protocol) -> Stream {
    node.open(id(2), &Protocols::from(protocol), OpenOptions::default()).await.unwrap()
}

pub fn plain() -> OpenOptions {
    let mut options = OpenOptions::default();
    options.selection = Selection::Plain;
    options
}

pub fn data(len: usize, salt: usize) -> Vec<u8> {
    (0..len).map(|i| ((i / 251) ^ (i % 251) ^ salt).to_le_bytes()[0]).collect()
}

/// Sends `len` bytes and reads them back at the same time.
pub async fn round_trip(stream: Stream, len: usize, salt: usize) {
    let sent = data(len, salt);
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut received = Vec::with_capacity(len);
    let writing = async {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let (_, read) = tokio::join!(writing, reader.read_to_end(&mut received));
    read.unwrap();
    assert!(received == sent, "{} of {len} bytes came back, not the same", received.len());
}

/// The error inside an [`std::io::Error`].
pub fn inner<T: std::error::Error + Clone + 'static>(error: &std::io::Error) -> T {
    error.get_ref().and_then(|inner| inner.downcast_ref::<T>()).cloned().unwrap()
}

/// Until `holds`, at most 5 s.
pub async fn until(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(Duration::from_secs(5), waiting).await.expect("it never came to hold");
}

/// The first event that `pick` takes, within 5 s.
pub async fn event<T>(events: &mut Events, pick: impl Fn(Event) -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(Notice::Event(event)) = events.next().await
                && let Some(found) = pick(event)
            {
                return found;
            }
        }
    };
    timeout(Duration::from_secs(5), looking).await.expect("the event never came")
}

/// How the next connection ends: who ended it, and why.
pub async fn closed(events: &mut Events) -> (connmgr::By, connmgr::CloseReason) {
    event(events, |event| match event {
        Event::Manager(connmgr::Event::ConnectionClosed { by, reason, .. }) => Some((by, reason)),
        _ => None,
    })
    .await
}

/// Keeps what it sees.
#[derive(Default)]
pub struct Log(pub Mutex<Vec<Observed>>, pub Mutex<Vec<Event>>);

impl Observer for Log {
    fn event(&self, _: u64, event: &Observed) {
        self.0.lock().unwrap().push(event.clone());
    }
    fn host(&self, event: &Event) {
        self.1.lock().unwrap().push(event.clone());
    }
}

impl Log {
    pub fn count(&self, wanted: impl Fn(&Observed) -> bool) -> usize {
        self.0.lock().unwrap().iter().filter(|event| wanted(event)).count()
    }

    pub fn has(&self, wanted: impl Fn(&Observed) -> bool) -> bool {
        self.count(wanted) > 0
    }
}

/// Passes the bytes of connections on until it is aborted, each piece after a while. The address names the peer behind it.
pub async fn proxy(to: &Multiaddr, wait: Duration, pieces: usize) -> (Multiaddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Multiaddr::tcp(listener.local_addr().unwrap()).with_peer_id(to.peer_id().unwrap()).unwrap();
    let to: SocketAddr = to.socket_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut all = tokio::task::JoinSet::new();
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(to).await.unwrap();
            all.spawn(async move {
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                tokio::join!(pass(near_in, far_out, wait, usize::MAX), pass(far_in, near_out, wait, pieces));
            });
        }
    });
    (address, task)
}

/// So many pieces; what follows is taken and thrown away.
async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    wait: Duration,
    mut pieces: usize,
) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        tokio::time::sleep(wait).await;
        if pieces > 0 && to.write_all(&piece[..count]).await.is_err() {
            return;
        }
        pieces = pieces.saturating_sub(1);
    }
    if pieces > 0 {
        to.shutdown().await.ok();
    }
}
