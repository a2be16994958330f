//! Rule B, explored exhaustively in small worlds, as it runs: two [`Coordinator`](super::Coordinator)s, two real machines of the
//! rule of duplicates (`tidewire_connmgr`), and a network between them.
//!
//! ```text
//!   explorer    all states of a model, breadth first; endings by Kahn's algorithm; the shortest way to what is wrong
//!   world       two sides, circuits, NATs, faults; what may happen next
//!   turn        what a step does
//!   clock       the present is always 0
//!   properties  what holds whenever something is closed, of every pair of roles, and when nothing happens any more
//!   variants    simpler rules, which have to fail; the roles that other implementations take
//! ```
//!
//! The small worlds run with the other tests. The large ones, with their numbers:
//!
//! ```text
//! cargo test --release -p tidewire-dcutr coordinator::model -- --ignored --nocapture --test-threads 1
//! ```
//!
//! Durations are not explored: any timer may fire before anything else.

mod clock;
#[path = "../../../../connmgr/src/duplicates/model/explorer.rs"]
mod explorer;
mod properties;
mod turn;
mod variants;
mod world;

use explorer::{Explored, explore};
use std::println;
use variants::{Roles, Rule};
use world::{Q, World};

fn ours() -> World {
    World::of([Rule::Ours; 2])
}

/// It holds, and both ends were seen: with a direct connection, and (unless the world is clean) without.
fn holds(world: &World) {
    let Explored { states, transitions, depth, time } =
        explore(world).unwrap_or_else(|way| panic!("{world} fails:\n{way:?}"));
    let seconds = time.as_secs_f64();
    let [with, without] = [0, 1].map(|at: usize| world.ends[at].get());
    println!(
        "{world}: {states} states, {transitions} transitions, depth {depth}, {with} ends direct, {without} not, {seconds:.1} s"
    );
    assert!(with > 0, "no direct connection anywhere");
}

/// It fails, for the reason that is expected.
fn fails(world: &World, why: &str) {
    let way = explore(world).expect_err("nothing was found");
    println!("{world} fails after {} steps:\n{way:?}", way.steps.len());
    assert!(way.why.contains(why), "{}", way.why);
}

/// Against a peer with these roles, on a network without faults.
fn against(roles: Roles, as_a: bool) -> World {
    let foreign = Rule::Foreign(roles);
    let rules = if as_a { [Rule::Ours, foreign] } else { [foreign, Rule::Ours] };
    World { clean: true, tries: 3, mismatch: Some(""), ..World::of(rules) }
}

#[test]
fn both_are_behind_nats() {
    holds(&World { tries: 1, ..ours() });
}

#[test]
fn a_clean_network_takes_one_try() {
    holds(&World { clean: true, within: 1, tries: 3, ..ours() });
    holds(&World { clean: true, within: 1, tries: 3, public: [true, false], ..ours() });
    holds(&World { clean: true, within: 1, tries: 3, public: [false, true], ..ours() });
    holds(&World { clean: true, within: 0, tries: 3, public: [true, false], named: [true, false], ..ours() });
}

#[test]
fn others_get_through_on_a_clean_network() {
    for (roles, as_a, within) in [
        (Roles::Spec, false, 1),
        (Roles::Inverted, false, 1),
        (Roles::Spec, true, 1),
        (Roles::Flips, true, 1),
        (Roles::Inverted, true, 2),
    ] {
        holds(&World { within, ..against(roles, as_a) });
    }
}

#[test]
fn listeners_that_don_t_listen_first_fail() {
    let open = World { tries: 1, public: [true, false], ..ours() };
    fails(&World { rules: [Rule::NoListening; 2], ..open }, "both respond");
}

/// The SYN of A is answered by a reset, before B dials into its listener.
#[test]
fn a_window_that_dies_with_the_stream_fails() {
    let world = World { public: [true, false], resets: [false, true], mismatch: None, ..against(Roles::Spec, true) };
    holds(&world);
    fails(&World { rules: [Rule::ShortWindow, world.rules[Q]], ..world }, "both respond");
}

