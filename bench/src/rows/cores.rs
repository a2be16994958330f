//! What a second core is worth: bytes over eight connections, loopback TCP, Noise and yamux, both ends in one process. Wall time.
//!
//! A runtime has a worker for each core, which keeps to it. Contenders with two cores and with one take turns. `bare` is seal + open in as many threads: what the machine itself gives.

use super::Entry;
use crate::budget::Budget;
use crate::floor;
use crate::flow::keep_to_core;
use crate::harness::{Clock, Contender, Contest, Effort, Row, Unit, run};
use crate::{ours, rust};

pub(super) fn rows() -> Vec<Entry> {
    vec![Entry { name: "cores: loopback TCP, 8 connections, 64 KiB, 2 against 1", measure: throughput }]
}

/// Bytes in one write of the application.
const PIECE: usize = 64 * 1024;
const CONNECTIONS: u8 = 8;
/// A turn is so many times longer, and there are at most so many rounds: with several threads, a short turn measures how they wake.
const LONGER: u32 = 20;
const ROUNDS: usize = 15;

fn throughput(name: &'static str, effort: &Effort) -> Row {
    let contenders = vec![
        ours::tcp::flows("ours", 2, CONNECTIONS, PIECE),
        ours::tcp::flows("ours, 1 core", 1, CONNECTIONS, PIECE),
        rust::tcp::flows("rust", 2, CONNECTIONS, PIECE),
        rust::tcp::flows("rust, 1 core", 1, CONNECTIONS, PIECE),
        bare("bare", 2),
        bare("bare, 1 core", 1),
    ];
    let effort = Effort { rounds: effort.rounds.min(ROUNDS), turn: effort.turn * LONGER, ..effort.clone() };
    let budgets = vec![Budget::Speed(1.6, "ours, 1 core"), Budget::Speed(1.25, "rust")];
    let mut row =
        run(Contest { name: name.into(), unit: Unit::Bytes(PIECE), clock: Clock::Wall, contenders, budgets }, &effort);
    let worth =
        ["rust", "bare"].map(|one| row.speed(one, format!("{one}, 1 core").as_str()).map(|x| format!("{one} {x:.2}")));
    let worth: Vec<String> = worth.into_iter().flatten().collect();
    row.note = (!worth.is_empty()).then(|| format!("2 cores against 1: {}", worth.join(", ")));
    row
}

fn bare(name: &'static str, cores: usize) -> Contender {
    Contender::new(name, move |n| {
        std::thread::scope(|scope| {
            for core in 0..cores {
                scope.spawn(move || {
                    keep_to_core(core);
                    let (_, mut run) = floor::seal_open_ring("bare", PIECE).into_parts();
                    run(n.div_ceil(cores as u64));
                });
            }
        });
    })
}
