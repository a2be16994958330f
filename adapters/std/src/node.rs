//! A node over threads: what it asks of others, waiting for the answers.

use crate::main_thread::{self, Txt, spawn};
use crate::net::TxtResolver;
use crate::stream::Stream;
use bytes::Bytes;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use tidewire_adapter::{
    self as adapter, ConnectError, Connected, Handle, ListenError, NodeConfig, NodeError, Notice, Observer,
    RequestError, block_on, lock, random_seed, wait,
};
use tidewire_connmgr::dial::DialOptions;
use tidewire_core::{Keypair, Multiaddr, PeerId, Seed};
use tidewire_host::{ListenerId, OpenFailure, OpenOptions};
use tidewire_multistream::{Matcher, Protocol, Protocols, RouteError};

/// A stream that a remote opened.
pub type Inbound = adapter::Inbound<Stream>;

/// A whole libp2p node. A clone is another handle to the same; when the last one is dropped, the node is shut down. What doesn't
/// wait for anyone is asked of its [`Handle`].
///
/// It has a main thread, one for each listener and for each dial, and two for each connection. All calls may be made from any
/// number of threads, but not from an [`Observer`]: those that wait would wait for ever.
#[derive(Clone, Debug)]
pub struct Node {
    node: adapter::Node,
    txt: Txt,
}

impl Deref for Node {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.node
    }
}

impl Node {
    /// A node that is known by this key.
    ///
    /// # Errors
    /// The configuration contradicts itself, or there is no entropy, or no thread.
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
        let (give, jobs) = channel();
        // Without a main thread the node is over.
        let give = move |job| drop(give.send(job));
        let (node, works) = adapter::Node::new(config, keypair, seed, observer, give)?;
        let txt = Txt::default();
        let asked = txt.clone();
        spawn("main", move || main_thread::run(works, asked, &jobs))?;
        Ok(Node { node, txt })
    }

    /// Listens on `/ip4/../tcp/PORT` or `/ip6/../tcp/PORT`; port 0 takes a free one, `0.0.0.0` and `::` stand for all of the
    /// machine's addresses, also for those that come later. It goes on until [`Listener::close`] or the end of the node.
    ///
    /// `/../p2p/RELAY/p2p-circuit` listens at a relay: this returns once there is a reservation, which is renewed until the listener is
    /// closed. However long that takes: the relay may be back one day.
    ///
    /// # Errors
    /// The address is not of this kind, or the operating system refuses.
    pub fn listen(&self, address: &Multiaddr) -> Result<Listener, ListenError> {
        block_on(self.node.listen(address)).map(Listener)
    }

    /// From now on `/dnsaddr/NAME` can be dialed: this one is asked for TXT records, for which the standard library has no
    /// resolver.
    pub fn resolve_txt(&self, resolver: Arc<dyn TxtResolver>) {
        *lock(&self.txt) = Some(resolver);
    }

    /// Connects to the peer that the address names, `/../p2p/ID`, unless there is a connection already.
    ///
    /// # Errors
    /// What was tried, and why it failed.
    pub fn connect(&self, address: &Multiaddr) -> Result<Connected, ConnectError> {
        block_on(self.node.connect(address))
    }

    /// Connects to a peer at these addresses, and at those that are known of it. Takes no longer than the host's
    /// `manager.dial.peer_timeout`.
    ///
    /// # Errors
    /// What was tried, and what came of each address.
    pub fn connect_to(
        &self,
        peer: PeerId,
        addresses: &[Multiaddr],
        options: DialOptions,
    ) -> Result<Connected, ConnectError> {
        block_on(self.node.connect_to(peer, addresses, options))
    }

    /// Opens a stream for the first of `protocols` that the peer speaks; dials if there is no connection. Takes no longer than
    /// [`OpenOptions::timeout`].
    ///
    /// With [`Selection::Lazy`](crate::Selection::Lazy) and a single protocol it doesn't wait for the peer's answer:
    /// [`Stream::negotiated`] does, and a refusal shows at the first read.
    ///
    /// # Errors
    /// There is no stream to be had, and why.
    pub fn open(&self, peer: PeerId, protocols: &Protocols, options: OpenOptions) -> Result<Stream, OpenFailure> {
        block_on(self.node.open(peer, protocols, options)).map(Stream::new)
    }

    /// Asks a peer: opens a stream, writes, finishes, and reads the answer to its end, at most `max` bytes.
    ///
    /// # Errors
    /// There is no stream, no answer in time, or one that is too long.
    pub fn request(
        &self,
        peer: PeerId,
        protocol: Protocol,
        question: &[u8],
        max: usize,
    ) -> Result<Bytes, RequestError> {
        self.within(self.node.request(peer, protocol, question, max))
    }

    /// Tells a peer something: opens a stream, writes, finishes. The peer has agreed to the protocol when this returns; whether it
    /// has read everything is not known.
    ///
    /// # Errors
    /// There is no stream, or it did not take everything in time.
    pub fn send(&self, peer: PeerId, protocol: Protocol, message: &[u8]) -> Result<(), RequestError> {
        self.within(self.node.send(peer, protocol, message))
    }

    fn within<T>(&self, what: impl Future<Output = Result<T, RequestError>>) -> Result<T, RequestError> {
        let timeout = self.request_timeout();
        wait(Instant::now().checked_add(timeout), what).unwrap_or(Err(RequestError::TimedOut { timeout }))
    }

    /// Serves a protocol, in the place of who served it before, until the handle is dropped.
    ///
    /// # Errors
    /// The name doesn't fit the matcher.
    pub fn handle(&self, name: Protocol, matcher: Matcher) -> Result<Incoming, RouteError> {
        self.node.handle(name, matcher).map(Incoming)
    }

    /// What happens from now on, to the end of the node.
    pub fn events(&self) -> Events {
        Events(self.node.events())
    }

    /// Closes everything. Returns when all threads of connections and listeners are over: the remotes were told, the ports are
    /// free.
    pub fn shutdown(&self) {
        block_on(self.node.shutdown());
    }
}

