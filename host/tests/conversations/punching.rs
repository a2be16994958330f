//! Circuits that become direct connections, through NATs.

use crate::relays::{circuit, limited, listen_at_relay};
use crate::solo_node::Outcome;
use crate::town::{PORT, assert_lifecycle, at, millis, node_at, of, peer, secs, tell};
use std::net::IpAddr;
use tidewire_core::Multiaddr;
use tidewire_dcutr::coordinator::{Event as Punch, Stage};
use tidewire_dcutr::report::{End, Failure, How, Report};
use tidewire_host::solo::SoloConfig;
use tidewire_host::{Event, Input, ListenerId, OpenOptions, PunchCommand};
use tidewire_relay::server::{Offer, ServerConfig};
use tidewire_sim::nat::{Filtering, Firewall, Nat, Ports};
use tidewire_sim::{HostId, Link, World, check, ipv4};

/// Where somebody is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// Everybody can reach it.
    Open,
    /// Behind a NAT.
    Behind(Nat),
    /// Behind the first NAT, which is behind the second one.
    Twice(Box<[Nat; 2]>),
    /// Behind a firewall, with an address that all know.
    Walled(Firewall),
    /// The same with IPv6, and nothing else.
    Walled6(Firewall),
}

fn ipv6(n: u32) -> IpAddr {
    format!("2a01:4f8::{n}").parse().unwrap()
}

pub(crate) fn add(world: &mut World, n: u32, place: &Place, configure: impl FnOnce(&mut SoloConfig)) -> HostId {
    let inside: IpAddr = format!("10.0.{n}.2").parse().unwrap();
    let ip = match place {
        Place::Open | Place::Walled(_) => ipv4(n),
        Place::Behind(_) | Place::Twice(_) => inside,
        Place::Walled6(_) => ipv6(n),
    };
    let it = node_at(world, n, configure, &[Multiaddr::tcp((ip, PORT).into())]);
    let gateway = match place {
        Place::Open => return world.add(it, [ip]),
        Place::Behind(nat) => world.nat(nat.clone(), [ipv4(100 + n)]),
        Place::Twice(both) => {
            let [home, carrier] = &**both;
            let carrier = world.nat(carrier.clone(), [ipv4(100 + n)]);
            let between: IpAddr = format!("100.64.{n}.2").parse().unwrap();
            world.nat_behind(carrier, home.clone(), [between])
        }
        Place::Walled(wall) | Place::Walled6(wall) => world.firewall(wall.clone()),
    };
    world.add_behind(gateway, it, [ip])
}

/// A relay that others can reach, by IPv6 as well.
pub(crate) fn add_relay(world: &mut World) -> HostId {
    world.default_link(Link::new(millis(20)));
    let relay = |config: &mut SoloConfig| {
        let mut server = ServerConfig::default();
        server.offer = Offer::Always;
        config.host.relay.server = Some(server);
    };
    let relay = node_at(world, 1, relay, &[at(1), Multiaddr::tcp((ipv6(1), PORT).into())]);
    world.add(relay, [ipv4(1), ipv6(1)])
}

/// The relay, and two elsewhere: the second listens at the relay, the third dials.
fn placed(world: &mut World, places: &[Place; 2]) -> [HostId; 3] {
    let relay = add_relay(world);
    let [holder, dialer] = [2, 3].map(|n| add(world, n, &places[n as usize - 2], |_| {}));
    world.run_for(secs(2)).unwrap();
    [relay, holder, dialer]
}

fn behind(nat: Nat) -> [Place; 2] {
    [Place::Behind(nat.clone()), Place::Behind(nat)]
}

pub(crate) fn reports(world: &World, id: HostId) -> Vec<Report> {
    let report = |event: &Event| match event {
        Event::Punch(Punch::Report(report)) => Some((**report).clone()),
        _ => None,
    };
    of(world, id).told().filter_map(|(_, event)| report(event)).collect()
}

