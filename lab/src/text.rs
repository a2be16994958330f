//! A matrix as text, and as JSON.

use crate::matrix::{Cell, FIRST, MAX_SKEW, Matrix, Way};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// One row or column of the table: fronts that behave alike.
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) from: usize,
    pub(crate) count: usize,
}

pub(crate) fn groups(matrix: &Matrix) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (at, named) in matrix.fronts.iter().enumerate() {
        match groups.last_mut() {
            Some(last) if last.name == named.group => last.count += 1,
            _ => groups.push(Group { name: named.group.clone(), from: at, count: 1 }),
        }
    }
    groups
}

/// All cells of two groups together.
fn block(matrix: &Matrix, a: &Group, b: &Group) -> Cell {
    let mut sum = Cell { runs: 0, upgraded: 0, first: 0, wrong: 0, ..matrix.cell(a.from, b.from).clone() };
    for row in a.from..a.from + a.count {
        for column in b.from..b.from + b.count {
            let cell = matrix.cell(row, column);
            sum.runs += cell.runs;
            sum.upgraded += cell.upgraded;
            sum.first += cell.first;
            sum.wrong += cell.wrong;
        }
    }
    sum
}

fn symbol(cell: &Cell) -> String {
    let share = || format!("{}", u64::from(cell.upgraded) * 100 / u64::from(cell.runs.max(1)));
    let text = match (cell.way, cell.runs) {
        (_, 0) => "?".to_owned(),
        (way, _) if way.is_expected() || cell.upgraded > 0 => share(),
        _ => "-".to_owned(),
    };
    if cell.wrong > 0 { format!("{text}!") } else { text }
}

const LEGEND: &str = "\
Rows: what A is behind, who dialed through the relay. Columns: what B is behind, who was dialed and punches.
  EIM, ADM, APDM   one mapping for all remotes; one for each remote address; one for each remote endpoint (RFC 4787)
  EIF, ADF, APDF   lets in anybody; addresses that were sent to; addresses and ports that were sent to
  over             the same outer port for all remotes, as Linux does where it can
  others           rows of their own: no NAT, an exposed host, firewalls, presets, two NATs in a row
Both know two nodes on the internet, the relay and another one, and so what their NATs do with ports. Paths take 20 to 200 ms one way;
on every other seed the ways there and back differ, by half at most.
Each row of NATs stands for all its port policies, and for all four answers to a SYN that nobody asked for: nothing, a reset, ICMP
at once, ICMP after 6 s.
  100   per cent of the runs that ended in a direct connection; theory says all
  -     none; theory says none
  !     something was not as it should be: see the list
";

