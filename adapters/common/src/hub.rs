//! What a driver with many threads needs around a [`Host`]: one lock, a mailbox for each connection, and whoever waits.
//!
//! ```text
//!   calls of the application ---.                          .---> Mailbox of a connection: orders, our card, our routes
//!   reports of connections -----+--> Hub: lock, Host ------+---> the driver's main task: jobs (listen, dial, abort)
//!   listeners, dials, time -----'                          '---> whoever waits for a call; events, streams
//! ```
//! A connection's lock is never held while the hub is called; the hub holds its own while it puts something into a mailbox.

use crate::audience::Audience;
use crate::buffer::{Pool, lock};
use crate::calls::Calls;
use crate::circuits::{Circuit, Circuits};
use crate::clock::Clock;
use crate::counters::{Counters, Traffic};
use crate::hooks::{Observed, Observer, PANICKED, Watch, guarded};
use crate::line::Line;
use crate::mailbox::{Mail, Mailbox};
use crate::stream::Stream;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Weak};
use tidewire_connmgr::By;
use tidewire_connmgr::dial::DialFault;
use tidewire_core::{EventMachine, Keypair, Multiaddr, PeerId, Seed, Time};
use tidewire_host::identify::{Card, CardError, Profile};
use tidewire_host::link::{Fault, Link, LinkConfig, LinkError, LinkSetup, LinkShared, Report, Routes};
use tidewire_host::{Action, Config, ConnectionId, DialId, Host, Input, ListenerId, LocalEnd, Misuse, OpenId};
use tidewire_multistream::{Protocol, RouteId, Router};
use tidewire_relay::server::AsnTable;
use tidewire_upgrade::connection;
use tidewire_upgrade::pipeline::{self, Plan};

/// For a driver's main task.
#[derive(Debug)]
#[non_exhaustive]
pub enum Job {
    /// Listen there, then say [`Hub::listening`] or [`Hub::not_listening`].
    Listen {
        /// Which listener.
        listener: ListenerId,
        /// Where.
        address: Multiaddr,
    },
    /// Close this listener, then tell [`Input::ListenerClosed`].
    Unlisten {
        /// Which.
        listener: ListenerId,
    },
    /// Dial, then say [`Hub::dialed`], or tell [`Input::DialFailed`].
    Dial {
        /// The attempt.
        dial: DialId,
        /// Who is expected there.
        peer: PeerId,
        /// Where.
        address: Multiaddr,
        /// The local end to dial from; if it can't be had, any will do.
        from: Option<LocalEnd>,
    },
    /// Drop this dial, and say nothing more about it.
    Abort {
        /// Which.
        dial: DialId,
    },
    /// Run this until it is over: [`Works::task`](crate::Works::task).
    Circuit(Circuit),
    /// The next call of [`Hub::on_timeout`] is due earlier than it said.
    Hurry,
    /// The node is shut down, and no job comes any more.
    Stop,
}

/// How a node behaves.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct HubConfig {
    /// The host: who stays, who goes, whom to dial, what is announced.
    pub host: Config,
    /// Its links: identify, ping.
    pub link: LinkConfig,
    /// How connections are upgraded.
    pub upgrade: pipeline::Config,
    /// Which autonomous system an address belongs to, for the limits of a relay. Default: nothing is known of that.
    pub asns: AsnTable,
    /// Record what the host is told: see [`Hub::recorder`]. Default: no.
    #[cfg(feature = "record")]
    pub record: Option<tidewire_host::record::RecordConfig>,
}

