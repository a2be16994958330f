//! Relays: what the machines of `tidewire-relay` decide, carried out by links and by the driver.
//!
//! ```text
//!   a remote asks:  link: Asked --> Server, Client --> Order::Reply
//!   we ask:         Server, Client --> Order::Ask --> link: Answered --> Server, Client
//!   circuits:       Server --> Action::Splice: the driver pumps between two streams
//!                   Client --> Action::Carry:  the driver makes a transport of one, and says Dialed or Incoming
//! ```

mod auto;
mod circuits;
mod client;
mod nat;
mod probes;
mod server;

use super::Host;
use crate::link::{AskFault, OpenFault, Order, Service};
use crate::{Action, AskNumber, Config, ConnectionId, Direction, ListenerId, RequestId, StreamId};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use circuits::{Circuits, Goodbyes};
use core::time::Duration;
use nat::Nat;
use probes::Probes;
use tidewire_core::{EventMachine, Multiaddr, PeerId, Seed, Time, UnixTime};
use tidewire_dcutr as dcutr;
use tidewire_relay::autorelay::AutoRelay;
use tidewire_relay::client::{Client, Ending};
use tidewire_relay::exchange::{self, Answer, Ask, Reply, Request};
use tidewire_relay::server::Server;
use tidewire_relay::{self as relay, AskId, StreamKey};

/// Who wants to know the answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Server,
    Client,
    NatV1,
    NatV2,
    Probe,
    Auto,
    Punch,
}

/// Who wants a reservation with a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    /// The application.
    Application,
    /// AutoRelay.
    AutoRelay,
    /// A listener of an address through the relay.
    Listener(ListenerId),
}

impl Holder {
    const FIRST: Holder = Holder::Application;
    const LAST: Holder = Holder::Listener(ListenerId(u64::MAX));
}

/// A listener at a relay.
#[derive(Clone, Debug)]
struct Listen {
    relay: PeerId,
    addresses: Vec<Multiaddr>,
}

/// All of a host.
pub(super) struct Relaying {
    server: Option<Box<Server>>,
    client: Box<Client>,
    /// Wishes to be connected to relays.
    requests: BTreeMap<RequestId, (Part, PeerId)>,
    auto: Option<Box<AutoRelay>>,
    holders: BTreeSet<(PeerId, Holder)>,
    listens: BTreeMap<ListenerId, Listen>,
    /// Our addresses through relays.
    reached_at: Vec<Multiaddr>,
    circuits: Circuits,
    goodbyes: Goodbyes,
    nat: Nat,
    probes: Probes,
    asks: Asks,
    /// Streams on which a remote asked, until they are over.
    asked: BTreeSet<StreamKey>,
    services: Vec<Service>,
}

/// Questions that are not answered yet.
#[derive(Debug, Default)]
struct Asks {
    next: u64,
    all: BTreeMap<AskNumber, (ConnectionId, Part, AskId)>,
    by_part: BTreeMap<(Part, AskId), AskNumber>,
    by_connection: BTreeSet<(ConnectionId, AskNumber)>,
}

impl Asks {
    fn insert(&mut self, connection: ConnectionId, part: Part, id: AskId) -> AskNumber {
        let ask = AskNumber(self.next);
        self.next = self.next.saturating_add(1);
        self.all.insert(ask, (connection, part, id));
        self.by_part.insert((part, id), ask);
        self.by_connection.insert((connection, ask));
        ask
    }

    fn remove(&mut self, ask: AskNumber) -> Option<(ConnectionId, Part, AskId)> {
        let entry = self.all.remove(&ask)?;
        self.by_part.remove(&(entry.1, entry.2));
        self.by_connection.remove(&(entry.0, ask));
        Some(entry)
    }

    fn of_part(&self, part: Part, id: AskId) -> Option<AskNumber> {
        self.by_part.get(&(part, id)).copied()
    }

    /// Forgets what was asked on a connection.
    fn ended(&mut self, connection: ConnectionId) -> Vec<(Part, AskId)> {
        let range = (connection, AskNumber(0))..=(connection, AskNumber(u64::MAX));
        let asks: Vec<AskNumber> = self.by_connection.range(range).map(|(_, ask)| *ask).collect();
        asks.into_iter().filter_map(|ask| self.remove(ask)).map(|(_, part, id)| (part, id)).collect()
    }

    fn memory_used(&self) -> usize {
        // Each stands in three indexes.
        self.all.len() * 3 * size_of::<(AskNumber, ConnectionId, Part, AskId)>()
    }
}

