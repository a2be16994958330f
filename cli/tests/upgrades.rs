//! What `dial-circuit --wait` and `punch` say where the direct connection has its faults: one that is lost and made anew, one on
//! which no ping is answered. No command makes such a peer, so it is a node of the test's own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    unreachable_pub,
    dead_code
)]

mod common;

use common::{Listening, stderr, stdout, tidewire};
use serde_json::Value;
use std::net::TcpListener;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tidewire_core::{Keypair, Multiaddr, PeerId, Seed};
use tidewire_host::Command;
use tidewire_multistream::{Matcher, Protocol};
use tidewire_tokio::{DialOptions, Inbound, Incoming, Node, NodeConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const LOOPBACK: &str = "/ip4/127.0.0.1/tcp/0";
const ECHO: Protocol = Protocol::from_static("/echo/1.0.0");
const PING: Protocol = Protocol::from_static("/ipfs/ping/1.0.0");
/// From the end of the first direct connection to the dial of the second.
const BETWEEN: Duration = Duration::from_millis(1500);

/// A node with a reservation at the relay, and where it is reached through that.
async fn peer_at(relay: &Listening, config: NodeConfig) -> (Node, String) {
    let node = Node::new(config, Keypair::from_seed(&Seed::new([7; 32]))).unwrap();
    let at: Multiaddr = format!("{}/p2p-circuit", relay.address).parse().unwrap();
    let listener = node.listen(&at).await.unwrap();
    let circuit = listener.addresses()[0].to_string();
    (node, circuit)
}

fn config(punches: bool) -> NodeConfig {
    let mut config = NodeConfig::default();
    match &mut config.host.punching {
        Some(punching) if punches => punching.addresses.allow_private = true,
        punching => *punching = None,
    }
    config
}

/// A command at work, and its last line with its exit code.
fn begin(words: &[&str]) -> std::process::Child {
    tidewire(&[words, &["--json"]].concat()).spawn().unwrap()
}

async fn end(child: std::process::Child) -> (Value, i32) {
    let output: Output = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap();
    let text = stdout(&output);
    let last = text.lines().last().unwrap_or_else(|| panic!("{}", stderr(&output)));
    (serde_json::from_str(last).unwrap(), output.status.code().unwrap())
}

async fn echo(mut inbound: Inbound) {
    let mut piece = vec![0; 4096];
    while let Ok(got @ 1..) = inbound.stream.read(&mut piece).await {
        inbound.stream.write_all(&piece[..got]).await.unwrap();
        inbound.stream.flush().await.unwrap();
    }
    let _ = inbound.stream.shutdown().await;
}

fn is_direct(node: &Node, inbound: &Inbound) -> bool {
    node.host(|host| host.manager().connection(inbound.connection).is_some_and(|one| !one.relayed))
}

async fn dial_directly(node: &Node, peer: PeerId, at: &Multiaddr) {
    let mut options = DialOptions::default();
    (options.direct_only, options.forced, options.new) = (true, true, true);
    node.connect_to(peer, std::slice::from_ref(at), options).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upgrade_ms_is_that_of_the_direct_connection_that_was_used() {
    let relay = Listening::of(&["relay"]);
    let (node, circuit) = peer_at(&relay, config(false)).await;
    let mut echoes = node.handle(ECHO, Matcher::Exact).unwrap();
    // Of the system's choice, and free again.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let at = format!("/ip4/127.0.0.1/tcp/{port}");
    let child = begin(&["dial-circuit", &circuit, "--wait", "20", "--private", "--listen", &at]);
    let at: Multiaddr = at.parse().unwrap();

    let through = echoes.next().await.unwrap();
    assert!(!is_direct(&node, &through));
    let dialer = through.peer;
    tokio::spawn(echo(through));
    dial_directly(&node, dialer, &at).await;
    // The first one is over as soon as it is used.
    let first = echoes.next().await.unwrap();
    assert!(is_direct(&node, &first));
    node.command(Command::Close { connection: first.connection, why: "a test".into() }).unwrap();
    tokio::time::sleep(BETWEEN).await;
    dial_directly(&node, dialer, &at).await;
    let second = echoes.next().await.unwrap();
    assert!(is_direct(&node, &second) && second.connection != first.connection);
    tokio::spawn(echo(second));

    let (told, code) = end(child).await;
    assert_eq!((code, &told["upgraded"], &told["direct_echo"]["bytes"]), (0, &true.into(), &16_384.into()), "{told}");
    assert!(told["upgrade_ms"].as_f64().unwrap() >= BETWEEN.as_secs_f64() * 1000.0, "{told}");
}

/// Answers nothing on the streams that it is given, and says when there was one.
async fn say_nothing(mut pings: Incoming, asked: Arc<AtomicBool>) {
    let mut kept = Vec::new();
    while let Some(ping) = pings.next().await {
        kept.push(ping);
        asked.store(true, Ordering::SeqCst);
    }
}

/// A relay, a peer that makes direct connections and answers no ping, and whether one came.
async fn silent() -> (Listening, Node, String, Arc<AtomicBool>) {
    let relay = Listening::of(&["relay"]);
    let (node, circuit) = peer_at(&relay, config(true)).await;
    let asked = Arc::new(AtomicBool::new(false));
    tokio::spawn(say_nothing(node.handle(PING, Matcher::Exact).unwrap(), asked.clone()));
    (relay, node, circuit, asked)
}

/// All that is told of a punch that did what it is for.
fn is_all_there(told: &Value) {
    assert_eq!((&told["ok"], &told["upgraded"]), (&true.into(), &true.into()), "{told}");
    assert!(told["upgrade_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{told}");
    assert!(told["direct_addr"].as_str().is_some_and(|at| at.starts_with("/ip4/127.0.0.1/")), "{told}");
    assert!(told["explanation"].as_str().is_some_and(|said| said.contains("the peer reached us as we are")), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ping_that_fails_leaves_the_direct_connection_what_it_is() {
    let (_relay, _node, circuit, _) = silent().await;
    let child = begin(&["punch", &circuit, "--private", "--listen", LOOPBACK, "--timeout", "1"]);
    let (told, code) = end(child).await;
    assert_eq!(code, 0, "{told}");
    is_all_there(&told);
    assert_eq!(told["error"], "no ping over the direct connection: /ipfs/ping/1.0.0: no answer within 1.0 s", "{told}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_interrupts_a_punch_is_told_of_the_direct_connection() {
    let (_relay, _node, circuit, asked) = silent().await;
    let child = begin(&["punch", &circuit, "--private", "--listen", LOOPBACK, "--timeout", "20"]);
    while !asked.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
    let (told, code) = end(child).await;
    assert_eq!(code, 0, "{told}");
    is_all_there(&told);
    assert!(told["error"].as_str().unwrap().starts_with("ended by SIGINT; "), "{told}");
}
