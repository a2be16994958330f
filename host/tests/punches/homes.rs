//! Punches in homes of all kinds: two behind one router, two behind one carrier, firewalls with IPv6 beside a NAT that can't be
//! punched, and routers that forget.

use crate::scene::{
    add_relay, assert_direct, assert_relayed, begin, circuit, directs, echo, has_reservation, homely, inside, ipv6,
    outside, reports, wait_for_reports,
};
use crate::town::{PORT, assert_lifecycle, node_at, of, peer, secs, tell};
use std::net::IpAddr;
use tidewire_core::Multiaddr;
use tidewire_dcutr::report::End;
use tidewire_host::solo::SoloConfig;
use tidewire_host::{Command, OpenOptions};
use tidewire_sim::nat::{Firewall, Lifetimes, Nat, Ports};
use tidewire_sim::{GatewayId, HostId, World, check, ipv4};

/// Nodes 2 and 3 behind this router, both.
fn in_one_home(world: &mut World, nat: Nat, private: bool) -> [HostId; 3] {
    let relay = add_relay(world);
    let gateway = world.nat(nat, [ipv4(100)]);
    let [holder, dialer] = [2, 3].map(|n| {
        let address: IpAddr = format!("10.0.0.{n}").parse().unwrap();
        let configure = |config: &mut SoloConfig| {
            config.host.punching.as_mut().unwrap().addresses.allow_private = private;
        };
        let it = node_at(world, n, configure, &[Multiaddr::tcp((address, PORT).into())]);
        world.add_behind(gateway, it, [address])
    });
    world.run_for(secs(2)).unwrap();
    [relay, holder, dialer]
}

/// Nodes 2 and 3, each behind a router of its own.
fn in_two_homes(world: &mut World, nats: &[Nat; 2]) -> ([HostId; 3], [GatewayId; 2]) {
    let relay = add_relay(world);
    let homes = [2, 3].map(|n| world.nat(nats[n as usize - 2].clone(), [outside(n)]));
    let [holder, dialer] = [2, 3].map(|n| {
        let it = homely(world, n, |_| {});
        world.add_behind(homes[n as usize - 2], it, [inside(n)])
    });
    world.run_for(secs(2)).unwrap();
    ([relay, holder, dialer], homes)
}

/// Nodes 2 and 3, each behind a router of its own, and both behind this carrier's.
fn behind_one_carrier(world: &mut World, carrier: Nat) -> [HostId; 3] {
    let relay = add_relay(world);
    let carrier = world.nat(carrier, [ipv4(100)]);
    let [holder, dialer] = [2, 3].map(|n| {
        let it = homely(world, n, |_| {});
        let home = world.nat_behind(carrier, Nat::home_router(), [format!("100.64.0.{n}").parse().unwrap()]);
        world.add_behind(home, it, [inside(n)])
    });
    world.run_for(secs(2)).unwrap();
    [relay, holder, dialer]
}

/// Where the direct connection of node 3 leads.
fn leads_to(world: &World, dialer: HostId) -> IpAddr {
    let (manager, other) = (of(world, dialer).solo.host().manager(), peer(2));
    let remotes = manager.connections_of(&other).map(|view| view.remote.clone());
    remotes.filter(|remote| !remote.is_relayed()).find_map(|remote| remote.ip()).unwrap()
}

#[test]
fn two_in_one_home_meet_by_hairpin_where_the_router_does_it_and_private_addresses_are_not_told() {
    check(0..3, |world| {
        let hosts @ [_, _, dialer] = in_one_home(world, Nat { hairpin: true, ..Nat::home_router() }, false);
        begin(world, hosts);
        wait_for_reports(world, hosts);
        assert_direct(world, hosts);
        assert_eq!(leads_to(world, dialer), ipv4(100), "by the router's address");
        Ok(())
    });
}

#[test]
fn two_in_one_home_without_hairpin_stay_on_the_circuit_unless_private_addresses_may_be_told() {
    for private in [false, true] {
        check(0..3, |world| {
            let hosts @ [_, _, dialer] = in_one_home(world, Nat { hairpin: false, ..Nat::home_router() }, private);
            begin(world, hosts);
            wait_for_reports(world, hosts);
            if private {
                assert_direct(world, hosts);
                assert_eq!(leads_to(world, dialer), "10.0.0.2".parse::<IpAddr>()?);
            } else {
                assert_relayed(world, hosts);
            }
            Ok(())
        });
    }
}

#[test]
fn two_homes_behind_one_carrier_meet_by_its_hairpin_and_else_stay_on_the_circuit() {
    for hairpin in [true, false] {
        check(0..3, |world| {
            let hosts @ [_, _, dialer] = behind_one_carrier(world, Nat { hairpin, ..Nat::carrier_grade() });
            begin(world, hosts);
            wait_for_reports(world, hosts);
            if hairpin {
                assert_direct(world, hosts);
                assert_eq!(leads_to(world, dialer), ipv4(100), "by the carrier's address");
            } else {
                assert_relayed(world, hosts);
            }
            Ok(())
        });
    }
}

