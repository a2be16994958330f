//! A node over tokio: what it asks of others, with tokio's clock and streams.

use crate::main_task;
use crate::stream::Stream;
use bytes::Bytes;
use std::ops::Deref;
use std::sync::Arc;
use tidewire_adapter::{
    self as adapter, ConnectError, Connected, Events, Handle, ListenError, Listener, NodeConfig, NodeError, Observer,
    RequestError, random_seed,
};
use tidewire_connmgr::dial::DialOptions;
use tidewire_core::{Keypair, Multiaddr, PeerId, Seed};
use tidewire_host::{OpenFailure, OpenOptions};
use tidewire_multistream::{Matcher, Protocol, Protocols, RouteError};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// A stream that a remote opened.
pub type Inbound = adapter::Inbound<Stream>;

/// A whole libp2p node. A clone is another handle to the same; when the last one is dropped, the node is shut down. What doesn't
/// wait for anyone is asked of its [`Handle`].
///
/// It runs on the runtime in which it was made: a main task, a task for each listener and for each dial, and one for each
/// connection, where its cryptography is done. Every future may be dropped at any time: what it had begun is given up.
#[derive(Clone, Debug)]
pub struct Node(adapter::Node);

impl Deref for Node {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.0
    }
}

impl Node {
    /// A node that is known by this key. Must be called in a runtime.
    ///
    /// # Errors
    /// The configuration contradicts itself, or there is no entropy.
    pub fn new(config: NodeConfig, keypair: Keypair) -> Result<Node, NodeError> {
        Node::observed(config, keypair, &random_seed()?, None)
    }

    /// As [`new`](Node::new), with an observer that sees everything, and all entropy drawn from `seed`: for timelines, for
    /// tests. Never use a seed twice.
    ///
    /// # Errors
    /// As [`new`](Node::new).
    pub fn observed(
        config: NodeConfig,
        keypair: Keypair,
        seed: &Seed,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<Node, NodeError> {
        let (give, jobs) = mpsc::unbounded_channel();
        // Without a main task the node is over.
        let give = move |job| drop(give.send(job));
        let (node, works) = adapter::Node::new(config, keypair, seed, observer, give)?;
        tokio::spawn(main_task::run(works, jobs));
        Ok(Node(node))
    }

    /// Listens on `/ip4/../tcp/PORT` or `/ip6/../tcp/PORT`; port 0 takes a free one, `0.0.0.0` and `::` stand for all of the
    /// machine's addresses, also for those that come later. It goes on until [`Listener::close`] or the end of the node.
    ///
    /// `/../p2p/RELAY/p2p-circuit` listens at a relay: this returns once there is a reservation, which is renewed until the listener is
    /// closed. However long that takes: the relay may be back one day.
    ///
    /// # Errors
    /// The address is not of this kind, or the operating system refuses.
    pub async fn listen(&self, address: &Multiaddr) -> Result<Listener, ListenError> {
        self.0.listen(address).await
    }

    /// Connects to the peer that the address names, `/../p2p/ID`, unless there is a connection already.
    ///
    /// # Errors
    /// What was tried, and why it failed.
    pub async fn connect(&self, address: &Multiaddr) -> Result<Connected, ConnectError> {
        self.0.connect(address).await
    }

    /// Connects to a peer at these addresses, and at those that are known of it.
    ///
    /// # Errors
    /// What was tried, and what came of each address.
    pub async fn connect_to(
        &self,
        peer: PeerId,
        addresses: &[Multiaddr],
        options: DialOptions,
    ) -> Result<Connected, ConnectError> {
        self.0.connect_to(peer, addresses, options).await
    }

    /// Opens a stream for the first of `protocols` that the peer speaks; dials if there is no connection.
    ///
    /// With [`Selection::Lazy`](crate::Selection::Lazy) and a single protocol it doesn't wait for the peer's answer:
    /// [`Stream::negotiated`] does, and a refusal shows at the first read.
    ///
    /// # Errors
    /// There is no stream to be had, and why.
    pub async fn open(&self, peer: PeerId, protocols: &Protocols, options: OpenOptions) -> Result<Stream, OpenFailure> {
        self.0.open(peer, protocols, options).await.map(Stream)
    }

    /// Asks a peer: opens a stream, writes, finishes, and reads the answer to its end, at most `max` bytes.
    ///
    /// # Errors
    /// There is no stream, no answer in time, or one that is too long.
    pub async fn request(
        &self,
        peer: PeerId,
        protocol: Protocol,
        question: &[u8],
        max: usize,
    ) -> Result<Bytes, RequestError> {
        self.within(self.0.request(peer, protocol, question, max)).await
    }

    /// Tells a peer something: opens a stream, writes, finishes. The peer has agreed to the protocol when this returns; whether it
    /// has read everything is not known.
    ///
    /// # Errors
    /// There is no stream, or it did not take everything in time.
    pub async fn send(&self, peer: PeerId, protocol: Protocol, message: &[u8]) -> Result<(), RequestError> {
        self.within(self.0.send(peer, protocol, message)).await
    }

    async fn within<T>(&self, what: impl Future<Output = Result<T, RequestError>>) -> Result<T, RequestError> {
        let limit = self.request_timeout();
        timeout(limit, what).await.unwrap_or(Err(RequestError::TimedOut { timeout: limit }))
    }

    /// Serves a protocol, in the place of who served it before, until the handle is dropped.
    ///
    /// # Errors
    /// The name doesn't fit the matcher.
    pub fn handle(&self, name: Protocol, matcher: Matcher) -> Result<Incoming, RouteError> {
        self.0.handle(name, matcher).map(Incoming)
    }

    /// What happens from now on, to the end of the node.
    pub fn events(&self) -> Events {
        self.0.events()
    }

    /// Closes everything. Returns when all tasks are over: the remotes were told, the ports are free.
    pub async fn shutdown(&self) {
        self.0.shutdown().await;
    }
}

/// The streams of a protocol that we serve. Dropped, it is served no more.
#[derive(Debug)]
pub struct Incoming(adapter::Incoming);

impl Incoming {
    /// The next stream. Cancel safe. `None`: another handler took the protocol's place, or the node is over, and all were taken.
    pub async fn next(&mut self) -> Option<Inbound> {
        self.0.next().await.map(|inbound| inbound.map(Stream))
    }
}
