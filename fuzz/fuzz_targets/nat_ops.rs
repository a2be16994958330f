//! Any packets through a simulated NAT or firewall: its books are right, no cap is passed, and answers find who asked.
#![no_main]

#[path = "../../sim/tests/nat/ops_world.rs"]
mod world;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use world::{Op, Ops};

#[derive(Arbitrary, Debug)]
struct Input {
    config: u16,
    ops: Vec<(u8, u8, u16)>,
}

fuzz_target!(|input: Input| {
    let mut world = Ops::new(input.config);
    for (what, pick, bits) in input.ops {
        world.run(Op { what, pick, bits });
    }
});
