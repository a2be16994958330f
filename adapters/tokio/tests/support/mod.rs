//! Nodes on loopback TCP, and what tests do with them.
#![allow(dead_code, unreachable_pub)] // not every test file uses all of it

#[path = "../../../common/tests/shared/mod.rs"]
mod shared;

pub use shared::*;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tidewire_connmgr::{By, CloseReason};
use tidewire_tokio::{
    Event, Events, Inbound, Incoming, Matcher, Multiaddr, Node, NodeConfig, Notice, Observer, OpenOptions, Protocol,
    Protocols, Stream, random_seed,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

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
pub async fn closed(events: &mut Events) -> (By, CloseReason) {
    event(events, of_closed).await
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
