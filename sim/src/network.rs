//! The way between hosts: who has which address, which links lie between, and where each packet is.
//!
//! ```text
//!  host -> [middlebox] -> access link, up -> link of the pair -> access link, down -> [middlebox] -> host
//!          Up                               Core                Down               Arrive
//! ```
//! A packet stops where it has to wait for its turn, so that all who share a link share its queue in the order in which they
//! reach it. Links that keep nobody waiting for others cost no event of their own.
//!
//! Addresses are of a realm: the internet, or the inside of a gateway. A gateway is a place in two of them, and a packet that
//! goes through it makes this way twice.

use crate::gateway::Gateway;
use crate::link::{Link, Pipe};
use crate::middlebox::Middlebox;
use crate::nat::{Side, Verdict};
use crate::node::{GatewayId, HostId};
use crate::packet::{Body, Packet};
use crate::rng::Rng;
use crate::trace::{DropReason, Summary, Trace, What};
use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::net::IpAddr;
use tidewire_core::Time;

/// How long a packet takes from a host to itself.
pub(crate) const LOOPBACK: Duration = Duration::from_micros(20);

pub(crate) struct Network {
    pub(crate) rng: Rng,
    pub(crate) default: Link,
    pub(crate) names: Names,
    pub(crate) gateways: Vec<Gateway>,
    /// Behind which gateway each host is.
    pub(crate) homes: Vec<Realm>,
    routes: BTreeMap<(Realm, IpAddr), Place>,
    /// Those that were set, cut, or have a memory.
    pairs: BTreeMap<(Place, Place), Pipe>,
    doors: BTreeMap<Place, Door>,
    /// To be told when; the world plans it.
    pub(crate) planned: Vec<(Time, Due)>,
    flights: Vec<Flight>,
    free: Vec<u32>,
    pub(crate) sent: u64,
    pub(crate) dropped: u64,
}

/// What stands for names: data, given by the test.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) addresses: BTreeMap<String, Vec<IpAddr>>,
    pub(crate) texts: BTreeMap<String, Vec<String>>,
}

/// Where an address means something: inside a gateway, or `None`, the internet.
pub(crate) type Realm = Option<GatewayId>;

/// Where a packet can be. A gateway is at two.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Host(HostId),
    Inside(GatewayId),
    Outside(GatewayId),
}

/// What is to be looked after at its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// A packet is where it waited for.
    Packet(u32),
    /// A gateway has something to say.
    Gateway(GatewayId),
}

/// Where a host or a gateway meets the network.
#[derive(Default)]
pub(crate) struct Door {
    pub(crate) up: Option<Pipe>,
    pub(crate) down: Option<Pipe>,
    pub(crate) middlebox: Option<Box<dyn Middlebox>>,
}

/// A packet on its way.
struct Flight {
    packet: Option<Packet>,
    from: Place,
    to: Place,
    next: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Up,
    Core,
    Down,
    Arrive,
}

/// What became of a packet that was moved on.
pub(crate) enum Moved {
    /// It is to be moved on again then.
    Waits(Time),
    /// It has arrived at a host. `true`: it comes from the host itself.
    Arrived(HostId, Packet, bool),
    /// It was lost, or a gateway has taken it.
    Gone,
}

impl Network {
    pub(crate) fn new(rng: Rng) -> Self {
        Network {
            rng,
            default: Link::default(),
            names: Names::default(),
            gateways: Vec::new(),
            homes: Vec::new(),
            routes: BTreeMap::new(),
            pairs: BTreeMap::new(),
            doors: BTreeMap::new(),
            planned: Vec::new(),
            flights: Vec::new(),
            free: Vec::new(),
            sent: 0,
            dropped: 0,
        }
    }

    pub(crate) fn set_link(&mut self, from: HostId, to: HostId, link: Link) {
        let pair = self.ends(from, to);
        self.pairs.entry(pair).or_default().set(link);
    }

    pub(crate) fn cut(&mut self, from: HostId, to: HostId, until: Time) {
        let pair = self.ends(from, to);
        self.pairs.entry(pair).or_default().cut(until);
    }

