//! The rules of the relay server once more, with nothing but lists that are walked: what the machine is held to.

use std::collections::BTreeMap;
use std::time::Duration;
use tidewire_core::{Multiaddr, PeerId, Time, UnixTime};
use tidewire_relay::exchange::Reply;
use tidewire_relay::server::{
    Acl, AclRule, Action, Asked, CircuitEnd, Counters, Counts, Event, Input, Misuse, Network, Offer, Refusal,
    ReservationEnd, Scope, ServerConfig, StopAnswer, Verdict, Who,
};
use tidewire_relay::{AskId, CircuitId, ConnectionId, RateConfig, StreamKey};

pub struct Model {
    pub config: ServerConfig,
    local: PeerId,
    now: Time,
    clock: Option<(UnixTime, Time)>,
    public: bool,
    serving: bool,
    /// Until when circuits may go on; `NEVER` once they were told to end.
    drain: Option<Time>,
    drained: bool,
    addresses: Vec<Multiaddr>,
    pub connections: Vec<Connection>,
    /// In the order in which they end.
    pub reservations: Vec<Reservation>,
    pub circuits: Vec<Circuit>,
    questions: Vec<Question>,
    /// Nanoseconds of refilling in each bucket, and when that was so.
    buckets: BTreeMap<(bool, String), (u64, Time)>,
    next_circuit: u64,
    pub counters: Counters,
    pub out: Vec<Action>,
}

#[derive(Clone)]
pub struct Connection {
    pub id: ConnectionId,
    pub peer: PeerId,
    remote: Multiaddr,
    relayed: bool,
    asn: Option<u32>,
}

pub struct Reservation {
    pub peer: PeerId,
    pub until: Time,
    pub expire: UnixTime,
    pub renewals: u32,
    network: Option<Network>,
    asn: Option<u32>,
}

pub struct Circuit {
    pub id: CircuitId,
    pub source: StreamKey,
    pub peers: (PeerId, PeerId),
    pub at: ConnectionId,
    pub destination: Option<StreamKey>,
    /// `None`: the destination is being asked.
    pub open: Option<Time>,
    pub closing: Option<CircuitEnd>,
    pub until: Time,
    pub forward: u64,
    pub backward: u64,
}

struct Question {
    stream: StreamKey,
    peer: PeerId,
    asked: Asked,
    until: Time,
}

impl Model {
    pub fn new(config: ServerConfig, local: PeerId) -> Model {
        Model {
            config,
            local,
            now: Time::ZERO,
            clock: None,
            public: false,
            serving: false,
            drain: None,
            drained: false,
            addresses: Vec::new(),
            connections: Vec::new(),
            reservations: Vec::new(),
            circuits: Vec::new(),
            questions: Vec::new(),
            buckets: BTreeMap::new(),
            next_circuit: 0,
            counters: Counters::default(),
            out: Vec::new(),
        }
    }

    pub fn handle(&mut self, now: Time, input: Input<'_>) -> Result<(), Misuse> {
        self.now = self.now.max(now);
        self.pass();
        let done = self.dispatch(input);
        self.settle();
        done
    }

    pub fn on_timeout(&mut self, now: Time) {
        self.now = self.now.max(now);
        self.pass();
        self.settle();
    }

    pub fn deadline(&self) -> Time {
        let reservations = self.reservations.iter().map(|at| at.until);
        let questions = self.questions.iter().map(|at| at.until);
        let circuits = self.circuits.iter().map(|at| at.until);
        let drain = self.drain.filter(|_| !self.drained);
        reservations.chain(questions).chain(circuits).chain(drain).min().unwrap_or(Time::NEVER)
    }

    pub fn counts(&self) -> Counts {
        let distinct = |items: Vec<String>| items.iter().collect::<std::collections::BTreeSet<_>>().len() as u32;
        let peers = self.connections.iter().map(|at| at.peer.to_string());
        let of_circuits = self.circuits.iter().flat_map(|at| [at.peers.0.to_string(), at.peers.1.to_string()]);
        let mut counts = Counts::default();
        counts.connections = self.connections.len() as u32;
        counts.peers = distinct(peers.chain(of_circuits).collect());
        counts.reservations = self.reservations.len() as u32;
        counts.networks =
            distinct(self.reservations.iter().filter_map(|at| at.network).map(|at| at.to_string()).collect());
        counts.systems = distinct(self.reservations.iter().filter_map(|at| at.asn).map(|at| at.to_string()).collect());
        counts.circuits = self.circuits.len() as u32;
        counts.questions = self.questions.len() as u32;
        counts
    }