/// Why a node can't be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// What its links are made with.
    #[error(transparent)]
    Links(#[from] LinkError),
    /// What we would say of ourselves.
    #[error(transparent)]
    Card(#[from] CardError),
}

/// A [`Host`] for many threads.
pub struct Hub {
    keypair: Keypair,
    shared: LinkShared,
    base: connection::Config,
    asns: AsnTable,
    clock: Clock,
    pool: Arc<Pool>,
    traffic: Arc<Traffic>,
    observer: Option<Arc<dyn Observer>>,
    pub(crate) jobs: Box<dyn Fn(Job) + Send + Sync>,
    pub(crate) audience: Audience,
    pub(crate) inner: Mutex<Inner>,
}

pub(crate) struct Inner {
    pub(crate) host: Host,
    pub(crate) router: Router,
    pub(crate) served: BTreeMap<Protocol, RouteId>,
    routes: Routes,
    card: Arc<Card>,
    mailboxes: BTreeMap<ConnectionId, Arc<Mailbox>>,
    /// For streams that the host wants to be circuits.
    pub(crate) lines: BTreeMap<ConnectionId, Weak<Line>>,
    pub(crate) circuits: Circuits,
    /// Numbers of all that is named here.
    next: u64,
    /// When the main task calls in any case.
    alarm: Time,
    pub(crate) calls: Calls,
    counters: Counters,
    /// The observer panicked at an event.
    pub(crate) panicked: bool,
}

impl Hub {
    /// A node that is known by this key. The seed feeds all its entropy: never use one twice. `jobs` takes what there is to do,
    /// for a main task that does one after the other. Called under the hub's lock: only queue it.
    ///
    /// # Errors
    /// The configuration contradicts itself.
    pub fn new(
        config: HubConfig,
        keypair: Keypair,
        seed: &Seed,
        observer: Option<Arc<dyn Observer>>,
        jobs: Box<dyn Fn(Job) + Send + Sync>,
    ) -> Result<Hub, HubError> {
        let (clock, epoch) = Clock::start();
        let said = config.host.with_links(&config.link);
        let shared = LinkShared::new(&keypair, seed, config.upgrade.clone(), config.link)?;
        let router = Router::new();
        let mut profile = Profile::default();
        profile.agent = said.agent.clone();
        profile.protocol_version = said.protocol_version.clone();
        let (local, of_host) = (keypair.peer_id(), seed.derive("host", 0));
        #[cfg(feature = "record")]
        let host = match config.record {
            Some(record) => Host::recorded(said, local, &of_host, epoch, record),
            None => Host::new(said, local, &of_host, epoch),
        };
        #[cfg(not(feature = "record"))]
        let host = Host::new(said, local, &of_host, epoch);
        let routes = Routes::new(&router, host.services(), &config.upgrade.connection);
        let inner = Inner {
            host,
            router,
            served: BTreeMap::new(),
            routes,
            card: Arc::new(Card::new(&keypair, &profile)?),
            mailboxes: BTreeMap::new(),
            lines: BTreeMap::new(),
            circuits: Circuits::default(),
            next: 0,
            alarm: Time::NEVER,
            calls: Calls::default(),
            counters: Counters::default(),
            panicked: false,
        };
        let hub = Hub {
            shared,
            base: config.upgrade.connection,
            asns: config.asns,
            keypair,
            clock,
            pool: Arc::default(),
            traffic: Arc::default(),
            observer,
            jobs,
            audience: Audience::default(),
            inner: Mutex::new(inner),
        };
        hub.act(Hub::served);
        Ok(hub)
    }

    /// Who we are.
    pub fn peer(&self) -> PeerId {
        self.shared.peer()
    }

    /// The clock of all machines.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The buffers of all connections.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// What all sockets together have moved.
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// The observer's view of a connection.
    pub fn watch(&self, connection: ConnectionId) -> Watch {
        Watch::new(self.observer.clone(), connection.0)
    }

    /// The host's recorder, if it is recorded: take its bytes often enough, and finish it behind the last word. Everything
    /// else waits: be quick, and write to the disk outside.
    #[cfg(feature = "record")]
    pub fn recorder<R>(&self, take: impl FnOnce(&mut tidewire_host::record::Recorder) -> R) -> Option<R> {
        lock(&self.inner).host.recorder().map(take)
    }

    /// A look at the host. Everything else waits: be quick.
    pub fn host<R>(&self, look: impl FnOnce(&Host) -> R) -> R {
        look(&lock(&self.inner).host)
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        let inner = lock(&self.inner);
        inner.counters.now(&inner.host, &self.traffic)
    }

    /// A word for the host.
    ///
    /// # Errors
    /// It makes no sense; the error says why. Nothing changed.
    pub fn tell(&self, input: Input) -> Result<(), Misuse> {
        self.act(|hub, inner| hub.handle(inner, input))
    }

    /// Lets time pass, and says when to call again.
    pub fn on_timeout(&self) -> Time {
        self.act(|hub, inner| {
            let now = hub.clock.now();
            inner.host.on_timeout(now);
            hub.drain(inner);
            Hub::ring(inner, now);
            inner.alarm = inner.deadline();
            inner.alarm
        })
    }

    /// Of the driver: a listener got a connection, with these ends. `None`: it is not welcome, close it.
    pub fn accepted(&self, local: SocketAddr, remote: SocketAddr) -> Option<Arc<Line>> {
        let (local, remote) = (Multiaddr::tcp(local), Multiaddr::tcp(remote));
        let asn = remote.ip().and_then(|ip| self.asns.lookup(ip));
        self.act(|hub, inner| {
            let plan = inner.host.accept_plan(hub.clock.now(), &remote);
            let from = remote.clone();
            let input = |connection| Input::Incoming { connection, local, remote, over: None, asn };
            hub.begin(inner, plan, None, from, input)
        })
    }

    /// Of the driver: a dial is connected, with these ends. `None`: it was aborted meanwhile, close it.
    pub fn dialed(&self, dial: DialId, peer: PeerId, local: SocketAddr, remote: SocketAddr) -> Option<Arc<Line>> {
        let (local, remote) = (Multiaddr::tcp(local), Multiaddr::tcp(remote));
        let to = remote.clone();
        self.act(|hub, inner| {
            let plan = inner.host.dial_plan(hub.clock.now(), dial);
            let input = |connection| Input::Dialed { dial, connection, local, remote };
            hub.begin(inner, plan, Some((dial, peer)), to, input)
        })
    }

    /// Of the driver: a dial came to nothing. If it was aborted meanwhile, that is of no matter.
    pub fn dial_failed(&self, dial: DialId, fault: DialFault) {
        let _ = self.tell(Input::DialFailed { dial, fault });
    }

    /// A stream that was asked for is there. If nobody waits any more, it is reset.
    pub(crate) fn opened(&self, open: OpenId, stream: Stream) {
        let asked = lock(&self.inner).calls.opens.remove(&open);
        if let Some(asked) = asked {
            asked.answer(Ok(stream));
        }
    }

    /// What a connection's link says.
    pub(crate) fn reports(&self, connection: ConnectionId, reports: Vec<Report>) {
        self.act(|hub, inner| {
            for report in reports {
                let ended = matches!(report, Report::Ended { .. });
                // A report is never misuse.
                let _ = hub.handle(inner, Input::Report { connection, report });
                if ended {
                    inner.forget(connection);
                }
            }
        });
    }

    /// Acts on the host under the lock; answers and alarms follow.
    pub(crate) fn act<R>(&self, action: impl FnOnce(&Hub, &mut Inner) -> R) -> R {
        let mut inner = lock(&self.inner);
        let result = action(self, &mut inner);
        let deadline = inner.deadline();
        if deadline < inner.alarm {
            inner.alarm = deadline;
            (self.jobs)(Job::Hurry);
        }
        let answers = std::mem::take(&mut inner.calls.answers);
        drop(inner);
        answers.into_iter().for_each(|answer| answer());
        result
    }

    pub(crate) fn handle(&self, inner: &mut Inner, input: Input) -> Result<(), Misuse> {
        // Under the lock, so that it never goes back.
        inner.host.handle(self.clock.now(), input)?;
        self.drain(inner);
        Ok(())
    }

    pub(crate) fn served(&self, inner: &mut Inner) {
        inner.routes = Routes::new(&inner.router, inner.host.services(), &self.base);
        inner.mailboxes.values().for_each(|mailbox| mailbox.push(Mail::Routes(inner.routes.clone())));
        let names = inner.routes.names();
        // Names are no misuse.
        let _ = self.handle(inner, Input::Protocols(names));
    }

    pub(crate) fn begin(
        &self,
        inner: &mut Inner,
        plan: Plan,
        dial: Option<(DialId, PeerId)>,
        remote: Multiaddr,
        input: impl FnOnce(ConnectionId) -> Input,
    ) -> Option<Arc<Line>> {
        let connection = ConnectionId(inner.fresh());
        let mailbox = Arc::new(Mailbox::default());
        inner.mailboxes.insert(connection, mailbox.clone());
        let (routes, card) = (inner.routes.clone(), inner.card.clone());
        // A circuit may begin while another connection does: what went wrong at the one is no matter of the other.
        let before = std::mem::take(&mut inner.panicked);
        let begun = self.handle(inner, input(connection));
        let panicked = std::mem::replace(&mut inner.panicked, before);
        if begun.is_err() || mailbox.is_refused() {
            inner.forget(connection);
            return None;
        }
        let (dial, expected) = dial.unzip();
        let setup = LinkSetup { connection, dial, plan, expected, remote: remote.clone(), routes, card };
        let link = Link::new(&self.shared, setup);
        let watch = self.watch(connection);
        if !panicked && watch.tell(|| Observed::Connected(remote.clone())) {
            let shared = (self.clock, self.pool.clone(), watch);
            let line = Line::new(link, (connection, remote), mailbox, shared);
            inner.lines.insert(connection, Arc::downgrade(&line));
            return Some(line);
        }
        crate::log::hook_panicked(connection, expected, &remote);
        inner.forget(connection);
        let report = Report::Ended { by: By::Local, fault: Fault::Transport, why: PANICKED.into() };
        let _ = self.handle(inner, Input::Report { connection, report });
        None
    }

    /// Does what the host says.
    fn drain(&self, inner: &mut Inner) {
        while let Some(action) = inner.host.poll() {
            inner.counters.count(&action);
            crate::log::action(&action);
            match action {
                Action::Listen { listener, address } => (self.jobs)(Job::Listen { listener, address }),
                Action::Unlisten { listener } => (self.jobs)(Job::Unlisten { listener }),
                Action::Dial { dial, peer, address, from, .. } => {
                    (self.jobs)(Job::Dial { dial, peer, address, from });
                }
                Action::Abort { dial } => (self.jobs)(Job::Abort { dial }),
                // The line was made when the socket came.
                Action::Accept { .. } => {}
                Action::Refuse { connection, .. } => {
                    if let Some(mailbox) = inner.forget(connection) {
                        mailbox.push(Mail::Refuse);
                    }
                }
                Action::Order { connection, order } => {
                    if let Some(mailbox) = inner.mailboxes.get(&connection) {
                        mailbox.push(Mail::Order(order));
                    }
                }
                Action::Carry(carry) => self.carry(inner, *carry),
                Action::Splice(splice) => self.splice(inner, splice),
                Action::Unsplice { circuit, why } => Hub::unsplice(inner, circuit, why),
                Action::Serve(_) => self.served(inner),
                Action::Profile(profile) => {
                    // What there is no room for is left out; the texts were checked when the hub was made.
                    let Ok(card) = Card::new(&self.keypair, &profile) else { continue };
                    inner.card = Arc::new(card);
                    inner.mailboxes.values().for_each(|mailbox| mailbox.push(Mail::Card(inner.card.clone())));
                }
                Action::Event(event) => {
                    if let Some(observer) = &self.observer
                        && !guarded(|| observer.host(&event))
                    {
                        // What it did not want to hear has happened all the same.
                        crate::log::host_hook_panicked(&event);
                        inner.panicked = true;
                    }
                    self.audience.event(&event);
                    inner.calls.answer(event);
                }
                _ => {}
            }
        }
    }
}

impl Inner {
    /// A connection is over.
    fn forget(&mut self, connection: ConnectionId) -> Option<Arc<Mailbox>> {
        self.lines.remove(&connection);
        self.mailboxes.remove(&connection)
    }

    /// When the main task is to call.
    fn deadline(&self) -> Time {
        self.host.deadline().min(self.circuits.deadline())
    }

    /// A connection that is not over.
    pub(crate) fn line(&self, connection: ConnectionId) -> Option<Arc<Line>> {
        self.lines.get(&connection)?.upgrade()
    }

    pub(crate) fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("peer", &self.peer()).finish_non_exhaustive()
    }
}