/// The table, the disagreements, the totals. `command`: what made it.
pub(crate) fn render(matrix: &Matrix, command: &str) -> String {
    let mut out = String::new();
    let groups = groups(matrix);
    let wide = groups.iter().map(|group| group.name.len()).max().unwrap_or_default();
    let _ = writeln!(out, "{LEGEND}");
    // The names of columns stand upright.
    for line in 0..wide {
        let _ = write!(out, "{:wide$} ", "");
        for group in &groups {
            let skip = wide - group.name.len();
            let letter = line.checked_sub(skip).and_then(|at| group.name.chars().nth(at)).unwrap_or(' ');
            let _ = write!(out, "{letter:>5}");
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    for a in &groups {
        let _ = write!(out, "{:wide$} ", a.name);
        for b in &groups {
            let _ = write!(out, "{:>5}", symbol(&block(matrix, a, b)));
        }
        out.push('\n');
    }
    let _ = write!(out, "\n{}", totals(matrix, command));
    out
}

/// Runs, shares, times, and what was wrong.
fn totals(matrix: &Matrix, command: &str) -> String {
    let mut out = String::new();
    let count = |pick: fn(&Cell) -> u32| matrix.sum(pick);
    let of = |way: fn(Way) -> bool| matrix.cells.iter().filter(move |cell| way(cell.way));
    let sum = |way, pick: fn(&Cell) -> u32| of(way).map(|cell| u64::from(pick(cell))).sum::<u64>();
    let (runs, upgraded) = (count(|cell| cell.runs), count(|cell| cell.upgraded));
    let planned = matrix.cells.len() as u64 * matrix.seeds;
    let pairs = matrix.cells.len();
    let _ = writeln!(out, "made by: {command}");
    let cut = if runs < planned { format!(", of {planned}, then the time was over") } else { String::new() };
    let _ = writeln!(
        out,
        "runs: {runs}{cut} ({pairs} ordered pairs of {}, {} seeds), in {:.0} s",
        matrix.fronts.len(),
        matrix.seeds,
        matrix.took.as_secs_f64()
    );
    let expected = |way: Way| way.is_expected();
    let never = |way: Way| way == Way::Never;
    let _ = writeln!(
        out,
        "upgraded where theory says yes: {} of {}; where it says no: {} of {}",
        sum(expected, |cell| cell.upgraded),
        sum(expected, |cell| cell.runs),
        sum(never, |cell| cell.upgraded),
        sum(never, |cell| cell.runs),
    );
    let _ = writeln!(
        out,
        "no upgrade in {}, after which the circuit has to carry an echo; after an upgrade, the direct connection",
        runs - upgraded
    );
    let _ = writeln!(
        out,
        "on the first try: {} of {upgraded}, {:.2} % (wanted: {:.1} %)",
        count(|cell| cell.first),
        matrix.first_share() * 100.0,
        FIRST * 100.0
    );
    let at = |percent: usize, len: usize| (len * percent / 100).min(len.saturating_sub(1));
    if let [.., worst] = matrix.skews[..] {
        let skew = |percent| matrix.skews[at(percent, matrix.skews.len())] * 100.0;
        let _ = writeln!(
            out,
            "both sides' dials apart, in per cent of a round trip over the relay: median {:.2}, 99 of 100 under {:.2}, worst {:.2} (wanted: {:.0}); {} tries",
            skew(50),
            skew(99),
            worst * 100.0,
            MAX_SKEW * 100.0,
            matrix.skews.len(),
        );
    }
    if let [.., worst] = matrix.afters[..] {
        let after = |percent| matrix.afters[at(percent, matrix.afters.len())];
        let _ = writeln!(
            out,
            "from B's start to the direct connection: median {} ms, 99 of 100 under {} ms, worst {worst} ms",
            after(50),
            after(99)
        );
    }
    let wrong = count(|cell| cell.wrong);
    let _ = writeln!(out, "disagreements: {wrong}");
    for one in &matrix.disagreements {
        let _ = writeln!(out, "  {} x {}, seed {}: {}", one.a, one.b, one.seed, one.what);
    }
    if wrong > matrix.disagreements.len() as u64 {
        let _ = writeln!(out, "  and {} more", wrong - matrix.disagreements.len() as u64);
    }
    out
}

/// Everything, cell by cell.
pub(crate) fn json(matrix: &Matrix, command: &str) -> Value {
    let names: Vec<&str> = matrix.fronts.iter().map(|named| named.name.as_str()).collect();
    let cell = |(at, cell): (usize, &Cell)| {
        let (a, b) = (names[at / names.len()], names[at % names.len()]);
        let Cell { way, runs, upgraded, first, wrong } = cell;
        json!({ "a": a, "b": b, "theory": way, "runs": runs, "upgraded": upgraded, "first": first, "wrong": wrong })
    };
    json!({
        "command": command,
        "holds": matrix.holds(),
        "seeds": matrix.seeds,
        "seconds": matrix.took.as_secs_f64(),
        "runs": matrix.sum(|cell| cell.runs),
        "upgraded": matrix.sum(|cell| cell.upgraded),
        "first": matrix.sum(|cell| cell.first),
        "worst_skew": matrix.skews.last(),
        "disagreements": matrix.disagreements,
        "cells": matrix.cells.iter().enumerate().map(cell).collect::<Vec<_>>(),
    })
}
