//! Dials: by several addresses, from the listening port, to ourselves, to the wrong peer.

use crate::solo_node::{Outcome, SoloNode};
use crate::town::{at, connect, millis, node_at, of, only, peer, secs, tell, town, town_with};
use std::time::Duration;
use tidewire_connmgr as connmgr;
use tidewire_connmgr::dial::{DialFailure, DialFault, DialReport, Outcome as Came};
use tidewire_core::{Multiaddr, Time};
use tidewire_host::OpenFailure;
use tidewire_sim::{HostId, Link, World, check, ipv4, ipv6};

fn dialed(world: &World, id: HostId) -> Option<Time> {
    let dialed = |(at, event): (Time, &connmgr::Event)| matches!(event, connmgr::Event::Dialed { .. }).then_some(at);
    of(world, id).managed().find_map(dialed)
}

fn report(world: &World, id: HostId) -> Option<DialReport> {
    of(world, id).managed().find_map(|(_, event)| match event {
        connmgr::Event::DialFailed { report, .. } => Some((**report).clone()),
        _ => None,
    })
}

/// How long it takes to connect to node 2, which listens on port 4002, by these addresses.
fn time_to(seed: u64, addresses: &[Multiaddr]) -> Duration {
    let mut world = World::new(seed);
    world.default_link(Link::new(millis(40)));
    let a = town(&mut world, 1)[0];
    let b: SoloNode = node_at(&mut world, 2, |_| {}, &[Multiaddr::tcp((ipv4(2), 4002).into())]);
    world.add(b, [ipv4(2)]);
    tell(&mut world, a, |node, now| node.connect(now, 1, peer(2), addresses));
    let done = world.run_while(secs(100), |world| dialed(world, a).is_some()).unwrap();
    assert!(done, "{:?}", report(&world, a));
    world.now().since(Time::ZERO)
}

#[test]
fn behind_a_dead_address_the_next_one_is_dialed_a_quarter_of_a_second_later() {
    let alive = Multiaddr::tcp((ipv4(2), 4002).into());
    // Lower ports are dialed first.
    let dead = Multiaddr::tcp((ipv4(77), 4001).into());
    for seed in 0..3 {
        let alone = time_to(seed, std::slice::from_ref(&alive));
        // The handshakes of TCP and Noise: the dialer knows after its third flight.
        assert!(alone >= millis(160) && alone <= millis(240), "{alone:?}");
        assert_eq!(time_to(seed, &[dead.clone(), alive.clone()]), alone + millis(250));
    }
}

#[test]
fn behind_an_address_that_refuses_the_next_one_is_not_waited_for_longer() {
    let alive = Multiaddr::tcp((ipv4(2), 4002).into());
    let refuses = Multiaddr::tcp((ipv4(2), 4000).into());
    for seed in 0..3 {
        let alone = time_to(seed, std::slice::from_ref(&alive));
        let both = time_to(seed, &[refuses.clone(), alive.clone()]);
        assert!(both <= alone + millis(250), "{both:?}, and alone {alone:?}");
    }
}

/// How long it takes two nodes that have addresses of both families, and which family it becomes.
fn time_with_both(seed: u64, sixth_is_dead: bool) -> (Duration, bool) {
    let mut world = World::new(seed);
    world.default_link(Link::new(millis(40)));
    let addresses = |n: u32| [Multiaddr::tcp((ipv4(n), 4001).into()), Multiaddr::tcp((ipv6(n), 4001).into())];
    let nodes = [1, 2].map(|n| (n, node_at(&mut world, n, |_| {}, &addresses(n))));
    let [a, b] = nodes.map(|(n, node)| world.add(node, [ipv4(n), ipv6(n)]));
    world.run_for(Duration::ZERO).unwrap();
    if sixth_is_dead {
        // The router that announced it is gone, and its packets go nowhere.
        world.remove_address(b, ipv6(2));
    }
    tell(&mut world, a, |node, now| node.connect(now, 1, peer(2), &addresses(2)));
    assert!(world.run_while(secs(100), |world| dialed(world, a).is_some()).unwrap());
    let connection = only(&world, a, 2);
    let host = of(&world, a).solo.host();
    let view = host.connections().find(|view| view.connection == connection).unwrap();
    (world.now().since(Time::ZERO), view.remote.ip().is_some_and(|ip| ip.is_ipv6()))
}

