//! A node as the application holds it: what it asks of its [`Hub`]. Calls that wait for someone are futures that need no runtime:
//! a driver awaits them in its own, or blocks on them with [`wait`](crate::wait); it adds its clock to those that may take too
//! long.

use crate::answer::Answer;
use crate::audience::{Alive, Inbound};
use crate::config::{Connected, NodeConfig, NodeError, RequestError};
use crate::counters::Counters;
use crate::error::{ConnectError, ListenError};
use crate::hooks::Observer;
use crate::hub::{Hub, Job};
use crate::queue::Queue;
use crate::rounds::Rounds;
use crate::stream::Stream;
use crate::with_peer;
use bytes::Bytes;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::ops::Deref;
use std::slice;
use std::sync::Arc;
use std::time::Duration;
use tidewire_connmgr::Explanation;
use tidewire_connmgr::dial::DialOptions;
use tidewire_core::{Keypair, Multiaddr, PeerId, Seed};
use tidewire_dcutr::coordinator::View;
use tidewire_host::addresses::Decision;
use tidewire_host::{Command, Event, Host, Input, ListenerId, Misuse, OpenFailure, OpenOptions, PunchCommand};
use tidewire_multistream::{Matcher, Protocol, Protocols, RouteError, RouteId};
use tidewire_upgrade::connection::Selection;

/// What a driver runs of a node.
#[derive(Clone, Debug)]
pub struct Works {
    /// The host.
    pub hub: Arc<Hub>,
    /// To be held by every task that has a socket.
    pub alive: Alive,
    /// How long a closed connection may take: [`NodeConfig::close_timeout`].
    pub close_timeout: Duration,
    /// How many dials there may be at once.
    pub max_dials: usize,
    interfaces: Duration,
}

impl Works {
    /// The rounds of the main task.
    pub fn rounds<T>(&self) -> Rounds<T> {
        Rounds::new(self.hub.clone(), self.interfaces)
    }
}

/// What is asked of a node without waiting for anyone. When it is dropped, the node is shut down.
pub struct Handle {
    hub: Arc<Hub>,
    request_timeout: Duration,
    max_incoming: usize,
    max_events: usize,
}

impl Handle {
    /// Who we are.
    pub fn peer(&self) -> PeerId {
        self.hub.peer()
    }

    /// A look at what the host knows. The whole node waits meanwhile.
    pub fn host<R>(&self, look: impl FnOnce(&Host) -> R) -> R {
        self.hub.host(look)
    }

    /// The host's recorder, if [`NodeConfig::record`] asked for one: take its bytes often enough, ten times a second, say,
    /// and write them outside; [finish](tidewire_host::record::Recorder::finish) it behind the shutdown.
    #[cfg(feature = "record")]
    pub fn recorder<R>(&self, take: impl FnOnce(&mut tidewire_host::record::Recorder) -> R) -> Option<R> {
        self.hub.recorder(take)
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
        self.hub.tell(input)
    }

    /// Wants a direct connection to a peer that is connected through a relay, now, whatever failed before. Nobody has to: holes
    /// are punched when a circuit comes to us, and when the peer that we reached through a relay begins. What is tried is told by
    /// [`Event::Punch`], as it happens, and at the end with a report.
    ///
    /// # Errors
    /// This node punches no holes, or there is no relayed connection to the peer.
    pub fn punch(&self, peer: PeerId) -> Result<(), Misuse> {
        self.tell(Input::Punch(PunchCommand::Punch { peer }))
    }

    /// Gives up the attempt at a direct connection to this peer, if there is one. The report says so.
    ///
    /// # Errors
    /// This node punches no holes.
    pub fn cancel_punch(&self, peer: PeerId) -> Result<(), Misuse> {
        self.tell(Input::Punch(PunchCommand::Cancel { peer }))
    }

    /// What is done about a direct connection to this peer; `None` if nothing is.
    pub fn explain_punch(&self, peer: &PeerId) -> Option<View> {
        self.host(|host| host.explain_punch(peer))
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
        self.hub.counters()
    }

    /// How many buffers of 256 KiB its connections hold right now. An idle connection holds none.
    pub fn buffers_in_use(&self) -> usize {
        self.hub.pool().lent()
    }

