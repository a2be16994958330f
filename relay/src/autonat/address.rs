//! What AutoNAT asks of addresses: may it be dialed, is it the observed IP's, is a connection's end the one that was asked for.

use core::net::IpAddr;
use tidewire_core::{Component, Multiaddr, PeerId, Reach, Transport};

/// Whether a server may dial it, as far as its reach goes, or a client have it tried: public, or, if private ones are allowed,
/// within a site or a machine. Never through a relay, to a group, to nowhere or to port 0.
pub(super) fn is_dialable(address: &Multiaddr, allow_private: bool) -> bool {
    let reach = match address.reach() {
        Reach::Public => true,
        Reach::Private | Reach::Shared | Reach::LinkLocal | Reach::Loopback | Reach::Documentation => allow_private,
        _ => false,
    };
    reach && !address.is_relayed() && address.port() != Some(0)
}

/// The address as `peer` may have it tried: without its id at the end. `None` if it is another's.
pub(super) fn of_peer(address: &Multiaddr, peer: PeerId) -> Option<Multiaddr> {
    if address.peer_id().is_some_and(|named| named != peer) {
        return None;
    }
    let own = address.without_peer_id();
    (!own.is_empty()).then_some(own)
}

/// The IP address that a connection comes from; `None` if it comes through a relay, or from no IP address. IPv4 in IPv6
/// clothes is IPv4.
pub(super) fn observed_ip(remote: &Multiaddr) -> Option<IpAddr> {
    if remote.is_relayed() { None } else { remote.ip().map(|ip| ip.to_canonical()) }
}

/// `address` with its IP replaced by `ip` (autonat-v1.md: only the observed IP may be dialed). `None` if it doesn't begin
/// with an IP.
pub(super) fn at_ip(address: &Multiaddr, ip: IpAddr) -> Option<Multiaddr> {
    let mut components = address.iter();
    match components.next()? {
        Component::Ip4(_) | Component::Ip6(_) => {}
        _ => return None,
    }
    let mut replaced = match ip {
        IpAddr::V4(ip) => Multiaddr::from_components(&[Component::Ip4(ip)]).ok()?,
        IpAddr::V6(ip) => Multiaddr::from_components(&[Component::Ip6(ip)]).ok()?,
    };
    for component in components {
        replaced.push(component).ok()?;
    }
    Some(replaced)
}

/// The IP version that dialing takes; `None` if the address leaves it open (`dns`, `dnsaddr`), or has nothing to do with IP.
pub(super) fn family(address: &Multiaddr) -> Option<IpVersion> {
    match address.iter().find(|component| !matches!(component, Component::Ip6Zone(_)))? {
        Component::Ip4(_) | Component::Dns4(_) => Some(IpVersion::V4),
        Component::Ip6(ip) => Some(version(IpAddr::V6(ip).to_canonical())),
        Component::Dns6(_) => Some(IpVersion::V6),
        _ => None,
    }
}

/// The version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IpVersion {
    V4,
    V6,
}

/// Whether a connection that came in at `local` may be what a dial of `asked` makes.
///
/// A NAT on the way changes IP and port, so neither can be asked for in general. What must be:
/// - the transport is the same, component by component, and so is the version of IP (a name may resolve to either);
/// - if no NAT can have been on the way, because the local end is a public address or the very IP that was asked for, then
///   the IP and the port are those that were asked for. Of a name only the port can be compared, and only then.
///
/// The spec asks only for the same transport (autonat-v2.md, "Overview").
pub(super) fn is_end_of(local: &Multiaddr, asked: &Multiaddr) -> bool {
    if local.is_relayed() || asked.is_relayed() || local.transport() != asked.transport() {
        return false;
    }
    if local.transport() == Transport::Unknown {
        return false;
    }
    let Some(local_ip) = local.ip().map(|ip| ip.to_canonical()) else { return local == asked };
    if family(asked).is_some_and(|asked| asked != version(local_ip)) {
        return false;
    }
    let asked_ip = asked.ip().map(|ip| ip.to_canonical());
    if asked_ip.is_none() && asked.dns_name().is_none() {
        return false;
    }
    let untranslated = Reach::of_ip(local_ip) == Reach::Public || asked_ip == Some(local_ip);
    !untranslated || (asked_ip.is_none_or(|ip| ip == local_ip) && asked.port() == local.port())
}

fn version(ip: IpAddr) -> IpVersion {
    if ip.is_ipv4() { IpVersion::V4 } else { IpVersion::V6 }
}

#[cfg(test)]
mod tests;
