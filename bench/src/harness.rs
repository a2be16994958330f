//! How a row is measured.
//!
//! All contenders of a row take turns within one process: in each round everyone runs once, for about the same time, in
//! rotating order. A figure is the median over the rounds; a ratio is the median of the rounds' ratios, so that whatever
//! slows the machine down for a while slows both sides of it. Time is the thread's processor time, except in rows that
//! use several threads. Allocations are counted in a round of their own.

use crate::alloc::{self, Count};
use crate::budget::Budget;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// How thorough to be.
#[derive(Clone, Debug)]
pub struct Effort {
    /// Rounds in a row.
    pub rounds: usize,
    /// How long a contender runs in a round.
    pub turn: Duration,
    /// Who takes part. Empty: everyone.
    pub contenders: Vec<String>,
    /// Connections in a crowd, for rows about very many.
    pub crowd: usize,
    /// Connections over sockets, for rows about a node with many.
    pub sockets: usize,
}

impl Effort {
    /// What figures are quoted from.
    pub const FULL: Effort = Effort {
        rounds: 31,
        turn: Duration::from_millis(15),
        contenders: Vec::new(),
        crowd: 1_000_000,
        sockets: 10_000,
    };
    /// Whether everything still runs.
    pub const QUICK: Effort =
        Effort { rounds: 3, turn: Duration::from_millis(4), contenders: Vec::new(), crowd: 20_000, sockets: 500 };
}

/// What one operation is, for the figures.
#[derive(Clone, Copy, Debug)]
pub enum Unit {
    /// Shown as time.
    Time,
    /// Shown as operations a second.
    Rate,
    /// Shown as bytes a second; so many bytes each.
    Bytes(usize),
}

/// What measures time.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The processor time of this thread.
    Thread,
    /// The wall's.
    Wall,
}

impl Effort {
    /// Whether this contender takes part.
    pub fn wants(&self, name: &str) -> bool {
        self.contenders.is_empty() || self.contenders.iter().any(|one| one == name)
    }
}

impl Clock {
    fn time(self, what: impl FnOnce()) -> Duration {
        let id = match self {
            Clock::Thread => ClockId::ThreadCPUTime,
            Clock::Wall => ClockId::Monotonic,
        };
        let now = || {
            let time = clock_gettime(id);
            Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
        };
        let start = now();
        what();
        now() - start
    }
}

/// Someone to measure: does so many operations.
pub struct Contender {
    /// `ours`, `rust`, `bare`, ...
    pub name: &'static str,
    run: Box<dyn FnMut(u64)>,
}

impl Contender {
    /// `run` does as many operations as it is told.
    pub fn new(name: &'static str, run: impl FnMut(u64) + 'static) -> Self {
        Contender { name, run: Box::new(run) }
    }

    /// The name, and what runs.
    pub fn into_parts(self) -> (&'static str, Box<dyn FnMut(u64)>) {
        (self.name, self.run)
    }
}

/// A row before it is measured.
pub struct Contest {
    /// What is measured.
    pub name: String,
    /// What its operation is.
    pub unit: Unit,
    /// What measures it.
    pub clock: Clock,
    /// Ours first, if it is there.
    pub contenders: Vec<Contender>,
    /// What ours must reach.
    pub budgets: Vec<Budget>,
}

/// A measured contender.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Whose.
    pub name: &'static str,
    /// Median nanoseconds an operation. 0 where time is not the point.
    pub nanos: f64,
    /// Nanoseconds an operation, by round.
    pub rounds: Vec<f64>,
    /// Allocations an operation.
    pub allocations: f64,
    /// Allocated bytes an operation.
    pub allocated: f64,
    /// Bytes that stay allocated for each, structs included. For rows about memory.
    pub held: Option<f64>,
    /// What went wrong, counted. For rows that count it.
    pub errors: Option<u64>,
}

impl Figure {
    /// One of a row about time alone: the median of its rounds.
    pub fn timed(name: &'static str, rounds: Vec<f64>) -> Self {
        let nanos = median(rounds.clone());
        Figure { name, nanos, rounds, allocations: 0.0, allocated: 0.0, held: None, errors: None }
    }

    /// One of a row about memory alone.
    pub fn held(name: &'static str, bytes: f64) -> Self {
        let held = Some(bytes);
        Figure { name, nanos: 0.0, rounds: Vec::new(), allocations: 0.0, allocated: 0.0, held, errors: None }
    }
}

