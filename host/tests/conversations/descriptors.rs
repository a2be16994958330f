//! No file descriptor is left: dials say so, accepting waits, and all goes on once there are some again.

use crate::solo_node::Outcome;
use crate::town::{assert_empty, assert_lifecycle, at, connect, of, only, peer, secs, tell, town};
use tidewire_connmgr as connmgr;
use tidewire_connmgr::dial::{DialFault, Outcome as Came};
use tidewire_host::OpenFailure;
use tidewire_sim::check;

#[test]
fn a_dial_without_a_descriptor_fails_with_that_reason_and_costs_no_backoff() {
    check(0..3, |world| {
        let hosts = town(world, 2);
        world.file_limit(hosts[0], 1);
        let open = tell(world, hosts[0], |node, now| {
            node.know(now, peer(2), &[at(2)]);
            node.call(now, peer(2), b"hello")
        });
        let Some(Outcome::Failed(OpenFailure::Dial(report))) = of(world, hosts[0]).outcome(open) else {
            return Err(format!("{:?}", of(world, hosts[0]).calls[&open]).into());
        };
        assert_eq!(report.addresses[0].outcome, Came::Failed(DialFault::Local("too many open files".into())));
        assert!(report.to_string().contains("this machine can't: too many open files"), "{report}");
        assert_empty(world, hosts[0]);

        world.file_limit(hosts[0], 2);
        let open = tell(world, hosts[0], |node, now| node.call(now, peer(2), b"hello"));
        world.run_for(secs(1))?;
        assert_eq!(of(world, hosts[0]).outcome(open), Some(&Outcome::Echoed));
        Ok(())
    });
}

#[test]
fn accepting_without_a_descriptor_does_not_spin_and_goes_on_afterwards() {
    check(0..3, |world| {
        let hosts = town(world, 4);
        connect(world, hosts[1], 1);
        // The listener and this connection are all that may be.
        world.file_limit(hosts[0], 2);
        world.run_for(secs(2))?;
        let before = of(world, hosts[0]).inputs;
        for id in &hosts[2..] {
            tell(world, *id, |node, now| node.connect(now, 1, peer(1), &[at(1)]));
        }
        world.run_for(secs(5))?;
        assert!(of(world, hosts[0]).accept_failed >= 1);
        let calls = of(world, hosts[0]).inputs - before;
        assert!(calls <= 10, "{calls} calls in five seconds");
        let open = tell(world, hosts[1], |node, now| node.call(now, peer(1), b"and we?"));
        world.run_for(secs(1))?;
        assert_eq!(of(world, hosts[1]).outcome(open), Some(&Outcome::Echoed), "who is there stays");

        world.file_limit(hosts[0], 100);
        world.run_for(secs(2))?;
        for (id, n) in hosts[2..].iter().zip(3..) {
            only(world, *id, 1);
            only(world, hosts[0], n);
        }
        for id in hosts {
            assert_lifecycle(world, id);
        }
        Ok(())
    });
}

#[test]
fn who_waited_for_an_accept_in_vain_is_told_that_it_took_too_long() {
    check(0..3, |world| {
        let hosts = town(world, 2);
        world.file_limit(hosts[0], 1);
        tell(world, hosts[1], |node, now| node.connect(now, 1, peer(1), &[at(1)]));
        world.run_for(secs(20))?;
        let failed = of(world, hosts[1]).managed().find_map(|(_, event)| match event {
            connmgr::Event::DialFailed { report, .. } => Some(report.to_string()),
            _ => None,
        });
        // 10 s are all that an upgrade may take.
        assert!(
            failed.as_ref().is_some_and(|report| report.contains("within 10 s") || report.contains("10s")),
            "{failed:?}"
        );
        world.file_limit(hosts[0], 10);
        world.run_for(secs(20))?;
        for id in hosts {
            assert_empty(world, id);
            assert_lifecycle(world, id);
            assert_eq!(world.open_files(id), 1);
        }
        Ok(())
    });
}