/// The dialer is connected through the relay, and what comes of it is waited for.
fn punch(world: &mut World, hosts: [HostId; 3]) {
    begin(world, hosts);
    wait_for_reports(world, hosts);
}

fn begin(world: &mut World, [_, holder, dialer]: [HostId; 3]) {
    listen_at_relay(world, holder);
    tell(world, dialer, |node, now| node.connect(now, 7, peer(2), &[circuit(2)]));
}

/// Until who was dialed has a report. The other one has none if no stream was opened to it.
fn wait_for_reports(world: &mut World, [_, holder, dialer]: [HostId; 3]) {
    let busy = |world: &World, id| of(world, id).solo.host().punching().unwrap().counts().attempts > 0;
    let done =
        |world: &World| !reports(world, holder).is_empty() && ![holder, dialer].into_iter().any(|id| busy(world, id));
    assert!(world.run_while(secs(180), done).unwrap(), "{:?}", [holder, dialer].map(|id| reports(world, id)));
}

/// An event of this kind was told.
fn told(world: &World, id: HostId, is: impl Fn(&Punch) -> bool) -> bool {
    of(world, id).told().any(|(_, event)| matches!(event, Event::Punch(event) if is(event)))
}

fn waits_for_connect(world: &World, id: HostId) -> bool {
    told(world, id, |event| matches!(event, Punch::Stage { stage: Stage::WaitConnect { .. }, .. }))
}

#[track_caller]
fn assert_upgraded(world: &World, [_, holder, dialer]: [HostId; 3]) {
    for (id, other) in [(holder, 3), (dialer, 2)] {
        assert_eq!(directs(world, id, other), 1, "{:#?}", reports(world, id));
        let all = reports(world, id);
        assert!(all.last().is_none_or(Report::is_upgraded), "{all:?}");
    }
    assert!(!reports(world, holder).is_empty());
}

/// The grace is over: there is one connection, and what is opened goes over it.
#[track_caller]
fn assert_one_is_left(world: &mut World, [_, holder, dialer]: [HostId; 3]) {
    world.run_for(secs(90)).unwrap();
    for (id, other) in [(holder, 3), (dialer, 2)] {
        let left = of(world, id).connections_to(&peer(other)).len();
        assert_eq!((left, directs(world, id, other)), (1, 1));
        assert_lifecycle(world, id);
    }
    echo(world, dialer, OpenOptions::default());
}

/// The circuit stays, and carries.
#[track_caller]
fn assert_relayed(world: &mut World, [_, holder, dialer]: [HostId; 3]) {
    for (id, other) in [(holder, 3), (dialer, 2)] {
        assert_eq!(directs(world, id, other), 0, "{:?}", reports(world, id));
        assert_eq!(of(world, id).connections_to(&peer(other)).len(), 1, "the circuit stays");
    }
    echo(world, dialer, limited());
}

#[track_caller]
fn echo(world: &mut World, dialer: HostId, options: OpenOptions) {
    let call = tell(world, dialer, |node, now| node.call_with(now, peer(2), &[7; 4096], true, options));
    world.run_while(secs(20), |world| of(world, dialer).outcome(call).is_some()).unwrap();
    assert_eq!(of(world, dialer).outcome(call), Some(&Outcome::Echoed));
}

pub(crate) fn directs(world: &World, id: HostId, other: u32) -> usize {
    let manager = of(world, id).solo.host().manager();
    manager.connections_of(&peer(other)).filter(|view| !view.remote.is_relayed()).count()
}

#[test]
fn two_behind_home_routers_get_a_direct_connection_and_the_circuit_goes() {
    check(0..4, |world| {
        let hosts @ [_, holder, dialer] = placed(world, &behind(Nat::home_router()));
        punch(world, hosts);
        assert_upgraded(world, hosts);
        assert_eq!([holder, dialer].map(|id| reports(world, id).len()), [1, 1]);
        assert_one_is_left(world, hosts);
        Ok(())
    });
}

