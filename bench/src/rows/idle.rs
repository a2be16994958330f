//! What a connection and a stream hold while nothing happens.
//!
//! Measured as the growth of the heap while many are made and kept, their structs in a `Vec` included. Both ends of each
//! connection are kept; the figure is one end's. On each of ours a stream was used and closed before; rust's are fresh from
//! the upgrade. rust's
//! pipe is subtracted: a socket has no such buffers.

use super::Entry;
use crate::alloc::count;
use crate::budget::Budget;
use crate::harness::{Effort, Figure, Row, Unit};
use crate::{ours, rust};
use tidewire_upgrade::crypto::Crypto;

pub(super) fn rows() -> Vec<Entry> {
    vec![Entry { name: "idle connection", measure: connection }, Entry { name: "idle stream", measure: stream }]
}

/// How many are kept.
const KEPT: usize = 64;

fn connection(name: &'static str, _: &Effort) -> Row {
    let (a, b) = (rust::upgrade::Identity::new(), rust::upgrade::Identity::new());
    let ends = |pairs: usize| 2.0 * pairs as f64;
    let (pipes, pipe) = count(|| (0..KEPT).map(|_| rust::upgrade::used_pipe()).collect::<Vec<_>>());
    drop(pipes);
    let (kept, all) = count(|| (0..KEPT).map(|_| rust::upgrade::upgrade(&a, &b)).collect::<Vec<_>>());
    drop(kept);
    let [c, d] = [1, 2].map(|number| ours::upgrade::Node::new(number, Crypto::default()));
    let (kept, ours) = count(|| ours::connection::idle_connections(&c, &d, KEPT as u64));
    drop(kept);
    let figures = vec![
        Figure::held("ours", ours.live as f64 / ends(KEPT)),
        Figure::held("rust", (all.live - pipe.live) as f64 / ends(KEPT)),
    ];
    let budgets = vec![Budget::Held(1024.0), Budget::HeldPart(0.05, "rust")];
    Row { name: name.into(), unit: Unit::Time, figures, budgets, note: None }
}

fn stream(name: &'static str, _: &Effort) -> Row {
    let [ours, rust] = streams();
    let figures = vec![Figure::held("ours", ours), Figure::held("rust", rust)];
    Row { name: name.into(), unit: Unit::Time, figures, budgets: vec![Budget::Held(200.0)], note: None }
}

/// Bytes that an idle stream of ours holds, and one of rust's.
pub(super) fn streams() -> [f64; 2] {
    let mut pair = rust::muxed::plain();
    let first = pair.open(1);
    let (streams, all) = count(|| pair.open(KEPT));
    drop((first, streams));
    let ends = 2.0 * KEPT as f64;
    [ours::connection::idle_streams(KEPT) as f64 / ends, all.live as f64 / ends]
}
