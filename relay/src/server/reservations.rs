//! The reservations, in the order in which they end, and how many each network and each autonomous system has.
//!
//! All last equally long, so whoever asked last ends last: a renewal goes to the end of the line, in O(1) however many there are.

use super::book::{Connection, tree_bytes};
use super::table::Line;
use super::{Network, Refusal, ServerConfig};
use crate::ConnectionId;
use alloc::collections::BTreeMap;
use tidewire_core::{Multiaddr, Time, UnixTime};

/// Who holds what.
pub(super) struct Reservations {
    line: Line<Held>,
    networks: BTreeMap<Network, u32>,
    systems: BTreeMap<u32, u32>,
    /// Heap bytes of the addresses.
    addresses: usize,
}

/// One reservation.
pub(super) struct Held {
    /// The holder's slot in the book.
    pub(super) peer: u32,
    /// Over which connection it was asked for last; that may have ended.
    pub(super) connection: ConnectionId,
    /// From where.
    pub(super) address: Multiaddr,
    pub(super) since: Time,
    pub(super) until: Time,
    /// What the holder was told.
    pub(super) expire: UnixTime,
    pub(super) renewals: u32,
    place: Place,
}

/// What a reservation counts for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    network: Option<Network>,
    asn: Option<u32>,
}

impl Place {
    pub(super) fn of(connection: &Connection, config: &ServerConfig) -> Place {
        let Connection { network, asn, .. } = *connection;
        let counts = network.is_some_and(|network| config.count_asn_of_ip4 || !network.is_ip4());
        Place { network, asn: asn.filter(|_| counts) }
    }
}

impl Reservations {
    pub(super) const fn new() -> Self {
        Reservations { line: Line::new(), networks: BTreeMap::new(), systems: BTreeMap::new(), addresses: 0 }
    }

    /// Whether one more may be given.
    pub(super) fn room(&self, place: Place, config: &ServerConfig) -> Result<(), Refusal> {
        let cap = config.reservations;
        if self.line.len() >= cap {
            return Err(Refusal::Reservations { cap });
        }
        self.room_at(place, config)
    }

    pub(super) fn add(
        &mut self,
        peer: u32,
        from: &Connection,
        place: Place,
        now: Time,
        until: Time,
        expire: UnixTime,
    ) -> u32 {
        self.count(place);
        self.addresses = self.addresses.saturating_add(from.remote.memory_used());
        self.line.push(Held {
            peer,
            connection: from.id,
            address: from.remote.clone(),
            since: now,
            until,
            expire,
            renewals: 0,
            place,
        })
    }

    /// Always succeeds. One that comes from elsewhere now counts there if there is room, else where it counted before.
    pub(super) fn renew(
        &mut self,
        slot: u32,
        from: &Connection,
        place: Place,
        until: Time,
        expire: UnixTime,
        config: &ServerConfig,
    ) {
        let Some(before) = self.line.get(slot).map(|held| held.place) else { return };
        let mut after = before;
        if place != before {
            self.uncount(before);
            if self.room_at(place, config).is_ok() {
                after = place;
            }
            self.count(after);
        }
        self.line.send_to_end(slot);
        let Some(held) = self.line.get_mut(slot) else { return };
        if held.connection != from.id {
            let (old, new) = (held.address.memory_used(), from.remote.memory_used());
            self.addresses = self.addresses.saturating_add(new).saturating_sub(old);
            (held.connection, held.address) = (from.id, from.remote.clone());
        }
        held.until = until;
        held.expire = expire;
        held.renewals = held.renewals.saturating_add(1);
        held.place = after;
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<Held> {
        let held = self.line.remove(slot)?;
        self.uncount(held.place);
        self.addresses = self.addresses.saturating_sub(held.address.memory_used());
        Some(held)
    }

    /// When the next one ends.
    pub(super) fn next(&self) -> Time {
        self.line.first().map_or(Time::NEVER, |(_, held)| held.until)
    }

    /// The one that ends first.
    pub(super) fn first(&self) -> Option<u32> {
        self.line.first().map(|(slot, _)| slot)
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Held> {
        self.line.get(slot)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.line.iter().map(|(_, held)| held)
    }

    pub(super) fn len(&self) -> u32 {
        self.line.len()
    }

    /// Networks and autonomous systems that have any.
    pub(super) fn places(&self) -> (usize, usize) {
        (self.networks.len(), self.systems.len())
    }

    pub(super) fn memory_used(&self) -> usize {
        self.line.memory_used()
            + tree_bytes::<(Network, u32)>(self.networks.len())
            + tree_bytes::<(u32, u32)>(self.systems.len())
            + self.addresses
    }

    fn room_at(&self, place: Place, config: &ServerConfig) -> Result<(), Refusal> {
        let used = |count: Option<&u32>| count.copied().unwrap_or(0);
        if let Some(network) = place.network {
            let cap = config.reservations_per_network;
            if used(self.networks.get(&network)) >= cap {
                return Err(Refusal::NetworkReservations { network, cap });
            }
        }
        if let Some(asn) = place.asn {
            let cap = config.reservations_per_asn;
            if used(self.systems.get(&asn)) >= cap {
                return Err(Refusal::AsnReservations { asn, cap });
            }
        }
        Ok(())
    }

    fn count(&mut self, place: Place) {
        if let Some(network) = place.network {
            let count = self.networks.entry(network).or_default();
            *count = count.saturating_add(1);
        }
        if let Some(asn) = place.asn {
            let count = self.systems.entry(asn).or_default();
            *count = count.saturating_add(1);
        }
    }

    fn uncount(&mut self, place: Place) {
        if let Some(network) = place.network {
            take_one(&mut self.networks, &network);
        }
        if let Some(asn) = place.asn {
            take_one(&mut self.systems, &asn);
        }
    }
}

/// Counts one less, and forgets a count of nothing.
fn take_one<K: Ord>(counts: &mut BTreeMap<K, u32>, key: &K) {
    let Some(count) = counts.get_mut(key) else { return };
    *count = count.saturating_sub(1);
    if *count == 0 {
        counts.remove(key);
    }
}
