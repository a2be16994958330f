//! Ports mapped at a router: over real sockets, from the listener's first word to the router's last.
#![cfg(feature = "portmap")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc
)]

#[path = "../../common/tests/shared/router.rs"]
mod router;
mod support;

use router::{OUTSIDE, Router, Speaks};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use support::*;
use tidewire_host::addresses::PortMapping;
use tidewire_std::{Event, Events, Multiaddr, Node, NodeConfig, Notice, PortMapConfig};

fn config(router: &Router) -> PortMapConfig {
    let mut config = PortMapConfig::default();
    config.gateway = Some("127.0.0.1".parse().unwrap());
    config.mapper.router_port = router.port;
    config.announced_at = Some(free());
    config
}

fn behind(router: &Router, n: u8) -> Node {
    let mut node = NodeConfig::default();
    node.port_mapping = Some(config(router));
    node_with(n, node)
}

/// A port of this machine that is free.
fn free() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
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

fn port(address: &Multiaddr) -> u16 {
    address.port().unwrap()
}

#[test]
fn a_listener_is_mapped_and_announced_and_given_back_at_the_end() {
    for (speaks, name) in [(Speaks::Pcp, "PCP"), (Speaks::NatPmp, "NAT-PMP")] {
        let router = Router::new(speaks);
        let node = behind(&router, 1);
        let mut events = node.events();
        let listen = listen(&node);
        let external = Multiaddr::tcp((OUTSIDE, port(&listen) ^ 1).into());
        match word(&mut events) {
            PortMapping::Mapped { listen: of, external: at, by } => {
                assert_eq!((of, at, by.as_str()), (listen.without_peer_id(), external.clone(), name));
            }
            other => panic!("{other}"),
        }
        assert_eq!(router.outside(port(&listen)), external.port());
        assert!(node.host(|host| host.externals().iter().any(|known| known.address == external && known.mapped)));
        assert!(node.explain_addresses().iter().any(|decision| decision.address == external));
        node.shutdown();
        assert_eq!(router.mapped(), 0, "{name}");
        assert!(matches!(word(&mut events), PortMapping::Lost { external: lost, .. } if lost == external));
    }
}

#[test]
#[cfg(target_os = "linux")] // elsewhere loopback has one address
fn a_peer_reaches_us_at_the_address_that_the_router_leads_to_us() {
    let router = Router::new(Speaks::Pcp);
    let (inside, outside) = (behind(&router, 1), node(2));
    let mut events = inside.events();
    let listen = listen(&inside);
    let PortMapping::Mapped { external, .. } = word(&mut events) else { panic!("not mapped") };
    router.forward(port(&listen));
    let there = format!("{external}/p2p/{}", id(1)).parse().unwrap();
    outside.connect(&there).unwrap();
    assert_eq!(&outside.request(id(1), ECHO, b"hello", 100).unwrap()[..], b"hello");
}

#[test]
fn listeners_that_come_are_mapped_and_those_that_go_given_back() {
    let router = Router::new(Speaks::Pcp);
    let node = behind(&router, 1);
    let mut events = node.events();
    let first = node.listen(&loopback()).unwrap();
    let PortMapping::Mapped { external, .. } = word(&mut events) else { panic!("not mapped") };
    let second = listen(&node);
    let PortMapping::Mapped { listen, .. } = word(&mut events) else { panic!("not mapped") };
    assert_eq!(port(&listen), port(&second));
    let gone = port(&first.addresses()[0]);
    first.close();
    assert!(matches!(word(&mut events), PortMapping::Lost { external: lost, .. } if lost == external));
    until(|| router.outside(gone).is_none());
    assert_eq!(router.mapped(), 1);
    assert!(node.host(|host| host.externals().iter().all(|known| known.address != external)));
}

#[test]
fn a_mapping_is_renewed_in_time() {
    let router = Router::new(Speaks::Pcp);
    router.lifetime(2);
    let node = behind(&router, 1);
    let mut events = node.events();
    let listen = listen(&node);
    word(&mut events);
    until(|| router.asked().iter().filter(|(of, lifetime)| *of == port(&listen) && *lifetime > 0).count() >= 3);
    // Renewed, it is told only once.
    node.shutdown();
    assert!(matches!(word(&mut events), PortMapping::Lost { why, .. } if why == "the node is shut down"));
}

#[test]
fn why_a_port_could_not_be_mapped_is_said_in_words() {
    let router = Router::new(Speaks::Pcp);
    router.refuse(true);
    let node = behind(&router, 1);
    let mut events = node.events();
    let listen = listen(&node);
    let said = word(&mut events).to_string();
    let words = format!("the port of {} could not be mapped: the router says by PCP: ", listen.without_peer_id());
    assert!(said.starts_with(&words) && said.ends_with("tried again in 1800 s"), "{said}");
}

#[test]
fn a_router_that_falls_silent_delays_the_end_no_longer_than_it_may() {
    let router = Router::new(Speaks::Pcp);
    let node = behind(&router, 1);
    let mut events = node.events();
    listen(&node);
    word(&mut events);
    router.speak(Speaks::Nothing);
    let begin = Instant::now();
    node.shutdown();
    let took = begin.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(5)).contains(&took), "{took:?}");
}

#[test]
fn without_the_wish_no_port_is_mapped() {
    let router = Router::new(Speaks::Pcp);
    let node = node(1);
    listen(&node);
    node.shutdown();
    assert!(router.asked().is_empty());
    assert_eq!(NodeConfig::default().port_mapping, None);
}

#[test]
fn a_router_that_announces_that_it_restarted_is_asked_again() {
    let router = Router::new(Speaks::Pcp);
    let mut mapping = config(&router);
    mapping.mapper.announced_wait = Duration::from_millis(50);
    let announced_at = mapping.announced_at.unwrap();
    let mut config = NodeConfig::default();
    config.port_mapping = Some(mapping);
    let node = node_with(1, config);
    let mut events = node.events();
    let port = port(&listen(&node));
    word(&mut events);
    router.restart(announced_at);
    until(|| router.outside(port).is_some());
}