    pub fn circuits_of(&self, peer: PeerId) -> u32 {
        self.circuits.iter().map(|at| u32::from(at.peers.0 == peer) + u32::from(at.peers.1 == peer)).sum()
    }

    fn pass(&mut self) {
        let now = self.now;
        while let Some(at) = self.reservations.iter().position(|at| at.until <= now) {
            self.end_reservation(at, ReservationEnd::Expired);
        }
        self.questions.sort_by_key(|at| (at.until, at.stream));
        while self.questions.first().is_some_and(|at| at.until <= now) {
            let question = self.questions.remove(0);
            let why = Refusal::Undecided { after: self.config.acl_timeout };
            self.refuse(question.stream, question.peer, question.asked, why);
        }
        let mut due: Vec<_> = self.circuits.iter().filter(|at| at.until <= now).collect();
        due.sort_by_key(|at| (at.until, at.id));
        for (id, open, closing) in
            due.iter().map(|at| (at.id, at.open.is_some(), at.closing.clone())).collect::<Vec<_>>()
        {
            if let Some(why) = closing {
                self.ended(id, why);
            } else if open {
                self.close(id, CircuitEnd::TimeLimit { duration: self.config.limit.time().unwrap() });
            } else {
                self.out.push(Action::CancelAsk { ask: AskId(id.0) });
                self.fail(id, Refusal::StopTimeout { after: self.config.stop_timeout });
            }
        }
        if self.drain.is_some_and(|at| at <= now && !at.is_never()) {
            self.drain = Some(Time::NEVER);
            for (id, open) in self.circuits.iter().map(|at| (at.id, at.open.is_some())).collect::<Vec<_>>() {
                if open {
                    self.close(id, CircuitEnd::Drained);
                } else {
                    self.out.push(Action::CancelAsk { ask: AskId(id.0) });
                    self.fail(id, Refusal::Draining);
                }
            }
        }
    }

    fn settle(&mut self) {
        if self.drain.is_some() && !self.drained && self.circuits.is_empty() {
            self.drained = true;
            while !self.reservations.is_empty() {
                self.end_reservation(0, ReservationEnd::Drained);
            }
            self.out.push(Action::Event(Event::Drained));
        }
        if self.serving != self.offered() {
            self.serving = self.offered();
            self.out.push(Action::Serve(self.serving));
        }
    }

    fn offered(&self) -> bool {
        let wanted = self.config.offer == Offer::Always || (self.config.offer == Offer::WhilePublic && self.public);
        wanted && self.clock.is_some() && self.drain.is_none()
    }

