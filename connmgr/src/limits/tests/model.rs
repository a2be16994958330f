//! A model as slow and obvious as can be: it keeps a list of everything that is there, and counts it anew for each question.
#![allow(clippy::cast_possible_truncation)] // of how many things a test holds

use super::super::*;
use super::{SEED, boundless, exceeded};
use crate::Direction::{self, *};
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::net::Ipv6Addr;
use proptest::prelude::*;

const PEERS: u32 = 3;
const IPS: [&str; 7] = [
    "192.0.2.1",
    "192.0.2.2",
    "::ffff:192.0.2.2",
    "2001:db8:0:1::1",
    "2001:db8:0:2::1",
    "2001:db8:0:100::1",
    "127.0.0.1",
];
const NAMES: [&str; 5] = ["/a", "/b", "/c", "/d", "/a-name-that-is-too-long"];

#[derive(Clone, Copy, Debug)]
enum Step {
    Incoming(Option<usize>),
    Dialing(Option<usize>),
    /// Of the connections: by index, modulo how many there are; likewise below.
    EndPending(usize),
    Establish(usize, u32),
    EstablishNew(bool, Option<usize>, u32),
    Closing(usize),
    EndEstablished(usize),
    Open(usize, bool, Option<usize>),
    SetProtocol(usize, usize),
    Close(usize),
    Reserve(u64, Option<usize>, Option<u32>),
    Release(u64, Option<usize>, Option<u32>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ip = || prop::option::weighted(0.9, 0..IPS.len());
    let any = || any::<usize>();
    let bytes = || prop_oneof![9 => 0_u64..40, 1 => Just(u64::MAX)];
    let step = prop_oneof![
        3 => ip().prop_map(Step::Incoming),
        3 => ip().prop_map(Step::Dialing),
        2 => any().prop_map(Step::EndPending),
        4 => (any(), 0..PEERS).prop_map(|(at, peer)| Step::Establish(at, peer)),
        3 => (prop::bool::ANY, ip(), 0..PEERS).prop_map(|(inbound, ip, peer)| Step::EstablishNew(inbound, ip, peer)),
        1 => any().prop_map(Step::Closing),
        2 => any().prop_map(Step::EndEstablished),
        8 => (any(), prop::bool::ANY, prop::option::of(0..NAMES.len())).prop_map(|(at, inbound, name)| Step::Open(at, inbound, name)),
        3 => (any(), 0..NAMES.len()).prop_map(|(at, name)| Step::SetProtocol(at, name)),
        4 => any().prop_map(Step::Close),
        3 => (bytes(), prop::option::of(any()), prop::option::of(0..PEERS)).prop_map(|(bytes, at, peer)| Step::Reserve(bytes, at, peer)),
        3 => (bytes(), prop::option::of(any()), prop::option::of(0..PEERS)).prop_map(|(bytes, at, peer)| Step::Release(bytes, at, peer)),
    ];
    prop::collection::vec(step, 0..150)
}

fn configs() -> impl Strategy<Value = LimitsConfig> {
    let cap = || prop_oneof![4 => 0_u32..7, 2 => Just(u32::MAX)];
    let bytes = || prop_oneof![3 => 0_u64..100, 1 => Just(u64::MAX)];
    (prop::collection::vec(cap(), 17), prop::array::uniform3(bytes())).prop_map(|(caps, bytes)| {
        let mut config = boundless();
        config.protocol_name = 8;
        let fields = [
            &mut config.pending_inbound,
            &mut config.pending_outbound,
            &mut config.established,
            &mut config.established_inbound,
            &mut config.established_outbound,
            &mut config.established_per_peer,
            &mut config.per_ip4,
            &mut config.per_ip6_56,
            &mut config.per_ip6_48,
            &mut config.streams,
            &mut config.streams_inbound,
            &mut config.streams_outbound,
            &mut config.streams_per_connection,
            &mut config.streams_per_peer,
            &mut config.streams_per_protocol,
            &mut config.streams_per_protocol_peer,
            &mut config.protocols,
        ];
        for (field, cap) in fields.into_iter().zip(caps) {
            *field = cap;
        }
        [config.memory, config.memory_per_peer, config.memory_per_connection] = bytes;
        config
    })
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Pending,
    Established,
    Closing,
}

struct Connection {
    name: u32,
    direction: Direction,
    ip: Option<IpAddr>,
    state: State,
    /// Once it is established.
    peer: u32,
    /// What the machine writes into.
    scope: Scope,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Named(String),
    Others,
}

struct Stream {
    connection: u32,
    peer: u32,
    direction: Direction,
    group: Option<Group>,
    /// What the machine gave.
    number: Option<ProtocolIx>,
}

#[derive(Clone, Copy)]
struct Reservation {
    bytes: u64,
    connection: Option<u32>,
    peer: Option<u32>,
}

struct Model {
    config: LimitsConfig,
    limits: Limits,
    next: u32,
    connections: Vec<Connection>,
    streams: Vec<Stream>,
    reservations: Vec<Reservation>,
    /// What the machine writes into.
    peers: [Scope; PEERS as usize],
}

fn ip(at: Option<usize>) -> Option<IpAddr> {
    at.map(|at| IPS[at].parse().unwrap())
}

fn direction(inbound: bool) -> Direction {
    if inbound { Inbound } else { Outbound }
}

/// Networks with their prefix.
fn networks(ip: Option<IpAddr>) -> Vec<(IpAddr, u8)> {
    match ip.map(|ip| ip.to_canonical()) {
        Some(ip) if ip.is_loopback() => Vec::new(),
        Some(IpAddr::V4(ip)) => [(ip.into(), 32)].into(),
        Some(IpAddr::V6(ip)) => [56, 48]
            .into_iter()
            .map(|prefix| (Ipv6Addr::from_bits(ip.to_bits() >> (128 - prefix) << (128 - prefix)).into(), prefix as u8))
            .collect(),
        None => Vec::new(),
    }
}

fn fits(limit: Limit, cap: u32, used: usize) -> Result<(), LimitExceeded> {
    let used = u64::try_from(used).unwrap();
    if cap == u32::MAX || used < u64::from(cap) { Ok(()) } else { exceeded(limit, cap.into(), used) }
}

impl Model {
    fn new(config: LimitsConfig) -> Self {
        Model {
            limits: Limits::new(config.clone(), &SEED),
            config,
            next: 0,
            connections: Vec::new(),
            streams: Vec::new(),
            reservations: Vec::new(),
            peers: Default::default(),
        }
    }

