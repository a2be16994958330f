//! Circuits in harder weather: a relay that restarts under one, two that cross, one in another, a thousand.

use crate::relays::{circuit, client_events, limited, listen_at_relay, relayed, through};
use crate::solo_node::Outcome;
use crate::town::{assert_empty, assert_lifecycle, at, closed, millis, node, of, only, peer, secs, tell};
use std::time::Instant;
use tidewire_core::Multiaddr;
use tidewire_host::solo::SoloConfig;
use tidewire_host::{By, Event, ListenerId};
use tidewire_relay::client::{CircuitEnd, Event as ClientEvent};
use tidewire_relay::server::{Offer, ServerConfig};
use tidewire_sim::{HostId, Link, World, check, ipv4};

fn echoes(world: &mut World, from: HostId, to: u32) {
    let call = tell(world, from, |node, now| node.call_with(now, peer(to), &[7; 4096], true, limited()));
    world.run_while(secs(20), |world| of(world, from).outcome(call).is_some()).unwrap();
    assert_eq!(of(world, from).outcome(call), Some(&Outcome::Echoed));
}

#[test]
fn a_relay_that_restarts_under_a_circuit_ends_it_and_carries_the_next_one() {
    check(0..2, |world| {
        let hosts @ [relay, holder, dialer] = relayed(world, |_| {});
        listen_at_relay(world, holder);
        through(world, hosts);
        world.run_for(secs(1))?;
        world.exit(relay);
        world.run_for(secs(2))?;
        for (id, other) in [(holder, 3), (dialer, 2)] {
            assert!(of(world, id).connections_to(&peer(other)).is_empty(), "{id}");
            assert_eq!(closed(world, id).iter().filter(|(_, who, ..)| *who == peer(other)).count(), 1, "{id}");
            let told = client_events(world, id).into_iter().filter_map(|event| match event {
                ClientEvent::CircuitEnded { why, .. } => Some(why),
                _ => None,
            });
            assert_eq!(told.collect::<Vec<_>>(), [CircuitEnd::RelayLost], "{id}");
        }
        let again = node(world, 1, |config| {
            let mut server = ServerConfig::default();
            (server.offer, server.announce_private) = (Offer::Always, true);
            config.host.relay.server = Some(server);
        });
        world.start(relay, again);
        let back = |world: &World| of(world, relay).solo.host().relay_server().unwrap().counts().reservations == 1;
        assert!(world.run_while(secs(60), back)?, "{:?}", client_events(world, holder));
        through(world, hosts);
        echoes(world, dialer, 2);
        for id in [holder, dialer] {
            assert_lifecycle(world, id);
        }
        Ok(())
    });
}

#[test]
fn of_two_circuits_between_the_same_two_that_crossed_one_stays_and_it_is_the_same_for_both() {
    check(0..4, |world| {
        let [relay, left, right] = relayed(world, |_| {});
        listen_at_relay(world, left);
        listen_at_relay(world, right);
        for (id, other) in [(left, 3), (right, 2)] {
            tell(world, id, |node, now| node.connect(now, 7, peer(other), &[circuit(other)]));
        }
        world.run_for(secs(20))?;
        for (id, other) in [(left, 3), (right, 2)] {
            only(world, id, other);
            echoes(world, id, other);
            assert_lifecycle(world, id);
        }
        // What one end dialed the other end accepted.
        let outbound = |id, other| {
            let manager = of(world, id).solo.host().manager();
            manager
                .connections_of(&peer(other))
                .filter(|view| view.direction == tidewire_host::Direction::Outbound)
                .count()
        };
        assert_eq!(outbound(left, 3) + outbound(right, 2), 1);
        assert_eq!(of(world, relay).solo.host().relay_server().unwrap().counts().circuits, 1);
        Ok(())
    });
}

#[test]
fn who_shuts_down_says_goodbye_over_its_circuits() {
    check(0..4, |world| {
        let hosts @ [relay, holder, dialer] = relayed(world, |_| {});
        listen_at_relay(world, holder);
        through(world, hosts);
        tell(world, dialer, |node, now| node.solo.shutdown(now));
        world.run_for(secs(5))?;
        let ends = closed(world, holder).into_iter().filter(|(_, who, ..)| *who == peer(3));
        let ends: Vec<_> = ends.map(|(_, _, by, reason)| (by, reason.to_string())).collect();
        assert_eq!(ends, [(By::Remote, "the remote closed the connection: it is shutting down (code 0x1006)".into())]);
        assert_eq!(of(world, relay).solo.host().relay_server().unwrap().counts().circuits, 0);
        Ok(())
    });
}