    fn dispatch(&mut self, input: Input<'_>) -> Result<(), Misuse> {
        match input {
            Input::Connected { connection, peer, remote, relayed, asn } => {
                if self.connections.iter().any(|at| at.id == connection) {
                    return Err(Misuse::ConnectionExists(connection));
                }
                if self.connections.len() as u32 >= self.config.connections {
                    return Err(Misuse::TooManyConnections(self.config.connections));
                }
                self.connections.push(Connection { id: connection, peer, remote: remote.clone(), relayed, asn });
            }
            Input::Disconnected { connection } => {
                let at = self.connections.iter().position(|at| at.id == connection);
                let gone = self.connections.remove(at.ok_or(Misuse::UnknownConnection(connection))?);
                self.questions.retain(|at| at.stream.connection != connection);
                let of = |at: &Circuit| at.source.connection == connection || at.at == connection;
                let ids: Vec<_> = self.circuits.iter().filter(|at| of(at)).map(|at| at.id).collect();
                for id in ids {
                    let circuit = self.circuits.iter().find(|at| at.id == id).unwrap();
                    match (circuit.open, circuit.source.connection == connection) {
                        (None, true) => self.cancel(id),
                        (None, false) => self.fail(id, Refusal::DestinationLost),
                        (Some(_), true) => self.close(id, CircuitEnd::SourceDisconnected),
                        (Some(_), false) => self.close(id, CircuitEnd::DestinationDisconnected),
                    }
                }
                if self.best(gone.peer).is_none()
                    && let Some(at) = self.reservations.iter().position(|at| at.peer == gone.peer)
                {
                    self.end_reservation(at, ReservationEnd::Disconnected);
                }
            }
            Input::Reserve { stream } => return self.requested(stream, Asked::Reserve),
            Input::Connect { stream, destination } => return self.requested(stream, Asked::Connect { destination }),
            Input::RequesterGone { stream } => {
                if let Some(at) = self.questions.iter().position(|at| at.stream == stream) {
                    self.questions.remove(at);
                    return Ok(());
                }
                let circuit = self.circuits.iter().find(|at| at.source == stream);
                let circuit = circuit.ok_or(Misuse::UnknownStream(stream))?;
                let (id, open) = (circuit.id, circuit.open.is_some());
                if open { self.close(id, CircuitEnd::RequesterGone) } else { self.cancel(id) }
            }
            Input::StopAnswered { ask, answer } => return self.answered(ask, answer),
            Input::CircuitProgress { circuit, forward, backward } => return self.progress(circuit, forward, backward),
            Input::CircuitEnded { circuit, end, forward, backward } => {
                self.progress(circuit, forward, backward)?;
                self.ended(circuit, end);
            }
            Input::Addresses { addresses } => {
                let ours = |address: &Multiaddr| address.with_peer_id(self.local).ok();
                self.addresses =
                    addresses.iter().filter(|at| at.is_public() && !at.is_relayed()).filter_map(ours).collect();
            }
            Input::Reachable { public } => self.public = public,
            Input::Clock { unix } => self.clock = Some((unix, self.now)),
            Input::Decide { stream, allow } => {
                let connection = self.connections.iter().find(|at| at.id == stream.connection).cloned();
                let connection = connection.ok_or(Misuse::UnknownConnection(stream.connection))?;
                let at = self.questions.iter().position(|at| at.stream == stream);
                let question = self.questions.remove(at.ok_or(Misuse::UnknownStream(stream))?);
                let done =
                    if allow { self.decide(stream, &connection, question.asked, true) } else { Err(Refusal::Denied) };
                if let Err(why) = done {
                    self.refuse(stream, connection.peer, question.asked, why);
                }
            }
            Input::Acl { acl } => {
                let (got, cap) = (acl.rules.len(), self.config.acl_rules);
                if got as u32 > cap {
                    return Err(Misuse::TooManyRules { got, cap });
                }
                self.config.acl = acl.clone();
            }
            Input::Drain { grace } => {
                if self.drained || self.drain.is_some_and(Time::is_never) {
                    return Ok(());
                }
                self.drain = Some(self.drain.unwrap_or(Time::NEVER).min(self.now + grace));
                self.questions.sort_by_key(|at| at.stream);
                for question in std::mem::take(&mut self.questions) {
                    self.refuse(question.stream, question.peer, question.asked, Refusal::Draining);
                }
                self.pass();
            }
            _ => unreachable!("an input that the model doesn't know"),
        }
        Ok(())
    }

    fn requested(&mut self, stream: StreamKey, asked: Asked) -> Result<(), Misuse> {
        let connection = self.connections.iter().find(|at| at.id == stream.connection).cloned();
        let connection = connection.ok_or(Misuse::UnknownConnection(stream.connection))?;
        if self.is_busy(stream) {
            return Err(Misuse::StreamBusy(stream));
        }
        let done = match verdict(&self.config.acl, &connection, asked) {
            _ if connection.relayed => Err(Refusal::Relayed),
            Verdict::Deny => Err(Refusal::Denied),
            Verdict::Allow => self.decide(stream, &connection, asked, false),
            Verdict::Ask => self.ask(stream, &connection, asked),
        };
        if let Err(why) = done {
            self.refuse(stream, connection.peer, asked, why);
        }
        Ok(())
    }

