//! Every pair of fronts, in worlds of so many seeds, and what theory says of each.

use crate::front::{Front, Named};
use crate::scene::{self, Punched};
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{io, thread};

/// How far apart both may dial, in round trips.
pub(crate) const MAX_SKEW: f64 = 0.1;
/// The least share of successes that take one try.
pub(crate) const FIRST: f64 = 0.976;
/// Disagreements that are kept; all are counted.
const KEPT: usize = 200;

/// What theory says of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Way {
    /// There is one.
    Punch,
    /// There is none.
    Never,
}

impl Way {
    pub(crate) fn of(a: &Front, b: &Front) -> Way {
        if scene::theory(a, b).possible() { Way::Punch } else { Way::Never }
    }

    pub(crate) fn is_expected(self) -> bool {
        self == Way::Punch
    }
}

/// What is to be run.
pub(crate) struct Order {
    pub(crate) fronts: Vec<Named>,
    pub(crate) seeds: u64,
    pub(crate) jobs: usize,
    /// No new world is begun after this.
    pub(crate) limit: Option<Duration>,
    /// Whether how far it is is shown, if there is a terminal.
    pub(crate) progress: bool,
}

/// One pair.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cell {
    pub(crate) way: Way,
    pub(crate) runs: u32,
    pub(crate) upgraded: u32,
    /// Of them, those with one try or none.
    pub(crate) first: u32,
    /// Where something was not as it should be.
    pub(crate) wrong: u32,
}

/// One run that was not as it should be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Disagreement {
    pub(crate) a: String,
    pub(crate) b: String,
    pub(crate) seed: u64,
    pub(crate) what: String,
}

/// All pairs.
pub(crate) struct Matrix {
    pub(crate) fronts: Vec<Named>,
    pub(crate) seeds: u64,
    /// Row by row: A's front is the row, B's the column.
    pub(crate) cells: Vec<Cell>,
    pub(crate) disagreements: Vec<Disagreement>,
    /// From B's start to the direct connection, in milliseconds, sorted.
    pub(crate) afters: Vec<u32>,
    /// How far apart both dialed, in round trips, sorted: of each try.
    pub(crate) skews: Vec<f64>,
    pub(crate) took: Duration,
}

impl Matrix {
    fn new(fronts: &[Named], seeds: u64) -> Matrix {
        let cell =
            |a: &Named, b: &Named| Cell { way: Way::of(&a.front, &b.front), runs: 0, upgraded: 0, first: 0, wrong: 0 };
        let cells = fronts.iter().flat_map(|a| fronts.iter().map(move |b| cell(a, b))).collect();
        Matrix {
            fronts: fronts.to_vec(),
            seeds,
            cells,
            disagreements: Vec::new(),
            afters: Vec::new(),
            skews: Vec::new(),
            took: Duration::ZERO,
        }
    }

    /// The cell of a row and a column.
    pub(crate) fn cell(&self, a: usize, b: usize) -> &Cell {
        &self.cells[a * self.fronts.len() + b]
    }

    pub(crate) fn sum(&self, count: impl Fn(&Cell) -> u32) -> u64 {
        self.cells.iter().map(|cell| u64::from(count(cell))).sum()
    }

    /// Whether all is as it should be.
    pub(crate) fn holds(&self) -> bool {
        self.sum(|cell| cell.wrong) == 0 && self.first_share() >= FIRST
    }

    /// The share of successes that took one try.
    pub(crate) fn first_share(&self) -> f64 {
        let upgraded = self.sum(|cell| cell.upgraded);
        if upgraded == 0 { 1.0 } else { self.sum(|cell| cell.first) as f64 / upgraded as f64 }
    }

    fn add(&mut self, at: usize, seed: u64, result: Result<Punched, String>) {
        let (a, b) = (at / self.fronts.len(), at % self.fronts.len());
        let (a, b) = (self.fronts[a].name.clone(), self.fronts[b].name.clone());
        let cell = &mut self.cells[at];
        cell.runs += 1;
        let faults = match &result {
            Err(why) => vec![why.clone()],
            Ok(punched) => faults(cell.way, punched),
        };
        cell.wrong += u32::from(!faults.is_empty());
        if let Ok(punched) = result {
            cell.upgraded += u32::from(punched.upgraded);
            cell.first += u32::from(punched.upgraded && punched.tries <= 1);
            let millis = |after: Duration| u32::try_from(after.as_millis()).unwrap_or(u32::MAX);
            self.afters.extend(punched.after.filter(|_| punched.upgraded).map(millis));
            self.skews.extend(punched.skews);
        }
        if !faults.is_empty() && self.disagreements.len() < KEPT {
            self.disagreements.push(Disagreement { a, b, seed, what: faults.join("; ") });
        }
    }

    fn merge(&mut self, other: Matrix) {
        for (cell, more) in self.cells.iter_mut().zip(other.cells) {
            cell.runs += more.runs;
            cell.upgraded += more.upgraded;
            cell.first += more.first;
            cell.wrong += more.wrong;
        }
        self.disagreements.extend(other.disagreements);
        self.afters.extend(other.afters);
        self.skews.extend(other.skews);
    }
}

