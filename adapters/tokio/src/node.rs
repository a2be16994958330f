//! A node: listens, connects, opens streams, serves protocols.

use crate::main_task::{self, Shared};
use crate::stream::Stream;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidewire_adapter::{
    self as adapter, ConnectError, Connected, Counters, Driver, Hub, Job, ListenError, NodeConfig, NodeError, Observer,
    RequestError, lock, random_seed,
};
use tidewire_connmgr::Explanation;
use tidewire_connmgr::dial::DialOptions;
use tidewire_core::{Keypair, Multiaddr, PeerId, Seed};
use tidewire_host::addresses::Decision;
use tidewire_host::{Command, ConnectionId, Event, Host, Input, ListenerId, Misuse, OpenFailure, OpenOptions};
use tidewire_multistream::{Matcher, Protocol, Protocols, RouteError, RouteId};
use tidewire_upgrade::connection::Selection;
use tokio::io::AsyncWriteExt;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::timeout;

/// go-libp2p's code for a stream that is one too many.
const RESOURCE_LIMIT: u32 = 0x1002;

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
/// It runs on the runtime in which it was made: a main task, a task for each listener and for each dial, and one for each
/// connection, where its cryptography is done. Every future may be dropped at any time: what it had begun is given up.
#[derive(Clone)]
pub struct Node(Arc<Handle>);

struct Handle {
    hub: Arc<Hub>,
    runtime: Arc<Runtime>,
    /// Closed once all tasks are over.
    tasks: watch::Sender<()>,
    request_timeout: Duration,
    max_incoming: usize,
}

/// The hub's way to the tasks and to the application.
struct Runtime {
    jobs: mpsc::UnboundedSender<Job>,
    events: broadcast::Sender<Event>,
    handlers: Mutex<BTreeMap<RouteId, mpsc::Sender<adapter::Inbound>>>,
}

impl Driver for Runtime {
    fn job(&self, job: Job) {
        // Without a main task the node is over.
        let _ = self.jobs.send(job);
    }

    fn event(&self, event: &Event) {
        if self.events.receiver_count() > 0 {
            let _ = self.events.send(event.clone());
        }
    }

