//! A relay in a process of its own, and who uses it: what it forwards, and what it holds.
//!
//! ```text
//!   bench --starts--> relay    ours or rust's: without limits, listens, and says what it has
//!         --starts--> holders  nodes of ours: connect, reserve, and answer whoever sends
//!         --starts--> sources  nodes of ours: connect, dial the holders through the relay, and send
//! ```
//! Holders and sources are the same for both relays. Each has a key and a connection of its own, and each source its own holder.

mod ends;

pub use ends::{PIECE, run as ends};

use crate::child::{Process, figure, text};
use serde_json::Value;
use std::time::Duration;

/// Time for all to do one thing.
const PATIENCE: Duration = Duration::from_secs(120);
/// Time for an answer that needs no time.
const PROMPT: Duration = Duration::from_secs(10);
/// How long nothing happens before memory is read.
const REST: Duration = Duration::from_secs(3);
/// What a process needs descriptors for beside connections.
const OTHERS: u64 = 200;

/// A relay that runs.
pub struct Relay {
    process: Process,
    /// Where it listens.
    pub address: String,
}

/// A relay with circuits, over which is sent.
pub struct Circuits {
    relay: Relay,
    sources: Process,
    _holders: Process,
}

/// Bytes on a relay's heap, for each, and blocks by size.
#[derive(Clone, Debug)]
pub struct Held {
    /// Without the buffers that our pool keeps for all connections together.
    pub heap: f64,
    /// Of which sizes the heap's blocks are: bytes, and how many of them. The last one stands for all larger ones.
    pub sizes: Vec<(usize, f64)>,
}

impl Relay {
    /// Starts one: `ours` or `rust`, for so many connections.
    ///
    /// # Errors
    /// It didn't come up.
    pub fn start(whose: &str, connections: usize) -> Result<Relay, String> {
        Relay::begin(whose, "plain", connections)
    }

    fn begin(whose: &str, how: &str, connections: usize) -> Result<Relay, String> {
        let mut process = Process::start(&["relay", whose, how], connections as u64 + OTHERS)?;
        let address = text(&process.answer(PROMPT)?, "address")?;
        Ok(Relay { process, address })
    }

    fn ends(&self, which: &str, count: usize) -> Result<Process, String> {
        let mut ends = Process::start(&["ends", which, &self.address, &count.to_string()], count as u64 + OTHERS)?;
        ends.answer(PATIENCE)?;
        ends.ask("connect", PATIENCE)?;
        Ok(ends)
    }

    fn now(&mut self) -> Result<Value, String> {
        self.process.ask("now", PROMPT)
    }
}

impl Circuits {
    /// So many of them.
    ///
    /// # Errors
    /// They didn't come up.
    pub fn new(whose: &str, count: usize) -> Result<Circuits, String> {
        let relay = Relay::start(whose, 2 * count)?;
        let mut holders = relay.ends("holders", count)?;
        holders.ask("reserve", PATIENCE)?;
        let mut sources = relay.ends("sources", count)?;
        sources.ask("dial", PATIENCE)?;
        Ok(Circuits { relay, sources, _holders: holders })
    }

    /// Sends so many bytes over all of them together, and says how much processor time the relay took.
    ///
    /// # Errors
    /// Something broke.
    pub fn send(&mut self, bytes: u64) -> Result<Duration, String> {
        let before = figure(&self.relay.now()?, "processor")?;
        self.sources.ask(&format!("send {bytes}"), PATIENCE)?;
        Ok(Duration::from_secs_f64(figure(&self.relay.now()?, "processor")? - before))
    }
}

/// What a relay holds for a reservation, and for an idle circuit: the heap's growth while so many peers that were connected
/// already get one.
///
/// # Errors
/// There was nothing to measure.
pub fn held(whose: &str, count: usize) -> Result<[Held; 2], String> {
    let mut relay = Relay::begin(whose, "size", 2 * count)?;
    let mut holders = relay.ends("holders", count)?;
    let mut sources = relay.ends("sources", count)?;
    let mut rested = || {
        std::thread::sleep(REST);
        relay.now()
    };
    let connected = rested()?;
    holders.ask("reserve", PATIENCE)?;
    let reserved = rested()?;
    sources.ask("dial", PATIENCE)?;
    let dialed = rested()?;
    Ok([growth(&connected, &reserved, count)?, growth(&reserved, &dialed, count)?])
}

fn growth(before: &Value, after: &Value, count: usize) -> Result<Held, String> {
    let grown = |what: &str| Ok::<f64, String>(figure(after, what)? - figure(before, what)?);
    let counts = |of: &Value| -> Vec<f64> {
        of["sizes"].as_array().into_iter().flatten().map(|count| count.as_f64().unwrap_or(0.0)).collect()
    };
    let sizes = counts(after).into_iter().zip(counts(before)).map(|(after, before)| (after - before) / count as f64);
    Ok(Held { heap: (grown("heap")? - grown("buffers")?) / count as f64, sizes: sizes.enumerate().collect() })
}
