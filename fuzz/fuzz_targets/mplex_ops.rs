//! Any order of calls on two mplex ends that talk to each other: the model of the property test must agree.
#![no_main]

#[path = "../../upgrade/tests/support/mplex_world.rs"]
mod world;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tidewire_upgrade::muxer::mplex::Config;
use world::{Op, World};

#[derive(Arbitrary, Debug)]
struct Input {
    tight: bool,
    ops: Vec<(u8, u8, u16)>,
}

fuzz_target!(|input: Input| {
    let mut config = Config::default();
    (config.max_tx, config.max_streams) = (8000, 16);
    if input.tight {
        (config.max_tx, config.max_streams, config.split) = (100, 3, 50);
        (config.max_stream_buffer, config.max_connection_buffer) = (300, 500);
    }
    let mut world = World::new(config);
    for (what, pick, size) in input.ops {
        world.run(Op { what: what % 36, pick, size });
    }
    world.drain();
});
