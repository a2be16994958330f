//! The gate: rules that forbid peers, networks and addresses, each with its reason.
//!
//! ```text
//!   peer --------> Peer rules -----------------------------+
//!   IP address --> Subnet rules, the longest prefix first -+--> the reason, or nothing: allowed
//!   address -----> Address rules, its IP, its relay -------+
//! ```

use super::rank::embedded_v4;
use super::{DialConfig, DialMisuse};
use crate::text::heap_bytes;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use smol_str::SmolStr;
use tidewire_core::{Multiaddr, PeerId, cut};

/// What a rule of the gate is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum GateRule {
    /// This peer, both ways; also as a relay.
    Peer(PeerId),
    /// This network, both ways. Bits beyond the prefix are ignored. An IPv4 network in IPv6 clothes (`::ffff:192.0.2.0/120`)
    /// is the IPv4 one.
    Subnet(IpAddr, u8),
    /// This very address, outbound. Whether it ends in `/p2p/<peer>` is of no matter.
    Address(Multiaddr),
}

/// Rules that forbid, each with its reason. What no rule forbids is allowed.
///
/// A subnet rule sees the IP address that an address begins with. Names are resolved elsewhere: ask again with what came out.
/// An IPv6 address that stands for an IPv4 one (mapped, NAT64, 6to4) is forbidden by the rules for either.
#[derive(Clone, Debug)]
pub struct Gate {
    max_rules: u32,
    peers: BTreeMap<PeerId, SmolStr>,
    addresses: BTreeMap<Multiaddr, SmolStr>,
    v4: Subnets,
    v6: Subnets,
    /// Heap bytes of reasons and addresses.
    boxed: usize,
}

/// The rules of one family, by prefix and network. A look-up costs one search for each length that is in use.
#[derive(Clone, Debug)]
struct Subnets {
    rules: BTreeMap<(u8, u128), SmolStr>,
    /// How many rules there are of each length that is in use, longest first.
    lengths: Vec<(u8, u32)>,
}

/// A subnet rule as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Network {
    V4(u8, u128),
    V6(u8, u128),
}

impl Gate {
    /// The most bytes of a reason; longer ones are cut.
    pub const MAX_WHY: usize = 128;

    /// A gate without rules, for at most [`DialConfig::max_rules`].
    pub fn new(config: &DialConfig) -> Self {
        Gate {
            max_rules: config.max_rules,
            peers: BTreeMap::new(),
            addresses: BTreeMap::new(),
            v4: Subnets::new(),
            v6: Subnets::new(),
            boxed: 0,
        }
    }

    /// Adds a rule, or gives one that is there another reason.
    ///
    /// # Errors
    /// [`DialMisuse::TooManyRules`], [`DialMisuse::Prefix`]. Nothing changed.
    pub fn deny(&mut self, rule: GateRule, why: &str) -> Result<(), DialMisuse> {
        let network = match &rule {
            GateRule::Subnet(ip, prefix) => Some(Network::new(*ip, *prefix)?),
            _ => None,
        };
        if self.len() >= self.max_rules as usize && !self.contains(&rule, network) {
            return Err(DialMisuse::TooManyRules(self.max_rules));
        }
        let why = SmolStr::new(cut(why, Self::MAX_WHY));
        let mut boxed = heap_bytes(&why);
        let old = match (rule, network) {
            (GateRule::Peer(peer), _) => self.peers.insert(peer, why),
            (GateRule::Address(address), _) => {
                let address = address.without_peer_id();
                let bytes = address.memory_used();
                let old = self.addresses.insert(address, why);
                if old.is_none() {
                    boxed += bytes;
                }
                old
            }
            (GateRule::Subnet(..), Some(Network::V4(prefix, bits))) => self.v4.insert(prefix, bits, why),
            (GateRule::Subnet(..), Some(Network::V6(prefix, bits))) => self.v6.insert(prefix, bits, why),
            (GateRule::Subnet(..), None) => None,
        };
        self.boxed = (self.boxed + boxed).saturating_sub(old.as_ref().map_or(0, heap_bytes));
        Ok(())
    }

    /// Takes a rule away. Whether it was there.
    pub fn allow(&mut self, rule: &GateRule) -> bool {
        let (old, address) = match rule {
            GateRule::Peer(peer) => (self.peers.remove(peer), 0),
            GateRule::Address(address) => {
                let address = address.without_peer_id();
                (self.addresses.remove(&address), address.memory_used())
            }
            GateRule::Subnet(ip, prefix) => match Network::new(*ip, *prefix) {
                Ok(Network::V4(prefix, bits)) => (self.v4.remove(prefix, bits), 0),
                Ok(Network::V6(prefix, bits)) => (self.v6.remove(prefix, bits), 0),
                Err(_) => (None, 0),
            },
        };
        let Some(why) = old else { return false };
        self.boxed = self.boxed.saturating_sub(heap_bytes(&why) + address);
        true
    }

    /// Why this peer is forbidden; `None` if it isn't.
    pub fn peer(&self, peer: &PeerId) -> Option<&SmolStr> {
        self.peers.get(peer)
    }

