//! Who reached a peer through a relay says unasked who it is, and who was reached so needs not ask before it punches.

use super::punching::{CIRCUIT, DCUTR, RELAY, REMOTE, asked, listening, reports};
use super::relaying::{carry_of, question, through};
use super::*;
use tidewire_relay::Limit;
use tidewire_relay::exchange::Answer;

/// We reach the remote through the relay: what is done once that is a connection.
fn reaches(world: &mut World, request: u64, connection: u64) -> Vec<Action> {
    let (id, mut options) = (RequestId(request), DialOptions::default());
    options.new = true;
    let addresses = vec![through(RELAY, REMOTE)];
    let (_, ask, _) = question(&world.tell(Input::Connect { request: id, peer: peer(REMOTE), addresses, options }));
    let answer = Ok(Box::new(Answer::Connected { limit: Limit::UNLIMITED }));
    let carry = carry_of(&world.report(1, Report::Answered { ask, stream: Some(StreamId(request)), answer }));
    let (dial, _) = carry.dial.unwrap();
    world.tell(Input::Dialed { dial, connection: c(connection), local: carry.local, remote: carry.remote });
    world.report(connection, established(REMOTE, Role::Initiator))
}

/// The orders for this link.
fn orders(actions: &[Action], to: u64) -> Vec<&Order> {
    let to_it = |action: &&Action| matches!(action, Action::Order { connection, .. } if *connection == c(to));
    let actions = actions.iter().filter(to_it);
    actions.filter_map(|action| if let Action::Order { order, .. } = action { Some(order) } else { None }).collect()
}

/// The remote says on the circuit, unasked, who it is.
fn pushes(world: &mut World, protocols: &[Protocol]) -> Vec<Action> {
    world.report(CIRCUIT, Report::Pushed(said(REMOTE, 1, protocols, &[])))
}

fn answers(world: &mut World, seq: u64) -> Vec<Action> {
    world.report(CIRCUIT, Report::Identified(said(REMOTE, seq, &[DCUTR], &[])))
}

fn is_asked(actions: &[Action]) -> bool {
    orders(actions, CIRCUIT).iter().any(|order| matches!(order, Order::Punch { .. }))
}

#[test]
fn whom_we_reach_through_a_relay_hears_who_we_are_before_we_ask_the_same() {
    let mut world = listening(|_| {});
    let actions = reaches(&mut world, 1, CIRCUIT);
    assert!(matches!(orders(&actions, CIRCUIT)[..2], [Order::Push, Order::Identify]), "{actions:?}");
    let later = [answers(&mut world, 1), world.pass(Duration::from_secs(60))].concat();
    assert!(!orders(&later, CIRCUIT).contains(&&Order::Push), "once: {later:?}");
    world.assert_nothing_is_left();
}

#[test]
fn what_it_hears_is_what_holds_then() {
    let mut world = listening(|_| {});
    world.pass(Duration::from_secs(10));
    world.tell(Input::Protocols(vec![ECHO, DCUTR]));
    let actions = reaches(&mut world, 1, CIRCUIT);
    let profile = actions.iter().position(|it| matches!(it, Action::Profile(profile) if profile.protocols.len() == 2));
    let push = actions.iter().position(|it| *it == order(CIRCUIT, Order::Push));
    assert!(profile.unwrap() < push.unwrap(), "{actions:?}");
    // It takes pushes: the change that it was told of is not pushed again.
    world.report(CIRCUIT, Report::Identified(said(REMOTE, 1, &[DCUTR, PUSH], &[])));
    assert!(!world.pass(Duration::from_secs(10)).contains(&order(CIRCUIT, Order::Push)));
}

#[test]
fn nobody_else_hears_unasked_who_we_are() {
    let told = |actions: &[Action], to| orders(actions, to).contains(&&Order::Push);
    // Who came to us, through a relay and directly; whom we dialed directly.
    let mut world = listening(|_| {});
    assert!(!told(&world.circuit(CIRCUIT), CIRCUIT));
    assert!(!told(&world.connected(2, 2), 2));
    let dial = world.dial(1, 4);
    world.dialed(dial, 4, 4);
    assert!(!told(&world.report(4, established(4, Role::Initiator)), 4));
    // Whom we are connected to already.
    let mut world = listening(|_| {});
    assert!(told(&reaches(&mut world, 1, CIRCUIT), CIRCUIT));
    assert!(!told(&reaches(&mut world, 2, CIRCUIT + 1), CIRCUIT + 1));
    // Those with whom no hole is punched, or who are never told of changes.
    for change in [|config: &mut Config| config.punching = None, |config: &mut Config| config.push = false] {
        let mut world = listening(change);
        let actions = reaches(&mut world, 1, CIRCUIT);
        assert!(!told(&actions, CIRCUIT), "{actions:?}");
        assert!(orders(&actions, CIRCUIT).contains(&&Order::Identify));
    }
}

#[test]
fn who_said_unasked_who_it_is_is_punched_at_once_and_its_answer_begins_nothing_more() {
    let mut world = listening(|_| {});
    assert!(orders(&world.circuit(CIRCUIT), CIRCUIT).contains(&&Order::Identify));
    let actions = pushes(&mut world, &[DCUTR]);
    asked(&actions);
    let told = actions.iter().filter(|it| matches!(it, Action::Event(Event::Identified { pushed: true, .. })));
    assert_eq!(told.count(), 1);
    let known = world.host.identity(&peer(REMOTE)).unwrap().clone();
    for seq in [1, 2] {
        let actions = answers(&mut world, seq);
        assert!(!is_asked(&actions) && reports(&actions).is_empty(), "{actions:?}");
        let now = world.host.identity(&peer(REMOTE)).unwrap();
        assert_eq!((&now.protocols, now.is_signed()), (&known.protocols, true));
        assert!(now.refused.is_none(), "{:?}", now.refused);
    }
    world.assert_nothing_is_left();
}

#[test]
fn a_push_that_leaves_out_what_the_peer_speaks_spends_no_try() {
    let mut world = listening(|_| {});
    world.circuit(CIRCUIT);
    assert!(!is_asked(&pushes(&mut world, &[])));
    asked(&answers(&mut world, 1));
    // Nor does one after the answer take anything back.
    assert!(reports(&pushes(&mut world, &[])).is_empty());
    world.assert_nothing_is_left();
}
