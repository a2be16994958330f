//! What the host was told of ports that are mapped. Two protocols may hold the same address of the same router: it is lost when
//! neither does any more.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use tidewire_core::Multiaddr;
use tidewire_host::addresses::PortMapping;

/// How a mapping was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum By {
    /// The mapper: PCP or NAT-PMP.
    Mapper,
    #[cfg(feature = "upnp")]
    Upnp,
}

/// Addresses that lead to us, and by what.
#[derive(Debug, Default)]
pub(super) struct Held(BTreeMap<(By, u16), SocketAddr>);

impl Held {
    /// A router leads this address to our port: what the host is to be told.
    pub(super) fn mapped(
        &mut self,
        by: (By, &str),
        local: IpAddr,
        port: u16,
        external: SocketAddr,
    ) -> Vec<PortMapping> {
        let (by, protocol) = by;
        let before = self.0.get(&(by, port)).copied();
        if before == Some(external) {
            return Vec::new();
        }
        let mut words: Vec<_> = self.lost(by, port, "the router gave another one").into_iter().collect();
        let listen = Multiaddr::tcp(SocketAddr::new(local, port));
        self.0.insert((by, port), external);
        words.push(PortMapping::Mapped { listen, external: Multiaddr::tcp(external), by: protocol.into() });
        words
    }

    /// It does no more. `None`: it did not, or it still does by another protocol.
    pub(super) fn lost(&mut self, by: By, port: u16, why: &str) -> Option<PortMapping> {
        let external = self.0.remove(&(by, port))?;
        if self.0.values().any(|other| *other == external) {
            return None;
        }
        Some(PortMapping::Lost { external: Multiaddr::tcp(external), why: why.into() })
    }

    /// None does any more.
    pub(super) fn all_lost(&mut self, why: &str) -> Vec<PortMapping> {
        let all: Vec<_> = self.0.keys().copied().collect();
        all.into_iter().filter_map(|(by, port)| self.lost(by, port, why)).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn mapped(held: &mut Held, port: u16, external: &str) -> Vec<String> {
        let local = "192.168.1.7".parse().unwrap();
        held.mapped((By::Mapper, "PCP"), local, port, at(external)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_address_that_changed_is_lost_before_the_next_is_told() {
        let mut held = Held::default();
        let said = mapped(&mut held, 4001, "11.0.0.1:4001");
        assert_eq!(said, ["the router leads /ip4/11.0.0.1/tcp/4001 to /ip4/192.168.1.7/tcp/4001 (PCP)"]);
        assert!(mapped(&mut held, 4001, "11.0.0.1:4001").is_empty(), "said already");
        let said = mapped(&mut held, 4001, "11.0.0.2:4001");
        assert_eq!(
            said,
            [
                "/ip4/11.0.0.1/tcp/4001 does not lead to us any more: the router gave another one",
                "the router leads /ip4/11.0.0.2/tcp/4001 to /ip4/192.168.1.7/tcp/4001 (PCP)"
            ]
        );
    }

    #[test]
    #[cfg(feature = "upnp")]
    fn what_two_protocols_hold_is_lost_with_the_second() {
        let mut held = Held::default();
        mapped(&mut held, 4001, "11.0.0.1:4001");
        held.mapped((By::Upnp, "UPnP"), at("192.168.1.7:0").ip(), 4001, at("11.0.0.1:4001"));
        assert_eq!(held.lost(By::Mapper, 4001, "why"), None);
        assert!(held.lost(By::Upnp, 4001, "why").is_some());
        assert_eq!(held.lost(By::Upnp, 4001, "why"), None);
    }

    #[test]
    fn all_that_is_held_is_lost_once() {
        let mut held = Held::default();
        mapped(&mut held, 4001, "11.0.0.1:4001");
        mapped(&mut held, 4002, "11.0.0.1:4002");
        assert_eq!(held.all_lost("why").len(), 2);
        assert!(held.all_lost("why").is_empty());
    }
}
