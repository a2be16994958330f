//! The connection manager with a million connections: each kind of event, trims beside go's algorithm, memory, the deadline.
//!
//! `--quick` takes 20,000 connections. Each event's time includes polling its actions. Who or what it concerns is chosen by
//! chance among all, so that caches are as cold as they would be. Rows about events share one crowd, and each leaves it
//! as large as it was.

mod events;
mod full;
mod memory;
mod trim;

use super::Entry;
use crate::budget::Budget;
use crate::harness::{Clock, Contender, Contest, Effort, Figure, Row, Unit, Watch, run};
use crate::ours::crowd::{self, Crowd};
use std::cell::RefCell;
use std::collections::HashMap;
use std::hint::black_box;
use std::time::Duration;
use tidewire_core::EventMachine;

/// What any event may take, amortised.
const EVENT: Budget = Budget::Nanos(2_000.0);

pub(super) fn rows() -> Vec<Entry> {
    let mut rows = vec![
        Entry { name: "connmgr, filling up, an event", measure: filling },
        Entry { name: "connmgr, deadline()", measure: deadline },
    ];
    rows.extend(events::rows());
    rows.extend(full::rows());
    rows.extend(trim::rows());
    rows.extend(memory::rows());
    rows
}

/// From nobody to all of them, growing tables included: `Incoming`, `Accept`, `Established` and its events, two events a
/// connection.
fn filling(name: &'static str, effort: &Effort) -> Row {
    by_hand(name, effort, effort.rounds.min(3), vec![EVENT], |watch| {
        Crowd::new(crowd::config(effort.crowd), effort.crowd).fill(watch);
    })
}

/// Beside a crowd of a thousand: O(1) is the same for both.
fn deadline(name: &'static str, effort: &Effort) -> Row {
    const FEW: usize = 1_000;
    let asked = |crowd: Crowd| {
        move |n| {
            for _ in 0..n {
                black_box(black_box(&crowd.manager).deadline());
            }
        }
    };
    let of = |size| asked(Crowd::full(crowd::config(size), size));
    let contenders = vec![Contender::new("ours", of(effort.crowd)), Contender::new("1,000 connections", of(FEW))];
    let budgets = vec![Budget::Time(2.0, "1,000 connections")];
    run(Contest { name: name.into(), unit: Unit::Time, clock: Clock::Thread, contenders, budgets }, effort)
}

/// How many operations a turn has.
fn turn(effort: &Effort) -> usize {
    effort.crowd / 100
}

/// A row of ours alone, whose turns prepare and clean up outside of what they measure.
fn by_hand(
    name: &'static str,
    effort: &Effort,
    rounds: usize,
    budgets: Vec<Budget>,
    mut turn: impl FnMut(&mut Watch),
) -> Row {
    let mut figures = Vec::new();
    if effort.wants("ours") {
        figures.push(figure("ours", rounds, &mut turn));
    }
    Row { name: name.into(), unit: Unit::Time, figures, budgets, note: None }
}

fn figure(name: &'static str, rounds: usize, turn: &mut impl FnMut(&mut Watch)) -> Figure {
    let mut watch = Watch::new(Clock::Thread);
    for _ in 0..rounds {
        turn(&mut watch);
        watch.end_round();
    }
    watch.count_now();
    turn(&mut watch);
    watch.figure(name)
}

thread_local! {
    static CROWDS: RefCell<HashMap<usize, Crowd>> = RefCell::default();
}

/// The crowd that rows about events share: everyone was pinged once, nobody is in grace any more, every second one is
/// tagged.
fn shared<T>(effort: &Effort, with: impl FnOnce(&mut Crowd) -> T) -> T {
    CROWDS.with_borrow_mut(|crowds| {
        let crowd = crowds.entry(effort.crowd).or_insert_with(|| {
            let mut config = crowd::config(effort.crowd);
            // Newcomers are tagged before they come, and a whole turn of them is.
            config.worth.max_early = u32::MAX;
            // Steps of decay follow each other faster, so that fewer pings lie between them.
            config.worth.resolution = Duration::from_secs(1);
            let mut crowd = Crowd::full(config, effort.crowd);
            events::tag_half(&mut crowd);
            crowd.pass(Duration::from_secs(61));
            crowd
        });
        with(crowd)
    })
}
