//! A whole node in one value: the host and all its links, for one thread.
//!
//! ```text
//!                  .--------------- Solo ----------------.
//!  sockets  bytes  |  rx -> Link -> tx      Reports      |
//!   <----------->  |  rx -> Link -> tx   ----------->    |   SoloAction
//!                  |  rx -> Link -> tx   <-----------  Host  ----------->  Listen, Dial, Send, Close, Event
//!                  |                       Orders        |
//!                  '--------------------------------------'
//! ```
//! For event loops of one thread, for bindings, for simulation. Whoever wants the cryptography of many connections on every
//! core drives a [`Host`] and its [`Link`]s apart, as the tokio driver does.

mod action;
mod calls;
mod circuits;
mod config;
mod streams;
#[cfg(test)]
mod tests;

pub use action::{SoloAction, SoloEvent};
pub use config::{ServeError, SoloConfig, SoloError};

use crate::identify::{Card, Profile};
use crate::link::{Link, LinkEvent, LinkSetup, LinkShared, Report, Routes, cut};
use crate::{Action, ConnectionId, DialId, Host, Input, ListenerId, Misuse};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use bytes::BytesMut;
use circuits::Circuits;
use core::fmt;
use core::time::Duration;
use smol_str::{SmolStr, ToSmolStr};
use tidewire_connmgr::dial::DialFault;
use tidewire_core::{EventMachine, Keypair, Machine, Multiaddr, PeerId, Seed, Time, UnixTime};
use tidewire_multistream::Router;
use tidewire_relay::server::AsnTable;
use tidewire_upgrade::pipeline::{self, Plan};

/// A whole node: the host and all its links.
pub struct Solo {
    host: Host,
    keypair: Keypair,
    shared: LinkShared,
    upgrade: pipeline::Config,
    router: Router,
    routes: Routes,
    asns: Arc<AsnTable>,
    circuits: Circuits,
    card: Arc<Card>,
    links: BTreeMap<ConnectionId, Wire>,
    /// Dials, and who is expected there.
    dials: BTreeMap<DialId, PeerId>,
    next_connection: u64,
    /// Links that have something to do.
    due: BTreeSet<ConnectionId>,
    timers: BTreeSet<(Time, ConnectionId)>,
    /// Closed ones of which nothing is to be sent any more, but something to be read.
    unread: BTreeMap<ConnectionId, usize>,
    /// What they hold.
    unread_bytes: usize,
    max_unread: usize,
    max_unread_bytes: usize,
    /// Those that are to be closed once their streams are over, by the time until then.
    closing: BTreeSet<(Time, ConnectionId)>,
    close_timeout: Duration,
    max_actions: usize,
    now: Time,
    actions: VecDeque<SoloAction>,
}

/// A link and its bytes.
#[derive(Debug)]
struct Wire {
    link: Link,
    rx: BytesMut,
    tx: BytesMut,
    /// The remote sends no more.
    ended: bool,
    /// `Send` was said, and the driver has not taken everything since.
    sending: bool,
    deadline: Time,
    /// It is to be closed once its streams are over, at the latest then.
    closing: Option<Time>,
    /// The driver closes its socket; streams may still be read.
    closed: bool,
}

impl Solo {
    /// A node that is known by this key. The seed feeds all its entropy: never use one twice. `epoch`: what the wall clock
    /// says at [`Time::ZERO`].
    ///
    /// # Errors
    /// The configuration contradicts itself.
    pub fn new(config: SoloConfig, keypair: Keypair, seed: &Seed, epoch: UnixTime) -> Result<Self, SoloError> {
        let host =
            Host::new(config.host.clone().with_links(&config.link), keypair.peer_id(), &seed.derive("host", 0), epoch);
        Solo::of(host, config, keypair, seed)
    }

    /// As [`Solo::new`], and everything that the host is told is recorded: see [`record`](crate::record).
    ///
    /// # Errors
    /// The configuration contradicts itself.
    #[cfg(feature = "record")]
    pub fn recorded(
        config: SoloConfig,
        keypair: Keypair,
        seed: &Seed,
        epoch: UnixTime,
        record: crate::record::RecordConfig,
    ) -> Result<Self, SoloError> {
        let host = Host::recorded(
            config.host.clone().with_links(&config.link),
            keypair.peer_id(),
            &seed.derive("host", 0),
            epoch,
            record,
        );
        Solo::of(host, config, keypair, seed)
    }

