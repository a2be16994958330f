//! Two that dial each other at once end up with one connection (rule A of `tidewire_connmgr::duplicates`).

use crate::solo_node::Outcome;
use crate::town::{assert_lifecycle, at, millis, of, only, peer, secs, tell, town_with};
use std::time::Duration;
use tidewire_connmgr as connmgr;
use tidewire_connmgr::CloseReason;
use tidewire_host::solo::SoloConfig;
use tidewire_sim::{HostId, Link, World, check};

/// Both dial each other, the second one `after` the first, and each holds a stream as soon as it can.
fn both_dial(
    world: &mut World,
    after: Duration,
    configure: fn(&mut SoloConfig),
) -> Result<(), Box<dyn std::error::Error>> {
    world.default_link(Link::new(millis(40)));
    let hosts = town_with(world, 2, configure);
    let (a, b) = (hosts[0], hosts[1]);
    let held_a = dial_and_hold(world, a, 2);
    world.run_for(after)?;
    let held_b = dial_and_hold(world, b, 1);
    // A connection that gives way is closed five seconds later, whatever is on it: streams that are over by then are whole.
    for _ in 0..30 {
        world.run_for(millis(100))?;
        tell(world, a, |node, now| node.say(now, held_a, b"still "));
        tell(world, b, |node, now| node.say(now, held_b, b"here "));
    }
    tell(world, a, |node, now| node.hang_up(now, held_a));
    tell(world, b, |node, now| node.hang_up(now, held_b));
    world.run_for(secs(200))?;

    for (id, held) in [(a, held_a), (b, held_b)] {
        let call = &of(world, id).calls[&held];
        assert_eq!(call.done.as_ref().map(|(_, outcome)| outcome), Some(&Outcome::Echoed), "{after:?}: {id}");
        assert_lifecycle(world, id);
        let dialed = |event: &connmgr::Event| matches!(event, connmgr::Event::Dialed { .. });
        assert_eq!(of(world, id).managed().filter(|(_, event)| dialed(event)).count(), 1, "{after:?}: {id}");
        for (_, event) in of(world, id).managed() {
            if let connmgr::Event::ConnectionClosed { by, reason, .. } = event {
                let superseded = matches!(reason, CloseReason::Superseded { .. });
                assert!(superseded || *by == connmgr::By::Remote, "{after:?}: {id}: {reason}");
            }
        }
    }
    let (here, there) = (only(world, a, 2), only(world, b, 1));
    let ends = |world: &World, id: HostId, connection| {
        let view = of(world, id).solo.host().connections().find(|view| view.connection == connection).unwrap();
        (view.local.clone(), view.remote.clone())
    };
    let ((local, remote), (far_local, far_remote)) = (ends(world, a, here), ends(world, b, there));
    assert_eq!((local, remote), (far_remote, far_local), "{after:?}: it is the same one at both ends");
    Ok(())
}

fn dial_and_hold(world: &mut World, id: HostId, n: u32) -> tidewire_host::OpenId {
    tell(world, id, |node, now| {
        node.know(now, peer(n), &[at(n)]);
        node.connect(now, 1, peer(n), &[]);
        node.hold(now, peer(n))
    })
}

/// How much later the second one dials. A round trip is 80 ms, an upgrade takes some three of them.
const BEFORE_THE_SYN_IS_THERE: [u64; 4] = [0, 1, 20, 39];
const LATER: [u64; 8] = [40, 41, 79, 80, 100, 120, 160, 240];

#[test]
fn two_that_dial_each_other_from_other_ports_end_with_one_connection_and_no_stream_is_lost() {
    check(0..2, |world| {
        for after in BEFORE_THE_SYN_IS_THERE.into_iter().chain(LATER) {
            both_dial(&mut World::new(world.seed()), millis(after), |config| config.host.reuse_port = false)?;
        }
        Ok(())
    });
}

#[test]
fn two_that_dial_each_other_from_their_listening_ports_end_with_one_connection_and_no_stream_is_lost() {
    check(0..2, |world| {
        for after in LATER {
            both_dial(&mut World::new(world.seed()), millis(after), |_| {})?;
        }
        Ok(())
    });
}

#[test]
fn two_whose_syns_cross_between_their_listening_ports_are_connected_all_the_same() {
    check(0..2, |world| {
        for after in BEFORE_THE_SYN_IS_THERE {
            both_dial(&mut World::new(world.seed()), millis(after), |_| {})?;
        }
        Ok(())
    });
}
