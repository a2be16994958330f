//! What NATs and firewalls do, requirement by requirement, and what hosts behind them see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::cast_possible_truncation)]

mod caps;
mod firewalls;
mod icmp;
mod model;
mod ops;
mod ops_world;
mod presets;
mod realms;
mod rfc4787;
mod rfc5382;
mod support;
mod theory;