#[test]
fn wherever_theory_allows_a_direct_connection_there_is_one() {
    let (home, open) = (|| Place::Behind(Nat::home_router()), || Place::Open);
    let carrier = || Place::Twice(Box::new([Nat::home_router(), Nat::carrier_grade()]));
    let places = [
        behind(Nat::full_cone()),
        behind(Nat::restricted_cone()),
        behind(Nat::port_restricted_cone()),
        behind(Nat::linux_masquerade()),
        [home(), Place::Behind(Nat::full_cone())],
        [home(), open()],
        [open(), home()],
        [Place::Behind(Nat::symmetric()), open()],
        [open(), Place::Behind(Nat::symmetric())],
        [carrier(), carrier()],
        [home(), carrier()],
        [Place::Walled(Firewall::default()), Place::Walled(Firewall::default())],
        [Place::Walled(Firewall::corporate()), home()],
    ];
    for places in places {
        check(0..2, |world| {
            let hosts = placed(world, &places);
            punch(world, hosts);
            assert_upgraded(world, hosts);
            Ok(())
        });
    }
}

#[test]
fn who_was_reached_through_a_relay_by_a_public_peer_dials_that_one_directly() {
    check(0..2, |world| {
        let hosts @ [_, holder, dialer] = placed(world, &[Place::Behind(Nat::symmetric()), Place::Open]);
        punch(world, hosts);
        assert_upgraded(world, hosts);
        let [report] = &reports(world, holder)[..] else { panic!("{:?}", reports(world, holder)) };
        assert!(matches!(report.end, End::Upgraded { how: How::Direct, .. }), "{report}");
        assert!(report.tries.is_empty(), "{report}");
        assert!(reports(world, dialer).iter().all(|report| report.tries.is_empty()));
        assert_one_is_left(world, hosts);
        Ok(())
    });
}

#[test]
fn firewalls_without_a_nat_are_passed_by_ipv6() {
    check(0..2, |world| {
        let wall = || Place::Walled6(Firewall::default());
        let hosts @ [_, holder, dialer] = placed(world, &[wall(), wall()]);
        let relay = Multiaddr::tcp((ipv6(1), PORT).into());
        let at_relay: Multiaddr = format!("{relay}/p2p/{}/p2p-circuit", peer(1)).parse()?;
        tell(world, holder, |node, now| node.solo.listen(now, ListenerId(9), &at_relay).unwrap());
        world.run_for(secs(2))?;
        let to = at_relay.with_peer_id(peer(2))?;
        tell(world, dialer, |node, now| node.connect(now, 7, peer(2), &[to]));
        wait_for_reports(world, hosts);
        assert_upgraded(world, hosts);
        assert_one_is_left(world, hosts);
        Ok(())
    });
}

#[test]
fn two_in_one_home_meet_there_if_private_addresses_may_be_told_and_else_stay_on_the_circuit() {
    for private in [true, false] {
        check(0..2, |world| {
            let relay = add_relay(world);
            let gateway = world.nat(Nat::home_router(), [ipv4(100)]);
            let [holder, dialer] = [2, 3].map(|n| {
                let inside: IpAddr = format!("10.0.0.{n}").parse().unwrap();
                let configure = |config: &mut SoloConfig| {
                    let punching = config.host.punching.as_mut().unwrap();
                    punching.addresses.allow_private = private;
                };
                let it = node_at(world, n, configure, &[Multiaddr::tcp((inside, PORT).into())]);
                world.add_behind(gateway, it, [inside])
            });
            world.run_for(secs(2))?;
            let hosts = [relay, holder, dialer];
            punch(world, hosts);
            if private {
                assert_upgraded(world, hosts);
                assert_one_is_left(world, hosts);
            } else {
                assert_relayed(world, hosts);
            }
            Ok(())
        });
    }
}

