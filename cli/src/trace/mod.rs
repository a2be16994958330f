//! `tidewire trace FILE`: a recording as a sequence diagram, on the terminal or as a page.
//!
//! ```text
//!  file --> Replay --> steps --words--> Picture: columns (peers), rows --text--> terminal
//!                                                                     \--html--> one page, with nothing from elsewhere
//! ```
//! A file of `tidewire-sim` is drawn by `simulated`, with nothing run again: it says itself what happened.
//!
//! The recording holds what the host was told; what it did and why comes from running it again. So a picture is always of the
//! truth, or says where the host no longer does what it did.

mod html;
mod picture;
mod punches;
pub(crate) mod relays;
mod simulated;
#[cfg(test)]
mod tests;
mod text;
pub(crate) mod words;

pub(crate) use text::clock;

use crate::output::{Output, note};
use picture::Picture;
use std::path::{Path, PathBuf};
use tidewire_host::record::Replay;

/// What is to be drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) file: PathBuf,
    /// Where the page goes. `None`: to the terminal.
    pub(crate) html: Option<PathBuf>,
}

/// Whether the recording was whole, and replayed identically.
pub(crate) fn run(args: &Args, output: &Output) -> bool {
    let picture = match load(&args.file).and_then(|file| look(args, &file, output)) {
        Ok(Some(picture)) => picture,
        Ok(None) => return true,
        Err(why) => {
            note(&why);
            return false;
        }
    };
    if let Some(path) = &args.html {
        if let Err(error) = std::fs::write(path, html::page(&picture)) {
            note(&format!("{} can't be written: {error}", path.display()));
            return false;
        }
        if !output.json {
            output.line(format!("{} steps drawn in {}", picture.steps, path.display()));
        }
    }
    if output.json {
        for row in &picture.rows {
            output.object(row);
        }
        output.object(&Summary {
            steps: picture.steps,
            identical: picture.good(),
            differs: picture.differs,
            ending: &picture.ending,
            us: &picture.us,
            peers: &picture.columns,
        });
    } else if args.html.is_none() {
        for line in text::lines(&picture, width(), output) {
            output.line(line);
        }
    }
    picture.good()
}

/// The last line of `--json`.
#[derive(Debug, serde::Serialize)]
struct Summary<'a> {
    steps: u64,
    identical: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    differs: Option<u64>,
    ending: &'a str,
    us: &'a str,
    /// What the columns of the rows mean.
    peers: &'a [picture::Column],
}

/// The picture of a recording; `None`: it was the trace of a simulated world, and is drawn.
fn look(args: &Args, file: &[u8], output: &Output) -> Result<Option<Picture>, String> {
    let named = |why: String| format!("{}: {why}", args.file.display());
    if !simulated::is_one(file) {
        return Replay::new(file).map(|replay| Some(Picture::of(replay))).map_err(|error| named(error.to_string()));
    }
    if args.html.is_some() {
        return Err(named("the trace of a simulated world is drawn on the terminal alone; leave --html out".into()));
    }
    let world = simulated::read(file).map_err(named)?;
    simulated::lines(&world, width(), output).into_iter().for_each(|line| output.line(line));
    Ok(None)
}

/// A recording, ready to run.
pub(crate) fn open(path: &Path) -> Result<Replay, String> {
    let file = load(path)?;
    if simulated::is_one(&file) {
        return Err(format!("{}: this is the trace of a simulated world: tidewire trace draws it", path.display()));
    }
    Replay::new(&file).map_err(|error| format!("{}: {error}", path.display()))
}

fn load(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{} can't be read: {error}", path.display()))
}

/// Of the terminal, as the shell says; else what fits on most.
fn width() -> usize {
    std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(110)
}