/// What of a run is not as it should be.
fn faults(way: Way, punched: &Punched) -> Vec<String> {
    let mut faults = Vec::new();
    if punched.upgraded != way.is_expected() {
        let (found, said) = if punched.upgraded { ("an upgrade", "none") } else { ("no upgrade", "one") };
        faults.push(format!("{found}, where theory says {said} ({way:?}): {}", punched.words));
    }
    if !punched.echoed {
        let on = if punched.upgraded { "the direct connection" } else { "the circuit" };
        faults.push(format!("no echo over {on}: {}", punched.words));
    }
    if let Some(skew) = punched.skews.iter().find(|skew| **skew > MAX_SKEW) {
        faults.push(format!("both dialed {:.1} % of a round trip apart", skew * 100.0));
    }
    faults
}

/// Runs all of it.
pub(crate) fn run(order: &Order) -> Matrix {
    let start = Instant::now();
    let Order { fronts, seeds, .. } = order;
    let pairs = fronts.len() * fronts.len();
    let all = pairs * usize::try_from(*seeds).unwrap_or(usize::MAX);
    // A seed is through before the next one begins, so that a run that is cut short has seen all pairs.
    let next = AtomicUsize::new(0);
    let whole = Mutex::new(Matrix::new(fronts, *seeds));
    let work = || {
        let mut part = Matrix::new(fronts, *seeds);
        loop {
            if order.limit.is_some_and(|limit| start.elapsed() >= limit) {
                break;
            }
            let task = next.fetch_add(1, Ordering::Relaxed);
            if task >= all {
                break;
            }
            let (at, seed) = (task % pairs, (task / pairs) as u64);
            let (a, b) = (&fronts[at / fronts.len()], &fronts[at % fronts.len()]);
            let world = || scene::punch(&a.name, &a.front, &b.name, &b.front, seed).map_err(|why| why.to_string());
            let result = catch_unwind(AssertUnwindSafe(world)).unwrap_or_else(|_| Err("it panicked".to_owned()));
            part.add(at, seed, result);
        }
        if let Ok(mut whole) = whole.lock() {
            whole.merge(part);
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..order.jobs.max(1)).map(|_| scope.spawn(work)).collect();
        let shown = order.progress && io::stderr().is_terminal();
        while workers.iter().any(|worker| !worker.is_finished()) {
            thread::sleep(Duration::from_millis(if shown { 200 } else { 20 }));
            if shown {
                progress(next.load(Ordering::Relaxed).min(all), all, start.elapsed());
            }
        }
        if shown {
            eprintln!();
        }
    });
    let mut matrix = whole.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    matrix.afters.sort_unstable();
    matrix.skews.sort_unstable_by(f64::total_cmp);
    matrix.disagreements.sort_by(|a, b| (&a.a, &a.b, a.seed).cmp(&(&b.a, &b.b, b.seed)));
    matrix.took = start.elapsed();
    matrix
}

/// How far it is, over the last line.
pub(crate) fn progress(done: usize, all: usize, so_far: Duration) {
    let left = so_far.as_secs_f64() / done.max(1) as f64 * all.saturating_sub(done) as f64;
    eprint!("\r{done} of {all} punches, {:.0} s, about {left:.0} s to go ", so_far.as_secs_f64());
    let _ = io::stderr().flush();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front;

    fn matrix(fronts: Vec<Named>) -> Matrix {
        run(&Order { fronts, seeds: 1, jobs: 2, limit: None, progress: false })
    }

    /// Some of the groups, with each other and with what is no NAT. All of them: `tidewire-lab matrix`.
    #[test]
    fn hosts_find_what_theory_says() {
        let mut fronts: Vec<Named> = front::few().into_iter().step_by(2).collect();
        fronts.extend(front::others().into_iter().step_by(5));
        let matrix = matrix(fronts);
        assert_eq!(matrix.disagreements, []);
        assert!(matrix.holds(), "{} on the first try", matrix.first_share());
        assert!(matrix.sum(|cell| cell.upgraded) > 20 && matrix.sum(|cell| cell.runs - cell.upgraded) > 10);
    }

    #[test]
    fn what_theory_does_not_say_is_a_disagreement() {
        let punched = |upgraded, skew| Punched {
            upgraded,
            tries: 1,
            after: None,
            skews: vec![skew],
            echoed: upgraded,
            words: String::new(),
            details: String::new(),
        };
        assert_eq!(faults(Way::Punch, &punched(true, 0.1)), [""; 0]);
        assert_eq!(faults(Way::Punch, &punched(true, 0.11)).len(), 1);
        assert_eq!(faults(Way::Never, &punched(true, 0.0)).len(), 1);
        assert_eq!(faults(Way::Punch, &punched(false, 0.0)).len(), 2);
        let mut matrix = Matrix::new(&front::others()[..2], 1);
        matrix.add(1, 5, Ok(punched(false, 0.0)));
        assert!(!matrix.holds());
        assert_eq!((matrix.disagreements[0].b.as_str(), matrix.disagreements[0].seed), ("exposed", 5));
    }

    #[test]
    fn the_same_pair_and_seed_is_the_same_world() {
        let [a, b] = [&front::nats()[30], &front::nats()[100]];
        let run = |seed| scene::punch(&a.name, &a.front, &b.name, &b.front, seed).unwrap().details;
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }
}
