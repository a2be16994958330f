//! A node with very many connections, in a process of its own, so that its heap and its memory are its own.
//!
//! ```text
//!   bench --starts--> node     ours or rust's: listens, and says what it has
//!         --starts--> clients  each connects, asks who the node is, pings it once, and answers what the node asks
//!         --asks----> node: before, when all have their pong, and later, when the node has identified and pinged all of them too
//! ```
//! The bench starts itself again for both.

mod clients;

pub use clients::run as clients;

use crate::child::{Process, figure as number, text};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Time for all to connect and to have their pong.
const PATIENCE: Duration = Duration::from_secs(90);
/// Time for the node to identify and ping all of them.
const SERVED: Duration = Duration::from_secs(40);
/// How long nothing happens before memory is read.
const REST: Duration = Duration::from_secs(3);
/// Time for an answer that needs no time.
const PROMPT: Duration = Duration::from_secs(10);
/// What a node needs descriptors for beside connections.
const OTHERS: u64 = 200;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Scene {
    /// `ours` or `rust`.
    pub node: &'static str,
    /// How many connect.
    pub clients: usize,
    /// How often the node pings each of them.
    pub ping: Duration,
}

/// What came of it. Memory and the like for each connection.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// From the first that connects until the last has its pong: nanoseconds.
    pub wall: f64,
    /// The node's processor time in this time: nanoseconds.
    pub processor: f64,
    /// The node's allocations in this time.
    pub allocations: f64,
    /// The bytes of these.
    pub allocated: f64,
    /// Bytes on the node's heap, at the end.
    pub heap: f64,
    /// Bytes of the node's memory in use, at the end.
    pub resident: f64,
    /// What went wrong at either end.
    pub errors: u64,
    /// The first of it.
    pub why: String,
    /// Of which sizes the heap's blocks are: bytes, and how many of them. The last one stands for all larger ones.
    pub sizes: Vec<(usize, f64)>,
}

/// Lets them connect, and measures the node.
///
/// # Errors
/// There was nothing to measure: a process didn't come up, or hung.
pub fn measure(scene: &Scene) -> Result<Outcome, String> {
    let count = scene.clients.to_string();
    let mut node = Process::start(
        &["node", scene.node, &count, &scene.ping.as_millis().to_string()],
        scene.clients as u64 + OTHERS,
    )?;
    let address = text(&node.answer(PROMPT)?, "address")?;
    let before = node.ask("now", PROMPT)?;
    let mut clients = Process::start(&["clients", &address, &count], scene.clients as u64 + OTHERS)?;
    // Their keys are made before the first one connects.
    clients.answer(PATIENCE)?;
    let ramp = clients.ask("go", PATIENCE)?;
    let connected = node.ask("now", PROMPT)?;

    let start = Instant::now();
    let all = scene.clients as f64;
    let mut served = clients.ask("now", PROMPT)?;
    while (number(&served, "identified")? < all || number(&served, "pinged")? < all) && start.elapsed() < SERVED {
        std::thread::sleep(Duration::from_millis(200));
        served = clients.ask("now", PROMPT)?;
    }
    std::thread::sleep(REST);
    let after = node.ask("now", PROMPT)?;
    let served = clients.ask("now", PROMPT)?;

    let grown = |later: &Value, what: &str| Ok::<f64, String>((number(later, what)? - number(&before, what)?) / all);
    let mut faults = vec![
        (all - number(&ramp, "ponged")?, format!("clients without a pong: {}", text(&ramp, "why")?)),
        (all - number(&after, "connections")?, "connections that the node has not".to_owned()),
        (number(&after, "errors")?, format!("errors of the node: {}", text(&after, "why")?)),
        (number(&served, "ended")?, format!("clients whose connection ended: {}", text(&served, "why")?)),
        (all - number(&served, "identified")?, "clients that the node has not identified".to_owned()),
        (all - number(&served, "pinged")?, "clients that the node has not pinged".to_owned()),
    ];
    faults.retain(|(count, _)| *count != 0.0);
    let why = faults.first().map(|(count, what)| format!("{count} {what}")).unwrap_or_default();
    Ok(Outcome {
        wall: number(&ramp, "seconds")? * 1e9 / all,
        processor: grown(&connected, "processor")? * 1e9,
        allocations: grown(&connected, "allocations")?,
        allocated: grown(&connected, "allocated")?,
        heap: grown(&after, "heap")?,
        resident: grown(&after, "resident")?,
        errors: faults.iter().map(|(count, _)| count.abs() as u64).sum(),
        why,
        sizes: sizes(&before, &after, all),
    })
}

fn sizes(before: &Value, after: &Value, all: f64) -> Vec<(usize, f64)> {
    let counts = |of: &Value| -> Vec<f64> {
        of["sizes"].as_array().into_iter().flatten().map(|count| count.as_f64().unwrap_or(0.0)).collect()
    };
    let grown = counts(after).into_iter().zip(counts(before)).map(|(after, before)| (after - before) / all);
    grown.enumerate().collect()
}
