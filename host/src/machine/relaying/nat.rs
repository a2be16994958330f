//! AutoNAT: can others reach us, and we tell others whether they can be reached.
//!
//! ```text
//!   identified peers --> v1::Client, v2::Client --Ask--> links --Answered--> what is believed of our addresses, NatStatus
//!   remotes' streams --> v1::Server, v2::Server --DialBack--> probes: dials apart from the manager's
//! ```

use super::probes::{Errand, Outcome};
use super::{Part, connection_of, key, named, stream_of};
use crate::addresses::{NatStatus, Reachability as Dialed};
use crate::identify::Identity;
use crate::link::{AskFault, Order};
use crate::machine::Host;
use crate::{Action, Config, ConnectionId, Direction, StreamId};
use alloc::boxed::Box;
use alloc::vec::Vec;
use tidewire_core::{EventMachine, Multiaddr, PeerId, Seed, Time};
use tidewire_multistream::Protocol;
use tidewire_relay::autonat::{Reachability, v1, v2};
use tidewire_relay::exchange::{Answer, Request, Service};
use tidewire_relay::{AskId, StreamKey};

/// The four machines, those that the configuration wants.
pub(super) struct Nat {
    pub(super) client_v1: Option<Box<v1::Client>>,
    pub(super) client_v2: Option<Box<v2::Client>>,
    pub(super) server_v1: Option<Box<v1::Server>>,
    pub(super) server_v2: Option<Box<v2::Server>>,
    /// What the first client says of the host.
    v1: Reachability,
    /// The addresses that were asked about last.
    asked: Vec<Multiaddr>,
}

impl Nat {
    pub(super) fn new(config: &Config, seed: &Seed) -> Self {
        let config = &config.relay;
        let seed = |label| seed.derive(label, 0);
        Nat {
            client_v1: config.autonat_v1.clone().map(|it| Box::new(v1::Client::new(it, &seed("host v1"), Time::ZERO))),
            client_v2: config.autonat_v2.clone().map(|it| Box::new(v2::Client::new(it, &seed("host v2")))),
            server_v1: config
                .autonat_v1_server
                .clone()
                .map(|it| Box::new(v1::Server::new(it, &seed("host v1 server")))),
            server_v2: config
                .autonat_v2_server
                .clone()
                .map(|it| Box::new(v2::Server::new(it, &seed("host v2 server")))),
            v1: Reachability::Unknown,
            asked: Vec::new(),
        }
    }

    /// The services that go with what is configured.
    pub(super) fn services(&self) -> impl Iterator<Item = Service> + use<> {
        let v1 = self.server_v1.is_some().then_some(Service::AutonatV1);
        let v2 = self.server_v2.is_some().then_some(Service::AutonatV2Request);
        let back = self.client_v2.is_some().then_some(Service::AutonatV2Back);
        [v1, v2, back].into_iter().flatten()
    }

    pub(super) fn deadline(&self) -> Time {
        let never = Time::NEVER;
        let clients = self.client_v1.as_ref().map_or(never, |it| it.deadline());
        let clients = clients.min(self.client_v2.as_ref().map_or(never, |it| it.deadline()));
        let servers = self.server_v1.as_ref().map_or(never, |it| it.deadline());
        clients.min(servers).min(self.server_v2.as_ref().map_or(never, |it| it.deadline()))
    }

    pub(super) fn on_timeout(&mut self, now: Time) {
        self.client_v1.iter_mut().for_each(|it| it.on_timeout(now));
        self.client_v2.iter_mut().for_each(|it| it.on_timeout(now));
        self.server_v1.iter_mut().for_each(|it| it.on_timeout(now));
        self.server_v2.iter_mut().for_each(|it| it.on_timeout(now));
    }

    pub(super) fn memory_used(&self) -> usize {
        let clients = self.client_v1.as_ref().map_or(0, |it| size_of::<v1::Client>() + it.memory_used());
        let clients = clients + self.client_v2.as_ref().map_or(0, |it| size_of::<v2::Client>() + it.memory_used());
        let servers = self.server_v1.as_ref().map_or(0, |it| size_of::<v1::Server>() + it.memory_used());
        clients + servers + self.server_v2.as_ref().map_or(0, |it| size_of::<v2::Server>() + it.memory_used())
    }
}

