//! Hole punches of whole nodes in simulated networks: with peers that differ from us, with peers that break rules, and in
//! homes of all kinds.
//!
//! Each test runs in the worlds of several seeds. A failure names its seed; `TIDEWIRE_SIM_SEED=n` runs that world alone, and
//! its trace is a file, for `tidewire trace`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::cast_possible_truncation)]

mod foreign;
mod homes;
mod puncher;
mod scene;
mod slots;
#[allow(dead_code, reason = "what other tests need of it")]
#[path = "../support/solo_node.rs"]
mod solo_node;
#[allow(dead_code, reason = "what other tests need of it")]
#[path = "../conversations/town.rs"]
mod town;
