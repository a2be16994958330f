//! Two nodes, anything in any order, sockets that break: every wish is answered once, and in the end nothing is kept.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::std_instead_of_alloc)]

#[path = "support/pair_world.rs"]
mod world;

use proptest::prelude::*;
use world::World;

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_wish_is_answered_once_and_all_streams_are_gone_in_the_end(
        mplex: bool,
        tight: bool,
        ops in prop::collection::vec((any::<u8>(), any::<u8>(), any::<u8>()), 1..200),
    ) {
        let mut world = World::new(mplex, tight);
        for (what, a, b) in ops {
            world.run(what, a, b);
        }
        world.settle();
    }
}
