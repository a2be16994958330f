//! Any order of calls on a table of components: the model of the property test must agree, and each component must be told
//! things in order.
#![no_main]

#[path = "../../connmgr/tests/support/components_world.rs"]
mod world;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tidewire_connmgr::components::ComponentsConfig;
use world::{Op, World};

#[derive(Arbitrary, Debug)]
struct Input {
    tight: bool,
    ops: Vec<(u8, u8, u16)>,
}

fuzz_target!(|input: Input| {
    let mut world = World::new(if input.tight { world::tight() } else { ComponentsConfig::default() });
    for (what, pick, bits) in input.ops {
        world.run(Op { what, pick, bits });
    }
    world.poll(usize::MAX);
});
