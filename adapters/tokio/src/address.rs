//! From addresses to sockets, and back.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use tidewire_core::{Component, Multiaddr, Transport};
use tokio::net::lookup_host;

/// What an address says about where to connect.
pub(crate) enum Target<'a> {
    Socket(SocketAddr),
    Name { name: &'a str, port: u16, family: Option<Family> },
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl<'a> Target<'a> {
    /// # Errors
    /// Why it can't be dialed.
    pub(crate) fn of(address: &'a Multiaddr) -> Result<Self, &'static str> {
        if address.is_relayed() {
            return Err("it leads through a relay");
        }
        if address.transport() != Transport::Tcp {
            return Err("only TCP can be dialed: /ip4/<address>/tcp/<port>, also with ip6, dns, dns4, dns6");
        }
        if let Some(socket) = address.socket_addr() {
            return Ok(Target::Socket(socket));
        }
        let port = address.port().ok_or("it names no port")?;
        for component in address {
            let (name, family) = match component {
                Component::Dns(name) => (name, None),
                Component::Dns4(name) => (name, Some(Family::V4)),
                Component::Dns6(name) => (name, Some(Family::V6)),
                Component::DnsAddr(_) => return Err("dnsaddr must be resolved first"),
                _ => continue,
            };
            return Ok(Target::Name { name, port, family });
        }
        Err("it names no host")
    }

    pub(crate) async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        match *self {
            Target::Socket(socket) => Ok(vec![socket]),
            Target::Name { name, port, family } => {
                let found = lookup_host((name, port)).await?;
                Ok(found.filter(|socket| family.is_none_or(|family| family == Family::of(socket))).collect())
            }
        }
    }
}

impl Family {
    fn of(socket: &SocketAddr) -> Family {
        if socket.is_ipv4() { Family::V4 } else { Family::V6 }
    }
}

/// Where a socket that is bound to `bound` can be reached: of the unspecified address, loopback and the address that the
/// way to the internet begins with.
pub(crate) fn reachable(bound: SocketAddr) -> Vec<SocketAddr> {
    if !bound.ip().is_unspecified() {
        return vec![bound];
    }
    let (loopback, outside) = match bound {
        SocketAddr::V4(_) => (IpAddr::from([127, 0, 0, 1]), "192.0.2.1:9"),
        SocketAddr::V6(_) => (IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), "[2001:db8::1]:9"),
    };
    // "Connecting" a datagram socket sends nothing; it asks the routing table.
    let route = || {
        let socket = UdpSocket::bind((bound.ip(), 0)).ok()?;
        socket.connect(outside).ok()?;
        socket.local_addr().ok().map(|local| local.ip())
    };
    let mut all = vec![SocketAddr::new(loopback, bound.port())];
    all.extend(route().filter(|ip| *ip != loopback).map(|ip| SocketAddr::new(ip, bound.port())));
    all
}
