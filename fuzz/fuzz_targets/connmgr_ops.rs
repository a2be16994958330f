//! Any order of calls on a connection manager, with duplicates, pings, redials and dials: what must hold in any case holds.
//!
//! 40 bytes make the configuration, each four further ones an operation. The property test drives the same watcher.
#![no_main]

#[path = "../../connmgr/tests/model/setup.rs"]
mod setup;
#[path = "../../connmgr/tests/model/watch.rs"]
mod watch;
#[path = "../../connmgr/tests/model/world.rs"]
#[allow(dead_code, reason = "the reference of the property test uses the rest")]
mod world;

use libfuzzer_sys::fuzz_target;
use watch::Watch;

/// Each of them may let half an hour pass, with a call at each deadline.
const MAX_STEPS: usize = 300;

fuzz_target!(|data: &[u8]| {
    let Some((config, steps)) = data.split_first_chunk::<40>() else { return };
    let mut watch = Watch::new(config, u32::from(config[39] % 2) + 1);
    for step in steps.as_chunks::<4>().0.iter().take(MAX_STEPS) {
        watch.run(*step);
    }
    watch.finish();
});
