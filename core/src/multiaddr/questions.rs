//! What our protocols ask of an address. Nothing here allocates.
//!
//! Of a relayed address, all but the peer and [`split_circuit`](Multiaddr::split_circuit) speak of the part before the first
//! `p2p-circuit`: that is where the first packet goes.

use super::{Component, Components, Multiaddr, Reach};
use crate::PeerId;
use core::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// How the first connection of an address is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Transport {
    /// `/tcp`
    Tcp,
    /// `/tcp/../ws`
    Ws,
    /// `/tcp/../wss`, or `/tcp/../tls/ws`
    Wss,
    /// `/tcp/../http`
    Http,
    /// `/tcp/../https`, or `/tcp/../tls/http`
    Https,
    /// `/udp`, with nothing that we know above it.
    Udp,
    /// `/udp/../quic`, draft 29.
    Quic,
    /// `/udp/../quic-v1`, RFC 9000.
    QuicV1,
    /// `/udp/../quic-v1/webtransport`, or above `quic`
    WebTransport,
    /// `/udp/../webrtc-direct`
    WebRtcDirect,
    /// `/webrtc`, between browsers.
    WebRtc,
    /// `/unix/..`
    Unix,
    /// `/memory/..`
    Memory,
    /// Another one, or none.
    Unknown,
}

impl Multiaddr {
    /// Whether a relay lies on the way: `p2p-circuit` occurs.
    pub fn is_relayed(&self) -> bool {
        self.iter().any(|component| component == Component::P2pCircuit)
    }

    /// From where it can be reached.
    pub fn reach(&self) -> Reach {
        let reach = |component| match component {
            Component::Ip4(ip) => Some(Reach::of_ip(IpAddr::V4(ip))),
            Component::Ip6(ip) => Some(Reach::of_ip(IpAddr::V6(ip))),
            Component::Dns(name) | Component::Dns4(name) | Component::Dns6(name) | Component::DnsAddr(name) => {
                Some(Reach::of_name(name))
            }
            Component::Unix(_) | Component::Memory(_) => Some(Reach::Loopback),
            _ => None,
        };
        self.first_hop().find_map(reach).unwrap_or(Reach::Unknown)
    }

    /// [`Reach::Public`].
    pub fn is_public(&self) -> bool {
        self.reach() == Reach::Public
    }

    /// [`Reach::Private`] or [`Reach::Shared`]: unicast, but behind a NAT when seen from the internet.
    pub fn is_private(&self) -> bool {
        matches!(self.reach(), Reach::Private | Reach::Shared)
    }

    /// [`Reach::Loopback`].
    pub fn is_loopback(&self) -> bool {
        self.reach() == Reach::Loopback
    }

    /// [`Reach::LinkLocal`].
    pub fn is_link_local(&self) -> bool {
        self.reach() == Reach::LinkLocal
    }

    /// [`Reach::Unspecified`].
    pub fn is_unspecified(&self) -> bool {
        self.reach() == Reach::Unspecified
    }