impl Host {
    /// What others say of our being reachable as a whole: AutoNAT v1.
    pub fn autonat_v1(&self) -> Option<&v1::Client> {
        self.relaying.nat.client_v1.as_deref()
    }

    /// What others say of our addresses: AutoNAT v2.
    pub fn autonat_v2(&self) -> Option<&v2::Client> {
        self.relaying.nat.client_v2.as_deref()
    }

    /// Whom we tell whether they can be reached: AutoNAT v1.
    pub fn autonat_v1_server(&self) -> Option<&v1::Server> {
        self.relaying.nat.server_v1.as_deref()
    }

    /// Whom we tell whether they can be reached: AutoNAT v2.
    pub fn autonat_v2_server(&self) -> Option<&v2::Server> {
        self.relaying.nat.server_v2.as_deref()
    }

    // News that crossed on the way are of no matter to any of them. Some say whether they took them in.

    fn tell_client_v1(&mut self, input: v1::ClientInput<'_>) {
        let now = self.now;
        if let Some(it) = &mut self.relaying.nat.client_v1 {
            let _ = it.handle(now, input);
        }
    }

    fn tell_client_v2(&mut self, input: v2::ClientInput<'_>) -> bool {
        let now = self.now;
        self.relaying.nat.client_v2.as_mut().is_some_and(|it| it.handle(now, input).is_ok())
    }

    fn tell_server_v1(&mut self, input: v1::ServerInput<'_>) -> bool {
        let now = self.now;
        self.relaying.nat.server_v1.as_mut().is_some_and(|it| it.handle(now, input).is_ok())
    }

    fn tell_server_v2(&mut self, input: v2::ServerInput<'_>) -> bool {
        let now = self.now;
        self.relaying.nat.server_v2.as_mut().is_some_and(|it| it.handle(now, input).is_ok())
    }

    /// Carries out what they want. Whether there was something.
    pub(super) fn drain_nat(&mut self) -> bool {
        let mut any = false;
        while let Some(action) = self.relaying.nat.client_v1.as_mut().and_then(|it| it.poll()) {
            any = true;
            self.on_client_v1(action);
        }
        while let Some(action) = self.relaying.nat.client_v2.as_mut().and_then(|it| it.poll()) {
            any = true;
            self.on_client_v2(action);
        }
        while let Some(action) = self.relaying.nat.server_v1.as_mut().and_then(|it| it.poll()) {
            any = true;
            self.on_server_v1(action);
        }
        while let Some(action) = self.relaying.nat.server_v2.as_mut().and_then(|it| it.poll()) {
            any = true;
            self.on_server_v2(action);
        }
        any
    }

    fn on_client_v1(&mut self, action: v1::ClientAction) {
        match action {
            v1::ClientAction::Ask { ask, connection, what } => {
                self.ask(Part::NatV1, ask, connection_of(connection), what);
            }
            v1::ClientAction::CancelAsk { ask } => self.unask(Part::NatV1, ask),
            v1::ClientAction::Reachability(reachability) => {
                self.relaying.nat.v1 = reachability;
                self.reachability_changed();
            }
            _ => {}
        }
    }

    fn on_client_v2(&mut self, action: v2::ClientAction) {
        match action {
            v2::ClientAction::Ask { ask, connection, what } => {
                self.ask(Part::NatV2, ask, connection_of(connection), what);
            }
            v2::ClientAction::Pay { ask } => self.pay(Part::NatV2, ask),
            v2::ClientAction::CancelAsk { ask } => self.unask(Part::NatV2, ask),
            v2::ClientAction::Reply { stream, reply } => self.reply_to(stream, reply),
            v2::ClientAction::Reset { stream } => self.reset_stream(stream),
            v2::ClientAction::Address { address, reachability, .. } => {
                let dialed = match reachability {
                    Reachability::Unknown => Dialed::Unknown,
                    Reachability::Private => Dialed::Unreachable,
                    Reachability::Public => Dialed::Reachable,
                };
                self.address_dialed(&address, dialed);
            }
            v2::ClientAction::Overall(_) => self.reachability_changed(),
            _ => {}
        }
    }

