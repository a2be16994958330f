//! Any order of events on a host: every wish is answered once, orders go to links that are there, and nothing is kept.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::std_instead_of_alloc)]

#[path = "support/host_world.rs"]
mod world;

use proptest::prelude::*;
use world::{Op, World};

/// Anything, and more often what relays and circuits need to go on.
fn what() -> impl Strategy<Value = u8> {
    prop_oneof![any::<u8>(), prop::sample::select(vec![4, 5, 7, 9, 16, 17, 17, 18, 18, 19, 20, 21, 21, 21])]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn every_wish_is_answered_once_and_nothing_is_kept(
        tight: bool,
        acquainted: bool,
        ops in prop::collection::vec((what(), any::<u8>(), any::<u8>()), 1..300),
    ) {
        let mut world = World::new(tight);
        if acquainted {
            world.acquaint();
        }
        for (what, a, b) in ops {
            world.run(Op { what, a, b });
        }
        world.settle();
    }
}
