//! Peers of other libraries, which punch in ways of their own. Facts about them are in the tables of `tidewire-dcutr`'s rule of
//! roles; here each meets a whole node, behind home routers, and ends with one direct connection.

use crate::puncher::{CONNECT, Puncher, SYNC, Script, message};
use crate::scene::{
    add_relay, at_relay, circuit, directs, echo, has_reservation, homely, inside, is_busy, outside, reports,
};
use crate::town::{PORT, assert_lifecycle, millis, of, peer, secs, tell};
use std::cell::Cell;
use std::time::Duration;
use tidewire_core::Multiaddr;
use tidewire_dcutr::Source;
use tidewire_dcutr::report::{End, How, Side};
use tidewire_host::{Input, ListenerId, OpenOptions};
use tidewire_sim::nat::Nat;
use tidewire_sim::{HostId, Link, World, check};
use tidewire_upgrade::pipeline::Plan;

/// The relay, us, and the other, each behind a router. `n`: which the other is, 2 for side B.
pub(crate) fn with_other(world: &mut World, n: u32, script: Script, identifies: bool) -> [HostId; 3] {
    let relay = add_relay(world);
    let us = homely(world, 5 - n, |_| {});
    let home = world.nat(Nat::home_router(), [outside(5 - n)]);
    let us = world.add_behind(home, us, [inside(5 - n)]);
    let other = homely(world, n, |config| config.host.punching = None);
    let other = Puncher::new(n, other, (inside(n), PORT).into(), 5 - n, script);
    let home = world.nat(Nat::home_router(), [outside(n)]);
    let other = world.add_behind(home, other, [inside(n)]);
    world.run_for(secs(2)).unwrap();
    if identifies {
        let address = seen_at(n);
        with(world, other, |it, now| it.inner.solo.tell_host(now, Input::AddExternal { address }).unwrap());
    }
    [relay, us, other]
}

/// Acts as the application of the other.
pub(crate) fn with<R>(world: &mut World, id: HostId, act: impl FnOnce(&mut Puncher, tidewire_core::Time) -> R) -> R {
    world.with(id, |it: &mut Puncher, os| {
        let result = act(it, os.now());
        it.inner.drive(os.now(), os);
        result
    })
}

pub(crate) fn other(world: &World, id: HostId) -> &Puncher {
    world.node(id)
}

/// Where the world sees the `n`-th: home routers keep ports.
pub(crate) fn seen_at(n: u32) -> Multiaddr {
    Multiaddr::tcp((outside(n), PORT).into())
}

/// The circuit is made by whoever is side A, and the other one's script goes on until it is done.
pub(crate) fn meet(world: &mut World, [_, us, them]: [HostId; 3], n: u32) {
    if n == 2 {
        with(world, them, |it, now| it.inner.solo.listen(now, ListenerId(9), &at_relay()).unwrap());
        assert!(world.run_while(secs(10), |world| has_reservation(&other(world, them).inner)).unwrap());
        tell(world, us, |node, now| node.connect(now, 7, peer(2), &[circuit(2)]));
    } else {
        tell(world, us, |node, now| node.solo.listen(now, ListenerId(9), &at_relay()).unwrap());
        assert!(world.run_while(secs(10), |world| has_reservation(of(world, us))).unwrap());
        with(world, them, |it, now| it.inner.connect(now, 7, peer(2), &[circuit(2)]));
    }
    world.run_for(secs(3)).unwrap();
    let quiet = |world: &World| other(world, them).is_done() && !is_busy(of(world, us));
    assert!(world.run_while(secs(180), quiet).unwrap(), "{:?}", reports(world, us));
}

/// One connection is left at us, it is direct, and it carries.
#[track_caller]
fn assert_upgraded(world: &mut World, [_, us, _]: [HostId; 3], n: u32) {
    // The other leaves the circuit to us. Who made it closes it soon; the other one after 2 min.
    world.run_for(secs(if n == 2 { 30 } else { 180 })).unwrap();
    let node = of(world, us);
    assert_eq!((node.connections_to(&peer(n)).len(), directs(node, n)), (1, 1), "{:?}", reports(world, us));
    assert_lifecycle(world, us);
    echo(world, us, n, OpenOptions::default());
}

