//! Any order of inputs on the coordinator of hole punches: it ends, leaves nothing running, and keeps the rules that can be seen
//! from outside.
//!
//! Eight bytes make the configuration, each four further ones an operation. The property test drives the same world.
#![no_main]

#[path = "../../dcutr/tests/coordinator_model/world.rs"]
mod world;

use libfuzzer_sys::fuzz_target;
use world::World;

/// Each of them may let minutes pass, with a call at each deadline.
const MAX_STEPS: usize = 300;

fuzz_target!(|data: &[u8]| {
    let Some((config, steps)) = data.split_first_chunk::<8>() else { return };
    let mut world = World::new(*config);
    for step in steps.as_chunks::<4>().0.iter().take(MAX_STEPS) {
        world.step(*step);
    }
    world.finish();
});
