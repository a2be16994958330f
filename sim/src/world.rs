//! A world: hosts, the network between them, and the time that passes.

mod gateways;

use crate::fault::Fault;
use crate::host::Host;
use crate::link::{Link, Pipe};
use crate::middlebox::Middlebox;
use crate::network::{Due, Moved, Network, Place, Realm};
use crate::node::{HostId, Input, Node};
use crate::os::Os;
use crate::packet::Packet;
use crate::queue::Queue;
use crate::rng::Rng;
use crate::stack::Stack;
use crate::tcp::Tcp;
use crate::trace::{self, Change, DropReason, Summary, Trace, What};
use core::fmt;
use core::time::Duration;
use std::any::{Any, type_name};
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use tidewire_core::{Seed, Time};

/// Hosts with a network between them, in one thread, in a time of their own.
///
/// Time begins at zero and jumps from one event to the next. All that happens follows from the seed and from what the test
/// does: the same again gives the same run, to the byte, in any process.
///
/// Methods that take a [`HostId`] panic if it is of another world.
pub struct World {
    seed: u64,
    now: Time,
    queue: Queue<Event>,
    hosts: Vec<Host>,
    network: Network,
    tcp: Rc<Tcp>,
    trace: Trace,
    events: u64,
    fault: Option<Fault>,
}

/// How much has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Events: packets moved on, timers, turns of hosts.
    pub events: u64,
    /// Inputs that nodes were given.
    pub inputs: u64,
    /// Packets that hosts sent.
    pub packets: u64,
    /// Packets that did not arrive.
    pub dropped: u64,
}

/// An event is small, since the heap moves it about.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A packet is where it waited for, or a gateway has something to say.
    Network(Due),
    /// A host may have something due.
    Wake(HostId),
    /// A host has something to be told.
    Turn(HostId),
}

impl World {
    /// An empty world.
    pub fn new(seed: u64) -> Self {
        World {
            seed,
            now: Time::ZERO,
            queue: Queue::default(),
            hosts: Vec::new(),
            network: Network::new(Rng::new(seed)),
            tcp: Rc::default(),
            trace: Trace::default(),
            events: 0,
            fault: None,
        }
    }

    /// The seed.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// The present.
    pub const fn now(&self) -> Time {
        self.now
    }

    /// The world's own chance, for a test that wants to choose by it.
    pub const fn rng(&mut self) -> &mut Rng {
        &mut self.network.rng
    }

    /// Adds a host with these addresses to the internet, and a node that starts as soon as the world runs.
    ///
    /// # Panics
    /// Another host has one of the addresses.
    pub fn add(&mut self, node: impl Node, addresses: impl IntoIterator<Item = IpAddr>) -> HostId {
        self.add_in(None, node, addresses)
    }

    fn add_in(&mut self, realm: Realm, node: impl Node, addresses: impl IntoIterator<Item = IpAddr>) -> HostId {
        let id = HostId(u32::try_from(self.hosts.len()).unwrap_or(u32::MAX));
        let first_port = 32_768 + u16::try_from(self.network.rng.below(28_000)).unwrap_or(0);
        let stack = Stack::new(Vec::new(), self.tcp.clone(), first_port);
        self.hosts.push(Host::new(id, stack, self.seed_of(id)));
        self.network.homes.push(realm);
        for address in addresses {
            self.take_address(id, address);
        }
        self.start(id, node);
        id
    }

    /// Starts another node on a host that has none any more, or takes the place of the one that runs, which is killed.
    pub fn start(&mut self, id: HostId, node: impl Node) {
        if self.host(id).node.is_some() {
            self.kill(id);
        }
        let host = self.host_mut(id);
        host.starts += 1;
        host.seed = host.root.derive("start", host.starts);
        host.powered = true;
        host.node = Some(Box::new(node));
        host.stack.inbox.clear();
        host.stack.inbox.push_back(Input::Started);
        self.trace.record(self.now, || What::Host(id, Change::Started));
        self.queue.push(self.now, Event::Turn(id));
    }

