//! Connections come and go, and peers say who they are.

use super::*;

fn events(actions: &[Action]) -> Vec<&connmgr::Event> {
    let actions = actions.iter();
    actions
        .filter_map(|action| if let Action::Event(Event::Manager(event)) = action { Some(event) } else { None })
        .collect()
}

#[test]
fn a_peer_is_told_before_its_first_stream_and_gone_after_the_last() {
    let mut world = World::new();
    let mut all = world.connected(1, 1);
    all.extend(world.report(1, stream(1, Direction::Inbound, None)));
    all.extend(world.report(1, gone()));
    let at = |wanted: &dyn Fn(&Action) -> bool| all.iter().position(wanted).unwrap();
    let connected =
        at(&|it| matches!(it, Action::Event(Event::Manager(connmgr::Event::Connected { peer: it })) if *it == peer(1)));
    let admitted = at(&|it| matches!(it, Action::Order { order: Order::Admit { .. }, .. }));
    let gone = at(&|it| matches!(it, Action::Event(Event::Manager(connmgr::Event::Disconnected { .. }))));
    assert!(connected < admitted && admitted < gone && gone == all.len() - 1, "{all:?}");
    assert_eq!(world.host.manager().counts().limits.streams_inbound, 0);
    assert_eq!(world.host.connections().count(), 0);
}

#[test]
fn a_new_connection_is_asked_who_it_is() {
    let mut world = World::new();
    assert!(world.connected(1, 1).contains(&order(1, Order::Identify)));
    let mut world = World::with(|config| config.identify = false);
    assert!(!world.connected(1, 1).contains(&order(1, Order::Identify)));
}

#[test]
fn what_is_refused_is_forgotten_and_what_it_reports_is_of_no_matter() {
    let mut world = World::new();
    world.incoming(1, 1);
    // It turns out to be ourselves.
    let actions = world.report(1, established(0, Role::Responder));
    assert_eq!(actions[0], Action::Refuse { connection: c(1), reason: RefuseReason::Ourselves });
    for report in [stream(1, Direction::Inbound, None), Report::Used, gone()] {
        assert_eq!(world.report(1, report), []);
    }
    assert_eq!(world.host.connections().count(), 0);
    // The name is free again.
    world.connected(1, 2);
}

#[test]
fn before_it_is_established_a_connection_reports_only_its_end() {
    let mut world = World::new();
    world.incoming(1, 1);
    assert_eq!(world.report(1, stream(1, Direction::Inbound, None)), []);
    assert_eq!(world.report(1, Report::Identified(said(1, 1, &[], &[]))), []);
    assert_eq!(world.report(1, gone()), []);
    assert_eq!(world.host.connections().count(), 0);
    assert_eq!(world.host.manager().counts().limits.pending_inbound, 0);
}

#[test]
fn a_connection_is_established_once() {
    let mut world = World::new();
    world.connected(1, 1);
    assert_eq!(world.report(1, established(2, Role::Responder)), []);
    assert!(world.host.manager().is_connected(&peer(1)) && !world.host.manager().is_connected(&peer(2)));
}

