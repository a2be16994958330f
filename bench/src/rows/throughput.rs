//! Bytes through one thread, both ends: over Noise and yamux, and over yamux alone.
//!
//! `bare` seals and opens as many bytes as one message has with ring; `bare16k` does it for 16 KiB and is shown for as
//! many bytes: what batches, and messages that fill records, are held to. `aws-lc` is the other library at the same size.
//! `ours` is as the defaults have it, `ours (ring)` seals with ring instead.

use super::Entry;
use crate::budget::Budget;
use crate::harness::{Clock, Contender, Contest, Effort, Row, Unit, run};
use crate::{floor, ours, rust};

/// A message size, a number of streams, and how many messages share a record of ours.
struct Load {
    size: usize,
    streams: usize,
    batch: usize,
    budgets: &'static [Budget],
}

const KIB: usize = 1024;
/// yamux's header lies under the seal too.
const FRAME_HEADER: usize = 12;

pub(super) fn rows() -> Vec<Entry> {
    macro_rules! row {
        ($name:expr, $size:expr, $streams:expr, $batch:expr, [$($budget:expr),*]) => {
            Entry {
                name: $name,
                measure: |name, effort| {
                    secured(name, &Load { size: $size, streams: $streams, batch: $batch, budgets: &[$($budget),*] }, effort)
                },
            }
        };
    }
    use Budget::{Allocations, Gigabytes, Speed};
    vec![
        row!("noise+yamux, 64 B", 64, 1, 1, [Speed(0.70, "bare"), Allocations(0.0)]),
        row!("noise+yamux, 1 KiB", KIB, 1, 1, [Speed(0.85, "bare"), Speed(1.5, "rust"), Allocations(0.0)]),
        row!(
            "noise+yamux, 1 KiB, 100 streams",
            KIB,
            100,
            1,
            [Speed(0.85, "bare"), Speed(1.5, "rust"), Allocations(0.0)]
        ),
        row!(
            "noise+yamux, 1 KiB in batches of 16",
            KIB,
            1,
            16,
            [Speed(0.94, "bare16k"), Speed(2.0, "rust"), Allocations(0.0)]
        ),
        row!(
            "noise+yamux, 1 KiB in batches of 16, 100 streams",
            KIB,
            100,
            16,
            [Speed(0.86, "bare16k"), Speed(2.0, "rust"), Allocations(0.0)]
        ),
        row!("noise+yamux, 16 KiB", 16 * KIB, 1, 1, [Speed(0.94, "bare"), Speed(1.15, "rust"), Allocations(0.0)]),
        row!(
            "noise+yamux, 16 KiB, 100 streams",
            16 * KIB,
            100,
            1,
            [Speed(0.94, "bare"), Speed(1.15, "rust"), Allocations(0.0)]
        ),
        row!("noise+yamux, 64 KiB", 64 * KIB, 1, 1, [Speed(0.94, "bare"), Speed(1.15, "rust"), Allocations(0.0)]),
        row!(
            "noise+yamux, 64 KiB, 100 streams",
            64 * KIB,
            100,
            1,
            [Speed(0.94, "bare"), Speed(1.15, "rust"), Allocations(0.0)]
        ),
        Entry {
            name: "yamux alone, 1 KiB",
            measure: |name, effort| plain(name, KIB, &[Gigabytes(10.0), Speed(3.0, "rust"), Allocations(0.0)], effort),
        },
        Entry {
            name: "yamux alone, 64 KiB",
            measure: |name, effort| {
                plain(name, 64 * KIB, &[Gigabytes(35.0), Speed(3.0, "rust"), Allocations(0.0)], effort)
            },
        },
        Entry { name: "parts: noise+yamux, 64 B", measure: |name, effort| by_hand(name, 64, effort) },
        Entry { name: "parts: noise+yamux, 1 KiB", measure: |name, effort| by_hand(name, KIB, effort) },
        Entry { name: "parts: pipe, 64 KiB", measure: pipe },
    ]
}

fn secured(name: &'static str, load: &Load, effort: &Effort) -> Row {
    let Load { size, streams, batch, budgets } = *load;
    let mut contenders = vec![
        ours::connection::transfers(streams, size, batch),
        ours::connection::transfers_ring(streams, size, batch),
        rust::muxed::transfers(rust::muxed::noise(), streams, size),
    ];
    // A 64 KiB message takes more than one record.
    contenders.push(floor::seal_open_ring("bare", size));
    contenders.push(floor::seal_open_aws_lc("aws-lc", size));
    if batch > 1 {
        contenders.push(in_parts(floor::seal_open_ring("bare16k", 16 * KIB), 16 * KIB / size));
    }
    run(
        Contest {
            name: name.into(),
            unit: Unit::Bytes(size),
            clock: Clock::Thread,
            contenders,
            budgets: budgets.to_vec(),
        },
        effort,
    )
}

fn plain(name: &'static str, size: usize, budgets: &[Budget], effort: &Effort) -> Row {
    let contenders = vec![ours::muxed::plain_transfers(1, size), rust::muxed::transfers(rust::muxed::plain(), 1, size)];
    run(
        Contest {
            name: name.into(),
            unit: Unit::Bytes(size),
            clock: Clock::Thread,
            contenders,
            budgets: budgets.to_vec(),
        },
        effort,
    )
}

/// No budget: what a connection adds to its session and its multiplexer.
fn by_hand(name: &'static str, size: usize, effort: &Effort) -> Row {
    let contenders = vec![
        ours::connection::transfers(1, size, 1),
        ours::muxed::noise_transfers(1, size),
        floor::seal_open_ring("bare", size),
        floor::seal_open_ring("bare, framed", size + FRAME_HEADER),
    ];
    let (unit, clock, budgets) = (Unit::Bytes(size), Clock::Thread, Vec::new());
    run(Contest { name: name.into(), unit, clock, contenders, budgets }, effort)
}

fn pipe(name: &'static str, effort: &Effort) -> Row {
    let contenders = vec![rust::upgrade::pipe_copies(64 * KIB)];
    run(
        Contest {
            name: name.into(),
            unit: Unit::Bytes(64 * KIB),
            clock: Clock::Thread,
            contenders,
            budgets: Vec::new(),
        },
        effort,
    )
}

/// The same work, counted in `parts`.
fn in_parts(contender: Contender, parts: usize) -> Contender {
    let (name, mut whole) = contender.into_parts();
    let mut owed = 0;
    Contender::new(name, move |n| {
        owed += n;
        whole(owed / parts as u64);
        owed %= parts as u64;
    })
}