    /// Why this IP address is forbidden: the rule with the longest prefix. `None` if it isn't.
    pub fn ip(&self, ip: IpAddr) -> Option<&SmolStr> {
        let embedded = || embedded_v4(ip).and_then(|ip| self.v4.find(v4_bits(ip)));
        match ip {
            IpAddr::V4(ip) => self.v4.find(v4_bits(ip)),
            IpAddr::V6(_) if ip.to_canonical().is_ipv4() => embedded(),
            IpAddr::V6(v6) => self.v6.find(v6.to_bits()).or_else(embedded),
        }
    }

    /// Why this address may not be dialed: by a rule for the address itself, for its IP address, or for the relay on the way.
    /// Says nothing of who is at its end. `None` if it may.
    pub fn address(&self, address: &Multiaddr) -> Option<SmolStr> {
        let itself = || self.addresses.get(&address.without_peer_id());
        let network = || address.ip().and_then(|ip| self.ip(ip));
        let relay = || address.relay_peer_id().and_then(|relay| self.peer(&relay));
        itself().or_else(network).or_else(relay).cloned()
    }

    /// Whether this peer may be dialed at this address.
    ///
    /// # Errors
    /// The reason of the rule against it.
    pub fn permits(&self, peer: &PeerId, address: &Multiaddr) -> Result<(), SmolStr> {
        match self.peer(peer).cloned().or_else(|| self.address(address)) {
            Some(why) => Err(why),
            None => Ok(()),
        }
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.peers.len() + self.addresses.len() + self.v4.rules.len() + self.v6.rules.len()
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Heap bytes. The trees' nodes are taken to be two thirds full, as random insertion leaves them.
    pub fn memory_used(&self) -> usize {
        let peers = self.peers.len() * size_of::<(PeerId, SmolStr)>();
        let addresses = self.addresses.len() * size_of::<(Multiaddr, SmolStr)>();
        let subnets = (self.v4.rules.len() + self.v6.rules.len()) * size_of::<((u8, u128), SmolStr)>();
        let lengths = (self.v4.lengths.capacity() + self.v6.lengths.capacity()) * size_of::<(u8, u32)>();
        (peers + addresses + subnets) / 2 * 3 + lengths + self.boxed
    }

    fn contains(&self, rule: &GateRule, network: Option<Network>) -> bool {
        match (rule, network) {
            (GateRule::Peer(peer), _) => self.peers.contains_key(peer),
            (GateRule::Address(address), _) => self.addresses.contains_key(&address.without_peer_id()),
            (GateRule::Subnet(..), Some(Network::V4(prefix, bits))) => self.v4.rules.contains_key(&(prefix, bits)),
            (GateRule::Subnet(..), Some(Network::V6(prefix, bits))) => self.v6.rules.contains_key(&(prefix, bits)),
            (GateRule::Subnet(..), None) => false,
        }
    }
}

impl Subnets {
    fn new() -> Self {
        Subnets { rules: BTreeMap::new(), lengths: Vec::new() }
    }

    fn insert(&mut self, prefix: u8, bits: u128, why: SmolStr) -> Option<SmolStr> {
        let old = self.rules.insert((prefix, bits), why);
        if old.is_none() {
            match self.place(prefix) {
                Ok(at) => self.lengths.get_mut(at).into_iter().for_each(|(_, count)| *count += 1),
                Err(at) => self.lengths.insert(at, (prefix, 1)),
            }
        }
        old
    }

    fn remove(&mut self, prefix: u8, bits: u128) -> Option<SmolStr> {
        let old = self.rules.remove(&(prefix, bits))?;
        if let Ok(at) = self.place(prefix) {
            match self.lengths.get_mut(at) {
                Some((_, count)) if *count > 1 => *count -= 1,
                _ => drop(self.lengths.remove(at)),
            }
        }
        Some(old)
    }

    fn find(&self, bits: u128) -> Option<&SmolStr> {
        self.lengths.iter().find_map(|(prefix, _)| self.rules.get(&(*prefix, masked(bits, *prefix))))
    }

    fn place(&self, prefix: u8) -> Result<usize, usize> {
        self.lengths.binary_search_by(|(length, _)| prefix.cmp(length))
    }
}

impl Network {
    fn new(ip: IpAddr, prefix: u8) -> Result<Self, DialMisuse> {
        let longest = if ip.is_ipv4() { 32 } else { 128 };
        if prefix > longest {
            return Err(DialMisuse::Prefix(ip, prefix));
        }
        Ok(match ip {
            IpAddr::V4(ip) => Network::V4(prefix, masked(v4_bits(ip), prefix)),
            IpAddr::V6(ip) => match (ip.to_ipv4_mapped(), prefix.checked_sub(96)) {
                (Some(ip), Some(prefix)) => Network::V4(prefix, masked(v4_bits(ip), prefix)),
                _ => Network::V6(prefix, masked(Ipv6Addr::to_bits(ip), prefix)),
            },
        })
    }
}

/// Both families count their bits from the top of 128.
fn v4_bits(ip: Ipv4Addr) -> u128 {
    u128::from(ip.to_bits()) << 96
}

/// Only the first `prefix` bits.
fn masked(bits: u128, prefix: u8) -> u128 {
    let beyond = 128u32.saturating_sub(u32::from(prefix));
    bits & u128::MAX.checked_shl(beyond).unwrap_or(0)
}

#[cfg(test)]
mod tests;
