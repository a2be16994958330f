//! From addresses to sockets, and back: `/ip4|ip6|dns|dns4|dns6/../tcp/PORT[/p2p/ID]`.
//! Spec: libp2p/specs addressing/README.md.

use crate::error::{dial_fault, is_exhausted};
use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use tidewire_connmgr::dial::DialFault;
use tidewire_core::{Component, Multiaddr, PeerId};

/// What is said of an address that is nothing for us.
const SHAPE: &str = "only TCP is spoken here: /ip4/<address>/tcp/<port>, also with ip6, or to dial dns, dns4, dns6";

/// Where to connect or to listen, and whom to expect.
#[derive(Clone, Debug)]
pub struct Target<'a> {
    host: Cow<'a, str>,
    port: u16,
    peer: Option<PeerId>,
    /// Which of the addresses found are wanted.
    wanted: fn(&SocketAddr) -> bool,
}

impl<'a> Target<'a> {
    /// Takes an address apart.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(address: &'a Multiaddr) -> Result<Self, &'static str> {
        if address.is_relayed() {
            return Err("it leads through a relay");
        }
        let mut components = address.iter();
        let any: fn(&SocketAddr) -> bool = |_| true;
        let (host, wanted) = match components.next() {
            Some(Component::Ip4(ip)) => (ip.to_string().into(), any),
            Some(Component::Ip6(ip)) => (ip.to_string().into(), any),
            Some(Component::Ip6Zone(zone)) => match components.next() {
                Some(Component::Ip6(ip)) => (format!("{ip}%{zone}").into(), any),
                _ => return Err("an ip6zone must be followed by ip6"),
            },
            Some(Component::Dns(name)) => (name.into(), any),
            Some(Component::Dns4(name)) => (name.into(), SocketAddr::is_ipv4 as _),
            Some(Component::Dns6(name)) => (name.into(), SocketAddr::is_ipv6 as _),
            Some(Component::DnsAddr(_)) => return Err("a dnsaddr must be resolved first"),
            _ => return Err(SHAPE),
        };
        let Some(Component::Tcp(port)) = components.next() else { return Err(SHAPE) };
        let peer = match (components.next(), components.next()) {
            (None, _) => None,
            (Some(Component::P2p(peer)), None) => Some(peer),
            _ => return Err("nothing but /p2p/ID may follow the TCP port"),
        };
        Ok(Target { host, port, peer, wanted })
    }

    /// Takes apart an address to listen on.
    ///
    /// # Errors
    /// What is wrong with it, for people. A name is: who listens says on which of the machine's own addresses.
    pub fn to_listen(address: &'a Multiaddr) -> Result<Self, &'static str> {
        if address.dns_name().is_some() { Err("a name can't be listened on") } else { Self::parse(address) }
    }

    /// Whom the address names.
    pub fn peer(&self) -> Option<PeerId> {
        self.peer
    }

    /// What to ask a resolver for: a name or a literal address, and the port.
    pub fn question(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// Of a resolver's answer, what was asked for, in the same order: one at least.
    ///
    /// # Errors
    /// There is none.
    pub fn pick(&self, answer: impl Iterator<Item = SocketAddr>) -> io::Result<Vec<SocketAddr>> {
        let found: Vec<_> = answer.filter(self.wanted).collect();
        if found.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address of that family"));
        }
        Ok(found)
    }
}

/// What resolvers say about the addresses that one address stands for.
#[derive(Debug, Default)]
pub struct Found {
    sockets: Vec<SocketAddr>,
    fault: Option<DialFault>,
}

impl Found {
    /// The answer to the [question](Target::question) of one of them.
    pub fn add(&mut self, target: &Target<'_>, answer: io::Result<impl Iterator<Item = SocketAddr>>) {
        match answer.and_then(|answer| target.pick(answer)) {
            Ok(found) => self.sockets.extend(found),
            Err(error) if is_exhausted(&error) => self.fault = Some(dial_fault(&error)),
            Err(error) => {
                let name = &target.host;
                self.fault = Some(DialFault::Transport(format!("{name} can't be resolved: {error}").into()));
            }
        }
    }

    /// Where to connect to, in the order in which it is to be tried: one at least.
    ///
    /// # Errors
    /// There is nothing: why the last one could not be resolved, or that none of them is for us.
    pub fn sockets(self) -> Result<Vec<SocketAddr>, DialFault> {
        if self.sockets.is_empty() {
            return Err(self.fault.unwrap_or(DialFault::NoTransport));
        }
        Ok(interleave(self.sockets))
    }
}

