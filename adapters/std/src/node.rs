//! A node: listens, connects, opens streams, serves protocols.

use crate::driver::{Alive, Events, Runtime};
use crate::main_thread::{self, Shared};
use crate::net::TxtResolver;
use crate::stream::Stream;
use bytes::Bytes;
use std::fmt;
use std::io;
use std::sync::mpsc::{Receiver, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tidewire_adapter::{
    self as adapter, ConnectError, Connected, Counters, Done, Hub, ListenError, NodeConfig, NodeError, Observer,
    RequestError, lock, random_seed, with_peer,
};
use tidewire_connmgr::Explanation;
use tidewire_connmgr::dial::DialOptions;
use tidewire_core::{Keypair, Multiaddr, PeerId, Seed};
use tidewire_host::addresses::Decision;
use tidewire_host::{Command, ConnectionId, Host, Input, ListenerId, Misuse, OpenFailure, OpenOptions};
use tidewire_multistream::{Matcher, Protocol, Protocols, RouteError, RouteId};
use tidewire_upgrade::connection::Selection;

/// A stream that a remote opened.
#[derive(Debug)]
#[non_exhaustive]
pub struct Inbound {
    /// Who opened it: proven.
    pub peer: PeerId,
    /// On which connection.
    pub connection: ConnectionId,
    /// What both ends speak on it.
    pub protocol: Protocol,
    /// The stream.
    pub stream: Stream,
}

/// A whole libp2p node. A clone is another handle to the same; when the last one is dropped, the node is shut down.
///
/// It has a main thread, one for each listener and for each dial, and two for each connection. All calls may be made from any
/// number of threads, but not from an [`Observer`]: those that wait would wait for ever.
#[derive(Clone)]
pub struct Node(Arc<Handle>);

struct Handle {
    hub: Arc<Hub>,
    runtime: Arc<Runtime>,
    txt: Arc<Mutex<Option<Arc<dyn TxtResolver>>>>,
    request_timeout: Duration,
    max_incoming: usize,
    max_events: usize,
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
        let (jobs, work) = channel();
        let runtime = Arc::new(Runtime::new(jobs));
        let max_dials = usize::try_from(config.host.manager.limits.pending_outbound).unwrap_or(usize::MAX);
        let (request_timeout, max_incoming) = (config.request_timeout, config.max_incoming.max(1));
        let (close_timeout, interfaces, max_events) = (config.close_timeout, config.interfaces, config.max_events);
        let hub = Arc::new(Hub::new(config.into_hub(), keypair, seed, observer, runtime.clone())?);
        let alive = Arc::new(Alive(runtime.clone()));
        let txt = Arc::default();
        let shared = Shared { hub: hub.clone(), close_timeout, txt, alive: Arc::downgrade(&alive) };
        let txt = shared.txt.clone();
        thread::Builder::new().name("tidewire-main".into()).spawn(move || {
            main_thread::run(shared, &work, interfaces, max_dials);
            drop(alive);
        })?;
        Ok(Node(Arc::new(Handle { hub, runtime, txt, request_timeout, max_incoming, max_events })))
    }

    fn hub(&self) -> &Arc<Hub> {
        &self.0.hub
    }

    /// Who we are.
    pub fn peer(&self) -> PeerId {
        self.hub().peer()
    }

    /// Listens on `/ip4/../tcp/PORT` or `/ip6/../tcp/PORT`; port 0 takes a free one, `0.0.0.0` and `::` stand for all of the
    /// machine's addresses, also for those that come later. It goes on until [`Listener::close`] or the end of the node.
    ///
    /// # Errors
    /// The address is not of this kind, or the operating system refuses.
    pub fn listen(&self, address: &Multiaddr) -> Result<Listener, ListenError> {
        let (done, listening) = answer();
        let id = self.hub().listen(address, done)?;
        let gone = |_| Err(ListenError::Closed { why: "the node is shut down".into() });
        let addresses = listening.recv().unwrap_or_else(gone)?;
        let addresses = addresses.into_iter().map(|address| with_peer(address, self.peer())).collect();
        Ok(Listener { hub: self.hub().clone(), id, addresses })
    }

    /// From now on `/dnsaddr/NAME` can be dialed: this one is asked for TXT records, for which the standard library has no
    /// resolver.
    pub fn resolve_txt(&self, resolver: Arc<dyn TxtResolver>) {
        *lock(&self.0.txt) = Some(resolver);
    }

    /// Connects to the peer that the address names, `/../p2p/ID`, unless there is a connection already.
    ///
    /// # Errors
    /// What was tried, and why it failed.
    pub fn connect(&self, address: &Multiaddr) -> Result<Connected, ConnectError> {
        let peer = address.peer_id().ok_or_else(|| ConnectError::NoPeer { address: address.clone() })?;
        self.connect_to(peer, std::slice::from_ref(address), DialOptions::default())
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
        let (done, connected) = answer();
        self.hub().connect(peer, addresses, options, done)?;
        let connection = connected.recv().unwrap_or(Err(ConnectError::Stopped))?;
        Ok(Connected { peer, connection })
    }

    /// Opens a stream for the first of `protocols` that the peer speaks; dials if there is no connection. Takes no longer than
    /// [`OpenOptions::timeout`].
    ///
    /// With [`Selection::Lazy`] and a single protocol it doesn't wait for the peer's answer: a refusal shows at the first read.
    ///
    /// # Errors
    /// There is no stream to be had, and why.
    pub fn open(&self, peer: PeerId, protocols: &Protocols, options: OpenOptions) -> Result<Stream, OpenFailure> {
        let (done, opened) = answer();
        self.hub().open(peer, protocols, options, done);
        opened.recv().unwrap_or(Err(OpenFailure::Shutdown)).map(Stream::new)
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
        let (stream, until) = self.ask(peer, protocol, question, Selection::Lazy)?;
        stream.read_all_until(until, max).map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => RequestError::TooLong { max },
            _ => self.failed(error),
        })
    }

    /// Tells a peer something: opens a stream, writes, finishes. The peer has agreed to the protocol when this returns; whether it
    /// has read everything is not known.
    ///
    /// # Errors
    /// There is no stream, or it did not take everything in time.
    pub fn send(&self, peer: PeerId, protocol: Protocol, message: &[u8]) -> Result<(), RequestError> {
        self.ask(peer, protocol, message, Selection::Plain).map(drop)
    }

    fn ask(
        &self,
        peer: PeerId,
        protocol: Protocol,
        question: &[u8],
        selection: Selection,
    ) -> Result<(Stream, Option<Instant>), RequestError> {
        let timeout = self.0.request_timeout;
        let until = Instant::now().checked_add(timeout);
        let mut options = OpenOptions::default();
        (options.selection, options.timeout) = (selection, timeout);
        let stream = self.open(peer, &protocol.into(), options).map_err(|error| match error {
            OpenFailure::TimedOut { limited: false, .. } => RequestError::TimedOut { timeout },
            error => RequestError::Open(error),
        })?;
        let asked = stream.write_all_until(until, question).and_then(|()| stream.shutdown());
        asked.map_err(|error| self.failed(error))?;
        Ok((stream, until))
    }

    fn failed(&self, error: io::Error) -> RequestError {
        match error.kind() {
            io::ErrorKind::TimedOut => RequestError::TimedOut { timeout: self.0.request_timeout },
            _ => RequestError::Stream(error),
        }
    }

    /// Serves a protocol, in the place of who served it before, until the handle is dropped.
    ///
    /// # Errors
    /// The name doesn't fit the matcher.
    pub fn handle(&self, name: Protocol, matcher: Matcher) -> Result<Incoming, RouteError> {
        let (give, streams) = sync_channel(self.0.max_incoming);
        // Before anyone can ask for the route, its handler is there.
        let mut handlers = lock(&self.0.runtime.handlers);
        let (route, before) = self.hub().serve(name.clone(), matcher)?;
        if let Some(handlers) = &mut *handlers {
            handlers.insert(route, give);
            before.map(|before| handlers.remove(&before));
        }
        drop(handlers);
        Ok(Incoming { hub: self.hub().clone(), runtime: self.0.runtime.clone(), name, route, streams })
    }

    /// What happens from now on.
    pub fn events(&self) -> Events {
        self.0.runtime.watch(self.0.max_events)
    }

    /// A look at what the host knows. The whole node waits meanwhile.
    pub fn host<R>(&self, look: impl FnOnce(&Host) -> R) -> R {
        self.hub().host(look)
    }

    /// Says something about peers and connections.
    ///
    /// # Errors
    /// It makes no sense; the error says why.
    pub fn command(&self, command: Command) -> Result<(), Misuse> {
        self.tell(Input::Manage(command))
    }

    /// A word for the host that has no call of its own here: externals, NAT, relays.
    ///
    /// # Errors
    /// It makes no sense; the error says why.
    pub fn tell(&self, input: Input) -> Result<(), Misuse> {
        self.hub().tell(input)
    }

    /// Where we listen, with our peer id.
    pub fn addresses(&self) -> Vec<Multiaddr> {
        let listening = self.host(|host| host.advertise_inputs().listening);
        listening.into_iter().map(|address| with_peer(address, self.peer())).collect()
    }

    /// Each address that might be announced, and why it is, or why not.
    pub fn explain_addresses(&self) -> Vec<Decision> {
        self.host(Host::explain_addresses)
    }

    /// Why a peer's connections would be closed, or would not.
    pub fn explain_peer(&self, peer: &PeerId) -> Explanation {
        self.host(|host| host.manager().explain(peer))
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        self.hub().counters()
    }

    /// How many buffers of 256 KiB its connections hold right now. An idle connection holds none.
    pub fn buffers_in_use(&self) -> usize {
        self.hub().pool().lent()
    }

    /// Closes everything. Returns when all threads of connections and listeners are over: the remotes were told, the ports are
    /// free.
    pub fn shutdown(&self) {
        self.hub().shutdown();
        self.0.runtime.wait();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.hub.shutdown();
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("peer", &self.peer()).finish_non_exhaustive()
    }
}