    /// As [`cut`](Network::cut), both ways, but a host that is behind a gateway from there is cut off from that one.
    pub(crate) fn split(&mut self, a: HostId, b: HostId, until: Time) {
        let (from, to) = self.ends(a, b);
        let home = |host: HostId, place| match (place, self.homes.get(host.0 as usize).copied().flatten()) {
            (Place::Outside(_), Some(gateway)) => Some((Place::Host(host), Place::Inside(gateway))),
            _ => None,
        };
        let pairs = match (home(a, from), home(b, to)) {
            (None, None) => vec![(from, to)],
            (a, b) => a.into_iter().chain(b).collect(),
        };
        for (from, to) in pairs {
            self.pairs.entry((from, to)).or_default().cut(until);
            self.pairs.entry((to, from)).or_default().cut(until);
        }
    }

    pub(crate) fn door(&mut self, place: Place) -> &mut Door {
        self.doors.entry(place).or_default()
    }

    /// No packet is on its way, and no gateway has one to answer.
    pub(crate) fn is_empty(&self) -> bool {
        self.free.len() == self.flights.len()
            && self.gateways.iter().all(|gateway| gateway.translator.deadline().is_never())
    }

    /// Packets for this address go to that place, also from outside of gateways that translate nothing. Who had it before.
    pub(crate) fn announce(&mut self, realm: Realm, address: IpAddr, place: Place) -> Option<Place> {
        let before = self.routes.insert((realm, address), place).filter(|before| *before != place);
        let passed = realm.and_then(|id| Some((id, self.gateway(id)?)));
        let Some((id, outside)) = passed.map(|(id, gateway)| (id, gateway.outside_of(address))) else { return before };
        let farther = outside.and_then(|outside| self.announce(outside, address, Place::Outside(id)));
        before.or(farther)
    }

    /// Nobody has this address any more, as far as it was announced from here.
    pub(crate) fn withdraw(&mut self, realm: Realm, address: IpAddr) {
        self.routes.remove(&(realm, address));
        let outside = realm.and_then(|id| self.gateway(id)).and_then(|gateway| gateway.outside_of(address));
        if let Some(outside) = outside {
            self.withdraw(outside, address);
        }
    }

    pub(crate) fn home(&self, host: HostId) -> Realm {
        self.homes.get(host.0 as usize).copied().flatten()
    }

    pub(crate) fn gateway(&self, id: GatewayId) -> Option<&Gateway> {
        self.gateways.get(id.0 as usize)
    }

    /// Takes a packet from a host. `known`: it has the address that the packet says it comes from.
    pub(crate) fn send(&mut self, now: Time, host: HostId, packet: Packet, known: bool, own: bool, trace: &mut Trace) {
        self.sent += 1;
        trace.record(now, || What::Sent(Summary::new(&packet)));
        let place = Place::Host(host);
        if !known {
            self.drop(now, &packet, DropReason::WrongSource, trace);
        } else if own {
            let flight = Flight { packet: Some(packet), from: place, to: place, next: Stage::Arrive };
            self.take_off(now + LOOPBACK, flight);
        } else if let Some(packet) = self.through(now, host, packet, Side::Inside, trace) {
            self.launch(now, place, packet, trace);
        }
    }

    /// Moves a packet on.
    pub(crate) fn step(&mut self, now: Time, flight: u32, trace: &mut Trace) -> Moved {
        let Some(place) = self.flights.get_mut(flight as usize) else { return Moved::Gone };
        let mut taken = Flight { packet: place.packet.take(), ..*place };
        if taken.next == Stage::Arrive {
            self.free.push(flight);
            let Some(packet) = taken.packet else { return Moved::Gone };
            match taken.to {
                Place::Host(host) => return Moved::Arrived(host, packet, taken.from == taken.to),
                Place::Inside(gateway) => self.gate(now, gateway, Side::Inside, packet, trace),
                Place::Outside(gateway) => self.gate(now, gateway, Side::Outside, packet, trace),
            }
            return Moved::Gone;
        }
        match self.pass(now, &mut taken) {
            Ok(at) => {
                if let Some(place) = self.flights.get_mut(flight as usize) {
                    *place = taken;
                }
                Moved::Waits(at)
            }
            Err(why) => {
                self.free.push(flight);
                if let Some(packet) = &taken.packet {
                    self.drop(now, packet, why, trace);
                }
                Moved::Gone
            }
        }
    }

