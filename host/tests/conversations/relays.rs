//! Relays: reservations, circuits through them, their limits, their end.

use crate::solo_node::Outcome;
use crate::town::{assert_empty, assert_lifecycle, at, closed, millis, node, node_at, of, only, peer, secs, tell};
use std::time::Duration;
use tidewire_core::Multiaddr;
use tidewire_host::link::StreamEvent;
use tidewire_host::solo::SoloConfig;
use tidewire_host::{Event, ListenerId, OpenOptions};
use tidewire_relay::client::{CircuitEnd, Event as ClientEvent, Lost};
use tidewire_relay::server::{Offer, ServerConfig};
use tidewire_relay::splice::LimitReached;
use tidewire_relay::{Limit, server};
use tidewire_sim::{HostId, Link, World, check, ipv4};

/// Node 1 relays, node 2 holds a reservation, node 3 wants to reach it.
pub(crate) fn relayed(world: &mut World, configure: impl Fn(&mut ServerConfig)) -> [HostId; 3] {
    world.default_link(Link::new(millis(20)));
    let relay = |config: &mut SoloConfig| {
        let mut server = ServerConfig::default();
        server.offer = Offer::Always;
        server.announce_private = true;
        configure(&mut server);
        config.host.relay.server = Some(server);
        config.host.punching = None;
    };
    let mut hosts = Vec::new();
    for n in 1..=3 {
        let node = if n == 1 { node(world, n, relay) } else { node(world, n, |config| config.host.punching = None) };
        hosts.push(world.add(node, [ipv4(n)]));
    }
    world.run_for(secs(2)).unwrap();
    [hosts[0], hosts[1], hosts[2]]
}

/// Where the `n`-th node is reached through the relay.
pub(crate) fn circuit(n: u32) -> Multiaddr {
    format!("{}/p2p/{}/p2p-circuit/p2p/{}", at(1), peer(1), peer(n)).parse().unwrap()
}

pub(crate) fn listen_at_relay(world: &mut World, id: HostId) {
    let address: Multiaddr = format!("{}/p2p/{}/p2p-circuit", at(1), peer(1)).parse().unwrap();
    tell(world, id, |node, now| node.solo.listen(now, ListenerId(9), &address).unwrap());
    let listens = |world: &World| {
        let listening = |event: &Event| matches!(event, Event::Listening { listener: ListenerId(9), .. });
        of(world, id).told().any(|(_, event)| listening(event))
    };
    assert!(world.run_while(secs(10), listens).unwrap(), "no reservation: {:?}", client_events(world, id));
}

pub(crate) fn limited() -> OpenOptions {
    let mut options = OpenOptions::default();
    options.limited = true;
    options.timeout = secs(20);
    options
}

pub(crate) fn client_events(world: &World, id: HostId) -> Vec<ClientEvent> {
    let told = of(world, id).told();
    told.filter_map(|(_, event)| if let Event::RelayClient(event) = event { Some(event.clone()) } else { None })
        .collect()
}

pub(crate) fn server_events(world: &World, id: HostId) -> Vec<server::Event> {
    let told = of(world, id).told();
    told.filter_map(|(_, event)| if let Event::Relay(event) = event { Some(event.clone()) } else { None }).collect()
}

/// Connects node 3 to node 2 through the relay.
pub(crate) fn through(world: &mut World, [relay, _, dialer]: [HostId; 3]) {
    tell(world, dialer, |node, now| node.connect(now, 7, peer(2), &[circuit(2)]));
    let there = |world: &World| !of(world, dialer).connections_to(&peer(2)).is_empty();
    let done = world.run_while(secs(20), there).unwrap();
    assert!(done, "{:?} {:?}", client_events(world, dialer), server_events(world, relay));
}

#[test]
fn a_circuit_is_a_connection_like_any_other() {
    check(0..3, |world| {
        let hosts @ [relay, holder, dialer] = relayed(world, |_| {});
        listen_at_relay(world, holder);
        through(world, hosts);
        let payload = vec![7; 16 * 1024];
        let call = tell(world, dialer, |node, now| node.call_with(now, peer(2), &payload, true, limited()));
        world.run_while(secs(20), |world| of(world, dialer).outcome(call).is_some())?;
        assert_eq!(of(world, dialer).outcome(call), Some(&Outcome::Echoed));
        // Both know who the other is, and that a relay limits what they have.
        let view = of(world, dialer).solo.host().manager().connection(only(world, dialer, 2)).unwrap();
        assert!(view.limited && view.relayed, "{view:?}");
        let view = of(world, holder).solo.host().manager().connection(only(world, holder, 3)).unwrap();
        assert!(view.limited && view.relayed, "{view:?}");
        assert!(of(world, dialer).solo.host().identity(&peer(2)).is_some());
        let view = of(world, relay).solo.host().relay_server().unwrap().counts();
        assert_eq!((view.reservations, view.circuits), (1, 1));
        for id in hosts {
            assert_lifecycle(world, id);
        }
        Ok(())
    });
}

