//! Rule A, explored exhaustively in small worlds, as it runs: two [`Pair`](super::Pair)s and a network between them.
//!
//! ```text
//!   explorer    all states of a model, breadth first; endings by Kahn's algorithm; the shortest way to what is wrong
//!   world       two sides, up to four connections, messages in order, faults
//!   clock       a clock for each side, without a scale
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

mod clock;
mod explorer;
mod peers;
mod properties;
mod variants;
mod world;

use explorer::{Explored, explore};
use peers::Policy;
use std::println;
use variants::Rule;
use world::{Line, P, Q, World, by};

fn relayed(initiator: usize) -> Line {
    Line { relayed: true, ..by(initiator) }
}

fn after(line: usize, initiator: usize) -> Line {
    Line { after: Some(line), ..by(initiator) }
}

fn holds(world: &World) {
    let Explored { states, transitions, depth, time } =
        explore(world).unwrap_or_else(|way| panic!("{world} fails:\n{way:?}"));
    let seconds = time.as_secs_f64();
    println!("{world}: {states} states, {transitions} transitions, depth {depth}, {seconds:.1} s");
}

/// It fails, for the reason that is expected.
fn fails(world: &World, why: &str) {
    let way = explore(world).expect_err("nothing was found");
    println!("{world} fails after {} steps:\n{way:?}", way.steps.len());
    assert!(way.why.contains(why), "{}", way.why);
}

fn policies() -> impl Iterator<Item = [Rule; 2]> {
    let policies = [Policy::KeepBoth, Policy::Mute, Policy::CloseNewer, Policy::CloseOlder];
    policies.into_iter().map(Rule::Foreign).flat_map(|foreign| [[Rule::Ours, foreign], [foreign, Rule::Ours]])
}

#[test]
fn both_dial_at_once() {
    let both = World::of(&[by(P), by(Q)]);
    holds(&World { failures: 1, pings: 1, streams: 1, ..both.clone() });
    holds(&World { failures: 1, pings: 1, coarse: true, ..both.clone() });
    holds(&World { failures: 1, kills: 1, shuts: 1, ..both });
}

#[test]
fn one_side_dials_twice() {
    for side in [P, Q] {
        holds(&World { failures: 1, pings: 1, streams: 1, ..World::of(&[by(side), by(side)]) });
    }
}

#[test]
fn a_hole_is_punched() {
    for (relay, direct) in [(P, P), (P, Q), (Q, P), (Q, Q)] {
        holds(&World { failures: 1, streams: 1, long: true, ..World::of(&[relayed(relay), by(direct)]) });
    }
}

#[test]
fn a_dead_connection_is_dialed_again() {
    for (first, second) in [(P, P), (P, Q), (Q, P), (Q, Q)] {
        holds(&World { kills: 2, pings: 2, ..World::of(&[by(first), after(0, second)]) });
    }
}

#[test]
fn three_connections() {
    holds(&World::of(&[by(P), by(Q), by(Q)]));
    holds(&World::of(&[by(P), by(P), by(Q)]));
    holds(&World { at_once: true, ..World::of(&[by(P), by(P), by(Q)]) });
}

#[test]
fn two_are_wanted() {
    holds(&World { per_peer: 2, failures: 1, streams: 1, ..World::of(&[by(P), by(Q), by(Q)]) });
}

#[test]
fn with_a_spent_budget_all_goes_on() {
    holds(&World { budget: 1, ..World::of(&[by(P), by(P), by(Q)]) });
}

#[test]
fn foreign_peers_don_t_flap_beyond_the_budget() {
    for rules in policies() {
        holds(&World { rules, budget: 2, again: true, failures: 1, ..World::of(&[by(P), by(Q)]) });
    }
}

#[test]
fn closing_the_newer_at_once_fails() {
    fails(&World::of(&[by(P), by(Q)]).under(Rule::CloseNewer), "0 others are working");
}

#[test]
fn closing_the_larger_ids_at_once_fails() {
    let world = World { failures: 1, ..World::of(&[by(P), by(Q)]) };
    fails(&world.under(Rule::CloseLargers), "0 others are working");
}

#[test]
fn closing_after_a_grace_without_a_proof_fails() {
    let world = World { failures: 1, ..World::of(&[by(P), by(Q)]) };
    fails(&world.under(Rule::Unproven), "0 others are working");
}

#[test]
fn a_proof_of_what_each_side_chooses_fails() {
    fails(&World::of(&[by(P), by(Q)]).under(Rule::OwnChoice), "0 others are working");
}

#[test]
fn the_class_by_who_dialed_fails() {
    let both_dialed = Line { both_dialed: true, ..by(P) };
    // The same world under the rule as it is.
    holds(&World::of(&[both_dialed, by(Q)]));
    fails(&World::of(&[both_dialed, by(Q)]).under(Rule::ClassByDialer), "0 others are working");
}

#[test]
fn an_old_proof_fails() {
    let world = World { kills: 1, pings: 1, ..World::of(&[by(P), after(0, Q)]) };
    fails(&world.under(Rule::OldProof), "dead before");
}

#[test]
fn cancelling_handshakes_fails() {
    fails(&World::of(&[by(P), by(Q)]).under(Rule::CancelHandshakes), "because of the rule");
}

/// The best of three never answers. What the second best answered meanwhile is old when the best is gone.
#[test]
#[ignore = "large; see the module's documentation"]
fn a_keeper_dies_while_a_better_one_fails() {
    let world = World::of(&[relayed(Q), relayed(P), by(P)]);
    holds(&World { kills: 1, failures: 1, ..world.clone() });
    holds(&World { kills: 2, ..world });
}

#[test]
#[ignore = "large; see the module's documentation"]
fn three_connections_and_what_goes_wrong() {
    for lines in [[by(P), by(P), by(Q)], [by(P), by(Q), by(Q)], [relayed(P), by(P), by(Q)]] {
        let world = World::of(&lines);
        holds(&World { failures: 1, kills: 1, ..world.clone() });
        holds(&World { failures: 1, shuts: 1, ..world.clone() });
        holds(&World { failures: 1, streams: 1, ..world.clone() });
        holds(&World { pings: 1, ..world.clone() });
        holds(&World { coarse: true, failures: 1, ..world });
    }
}

#[test]
#[ignore = "large; see the module's documentation"]
fn four_connections() {
    let at_once = |lines: &[Line]| World { at_once: true, ..World::of(lines) };
    for lines in [[by(P), by(P), by(P), by(Q)], [by(P), by(P), by(Q), by(Q)], [relayed(P), by(P), by(Q), relayed(Q)]] {
        holds(&World { per_peer: 3, ..at_once(&lines) });
        holds(&World { per_peer: 2, ..at_once(&lines) });
    }
    holds(&at_once(&[by(P), by(P), by(P), by(Q)]));
}

#[test]
#[ignore = "large; see the module's documentation"]
fn foreign_peers_with_three_connections() {
    for rules in policies() {
        holds(&World { rules, budget: 2, again: true, ..World::of(&[by(P), by(Q), by(Q)]) });
        holds(&World { rules, budget: 3, again: true, kills: 1, pings: 1, ..World::of(&[by(P), by(Q)]) });
    }
}
