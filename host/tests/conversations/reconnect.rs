//! Peers that are to stay connected: after a cut, a loss of power, the end of a process, on another network.

use crate::solo_node::Outcome;
use crate::town::{assert_lifecycle, closed, node, of, only, pair, peer, secs, tell};
use std::time::Duration;
use tidewire_connmgr as connmgr;
use tidewire_host::Command;
use tidewire_sim::{HostId, World, check, ipv4};

/// Node 1 is connected to node 2, and wants to stay so.
fn kept(world: &mut World) -> (HostId, HostId) {
    let (a, b) = pair(world);
    tell(world, a, |node, now| node.solo.command(now, Command::KeepAlive { peer: peer(2), on: true }).unwrap());
    world.run_for(secs(40)).unwrap();
    (a, b)
}

fn connected_again(world: &mut World, id: HostId, within: Duration) -> Result<bool, tidewire_sim::Fault> {
    let before = closed(world, id).len();
    let lost = world.run_while(secs(120), |world| closed(world, id).len() > before || lost_all(world, id))?;
    assert!(lost, "it was never lost");
    world.run_while(within, |world| !of(world, id).connections_to(&peer(2)).is_empty())
}

fn lost_all(world: &World, id: HostId) -> bool {
    of(world, id).connections_to(&peer(2)).is_empty()
}

#[test]
fn after_a_cut_a_kept_peer_is_connected_again() {
    check(0..4, |world| {
        let (a, b) = kept(world);
        let until = world.now() + secs(50);
        world.cut(a, b, until);
        // The tries come after 1, 2, 4, 8 and 16 s, each takes up to 15 s, and a quarter may be added.
        assert!(connected_again(world, a, secs(60))?, "{:?}", of(world, a).managed().collect::<Vec<_>>());
        let open = tell(world, a, |node, now| node.call(now, peer(2), b"there you are"));
        world.run_for(secs(40))?;
        assert_eq!(of(world, a).outcome(open), Some(&Outcome::Echoed));
        only(world, a, 2);
        only(world, b, 1);
        assert_lifecycle(world, a);
        assert_lifecycle(world, b);
        Ok(())
    });
}

#[test]
fn a_kept_peer_that_starts_again_after_a_loss_of_power_is_connected_again() {
    check(0..4, |world| {
        let (a, b) = kept(world);
        world.power_off(b);
        let later = world.rng().up_to(secs(40));
        world.run_for(later)?;
        let again = node(world, 2, |_| {});
        world.start(b, again);
        assert!(connected_again(world, a, secs(60))?);
        assert_lifecycle(world, a);
        Ok(())
    });
}

#[test]
fn a_kept_peer_whose_process_ends_and_starts_again_is_connected_again_within_seconds() {
    check(0..4, |world| {
        let (a, b) = kept(world);
        world.exit(b);
        world.run_for(Duration::from_millis(500))?;
        let again = node(world, 2, |_| {});
        world.start(b, again);
        assert!(world.run_while(secs(10), |world| !of(world, a).connections_to(&peer(2)).is_empty())?);
        assert_eq!(closed(world, a).len(), 1);
        assert_lifecycle(world, a);
        Ok(())
    });
}

#[test]
fn a_kept_peer_that_stays_away_is_given_up_and_that_is_told() {
    check(0..3, |world| {
        let (a, b) = kept(world);
        world.exit(b);
        world.run_for(secs(600))?;
        let gave_up = of(world, a).managed().find_map(|(at, event)| match event {
            connmgr::Event::ReconnectFailed { peer: who, tries, .. } => Some((at, *who, *tries)),
            _ => None,
        });
        assert!(matches!(gave_up, Some((_, who, 5)) if who == peer(2)), "{gave_up:?}");
        crate::town::assert_empty(world, a);
        Ok(())
    });
}

/// The line goes, and with it the address; so long after the connection was given up there is another one.
fn moved(world: &mut World, offline: Duration) -> Result<(HostId, HostId), Box<dyn std::error::Error>> {
    let (a, b) = kept(world);
    world.remove_address(a, ipv4(1));
    assert!(world.run_while(secs(36), |world| lost_all(world, a))?, "noticed by ping");
    world.run_for(offline)?;
    world.add_address(a, ipv4(51));
    // The listener is bound to the address that is gone.
    let listen = tidewire_core::Multiaddr::tcp((ipv4(51), 4001).into());
    tell(world, a, |node, now| node.solo.listen(now, tidewire_host::ListenerId(5), &listen).unwrap());
    Ok((a, b))
}

#[test]
fn on_a_new_network_a_kept_peer_is_dialed_at_once() {
    check(0..4, |world| {
        // The last two tries are 16 s apart.
        let (a, b) = moved(world, secs(20))?;
        let told = |world: &World| of(world, a).managed().map(|(_, event)| event.clone()).collect::<Vec<_>>();
        assert!(world.run_while(secs(1), |world| !lost_all(world, a))?, "{:?}", told(world));
        world.run_for(secs(2))?;
        let host = of(world, b).solo.host();
        let from_there = host.connections().filter(|view| view.remote.ip() == Some(ipv4(51)));
        assert_eq!(from_there.count(), 1);
        Ok(())
    });
}

#[test]
fn on_a_new_network_a_kept_peer_is_dialed_even_if_it_was_given_up() {
    check(0..4, |world| {
        let (a, _) = moved(world, secs(600))?;
        assert!(world.run_while(secs(1), |world| !lost_all(world, a))?);
        Ok(())
    });
}

#[test]
fn who_is_not_kept_is_not_dialed_again() {
    check(0..3, |world| {
        let (a, b) = pair(world);
        world.run_for(secs(40))?;
        world.exit(b);
        world.run_for(secs(1))?;
        let again = node(world, 2, |_| {});
        world.start(b, again);
        world.run_for(secs(300))?;
        assert!(lost_all(world, a));
        assert_eq!(of(world, b).managed().count(), 0);
        Ok(())
    });
}
