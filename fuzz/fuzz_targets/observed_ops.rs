//! Any order of calls on the machine that counts observers: the model of the property test must agree.
#![no_main]

#[path = "../../host/tests/support/observed_world.rs"]
mod world;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use world::{Op, World};

#[derive(Arbitrary, Debug)]
struct Input {
    tight: bool,
    ops: Vec<(u8, u8, u8, u8)>,
}

fuzz_target!(|input: Input| {
    let mut world = World::new(input.tight);
    for (what, a, b, c) in input.ops.into_iter().take(500) {
        world.run(Op { what, a, b, c });
    }
    world.settle();
});