fn script(told: &[Multiaddr], n: u32, role: Plan) -> Script {
    let connect = message(u32::from(CONNECT), told);
    let second = if n == 2 { message(SYNC, &[]) } else { Vec::new() };
    // 5 s for a dial of a punch, three tries: go-libp2p.
    Script {
        first: connect,
        second,
        ends_early: false,
        roles: Some([role; 3]),
        timeout: secs(5),
        tries: 3,
        answers_after: Duration::ZERO,
    }
}

#[test]
fn an_old_go_that_leads_as_b_gets_through_on_its_second_try() {
    check(0..4, |world| {
        let hosts @ [_, us, them] = with_other(world, 2, script(&[seen_at(2)], 2, Plan::Initiate), false);
        meet(world, hosts, 2);
        assert_upgraded(world, hosts, 2);
        let [report] = &reports(world, us)[..] else { panic!("{:?}", reports(world, us)) };
        assert_eq!((report.side, report.tries.len()), (Side::A, 2), "{}", report.details());
        assert!(matches!(report.end, End::Upgraded { how: How::Dialed { number: 2 }, .. }), "{report}");
        assert!(other(world, them).is_through());
        assert_eq!(other(world, them).heard, [2, 0]);
        Ok(())
    });
}

#[test]
fn a_go_of_today_that_leads_on_its_third_try_gets_through_then() {
    check(0..4, |world| {
        let mut flips = script(&[seen_at(2)], 2, Plan::Respond);
        flips.roles = Some([Plan::Respond, Plan::Respond, Plan::Initiate]);
        let hosts @ [_, us, them] = with_other(world, 2, flips, false);
        // Nothing passes between the homes while the first two tries last.
        world.cut(us, them, world.now() + secs(10));
        meet(world, hosts, 2);
        assert_upgraded(world, hosts, 2);
        let [report] = &reports(world, us)[..] else { panic!("{:?}", reports(world, us)) };
        assert_eq!((report.side, report.tries.len()), (Side::A, 3), "{}", report.details());
        assert!(matches!(report.end, End::Upgraded { how: How::Dialed { number: 3 }, .. }), "{report}");
        // By our dial to its listener, if that is faster than its own.
        assert_eq!(other(world, them).heard[0], 3);
        Ok(())
    });
}

#[test]
fn an_old_go_that_follows_as_a_gets_through_at_once() {
    check(0..4, |world| {
        let hosts @ [_, us, them] = with_other(world, 3, script(&[seen_at(3)], 3, Plan::Respond), false);
        meet(world, hosts, 3);
        assert_upgraded(world, hosts, 3);
        let [report] = &reports(world, us)[..] else { panic!("{:?}", reports(world, us)) };
        assert_eq!((report.side, report.tries.len()), (Side::B, 1), "{}", report.details());
        assert_eq!(other(world, them).heard, [1, 1]);
        Ok(())
    });
}

#[test]
fn a_go_of_today_and_a_rust_get_through_at_once_on_either_side() {
    for (n, role) in [(2, Plan::Respond), (3, Plan::Initiate)] {
        check(0..4, |world| {
            let hosts @ [_, us, them] = with_other(world, n, script(&[seen_at(n)], n, role), false);
            meet(world, hosts, n);
            assert_upgraded(world, hosts, n);
            let [report] = &reports(world, us)[..] else { panic!("{:?}", reports(world, us)) };
            assert_eq!(report.tries.len(), 1, "{}", report.details());
            assert!(other(world, them).is_through());
            Ok(())
        });
    }
}

#[test]
fn a_py_that_answers_after_ten_seconds_gets_through_by_the_second_try() {
    check(0..4, |world| {
        // It dials directly for so long before it answers.
        let slow = Script { answers_after: secs(10), ..script(&[seen_at(3)], 3, Plan::Initiate) };
        let hosts @ [_, us, them] = with_other(world, 3, slow, false);
        meet(world, hosts, 3);
        assert_upgraded(world, hosts, 3);
        let [report] = &reports(world, us)[..] else { panic!("{:?}", reports(world, us)) };
        // What was measured says nothing of the way, so that the first dials may miss each other.
        assert!(report.tries[0].rtt.is_some_and(|rtt| rtt > secs(10)), "{}", report.details());
        assert!(report.tries.len() <= 2, "{}", report.details());
        assert!(other(world, them).heard[1] <= 2);
        Ok(())
    });
}