#[test]
fn beside_nats_that_can_not_be_punched_ipv6_firewalls_can() {
    check(0..3, |world| {
        let relay = add_relay(world);
        let [holder, dialer] = [2, 3].map(|n| {
            let nat = Nat { ipv6: Firewall::default(), ..Nat::symmetric() };
            let listen = [inside(n), ipv6(n)].map(|ip| Multiaddr::tcp((ip, PORT).into()));
            let it = node_at(world, n, |_| {}, &listen);
            let home = world.nat(nat, [outside(n)]);
            world.add_behind(home, it, [inside(n), ipv6(n)])
        });
        world.run_for(secs(2))?;
        let hosts = [relay, holder, dialer];
        begin(world, hosts);
        wait_for_reports(world, hosts);
        assert_direct(world, hosts);
        assert_eq!(leads_to(world, dialer), ipv6(2));
        let report = &reports(world, holder)[0];
        assert!(report.dials().any(|dial| dial.address.ip().is_some_and(|ip| ip.is_ipv4())), "both were tried");
        Ok(())
    });
}

/// Forgets a connection that says nothing for a minute.
fn forgetful(nat: Nat) -> Nat {
    let lifetimes = Lifetimes { tcp_established: secs(60), tcp_transitory: secs(60), ..nat.lifetimes };
    Nat { lifetimes, ..nat }
}

#[test]
fn a_circuit_through_routers_that_forget_after_a_minute_is_there_half_an_hour_later() {
    check(0..1, |world| {
        let (hosts, _) = in_two_homes(world, &[forgetful(Nat::symmetric()), forgetful(Nat::symmetric())]);
        begin(world, hosts);
        wait_for_reports(world, hosts);
        world.run_for(secs(1800))?;
        assert_relayed(world, hosts);
        Ok(())
    });
}

#[test]
fn a_punched_connection_through_routers_that_forget_after_a_minute_is_there_half_an_hour_later() {
    check(0..1, |world| {
        let (hosts @ [_, holder, dialer], _) =
            in_two_homes(world, &[forgetful(Nat::home_router()), forgetful(Nat::home_router())]);
        begin(world, hosts);
        wait_for_reports(world, hosts);
        assert_direct(world, hosts);
        let opened = of(world, dialer).connections_to(&peer(2));
        world.run_for(secs(1800))?;
        assert_eq!(of(world, dialer).connections_to(&peer(2)), opened, "the very same");
        echo(world, dialer, 2, OpenOptions::default());
        for id in [holder, dialer] {
            assert_lifecycle(world, id);
        }
        Ok(())
    });
}

#[test]
fn once_a_routers_mappings_have_ended_the_next_punch_tells_the_new_ones() {
    // The same outer endpoint for all, but another one each time.
    let nat = || Nat { ports: Ports::Random, parity: false, ..Nat::home_router() };
    check(0..4, |world| {
        let (hosts @ [_, holder, dialer], homes) = in_two_homes(world, &[nat(), nat()]);
        // The first attempt can't get through.
        world.cut(holder, dialer, tidewire_core::Time::NEVER);
        begin(world, hosts);
        wait_for_reports(world, hosts);
        assert_relayed(world, hosts);
        let before = reports(world, holder)[0].tries[0].ours[0].address.clone();
        world.heal(holder, dialer);
        // All that the holder's router knew is gone, under a circuit that has stood for a while: the relay answers what comes from
        // an unknown port by a reset, the holder reserves anew, and is reached again.
        world.reboot(homes[0]);
        world.run_for(secs(300))?;
        assert!(has_reservation(of(world, holder)));
        tell(world, dialer, |node, now| {
            let stale = node.connections_to(&peer(2));
            for connection in stale {
                let why = "stale".into();
                node.solo.command(now, Command::Close { connection, why }).unwrap();
            }
        });
        world.run_for(secs(5))?;
        tell(world, dialer, |node, now| node.connect(now, 8, peer(2), &[circuit(2)]));
        let upgraded = |world: &World| reports(world, holder).len() > 1 && directs(of(world, holder), 3) == 1;
        assert!(world.run_while(secs(120), upgraded)?, "{:#?}", reports(world, holder));
        assert_direct(world, hosts);
        let after = reports(world, holder).last().unwrap().clone();
        assert!(matches!(after.end, End::Upgraded { .. }), "{after}");
        assert_ne!(after.tries[0].ours[0].address, before, "another port, which the relay saw");
        Ok(())
    });
}