    fn cap_of(&self, prefix: u8) -> u32 {
        match prefix {
            32 => self.config.per_ip4,
            56 => self.config.per_ip6_56,
            _ => self.config.per_ip6_48,
        }
    }

    fn connections(&self, state: State, direction: Direction) -> usize {
        self.connections.iter().filter(|c| c.state == state && c.direction == direction).count()
    }

    fn networks_fit(&self, ip: Option<IpAddr>) -> Result<(), LimitExceeded> {
        for (network, prefix) in networks(ip) {
            let used = self.connections.iter().filter(|c| networks(c.ip).contains(&(network, prefix))).count();
            fits(Limit::Subnet { network, prefix }, self.cap_of(prefix), used)?;
        }
        Ok(())
    }

    fn may_begin(&self, direction: Direction, ip: Option<IpAddr>) -> Result<(), LimitExceeded> {
        let cap = if direction == Inbound { self.config.pending_inbound } else { self.config.pending_outbound };
        fits(Limit::Pending(direction), cap, self.connections(State::Pending, direction))?;
        self.networks_fit(ip)
    }

    fn of_peer(&self, peer: u32) -> usize {
        self.connections.iter().filter(|c| c.state == State::Established && c.peer == peer).count()
    }

    fn may_establish(&self, direction: Direction, peer: u32) -> Result<(), LimitExceeded> {
        let cap = if direction == Inbound { self.config.established_inbound } else { self.config.established_outbound };
        fits(Limit::EstablishedIn(direction), cap, self.connections(State::Established, direction))?;
        fits(Limit::EstablishedPerPeer, self.config.established_per_peer, self.of_peer(peer))
    }

    fn streams(&self, wanted: impl Fn(&Stream) -> bool) -> usize {
        self.streams.iter().filter(|stream| wanted(stream)).count()
    }

    fn names(&self) -> BTreeSet<&Group> {
        self.streams.iter().filter_map(|s| s.group.as_ref()).filter(|group| **group != Group::Others).collect()
    }

    fn group(&self, name: &str) -> Group {
        let own = Group::Named(name.to_string());
        let room = self.names().len() < self.config.protocols as usize && name.len() <= 8;
        if self.names().contains(&own) || room { own } else { Group::Others }
    }

