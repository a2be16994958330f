//! Which router is asked: the gateway of the default route, and our own address on the way to it.
//!
//! Linux and Android tell in `/proc/net/route` (proc(5), linux/route.h); on other systems the router is configured
//! ([`PortMapConfig::gateway`](super::PortMapConfig::gateway)), or found by UPnP. Our own address needs no table: a UDP socket that
//! is connected has it, and nothing is sent for that. IPv4 only: an IPv6 gateway has a link-local address, which these tables
//! give without its interface, and behind it there is rarely a NAT.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use tidewire_portmap::Gateway;

/// Where we are in the network, as far as it matters for mapping ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The router, if it is known.
    pub(super) gateway: Option<Gateway>,
    /// Our address towards it, or towards the internet if it is not known.
    pub(super) local: Option<IpAddr>,
}

impl Place {
    /// Looks: at this router if one is given, else at the default route.
    pub(super) fn look(configured: Option<IpAddr>) -> Place {
        let gateway = configured.or_else(|| default_route().map(IpAddr::V4));
        let Some(address) = gateway else {
            // Any address of the internet will do: of those for documentation (RFC 5737) nobody is meant.
            return Place { gateway: None, local: towards(Ipv4Addr::new(192, 0, 2, 1).into()).ok() };
        };
        let local = towards(address).ok();
        Place { gateway: local.map(|local| Gateway { address, local }), local }
    }
}

/// Who is asked by PCP and NAT-PMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The router of the configuration.
    Given(IpAddr),
    /// That of the default route.
    Route(IpAddr),
    Nobody,
}

impl Asked {
    pub(super) const fn new(router: Option<IpAddr>, configured: Option<IpAddr>) -> Asked {
        match (router, configured) {
            (None, _) => Asked::Nobody,
            (Some(ip), Some(_)) => Asked::Given(ip),
            (Some(ip), None) => Asked::Route(ip),
        }
    }

    /// That it does not answer, and what to do.
    pub(super) fn silent(self) -> String {
        let by = "does not answer by PCP or NAT-PMP";
        match self {
            Asked::Given(ip) => format!("{ip}, the router that was given, {by}: {}", self.remedy()),
            Asked::Route(ip) => format!("{ip}, the router of the default route, {by}: {}", self.remedy()),
            Asked::Nobody => {
                format!(
                    "no router is known: there is no default route, or this system does not tell it; {}",
                    self.remedy()
                )
            }
        }
    }

    /// The same where a search by UPnP found nobody either, or somebody of no use.
    #[cfg(feature = "upnp")]
    pub(super) fn not_found(self, error: Option<&str>) -> String {
        let error = error.map_or(String::new(), |error| format!(" ({error})"));
        let nobody = format!("no router answers by PCP, NAT-PMP or UPnP{error}");
        let asked = match self {
            Asked::Given(ip) => format!("{ip}, the router that was given, was asked by the first two"),
            Asked::Route(ip) => format!("{ip}, the router of the default route, was asked by the first two"),
            Asked::Nobody => "by the first two nobody was asked, for no default route is known".into(),
        };
        format!("{nobody}; {asked}: {}", self.remedy())
    }

    const fn remedy(self) -> &'static str {
        match self {
            Asked::Given(_) => {
                "look whether that is the router's address, and whether port mapping is switched on there"
            }
            Asked::Route(_) => "port mapping may be switched off there",
            Asked::Nobody => "say which one it is",
        }
    }
}

