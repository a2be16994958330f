//! AutoNAT: nodes that ask others whether they can be reached, and nodes that answer.

use crate::relays;
use crate::town::{at, connect, millis, node, node_at, of, peer, secs, tell};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use tidewire_connmgr::Event as Manager;
use tidewire_core::{Multiaddr, Time};
use tidewire_host::addresses::{NatStatus, Reachability};
use tidewire_host::solo::SoloConfig;
use tidewire_host::{By, Event, Input};
use tidewire_relay::RateConfig;
use tidewire_relay::autonat::{v1, v2};
use tidewire_sim::{HostId, Link, Middlebox, Packet, World, check, ipv4};

/// How servers are set up.
#[derive(Clone, Copy)]
enum Version {
    V1,
    V2,
}

fn serves(config: &mut SoloConfig, version: Version) {
    match version {
        Version::V1 => config.host.relay.autonat_v1_server = Some(v1::ServerConfig::default()),
        Version::V2 => config.host.relay.autonat_v2_server = Some(v2::ServerConfig::default()),
    }
}

/// Nodes 1 to `servers` answer, the last one asks.
fn town(world: &mut World, servers: u32, version: Version) -> (HostId, Vec<HostId>) {
    town_with(world, servers, version, |_| {})
}

fn town_with(
    world: &mut World,
    servers: u32,
    version: Version,
    configure: impl FnOnce(&mut SoloConfig),
) -> (HostId, Vec<HostId>) {
    world.default_link(Link::new(millis(20)));
    let mut all = Vec::new();
    for n in 1..=servers {
        let node = node(world, n, |config| serves(config, version));
        all.push(world.add(node, [ipv4(n)]));
    }
    let asks = servers + 1;
    let node = node(world, asks, configure);
    let id = world.add(node, [ipv4(asks)]);
    world.run_for(secs(2)).unwrap();
    (id, all)
}

fn status(world: &World, id: HostId) -> Vec<NatStatus> {
    let told = of(world, id).told();
    told.filter_map(|(_, event)| if let Event::NatStatus(status) = event { Some(*status) } else { None }).collect()
}

fn dialed(world: &World, id: HostId, address: &Multiaddr) -> Option<Reachability> {
    of(world, id).solo.host().externals().iter().find(|it| it.address == *address).map(|it| it.reachability)
}

#[test]
fn who_can_be_reached_learns_it_from_several_servers() {
    check(0..3, |world| {
        let (id, _) = town(world, 5, Version::V2);
        for n in 1..=5 {
            connect(world, id, n);
        }
        world.run_for(secs(120))?;
        assert_eq!(
            dialed(world, id, &at(6)),
            Some(Reachability::Reachable),
            "{}",
            of(world, id).solo.host().autonat_v2().unwrap().explain(world.now())
        );
        assert_eq!(status(world, id), [NatStatus::Public]);
        // The dials left nothing behind.
        for n in 1..=5 {
            assert_eq!(of(world, id).connections_to(&peer(n)).len(), 1, "node {n}");
        }
        Ok(())
    });
}

