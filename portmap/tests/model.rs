//! Any order of calls on a mapper, beside a list of what it said that it holds.
#![allow(clippy::unwrap_used, clippy::panic)]
extern crate alloc;

#[path = "model/world.rs"]
mod world;

use proptest::prelude::*;
use world::World;

proptest! {
    #[test]
    fn what_it_tells_is_what_it_holds_and_in_the_end_nothing_is_left(
        config in any::<[u8; 4]>(),
        steps in proptest::collection::vec(any::<[u8; 4]>(), 0..150),
    ) {
        let mut world = World::new(config);
        for step in steps {
            world.step(step);
        }
        world.finish();
    }
}