    fn incoming(&self, route: RouteId, inbound: adapter::Inbound) {
        let handler = lock(&self.handlers).get(&route).cloned();
        match handler.as_ref().map(mpsc::Sender::try_reserve) {
            Some(Ok(place)) => place.send(inbound),
            _ => inbound.stream.reset(RESOURCE_LIMIT),
        }
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
        let (jobs, work) = mpsc::unbounded_channel();
        let (events, _) = broadcast::channel(config.max_events.max(1));
        let runtime = Arc::new(Runtime { jobs, events, handlers: Mutex::default() });
        let (tasks, alive) = watch::channel(());
        let (request_timeout, max_incoming) = (config.request_timeout, config.max_incoming.max(1));
        let (close_timeout, interfaces) = (config.close_timeout, config.interfaces);
        let hub = Arc::new(Hub::new(config.into_hub(), keypair, seed, observer, runtime.clone())?);
        let shared = Shared { hub: hub.clone(), close_timeout, alive };
        adapter::start(hub.peer());
        tokio::spawn(main_task::run(shared, work, interfaces));
        Ok(Node(Arc::new(Handle { hub, runtime, tasks, request_timeout, max_incoming })))
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
    pub async fn listen(&self, address: &Multiaddr) -> Result<Listener, ListenError> {
        let (done, listening) = oneshot::channel();
        let id = self.hub().listen(address, Box::new(move |result| drop(done.send(result))))?;
        let gone = || ListenError::Closed { why: "the node is shut down".into() };
        let addresses = listening.await.unwrap_or_else(|_| Err(gone()))?;
        let addresses = addresses.into_iter().map(|address| adapter::with_peer(address, self.peer())).collect();
        Ok(Listener { hub: self.hub().clone(), id, addresses })
    }

    /// Connects to the peer that the address names, `/../p2p/ID`, unless there is a connection already.
    ///
    /// # Errors
    /// What was tried, and why it failed.
    pub async fn connect(&self, address: &Multiaddr) -> Result<Connected, ConnectError> {
        let peer = address.peer_id().ok_or_else(|| ConnectError::NoPeer { address: address.clone() })?;
        self.connect_to(peer, std::slice::from_ref(address), DialOptions::default()).await
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
        let (done, connected) = oneshot::channel();
        let done = Box::new(move |result| drop(done.send(result)));
        let request = self.hub().connect(peer, addresses, options, done)?;
        let _guard = Guard(|| self.hub().cancel_connect(request));
        let connection = connected.await.unwrap_or(Err(ConnectError::Stopped))?;
        Ok(Connected { peer, connection })
    }

    /// Opens a stream for the first of `protocols` that the peer speaks; dials if there is no connection.
    ///
    /// With [`Selection::Lazy`] and a single protocol it doesn't wait for the peer's answer: a refusal shows at the first read.
    ///
    /// # Errors
    /// There is no stream to be had, and why.
    pub async fn open(&self, peer: PeerId, protocols: &Protocols, options: OpenOptions) -> Result<Stream, OpenFailure> {
        let (done, opened) = oneshot::channel();
        let done = Box::new(move |result| drop(done.send(result)));
        let open = self.hub().open(peer, protocols, options, done);
        let _guard = Guard(|| self.hub().cancel_open(open));
        opened.await.unwrap_or(Err(OpenFailure::Shutdown)).map(Stream)
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
        let asking = async {
            let mut stream = self.open(peer, &protocol.into(), OpenOptions::default()).await?;
            stream.write_all(question).await?;
            stream.shutdown().await?;
            stream.read_all(max).await.map_err(|error| match error.kind() {
                io::ErrorKind::FileTooLarge => RequestError::TooLong { max },
                _ => error.into(),
            })
        };
        self.within(asking).await
    }

    /// Tells a peer something: opens a stream, writes, finishes. The peer has agreed to the protocol when this returns; whether it
    /// has read everything is not known.
    ///
    /// # Errors
    /// There is no stream, or it did not take everything in time.
    pub async fn send(&self, peer: PeerId, protocol: Protocol, message: &[u8]) -> Result<(), RequestError> {
        let sending = async {
            let mut options = OpenOptions::default();
            options.selection = Selection::Plain;
            let mut stream = self.open(peer, &protocol.into(), options).await?;
            stream.write_all(message).await?;
            Ok(stream.shutdown().await?)
        };
        self.within(sending).await
    }

    async fn within<T>(&self, what: impl Future<Output = Result<T, RequestError>>) -> Result<T, RequestError> {
        let limit = self.0.request_timeout;
        timeout(limit, what).await.unwrap_or(Err(RequestError::TimedOut { timeout: limit }))
    }

    /// Serves a protocol, in the place of who served it before, until the handle is dropped.
    ///
    /// # Errors
    /// The name doesn't fit the matcher.
    pub fn handle(&self, name: Protocol, matcher: Matcher) -> Result<Incoming, RouteError> {
        let (give, streams) = mpsc::channel(self.0.max_incoming);
        // Before anyone can ask for the route, its handler is there.
        let mut handlers = lock(&self.0.runtime.handlers);
        let (route, before) = self.hub().serve(name.clone(), matcher)?;
        handlers.insert(route, give);
        before.map(|before| handlers.remove(&before));
        drop(handlers);
        Ok(Incoming { hub: self.hub().clone(), runtime: self.0.runtime.clone(), name, route, streams })
    }

    /// What happens from now on.
    pub fn events(&self) -> Events {
        Events(self.0.runtime.events.subscribe())
    }

    /// A look at what the host knows. The whole node waits meanwhile.
    pub fn host<R>(&self, look: impl FnOnce(&Host) -> R) -> R {
        self.hub().host(look)
    }

    /// The host's recorder, if [`NodeConfig::record`] asked for one: take its bytes often enough, ten times a second, say,
    /// and write them outside; [finish](tidewire_host::record::Recorder::finish) it behind [`shutdown`](Node::shutdown).
    #[cfg(feature = "record")]
    pub fn recorder<R>(&self, take: impl FnOnce(&mut tidewire_host::record::Recorder) -> R) -> Option<R> {
        self.hub().recorder(take)
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
        listening.into_iter().map(|address| adapter::with_peer(address, self.peer())).collect()
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

    /// Closes everything. Returns when all tasks are over: the remotes were told, the ports are free.
    pub async fn shutdown(&self) {
        self.0.stop();
        self.0.tasks.closed().await;
    }
}

impl Handle {
    fn stop(&self) {
        self.hub.shutdown();
        // Nothing comes in any more.
        lock(&self.runtime.handlers).clear();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
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
    pub async fn close(self) {
        let (done, closed) = oneshot::channel();
        self.hub.unlisten(self.id, Box::new(move |()| done.send(()).unwrap_or_default()));
        // The node is over: so is the listener.
        let _ = closed.await;
    }
}

/// The streams of a protocol that we serve. Dropped, it is served no more.
pub struct Incoming {
    hub: Arc<Hub>,
    runtime: Arc<Runtime>,
    name: Protocol,
    route: RouteId,
    streams: mpsc::Receiver<adapter::Inbound>,
}

impl Incoming {
    /// The next stream. Cancel safe. `None`: another handler took the protocol's place, or the node is shut down.
    pub async fn next(&mut self) -> Option<Inbound> {
        let adapter::Inbound { peer, connection, protocol, stream } = self.streams.recv().await?;
        Some(Inbound { peer, connection, protocol, stream: Stream(stream) })
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.hub.unserve(&self.name, self.route);
        lock(&self.runtime.handlers).remove(&self.route);
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What happens, in the order of the happenings.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<Event>);

/// What [`Events`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Something happened.
    Event(Event),
    /// So many events were missed: they came faster than they were taken.
    Missed(u64),
}

impl Events {
    /// The next one. Cancel safe. `None`: the node is gone.
    pub async fn next(&mut self) -> Option<Notice> {
        match self.0.recv().await {
            Ok(event) => Some(Notice::Event(event)),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(Notice::Missed(count)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// Does something when it is dropped.
struct Guard<F: FnMut()>(F);

impl<F: FnMut()> Drop for Guard<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