    fn on_server_v1(&mut self, action: v1::ServerAction) {
        match action {
            v1::ServerAction::Admit { stream } => self.admit_stream(stream),
            v1::ServerAction::Reply { stream, reply } => self.reply_to(stream, reply),
            v1::ServerAction::Reset { stream } => self.reset_stream(stream),
            v1::ServerAction::DialBack { attempt, peer, addresses, timeout } => {
                self.probe(Errand::V1(attempt), peer, addresses, None, (timeout, timeout));
            }
            v1::ServerAction::CancelDialBack { attempt } => self.cancel_probe(Errand::V1(attempt)),
            _ => {}
        }
    }

    fn on_server_v2(&mut self, action: v2::ServerAction) {
        match action {
            v2::ServerAction::Admit { stream } => self.admit_stream(stream),
            v2::ServerAction::Reply { stream, reply } => self.reply_to(stream, reply),
            v2::ServerAction::Reset { stream } => self.reset_stream(stream),
            v2::ServerAction::DialBack { attempt, peer, address, nonce, dial_timeout, dial_back_timeout } => {
                let times = (dial_timeout, dial_back_timeout);
                self.probe(Errand::V2(attempt), peer, alloc::vec![address], Some(nonce), times);
            }
            v2::ServerAction::CancelDialBack { attempt } => self.cancel_probe(Errand::V2(attempt)),
            _ => {}
        }
    }

    fn admit_stream(&mut self, stream: StreamKey) {
        let (connection, stream) = stream_of(stream);
        self.act(Action::Order { connection, order: Order::Admit { stream } });
    }

    /// Ends a stream of a remote's question, or a circuit that nobody wants.
    pub(super) fn reset_stream(&mut self, stream: StreamKey) {
        self.relaying.asked.remove(&stream);
        let (connection, stream) = stream_of(stream);
        self.act(Action::Order { connection, order: Order::Reset { stream } });
    }

    /// What came of a dial-back.
    pub(super) fn probed(&mut self, errand: Errand, outcome: &Outcome) {
        match errand {
            Errand::V1(attempt) => {
                self.tell_server_v1(match outcome {
                    Outcome::Reached(address) => v1::ServerInput::DialedBack { attempt, reached: Some(address) },
                    Outcome::NotTried => v1::ServerInput::NotDialed { attempt },
                    _ => v1::ServerInput::DialedBack { attempt, reached: None },
                });
            }
            Errand::V2(attempt) => {
                let outcome = match outcome {
                    Outcome::Heard => v2::DialBackOutcome::Heard,
                    Outcome::Reached(_) => v2::DialBackOutcome::NotHeard,
                    Outcome::NotReached => v2::DialBackOutcome::NotReached,
                    Outcome::NotTried => v2::DialBackOutcome::NotTried,
                };
                self.tell_server_v2(v2::ServerInput::DialedBack { attempt, outcome });
            }
        }
    }

    /// A remote opened a stream of these protocols, within the limits. True: it is let in, or not, by a word of the server's.
    pub(in crate::machine) fn nat_opened(
        &mut self,
        connection: ConnectionId,
        stream: StreamId,
        protocol: &Protocol,
    ) -> bool {
        let service = Service::of_name(protocol.as_str());
        let Some(entry) = self.connections.get(&connection) else { return false };
        let Some(peer) = entry.peer else { return false };
        let (remote, stream) = (entry.remote.clone(), key(connection, stream));
        self.relaying.asked.insert(stream);
        let taken = match service {
            Some(Service::AutonatV1) => self.tell_server_v1(v1::ServerInput::Opened { stream, peer, remote: &remote }),
            Some(Service::AutonatV2Request) => {
                self.tell_server_v2(v2::ServerInput::Opened { stream, peer, remote: &remote })
            }
            _ => false,
        };
        if !taken {
            self.relaying.asked.remove(&stream);
        }
        taken
    }

