//! Rule B, explored exhaustively in small worlds, as it runs: two nodes, each a real [`Coordinator`](super::Coordinator) beside a
//! real connection manager (`tidewire_connmgr`), plugged together as a host does it, and a network between them. For breadth,
//! the same worlds and larger ones with the manager's rule of duplicates alone in its place.
//!
//! ```text
//!   explorer    all states of a model, breadth first; endings by Kahn's algorithm; the shortest way to what is wrong
//!   keeper      which of several connections stays: the manager, or its rule alone; what of the manager is off
//!   world       two sides, circuits, NATs, faults; what may happen next
//!   turn        what a step does
//!   clock       the present is always 0
//!   copied      what of a state is shared by its copies
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
mod copied;
#[path = "../../../../connmgr/src/duplicates/model/explorer.rs"]
mod explorer;
mod keeper;
mod properties;
mod turn;
mod variants;
mod world;

use explorer::{Explored, explore};
use std::println;
use variants::{Roles, Rule};
use world::{Q, World};

/// With the rule of duplicates alone.
fn ours() -> World {
    World::of([Rule::Ours; 2])
}

/// With the managers.
fn real() -> World {
    World { manager: true, ..ours() }
}

/// Under either.
fn each(world: World) -> [World; 2] {
    [World { manager: true, ..world.clone() }, world]
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
    each(World { tries: 1, ..ours() }).iter().for_each(holds);
    holds(&World { tries: 1, grace: true, pongs: true, ..real() });
}

#[test]
fn a_clean_network_takes_one_try() {
    let clean = World { clean: true, within: 1, tries: 3, ..ours() };
    for (public, named, within) in [
        ([false; 2], [false; 2], 1),
        ([true, false], [false; 2], 1),
        ([false, true], [false; 2], 1),
        ([true, false], [true, false], 0),
    ] {
        each(World { public, named, within, ..clean.clone() }).iter().for_each(holds);
    }
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
        each(World { within, ..against(roles, as_a) }).iter().for_each(holds);
    }
}

#[test]
fn listeners_that_don_t_listen_first_fail() {
    let open = World { tries: 1, public: [true, false], ..ours() };
    for world in each(World { rules: [Rule::NoListening; 2], ..open }) {
        fails(&world, "both respond");
    }
}

/// The SYN of A is answered by a reset, before B dials into its listener.
#[test]
fn a_window_that_dies_with_the_stream_fails() {
    let world = World { public: [true, false], resets: [false, true], mismatch: None, ..against(Roles::Spec, true) };
    for world in each(world) {
        holds(&world);
        fails(&World { rules: [Rule::ShortWindow, world.rules[Q]], ..world }, "both respond");
    }
}

#[test]
fn a_dial_that_is_left_running_fails() {
    for world in each(World { rules: [Rule::DialsLeft; 2], ..ours() }) {
        fails(&world, "an own earlier dial is in the way");
    }
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
    for world in each(World { rules: [Rule::DoneAtOnce; 2], failures: 1, ..ours() }) {
        fails(&world, "nobody tried again");
    }
}

#[test]
fn dropping_the_relay_at_establishment_fails() {
    for world in each(World { rules: [Rule::RelayDropped; 2], tries: 1, ..ours() }) {
        fails(&world, "drops the relay");
    }
}

#[test]
fn a_manager_without_proof_fails() {
    for world in each(World { rules: [Rule::Unproven; 2], tries: 1, ..ours() }) {
        fails(&world, "drops the relay");
    }
}

#[test]
fn a_manager_that_keeps_duplicates_fails() {
    for world in each(World { rules: [Rule::KeepsAll; 2], tries: 1, ..ours() }) {
        fails(&world, "the relayed connection is kept beside a direct one");
    }
}

#[test]
fn classes_by_who_dialed_fail() {
    let dial = World { public: [true, false], unsolicited: [0, 1], tries: 1, clean: true, pongs: true, ..ours() };
    for world in each(World { rules: [Rule::ClassByDialer; 2], ..dial }) {
        fails(&world, "closes the last direct connection");
    }
}

#[test]
fn nats_of_all_kinds() {
    for public in [[false, false], [true, false], [false, true]] {
        for resets in [[false, false], [true, false], [false, true], [true, true]] {
            for named in [public, [false, false]] {
                holds(&World { public, resets, named, tries: 1, ..ours() });
            }
            holds(&World { public, resets, tries: 1, ..real() });
        }
    }
    holds(&World { public: [true, false], named: [true, false], tries: 1, ..real() });
}

