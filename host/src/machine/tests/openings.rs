//! Wishes for streams: each is answered once.

use super::*;
use tidewire_connmgr::StreamRefusal;
use tidewire_upgrade::connection::Selection;

fn asked(open: u64) -> Order {
    Order::Open { open: OpenId(open), protocols: Protocols::from(ECHO), selection: Selection::Lazy }
}

#[test]
fn a_wish_goes_to_the_link_and_its_stream_is_admitted() {
    let mut world = World::new();
    world.connected(1, 1);
    assert_eq!(world.open(5, 1, OpenOptions::default()), [order(1, asked(5))]);
    let admitted = world.report(1, stream(3, Direction::Outbound, Some(5)));
    assert_eq!(admitted, [order(1, Order::Admit { stream: StreamId(3) })]);
    assert_eq!(world.host.openings().count(), 0);
}

#[test]
fn a_wish_without_a_connection_dials_and_goes_on_when_it_is_there() {
    let mut world = World::new();
    let ttl = Duration::from_secs(60);
    world.tell(Input::Manage(crate::Command::Addresses { peer: peer(1), addresses: vec![address(1)], ttl }));
    let actions = world.open(5, 1, OpenOptions::default());
    let [Action::Dial { dial, .. }] = actions[..] else { panic!("{actions:?}") };
    world.dialed(dial, 1, 1);
    let actions = world.report(1, established(1, Role::Initiator));
    assert!(actions.contains(&order(1, asked(5))), "{actions:?}");
    let told = actions.iter().any(|it| matches!(it, Action::Event(Event::Manager(connmgr::Event::Dialed { .. }))));
    assert!(!told, "the dial was not the application's");
}

#[test]
fn a_wish_that_may_not_dial_is_answered_at_once() {
    let mut world = World::new();
    let options = OpenOptions { dial: false, ..OpenOptions::default() };
    assert_eq!(world.open(5, 1, options), [failed(5, 1, OpenFailure::NotConnected)]);
    // A connection that is being closed is none.
    world.connected(1, 1);
    world.tell(Input::Manage(crate::Command::Close { connection: c(1), why: "enough".into() }));
    assert_eq!(world.open(6, 1, options), [failed(6, 1, OpenFailure::NotConnected)]);
}

#[test]
fn a_wish_to_a_peer_without_an_address_and_to_ourselves_is_answered() {
    let mut world = World::new();
    for n in [0, 7] {
        let actions = world.open(5 + u64::from(n), n, OpenOptions::default());
        assert!(
            matches!(actions[..], [Action::Event(Event::OpenFailed { why: OpenFailure::Dial(_), .. })]),
            "{actions:?}"
        );
    }
}

#[test]
fn a_wish_that_is_on_a_link_ends_with_it_once() {
    let mut world = World::new();
    world.connected(1, 1);
    world.open(5, 1, OpenOptions::default());
    let ended = OpenFailure::Link(OpenFault::ConnectionEnded);
    let answer = world.report(1, Report::OpenFailed { open: OpenId(5), why: OpenFault::ConnectionEnded });
    assert_eq!(answer, [failed(5, 1, ended.clone())]);
    world.open(6, 1, OpenOptions::default());
    let actions = world.report(1, gone());
    assert_eq!(actions.iter().filter(|it| **it == failed(6, 1, ended.clone())).count(), 1);
    assert!(!actions.contains(&failed(5, 1, ended)));
}

#[test]
fn a_wish_whose_link_ended_before_the_admission_reached_it_is_answered() {
    let mut world = World::new();
    world.connected(1, 1);
    world.open(5, 1, OpenOptions::default());
    world.report(1, stream(3, Direction::Outbound, Some(5)));
    let answer = world.report(1, Report::OpenFailed { open: OpenId(5), why: OpenFault::ConnectionEnded });
    assert_eq!(answer, [failed(5, 1, OpenFailure::Link(OpenFault::ConnectionEnded))]);
    let actions = world.report(1, gone());
    assert!(!actions.iter().any(|it| matches!(it, Action::Event(Event::OpenFailed { .. }))), "{actions:?}");
}

#[test]
fn what_a_link_says_of_a_wish_that_was_given_up_is_of_no_matter() {
    let mut world = World::new();
    world.connected(1, 1);
    world.open(5, 1, OpenOptions::default());
    let forgotten = world.tell(Input::CancelOpen { open: OpenId(5) });
    assert_eq!(forgotten, [order(1, Order::Forget { open: OpenId(5) })]);
    assert_eq!(world.report(1, Report::OpenFailed { open: OpenId(5), why: OpenFault::Unsupported }), []);
    // Its stream was on the way: it counts until the link, which resets it, says that it is gone.
    world.report(1, stream(3, Direction::Outbound, Some(5)));
    world.report(1, Report::StreamClosed { stream: StreamId(3) });
    assert_eq!(world.host.manager().counts().limits.streams_outbound, 0);
}

