//! `tidewire-lab`: hole punching between whole hosts, in the simulated world.
//!
//! ```text
//! cargo run --release -p tidewire-lab -- matrix            every pair of NATs, 20 seeds each: hours of one core
//! cargo run --release -p tidewire-lab -- matrix --quick    one NAT of each group, 4 seeds
//! cargo run --release -p tidewire-lab -- one A B --seed 3  one pair, and all that both hosts report
//! cargo run --release -p tidewire-lab -- punches           500,000 punches in one world, and the memory
//! ```
//! The exit code is 1 if something is not as it should be.
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc, reason = "a command, on a machine that has std")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod front;
mod matrix;
mod picture;
mod punches;
mod scene;
#[allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "shared with the host's tests")]
#[path = "../../host/tests/support/solo_node.rs"]
mod solo_node;
mod text;

use lexopt::prelude::{Long, Short, Value, ValueExt};
use scene::Trouble;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use std::{env, fs};

const HELP: &str = "\
tidewire-lab matrix [--nats LIST] [--seeds N] [--quick] [--jobs N] [--minutes N] [--text FILE] [--png FILE] [--json FILE]
    Punches between every two of these NATs, and compares with theory. LIST: all, nats, few, others, or parts of
    names like EIM/APDF/random/reset, separated by commas; default all. --quick: few,others with 4 seeds.
tidewire-lab one A B [--seed N]
    One pair, by their names in lists, and what both hosts report.
tidewire-lab punches [--count N] [--batch N] [--minutes N]
    Punches in one world, 500,000 by default, and whether memory grows.
";

struct Args {
    words: Vec<String>,
    nats: Option<String>,
    seeds: Option<u64>,
    seed: u64,
    quick: bool,
    jobs: usize,
    minutes: Option<f64>,
    text: Option<PathBuf>,
    png: Option<PathBuf>,
    json: Option<PathBuf>,
    count: usize,
    batch: usize,
}

fn args() -> Result<Args, lexopt::Error> {
    let mut args = Args {
        words: Vec::new(),
        nats: None,
        seeds: None,
        seed: 0,
        quick: false,
        jobs: 1,
        minutes: None,
        text: None,
        png: None,
        json: None,
        count: 500_000,
        batch: 1_000,
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("nats") => args.nats = Some(parser.value()?.string()?),
            Long("seeds") => args.seeds = Some(parser.value()?.parse()?),
            Long("seed") => args.seed = parser.value()?.parse()?,
            Long("quick") => args.quick = true,
            Long("jobs") => args.jobs = parser.value()?.parse()?,
            Long("minutes") => args.minutes = Some(parser.value()?.parse()?),
            Long("text") => args.text = Some(parser.value()?.into()),
            Long("png") => args.png = Some(parser.value()?.into()),
            Long("json") => args.json = Some(parser.value()?.into()),
            Long("count") => args.count = parser.value()?.parse()?,
            Long("batch") => args.batch = parser.value()?.parse()?,
            Long("help") | Short('h') => args.words.clear(),
            Value(word) => args.words.push(word.string()?),
            _ => return Err(arg.unexpected()),
        }
    }
    Ok(args)
}

fn main() -> ExitCode {
    let done = args().map_err(Trouble::from).and_then(|args| {
        let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
        match words[..] {
            ["matrix"] => matrix(&args),
            ["one", a, b] => one(a, b, args.seed),
            ["punches"] => punches(&args),
            _ => {
                print!("{HELP}");
                Ok(true)
            }
        }
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn limit(args: &Args) -> Option<Duration> {
    args.minutes.and_then(|minutes| Duration::try_from_secs_f64(minutes * 60.0).ok())
}

fn matrix(args: &Args) -> Result<bool, Trouble> {
    let (list, seeds) = if args.quick { ("few,others", 4) } else { ("all", 20) };
    let order = matrix::Order {
        fronts: front::by_list(args.nats.as_deref().unwrap_or(list))?,
        seeds: args.seeds.unwrap_or(seeds),
        jobs: args.jobs,
        limit: limit(args),
        progress: true,
    };
    let command = env::args().skip(1).collect::<Vec<_>>().join(" ");
    let command = format!("cargo run --release -p tidewire-lab -- {command}");
    let matrix = matrix::run(&order);
    let table = text::render(&matrix, &command);
    print!("{table}");
    if let Some(path) = &args.text {
        fs::write(path, &table)?;
    }
    if let Some(path) = &args.png {
        picture::write(&matrix, BufWriter::new(File::create(path)?))?;
    }
    if let Some(path) = &args.json {
        serde_json::to_writer(BufWriter::new(File::create(path)?), &text::json(&matrix, &command))?;
    }
    Ok(matrix.holds())
}

fn one(a: &str, b: &str, seed: u64) -> Result<bool, Trouble> {
    let exact = |name: &str| {
        let found = front::by_list(name)?;
        found
            .iter()
            .find(|named| named.name == name)
            .or(found.first())
            .cloned()
            .ok_or("no such NAT")
            .map_err(str::to_owned)
    };
    let (a, b) = (exact(a)?, exact(b)?);
    let way = matrix::Way::of(&a.front, &b.front);
    println!("A: {}, B: {}, seed {seed}, theory: {way:?}, {:?}", a.name, b.name, scene::theory(&a.front, &b.front));
    let punched = scene::punch(&a.name, &a.front, &b.name, &b.front, seed)?;
    println!("{}\nskews: {:?}, echoed: {}", punched.details, punched.skews, punched.echoed);
    Ok(punched.upgraded == way.is_expected() && punched.echoed)
}

fn punches(args: &Args) -> Result<bool, Trouble> {
    let order = punches::Order { count: args.count, batch: args.batch, limit: limit(args), progress: true };
    println!("{:>9} {:>12} {:>14} {:>14}", "punches", "world's time", "heap since", "hosts hold");
    let course = punches::run(&order, |look| {
        let punches::Look { punches, at, heap, hosts } = look;
        println!("{punches:>9} {:>10} s {heap:>12} B {hosts:>12} B", at.as_secs());
    })?;
    let (heap, hosts) = course.growth();
    println!(
        "{} punches, {} upgraded, {} on the first try, in {:.0} s; from the second quarter to the last: heap {heap:+} B, hosts {hosts:+} B",
        course.punches,
        course.upgraded,
        course.first,
        course.took.as_secs_f64()
    );
    Ok(course.holds())
}