/// A listener of a node. Dropping it changes nothing.
#[derive(Clone, Debug)]
pub struct Listener(adapter::Listener);

impl Listener {
    /// The host's name for it.
    pub fn id(&self) -> ListenerId {
        self.0.id()
    }

    /// The addresses that it had at the beginning, with our peer id.
    pub fn addresses(&self) -> &[Multiaddr] {
        self.0.addresses()
    }

    /// Listens no more; connections go on. Returns when the port is free.
    pub fn close(self) {
        block_on(self.0.close());
    }
}

/// The streams of a protocol that we serve. Dropped, it is served no more.
#[derive(Debug)]
pub struct Incoming(adapter::Incoming);

impl Incoming {
    /// The next stream, waited for at most so long. `None`: there was none, or there will be none any more.
    pub fn next_within(&mut self, limit: Duration) -> Option<Inbound> {
        Some(wait(Instant::now().checked_add(limit), self.0.next())??.map(Stream::new))
    }
}

/// Waits for the next stream. `None`: another handler took the protocol's place, or the node is over, and all were taken.
impl Iterator for Incoming {
    type Item = Inbound;

    fn next(&mut self) -> Option<Inbound> {
        self.next_within(Duration::MAX)
    }
}

/// What happens, in the order of the happenings.
#[derive(Debug)]
pub struct Events(adapter::Events);

impl Events {
    /// The next one, waited for at most so long. `None`: there was none, or the node is over.
    pub fn next_within(&mut self, limit: Duration) -> Option<Notice> {
        wait(Instant::now().checked_add(limit), self.0.next())?
    }
}

/// Waits for the next one. `None`: the node is over, and that was the last one.
impl Iterator for Events {
    type Item = Notice;

    fn next(&mut self) -> Option<Notice> {
        self.next_within(Duration::MAX)
    }
}
