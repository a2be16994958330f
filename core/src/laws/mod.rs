//! A checker that runs any machine through [the laws](crate#the-laws), ours or yours.
//!
//! [`bytes`](check_bytes) for a [`Machine`](crate::Machine), [`events`](check_events) for an
//! [`EventMachine`](crate::EventMachine). You give a *subject*, which makes fresh machines and plays the application, and
//! a *script* of what happens to it. The checker runs the script again and again: cut at every byte, byte by byte, with
//! each byte changed, with timeouts early, late and doubled, with the input ending at every byte, with output that nobody
//! sends, with polls forgotten; and compares what came out.
//!
//! ```
//! use bytes::{BufMut, BytesMut};
//! use tidewire_core::laws::{Limits, Once, Step, check_bytes};
//! use tidewire_core::{Machine, Time};
//!
//! /// Waits for one line and answers it.
//! #[derive(Debug)]
//! struct Greeter;
//!
//! impl Machine for Greeter {
//!     type Output = usize;
//!     type Error = &'static str;
//!     fn advance(&mut self, _: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<usize>, &'static str> {
//!         let Some(at) = rx.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
//!         let line = rx.split_to(at + 1);
//!         tx.put_slice(&line);
//!         Ok(Some(at))
//!     }
//!     fn end(&mut self, _: Time, _: &mut BytesMut, _: &mut BytesMut) -> Result<Option<usize>, &'static str> {
//!         Err("the line has no end")
//!     }
//!     fn memory_used(&self) -> usize {
//!         0
//!     }
//! }
//!
//! let script = [Step::bytes(b"hello\nand more")];
//! check_bytes(&Once(|| Greeter), &script, Limits::default()).unwrap();
//! ```

mod byte_machine;
mod event_machine;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Debug};
use core::time::Duration;

pub use byte_machine::{App, ByteSubject, Once, check_bytes};
pub use event_machine::{EventSubject, check_events};

/// One thing that happens to a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<I = Vec<u8>> {
    /// This arrives: bytes for a byte machine, an input for an event machine.
    Input(I),
    /// Time passes, and nothing arrives.
    Wait(Duration),
}

impl Step<Vec<u8>> {
    /// These bytes arrive.
    pub fn bytes(bytes: impl AsRef<[u8]>) -> Self {
        Step::Input(bytes.as_ref().to_vec())
    }
}

/// The caps that a machine states, for the checker to hold it to.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most that `memory_used()` may say. Default 64 KiB.
    pub memory: usize,
    /// Most bytes that may stand in `tx` when nobody sends: the machine's `max_tx` and one answer. Default 64 KiB.
    pub tx: usize,
    /// Most places at which an input is cut, changed or ended; a longer input is sampled evenly. Default 256.
    pub places: usize,
    /// Whether a machine whose outputs were not polled may merge some of them (event machines only). Default false.
    pub may_merge: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { memory: 64 * 1024, tx: 64 * 1024, places: 256, may_merge: false }
    }
}

/// What one run showed to the outside, for comparison with another run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    events: Vec<String>,
    data: BTreeMap<u64, Vec<u8>>,
}

impl Transcript {
    /// Something happened that must happen in every run, in the same order.
    pub fn note(&mut self, what: impl Debug) {
        self.events.push(format!("{what:?}"));
    }

    /// Data arrived under `key` (a stream, say). How it was cut does not matter; what it adds up to does.
    pub fn data(&mut self, key: u64, bytes: &[u8]) {
        self.data.entry(key).or_default().extend_from_slice(bytes);
    }
}

/// How much was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Fresh machines that were run.
    pub runs: usize,
    /// Calls that were made to them.
    pub calls: usize,
}

/// A law was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its number, as the [crate's documentation](crate#the-laws) counts.
    pub law: u8,
    /// What was done, what should have come, and what came.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "law {} is broken: {}", self.law, self.what)
    }
}

impl core::error::Error for Violation {}

fn broken<T>(law: u8, what: String) -> Result<T, Violation> {
    Err(Violation { law, what })
}

/// At most `limit` of the places `0..len`, evenly spread, the first and the last among them.
fn places(len: usize, limit: usize) -> impl Iterator<Item = usize> {
    let count = len.min(limit.max(1));
    (0..count).map(move |i| if count < 2 { 0 } else { i * (len - 1) / (count - 1) })
}

/// The first point where two transcripts differ, in words.
fn difference(expected: &Transcript, got: &Transcript) -> Option<String> {
    if expected == got {
        return None;
    }
    let longest = expected.events.len().max(got.events.len());
    for i in 0..longest {
        let (left, right) = (expected.events.get(i), got.events.get(i));
        if left != right {
            return Some(format!("event {i} was {left:?}, now {right:?}"));
        }
    }
    for key in expected.data.keys().chain(got.data.keys()) {
        let (left, right) = (expected.data.get(key), got.data.get(key));
        if left != right {
            let (left, right) = (left.map_or(&[][..], |d| d), right.map_or(&[][..], |d| d));
            let at = left.iter().zip(right).position(|(a, b)| a != b).unwrap_or(left.len().min(right.len()));
            return Some(format!(
                "the data of stream {key} was {} bytes, now {}, and differs from byte {at} on",
                left.len(),
                right.len()
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests;