impl Relaying {
    pub(super) fn new(config: &Config, local: PeerId, seed: &Seed, epoch: UnixTime) -> Self {
        let server = config.relay.server.clone().map(|config| {
            let mut server = Server::new(config, local, &seed.derive("host relay", 0));
            let _ = server.handle(Time::ZERO, relay::server::Input::Clock { unix: epoch });
            Box::new(server)
        });
        let mut client = Client::new(config.relay.client.clone(), local, &seed.derive("host relay client", 0));
        let _ = client.handle(Time::ZERO, relay::client::Input::Clock { unix: epoch });
        let nat = Nat::new(config, seed);
        // Circuits may come to anybody who has a reservation.
        let mut services: Vec<Service> =
            core::iter::once(exchange::Service::Stop).chain(nat.services()).map(Service::Relay).collect();
        services.extend(config.punching.is_some().then_some(Service::Dcutr));
        services.sort_unstable();
        Relaying {
            server,
            client: Box::new(client),
            requests: BTreeMap::new(),
            auto: auto::autorelay(config, local, seed),
            holders: BTreeSet::new(),
            listens: BTreeMap::new(),
            reached_at: Vec::new(),
            circuits: Circuits::default(),
            goodbyes: Goodbyes::default(),
            nat,
            probes: Probes::default(),
            asks: Asks::default(),
            asked: BTreeSet::new(),
            services,
        }
    }

    /// A question of a hole punch.
    pub(super) fn insert_punch(&mut self, connection: ConnectionId, ask: dcutr::AskId) -> AskNumber {
        self.asks.insert(connection, Part::Punch, AskId(ask.0))
    }

    /// What is asked by this number.
    pub(super) fn punch_of(&self, ask: AskNumber) -> Option<dcutr::AskId> {
        let (_, part, id) = self.asks.all.get(&ask)?;
        (*part == Part::Punch).then_some(dcutr::AskId(id.0))
    }

    /// Nothing more is expected of it.
    pub(super) fn punch_over(&mut self, ask: dcutr::AskId) -> Option<(ConnectionId, AskNumber)> {
        let ask = self.asks.of_part(Part::Punch, AskId(ask.0))?;
        self.asks.remove(ask).map(|(connection, ..)| (connection, ask))
    }

    /// The request for a connection to this relay is not wanted any more.
    fn unrequest(&mut self, part: Part, peer: PeerId) -> Option<RequestId> {
        let request = self.requests.iter().find(|(_, known)| **known == (part, peer)).map(|(request, _)| *request)?;
        self.requests.remove(&request);
        Some(request)
    }

    pub(super) fn deadline(&self) -> Time {
        self.server
            .as_ref()
            .map_or(Time::NEVER, |server| server.deadline())
            .min(self.client.deadline())
            .min(self.nat.deadline())
            .min(self.probes.deadline())
            .min(self.goodbyes.deadline())
            .min(self.auto.as_ref().map_or(Time::NEVER, |auto| auto.deadline()))
    }

    pub(super) fn memory_used(&self) -> usize {
        let server = self.server.as_ref().map_or(0, |server| size_of::<Server>() + server.memory_used());
        server
            + size_of::<Client>()
            + self.client.memory_used()
            + self.nat.memory_used()
            + self.probes.memory_used()
            + self.auto.as_ref().map_or(0, |auto| size_of::<AutoRelay>() + auto.memory_used())
            + self.circuits.memory_used()
            + self.goodbyes.memory_used()
            + self.asks.memory_used()
            + self.asked.len() * (size_of::<StreamKey>() + TREE)
            + self.requests.len() * size_of::<(RequestId, Part, PeerId)>()
            + self.holders.len() * size_of::<(PeerId, Holder)>()
            + self
                .listens
                .values()
                .map(|it| size_of::<(ListenerId, Listen)>() + Multiaddr::list_memory_used(&it.addresses))
                .sum::<usize>()
            + Multiaddr::list_memory_used(&self.reached_at)
            + self.services.capacity() * size_of::<Service>()
    }
}

/// What an entry of a tree takes beside itself, about.
const TREE: usize = 16;

/// A connection as the relay's machines name it.
fn named(connection: ConnectionId) -> relay::ConnectionId {
    relay::ConnectionId(connection.0)
}

/// A stream as the relay's machines name it.
fn key(connection: ConnectionId, stream: StreamId) -> StreamKey {
    StreamKey { connection: named(connection), stream: stream.0 }
}