    /// Time for a request with its answer, or for sending a whole message: [`NodeConfig::request_timeout`].
    pub fn request_timeout(&self) -> Duration {
        self.request_timeout
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.hub.shutdown();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("peer", &self.peer()).finish_non_exhaustive()
    }
}

/// A whole libp2p node, but for the sockets. A clone is another handle to the same; when the last one is dropped, the node is
/// shut down. Every future may be dropped at any time: what it had begun is given up.
#[derive(Clone, Debug)]
pub struct Node(Arc<Handle>);

impl Deref for Node {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.0
    }
}

impl Node {
    /// A node that is known by this key, and what its driver runs of it. `jobs` takes what there is to do, for a main task:
    /// called under the hub's lock, only queue it. The seed feeds all its entropy: never use one twice.
    ///
    /// # Errors
    /// The configuration contradicts itself.
    pub fn new(
        config: NodeConfig,
        keypair: Keypair,
        seed: &Seed,
        observer: Option<Arc<dyn Observer>>,
        jobs: impl Fn(Job) + Send + Sync + 'static,
    ) -> Result<(Node, Works), NodeError> {
        let NodeConfig { close_timeout, interfaces, request_timeout, max_incoming, max_events, .. } = config;
        #[cfg(feature = "portmap")]
        let port_mapping = config.port_mapping.clone();
        let max_dials = usize::try_from(config.host.manager.limits.pending_outbound).unwrap_or(usize::MAX);
        let hub = Arc::new(Hub::new(config.into_hub(), keypair, seed, observer, Box::new(jobs))?);
        hub.own();
        crate::log::start(hub.peer());
        let alive = Alive::new(hub.clone());
        #[cfg(feature = "portmap")]
        if let Some(config) = port_mapping {
            crate::portmap::start(&hub, &alive, &seed.derive("port mapping", 0), config)
                .map_err(NodeError::PortMapping)?;
        }
        let works = Works { hub: hub.clone(), alive, close_timeout, max_dials, interfaces };
        Ok((Node(Arc::new(Handle { hub, request_timeout, max_incoming, max_events })), works))
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
        let (id, listening) = self.hub.listen(address)?;
        let gone = || ListenError::Closed { why: "the node is shut down".into() };
        let addresses = listening.await.unwrap_or_else(|| Err(gone()))?;
        let addresses = addresses.into_iter().map(|address| with_peer(address, self.peer())).collect();
        Ok(Listener { hub: self.hub.clone(), id, addresses })
    }

    /// Connects to the peer that the address names, `/../p2p/ID`, unless there is a connection already.
    ///
    /// # Errors
    /// What was tried, and why it failed.
    pub async fn connect(&self, address: &Multiaddr) -> Result<Connected, ConnectError> {
        let peer = address.peer_id().ok_or_else(|| ConnectError::NoPeer { address: address.clone() })?;
        self.connect_to(peer, slice::from_ref(address), DialOptions::default()).await
    }

    /// Connects to a peer at these addresses, and at those that are known of it. Takes no longer than the host's
    /// `manager.dial.peer_timeout`.
    ///
    /// # Errors
    /// What was tried, and what came of each address.
    pub async fn connect_to(
        &self,
        peer: PeerId,
        addresses: &[Multiaddr],
        options: DialOptions,
    ) -> Result<Connected, ConnectError> {
        let (request, connected) = self.hub.connect(peer, addresses, options)?;
        let connection = or_cancel(connected, || self.hub.cancel_connect(request)).await;
        Ok(Connected { peer, connection: connection.unwrap_or(Err(ConnectError::Stopped))? })
    }

    /// Opens a stream for the first of `protocols` that the peer speaks; dials if there is no connection. Takes no longer than
    /// [`OpenOptions::timeout`].
    ///
    /// With [`Selection::Lazy`] and a single protocol it doesn't wait for the peer's answer: [`Stream::negotiated`] does, and a
    /// refusal shows at the first read.
    ///
    /// # Errors
    /// There is no stream to be had, and why.
    pub async fn open(&self, peer: PeerId, protocols: &Protocols, options: OpenOptions) -> Result<Stream, OpenFailure> {
        let (open, opened) = self.hub.open(peer, protocols, options);
        let opened = or_cancel(opened, || self.hub.cancel_open(open)).await;
        opened.unwrap_or(Err(OpenFailure::Shutdown))
    }