/// A measured row.
pub struct Row {
    /// What was measured.
    pub name: String,
    /// What its operation is.
    pub unit: Unit,
    /// Contenders.
    pub figures: Vec<Figure>,
    /// What ours must reach.
    pub budgets: Vec<Budget>,
    /// What is to be known about it: why a contender is not there, say.
    pub note: Option<String>,
}

impl Row {
    /// The figure of `name`.
    pub fn figure(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }

    /// How many times faster `a` is than `b`.
    pub fn speed(&self, a: &str, b: &str) -> Option<f64> {
        let (a, b) = (self.figure(a)?, self.figure(b)?);
        Some(median(a.rounds.iter().zip(&b.rounds).map(|(a, b)| b / a).collect()))
    }
}

/// Measures.
pub fn run(mut contest: Contest, effort: &Effort) -> Row {
    contest.contenders.retain(|one| effort.wants(one.name));
    if contest.contenders.is_empty() {
        return Row {
            name: contest.name,
            unit: contest.unit,
            figures: Vec::new(),
            budgets: contest.budgets,
            note: None,
        };
    }
    let counts: Vec<u64> =
        contest.contenders.iter_mut().map(|one| calibrate(one, contest.clock, effort.turn)).collect();
    let mut rounds = vec![Vec::new(); counts.len()];
    for round in 0..effort.rounds {
        for turn in 0..counts.len() {
            let at = (turn + round) % counts.len();
            let took = contest.clock.time(|| (contest.contenders[at].run)(counts[at]));
            rounds[at].push(took.as_nanos() as f64 / counts[at] as f64);
        }
    }
    let mut figures = Vec::new();
    for ((mut one, rounds), n) in contest.contenders.into_iter().zip(rounds).zip(counts) {
        let ((), Count { calls, bytes, .. }) = alloc::count(|| (one.run)(n));
        figures.push(Figure {
            name: one.name,
            nanos: median(rounds.clone()),
            rounds,
            allocations: calls as f64 / n as f64,
            allocated: bytes as f64 / n as f64,
            held: None,
            errors: None,
        });
    }
    Row { name: contest.name, unit: contest.unit, figures, budgets: contest.budgets, note: None }
}

/// Measures work that needs preparing and cleaning up, which don't count: only what is done inside [`Watch::time`] does.
/// Rows that use it hold their rounds by hand.
#[derive(Debug)]
pub struct Watch {
    clock: Clock,
    rounds: Vec<f64>,
    took: Duration,
    done: u64,
    /// Instead of taking time, counts allocations.
    counting: bool,
    count: Count,
}

impl Watch {
    /// One that has measured nothing.
    pub fn new(clock: Clock) -> Self {
        Watch { clock, rounds: Vec::new(), took: Duration::ZERO, done: 0, counting: false, count: Count::default() }
    }

    /// Measures a part of the round: so many operations.
    pub fn time<T>(&mut self, operations: usize, what: impl FnOnce() -> T) -> T {
        self.done += operations as u64;
        if self.counting {
            let (result, Count { calls, bytes, .. }) = alloc::count(what);
            self.count.calls += calls;
            self.count.bytes += bytes;
            return result;
        }
        let mut result = None;
        self.took += self.clock.time(|| result = Some(what()));
        result.expect("it was called")
    }

    /// The round is over.
    pub fn end_round(&mut self) {
        if !self.counting {
            self.rounds.push(self.took.as_nanos() as f64 / self.done as f64);
            (self.took, self.done) = (Duration::ZERO, 0);
        }
    }

    /// The rounds are over; one more comes, in which allocations are counted.
    pub fn count_now(&mut self) {
        self.counting = true;
    }

    /// What was measured.
    pub fn figure(self, name: &'static str) -> Figure {
        let per = |count: u64| if self.done == 0 { 0.0 } else { count as f64 / self.done as f64 };
        Figure {
            name,
            nanos: median(self.rounds.clone()),
            allocations: per(self.count.calls),
            allocated: per(self.count.bytes),
            rounds: self.rounds,
            held: None,
            errors: None,
        }
    }
}

/// How many operations fill a turn. Warms up on the way.
fn calibrate(one: &mut Contender, clock: Clock, turn: Duration) -> u64 {
    let mut n = 1;
    loop {
        let took = clock.time(|| (one.run)(n)).max(Duration::from_nanos(1));
        if took >= turn / 4 {
            return ((n as f64 * turn.as_secs_f64() / took.as_secs_f64()) as u64).max(1);
        }
        n *= if took < turn / 64 { 8 } else { 2 };
    }
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    match all.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => all[n / 2],
        n => (all[n / 2 - 1] + all[n / 2]) / 2.0,
    }
}