    fn ask(&mut self, stream: StreamKey, connection: &Connection, asked: Asked) -> Result<(), Refusal> {
        let peer = connection.peer;
        self.check_service()?;
        self.check_rate(connection, asked)?;
        let cap = self.config.acl_questions_per_peer;
        if self.questions.iter().filter(|at| at.peer == peer).count() as u32 >= cap {
            return Err(Refusal::Questions { cap, of_peer: true });
        }
        let cap = self.config.acl_questions;
        if self.questions.len() as u32 >= cap {
            return Err(Refusal::Questions { cap, of_peer: false });
        }
        self.take_rate(connection, asked);
        self.questions.push(Question { stream, peer, asked, until: self.now + self.config.acl_timeout });
        self.out.push(Action::AskAcl { stream, peer, asked });
        Ok(())
    }

    fn decide(&mut self, stream: StreamKey, from: &Connection, asked: Asked, counted: bool) -> Result<(), Refusal> {
        let peer = from.peer;
        self.check_service()?;
        if !counted {
            self.check_rate(from, asked)?;
            self.take_rate(from, asked);
        }
        if let Asked::Connect { destination } = asked
            && !self.reservations.iter().any(|at| at.peer == destination)
        {
            return Err(Refusal::NoReservation { destination });
        }
        let destination = match asked {
            Asked::Reserve => return self.reserve(stream, from),
            Asked::Connect { destination } => destination,
        };
        let cap = self.config.circuits_per_peer;
        if self.circuits_of(peer) >= cap {
            return Err(Refusal::SourceCircuits { cap });
        }
        if self.circuits_of(destination) >= cap {
            return Err(Refusal::DestinationCircuits { cap });
        }
        let cap = self.config.circuits;
        if self.circuits.len() as u32 >= cap {
            return Err(Refusal::Circuits { cap });
        }
        if peer == destination {
            return Err(Refusal::Itself);
        }
        let id = CircuitId(self.next_circuit);
        self.next_circuit += 1;
        let at = self.best(destination).unwrap();
        self.circuits.push(Circuit {
            id,
            source: stream,
            peers: (peer, destination),
            at,
            destination: None,
            open: None,
            closing: None,
            until: self.now + self.config.stop_timeout,
            forward: 0,
            backward: 0,
        });
        let (ask, limit) = (AskId(id.0), self.config.limit);
        self.out.push(Action::OpenStop { ask, connection: at, source: peer, limit });
        Ok(())
    }

    fn reserve(&mut self, stream: StreamKey, from: &Connection) -> Result<(), Refusal> {
        let network = Network::of(&from.remote);
        let asn = from.asn.filter(|_| network.is_some_and(|at| self.config.count_asn_of_ip4 || !at.is_ip4()));
        let (peer, ttl) = (from.peer, self.config.reservation_ttl);
        let (unix, at) = self.clock.unwrap();
        let expire = unix.as_secs().saturating_add(self.now.since(at).as_secs()).saturating_add(ttl.as_secs());
        let (until, expire) = (self.now + ttl, UnixTime::from_secs(expire));
        let renewed = match self.reservations.iter().position(|at| at.peer == peer) {
            Some(at) => {
                let mut held = self.reservations.remove(at);
                if self.check_place(network, asn).is_ok() {
                    (held.network, held.asn) = (network, asn);
                }
                (held.until, held.expire, held.renewals) = (until, expire, held.renewals + 1);
                self.reservations.push(held);
                self.counters.renewals += 1;
                true
            }
            None => {
                let cap = self.config.reservations;
                if self.reservations.len() as u32 >= cap {
                    return Err(Refusal::Reservations { cap });
                }
                self.check_place(network, asn)?;
                self.reservations.push(Reservation { peer, until, expire, renewals: 0, network, asn });
                self.counters.reservations += 1;
                self.out.push(Action::Keep { peer });
                false
            }
        };
        let reply = Reply::Reserved { expire, addresses: self.addresses.clone(), limit: self.config.limit };
        self.out.push(Action::Reply { stream, reply });
        self.out.push(Action::Event(Event::Reserved { peer, expire, renewed }));
        Ok(())
    }

