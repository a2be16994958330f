//! A push with the first bytes of a connection, as whoever came through a relay says it.

use super::*;
use crate::identify::PUSH;
use std::println;
use tidewire_upgrade::pipeline::Progress;

/// Both ends go on, the link first, until it is upgraded. Gives the bytes that the remote has yet to hear.
fn upgraded(link: &mut Link, upgrade: &mut Upgrade) -> BytesMut {
    let (mut rx, mut tx) = (BytesMut::new(), BytesMut::new());
    for _ in 0..6 {
        while let Ok(Some(event)) = link.advance(Time::ZERO, &mut rx, &mut tx) {
            if matches!(event, LinkEvent::Report(Report::Established { .. })) {
                return tx;
            }
        }
        while upgrade.advance(Time::ZERO, &mut tx, &mut rx).unwrap().is_some() {}
    }
    panic!("never upgraded");
}

/// A card as a node has it that serves all, and is reached through two relays.
fn usual(link: &mut Link) {
    let mut services: Vec<_> = Service::ALL.map(crate::link::Service::Relay).into();
    services.push(crate::link::Service::Dcutr);
    let routes = Routes::new(&router(&[ECHO, CHAT]), &services, &connection::Config::default());
    let relayed = |n: u8| alloc::format!("/ip4/203.0.113.{n}/tcp/4001/p2p/{}/p2p-circuit", peer(n)).parse().unwrap();
    let addresses = alloc::vec!["/ip4/198.51.100.7/tcp/51234".parse().unwrap(), relayed(11), relayed(12)];
    let (agent, protocol_version) = ("tidewire/0.1.0".into(), "ipfs/0.1.0".into());
    let profile = Profile { protocol_version, agent, protocols: routes.names(), addresses, seq: 1 << 60 };
    link.set_card(Arc::new(Card::new(&keypair(1), &profile).unwrap()));
}

#[test]
fn a_push_goes_right_behind_the_last_word_of_the_handshake_and_waits_for_no_answer() {
    let setup = Setup { serves: alloc::vec![PUSH], ..Setup::default() };
    let (mut link, mut upgrade) = (setup.link(Plan::Initiate), setup.upgrade(Plan::Respond));
    usual(&mut link);
    let mut tx = upgraded(&mut link, &mut upgrade);
    let last_word = tx.len();
    link.order(Time::ZERO, Order::Push, &mut tx);
    let pushed = tx.len() - last_word;
    println!("a push takes {pushed} bytes");
    assert!(last_word > 0 && pushed > 256 && pushed < 900, "{last_word} + {pushed}");

    // All of it arrives at once.
    let mut answers = BytesMut::new();
    while upgrade.advance(Time::ZERO, &mut tx, &mut answers).unwrap().is_some() {}
    let mut remote = upgrade.into_connection().unwrap();
    let mut seen = Vec::new();
    while let Ok(Some(event)) = remote.advance(Time::ZERO, &mut tx, &mut answers) {
        seen.push(event);
    }
    let id = seen.iter().find_map(|event| match event {
        Event::Negotiated { id, protocol, .. } if *protocol == PUSH => Some(*id),
        _ => None,
    });
    let id = id.unwrap_or_else(|| panic!("{seen:?}"));
    let mut said = 0;
    while let Some(piece) = remote.read(id, &mut answers).unwrap() {
        said += piece.len();
    }
    assert!(said > 256, "the whole card, and its end: {said}");
}

#[test]
fn a_push_that_comes_with_the_last_word_of_the_handshake_is_read_with_it() {
    let setup = Setup::default();
    let (mut link, mut upgrade) = (setup.link(Plan::Respond), setup.upgrade(Plan::Initiate));
    let (mut rx, mut tx) = (BytesMut::new(), BytesMut::new());
    let mut ready = false;
    while !ready {
        while link.advance(Time::ZERO, &mut rx, &mut tx).unwrap().is_some() {}
        while let Some(progress) = upgrade.advance(Time::ZERO, &mut tx, &mut rx).unwrap() {
            ready |= progress == Progress::Ready;
        }
    }
    let mut remote = upgrade.into_connection().unwrap();
    let id = remote.open(Time::ZERO, &Protocols::from(PUSH), Selection::Lazy, &mut rx).unwrap();
    remote.write(id, &inside::card("them/1"), &mut rx).unwrap();
    remote.finish(id, &mut rx).unwrap();
    let mut reports = Vec::new();
    while let Ok(Some(event)) = link.advance(Time::ZERO, &mut rx, &mut tx) {
        if let LinkEvent::Report(report) = event {
            reports.push(report);
        }
    }
    let [
        Report::Established { .. },
        Report::StreamOpened { .. },
        Report::Pushed(identity),
        Report::StreamClosed { .. },
    ] = &reports[..]
    else {
        panic!("{reports:?}")
    };
    assert_eq!(identity.agent.as_deref(), Some("them/1"));
}

#[test]
fn a_push_that_the_remote_refuses_is_of_no_matter() {
    let mut world = World::new();
    let mut refuse = || {
        world.order(Order::Push);
        world.turn();
        assert!(world.told.is_empty(), "{:?}", world.told);
        (world.remote.streams(), world.memory())
    };
    let first = refuse();
    assert_eq!(first.0, 0);
    assert_eq!(refuse(), first, "nothing is kept of it");
    assert!(!world.link.is_over());
    world.opened();
}
