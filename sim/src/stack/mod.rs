//! The operating system of a host, as far as its network goes: addresses, ports, sockets. Packets in, packets and inputs
//! for the node out.
//!
//! ```text
//!  the node --calls--> [ listeners, connections, UDP sockets ] --out--> packets
//!           <--inbox--             ^ alarms                    <------- packets
//! ```

mod calls;
mod ports;

use crate::node::{Input, ListenerId, SocketId, UdpId};
use crate::packet::{Body, Flags, Icmp, Packet, Protocol, Segment};
use crate::slab::Slab;
use crate::tcp::{Connection, Event, Owner, Tcp};
use crate::trace::SEQUENCE_SPACE;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use tidewire_core::Time;

#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) config: Rc<Tcp>,
    /// Sockets that the program may have open.
    files: usize,
    /// What the node is to be told.
    pub(crate) inbox: VecDeque<Input>,
    /// What the network is to carry.
    pub(crate) out: Vec<Packet>,
    /// The node has asked for something since this was last cleared.
    pub(crate) called: bool,
    connections: Slab<Connection>,
    by_ends: BTreeMap<Ends, SocketId>,
    time_wait: BTreeMap<Ends, TimeWait>,
    /// In the order in which they end.
    time_waits: VecDeque<(Time, Ends)>,
    listeners: Slab<Listener>,
    udp: Slab<SocketAddr>,
    /// For connections: no later than their deadline. Later than that it would be wrong, earlier it is only looked at in vain.
    alarms: BTreeSet<(Time, SocketId)>,
    /// Connections that may have something to send.
    touched: Vec<SocketId>,
    /// Connections that the program holds.
    owned: usize,
    next_port: u16,
    incarnations: u64,
    segments: Vec<Segment>,
    events: Vec<Event>,
}

/// Our address, and the remote's.
type Ends = (SocketAddr, SocketAddr);

#[derive(Debug)]
struct Listener {
    at: SocketAddr,
    reuse: bool,
    /// In their handshake, or waiting to be accepted.
    pending: usize,
    /// Wait for a file descriptor.
    waiting: VecDeque<SocketId>,
}

#[derive(Clone, Copy, Debug)]
struct TimeWait {
    until: Time,
    seq: u64,
    ack: u64,
}

