//! Relayed connections become direct ones: plugs the coordinator of `tidewire-dcutr` in.
//!
//! ```text
//!  opened, forget, identified, Pong ---> Coordinator --Open, Sync, Answer--> orders for the link of the relayed connection
//!  links: Answered, Heard -------------->     |      --Dial-----------------> Action::Dial, with a number of its own
//!  reach: our addresses, as they are now ---->|      --Window---------------> the plan of sockets that are accepted
//! ```
//! The connection manager hears of such a dial once it is a connection. Which of the two then stays is its rule, and that both
//! ends have the direct one it says by [`Drain`](tidewire_connmgr::Action::Drain).

use super::{Host, Misuse};
use crate::ids::{PUNCHES, is_punch};
use crate::link::{AskFault, OpenFault, Order};
use crate::{Action, AskNumber, Config, ConnectionId, DialId, Direction, Event, LocalEnd, StreamId};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;
use tidewire_connmgr::dial::DialFault;
use tidewire_connmgr::{self as connmgr, RefuseReason};
use tidewire_core::{EventMachine, Multiaddr, PeerId, Role, Seed, Time};
use tidewire_dcutr::coordinator::{self, Coordinator, View};
use tidewire_dcutr::exchange::{Fault as PunchFault, Heard};
use tidewire_dcutr::nat::{self, Guess, Sight};
use tidewire_dcutr::{self as dcutr, Candidate, Local, StreamKey};
use tidewire_upgrade::pipeline::Plan;

/// Connections whose view of us is remembered, to guess what our NAT does.
const MAX_SIGHTS: usize = 64;

/// All of a host.
pub(super) struct Punching {
    /// `None`: punching is off.
    coordinator: Option<Box<Coordinator>>,
    /// What it wants, and had no room to keep.
    wanted: VecDeque<coordinator::Action>,
    /// No dial of this number or above was asked for yet.
    next_dial: u64,
    dials: BTreeMap<dcutr::DialId, Dial>,
    by_connection: BTreeMap<ConnectionId, dcutr::DialId>,
    /// Accepted inside a window, and not established yet.
    arriving: BTreeMap<ConnectionId, IpAddr>,
    /// The relayed ones of the connections that the coordinator knows of, and the others.
    circuits: BTreeMap<ConnectionId, PeerId>,
    known: BTreeSet<ConnectionId>,
    /// With whom an attempt is under way.
    attempts: BTreeSet<PeerId>,
    /// The last of each connection, in the order in which they were said.
    sights: Vec<(ConnectionId, Sight)>,
    guesses: Vec<Guess>,
    own: Vec<Candidate>,
}

struct Dial {
    plan: dcutr::Plan,
    connection: Option<ConnectionId>,
}

impl Punching {
    pub(super) fn new(config: &Config, local: PeerId, seed: &Seed) -> Self {
        let coordinator = config.punching.clone();
        let coordinator = coordinator.map(|it| Box::new(Coordinator::new(it, local, &seed.derive("host punching", 0))));
        Punching {
            coordinator,
            wanted: VecDeque::new(),
            next_dial: 0,
            dials: BTreeMap::new(),
            by_connection: BTreeMap::new(),
            arriving: BTreeMap::new(),
            circuits: BTreeMap::new(),
            known: BTreeSet::new(),
            attempts: BTreeSet::new(),
            sights: Vec::new(),
            guesses: Vec::new(),
            own: Vec::new(),
        }
    }

    fn poll(&mut self) -> Option<coordinator::Action> {
        let wanted = self.wanted.pop_front();
        if wanted.is_none() {
            self.wanted = VecDeque::new();
        }
        wanted.or_else(|| self.coordinator.as_mut()?.poll())
    }

    pub(super) fn deadline(&self) -> Time {
        self.coordinator.as_ref().map_or(Time::NEVER, |it| it.deadline())
    }

