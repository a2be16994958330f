//! Ports that a router maps: what is announced, what a hole punch may use, what the application hears.

use super::*;
use crate::addresses::{Confidence, ExternalError, NatStatus, PortMapping};
use alloc::string::ToString;
use tidewire_dcutr::candidate::Source as From;

fn inside() -> Multiaddr {
    "/ip4/192.168.1.7/tcp/4001".parse().unwrap()
}

fn outside() -> Multiaddr {
    "/ip4/11.0.9.9/tcp/40001".parse().unwrap()
}

fn mapped() -> PortMapping {
    PortMapping::Mapped { listen: inside(), external: outside(), by: "PCP".into() }
}

fn lost() -> PortMapping {
    PortMapping::Lost { external: outside(), why: "it was not renewed in time".into() }
}

/// One that listens behind a router.
fn home() -> World {
    let mut world = World::new();
    let listener = ListenerId(1);
    world.tell(Input::Listen { listener, address: inside() });
    world.tell(Input::Listening { listener, address: inside() });
    world.pass(Duration::from_secs(10));
    world
}

/// What was announced last.
fn announced(actions: &[Action]) -> Option<&[Multiaddr]> {
    let all = actions.iter().rev();
    all.filter_map(|action| match action {
        Action::Event(Event::Announced { addresses }) => Some(&addresses[..]),
        _ => None,
    })
    .next()
}

#[test]
fn a_mapped_address_is_external_by_the_word_of_the_router_and_the_application_hears_of_it() {
    let mut world = home();
    let actions = world.tell(Input::PortMapping(mapped()));
    assert_eq!(actions, [Action::Event(Event::PortMapping(mapped()))]);
    let [external] = world.host.externals() else { panic!("{:?}", world.host.externals()) };
    assert_eq!((&external.address, external.mapped, external.manual), (&outside(), true, false));
    assert_eq!(external.confidence(), Confidence::Mapped);
}

#[test]
fn what_is_mapped_is_announced_and_what_is_lost_no_more() {
    let mut world = home();
    world.tell(Input::PortMapping(mapped()));
    let actions = world.pass(Duration::from_secs(10));
    assert_eq!(announced(&actions), Some(&[outside(), inside()][..]));
    let says = |action: &Action| matches!(action, Action::Profile(profile) if profile.addresses.contains(&outside()));
    assert!(actions.iter().any(says), "identify says it: {actions:?}");
    assert_eq!(world.tell(Input::PortMapping(lost())), [Action::Event(Event::PortMapping(lost()))]);
    assert_eq!(announced(&world.pass(Duration::from_secs(10))), Some(&[inside()][..]));
    assert!(world.host.externals().is_empty());
}

#[test]
fn while_nobody_gets_through_but_by_a_relay_a_mapped_address_is_not_announced() {
    let mut world = home();
    let relayed: Multiaddr = alloc::format!("{}/p2p/{}/p2p-circuit", address(3), peer(3)).parse().unwrap();
    world.tell(Input::PortMapping(mapped()));
    world.tell(Input::Relayed(vec![relayed.clone()]));
    let before = world.pass(Duration::from_secs(10));
    assert_eq!(announced(&before), Some(&[outside(), relayed.clone(), inside()][..]));
    world.tell(Input::NatStatus(NatStatus::Private));
    assert_eq!(announced(&world.pass(Duration::from_secs(10))), Some(&[relayed, inside()][..]));
}

#[test]
fn a_mapped_address_is_a_candidate_of_hole_punches_from_the_port_that_it_leads_to() {
    let mut world = home();
    let of_it = |world: &World| {
        let all = world.host.reach.punch_candidates();
        all.into_iter().find(|candidate| candidate.address == outside())
    };
    assert_eq!(of_it(&world), None);
    world.tell(Input::PortMapping(mapped()));
    let candidate = of_it(&world).unwrap();
    assert_eq!((candidate.source, candidate.local), (From::Mapped, Some(inside())));
    world.tell(Input::PortMapping(lost()));
    assert_eq!(of_it(&world), None);
}

#[test]
fn what_the_application_says_of_an_address_outlives_what_the_router_says() {
    let mut world = home();
    world.tell(Input::PortMapping(mapped()));
    world.tell(Input::AddExternal { address: outside() });
    world.tell(Input::PortMapping(lost()));
    let [external] = world.host.externals() else { panic!("{:?}", world.host.externals()) };
    assert!(external.manual && !external.mapped);
    // And the other way round.
    world.tell(Input::PortMapping(mapped()));
    world.tell(Input::RemoveExternal { address: outside() });
    assert_eq!(world.host.externals()[0].confidence(), Confidence::Mapped);
}

#[test]
fn a_port_that_could_not_be_mapped_is_told_and_changes_nothing() {
    let mut world = home();
    let failed = PortMapping::Failed { listen: inside(), why: "the router does not answer".into() };
    assert_eq!(world.tell(Input::PortMapping(failed.clone())), [Action::Event(Event::PortMapping(failed))]);
    assert_eq!(announced(&world.pass(Duration::from_secs(10))), None);
}

#[test]
fn what_nobody_could_dial_is_not_taken_as_mapped() {
    let mut world = home();
    let external: Multiaddr = "/ip4/11.0.9.9/tcp/0".parse().unwrap();
    let mapping = PortMapping::Mapped { listen: inside(), external: external.clone(), by: "PCP".into() };
    let error = world.host.handle(world.now, Input::PortMapping(mapping)).unwrap_err();
    assert_eq!(error, Misuse::External(ExternalError::Undialable { address: external }));
    assert!(world.actions().is_empty());
}

#[test]
fn each_word_is_a_sentence() {
    let behind = PortMapping::Mapped {
        listen: inside(),
        external: "/ip4/192.168.0.2/tcp/4001".parse().unwrap(),
        by: "NAT-PMP".into(),
    };
    let failed = PortMapping::Failed { listen: inside(), why: "no".into() };
    let cases = [
        (mapped(), "the router leads /ip4/11.0.9.9/tcp/40001 to /ip4/192.168.1.7/tcp/4001 (PCP)"),
        (
            behind,
            "the router leads /ip4/192.168.0.2/tcp/4001 to /ip4/192.168.1.7/tcp/4001 (NAT-PMP), but 192.168.0.2 is not on the \
             internet: there is another NAT behind that router",
        ),
        (lost(), "/ip4/11.0.9.9/tcp/40001 does not lead to us any more: it was not renewed in time"),
        (failed, "the port of /ip4/192.168.1.7/tcp/4001 could not be mapped: no"),
    ];
    for (mapping, words) in cases {
        assert_eq!(mapping.to_string(), words);
    }
}