    /// A packet has arrived at the door of a host. `None`: the middlebox kept it.
    pub(crate) fn enter(&mut self, now: Time, host: HostId, packet: Packet, trace: &mut Trace) -> Option<Packet> {
        self.through(now, host, packet, Side::Outside, trace)
    }

    /// Lets a gateway say what is due.
    pub(crate) fn wake_gateway(&mut self, now: Time, id: GatewayId, trace: &mut Trace) {
        if let Some(gateway) = self.gateways.get_mut(id.0 as usize)
            && gateway.wake <= now
        {
            gateway.wake = Time::NEVER;
        }
        while let Some(gateway) = self.gateways.get_mut(id.0 as usize)
            && let Some((side, answer)) = gateway.translator.on_timeout(now)
        {
            self.say(now, id, side, answer, trace);
        }
        self.plan_gateway(id);
    }

    /// A packet comes to a gateway, from one side.
    fn gate(&mut self, now: Time, id: GatewayId, from: Side, packet: Packet, trace: &mut Trace) {
        let Some(gateway) = self.gateways.get_mut(id.0 as usize) else { return };
        let before = trace.is_on().then(|| Summary::new(&packet));
        let verdict = match from {
            Side::Inside => gateway.translator.outward(now, packet),
            Side::Outside => gateway.translator.inward(now, packet),
        };
        match verdict {
            Verdict::Passed(side, packet) => {
                if let Some(before) = before.filter(|before| (before.from, before.to) != (packet.from, packet.to)) {
                    trace.record(now, || What::Translated(id, before, Summary::new(&packet)));
                }
                self.launch(now, on(id, side), packet, trace);
            }
            Verdict::Dropped { packet, why, answer } => {
                self.drop(now, &packet, why, trace);
                if let Some((side, answer)) = answer {
                    self.say(now, id, side, answer, trace);
                }
                self.plan_gateway(id);
            }
        }
    }

    fn say(&mut self, now: Time, id: GatewayId, side: Side, answer: Packet, trace: &mut Trace) {
        trace.record(now, || What::Answered(id, Summary::new(&answer)));
        self.launch(now, on(id, side), answer, trace);
    }

    fn plan_gateway(&mut self, id: GatewayId) {
        let Some(gateway) = self.gateways.get_mut(id.0 as usize) else { return };
        let due = gateway.translator.deadline();
        if due < gateway.wake {
            gateway.wake = due;
            self.planned.push((due, Due::Gateway(id)));
        }
    }

    /// Through the middlebox of a host, which may say something itself.
    fn through(&mut self, now: Time, host: HostId, packet: Packet, from: Side, trace: &mut Trace) -> Option<Packet> {
        let place = Place::Host(host);
        let Some(middlebox) = self.doors.get_mut(&place).and_then(|door| door.middlebox.as_mut()) else {
            return Some(packet);
        };
        let seen = trace.is_on().then(|| packet.clone());
        let passed = match from {
            Side::Inside => middlebox.outbound(now, packet),
            Side::Outside => middlebox.inbound(now, packet),
        };
        let answers: Vec<Packet> = core::iter::from_fn(|| middlebox.answer(now)).collect();
        if passed.is_none() {
            self.dropped += 1;
            if let Some(seen) = seen {
                trace.record(now, || What::Dropped(Summary::new(&seen), DropReason::Filtered));
            }
        }
        for answer in answers {
            trace.record(now, || What::Sent(Summary::new(&answer)));
            self.launch(now, place, answer, trace);
        }
        passed
    }

    /// Sends a packet on its way from a place to whom it is for.
    fn launch(&mut self, now: Time, from: Place, packet: Packet, trace: &mut Trace) {
        let realm = self.realm(from);
        let route = self.routes.get(&(realm, packet.to.ip())).copied();
        // What is not known here is for the gateway to know, which itself knows nobody else.
        let to = route.or_else(|| realm.map(Place::Inside)).filter(|to| match from {
            Place::Host(_) => true,
            Place::Inside(_) | Place::Outside(_) => *to != from,
        });
        let Some(to) = to else { return self.drop(now, &packet, DropReason::NoRoute, trace) };
        let next = if to == from { Stage::Arrive } else { Stage::Up };
        let mut flight = Flight { packet: Some(packet), from, to, next };
        match self.pass(now, &mut flight) {
            Ok(at) => self.take_off(at, flight),
            Err(why) => {
                if let Some(packet) = &flight.packet {
                    self.drop(now, packet, why, trace);
                }
            }
        }
    }