    /// How much is remembered of what is under way.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        let dials = self.dials.len() + self.by_connection.len() + self.arriving.len() + self.wanted.len();
        dials + self.circuits.len() + self.known.len() + self.attempts.len() + self.sights.len()
    }

    pub(super) fn memory_used(&self) -> usize {
        let coordinator = self.coordinator.as_ref().map_or(0, |it| size_of::<Coordinator>() + it.memory_used());
        let addresses =
            |sight: &Sight| sight.local.memory_used() + sight.seen.memory_used() + sight.observer.memory_used();
        let guesses = self.guesses.iter().map(|guess| guess.evidence.iter().map(addresses).sum::<usize>());
        coordinator
            + self.dials.len() * size_of::<(dcutr::DialId, Dial)>()
            + self.by_connection.len() * size_of::<(ConnectionId, dcutr::DialId)>()
            + self.arriving.len() * size_of::<(ConnectionId, IpAddr)>()
            + self.circuits.len() * size_of::<(ConnectionId, PeerId)>()
            + self.known.len() * size_of::<ConnectionId>()
            + self.attempts.len() * size_of::<PeerId>()
            + self.wanted.capacity() * size_of::<coordinator::Action>()
            + self.sights.capacity() * size_of::<(ConnectionId, Sight)>()
            + self.sights.iter().map(|(_, sight)| addresses(sight)).sum::<usize>()
            + self.guesses.capacity() * size_of::<Guess>()
            + guesses.sum::<usize>()
            + self.own.capacity() * size_of::<Candidate>()
            + self.own.iter().map(|own| own.address.memory_used()).sum::<usize>()
    }
}

fn named(connection: ConnectionId) -> dcutr::ConnectionId {
    dcutr::ConnectionId(connection.0)
}

fn connection_of(connection: dcutr::ConnectionId) -> ConnectionId {
    ConnectionId(connection.0)
}

fn key(connection: ConnectionId, stream: StreamId) -> StreamKey {
    StreamKey { connection: named(connection), stream: stream.0 }
}

fn punch_of(dial: DialId) -> dcutr::DialId {
    dcutr::DialId(dial.0 & !PUNCHES)
}

fn number_of(dial: dcutr::DialId) -> DialId {
    DialId(PUNCHES | dial.0)
}

/// The plan of a socket whose transport is there now.
fn plan_of(plan: dcutr::Plan, now: Time) -> Plan {
    match plan {
        dcutr::Plan::Respond => Plan::Respond,
        dcutr::Plan::ListenFirst { wait } => Plan::ListenFirst { until: now + wait },
        _ => Plan::Initiate,
    }
}

/// What came of a dial, as the coordinator tells it apart.
fn fault_of(fault: &DialFault) -> dcutr::DialFault {
    match fault {
        DialFault::Refused(_) => dcutr::DialFault::Refused,
        DialFault::Unreachable(_) => dcutr::DialFault::Unreachable,
        DialFault::Timeout(_) => dcutr::DialFault::TimedOut,
        DialFault::NoPort(_) => dcutr::DialFault::AddressNotAvailable,
        DialFault::Local(_) => dcutr::DialFault::LocalPort,
        DialFault::Upgrade(why) => dcutr::DialFault::upgrade(why),
        other => dcutr::DialFault::other(&other.to_string()),
    }
}

impl Host {
    /// The coordinator of hole punches, to look at; `None` if punching is off.
    pub fn punching(&self) -> Option<&Coordinator> {
        self.punching.coordinator.as_deref()
    }

    /// What is done about a direct connection to this peer; `None` if nothing is.
    pub fn explain_punch(&self, peer: &PeerId) -> Option<View> {
        self.punching()?.explain(self.now, peer)
    }

