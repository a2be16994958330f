//! Runs a test in many worlds, names the one in which it failed, and leaves its trace as a file.

use crate::trace;
use crate::world::World;
use core::any::Any;
use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::thread;

/// The environment variable that reruns one world: its seed.
pub const SEED_VARIABLE: &str = "TIDEWIRE_SIM_SEED";
/// The environment variable that names the folder for the traces of failed runs. Empty: none is left.
pub const TRACE_VARIABLE: &str = "TIDEWIRE_SIM_TRACE";
/// Records of a failed run that are shown.
const SHOWN: usize = 60;
/// Records of a failed run that are written: the last ones.
const WRITTEN: usize = 200_000;

/// The world of one seed in which a test failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("in the world of seed {seed}: {why}\nto see it again: {SEED_VARIABLE}={seed}\n{}{trace}", left(file.as_ref()))]
pub struct Failed {
    /// The seed.
    pub seed: u64,
    /// What the test said.
    pub why: String,
    /// The end of the trace, if the test asked for one.
    pub trace: String,
    /// Where the whole trace is, as [`trace`](crate::trace) describes it, if it was written.
    pub file: Option<PathBuf>,
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
///
/// The test is then run once more in the same world, so that all of its trace can be written: to `tidewire-sim/` in cargo's
/// target folder, or to the folder that `TIDEWIRE_SIM_TRACE` names. The message says to which file. If that variable is empty,
/// nothing is written.
#[track_caller]
pub fn check(seeds: impl IntoIterator<Item = u64>, test: impl Fn(&mut World) -> Result<(), Box<dyn Error>>) {
    let only = env::var(SEED_VARIABLE).ok().and_then(|seed| seed.parse().ok());
    let result = match only {
        Some(seed) => try_check([seed], &test),
        None => try_check(seeds, &test),
    };
    if let Err(mut failed) = result {
        // That it can't be written must not hide what the test said.
        failed.file = leave(&failed, &test).unwrap_or_default();
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
        let Some(why) = run(&mut world, &test) else { continue };
        let records: Vec<String> = world.trace().records().rev().take(SHOWN).map(ToString::to_string).collect();
        let trace = records.into_iter().rev().collect::<Vec<_>>().join("\n");
        return Err(Failed { seed, why, trace, file: None });
    }
    Ok(())
}

/// How the test failed in this world, if it did.
fn run(world: &mut World, test: impl Fn(&mut World) -> Result<(), Box<dyn Error>>) -> Option<String> {
    match catch_unwind(AssertUnwindSafe(|| test(world))) {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(panic) => Some(said(&*panic)),
    }
}

/// Runs it again with a trace, and writes that.
fn leave(failed: &Failed, test: impl Fn(&mut World) -> Result<(), Box<dyn Error>>) -> io::Result<Option<PathBuf>> {
    let Some(folder) = folder() else { return Ok(None) };
    fs::create_dir_all(&folder)?;
    let mut world = World::new(failed.seed);
    world.trace_fully(WRITTEN);
    let again = run(&mut world, test);
    let why = match again {
        Some(why) => why,
        None => format!(
            "{} (when it was run again for this trace, it did not fail: it depends on more than the seed)",
            failed.why
        ),
    };
    let name = thread::current().name().unwrap_or("world").replace("::", "-");
    let path = folder.join(format!("{name}-seed-{}.jsonl", failed.seed));
    let mut file = BufWriter::new(File::create(&path)?);
    trace::write(world.trace(), &world.header(Some(&why)), &mut file)?;
    file.flush()?;
    Ok(Some(path))
}

/// Where traces of failed runs go.
fn folder() -> Option<PathBuf> {
    if let Some(named) = env::var_os(TRACE_VARIABLE) {
        return (!named.is_empty()).then(|| named.into());
    }
    // Tests are run from `target/debug/deps/`.
    let test = env::current_exe().ok()?;
    let target = test.ancestors().nth(3).filter(|_| test.parent().is_some_and(|folder| folder.ends_with("deps")));
    Some(target.map_or_else(|| PathBuf::from("target"), PathBuf::from).join("tidewire-sim"))
}

fn left(file: Option<&PathBuf>) -> String {
    file.map(|file| format!("its trace: {}\n", file.display())).unwrap_or_default()
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("without a message"))
}
