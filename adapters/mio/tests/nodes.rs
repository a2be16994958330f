//! Nodes over real sockets, each in one thread: how they meet, speak and part.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc
)]

#[cfg(unix)]
#[path = "support/descriptors.rs"]
mod descriptors;
mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};
use support::shared::{id, loopback};
use support::{LIMIT, Node, Other, identified, socket};
use tidewire_connmgr::By;
use tidewire_connmgr::dial::GateRule;
use tidewire_mio::{
    CLOSE_TIMEOUT, Command, Event, Input, ListenerId, ManagerEvent, Multiaddr, ReadStreamError, SoloConfig, SoloEvent,
    StreamEvent, WriteError,
};

#[test]
fn two_nodes_connect_and_identify_each_other() {
    let other = Other::new(2);
    let mut node = Node::new(1);
    node.begin(id(2), &other.address);
    node.until("identify", |event| identified(event, id(2)));
    other.until(|event| identified(&event, id(1)));
    other.end(true);
    let (by, reason) = node.closed();
    assert!(by == By::Remote && reason.contains("shutting down"), "{by}: {reason}");
    node.wait("the end of the socket", |driver| driver.sockets() == 0);
}

#[test]
fn a_stream_gives_back_more_than_any_buffer_holds() {
    let other = Other::new(2);
    let mut node = Node::new(1);
    node.connect(id(2), &other.address).unwrap();
    let question: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let stream = node.open(id(2));
    assert!(node.ask(stream, &question) == question, "the answer comes whole after our end was sent");
    other.end(true);
}

#[test]
fn both_ends_may_listen_and_open_streams() {
    let b = Other::new(2);
    let mut a = Node::new(1);
    a.listen(&loopback()).unwrap();
    a.connect(id(2), &b.address).unwrap();
    for n in 0..3 {
        let stream = a.open(id(2));
        assert_eq!(a.ask(stream, &[n; 10]), [n; 10]);
    }
    b.end(true);
}

#[test]
fn a_killed_remote_is_noticed_and_what_it_said_before_is_read() {
    let other = Other::new(2);
    let mut node = Node::new(1);
    node.connect(id(2), &other.address).unwrap();
    let (connection, stream) = node.open(id(2));
    node.tell(|solo, now| solo.write(now, connection, stream, b"last words").unwrap());
    // What comes later on the same connection comes after the echo.
    let second = node.open(id(2));
    assert_eq!(node.ask(second, b"second"), b"second");
    other.end(false);
    let (by, reason) = node.closed();
    assert_ne!(by, By::Local, "{reason}");
    let read = node.tell(|solo, now| solo.read(now, connection, stream));
    assert_eq!(read.unwrap().unwrap(), "last words");
    let read = node.tell(|solo, now| solo.read(now, connection, stream));
    assert!(matches!(read, Err(ReadStreamError::Closed)), "{read:?}");
    node.wait("the end of the socket", |driver| driver.sockets() == 0);
    assert!(node.driver.solo().link(connection).is_none(), "nothing is left of it");
}

#[test]
fn the_streams_of_a_connection_that_broke_are_told() {
    let other = Other::new(2);
    let mut node = Node::new(1);
    node.connect(id(2), &other.address).unwrap();
    let (connection, stream) = node.open(id(2));
    node.tell(|solo, now| solo.write(now, connection, stream, b"settles the protocol").unwrap());
    let second = node.open(id(2));
    assert_eq!(node.ask(second, b"second"), b"second");
    while let Ok(Some(_)) = node.tell(|solo, now| solo.read(now, connection, stream)) {}
    // It waits for more now.
    other.end(false);
    node.until("a word about the stream", |event| match event {
        SoloEvent::Stream { event: StreamEvent::Readable(it) | StreamEvent::Reset { stream: it, .. }, .. } => {
            (*it == stream).then_some(())
        }
        _ => None,
    });
}

#[test]
fn a_remote_that_half_closes_gets_the_answer_to_what_it_had_said() {
    let mut node = Node::new(1);
    let address = node.listen(&loopback()).unwrap();
    let asking = thread::spawn(move || {
        let mut raw = TcpStream::connect(socket(&address)).unwrap();
        raw.write_all(b"\x13/multistream/1.0.0\n").unwrap();
        raw.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        raw.read_to_end(&mut answer).map(|_| answer)
    });
    let begun = Instant::now();
    while !asking.is_finished() {
        node.turn(Duration::from_millis(20));
        assert!(begun.elapsed() < LIMIT);
    }
    assert_eq!(asking.join().unwrap().unwrap(), b"\x13/multistream/1.0.0\n");
    node.wait("the end of the socket", |driver| driver.sockets() == 1);
}