    /// The plan of the link of this dial, once its transport is there: to be asked for right before `Dialed` is told.
    pub fn dial_plan(&self, now: Time, dial: DialId) -> Plan {
        let punch = is_punch(dial).then(|| self.punching.dials.get(&punch_of(dial))).flatten();
        punch.map_or(Plan::Initiate, |dial| plan_of(dial.plan, now))
    }

    /// The plan of the link of a connection that is accepted from this address: to be asked for right before `Incoming` is told.
    pub fn accept_plan(&self, now: Time, remote: &Multiaddr) -> Plan {
        let direct = remote.ip().filter(|_| !remote.is_relayed());
        let plan = direct.and_then(|ip| self.punching()?.accepts(ip));
        plan.map_or(Plan::Respond, |plan| plan_of(plan, now))
    }

    /// A word of the application's.
    pub(super) fn punch_command(&mut self, peer: PeerId, wanted: bool) -> Result<(), Misuse> {
        let input = match wanted {
            true => coordinator::Input::Punch { peer },
            false => coordinator::Input::Cancel { peer },
        };
        self.refresh_own();
        let Some(coordinator) = &mut self.punching.coordinator else { return Err(Misuse::NoPunching) };
        coordinator.handle(self.now, input).map_err(Misuse::Punch)
    }

    /// Each id is the coordinator's own, or was told before; what crossed on the way is of no matter. Whether it did not.
    fn tell_punching(&mut self, input: coordinator::Input<'_>) -> bool {
        let Punching { coordinator: Some(coordinator), wanted, .. } = &mut self.punching else { return false };
        match coordinator.handle(self.now, input.clone()) {
            // Much happens at once: a network is lost, with all that is connected over it.
            Err(coordinator::Misuse::Unpolled(_)) => {
                wanted.extend(core::iter::from_fn(|| coordinator.poll()));
                coordinator.handle(self.now, input).is_ok()
            }
            done => done.is_ok(),
        }
    }

    /// Circuits are in use as long as an attempt goes on that needs them. To be said before idleness is looked for.
    pub(super) fn punching_uses(&mut self) {
        if self.config.manager.keep_alive.idle.is_none() || self.punching.attempts.is_empty() {
            return;
        }
        let Punching { circuits, attempts, .. } = &self.punching;
        let used = circuits.iter().filter(|(_, peer)| attempts.contains(peer));
        let used: Vec<ConnectionId> = used.map(|(connection, _)| *connection).collect();
        for connection in used {
            self.manage(connmgr::Input::Used { connection });
        }
    }

    pub(super) fn punching_timeout(&mut self) {
        if let Some(coordinator) = &mut self.punching.coordinator
            && coordinator.deadline() <= self.now
        {
            self.refresh_own();
            if let Some(coordinator) = &mut self.punching.coordinator {
                coordinator.on_timeout(self.now);
            }
        }
    }

    pub(super) fn punching_network_changed(&mut self) {
        self.punching.sights.clear();
        self.refresh_own();
        self.tell_punching(coordinator::Input::NetworkChanged);
    }

    pub(super) fn punching_shutdown(&mut self) {
        self.tell_punching(coordinator::Input::Shutdown);
        while self.drain_punching() {}
    }

    /// A connection is established, and was let in.
    pub(super) fn punching_connected(&mut self, connection: ConnectionId, peer: PeerId) {
        if self.punching.coordinator.is_none() {
            return;
        }
        let Some(entry) = self.connections.get(&connection) else { return };
        let (local, remote) = (entry.local.clone(), entry.remote.clone());
        let inbound = entry.direction == Direction::Inbound;
        let role = entry.upgraded.as_ref().map_or(Role::Initiator, |upgraded| upgraded.role);
        let (relayed, connection_name) = (remote.is_relayed(), named(connection));
        let punching = &mut self.punching;
        if relayed {
            punching.circuits.insert(connection, peer);
        } else {
            punching.known.insert(connection);
        }
        punching.arriving.remove(&connection);
        let dial = punching.by_connection.remove(&connection);
        if relayed {
            self.refresh_own();
        }
        let (connection, local, remote) = (connection_name, &local, &remote);
        if let Some(dial) = dial {
            self.punching.dials.remove(&dial);
            if self.tell_punching(coordinator::Input::Dialed { dial, connection, local, remote, role }) {
                return;
            }
        }
        self.tell_punching(coordinator::Input::Connected { connection, peer, relayed, inbound, remote });
    }

