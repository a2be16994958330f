//! Circuits over real sockets: a relay, a holder of a reservation, and who dials it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc
)]

mod support;

use std::time::Duration;
use support::*;
use tidewire_relay::Limit;
use tidewire_relay::client::CircuitEnd;
use tidewire_relay::server::{self, Way};
use tidewire_relay::splice::LimitReached;
use tidewire_tokio::{Matcher, Multiaddr, Node, NodeConfig, PeerId, Protocol, Protocols, Stream};
use tokio::io::AsyncWriteExt;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Node 1 relays, node 2 holds a reservation, node 3 reaches it.
struct Three {
    relay: Node,
    holder: Node,
    dialer: Node,
    at: Multiaddr,
}

async fn relay(limit: Limit) -> (Node, Multiaddr) {
    let relay = node_with(1, relay_of(limit));
    let at = listen(&relay).await;
    (relay, at)
}

/// Listens at the relay, and says where the node is reached.
async fn reserve(holder: &Node, relay: &Multiaddr) -> Multiaddr {
    let at: Multiaddr = format!("{relay}/p2p-circuit").parse().unwrap();
    let listener = timeout(Duration::from_secs(5), holder.listen(&at)).await.expect("there is no reservation").unwrap();
    listener.addresses()[0].clone()
}

async fn three(limit: Limit) -> Three {
    let (relay, at) = relay(limit).await;
    let (holder, dialer) = (node(2), node(3));
    reserve(&holder, &at).await;
    dialer.connect(&circuit(&at, id(2))).await.unwrap();
    until(|| holder.counters().peers == 2 && circuits(&relay) == 1).await;
    Three { relay, holder, dialer, at }
}

async fn open_to(node: &Node, peer: PeerId, protocol: Protocol) -> Stream {
    node.open(peer, &Protocols::from(protocol), limited()).await.unwrap()
}

fn circuits(relay: &Node) -> usize {
    relay.host(|host| host.relay_server().unwrap().counts().circuits).try_into().unwrap()
}

/// A runtime of its own, for a node that is killed.
fn threads(count: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(count).enable_all().build().unwrap()
}

#[tokio::test]
async fn a_listener_at_a_relay_says_where_it_is_reached_until_it_is_closed() {
    let (relay, at) = relay(Limit::UNLIMITED).await;
    let holder = node(2);
    let listen_at: Multiaddr = format!("{at}/p2p-circuit").parse().unwrap();
    let listener = holder.listen(&listen_at).await.unwrap();
    assert_eq!(listener.addresses(), [circuit(&at, id(2))]);
    listener.close().await;
    let dialer = node(3);
    let error = dialer.connect(&circuit(&at, id(2))).await.unwrap_err().to_string();
    assert!(error.contains("the relay refuses"), "{error}");
    drop(relay);
}

