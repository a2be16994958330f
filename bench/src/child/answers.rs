//! What a node under test has to say, whoever's it is.

use crate::alloc;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use std::io::{BufRead, Write};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// How a node stands.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Connections that are established.
    pub connections: u64,
    /// What went wrong: connections refused, failed and closed, pings without an answer.
    pub errors: u64,
    /// The last of it.
    pub why: String,
}

/// Counts what the process allocates from here on.
pub(super) fn prepare() {
    alloc::watch();
}

/// Says where the node listens, and answers until the bench is gone.
pub async fn answer(address: String, standing: impl Fn() -> Standing) {
    let mut questions = questions();
    say(&json!({ "address": address }));
    while questions.recv().await.is_some() {
        let (Standing { connections, errors, why }, count) = (standing(), alloc::now());
        let time = clock_gettime(ClockId::ProcessCPUTime);
        say(&json!({
            "connections": connections,
            "errors": errors,
            "why": why,
            "heap": count.live,
            "buffers": count.buffers,
            "allocations": count.calls,
            "allocated": count.bytes,
            "resident": resident(),
            "processor": time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9,
            "sizes": alloc::sizes(),
        }));
    }
}

/// The lines of the standard input. The process ends with it.
pub fn questions() -> UnboundedReceiver<String> {
    let (tell, questions) = unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                break;
            }
        }
        std::process::exit(0);
    });
    questions
}

/// A line for the bench.
pub fn say(what: &Value) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{what}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Bytes of this process that are in memory. Where the system doesn't say, nothing.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
