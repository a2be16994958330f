//! Dials over real sockets: names, ports, time, and how they fail.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc
)]

mod support;

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};
use support::*;
use tidewire_connmgr as connmgr;
use tidewire_connmgr::dial::DialFault;
use tidewire_std::{
    Command, ConnectError, DialOptions, Multiaddr, NodeConfig, OpenFailure, OpenOptions, Protocols, TxtResolver,
};

#[test]
fn an_address_without_a_peer_is_not_dialed() {
    let address = listen(&node(2)).without_peer_id();
    assert_eq!(node(1).connect(&address).unwrap_err(), ConnectError::NoPeer { address });
}

#[test]
fn a_name_is_resolved() {
    let b = node(2);
    let port = listen(&b).port().unwrap();
    for name in ["dns4", "dns"] {
        let address: Multiaddr = format!("/{name}/localhost/tcp/{port}/p2p/{}", id(2)).parse().unwrap();
        let a = node(1);
        assert_eq!(a.connect(&address).unwrap().peer, id(2), "{name}");
        a.shutdown();
    }
}

/// Knows one name.
#[derive(Debug)]
struct Txt(Multiaddr);

impl TxtResolver for Txt {
    fn txt(&self, name: &str) -> std::io::Result<Vec<String>> {
        match name {
            "_dnsaddr.example.org." => Ok(vec![format!("dnsaddr={}", self.0)]),
            _ => Err(ErrorKind::NotFound.into()),
        }
    }
}

#[test]
fn a_dnsaddr_is_resolved_by_whoever_is_given_for_it() {
    let b = node(2);
    let a = node(1);
    let address = |name: &str| format!("/dnsaddr/{name}/p2p/{}", id(2)).parse().unwrap();
    let error = a.connect(&address("example.org")).unwrap_err().to_string();
    assert!(error.contains("there is no transport for it"), "{error}");
    a.resolve_txt(std::sync::Arc::new(Txt(listen(&b))));
    assert!(a.connect(&address("nowhere.org")).is_err());
    assert_eq!(a.connect(&address("example.org")).unwrap().peer, id(2));
}

#[test]
fn a_stream_to_a_known_peer_dials_first() {
    let (a, b) = (node(1), node(2));
    let (addresses, ttl) = (vec![listen(&b)], Duration::from_secs(60));
    a.command(Command::Addresses { peer: id(2), addresses, ttl }).unwrap();
    round_trip(&open(&a, ECHO), 1000, 1);
    let mut no_dial = OpenOptions::default();
    no_dial.dial = false;
    let error = a.open(id(3), &Protocols::from(ECHO), no_dial).unwrap_err();
    assert_eq!(error, OpenFailure::NotConnected);
    let error = a.open(id(3), &Protocols::from(ECHO), OpenOptions::default()).unwrap_err();
    assert!(matches!(error, OpenFailure::Dial(_)), "{error}");
}

#[test]
fn the_wrong_peer_is_refused_and_named() {
    let b = node(2);
    let wrong = listen(&b).without_peer_id().with_peer_id(id(3)).unwrap();
    let ConnectError::Failed(report) = node(1).connect(&wrong).unwrap_err() else { panic!("it was not dialed") };
    let outcome = &report.addresses[0].outcome;
    assert_eq!(outcome, &connmgr::dial::Outcome::Failed(DialFault::WrongPeer(id(2))), "{report}");
}

#[test]
fn a_failed_dial_says_what_was_tried_and_why() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = Multiaddr::tcp(gone).with_peer_id(id(2)).unwrap();
    let a = node(1);
    let error = a.connect(&address).unwrap_err().to_string();
    assert!(error.contains(&Multiaddr::tcp(gone).to_string()) && error.contains("refused"), "{error}");
    let udp: Multiaddr = format!("/ip4/127.0.0.1/udp/1/quic-v1/p2p/{}", id(3)).parse().unwrap();
    let error = a.connect(&udp).unwrap_err().to_string();
    assert!(error.contains("there is no transport for it"), "{error}");
    let name: Multiaddr = format!("/dns4/no.such.name.invalid/tcp/1/p2p/{}", id(4)).parse().unwrap();
    let error = a.connect(&name).unwrap_err().to_string();
    assert!(error.contains("can't be resolved"), "{error}");
}

