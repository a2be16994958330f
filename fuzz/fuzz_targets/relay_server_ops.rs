//! Any order of calls on a relay server, beside a reference that walks lists: the same answers, deadlines and counts.
//!
//! Eight bytes make the configuration, each four further ones an operation. The property test drives the same world.
#![no_main]

#[path = "../../relay/tests/server_model/reference.rs"]
mod reference;
#[path = "../../relay/tests/server_model/world.rs"]
mod world;

use libfuzzer_sys::fuzz_target;
use world::World;

/// The reference walks lists, and the log grows.
const MAX_STEPS: usize = 300;

fuzz_target!(|data: &[u8]| {
    let Some((config, steps)) = data.split_first_chunk::<8>() else { return };
    let mut world = World::new(*config);
    for step in steps.as_chunks::<4>().0.iter().take(MAX_STEPS) {
        world.step(*step);
    }
    world.finish();
});
