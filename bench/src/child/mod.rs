//! The bench, started again as another process.
//!
//! It is asked line by line over its standard input, and answers with a line of JSON; when that input ends, however the bench
//! ended, it ends too.

mod answers;

pub use answers::{Standing, answer, questions, say};

use crate::{crowd, ours, relay, rust};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// The subcommand of the processes that the bench starts. For it alone.
pub const CHILD: &str = "child";

/// A process that answers. Dropped, it is killed.
pub struct Process {
    role: String,
    child: Child,
    questions: ChildStdin,
    answers: Receiver<String>,
}

impl Process {
    /// Starts one in this role, which needs so many descriptors.
    pub fn start(role: &[&str], descriptors: u64) -> Result<Process, String> {
        let failed = |error: std::io::Error| format!("can't start the bench again: {error}");
        let mut child = Command::new(std::env::current_exe().map_err(failed)?)
            .arg(CHILD)
            .arg(descriptors.to_string())
            .args(role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let (Some(questions), Some(said)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("a process without pipes".into());
        };
        let (tell, answers) = channel();
        thread::spawn(move || {
            for line in BufReader::new(said).lines() {
                if line.map(|line| tell.send(line)).is_err() {
                    return;
                }
            }
        });
        Ok(Process { role: role.join(" "), child, questions, answers })
    }

    /// Asks, and waits for the answer.
    pub fn ask(&mut self, what: &str, within: Duration) -> Result<Value, String> {
        writeln!(self.questions, "{what}").map_err(|error| format!("{} is gone: {error}", self.role))?;
        self.answer(within)
    }

    /// Waits for an answer.
    pub fn answer(&mut self, within: Duration) -> Result<Value, String> {
        let line = self.answers.recv_timeout(within).map_err(|_| format!("no answer from: {}", self.role))?;
        let answer: Value =
            serde_json::from_str(&line).map_err(|error| format!("{} answers {line:?}: {error}", self.role))?;
        answer["fault"].as_str().map_or(Ok(answer.clone()), |fault| Err(fault.to_owned()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Such a process: its descriptors, its role, and what belongs to it.
pub fn child(args: &[String]) -> ExitCode {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        [descriptors, "node", node, clients, ping] => number(descriptors).and_then(|descriptors| {
            allow(descriptors)?;
            let (clients, ping) = (number(clients)? as usize, Duration::from_millis(number(ping)?));
            answers::prepare();
            match *node {
                "ours" => ours::node::run(clients, ping),
                "rust" => rust::node::run(ping),
                other => return Err(format!("no such node: {other}")),
            }
            Ok(())
        }),
        [descriptors, "clients", address, count] => number(descriptors).and_then(|descriptors| {
            allow(descriptors)?;
            crowd::clients(address, number(count)? as usize)
        }),
        [descriptors, "relay", whose, size @ ("size" | "plain")] => number(descriptors).and_then(|descriptors| {
            allow(descriptors)?;
            if *size == "size" {
                answers::prepare();
            }
            match *whose {
                "ours" => ours::relay::run(),
                "rust" => rust::relay::run(),
                other => return Err(format!("no such relay: {other}")),
            }
            Ok(())
        }),
        [descriptors, "ends", end, relay, count] => number(descriptors).and_then(|descriptors| {
            allow(descriptors)?;
            relay::ends(end, relay, number(count)?)
        }),
        _ => Err("this subcommand is for the bench itself".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            answers::say(&json!({ "fault": why }));
            ExitCode::FAILURE
        }
    }
}

/// A number of an answer.
///
/// # Errors
/// It is not there.
pub fn figure(of: &Value, what: &str) -> Result<f64, String> {
    of[what].as_f64().ok_or_else(|| format!("an answer without {what}: {of}"))
}

/// A text of an answer.
///
/// # Errors
/// It is not there.
pub fn text(of: &Value, what: &str) -> Result<String, String> {
    of[what].as_str().map(str::to_owned).ok_or_else(|| format!("an answer without {what}: {of}"))
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

/// Raises the limit of open files.
fn allow(descriptors: u64) -> Result<(), String> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= descriptors) {
        return Ok(());
    }
    if maximum.is_some_and(|maximum| maximum < descriptors) {
        return Err(format!("this needs {descriptors} open files: raise the hard limit (ulimit -Hn)"));
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(descriptors), maximum })
        .map_err(|error| format!("{descriptors} open files are not to be had: {error}"))
}
