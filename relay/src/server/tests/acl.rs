//! Who may do what: rules, and the application's word.

use super::*;
use crate::server::{Acl, AclRule, Asked, Scope, Verdict, Who};
use core::net::IpAddr;

/// A holder, number 1, and peer 2; from now on the application decides everything.
fn asking(config: ServerConfig) -> World {
    let mut world = World::new(config);
    world.holder(1);
    world.connect(2);
    world.tell(Input::Acl { acl: &Acl { rules: Vec::new(), otherwise: Verdict::Ask } });
    world
}

#[test]
fn the_first_rule_that_fits_decides() {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let network = |text: &str, prefix| Who::Network { address: ip(text), prefix };
    let deny = AclRule { verdict: Verdict::Deny, ..AclRule::default() };
    // Peer 2 asks from 11.0.0.3 in AS9; does the rule fit its RESERVE, and its CONNECT to peer 1?
    let rows = [
        (deny, true, true),
        (AclRule { scope: Scope::Reserve, ..deny }, true, false),
        (AclRule { scope: Scope::Connect, ..deny }, false, true),
        (AclRule { who: Who::Peer(peer(2)), ..deny }, true, true),
        (AclRule { who: Who::Peer(peer(1)), ..deny }, false, false),
        (AclRule { who: Who::Asn(9), ..deny }, true, true),
        (AclRule { who: Who::Asn(8), ..deny }, false, false),
        (AclRule { who: network("11.0.0.0", 30), ..deny }, true, true),
        (AclRule { who: network("11.0.0.4", 30), ..deny }, false, false),
        (AclRule { who: network("0.0.0.0", 0), ..deny }, true, true),
        (AclRule { who: network("::", 0), ..deny }, false, false),
        (AclRule { who: network("::ffff:11.0.0.3", 32), ..deny }, true, true),
        (AclRule { destination: Some(peer(1)), ..deny }, false, true),
        (AclRule { destination: Some(peer(3)), ..deny }, false, false),
    ];
    for (rule, reserve, connect) in rows {
        let mut world = World::new(quiet());
        world.holder(1);
        world.connect_as(2, 2, &address(2), false, Some(9));
        let rules = [rule, AclRule { verdict: Verdict::Deny, who: Who::Peer(peer(7)), ..AclRule::default() }].to_vec();
        world.tell(Input::Acl { acl: &Acl { rules, otherwise: Verdict::Allow } });
        let denied = |got: Result<(), Refusal>| got == Err(Refusal::Denied);
        let got = (denied(world.reserve(2)), denied(world.ask(on(2, 9), 1).map(drop)));
        assert_eq!(got, (reserve, connect), "{rule:?}");
    }
    let mut world = World::new(quiet());
    world.connect(2);
    let rules = [AclRule::default(), deny].to_vec();
    world.tell(Input::Acl { acl: &Acl { rules, otherwise: Verdict::Deny } });
    assert_eq!(world.reserve(2), Ok(()), "an earlier rule allows it");
}

#[test]
fn the_application_may_say_yes() {
    let mut world = asking(quiet());
    let stream = on(2, 4);
    let asked = Asked::Connect { destination: peer(1) };
    let actions = world.tell(Input::Connect { stream, destination: peer(1) });
    assert_eq!(actions, [Action::AskAcl { stream, peer: peer(2), asked }]);
    let actions = world.tell(Input::Decide { stream, allow: true });
    assert!(matches!(actions[..], [Action::OpenStop { .. }]));

    let stream = on(2, 5);
    world.tell(Input::Reserve { stream });
    assert_eq!(statuses(&world.tell(Input::Decide { stream, allow: true })), [Status::OK]);
    assert_eq!(world.misuse(Input::Decide { stream, allow: true }), Misuse::UnknownStream(stream));
}

#[test]
fn the_application_may_say_no() {
    let mut world = asking(quiet());
    for input in [Input::Reserve { stream: on(2, 1) }, Input::Connect { stream: on(2, 1), destination: peer(1) }] {
        world.tell(input);
        let actions = world.tell(Input::Decide { stream: on(2, 1), allow: false });
        assert_eq!(statuses(&actions), [Status::PERMISSION_DENIED]);
    }
}

#[test]
fn no_word_in_time_is_a_no() {
    let mut world = asking(quiet());
    world.tell(Input::Reserve { stream: on(2, 1) });
    assert_eq!(world.wait(10 * SECOND - Duration::from_nanos(1)), []);
    let actions = world.wait(Duration::from_nanos(1));
    assert_eq!(statuses(&actions), [Status::PERMISSION_DENIED]);
    assert_eq!(outcome(&actions), Err(Refusal::Undecided { after: 10 * SECOND }));
    assert_eq!(world.misuse(Input::Decide { stream: on(2, 1), allow: true }), Misuse::UnknownStream(on(2, 1)));
}

#[test]
fn a_yes_skips_no_other_check() {
    let mut world = asking(quiet());
    world.tell(Input::Connect { stream: on(2, 1), destination: peer(1) });
    world.disconnect(1);
    let actions = world.tell(Input::Decide { stream: on(2, 1), allow: true });
    assert_eq!(statuses(&actions), [Status::NO_RESERVATION]);
}

#[test]
fn who_goes_is_not_asked_about() {
    let mut world = asking(quiet());
    world.tell(Input::Reserve { stream: on(2, 1) });
    world.tell(Input::Reserve { stream: on(2, 2) });
    assert_eq!(world.tell(Input::RequesterGone { stream: on(2, 1) }), []);
    assert_eq!(world.server.counts().questions, 1);
    assert_eq!(world.disconnect(2), []);
    assert_eq!(world.server.counts().questions, 0);
    assert_eq!(world.wait(MINUTE), []);
}

#[test]
fn questions_have_caps() {
    let mut world = asking(ServerConfig { acl_questions: 3, acl_questions_per_peer: 2, ..quiet() });
    world.connect(3);
    let ask = |world: &mut World, stream| outcome(&world.tell(Input::Reserve { stream }));
    assert_eq!((ask(&mut world, on(2, 1)), ask(&mut world, on(2, 2))), (Ok(()), Ok(())));
    assert_eq!(ask(&mut world, on(2, 3)), Err(Refusal::Questions { cap: 2, of_peer: true }));
    assert_eq!(ask(&mut world, on(3, 1)), Ok(()));
    assert_eq!(ask(&mut world, on(3, 2)), Err(Refusal::Questions { cap: 3, of_peer: false }));
    world.tell(Input::Decide { stream: on(2, 1), allow: false });
    assert_eq!(ask(&mut world, on(3, 2)), Ok(()));
}

#[test]
fn the_application_is_asked_only_what_the_rates_let_through() {
    let mut world = asking(ServerConfig { connect_per_peer: RateConfig::per(2, MINUTE), ..quiet() });
    for stream in [on(2, 1), on(2, 2)] {
        world.tell(Input::Connect { stream, destination: peer(1) });
        // Its rate was taken when it was asked, and is not taken again.
        assert!(matches!(world.tell(Input::Decide { stream, allow: true })[..], [Action::OpenStop { .. }]));
    }
    let actions = world.tell(Input::Connect { stream: on(2, 3), destination: peer(1) });
    assert_eq!(statuses(&actions), [Status::RESOURCE_LIMIT_EXCEEDED]);
}
