//! AutoNAT: nodes that ask others whether they can be reached, and nodes that answer.

use crate::town::{at, connect, millis, node, of, peer, secs, tell};
use tidewire_core::Multiaddr;
use tidewire_host::addresses::{NatStatus, Reachability};
use tidewire_host::solo::SoloConfig;
use tidewire_host::{Event, Input};
use tidewire_relay::autonat::{v1, v2};
use tidewire_sim::{HostId, Link, World, check, ipv4};

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
    world.default_link(Link::new(millis(20)));
    let mut all = Vec::new();
    for n in 1..=servers {
        let node = node(world, n, |config| serves(config, version));
        all.push(world.add(node, [ipv4(n)]));
    }
    let asks = servers + 1;
    let node = node(world, asks, |_| {});
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
