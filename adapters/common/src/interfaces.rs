//! The machine's own addresses, for who listens on all of them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use tidewire_core::Multiaddr;

/// The addresses of all interfaces that are up, sorted. Those of a single link are left out: they say nothing without it.
///
/// # Errors
/// The operating system doesn't tell.
pub fn interfaces() -> io::Result<Vec<IpAddr>> {
    let all = if_addrs::get_if_addrs()?;
    let mut ips: Vec<_> = all.iter().filter(|one| !one.is_link_local()).map(if_addrs::Interface::ip).collect();
    ips.sort();
    ips.dedup();
    Ok(ips)
}

/// Where a socket that is bound to `bound` can be reached: of the unspecified address, all of the machine's that are of its
/// family.
pub fn expand(bound: SocketAddr, interfaces: &[IpAddr]) -> Vec<Multiaddr> {
    if !bound.ip().is_unspecified() {
        return vec![Multiaddr::tcp(bound)];
    }
    let same = |ip: &&IpAddr| ip.is_ipv4() == bound.is_ipv4();
    interfaces.iter().filter(same).map(|ip| Multiaddr::tcp(SocketAddr::new(*ip, bound.port()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn the_unspecified_address_stands_for_all_of_its_family() {
        let ips = [IpAddr::from([192, 0, 2, 1]), Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let text = |bound: &str| -> Vec<String> {
            let bound = bound.parse().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
            expand(bound, &ips).iter().map(ToString::to_string).collect()
        };
        assert_eq!(text("0.0.0.0:7"), ["/ip4/192.0.2.1/tcp/7", "/ip4/127.0.0.1/tcp/7"]);
        assert_eq!(text("[::]:7"), ["/ip6/::1/tcp/7"]);
        assert_eq!(text("192.0.2.9:7"), ["/ip4/192.0.2.9/tcp/7"]);
    }

    #[test]
    fn this_machine_has_loopback() {
        assert!(interfaces().is_ok_and(|ips| ips.contains(&Ipv4Addr::LOCALHOST.into())));
    }
}
