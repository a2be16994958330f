//! How many connections there are with each network: IPv4 /32, IPv6 /56 and /48.
//!
//! One table for all three, 12 bytes an entry, gone when its count is 0. It is keyed by the seed, because remotes choose
//! their addresses, and never walked, because its order means nothing.

use super::exceeded::{Limit, LimitExceeded, room};
use super::{LimitsConfig, shrink};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

/// A network in 8 bytes: its leading bits in front, its prefix in the last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Network(u64);

impl Network {
    pub(super) fn v4(ip: Ipv4Addr) -> Self {
        Network(u64::from(ip.to_bits()) << 8 | 32)
    }

    pub(super) fn v6_56(ip: Ipv6Addr) -> Self {
        Network(high_bits(ip) & !0xff | 56)
    }

    pub(super) fn v6_48(ip: Ipv6Addr) -> Self {
        Network(high_bits(ip) & !0xffff | 48)
    }

    /// The one whose rate of incoming connections is limited; `None` for loopback.
    pub(super) fn of_rate(ip: IpAddr) -> Option<Self> {
        Some(match counted(ip)? {
            IpAddr::V4(ip) => Network::v4(ip),
            IpAddr::V6(ip) => Network::v6_56(ip),
        })
    }

    pub(super) fn prefix(self) -> u8 {
        self.0.to_le_bytes()[0]
    }

    pub(super) fn address(self) -> IpAddr {
        let [.., a, b, c, d, prefix] = self.0.to_be_bytes();
        if prefix == 32 {
            return Ipv4Addr::new(a, b, c, d).into();
        }
        Ipv6Addr::from_bits(u128::from(self.0 & !0xff) << 64).into()
    }

    pub(super) fn hash(self, key: &SipHasher13) -> u64 {
        key.hash(&self.0.to_le_bytes())
    }
}

/// Connections per network.
#[derive(Clone)]
pub(super) struct Subnets {
    caps: Caps,
    key: SipHasher13,
    table: HashTable<Count>,
}

#[derive(Clone)]
struct Caps {
    ip4: u32,
    ip6_56: u32,
    ip6_48: u32,
}

/// Two halves of a [`Network`], so that an entry has no hole: at 16 bytes a million of them would cost 8 MiB more.
#[derive(Clone)]
struct Count {
    network: [u32; 2],
    count: u32,
}

impl Subnets {
    pub(super) fn new(config: &LimitsConfig, key: SipHasher13) -> Self {
        let caps = Caps { ip4: config.per_ip4, ip6_56: config.per_ip6_56, ip6_48: config.per_ip6_48 };
        Subnets { caps, key, table: HashTable::new() }
    }

    /// Whether one more may come from there.
    pub(super) fn room(&self, ip: Option<IpAddr>) -> Result<(), LimitExceeded> {
        for (network, cap) in self.caps.of(ip).into_iter().flatten() {
            let used = self.count(network);
            room(Limit::Subnet { network: network.address(), prefix: network.prefix() }, cap, used)?;
        }
        Ok(())
    }

    pub(super) fn add(&mut self, ip: Option<IpAddr>) {
        for (network, _) in self.caps.of(ip).into_iter().flatten() {
            let Subnets { key, table, .. } = self;
            let entry = table.entry(network.hash(key), |at| at.network() == network, |at| at.network().hash(key));
            let at = entry.or_insert_with(|| Count::new(network)).into_mut();
            at.count = at.count.saturating_add(1);
        }
    }

    pub(super) fn remove(&mut self, ip: Option<IpAddr>) {
        for (network, _) in self.caps.of(ip).into_iter().flatten() {
            let Subnets { key, table, .. } = self;
            let Ok(mut entry) = table.find_entry(network.hash(key), |at| at.network() == network) else { continue };
            entry.get_mut().count = entry.get().count.saturating_sub(1);
            if entry.get().count == 0 {
                entry.remove();
                shrink(table, |at| at.network().hash(key));
            }
        }
    }

    /// Networks with at least one connection.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn memory_used(&self) -> usize {
        self.table.allocation_size()
    }

    fn count(&self, network: Network) -> u32 {
        self.table.find(network.hash(&self.key), |at| at.network() == network).map_or(0, |at| at.count)
    }
}

impl Caps {
    /// The networks of an address that are counted. Those whose cap is off are not.
    fn of(&self, ip: Option<IpAddr>) -> [Option<(Network, u32)>; 2] {
        let all = match ip.and_then(counted) {
            None => return [None; 2],
            Some(IpAddr::V4(ip)) => [Some((Network::v4(ip), self.ip4)), None],
            Some(IpAddr::V6(ip)) => [Some((Network::v6_56(ip), self.ip6_56)), Some((Network::v6_48(ip), self.ip6_48))],
        };
        all.map(|counted| counted.filter(|(_, cap)| *cap != u32::MAX))
    }
}

impl Count {
    fn new(network: Network) -> Self {
        let [a, b, c, d, e, f, g, h] = network.0.to_le_bytes();
        Count { network: [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])], count: 0 }
    }

    fn network(&self) -> Network {
        let [low, high] = self.network;
        Network(u64::from(high) << 32 | u64::from(low))
    }
}

/// The address as it is counted: `None` for loopback, IPv4 for an IPv4-mapped one.
fn counted(ip: IpAddr) -> Option<IpAddr> {
    let ip = ip.to_canonical();
    (!ip.is_loopback()).then_some(ip)
}

fn high_bits(ip: Ipv6Addr) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = ip.octets();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}