#[test]
fn a_stream_waits_for_a_direct_connection_unless_it_may_be_limited() {
    check(0..2, |world| {
        let hosts @ [_, holder, dialer] = relayed(world, |_| {});
        listen_at_relay(world, holder);
        through(world, hosts);
        let mut options = limited();
        (options.limited, options.dial) = (false, false);
        let call = tell(world, dialer, |node, now| node.call_with(now, peer(2), b"direct", true, options));
        world.run_for(secs(25))?;
        let outcome = of(world, dialer).outcome(call);
        assert!(matches!(outcome, Some(Outcome::Failed(_))), "{outcome:?}");
        Ok(())
    });
}

#[test]
fn the_limit_that_was_reached_is_told_at_both_ends_and_at_the_relay() {
    check(0..3, |world| {
        let hosts @ [relay, holder, dialer] =
            relayed(world, |server| server.limit = Limit { duration: None, data: Some(32 * 1024) });
        listen_at_relay(world, holder);
        through(world, hosts);
        let payload = vec![7; 64 * 1024];
        let call = tell(world, dialer, |node, now| node.call_with(now, peer(2), &payload, true, limited()));
        world.run_while(secs(20), |world| of(world, dialer).outcome(call).is_some())?;
        assert!(matches!(of(world, dialer).outcome(call), Some(Outcome::Broken(_))));
        world.run_for(secs(2))?;
        for id in [dialer, holder] {
            let ended = client_events(world, id).into_iter().find_map(|event| match event {
                ClientEvent::CircuitEnded { why, .. } => Some(why),
                _ => None,
            });
            let limit = matches!(ended, Some(CircuitEnd::LimitReached(LimitReached::Data { bytes: 32_768, .. })));
            assert!(limit, "{id}: {ended:?}");
        }
        let ended = server_events(world, relay).into_iter().find_map(|event| match event {
            server::Event::CircuitClosed { why, forward, .. } => Some((why, forward)),
            _ => None,
        });
        assert!(matches!(ended, Some((server::CircuitEnd::DataLimit { bytes: 32_768, .. }, 32_768))), "{ended:?}");
        // The connections to the relay live on.
        assert_eq!(of(world, dialer).connections_to(&peer(1)).len(), 1);
        assert_eq!(of(world, relay).solo.host().relay_server().unwrap().counts().circuits, 0);
        Ok(())
    });
}

#[test]
fn a_circuit_ends_when_its_time_is_over() {
    check(0..2, |world| {
        let hosts @ [_, holder, dialer] =
            relayed(world, |server| server.limit = Limit { duration: Some(secs(60)), data: None });
        listen_at_relay(world, holder);
        through(world, hosts);
        world.run_for(secs(58))?;
        assert_eq!(of(world, dialer).connections_to(&peer(2)).len(), 1);
        world.run_for(secs(4))?;
        assert_eq!(of(world, dialer).connections_to(&peer(2)).len(), 0);
        let ended = client_events(world, dialer).into_iter().find_map(|event| match event {
            ClientEvent::CircuitEnded { why, lasted, .. } => Some((why, lasted)),
            _ => None,
        });
        let Some((CircuitEnd::LimitReached(LimitReached::Time { duration }), _)) = ended else { panic!("{ended:?}") };
        assert_eq!(duration, secs(60));
        Ok(())
    });
}

#[test]
fn who_has_no_reservation_is_not_reached() {
    check(0..2, |world| {
        let [_, _, dialer] = relayed(world, |_| {});
        tell(world, dialer, |node, now| node.connect(now, 7, peer(2), &[circuit(2)]));
        world.run_for(secs(30))?;
        let why = of(world, dialer).managed().find_map(|(_, event)| match event {
            tidewire_connmgr::Event::DialFailed { report, .. } => Some(report.to_string()),
            _ => None,
        });
        assert!(why.as_ref().is_some_and(|why| why.contains("NO_RESERVATION")), "{why:?}");
        Ok(())
    });
}

#[test]
fn a_reservation_is_renewed_well_before_its_end() {
    check(0..2, |world| {
        let [relay, holder, _] = relayed(world, |server| server.reservation_ttl = secs(600));
        listen_at_relay(world, holder);
        world.run_for(secs(3600))?;
        let renewed =
            client_events(world, holder).iter().filter(|event| matches!(event, ClientEvent::Renewed { .. })).count();
        assert!((6..=16).contains(&renewed), "{renewed} renewals in an hour");
        assert!(!client_events(world, holder).iter().any(|event| matches!(event, ClientEvent::Lost { .. })));
        assert_eq!(of(world, relay).solo.host().relay_server().unwrap().counts().reservations, 1);
        Ok(())
    });
}