#[test]
fn a_wish_takes_no_longer_than_it_may() {
    let mut world = World::new();
    world.connected(1, 1);
    world.open(5, 1, OpenOptions { timeout: Duration::from_secs(3), ..OpenOptions::default() });
    assert_eq!(world.pass(Duration::from_millis(2999)), []);
    let why = OpenFailure::TimedOut { timeout: Duration::from_secs(3), limited: false };
    let actions = world.pass(Duration::from_millis(1));
    assert_eq!(actions, [order(1, Order::Forget { open: OpenId(5) }), failed(5, 1, why)]);
}

#[test]
fn a_wish_for_a_stream_that_our_limits_forbid_is_answered_with_the_limit() {
    let mut world = World::with(|config| config.manager.limits.streams_per_peer = 1);
    world.connected(1, 1);
    for open in [5, 6] {
        world.open(open, 1, OpenOptions::default());
    }
    world.report(1, stream(3, Direction::Outbound, Some(5)));
    let actions = world.report(1, stream(5, Direction::Outbound, Some(6)));
    assert!(matches!(
        actions[..],
        [
            Action::Event(Event::OpenFailed {
                open: OpenId(6),
                why: OpenFailure::Link(OpenFault::Refused(StreamRefusal::Limit(_))),
                ..
            }),
            Action::Order { order: Order::Refuse { stream: StreamId(5), .. }, .. }
        ]
    ));
}

#[test]
fn there_are_no_more_wishes_than_may_be() {
    let mut world = World::with(|config| config.max_opening = 1);
    world.connected(1, 1);
    world.open(5, 1, OpenOptions::default());
    assert_eq!(world.open(6, 1, OpenOptions::default()), [failed(6, 1, OpenFailure::TooMany { limit: 1 })]);
}

#[test]
fn a_stream_waits_for_a_connection_that_no_relay_limits_unless_the_caller_allows_it() {
    let relayed: Multiaddr = alloc::format!("/ip4/11.0.9.1/tcp/4001/p2p/{}/p2p-circuit", peer(9)).parse().unwrap();
    let mut world = World::new();
    world.tell(Input::Incoming { connection: c(1), local: address(0), remote: relayed, over: None, asn: None });
    world.report(1, established(1, Role::Responder));
    let limited = OpenOptions { limited: true, ..OpenOptions::default() };
    assert_eq!(world.open(4, 1, limited), [order(1, asked(4))]);
    let waits = OpenOptions { dial: false, ..OpenOptions::default() };
    assert_eq!(world.open(5, 1, waits), []);
    let actions = world.connected(2, 1);
    assert!(actions.contains(&order(2, asked(5))), "{actions:?}");
}

#[test]
fn a_stream_that_waits_beside_a_limited_connection_does_not_outlive_it() {
    let relayed: Multiaddr = alloc::format!("/ip4/11.0.9.1/tcp/4001/p2p/{}/p2p-circuit", peer(9)).parse().unwrap();
    let mut world = World::new();
    world.tell(Input::Incoming { connection: c(1), local: address(0), remote: relayed, over: None, asn: None });
    world.report(1, established(1, Role::Responder));
    world.open(5, 1, OpenOptions { dial: false, ..OpenOptions::default() });
    let actions = world.report(1, gone());
    assert_eq!(actions.last(), Some(&failed(5, 1, OpenFailure::NotConnected)));
}

#[test]
fn a_shutdown_answers_every_wish_and_later_ones_at_once() {
    let mut world = World::new();
    world.connected(1, 1);
    let ttl = Duration::from_secs(60);
    world.tell(Input::Manage(crate::Command::Addresses { peer: peer(2), addresses: vec![address(2)], ttl }));
    let actions = world.open(4, 2, OpenOptions::default());
    let [Action::Dial { dial, .. }] = actions[..] else { panic!("{actions:?}") };
    world.open(5, 1, OpenOptions::default());
    world.report(1, stream(3, Direction::Inbound, None));
    let actions = world.tell(Input::Shutdown);
    assert!(actions.contains(&failed(4, 2, OpenFailure::Shutdown)));
    assert!(actions.contains(&failed(5, 1, OpenFailure::Shutdown)));
    assert!(actions.contains(&Action::Abort { dial }));
    assert!(actions.iter().any(|it| matches!(it, Action::Order { order: Order::Close { .. }, .. })));
    assert_eq!(world.open(6, 1, OpenOptions::default()), [failed(6, 1, OpenFailure::Shutdown)]);
    assert_eq!(world.dialed(dial, 8, 2), [Action::Refuse { connection: c(8), reason: RefuseReason::DialOver }]);
}