#[test]
fn ipv6_comes_first_and_ipv4_a_quarter_of_a_second_later() {
    for seed in 0..3 {
        let (quick, sixth) = time_with_both(seed, false);
        assert!(sixth);
        assert_eq!(time_with_both(seed, true), (quick + millis(250), false));
    }
}

#[test]
fn the_listener_sees_the_dialers_listening_port() {
    check(0..3, |world| {
        let hosts = town(world, 2);
        connect(world, hosts[0], 2);
        let connection = only(world, hosts[1], 1);
        let host = of(world, hosts[1]).solo.host();
        let view = host.connections().find(|view| view.connection == connection).ok_or("no connection")?;
        assert_eq!(*view.remote, at(1));
        Ok(())
    });
}

#[test]
fn without_port_reuse_it_sees_another_one() {
    check(0..3, |world| {
        let hosts = town_with(world, 2, |config| config.host.reuse_port = false);
        connect(world, hosts[0], 2);
        let connection = only(world, hosts[1], 1);
        let host = of(world, hosts[1]).solo.host();
        let view = host.connections().find(|view| view.connection == connection).ok_or("no connection")?;
        assert_ne!(*view.remote, at(1));
        Ok(())
    });
}

#[test]
fn the_same_two_ports_can_be_connected_again_at_once() {
    check(0..3, |world| {
        let hosts = town(world, 2);
        connect(world, hosts[0], 2);
        for request in 0..3 {
            tell(world, hosts[0], |node, now| {
                let why = "once more".into();
                node.solo.command(now, tidewire_host::Command::Disconnect { peer: peer(2), why }).unwrap();
            });
            world.run_for(secs(1))?;
            assert_eq!(of(world, hosts[0]).connections_to(&peer(2)), []);
            // The system remembers the two ends for a minute, so another port has to do.
            tell(world, hosts[0], |node, now| node.connect(now, request, peer(2), &[at(2)]));
            world.run_for(secs(1))?;
            only(world, hosts[0], 2);
        }
        Ok(())
    });
}

#[test]
fn a_dial_to_ourselves_fails_at_once_with_the_reason() {
    check(0..3, |world| {
        let id = town(world, 1)[0];
        tell(world, id, |node, now| node.connect(now, 1, peer(1), &[at(1)]));
        assert_eq!(report(world, id).map(|report| report.why), Some(DialFailure::Ourselves));
        Ok(())
    });
}

#[test]
fn whoever_answers_in_anothers_stead_is_named_and_refused() {
    check(0..3, |world| {
        let hosts = town(world, 2);
        tell(world, hosts[0], |node, now| node.connect(now, 1, peer(3), &[at(2)]));
        world.run_for(secs(2))?;
        let report = report(world, hosts[0]).ok_or("no report")?;
        assert_eq!(report.addresses[0].outcome, Came::Failed(DialFault::WrongPeer(peer(2))));
        for id in hosts {
            world.run_for(secs(1))?;
            crate::town::assert_empty(world, id);
            assert_eq!(world.open_files(id), 1);
        }
        Ok(())
    });
}

#[test]
fn our_own_address_under_anothers_name_is_not_dialed() {
    check(0..3, |world| {
        let id = town(world, 1)[0];
        tell(world, id, |node, now| node.connect(now, 1, peer(2), &[at(1)]));
        world.run_for(secs(70))?;
        assert!(report(world, id).is_some());
        crate::town::assert_empty(world, id);
        assert_eq!(of(world, id).managed().filter(|(_, e)| matches!(e, connmgr::Event::Connected { .. })).count(), 0);
        Ok(())
    });
}

#[test]
fn a_refused_dial_says_so_to_whoever_waits_for_a_stream() {
    check(0..3, |world| {
        let id = town(world, 1)[0];
        world.add(Nobody, [ipv4(2)]);
        let open = tell(world, id, |node, now| {
            node.know(now, peer(2), &[at(2)]);
            node.call(now, peer(2), b"hello?")
        });
        world.run_for(secs(1))?;
        let Some(Outcome::Failed(OpenFailure::Dial(report))) = of(world, id).outcome(open) else {
            return Err(format!("{:?}", of(world, id).calls[&open]).into());
        };
        assert_eq!(report.addresses[0].outcome, Came::Failed(DialFault::Refused("connection refused".into())));
        Ok(())
    });
}

struct Nobody;

impl tidewire_sim::Node for Nobody {
    fn handle(&mut self, _: Time, _: tidewire_sim::Input, _: &mut tidewire_sim::Os<'_>) {}
}