/// The order in which the addresses of a name are tried: IPv6 first, the families in turns (RFC 8305, section 4).
fn interleave(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let (six, four): (Vec<_>, Vec<_>) = found.into_iter().partition(SocketAddr::is_ipv6);
    let longer = six.len().max(four.len());
    (0..longer).flat_map(|i| [six.get(i), four.get(i)]).flatten().copied().collect()
}

/// The address with the peer that is to be found there, if it fits.
pub fn with_peer(address: Multiaddr, peer: PeerId) -> Multiaddr {
    address.with_peer_id(peer).unwrap_or(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    fn parse(text: &str) -> Result<(String, Option<PeerId>), &'static str> {
        let address: Multiaddr = text.parse().map_err(|_| "no address")?;
        let target = Target::parse(&address)?;
        let (host, port) = target.question();
        Ok((format!("{host} {port}"), target.peer()))
    }

    #[test]
    fn hosts_with_a_tcp_port_are_targets() {
        for (text, question) in [
            ("/ip4/192.0.2.7/tcp/1", "192.0.2.7 1"),
            ("/ip6/2001:db8::7/tcp/2", "2001:db8::7 2"),
            ("/ip6zone/eth0/ip6/fe80::7/tcp/3", "fe80::7%eth0 3"),
            ("/dns/example.org/tcp/4", "example.org 4"),
        ] {
            assert_eq!(parse(text), Ok((question.into(), None)), "{text}");
        }
    }

    #[test]
    fn a_peer_id_at_the_end_is_whom_to_expect() {
        let id = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
        let (_, peer) = parse(&format!("/ip4/192.0.2.7/tcp/1/p2p/{id}")).unwrap_or_default();
        assert_eq!(peer.map(|peer| peer.to_string()), Some(id.into()));
    }

    #[test]
    fn other_addresses_are_refused_with_the_reason() {
        let id = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
        let relayed = format!("/ip4/192.0.2.7/tcp/1/p2p/{id}/p2p-circuit");
        for (text, reason) in [
            ("/ip4/192.0.2.7/udp/1", SHAPE),
            ("/ip4/192.0.2.7/tcp/1/ws", "nothing but /p2p/ID may follow the TCP port"),
            ("/tcp/1", SHAPE),
            ("/dnsaddr/example.org", "a dnsaddr must be resolved first"),
            (&relayed, "it leads through a relay"),
        ] {
            assert_eq!(parse(text), Err(reason), "{text}");
        }
    }

    #[test]
    fn of_a_names_addresses_only_the_family_asked_for_is_taken() {
        let (four, six) = (SocketAddr::from(([192, 0, 2, 7], 1)), SocketAddr::from((Ipv6Addr::LOCALHOST, 1)));
        for (text, wanted) in [
            ("/dns/x/tcp/1", Some(vec![six, four])),
            ("/dns4/x/tcp/1", Some(vec![four])),
            ("/dns6/x/tcp/1", Some(vec![six])),
        ] {
            let address: Multiaddr = text.parse().unwrap_or_default();
            let picked = Target::parse(&address).ok().and_then(|target| target.pick([six, four].into_iter()).ok());
            assert_eq!(picked, wanted, "{text}");
        }
        let address: Multiaddr = "/dns6/x/tcp/1".parse().unwrap_or_default();
        let none = Target::parse(&address).map(|target| target.pick([four].into_iter()).map_err(|error| error.kind()));
        assert_eq!(none, Ok(Err(io::ErrorKind::NotFound)));
    }

    #[test]
    fn families_take_turns_and_ipv6_begins() {
        let (a4, b4) = (SocketAddr::from(([192, 0, 2, 1], 1)), SocketAddr::from(([192, 0, 2, 2], 1)));
        let a6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 1));
        assert_eq!(interleave(vec![a4, b4, a6]), [a6, a4, b4]);
        assert_eq!(interleave(vec![a4]), [a4]);
    }

    #[test]
    fn names_are_dialed_and_not_listened_on() {
        let address: Multiaddr = "/dns/localhost/tcp/1".parse().unwrap_or_default();
        assert!(Target::parse(&address).is_ok() && Target::to_listen(&address).is_err());
    }
}
