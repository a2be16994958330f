//! What a node does when the process has no file descriptors left.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc
)]

mod support;

use std::process::Command;
use std::time::Duration;
use support::*;
use tidewire_tokio::NodeConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The other test, in a process that may have 40 descriptors.
#[test]
fn a_node_without_descriptors_says_so_waits_and_goes_on() {
    let this = std::env::current_exe().unwrap();
    let script = "ulimit -n 40; exec \"$0\" --ignored --exact in_a_process_with_few_descriptors";
    let output = Command::new("sh").args(["-c", script]).arg(this).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test]
#[ignore = "run by the test above"]
async fn in_a_process_with_few_descriptors() {
    let (a, b) = (node(1), node_with(2, NodeConfig::default()));
    let address = listen(&b).await;
    let gone = listen(&node(3)).await;
    // Sockets that connect and say nothing, until none is left to accept them with.
    let mut held = Vec::new();
    while let Ok(socket) = TcpStream::connect(address.socket_addr().unwrap()).await {
        held.push(socket);
        tokio::task::yield_now().await;
    }
    until(|| b.counters().exhausted > 0).await;
    let error = a.connect(&gone).await.unwrap_err().to_string();
    assert!(error.contains("this machine can't"), "{error}");
    let before = b.counters().exhausted;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(b.counters().exhausted - before < 10, "it spins");
    drop(held);
    timeout(Duration::from_secs(10), a.connect(&address)).await.unwrap().unwrap();
}