    fn check_place(&self, network: Option<Network>, asn: Option<u32>) -> Result<(), Refusal> {
        if let Some(network) = network {
            let cap = self.config.reservations_per_network;
            if self.reservations.iter().filter(|at| at.network == Some(network)).count() as u32 >= cap {
                return Err(Refusal::NetworkReservations { network, cap });
            }
        }
        if let Some(asn) = asn {
            let cap = self.config.reservations_per_asn;
            if self.reservations.iter().filter(|at| at.asn == Some(asn)).count() as u32 >= cap {
                return Err(Refusal::AsnReservations { asn, cap });
            }
        }
        Ok(())
    }

    fn check_service(&self) -> Result<(), Refusal> {
        if self.drain.is_some() {
            return Err(Refusal::Draining);
        }
        if self.offered() { Ok(()) } else { Err(Refusal::NotServing) }
    }

    /// What a request takes from: the peer's bucket, and its network's.
    fn buckets(&self, from: &Connection, asked: Asked) -> Vec<(RateConfig, (bool, String), Option<Network>)> {
        let connect = asked != Asked::Reserve;
        let (peer, network) = match asked {
            Asked::Reserve => (self.config.reserve_per_peer, self.config.reserve_per_network),
            Asked::Connect { .. } => (self.config.connect_per_peer, self.config.connect_per_network),
        };
        let mut all = vec![(peer, (connect, from.peer.to_string()), None)];
        if let Some(place) = Network::of(&from.remote) {
            all.push((network, (connect, place.to_string()), Some(place)));
        }
        all
    }

    fn level(&self, rate: RateConfig, key: &(bool, String)) -> u64 {
        let full = rate.interval.as_nanos() as u64 * u64::from(rate.burst);
        let (level, at) = self.buckets.get(key).copied().unwrap_or((full, self.now));
        (level + self.now.since(at).as_nanos() as u64).min(full)
    }

    fn check_rate(&self, from: &Connection, asked: Asked) -> Result<(), Refusal> {
        for (rate, key, network) in self.buckets(from, asked).into_iter().filter(|(rate, ..)| !rate.is_off()) {
            let (level, needed) = (self.level(rate, &key), rate.interval.as_nanos() as u64);
            if level < needed {
                let again_in = Duration::from_nanos(needed - level);
                return Err(match network {
                    Some(network) => Refusal::NetworkRate { network, again_in },
                    None => Refusal::PeerRate { again_in },
                });
            }
        }
        Ok(())
    }

    fn take_rate(&mut self, from: &Connection, asked: Asked) {
        for (rate, key, _) in self.buckets(from, asked).into_iter().filter(|(rate, ..)| !rate.is_off()) {
            let level = self.level(rate, &key) - rate.interval.as_nanos() as u64;
            self.buckets.insert(key, (level, self.now));
        }
    }

    fn answered(&mut self, ask: AskId, answer: StopAnswer<'_>) -> Result<(), Misuse> {
        let circuit = self.circuits.iter().find(|at| at.id.0 == ask.0 && at.open.is_none());
        let circuit = circuit.ok_or(Misuse::UnknownAsk(ask))?;
        let (id, source, at, peers) = (circuit.id, circuit.source, circuit.at, circuit.peers);
        match answer {
            StopAnswer::Accepted(got) if got.connection != at => {
                return Err(Misuse::OtherConnection { expected: at, got });
            }
            StopAnswer::Accepted(stream) if self.is_busy(stream) => return Err(Misuse::StreamBusy(stream)),
            StopAnswer::Accepted(stream) => {
                let limit = self.config.limit;
                let circuit = self.circuits.iter_mut().find(|at| at.id == id).unwrap();
                circuit.destination = Some(stream);
                circuit.open = Some(self.now);
                circuit.until = limit.time().map_or(Time::NEVER, |time| self.now + time);
                self.counters.circuits += 1;
                self.out.push(Action::Reply { stream: source, reply: Reply::Connected { limit } });
                self.out.push(Action::Splice { circuit: id, source, destination: stream, limit });
                let (source, destination) = peers;
                self.out.push(Action::Event(Event::CircuitOpened { circuit: id, source, destination }));
            }
            StopAnswer::Refused(status) => self.fail(id, Refusal::StopRefused { status }),
            StopAnswer::Failed(why) => self.fail(id, Refusal::StopFailed { why: why.into() }),
        }
        Ok(())
    }

