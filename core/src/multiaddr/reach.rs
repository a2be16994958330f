//! From where an address can be reached, by the registries of special addresses and names.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// From where an address can be reached.
///
/// | reach | IPv4 | IPv6 | names and others |
/// |---|---|---|---|
/// | `Public` | the rest | 2000::/3, the rest of it | every other name |
/// | `Private` | 10/8, 172.16/12, 192.168/16 (RFC 1918) | fc00::/7 (RFC 4193), fec0::/10 (RFC 3879), 64:ff9b:1::/48 (RFC 8215) | `.local` (RFC 6762), `.home.arpa` (RFC 8375), `.internal` (ICANN 2024) |
/// | `Shared` | 100.64/10 (RFC 6598, carrier-grade NAT) | | |
/// | `LinkLocal` | 169.254/16 (RFC 3927) | fe80::/10 (RFC 4291) | |
/// | `Loopback` | 127/8 | ::1 | `localhost`, `.localhost` (RFC 6761), `unix`, `memory` |
/// | `Unspecified` | 0.0.0.0 | :: | |
/// | `Multicast` | 224/4 | ff00::/8 | |
/// | `Documentation` | 192.0.2/24, 198.51.100/24, 203.0.113/24 (RFC 5737) | 2001:db8::/32 (RFC 3849), 3fff::/20 (RFC 9637) | `.example`, `.test` (RFC 6761) |
/// | `Reserved` | 0/8, 192.0.0/24 (but .9 and .10), 192.88.99/24, 198.18/15, 240/4 | 2001::/23, all outside 2000::/3 | `.invalid`, `.onion`, `.in-addr.arpa`, `.ip6.arpa` |
/// | `Unknown` | | | nothing of the above in the address |
///
/// An IPv6 address that wraps an IPv4 one has that one's reach: ::ffff:0:0/96 (mapped), 64:ff9b::/96 (NAT64, RFC 6052),
/// 2002::/16 (6to4). Sources, where not named: the IANA IPv4 and IPv6 Special-Purpose Address Registries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reach {
    /// From anywhere, as far as the address tells.
    Public,
    /// From within one site.
    Private,
    /// From within one provider's network, behind its NAT.
    Shared,
    /// From the same link.
    LinkLocal,
    /// From the same machine.
    Loopback,
    /// From nowhere: "all interfaces" of who listens.
    Unspecified,
    /// A group, not a peer.
    Multicast,
    /// From nowhere: stands in texts and tests.
    Documentation,
    /// From nowhere: set aside.
    Reserved,
    /// The address doesn't say.
    Unknown,
}

impl Reach {
    /// The reach of an IP address.
    pub fn of_ip(ip: IpAddr) -> Reach {
        match ip {
            IpAddr::V4(ip) => of_ip4(ip),
            IpAddr::V6(ip) => of_ip6(ip),
        }
    }

    /// The reach of a DNS name, without resolving it. Case and a final dot don't matter.
    pub fn of_name(name: &str) -> Reach {
        let name = name.strip_suffix('.').unwrap_or(name);
        NAMES.iter().find(|(domain, _)| is_within(name, domain)).map_or(Reach::Public, |(_, reach)| *reach)
    }
}

const NAMES: [(&str, Reach); 10] = [
    ("localhost", Reach::Loopback),
    ("local", Reach::Private),
    ("home.arpa", Reach::Private),
    ("internal", Reach::Private),
    ("example", Reach::Documentation),
    ("test", Reach::Documentation),
    ("invalid", Reach::Reserved),
    ("onion", Reach::Reserved),
    ("in-addr.arpa", Reach::Reserved),
    ("ip6.arpa", Reach::Reserved),
];

fn is_within(name: &str, domain: &str) -> bool {
    let (name, domain) = (name.as_bytes(), domain.as_bytes());
    let Some(at) = name.len().checked_sub(domain.len()) else { return false };
    let (host, end) = name.split_at(at);
    end.eq_ignore_ascii_case(domain) && matches!(host.last(), None | Some(b'.'))
}

fn of_ip4(ip: Ipv4Addr) -> Reach {
    match ip.octets() {
        [0, 0, 0, 0] => Reach::Unspecified,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Reach::Private,
        [100, 64..=127, ..] => Reach::Shared,
        [127, ..] => Reach::Loopback,
        [169, 254, ..] => Reach::LinkLocal,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Reach::Documentation,
        [192, 0, 0, 9 | 10] => Reach::Public,
        [224..=239, ..] => Reach::Multicast,
        [0 | 240..=255, ..] | [192, 0, 0, _] | [192, 88, 99, _] | [198, 18 | 19, ..] => Reach::Reserved,
        _ => Reach::Public,
    }
}

fn of_ip6(ip: Ipv6Addr) -> Reach {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    match (a, b, c) {
        _ if ip == Ipv6Addr::UNSPECIFIED => Reach::Unspecified,
        _ if ip == Ipv6Addr::LOCALHOST => Reach::Loopback,
        (0, 0, 0) if (d, e, f) == (0, 0, 0xffff) => of_ip4(ip4(g, h)),
        (0x64, 0xff9b, 0) if (d, e, f) == (0, 0, 0) => of_ip4(ip4(g, h)),
        (0x64, 0xff9b, 1) => Reach::Private,
        (0x2002, high, low) => of_ip4(ip4(high, low)),
        (0x2001, 0xdb8, _) | (0x3fff, 0..=0xfff, _) => Reach::Documentation,
        (0x2001, 0..=0x1ff, _) => Reach::Reserved,
        (0x2000..=0x3fff, ..) => Reach::Public,
        (0xfc00..=0xfdff | 0xfec0..=0xfeff, ..) => Reach::Private,
        (0xfe80..=0xfebf, ..) => Reach::LinkLocal,
        (0xff00..=0xffff, ..) => Reach::Multicast,
        _ => Reach::Reserved,
    }
}

fn ip4(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))
}