    /// A connection is gone, whether or not it was let in.
    pub(super) fn punching_closed(&mut self, connection: ConnectionId, why: &str) {
        self.punching.sights.retain(|(of, _)| *of != connection);
        if let Some(ip) = self.punching.arriving.remove(&connection) {
            self.tell_punching(coordinator::Input::ArrivalFailed { ip });
        }
        if let Some(dial) = self.punching.by_connection.remove(&connection) {
            self.punching.dials.remove(&dial);
            let why = dcutr::DialFault::upgrade(why);
            self.tell_punching(coordinator::Input::DialFailed { dial, why });
        }
        let punching = &mut self.punching;
        if punching.known.remove(&connection) || punching.circuits.remove(&connection).is_some() {
            self.tell_punching(coordinator::Input::Disconnected { connection: named(connection) });
        }
    }

    /// A peer said who it is, and how it sees us.
    pub(super) fn punching_identified(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        seen: Option<&Multiaddr>,
        pushed: bool,
    ) {
        if self.punching.coordinator.is_none() {
            return;
        }
        if let Some(entry) = self.connections.get(&connection)
            && let Some(seen) = seen
            && !entry.remote.is_relayed()
            // Who dialed us came by a mapping that was there, and sees us by that.
            && entry.direction == Direction::Outbound
        {
            let (local, observer) = (entry.local.clone(), entry.remote.clone());
            let sight = Sight { local, seen: seen.without_peer_id(), observer };
            self.punching.sights.retain(|(of, _)| *of != connection);
            if self.punching.sights.len() >= MAX_SIGHTS {
                self.punching.sights.remove(0);
            }
            self.punching.sights.push((connection, sight));
        }
        let Some(identity) = self.identity(&peer) else { return };
        if pushed && identity.protocols.is_empty() {
            // A push may leave out what it likes. What the peer speaks, its answer will say.
            return;
        }
        let speaks_dcutr = identity.protocols.iter().any(|protocol| protocol.as_str() == dcutr::PROTOCOL);
        let listens = identity.listen_addresses().to_vec();
        self.refresh_own();
        self.tell_punching(coordinator::Input::Identified { peer, speaks_dcutr, listens: &listens });
    }

    pub(super) fn punching_rtt(&mut self, connection: ConnectionId, rtt: Duration) {
        self.tell_punching(coordinator::Input::Rtt { connection: named(connection), rtt });
    }

    /// The manager proved that both ends have this one, and drains another. Of two circuits it drains one, too.
    pub(super) fn punching_proven(&mut self, onto: ConnectionId) {
        if self.punching.known.contains(&onto) {
            self.tell_punching(coordinator::Input::Proven { connection: named(onto) });
        }
    }

    /// A connection came from this address, and was let in.
    pub(super) fn punching_arrives(&mut self, connection: ConnectionId) {
        let Some(entry) = self.connections.get(&connection) else { return };
        let ip = entry.remote.ip().filter(|_| !entry.remote.is_relayed());
        let Some(ip) = ip.filter(|ip| self.punching().is_some_and(|it| it.accepts(*ip).is_some())) else { return };
        self.punching.arriving.insert(connection, ip);
        self.tell_punching(coordinator::Input::Arriving { ip });
    }