/// A listener of a node. Dropping it changes nothing.
#[derive(Clone, Debug)]
pub struct Listener {
    hub: Arc<Hub>,
    id: ListenerId,
    addresses: Vec<Multiaddr>,
}

impl Listener {
    /// The host's name for it.
    pub fn id(&self) -> ListenerId {
        self.id
    }

    /// The addresses that it had at the beginning, with our peer id.
    pub fn addresses(&self) -> &[Multiaddr] {
        &self.addresses
    }

    /// Listens no more; connections go on. Returns when the port is free.
    pub fn close(self) {
        let (done, closed) = answer();
        self.hub.unlisten(self.id, done);
        // The node is over: so is the listener.
        let _ = closed.recv();
    }
}

/// The streams of a protocol that we serve. Dropped, it is served no more.
pub struct Incoming {
    hub: Arc<Hub>,
    runtime: Arc<Runtime>,
    name: Protocol,
    route: RouteId,
    streams: Receiver<adapter::Inbound>,
}

impl Incoming {
    /// The next stream, waited for at most so long. `None`: there was none, or there will be none any more.
    pub fn next_within(&mut self, limit: Duration) -> Option<Inbound> {
        self.streams.recv_timeout(limit).ok().map(Inbound::new)
    }
}

/// Waits for the next stream. `None`: another handler took the protocol's place, or the node is over, and all were taken.
impl Iterator for Incoming {
    type Item = Inbound;

    fn next(&mut self) -> Option<Inbound> {
        self.streams.recv().ok().map(Inbound::new)
    }
}

impl Inbound {
    fn new(inbound: adapter::Inbound) -> Inbound {
        let adapter::Inbound { peer, connection, protocol, stream } = inbound;
        Inbound { peer, connection, protocol, stream: Stream::new(stream) }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.hub.unserve(&self.name, self.route);
        lock(&self.runtime.handlers).as_mut().map(|handlers| handlers.remove(&self.route));
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Where the hub says what came of a call, and where the caller waits for it.
fn answer<T: Send + 'static>() -> (Done<T>, Receiver<T>) {
    let (give, answer) = channel();
    // Without a caller it is of no matter.
    (Box::new(move |result| drop(give.send(result))), answer)
}
