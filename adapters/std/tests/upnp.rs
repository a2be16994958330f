//! Ports mapped by UPnP, where nobody speaks PCP or NAT-PMP: over real sockets, SSDP to SOAP.
#![cfg(feature = "upnp")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc
)]

#[path = "../../common/tests/shared/igd.rs"]
mod igd;
#[path = "../../common/tests/shared/router.rs"]
mod router;
mod support;

use igd::Igd;
use router::{Router, Speaks};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use support::*;
use tidewire_host::addresses::PortMapping;
use tidewire_std::{Event, Events, Multiaddr, Node, NodeConfig, Notice, PortMapConfig};

const SOON: Duration = Duration::from_millis(200);

fn behind(router: &Router, search_at: SocketAddr) -> Node {
    let mut config = PortMapConfig::default();
    config.gateway = Some("127.0.0.1".parse().unwrap());
    (config.mapper.router_port, config.announced_at) = (router.port, None);
    let upnp = config.upnp.as_mut().unwrap();
    (upnp.after, upnp.search, upnp.search_at) = (SOON, SOON * 15, search_at);
    upnp.trusted = vec!["127.0.0.1".parse().unwrap()];
    let mut node = NodeConfig::default();
    node.port_mapping = Some(config);
    node_with(1, node)
}

fn word(events: &mut Events) -> PortMapping {
    let end = Instant::now() + Duration::from_secs(10);
    while let Some(notice) = events.next_within(end.saturating_duration_since(Instant::now())) {
        if let Notice::Event(Event::PortMapping(word)) = notice {
            return word;
        }
    }
    panic!("nothing was said of ports")
}

/// Where the listener of a node behind this router is reached, for how long, and the node.
fn mapped(igd: &Igd) -> (u16, Multiaddr, Node, Events) {
    let router = Router::new(Speaks::Nothing);
    let node = behind(&router, igd.search_at);
    let mut events = node.events();
    let port = listen(&node).port().unwrap();
    let (external, by) = match word(&mut events) {
        PortMapping::Mapped { external, by, .. } => (external, by),
        other => panic!("{other}"),
    };
    assert_eq!(by, "UPnP");
    (port, external, node, events)
}

#[test]
fn where_nobody_speaks_another_protocol_a_port_is_mapped_by_upnp_and_given_back_at_the_end() {
    let igd = Igd::new();
    let (port, external, node, mut events) = mapped(&igd);
    assert_eq!(external.to_string(), format!("/ip4/11.0.0.9/tcp/{port}"));
    assert_eq!(igd.outside(port), Some((port, 3_600)));
    assert!(node.host(|host| host.externals().iter().any(|known| known.address == external && known.mapped)));
    node.shutdown();
    assert_eq!(igd.outside(port), None);
    assert!(matches!(word(&mut events), PortMapping::Lost { external: lost, .. } if lost == external));
}

#[test]
fn a_router_that_gives_no_leases_is_asked_for_ever() {
    let igd = Igd::new();
    igd.for_ever();
    let (port, _, node, _) = mapped(&igd);
    assert_eq!(igd.outside(port), Some((port, 0)));
    node.shutdown();
    assert_eq!(igd.outside(port), None);
}

#[test]
fn a_port_that_is_anothers_is_mapped_to_any_other() {
    let igd = Igd::new();
    let router = Router::new(Speaks::Nothing);
    let node = behind(&router, igd.search_at);
    let mut events = node.events();
    // The port is taken before the router is asked for it: that is only after a while.
    let port = listen(&node).port().unwrap();
    igd.take(port);
    let PortMapping::Mapped { external, .. } = word(&mut events) else { panic!("not mapped") };
    assert_ne!(external.port(), Some(port));
    assert_eq!(igd.outside(port).map(|(outside, _)| outside), external.port());
}

#[test]
fn a_listener_that_goes_is_given_back_by_upnp() {
    let igd = Igd::new();
    let router = Router::new(Speaks::Nothing);
    let node = behind(&router, igd.search_at);
    let mut events = node.events();
    let listener = node.listen(&loopback()).unwrap();
    let PortMapping::Mapped { external, .. } = word(&mut events) else { panic!("not mapped") };
    let port = listener.addresses()[0].port().unwrap();
    listener.close();
    assert!(matches!(word(&mut events), PortMapping::Lost { external: lost, .. } if lost == external));
    until(|| igd.outside(port).is_none());
}

#[test]
fn a_router_that_speaks_pcp_is_not_asked_by_upnp() {
    let (igd, router) = (Igd::new(), Router::new(Speaks::Pcp));
    let node = behind(&router, igd.search_at);
    let mut events = node.events();
    let port = listen(&node).port().unwrap();
    assert!(matches!(word(&mut events), PortMapping::Mapped { by, .. } if by == "PCP"));
    std::thread::sleep(SOON * 3);
    assert_eq!(igd.outside(port), None);
}

#[test]
fn where_nobody_answers_at_all_that_is_said() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let router = Router::new(Speaks::Nothing);
    let node = behind(&router, silent.local_addr().unwrap());
    let mut events = node.events();
    listen(&node);
    let said = word(&mut events).to_string();
    assert!(
        said.contains("no router answers by PCP, NAT-PMP or UPnP") && said.contains("tried again in 60 s"),
        "{said}"
    );
    node.shutdown();
}
