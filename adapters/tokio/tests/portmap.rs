//! Ports mapped at a router, and given back before the shutdown returns.
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

use router::{OUTSIDE, Router, Speaks};
use std::time::Duration;
use tidewire_host::addresses::PortMapping;
use tidewire_tokio::{Event, Keypair, Multiaddr, Node, NodeConfig, Notice, PortMapConfig, random_seed};
use tokio::time::timeout;

#[tokio::test]
async fn a_listener_is_mapped_and_given_back_at_the_end() {
    let router = Router::new(Speaks::Pcp);
    let mut mapping = PortMapConfig::default();
    mapping.gateway = Some("127.0.0.1".parse().unwrap());
    (mapping.mapper.router_port, mapping.announced_at) = (router.port, None);
    let mut config = NodeConfig::default();
    config.port_mapping = Some(mapping);
    let node = Node::new(config, Keypair::from_seed(&random_seed().unwrap())).unwrap();
    let mut events = node.events();
    let listener = node.listen(&"/ip4/127.0.0.1/tcp/0".parse().unwrap()).await.unwrap();
    let external = Multiaddr::tcp((OUTSIDE, listener.addresses()[0].port().unwrap() ^ 1).into());
    let said = async {
        loop {
            if let Notice::Event(Event::PortMapping(word)) = events.next().await.unwrap() {
                break word;
            }
        }
    };
    let word = timeout(Duration::from_secs(10), said).await.unwrap();
    assert!(matches!(&word, PortMapping::Mapped { external: at, .. } if *at == external), "{word}");
    assert_eq!(router.mapped(), 1);
    node.shutdown().await;
    assert_eq!(router.mapped(), 0);
}
