//! Two nodes, anything in any order, sockets that break: the world of the property test must find nothing amiss.
#![no_main]

#[path = "../../host/tests/support/pair_world.rs"]
mod world;

use libfuzzer_sys::fuzz_target;
use world::World;

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let mut world = World::new(first % 2 == 1, first & 2 != 0);
    for op in rest.as_chunks::<3>().0.iter().take(200) {
        let [what, a, b] = *op;
        world.run(what, a, b);
    }
    world.settle();
});