/// A connection as the host names it.
fn connection_of(connection: relay::ConnectionId) -> ConnectionId {
    ConnectionId(connection.0)
}

/// A stream as the host names it.
fn stream_of(key: StreamKey) -> (ConnectionId, StreamId) {
    (connection_of(key.connection), StreamId(key.stream))
}

impl Host {
    /// The services of relays and of AutoNAT that links are to serve: from the beginning, and after each
    /// [`Action::Serve`].
    pub fn services(&self) -> &[Service] {
        &self.relaying.services
    }

    /// Time for the relay's machines.
    pub(super) fn relaying_timeout(&mut self) {
        let now = self.now;
        if let Some(server) = &mut self.relaying.server {
            server.on_timeout(now);
        }
        self.relaying.client.on_timeout(now);
        self.relaying.nat.on_timeout(now);
        self.relaying.auto.iter_mut().for_each(|auto| auto.on_timeout(now));
        self.probes_timeout();
        self.goodbyes_timeout();
    }

    /// Carries out what they want. Whether there was something.
    pub(super) fn drain_relaying(&mut self) -> bool {
        let mut any = false;
        while let Some(action) = self.relaying.server.as_mut().and_then(|server| server.poll()) {
            any = true;
            self.on_server(action);
        }
        while let Some(action) = self.relaying.client.poll() {
            any = true;
            self.on_client(action);
        }
        any |= self.drain_nat();
        any |= self.drain_auto();
        any
    }

    /// Gives back what is held, and ends what is relayed and probed: the connections are closed right after this.
    pub(super) fn relaying_shutdown(&mut self) {
        // Who can be reached wants no relays.
        self.tell_auto(relay::autorelay::Input::Reachability(relay::autonat::Reachability::Public));
        let listeners: Vec<ListenerId> = self.relaying.listens.keys().copied().collect();
        for listener in listeners {
            self.unlisten_circuit(listener);
        }
        for (relay, holder) in self.relaying.holders.clone() {
            let _ = self.unhold(relay, holder);
        }
        self.tell_server(relay::server::Input::Drain { grace: Duration::ZERO });
        self.end_probes();
        while self.drain_relaying() {}
    }

    /// The machine's network changed.
    pub(super) fn relaying_network_changed(&mut self) {
        self.tell_client(relay::client::Input::NetworkChanged);
        self.nat_network_changed();
        self.tell_auto(relay::autorelay::Input::NetworkChanged);
    }

    /// A connection was let in.
    pub(super) fn relaying_connected(&mut self, connection: ConnectionId, peer: PeerId) {
        let Some(entry) = self.connections.get(&connection) else { return };
        let (remote, asn) = (entry.remote.clone(), entry.asn);
        let (relayed, dialed) = (remote.is_relayed(), entry.direction == Direction::Outbound);
        self.client_connected(connection, peer, &remote, dialed);
        self.auto_connected(connection, peer, &remote);
        self.tell_server(relay::server::Input::Connected {
            connection: named(connection),
            peer,
            remote: &remote,
            relayed,
            asn,
        });
    }

    /// A connection is gone, whether or not it was let in.
    pub(super) fn relaying_closed(&mut self, connection: ConnectionId) {
        let of_connection = StreamKey::of(named(connection));
        let streams: Vec<StreamKey> = self.relaying.asked.range(of_connection).copied().collect();
        for stream in streams {
            self.relaying.asked.remove(&stream);
            self.nat_gone(stream);
        }
        let unanswered = self.relaying.asks.ended(connection);
        self.relaying.circuits.closed(connection);
        self.goodbyes_closed(connection);
        self.tell_server(relay::server::Input::Disconnected { connection: named(connection) });
        self.tell_client(relay::client::Input::Disconnected { connection: named(connection) });
        self.nat_closed(connection);
        self.tell_auto(relay::autorelay::Input::Disconnected { connection: named(connection) });
        // They know it by now, but for AutoNAT's clients.
        for (part, id) in unanswered {
            if let Part::NatV1 | Part::NatV2 = part {
                self.nat_answered(part, id, &Err(Box::new(AskFault::Open(OpenFault::ConnectionEnded))));
            }
        }
    }