    /// A remote asks something of AutoNAT's.
    pub(super) fn nat_asked(&mut self, connection: ConnectionId, stream: StreamKey, request: &Request) -> bool {
        match request {
            Request::DialMe { .. } => self.tell_server_v1(v1::ServerInput::Requested { stream, request }),
            Request::Probe { .. } | Request::Paid { .. } => {
                self.tell_server_v2(v2::ServerInput::Requested { stream, request })
            }
            Request::DialBack { nonce } => {
                let Some(entry) = self.connections.get(&connection) else { return false };
                let (inbound, since) = (entry.direction == Direction::Inbound, entry.since);
                let local = entry.local.clone();
                let on = v2::HeardOn { inbound, since, local: &local };
                self.tell_client_v2(v2::ClientInput::DialBackHeard { stream, on, nonce: *nonce })
            }
            _ => false,
        }
    }

    /// A stream on which a remote asked is over.
    pub(super) fn nat_gone(&mut self, stream: StreamKey) {
        self.tell_server_v1(v1::ServerInput::Gone { stream });
        self.tell_server_v2(v2::ServerInput::Gone { stream });
    }

    /// What came of a question of AutoNAT's.
    pub(super) fn nat_answered(&mut self, part: Part, ask: AskId, answer: &Result<Box<Answer>, Box<AskFault>>) {
        match (part, answer) {
            (Part::NatV1, Ok(answer)) => self.tell_client_v1(v1::ClientInput::Answered { ask, answer }),
            (Part::NatV1, Err(_)) => self.tell_client_v1(v1::ClientInput::Failed { ask }),
            (_, Ok(answer)) => drop(self.tell_client_v2(v2::ClientInput::Answered { ask, answer })),
            (_, Err(_)) => drop(self.tell_client_v2(v2::ClientInput::Failed { ask })),
        }
    }

    /// A peer said what it speaks.
    pub(in crate::machine) fn nat_identified(&mut self, connection: ConnectionId, peer: PeerId, identity: &Identity) {
        self.auto_identified(peer, identity);
        let direct = self.connections.get(&connection).is_some_and(|entry| !entry.remote.is_relayed());
        let speaks =
            |service: Service| direct && identity.protocols.iter().any(|protocol| protocol.as_str() == service.name());
        let (v1, v2) = (speaks(Service::AutonatV1), speaks(Service::AutonatV2Request));
        let connection = named(connection);
        self.tell_client_v1(match v1 {
            true => v1::ClientInput::Server { connection, peer },
            false => v1::ClientInput::ServerGone { connection },
        });
        self.tell_client_v2(match v2 {
            true => v2::ClientInput::Server { connection, peer },
            false => v2::ClientInput::ServerGone { connection },
        });
    }

    /// A connection is gone.
    pub(super) fn nat_closed(&mut self, connection: ConnectionId) {
        let connection = named(connection);
        self.tell_client_v1(v1::ClientInput::ServerGone { connection });
        self.tell_client_v2(v2::ClientInput::ServerGone { connection });
    }

    /// Where we may be reached changed, perhaps.
    pub(in crate::machine) fn nat_addresses(&mut self) {
        let addresses = self.candidate_addresses();
        self.auto_addresses(&addresses);
        if addresses != self.relaying.nat.asked {
            self.tell_client_v1(v1::ClientInput::Addresses(&addresses));
            self.tell_client_v2(v2::ClientInput::Addresses(&addresses));
            // Who has no public address of IPv6 has no way there either, as far as we can tell.
            let ipv6 =
                addresses.iter().any(|address| address.ip().is_some_and(|ip| ip.is_ipv6()) && address.is_public());
            self.tell_server_v2(v2::ServerInput::Connectivity { ipv4: true, ipv6 });
            self.relaying.nat.asked = addresses;
        }
    }

    pub(super) fn nat_network_changed(&mut self) {
        self.tell_client_v1(v1::ClientInput::NetworkChanged);
        self.tell_client_v2(v2::ClientInput::NetworkChanged);
    }

    /// What is known of the host as a whole, by both versions.
    fn reachability_changed(&mut self) {
        let v2 = self.relaying.nat.client_v2.as_ref().map_or(Reachability::Unknown, |it| it.overall());
        let status = match Reachability::combined(self.relaying.nat.v1, v2) {
            Reachability::Unknown => NatStatus::Unknown,
            Reachability::Private => NatStatus::Private,
            Reachability::Public => NatStatus::Public,
        };
        self.set_nat_status(status);
    }
}