#[test]
fn a_remote_that_says_nothing_times_the_upgrade_out() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = NodeConfig::default();
    config.upgrade.timeout = Duration::from_millis(100);
    let address = Multiaddr::tcp(silent.local_addr().unwrap()).with_peer_id(id(2)).unwrap();
    let began = Instant::now();
    let error = node_with(1, config).connect(&address).unwrap_err().to_string();
    assert!(error.contains("the upgrade failed"), "{error}");
    assert!((100..2000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
}

#[test]
fn two_connects_at_once_share_one_connection_and_a_later_one_finds_it() {
    let (a, b) = (node(1), node(2));
    let address = listen(&b);
    let (first, second) = thread::scope(|scope| {
        let other = scope.spawn(|| a.connect(&address).unwrap());
        (a.connect(&address).unwrap(), other.join().unwrap())
    });
    assert_eq!(second, first);
    assert_eq!(a.connect(&address).unwrap(), first);
    assert_eq!(a.counters().opened_outbound, 1);
    let mut another = DialOptions::default();
    another.new = true;
    let other = a.connect_to(id(2), &[address], another).unwrap();
    assert_ne!(other.connection, first.connection);
}

/// Addresses that answer nothing: sockets are connected by the operating system up to the backlog; then packets are lost.
fn deaf_address() -> (socket2::Socket, Vec<TcpStream>, Multiaddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut filled = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
        filled.push(stream);
        assert!(filled.len() < 100, "the backlog has no end");
    }
    (socket, filled, Multiaddr::tcp(address))
}

#[test]
fn a_dial_that_nobody_answers_ends_with_the_hosts_patience_and_its_thread_too() {
    let (_socket, _filled, address) = deaf_address();
    let mut config = NodeConfig::default();
    config.host.manager.dial.local_timeout = Duration::from_millis(200);
    config.host.manager.limits.pending_outbound = 1;
    config.host.manager.dial.backoff_base = Duration::from_millis(1);
    let a = node_with(1, config);
    for _ in 0..3 {
        let began = Instant::now();
        let address = address.with_peer_id(id(2)).unwrap();
        let mut forced = DialOptions::default();
        forced.forced = true;
        let ConnectError::Failed(report) = a.connect_to(id(2), &[address], forced).unwrap_err() else { panic!() };
        let outcome = &report.addresses[0].outcome;
        assert!(matches!(outcome, connmgr::dial::Outcome::Failed(DialFault::Timeout(_))), "{report}");
        assert!((200..2000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
        // There is one thread for all three: it ended.
        thread::sleep(Duration::from_millis(50));
    }
}

/// Answers after the test.
#[derive(Debug)]
struct Slow;

impl TxtResolver for Slow {
    fn txt(&self, _: &str) -> std::io::Result<Vec<String>> {
        thread::sleep(Duration::from_secs(20));
        Err(ErrorKind::TimedOut.into())
    }
}

#[test]
fn resolvers_that_do_not_answer_hold_so_many_threads_and_no_more() {
    let mut config = NodeConfig::default();
    config.host.manager.dial.address_timeout = Duration::from_millis(50);
    config.host.manager.limits.pending_outbound = 2;
    let a = node_with(1, config);
    a.resolve_txt(std::sync::Arc::new(Slow));
    let errors: Vec<_> = (2..5)
        .map(|n| {
            let address: Multiaddr = format!("/dnsaddr/example.org/p2p/{}", id(n)).parse().unwrap();
            a.connect(&address).unwrap_err().to_string()
        })
        .collect();
    assert!(errors[..2].iter().all(|error| error.contains("no answer within 50 ms")), "{errors:?}");
    assert!(errors[2].contains("2 threads dial, as many as may"), "{errors:?}");
    // Nor does anyone wait for them.
    soon(move || a.shutdown());
}

#[test]
fn a_shutdown_ends_who_waits_to_be_connected() {
    let (_socket, _filled, address) = deaf_address();
    let a = node(1);
    let address = address.with_peer_id(id(2)).unwrap();
    let waiting = {
        let a = a.clone();
        thread::spawn(move || a.connect(&address).unwrap_err())
    };
    until(|| a.host(|host| host.manager().counts().dialed_peers == 1));
    soon(move || a.shutdown());
    soon(move || waiting.join().unwrap());
}

#[test]
fn a_dial_leaves_from_the_port_on_which_we_listen() {
    let (a, b) = (node(1), node(2));
    let (from, to) = (listen(&a), listen(&b));
    let mut events = b.events();
    a.connect(&to).unwrap();
    assert_eq!(event(&mut events, of_remote).port(), from.port());
    // A second one between the same two ports can't be: it leaves from another.
    let mut new = DialOptions::default();
    new.new = true;
    a.connect_to(id(2), &[to], new).unwrap();
    assert_ne!(event(&mut events, of_remote).port(), from.port());
}

#[test]
fn ports_are_not_reused_where_that_is_not_wanted() {
    let mut config = NodeConfig::default();
    config.host.reuse_port = false;
    let (a, b) = (node_with(1, config), node(2));
    let from = listen(&a);
    let mut events = b.events();
    a.connect(&listen(&b)).unwrap();
    assert_ne!(event(&mut events, of_remote).port(), from.port());
}
