//! What a node leaves behind: in a process of its own, so that all threads are its.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc
)]
#![cfg(target_os = "linux")]

mod support;

use std::io::Write;
use support::*;
use tidewire_relay::Limit;
use tidewire_std::{Multiaddr, Protocols};

/// Threads of nodes in this process.
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.starts_with("tidewire-")).count()
}

#[test]
fn at_shutdown_no_thread_is_left() {
    let (relay, holder, dialer) = (node_with(1, relay_of(Limit::UNLIMITED)), node(2), node(3));
    let at = listen(&relay);
    let through: Multiaddr = format!("{at}/p2p-circuit").parse().unwrap();
    holder.listen(&through).unwrap();
    dialer.connect(&circuit(&at, id(2))).unwrap();
    let mut stream = dialer.open(id(2), &Protocols::from(ECHO), limited()).unwrap();
    stream.write_all(&data(1000, 1)).unwrap();
    assert!(threads() > 8, "{}", threads());
    soon(move || (holder.shutdown(), relay.shutdown(), dialer.shutdown()));
    drop(stream);
    until(|| threads() == 0);
}
