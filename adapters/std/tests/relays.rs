//! Circuits over real sockets: a relay, a holder of a reservation, and who dials it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc
)]

mod support;

use std::io::Write;
use std::thread;
use std::time::Duration;
use support::*;
use tidewire_relay::Limit;
use tidewire_relay::client::CircuitEnd;
use tidewire_relay::server::{self, Way};
use tidewire_relay::splice::LimitReached;
use tidewire_std::{Command, Matcher, Multiaddr, Node, NodeConfig, PeerId, Protocol, Protocols, Stream};

/// Node 1 relays, node 2 holds a reservation, node 3 reaches it.
struct Three {
    relay: Node,
    holder: Node,
    dialer: Node,
    at: Multiaddr,
}

fn relay(limit: Limit) -> (Node, Multiaddr) {
    let relay = node_with(1, relay_of(limit));
    let at = listen(&relay);
    (relay, at)
}

/// Listens at the relay, and says where the node is reached.
fn reserve(holder: &Node, relay: &Multiaddr) -> Multiaddr {
    let (holder, at): (_, Multiaddr) = (holder.clone(), format!("{relay}/p2p-circuit").parse().unwrap());
    soon(move || holder.listen(&at)).unwrap().addresses()[0].clone()
}

fn three(limit: Limit) -> Three {
    let (relay, at) = relay(limit);
    let (holder, dialer) = (node(2), node(3));
    reserve(&holder, &at);
    dialer.connect(&circuit(&at, id(2))).unwrap();
    until(|| holder.counters().peers == 2 && circuits(&relay) == 1);
    Three { relay, holder, dialer, at }
}

fn open_to(node: &Node, peer: PeerId, protocol: Protocol) -> Stream {
    node.open(peer, &Protocols::from(protocol), limited()).unwrap()
}

fn circuits(relay: &Node) -> usize {
    relay.host(|host| host.relay_server().unwrap().counts().circuits).try_into().unwrap()
}

#[test]
fn what_goes_over_a_circuit_arrives_both_ways() {
    let Three { relay, holder, dialer, .. } = three(Limit::UNLIMITED);
    for len in [16 * 1024, 8 << 20] {
        let (out, back) = (open_to(&dialer, id(2), ECHO), open_to(&holder, id(3), ECHO));
        thread::scope(|scope| {
            scope.spawn(|| round_trip(&out, len, 1));
            scope.spawn(|| round_trip(&back, len, 2));
        });
    }
    // Connections at the relay hold nothing while they are idle.
    until(|| relay.buffers_in_use() == 0 && holder.buffers_in_use() == 0 && dialer.buffers_in_use() == 0);
}

#[test]
fn many_streams_share_a_circuit() {
    let Three { relay: _relay, holder, dialer, .. } = three(Limit::UNLIMITED);
    thread::scope(|scope| {
        for salt in 0..30 {
            let (from, to) = if salt % 2 == 0 { (&dialer, id(2)) } else { (&holder, id(3)) };
            scope.spawn(move || round_trip(&open_to(from, to, ECHO), 100_000, salt));
        }
    });
}

#[test]
fn a_circuit_that_just_began_carries_at_once() {
    let (relay, at) = relay(Limit::UNLIMITED);
    let (holder, dialer) = (node(2), node(3));
    reserve(&holder, &at);
    for salt in 0..50 {
        let connection = dialer.connect(&circuit(&at, id(2))).unwrap().connection;
        round_trip(&open_to(&dialer, id(2), ECHO), 1000, salt);
        dialer.command(Command::Close { connection, why: "again".into() }).unwrap();
        until(|| circuits(&relay) == 0 && !dialer.host(|host| host.manager().is_connected(&id(2))));
    }
}

#[test]
fn a_limit_in_bytes_is_told_at_both_ends_and_at_the_relay() {
    let Three { relay, holder, dialer, .. } = three(limit(None, Some(64 * 1024)));
    let (mut at_relay, mut at_holder, mut at_dialer) = (relay.events(), holder.events(), dialer.events());
    let mut stream = open_to(&dialer, id(2), ECHO);
    let sent = data(256 * 1024, 0);
    assert!(stream.write_all(&sent).and_then(|()| stream.read_all(sent.len())).is_err(), "more went than may");
    let why = server::CircuitEnd::DataLimit { way: Way::Forward, bytes: 64 * 1024 };
    assert_eq!(event(&mut at_relay, of_relayed), (why, 64 * 1024));
    for events in [&mut at_holder, &mut at_dialer] {
        let why = event(events, of_circuit);
        let limit = matches!(why, CircuitEnd::LimitReached(LimitReached::Data { bytes: 65_536, .. }));
        assert!(limit, "{why:?}");
    }
    // The connections to the relay go on.
    assert_eq!((relay.counters().peers, circuits(&relay)), (2, 0));
}

