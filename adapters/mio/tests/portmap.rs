//! Ports mapped for a host that the application drives itself.
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
use std::time::{Duration, Instant};
use support::shared::loopback;
use support::{LIMIT, Node};
use tidewire_host::addresses::PortMapping;
use tidewire_mio::{Input, Multiaddr, PortMapConfig, PortMapper, random_seed};

fn mapper(router: &Router, wake: impl Fn() + Send + 'static) -> PortMapper {
    let mut config = PortMapConfig::default();
    config.gateway = Some("127.0.0.1".parse().unwrap());
    (config.mapper.router_port, config.announced_at) = (router.port, None);
    PortMapper::start(config, &random_seed().unwrap(), wake).unwrap()
}

#[test]
fn a_hosts_ports_are_mapped_by_a_thread_that_wakes_the_driver_and_given_back_at_the_end() {
    let router = Router::new(Speaks::Pcp);
    let mut node = Node::new(1);
    let listen = node.listen(&loopback()).unwrap();
    let waker = node.driver.waker();
    let mut mapper = mapper(&router, move || waker.wake().unwrap());
    mapper.follow(node.driver.solo().host().advertise_inputs().listening);
    let begun = Instant::now();
    let word = loop {
        node.turn(LIMIT);
        if let Some(word) = mapper.poll() {
            break word;
        }
        assert!(begun.elapsed() < LIMIT, "nothing is said");
    };
    let external = Multiaddr::tcp((OUTSIDE, listen.port().unwrap() ^ 1).into());
    assert!(matches!(&word, PortMapping::Mapped { external: at, .. } if *at == external), "{word}");
    node.tell(|solo, now| solo.tell_host(now, Input::PortMapping(word)).unwrap());
    assert!(node.driver.solo().host().externals().iter().any(|known| known.address == external && known.mapped));
    let last = mapper.stop();
    assert!(matches!(&last[..], [PortMapping::Lost { external: lost, .. }] if *lost == external), "{last:?}");
    assert_eq!(router.mapped(), 0);
}

#[test]
fn one_that_is_dropped_gives_back_what_it_had() {
    let router = Router::new(Speaks::NatPmp);
    let mapper = mapper(&router, || ());
    mapper.follow(vec!["/ip4/127.0.0.1/tcp/4001".parse().unwrap()]);
    let until = |mapped: usize| {
        let begun = Instant::now();
        while router.mapped() != mapped {
            assert!(begun.elapsed() < LIMIT, "{mapped} ports were never mapped");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    until(1);
    drop(mapper);
    until(0);
}

#[test]
fn what_others_can_not_reach_through_the_router_is_not_mapped() {
    let router = Router::new(Speaks::Pcp);
    let mut mapper = mapper(&router, || ());
    let not_ours = ["/ip4/127.0.0.9/tcp/4001", "/ip6/::1/tcp/4002", "/ip4/127.0.0.1/udp/4003"];
    let last = "/ip4/127.0.0.1/tcp/4004";
    mapper.follow(not_ours.iter().chain([&last]).map(|address| address.parse().unwrap()).collect());
    let begun = Instant::now();
    while router.mapped() == 0 {
        assert!(begun.elapsed() < LIMIT);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(router.asked().iter().map(|(port, _)| *port).collect::<Vec<_>>(), [4004]);
    assert!(mapper.poll().is_none_or(|word| matches!(word, PortMapping::Mapped { .. })));
}
