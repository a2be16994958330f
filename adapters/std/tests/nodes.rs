//! Nodes over real sockets: whom they find, how they part, what they tell.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc
)]

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};
use support::*;
use tidewire_connmgr as connmgr;
use tidewire_std::{
    Command, DialOptions, Event, ListenError, Matcher, Multiaddr, Node, NodeConfig, Notice, Observed, OpenFailure,
    OpenOptions, Progress, SecurityKind,
};
use tidewire_upgrade::security::psk::PreSharedKey;

#[test]
fn two_nodes_connect_identify_and_ping_each_other() {
    let mut lively = NodeConfig::default();
    lively.host.manager.keep_alive.ping_interval = Some(Duration::from_millis(50));
    let (a, b) = (node_with(1, lively), node(2));
    let (mut events, mut theirs) = (a.events(), b.events());
    let connected = a.connect(&listen(&b)).unwrap();
    assert_eq!(connected.peer, id(2));
    event(&mut events, of_echo(id(2)));
    event(&mut theirs, of_echo(id(1)));
    until(|| a.host(|host| host.manager().connection(connected.connection).is_some_and(|view| view.rtt.is_some())));
    assert!(a.counters().identified > 0 && a.counters().peers == 1);
}

#[test]
fn what_can_t_be_listened_on_is_refused_with_the_reason() {
    let a = node(1);
    for text in ["/dns4/localhost/tcp/0", "/ip4/127.0.0.1/udp/1", "/ip4/127.0.0.1/tcp/1/ws", "/memory/1"] {
        let error = a.listen(&text.parse().unwrap()).unwrap_err();
        assert!(matches!(error, ListenError::Unsupported { .. }), "{error}");
    }
    // Documentation addresses are nobody's.
    let error = a.listen(&"/ip4/192.0.2.1/tcp/0".parse().unwrap()).unwrap_err();
    assert!(matches!(error, ListenError::Bind { .. }), "{error}");
    // Somebody else's port, who doesn't share it.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = a.listen(&Multiaddr::tcp(taken.local_addr().unwrap())).unwrap_err();
    assert!(matches!(error, ListenError::Bind { .. }), "{error}");
    assert!(a.addresses().is_empty());
    listen(&a);
}

#[test]
fn events_come_in_order_and_end_with_the_node_behind_the_last_one() {
    let (a, b, _talks) = pair();
    let (c, mut events) = (node(3), b.events());
    c.connect(&b.addresses()[0]).unwrap();
    round_trip(&c.open(id(2), &ECHO.into(), plain()).unwrap(), 10, 0);
    c.shutdown();
    let mut seen = Vec::new();
    while seen.last() != Some(&"disconnected") {
        let word = event(&mut events, |event| match event {
            Event::Manager(connmgr::Event::Connected { peer }) if peer == id(3) => Some("connected"),
            Event::Manager(connmgr::Event::ConnectionOpened { peer, .. }) if peer == id(3) => Some("opened"),
            Event::Manager(connmgr::Event::ConnectionClosed { peer, .. }) if peer == id(3) => Some("closed"),
            Event::Manager(connmgr::Event::Disconnected { peer }) if peer == id(3) => Some("disconnected"),
            _ => None,
        });
        seen.push(word);
    }
    assert_eq!(seen, ["connected", "opened", "closed", "disconnected"]);
    assert_eq!(a.counters().peers, 1, "the others are unaffected");
    b.shutdown();
    let all: Vec<_> = soon(move || events.collect());
    let closed = |notice: &Notice| matches!(notice, Notice::Event(event) if of_closed(event.clone()).is_some());
    let unlistened = |notice: &Notice| matches!(notice, Notice::Event(Event::ListenerClosed { .. }));
    assert!(all.iter().any(closed) && all.iter().any(unlistened), "{all:?}");
    assert!(b.events().next().is_none());
}

#[test]
fn whoever_takes_events_too_slowly_is_told_how_many_were_missed() {
    let mut config = NodeConfig::default();
    config.max_events = 2;
    let a = node_with(1, config);
    let mut events = a.events();
    for _ in 0..5 {
        listen(&a);
    }
    assert_eq!(events.next(), Some(Notice::Missed(3)));
    for _ in 0..2 {
        assert!(matches!(events.next(), Some(Notice::Event(Event::Listening { .. }))));
    }
    assert_eq!(events.next_within(Duration::from_millis(20)), None);
}

