//! A relay in a process of its own, beside rust-libp2p's, without limits: what it forwards for a second of its processor, what
//! reservations and idle circuits take, and how long clients wait for them.
//!
//! What is forwarded comes from nodes of ours, and goes to nodes of ours, whosever relay it is. Who waits is the contender's own:
//! client, relay and holder; the time is the wall's.

use super::Entry;
use super::idle;
use crate::budget::Budget;
use crate::harness::{Clock, Effort, Figure, Row, Unit, Watch};
use crate::relay::{Circuits, Held, PIECE, Relay, held};
use crate::{ours, rust};
use std::cell::RefCell;
use std::collections::BTreeMap;

const CONTENDERS: [&str; 2] = ["ours", "rust"];
/// Forwarding is measured in so many rounds at most: each is long.
const ROUNDS: usize = 11;
/// Bytes of a round, over all circuits together.
const ROUND: u64 = 256 << 20;
const ROUND_QUICK: u64 = 32 << 20;
/// Of so many connections of a crowd, one is a circuit and one a reservation.
const SHARE: usize = 10;
/// Bytes that a reservation may take, and a circuit beside its streams.
const HELD: Budget = Budget::Held(1024.0);
/// Block sizes that are told, those first that take most.
const SHOWN: usize = 8;

pub(super) fn rows() -> Vec<Entry> {
    vec![
        Entry {
            name: "relay: forwarded by a second of its processor, 1 circuit",
            measure: |name, effort| forward(name, effort, 1),
        },
        Entry {
            name: "relay: forwarded by a second of its processor, 100 circuits",
            measure: |name, effort| forward(name, effort, 100),
        },
        Entry { name: "relay: start to reservation, wall", measure: |name, effort| wait(name, effort, Wait::Reserve) },
        Entry {
            name: "relay: dial to circuit, wall",
            measure: |name, effort| wait(name, effort, Wait::Dial { connected: false }),
        },
        Entry {
            name: "relay: dial to circuit, relay connected before, wall",
            measure: |name, effort| wait(name, effort, Wait::Dial { connected: true }),
        },
        Entry { name: "relay: heap of a reservation", measure: reservation },
        Entry { name: "relay: heap of an idle circuit beside its two streams", measure: circuit },
    ]
}

fn forward(name: &'static str, effort: &Effort, circuits: usize) -> Row {
    let budgets = vec![Budget::Speed(1.5, "rust")];
    let measured = forwarded(effort, circuits);
    of(name, Unit::Bytes(PIECE), budgets, measured)
}

fn forwarded(effort: &Effort, circuits: usize) -> Result<Vec<Figure>, String> {
    let bytes = if quick(effort) { ROUND_QUICK } else { ROUND };
    let mut all = Vec::new();
    for whose in CONTENDERS.into_iter().filter(|whose| effort.wants(whose)) {
        all.push((whose, Circuits::new(whose, circuits)?, Vec::new()));
    }
    for round in 0..=effort.rounds.min(ROUNDS) {
        for at in 0..all.len() {
            let turn = (at + round) % all.len();
            let (_, circuits, rounds) = &mut all[turn];
            let took = circuits.send(bytes)?;
            // In the first one windows grow, and streams are opened.
            if round > 0 {
                rounds.push(took.as_nanos() as f64 / (bytes as f64 / PIECE as f64));
            }
        }
    }
    Ok(all.into_iter().map(|(whose, _, rounds)| Figure::timed(whose, rounds)).collect())
}

/// For what a client waits.
#[derive(Clone, Copy)]
enum Wait {
    Reserve,
    Dial { connected: bool },
}

/// Clients of both, each with a relay of its own.
enum Clients {
    Ours(ours::relay::Clients),
    Rust(rust::relay::Clients),
}

fn wait(name: &'static str, effort: &Effort, what: Wait) -> Row {
    of(name, Unit::Time, vec![Budget::Time(1.0, "rust")], waited(effort, what))
}

