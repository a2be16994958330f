//! `tidewire`: a libp2p node on the command line.
//!
//! | file | what it does |
//! |---|---|
//! | `args`, `help` | the command line, to a [`Command`] |
//! | `settings` | the configuration file |
//! | `node`, `keys`, `logs` | a node from the options |
//! | `watch`, `session`, `probe` | what a node's connections report; one that was dialed; who is at an address |
//! | `protocols` | ping and echo, both sides |
//! | `serving` | what all commands have around their node that others come to |
//! | `listen`, `dial`, `relay`, `reserve`, `punch`, `autonat`, `ping`, `demo`, `id`, `peers` | the commands |
//! | `relaying`, `auto_relay`, `screen` | what is told of relays; how they are chosen; what `relay` shows on a terminal |
//! | `punching`, `upgrade` | what is told of hole punches; what becomes of a circuit |
//! | `mapping` | what is told of ports mapped at the router |
//! | `record`, `replay`, `trace` | recordings: written, run again, drawn |
//! | `control`, `metrics` | what a running node tells others on this machine |
//! | `output` | lines for people, objects for programs |
//! | `timeline`, `delay` | the picture of a connection; a wire that takes its time |
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc)] // a program: std is all there

mod args;
mod auto_relay;
mod autonat;
mod control;
mod delay;
mod demo;
mod dial;
mod help;
mod id;
mod keys;
mod listen;
mod logs;
mod mapping;
mod metrics;
mod node;
mod output;
mod peers;
mod ping;
mod probe;
mod protocols;
mod punch;
mod punching;
mod record;
mod relay;
mod relaying;
mod replay;
mod reserve;
mod screen;
mod serving;
mod session;
mod settings;
mod timeline;
mod trace;
mod upgrade;
mod watch;

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
    let of = |node: &args::Node| (node.json, node.log.clone());
    let (json, log) = match &command {
        Command::Print(text) => return Ok(print(text)),
        Command::Config(file) => {
            let config = node::configured(file.as_deref())?;
            return Ok(print(&settings::print(&config)));
        }
        Command::Listen(args) => of(&args.serving.node),
        Command::Relay(args) => of(&args.serving.node),
        Command::Reserve(args) => of(&args.serving.node),
        Command::AutonatServer(args) => of(&args.serving.node),
        Command::AutonatClient(args) => of(&args.serving.node),
        Command::Dial(args) | Command::DialCircuit(args) => of(&args.node),
        Command::Punch(args) => of(&args.node),
        Command::Ping(args) => of(&args.node),
        Command::Demo(args) => (args.json, None),
        Command::Id(args) => (args.json, None),
        Command::Peers(args) => (args.json, None),
        Command::Replay { json, .. } => (*json, None),
        Command::Trace(_) => (false, None),
    };
    logs::start(log.as_deref());
    let output = Output::new(json);
    let result = match command {
        Command::Listen(args) => block_on(listen::run(args, &output)),
        Command::Dial(args) | Command::DialCircuit(args) => block_on(dial::run(args, &output)),
        Command::Relay(args) => block_on(relay::run(args, &output)),
        Command::Reserve(args) => block_on(reserve::run(args, &output)),
        Command::AutonatServer(args) => block_on(autonat::serve(args, &output)),
        Command::AutonatClient(args) => block_on(autonat::ask(args, &output)),
        Command::Punch(args) => block_on(punch::run(args, &output)),
        Command::Ping(args) => block_on(ping::run(args, &output)),
        Command::Demo(args) => demo::run(&args, &output),
        Command::Id(args) => id::run(&args, &output),
        Command::Peers(args) => Ok(peers::run(&args, &output)),
        Command::Replay { args, .. } => Ok(replay::run(&args, &output)),
        Command::Trace(args) => Ok(trace::run(&args, &output)),
        Command::Config(_) | Command::Print(_) => Ok(true),
    };
    output.finish();
    result
}

/// Whoever closed stdout does not want to read it.
fn print(text: &str) -> bool {
    let _ = std::io::stdout().write_all(text.as_bytes());
    true
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
