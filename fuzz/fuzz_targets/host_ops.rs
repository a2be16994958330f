//! Any order of events on a host: the world of the property test must find nothing amiss.
#![no_main]

#[path = "../../host/tests/support/host_world.rs"]
mod world;

use libfuzzer_sys::fuzz_target;
use world::{Op, World};

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let mut world = World::new(first & 1 != 0);
    if first & 2 != 0 {
        world.acquaint();
    }
    for op in rest.as_chunks::<3>().0.iter().take(400) {
        let [what, a, b] = *op;
        world.run(Op { what, a, b });
    }
    world.settle();
});