    /// The recording, if there is one: the driver writes its bytes to where they are kept, and finishes it.
    #[cfg(feature = "record")]
    pub fn recorder(&mut self) -> Option<&mut crate::record::Recorder> {
        self.host.recorder()
    }

    fn of(host: Host, config: SoloConfig, keypair: Keypair, seed: &Seed) -> Result<Self, SoloError> {
        let SoloConfig { link, upgrade, max_unread, max_unread_bytes, close_timeout, max_actions, host: said } = config;
        let shared = LinkShared::new(&keypair, seed, upgrade.clone(), link)?;
        let mut profile = Profile::default();
        // What is too long for a card is too long now, not when somebody asks.
        (profile.protocol_version, profile.agent) = (said.protocol_version, said.agent);
        let card = Arc::new(Card::new(&keypair, &profile)?);
        let router = Router::new();
        let routes = Routes::new(&router, host.services(), &upgrade.connection);
        let mut solo = Solo {
            host,
            keypair,
            asns: Arc::default(),
            circuits: Circuits::default(),
            shared,
            upgrade,
            router,
            routes,
            card,
            links: BTreeMap::new(),
            dials: BTreeMap::new(),
            next_connection: 0,
            due: BTreeSet::new(),
            timers: BTreeSet::new(),
            unread: BTreeMap::new(),
            unread_bytes: 0,
            max_unread,
            max_unread_bytes,
            closing: BTreeSet::new(),
            close_timeout,
            max_actions,
            now: Time::ZERO,
            actions: VecDeque::new(),
        };
        solo.served(Time::ZERO);
        Ok(solo)
    }

    /// Which autonomous system an address belongs to: for the limits of a relay. By default nothing is known of that.
    pub fn set_asns(&mut self, asns: AsnTable) {
        self.asns = Arc::new(asns);
    }

    /// Who we are.
    pub fn local_peer(&self) -> PeerId {
        self.host.local_peer()
    }

    /// What the node knows and decides.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// A link, until it is closed.
    pub fn link(&self, connection: ConnectionId) -> Option<&Link> {
        self.links.get(&connection).map(|wire| &wire.link)
    }

    /// A listener has this address.
    ///
    /// # Errors
    /// There is no such listener.
    pub fn listening(&mut self, now: Time, listener: ListenerId, address: &Multiaddr) -> Result<(), Misuse> {
        self.tell(now, Input::Listening { listener, address: address.clone() })
    }

    /// A listener is gone, or never came to be.
    ///
    /// # Errors
    /// There is no such listener.
    pub fn listener_closed(&mut self, now: Time, listener: ListenerId, why: &str) -> Result<(), Misuse> {
        self.tell(now, Input::ListenerClosed { listener, why: cut(why) })
    }

    /// A listener got a connection. From here on it is named by what this returns; if it is not welcome, `Close` follows.
    ///
    /// # Errors
    /// The clock went back.
    pub fn accepted(&mut self, now: Time, local: &Multiaddr, remote: &Multiaddr) -> Result<ConnectionId, Misuse> {
        let connection = self.fresh();
        self.insert(connection, self.host.accept_plan(now, remote), None, remote);
        let asn = remote.ip().and_then(|ip| self.asns.lookup(ip));
        let (local, remote) = (local.clone(), remote.clone());
        let done = self.tell(now, Input::Incoming { connection, local, remote, over: None, asn });
        self.undo(connection, done)
    }