    /// Asks a peer: opens a stream, writes, finishes, and reads the answer to its end, at most `max` bytes. How long it may take
    /// is the driver's to say.
    ///
    /// # Errors
    /// There is no stream, no answer, or one that is too long.
    pub async fn request(
        &self,
        peer: PeerId,
        protocol: Protocol,
        question: &[u8],
        max: usize,
    ) -> Result<Bytes, RequestError> {
        let mut stream = self.say(peer, protocol, question, Selection::Lazy).await?;
        stream.read_all(max).await.map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => RequestError::TooLong { max },
            _ => error.into(),
        })
    }

    /// Tells a peer something: opens a stream, writes, finishes. The peer has agreed to the protocol when this returns; whether it
    /// has read everything is not known. How long it may take is the driver's to say.
    ///
    /// # Errors
    /// There is no stream, or it did not take everything.
    pub async fn send(&self, peer: PeerId, protocol: Protocol, message: &[u8]) -> Result<(), RequestError> {
        self.say(peer, protocol, message, Selection::Plain).await.map(drop)
    }

    async fn say(
        &self,
        peer: PeerId,
        protocol: Protocol,
        what: &[u8],
        selection: Selection,
    ) -> Result<Stream, RequestError> {
        let mut options = OpenOptions::default();
        options.selection = selection;
        let mut stream = self.open(peer, &protocol.into(), options).await?;
        stream.write_all(what).await?;
        stream.finish()?;
        Ok(stream)
    }

    /// Serves a protocol, in the place of who served it before, until the handle is dropped.
    ///
    /// # Errors
    /// The name doesn't fit the matcher.
    pub fn handle(&self, name: Protocol, matcher: Matcher) -> Result<Incoming, RouteError> {
        let (route, streams) = self.hub.serve(name.clone(), matcher, self.max_incoming)?;
        Ok(Incoming { hub: self.hub.clone(), name, route, streams })
    }

    /// What happens from now on, to the end of the node.
    pub fn events(&self) -> Events {
        Events { queue: self.hub.audience.subscribe(self.max_events), next: None }
    }

    /// Closes everything. Returns when all that had sockets is over: the remotes were told, the ports are free.
    pub async fn shutdown(&self) {
        self.hub.shutdown();
        poll_fn(|cx| self.hub.audience.poll_end(cx.waker())).await;
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
        // Without an answer the node is over: so is the listener.
        self.hub.unlisten(self.id).await;
    }
}

/// The streams of a protocol that we serve. Dropped, it is served no more.
pub struct Incoming {
    hub: Arc<Hub>,
    name: Protocol,
    route: RouteId,
    streams: Arc<Queue<Inbound>>,
}

impl Incoming {
    /// The next stream. Cancel safe. `None`: another handler took the protocol's place, or the node is over, and all were taken.
    pub async fn next(&mut self) -> Option<Inbound> {
        poll_fn(|cx| self.streams.poll_next(cx.waker())).await.map(|(_, inbound)| inbound)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.hub.unserve(&self.name, self.route);
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What happens, in the order of the happenings.
#[derive(Debug)]
pub struct Events {
    queue: Arc<Queue<Event>>,
    /// Taken from the queue, and to be told behind what was missed.
    next: Option<Event>,
}

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
    /// The next one. Cancel safe. `None`: the node is over, and that was the last one.
    pub async fn next(&mut self) -> Option<Notice> {
        if let Some(event) = self.next.take() {
            return Some(Notice::Event(event));
        }
        let (missed, event) = poll_fn(|cx| self.queue.poll_next(cx.waker())).await?;
        if missed == 0 {
            return Some(Notice::Event(event));
        }
        self.next = Some(event);
        Some(Notice::Missed(missed))
    }
}

/// The answer; `cancel` is called if nobody waits for it any more.
async fn or_cancel<T>(answer: Answer<T>, cancel: impl Fn()) -> Option<T> {
    struct Waiting<F: Fn()>(F, bool);
    impl<F: Fn()> Drop for Waiting<F> {
        fn drop(&mut self) {
            if self.1 {
                (self.0)();
            }
        }
    }
    let mut waiting = Waiting(cancel, true);
    let answer = answer.await;
    waiting.1 = false;
    answer
}