#[test]
fn after_the_relays_restart_the_reservation_is_made_again() {
    check(0..2, |world| {
        let hosts @ [relay, holder, _] = relayed(world, |_| {});
        listen_at_relay(world, holder);
        world.kill(relay);
        world.run_for(secs(2))?;
        let again = node(world, 1, |config| {
            let mut server = ServerConfig::default();
            (server.offer, server.announce_private) = (Offer::Always, true);
            config.host.relay.server = Some(server);
        });
        world.start(relay, again);
        let back = |world: &World| of(world, relay).solo.host().relay_server().unwrap().counts().reservations == 1;
        assert!(world.run_while(secs(120), back)?, "{:?}", client_events(world, holder));
        let lost = client_events(world, holder)
            .into_iter()
            .any(|event| matches!(event, ClientEvent::Lost { why: Lost::Disconnected, .. }));
        assert!(lost);
        through(world, hosts);
        Ok(())
    });
}

#[test]
fn a_relay_that_is_gone_for_a_while_is_tried_again_until_it_is_back() {
    check(0..2, |world| {
        let [relay, holder, _] = relayed(world, |_| {});
        listen_at_relay(world, holder);
        world.kill(relay);
        // Nobody listens at its address meanwhile: each try is refused at once.
        let other = node_at(world, 9, |_| {}, &[]);
        world.start(relay, other);
        world.run_for(secs(8))?;
        let failed = |event: &ClientEvent| matches!(event, ClientEvent::Failed { .. });
        let tries = client_events(world, holder).iter().filter(|event| failed(event)).count();
        assert!((2..5).contains(&tries), "{:?}", client_events(world, holder));
        Ok(())
    });
}

#[test]
fn when_one_end_leaves_the_circuit_is_gone_everywhere() {
    check(0..3, |world| {
        let hosts @ [relay, holder, dialer] = relayed(world, |_| {});
        listen_at_relay(world, holder);
        through(world, hosts);
        let connection = only(world, dialer, 2);
        tell(world, dialer, |node, now| {
            let why = "enough".into();
            node.solo.command(now, tidewire_host::Command::Close { connection, why }).unwrap();
        });
        world.run_for(secs(10))?;
        assert_eq!(of(world, holder).connections_to(&peer(3)).len(), 0);
        assert_eq!(of(world, relay).solo.host().relay_server().unwrap().counts().circuits, 0);
        assert!(closed(world, dialer).iter().any(|(_, who, ..)| *who == peer(2)));
        for id in hosts {
            tell(world, id, |node, now| node.solo.shutdown(now));
        }
        world.run_for(secs(20))?;
        for id in hosts {
            assert_empty(world, id);
        }
        Ok(())
    });
}

#[test]
fn a_slow_receiver_slows_the_sender_and_the_relay_keeps_nothing() {
    check(0..2, |world| {
        let hosts @ [relay, holder, dialer] = relayed(world, |server| server.limit = Limit::UNLIMITED);
        listen_at_relay(world, holder);
        through(world, hosts);
        world.run_for(secs(2))?;
        let (before, _) = (of(world, relay).solo.memory_used(), Duration::ZERO);
        world.link(relay, holder, Link::new(millis(20)).bandwidth(128 * 1024));
        let payload = vec![7; 1 << 20];
        let call = tell(world, dialer, |node, now| node.call_with(now, peer(2), &payload, true, limited()));
        world.run_for(secs(5))?;
        let grown = of(world, relay).solo.memory_used().saturating_sub(before);
        assert!(grown < 640 * 1024, "{grown} bytes at the relay");
        world.run_while(secs(400), |world| of(world, dialer).outcome(call).is_some())?;
        assert_eq!(of(world, dialer).outcome(call), Some(&Outcome::Echoed));
        Ok(())
    });
}

#[test]
fn no_application_sees_the_streams_of_circuits() {
    check(0..2, |world| {
        let hosts @ [relay, holder, _] = relayed(world, |_| {});
        listen_at_relay(world, holder);
        through(world, hosts);
        for id in [relay, holder] {
            let to_relay = of(world, id).events.iter().any(|(_, event)| {
                matches!(event, tidewire_host::solo::SoloEvent::Stream { event: StreamEvent::Incoming { .. }, .. })
            });
            assert!(!to_relay, "{id}");
        }
        Ok(())
    });
}