    fn protocol_fits(&self, direction: Direction, name: &str) -> Result<(), LimitExceeded> {
        let group = Some(self.group(name));
        let used = self.streams(|s| s.group == group && s.direction == direction);
        fits(Limit::StreamsPerProtocol(direction), self.config.streams_per_protocol, used)
    }

    fn protocol_fits_with(&self, direction: Direction, name: &str, peer: u32) -> Result<(), LimitExceeded> {
        let group = Some(self.group(name));
        let used = self.streams(|s| s.group == group && s.direction == direction && s.peer == peer);
        fits(Limit::StreamsPerProtocolPeer(direction), self.config.streams_per_protocol_peer, used)
    }

    fn may_open(
        &self,
        direction: Direction,
        name: Option<&str>,
        connection: u32,
        peer: u32,
    ) -> Result<(), LimitExceeded> {
        let config = &self.config;
        fits(Limit::Streams, config.streams, self.streams.len())?;
        let cap = if direction == Inbound { config.streams_inbound } else { config.streams_outbound };
        fits(Limit::StreamsIn(direction), cap, self.streams(|s| s.direction == direction))?;
        name.map_or(Ok(()), |name| self.protocol_fits(direction, name))?;
        let used = self.streams(|s| s.direction == direction && s.connection == connection);
        fits(Limit::StreamsPerConnection(direction), config.streams_per_connection, used)?;
        let used = self.streams(|s| s.direction == direction && s.peer == peer);
        fits(Limit::StreamsPerPeer(direction), config.streams_per_peer, used)?;
        name.map_or(Ok(()), |name| self.protocol_fits_with(direction, name, peer))
    }

    fn reserved(&self, wanted: impl Fn(&Reservation) -> bool) -> u64 {
        self.reservations.iter().filter(|r| wanted(r)).map(|r| r.bytes).sum()
    }

    fn may_reserve(&self, wanted: Reservation) -> Result<(), LimitExceeded> {
        let fits = |limit, cap: u64, used: u64| {
            if u128::from(used) + u128::from(wanted.bytes) <= cap.into() { Ok(()) } else { exceeded(limit, cap, used) }
        };
        fits(Limit::Memory, self.config.memory, self.reserved(|_| true))?;
        if wanted.peer.is_some() {
            fits(Limit::MemoryPerPeer, self.config.memory_per_peer, self.reserved(|r| r.peer == wanted.peer))?;
        }
        if wanted.connection.is_some() {
            let used = self.reserved(|r| r.connection == wanted.connection);
            fits(Limit::MemoryPerConnection, self.config.memory_per_connection, used)?;
        }
        Ok(())
    }

    fn begin(&mut self, direction: Direction, ip: Option<IpAddr>, state: State, peer: u32) {
        self.next += 1;
        let scope = Scope::default();
        self.connections.push(Connection { name: self.next, direction, ip, state, peer, scope });
    }

