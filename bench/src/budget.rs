//! What ours must reach, as data: a row carries its budgets, and the table says which are kept.

use crate::harness::{Row, Unit};
use std::fmt;

/// One thing that a row's `ours` must reach.
#[derive(Clone, Copy, Debug)]
pub enum Budget {
    /// At least so many times as fast as this contender.
    Speed(f64, &'static str),
    /// At most so many times this contender's time.
    Time(f64, &'static str),
    /// At most so many nanoseconds an operation.
    Nanos(f64),
    /// At least so many operations a second.
    Rate(f64),
    /// At least so many GB (10^9 bytes) a second.
    Gigabytes(f64),
    /// At most so many allocations an operation.
    Allocations(f64),
    /// At most so many bytes held.
    Held(f64),
    /// At most this part of what this contender holds.
    HeldPart(f64, &'static str),
    /// Nothing may go wrong.
    NoErrors,
}

impl Budget {
    /// The number in it.
    pub fn want(self) -> f64 {
        match self {
            Budget::Speed(want, _) | Budget::Time(want, _) | Budget::HeldPart(want, _) => want,
            Budget::Nanos(want) | Budget::Rate(want) | Budget::Gigabytes(want) => want,
            Budget::Allocations(want) | Budget::Held(want) => want,
            Budget::NoErrors => 0.0,
        }
    }

    /// What was measured, and whether that is enough. `None`: a contender is missing.
    pub fn check(self, row: &Row) -> Option<(f64, bool)> {
        let ours = row.figure("ours")?;
        let at_least = |got: f64, want: f64| (got, got >= want);
        let at_most = |got: f64, want: f64| (got, got <= want);
        Some(match self {
            Budget::Speed(want, than) => at_least(row.speed("ours", than)?, want),
            Budget::Time(want, than) => at_most(1.0 / row.speed("ours", than)?, want),
            Budget::Nanos(want) => at_most(ours.nanos, want),
            Budget::Rate(want) => at_least(1e9 / ours.nanos, want),
            Budget::Gigabytes(want) => match row.unit {
                Unit::Bytes(each) => at_least(each as f64 / ours.nanos, want),
                _ => return None,
            },
            // A buffer that is filled up and replaced every few thousand operations is no allocation "per" operation.
            Budget::Allocations(want) => at_most((ours.allocations * 100.0).round() / 100.0, want),
            Budget::Held(want) => at_most(ours.held?, want),
            Budget::NoErrors => at_most(ours.errors? as f64, 0.0),
            Budget::HeldPart(want, of) => at_most(ours.held? / row.figure(of)?.held?, want),
        })
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Budget::Speed(want, than) => write!(f, "{want:.2} x the speed of {than}"),
            Budget::Time(want, than) => write!(f, "{want:.2} x the time of {than}"),
            Budget::Nanos(want) => write!(f, "{want:.0} ns"),
            Budget::Rate(want) => write!(f, "{want:.0} a second"),
            Budget::Gigabytes(want) => write!(f, "{want:.0} GB/s"),
            Budget::Allocations(want) => write!(f, "{want:.0} allocations"),
            Budget::Held(want) => write!(f, "{want:.0} bytes"),
            Budget::NoErrors => write!(f, "no error"),
            Budget::HeldPart(want, of) => write!(f, "{want:.2} of {of}'s bytes"),
        }
    }
}
