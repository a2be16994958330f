//! The dialer under any order of calls: beside a naive model, and watched by someone who knows only the rules.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::std_instead_of_alloc)]

#[path = "support/dialer_world.rs"]
mod world;

use proptest::prelude::*;
use world::{Op, World, config};

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = (any::<u8>(), any::<u8>(), any::<u16>()).prop_map(|(what, pick, bits)| Op { what, pick, bits });
    proptest::collection::vec(op, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn it_does_as_the_model_and_keeps_the_rules(ops in ops(), which in 0_u8..3) {
        let mut world = World::new(config(which));
        for op in ops {
            world.run(op);
        }
        world.end();
    }
}