#[test]
fn a_dial_comes_true_or_fails_with_the_reason() {
    let mut world = World::new();
    let dial = world.dial(1, 1);
    assert_eq!(world.dialed(dial, 1, 1), []);
    let actions = world.report(1, established(1, Role::Initiator));
    assert!(events(&actions).iter().any(|it| matches!(it, connmgr::Event::Dialed { request: RequestId(1), .. })));

    type Case = (fn(&mut World, DialId) -> Vec<Action>, &'static str);
    let cases: [Case; 3] = [
        (
            |world, dial| world.tell(Input::DialFailed { dial, fault: DialFault::Transport("no route".into()) }),
            "no route",
        ),
        (
            |world, dial| {
                world.dialed(dial, 7, 2);
                world.report(7, Report::Ended { by: By::Local, fault: Fault::Upgrade, why: "bad MAC".into() })
            },
            "bad MAC",
        ),
        (
            |world, dial| {
                world.dialed(dial, 7, 2);
                world.report(7, Report::Ended { by: By::Local, fault: Fault::WrongPeer(peer(9)), why: "?".into() })
            },
            "another peer",
        ),
    ];
    for (end, why) in cases {
        let mut world = World::new();
        let dial = world.dial(2, 2);
        let actions = end(&mut world, dial);
        let report = events(&actions).into_iter().find_map(|event| match event {
            connmgr::Event::DialFailed { request: RequestId(2), report, .. } => Some(alloc::format!("{report}")),
            _ => None,
        });
        let report = report.unwrap_or_else(|| panic!("{why}: {actions:?}"));
        assert!(why == "another peer" || report.contains(why), "{report}");
        assert_eq!(world.host.connections().count(), 0);
    }
}

#[test]
fn a_dial_that_was_given_up_ends_wherever_it_is() {
    let mut world = World::new();
    let dial = world.dial(1, 1);
    assert!(world.tell(Input::CancelConnect { request: RequestId(1) }).contains(&Action::Abort { dial }));
    // It was connected, or had failed, meanwhile.
    assert_eq!(world.dialed(dial, 1, 1), [Action::Refuse { connection: c(1), reason: RefuseReason::DialOver }]);
    assert_eq!(world.tell(Input::DialFailed { dial, fault: DialFault::Transport("late".into()) }), []);

    let dial = world.dial(2, 2);
    world.dialed(dial, 2, 2);
    let actions = world.tell(Input::CancelConnect { request: RequestId(2) });
    assert!(actions.contains(&Action::Refuse { connection: c(2), reason: RefuseReason::DialOver }), "{actions:?}");
    assert_eq!(world.report(2, established(2, Role::Initiator)), []);
    assert_eq!(world.host.connections().count(), 0);
}

#[test]
fn a_peers_addresses_are_remembered_but_for_ours() {
    let mut world = World::new();
    world.tell(Input::Listen { listener: ListenerId(1), address: address(0) });
    world.tell(Input::Listening { listener: ListenerId(1), address: address(0) });
    world.connected(1, 1);
    world.report(1, Report::Identified(said(1, 1, &[ECHO], &[address(0), address(5)])));
    let manager = world.host.manager();
    let known: Vec<Multiaddr> = manager.addresses_of(&peer(1)).map(|record| record.address.clone()).collect();
    assert_eq!(known, [address(5)]);
}

#[test]
fn what_changes_about_us_is_pushed_to_those_that_take_it() {
    let mut world = World::new();
    world.connected(1, 1);
    world.connected(2, 2);
    world.report(1, Report::Identified(said(1, 1, &[PUSH], &[])));
    world.report(2, Report::Identified(said(2, 1, &[], &[])));
    world.tell(Input::Protocols(vec![ECHO]));
    let actions = world.pass(Duration::from_secs(10));
    let profile = actions.iter().position(|it| matches!(it, Action::Profile(_))).unwrap();
    let push = actions.iter().position(|it| *it == order(1, Order::Push)).unwrap();
    assert!(profile < push);
    assert!(!actions.contains(&order(2, Order::Push)));
}

#[test]
fn whoever_asked_before_a_change_and_says_later_that_it_takes_pushes_gets_one() {
    let mut world = World::new();
    world.connected(1, 1);
    world.tell(Input::Protocols(vec![ECHO]));
    let actions = world.pass(Duration::from_secs(10));
    assert!(!actions.contains(&order(1, Order::Push)));
    let late = world.report(1, Report::Identified(said(1, 1, &[PUSH], &[])));
    assert_eq!(late.last(), Some(&order(1, Order::Push)));
    let again = world.report(1, Report::Pushed(said(1, 2, &[PUSH], &[])));
    assert!(!again.contains(&order(1, Order::Push)), "once");
}

#[test]
fn of_a_peer_that_is_gone_nothing_is_kept() {
    let mut world = World::new();
    let before = world.host.memory_used();
    for n in 1..=40 {
        world.connected(u64::from(n), n);
        world.report(u64::from(n), Report::Identified(said(n, 1, &[PUSH, ECHO], &[])));
        world.report(u64::from(n), stream(1, Direction::Inbound, None));
    }
    let busy = world.host.memory_used();
    for n in 1..=40 {
        world.report(n, gone());
    }
    world.pass(Duration::from_secs(4 * 3600));
    assert!(world.host.identity(&peer(1)).is_none());
    let after = world.host.memory_used();
    assert!(after - before < (busy - before) / 2, "{before}, {busy}, {after}");
}

#[test]
fn a_hundred_thousand_streams_are_refused_with_the_limit_that_they_broke() {
    let mut world = World::new();
    world.connected(1, 1);
    let (mut refused, mut told) = (0, 0);
    for n in 0..100_000 {
        for action in world.report(1, stream(n, Direction::Inbound, None)) {
            match action {
                Action::Order { order: Order::Admit { .. }, .. } => {}
                Action::Order { order: Order::Refuse { reason, .. }, .. } => {
                    refused += 1;
                    assert!(alloc::format!("{reason}").contains("256"), "{reason}");
                }
                Action::Event(Event::StreamsRefused { .. }) => told += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(told, 1, "once in this moment");
    assert_eq!(refused, 100_000 - 256);
    assert!(world.host.memory_used() < 128 * 1024, "{}", world.host.memory_used());
}
