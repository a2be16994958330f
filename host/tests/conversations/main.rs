//! Whole conversations: nodes in simulated worlds, from the first packet to the last.
//!
//! Each test runs in the worlds of several seeds. A failure names its seed; `TIDEWIRE_SIM_SEED=n` runs that world alone. The
//! large ones are ignored, and have their commands in their heads.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::cast_possible_truncation)]

mod autorelay;
mod bad;
mod circuits;
mod crowd;
mod descriptors;
mod determinism;
mod dialing;
mod end;
mod flights;
mod identify;
mod pairs;
mod ping;
mod punching;
mod reachability;
mod reconnect;
mod relay_weather;
mod relays;
mod soak;
#[path = "../support/solo_node.rs"]
mod solo_node;
#[path = "../support/stranger.rs"]
mod stranger;
mod streams;
mod town;
mod weather;
