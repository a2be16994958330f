//! Dials through the manager: its limits, its metadata, its connections.

use super::*;
use crate::dial::{DialFailure, DialFault, DialOptions, GateRule, Outcome};
use crate::metadata::Source;
use crate::{DialId, RefuseReason, RequestId};

fn dials(actions: &[Action]) -> Vec<(DialId, Multiaddr)> {
    let dial = |action: &Action| match action {
        Action::Dial { dial, address, .. } => Some((*dial, address.clone())),
        _ => None,
    };
    actions.iter().filter_map(dial).collect()
}

impl World {
    fn dial(&mut self, request: u64, to: u32, addresses: &[Multiaddr]) -> Vec<Action> {
        let options = DialOptions::default();
        self.tell(Input::Dial { request: RequestId(request), peer: peer(to), addresses, options })
    }

    fn dialed(&mut self, dial: DialId, connection: u64, who: u32) -> Vec<Action> {
        self.tell(Input::Established {
            connection: ConnectionId(connection),
            peer: peer(who),
            origin: Origin::Dial(dial),
            role: Role::Initiator,
            limited: false,
        })
    }
}

#[test]
fn a_wish_is_answered_once_the_connection_is_told() {
    let mut world = World::new(quiet());
    let actions = world.dial(1, 1, &[address(1)]);
    let [(dial, to)] = &dials(&actions)[..] else { panic!("{actions:?}") };
    assert_eq!(*to, address(1));
    let actions = world.dialed(*dial, 5, 1);
    let (connection, request) = (ConnectionId(5), RequestId(1));
    let opened = Event::ConnectionOpened {
        connection,
        peer: peer(1),
        direction: Direction::Outbound,
        remote: address(1),
        limited: false,
    };
    assert_eq!(
        events(&actions),
        [Event::Connected { peer: peer(1) }, opened, Event::Dialed { request, peer: peer(1), connection }]
    );
    // Who is connected already is not dialed.
    let request = RequestId(2);
    assert_eq!(events(&world.dial(2, 1, &[])), [Event::Dialed { request, peer: peer(1), connection }]);
}

#[test]
fn an_inbound_connection_answers_the_wish_and_ends_the_dial() {
    let mut world = World::new(quiet());
    let actions = world.dial(1, 1, &[address(1)]);
    let dial = dials(&actions)[0].0;
    let actions = world.open(5, 1, Direction::Inbound);
    let (connection, request) = (ConnectionId(5), RequestId(1));
    assert!(events(&actions).contains(&Event::Dialed { request, peer: peer(1), connection }));
    assert!(actions.contains(&Action::Abort { dial }));
    // The abort and the success crossed: the late one is dropped.
    let late = world.dialed(dial, 6, 1);
    assert_eq!(late, [Action::Refuse { connection: ConnectionId(6), reason: RefuseReason::DialOver }]);
}

