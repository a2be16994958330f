//! The relay client beside a world that knows only the rules: the same answers, decisions and counts after any sequence.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::cast_possible_truncation)]
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::field_reassign_with_default,
    clippy::manual_is_multiple_of,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc
)]

#[path = "client_model/world.rs"]
mod world;

use proptest::prelude::*;
use world::World;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
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
