//! The narrow part of an address that NATs know: IP address, TCP or UDP, port. And who counts as one observer.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use tidewire_core::{Component, Multiaddr};

/// IP address, transport and port. Each address of a node has one of these in front; what stands behind is the same inside
/// and outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Waist {
    pub(super) ip: IpAddr,
    pub(super) port: u16,
    pub(super) udp: bool,
}

impl Waist {
    /// The waist of an address; `None` if it doesn't begin with an IP address and a port.
    pub(super) fn of(address: &Multiaddr) -> Option<Waist> {
        let mut parts = address.iter();
        let ip = parts.next()?.ip()?.to_canonical();
        let (port, udp) = match parts.next()? {
            Component::Tcp(port) => (port, false),
            Component::Udp(port) => (port, true),
            _ => return None,
        };
        (port != 0).then_some(Waist { ip, port, udp })
    }

    /// Whether an address of one could be one of the other: the same IP version and transport.
    pub(super) fn is_like(&self, other: &Waist) -> bool {
        self.ip.is_ipv4() == other.ip.is_ipv4() && self.udp == other.udp
    }

    /// This waist with what stands behind that of `model`. `None`: it would be over a cap of addresses.
    pub(super) fn dressed_as(&self, model: &Multiaddr) -> Option<Multiaddr> {
        let socket = SocketAddr::new(self.ip, self.port);
        let narrow = if self.udp { Multiaddr::udp(socket) } else { Multiaddr::tcp(socket) };
        let rest: Vec<Component<'_>> = model.iter().skip(2).collect();
        narrow.encapsulate(&Multiaddr::from_components(&rest).ok()?).ok()
    }
}

/// Whoever could be one and the same: an IPv4 address, or the /56 of an IPv6 address, as go-libp2p has it. A provider gives
/// one customer that much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Observer(u64);

impl Observer {
    pub(super) fn of(ip: IpAddr) -> Observer {
        // The last byte tells the two kinds apart.
        Observer(match ip.to_canonical() {
            IpAddr::V4(ip) => u64::from(ip.to_bits()) << 8 | 32,
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, g, ..] = ip.octets();
                u64::from_be_bytes([a, b, c, d, e, f, g, 56])
            }
        })
    }
}