    /// One of the connections in such a state.
    fn pick(&self, at: usize, wanted: impl Fn(State) -> bool) -> Option<usize> {
        let all: Vec<usize> = (0..self.connections.len()).filter(|at| wanted(self.connections[*at].state)).collect();
        (!all.is_empty()).then(|| all[at % all.len()])
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Incoming(at) => {
                let expected = self.may_begin(Inbound, ip(at));
                assert_eq!(self.limits.incoming(Time::ZERO, ip(at)), expected);
                if expected.is_ok() {
                    self.begin(Inbound, ip(at), State::Pending, 0);
                }
            }
            Step::Dialing(at) => {
                let expected = self.may_begin(Outbound, ip(at));
                assert_eq!(self.limits.dialing(ip(at)), expected);
                if expected.is_ok() {
                    self.begin(Outbound, ip(at), State::Pending, 0);
                }
            }
            Step::EndPending(at) => match self.pick(at, |state| state == State::Pending) {
                Some(at) => {
                    let gone = self.connections.remove(at);
                    self.limits.end_pending(gone.direction, gone.ip);
                }
                // Misuse: nothing is pending.
                None => self.limits.end_pending(direction(at.is_multiple_of(2)), ip(Some(at % IPS.len()))),
            },
            Step::Establish(at, peer) => {
                let Some(at) = self.pick(at, |state| state == State::Pending) else { return };
                let Connection { direction, ip, .. } = self.connections[at];
                let expected = self.may_establish(direction, peer);
                let others = self.of_peer(peer) as u32;
                assert_eq!(self.limits.may_establish(direction, ip, others, true), expected);
                assert_eq!(self.limits.establish(direction, ip, others), expected);
                if expected.is_ok() {
                    self.connections[at].state = State::Established;
                    self.connections[at].peer = peer;
                }
            }
            Step::EstablishNew(inbound, at, peer) => {
                let (direction, ip) = (direction(inbound), ip(at));
                let expected = self.may_establish(direction, peer).and_then(|()| self.networks_fit(ip));
                let others = self.of_peer(peer) as u32;
                assert_eq!(self.limits.may_establish(direction, ip, others, false), expected);
                assert_eq!(self.limits.establish_new(direction, ip, others), expected);
                if expected.is_ok() {
                    self.begin(direction, ip, State::Established, peer);
                }
            }
            Step::Closing(at) => match self.pick(at, |state| state == State::Established) {
                Some(at) => {
                    self.connections[at].state = State::Closing;
                    self.limits.closing(self.connections[at].direction);
                }
                None => self.limits.closing(direction(at.is_multiple_of(2))),
            },
            Step::EndEstablished(at) => self.end_established(at),
            Step::Open(at, inbound, name) => {
                let Some(at) = self.pick(at, |state| state == State::Established) else { return };
                let (direction, name) = (direction(inbound), name.map(|at| NAMES[at]));
                let Connection { name: connection, peer, .. } = self.connections[at];
                let expected = self.may_open(direction, name, connection, peer);
                let (ours, theirs) = (&mut self.connections[at].scope, &mut self.peers[peer as usize]);
                let found = self.limits.open_stream(direction, name, peer, ours, theirs);
                assert_eq!(found.map(|_| ()), expected);
                if let Ok(number) = found {
                    let group = name.map(|name| self.group(name));
                    self.streams.push(Stream { connection, peer, direction, group, number });
                }
            }
            Step::SetProtocol(at, name) => {
                let open: Vec<usize> = (0..self.streams.len()).filter(|at| self.streams[*at].group.is_none()).collect();
                if open.is_empty() {
                    return;
                }
                let at = open[at % open.len()];
                let (direction, peer, name) = (self.streams[at].direction, self.streams[at].peer, NAMES[name]);
                let expected =
                    self.protocol_fits(direction, name).and_then(|()| self.protocol_fits_with(direction, name, peer));
                let found = self.limits.set_protocol(direction, name, peer);
                assert_eq!(found.map(|_| ()), expected);
                if let Ok(number) = found {
                    let group = self.group(name);
                    (self.streams[at].group, self.streams[at].number) = (Some(group), Some(number));
                }
            }
            Step::Close(at) => {
                if !self.streams.is_empty() {
                    self.close(at % self.streams.len());
                }
            }
            Step::Reserve(bytes, at, peer) => {
                let wanted = self.scopes(bytes, at, peer);
                let expected = self.may_reserve(wanted);
                let (limits, ours, theirs) = self.parts(wanted);
                assert_eq!(limits.reserve(bytes, ours, theirs), expected);
                if expected.is_ok() {
                    self.reservations.push(wanted);
                }
            }
            Step::Release(bytes, at, peer) => {
                // All of one reservation, or any bytes of nobody's.
                let wanted = self.scopes(bytes, at, peer);
                let same = |r: &Reservation| r.connection == wanted.connection && r.peer == wanted.peer;
                match self.reservations.iter().position(same) {
                    Some(at) => {
                        let gone = self.reservations.remove(at);
                        let (limits, ours, theirs) = self.parts(gone);
                        assert_eq!(limits.release(gone.bytes, ours, theirs), gone.bytes);
                    }
                    None if wanted.peer.is_none() => assert_eq!(self.limits.release(bytes, None, None), 0),
                    None => {}
                }
            }
        }
    }

    fn end_established(&mut self, at: usize) {
        let Some(at) = self.pick(at, |state| state != State::Pending) else {
            return self.limits.end_established(
                direction(at.is_multiple_of(2)),
                ip(Some(at % IPS.len())),
                at.is_multiple_of(3),
            );
        };
        let name = self.connections[at].name;
        while let Some(stream) = self.streams.iter().position(|s| s.connection == name) {
            self.close(stream);
        }
        // All its reservations at once.
        let all = Reservation { bytes: u64::MAX, connection: Some(name), peer: Some(self.connections[at].peer) };
        let expected = self.reserved(|r| r.connection == Some(name));
        let (limits, ours, theirs) = self.parts(all);
        assert_eq!(limits.release(u64::MAX, ours, theirs), expected);
        self.reservations.retain(|r| r.connection != Some(name));

        let gone = self.connections.remove(at);
        assert_eq!(gone.scope, Scope::default());
        self.limits.end_established(gone.direction, gone.ip, gone.state == State::Closing);
    }