    /// A punch's transport is connected. False: it was aborted meanwhile.
    pub(super) fn punch_dialed(&mut self, number: DialId, connection: ConnectionId) -> Result<bool, Misuse> {
        let dial = self.dialing(number)?;
        let Some(entry) = self.punching.dials.get_mut(&dial) else { return Ok(false) };
        entry.connection = Some(connection);
        self.punching.by_connection.insert(connection, dial);
        self.tell_punching(coordinator::Input::Upgrading { dial });
        Ok(true)
    }

    /// A punch's transport could not be connected. If it was aborted meanwhile, that is of no matter.
    pub(super) fn punch_failed(&mut self, number: DialId, fault: &DialFault) -> Result<(), Misuse> {
        let dial = self.dialing(number)?;
        if self.punching.dials.remove(&dial).is_some() {
            self.tell_punching(coordinator::Input::DialFailed { dial, why: fault_of(fault) });
        }
        Ok(())
    }

    /// A punch that was asked for, and isn't connected.
    fn dialing(&self, number: DialId) -> Result<dcutr::DialId, Misuse> {
        let dial = punch_of(number);
        let connected = self.punching.dials.get(&dial).is_some_and(|entry| entry.connection.is_some());
        if connected || dial.0 >= self.punching.next_dial { Err(Misuse::UnknownDial(number)) } else { Ok(dial) }
    }

    /// A remote's stream, or one of ours, was heard on.
    pub(super) fn punch_heard(
        &mut self,
        connection: ConnectionId,
        ask: Option<AskNumber>,
        stream: StreamId,
        heard: Result<Heard, Box<PunchFault>>,
    ) {
        if heard.is_ok() {
            self.refresh_own();
        }
        let ours = ask.map(|ask| self.relaying.punch_of(ask));
        let stream = key(connection, stream);
        match (ours, heard) {
            (None, Ok(Heard::Connect { addresses, skipped, dropped, .. })) => {
                let skipped = skipped.saturating_add(dropped);
                self.tell_punching(coordinator::Input::Asked { stream, addresses: &addresses, skipped });
            }
            (None, Ok(Heard::Sync { rtt })) => {
                self.tell_punching(coordinator::Input::Synced { stream, rtt });
            }
            (None, Err(why)) => {
                self.tell_punching(coordinator::Input::StreamGone { stream, why: *why });
            }
            (Some(Some(ask)), Ok(Heard::Connect { addresses, skipped, dropped, rtt })) => {
                let (skipped, rtt) = (skipped.saturating_add(dropped), rtt.unwrap_or_default());
                self.tell_punching(coordinator::Input::Connects { ask, addresses: &addresses, skipped, rtt });
            }
            (Some(Some(ask)), Err(why)) => {
                self.relaying.punch_over(ask);
                self.tell_punching(coordinator::Input::AskFailed { ask, why: *why });
            }
            (Some(None), _) | (_, Ok(_)) => {}
        }
    }

    /// A remote's stream is over, perhaps one of a punch. Those are on circuits.
    pub(super) fn punch_stream_closed(&mut self, connection: ConnectionId, stream: StreamId) {
        if self.punching.circuits.contains_key(&connection) {
            let stream = key(connection, stream);
            self.tell_punching(coordinator::Input::StreamGone { stream, why: PunchFault::Reset });
        }
    }

    /// There is no stream for what we wanted to say.
    pub(super) fn punch_unasked(&mut self, ask: dcutr::AskId, fault: &AskFault) {
        let why = match fault {
            AskFault::Open(OpenFault::Unsupported) => PunchFault::NotSpoken,
            _ => PunchFault::Reset,
        };
        self.tell_punching(coordinator::Input::AskFailed { ask, why });
    }

    /// Tells the coordinator our addresses, if they are others than before: so each try has the present ones.
    pub(super) fn refresh_own(&mut self) {
        if self.punching.circuits.is_empty() || self.punching.coordinator.is_none() {
            return;
        }
        let sights: Vec<Sight> = self.punching.sights.iter().map(|(_, sight)| sight.clone()).collect();
        let guesses = nat::guesses(&sights);
        let mut own = self.reach.punch_candidates();
        own.extend(guesses.iter().flat_map(nat::predict));
        if own != self.punching.own {
            self.tell_punching(coordinator::Input::Own(&own));
            self.punching.own = own;
        }
        if guesses != self.punching.guesses {
            self.tell_punching(coordinator::Input::Nat(&guesses));
            self.punching.guesses = guesses;
        }
    }

