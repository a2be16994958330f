//! How a world behaves, as the nodes in it see it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::cast_possible_truncation)]

mod chaos;
mod connect;
mod crowd;
mod data;
mod determinism;
mod end;
mod hosts;
mod links;
mod ports;
mod property;
mod spin;
mod support;
mod talking;
mod udp;