    /// The link between all hosts for which none was set, from now on. Default: 10 ms, and no fault.
    pub fn default_link(&mut self, link: Link) {
        self.network.default = link;
    }

    /// The link between two hosts, both ways. If one is behind a gateway from the other, it is the gateways' link, and all who
    /// are behind them share it; cuts likewise.
    pub fn link(&mut self, a: HostId, b: HostId, link: Link) {
        self.link_one_way(a, b, link.clone());
        self.link_one_way(b, a, link);
    }

    /// The link from one host to another. What is on its way arrives as before.
    pub fn link_one_way(&mut self, from: HostId, to: HostId, link: Link) {
        self.network.set_link(from, to, link);
    }

    /// The links that all packets of a host share, from it and to it, besides those between pairs: its line to the provider.
    /// Default: none.
    pub fn access(&mut self, id: HostId, up: Link, down: Link) {
        let door = self.network.door(Place::Host(id));
        (door.up, door.down) = (Some(Pipe::new(up)), Some(Pipe::new(down)));
    }

    /// Sets a box between a host and the network.
    pub fn middlebox(&mut self, id: HostId, middlebox: impl Middlebox) {
        self.network.door(Place::Host(id)).middlebox = Some(Box::new(middlebox));
    }

    /// Packets for this address go to that host, whether it has the address or not: the outer address of its middlebox.
    pub fn route(&mut self, address: IpAddr, id: HostId) {
        self.network.announce(None, address, Place::Host(id));
    }

    /// Nothing passes between two hosts, in either direction, before `until`; [`Time::NEVER`]: until
    /// [`heal`](World::heal). What is on its way arrives.
    pub fn cut(&mut self, a: HostId, b: HostId, until: Time) {
        self.cut_one_way(a, b, until);
        self.cut_one_way(b, a, until);
    }

    /// Nothing passes from one host to another before `until`.
    pub fn cut_one_way(&mut self, from: HostId, to: HostId, until: Time) {
        self.network.cut(from, to, until);
    }

    /// Cuts a host off from all others that there are, before `until`.
    pub fn isolate(&mut self, id: HostId, until: Time) {
        self.split(&[id], until);
    }

    /// Cuts these hosts off from all others that there are, before `until`. Among themselves they go on, but not through
    /// gateways: a host is cut off from its own.
    pub fn split(&mut self, group: &[HostId], until: Time) {
        let others: Vec<HostId> = self.hosts.iter().map(|host| host.id).filter(|id| !group.contains(id)).collect();
        for (id, other) in group.iter().flat_map(|id| others.iter().map(move |other| (*id, *other))) {
            self.network.split(id, other, until);
        }
    }

    /// Ends a cut between two hosts.
    pub fn heal(&mut self, a: HostId, b: HostId) {
        self.cut(a, b, Time::ZERO);
        self.network.split(a, b, Time::ZERO);
    }

    /// Gives a host another address, and tells the node.
    ///
    /// # Panics
    /// Another host has it.
    pub fn add_address(&mut self, id: HostId, address: IpAddr) {
        self.take_address(id, address);
        self.trace.record(self.now, || What::Host(id, Change::AddressUp(address)));
        self.tell(id, Input::AddressUp(address));
    }

    /// Takes an address from a host, and tells the node. Connections from it stay, and nothing reaches them.
    pub fn remove_address(&mut self, id: HostId, address: IpAddr) {
        let addresses = &mut self.host_mut(id).stack.addresses;
        let Some(at) = addresses.iter().position(|known| *known == address) else { return };
        addresses.remove(at);
        self.network.withdraw(self.network.home(id), address);
        self.trace.record(self.now, || What::Host(id, Change::AddressDown(address)));
        self.tell(id, Input::AddressDown(address));
    }