#[test]
fn a_rust_that_names_no_address_as_b_is_dialed_where_identify_says() {
    check(0..4, |world| {
        let hosts @ [_, us, _] = with_other(world, 2, script(&[], 2, Plan::Respond), true);
        meet(world, hosts, 2);
        assert_upgraded(world, hosts, 2);
        let [report] = &reports(world, us)[..] else { panic!("{:?}", reports(world, us)) };
        assert_eq!((report.side, report.tries.len()), (Side::A, 1), "{}", report.details());
        let dials: Vec<_> = report.tries[0].dials.iter().map(|dial| (dial.address.clone(), dial.source)).collect();
        assert_eq!(dials, [(seen_at(2), Source::Identified)]);
        Ok(())
    });
}

#[test]
fn a_rust_that_names_no_address_as_a_is_dialed_where_identify_says_after_a_plain_dial() {
    check(0..4, |world| {
        let hosts @ [_, us, _] = with_other(world, 3, script(&[], 3, Plan::Initiate), true);
        meet(world, hosts, 3);
        assert_upgraded(world, hosts, 3);
        let [report] = &reports(world, us)[..] else { panic!("{:?}", reports(world, us)) };
        assert_eq!((report.side, report.tries.len()), (Side::B, 1), "{}", report.details());
        let direct = report.direct.as_ref().unwrap();
        assert_eq!(report.tries[0].started.since(direct.started), secs(10), "its router drops the plain dial");
        let dials: Vec<_> = report.tries[0].dials.iter().map(|dial| (dial.address.clone(), dial.source)).collect();
        assert_eq!(dials, [(seen_at(3), Source::Identified)]);
        Ok(())
    });
}

#[test]
fn a_rust_that_names_no_address_anywhere_stays_on_the_circuit() {
    for n in [2, 3] {
        check(0..2, |world| {
            let mut nothing = script(&[], n, Plan::Respond);
            // Nothing is sent to us either.
            nothing.roles = None;
            let hosts @ [_, us, _] = with_other(world, n, nothing, false);
            meet(world, hosts, n);
            let node = of(world, us);
            assert_eq!((node.connections_to(&peer(n)).len(), directs(node, n)), (1, 0));
            echo(world, us, n, crate::scene::limited());
            let all = reports(world, us);
            assert!(all.iter().all(|report| report.dials().count() == 0 && !report.is_upgraded()), "{all:?}");
            assert_eq!(all.len(), 1);
            Ok(())
        });
    }
}

#[test]
fn on_lossy_and_lopsided_paths_they_get_through_too() {
    let table = [
        ("an old go as B", 2, [Plan::Initiate; 3], 19),
        ("an old go as A", 3, [Plan::Respond; 3], 20),
        ("a go of today as B", 2, [Plan::Respond, Plan::Respond, Plan::Initiate], 20),
        ("a go of today as A", 3, [Plan::Initiate; 3], 20),
    ];
    for (name, n, roles, least) in table {
        let through = Cell::new(0);
        check(0..20, |world| {
            let script = Script { roles: Some(roles), ..script(&[seen_at(n)], n, Plan::Respond) };
            let hosts @ [relay, us, them] = with_other(world, n, script, false);
            for (from, to) in [(relay, us), (us, relay), (relay, them), (them, relay), (us, them), (them, us)] {
                let latency = millis(10) + world.rng().up_to(millis(90));
                world.link_one_way(from, to, Link::new(latency).loss(0.03));
            }
            meet(world, hosts, n);
            world.run_for(secs(30))?;
            through.set(through.get() + usize::from(directs(of(world, us), n) > 0));
            Ok(())
        });
        // An inverted B and an A that listens for a round trip can miss each other on each of three tries.
        assert!(through.get() >= least, "{name}: {} of 20", through.get());
    }
}