#[test]
fn a_limit_in_time_is_told_at_both_ends() {
    let lasts = Duration::from_secs(2);
    let Three { relay, holder, dialer, .. } = three(limit(Some(lasts), None));
    let (mut at_relay, mut at_holder, mut at_dialer) = (relay.events(), holder.events(), dialer.events());
    round_trip(&open_to(&dialer, id(2), ECHO), 1000, 1);
    for events in [&mut at_holder, &mut at_dialer] {
        assert_eq!(event(events, of_circuit), CircuitEnd::LimitReached(LimitReached::Time { duration: lasts }));
    }
    assert_eq!(event(&mut at_relay, of_relayed).0, server::CircuitEnd::TimeLimit { duration: lasts });
}

#[test]
fn a_relay_that_shuts_down_ends_its_circuits() {
    let Three { relay, holder, dialer, .. } = three(Limit::UNLIMITED);
    let mut stream = open_to(&dialer, id(2), ECHO);
    stream.write_all(&data(100_000, 1)).unwrap();
    soon(move || relay.shutdown());
    assert!(soon(move || stream.read_all(100_000)).is_err(), "the stream did not end by itself");
    until(|| dialer.counters().peers == 0 && holder.counters().peers == 0);
    soon(move || (dialer.shutdown(), holder.shutdown()));
}

#[test]
fn a_holder_that_is_cut_off_leaves_no_circuit_behind() {
    let (relay, at) = relay(Limit::UNLIMITED);
    let (holder, dialer, proxy) = (node(2), node(3), Proxy::new(&at));
    reserve(&holder, &proxy.address);
    dialer.connect(&circuit(&at, id(2))).unwrap();
    let mut stream = open_to(&dialer, id(2), ECHO);
    stream.write_all(b"before").unwrap();
    proxy.cut();
    assert!(soon(move || stream.read_all(100)).is_err(), "the stream did not end by itself");
    until(|| circuits(&relay) == 0 && !dialer.host(|host| host.manager().is_connected(&id(2))));
    soon(move || (relay.shutdown(), dialer.shutdown(), holder.shutdown()));
}

#[test]
fn a_slow_receiver_slows_the_sender_and_the_relay_keeps_little() {
    let Three { relay, holder, dialer, .. } = three(Limit::UNLIMITED);
    let mut talks = holder.handle(TALK, Matcher::Exact).unwrap();
    let mut stream = open_to(&dialer, id(2), TALK);
    let (len, before) = (16 << 20, relay.counters());
    let writing = thread::spawn(move || {
        stream.write_all(&data(len, 5)).unwrap();
        stream.shutdown().unwrap();
        stream
    });
    let inbound = talks.next().unwrap();
    // Till nothing goes any more.
    let mut known = 0;
    loop {
        thread::sleep(Duration::from_millis(200));
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
    assert!(inbound.stream.read_all(len).unwrap() == data(len, 5));
    writing.join().unwrap();
}

#[test]
fn a_circuit_whose_source_is_gone_ends_though_its_destination_takes_nothing() {
    let (relay, at) = relay(Limit::UNLIMITED);
    let mut hasty = NodeConfig::default();
    hasty.close_timeout = Duration::from_millis(100);
    let (holder, dialer) = (node(2), node_with(3, hasty));
    let _talks = holder.handle(TALK, Matcher::Exact).unwrap();
    reserve(&holder, &at);
    let connection = dialer.connect(&circuit(&at, id(2))).unwrap().connection;
    let mut stream = open_to(&dialer, id(2), TALK);
    let writing = thread::spawn(move || stream.write_all(&data(16 << 20, 5)));
    thread::sleep(Duration::from_millis(500));
    let mut at_relay = relay.events();
    dialer.command(Command::Close { connection, why: "enough".into() }).unwrap();
    event(&mut at_relay, of_relayed);
    assert!(writing.join().unwrap().is_err(), "somebody read");
}

#[test]
fn many_circuits_run_at_once() {
    let (relay, at) = relay(Limit::UNLIMITED);
    let holders: Vec<Node> = (10..16).map(node).collect();
    let dialers: Vec<Node> = (30..36).map(node).collect();
    for holder in &holders {
        reserve(holder, &at);
    }
    thread::scope(|scope| {
        for (dialer, n) in dialers.iter().flat_map(|dialer| (10..16).map(move |n| (dialer, n))) {
            let to = circuit(&at, id(n));
            scope.spawn(move || {
                dialer.connect(&to).unwrap();
                round_trip(&open_to(dialer, id(n), ECHO), 100_000, n.into());
            });
        }
    });
    assert_eq!(circuits(&relay), 36);
    soon(move || dialers.iter().chain(&holders).for_each(Node::shutdown));
    until(|| circuits(&relay) == 0 && relay.counters().peers == 0);
}

#[test]
fn a_circuit_inside_a_circuit_is_refused() {
    let Three { relay, holder: _holder, dialer, at } = three(Limit::UNLIMITED);
    let inside: Multiaddr = format!("{}/p2p-circuit/p2p/{}", circuit(&at, id(2)), id(4)).parse().unwrap();
    let error = soon(move || dialer.connect(&inside)).unwrap_err().to_string();
    assert!(error.contains("circuit"), "{error}");
    assert_eq!(circuits(&relay), 1);
}