#[test]
fn remembered_addresses_are_dialed_and_what_came_of_them_is_remembered() {
    let mut world = World::new(quiet());
    let addresses = [address(1)];
    let (source, ttl) = (Source::Application, Duration::from_secs(3600));
    world.tell(Input::Addresses { peer: peer(1), addresses: &addresses, source, ttl });
    let dial = dials(&world.dial(1, 1, &[]))[0].0;
    let actions = world.tell(Input::DialFailed { dial, fault: DialFault::Transport("refused".into()) });
    let events = events(&actions);
    let [Event::DialFailed { report, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(report.why, DialFailure::AllFailed(1));
    assert_eq!(report.addresses[0].outcome, Outcome::Failed(DialFault::Transport("refused".into())));
    let record = world.manager.addresses_of(&peer(1)).next().unwrap();
    assert_eq!(record.failures, 1);
}

#[test]
fn no_address_at_all_is_a_report_at_once() {
    let mut world = World::new(quiet());
    let events = events(&world.dial(1, 1, &[]));
    let [Event::DialFailed { report, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(report.why, DialFailure::NoAddresses);
    assert_eq!(world.manager.counts().known_peers, 0);
}

#[test]
fn a_denied_peer_is_not_dialed_not_let_in_and_hung_up_on() {
    let mut world = World::new(quiet());
    world.open(1, 1, Direction::Inbound);
    let rule = GateRule::Peer(peer(1));
    let actions = world.tell(Input::Deny { rule: rule.clone(), why: "spam" });
    assert_eq!(closes(&actions), [(1, CloseReason::Denied { why: "spam".into() })]);
    world.closed(1);
    let connection = ConnectionId(2);
    let reason = RefuseReason::Denied { why: "spam".into() };
    assert_eq!(world.open(2, 1, Direction::Inbound), [Action::Refuse { connection, reason }]);
    let events_of = events(&world.dial(1, 1, &[address(1)]));
    let [Event::DialFailed { report, .. }] = &events_of[..] else { panic!("{events_of:?}") };
    assert_eq!(report.why, DialFailure::Denied("spam".into()));
    world.tell(Input::Allow { rule });
    assert_eq!(dials(&world.dial(1, 1, &[address(1)])).len(), 1);
}

#[test]
fn a_denied_network_is_hung_up_on_and_not_let_in() {
    let mut world = World::new(quiet());
    world.open(1, 1, Direction::Inbound);
    world.open_as(2, 2, Direction::Inbound, Role::Responder, &text("/ip4/12.0.0.1/tcp/1"));
    let rule = GateRule::Subnet("11.0.0.0".parse().unwrap(), 8);
    let actions = world.tell(Input::Deny { rule, why: "abuse" });
    assert_eq!(closes(&actions), [(1, CloseReason::Denied { why: "abuse".into() })]);
    let (connection, remote) = (ConnectionId(3), address(3));
    let reason = RefuseReason::Denied { why: "abuse".into() };
    assert_eq!(world.tell(Input::Incoming { connection, remote: &remote }), [Action::Refuse { connection, reason }]);
}

#[test]
fn a_dial_that_the_limits_forbid_fails_with_that_reason_and_no_backoff() {
    let mut config = quiet();
    config.limits.pending_outbound = 1;
    let mut world = World::new(config);
    world.dial(1, 1, &[address(1)]);
    let events = events(&world.dial(2, 2, &[address(2)]));
    let [Event::DialFailed { report, .. }] = &events[..] else { panic!("{events:?}") };
    assert!(matches!(report.addresses[0].outcome, Outcome::Failed(DialFault::Limit(_))), "{report:?}");
    world.tell(Input::Cancel { request: RequestId(1) });
    assert_eq!(dials(&world.dial(2, 2, &[address(2)])).len(), 1);
}

#[test]
fn ourselves_are_never_connected_to() {
    let mut world = World::new(quiet());
    let refuse = |reason| [Action::Refuse { connection: ConnectionId(1), reason }];
    assert_eq!(world.open(1, 0, Direction::Inbound), refuse(RefuseReason::Ourselves));
    assert_eq!(world.manager.counts().connected_peers, 0);
}

#[test]
fn a_peer_that_is_kept_is_dialed_again_with_doubling_delays_and_given_up_in_the_end() {
    let mut world = World::new(quiet());
    let (addresses, source) = ([address(1)], Source::Application);
    world.tell(Input::Addresses { peer: peer(1), addresses: &addresses, source, ttl: Duration::from_secs(3600) });
    world.tell(Input::KeepAlive { peer: peer(1), on: true });
    world.open(1, 1, Direction::Inbound);
    world.closed(1);
    let (mut tries, mut gave_up) = (0, None);
    for _ in 0..4000 {
        let mut actions = world.wait(Duration::from_millis(500));
        for (dial, _) in dials(&actions) {
            tries += 1;
            actions.extend(world.tell(Input::DialFailed { dial, fault: DialFault::Gated("not now".into()) }));
        }
        for event in events(&actions) {
            if let Event::ReconnectFailed { tries, .. } = event {
                gave_up = Some(tries);
            }
        }
    }
    assert_eq!((tries, gave_up), (5, Some(5)));
}

#[test]
fn a_kept_peer_that_was_trimmed_is_dialed_again_after_the_greatest_delay() {
    let mut config = quiet();
    (config.worth.low, config.worth.high, config.worth.grace) = (1, 10, Duration::ZERO);
    let mut world = World::new(config);
    let (addresses, source) = ([address(1)], Source::Application);
    world.tell(Input::Addresses { peer: peer(1), addresses: &addresses, source, ttl: Duration::from_secs(3600) });
    world.open(1, 1, Direction::Inbound);
    world.tell(Input::KeepAlive { peer: peer(1), on: true });
    world.open(2, 2, Direction::Outbound);
    assert_eq!(closes(&world.tell(Input::TrimNow)), [(1, CloseReason::Trimmed { value: 0 })]);
    world.closed(1);
    assert_eq!(dials(&world.wait(Duration::from_secs(59))), []);
    assert_eq!(dials(&world.wait(Duration::from_secs(17))).len(), 1);
}

#[test]
fn however_a_dial_ends_its_place_is_free_again() {
    type End = fn(&mut World, DialId);
    let ends: [(&str, End); 6] = [
        ("failed", |world, dial| {
            world.tell(Input::DialFailed { dial, fault: DialFault::Transport("refused".into()) });
        }),
        ("cancelled", |world, _| {
            world.tell(Input::Cancel { request: RequestId(1) });
        }),
        ("timed out", |world, _| {
            world.wait(Duration::from_secs(20));
        }),
        ("established", |world, dial| {
            world.dialed(dial, 5, 1);
        }),
        ("overtaken by an inbound connection", |world, _| {
            world.open(5, 1, Direction::Inbound);
        }),
        ("disconnected", |world, _| {
            world.tell(Input::Disconnect { peer: peer(1), why: "bye" });
        }),
    ];
    for (how, end) in ends {
        let mut config = quiet();
        config.limits.pending_outbound = 1;
        let mut world = World::new(config);
        let dial = dials(&world.dial(1, 1, &[address(1)]))[0].0;
        end(&mut world, dial);
        assert_eq!(dials(&world.dial(2, 2, &[address(2)])).len(), 1, "{how}");
    }
}

#[test]
fn disconnecting_ends_the_wishes_for_the_peer_with_the_reason() {
    let mut world = World::new(quiet());
    let dial = dials(&world.dial(1, 1, &[address(1)]))[0].0;
    let actions = world.tell(Input::Disconnect { peer: peer(1), why: "bye" });
    assert!(actions.contains(&Action::Abort { dial }));
    let events = events(&actions);
    let [Event::DialFailed { report, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(report.why, DialFailure::Disconnected("bye".into()));
    assert_eq!(report.addresses[0].outcome, Outcome::Aborted);
}

#[test]
fn who_wants_a_new_connection_is_not_answered_with_the_one_that_is_there() {
    let mut world = World::new(quiet());
    world.open(5, 1, Direction::Inbound);
    let (request, addresses) = (RequestId(1), [address(1)]);
    let options = DialOptions { new: true, ..DialOptions::default() };
    let actions = world.tell(Input::Dial { request, peer: peer(1), addresses: &addresses, options });
    let dial = dials(&actions)[0].0;
    assert_eq!(events(&actions), []);
    let connection = ConnectionId(6);
    let dialed = Event::Dialed { request, peer: peer(1), connection };
    assert!(events(&world.dialed(dial, 6, 1)).contains(&dialed));
}

#[test]
fn a_relayed_connection_does_not_answer_who_wants_a_direct_one() {
    let mut world = World::new(quiet());
    let remote = text(&format!("/ip4/11.0.0.9/tcp/4001/p2p/{}/p2p-circuit", peer(9)));
    world.open_as(5, 1, Direction::Inbound, Role::Responder, &remote);
    let (request, addresses) = (RequestId(1), [address(1), remote]);
    let options = DialOptions { direct_only: true, ..DialOptions::default() };
    let actions = world.tell(Input::Dial { request, peer: peer(1), addresses: &addresses, options });
    let [(dial, to)] = &dials(&actions)[..] else { panic!("{actions:?}") };
    assert_eq!(*to, address(1));
    let dialed = Event::Dialed { request, peer: peer(1), connection: ConnectionId(6) };
    assert!(events(&world.dialed(*dial, 6, 1)).contains(&dialed));
}
