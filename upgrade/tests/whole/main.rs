//! Whole upgrades and whole connections, both ends in one thread: from the first byte on the wire to the last.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::cast_possible_truncation)]
#![allow(clippy::std_instead_of_alloc)]

mod connections;
mod flights;
mod hostile;
mod laws;
mod negotiations;
mod properties;
mod support;
mod upgrades;