#[test]
fn a_circuit_in_a_circuit_is_refused_as_a_way_to_dial_and_as_a_place_to_listen() {
    check(0..2, |world| {
        let hosts @ [_, holder, dialer] = relayed(world, |_| {});
        listen_at_relay(world, holder);
        through(world, hosts);
        // Node 2 is reached through node 1: behind it a fourth one is said to be.
        let nested: Multiaddr = format!("{}/p2p-circuit/p2p/{}", circuit(2), peer(4)).parse()?;
        tell(world, dialer, |node, now| node.connect(now, 8, peer(4), &[nested]));
        let behind: Multiaddr = format!("{}/p2p-circuit", circuit(2)).parse()?;
        tell(world, dialer, |node, now| node.solo.listen(now, ListenerId(9), &behind).unwrap());
        world.run_for(secs(60))?;
        let failed = of(world, dialer).managed().any(
            |(_, event)| matches!(event, tidewire_connmgr::Event::DialFailed { report, .. } if report.peer == peer(4)),
        );
        assert!(failed);
        let listens = of(world, dialer)
            .told()
            .any(|(_, event)| matches!(event, Event::Listening { listener: ListenerId(9), .. }));
        assert!(!listens);
        let views = of(world, dialer).solo.host().relay_client().views(world.now());
        assert!(views.into_iter().all(|view| view.left.is_none()), "nobody gave a reservation");
        Ok(())
    });
}

/// A relay without limits, so many that hold a reservation with it, and so many that each reach one of them through it.
fn crowd(world: &mut World, holders: u32, dialers: u32) -> (HostId, Vec<HostId>, Vec<HostId>) {
    crowd_at(world, holders, dialers, |_| {})
}

fn crowd_at(
    world: &mut World,
    holders: u32,
    dialers: u32,
    configure: impl Fn(&mut ServerConfig),
) -> (HostId, Vec<HostId>, Vec<HostId>) {
    world.default_link(Link::new(millis(20)));
    let large = |config: &mut SoloConfig| {
        // All have public addresses, and are to stay on their circuits.
        config.host.punching = None;
        let manager = &mut config.host.manager;
        (manager.worth.low, manager.worth.high) = (8_000, 9_000);
        let limits = &mut manager.limits;
        (limits.established, limits.established_inbound) = (10_000, 10_000);
        (limits.pending_inbound, limits.inbound_burst) = (10_000, 10_000);
        (limits.streams, limits.streams_inbound, limits.streams_outbound) = (40_000, 40_000, 40_000);
        (limits.streams_per_peer, limits.streams_per_connection) = (1_000, 1_000);
        (limits.streams_per_protocol, limits.streams_per_protocol_peer) = (40_000, 1_000);
        limits.memory = 1 << 32;
    };
    let relay = node(world, 1, |config| {
        large(config);
        let mut server = ServerConfig::unlimited();
        (server.offer, server.announce_private) = (Offer::Always, true);
        configure(&mut server);
        config.host.relay.server = Some(server);
    });
    let relay = world.add(relay, [ipv4(1)]);
    let mut others = Vec::new();
    for n in 2..2 + holders + dialers {
        let node = node(world, n, |config| {
            large(config);
            config.host.relay.client.circuits_in = u32::MAX;
        });
        others.push(world.add(node, [ipv4(n)]));
    }
    world.run_for(secs(2)).unwrap();
    let dialers = others.split_off(holders as usize);
    for holder in &others {
        listen_at_relay(world, *holder);
    }
    (relay, others, dialers)
}

/// All dial; what the relay says that it uses for each circuit, beside its two streams.
fn all_dial(world: &mut World, relay: HostId, holders: u32, dialers: &[HostId]) -> usize {
    for id in dialers {
        tell(world, *id, |node, now| node.connect(now, 6, peer(1), &[at(1)]));
    }
    world.run_for(secs(15)).unwrap();
    let before = of(world, relay).solo.memory_used();
    for (id, n) in dialers.iter().zip(0..) {
        let to = 2 + n % holders;
        tell(world, *id, |node, now| node.connect(now, 7, peer(to), &[circuit(to)]));
    }
    world.run_for(secs(20)).unwrap();
    let counts = of(world, relay).solo.host().relay_server().unwrap().counts();
    assert_eq!(counts.circuits as usize, dialers.len());
    of(world, relay).solo.memory_used().saturating_sub(before) / dialers.len()
}