/// The spec lets a dial-back come from another peer id (autonat-v1.md, "AutoNAT Protocol"; autonat-v2.md, "Implementation
/// Suggestions").
#[test]
fn who_is_dialed_back_hears_of_a_stranger_and_of_no_second_connection_to_the_server() {
    for version in [Version::V1, Version::V2] {
        check(0..2, |world| {
            let (id, servers) = town(world, 3, version);
            for n in 1..=3 {
                connect(world, id, n);
            }
            world.run_for(secs(120))?;
            let (mut known, mut strangers) = (0, BTreeSet::new());
            for (_, event) in of(world, id).told() {
                match event {
                    Event::Manager(Manager::ConnectionOpened { peer: who, .. }) => {
                        if (1..=3).any(|n| peer(n) == *who) {
                            known += 1;
                        } else {
                            strangers.insert(*who);
                        }
                    }
                    Event::Manager(Manager::ConnectionClosed { peer: who, by, .. }) => {
                        assert!(strangers.contains(who) && *by == By::Remote, "{event:?}");
                    }
                    Event::Identified { peer: who, identity, .. } if strangers.contains(who) => {
                        assert!(identity.protocols.is_empty() && identity.addresses.is_empty(), "{identity:?}");
                    }
                    Event::IdentifyFailed { .. } | Event::OpenFailed { .. } => panic!("{event:?}"),
                    _ => {}
                }
            }
            // One connection to each server, and another stranger for each that was asked: one is enough for the first version.
            let least = if let Version::V1 = version { 1 } else { 2 };
            assert!(known == 3 && (least..=3).contains(&strangers.len()), "{known}, {strangers:?}");
            for server in servers {
                let failed = |event: &Event| matches!(event, Event::Manager(Manager::ConnectionClosed { .. }));
                assert!(
                    !of(world, server).told().any(|(_, event)| failed(event)),
                    "the server's own dials are its own affair"
                );
            }
            Ok(())
        });
    }
}

#[test]
fn an_address_that_leads_nowhere_is_paid_for_and_refuted() {
    check(0..2, |world| {
        let (id, servers) = town(world, 5, Version::V2);
        let nowhere: Multiaddr = "/ip4/11.9.9.9/tcp/4001".parse()?;
        tell(world, id, |node, now| node.solo.tell_host(now, Input::AddExternal { address: nowhere.clone() }).unwrap());
        for n in 1..=5 {
            connect(world, id, n);
        }
        world.run_for(secs(300))?;
        assert_eq!(
            dialed(world, id, &nowhere),
            Some(Reachability::Unreachable),
            "{}",
            of(world, id).solo.host().autonat_v2().unwrap().explain(world.now())
        );
        assert_eq!(dialed(world, id, &at(6)), Some(Reachability::Reachable));
        let paid: u64 =
            servers.iter().map(|id| of(world, *id).solo.host().autonat_v2_server().unwrap().counters().paid).sum();
        assert!(paid >= 3 * 30_000, "{paid} bytes were paid");
        Ok(())
    });
}

#[test]
fn the_first_version_says_it_of_the_host_as_a_whole() {
    check(0..2, |world| {
        let (id, _) = town(world, 4, Version::V1);
        for n in 1..=4 {
            connect(world, id, n);
        }
        world.run_for(secs(600))?;
        assert_eq!(status(world, id).last(), Some(&NatStatus::Public), "{:?}", status(world, id));
        Ok(())
    });
}

#[test]
fn who_listens_nowhere_that_leads_to_it_learns_that_it_is_private() {
    check(0..2, |world| {
        let (id, _) = town(world, 4, Version::V1);
        for n in 1..=4 {
            connect(world, id, n);
        }
        // From now on nobody comes in; what it dialed goes on.
        tell(world, id, |node, now| node.solo.unlisten(now, tidewire_host::ListenerId(0)).unwrap());
        world.run_for(secs(2))?;
        tell(world, id, |node, now| {
            node.solo.tell_host(now, Input::AddExternal { address: at(5) }).unwrap();
        });
        world.run_for(secs(1200))?;
        assert_eq!(status(world, id).last(), Some(&NatStatus::Private), "{:?}", status(world, id));
        Ok(())
    });
}

/// Sees every packet on its way to a host.
struct Counter(Rc<Cell<u64>>);

impl Middlebox for Counter {
    fn outbound(&mut self, _: Time, packet: Packet) -> Option<Packet> {
        Some(packet)
    }

    fn inbound(&mut self, _: Time, packet: Packet) -> Option<Packet> {
        self.0.set(self.0.get() + 1);
        Some(packet)
    }
}

