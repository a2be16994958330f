//! `tidewire`: secured, multiplexed libp2p connections from the command line.
//!
//! | file | what it does |
//! |---|---|
//! | `args`, `help` | the command line, to a [`Command`] |
//! | `node`, `keys` | an endpoint from the options |
//! | `protocols` | ping and echo, both sides |
//! | `listen`, `dial`, `demo` | the commands |
//! | `output` | lines for people, objects for programs |
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc)] // a program: std is all there

mod args;
mod demo;
mod dial;
mod help;
mod keys;
mod listen;
mod node;
mod output;
mod protocols;
mod timeline;

use args::{Command, Unusable};
use output::{Output, note};
use std::io::Write;
use std::process::ExitCode;

/// The command line can't be used; the convention of most tools.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    let result = args::parse(std::env::args_os().skip(1)).and_then(run);
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Unusable(why)) => {
            note(&why);
            ExitCode::from(UNUSABLE)
        }
    }
}

/// Whether it went well.
fn run(command: Command) -> Result<bool, Unusable> {
    let output = match &command {
        Command::Print(text) => {
            // Whoever closed stdout does not want to read it.
            let _ = std::io::stdout().write_all(text.as_bytes());
            return Ok(true);
        }
        Command::Listen(args) => Output::new(args.node.json),
        Command::Dial(args) => Output::new(args.node.json),
        Command::Demo(args) => Output::new(args.json),
    };
    let result = match command {
        Command::Listen(args) => block_on(listen::run(args, &output)),
        Command::Dial(args) => block_on(dial::run(args, &output)),
        Command::Demo(args) => Ok(demo::run(&args, &output)),
        Command::Print(_) => Ok(true),
    };
    output.finish();
    result
}

fn block_on(future: impl Future<Output = Result<bool, Unusable>>) -> Result<bool, Unusable> {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            note(&format!("the runtime does not start: {error}"));
            return Ok(false);
        }
    };
    let result = runtime.block_on(future);
    // A name that is being resolved can't be interrupted; nobody waits for it.
    runtime.shutdown_background();
    result
}