    /// How the first connection is made.
    pub fn transport(&self) -> Transport {
        let (mut transport, mut tls) = (Transport::Unknown, false);
        for component in self.first_hop() {
            transport = match (transport, component) {
                (_, Component::Tcp(_)) => Transport::Tcp,
                (_, Component::Udp(_)) => Transport::Udp,
                (Transport::Tcp, Component::Ws) => secured(tls, Transport::Ws, Transport::Wss),
                (Transport::Tcp, Component::Http) => secured(tls, Transport::Http, Transport::Https),
                (Transport::Tcp, Component::Wss) => Transport::Wss,
                (Transport::Tcp, Component::Https) => Transport::Https,
                (Transport::Udp, Component::Quic) => Transport::Quic,
                (Transport::Udp, Component::QuicV1) => Transport::QuicV1,
                (Transport::Quic | Transport::QuicV1, Component::WebTransport) => Transport::WebTransport,
                (Transport::Udp, Component::WebRtcDirect) => Transport::WebRtcDirect,
                (_, Component::WebRtc) => Transport::WebRtc,
                (_, Component::Unix(_)) => Transport::Unix,
                (_, Component::Memory(_)) => Transport::Memory,
                (same, Component::Tls) => {
                    tls = true;
                    same
                }
                // These say where, who or with what, not how.
                (
                    same,
                    Component::Ip4(_)
                    | Component::Ip6(_)
                    | Component::Ip6Zone(_)
                    | Component::IpCidr(_)
                    | Component::Dns(_)
                    | Component::Dns4(_)
                    | Component::Dns6(_)
                    | Component::DnsAddr(_)
                    | Component::Sni(_)
                    | Component::Noise
                    | Component::CertHash(_)
                    | Component::HttpPath(_)
                    | Component::P2p(_),
                ) => same,
                // HTTP over QUIC is still QUIC to dial.
                (Transport::Quic | Transport::QuicV1, Component::Http | Component::Https) => transport,
                _ => return Transport::Unknown,
            };
        }
        transport
    }

    /// Who is at the end: the last `p2p`, but not the relay of an address that stops at `p2p-circuit`.
    pub fn peer_id(&self) -> Option<PeerId> {
        last_peer(self.circuit_parts().map_or_else(|| self.iter(), |(_, destination)| destination))
    }

    /// The relay that the destination is reached through: the last `p2p` before the last `p2p-circuit`.
    pub fn relay_peer_id(&self) -> Option<PeerId> {
        let (relay, _) = self.circuit_parts()?;
        // Of several relays on the way, the last one; if it isn't named, an earlier one must not answer for it.
        relay.fold(None, |peer, component| match component {
            Component::P2p(peer) => Some(peer),
            Component::P2pCircuit => None,
            _ => peer,
        })
    }

    /// The IP address.
    pub fn ip(&self) -> Option<IpAddr> {
        self.first_hop().find_map(|component| component.ip())
    }

    /// The TCP or UDP port.
    pub fn port(&self) -> Option<u16> {
        self.first_hop().find_map(|component| match component {
            Component::Tcp(port) | Component::Udp(port) => Some(port),
            _ => None,
        })
    }

    /// IP address and port. A zone that is a number becomes the scope id; the number of a named zone ([`zone`](Self::zone)) is
    /// known to the operating system alone, and the scope id is then 0.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        let scope = || self.zone().and_then(|zone| zone.parse().ok()).unwrap_or(0);
        Some(match (self.ip()?, self.port()?) {
            (IpAddr::V4(ip), port) => SocketAddr::new(IpAddr::V4(ip), port),
            (IpAddr::V6(ip), port) => scoped(ip, port, scope()),
        })
    }

    /// The zone of the IPv6 address (RFC 4007), such as `eth0`.
    pub fn zone(&self) -> Option<&str> {
        self.first_hop().find_map(|component| match component {
            Component::Ip6Zone(zone) => Some(zone),
            _ => None,
        })
    }

    /// The name to resolve, of `dns`, `dns4`, `dns6` or `dnsaddr`.
    pub fn dns_name(&self) -> Option<&str> {
        self.first_hop().find_map(|component| match component {
            Component::Dns(name) | Component::Dns4(name) | Component::Dns6(name) | Component::DnsAddr(name) => {
                Some(name)
            }
            _ => None,
        })
    }

    fn first_hop(&self) -> impl Iterator<Item = Component<'_>> {
        self.iter().take_while(|component| *component != Component::P2pCircuit)
    }
}

fn last_peer(components: Components<'_>) -> Option<PeerId> {
    components.filter_map(|component| if let Component::P2p(peer) = component { Some(peer) } else { None }).last()
}

fn secured(tls: bool, plain: Transport, secure: Transport) -> Transport {
    if tls { secure } else { plain }
}

fn scoped(ip: Ipv6Addr, port: u16, scope: u32) -> SocketAddr {
    SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope))
}
