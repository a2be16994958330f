//! The mappings of a NAT with their sessions, found from both sides, and forgotten in time.

use super::config::{Caps, Filtering, Lifetimes, Mapping};
use super::session::{Session, Side};
use crate::packet::{Packet, Protocol};
use crate::trace::DropReason;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use tidewire_core::Time;

/// Sessions of one mapping among which those that are over aren't looked for.
const FEW: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) entries: BTreeMap<u64, Entry>,
    made: u64,
    by_inside: BTreeMap<(Protocol, SocketAddr, Key), u64>,
    /// Several only where ports are overloaded.
    by_outside: BTreeMap<(Protocol, SocketAddr), Vec<u64>>,
    /// By which mappings a remote came in, the first one first: what is answered to it leaves the same way.
    came_in: BTreeMap<(Protocol, SocketAddr, SocketAddr), Vec<u64>>,
    /// Forwards, and what was sent to an exposed host: for all remotes, whatever the mapping is else.
    open: BTreeMap<(Protocol, SocketAddr), u64>,
    /// Mappings of each inside address.
    hosts: BTreeMap<IpAddr, usize>,
    /// No later than the end of each.
    alarms: BTreeSet<(Time, u64)>,
    sessions: usize,
}

/// As much of the remote as the mapping depends on.
pub(super) type Key = (Option<IpAddr>, Option<u16>);

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) protocol: Protocol,
    pub(super) inside: SocketAddr,
    pub(super) outer: SocketAddr,
    key: Option<Key>,
    /// Not filtered, and not bound to a remote.
    pub(super) open: bool,
    /// Static: it never ends.
    pub(super) forward: bool,
    /// Of UDP; TCP is as long as its sessions.
    until: Time,
    armed: Time,
    pub(super) sessions: BTreeMap<SocketAddr, Session>,
    /// At how many sessions those that are over are looked for.
    check_at: usize,
}

pub(super) fn key(mapping: Mapping, remote: SocketAddr) -> Key {
    match mapping {
        Mapping::EndpointIndependent => (None, None),
        Mapping::AddressDependent => (Some(remote.ip()), None),
        Mapping::AddressAndPortDependent => (Some(remote.ip()), Some(remote.port())),
    }
}

impl Entry {
    pub(super) fn new(protocol: Protocol, inside: SocketAddr, outer: SocketAddr, key: Option<Key>) -> Self {
        Entry {
            protocol,
            inside,
            outer,
            key,
            open: key.is_none(),
            forward: false,
            until: Time::ZERO,
            armed: Time::NEVER,
            sessions: BTreeMap::new(),
            check_at: FEW,
        }
    }

    /// A static one.
    pub(super) fn forward(protocol: Protocol, inside: SocketAddr, outer: SocketAddr) -> Self {
        Entry { forward: true, ..Entry::new(protocol, inside, outer, None) }
    }

    /// When it ends if nothing happens.
    pub(super) fn end(&self) -> Time {
        match self.protocol {
            _ if self.forward => Time::NEVER,
            Protocol::Udp => self.until,
            Protocol::Tcp => self.sessions.values().map(|session| session.until).max().unwrap_or(Time::ZERO),
        }
    }

    /// A session with this remote that is not over.
    pub(super) fn session(&self, now: Time, remote: SocketAddr) -> Option<&Session> {
        self.sessions.get(&remote).filter(|session| session.until > now)
    }

    /// Whether the filter lets a remote in, without a session of its own.
    fn admits(&self, now: Time, filtering: Filtering, remote: SocketAddr) -> bool {
        let sent = |session: &Session| session.sent && session.until > now;
        match filtering {
            _ if self.open => true,
            Filtering::EndpointIndependent => true,
            Filtering::AddressDependent => {
                let from = SocketAddr::new(remote.ip(), 0);
                let of_address = self.sessions.range(from..).take_while(|(other, _)| other.ip() == remote.ip());
                of_address.into_iter().any(|(_, session)| sent(session))
            }
            Filtering::AddressAndPortDependent => self.sessions.get(&remote).is_some_and(sent),
        }
    }
}

