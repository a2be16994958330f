//! Negotiating a protocol, both ends.

use super::Entry;
use crate::budget::Budget;
use crate::harness::{Clock, Contest, Effort, Row, Unit, run};
use crate::{ours, rust};
use tidewire_multistream::{Protocol, Protocols};

pub(super) fn rows() -> Vec<Entry> {
    vec![
        Entry { name: "multistream, first proposal", measure: first },
        Entry { name: "multistream, tenth proposal", measure: tenth },
    ]
}

/// Ten names, of which the listener has the last.
const NAMES: [&str; 10] = [
    "/ipfs/kad/1.0.0",
    "/ipfs/bitswap/1.0.0",
    "/ipfs/bitswap/1.1.0",
    "/ipfs/bitswap/1.2.0",
    "/meshsub/1.0.0",
    "/meshsub/1.1.0",
    "/ipfs/id/1.0.0",
    "/ipfs/id/push/1.0.0",
    "/libp2p/dcutr",
    "/ipfs/ping/1.0.0",
];

static LAST: [Protocol; 1] = [Protocol::from_static("/ipfs/ping/1.0.0")];

fn first(name: &'static str, effort: &Effort) -> Row {
    let last = || Protocols::from_static(&LAST);
    let budgets = vec![Budget::Nanos(150.0), Budget::Allocations(0.0), Budget::Speed(5.0, "rust")];
    let contenders =
        vec![ours::negotiate::contender(last(), last()), rust::negotiate::contender(vec!["/ipfs/ping/1.0.0"])];
    run(Contest { name: name.into(), unit: Unit::Time, clock: Clock::Thread, contenders, budgets }, effort)
}

fn tenth(name: &'static str, effort: &Effort) -> Row {
    let ours = ours::negotiate::contender(
        Protocols::parse(&NAMES).expect("names of protocols"),
        Protocols::from_static(&LAST),
    );
    let budgets = vec![Budget::Allocations(0.0), Budget::Speed(8.0, "rust")];
    let contenders = vec![ours, rust::negotiate::contender(NAMES.to_vec())];
    run(Contest { name: name.into(), unit: Unit::Time, clock: Clock::Thread, contenders, budgets }, effort)
}