#[test]
fn where_no_punch_can_work_the_circuit_stays_and_both_are_told_why() {
    check(0..2, |world| {
        let hosts @ [_, holder, dialer] = placed(world, &behind(Nat::symmetric()));
        punch(world, hosts);
        for id in [holder, dialer] {
            let [report] = &reports(world, id)[..] else { panic!("{:?}", reports(world, id)) };
            assert!(matches!(report.end, End::Failed(_)), "{report}");
        }
        assert_relayed(world, hosts);
        Ok(())
    });
}

/// A NAT that gives a new port per destination, but lets anybody in: who dials its host breaks nothing as long as the host dials
/// from another port than the one that all others know. It does once two have seen it.
#[test]
fn who_knows_that_its_nat_gives_new_ports_leaves_the_listeners_port_to_the_others_dial() {
    let open = Nat { filtering: Filtering::EndpointIndependent, ..Nat::symmetric() };
    for places in [[open.clone(), Nat::home_router()], [Nat::home_router(), open.clone()], [open.clone(), open]] {
        check(0..2, |world| {
            let hosts @ [_, holder, dialer] = placed(world, &places.clone().map(Place::Behind));
            let other = node_at(world, 4, |_| {}, &[at(4)]);
            world.add(other, [ipv4(4)]);
            for id in [holder, dialer] {
                tell(world, id, |node, now| node.connect(now, 6, peer(4), &[at(4)]));
            }
            world.run_for(secs(2)).unwrap();
            // There may be several for a moment: its NAT is known by two addresses, and both work.
            punch(world, hosts);
            for (id, nat) in [holder, dialer].into_iter().zip(&places) {
                for report in reports(world, id) {
                    assert!(report.is_upgraded() && report.tries.len() <= 1, "{report}");
                    // The other one came in by the port that the relay saw: that is no second sight.
                    let new_ports = report.our_nat.iter().any(|guess| guess.mapping.depends_on_destination());
                    assert_eq!(new_ports, *nat != Nat::home_router(), "{}", report.details());
                }
            }
            assert_one_is_left(world, hosts);
            Ok(())
        });
    }
}

/// Three who saw us tell whether the ports of our NAT follow each other. The next one is guessed, told, and dialed by the other,
/// whose NAT then lets it in.
#[test]
fn a_nat_whose_ports_follow_each_other_is_punched_by_guessing_the_next_one() {
    let counting = Nat { ports: Ports::Sequential { delta: 2 }, parity: false, ..Nat::symmetric() };
    for places in [[counting.clone(), Nat::home_router()], [Nat::home_router(), counting]] {
        check(0..2, |world| {
            let hosts @ [_, holder, dialer] = placed(world, &places.clone().map(Place::Behind));
            for n in [4, 5] {
                let other = node_at(world, n, |_| {}, &[at(n)]);
                world.add(other, [ipv4(n)]);
                for id in [holder, dialer] {
                    tell(world, id, |node, now| node.connect(now, u64::from(n), peer(n), &[at(n)]));
                }
                world.run_for(secs(2)).unwrap();
            }
            punch(world, hosts);
            assert_upgraded(world, hosts);
            assert!(reports(world, holder).iter().all(|report| report.tries.len() == 1));
            assert_one_is_left(world, hosts);
            Ok(())
        });
    }
}

#[test]
fn a_relay_that_is_lost_after_sync_is_needed_no_more() {
    check(0..3, |world| {
        let hosts @ [relay, holder, _] = placed(world, &behind(Nat::home_router()));
        begin(world, hosts);
        let armed = |event: &Punch| matches!(event, Punch::Stage { stage: Stage::Armed { .. }, .. });
        assert!(world.run_while(secs(20), |world| told(world, holder, armed))?);
        // SYNC is past the relay.
        world.run_for(millis(25))?;
        world.power_off(relay);
        wait_for_reports(world, hosts);
        assert_upgraded(world, hosts);
        Ok(())
    });
}

