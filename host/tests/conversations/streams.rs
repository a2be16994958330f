//! Streams: what they wait for, and on which connection they go.

use crate::relays;
use crate::solo_node::{ECHO, Outcome};
use crate::town::{assert_empty, assert_lifecycle, at, millis, of, only, pair, peer, secs, tell, town};
use tidewire_connmgr as connmgr;
use tidewire_core::{Multiaddr, Time};
use tidewire_host::link::OpenFault;
use tidewire_host::{OpenFailure, OpenOptions};
use tidewire_sim::{HostId, Link, World, check};

#[test]
fn a_stream_to_a_peer_that_is_not_connected_waits_for_the_dial() {
    check(0..5, |world| {
        let hosts = town(world, 2);
        let open = tell(world, hosts[0], |node, now| {
            node.know(now, peer(2), &[at(2)]);
            node.call(now, peer(2), b"hello")
        });
        assert_eq!(of(world, hosts[0]).solo.host().openings().count(), 1);
        world.run_for(secs(1))?;
        assert_eq!(of(world, hosts[0]).outcome(open), Some(&Outcome::Echoed));
        Ok(())
    });
}

#[test]
fn fifty_streams_that_wait_share_one_dial() {
    check(0..3, |world| {
        let hosts = town(world, 2);
        let opens: Vec<_> = tell(world, hosts[0], |node, now| {
            node.know(now, peer(2), &[at(2)]);
            (0..50_u8).map(|n| node.call(now, peer(2), &[n; 100])).collect()
        });
        world.run_for(secs(2))?;
        for open in opens {
            assert_eq!(of(world, hosts[0]).outcome(open), Some(&Outcome::Echoed));
        }
        only(world, hosts[1], 1);
        let opened = |event: &connmgr::Event| matches!(event, connmgr::Event::ConnectionOpened { .. });
        assert_eq!(of(world, hosts[1]).managed().filter(|(_, event)| opened(event)).count(), 1);
        Ok(())
    });
}

#[test]
fn on_a_connection_that_is_there_a_stream_takes_one_round_trip() {
    check(0..3, |world| {
        world.default_link(Link::new(millis(40)));
        let (a, _) = pair(world);
        let open = tell(world, a, |node, now| node.call(now, peer(2), b"one flight there, one back"));
        world.run_for(secs(1))?;
        assert_eq!(of(world, a).took(open), Some(millis(80)));
        Ok(())
    });
}

#[test]
fn a_megabyte_comes_back_as_it_went() {
    check(0..1, |world| {
        world.default_link(Link::new(millis(20)).bandwidth(4_000_000));
        let (a, _) = pair(world);
        let bytes: Vec<u8> = (0..1 << 20).map(|n: u32| (n % 251) as u8).collect();
        let open = tell(world, a, |node, now| node.call(now, peer(2), &bytes));
        world.run_for(secs(60))?;
        assert_eq!(of(world, a).outcome(open), Some(&Outcome::Echoed));
        Ok(())
    });
}

#[test]
fn without_a_connection_and_without_the_wish_to_dial_the_answer_comes_at_once() {
    check(0..3, |world| {
        let id = town(world, 1)[0];
        let mut options = OpenOptions::default();
        options.dial = false;
        let open = tell(world, id, |node, now| node.call_with(now, peer(2), b"", true, options));
        assert_eq!(of(world, id).outcome(open), Some(&Outcome::Failed(OpenFailure::NotConnected)));
        Ok(())
    });
}

#[test]
fn a_protocol_that_nobody_serves_is_an_error_at_the_first_read() {
    check(0..3, |world| {
        let (a, b) = pair(world);
        tell(world, b, |node, now| node.solo.unserve(now, &ECHO));
        let lazy = tell(world, a, |node, now| node.call(now, peer(2), b"is anyone there?"));
        let mut options = OpenOptions::default();
        options.selection = tidewire_upgrade::connection::Selection::Plain;
        let plain = tell(world, a, |node, now| node.call_with(now, peer(2), b"", true, options));
        world.run_for(secs(5))?;
        assert!(matches!(of(world, a).outcome(lazy), Some(Outcome::Broken(_))), "{:?}", of(world, a).calls[&lazy]);
        let unsupported = Outcome::Failed(OpenFailure::Link(OpenFault::Unsupported));
        assert_eq!(of(world, a).outcome(plain), Some(&unsupported));
        let limits = of(world, a).solo.host().manager().counts().limits;
        assert_eq!(limits.streams_outbound, 0);
        Ok(())
    });
}

#[test]
fn a_cancelled_wish_is_not_answered() {
    check(0..3, |world| {
        let hosts = town(world, 2);
        let open = tell(world, hosts[0], |node, now| {
            node.know(now, peer(2), &[at(2)]);
            node.call(now, peer(2), b"never mind")
        });
        let after = world.rng().up_to(millis(120));
        world.run_for(after)?;
        tell(world, hosts[0], |node, now| {
            if node.calls[&open].connection.is_none() {
                node.solo.tell_host(now, tidewire_host::Input::CancelOpen { open }).unwrap();
            }
        });
        world.run_for(secs(120))?;
        let call = &of(world, hosts[0]).calls[&open];
        assert!(call.done.is_none() || call.connection.is_some(), "{call:?}");
        for id in hosts {
            assert_eq!(of(world, id).solo.host().openings().count(), 0);
            assert_lifecycle(world, id);
        }
        Ok(())
    });
}

/// Node 2 holds a reservation with node 1, a relay; node 3 may reach it through that, or directly.
fn relayed_pair(world: &mut World) -> (HostId, HostId, Multiaddr) {
    let [_, b, a] = relays::relayed(world, |_| {});
    relays::listen_at_relay(world, b);
    (a, b, relays::circuit(2))
}

