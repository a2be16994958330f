//! Nodes on loopback TCP, and what tests do with them.
#![allow(dead_code, unreachable_pub)] // not every test file uses all of it

use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidewire_tokio::{
    Config, Connection, DialError, Endpoint, Inbound, Keypair, Listener, Matcher, Multiaddr, Observed, Observer,
    Protocol, Protocols, RouteId, Router, Seed, Selection, Stream, UpgradeFailed, Upgrader, random_seed,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub const ECHO: Protocol = Protocol::from_static("/echo/1.0.0");
/// Served, and never touched by [`serve`].
pub const DEAF: Protocol = Protocol::from_static("/deaf/1.0.0");

pub fn config() -> Config {
    let mut router = Router::new();
    router.add(ECHO, Matcher::Exact, RouteId::new(1)).unwrap();
    router.add(DEAF, Matcher::Exact, RouteId::new(2)).unwrap();
    let mut config = Config::default();
    config.connection.router = Some(Arc::new(router));
    config
}

pub fn node_with(n: u8, config: Config) -> Endpoint {
    let seed = Seed::new([n; 32]);
    let upgrader = Upgrader::new(&Keypair::from_seed(&seed), &seed, config).unwrap();
    Endpoint::with_seed(upgrader, random_seed().unwrap())
}

pub fn node(n: u8) -> Endpoint {
    node_with(n, config())
}

pub fn loopback() -> Multiaddr {
    "/ip4/127.0.0.1/tcp/0".parse().unwrap()
}

pub async fn listen(endpoint: &Endpoint) -> Listener {
    endpoint.listen(&loopback()).await.unwrap()
}

/// Both ends of a connection, the dialer's first.
pub async fn pair_of(a: &Endpoint, b: &Endpoint) -> (Connection, Connection) {
    let listener = listen(b).await;
    let (dialed, accepted) = tokio::join!(a.dial(listener.address()), listener.accept());
    (dialed.unwrap(), accepted.unwrap())
}

pub async fn pair() -> (Connection, Connection) {
    pair_of(&node(1), &node(2)).await
}

/// Echoes on every stream until the connection ends.
pub fn serve(connection: Connection) {
    tokio::spawn(async move {
        while let Some(Inbound { protocol, stream, .. }) = connection.accept().await {
            if protocol == ECHO {
                tokio::spawn(echo(stream));
            } else {
                tokio::spawn(async move {
                    std::future::pending::<()>().await;
                    drop(stream);
                });
            }
        }
    });
}

pub async fn echo(mut stream: Stream) -> std::io::Result<()> {
    while let Some(chunk) = stream.read_chunk().await? {
        stream.write_all(&chunk).await?;
    }
    stream.shutdown().await
}

/// A connection to a node that echoes.
pub async fn echoing() -> Connection {
    let (near, far) = pair().await;
    serve(far);
    near
}

pub async fn open(connection: &Connection) -> Stream {
    connection.open(&Protocols::from(ECHO), Selection::Lazy).await.unwrap()
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

/// Why the upgrade failed.
pub fn failed(error: &DialError) -> &UpgradeFailed {
    let DialError::Upgrade { error, .. } = error else { panic!("no upgrade: {error}") };
    error
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
    tokio::time::timeout(Duration::from_secs(5), waiting).await.expect("it never came to hold");
}

/// Keeps what it sees.
#[derive(Default)]
pub struct Log(pub Mutex<Vec<Observed>>);

impl Observer for Log {
    fn event(&self, _: u64, event: &Observed) {
        self.0.lock().unwrap().push(event.clone());
    }
}

impl Log {
    /// The first one that `pick` takes.
    pub fn find<T>(&self, pick: impl Fn(&Observed) -> Option<T>) -> Option<T> {
        self.0.lock().unwrap().iter().find_map(pick)
    }

    pub fn failure(&self) -> Option<String> {
        self.find(|event| if let Observed::Failed(why) = event { Some(why.clone()) } else { None })
    }
}