#[test]
fn a_dial_that_is_left_running_fails() {
    fails(&World { rules: [Rule::DialsLeft; 2], ..ours() }, "an own earlier dial is in the way");
}

/// Go's B on a network where its streams work. (If its first two never reach A, nobody can tell that this `CONNECT` is its third.)
fn flips() -> World {
    World { clean: false, prompt: true, mismatch: Some("both respond"), ..against(Roles::Flips, true) }
}

#[test]
fn a_third_try_that_flips_meets_a_dial_that_listens() {
    let world = flips();
    fails(&World { rules: [Rule::AlwaysInitiate, world.rules[Q]], ..world }, "both propose");
}

#[test]
fn being_done_at_establishment_fails() {
    fails(&World { rules: [Rule::DoneAtOnce; 2], failures: 1, ..ours() }, "nobody tried again");
}

#[test]
fn dropping_the_relay_at_establishment_fails() {
    fails(&World { rules: [Rule::RelayDropped; 2], tries: 1, ..ours() }, "drops the relay");
}

#[test]
fn nats_of_all_kinds() {
    for public in [[false, false], [true, false], [false, true]] {
        for resets in [[false, false], [true, false], [false, true], [true, true]] {
            for named in [public, [false, false]] {
                holds(&World { public, resets, named, tries: 1, ..ours() });
            }
        }
    }
}

#[test]
fn the_relay_is_lost() {
    holds(&World { losses: 1, tries: 1, ..ours() });
    holds(&World { losses: 1, tries: 1, public: [true, false], ..ours() });
}

#[test]
fn upgrades_fail_and_streams_are_cut() {
    holds(&World { failures: 1, tries: 1, ..ours() });
    holds(&World { cuts: 1, tries: 1, ..ours() });
}

#[test]
fn a_dial_that_nobody_asked_for() {
    holds(&World { clean: true, public: [false, true], unsolicited: [1, 0], ..ours() });
    holds(&World { clean: true, public: [true, false], unsolicited: [0, 1], ..ours() });
}

#[test]
fn both_are_b() {
    holds(&World { circuits: [true, true], tries: 1, ..ours() });
}

#[test]
fn no_hole_without_a_simultaneous_open_unless_one_gave_up_before() {
    holds(&World { crossing: false, tries: 1, ..ours() });
}

#[test]
#[ignore = "large; see the module's documentation"]
fn two_and_three_tries() {
    holds(&World { public: [false, true], unsolicited: [1, 0], tries: 1, ..ours() });
    holds(&World { losses: 1, tries: 1, public: [true, false], named: [true, false], ..ours() });
    holds(&World { public: [true, false], unsolicited: [0, 1], tries: 1, ..ours() });
    for tries in [2, 3] {
        for at_once in [true, false] {
            holds(&World { tries, at_once, ..ours() });
            holds(&World { tries, at_once, failures: 1, ..ours() });
            holds(&World { tries, at_once, losses: 1, ..ours() });
            holds(&World { tries, at_once, public: [true, false], named: [true, false], ..ours() });
            holds(&World { tries, at_once, public: [false, true], resets: [true, false], ..ours() });
        }
    }
}

#[test]
#[ignore = "large; see the module's documentation"]
fn both_are_b_and_much_goes_wrong() {
    let both = World { circuits: [true, true], tries: 1, ..ours() };
    holds(&World { losses: 1, ..both.clone() });
    holds(&World { failures: 1, ..both.clone() });
    holds(&World { tries: 2, ..both });
}

#[test]
#[ignore = "large; see the module's documentation"]
fn others_under_any_timing() {
    for roles in [Roles::Spec, Roles::Inverted, Roles::Flips] {
        for as_a in [false, true] {
            for public in [[false, false], [true, false], [false, true]] {
                holds(&World { clean: false, tries: 2, public, ..against(roles, as_a) });
            }
        }
    }
    holds(&flips());
}
