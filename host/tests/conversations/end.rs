//! An orderly end.

use crate::solo_node::Outcome;
use crate::town::{assert_empty, assert_lifecycle, at, closed, connect, of, peer, secs, tell, town};
use tidewire_connmgr::{By, CloseReason};
use tidewire_host::{Command, Event, OpenFailure};
use tidewire_sim::check;

#[test]
fn a_shutdown_tells_all_others_and_leaves_nothing_open() {
    check(0..5, |world| {
        let hosts = town(world, 5);
        for n in 2..=5 {
            connect(world, hosts[0], n);
        }
        let held = tell(world, hosts[0], |node, now| node.hold(now, peer(2)));
        world.run_for(secs(1))?;
        tell(world, hosts[0], |node, now| node.solo.shutdown(now));
        world.run_for(secs(1))?;
        assert_empty(world, hosts[0]);
        assert_eq!(world.open_files(hosts[0]), 0, "no listener either");
        assert!(matches!(of(world, hosts[0]).outcome(held), Some(Outcome::Broken(_))));
        for (_, _, by, reason) in closed(world, hosts[0]) {
            assert_eq!((by, reason), (By::Local, CloseReason::Shutdown));
        }
        for id in &hosts[1..] {
            let closed = closed(world, *id);
            let [(_, who, By::Remote, CloseReason::Reported { why })] = closed.as_slice() else {
                return Err(format!("{id}: {closed:?}").into());
            };
            assert_eq!(*who, peer(1));
            assert!(why.contains("it is shutting down"), "{why}");
            assert_empty(world, *id);
        }
        for id in hosts {
            assert_lifecycle(world, id);
        }
        Ok(())
    });
}

#[test]
fn after_a_shutdown_nothing_is_dialed_and_nothing_is_opened() {
    check(0..3, |world| {
        let hosts = town(world, 2);
        connect(world, hosts[0], 2);
        tell(world, hosts[0], |node, now| {
            node.solo.command(now, Command::KeepAlive { peer: peer(2), on: true }).unwrap();
            node.solo.shutdown(now);
        });
        let open = tell(world, hosts[0], |node, now| node.call(now, peer(2), b"too late"));
        assert_eq!(of(world, hosts[0]).outcome(open), Some(&Outcome::Failed(OpenFailure::Shutdown)));
        tell(world, hosts[1], |node, now| node.connect(now, 7, peer(1), &[at(1)]));
        world.run_for(secs(300))?;
        assert_empty(world, hosts[0]);
        assert_empty(world, hosts[1]);
        Ok(())
    });
}

#[test]
fn a_shutdown_in_the_middle_of_anything_leaves_nothing_open() {
    check(0..12, |world| {
        let hosts = town(world, 4);
        for n in 2..=4 {
            let call = |node: &mut crate::solo_node::SoloNode, now| {
                node.know(now, peer(n), &[at(n)]);
                node.call(now, peer(n), &[7; 20_000]);
                node.connect(now, u64::from(n), peer(n), &[]);
            };
            tell(world, hosts[0], call);
        }
        let after = world.rng().up_to(crate::town::millis(300));
        world.run_for(after)?;
        tell(world, hosts[0], |node, now| node.solo.shutdown(now));
        world.run_for(secs(70))?;
        assert_empty(world, hosts[0]);
        assert_eq!(world.open_files(hosts[0]), 0);
        assert!(
            of(world, hosts[0]).calls.values().all(|call| call.done.is_some()),
            "after {after:?}: an unanswered wish"
        );
        for id in hosts {
            assert_empty(world, id);
            assert_lifecycle(world, id);
        }
        Ok(())
    });
}

#[test]
fn a_peer_that_is_sent_away_is_told_and_its_streams_end() {
    check(0..3, |world| {
        let hosts = town(world, 2);
        connect(world, hosts[0], 2);
        let held = tell(world, hosts[1], |node, now| node.hold(now, peer(1)));
        world.run_for(secs(1))?;
        tell(world, hosts[0], |node, now| {
            node.solo.command(now, Command::Disconnect { peer: peer(2), why: "go away".into() }).unwrap();
        });
        world.run_for(secs(1))?;
        assert!(matches!(of(world, hosts[1]).outcome(held), Some(Outcome::Broken(_))));
        assert!(
            matches!(&closed(world, hosts[0])[..], [(_, _, By::Local, CloseReason::Asked { why })] if why == "go away")
        );
        assert!(matches!(&closed(world, hosts[1])[..], [(_, _, By::Remote, _)]));
        assert!(!of(world, hosts[0]).told().any(|(_, event)| matches!(event, Event::IdentifyFailed { .. })));
        Ok(())
    });
}
