//! What is measured, row by row, and the budgets.

mod connmgr;
mod cores;
mod crowd;
mod handshake;
mod idle;
mod multistream;
mod opens;
mod relay;
mod tcp;
mod throughput;

use crate::harness::{Effort, Row};

/// A row that can be measured.
pub struct Entry {
    /// How it is called.
    pub name: &'static str,
    /// Measures it.
    pub measure: fn(&'static str, &Effort) -> Row,
}

/// All rows, in the order in which they are shown.
pub fn all() -> Vec<Entry> {
    let mut all = multistream::rows();
    all.extend(handshake::rows());
    all.extend(throughput::rows());
    all.extend(opens::rows());
    all.extend(idle::rows());
    all.extend(tcp::rows());
    all.extend(cores::rows());
    all.extend(crowd::rows());
    all.extend(relay::rows());
    all.extend(connmgr::rows());
    all
}