#[test]
fn a_shutdown_tells_the_remotes_and_frees_the_ports() {
    let (a, b, talks) = pair();
    let address = b.addresses()[0].clone();
    let mut events = a.events();
    let other = b.clone();
    soon(move || other.shutdown());
    let (by, reason) = closed(&mut events);
    assert_eq!(by, connmgr::By::Remote);
    assert!(reason.to_string().contains("shutting down"), "{reason}");
    assert!(TcpListener::bind(address.socket_addr().unwrap()).is_ok(), "the port is free");
    // A node that is over answers at once.
    assert!(soon(move || talks.count()) == 0);
    soon(move || {
        assert!(matches!(b.listen(&loopback()), Err(ListenError::Closed { .. })));
        assert!(b.connect(&address.without_peer_id().with_peer_id(id(1)).unwrap()).is_err());
        assert_eq!(b.open(id(1), &ECHO.into(), OpenOptions::default()).unwrap_err(), OpenFailure::Shutdown);
        assert!(b.handle(TALK, Matcher::Exact).unwrap().next().is_none());
        b.shutdown();
    });
}

#[test]
fn the_last_handle_that_is_dropped_shuts_the_node_down() {
    let (a, b, talks) = pair();
    let (mut events, theirs) = (a.events(), b.events());
    let stream = open(&a, ECHO);
    drop((talks, b));
    assert_eq!(closed(&mut events).0, connmgr::By::Remote);
    // All its threads end: that of its handlers too.
    soon(move || theirs.count());
    drop(stream);
}

#[test]
fn a_killed_remote_is_noticed_and_found_again() {
    let (a, b) = (node(1), node(2));
    let proxy = Proxy::new(&listen(&b));
    let mut events = a.events();
    let first = a.connect(&proxy.address).unwrap();
    let mut stream = open(&a, ECHO);
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    let mut waiting = stream.clone();
    let reading = thread::spawn(move || waiting.read(&mut [0]).is_err());
    proxy.cut();
    let (by, reason) = closed(&mut events);
    assert_ne!(by, connmgr::By::Local, "{reason}");
    assert!(soon(move || reading.join().unwrap()) && stream.write(b"y").is_err());
    let second = a.connect(&proxy.address).unwrap();
    assert_ne!(first.connection, second.connection);
    round_trip(&open(&a, ECHO), 1000, 0);
}

#[test]
fn a_peer_that_is_kept_alive_is_dialed_again_when_it_was_lost() {
    let mut config = NodeConfig::default();
    config.host.manager.dial.backoff_base = Duration::from_millis(10);
    let (a, b) = (node_with(1, config), node(2));
    let address = listen(&b);
    a.connect(&address).unwrap();
    a.command(Command::KeepAlive { peer: id(2), on: true }).unwrap();
    let (addresses, ttl) = (vec![address], Duration::from_secs(60));
    a.command(Command::Addresses { peer: id(2), addresses, ttl }).unwrap();
    let mut events = a.events();
    until(|| b.counters().peers == 1);
    b.command(Command::Disconnect { peer: id(1), why: "a test".into() }).unwrap();
    assert_eq!(event(&mut events, of_connected), id(2));
}

#[test]
fn a_remote_that_answers_no_ping_is_given_up() {
    let b = node(2);
    let proxy = Proxy::new(&listen(&b));
    let mut lively = NodeConfig::default();
    lively.host.manager.keep_alive.ping_interval = Some(Duration::from_millis(50));
    lively.host.manager.keep_alive.ping_timeout_min = Duration::from_millis(50);
    lively.host.manager.keep_alive.ping_timeout_max = Duration::from_millis(100);
    lively.close_timeout = Duration::from_millis(50);
    let a = node_with(1, lively);
    let mut events = a.events();
    a.connect(&proxy.address).unwrap();
    proxy.silence();
    let (by, reason) = closed(&mut events);
    assert_eq!(by, connmgr::By::Local);
    assert!(matches!(reason, connmgr::CloseReason::Unresponsive { .. }), "{reason}");
}

/// Writes on many streams until nothing goes out any more: the socket is full, and its writer waits for it.
fn jam(a: &Node) {
    thread::scope(|scope| {
        for _ in 0..60 {
            scope.spawn(|| {
                // On a connection that is jammed already there is no stream either.
                let (patience, mut options) = (Duration::from_millis(300), OpenOptions::default());
                options.timeout = patience;
                let Ok(mut stream) = a.open(id(2), &ECHO.into(), options) else { return };
                stream.set_write_timeout(Some(patience));
                while stream.write(&[0; 65536]).is_ok() {}
            });
        }
    });
}

