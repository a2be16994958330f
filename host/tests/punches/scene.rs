//! A relay, two elsewhere, and what is asked of them: node 1 relays, node 2 holds a reservation there (side B), node 3 dials it
//! (side A).

use crate::solo_node::{Outcome, SoloNode};
use crate::town::{PORT, at, millis, node_at, of, peer, secs, tell};
use std::net::IpAddr;
use tidewire_core::Multiaddr;
use tidewire_dcutr::coordinator::Event as Punch;
use tidewire_dcutr::report::Report;
use tidewire_host::solo::SoloConfig;
use tidewire_host::{Event, ListenerId, OpenOptions};
use tidewire_relay::Limit;
use tidewire_relay::server::{Offer, ServerConfig};
use tidewire_sim::{HostId, Link, World, ipv4};

pub(crate) fn ipv6(n: u32) -> IpAddr {
    format!("2a01:4f8::{n}").parse().unwrap()
}

/// Where the `n`-th is at home.
pub(crate) fn inside(n: u32) -> IpAddr {
    format!("10.0.{n}.2").parse().unwrap()
}

/// Where the world sees the home of the `n`-th.
pub(crate) fn outside(n: u32) -> IpAddr {
    ipv4(100 + n)
}

/// A relay without limits that all can reach, by both families. All paths take 20 ms.
pub(crate) fn add_relay(world: &mut World) -> HostId {
    world.default_link(Link::new(millis(20)));
    let relay = |config: &mut SoloConfig| {
        let mut server = ServerConfig::default();
        (server.offer, server.limit) = (Offer::Always, Limit::UNLIMITED);
        config.host.relay.server = Some(server);
    };
    let relay = node_at(world, 1, relay, &[at(1), Multiaddr::tcp((ipv6(1), PORT).into())]);
    world.add(relay, [ipv4(1), ipv6(1)])
}

/// The `n`-th, at home.
pub(crate) fn homely(world: &mut World, n: u32, configure: impl FnOnce(&mut SoloConfig)) -> SoloNode {
    node_at(world, n, configure, &[Multiaddr::tcp((inside(n), PORT).into())])
}

pub(crate) fn at_relay() -> Multiaddr {
    format!("{}/p2p/{}/p2p-circuit", at(1), peer(1)).parse().unwrap()
}

/// Where the `n`-th is reached through the relay.
pub(crate) fn circuit(n: u32) -> Multiaddr {
    format!("{}/p2p/{}", at_relay(), peer(n)).parse().unwrap()
}

pub(crate) fn has_reservation(node: &SoloNode) -> bool {
    node.told().any(|(_, event)| matches!(event, Event::Listening { listener: ListenerId(9), .. }))
}

/// Node 2 listens at the relay, and node 3 dials it there.
pub(crate) fn begin(world: &mut World, [_, holder, dialer]: [HostId; 3]) {
    tell(world, holder, |node, now| node.solo.listen(now, ListenerId(9), &at_relay()).unwrap());
    assert!(world.run_while(secs(10), |world| has_reservation(of(world, holder))).unwrap(), "no reservation");
    tell(world, dialer, |node, now| node.connect(now, 7, peer(2), &[circuit(2)]));
}

pub(crate) fn reports_of(node: &SoloNode) -> Vec<Report> {
    let report = |event: &Event| match event {
        Event::Punch(Punch::Report(report)) => Some((**report).clone()),
        _ => None,
    };
    node.told().filter_map(|(_, event)| report(event)).collect()
}

pub(crate) fn reports(world: &World, id: HostId) -> Vec<Report> {
    reports_of(of(world, id))
}

/// Until node 2 has a report, and neither is busy.
pub(crate) fn wait_for_reports(world: &mut World, [_, holder, dialer]: [HostId; 3]) {
    let done = |world: &World| {
        !reports(world, holder).is_empty() && [holder, dialer].into_iter().all(|id| !is_busy(of(world, id)))
    };
    assert!(world.run_while(secs(180), done).unwrap(), "{:?}", [holder, dialer].map(|id| reports(world, id)));
}

pub(crate) fn is_busy(node: &SoloNode) -> bool {
    node.solo.host().punching().unwrap().counts().attempts > 0
}

/// Direct connections to a peer.
pub(crate) fn directs(node: &SoloNode, other: u32) -> usize {
    let manager = node.solo.host().manager();
    manager.connections_of(&peer(other)).filter(|view| !view.remote.is_relayed()).count()
}

/// Each end has one connection to the other, and it is direct.
#[track_caller]
pub(crate) fn assert_direct(world: &mut World, [_, holder, dialer]: [HostId; 3]) {
    world.run_for(secs(90)).unwrap();
    for (id, other) in [(holder, 3), (dialer, 2)] {
        let node = of(world, id);
        assert_eq!((node.connections_to(&peer(other)).len(), directs(node, other)), (1, 1), "{:?}", reports(world, id));
    }
    echo(world, dialer, 2, OpenOptions::default());
}

/// The circuit is all there is, and it carries.
#[track_caller]
pub(crate) fn assert_relayed(world: &mut World, [_, holder, dialer]: [HostId; 3]) {
    for (id, other) in [(holder, 3), (dialer, 2)] {
        let node = of(world, id);
        assert_eq!((node.connections_to(&peer(other)).len(), directs(node, other)), (1, 0), "{:?}", reports(world, id));
    }
    echo(world, dialer, 2, limited());
}

pub(crate) fn limited() -> OpenOptions {
    let mut options = OpenOptions::default();
    (options.limited, options.timeout) = (true, secs(20));
    options
}

/// What is said to node `to` comes back.
#[track_caller]
pub(crate) fn echo(world: &mut World, from: HostId, to: u32, options: OpenOptions) {
    let call = tell(world, from, |node, now| node.call_with(now, peer(to), &[7; 4096], true, options));
    world.run_while(secs(20), |world| of(world, from).outcome(call).is_some()).unwrap();
    assert_eq!(of(world, from).outcome(call), Some(&Outcome::Echoed));
}