fn limited() -> OpenOptions {
    let mut options = OpenOptions::default();
    options.limited = true;
    options
}

#[test]
fn on_a_limited_connection_only_streams_go_that_allow_it() {
    check(0..3, |world| {
        let (a, b, circuit) = relayed_pair(world);
        // The direct address is not known, and identify must not tell it.
        tell(world, b, |node, now| node.solo.unlisten(now, tidewire_host::ListenerId(0)).unwrap());
        tell(world, a, |node, now| node.connect(now, 1, peer(2), &[circuit]));
        world.run_for(secs(3))?;
        for (id, n) in [(a, 2), (b, 3)] {
            let view = only(world, id, n);
            let manager = of(world, id).solo.host().manager();
            assert!(manager.connection(view).is_some_and(|view| view.relayed && view.limited), "known at {id}");
        }
        let mut direct = OpenOptions::default();
        direct.timeout = secs(20);
        direct.dial = false;
        let allowed = tell(world, a, |node, now| node.call_with(now, peer(2), b"small", true, limited()));
        let waits = tell(world, a, |node, now| node.call_with(now, peer(2), b"large", true, direct));
        world.run_for(secs(19))?;
        assert_eq!(of(world, a).outcome(allowed), Some(&Outcome::Echoed));
        assert_eq!(of(world, a).outcome(waits), None, "it waits");
        world.run_for(secs(2))?;
        let timed_out = OpenFailure::TimedOut { timeout: secs(20), limited: true };
        assert_eq!(of(world, a).outcome(waits), Some(&Outcome::Failed(timed_out)));
        Ok(())
    });
}

#[test]
fn a_stream_that_waits_goes_on_the_direct_connection_once_there_is_one() {
    check(0..3, |world| {
        let (a, _, circuit) = relayed_pair(world);
        tell(world, a, |node, now| node.connect(now, 1, peer(2), &[circuit]));
        let up = world.run_while(secs(3), |world| !of(world, a).connections_to(&peer(2)).is_empty())?;
        assert!(up);
        let relayed = only(world, a, 2);
        // No direct address is known as yet, so the wish waits.
        let open = tell(world, a, |node, now| node.call(now, peer(2), b"the long way"));
        let mut options = connmgr::dial::DialOptions::default();
        options.direct_only = true;
        tell(world, a, |node, now| {
            node.solo.connect(now, tidewire_host::RequestId(2), peer(2), &[at(2)], options).unwrap();
        });
        world.run_for(secs(2))?;
        let call = &of(world, a).calls[&open];
        assert_eq!(call.done.as_ref().map(|(_, outcome)| outcome), Some(&Outcome::Echoed));
        assert_ne!(call.connection, Some(relayed));
        Ok(())
    });
}

#[test]
fn a_stream_over_a_relay_goes_on_there_when_a_direct_connection_comes() {
    check(0..3, |world| {
        let (a, b, circuit) = relayed_pair(world);
        tell(world, a, |node, now| node.connect(now, 1, peer(2), &[circuit]));
        world.run_for(secs(3))?;
        let held = tell(world, a, |node, now| node.call_with(now, peer(2), b"first", false, limited()));
        world.run_for(secs(1))?;
        let mut options = connmgr::dial::DialOptions::default();
        options.direct_only = true;
        tell(world, a, |node, now| {
            node.solo.connect(now, tidewire_host::RequestId(2), peer(2), &[at(2)], options).unwrap();
        });
        world.run_for(secs(2))?;
        tell(world, a, |node, now| node.say(now, held, b", second"));
        tell(world, a, |node, now| node.hang_up(now, held));
        world.run_for(secs(300))?;
        assert_eq!(of(world, a).outcome(held), Some(&Outcome::Echoed));
        for (id, n) in [(a, 2), (b, 3)] {
            let left = only(world, id, n);
            let view = of(world, id).solo.host().manager().connection(left).ok_or("gone")?;
            assert!(!view.relayed, "{id}: the direct one stays");
        }
        Ok(())
    });
}

#[test]
fn a_stream_that_carries_much_delays_the_others_by_no_more_than_the_line() {
    check(0..2, |world| {
        let (a, b) = pair(world);
        let large = vec![7; 1 << 20];
        let slow = tell(world, a, |node, now| node.call(now, peer(2), &large));
        world.run_for(millis(45))?;
        let quick = tell(world, b, |node, now| node.call(now, peer(1), b"me too"));
        world.run_for(millis(100))?;
        assert_eq!(of(world, b).outcome(quick), Some(&Outcome::Echoed), "{:?}", of(world, a).outcome(slow));
        assert_eq!(of(world, a).outcome(slow), None, "it was at the same time");
        world.run_for(secs(20))?;
        assert_eq!(of(world, a).outcome(slow), Some(&Outcome::Echoed));
        Ok(())
    });
}

#[test]
fn a_stream_is_answered_even_if_its_connection_ends_meanwhile() {
    check(0..6, |world| {
        let (a, b) = pair(world);
        let opens: Vec<_> =
            (0..5).map(|_| tell(world, a, |node, now| node.call(now, peer(2), &[1; 100_000]))).collect();
        let after = world.rng().up_to(millis(60));
        world.run_for(after)?;
        world.exit(b);
        world.run_for(secs(100))?;
        for open in opens {
            assert!(of(world, a).outcome(open).is_some(), "{:?}", of(world, a).calls[&open].connection);
        }
        assert_empty(world, a);
        assert_lifecycle(world, a);
        assert!(world.now() > Time::ZERO + secs(100));
        Ok(())
    });
}