#[test]
fn for_a_remote_that_takes_nothing_bounded_memory_is_held_and_it_is_left_in_time() {
    let b = node(2);
    let proxy = Proxy::new(&listen(&b));
    let mut config = NodeConfig::default();
    config.close_timeout = Duration::from_millis(100);
    let a = node_with(1, config);
    a.connect(&proxy.address).unwrap();
    proxy.stall();
    jam(&a);
    // One that is being sent, one that waits.
    assert!(a.buffers_in_use() <= 2 && a.counters().sent > 1 << 20, "{} {:?}", a.buffers_in_use(), a.counters());
    let began = Instant::now();
    soon(move || a.shutdown());
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[test]
fn deadlines_are_kept_while_a_write_is_stuck() {
    let b = node(2);
    let proxy = Proxy::new(&listen(&b));
    let mut config = NodeConfig::default();
    config.host.manager.keep_alive.ping_interval = Some(Duration::from_millis(50));
    config.host.manager.keep_alive.ping_timeout_min = Duration::from_millis(400);
    config.host.manager.keep_alive.ping_timeout_max = Duration::from_millis(500);
    config.close_timeout = Duration::from_millis(50);
    let a = node_with(1, config);
    let mut events = a.events();
    a.connect(&proxy.address).unwrap();
    proxy.stall();
    let writing = a.clone();
    thread::spawn(move || jam(&writing));
    let (by, reason) = closed(&mut events);
    assert_eq!(by, connmgr::By::Local);
    assert!(matches!(reason, connmgr::CloseReason::Unresponsive { .. }), "{reason}");
    until(|| a.counters().peers == 0 && a.buffers_in_use() == 0);
}

#[test]
fn a_listener_that_is_closed_frees_its_port_and_keeps_its_connections() {
    let (a, b) = (node(1), node(2));
    let listener = b.listen(&loopback()).unwrap();
    let address = listener.addresses()[0].clone();
    a.connect(&address).unwrap();
    soon(move || listener.close());
    assert!(b.addresses().is_empty());
    assert!(TcpStream::connect(address.socket_addr().unwrap()).is_err());
    b.listen(&address.without_peer_id()).unwrap();
    round_trip(&open(&a, ECHO), 1000, 0);
}

#[test]
fn an_unspecified_address_stands_for_those_of_all_interfaces() {
    let (a, b) = (node(1), node(2));
    let listener = b.listen(&"/ip4/0.0.0.0/tcp/0".parse().unwrap()).unwrap();
    let all = listener.addresses().to_vec();
    assert!(all.iter().any(Multiaddr::is_loopback), "{all:?}");
    assert!(all.iter().all(|address| !address.is_unspecified() && address.peer_id() == Some(id(2))), "{all:?}");
    assert_eq!(b.addresses().len(), all.len());
    for address in &all {
        let mut new = DialOptions::default();
        new.new = true;
        a.connect_to(id(2), std::slice::from_ref(address), new).unwrap();
    }
    soon(move || listener.close());
}

#[test]
fn both_families_share_a_port() {
    let a = node(1);
    let six = a.listen(&"/ip6/::/tcp/0".parse().unwrap()).unwrap();
    let Some(port) = six.addresses().first().and_then(Multiaddr::port) else { return };
    a.listen(&format!("/ip4/0.0.0.0/tcp/{port}").parse().unwrap()).unwrap();
    for address in a.addresses() {
        assert_eq!(node(2).connect(&address).unwrap().peer, id(1), "{address}");
    }
}

#[test]
fn a_hundred_nodes_connect_at_once() {
    let mut config = NodeConfig::default();
    config.host.manager.limits.pending_inbound = 100;
    let b = node_with(0, config);
    let address = listen(&b);
    let nodes: Vec<_> = (1..=100)
        .map(|n| {
            let address = address.clone();
            thread::spawn(move || {
                let a = node(n);
                let peer = a.connect(&address).unwrap().peer;
                assert_eq!(a.request(peer, ECHO, &[n; 100], 100).unwrap(), &[n; 100][..]);
                a
            })
        })
        .collect();
    let nodes: Vec<Node> = nodes.into_iter().map(|node| node.join().unwrap()).collect();
    assert_eq!(b.counters().opened_inbound, 100);
    let ending: Vec<_> = nodes.into_iter().map(|node| thread::spawn(move || node.shutdown())).collect();
    ending.into_iter().for_each(|ending| ending.join().unwrap());
    until(|| b.counters().peers == 0);
}

#[test]
fn garbage_instead_of_an_upgrade_does_not_stop_the_listener() {
    let (b, log) = watched(2, NodeConfig::default());
    let address = listen(&b);
    let mut stranger = TcpStream::connect(address.socket_addr().unwrap()).unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    drop(stranger);
    until(|| log.has(|event| matches!(event, Observed::Done { .. })));
    node(1).connect(&address).unwrap();
}

#[test]
fn an_observer_sees_a_connection_from_its_socket_to_its_end() {
    let (a, log) = watched(1, NodeConfig::default());
    let (a, _b, _talks) = pair_of(a, node(2));
    round_trip(&open(&a, ECHO), 10, 0);
    a.shutdown();
    let seen = log.0.lock().unwrap();
    let at = |wanted: fn(&Observed) -> bool| seen.iter().position(wanted).expect("it was seen");
    let connected = at(|event| matches!(event, Observed::Connected(_)));
    let peer = at(|event| matches!(event, Observed::Progress(Progress::Peer(_))));
    let established = at(|event| matches!(event, Observed::Report(tidewire_host::link::Report::Established { .. })));
    let ended = at(|event| matches!(event, Observed::Report(tidewire_host::link::Report::Ended { .. })));
    let done = at(|event| matches!(event, Observed::Done { sent, received } if *sent > 0 && *received > 0));
    assert!(connected < peer && peer < established && established < ended && ended < done, "{seen:?}");
    let told = log.1.lock().unwrap();
    assert!(told.iter().any(|event| matches!(event, Event::Manager(connmgr::Event::ConnectionClosed { .. }))));
}

#[test]
fn an_idle_connection_holds_no_buffer() {
    let (a, b, _talks) = pair();
    let mut stream = open(&a, ECHO);
    let mut piece = vec![0; 100_000];
    for _ in 0..2 {
        stream.write_all(&piece).unwrap();
        stream.read_exact(&mut piece).unwrap();
        until(|| a.buffers_in_use() == 0 && b.buffers_in_use() == 0);
    }
}

fn private(n: u8, key: u8) -> Node {
    let mut config = NodeConfig::default();
    config.upgrade.psk = Some(PreSharedKey::new([key; 32]));
    config.upgrade.timeout = Duration::from_millis(500);
    node_with(n, config)
}

#[test]
fn a_private_network_lets_in_who_has_its_key() {
    let (a, b, _talks) = pair_of(private(1, 7), private(2, 7));
    round_trip(&open(&a, ECHO), 300_000, 2);
    let address = b.addresses()[0].clone();
    assert!(private(3, 8).connect(&address).is_err());
    assert!(node(4).connect(&address).is_err());
}

#[test]
fn plaintext_works_where_both_ask_for_it() {
    let mut plain = NodeConfig::default();
    plain.upgrade.securities = vec![SecurityKind::Plaintext];
    let (a, _b, _talks) = pair_of(node_with(1, plain.clone()), node_with(2, plain));
    round_trip(&open(&a, ECHO), 300_000, 2);
}

#[test]
fn a_denied_peer_is_refused_and_counted() {
    let b = node(2);
    let rule = connmgr::dial::GateRule::Peer(id(1));
    b.command(Command::Deny { rule, why: "not today".into() }).unwrap();
    let a = node(1);
    let mut events = a.events();
    if a.connect(&listen(&b)).is_ok() {
        // The dialer is done a flight earlier; it hears of the refusal at once.
        closed(&mut events);
    }
    until(|| b.counters().refused.get("denied") == Some(&1));
}

#[test]
fn a_hook_that_panics_ends_its_connection_and_not_the_node() {
    let b =
        observed(2, NodeConfig::default(), Panics::at(|event| matches!(event, Observed::Progress(Progress::Peer(_)))));
    let address = listen(&b);
    let a = node(1);
    let mut events = a.events();
    if a.connect(&address).is_ok() {
        closed(&mut events);
    }
    until(|| b.counters().pending == 0);
    assert_eq!(node(3).connect(&address).unwrap().peer, id(2));
    soon(move || b.shutdown());
}

#[test]
fn a_hook_that_panics_at_a_new_connection_does_not_end_the_listener() {
    let b = observed(2, NodeConfig::default(), Panics::at(|event| matches!(event, Observed::Connected(_))));
    let address = listen(&b);
    node(1).connect(&address).unwrap_err();
    until(|| b.counters().pending == 0);
    assert_eq!(node(3).connect(&address).unwrap().peer, id(2));
    until(|| b.counters().opened_inbound == 1);
    soon(move || b.shutdown());
}

#[test]
fn a_hook_that_panics_at_a_new_connection_fails_the_dial_and_not_the_next() {
    let a = observed(1, NodeConfig::default(), Panics::at(|event| matches!(event, Observed::Connected(_))));
    let (b, c) = (node(2), node(3));
    let (dialing, address) = (a.clone(), listen(&b));
    let error = soon(move || dialing.connect(&address)).unwrap_err();
    assert!(error.to_string().contains("a hook of the application panicked"), "{error}");
    assert_eq!(a.counters().pending, 0);
    assert_eq!(a.connect(&listen(&c)).unwrap().peer, id(3));
}

#[test]
fn a_hook_that_panics_at_an_event_takes_it_from_nobody_else() {
    let b = observed(2, NodeConfig::default(), Panics::at_host(|event| of_connected(event.clone()).is_some()));
    let (a, mut events) = (node(1), b.events());
    a.connect(&listen(&b)).unwrap();
    assert_eq!(event(&mut events, of_connected), id(1));
    round_trip(&open(&a, ECHO), 1000, 0);
}
