//! What we say of ourselves: current for whoever asks, and pushed a while after it changed.

use super::*;
use crate::identify::IDENTIFY;

fn asks(stream: u64) -> Report {
    let direction = Direction::Inbound;
    Report::StreamOpened { stream: StreamId(stream), direction, protocol: IDENTIFY, open: None }
}

fn serves(world: &mut World, n: u32) -> Vec<Action> {
    world.tell(Input::Protocols(vec![Protocol::new(&alloc::format!("/p/{n}")).unwrap()]))
}

fn profiles(actions: &[Action]) -> Vec<Profile> {
    let profile =
        |action: &Action| if let Action::Profile(profile) = action { Some((**profile).clone()) } else { None };
    actions.iter().filter_map(profile).collect()
}

fn pushes(actions: &[Action]) -> usize {
    actions.iter().filter(|action| matches!(action, Action::Order { order: Order::Push, .. })).count()
}

#[test]
fn who_asks_right_after_a_change_hears_of_it() {
    let mut world = World::new();
    world.pass(Duration::from_secs(10));
    world.connected(1, 1);
    assert_eq!(profiles(&serves(&mut world, 7)), [], "nobody asks");
    let actions = world.report(1, asks(1));
    let [Action::Profile(profile), rest @ ..] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!(profile.protocols[0].as_str(), "/p/7");
    assert!(rest.contains(&order(1, Order::Admit { stream: StreamId(1) })), "sealed before it is answered: {rest:?}");
}

#[test]
fn a_thousand_changes_are_one_profile_and_as_many_more_as_were_asked_for() {
    let mut world = World::new();
    world.pass(Duration::from_secs(10));
    world.connected(1, 1);
    let mut all = Vec::new();
    for n in 0..1_000 {
        all.extend(serves(&mut world, n));
        if n == 500 {
            all.extend(world.report(1, asks(1)));
            all.extend(world.report(1, asks(2)));
        }
    }
    assert_eq!(profiles(&all).len(), 1, "asked twice, changed between once");
    all.extend(world.pass(Duration::from_secs(10)));
    let profiles = profiles(&all);
    assert_eq!(profiles.len(), 2);
    assert_eq!(profiles[1].protocols[0].as_str(), "/p/999");
    assert!(profiles[1].seq > profiles[0].seq);
}

#[test]
fn a_change_is_pushed_later_to_those_who_did_not_ask_since() {
    let mut world = World::new();
    world.pass(Duration::from_secs(10));
    for n in 1..=2 {
        world.connected(u64::from(n), n);
        world.report(u64::from(n), Report::Identified(said(n, 1, &[PUSH], &[])));
    }
    let mut all = serves(&mut world, 7);
    all.extend(world.report(1, asks(1)));
    assert_eq!(pushes(&all), 0, "not yet");
    let all = world.pass(Duration::from_secs(10));
    assert!(!all.contains(&order(1, Order::Push)) && all.contains(&order(2, Order::Push)), "{all:?}");
    assert_eq!(pushes(&all), 1);
}

#[test]
fn who_asked_and_was_refused_is_told_by_a_push() {
    let mut world = World::with(|config| config.manager.limits.streams_per_peer = 1);
    world.pass(Duration::from_secs(10));
    world.connected(1, 1);
    world.report(1, Report::Identified(said(1, 1, &[PUSH], &[])));
    world.report(1, stream(1, Direction::Inbound, None));
    serves(&mut world, 7);
    let actions = world.report(1, asks(2));
    assert!(actions.iter().any(|it| matches!(it, Action::Order { order: Order::Refuse { .. }, .. })));
    assert_eq!(pushes(&world.pass(Duration::from_secs(10))), 1);
}
