//! Runs a test in many worlds, and names the one in which it failed.

use crate::world::World;
use core::any::Any;
use std::env;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The environment variable that reruns one world: its seed.
pub const SEED_VARIABLE: &str = "TIDEWIRE_SIM_SEED";
/// Records of a failed run that are shown.
const SHOWN: usize = 60;

/// The world of one seed in which a test failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("in the world of seed {seed}: {why}\nto see it again: {SEED_VARIABLE}={seed}\n{trace}")]
pub struct Failed {
    /// The seed.
    pub seed: u64,
    /// What the test said.
    pub why: String,
    /// The end of the trace, if the test asked for one.
    pub trace: String,
}

/// Runs `test` in a fresh world of each seed. With `TIDEWIRE_SIM_SEED` set, in the world of that seed alone.
///
/// ```
/// use core::time::Duration;
/// use tidewire_sim::check;
///
/// check(0..10, |world| {
///     world.run_for(Duration::from_secs(1))?;
///     assert_eq!(world.stats().packets, 0);
///     Ok(())
/// });
/// ```
///
/// # Panics
/// The test failed in a world, by an error or a panic of its own. The message says the seed and how to see it again, and
/// shows the end of the trace if [`World::trace_on`] was called.
#[track_caller]
pub fn check(seeds: impl IntoIterator<Item = u64>, test: impl Fn(&mut World) -> Result<(), Box<dyn Error>>) {
    let only = env::var(SEED_VARIABLE).ok().and_then(|seed| seed.parse().ok());
    let result = match only {
        Some(seed) => try_check([seed], test),
        None => try_check(seeds, test),
    };
    if let Err(failed) = result {
        #[allow(clippy::panic, reason = "that is how a test fails")]
        {
            panic!("{failed}");
        }
    }
}

/// The same, with the failure as a value, and without a look at the environment.
///
/// # Errors
/// The first world in which the test failed.
pub fn try_check(
    seeds: impl IntoIterator<Item = u64>,
    test: impl Fn(&mut World) -> Result<(), Box<dyn Error>>,
) -> Result<(), Failed> {
    for seed in seeds {
        let mut world = World::new(seed);
        let why = match catch_unwind(AssertUnwindSafe(|| test(&mut world))) {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(panic) => said(&*panic),
        };
        let records: Vec<String> = world.trace().records().rev().take(SHOWN).map(ToString::to_string).collect();
        let trace = records.into_iter().rev().collect::<Vec<_>>().join("\n");
        return Err(Failed { seed, why, trace });
    }
    Ok(())
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("without a message"))
}
