//! The words about ports mapped at the router.

use super::words::{fail, text};
use super::{EVERYWHERE, Unusable};
use lexopt::Parser;
use std::net::IpAddr;
use tidewire_core::Multiaddr;

/// Whether the router is asked to lead a port to us, and which one that is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) on: bool,
    /// `None`: what the configuration says, or that of the default route.
    pub(crate) gateway: Option<IpAddr>,
}

impl Mapping {
    /// Whether the option was one of these.
    pub(super) fn option(&mut self, option: &str, parser: &mut Parser) -> Result<bool, Unusable> {
        match option {
            "--port-mapping" => self.on = true,
            "--gateway" => self.gateway = Some(router(option, &text(parser, option)?)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether a router can lead anything to where we are going to listen. Nowhere yet: that is chosen so that it can. `configured`:
    /// a configuration may say which router that is.
    pub(super) fn check(self, addresses: &[Multiaddr], configured: bool) -> Result<(), Unusable> {
        match (self.on, self.gateway) {
            (false, None) => return Ok(()),
            (false, Some(_)) => return fail("--gateway says which router is asked for ports; give --port-mapping too"),
            (true, None) if configured => return Ok(()),
            (true, _) => {}
        }
        match addresses.first() {
            Some(first) if !addresses.iter().any(|address| self.leads_to(address)) => fail(format!(
                "--port-mapping: no router can lead anything to {first}; listen where it reaches this machine, such as on \
                 {EVERYWHERE}"
            )),
            _ => Ok(()),
        }
    }

    /// As far as the address itself says. Only a router on this machine, as in tests, reaches what is this machine alone.
    fn leads_to(self, address: &Multiaddr) -> bool {
        let local = self.gateway.is_some_and(|router| router.is_loopback());
        // The default route is that of IPv4: behind an IPv6 router there is rarely a NAT.
        let v4 = self.gateway.is_none_or(|router| router.is_ipv4());
        let fits = |ip: IpAddr| ip.is_ipv4() == v4 && (ip.is_unspecified() || ip.is_loopback() == local);
        !address.is_relayed() && address.ip().is_some_and(fits)
    }
}

fn router(option: &str, word: &str) -> Result<IpAddr, Unusable> {
    let wrong = || Unusable(format!("{option}: expected the router's IP address, such as 192.168.1.1, got {word:?}"));
    let ip: IpAddr = word.parse().map_err(|_| wrong())?;
    let several = ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(std::net::Ipv4Addr::BROADCAST);
    if several { Err(wrong()) } else { Ok(ip) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(gateway: Option<&str>) -> Mapping {
        Mapping { on: true, gateway: gateway.map(|ip| ip.parse().unwrap()) }
    }

    #[test]
    fn only_where_a_router_reaches_us_is_a_port_worth_mapping() {
        let table = [
            (None, "/ip4/0.0.0.0/tcp/0", true),
            (None, "/ip4/192.168.1.7/tcp/4001", true),
            (None, "/ip4/127.0.0.1/tcp/4001", false),
            (None, "/ip6/::/tcp/4001", false),
            (Some("fe80::1"), "/ip6/::/tcp/4001", true),
            (Some("192.168.1.1"), "/ip6/::/tcp/4001", false),
            (Some("127.0.0.1"), "/ip4/127.0.0.1/tcp/4001", true),
        ];
        for (gateway, address, wanted) in table {
            let all = [address.parse().unwrap()];
            assert_eq!(mapping(gateway).check(&all, false).is_ok(), wanted, "{gateway:?} {address}");
        }
        assert!(mapping(None).check(&[], false).is_ok(), "where is chosen accordingly");
        let one_of_two = ["/ip4/127.0.0.1/tcp/1", "/ip4/0.0.0.0/tcp/1"].map(|text| text.parse().unwrap());
        assert!(mapping(None).check(&one_of_two, false).is_ok());
    }

    #[test]
    fn a_router_is_one_address() {
        for wrong in ["", "router", "192.168.1.1:5351", "0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "10.0.0.0/8"] {
            assert!(router("--gateway", wrong).is_err(), "{wrong}");
        }
        assert!(router("--gateway", "192.168.1.1").is_ok());
    }
}
