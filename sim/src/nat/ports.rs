//! Which outer endpoint a new mapping gets.

use super::config::{Nat, Pooling, Ports};
use super::table::Table;
use crate::packet::Protocol;
use crate::rng::Rng;
use core::ops::RangeInclusive;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use tidewire_core::Time;

/// Ports that ordinary programs may not have; a NAT keeps the two ranges apart (RFC 4787 REQ-3b).
const LOW: RangeInclusive<u16> = 1..=1_023;
const HIGH: RangeInclusive<u16> = 1_024..=65_535;

#[derive(Debug)]
pub(super) struct Allocator {
    pub(super) outer: Vec<IpAddr>,
    pub(super) rng: Rng,
    /// The last port that was given in sequence.
    last: Option<u16>,
    /// Outer addresses that were given, in all.
    given: usize,
    paired: BTreeMap<IpAddr, IpAddr>,
}

impl Allocator {
    pub(super) const fn new(outer: Vec<IpAddr>, rng: Rng) -> Self {
        Allocator { outer, rng, last: None, given: 0, paired: BTreeMap::new() }
    }

    /// An outer endpoint for a new mapping. `None`: there is no port left.
    pub(super) fn allocate(
        &mut self,
        now: Time,
        nat: &Nat,
        table: &Table,
        protocol: Protocol,
        (inside, remote): (SocketAddr, SocketAddr),
    ) -> Option<SocketAddr> {
        let ip = self.address(nat, table, inside.ip())?;
        let range = if LOW.contains(&inside.port()) { LOW } else { HIGH };
        let step = 1 + u16::from(nat.parity);
        let fits = |port: u16| !nat.parity || port % 2 == inside.port() % 2;
        let is_free = |port: u16| fits(port) && table.at(protocol, SocketAddr::new(ip, port)).is_empty();
        let usable = |port: u16| {
            let ids = table.at(protocol, SocketAddr::new(ip, port));
            let clash = |id: &u64| table.entries.get(id).is_some_and(|e| e.open || e.session(now, remote).is_some());
            fits(port) && !ids.iter().any(clash)
        };
        let any = |rng: &mut Rng| range.start() + (rng.below(count(&range)) & 0xffff) as u16;
        let port = match nat.ports {
            Ports::Preserving => scan(&range, inside.port(), step, is_free),
            Ports::Overloading if inside.port() != 0 && usable(inside.port()) => Some(inside.port()),
            Ports::Overloading => scan(&range, any(&mut self.rng), 1, usable),
            Ports::Random => scan(&range, any(&mut self.rng), 1, is_free),
            // Below 1024 there is no sequence worth the name.
            Ports::Sequential { .. } if range == LOW => scan(&range, any(&mut self.rng), 1, is_free),
            Ports::Sequential { delta } => {
                let first = match self.last {
                    None => any(&mut self.rng),
                    Some(last) => after(&range, last, delta.max(1)),
                };
                let port = scan(&range, first, delta.max(1), is_free);
                // In steps, a sequence may miss all that is free.
                let port = port.or_else(|| scan(&range, first, 1, is_free));
                self.last = port.or(self.last);
                port
            }
        };
        port.map(|port| SocketAddr::new(ip, port))
    }

    fn address(&mut self, nat: &Nat, table: &Table, inside: IpAddr) -> Option<IpAddr> {
        let next = self.given.checked_rem(self.outer.len())?;
        let paired = self.paired.get(&inside).copied();
        let kept = paired.filter(|outer| table.mappings_of(inside) > 0 && self.outer.contains(outer));
        if let (Pooling::Paired, Some(outer)) = (nat.pooling, kept) {
            return Some(outer);
        }
        self.given += 1;
        let outer = self.outer.get(next).copied()?;
        if nat.pooling == Pooling::Paired {
            self.paired.retain(|inside, _| table.mappings_of(*inside) > 0);
            self.paired.insert(inside, outer);
        }
        Some(outer)
    }
}

fn count(range: &RangeInclusive<u16>) -> u64 {
    u64::from(range.end() - range.start()) + 1
}

/// `step` further in the range, which is a ring.
fn after(range: &RangeInclusive<u16>, port: u16, step: u16) -> u16 {
    let offset = u64::from(port.saturating_sub(*range.start())) + u64::from(step);
    range.start() + u16::try_from(offset % count(range)).unwrap_or(0)
}

/// The first port that is good, from `first` on in steps around the range.
fn scan(range: &RangeInclusive<u16>, first: u16, step: u16, good: impl Fn(u16) -> bool) -> Option<u16> {
    let mut port = first.clamp(*range.start(), *range.end());
    for _ in 0..count(range) {
        if good(port) {
            return Some(port);
        }
        port = after(range, port, step);
    }
    None
}
