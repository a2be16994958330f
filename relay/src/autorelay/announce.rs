//! Which addresses are announced: a pure function, and the taming of an address explosion.
//!
//! | | no relay is held | relays are held |
//! |---|---|---|
//! | our public ones | all, tamed | tamed; if we are known to be private, only the verified ones ([`AnnouncePublic`]) |
//! | our other ones | all | all ([`announce_private`](AutoRelayConfig::announce_private)): for peers in the same network |
//! | circuits | none | all, tamed for each relay |
//!
//! That joins what the first AutoRelay did (`Filter`: ours without circuits; "relayed": the private ones and circuits) with what
//! is known better today: an address that was dialed back is worth announcing whatever holds for the others.
//!
//! **Explosion.** A host behind a NAT that gives each flow another port is observed at many, and one that listens on many
//! multiplies them; so one IP address comes with dozens of ports, all but a few dead. Of public addresses that differ in
//! nothing but the port, those are kept whose port a private address beside them is bound to; without any, those with 4001
//! or 4002, libp2p's usual ones; without any, all.

use super::config::{AnnouncePublic, AutoRelayConfig};
use crate::autonat::Reachability;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use tidewire_core::{Component, Multiaddr, PeerId};

/// What the set depends on.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) own: Vec<Multiaddr>,
    pub(super) verified: Vec<Multiaddr>,
    pub(super) circuits: Vec<Multiaddr>,
}

/// The ports that are libp2p's by habit.
const USUAL_PORTS: [u16; 2] = [4001, 4002];

/// The addresses to announce, sorted. If there are more than may be, the verified ones go first, then circuits, in turns from each
/// relay, then public ones, then the rest.
pub(super) fn announced(known: &Known, reachability: Reachability, config: &AutoRelayConfig) -> Vec<Multiaddr> {
    let own = known.own.iter().filter(|address| !address.is_relayed());
    let (public, others): (Vec<&Multiaddr>, Vec<&Multiaddr>) = own.partition(|address| address.is_public());
    let is_verified = |address: &&Multiaddr| known.verified.contains(address);
    let verified: Vec<&Multiaddr> = public.iter().copied().filter(is_verified).collect();
    let circuits = if reachability == Reachability::Public { Vec::new() } else { by_relay(&known.circuits) };
    let is_relayed = !circuits.is_empty();
    let with_public = !is_relayed
        || match config.announce_public {
            AnnouncePublic::Always => true,
            AnnouncePublic::UnlessPrivate => reachability != Reachability::Private,
            AnnouncePublic::Verified => false,
        };
    let ports = ports_of(&others);
    let public = if with_public { tamed(&public, &ports) } else { Vec::new() };
    let others = if is_relayed && !config.announce_private { Vec::new() } else { others };
    let max = usize::try_from(config.max_addresses).unwrap_or(usize::MAX);
    let mut set = BTreeSet::new();
    for address in verified.into_iter().chain(in_turns(circuits)).chain(public).chain(others) {
        if set.len() >= max {
            break;
        }
        set.insert(address);
    }
    set.into_iter().cloned().collect()
}

/// The circuits of each relay, tamed. A relay in a private network has no public address: then all that it has.
fn by_relay(circuits: &[Multiaddr]) -> Vec<VecDeque<&Multiaddr>> {
    let mut relays: BTreeMap<Option<PeerId>, Vec<&Multiaddr>> = BTreeMap::new();
    for circuit in circuits.iter().filter(|circuit| circuit.is_relayed()) {
        relays.entry(circuit.relay_peer_id()).or_default().push(circuit);
    }
    relays.into_values().map(|all| of_relay(all).into()).collect()
}

fn of_relay(all: Vec<&Multiaddr>) -> Vec<&Multiaddr> {
    let (public, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|address| address.is_public());
    if public.is_empty() { others } else { tamed(&public, &ports_of(&others)) }
}

/// The first of each, the second of each, and so on.
fn in_turns(mut lists: Vec<VecDeque<&Multiaddr>>) -> Vec<&Multiaddr> {
    let mut all = Vec::new();
    while !lists.is_empty() {
        all.extend(lists.iter_mut().filter_map(VecDeque::pop_front));
        lists.retain(|list| !list.is_empty());
    }
    all
}

fn ports_of(addresses: &[&Multiaddr]) -> BTreeSet<u16> {
    addresses.iter().filter_map(|address| address.port()).collect()
}

/// Public addresses without the dead ports, in the order of what else they are.
fn tamed<'a>(public: &[&'a Multiaddr], bound: &BTreeSet<u16>) -> Vec<&'a Multiaddr> {
    let mut groups: BTreeMap<Vec<u8>, Vec<&Multiaddr>> = BTreeMap::new();
    for address in public {
        groups.entry(without_port(address)).or_default().push(address);
    }
    let mut kept = Vec::new();
    for group in groups.into_values() {
        let of = |wanted: &dyn Fn(u16) -> bool| -> Vec<&'a Multiaddr> {
            group.iter().copied().filter(|address| address.port().is_some_and(wanted)).collect()
        };
        let bound = of(&|port| bound.contains(&port));
        let usual = of(&|port| USUAL_PORTS.contains(&port));
        kept.extend(match () {
            () if group.len() == 1 => group,
            () if !bound.is_empty() => bound,
            () if !usual.is_empty() => usual,
            () => group,
        });
    }
    kept
}

/// What is left of an address without its first port.
fn without_port(address: &Multiaddr) -> Vec<u8> {
    let mut seen = false;
    let blank = |component| match component {
        Component::Tcp(_) if !seen => {
            seen = true;
            Component::Tcp(0)
        }
        Component::Udp(_) if !seen => {
            seen = true;
            Component::Udp(0)
        }
        other => other,
    };
    let components: Vec<Component<'_>> = address.iter().map(blank).collect();
    Multiaddr::from_components(&components).map_or_else(|_| address.as_bytes().into(), |key| key.as_bytes().into())
}
