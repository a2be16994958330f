//! The Noise handshake, and the whole upgrade, both ends; and what the handshake's cryptography costs piece by piece.

use super::Entry;
use crate::budget::Budget;
use crate::harness::{Clock, Contender, Contest, Effort, Row, Unit, run};
use crate::{floor, ours, rust};

pub(super) fn rows() -> Vec<Entry> {
    vec![
        Entry { name: "handshake", measure: handshake },
        Entry { name: "upgrade", measure: upgrade },
        Entry {
            name: "parts: X25519 base multiplication",
            measure: |name, effort| {
                part(name, ours::parts::base_multiplications(), floor::base_multiplications(), effort)
            },
        },
        Entry {
            name: "parts: X25519 agreement",
            measure: |name, effort| part(name, ours::parts::agreements(), floor::agreements(), effort),
        },
        Entry {
            name: "parts: Ed25519 verification",
            measure: |name, effort| part(name, ours::parts::verifications(), floor::verifications(), effort),
        },
    ]
}

/// No budget: it explains the handshake's.
fn part(name: &'static str, ours: Contender, bare: Contender, effort: &Effort) -> Row {
    let (unit, contenders) = (Unit::Time, vec![ours, bare]);
    run(Contest { name: name.into(), unit, clock: Clock::Thread, contenders, budgets: Vec::new() }, effort)
}

fn handshake(name: &'static str, effort: &Effort) -> Row {
    let contenders = vec![ours::upgrade::handshakes(), rust::upgrade::handshakes(), floor::handshake()];
    let budgets = vec![Budget::Time(1.10, "bare"), Budget::Speed(2.3, "rust")];
    run(Contest { name: name.into(), unit: Unit::Time, clock: Clock::Thread, contenders, budgets }, effort)
}

fn upgrade(name: &'static str, effort: &Effort) -> Row {
    let contenders = vec![ours::upgrade::upgrades(), rust::upgrade::upgrades(), floor::handshake()];
    let budgets = vec![Budget::Time(1.12, "bare"), Budget::Speed(2.3, "rust"), Budget::Allocations(50.0)];
    run(Contest { name: name.into(), unit: Unit::Time, clock: Clock::Thread, contenders, budgets }, effort)
}
