//! From multiaddresses to sockets: `/ip4|ip6|dns|dns4|dns6/../tcp/PORT[/p2p/ID]`.
//! Spec: libp2p/specs addressing/README.md.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use tidewire_core::{Component, Multiaddr, PeerId};

/// Where to connect, and to whom.
pub(crate) struct Target<'a> {
    host: Host<'a>,
    port: u16,
    pub(crate) peer: Option<PeerId>,
}

enum Host<'a> {
    Ip(IpAddr),
    /// A link-local address, and the interface.
    Zoned(Ipv6Addr, &'a str),
    /// A name, and which family of addresses is asked for.
    Name(&'a str, fn(&SocketAddr) -> bool),
}

impl<'a> Target<'a> {
    pub(crate) fn parse(address: &'a Multiaddr) -> Result<Self, &'static str> {
        let mut components = address.iter();
        let host = match components.next() {
            Some(Component::Ip4(ip)) => Host::Ip(ip.into()),
            Some(Component::Ip6(ip)) => Host::Ip(ip.into()),
            Some(Component::Ip6Zone(zone)) => match components.next() {
                Some(Component::Ip6(ip)) => Host::Zoned(ip, zone),
                _ => return Err("an ip6zone must be followed by ip6"),
            },
            Some(Component::Dns(name)) => Host::Name(name, |_| true),
            Some(Component::Dns4(name)) => Host::Name(name, SocketAddr::is_ipv4),
            Some(Component::Dns6(name)) => Host::Name(name, SocketAddr::is_ipv6),
            _ => return Err("it must begin with ip4, ip6, dns, dns4 or dns6"),
        };
        let Some(Component::Tcp(port)) = components.next() else { return Err("a TCP port must follow the host") };
        let peer = match (components.next(), components.next()) {
            (None, _) => None,
            (Some(Component::P2p(peer)), None) => Some(peer),
            _ => return Err("nothing but /p2p/ID may follow the TCP port"),
        };
        Ok(Target { host, port, peer })
    }

    /// The socket addresses, in the resolver's order; one at least.
    pub(crate) fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let found: Vec<_> = match self.host {
            Host::Ip(ip) => vec![SocketAddr::new(ip, self.port)],
            Host::Zoned(ip, zone) => (format!("{ip}%{zone}").as_str(), self.port).to_socket_addrs()?.collect(),
            Host::Name(name, family) => (name, self.port).to_socket_addrs()?.filter(family).collect(),
        };
        if found.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address of that family"));
        }
        Ok(found)
    }
}

/// Where others may reach a socket that is bound to this: every address of the machine stands for its loopback address and
/// for the one that its default route uses.
pub(crate) fn expand(bound: SocketAddr) -> Vec<SocketAddr> {
    // Addresses for documentation (RFC 5737, RFC 3849): connecting a UDP socket sends nothing, it only chooses a route.
    let (loopback, elsewhere): (IpAddr, IpAddr) = match bound.ip() {
        ip if !ip.is_unspecified() => return vec![bound],
        IpAddr::V4(_) => (Ipv4Addr::LOCALHOST.into(), Ipv4Addr::new(192, 0, 2, 1).into()),
        IpAddr::V6(_) => (Ipv6Addr::LOCALHOST.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()),
    };
    let mut all = vec![SocketAddr::new(loopback, bound.port())];
    let routed = || {
        let socket = UdpSocket::bind(SocketAddr::new(bound.ip(), 0))?;
        socket.connect((elsewhere, 9))?;
        socket.local_addr()
    };
    if let Ok(local) = routed()
        && local.ip() != loopback
        && !local.ip().is_unspecified()
    {
        all.push(SocketAddr::new(local.ip(), bound.port()));
    }
    all
}