    /// A dial is connected.
    ///
    /// # Errors
    /// There is no such dial; drop the socket.
    pub fn dialed(
        &mut self,
        now: Time,
        dial: DialId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<ConnectionId, Misuse> {
        let expected = *self.dials.get(&dial).ok_or(Misuse::UnknownDial(dial))?;
        let connection = self.fresh();
        self.insert(connection, self.host.dial_plan(now, dial), Some((dial, expected)), remote);
        let done = self.tell(now, Input::Dialed { dial, connection, local: local.clone(), remote: remote.clone() });
        let connection = self.undo(connection, done)?;
        self.dials.remove(&dial);
        Ok(connection)
    }

    /// A dial failed.
    ///
    /// # Errors
    /// There is no such dial.
    pub fn dial_failed(&mut self, now: Time, dial: DialId, fault: DialFault) -> Result<(), Misuse> {
        if !self.dials.contains_key(&dial) {
            return Err(Misuse::UnknownDial(dial));
        }
        self.tell(now, Input::DialFailed { dial, fault })?;
        self.dials.remove(&dial);
        Ok(())
    }

    /// Where to put what a socket received; then say [`received`](Solo::received). `None`: it is closed.
    pub fn rx(&mut self, connection: ConnectionId) -> Option<&mut BytesMut> {
        self.links.get_mut(&connection).filter(|wire| !wire.closed).map(|wire| &mut wire.rx)
    }

    /// There is something new in `rx`.
    pub fn received(&mut self, now: Time, connection: ConnectionId) {
        self.wake(now, connection);
    }

    /// The remote sends no more on this socket.
    pub fn ended(&mut self, now: Time, connection: ConnectionId) {
        if let Some(wire) = self.links.get_mut(&connection) {
            wire.ended = true;
        }
        self.wake(now, connection);
    }

    /// The socket broke.
    pub fn broken(&mut self, now: Time, connection: ConnectionId, why: &str) {
        if let Some(wire) = self.links.get_mut(&connection) {
            wire.link.broken(why);
            wire.tx = BytesMut::new();
        }
        self.wake(now, connection);
    }

    /// What is to be sent: take the beginning away, as much as the socket took, then say [`sent`](Solo::sent). It stays here
    /// after `Close` until all of it is taken, or [`forget`](Solo::forget).
    pub fn tx(&mut self, connection: ConnectionId) -> Option<&mut BytesMut> {
        self.links.get_mut(&connection).map(|wire| &mut wire.tx)
    }

    /// Something was taken from `tx`. While something is left, the driver goes on by itself; `Send` comes when there is
    /// something again after all was taken.
    pub fn sent(&mut self, now: Time, connection: ConnectionId) {
        let Some(wire) = self.links.get_mut(&connection) else { return };
        if wire.tx.is_empty() {
            wire.sending = false;
            // The machines write into it again; what it had grown to is not kept.
            wire.tx = BytesMut::new();
        }
        if wire.closed {
            return self.sweep(connection);
        }
        self.wake(now, connection);
    }

    /// The socket of a closed connection is gone, whatever was left to be sent.
    pub fn forget(&mut self, connection: ConnectionId) {
        if let Some(wire) = self.links.get_mut(&connection)
            && wire.closed
        {
            wire.tx = BytesMut::new();
            self.sweep(connection);
        }
    }

    /// When to call [`on_timeout`](Solo::on_timeout).
    pub fn deadline(&self) -> Time {
        let first = |timers: &BTreeSet<(Time, ConnectionId)>| timers.first().map_or(Time::NEVER, |(time, _)| *time);
        self.host.deadline().min(first(&self.timers)).min(first(&self.closing)).min(self.circuits.deadline())
    }

    /// Lets time pass.
    pub fn on_timeout(&mut self, now: Time) {
        if now < self.now {
            return;
        }
        self.now = now;
        self.host.on_timeout(now);
        self.circuits.on_timeout(now);
        while let Some((time, connection)) = self.timers.first().copied()
            && time <= now
        {
            self.timers.remove(&(time, connection));
            if let Some(wire) = self.links.get_mut(&connection) {
                wire.deadline = Time::NEVER;
            }
            self.due.insert(connection);
        }
        self.closing_timeout();
        self.settle();
    }

    /// What to do next. While [`SoloConfig::max_actions`] wait, the links stand still, and what was received stays in their `rx`;
    /// they go on when these are polled: poll until there is nothing more.
    pub fn poll(&mut self) -> Option<SoloAction> {
        if self.actions.is_empty() && (!self.due.is_empty() || self.circuits.is_due()) {
            self.settle();
        }
        self.actions.pop_front()
    }

    /// Bytes on the heap.
    pub fn memory_used(&self) -> usize {
        let each = |wire: &Wire| size_of::<Wire>() + wire.link.memory_used() + wire.rx.capacity() + wire.tx.capacity();
        self.host.memory_used()
            + self.links.values().map(each).sum::<usize>()
            + (self.links.len() + self.timers.len() + self.closing.len() + self.due.len() + self.dials.len())
                * size_of::<(Time, ConnectionId)>()
            + self.circuits.memory_used()
            + self.actions.capacity() * size_of::<SoloAction>()
    }

    fn fresh(&mut self) -> ConnectionId {
        let connection = ConnectionId(self.next_connection);
        self.next_connection += 1;
        connection
    }

    fn insert(&mut self, connection: ConnectionId, plan: Plan, dial: Option<(DialId, PeerId)>, remote: &Multiaddr) {
        let (dial, expected) = dial.unzip();
        let (remote, routes, card) = (remote.clone(), self.routes.clone(), self.card.clone());
        let link = Link::new(&self.shared, LinkSetup { connection, dial, plan, expected, remote, routes, card });
        let wire = Wire {
            link,
            rx: BytesMut::new(),
            tx: BytesMut::new(),
            ended: false,
            sending: false,
            deadline: Time::NEVER,
            closing: None,
            closed: false,
        };
        self.links.insert(connection, wire);
        self.due.insert(connection);
    }

    fn undo(&mut self, connection: ConnectionId, done: Result<(), Misuse>) -> Result<ConnectionId, Misuse> {
        if done.is_err() {
            self.links.remove(&connection);
            self.due.remove(&connection);
        }
        done.map(|()| connection)
    }

    /// A link has something to do now.
    fn wake(&mut self, now: Time, connection: ConnectionId) {
        self.now = self.now.max(now);
        self.due.insert(connection);
        self.settle();
    }

    /// Whether as many actions wait as may.
    fn is_unpolled(&self) -> bool {
        self.actions.len() >= self.max_actions.max(1)
    }

    /// Lets the host and all links go on until none has anything to say to another, or the actions are to be polled.
    fn settle(&mut self) {
        loop {
            self.drain_host();
            if self.is_unpolled() {
                return;
            }
            match self.due.pop_first() {
                Some(connection) => self.run(connection),
                None if self.pump() => {}
                None => return,
            }
        }
    }

    fn drain_host(&mut self) {
        while let Some(action) = self.host.poll() {
            self.carry_out(action);
        }
    }

    fn run(&mut self, connection: ConnectionId) {
        while let Some(wire) = self.links.get_mut(&connection)
            && !wire.closed
        {
            if self.actions.len() >= self.max_actions.max(1) {
                self.due.insert(connection);
                return;
            }
            let Wire { link, rx, tx, ended, .. } = wire;
            let Ok(event) = link.advance_or_end(self.now, rx, tx, *ended);
            match event {
                None => {
                    self.rest(connection);
                    return self.close_if_done(connection);
                }
                Some(LinkEvent::Report(report)) => {
                    let over = match &report {
                        Report::Ended { why, .. } => Some(why.clone()),
                        _ => None,
                    };
                    // The clock was checked when the driver said it, and a report is never misuse.
                    let _ = self.host.handle(self.now, Input::Report { connection, report });
                    // Before the link goes on, perhaps to its end: so a stream is handed out before its connection is over.
                    self.drain_host();
                    if let Some(why) = over {
                        self.hang_up(connection, why);
                    }
                }
                Some(LinkEvent::Stream(event)) if self.circuits.takes(connection, &event) => {}
                Some(LinkEvent::Stream(event)) => {
                    self.actions.push_back(SoloAction::Event(SoloEvent::Stream { connection, event }));
                }
                Some(LinkEvent::Progress(progress)) => {
                    self.actions.push_back(SoloAction::Event(SoloEvent::Progress { connection, progress }));
                }
            }
        }
    }

    /// A link has nothing more to do now: says what there is to send, and when it wants to be called again.
    fn rest(&mut self, connection: ConnectionId) {
        let Some(wire) = self.links.get_mut(&connection) else { return };
        if wire.rx.is_empty() {
            wire.rx = BytesMut::new();
        }
        self.circuits.consumed(connection, wire.rx.len());
        let deadline = wire.link.deadline();
        if deadline != wire.deadline {
            self.timers.remove(&(wire.deadline, connection));
            wire.deadline = deadline;
            if !deadline.is_never() {
                self.timers.insert((deadline, connection));
            }
        }
        if wire.tx.is_empty() {
            return;
        }
        if core::mem::replace(&mut wire.sending, true) {
            return;
        }
        if self.circuits.carries(connection) {
            self.circuits.wake(connection);
        } else {
            self.actions.push_back(SoloAction::Send { connection });
        }
    }

    /// The socket is to be closed. The link stays as long as the application may read what it received.
    fn hang_up(&mut self, connection: ConnectionId, why: SmolStr) {
        let Some(wire) = self.links.get_mut(&connection) else { return };
        if core::mem::replace(&mut wire.closed, true) {
            return;
        }
        wire.rx = BytesMut::new();
        self.timers.remove(&(wire.deadline, connection));
        if let Some(until) = wire.closing.take() {
            self.closing.remove(&(until, connection));
        }
        if self.circuits.carries(connection) {
            self.circuits.wake(connection);
        } else {
            self.actions.push_back(SoloAction::Close { connection, why });
        }
        self.sweep(connection);
    }

    /// Forgets a closed connection of which nothing is to be sent or read any more.
    fn sweep(&mut self, connection: ConnectionId) {
        let Some(wire) = self.links.get(&connection) else { return };
        if !wire.closed || !wire.tx.is_empty() {
            return;
        }
        let kept = wire.link.has_streams().then(|| wire.link.memory_used());
        let before = match kept {
            Some(bytes) => self.unread.insert(connection, bytes),
            None => self.unread.remove(&connection),
        };
        self.unread_bytes = self.unread_bytes.saturating_sub(before.unwrap_or(0)).saturating_add(kept.unwrap_or(0));
        if kept.is_none() {
            self.links.remove(&connection);
        }
        while self.unread.len() > self.max_unread || self.unread_bytes > self.max_unread_bytes {
            let Some((oldest, bytes)) = self.unread.pop_first() else { return };
            self.unread_bytes = self.unread_bytes.saturating_sub(bytes);
            self.links.remove(&oldest);
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Listen { listener, address } => self.actions.push_back(SoloAction::Listen { listener, address }),
            Action::Unlisten { listener } => self.actions.push_back(SoloAction::Unlisten { listener }),
            // The link was made when the socket came.
            Action::Accept { .. } => {}
            Action::Refuse { connection, reason } => {
                if let Some(wire) = self.links.get_mut(&connection) {
                    wire.link.broken("refused");
                    wire.tx = BytesMut::new();
                }
                self.hang_up(connection, reason.to_smolstr());
            }
            Action::Dial { dial, peer, address, from, timeout } => {
                self.dials.insert(dial, peer);
                self.actions.push_back(SoloAction::Dial { dial, peer, address, from, timeout });
            }
            Action::Abort { dial } => {
                self.dials.remove(&dial);
                self.actions.push_back(SoloAction::Abort { dial });
            }
            Action::Order { connection, order } => {
                if let Some(wire) = self.links.get_mut(&connection) {
                    wire.link.order(self.now, order, &mut wire.tx);
                    self.due.insert(connection);
                }
            }
            Action::Profile(profile) => self.seal(&profile),
            Action::Carry(carry) => self.carry(*carry),
            Action::Splice(splice) => self.splice(splice),
            Action::Unsplice { circuit, why } => self.unsplice(circuit, why),
            Action::Serve(_) => self.served(self.now),
            Action::Event(event) => self.actions.push_back(SoloAction::Event(SoloEvent::Host(event))),
        }
    }

    fn seal(&mut self, profile: &Profile) {
        // What there is no room for is left out, and texts that are too long were refused at the beginning.
        let Ok(card) = Card::new(&self.keypair, profile) else { return };
        self.card = Arc::new(card);
        for wire in self.links.values_mut() {
            wire.link.set_card(self.card.clone());
        }
    }
}

impl fmt::Debug for Solo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Solo").field("host", &self.host).field("links", &self.links.len()).finish_non_exhaustive()
    }
}
