//! Several nodes in a world, and what is asked of them.

use crate::solo_node::{SoloNode, keypair};
use std::collections::BTreeMap;
use std::time::Duration;
use tidewire_connmgr as connmgr;
use tidewire_core::{Multiaddr, PeerId, Seed, Time};
use tidewire_host::link::StreamEvent;
use tidewire_host::solo::{SoloConfig, SoloEvent};
use tidewire_host::{ConnectionId, Event};
use tidewire_sim::{HostId, World, ipv4};

pub(crate) const PORT: u16 = 4001;

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Where the `n`-th node listens.
pub(crate) fn at(n: u32) -> Multiaddr {
    Multiaddr::tcp((ipv4(n), PORT).into())
}

/// Who the `n`-th node is.
pub(crate) fn peer(n: u32) -> PeerId {
    keypair(n).peer_id()
}

/// The `n`-th node, on the `n`-th address. Each call makes another one of the same name.
pub(crate) fn node(world: &mut World, n: u32, configure: impl FnOnce(&mut SoloConfig)) -> SoloNode {
    node_at(world, n, configure, &[at(n)])
}

pub(crate) fn node_at(
    world: &mut World,
    n: u32,
    configure: impl FnOnce(&mut SoloConfig),
    listen: &[Multiaddr],
) -> SoloNode {
    let mut config = SoloConfig::default();
    configure(&mut config);
    let seed = Seed::new([7; 32]).derive("solo", world.rng().next_u64());
    SoloNode::new(n, &seed, config, listen)
}

/// Nodes 1 to `count`, all of which listen.
pub(crate) fn town(world: &mut World, count: u32) -> Vec<HostId> {
    town_with(world, count, |_| {})
}

pub(crate) fn town_with(world: &mut World, count: u32, configure: impl Fn(&mut SoloConfig)) -> Vec<HostId> {
    let mut hosts = Vec::new();
    for n in 1..=count {
        let node = node(world, n, &configure);
        hosts.push(world.add(node, [ipv4(n)]));
    }
    world.run_for(Duration::ZERO).unwrap();
    hosts
}

/// Two nodes, the first of which is connected to the second, and both know each other.
pub(crate) fn pair(world: &mut World) -> (HostId, HostId) {
    let hosts = town(world, 2);
    // What a node says of itself settles within a second of its start.
    world.run_for(secs(2)).unwrap();
    connect(world, hosts[0], 2);
    (hosts[0], hosts[1])
}

/// Acts as the application of a node.
pub(crate) fn tell<R>(world: &mut World, id: HostId, act: impl FnOnce(&mut SoloNode, Time) -> R) -> R {
    world.with(id, |node: &mut SoloNode, os| {
        let result = act(node, os.now());
        node.drive(os.now(), os);
        result
    })
}

/// Connects to the `n`-th node, and waits until both know each other.
pub(crate) fn connect(world: &mut World, id: HostId, n: u32) {
    tell(world, id, |node, now| node.connect(now, 1_000_000 + u64::from(n), peer(n), &[at(n)]));
    let known = world.run_while(secs(20), |world| of(world, id).solo.host().identity(&peer(n)).is_some()).unwrap();
    assert!(known, "{id} is not connected to node {n}: {:?}", of(world, id).events);
    world.run_for(secs(2)).unwrap();
}

pub(crate) fn of(world: &World, id: HostId) -> &SoloNode {
    world.node(id)
}

/// The only connection to a peer.
#[track_caller]
pub(crate) fn only(world: &World, id: HostId, n: u32) -> ConnectionId {
    let all = of(world, id).connections_to(&peer(n));
    assert_eq!(all.len(), 1, "connections of {id} to node {n}");
    all[0]
}

/// The smoothed time that a ping takes.
pub(crate) fn rtt(world: &World, id: HostId, connection: ConnectionId) -> Option<Duration> {
    of(world, id).solo.host().manager().connection(connection).and_then(|view| view.rtt)
}

/// Connections that were closed, and why.
pub(crate) fn closed(world: &World, id: HostId) -> Vec<(Time, PeerId, connmgr::By, connmgr::CloseReason)> {
    let closed = |(at, event): (Time, &connmgr::Event)| match event {
        connmgr::Event::ConnectionClosed { peer, by, reason, .. } => Some((at, *peer, *by, reason.clone())),
        _ => None,
    };
    of(world, id).managed().filter_map(closed).collect()
}

/// Nothing is open, nothing is counted.
pub(crate) fn assert_empty(world: &World, id: HostId) {
    let node = of(world, id);
    let (host, counts) = (node.solo.host(), node.solo.host().manager().counts());
    let limits = counts.limits;
    assert_eq!(host.connections().count(), 0, "{id}");
    assert_eq!(host.openings().count(), 0, "{id}");
    assert_eq!((counts.connected_peers, counts.dialed_peers), (0, 0), "{id}");
    assert_eq!((limits.pending_inbound, limits.pending_outbound), (0, 0), "{id}");
    assert_eq!((limits.established_inbound, limits.established_outbound), (0, 0), "{id}");
    assert_eq!((limits.streams_inbound, limits.streams_outbound), (0, 0), "{id}");
    assert_eq!(limits.memory, 0, "{id}");
}

/// Per peer: `Connected`, (`ConnectionOpened`, its streams, `ConnectionClosed`)+, `Disconnected`, and no event twice.
pub(crate) fn assert_lifecycle(world: &World, id: HostId) {
    let node = of(world, id);
    let mut connected: BTreeMap<PeerId, u32> = BTreeMap::new();
    let mut open: BTreeMap<ConnectionId, PeerId> = BTreeMap::new();
    let mut last_closed: Option<ConnectionId> = None;
    for (time, event) in &node.events {
        match event {
            SoloEvent::Host(Event::Manager(event)) => match event {
                connmgr::Event::Connected { peer } => {
                    assert!(connected.insert(*peer, 0).is_none(), "{id} {time:?}: connected twice to {peer}");
                }
                connmgr::Event::Disconnected { peer } => {
                    assert_eq!(connected.remove(peer), Some(0), "{id} {time:?}: disconnected from {peer}");
                }
                connmgr::Event::ConnectionOpened { connection, peer, .. } => {
                    *connected.get_mut(peer).unwrap_or_else(|| panic!("{id} {time:?}: not connected to {peer}")) += 1;
                    assert!(open.insert(*connection, *peer).is_none(), "{id} {time:?}: {connection} opened twice");
                }
                connmgr::Event::ConnectionClosed { connection, peer, .. } => {
                    assert_eq!(open.remove(connection), Some(*peer), "{id} {time:?}: {connection} closed");
                    *connected.get_mut(peer).unwrap() -= 1;
                    last_closed = Some(*connection);
                }
                _ => {}
            },
            SoloEvent::Host(
                Event::Identified { connection, peer, .. } | Event::IdentifyFailed { connection, peer, .. },
            ) => {
                assert_eq!(open.get(connection), Some(peer), "{id} {time:?}: {event:?}");
            }
            SoloEvent::Stream { connection, event } => {
                let begins = matches!(event, StreamEvent::Incoming { .. } | StreamEvent::Opened { .. });
                let there = open.contains_key(connection);
                assert!(there || !begins, "{id} {time:?}: {event:?} on {connection}, last closed {last_closed:?}");
            }
            _ => {}
        }
    }
    let host = node.solo.host();
    for (peer, count) in connected {
        assert_eq!(host.manager().connections_of(&peer).count(), count as usize, "{id}: connections to {peer}");
    }
}
