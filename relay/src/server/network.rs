//! Where somebody comes from, as far as limits count it: an IPv4 address, or an IPv6 /56.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::num::NonZeroU64;
use tidewire_core::Multiaddr;

/// A network that is counted as one: an IPv4 address (/32), or an IPv6 /56, which is what one customer is given (go-libp2p's
/// resource manager counts by it too).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(NonZeroU64);

impl Network {
    /// The network of an address; `None` for loopback, which is not limited, and for addresses without an IP. An address behind a
    /// relay has none: its IP is the relay's.
    pub fn of(address: &Multiaddr) -> Option<Network> {
        if address.is_relayed() { None } else { address.ip().and_then(Network::of_ip) }
    }

    /// The network of an IP address; `None` for loopback. An IPv4 address in IPv6 clothes is an IPv4 address.
    pub fn of_ip(ip: IpAddr) -> Option<Network> {
        let ip = ip.to_canonical();
        if ip.is_loopback() {
            return None;
        }
        // The leading bits in front, the prefix in the last byte: never zero.
        let bits = match ip {
            IpAddr::V4(ip) => u64::from(ip.to_bits()) << 8 | 32,
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, g, ..] = ip.octets();
                u64::from_be_bytes([a, b, c, d, e, f, g, 56])
            }
        };
        NonZeroU64::new(bits).map(Network)
    }

    /// Its first address.
    pub fn address(self) -> IpAddr {
        let [a, b, c, d, e, f, g, _] = self.0.get().to_be_bytes();
        if self.is_ip4() {
            return Ipv4Addr::new(d, e, f, g).into();
        }
        Ipv6Addr::from([a, b, c, d, e, f, g, 0, 0, 0, 0, 0, 0, 0, 0, 0]).into()
    }

    /// 32 or 56.
    pub fn prefix(self) -> u8 {
        self.0.get().to_be_bytes()[7]
    }

    /// Whether it is an IPv4 address.
    pub fn is_ip4(self) -> bool {
        self.prefix() == 32
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address(), self.prefix())
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn the_network_of_an_address() {
        let rows = [
            ("/ip4/11.0.0.2/tcp/4001", Some("11.0.0.2/32")),
            ("/ip6/2a00:1:2:3456:7::8/tcp/1", Some("2a00:1:2:3400::/56")),
            ("/ip6/::ffff:11.0.0.2/tcp/1", Some("11.0.0.2/32")),
            ("/ip4/127.0.0.1/tcp/1", None),
            ("/ip6/::1/tcp/1", None),
            ("/dns4/relay.example/tcp/1", None),
            ("/memory/5", None),
            ("/ip4/11.0.0.2/tcp/4001/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N/p2p-circuit", None),
        ];
        for (address, expected) in rows {
            let network = Network::of(&address.parse().unwrap()).map(|network| network.to_string());
            assert_eq!(network.as_deref(), expected, "{address}");
        }
    }
}