impl Table {
    /// Forgets what is over.
    pub(super) fn expire(&mut self, now: Time) {
        while let Some((_, id)) = self.alarms.first().copied().filter(|(at, _)| *at <= now) {
            self.alarms.pop_first();
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.armed = Time::NEVER;
            }
            self.settle(now, id);
        }
    }

    /// By which mapping a packet leaves.
    pub(super) fn outward(
        &self,
        now: Time,
        protocol: Protocol,
        (inside, remote): (SocketAddr, SocketAddr),
        mapping: Mapping,
    ) -> Option<u64> {
        let open = self.open.get(&(protocol, inside));
        let mapped = open.or_else(|| self.by_inside.get(&(protocol, inside, key(mapping, remote))));
        let came = || {
            let ids = self.came_in.get(&(protocol, inside, remote))?;
            ids.iter().find(|id| self.entries.get(id).is_some_and(|entry| entry.session(now, remote).is_some()))
        };
        mapped.or_else(came).copied()
    }

    /// By which mapping a packet comes in; else why it does not.
    pub(super) fn inward(
        &self,
        now: Time,
        protocol: Protocol,
        (outer, remote): (SocketAddr, SocketAddr),
        filtering: Filtering,
    ) -> Result<u64, DropReason> {
        let ids = self.at(protocol, outer);
        if ids.is_empty() {
            return Err(DropReason::NoMapping);
        }
        let entries = || ids.iter().filter_map(|id| Some((*id, self.entries.get(id)?)));
        let own = entries().find(|(_, entry)| entry.session(now, remote).is_some());
        let found = own.or_else(|| entries().find(|(_, entry)| entry.admits(now, filtering, remote)));
        found.map(|(id, _)| id).ok_or(DropReason::Unsolicited)
    }

    /// The mappings that have this outer endpoint.
    pub(super) fn at(&self, protocol: Protocol, outer: SocketAddr) -> &[u64] {
        self.by_outside.get(&(protocol, outer)).map_or(&[], |ids| ids)
    }

    /// The mapping of an inside endpoint that has a session with this remote.
    pub(super) fn of_session(&self, now: Time, protocol: Protocol, ends: (SocketAddr, SocketAddr)) -> Option<&Entry> {
        let (inside, remote) = ends;
        let keyed = self.by_inside.range((protocol, inside, (None, None))..);
        let keyed = keyed.take_while(|((p, i, _), _)| (*p, *i) == (protocol, inside)).map(|(_, id)| id);
        let others = self.open.get(&(protocol, inside)).into_iter();
        let came = self.came_in.get(&(protocol, inside, remote)).into_iter().flatten();
        let mut entries = keyed.chain(others).chain(came).filter_map(|id| self.entries.get(id));
        entries.find(|entry| entry.session(now, remote).is_some())
    }

    /// Whether an inside endpoint has a mapping for all remotes already.
    pub(super) fn is_open(&self, protocol: Protocol, inside: SocketAddr) -> bool {
        self.open.contains_key(&(protocol, inside))
    }

    pub(super) fn mappings_of(&self, host: IpAddr) -> usize {
        self.hosts.get(&host).copied().unwrap_or(0)
    }

    /// Whether there is room for another mapping.
    pub(super) fn has_room(&self, host: IpAddr, caps: &Caps) -> bool {
        self.entries.len() < caps.max_mappings && self.mappings_of(host) < caps.max_mappings_per_host
    }

    pub(super) fn insert(&mut self, entry: Entry) -> u64 {
        let id = self.made;
        self.made += 1;
        let (protocol, inside) = (entry.protocol, entry.inside);
        match entry.key {
            Some(key) => self.by_inside.insert((protocol, inside, key), id),
            None => self.open.insert((protocol, inside), id),
        };
        self.by_outside.entry((protocol, entry.outer)).or_default().push(id);
        *self.hosts.entry(inside.ip()).or_default() += 1;
        self.entries.insert(id, entry);
        id
    }

    pub(super) fn remove(&mut self, id: u64) {
        let Some(entry) = self.entries.remove(&id) else { return };
        let (protocol, inside) = (entry.protocol, entry.inside);
        match entry.key {
            Some(key) => self.by_inside.remove(&(protocol, inside, key)),
            None => self.open.remove(&(protocol, inside)),
        };
        if let Some(ids) = self.by_outside.get_mut(&(protocol, entry.outer)) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_outside.remove(&(protocol, entry.outer));
            }
        }
        if let Some(count) = self.hosts.get_mut(&inside.ip()) {
            *count -= 1;
            if *count == 0 {
                self.hosts.remove(&inside.ip());
            }
        }
        self.alarms.remove(&(entry.armed, id));
        for (remote, session) in entry.sessions {
            self.forget_session(id, (protocol, inside, remote), &session);
        }
    }

    /// A packet passes by this mapping. `false`: there is no room for its session.
    pub(super) fn pass(
        &mut self,
        now: Time,
        id: u64,
        side: Side,
        packet: &Packet,
        lifetimes: &Lifetimes,
        caps: &Caps,
    ) -> bool {
        let remote = if side == Side::Inside { packet.to } else { packet.from };
        if !self.begin_session(now, id, side, remote, caps) {
            return false;
        }
        let Some(entry) = self.entries.get_mut(&id) else { return false };
        let inside = (entry.protocol, entry.inside, remote);
        if side == Side::Inside || lifetimes.udp_refresh_inbound || entry.until == Time::ZERO {
            entry.until = now + lifetimes.udp;
        }
        let Some(session) = entry.sessions.get_mut(&remote) else { return false };
        let before = session.until;
        let over = session.pass(now, side, packet, lifetimes);
        let sooner = session.until < before || entry.armed.is_never();
        if over && let Some(session) = entry.sessions.remove(&remote) {
            self.forget_session(id, inside, &session);
        }
        // What ends later than it did needs no new alarm, and no look at all sessions.
        if over || sooner {
            self.settle(now, id);
        }
        true
    }

    /// Removes a mapping whose end has come, or sets its alarm.
    fn settle(&mut self, now: Time, id: u64) {
        if self.entries.get(&id).is_some_and(|entry| entry.end() <= now) {
            self.remove(id);
        } else {
            self.arm(id);
        }
    }

    fn begin_session(&mut self, now: Time, id: u64, side: Side, remote: SocketAddr, caps: &Caps) -> bool {
        let Some(entry) = self.entries.get(&id) else { return false };
        if entry.session(now, remote).is_some() {
            return true;
        }
        if entry.sessions.len() >= entry.check_at {
            self.forget_old(now, id);
        }
        if self.sessions >= caps.max_sessions {
            for id in self.entries.keys().copied().collect::<Vec<_>>() {
                self.forget_old(now, id);
            }
            if self.sessions >= caps.max_sessions {
                return false;
            }
        }
        let Some(entry) = self.entries.get_mut(&id) else { return false };
        let ends = (entry.protocol, entry.inside, remote);
        if let Some(old) = entry.sessions.insert(remote, Session::new(side)) {
            self.forget_session(id, ends, &old);
        }
        self.sessions += 1;
        if side == Side::Outside {
            self.came_in.entry(ends).or_default().push(id);
        }
        true
    }

    /// Forgets the sessions of a mapping that are over.
    fn forget_old(&mut self, now: Time, id: u64) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let inside = (entry.protocol, entry.inside);
        let (live, old) = core::mem::take(&mut entry.sessions).into_iter().partition(|(_, s)| s.until > now);
        entry.sessions = live;
        entry.check_at = (entry.sessions.len() * 2).max(FEW);
        let old: BTreeMap<SocketAddr, Session> = old;
        for (remote, session) in old {
            self.forget_session(id, (inside.0, inside.1, remote), &session);
        }
    }

    /// A session was taken out of its mapping.
    fn forget_session(&mut self, id: u64, ends: (Protocol, SocketAddr, SocketAddr), session: &Session) {
        self.sessions -= 1;
        if session.came_in
            && let Some(ids) = self.came_in.get_mut(&ends)
        {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.came_in.remove(&ends);
            }
        }
    }

    fn arm(&mut self, id: u64) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let end = entry.end();
        if end < entry.armed {
            self.alarms.remove(&(entry.armed, id));
            entry.armed = end;
            self.alarms.insert((end, id));
        }
    }
}
