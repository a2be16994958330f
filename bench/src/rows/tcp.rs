//! Bytes over loopback TCP, Noise and yamux, in a runtime with two workers. Wall time.

use super::Entry;
use crate::budget::Budget;
use crate::harness::{Clock, Contest, Effort, Row, Unit, run};
use crate::{ours, rust};

pub(super) fn rows() -> Vec<Entry> {
    vec![Entry { name: "loopback TCP, 2 workers, 64 KiB", measure: throughput }]
}

/// Bytes in one write of the application.
const PIECE: usize = 64 * 1024;

fn throughput(name: &'static str, effort: &Effort) -> Row {
    let contenders = vec![ours::tcp::contender(PIECE), rust::tcp::contender(PIECE)];
    let budgets = vec![Budget::Speed(1.25, "rust")];
    run(Contest { name: name.into(), unit: Unit::Bytes(PIECE), clock: Clock::Wall, contenders, budgets }, effort)
}