    fn progress(&mut self, id: CircuitId, forward: u64, backward: u64) -> Result<(), Misuse> {
        let circuit = self.circuits.iter_mut().find(|at| at.id == id && at.open.is_some());
        let circuit = circuit.ok_or(Misuse::UnknownCircuit(id))?;
        let (forward, backward) = (forward.max(circuit.forward), backward.max(circuit.backward));
        self.counters.forward += forward - circuit.forward;
        self.counters.backward += backward - circuit.backward;
        (circuit.forward, circuit.backward) = (forward, backward);
        Ok(())
    }

    fn is_busy(&self, stream: StreamKey) -> bool {
        let of = |at: &Circuit| at.source == stream || at.destination == Some(stream);
        self.questions.iter().any(|at| at.stream == stream) || self.circuits.iter().any(of)
    }

    fn best(&self, peer: PeerId) -> Option<ConnectionId> {
        self.connections.iter().rev().find(|at| at.peer == peer && !at.relayed).map(|at| at.id)
    }

    fn refuse(&mut self, stream: StreamKey, peer: PeerId, asked: Asked, why: Refusal) {
        let status = why.status(asked);
        match asked {
            Asked::Reserve => self.counters.reservations_refused += 1,
            Asked::Connect { .. } => self.counters.circuits_refused += 1,
        }
        self.out.push(Action::Reply { stream, reply: Reply::Refused { status } });
        let connection = stream.connection;
        self.out.push(Action::Event(Event::Refused { connection, peer, asked, why, count: 1 }));
    }

    fn fail(&mut self, id: CircuitId, why: Refusal) {
        let at = self.circuits.iter().position(|at| at.id == id).unwrap();
        let gone = self.circuits.remove(at);
        self.counters.circuits_failed += 1;
        self.refuse(gone.source, gone.peers.0, Asked::Connect { destination: gone.peers.1 }, why);
    }

    fn cancel(&mut self, id: CircuitId) {
        self.out.push(Action::CancelAsk { ask: AskId(id.0) });
        self.circuits.retain(|at| at.id != id);
    }

    fn close(&mut self, id: CircuitId, why: CircuitEnd) {
        let circuit = self.circuits.iter_mut().find(|at| at.id == id).unwrap();
        if circuit.closing.is_none() {
            circuit.closing = Some(why.clone());
            circuit.until = self.now + self.config.close_timeout;
            self.out.push(Action::CloseCircuit { circuit: id, why });
        }
    }

    fn ended(&mut self, circuit: CircuitId, end: CircuitEnd) {
        let at = self.circuits.iter().position(|at| at.id == circuit).unwrap();
        let gone = self.circuits.remove(at);
        self.counters.circuits_ended += 1;
        self.out.push(Action::Event(Event::CircuitClosed {
            circuit,
            source: gone.peers.0,
            destination: gone.peers.1,
            why: gone.closing.unwrap_or(end),
            forward: gone.forward,
            backward: gone.backward,
            lasted: self.now.since(gone.open.unwrap()),
        }));
    }

    fn end_reservation(&mut self, at: usize, why: ReservationEnd) {
        let peer = self.reservations.remove(at).peer;
        self.out.push(Action::Release { peer });
        self.out.push(Action::Event(Event::ReservationEnded { peer, why }));
    }
}

/// The first rule that fits. Those of the tests name peers, scopes and destinations alone.
fn verdict(acl: &Acl, from: &Connection, asked: Asked) -> Verdict {
    let fits = |rule: &&AclRule| {
        let who = match rule.who {
            Who::Peer(peer) => peer == from.peer,
            Who::Asn(asn) => from.asn == Some(asn),
            _ => true,
        };
        let scope = match rule.scope {
            Scope::Any => true,
            Scope::Reserve => asked == Asked::Reserve,
            Scope::Connect => asked != Asked::Reserve,
        };
        who && scope && rule.destination.is_none_or(|destination| asked == Asked::Connect { destination })
    };
    acl.rules.iter().find(fits).map_or(acl.otherwise, |rule| rule.verdict)
}
