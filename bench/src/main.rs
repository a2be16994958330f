//! Tidewire beside rust-libp2p and beside the bare cost of the same cryptography.
//!
//! ```text
//! cargo run --release --manifest-path bench/Cargo.toml -- [--quick] [--only NAME]... [--json FILE]
//! ```
//!
//! Contenders: `ours`; `rust`, which is rust-libp2p 0.57 and its parts; `bare`, the cryptography alone. Both ends of a
//! conversation run in one thread, without sockets, unless the row says so. What one end sends is handed to the other:
//! to ours as its receive buffer, to rust through a pipe in memory, which is what its sockets are; `--only pipe` shows what
//! the pipe itself costs.

mod alloc;
mod budget;
mod floor;
mod harness;
mod ours;
mod report;
mod rows;
mod rust;

use harness::Effort;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: alloc::Counting = alloc::Counting;

const USAGE: &str = "usage: tidewire-bench [--quick] [--only NAME]... [--json FILE] [--list]";

fn main() -> ExitCode {
    let (mut quick, mut list, mut only, mut file) = (false, false, Vec::new(), None);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--quick" => quick = true,
            "--list" => list = true,
            "--only" | "--json" => {
                let Some(value) = args.next() else {
                    eprintln!("{arg} needs a value\n{USAGE}");
                    return ExitCode::from(2);
                };
                if arg == "--only" { only.push(value) } else { file = Some(value) }
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
    let mut done = Vec::new();
    for entry in entries {
        if list {
            println!("{}", entry.name);
            continue;
        }
        let row = (entry.measure)(entry.name, if quick { Effort::QUICK } else { Effort::FULL });
        report::print(&row);
        done.push(row);
    }
    if list {
        return ExitCode::SUCCESS;
    }
    let (kept, missed, unknown) = report::tally(&done);
    println!("\nbudgets: {kept} kept, {missed} missed, {unknown} not measured");
    if let Some(file) = file
        && let Err(error) = std::fs::write(&file, format!("{:#}\n", report::json(&done, quick)))
    {
        eprintln!("can't write {file}: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn wanted(name: &str, only: &[String]) -> bool {
    only.is_empty() || only.iter().any(|part| name.contains(part.as_str()))
}