    /// What a name stands for, from now on, for all hosts; nothing any more if there are no addresses.
    pub fn name(&mut self, name: &str, addresses: impl IntoIterator<Item = IpAddr>) {
        self.network.names.addresses.insert(name.to_owned(), addresses.into_iter().collect());
    }

    /// The text records of a name, from now on.
    pub fn text<T: Into<String>>(&mut self, name: &str, records: impl IntoIterator<Item = T>) {
        self.network.names.texts.insert(name.to_owned(), records.into_iter().map(Into::into).collect());
    }

    /// The settings of TCP for hosts that are added from now on.
    pub fn default_tcp(&mut self, settings: Tcp) {
        self.tcp = Rc::new(settings);
    }

    /// The settings of TCP for a host's connections from now on.
    pub fn tcp(&mut self, id: HostId, settings: Tcp) {
        self.host_mut(id).stack.config = Rc::new(settings);
    }

    /// How many sockets the node of a host may have open. Those that are open stay; those that wait to be accepted are, if
    /// there is room now. Default: no limit.
    pub fn file_limit(&mut self, id: HostId, files: usize) {
        self.host_mut(id).stack.limit_files(files);
        self.queue.push(self.now, Event::Turn(id));
    }

    /// How many sockets the node of a host has open: connections, listeners, UDP.
    pub fn open_files(&self, id: HostId) -> usize {
        self.host(id).stack.open_files()
    }

    /// The node and its sockets vanish, without a word to anyone. The host answers what still comes for them with a reset.
    pub fn kill(&mut self, id: HostId) {
        self.vanish(id, Change::Killed);
    }

    /// The host loses power: as [`kill`](World::kill), but it answers nothing any more, until a node is started on it.
    pub fn power_off(&mut self, id: HostId) {
        self.vanish(id, Change::PoweredOff);
        self.host_mut(id).powered = false;
    }

    /// The node ends, and the operating system closes its sockets: what real systems do at `exit`, at a crash of the
    /// program, and at `kill -9`.
    pub fn exit(&mut self, id: HostId) {
        let now = self.now;
        let host = self.host_mut(id);
        host.node = None;
        host.stack.close_all(now);
        self.trace.record(now, || What::Host(id, Change::Exited));
        self.queue.push(now, Event::Turn(id));
    }

    /// The node of a host.
    ///
    /// # Panics
    /// There is none, or it is of another type.
    #[track_caller]
    pub fn node<T: Node>(&self, id: HostId) -> &T {
        let node = self.host(id).node.as_deref().map(|node| node as &dyn Any);
        let node = node.and_then(|node| node.downcast_ref());
        assert!(node.is_some(), "{id} has no node, or not a {}", type_name::<T>());
        #[allow(clippy::unwrap_used, reason = "asserted just above, where the message can say more")]
        node.unwrap()
    }

    /// Takes the node from a host, which is [killed](World::kill) by that.
    ///
    /// # Panics
    /// There is none, or it is of another type.
    #[track_caller]
    pub fn take<T: Node>(&mut self, id: HostId) -> T {
        let node = self.host_mut(id).node.take().map(|node| node as Box<dyn Any>);
        self.kill(id);
        let node = node.and_then(|node| node.downcast().ok());
        assert!(node.is_some(), "{id} has no node, or not a {}", type_name::<T>());
        #[allow(clippy::unwrap_used, reason = "asserted just above, where the message can say more")]
        *node.unwrap()
    }

    /// Whether a node runs on a host.
    pub fn is_running(&self, id: HostId) -> bool {
        self.host(id).node.is_some()
    }

