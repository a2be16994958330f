//! Circuits that become direct connections, through NATs.

use crate::relays::{circuit, limited, listen_at_relay};
use crate::solo_node::Outcome;
use crate::town::{assert_lifecycle, millis, node, node_at, of, peer, secs, tell};
use std::net::IpAddr;
use tidewire_core::Multiaddr;
use tidewire_dcutr::coordinator::Event as Punch;
use tidewire_dcutr::report::{End, Report};
use tidewire_host::Event;
use tidewire_host::solo::SoloConfig;
use tidewire_relay::server::{Offer, ServerConfig};
use tidewire_sim::nat::Nat;
use tidewire_sim::{HostId, Link, World, check, ipv4};

/// Where the NATs of both have their outer address.
fn outer(n: u32) -> IpAddr {
    ipv4(100 + n)
}

/// A relay that others can reach, and two behind NATs of their own: the second listens at the relay, the third dials.
fn behind_nats(world: &mut World, nats: [Option<Nat>; 2]) -> [HostId; 3] {
    world.default_link(Link::new(millis(20)));
    let relay = |config: &mut SoloConfig| {
        let mut server = ServerConfig::default();
        server.offer = Offer::Always;
        config.host.relay.server = Some(server);
    };
    let relay_node = node(world, 1, relay);
    let relay = world.add(relay_node, [ipv4(1)]);
    let [holder, dialer] = [2_u32, 3].map(|n| match &nats[n as usize - 2] {
        Some(nat) => {
            let gateway = world.nat(nat.clone(), [outer(n)]);
            let inside: IpAddr = format!("10.0.{n}.2").parse().unwrap();
            let listen = Multiaddr::tcp((inside, 4001).into());
            let it = node_at(world, n, |_| {}, &[listen]);
            world.add_behind(gateway, it, [inside])
        }
        None => {
            let it = node(world, n, |_| {});
            world.add(it, [ipv4(n)])
        }
    });
    world.run_for(secs(2)).unwrap();
    [relay, holder, dialer]
}

fn reports(world: &World, id: HostId) -> Vec<Report> {
    let report = |event: &Event| match event {
        Event::Punch(Punch::Report(report)) => Some((**report).clone()),
        _ => None,
    };
    of(world, id).told().filter_map(|(_, event)| report(event)).collect()
}

/// The dialer is connected through the relay, and what comes of it is waited for.
fn punch(world: &mut World, [_, holder, dialer]: [HostId; 3]) {
    listen_at_relay(world, holder);
    tell(world, dialer, |node, now| node.connect(now, 7, peer(2), &[circuit(2)]));
    let told = |world: &World| !reports(world, holder).is_empty() && !reports(world, dialer).is_empty();
    world.run_while(secs(90), told).unwrap();
}

fn directs(world: &World, id: HostId, other: u32) -> usize {
    let manager = of(world, id).solo.host().manager();
    manager.connections_of(&peer(other)).filter(|view| !view.remote.is_relayed()).count()
}

#[test]
fn two_behind_home_routers_get_a_direct_connection_and_the_circuit_goes() {
    check(0..4, |world| {
        let hosts @ [_, holder, dialer] = behind_nats(world, [Some(Nat::home_router()), Some(Nat::home_router())]);
        punch(world, hosts);
        for (id, other) in [(holder, 3), (dialer, 2)] {
            assert_eq!(directs(world, id, other), 1, "{:#?}", reports(world, id));
            let [report] = &reports(world, id)[..] else { panic!("{:?}", reports(world, id)) };
            assert!(matches!(report.end, End::Upgraded { .. }), "{report}");
        }
        // The grace is over: the circuit is gone, and what is opened goes direct.
        world.run_for(secs(90))?;
        for (id, other) in [(holder, 3), (dialer, 2)] {
            let left = of(world, id).connections_to(&peer(other)).len();
            assert_eq!((left, directs(world, id, other)), (1, 1));
            assert_lifecycle(world, id);
        }
        let call = tell(world, dialer, |node, now| node.call(now, peer(2), &[7; 4096]));
        world.run_while(secs(20), |world| of(world, dialer).outcome(call).is_some())?;
        assert_eq!(of(world, dialer).outcome(call), Some(&Outcome::Echoed));
        Ok(())
    });
}

#[test]
fn where_no_punch_can_work_the_circuit_stays_and_both_are_told_why() {
    check(0..2, |world| {
        let hosts @ [_, holder, dialer] = behind_nats(world, [Some(Nat::symmetric()), Some(Nat::symmetric())]);
        punch(world, hosts);
        for (id, other) in [(holder, 3), (dialer, 2)] {
            assert_eq!(directs(world, id, other), 0);
            assert_eq!(of(world, id).connections_to(&peer(other)).len(), 1, "the circuit stays");
            let [report] = &reports(world, id)[..] else { panic!("{:?}", reports(world, id)) };
            assert!(matches!(report.end, End::Failed(_)), "{report}");
        }
        let call = tell(world, dialer, |node, now| node.call_with(now, peer(2), &[7; 4096], true, limited()));
        world.run_while(secs(20), |world| of(world, dialer).outcome(call).is_some())?;
        assert_eq!(of(world, dialer).outcome(call), Some(&Outcome::Echoed));
        Ok(())
    });
}
