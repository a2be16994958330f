//! Any order of calls on a dialer: the model of the property test must agree, and what any caller may rely on must hold.
#![no_main]

#[path = "../../connmgr/tests/support/dialer_world.rs"]
mod world;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use world::{Op, World, config};

#[derive(Arbitrary, Debug)]
struct Input {
    config: u8,
    ops: Vec<(u8, u8, u16)>,
}

fuzz_target!(|input: Input| {
    let mut world = World::new(config(input.config));
    for (what, pick, bits) in input.ops {
        world.run(Op { what, pick, bits });
    }
    world.end();
});