    /// Acts as the application of a node: calls what it offers, and lets it use its operating system.
    ///
    /// # Panics
    /// There is none, or it is of another type.
    #[track_caller]
    pub fn with<T: Node, R>(&mut self, id: HostId, act: impl FnOnce(&mut T, &mut Os<'_>) -> R) -> R {
        let now = self.now;
        let host = &mut self.hosts[id.0 as usize];
        let Host { node, stack, seed, .. } = host;
        let node = node.as_deref_mut().map(|node| node as &mut dyn Any).and_then(|node| node.downcast_mut());
        assert!(node.is_some(), "{id} has no node, or not a {}", type_name::<T>());
        #[allow(clippy::unwrap_used, reason = "asserted just above, where the message can say more")]
        let node = node.unwrap();
        let names = &self.network.names;
        let mut os = Os { now, host: id, seed, stack, names, trace: &mut self.trace };
        let result = act(node, &mut os);
        self.queue.push(now, Event::Turn(id));
        result
    }

    /// Runs up to this moment, what happens at it included.
    ///
    /// # Errors
    /// A node keeps the world from moving.
    pub fn run_until(&mut self, until: Time) -> Result<(), Fault> {
        while self.step(until)? {}
        self.now = self.now.max(until);
        Ok(())
    }

    /// Runs for this long.
    ///
    /// # Errors
    /// A node keeps the world from moving.
    pub fn run_for(&mut self, duration: Duration) -> Result<(), Fault> {
        self.run_until(self.now + duration)
    }

    /// Runs until `done`, asked after each event, and no longer than `limit`. Says whether it is done; time stands where it
    /// became so.
    ///
    /// # Errors
    /// A node keeps the world from moving.
    pub fn run_while(&mut self, limit: Duration, mut done: impl FnMut(&World) -> bool) -> Result<bool, Fault> {
        let until = self.now + limit;
        loop {
            if done(self) {
                return Ok(true);
            }
            if !self.step(until)? {
                self.now = self.now.max(until);
                return Ok(false);
            }
        }
    }

    /// Runs until nothing is left to happen, and no longer than `limit`. Says whether that was so; time stands where the last
    /// thing happened.
    ///
    /// # Errors
    /// A node keeps the world from moving.
    pub fn run_to_rest(&mut self, limit: Duration) -> Result<bool, Fault> {
        let until = self.now + limit;
        while self.step(until)? {}
        Ok(self.network.is_empty() && self.hosts.iter().all(Host::is_quiet))
    }

    /// Records what happens from now on: keeps the last `keep` records, and hashes all.
    pub const fn trace_on(&mut self, keep: usize) {
        self.trace.start(keep);
    }

    /// What was recorded.
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Writes what was recorded as JSON lines, as [`trace`](crate::trace) describes.
    ///
    /// # Errors
    /// It can't be written.
    pub fn write_trace(&self, out: &mut impl io::Write) -> io::Result<()> {
        trace::write(&self.trace, &self.header(None), out)
    }

    /// How much has happened.
    pub fn stats(&self) -> Stats {
        Stats {
            events: self.events,
            inputs: self.hosts.iter().map(|host| host.all_calls).sum(),
            packets: self.network.sent,
            dropped: self.network.dropped,
        }
    }

    /// The next event, if it comes no later than `until`.
    fn step(&mut self, until: Time) -> Result<bool, Fault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let Some((at, event)) = self.queue.pop(until) else { return Ok(false) };
        match event {
            Event::Network(Due::Packet(flight)) => {
                self.begin(at);
                match self.network.step(at, flight, &mut self.trace) {
                    Moved::Waits(at) => self.queue.push(at, event),
                    Moved::Arrived(id, packet, own) => self.arrive(id, packet, own)?,
                    Moved::Gone => {}
                }
            }
            Event::Network(Due::Gateway(id)) => {
                self.begin(at);
                self.network.wake_gateway(at, id, &mut self.trace);
            }
            Event::Turn(id) => {
                self.begin(at);
                self.turn(id)?;
            }
            Event::Wake(id) => {
                let host = self.host_mut(id);
                if host.wake == at {
                    host.wake = Time::NEVER;
                    // What was due may have been put off, or done: then nothing happens now, and no time passes.
                    if host.deadline(at) <= at {
                        host.stack.on_timeout(at);
                        self.begin(at);
                        self.turn(id)?;
                    }
                    self.plan_wake(id);
                }
            }
        }
        self.plan_network();
        Ok(true)
    }

