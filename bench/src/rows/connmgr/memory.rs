//! What a connection takes: one per peer, no tags, grace over.
//!
//! `ours` is the growth of the heap as the allocator counts it; `memory_used()` is what the manager says of itself, and the
//! two must agree.

use super::Entry;
use crate::alloc::count;
use crate::baseline::Sorting;
use crate::budget::Budget;
use crate::harness::{Effort, Figure, Row, Unit};
use crate::ours::crowd::{self, Crowd, Newcomer};
use std::time::Duration;
use tidewire_connmgr::Input;
use tidewire_connmgr::metadata::Source;
use tidewire_core::{EventMachine, Time};

const BUDGET: f64 = 400.0;
/// How far the manager's own figure may be from the allocator's.
const AGREE: f64 = 0.15;

pub(super) fn rows() -> Vec<Entry> {
    vec![
        Entry { name: "connmgr, a connection", measure: |name, effort| held(name, effort, false) },
        Entry {
            name: "connmgr, a connection, and an address remembered",
            measure: |name, effort| held(name, effort, true),
        },
    ]
}

fn held(name: &'static str, effort: &Effort, remembered: bool) -> Row {
    let each = |bytes: f64| bytes / effort.crowd as f64;
    let mut figures = Vec::new();
    if effort.wants("ours") {
        let (crowd, counted) = count(|| ours(effort, remembered));
        // The list of members is the driver's.
        let counted = each((counted.live - size_of_val(crowd.members()) as i64) as f64);
        let said = each(crowd.manager.memory_used() as f64);
        assert!(
            (said / counted - 1.0).abs() <= AGREE,
            "memory_used() says {said} a connection, the allocator {counted}"
        );
        figures.push(Figure::held("ours", counted));
        figures.push(Figure::held("memory_used()", said));
    }
    if effort.wants("sorted") && !remembered {
        let (sorting, counted) = count(|| sorting(effort));
        drop(sorting);
        figures.push(Figure::held("sorted", each(counted.live as f64)));
    }
    Row { name: name.into(), unit: Unit::Time, figures, budgets: vec![Budget::Held(BUDGET)], note: None }
}

fn ours(effort: &Effort, remembered: bool) -> Crowd {
    let mut crowd = Crowd::full(crowd::config(effort.crowd), effort.crowd);
    if remembered {
        for number in 0..effort.crowd as u64 {
            // The peer itself says where it listens, which is another address than the one it came from.
            let Newcomer { peer, remote, .. } = Newcomer::new(number);
            let (source, ttl) = (Source::Identify, Duration::from_secs(3_600));
            crowd.tell(Input::Addresses { peer, addresses: &[remote], source, ttl });
        }
    }
    // Everyone was pinged, and has left grace for the order of those who may go.
    crowd.pass(Duration::from_secs(61));
    crowd.tell(Input::TrimNow);
    crowd.polled(1);
    crowd
}

fn sorting(effort: &Effort) -> Sorting {
    let mut sorting = Sorting::new(0, Duration::ZERO);
    for number in 0..effort.crowd as u64 {
        let Newcomer { connection, peer, remote } = Newcomer::new(number);
        sorting.connected(Time::from_nanos(number), peer, connection, false, remote);
    }
    sorting
}
