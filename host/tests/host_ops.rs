//! Any order of events on a host: every wish is answered once, orders go to links that are there, and nothing is kept.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::std_instead_of_alloc)]

#[path = "support/host_world.rs"]
mod world;

use proptest::prelude::*;
use world::{Op, World};

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn every_wish_is_answered_once_and_nothing_is_kept(
        tight: bool,
        ops in prop::collection::vec((any::<u8>(), any::<u8>(), any::<u8>()), 1..300),
    ) {
        let mut world = World::new(tight);
        for (what, a, b) in ops {
            world.run(Op { what, a, b });
        }
        world.settle();
    }
}