#[test]
fn forty_circuits_through_one_relay_all_echo_and_leave_nothing() {
    let mut world = World::new(1);
    let (relay, holders, dialers) = crowd(&mut world, 4, 40);
    all_dial(&mut world, relay, 4, &dialers);
    for (id, n) in dialers.iter().zip(0..) {
        echoes(&mut world, *id, 2 + n % 4);
    }
    for id in holders.iter().chain(&dialers).chain([&relay]) {
        tell(&mut world, *id, |node, now| node.solo.shutdown(now));
    }
    world.run_for(secs(20)).unwrap();
    for id in holders.iter().chain(&dialers).chain([&relay]) {
        assert_empty(&world, *id);
    }
    let counts = of(&world, relay).solo.host().relay_server().unwrap().counts();
    assert_eq!((counts.circuits, counts.reservations), (0, 0));
}

/// Four want to reach one that takes next to nothing any more, and say all that they may.
#[test]
fn what_circuits_hold_for_a_receiver_that_does_not_read_stays_below_the_relays_cap() {
    const CAP: u64 = 3 << 19;
    let mut world = World::new(1);
    let (relay, holders, dialers) = crowd_at(&mut world, 1, 4, |server| server.memory = CAP);
    let held = |world: &World| of(world, relay).solo.memory_used();
    let circuits = |world: &World| of(world, relay).solo.host().relay_server().unwrap().counts().circuits;
    for id in &dialers {
        tell(&mut world, *id, |node, now| node.connect(now, 6, peer(1), &[at(1)]));
    }
    world.run_for(secs(5)).unwrap();
    let idle = held(&world);
    for id in &dialers {
        tell(&mut world, *id, |node, now| node.connect(now, 7, peer(2), &[circuit(2)]));
    }
    world.run_for(secs(5)).unwrap();
    // 640 KiB each.
    assert_eq!(circuits(&world), 2);
    let refused = |id: &&HostId| {
        of(&world, **id).managed().any(|(_, event)| match event {
            tidewire_connmgr::Event::DialFailed { report, .. } => {
                report.to_string().contains("RESOURCE_LIMIT_EXCEEDED")
            }
            _ => false,
        })
    };
    assert_eq!(dialers.iter().filter(refused).count(), 2);
    let served: Vec<HostId> =
        dialers.iter().copied().filter(|id| !of(&world, *id).connections_to(&peer(2)).is_empty()).collect();
    // While all is well each says so much that a window which may grow does.
    let calls: Vec<_> = served
        .iter()
        .map(|id| {
            (*id, tell(&mut world, *id, |node, now| node.call_with(now, peer(2), &[7; 1 << 19], true, limited())))
        })
        .collect();
    let done = |world: &World| calls.iter().all(|(id, call)| of(world, *id).outcome(*call).is_some());
    assert!(world.run_while(secs(120), done).unwrap());
    world.link_one_way(relay, holders[0], Link::new(millis(20)).bandwidth(2_000));
    for id in &served {
        for _ in 0..4 {
            tell(&mut world, *id, |node, now| node.call_with(now, peer(2), &[7; 300_000], true, limited()));
        }
    }
    let mut most = 0;
    for _ in 0..5 {
        world.run_for(millis(500)).unwrap();
        most = most.max(held(&world).saturating_sub(idle));
    }
    assert_eq!(circuits(&world), 2, "they are slow, not over");
    assert!((1 << 18..CAP as usize).contains(&most), "{most} bytes held");
}

/// `cargo test --release -p tidewire-host --test conversations a_thousand_circuits -- --ignored --nocapture`
#[test]
#[ignore = "takes long without --release, and prints what it took"]
fn a_thousand_circuits_through_one_relay() {
    let start = Instant::now();
    let mut world = World::new(1);
    let (relay, _, dialers) = crowd(&mut world, 20, 1_000);
    let each = all_dial(&mut world, relay, 20, &dialers);
    println!("1,000 circuits: {:.1?}, {:?}", start.elapsed(), world.stats());
    println!("memory_used at the relay: {each} bytes a circuit, its two streams included");
    let (idle, before) = (Instant::now(), world.stats());
    world.run_for(secs(60)).unwrap();
    println!("a minute of pings: {:.1?}, {} packets", idle.elapsed(), world.stats().packets - before.packets);
    let counts = of(&world, relay).solo.host().relay_server().unwrap().counts();
    assert_eq!(counts.circuits, 1_000);
}