#[test]
fn nats_with_a_new_port_each_time() {
    for (public, any_port) in
        [([true, false], [false, true]), ([false, true], [true, false]), ([true, true], [true, false])]
    {
        let clean = public == [true, true];
        each(World { public, any_port, clean, tries: 1, ..ours() }).iter().for_each(holds);
    }
    holds(&World { public: [true; 2], any_port: [true, false], tries: 1, ..ours() });
}

#[test]
fn the_relay_is_lost() {
    each(World { losses: 1, tries: 1, ..ours() }).iter().for_each(holds);
    holds(&World { losses: 1, tries: 1, pongs: true, ..real() });
    holds(&World { losses: 1, tries: 1, public: [true, false], ..ours() });
}

#[test]
fn a_direct_connection_is_lost() {
    each(World { breaks: 1, tries: 1, ..ours() }).iter().for_each(holds);
    holds(&World { breaks: 1, tries: 1, grace: true, pongs: true, ..real() });
}

#[test]
fn upgrades_fail_and_streams_are_cut() {
    each(World { failures: 1, tries: 1, ..ours() }).iter().for_each(holds);
    each(World { cuts: 1, tries: 1, ..ours() }).iter().for_each(holds);
}

#[test]
fn a_dial_that_nobody_asked_for() {
    let clean = World { clean: true, ..ours() };
    holds(&World { public: [false, true], unsolicited: [1, 0], ..clean.clone() });
    holds(&World { public: [true, false], unsolicited: [0, 1], ..clean.clone() });
    holds(&World { public: [false, true], unsolicited: [1, 0], manager: true, grace: true, ..clean });
}

#[test]
fn both_are_b() {
    holds(&World { circuits: [true, true], tries: 1, ..ours() });
}

/// The rule of duplicates keeps the circuit of the smaller id, and the other one's stream wins.
#[test]
fn two_circuits_need_a_grace_that_is_longer_than_an_exchange() {
    let both = World { circuits: [true, true], clean: true, pongs: true, tries: 1, ..real() };
    holds(&World { grace: true, ..both.clone() });
    holds(&World { grace: true, budget: true, ..both.clone() });
    fails(&both, "nothing went wrong, and there is no direct connection");
}

#[test]
fn no_hole_without_a_simultaneous_open_unless_one_gave_up_before() {
    each(World { crossing: false, tries: 1, ..ours() }).iter().for_each(holds);
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
fn two_and_three_tries_with_managers() {
    for (tries, at_once) in [(2, true), (2, false), (3, true)] {
        for grace in [false, true] {
            let world = World { tries, at_once, grace, pongs: tries == 2, ..real() };
            holds(&world);
            holds(&World { failures: 1, ..world.clone() });
            holds(&World { losses: 1, ..world.clone() });
            holds(&World { breaks: 1, ..world.clone() });
            holds(&World { public: [false, true], resets: [true, false], ..world.clone() });
        }
        holds(&World { tries, at_once, public: [true, false], named: [true, false], ..real() });
    }
    let flips = World { manager: true, ..flips() };
    holds(&flips);
    fails(&World { rules: [Rule::AlwaysInitiate, flips.rules[Q]], ..flips }, "both propose");
}

#[test]
#[ignore = "large; see the module's documentation"]
fn managers_and_much_goes_wrong() {
    let all = World { tries: 1, failures: 1, losses: 1, breaks: 1, grace: true, ..real() };
    holds(&World { pongs: true, ..all.clone() });
    holds(&World { public: [false, true], resets: [true, true], prompt: true, ..all });
    holds(&World {
        tries: 2,
        public: [true, false],
        named: [true, false],
        failures: 1,
        breaks: 1,
        prompt: true,
        ..real()
    });
    holds(&World { tries: 1, public: [true; 2], any_port: [true, false], ..real() });
    let dials = World { clean: true, tries: 2, ..real() };
    holds(&World { public: [true, false], unsolicited: [0, 1], ..dials.clone() });
    holds(&World { public: [false, true], unsolicited: [1, 0], ..dials });
    let both = World { circuits: [true, true], tries: 1, ..real() };
    holds(&World {
        public: [true, false],
        unsolicited: [0, 1],
        clean: true,
        grace: true,
        budget: true,
        ..both.clone()
    });
    holds(&both);
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
            holds(&World { clean: false, tries: 2, manager: true, ..against(roles, as_a) });
        }
    }
    holds(&flips());
}
