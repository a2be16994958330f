//! A node with 10,000 connections over loopback (500 with `--quick`), beside rust-libp2p's swarm with the same clients.
//!
//! What a connection takes is the growth since the node listened, divided: once on the heap, and once of the memory that the
//! system has given to the process. It is read when each client has had its pong, the node has identified and pinged each of
//! them, and nothing happens any more.

use super::Entry;
use crate::budget::Budget;
use crate::crowd::{self, Outcome, Scene};
use crate::harness::{Effort, Figure, Row, Unit};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

/// What ours may take of what rust-libp2p's takes.
const PART: Budget = Budget::HeldPart(0.25, "rust");
const NODES: [&str; 2] = ["ours", "rust"];
/// How often the nodes ping: rust-libp2p's default.
const PING: Duration = Duration::from_secs(15);
const PING_QUICK: Duration = Duration::from_secs(2);
/// Sizes that are shown, those first that take most.
const SHOWN: usize = 24;

pub(super) fn rows() -> Vec<Entry> {
    vec![
        Entry { name: "crowd: heap of a connection; connecting, wall", measure: heap },
        Entry { name: "crowd: resident memory of a connection; connecting, node's processor", measure: resident },
        Entry { name: "parts: crowd, blocks of ours by size", measure: blocks },
    ]
}

fn heap(name: &'static str, effort: &Effort) -> Row {
    row(name, effort, Unit::Rate, vec![Budget::NoErrors, PART], |of| (of.wall, of.heap))
}

fn resident(name: &'static str, effort: &Effort) -> Row {
    row(name, effort, Unit::Time, vec![PART], |of| (of.processor, of.resident))
}

fn row(
    name: &'static str,
    effort: &Effort,
    unit: Unit,
    budgets: Vec<Budget>,
    take: impl Fn(&Outcome) -> (f64, f64),
) -> Row {
    let (mut figures, mut notes) = (Vec::new(), Vec::new());
    for node in NODES.into_iter().filter(|node| effort.wants(node)) {
        match outcome(node, effort) {
            Ok(outcome) => {
                let (nanos, held) = take(&outcome);
                let Outcome { allocations, allocated, errors, why, .. } = outcome;
                let (rounds, held, errors) = (vec![nanos], Some(held), Some(errors));
                figures.push(Figure { name: node, nanos, rounds, allocations, allocated, held, errors });
                notes.extend((!why.is_empty()).then(|| format!("{node}: {why}")));
            }
            Err(why) => notes.push(format!("{node}: {why}")),
        }
    }
    let note = (!notes.is_empty()).then(|| notes.join("; "));
    Row { name: name.into(), unit, figures, budgets, note }
}

/// No budget: what the heap of ours consists of.
fn blocks(name: &'static str, effort: &Effort) -> Row {
    let mut figures = Vec::new();
    let note = match outcome("ours", effort) {
        Ok(Outcome { mut sizes, .. }) => {
            let larger = sizes.pop();
            sizes.sort_by(|(a, m), (b, n)| (*b as f64 * n).total_cmp(&(*a as f64 * m)));
            for (size, count) in sizes.into_iter().take(SHOWN).filter(|(size, count)| *size as f64 * count >= 1.0) {
                // The name of a figure lives as long as the program.
                let name = format!("{count:.2} of {size}").leak();
                figures.push(Figure::held(name, size as f64 * count));
            }
            larger.map(|(size, count)| format!("{count:.4} of more than {size} bytes"))
        }
        Err(why) => Some(why),
    };
    Row { name: name.into(), unit: Unit::Time, figures, budgets: Vec::new(), note }
}

thread_local! {
    static OUTCOMES: RefCell<BTreeMap<&'static str, Result<Outcome, String>>> = RefCell::default();
}

/// All rows tell of the same run.
fn outcome(node: &'static str, effort: &Effort) -> Result<Outcome, String> {
    let ping = if effort.sockets < Effort::FULL.sockets { PING_QUICK } else { PING };
    let scene = Scene { node, clients: effort.sockets, ping };
    OUTCOMES.with_borrow_mut(|known| known.entry(node).or_insert_with(|| crowd::measure(&scene)).clone())
}