    /// A remote asks something.
    pub(super) fn asked(&mut self, connection: ConnectionId, stream: StreamId, request: Request) {
        let key = key(connection, stream);
        self.relaying.asked.insert(key);
        let taken = match request {
            Request::Reserve => {
                // The holder is told where we are now.
                self.refresh();
                self.tell_server(relay::server::Input::Reserve { stream: key })
            }
            Request::Connect { destination } => {
                self.tell_server(relay::server::Input::Connect { stream: key, destination })
            }
            Request::Stop { source, limit } => {
                self.tell_client(relay::client::Input::StopRequested { stream: key, source, limit })
            }
            other => self.nat_asked(connection, key, &other),
        };
        if !taken {
            // Nobody answers it: we no longer serve that, or never did, or know as many connections as may be.
            self.reset_stream(key);
        }
    }

    /// A stream is over: perhaps one on which a remote waits for our answer.
    pub(super) fn relaying_stream_closed(&mut self, connection: ConnectionId, stream: StreamId) {
        let key = key(connection, stream);
        if self.relaying.asked.remove(&key) {
            self.tell_server(relay::server::Input::RequesterGone { stream: key });
            self.tell_client(relay::client::Input::RequesterGone { stream: key });
            self.nat_gone(key);
        } else if self.relaying.circuits.has(key) {
            // The link had yet to make a circuit of it, so it knew of none.
            self.circuit_ended(connection, stream, (0, 0), Ending::Reset);
        }
    }

    /// Asks something.
    fn ask(&mut self, part: Part, id: AskId, connection: ConnectionId, what: Ask) {
        let ask = self.relaying.asks.insert(connection, part, id);
        self.act(Action::Order { connection, order: Order::Ask { ask, what } });
    }

    /// Pays what an answer asked for.
    fn pay(&mut self, part: Part, id: AskId) {
        if let Some(ask) = self.relaying.asks.of_part(part, id)
            && let Some((connection, ..)) = self.relaying.asks.all.get(&ask).copied()
        {
            self.act(Action::Order { connection, order: Order::Pay { ask } });
        }
    }

    /// Answers what a remote asked.
    fn reply_to(&mut self, stream: StreamKey, reply: Reply) {
        if !matches!(reply, Reply::AskData { .. }) {
            self.relaying.asked.remove(&stream);
        }
        let (connection, stream) = stream_of(stream);
        self.act(Action::Order { connection, order: Order::Reply { stream, reply } });
    }

    /// Nobody waits for the answer any more.
    fn unask(&mut self, part: Part, id: AskId) {
        if let Some(ask) = self.relaying.asks.of_part(part, id)
            && let Some((connection, ..)) = self.relaying.asks.remove(ask)
        {
            self.act(Action::Order { connection, order: Order::Unask { ask } });
        }
    }

    /// What came of a question.
    pub(super) fn answered(
        &mut self,
        connection: ConnectionId,
        ask: AskNumber,
        stream: Option<StreamId>,
        answer: Result<Box<Answer>, Box<AskFault>>,
    ) {
        // After this one another may come.
        let last = !matches!(answer.as_deref(), Ok(Answer::CostAsked { .. }));
        let stream = stream.map(|stream| key(connection, stream));
        let known = self.relaying.asks.all.get(&ask).copied().filter(|(on, ..)| *on == connection);
        let Some((_, part, id)) = known else {
            // It crossed the news that nobody waits for it; if it is a circuit, nobody knows of that but the link.
            if let (Some(stream), Ok(Answer::Connected { .. } | Answer::Accepted)) = (stream, answer.as_deref()) {
                self.reset_stream(stream);
            }
            return;
        };
        if last {
            self.relaying.asks.remove(ask);
        }
        match part {
            Part::Server => self.stop_answered(id, stream, answer),
            Part::Client => self.client_answered(id, stream, &answer),
            Part::NatV1 | Part::NatV2 => self.nat_answered(part, id, &answer),
            Part::Auto => {}
            Part::Punch => {
                if let Err(fault) = answer {
                    self.punch_unasked(dcutr::AskId(id.0), &fault);
                }
            }
            Part::Probe => self.probe_answered(id, answer.ok().as_deref()),
        }
    }

    /// Which services links serve from here on.
    fn serve(&mut self, service: exchange::Service, on: bool) {
        let service = Service::Relay(service);
        let services = &mut self.relaying.services;
        let known = services.contains(&service);
        if known == on {
            return;
        }
        if on {
            services.push(service);
            services.sort_unstable();
        } else {
            services.retain(|known| *known != service);
        }
        let services = services.clone();
        self.act(Action::Serve(services));
    }
}