#[test]
fn a_hundred_nodes_connect_to_one() {
    let other = || {
        let mut roomy = SoloConfig::default();
        roomy.host.manager.limits.pending_inbound = 100;
        Node::with(200, roomy)
    };
    let other = Other::of(other);
    let mut nodes: Vec<Node> = (0..100).map(Node::new).collect();
    for node in &mut nodes {
        node.begin(id(200), &other.address);
    }
    let (mut known, begun) = (vec![false; nodes.len()], Instant::now());
    while !known.iter().all(|known| *known) {
        for (node, known) in nodes.iter_mut().zip(&mut known) {
            *known |= node.turn(Duration::ZERO).iter().any(|event| identified(event, id(200)).is_some());
        }
        assert!(begun.elapsed() < 2 * LIMIT, "{} are connected", known.iter().filter(|known| **known).count());
        thread::sleep(Duration::from_millis(1));
    }
    other.end(true);
    for node in &mut nodes {
        node.wait("the end of the socket", |driver| driver.sockets() == 0);
    }
}

#[test]
fn a_dial_that_fails_says_why() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut node = Node::new(1);
    let error = node.connect(id(2), &Multiaddr::tcp(gone)).unwrap_err();
    assert!(error.contains("refused"), "{error}");
    let error = node.connect(id(2), &"/dns4/localhost/tcp/1".parse().unwrap()).unwrap_err();
    assert!(error.contains("asks no resolver"), "{error}");
    assert_eq!(node.driver.sockets(), 0);
}

#[test]
fn a_dial_that_nobody_wants_any_more_lets_go_of_its_socket() {
    // With room for one, and one in it, it answers nobody else.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    full.listen(0).unwrap();
    let at = full.local_addr().unwrap().as_socket().unwrap();
    let _first = TcpStream::connect(at).unwrap();
    let mut node = Node::new(1);
    let request = node.begin(id(2), &Multiaddr::tcp(at));
    for _ in 0..10 {
        node.turn(Duration::from_millis(10));
    }
    assert_eq!(node.driver.sockets(), 1, "it is still dialing");
    node.tell(|solo, now| solo.tell_host(now, Input::CancelConnect { request }).unwrap());
    node.turn(Duration::ZERO);
    assert_eq!(node.driver.sockets(), 0);
}

#[test]
fn dials_leave_from_the_port_on_which_we_listen() {
    let other = Other::new(2);
    let mut node = Node::new(1);
    let port = node.listen(&loopback()).unwrap().port();
    node.connect(id(2), &other.address).unwrap();
    let seen = other.until(|event| match event {
        SoloEvent::Host(Event::Manager(ManagerEvent::ConnectionOpened { remote, .. })) => Some(remote),
        _ => None,
    });
    assert_eq!(seen.port(), port);
    other.end(true);
}

#[test]
fn a_listener_on_all_interfaces_has_the_addresses_of_each() {
    let mut node = Node::new(1);
    node.listen(&"/ip4/0.0.0.0/tcp/0".parse().unwrap()).unwrap();
    node.turn(Duration::ZERO);
    let all = node.driver.solo().host().advertise_inputs().listening;
    assert!(all.iter().any(Multiaddr::is_loopback) && all.iter().all(|one| !one.is_unspecified()), "{all:?}");
}

#[test]
fn what_can_t_be_listened_on_is_refused_with_the_reason() {
    let mut node = Node::new(1);
    let error = node.listen(&"/dns4/localhost/tcp/0".parse().unwrap()).unwrap_err();
    assert!(error.contains("a name can't be listened on"), "{error}");
    // Documentation addresses are nobody's.
    let error = node.listen(&"/ip4/192.0.2.1/tcp/0".parse().unwrap()).unwrap_err();
    assert!(error.contains("/ip4/192.0.2.1/tcp/0"), "{error}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = node.listen(&Multiaddr::tcp(taken.local_addr().unwrap())).unwrap_err();
    assert!(error.contains("in use"), "{error}");
    assert_eq!(node.driver.sockets(), 0);
}

#[test]
fn a_listener_that_is_closed_frees_its_port_and_keeps_its_connections() {
    let other = Other::new(2);
    let mut node = Node::new(1);
    let address = node.listen(&loopback()).unwrap();
    node.connect(id(2), &other.address).unwrap();
    node.tell(|solo, now| solo.unlisten(now, ListenerId(1)).unwrap());
    node.until("its end", |event| match event {
        SoloEvent::Host(Event::ListenerClosed { .. }) => Some(()),
        _ => None,
    });
    let stream = node.open(id(2));
    assert_eq!(node.ask(stream, b"still here"), b"still here");
    node.shut_down();
    assert!(TcpStream::connect(socket(&address)).is_err(), "nobody listens there");
    other.end(true);
}

#[test]
fn whoever_is_not_welcome_is_cut_off_at_once() {
    let mut node = Node::new(1);
    let address = node.listen(&loopback()).unwrap();
    let rule = GateRule::Subnet([127, 0, 0, 0].into(), 8);
    node.tell(|solo, now| solo.command(now, Command::Deny { rule, why: "loopback".into() }).unwrap());
    let mut raw = TcpStream::connect(socket(&address)).unwrap();
    raw.set_read_timeout(Some(LIMIT)).unwrap();
    // Long before the time that a closed connection has is over.
    for _ in 0..5 {
        node.turn(Duration::from_millis(10));
    }
    assert_eq!(node.driver.sockets(), 1);
    assert!(matches!(raw.read(&mut [0; 100]), Ok(0) | Err(_)), "not a word");
}

#[test]
fn a_remote_that_never_hangs_up_is_hung_up_on() {
    let mut config = SoloConfig::default();
    config.upgrade.timeout = Duration::from_millis(100);
    let mut node = Node::with(1, config);
    let address = node.listen(&loopback()).unwrap();
    let mut raw = TcpStream::connect(socket(&address)).unwrap();
    raw.write_all(b"\x13/multistream/1.0.0\n").unwrap();
    node.wait("the connection", |driver| driver.sockets() == 2);
    let begun = Instant::now();
    node.wait("its end", |driver| driver.sockets() == 1);
    assert!(begun.elapsed() > CLOSE_TIMEOUT / 2, "it has the time to hear our last words");
    let mut heard = Vec::new();
    raw.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"\x13/multistream/1.0.0\n");
}

