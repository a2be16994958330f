//! Tidewire beside rust-libp2p and beside the bare cost of the same cryptography.
//!
//! ```text
//! cargo run --release --manifest-path bench/Cargo.toml -- [--quick] [--only NAME]... [--json FILE] [--markdown]
//! ```
//!
//! Contenders: `ours`; `rust`, which is rust-libp2p 0.57 and its parts; `bare`, the cryptography alone. Both ends of a
//! conversation run in one thread, without sockets, unless the row says so. What one end sends is handed to the other:
//! to ours as its receive buffer, to rust through a pipe in memory, which is what its sockets are; `--only parts` shows, among others, what
//! the pipe itself costs.

mod alloc;
mod baseline;
mod budget;
mod child;
mod crowd;
mod floor;
mod flow;
mod harness;
mod machine;
mod ours;
mod relay;
mod report;
mod rows;
mod rust;

use harness::Effort;
use machine::Machine;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: alloc::Counting = alloc::Counting;

const USAGE: &str = "\
usage: tidewire-bench [--quick] [--only NAME]... [--contender NAME]... [--json FILE] [--markdown] [--list]

  --quick           whether everything still runs; the figures mean little
  --only NAME       rows whose name contains this
  --contender NAME  no one else, for a profiler; then most budgets can't be judged
  --json FILE       all figures, for machines
  --markdown        the table for a README instead of the figures
  --list            the names of the rows";

fn main() -> ExitCode {
    let (mut quick, mut list, mut markdown, mut only, mut file) = (false, false, false, Vec::new(), None);
    let mut contenders = Vec::new();
    let mut args = std::env::args().skip(1);
    if std::env::args().nth(1).as_deref() == Some(child::CHILD) {
        return child::child(&args.skip(1).collect::<Vec<_>>());
    }
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--quick" => quick = true,
            "--list" => list = true,
            "--markdown" => markdown = true,
            "--only" | "--contender" | "--json" => {
                let Some(value) = args.next() else {
                    eprintln!("{arg} needs a value\n{USAGE}");
                    return ExitCode::from(2);
                };
                match arg.as_str() {
                    "--only" => only.push(value),
                    "--contender" => contenders.push(value),
                    _ => file = Some(value),
                }
            }
            _ => {
                eprintln!("{arg} is not understood\n{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    let entries: Vec<_> = rows::all().into_iter().filter(|row| wanted(row.name, &only)).collect();
    if entries.is_empty() {
        eprintln!("no row is called like that; --list shows them all");
        return ExitCode::from(2);
    }
    if list {
        entries.iter().for_each(|entry| println!("{}", entry.name));
        return ExitCode::SUCCESS;
    }
    let mut effort = if quick { Effort::QUICK } else { Effort::FULL };
    effort.contenders = contenders;
    let mut done = Vec::new();
    for entry in entries {
        let row = (entry.measure)(entry.name, &effort);
        if markdown {
            eprintln!("{}", entry.name);
        } else {
            report::print(&row);
        }
        done.push(row);
    }
    let machine = Machine::here();
    if markdown {
        print!("{}", report::markdown(&done, &machine));
    } else {
        let (kept, missed, unknown) = report::tally(&done);
        println!("\nbudgets: {kept} kept, {missed} missed, {unknown} not measured\n{machine}");
    }
    if let Some(file) = file
        && let Err(error) = std::fs::write(&file, format!("{:#}\n", report::json(&done, &machine, quick)))
    {
        eprintln!("can't write {file}: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn wanted(name: &str, only: &[String]) -> bool {
    only.is_empty() || only.iter().any(|part| name.contains(part.as_str()))
}
