//! The figures for people, the table for a README, and the JSON for machines.

use crate::budget::Budget;
use crate::harness::{Figure, Row, Unit};
use crate::machine::Machine;
use serde_json::{Value, json};

/// Prints a row: its figures, then its budgets.
pub fn print(row: &Row) {
    println!("{}", row.name);
    for figure in &row.figures {
        let against = match figure.name {
            "ours" => String::new(),
            _ if figure.nanos == 0.0 => String::new(),
            other => row.speed("ours", other).map(|x| format!("ours is {x:.3} x as fast")).unwrap_or_default(),
        };
        let line = format!("  {:<14} {:>14}  {:>26}  {against}", figure.name, speed(row.unit, figure), memory(figure));
        let errors = figure.errors.map(|count| format!("  {count} errors")).unwrap_or_default();
        println!("{}{errors}", line.trim_end());
    }
    for budget in &row.budgets {
        match budget.check(row) {
            Some((got, ok)) => {
                println!("  budget {budget}: {} {}", number(got), if ok { "ok" } else { "MISSED" });
            }
            None => println!("  budget {budget}: not measured"),
        }
    }
    if let Some(note) = &row.note {
        println!("  note: {note}");
    }
}

/// How many budgets are kept, missed, and not measured.
pub fn tally(rows: &[Row]) -> (usize, usize, usize) {
    let mut tally = (0, 0, 0);
    for row in rows {
        for budget in &row.budgets {
            match budget.check(row) {
                Some((_, true)) => tally.0 += 1,
                Some((_, false)) => tally.1 += 1,
                None => tally.2 += 1,
            }
        }
    }
    tally
}

/// A table with a line for each budget. Rows without one explain others, and are left out.
pub fn markdown(rows: &[Row], machine: &Machine) -> String {
    let mut table = String::from("| what | ours | rust-libp2p | budget | measured | |\n|---|---:|---:|---|---:|---|\n");
    for row in rows {
        let cell = |name| row.figure(name).map(|figure| value(row.unit, figure)).unwrap_or_default();
        // Who else is there beside rust-libp2p is told by name.
        let other = row.figure("sorted").map(|figure| format!("sorted: {}", value(row.unit, figure)));
        let mut head = [row.name.clone(), cell("ours"), other.unwrap_or_else(|| cell("rust"))];
        for budget in &row.budgets {
            let (measured, verdict) = match budget.check(row) {
                Some((got, true)) => (number(got), "kept".into()),
                Some((got, false)) => (number(got), format!("**missed** by {}", distance(*budget, got))),
                None => (String::new(), "not measured".into()),
            };
            let [name, ours, rust] = &head;
            table += &format!("| {name} | {ours} | {rust} | {budget} | {measured} | {verdict} |\n");
            head = Default::default();
        }
    }
    let (kept, missed, unknown) = tally(rows);
    table += &format!("\n{kept} budgets kept, {missed} missed, {unknown} not measured. Measured on: {machine}.\n");
    table
}

/// How far a figure is from the budget that it missed, in percent of the budget.
fn distance(budget: Budget, got: f64) -> String {
    let want = budget.want();
    if want == 0.0 { number(got) } else { format!("{:.1} %", ((got - want) / want * 100.0).abs()) }
}

/// A figure's main value.
fn value(unit: Unit, figure: &Figure) -> String {
    if figure.held.is_some() { memory(figure) } else { speed(unit, figure) }
}

/// All rows as JSON.
pub fn json(rows: &[Row], machine: &Machine, quick: bool) -> Value {
    let rows: Vec<Value> = rows.iter().map(row_json).collect();
    let Machine { processor, cores, rustc } = machine;
    let machine = json!({ "processor": processor, "cores": cores, "rustc": rustc });
    json!({ "quick": quick, "machine": machine, "rows": rows })
}

fn row_json(row: &Row) -> Value {
    let figures: Vec<Value> = row
        .figures
        .iter()
        .map(|figure| {
            let bytes_per_second = match row.unit {
                Unit::Bytes(each) => Some(each as f64 * 1e9 / figure.nanos),
                _ => None,
            };
            json!({
                "name": figure.name,
                "nanos": (figure.nanos > 0.0).then_some(figure.nanos),
                "bytes_per_second": bytes_per_second,
                "allocations": figure.allocations,
                "allocated_bytes": figure.allocated,
                "held_bytes": figure.held,
                "errors": figure.errors,
                "ours_is_faster_by": row.speed("ours", figure.name).filter(|_| figure.name != "ours" && figure.nanos > 0.0),
            })
        })
        .collect();
    let budgets: Vec<Value> = row
        .budgets
        .iter()
        .map(|budget| {
            let checked = budget.check(row);
            json!({
                "budget": budget.to_string(),
                "measured": checked.map(|(got, _)| got),
                "kept": checked.map(|(_, ok)| ok),
            })
        })
        .collect();
    json!({ "name": row.name, "figures": figures, "budgets": budgets, "note": row.note })
}

fn speed(unit: Unit, figure: &Figure) -> String {
    if figure.nanos == 0.0 {
        return String::new();
    }
    match unit {
        Unit::Time if figure.nanos < 10_000.0 => format!("{:.1} ns", figure.nanos),
        Unit::Time if figure.nanos >= 10_000_000.0 => format!("{:.1} ms", figure.nanos / 1e6),
        Unit::Time => format!("{:.1} us", figure.nanos / 1e3),
        Unit::Rate => format!("{:.0} /s", 1e9 / figure.nanos),
        Unit::Bytes(each) => format!("{:.3} GB/s", each as f64 / figure.nanos),
    }
}

fn memory(figure: &Figure) -> String {
    match figure.held {
        Some(held) => format!("{held:.0} B held"),
        None => format!("{} allocs {} B", number(figure.allocations), number(figure.allocated)),
    }
}

fn number(x: f64) -> String {
    if x == x.round() || x >= 1000.0 {
        format!("{x:.0}")
    } else if x >= 0.01 {
        format!("{x:.3}")
    } else {
        format!("{x:.1e}")
    }
}