impl Stack {
    pub(crate) fn new(addresses: Vec<IpAddr>, config: Rc<Tcp>, first_port: u16) -> Self {
        Stack {
            addresses,
            config,
            files: usize::MAX,
            inbox: VecDeque::new(),
            out: Vec::new(),
            called: false,
            connections: Slab::default(),
            by_ends: BTreeMap::new(),
            time_wait: BTreeMap::new(),
            time_waits: VecDeque::new(),
            listeners: Slab::default(),
            udp: Slab::default(),
            alarms: BTreeSet::new(),
            touched: Vec::new(),
            owned: 0,
            next_port: first_port,
            incarnations: 0,
            segments: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Sockets that the program holds: connections, listeners, UDP.
    pub(crate) fn open_files(&self) -> usize {
        self.owned + self.listeners.len() + self.udp.len()
    }

    pub(crate) fn limit_files(&mut self, files: usize) {
        self.files = files;
        self.accept_waiting();
    }

    /// All sockets vanish, and nobody is told. What remains: addresses, and the certainty that no number is used again.
    pub(crate) fn forget_all(&mut self) {
        let mut fresh = Stack::new(core::mem::take(&mut self.addresses), self.config.clone(), self.next_port);
        fresh.files = self.files;
        fresh.incarnations = self.incarnations;
        *self = fresh;
    }

    /// The program ends: the operating system closes all that it had open.
    pub(crate) fn close_all(&mut self, now: Time) {
        for id in self.listeners.iter().map(|(key, _)| ListenerId(key)).collect::<Vec<_>>() {
            self.unlisten(now, id);
        }
        for id in self.connections.iter().map(|(key, _)| SocketId(key)).collect::<Vec<_>>() {
            self.close(now, id);
        }
        self.udp = Slab::default();
        self.inbox.clear();
    }

    /// A packet for an address of ours has come. False: nobody wanted the datagram.
    pub(crate) fn receive(&mut self, now: Time, packet: Packet) -> bool {
        match packet.body {
            Body::Udp(bytes) => self.on_datagram(packet.from, packet.to, bytes),
            Body::Tcp(segment) => {
                self.on_segment(now, (packet.to, packet.from), segment);
                true
            }
            Body::Icmp(icmp) => {
                self.on_icmp(now, &icmp);
                true
            }
        }
    }

    /// Sends what waits to be sent. To be called when the node has done what it wanted.
    pub(crate) fn flush(&mut self, now: Time) {
        let mut touched = core::mem::take(&mut self.touched);
        for id in touched.drain(..) {
            let Some(connection) = self.connections.get_mut(id.0) else { continue };
            connection.transmit(now, &mut self.segments);
            let ends = (connection.local, connection.remote);
            post(ends, &mut self.segments, &mut self.out);
            self.set_alarm(id);
        }
        // Keeps its room.
        self.touched = touched;
    }

    /// When a connection has something to do. Not later than that; exact once `now` has reached it.
    pub(crate) fn deadline(&mut self, now: Time) -> Time {
        while let Some((at, id)) = self.alarms.first().copied() {
            let deadline = self.connections.get(id.0).map_or(Time::NEVER, Connection::deadline);
            if at > now || deadline <= at {
                return at;
            }
            self.alarms.pop_first();
            if let Some(connection) = self.connections.get_mut(id.0) {
                connection.armed = Time::NEVER;
            }
            self.set_alarm(id);
        }
        Time::NEVER
    }

    /// No connection waits for anything that it would do by itself.
    pub(crate) fn is_quiet(&self) -> bool {
        self.connections.iter().all(|(_, connection)| connection.deadline().is_never())
    }

    /// Does what is due.
    pub(crate) fn on_timeout(&mut self, now: Time) {
        while let Some((_, id)) = self.alarms.first().copied().filter(|(at, _)| *at <= now) {
            self.alarms.pop_first();
            let Some(connection) = self.connections.get_mut(id.0) else { continue };
            connection.armed = Time::NEVER;
            connection.on_timeout(now, &mut self.segments, &mut self.events);
            self.settle(now, id);
        }
    }

    fn on_datagram(&mut self, from: SocketAddr, to: SocketAddr, bytes: Bytes) -> bool {
        let serves = |at: &SocketAddr| at.port() == to.port() && at.is_ipv4() == to.is_ipv4();
        let exact = self.udp.iter().find(|(_, at)| **at == to);
        let found = exact.or_else(|| self.udp.iter().find(|(_, at)| serves(at) && at.ip().is_unspecified()));
        let Some((key, _)) = found else { return false };
        self.inbox.push_back(Input::Datagram { socket: UdpId(key), from, to, bytes });
        true
    }

    /// Who sent datagrams is not told, as on Linux for a socket that isn't connected.
    fn on_icmp(&mut self, now: Time, icmp: &Icmp) {
        let id = self.by_ends.get(&(icmp.from, icmp.to)).copied().filter(|_| icmp.protocol == Protocol::Tcp);
        let Some(id) = id else { return };
        if let Some(connection) = self.connections.get_mut(id.0) {
            connection.on_unreachable(icmp, &mut self.events);
        }
        self.settle(now, id);
    }

    fn on_segment(&mut self, now: Time, ends: Ends, segment: Segment) {
        let Flags { syn, ack, rst, .. } = segment.flags;
        if let Some(id) = self.by_ends.get(&ends).copied() {
            if let Some(connection) = self.connections.get_mut(id.0) {
                connection.on_segment(now, segment, &mut self.segments, &mut self.events);
            }
            self.settle(now, id);
            return;
        }
        if let Some(old) = self.time_wait.get(&ends).copied().filter(|old| now < old.until) {
            // A new connection may take the place of one that waits, if its numbers are beyond: RFC 9293 section 3.10.7.4.
            if !(syn && !ack && segment.seq > old.ack) {
                if !rst && !segment.is_empty() {
                    let flags = Flags { ack: true, ..Flags::default() };
                    self.segments.push(Segment { flags, seq: old.seq, ack: old.ack, ..Segment::default() });
                    post(ends, &mut self.segments, &mut self.out);
                }
                return;
            }
            self.time_wait.remove(&ends);
        }
        if rst {
            return;
        }
        if syn
            && !ack
            && let Some((listener, full)) = self.listener_for(ends.0)
        {
            if !full {
                self.on_syn(now, ends, listener, segment.seq);
            }
            return;
        }
        self.segments.extend(segment.refusal());
        post(ends, &mut self.segments, &mut self.out);
    }

    fn on_syn(&mut self, now: Time, ends: Ends, id: ListenerId, seq: u64) {
        let Some(listener) = self.listeners.get_mut(id.0) else { return };
        listener.pending += 1;
        let reuse = listener.reuse;
        let initial = self.next_initial();
        let config = self.config.clone();
        let mut connection = Connection::accept(now, ends, id, initial, seq, &config, &mut self.segments);
        connection.reuse = reuse;
        let id = self.insert(connection);
        self.settle(now, id);
    }

    fn insert(&mut self, connection: Connection) -> SocketId {
        let ends = (connection.local, connection.remote);
        let id = SocketId(self.connections.insert(connection));
        self.by_ends.insert(ends, id);
        id
    }

    /// Carries out what a connection has just said, and sees to it that it is flushed.
    fn settle(&mut self, now: Time, id: SocketId) {
        let Some(connection) = self.connections.get(id.0) else { return };
        let ends = (connection.local, connection.remote);
        post(ends, &mut self.segments, &mut self.out);
        let mut events = core::mem::take(&mut self.events);
        for event in events.drain(..) {
            self.on_event(now, id, ends, event);
        }
        self.events = events;
        self.touched.push(id);
        self.set_alarm(id);
    }

    fn on_event(&mut self, now: Time, id: SocketId, ends: Ends, event: Event) {
        let Some(connection) = self.connections.get(id.0) else { return };
        let (owner, listener) = (connection.owner, connection.listener);
        let told = owner == Owner::Program;
        match event {
            Event::Connected => match listener {
                None => self.inbox.push_back(Input::Connected { socket: id, local: ends.0, remote: ends.1 }),
                Some(listener) => self.accept(id, listener),
            },
            Event::Received if told => self.inbox.push_back(Input::Received { socket: id }),
            Event::Ended if told => self.inbox.push_back(Input::Ended { socket: id }),
            Event::Writable if told => self.inbox.push_back(Input::Writable { socket: id }),
            Event::Received | Event::Ended | Event::Writable => {}
            Event::Failed(error) => {
                if told {
                    self.inbox.push_back(Input::ConnectFailed { socket: id, error });
                }
                self.remove(id);
            }
            Event::Broken(error) => {
                if told {
                    self.inbox.push_back(Input::Broken { socket: id, error });
                }
                self.remove(id);
            }
            Event::Gone => self.remove(id),
            Event::Done { time_wait } => {
                self.by_ends.remove(&ends);
                if time_wait {
                    self.wait(now, id, ends);
                }
                if owner == Owner::Closed {
                    self.remove(id);
                }
            }
        }
    }

    /// A connection to a listener is there: it is the program's, once there is a file descriptor for it.
    fn accept(&mut self, id: SocketId, listener_id: ListenerId) {
        let free = self.open_files() < self.files;
        let Some(listener) = self.listeners.get_mut(listener_id.0) else { return };
        if !free {
            listener.waiting.push_back(id);
            self.inbox.push_back(Input::AcceptFailed { listener: listener_id });
            return;
        }
        listener.pending = listener.pending.saturating_sub(1);
        let Some(connection) = self.connections.get_mut(id.0) else { return };
        connection.owner = Owner::Program;
        self.owned += 1;
        let (local, remote) = (connection.local, connection.remote);
        self.inbox.push_back(Input::Accepted { socket: id, listener: listener_id, local, remote });
    }

    /// A file descriptor may be free: the next connection that waits for one gets it.
    fn accept_waiting(&mut self) {
        while self.open_files() < self.files {
            let next = self.listeners.iter().find_map(|(key, listener)| Some((key, *listener.waiting.front()?)));
            let Some((key, id)) = next else { return };
            if let Some(listener) = self.listeners.get_mut(key) {
                listener.waiting.pop_front();
            }
            self.accept(id, ListenerId(key));
            let Some(connection) = self.connections.get(id.0) else { continue };
            // What came while nobody could be told.
            if connection.unread() > 0 {
                self.inbox.push_back(Input::Received { socket: id });
            }
            if connection.has_ended() {
                self.inbox.push_back(Input::Ended { socket: id });
            }
        }
    }

    fn wait(&mut self, now: Time, id: SocketId, ends: Ends) {
        let Some((seq, ack)) = self.connections.get(id.0).map(Connection::numbers) else { return };
        while let Some((_, old)) = self.time_waits.front().filter(|(until, _)| *until <= now) {
            // Unless it began anew since.
            if self.time_wait.get(old).is_some_and(|old| old.until <= now) {
                self.time_wait.remove(old);
            }
            self.time_waits.pop_front();
        }
        let until = now + self.config.time_wait;
        self.time_wait.insert(ends, TimeWait { until, seq, ack });
        self.time_waits.push_back((until, ends));
    }

    fn remove(&mut self, id: SocketId) {
        let Some(connection) = self.connections.remove(id.0) else { return };
        let ends = (connection.local, connection.remote);
        if self.by_ends.get(&ends) == Some(&id) {
            self.by_ends.remove(&ends);
        }
        self.alarms.remove(&(connection.armed, id));
        match (connection.owner, connection.listener.and_then(|id| self.listeners.get_mut(id.0))) {
            (Owner::Program, _) => self.owned -= 1,
            (Owner::Nobody, Some(listener)) => {
                listener.pending = listener.pending.saturating_sub(1);
                listener.waiting.retain(|waiting| *waiting != id);
            }
            _ => {}
        }
        self.accept_waiting();
    }

    fn set_alarm(&mut self, id: SocketId) {
        let Some(connection) = self.connections.get_mut(id.0) else { return };
        let deadline = connection.deadline();
        if deadline < connection.armed {
            self.alarms.remove(&(connection.armed, id));
            connection.armed = deadline;
            self.alarms.insert((deadline, id));
        }
    }

    const fn next_initial(&mut self) -> u64 {
        self.incarnations += 1;
        self.incarnations * SEQUENCE_SPACE
    }
}

/// Puts segments into packets.
fn post((local, remote): Ends, segments: &mut Vec<Segment>, out: &mut Vec<Packet>) {
    out.extend(segments.drain(..).map(|segment| Packet { from: local, to: remote, body: Body::Tcp(segment) }));
}
