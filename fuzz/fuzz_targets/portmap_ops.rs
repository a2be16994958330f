//! Any order of calls on a mapper, with a router that says anything: what it tells is what it holds.
//!
//! Four bytes make the configuration, each four further ones an operation. The property test drives the same world.
#![no_main]

extern crate alloc;

#[path = "../../portmap/tests/model/world.rs"]
mod world;

use libfuzzer_sys::fuzz_target;
use world::World;

const MAX_STEPS: usize = 300;

fuzz_target!(|data: &[u8]| {
    let Some((config, steps)) = data.split_first_chunk::<4>() else { return };
    let mut world = World::new(*config);
    for step in steps.as_chunks::<4>().0.iter().take(MAX_STEPS) {
        world.step(*step);
    }
    world.finish();
});
