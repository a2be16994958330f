//! AutoRelay beside a world that knows only the rules; and the scenario: AutoRelay and the relay client together.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::cast_possible_truncation)]
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::field_reassign_with_default,
    clippy::manual_is_multiple_of,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc
)]

#[path = "autorelay_model/world.rs"]
mod random;
#[path = "autorelay_model/together.rs"]
mod together;

use core::time::Duration;
use proptest::prelude::*;
use random::World;
use together::Node;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn it_does_what_the_rules_say(
        config in any::<[u8; 8]>(),
        steps in prop::collection::vec(any::<[u8; 4]>(), 1..150),
    ) {
        let mut world = World::new(config);
        for step in steps {
            world.step(step);
        }
        world.finish();
    }
}

#[test]
fn of_five_relays_two_are_killed_and_within_a_minute_three_are_held_again_and_announced() {
    for seed in 0..20 {
        let mut node = Node::new(seed, 5);
        node.run(Duration::from_secs(60));
        let held = node.held();
        assert_eq!(held.len(), 3);
        assert_eq!(node.announced(), held, "the circuits of those, and of no others");
        for relay in &held[..2] {
            node.kill(*relay);
        }
        node.run(Duration::from_secs(60));
        let again = node.held();
        assert_eq!(again.len(), 3);
        assert!(again.iter().all(|relay| !held[..2].contains(relay)));
        assert_eq!(node.announced(), again);
        assert_eq!(node.protected(), again, "the dead ones are not protected any more");
    }
}

#[test]
fn of_three_relays_one_restarts_and_is_held_again_within_a_minute() {
    let mut node = Node::new(1, 3);
    node.run(Duration::from_secs(60));
    let held = node.held();
    assert_eq!(held.len(), 3);
    node.kill(held[0]);
    node.run(Duration::from_secs(5));
    assert_eq!(node.held().len(), 2);
    node.revive(held[0]);
    node.run(Duration::from_secs(60));
    assert_eq!(node.held(), held);
}

#[test]
fn relays_are_kept_for_days() {
    let mut node = Node::new(2, 5);
    node.run(Duration::from_secs(60));
    let held = node.held();
    node.run(Duration::from_secs(3 * 24 * 3600));
    assert_eq!(node.held(), held);
    assert_eq!(node.announcements(), 3, "one for each relay, and none for renewals");
}

#[test]
fn when_all_relays_die_at_once_it_comes_back_with_them() {
    let mut node = Node::new(3, 5);
    node.run(Duration::from_secs(60));
    for relay in node.all() {
        node.kill(relay);
    }
    node.run(Duration::from_secs(600));
    assert_eq!((node.held().len(), node.announced().len(), node.protected().len()), (0, 0, 0));
    for relay in node.all() {
        node.revive(relay);
    }
    node.run(Duration::from_secs(1800));
    assert_eq!(node.held().len(), 3);
}