    fn close(&mut self, at: usize) {
        let Stream { connection, peer, direction, number, .. } = self.streams.remove(at);
        let connection = self.connections.iter_mut().find(|c| c.name == connection).unwrap();
        let theirs = &mut self.peers[peer as usize];
        self.limits.close_stream(direction, number, peer, &mut connection.scope, theirs);
    }

    /// A connection's peer goes with it.
    fn scopes(&self, bytes: u64, at: Option<usize>, peer: Option<u32>) -> Reservation {
        match at.and_then(|at| self.pick(at, |state| state == State::Established)) {
            Some(at) => {
                let Connection { name, peer, .. } = self.connections[at];
                Reservation { bytes, connection: Some(name), peer: Some(peer) }
            }
            None => Reservation { bytes, connection: None, peer },
        }
    }

    fn parts(&mut self, of: Reservation) -> (&mut Limits, Option<&mut Scope>, Option<&mut Scope>) {
        let ours = self.connections.iter_mut().find(|c| Some(c.name) == of.connection).map(|c| &mut c.scope);
        let theirs = of.peer.map(|peer| &mut self.peers[peer as usize]);
        (&mut self.limits, ours, theirs)
    }

    /// Counts everything anew.
    fn check(&self) {
        let connections = |state, direction| self.connections(state, direction) as u32;
        let streams = |direction| self.streams(|s| s.direction == direction) as u32;
        let subnets: BTreeSet<_> = self.connections.iter().flat_map(|c| networks(c.ip)).collect();
        let expected = Counts {
            pending_inbound: connections(State::Pending, Inbound),
            pending_outbound: connections(State::Pending, Outbound),
            established_inbound: connections(State::Established, Inbound),
            established_outbound: connections(State::Established, Outbound),
            closing_inbound: connections(State::Closing, Inbound),
            closing_outbound: connections(State::Closing, Outbound),
            streams_inbound: streams(Inbound),
            streams_outbound: streams(Outbound),
            memory: self.reserved(|_| true),
            subnets: subnets.iter().filter(|(_, prefix)| self.cap_of(*prefix) != u32::MAX).count(),
            rates: 0,
            protocols: self.names().len(),
        };
        assert_eq!(self.limits.counts(), expected);

        let established = self.connections.iter().filter(|c| c.state == State::Established).count();
        assert_eq!(self.limits.room(), fits(Limit::Established, self.config.established, established));
        for connection in &self.connections {
            let of = |direction| self.streams(|s| s.connection == connection.name && s.direction == direction) as u32;
            let memory = self.reserved(|r| r.connection == Some(connection.name));
            let expected = Scope { inbound_streams: of(Inbound), outbound_streams: of(Outbound), memory };
            assert_eq!(connection.scope, expected);
        }
        for (peer, scope) in (0..).zip(&self.peers) {
            let of = |direction| self.streams(|s| s.peer == peer && s.direction == direction) as u32;
            let memory = self.reserved(|r| r.peer == Some(peer));
            let expected = Scope { inbound_streams: of(Inbound), outbound_streams: of(Outbound), memory };
            assert_eq!(*scope, expected);
        }
        for stream in &self.streams {
            let expected = match &stream.group {
                Some(Group::Named(name)) => Some(name.as_str()),
                _ => None,
            };
            assert_eq!(stream.number.and_then(|number| self.limits.protocol_name(number)), expected);
        }
    }
}

proptest! {
    #[test]
    fn every_counter_and_answer_equals_a_recount_after_any_sequence(config in configs(), steps in steps()) {
        let mut model = Model::new(config);
        for step in steps {
            model.step(step);
            model.check();
        }
        // And when all has ended, nothing is left.
        while !model.connections.is_empty() {
            model.step(Step::EndPending(0));
            if model.pick(0, |state| state != State::Pending).is_some() {
                model.step(Step::EndEstablished(0));
            }
        }
        model.check();
    }
}
