//! Rule A, explored exhaustively in small worlds, as it runs: two [`Pair`](super::Pair)s and a network between them.
//!
//! ```text
//!   explorer    all states of a model, breadth first; endings by Kahn's algorithm; the shortest way to what is wrong
//!   world       two sides, up to four connections, messages in order, clocks without a scale, faults
//!   properties  what holds at every close, in every state, and when nothing happens any more
//!   variants    simpler rules, which have to fail; peers: foreign ones, which only have to do no harm
//! ```
//!
//! The small worlds run with the other tests. The large ones, with their numbers:
//!
//! ```text
//! cargo test --release -p tidewire-connmgr duplicates::model -- --ignored --nocapture --test-threads 1
//! ```
//!
//! Durations are not explored: a grace is longer than a step, the window longer than a grace, and that is all.

mod explorer;
mod peers;
mod properties;
mod variants;
mod world;

use explorer::{Counterexample, Explored, explore};
use peers::Policy;
use std::{format, println};
use variants::Rule;
use world::{Line, P, Q, World, by};

fn relayed(initiator: usize) -> Line {
    Line { relayed: true, ..by(initiator) }
}

fn after(line: usize, initiator: usize) -> Line {
    Line { after: Some(line), ..by(initiator) }
}

fn holds(name: &str, world: &World) -> Explored {
    let explored = explore(world).unwrap_or_else(|way| panic!("{name} fails:\n{way:?}"));
    println!(
        "{name}: {} states, {} transitions, depth {}, {:.1} s",
        explored.states,
        explored.transitions,
        explored.depth,
        explored.time.as_secs_f64()
    );
    explored
}

/// The way on which it fails, for the reason that is expected.
fn fails(name: &str, world: &World, why: &str) -> Counterexample {
    let way = explore(world).expect_err(name);
    println!("{name} fails after {} steps:\n{way:?}", way.steps.len());
    assert!(way.why.contains(why), "{}", way.why);
    way
}

#[test]
fn both_dial_at_once() {
    let both = World::of(&[by(P), by(Q)]);
    holds("both dial", &World { failures: 1, pings: 1, streams: 1, ..both.clone() });
    holds("both dial, clocks that stand still", &World { failures: 1, pings: 1, coarse: true, ..both.clone() });
    holds("both dial, and connections break", &World { failures: 1, kills: 1, shuts: 1, ..both });
}

#[test]
fn one_side_dials_twice() {
    for side in [P, Q] {
        holds("one side dials twice", &World { failures: 1, streams: 1, ..World::of(&[by(side), by(side)]) });
    }
}

#[test]
fn a_hole_is_punched() {
    for (relay, direct) in [(P, P), (P, Q), (Q, P), (Q, Q)] {
        let world = World::of(&[relayed(relay), by(direct)]);
        holds("a relayed one and a direct one", &World { failures: 1, streams: 1, long: true, ..world });
    }
}

#[test]
fn a_dead_connection_is_dialed_again() {
    for (first, second) in [(P, P), (P, Q), (Q, P), (Q, Q)] {
        let world = World::of(&[by(first), after(0, second)]);
        holds("a redial after a death", &World { kills: 2, pings: 2, ..world });
    }
}

#[test]
fn the_keeper_of_the_keeper_dies() {
    let world = World::of(&[relayed(Q), relayed(P), by(P)]);
    holds("two keepers die", &World { kills: 2, pings: 1, ..world });
}

#[test]
fn three_connections() {
    holds("three, two by Q", &World::of(&[by(P), by(Q), by(Q)]));
    holds("three, two by P", &World::of(&[by(P), by(P), by(Q)]));
}

#[test]
fn two_are_wanted() {
    holds("three, two are wanted", &World { per_peer: 2, ..World::of(&[by(P), by(Q), by(Q)]) });
}

#[test]
fn with_a_spent_budget_all_goes_on() {
    holds("a budget of one", &World { budget: 1, ..World::of(&[by(P), by(P), by(Q)]) });
}

#[test]
fn foreign_peers_don_t_flap_beyond_the_budget() {
    for policy in [Policy::KeepBoth, Policy::Mute, Policy::CloseNewer, Policy::CloseOlder] {
        for rules in [[Rule::Ours, Rule::Foreign(policy)], [Rule::Foreign(policy), Rule::Ours]] {
            let world = World::of(&[by(P), by(Q)]);
            holds(&format!("{policy:?}"), &World { rules, budget: 2, again: true, ..world });
        }
    }
}

#[test]
#[ignore = "minutes; see the module's documentation"]
fn large_a_three_connections_and_faults() {
    for lines in [[by(P), by(P), by(Q)], [by(P), by(Q), by(Q)], [relayed(P), by(P), by(Q)], [relayed(Q), by(P), by(Q)]] {
        let world = World::of(&lines);
        holds(&format!("{lines:?} f1 p1"), &World { failures: 1, pings: 1, ..world.clone() });
        holds(&format!("{lines:?} k1"), &World { kills: 1, ..world.clone() });
        holds(&format!("{lines:?} s1"), &World { streams: 1, ..world.clone() });
    }
}

#[test]
#[ignore = "minutes; see the module's documentation"]
fn large_b_four_connections() {
    for lines in [[by(P), by(P), by(P), by(Q)], [relayed(P), by(P), by(Q), relayed(Q)], [by(P), by(P), by(Q), by(Q)]] {
        let world = World::of(&lines);
        holds(&format!("{lines:?}, two are wanted"), &World { per_peer: 2, ..world.clone() });
        holds(&format!("{lines:?}"), &world);
    }
}

#[test]
#[ignore = "minutes; see the module's documentation"]
fn large_c_foreign_peers() {
    for policy in [Policy::KeepBoth, Policy::Mute, Policy::CloseNewer, Policy::CloseOlder] {
        for rules in [[Rule::Ours, Rule::Foreign(policy)], [Rule::Foreign(policy), Rule::Ours]] {
            let world = World::of(&[by(P), by(Q), by(Q)]);
            holds(&format!("{policy:?}"), &World { rules, budget: 2, again: true, ..world });
        }
    }
}

#[test]
fn closing_the_newer_at_once_fails() {
    fails("close the newer", &World::of(&[by(P), by(Q)]).under(Rule::CloseNewer), "");
}

#[test]
fn closing_the_larger_ids_at_once_fails() {
    let world = World { failures: 1, ..World::of(&[by(P), by(Q)]) };
    fails("close the larger's", &world.under(Rule::CloseLargers), "");
}

#[test]
fn closing_after_a_grace_without_a_proof_fails() {
    let world = World { failures: 1, ..World::of(&[by(P), by(Q)]) };
    fails("no proof", &world.under(Rule::Unproven), "");
}

#[test]
fn a_proof_of_what_each_side_chooses_fails() {
    fails("own choice", &World::of(&[by(P), by(Q)]).under(Rule::OwnChoice), "");
}

#[test]
fn the_class_by_who_dialed_fails() {
    let both_dialed = Line { both_dialed: true, ..by(P) };
    fails("by dialer", &World::of(&[both_dialed, by(Q)]).under(Rule::ClassByDialer), "");
}

#[test]
fn an_old_proof_fails() {
    let world = World { kills: 1, pings: 1, ..World::of(&[by(P), after(0, Q)]) };
    fails("an old proof", &world.under(Rule::OldProof), "dead before");
}

#[test]
fn cancelling_handshakes_fails() {
    fails("cancel", &World::of(&[by(P), by(Q)]).under(Rule::CancelHandshakes), "");
}