fn waited(effort: &Effort, what: Wait) -> Result<Vec<Figure>, String> {
    let mut all = Vec::new();
    for whose in CONTENDERS.into_iter().filter(|whose| effort.wants(whose)) {
        let relay = Relay::start(whose, 100)?;
        let clients = match whose {
            "ours" => Clients::Ours(ours::relay::Clients::new(&relay.address)),
            _ => Clients::Rust(rust::relay::Clients::new(&relay.address)),
        };
        all.push((whose, relay, clients, Watch::new(Clock::Wall)));
    }
    for round in 0..=effort.rounds {
        if round == 1 {
            // The first one warmed up.
            all.iter_mut().for_each(|(_, _, _, watch)| *watch = Watch::new(Clock::Wall));
        }
        for at in 0..all.len() {
            let turn = (at + round) % all.len();
            let (_, _, clients, watch) = &mut all[turn];
            match (clients, what) {
                (Clients::Ours(clients), Wait::Reserve) => clients.reserve(watch),
                (Clients::Ours(clients), Wait::Dial { connected }) => clients.dial(watch, connected),
                (Clients::Rust(clients), Wait::Reserve) => clients.reserve(watch),
                (Clients::Rust(clients), Wait::Dial { connected }) => clients.dial(watch, connected),
            }
            watch.end_round();
        }
    }
    Ok(all.into_iter().map(|(whose, _, _, watch)| watch.figure(whose)).collect())
}

fn reservation(name: &'static str, effort: &Effort) -> Row {
    holding(name, effort, |_, [reservation, _]| (reservation.heap, reservation))
}

fn circuit(name: &'static str, effort: &Effort) -> Row {
    let [ours, rust] = idle::streams();
    let mut row = holding(name, effort, |whose, [_, circuit]| {
        let stream = if whose == "ours" { ours } else { rust };
        (circuit.heap - 2.0 * stream, circuit)
    });
    let streams = format!("an idle stream, of which two are subtracted: ours {ours:.0} B, rust {rust:.0} B");
    row.note = Some(row.note.map_or(streams.clone(), |note| format!("{note}; {streams}")));
    row
}

fn holding(name: &'static str, effort: &Effort, take: impl Fn(&str, [Held; 2]) -> (f64, Held)) -> Row {
    let (mut figures, mut notes) = (Vec::new(), Vec::new());
    for whose in CONTENDERS.into_iter().filter(|whose| effort.wants(whose)) {
        match outcome(whose, effort) {
            Ok(both) => {
                let (bytes, held) = take(whose, both);
                figures.push(Figure::held(whose, bytes));
                if whose == "ours" {
                    notes.push(format!("blocks of ours: {}", blocks(held.sizes)));
                }
            }
            Err(why) => notes.push(format!("{whose}: {why}")),
        }
    }
    Row { name: name.into(), unit: Unit::Time, figures, budgets: vec![HELD], note: Some(notes.join("; ")) }
}

fn blocks(mut sizes: Vec<(usize, f64)>) -> String {
    sizes.sort_by(|(a, m), (b, n)| (*b as f64 * n).total_cmp(&(*a as f64 * m)));
    let shown = sizes.into_iter().take(SHOWN).filter(|(size, count)| *size as f64 * count >= 1.0);
    shown.map(|(size, count)| format!("{count:.2} of {size}")).collect::<Vec<_>>().join(", ")
}

thread_local! {
    static OUTCOMES: RefCell<BTreeMap<&'static str, Result<[Held; 2], String>>> = RefCell::default();
}

/// Both rows tell of the same run.
fn outcome(whose: &'static str, effort: &Effort) -> Result<[Held; 2], String> {
    OUTCOMES.with_borrow_mut(|known| known.entry(whose).or_insert_with(|| held(whose, effort.sockets / SHARE)).clone())
}

fn quick(effort: &Effort) -> bool {
    effort.sockets < Effort::FULL.sockets
}

fn of(name: &'static str, unit: Unit, budgets: Vec<Budget>, measured: Result<Vec<Figure>, String>) -> Row {
    let (figures, note) = measured.map_or_else(|why| (Vec::new(), Some(why)), |figures| (figures, None));
    Row { name: name.into(), unit, figures, budgets, note }
}