    const fn begin(&mut self, at: Time) {
        self.now = at;
        self.events += 1;
    }

    fn arrive(&mut self, id: HostId, packet: Packet, own: bool) -> Result<(), Fault> {
        let now = self.now;
        let entered = if own { Some(packet) } else { self.network.enter(now, id, packet, &mut self.trace) };
        let Some(packet) = entered else { return Ok(()) };
        let host = &mut self.hosts[id.0 as usize];
        if !host.powered {
            self.network.drop(now, &packet, DropReason::NoPower, &mut self.trace);
        } else if !host.stack.has_address(packet.to.ip()) {
            self.network.drop(now, &packet, DropReason::NoRoute, &mut self.trace);
        } else {
            self.trace.record(now, || What::Arrived(Summary::new(&packet)));
            let datagram = self.trace.is_on().then(|| packet.clone());
            if !host.stack.receive(now, packet) {
                match datagram {
                    Some(packet) => self.network.drop(now, &packet, DropReason::NoPort, &mut self.trace),
                    None => self.network.dropped += 1,
                }
            }
            return self.turn(id);
        }
        Ok(())
    }

    /// Lets a host do what it has to do now, and carries its packets away.
    fn turn(&mut self, id: HostId) -> Result<(), Fault> {
        let now = self.now;
        let host = &mut self.hosts[id.0 as usize];
        let result = host.turn(now, &self.network.names, &mut self.trace);
        let mut out = core::mem::take(&mut host.stack.out);
        for packet in out.drain(..) {
            let known = host.stack.has_address(packet.from.ip());
            let own = host.stack.has_address(packet.to.ip());
            self.network.send(now, id, packet, known, own, &mut self.trace);
        }
        // Keeps its room.
        host.stack.out = out;
        self.plan_network();
        self.plan_wake(id);
        if let Err(fault) = &result {
            self.fault = Some(fault.clone());
        }
        result
    }

    fn plan_network(&mut self) {
        for (at, due) in self.network.planned.drain(..) {
            self.queue.push(at, Event::Network(due));
        }
    }

    fn plan_wake(&mut self, id: HostId) {
        let now = self.now;
        let host = self.host_mut(id);
        let due = host.deadline(now).max(now);
        if due < host.wake {
            host.wake = due;
            self.queue.push(due, Event::Wake(id));
        }
    }

    fn tell(&mut self, id: HostId, input: Input) {
        let host = self.host_mut(id);
        if host.node.is_some() {
            host.stack.inbox.push_back(input);
            self.queue.push(self.now, Event::Turn(id));
        }
    }

    fn vanish(&mut self, id: HostId, change: Change) {
        let host = self.host_mut(id);
        host.node = None;
        host.stack.forget_all();
        self.trace.record(self.now, || What::Host(id, change));
    }

    fn take_address(&mut self, id: HostId, address: IpAddr) {
        let owner = self.network.announce(self.network.home(id), address, Place::Host(id));
        assert!(owner.is_none(), "{id} can't have the address {address}: {owner:?} has it");
        let addresses = &mut self.host_mut(id).stack.addresses;
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }

    fn seed_of(&self, id: HostId) -> Seed {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.seed.to_be_bytes());
        Seed::new(bytes).derive("sim host", u64::from(id.0))
    }

    fn host(&self, id: HostId) -> &Host {
        &self.hosts[id.0 as usize]
    }

    fn host_mut(&mut self, id: HostId) -> &mut Host {
        &mut self.hosts[id.0 as usize]
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut world = f.debug_struct("World");
        world.field("seed", &self.seed).field("now", &self.now).field("hosts", &self.hosts.len());
        world.field("stats", &self.stats()).finish_non_exhaustive()
    }
}