#[test]
fn a_turn_without_patience_returns_at_once_and_one_that_waits_costs_nothing() {
    let mut node = Node::new(1);
    node.listen(&loopback()).unwrap();
    let begun = Instant::now();
    for _ in 0..100 {
        assert_eq!(node.turn(Duration::ZERO), []);
    }
    assert!(begun.elapsed() < Duration::from_secs(1));
    let (begun, mut turns) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_millis(300) {
        node.turn(Duration::from_millis(100));
        turns += 1;
    }
    assert!(turns <= 5, "it turned {turns} times in 0.3 s with nothing to do");
}

#[test]
fn an_idle_connection_does_not_turn() {
    let other = Other::new(2);
    let mut node = Node::new(1);
    node.begin(id(2), &other.address);
    node.until("identify", |event| identified(event, id(2)));
    let quiet = Instant::now();
    while quiet.elapsed() < Duration::from_millis(2500) {
        node.turn(Duration::from_millis(100));
    }
    let (begun, mut turns) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(1) {
        node.turn(Duration::from_secs(1));
        turns += 1;
    }
    assert!(turns <= 10, "it turned {turns} times in a second with nothing to do");
    other.end(true);
}

#[test]
fn who_writes_all_it_can_is_held_back_by_what_the_other_takes() {
    let other = Other::new(2);
    let mut node = Node::new(1);
    node.connect(id(2), &other.address).unwrap();
    let (connection, stream) = node.open(id(2));
    let piece = vec![7; 64 * 1024];
    let (mut sent, mut got, begun) = (0u64, 0u64, Instant::now());
    // What comes back is read as it comes: as much is on its way in both directions as the windows allow.
    while got < 8 << 20 {
        match node.tell(|solo, now| solo.write(now, connection, stream, &piece)) {
            Ok(count) => sent += count as u64,
            Err(WriteError::Blocked) => {}
            Err(error) => panic!("{error}"),
        }
        while let Ok(Some(piece)) = node.tell(|solo, now| solo.read(now, connection, stream)) {
            got += piece.len() as u64;
        }
        let memory = node.driver.solo().memory_used();
        assert!(memory < 32 << 20, "{memory} bytes are held after {sent} were sent and {got} came back");
        node.turn(Duration::from_millis(1));
        assert!(begun.elapsed() < 2 * LIMIT, "{sent} bytes were sent, {got} came back");
    }
    other.end(true);
}

#[test]
fn a_waker_ends_a_turn_that_waits() {
    let mut node = Node::new(1);
    let waker = node.driver.waker();
    let waking = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        waker.wake().unwrap();
    });
    let begun = Instant::now();
    node.turn(LIMIT);
    assert!(begun.elapsed() < LIMIT / 4, "the driver's own timers are longer");
    waking.join().unwrap();
}

#[test]
fn a_connection_that_is_closed_gracefully_ends_when_its_streams_do() {
    let other = Other::new(2);
    let mut client = Node::new(1);
    let connection = client.connect(id(2), &other.address).unwrap();
    let stream = client.open(id(2));
    client.tell(|solo, now| solo.close(now, connection, true)).unwrap();
    assert_eq!(client.ask(stream, &[7; 100_000]), [7; 100_000], "it goes on while it has a stream");
    client.wait("the end", |driver| driver.sockets() == 0);
    other.end(true);
}

#[test]
fn who_lets_go_of_all_streams_of_a_connection_that_is_over_frees_it() {
    let other = Other::new(2);
    let mut client = Node::new(1);
    let connection = client.connect(id(2), &other.address).unwrap();
    let (_one, _two) = (client.open(id(2)), client.open(id(2)));
    client.tell(|solo, now| solo.close(now, connection, false)).unwrap();
    client.wait("the end", |driver| driver.sockets() == 0);
    client.tell(|solo, now| solo.leave_all(now, connection));
    assert!(client.driver.solo().link(connection).is_none());
    other.end(true);
}