#[test]
fn a_relay_that_is_lost_before_sync_ends_the_attempt() {
    check(0..3, |world| {
        let hosts @ [relay, holder, dialer] = placed(world, &behind(Nat::home_router()));
        begin(world, hosts);
        assert!(world.run_while(secs(20), |world| waits_for_connect(world, holder))?);
        world.kill(relay);
        world.run_for(secs(60))?;
        let [report] = &reports(world, holder)[..] else { panic!("{:?}", reports(world, holder)) };
        assert_eq!(report.end, End::Failed(Failure::RelayLost));
        for (id, other) in [(holder, 3), (dialer, 2)] {
            assert_eq!(of(world, id).connections_to(&peer(other)).len(), 0);
            let counts = of(world, id).solo.host().punching().unwrap().counts();
            assert_eq!((counts.attempts, counts.asks, counts.dials), (0, 0, 0));
        }
        Ok(())
    });
}

#[test]
fn two_that_dial_circuits_to_each_other_at_once_end_with_one_direct_connection() {
    check(0..4, |world| {
        let hosts @ [_, holder, dialer] = placed(world, &behind(Nat::home_router()));
        listen_at_relay(world, holder);
        listen_at_relay(world, dialer);
        tell(world, dialer, |node, now| node.connect(now, 7, peer(2), &[circuit(2)]));
        tell(world, holder, |node, now| node.connect(now, 7, peer(3), &[circuit(3)]));
        let upgraded = |world: &World| {
            [holder, dialer].iter().all(|id| reports(world, *id).last().is_some_and(Report::is_upgraded))
        };
        world.run_while(secs(120), upgraded)?;
        assert_upgraded(world, hosts);
        assert_one_is_left(world, hosts);
        Ok(())
    });
}

#[test]
fn with_a_direct_connection_a_punch_that_is_asked_for_does_nothing() {
    check(0..2, |world| {
        let hosts @ [_, holder, dialer] = placed(world, &behind(Nat::home_router()));
        punch(world, hosts);
        assert_upgraded(world, hosts);
        for (id, other) in [(holder, 3), (dialer, 2)] {
            tell(world, id, |node, now| {
                // The circuit may be gone already.
                let _ = node.solo.tell_host(now, Input::Punch(PunchCommand::Punch { peer: peer(other) }));
            });
        }
        world.run_for(secs(60))?;
        assert_eq!([holder, dialer].map(|id| reports(world, id).len()), [1, 1]);
        Ok(())
    });
}

#[test]
fn with_a_peer_that_punches_no_holes_the_circuit_stays() {
    for off in [2, 3] {
        check(0..2, |world| {
            let relay = add_relay(world);
            let [holder, dialer] = [2, 3].map(|n| {
                add(world, n, &Place::Behind(Nat::home_router()), |config| {
                    if n == off {
                        config.host.punching = None;
                    }
                })
            });
            world.run_for(secs(2))?;
            let hosts = [relay, holder, dialer];
            begin(world, hosts);
            world.run_for(secs(60))?;
            assert_relayed(world, hosts);
            assert_eq!([holder, dialer].map(|id| reports(world, id).len()), [0, 0]);
            Ok(())
        });
    }
}

#[test]
fn on_another_network_the_punch_begins_anew() {
    check(0..3, |world| {
        let hosts @ [_, holder, _] = placed(world, &behind(Nat::home_router()));
        begin(world, hosts);
        assert!(world.run_while(secs(20), |world| waits_for_connect(world, holder))?);
        tell(world, holder, |node, now| node.solo.tell_host(now, Input::NetworkChanged).unwrap());
        let done = |world: &World| reports(world, holder).len() == 2;
        world.run_while(secs(90), done)?;
        let ends: Vec<End> = reports(world, holder).into_iter().map(|report| report.end).collect();
        assert!(matches!(ends[..], [End::Failed(Failure::NetworkChanged), End::Upgraded { .. }]), "{ends:?}");
        world.run_for(secs(40))?;
        assert_upgraded(world, hosts);
        Ok(())
    });
}