/// Five servers, one that asks them about an address of somebody else, and that one, with the packets that it gets.
fn third_party(world: &mut World, max_cost: u64) -> (Vec<HostId>, Rc<Cell<u64>>) {
    let (id, servers) = town_with(world, 5, Version::V2, |config| {
        config.host.relay.autonat_v2.as_mut().unwrap().max_cost = max_cost;
    });
    let bystander = node(world, 9, |_| {});
    let bystander = world.add(bystander, [ipv4(9)]);
    let packets = Rc::new(Cell::new(0));
    world.middlebox(bystander, Counter(packets.clone()));
    tell(world, id, |node, now| node.solo.tell_host(now, Input::AddExternal { address: at(9) }).unwrap());
    for n in 1..=5 {
        connect(world, id, n);
    }
    (servers, packets)
}

fn counters(world: &World, servers: &[HostId]) -> v2::ServerCounters {
    let mut all = v2::ServerCounters::default();
    for id in servers {
        let of = of(world, *id).solo.host().autonat_v2_server().unwrap().counters();
        (all.admitted, all.rejected) = (all.admitted + of.admitted, all.rejected + of.rejected);
        (all.dials, all.charged, all.paid) = (all.dials + of.dials, all.charged + of.charged, all.paid + of.paid);
    }
    all
}

#[test]
fn no_server_sends_a_packet_to_a_third_party_for_nothing() {
    check(0..2, |world| {
        let (servers, packets) = third_party(world, 0);
        world.run_for(secs(300))?;
        let all = counters(world, &servers);
        assert!(all.charged > 0, "{all:?}");
        assert_eq!((all.paid, packets.get()), (0, 0), "{all:?}");
        Ok(())
    });
}

#[test]
fn who_pays_for_a_third_party_sends_far_more_than_that_one_gets() {
    check(0..2, |world| {
        let (servers, packets) = third_party(world, 100_000);
        world.run_for(secs(300))?;
        let all = counters(world, &servers);
        // A handshake that fails, for each payment: less than twenty packets.
        assert!(packets.get() > 0 && all.paid >= all.charged * 30_000, "{} packets, {all:?}", packets.get());
        assert!(packets.get() * 1_500 < all.paid, "{} packets, {all:?}", packets.get());
        Ok(())
    });
}

#[test]
fn a_server_that_is_flooded_answers_as_many_as_it_may() {
    check(0..2, |world| {
        world.default_link(Link::new(millis(20)));
        let server = node(world, 1, |config| {
            let mut server = v2::ServerConfig::default();
            server.rate = RateConfig::per(4, secs(3600));
            config.host.relay.autonat_v2_server = Some(server);
        });
        let server = world.add(server, [ipv4(1)]);
        let mut others = Vec::new();
        for n in 2..=9 {
            let node = node(world, n, |_| {});
            others.push(world.add(node, [ipv4(n)]));
        }
        world.run_for(secs(2))?;
        for id in &others {
            tell(world, *id, |node, now| node.connect(now, 1, peer(1), &[at(1)]));
        }
        world.run_for(secs(60))?;
        let all = counters(world, &[server]);
        assert_eq!((all.admitted, all.dials), (4, 4), "{all:?}");
        assert!(all.rejected >= 4, "{all:?}");
        Ok(())
    });
}

#[test]
fn who_is_connected_through_a_relay_only_asks_nobody_whether_it_can_be_reached() {
    check(0..2, |world| {
        let hosts @ [_, holder, dialer] = relays::relayed(world, |_| {});
        let again = node_at(world, 3, |config| serves(config, Version::V2), &[at(3)]);
        world.exit(dialer);
        world.start(dialer, again);
        relays::listen_at_relay(world, holder);
        relays::through(world, hosts);
        world.run_for(secs(90))?;
        assert!(of(world, holder).solo.host().identity(&peer(3)).is_some());
        // The relay itself is no server, and the server is not directly connected.
        let asks = of(world, holder).solo.host().autonat_v2().unwrap().explain(world.now());
        assert_eq!(asks.servers, 0, "{asks}");
        assert_eq!(status(world, holder), []);
        Ok(())
    });
}