    fn realm(&self, place: Place) -> Realm {
        match place {
            Place::Host(host) => self.home(host),
            Place::Inside(gateway) => Some(gateway),
            Place::Outside(gateway) => self.gateway(gateway).and_then(|gateway| gateway.outside),
        }
    }

    /// Where two hosts face each other: themselves, or the gateways that they are behind.
    fn ends(&self, a: HostId, b: HostId) -> (Place, Place) {
        let way =
            |host| core::iter::successors(Some(Place::Host(host)), |place| self.realm(*place).map(Place::Outside));
        let faces = |from: Place| Some((from, way(b).find(|to| self.realm(*to) == self.realm(from))?));
        way(a).find_map(faces).unwrap_or((Place::Host(a), Place::Host(b)))
    }

    pub(crate) fn drop(&mut self, now: Time, packet: &Packet, why: DropReason, trace: &mut Trace) {
        self.dropped += 1;
        trace.record(now, || What::Dropped(Summary::new(packet), why));
    }

    /// Through all links that are free, up to where it has to wait or where it arrives.
    fn pass(&mut self, now: Time, flight: &mut Flight) -> Result<Time, DropReason> {
        let Some(packet) = &flight.packet else { return Err(DropReason::Lost) };
        let size = (packet.size(), matches!(packet.body, Body::Udp(_)));
        let realm = self.realm(flight.from);
        let default = realm.and_then(|id| self.gateways.get(id.0 as usize)).map_or(&self.default, |of| &of.lan);
        let mut at = now;
        loop {
            let (pipe, next) = match flight.next {
                Stage::Up => (self.doors.get_mut(&flight.from).and_then(|door| door.up.as_mut()), Stage::Core),
                Stage::Core => (pair(&mut self.pairs, default, (flight.from, flight.to)), Stage::Down),
                Stage::Down => (self.doors.get_mut(&flight.to).and_then(|door| door.down.as_mut()), Stage::Arrive),
                Stage::Arrive => return Ok(at),
            };
            // Whoever enters a queue, or meets a cut, must do so at its own time.
            if at > now && pipe.is_some() {
                return Ok(at);
            }
            at = match (pipe, flight.next) {
                (Some(pipe), _) => pipe.pass(at, size, default, &mut self.rng)?,
                (None, Stage::Core) => Pipe::default().pass(at, size, default, &mut self.rng)?,
                (None, _) => at,
            };
            flight.next = next;
        }
    }

    fn take_off(&mut self, at: Time, flight: Flight) {
        let free = self.free.pop();
        let number = match free.and_then(|free| self.flights.get_mut(free as usize)).zip(free) {
            Some((place, free)) => {
                *place = flight;
                free
            }
            None => {
                self.flights.push(flight);
                u32::try_from(self.flights.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.planned.push((at, Due::Packet(number)));
    }
}

const fn on(gateway: GatewayId, side: Side) -> Place {
    match side {
        Side::Inside => Place::Inside(gateway),
        Side::Outside => Place::Outside(gateway),
    }
}

/// The link between two places, if it is more than the default without a memory.
fn pair<'a>(
    pairs: &'a mut BTreeMap<(Place, Place), Pipe>,
    default: &Link,
    ends: (Place, Place),
) -> Option<&'a mut Pipe> {
    if default.has_memory() {
        return Some(pairs.entry(ends).or_default());
    }
    if pairs.is_empty() { None } else { pairs.get_mut(&ends) }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Host(host) => write!(f, "{host}"),
            Place::Inside(gateway) => write!(f, "inside of {gateway}"),
            Place::Outside(gateway) => write!(f, "{gateway}"),
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("sent", &self.sent).field("dropped", &self.dropped).finish_non_exhaustive()
    }
}