    /// Carries out what the coordinator wants. Whether there was something.
    pub(super) fn drain_punching(&mut self) -> bool {
        let mut any = false;
        while let Some(action) = self.punching.poll() {
            any = true;
            self.on_punching(action);
        }
        any
    }

    /// If the connection is no more, the coordinator knows.
    fn order_punching(&mut self, connection: ConnectionId, order: Order) {
        if self.connections.contains_key(&connection) {
            self.act(Action::Order { connection, order });
        }
    }

    fn on_punching(&mut self, action: coordinator::Action) {
        match action {
            coordinator::Action::Open { ask, connection, addresses } => {
                let connection = connection_of(connection);
                if self.connections.contains_key(&connection) {
                    let ask = self.relaying.insert_punch(connection, ask);
                    self.act(Action::Order { connection, order: Order::Punch { ask, addresses } });
                }
            }
            coordinator::Action::Sync { ask } => {
                if let Some((connection, ask)) = self.relaying.punch_over(ask) {
                    self.order_punching(connection, Order::Sync { ask });
                }
            }
            coordinator::Action::ResetAsk { ask } => {
                if let Some((connection, ask)) = self.relaying.punch_over(ask) {
                    self.order_punching(connection, Order::Unask { ask });
                }
            }
            coordinator::Action::Answer { stream, addresses } => {
                let (connection, stream) = (connection_of(stream.connection), StreamId(stream.stream));
                self.order_punching(connection, Order::Connect { stream, addresses });
            }
            coordinator::Action::ResetStream { stream, .. } => {
                let (connection, stream) = (connection_of(stream.connection), StreamId(stream.stream));
                self.order_punching(connection, Order::Reset { stream });
            }
            coordinator::Action::Dial { dial, peer, address, local, plan, timeout } => {
                self.punching.next_dial = self.punching.next_dial.max(dial.0.saturating_add(1));
                if let Err(why) = self.manager.gate().permits(&peer, &address) {
                    let why = dcutr::DialFault::other(&alloc::format!("it is denied: {why}"));
                    self.tell_punching(coordinator::Input::DialFailed { dial, why });
                    return;
                }
                let from = match local {
                    Local::Reuse(address) => Some(LocalEnd { address, exact: true }),
                    _ => None,
                };
                self.punching.dials.insert(dial, Dial { plan, connection: None });
                self.act(Action::Dial { dial: number_of(dial), peer, address, from, timeout });
            }
            coordinator::Action::Abort { dial } => self.abort_punch(dial),
            coordinator::Action::Event(event) => {
                match &event {
                    coordinator::Event::Started { peer, .. } => drop(self.punching.attempts.insert(*peer)),
                    coordinator::Event::Report(report) => drop(self.punching.attempts.remove(&report.peer)),
                    _ => {}
                }
                self.tell(Event::Punch(event));
            }
            // Windows are asked for when a socket comes; there is no QUIC yet, so no datagram is wanted.
            _ => {}
        }
    }

    /// The coordinator wants a dial no more, whatever became of it.
    fn abort_punch(&mut self, dial: dcutr::DialId) {
        let Some(entry) = self.punching.dials.remove(&dial) else { return };
        let Some(connection) = entry.connection else {
            return self.act(Action::Abort { dial: number_of(dial) });
        };
        self.punching.by_connection.remove(&connection);
        if self.forget(connection, "the hole punch is over").is_some() {
            self.act(Action::Refuse { connection, reason: RefuseReason::DialOver });
        }
    }
}