#[tokio::test]
async fn what_goes_over_a_circuit_arrives_both_ways() {
    let Three { relay, holder, dialer, .. } = three(Limit::UNLIMITED).await;
    for len in [16 * 1024, 8 << 20] {
        let (out, back) = (open_to(&dialer, id(2), ECHO).await, open_to(&holder, id(3), ECHO).await);
        tokio::join!(round_trip(out, len, 1), round_trip(back, len, 2));
    }
    // Connections at the relay hold nothing while they are idle.
    until(|| relay.buffers_in_use() == 0 && holder.buffers_in_use() == 0 && dialer.buffers_in_use() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_streams_share_a_circuit() {
    let Three { relay: _relay, holder, dialer, .. } = three(Limit::UNLIMITED).await;
    let mut all = JoinSet::new();
    for salt in 0..50 {
        let (from, to) = if salt % 2 == 0 { (dialer.clone(), id(2)) } else { (holder.clone(), id(3)) };
        all.spawn(async move { round_trip(open_to(&from, to, ECHO).await, 100_000, salt).await });
    }
    all.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_circuit_that_just_began_carries_at_once() {
    let (relay, at) = relay(Limit::UNLIMITED).await;
    let holder = node(2);
    reserve(&holder, &at).await;
    let dialer = node(3);
    for salt in 0..50 {
        let connected = dialer.connect(&circuit(&at, id(2))).await.unwrap();
        round_trip(open_to(&dialer, id(2), ECHO).await, 1000, salt).await;
        let why = "again".into();
        dialer.command(tidewire_tokio::Command::Close { connection: connected.connection, why }).unwrap();
        until(|| circuits(&relay) == 0 && dialer.host(|host| !host.manager().is_connected(&id(2)))).await;
    }
}

#[tokio::test]
async fn a_limit_in_bytes_is_told_at_both_ends_and_at_the_relay() {
    let Three { relay, holder, dialer, .. } = three(limit(None, Some(64 * 1024))).await;
    let (mut at_relay, mut at_holder, mut at_dialer) = (relay.events(), holder.events(), dialer.events());
    let mut stream = open_to(&dialer, id(2), ECHO).await;
    let sent = data(256 * 1024, 0);
    let wrote = async {
        stream.write_all(&sent).await?;
        stream.read_all(sent.len()).await
    };
    assert!(wrote.await.is_err(), "more went than may");
    let ended = event(&mut at_relay, of_relayed).await;
    let why = server::CircuitEnd::DataLimit { way: Way::Forward, bytes: 64 * 1024 };
    assert_eq!(ended, (why, 64 * 1024));
    for events in [&mut at_holder, &mut at_dialer] {
        let why = event(events, of_circuit).await;
        let limit = matches!(why, CircuitEnd::LimitReached(LimitReached::Data { bytes: 65_536, .. }));
        assert!(limit, "{why:?}");
    }
    // The connections to the relay go on.
    assert_eq!((relay.counters().peers, circuits(&relay)), (2, 0));
}

#[tokio::test]
async fn a_limit_in_time_is_told_at_both_ends() {
    let lasts = Duration::from_secs(2);
    let Three { relay, holder, dialer, .. } = three(limit(Some(lasts), None)).await;
    let (mut at_relay, mut at_holder, mut at_dialer) = (relay.events(), holder.events(), dialer.events());
    let stream = open_to(&dialer, id(2), ECHO).await;
    round_trip(stream, 1000, 1).await;
    for events in [&mut at_holder, &mut at_dialer] {
        assert_eq!(event(events, of_circuit).await, CircuitEnd::LimitReached(LimitReached::Time { duration: lasts }));
    }
    assert_eq!(event(&mut at_relay, of_relayed).await.0, server::CircuitEnd::TimeLimit { duration: lasts });
}

#[tokio::test]
async fn a_relay_that_shuts_down_ends_its_circuits() {
    let Three { relay, holder, dialer, .. } = three(Limit::UNLIMITED).await;
    let mut stream = open_to(&dialer, id(2), ECHO).await;
    stream.write_all(&data(100_000, 1)).await.unwrap();
    timeout(Duration::from_secs(5), relay.shutdown()).await.expect("the relay has something left");
    let rest = timeout(Duration::from_secs(5), stream.read_all(100_000)).await.expect("nothing tells of the end");
    assert!(rest.is_err(), "the stream did not end by itself");
    until(|| dialer.counters().peers == 0 && holder.counters().peers == 0).await;
    timeout(Duration::from_secs(5), async { tokio::join!(dialer.shutdown(), holder.shutdown()) }).await.unwrap();
}

#[test]
fn a_holder_that_is_killed_leaves_no_circuit_behind() {
    let (here, there) = (threads(2), threads(1));
    let (relay, at) = here.block_on(relay(Limit::UNLIMITED));
    let holder = there.block_on(async {
        let holder = node(2);
        reserve(&holder, &at).await;
        holder
    });
    here.block_on(async {
        let dialer = node(3);
        dialer.connect(&circuit(&at, id(2))).await.unwrap();
        let mut stream = open_to(&dialer, id(2), ECHO).await;
        stream.write_all(b"before").await.unwrap();
        there.shutdown_background();
        let read = timeout(Duration::from_secs(5), stream.read_all(100)).await.expect("nothing tells of the end");
        assert!(read.is_err(), "the stream did not end by itself");
        until(|| circuits(&relay) == 0 && dialer.host(|host| !host.manager().is_connected(&id(2)))).await;
        timeout(Duration::from_secs(5), async { tokio::join!(relay.shutdown(), dialer.shutdown()) }).await.unwrap();
    });
    drop(holder);
}

#[tokio::test]
async fn a_slow_receiver_slows_the_sender_and_the_relay_keeps_little() {
    let Three { relay, holder, dialer, .. } = three(Limit::UNLIMITED).await;
    let mut talks = holder.handle(TALK, Matcher::Exact).unwrap();
    let mut stream = open_to(&dialer, id(2), TALK).await;
    let (len, before) = (16 << 20, relay.counters());
    let sent = data(len, 5);
    let writing = tokio::spawn(async move {
        stream.write_all(&sent).await.unwrap();
        stream.shutdown().await.unwrap();
        (stream, sent)
    });
    let mut inbound = timeout(Duration::from_secs(5), talks.next()).await.unwrap().unwrap();
    // Till nothing goes any more.
    let mut known = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = relay.counters().received;
        if std::mem::replace(&mut known, now) == now {
            break;
        }
    }
    let came = relay.counters().received - before.received;
    assert!(came < 4 << 20 && !writing.is_finished(), "{came} bytes came, though nobody reads");
    let held = came.saturating_sub(relay.counters().sent - before.sent);
    assert!(held < 1 << 20, "the relay holds {held} bytes");
    assert!(relay.buffers_in_use() <= 8, "{} buffers", relay.buffers_in_use());
    let received = inbound.stream.read_all(len).await.unwrap();
    let (_, sent) = writing.await.unwrap();
    assert!(received == sent);
}

#[tokio::test]
async fn a_circuit_whose_source_is_gone_ends_though_its_destination_takes_nothing() {
    let (relay, at) = relay(Limit::UNLIMITED).await;
    let mut hasty = NodeConfig::default();
    hasty.close_timeout = Duration::from_millis(100);
    let (holder, dialer) = (node(2), node_with(3, hasty));
    let talks = holder.handle(TALK, Matcher::Exact).unwrap();
    reserve(&holder, &at).await;
    let connection = dialer.connect(&circuit(&at, id(2))).await.unwrap().connection;
    let mut stream = open_to(&dialer, id(2), TALK).await;
    let sent = data(16 << 20, 5);
    assert!(timeout(Duration::from_millis(500), stream.write_all(&sent)).await.is_err(), "somebody reads");
    let mut at_relay = relay.events();
    dialer.command(tidewire_tokio::Command::Close { connection, why: "enough".into() }).unwrap();
    event(&mut at_relay, of_relayed).await;
    drop(talks);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_circuits_run_at_once() {
    let (relay, at) = relay(Limit::UNLIMITED).await;
    let mut all = JoinSet::new();
    let holders: Vec<Node> = (10..20).map(node).collect();
    for holder in &holders {
        reserve(holder, &at).await;
    }
    let dialers: Vec<Node> = (30..40).map(node).collect();
    for dialer in &dialers {
        for n in 10..20 {
            let (dialer, to) = (dialer.clone(), circuit(&at, id(n)));
            all.spawn(async move {
                dialer.connect(&to).await.unwrap();
                round_trip(open_to(&dialer, id(n), ECHO).await, 100_000, n.into()).await;
            });
        }
    }
    all.join_all().await;
    assert_eq!(circuits(&relay), 100);
    let mut ends = JoinSet::new();
    for node in dialers.into_iter().chain(holders) {
        ends.spawn(async move { node.shutdown().await });
    }
    timeout(Duration::from_secs(10), ends.join_all()).await.expect("a node has something left");
    until(|| circuits(&relay) == 0 && relay.counters().peers == 0).await;
}

#[test]
fn at_shutdown_no_task_is_left() {
    let runtime = threads(2);
    runtime.block_on(async {
        let Three { relay, holder, dialer, .. } = three(Limit::UNLIMITED).await;
        let mut stream = open_to(&dialer, id(2), ECHO).await;
        stream.write_all(&data(1000, 1)).await.unwrap();
        let all = async { tokio::join!(holder.shutdown(), relay.shutdown(), dialer.shutdown()) };
        timeout(Duration::from_secs(10), all).await.expect("a node has something left");
        drop(stream);
        let metrics = tokio::runtime::Handle::current().metrics();
        until(|| metrics.num_alive_tasks() == 0).await;
    });
}

#[tokio::test]
async fn a_circuit_inside_a_circuit_is_refused() {
    let Three { relay, holder, dialer, at } = three(Limit::UNLIMITED).await;
    // The holder is a relay too, but is reached through one.
    let inside: Multiaddr = format!("{}/p2p-circuit/p2p/{}", circuit(&at, id(2)), id(4)).parse().unwrap();
    let error = timeout(Duration::from_secs(10), dialer.connect(&inside)).await.unwrap().unwrap_err().to_string();
    assert!(error.contains("circuit"), "{error}");
    assert_eq!(circuits(&relay), 1);
    drop(holder);
}

#[tokio::test]
async fn a_reservation_over_a_circuit_is_refused() {
    let (first, at) = relay(Limit::UNLIMITED).await;
    // A second relay, which is reached through the first one only.
    let second = node_with(2, relay_of(Limit::UNLIMITED));
    reserve(&second, &at).await;
    let dialer = node(3);
    let inside: Multiaddr = format!("{}/p2p-circuit", circuit(&at, id(2))).parse().unwrap();
    let listening = timeout(Duration::from_secs(2), dialer.listen(&inside)).await;
    assert!(!matches!(listening, Ok(Ok(_))), "a reservation over a circuit");
    assert_eq!(second.host(|host| host.relay_server().unwrap().counts().reservations), 0);
    drop(first);
}

#[tokio::test]
async fn a_node_that_relays_nothing_says_so() {
    let (plain, holder) = (node_with(1, NodeConfig::default()), node(2));
    let at = listen(&plain).await;
    holder.connect(&at).await.unwrap();
    let dialer = node(3);
    let error = dialer.connect(&circuit(&at, id(2))).await.unwrap_err().to_string();
    assert!(error.contains("relay"), "{error}");
}
