//! The way between hosts: who has which address, which links lie between, and where each packet is.
//!
//! ```text
//!  host -> [middlebox] -> access link, up -> link of the pair -> access link, down -> [middlebox] -> host
//!          Up                               Core                Down               Arrive
//! ```
//! A packet stops where it has to wait for its turn, so that all who share a link share its queue in the order in which they
//! reach it. Links that keep nobody waiting for others cost no event of their own.

use crate::link::{Link, Pipe};
use crate::middlebox::Middlebox;
use crate::node::HostId;
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
    pub(crate) routes: BTreeMap<IpAddr, HostId>,
    pub(crate) names: Names,
    /// Those that were set, cut, or have a memory.
    pairs: BTreeMap<(HostId, HostId), Pipe>,
    doors: BTreeMap<HostId, Door>,
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

/// Where a host meets the network.
#[derive(Default)]
pub(crate) struct Door {
    pub(crate) up: Option<Pipe>,
    pub(crate) down: Option<Pipe>,
    pub(crate) middlebox: Option<Box<dyn Middlebox>>,
}

/// A packet on its way.
struct Flight {
    packet: Option<Packet>,
    from: HostId,
    to: HostId,
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
    /// It has arrived.
    Arrived(HostId, Packet),
    Lost,
}

impl Network {
    pub(crate) fn new(rng: Rng) -> Self {
        Network {
            rng,
            default: Link::default(),
            routes: BTreeMap::new(),
            names: Names::default(),
            pairs: BTreeMap::new(),
            doors: BTreeMap::new(),
            flights: Vec::new(),
            free: Vec::new(),
            sent: 0,
            dropped: 0,
        }
    }

    pub(crate) fn set_link(&mut self, from: HostId, to: HostId, link: Link) {
        self.pairs.entry((from, to)).or_default().set(link);
    }

    pub(crate) fn cut(&mut self, from: HostId, to: HostId, until: Time) {
        self.pairs.entry((from, to)).or_default().cut(until);
    }

    pub(crate) fn door(&mut self, host: HostId) -> &mut Door {
        self.doors.entry(host).or_default()
    }

    /// No packet is on its way.
    pub(crate) const fn is_empty(&self) -> bool {
        self.free.len() == self.flights.len()
    }

    /// Takes a packet from a host. `known`: it has the address that the packet says it comes from.
    pub(crate) fn send(
        &mut self,
        now: Time,
        host: HostId,
        packet: Packet,
        known: bool,
        own: bool,
        trace: &mut Trace,
    ) -> Option<(Time, u32)> {
        self.sent += 1;
        trace.record(now, || What::Sent(Summary::new(&packet)));
        if !known {
            self.drop(now, &packet, DropReason::WrongSource, trace);
            return None;
        }
        if own {
            let flight = Flight { packet: Some(packet), from: host, to: host, next: Stage::Arrive };
            return Some((now + LOOPBACK, self.take_off(flight)));
        }
        let packet = match self.doors.get_mut(&host).and_then(|door| door.middlebox.as_mut()) {
            None => packet,
            Some(middlebox) => {
                let seen = trace.is_on().then(|| packet.clone());
                let Some(packet) = middlebox.outbound(now, packet) else {
                    self.dropped += 1;
                    if let Some(seen) = seen {
                        trace.record(now, || What::Dropped(Summary::new(&seen), DropReason::Filtered));
                    }
                    return None;
                };
                packet
            }
        };
        let Some(to) = self.routes.get(&packet.to.ip()).copied() else {
            self.drop(now, &packet, DropReason::NoRoute, trace);
            return None;
        };
        let mut flight = Flight { packet: Some(packet), from: host, to, next: Stage::Up };
        match self.pass(now, &mut flight) {
            Ok(at) => Some((at, self.take_off(flight))),
            Err(why) => {
                if let Some(packet) = &flight.packet {
                    self.drop(now, packet, why, trace);
                }
                None
            }
        }
    }

    /// Moves a packet on.
    pub(crate) fn step(&mut self, now: Time, flight: u32, trace: &mut Trace) -> Moved {
        let Some(place) = self.flights.get_mut(flight as usize) else { return Moved::Lost };
        let mut taken = Flight { packet: place.packet.take(), ..*place };
        if taken.next == Stage::Arrive {
            self.free.push(flight);
            return match taken.packet {
                Some(packet) => Moved::Arrived(taken.to, packet),
                None => Moved::Lost,
            };
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
                Moved::Lost
            }
        }
    }

    /// A packet has arrived at the door of a host. `None`: the middlebox kept it.
    pub(crate) fn enter(&mut self, now: Time, host: HostId, packet: Packet, trace: &mut Trace) -> Option<Packet> {
        let Some(middlebox) = self.doors.get_mut(&host).and_then(|door| door.middlebox.as_mut()) else {
            return Some(packet);
        };
        let seen = trace.is_on().then(|| packet.clone());
        let entered = middlebox.inbound(now, packet);
        if entered.is_none() {
            self.dropped += 1;
            if let Some(seen) = seen {
                trace.record(now, || What::Dropped(Summary::new(&seen), DropReason::Filtered));
            }
        }
        entered
    }

    pub(crate) fn drop(&mut self, now: Time, packet: &Packet, why: DropReason, trace: &mut Trace) {
        self.dropped += 1;
        trace.record(now, || What::Dropped(Summary::new(packet), why));
    }

    /// Through all links that are free, up to where it has to wait or where it arrives.
    fn pass(&mut self, now: Time, flight: &mut Flight) -> Result<Time, DropReason> {
        let Some(packet) = &flight.packet else { return Err(DropReason::Lost) };
        let size = (packet.size(), matches!(packet.body, Body::Udp(_)));
        let mut at = now;
        loop {
            let (pipe, next) = match flight.next {
                Stage::Up => (self.doors.get_mut(&flight.from).and_then(|door| door.up.as_mut()), Stage::Core),
                Stage::Core => (pair(&mut self.pairs, &self.default, (flight.from, flight.to)), Stage::Down),
                Stage::Down => (self.doors.get_mut(&flight.to).and_then(|door| door.down.as_mut()), Stage::Arrive),
                Stage::Arrive => return Ok(at),
            };
            // Whoever enters a queue, or meets a cut, must do so at its own time.
            if at > now && pipe.is_some() {
                return Ok(at);
            }
            at = match (pipe, flight.next) {
                (Some(pipe), _) => pipe.pass(at, size, &self.default, &mut self.rng)?,
                (None, Stage::Core) => Pipe::default().pass(at, size, &self.default, &mut self.rng)?,
                (None, _) => at,
            };
            flight.next = next;
        }
    }

    fn take_off(&mut self, flight: Flight) -> u32 {
        if let Some(free) = self.free.pop()
            && let Some(place) = self.flights.get_mut(free as usize)
        {
            *place = flight;
            return free;
        }
        self.flights.push(flight);
        u32::try_from(self.flights.len() - 1).unwrap_or(u32::MAX)
    }
}

/// The link between two hosts, if it is more than the default without a memory.
fn pair<'a>(
    pairs: &'a mut BTreeMap<(HostId, HostId), Pipe>,
    default: &Link,
    ends: (HostId, HostId),
) -> Option<&'a mut Pipe> {
    if default.has_memory() {
        return Some(pairs.entry(ends).or_default());
    }
    if pairs.is_empty() { None } else { pairs.get_mut(&ends) }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("sent", &self.sent).field("dropped", &self.dropped).finish_non_exhaustive()
    }
}