/// Our own address on the way to this one. Nothing is sent.
fn towards(there: IpAddr) -> io::Result<IpAddr> {
    let any: IpAddr =
        if there.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.connect(SocketAddr::new(there, tidewire_portmap::wire::ROUTER_PORT))?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn default_route() -> Option<Ipv4Addr> {
    gateway_of(&std::fs::read_to_string("/proc/net/route").ok()?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
const fn default_route() -> Option<Ipv4Addr> {
    None
}

/// The gateway of the default route with the smallest metric, in the words of `/proc/net/route`.
#[cfg(any(target_os = "linux", target_os = "android", test))]
fn gateway_of(table: &str) -> Option<Ipv4Addr> {
    /// `RTF_UP`, `RTF_GATEWAY`, `RTF_REJECT` of linux/route.h.
    const UP: u32 = 1;
    const GATEWAY: u32 = 2;
    const REJECT: u32 = 0x200;
    let route = |line: &str| {
        // Iface Destination Gateway Flags RefCnt Use Metric Mask ..
        let fields: Vec<&str> = line.split_whitespace().collect();
        let hex = |at: usize| u32::from_str_radix(fields.get(at)?, 16).ok();
        let [destination, gateway, flags, mask] = [hex(1)?, hex(2)?, hex(3)?, hex(7)?];
        let metric: u32 = fields.get(6)?.parse().ok()?;
        let is_default = (destination, mask) == (0, 0) && flags & (UP | GATEWAY | REJECT) == UP | GATEWAY;
        // The number is in the machine's order, of four bytes that are in the network's.
        (is_default && gateway != 0).then(|| (metric, Ipv4Addr::from(gateway.to_ne_bytes())))
    };
    table.lines().filter_map(route).min_by_key(|(metric, _)| *metric).map(|(_, gateway)| gateway)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

    fn route(destination: u32, gateway: [u8; 4], flags: u32, metric: u32, mask: u32) -> String {
        let gateway = u32::from_ne_bytes(gateway);
        format!("eth0\t{destination:08X}\t{gateway:08X}\t{flags:04X}\t0\t0\t{metric}\t{mask:08X}\t0\t0\t0    \n")
    }

    #[test]
    fn the_gateway_is_that_of_the_default_route_with_the_smallest_metric() {
        let table = [
            HEAD.to_owned(),
            route(0, [10, 0, 0, 1], 3, 600, 0),
            route(0, [192, 168, 1, 1], 3, 100, 0),
            route(0x0001_A8C0, [0, 0, 0, 0], 1, 0, 0x00FF_FFFF),
        ];
        assert_eq!(gateway_of(&table.concat()), Some(Ipv4Addr::new(192, 168, 1, 1)));
    }

    #[test]
    fn what_is_no_default_route_has_no_gateway() {
        let cases = [
            String::new(),
            HEAD.to_owned(),
            "eth0\tnonsense".to_owned(),
            format!("{}\n", "\u{fffd}".repeat(300)),
            // A network behind a router; a default route that is down, refused, or without a router.
            route(0x0000_000A, [192, 168, 1, 1], 3, 0, 0x0000_00FF),
            route(0, [192, 168, 1, 1], 2, 0, 0),
            route(0, [192, 168, 1, 1], 0x203, 0, 0),
            route(0, [0, 0, 0, 0], 1, 0, 0),
            // Half of all addresses, as VPNs do it.
            route(0, [10, 8, 0, 1], 3, 0, 0x0000_0080),
        ];
        for table in cases {
            assert_eq!(gateway_of(&table), None, "{table}");
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_address_is_read_as_the_kernel_writes_it() {
        let line = "eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
        assert_eq!(gateway_of(&format!("{HEAD}{line}")), Some(Ipv4Addr::new(192, 168, 1, 1)));
    }

    #[test]
    fn who_keeps_silent_is_named_with_what_helps() {
        let ip = IpAddr::from([192, 0, 2, 77]);
        let given = Asked::new(Some(ip), Some(ip)).silent();
        assert!(
            given.starts_with("192.0.2.77, the router that was given, does not answer by PCP or NAT-PMP"),
            "{given}"
        );
        let route = Asked::new(Some(ip), None).silent();
        assert!(
            route.ends_with("NAT-PMP: port mapping may be switched off there") && !route.contains("given"),
            "{route}"
        );
        let nobody = Asked::new(None, Some(ip)).silent();
        assert!(nobody.starts_with("no router is known") && nobody.ends_with("say which one it is"), "{nobody}");
    }

    #[test]
    fn our_address_towards_a_router_on_loopback_is_on_loopback() {
        let ip = IpAddr::from(Ipv4Addr::LOCALHOST);
        assert_eq!(Place::look(Some(ip)), Place { gateway: Some(Gateway { address: ip, local: ip }), local: Some(ip) });
    }
}
