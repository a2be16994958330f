//! Links that are only to find out whether somebody can be reached.

use super::*;
use crate::identify::{IDENTIFY, IdentifyError, Identity, PUSH, Reader};
use crate::link::Fault;
use crate::ping::PING;
use alloc::boxed::Box;
use tidewire_relay::exchange::{Ask, Responder, Service};

fn probe() -> Setup {
    let services = Service::ALL.to_vec();
    Setup { dial: Some(DialId(crate::ids::PROBES + 3)), services, ..Setup::default() }
}

/// Who a remote is told that we are.
fn said(world: &mut World) -> Result<Option<Box<Identity>>, IdentifyError> {
    let id = world.call(IDENTIFY, b"");
    world.turn();
    let mut said = BytesMut::from(&read_all(world, id)[..]);
    Reader::new(&Default::default(), world.remote.peer(), Time::ZERO).end(Time::ZERO, &mut said, &mut BytesMut::new())
}

#[test]
fn a_probe_comes_from_a_peer_of_its_own_the_same_each_time() {
    let ours = Setup { dial: Some(DialId(3)), ..Setup::default() }.start();
    assert_eq!(ours.remote.peer(), peer(1));
    let (first, second) = (probe().start().remote.peer(), probe().start().remote.peer());
    assert_ne!(first, peer(1));
    assert_eq!(first, second);
}

#[test]
fn a_probe_says_its_key_and_nothing_of_the_node() {
    let usual = said(&mut World::new()).unwrap().unwrap();
    assert!(!usual.protocols.is_empty() && usual.observed.is_some() && usual.agent.is_some());
    let mut world = probe().start();
    // What is said anew is not said here either.
    let card = Card::new(&keypair(1), &Profile { agent: "us/2".into(), ..Profile::default() }).unwrap();
    world.link.set_card(Arc::new(card));
    let identity = said(&mut world).unwrap().unwrap();
    assert_eq!((identity.protocols.len(), identity.addresses.len()), (0, 0));
    assert_eq!((identity.observed, identity.agent, identity.protocol_version), (None, None, None));
}

#[test]
fn on_a_probe_nothing_else_is_served() {
    let mut world = probe().start();
    let routes =
        Routes::new(&router(&[ECHO]), &Service::ALL.map(super::super::Service::Relay), &Config::default().connection);
    world.link.set_routes(routes);
    let services = Service::ALL.iter().map(|service| Protocol::from_static(service.name()));
    for name in [ECHO, PING, PUSH].into_iter().chain(services) {
        world.seen.clear();
        let id = world.call(name.clone(), b"");
        world.turn();
        let refused = |event: &Event| matches!(event, Event::NegotiationFailed { id: it, .. } if *it == id);
        assert!(world.seen.iter().any(refused), "{name}: {:?}", world.seen);
    }
    assert_eq!(world.counted(), (0, 0));
}

#[test]
fn a_probe_brings_a_nonce() {
    let serves = alloc::vec![Protocol::from_static(Service::AutonatV2Back.name())];
    let mut world = Setup { serves, ..probe() }.start();
    world.order(Order::Ask { ask: crate::AskNumber(1), what: Ask::DialBack { nonce: 7 } });
    world.turn();
    let id = world.seen.iter().find_map(|event| match event {
        Event::Negotiated { id, by: muxer::By::Remote, .. } => Some(*id),
        _ => None,
    });
    let mut asked = BytesMut::from(&read_all(&mut world, id.unwrap())[..]);
    let context = tidewire_relay::exchange::Context { local: peer(2), remote: world.remote.peer(), relayed: false };
    let config = LinkConfig::default().relay;
    let heard = Responder::new(Service::AutonatV2Back, &context, &config, Time::ZERO).advance(
        Time::ZERO,
        &mut asked,
        &mut BytesMut::new(),
    );
    assert_eq!(heard.unwrap(), Some(tidewire_relay::exchange::Request::DialBack { nonce: 7 }));
}

#[test]
fn a_probe_of_somebody_else_fails() {
    let setup = Setup { expected: Some(peer(9)), ..probe() };
    let (mut link, mut upgrade) = (setup.link(Plan::Initiate), setup.upgrade(Plan::Respond));
    let (mut rx, mut tx) = (BytesMut::new(), BytesMut::new());
    let mut told = Vec::new();
    for _ in 0..6 {
        while let Ok(Some(event)) = link.advance(Time::ZERO, &mut rx, &mut tx) {
            told.push(event);
        }
        while let Ok(Some(_)) = upgrade.advance(Time::ZERO, &mut tx, &mut rx) {}
    }
    let wrong = |event: &LinkEvent| matches!(event, LinkEvent::Report(Report::Ended { fault: Fault::WrongPeer(who), .. }) if *who == peer(2));
    assert!(told.iter().any(wrong), "{told:?}");
}
