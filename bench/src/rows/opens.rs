//! Streams opened, used for one byte, and closed by both ends.

use super::Entry;
use crate::budget::Budget;
use crate::harness::{Clock, Contest, Effort, Row, Unit, run};
use crate::{ours, rust};

pub(super) fn rows() -> Vec<Entry> {
    vec![Entry { name: "noise+yamux, open, 1 byte, close", measure: opens }]
}

fn opens(name: &'static str, effort: &Effort) -> Row {
    let contenders = vec![ours::connection::opens(), rust::muxed::opens(rust::muxed::noise())];
    let budgets = vec![Budget::Rate(800_000.0), Budget::Speed(3.0, "rust")];
    run(Contest { name: name.into(), unit: Unit::Rate, clock: Clock::Thread, contenders, budgets }, effort)
}
