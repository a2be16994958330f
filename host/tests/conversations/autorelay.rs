//! AutoRelay: nodes that find relays without being told which.

use crate::town::{at, millis, node, of, peer, secs, tell};
use std::collections::BTreeSet;
use tidewire_core::{Multiaddr, PeerId};
use tidewire_host::addresses::NatStatus;
use tidewire_host::{Event, Input, RelayCommand};
use tidewire_relay::autorelay::{AutoRelayConfig, Candidate};
use tidewire_relay::server::{Offer, ServerConfig};
use tidewire_sim::{HostId, Link, World, check, ipv4};

/// Five relays, a node behind a NAT, and one that is connected to it.
fn town(world: &mut World) -> (Vec<HostId>, HostId, HostId) {
    world.default_link(Link::new(millis(20)));
    let mut relays = Vec::new();
    for n in 1..=5 {
        let node = node(world, n, |config| {
            let mut server = ServerConfig::default();
            server.offer = Offer::Always;
            config.host.relay.server = Some(server);
        });
        relays.push(world.add(node, [ipv4(n)]));
    }
    let hidden = node(world, 6, |config| config.host.relay.auto_relay = Some(AutoRelayConfig::classic()));
    let hidden = world.add(hidden, [ipv4(6)]);
    let friend = node(world, 7, |_| {});
    let friend = world.add(friend, [ipv4(7)]);
    world.run_for(secs(2)).unwrap();
    tell(world, hidden, |node, now| {
        node.solo.tell_host(now, Input::NatStatus(NatStatus::Private)).unwrap();
        node.connect(now, 1, peer(7), &[at(7)]);
    });
    (relays, hidden, friend)
}

/// Answers what the node wants to know of relays.
fn name_relays(world: &mut World, hidden: HostId) {
    let candidates = (1..=5).map(|n| Candidate { peer: peer(n), addresses: vec![at(n)] }).collect();
    tell(world, hidden, |node, now| {
        node.solo.tell_host(now, Input::Relay(RelayCommand::Candidates(candidates))).unwrap();
    });
}

/// The relays that the node is known to be behind, at the friend.
fn known(world: &World, friend: HostId) -> BTreeSet<PeerId> {
    let identity = of(world, friend).solo.host().identity(&peer(6));
    let addresses: Vec<Multiaddr> = identity.map(|it| it.listen_addresses().to_vec()).unwrap_or_default();
    addresses.iter().filter_map(Multiaddr::relay_peer_id).collect()
}

#[test]
fn of_five_relays_two_die_and_three_are_held_again_within_a_minute() {
    check(0..3, |world| {
        let (relays, hidden, friend) = town(world);
        let wants = of(world, hidden).told().any(|(_, event)| matches!(event, Event::RelaysWanted { .. }));
        assert!(wants, "it asks for relays");
        name_relays(world, hidden);
        let three = world.run_while(secs(60), |world| known(world, friend).len() == 3)?;
        let why = of(world, hidden).solo.host().autorelay().unwrap().explain(world.now()).to_string();
        assert!(three, "{why}");
        let held = known(world, friend);
        let mut killed = 0;
        for (n, relay) in (1..).zip(&relays) {
            if held.contains(&peer(n)) && killed < 2 {
                world.kill(*relay);
                killed += 1;
            }
        }
        world.run_for(secs(60))?;
        let now = known(world, friend);
        let why = of(world, hidden).solo.host().autorelay().unwrap().explain(world.now()).to_string();
        assert_eq!(now.len(), 3, "{why}");
        assert_eq!(now.intersection(&held).count(), 1, "two are others");
        Ok(())
    });
}

#[test]
fn who_turns_out_to_be_public_gives_its_relays_back() {
    check(0..2, |world| {
        let (relays, hidden, friend) = town(world);
        name_relays(world, hidden);
        world.run_while(secs(60), |world| known(world, friend).len() == 3)?;
        tell(world, hidden, |node, now| node.solo.tell_host(now, Input::NatStatus(NatStatus::Public)).unwrap());
        world.run_for(secs(10))?;
        assert!(known(world, friend).is_empty());
        let counts = relays.iter().map(|id| of(world, *id).solo.host().relay_server().unwrap().counts().circuits);
        assert_eq!(counts.sum::<u32>(), 0);
        Ok(())
    });
}
