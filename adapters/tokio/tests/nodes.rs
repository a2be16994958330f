//! Nodes over real sockets: whom they find, how they part, what they tell.
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
use tidewire_connmgr as connmgr;
use tidewire_connmgr::dial::DialFault;
use tidewire_tokio::{
    Command, ConnectError, DialOptions, Event, ListenError, Multiaddr, NodeConfig, Notice, Observed, OpenFailure,
    OpenOptions, Progress, Protocols, SecurityKind,
};
use tidewire_upgrade::security::psk::PreSharedKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

#[tokio::test]
async fn two_nodes_connect_identify_and_ping_each_other() {
    let mut lively = NodeConfig::default();
    lively.host.manager.keep_alive.ping_interval = Some(Duration::from_millis(50));
    let (a, b) = (node_with(1, lively), node(2));
    let (mut events, mut theirs) = (a.events(), b.events());
    let connected = a.connect(&listen(&b).await).await.unwrap();
    assert_eq!(connected.peer, id(2));
    tokio::join!(event(&mut events, of_echo(id(2))), event(&mut theirs, of_echo(id(1))));
    let pinged =
        || a.host(|host| host.manager().connection(connected.connection).is_some_and(|view| view.rtt.is_some()));
    until(pinged).await;
    assert!(a.counters().identified > 0 && a.counters().peers == 1);
}

#[tokio::test]
async fn an_address_without_a_peer_is_not_dialed() {
    let b = node(2);
    let address = listen(&b).await.without_peer_id();
    let error = node(1).connect(&address).await.unwrap_err();
    assert_eq!(error, ConnectError::NoPeer { address });
}

#[tokio::test]
async fn a_name_is_resolved() {
    let b = node(2);
    let port = listen(&b).await.port().unwrap();
    for name in ["dns4", "dns"] {
        let address: Multiaddr = format!("/{name}/localhost/tcp/{port}/p2p/{}", id(2)).parse().unwrap();
        let a = node(1);
        assert_eq!(a.connect(&address).await.unwrap().peer, id(2), "{name}");
        a.shutdown().await;
    }
}

#[tokio::test]
async fn a_stream_to_a_known_peer_dials_first() {
    let (a, b) = (node(1), node(2));
    let address = listen(&b).await;
    let command = Command::Addresses { peer: id(2), addresses: vec![address], ttl: Duration::from_secs(60) };
    a.command(command).unwrap();
    round_trip(open(&a, ECHO).await, 1000, 1).await;
    let mut no_dial = OpenOptions::default();
    no_dial.dial = false;
    let error = a.open(id(3), &Protocols::from(ECHO), no_dial).await.unwrap_err();
    assert_eq!(error, OpenFailure::NotConnected);
    let error = a.open(id(3), &Protocols::from(ECHO), OpenOptions::default()).await.unwrap_err();
    assert!(matches!(error, OpenFailure::Dial(_)), "{error}");
}

#[tokio::test]
async fn the_wrong_peer_is_refused_and_named() {
    let b = node(2);
    let wrong = listen(&b).await.without_peer_id().with_peer_id(id(3)).unwrap();
    let ConnectError::Failed(report) = node(1).connect(&wrong).await.unwrap_err() else { panic!("it was dialed") };
    assert_eq!(report.addresses[0].outcome, connmgr::dial::Outcome::Failed(DialFault::WrongPeer(id(2))), "{report}");
}

#[tokio::test]
async fn a_failed_dial_says_what_was_tried_and_why() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let address = Multiaddr::tcp(gone).with_peer_id(id(2)).unwrap();
    let error = node(1).connect(&address).await.unwrap_err().to_string();
    assert!(error.contains(&Multiaddr::tcp(gone).to_string()) && error.contains("refused"), "{error}");
    let udp: Multiaddr = format!("/ip4/127.0.0.1/udp/1/quic-v1/p2p/{}", id(2)).parse().unwrap();
    let error = node(1).connect(&udp).await.unwrap_err().to_string();
    assert!(error.contains("there is no transport for it"), "{error}");
    let name: Multiaddr = format!("/dns4/no.such.name.invalid/tcp/1/p2p/{}", id(2)).parse().unwrap();
    let error = node(1).connect(&name).await.unwrap_err().to_string();
    assert!(error.contains("can't be resolved"), "{error}");
}

#[tokio::test]
async fn what_can_t_be_listened_on_is_refused_with_the_reason() {
    let a = node(1);
    let error = a.listen(&"/dns4/localhost/tcp/0".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, ListenError::Unsupported { .. }), "{error}");
    // Documentation addresses are nobody's.
    let error = a.listen(&"/ip4/192.0.2.1/tcp/0".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, ListenError::Bind { .. }), "{error}");
    // Somebody else's port, who doesn't share it.
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = a.listen(&Multiaddr::tcp(taken.local_addr().unwrap())).await.unwrap_err();
    assert!(matches!(error, ListenError::Bind { .. }), "{error}");
    assert!(a.addresses().is_empty());
    listen(&a).await;
}

#[tokio::test]
async fn a_remote_that_says_nothing_times_the_upgrade_out() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = NodeConfig::default();
    config.upgrade.timeout = Duration::from_millis(100);
    let address = Multiaddr::tcp(silent.local_addr().unwrap()).with_peer_id(id(2)).unwrap();
    let error = node_with(1, config).connect(&address).await.unwrap_err().to_string();
    assert!(error.contains("the upgrade failed"), "{error}");
}

#[tokio::test]
async fn two_connects_at_once_share_one_connection_and_a_later_one_finds_it() {
    let (a, b) = (node(1), node(2));
    let address = listen(&b).await;
    let (first, second) = tokio::join!(a.connect(&address), a.connect(&address));
    let first = first.unwrap();
    assert_eq!(second.unwrap(), first);
    assert_eq!(a.connect(&address).await.unwrap(), first);
    assert_eq!(a.counters().opened_outbound, 1);
    let mut another = DialOptions::default();
    another.new = true;
    let other = a.connect_to(id(2), &[address], another).await.unwrap();
    assert_ne!(other.connection, first.connection);
}

#[tokio::test]
async fn a_connect_that_is_dropped_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let a = node(1);
    let address = Multiaddr::tcp(silent.local_addr().unwrap()).with_peer_id(id(2)).unwrap();
    assert!(timeout(Duration::from_millis(50), a.connect(&address)).await.is_err());
    until(|| a.host(|host| host.manager().counts().dialed_peers == 0)).await;
    // Its socket is closed too.
    let (mut socket, _) = silent.accept().await.unwrap();
    let reading = async { while socket.read(&mut [0; 4096]).await.is_ok_and(|count| count > 0) {} };
    timeout(Duration::from_secs(5), reading).await.unwrap();
}

#[tokio::test]
async fn events_come_in_order() {
    let (a, b, _talks) = pair().await;
    let (c, mut events) = (node(3), b.events());
    let address = b.addresses()[0].clone();
    c.connect(&address).await.unwrap();
    round_trip(c.open(id(2), &ECHO.into(), plain()).await.unwrap(), 10, 0).await;
    c.shutdown().await;
    let mut seen = Vec::new();
    while !seen.contains(&"disconnected") {
        let Some(Notice::Event(Event::Manager(event))) = timeout(Duration::from_secs(5), events.next()).await.unwrap()
        else {
            continue;
        };
        match event {
            connmgr::Event::Connected { peer } if peer == id(3) => seen.push("connected"),
            connmgr::Event::ConnectionOpened { peer, .. } if peer == id(3) => seen.push("opened"),
            connmgr::Event::ConnectionClosed { peer, .. } if peer == id(3) => seen.push("closed"),
            connmgr::Event::Disconnected { peer } if peer == id(3) => seen.push("disconnected"),
            _ => {}
        }
    }
    assert_eq!(seen, ["connected", "opened", "closed", "disconnected"]);
    assert_eq!(a.counters().peers, 1, "the others are unaffected");
}

#[tokio::test]
async fn whoever_takes_events_too_slowly_is_told_how_many_were_missed() {
    let mut config = NodeConfig::default();
    config.max_events = 2;
    let a = node_with(1, config);
    let mut events = a.events();
    for _ in 0..5 {
        listen(&a).await;
    }
    assert_eq!(events.next().await, Some(Notice::Missed(3)));
    assert!(matches!(events.next().await, Some(Notice::Event(Event::Listening { .. }))));
}

#[tokio::test]
async fn a_shutdown_tells_the_remotes_and_frees_the_ports() {
    let (a, b, _talks) = pair().await;
    let address = b.addresses()[0].clone();
    let mut events = a.events();
    timeout(Duration::from_secs(5), b.shutdown()).await.unwrap();
    let (by, reason) = closed(&mut events).await;
    assert_eq!(by, connmgr::By::Remote, "{reason}");
    assert!(reason.to_string().contains("shutting down"), "{reason}");
    assert!(std::net::TcpListener::bind(address.socket_addr().unwrap()).is_ok(), "the port is free");
    // A node that is over answers at once.
    assert!(matches!(b.listen(&loopback()).await, Err(ListenError::Closed { .. })));
    assert!(b.connect(&address.without_peer_id().with_peer_id(id(1)).unwrap()).await.is_err());
    assert_eq!(b.open(id(1), &ECHO.into(), OpenOptions::default()).await.unwrap_err(), OpenFailure::Shutdown);
    timeout(Duration::from_secs(5), b.shutdown()).await.unwrap();
}

#[tokio::test]
async fn the_last_handle_that_is_dropped_shuts_the_node_down() {
    let (a, b, talks) = pair().await;
    let mut events = a.events();
    drop(talks);
    drop(b);
    let (by, reason) = closed(&mut events).await;
    assert_eq!(by, connmgr::By::Remote, "{reason}");
}

#[tokio::test]
async fn a_killed_remote_is_noticed_and_found_again() {
    let (a, b) = (node(1), node(2));
    let (proxied, flights) = proxy(&listen(&b).await, Duration::ZERO, usize::MAX).await;
    let mut events = a.events();
    let first = a.connect(&proxied).await.unwrap();
    let mut stream = open(&a, ECHO).await;
    stream.write_all(b"x").await.unwrap();
    stream.read_exact(&mut [0]).await.unwrap();
    flights.abort();
    let (by, reason) = closed(&mut events).await;
    assert_ne!(by, connmgr::By::Local, "{reason}");
    assert!(stream.read(&mut [0]).await.is_err() && stream.write(b"y").await.is_err());
    let (again, _flights) = proxy(&b.addresses()[0], Duration::ZERO, usize::MAX).await;
    let second = a.connect(&again).await.unwrap();
    assert_ne!(first.connection, second.connection);
    round_trip(open(&a, ECHO).await, 1000, 0).await;
}

#[tokio::test]
async fn a_peer_that_is_kept_alive_is_dialed_again_when_it_was_lost() {
    let mut config = NodeConfig::default();
    config.host.manager.reconnect.first_delay = Duration::from_millis(10);
    let a = node_with(1, config);
    let b = node(2);
    let address = listen(&b).await;
    a.connect(&address).await.unwrap();
    a.command(Command::KeepAlive { peer: id(2), on: true }).unwrap();
    let command = Command::Addresses { peer: id(2), addresses: vec![address], ttl: Duration::from_secs(60) };
    a.command(command).unwrap();
    let mut events = a.events();
    until(|| b.counters().peers == 1).await;
    b.command(Command::Disconnect { peer: id(1), why: "a test".into() }).unwrap();
    assert_eq!(event(&mut events, of_connected).await, id(2));
}

#[tokio::test]
async fn a_remote_that_answers_no_ping_is_given_up() {
    let b = node(2);
    let (stalling, _flights) = proxy(&listen(&b).await, Duration::ZERO, 2).await;
    let mut lively = NodeConfig::default();
    lively.host.manager.keep_alive.ping_interval = Some(Duration::from_millis(50));
    lively.host.manager.keep_alive.ping_timeout_min = Duration::from_millis(50);
    lively.host.manager.keep_alive.ping_timeout_max = Duration::from_millis(100);
    lively.close_timeout = Duration::from_millis(50);
    let a = node_with(1, lively);
    let mut events = a.events();
    a.connect(&stalling).await.unwrap();
    let (by, reason) = closed(&mut events).await;
    assert_eq!(by, connmgr::By::Local);
    assert!(matches!(reason, connmgr::CloseReason::Unresponsive { .. }), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_runtime_ends_its_connections() {
    let (a, b) = (node(1), node(2));
    let mut events = a.events();
    let address = listen(&a).await;
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { node(3).connect(&address).await.unwrap() });
    })
    .join()
    .unwrap();
    assert_ne!(closed(&mut events).await.0, connmgr::By::Local);
    drop(b);
}

#[tokio::test]
async fn a_listener_that_is_closed_frees_its_port_and_keeps_its_connections() {
    let (a, b) = (node(1), node(2));
    let listener = b.listen(&loopback()).await.unwrap();
    let address = listener.addresses()[0].clone();
    a.connect(&address).await.unwrap();
    listener.close().await;
    assert!(b.addresses().is_empty());
    assert!(TcpStream::connect(address.socket_addr().unwrap()).await.is_err());
    b.listen(&address.without_peer_id()).await.unwrap();
    round_trip(open(&a, ECHO).await, 1000, 0).await;
}

#[tokio::test]
async fn an_unspecified_address_stands_for_those_of_all_interfaces() {
    let (a, b) = (node(1), node(2));
    let listener = b.listen(&"/ip4/0.0.0.0/tcp/0".parse().unwrap()).await.unwrap();
    let all = listener.addresses().to_vec();
    assert!(all.iter().any(Multiaddr::is_loopback), "{all:?}");
    assert!(all.iter().all(|address| !address.is_unspecified() && address.peer_id() == Some(id(2))), "{all:?}");
    assert_eq!(b.addresses().len(), all.len());
    for address in &all {
        let mut new = DialOptions::default();
        new.new = true;
        a.connect_to(id(2), std::slice::from_ref(address), new).await.unwrap();
    }
}

#[tokio::test]
async fn both_families_share_a_port() {
    let a = node(1);
    let six = a.listen(&"/ip6/::/tcp/0".parse().unwrap()).await.unwrap();
    let Some(port) = six.addresses().first().and_then(Multiaddr::port) else { return };
    a.listen(&format!("/ip4/0.0.0.0/tcp/{port}").parse().unwrap()).await.unwrap();
    for address in a.addresses() {
        assert_eq!(node(2).connect(&address).await.unwrap().peer, id(1), "{address}");
    }
}

#[tokio::test]
async fn a_dial_leaves_from_the_port_on_which_we_listen() {
    let (a, b) = (node(1), node(2));
    let (from, to) = (listen(&a).await, listen(&b).await);
    let mut events = b.events();
    a.connect(&to).await.unwrap();
    assert_eq!(event(&mut events, of_remote).await.port(), from.port());
    // A second one between the same two ports can't be: it leaves from another.
    let mut new = DialOptions::default();
    new.new = true;
    a.connect_to(id(2), &[to], new).await.unwrap();
    assert_ne!(event(&mut events, of_remote).await.port(), from.port());
}

#[tokio::test]
async fn ports_are_not_reused_where_that_is_not_wanted() {
    let mut config = NodeConfig::default();
    config.host.reuse_port = false;
    let (a, b) = (node_with(1, config), node(2));
    let from = listen(&a).await;
    let mut events = b.events();
    a.connect(&listen(&b).await).await.unwrap();
    assert_ne!(event(&mut events, of_remote).await.port(), from.port());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_nodes_connect_at_once() {
    let mut roomy = NodeConfig::default();
    roomy.host.manager.limits.pending_inbound = 200;
    let b = node_with(0, roomy);
    let address = listen(&b).await;
    let mut all = tokio::task::JoinSet::new();
    for n in 1..=200 {
        let address = address.clone();
        all.spawn(async move {
            let a = node(n);
            let peer = a.connect(&address).await.unwrap().peer;
            assert_eq!(a.request(peer, ECHO, &[n; 100], 100).await.unwrap(), &[n; 100][..]);
            a
        });
    }
    let nodes = timeout(Duration::from_secs(30), all.join_all()).await.unwrap();
    assert_eq!(b.counters().opened_inbound, 200);
    let ending: tokio::task::JoinSet<()> = nodes.into_iter().map(|node| async move { node.shutdown().await }).collect();
    ending.join_all().await;
    until(|| b.counters().peers == 0).await;
}

#[tokio::test]
async fn garbage_instead_of_an_upgrade_does_not_stop_the_listener() {
    let (b, log) = watched(2, NodeConfig::default());
    let address = listen(&b).await;
    let socket = address.socket_addr().unwrap();
    TcpStream::connect(socket).await.unwrap().write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    until(|| log.has(|event| matches!(event, Observed::Done { .. }))).await;
    node(1).connect(&address).await.unwrap();
}

#[tokio::test]
async fn an_observer_sees_a_connection_from_its_socket_to_its_end() {
    let (a, log) = watched(1, NodeConfig::default());
    let (a, _b, _talks) = pair_of(a, node(2)).await;
    round_trip(open(&a, ECHO).await, 10, 0).await;
    a.shutdown().await;
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

#[tokio::test]
async fn three_round_trips_from_the_first_packet_to_the_first_answered_byte() {
    let mut quiet = NodeConfig::default();
    quiet.host.identify = false;
    let b = node_with(2, quiet.clone());
    let (slow, _flights) = proxy(&listen(&b).await, Duration::from_millis(15), usize::MAX).await;
    let (a, log) = watched(1, quiet);
    let peer = a.connect(&slow).await.unwrap().peer;
    let mut stream = a.open(peer, &ECHO.into(), OpenOptions::default()).await.unwrap();
    stream.write_all(b"?").await.unwrap();
    stream.read_exact(&mut [0]).await.unwrap();
    // TCP's own round trip, and then each turn from sending to receiving.
    let (mut trips, mut sending) = (1, false);
    let seen = log.0.lock().unwrap().clone();
    for event in &seen {
        match event {
            Observed::Sent(_) => sending = true,
            Observed::Received(_) if std::mem::take(&mut sending) => trips += 1,
            _ => {}
        }
    }
    assert_eq!(trips, 3, "{seen:?}");
}

#[tokio::test]
async fn an_idle_connection_holds_no_buffer() {
    let (a, b, _talks) = pair().await;
    let mut stream = open(&a, ECHO).await;
    let mut piece = vec![0; 100_000];
    for _ in 0..2 {
        stream.write_all(&piece).await.unwrap();
        stream.read_exact(&mut piece).await.unwrap();
        until(|| a.buffers_in_use() == 0 && b.buffers_in_use() == 0).await;
    }
}

#[tokio::test]
async fn a_private_network_lets_in_who_has_its_key() {
    let private = |n, key: u8| {
        let mut config = NodeConfig::default();
        config.upgrade.psk = Some(PreSharedKey::new([key; 32]));
        config.upgrade.timeout = Duration::from_millis(500);
        node_with(n, config)
    };
    let (a, b, _talks) = pair_of(private(1, 7), private(2, 7)).await;
    round_trip(open(&a, ECHO).await, 300_000, 2).await;
    let address = b.addresses()[0].clone();
    assert!(private(3, 8).connect(&address).await.is_err());
    assert!(node(4).connect(&address).await.is_err());
}

#[tokio::test]
async fn plaintext_works_where_both_ask_for_it() {
    let mut plain = NodeConfig::default();
    plain.upgrade.securities = vec![SecurityKind::Plaintext];
    let (a, _b, _talks) = pair_of(node_with(1, plain.clone()), node_with(2, plain)).await;
    round_trip(open(&a, ECHO).await, 300_000, 2).await;
}

#[tokio::test]
async fn a_denied_peer_is_refused_and_counted() {
    let b = node(2);
    let rule = connmgr::dial::GateRule::Peer(id(1));
    b.command(Command::Deny { rule, why: "not today".into() }).unwrap();
    let a = node(1);
    let mut events = a.events();
    if a.connect(&listen(&b).await).await.is_ok() {
        // The dialer is done a flight earlier; it hears of the refusal at once.
        closed(&mut events).await;
    }
    until(|| b.counters().refused.get("denied") == Some(&1)).await;
}

#[tokio::test]
async fn events_end_with_the_node_behind_the_last_one() {
    let (_a, b, _talks) = pair().await;
    let mut events = b.events();
    timeout(Duration::from_secs(5), b.shutdown()).await.unwrap();
    let mut all = Vec::new();
    while let Some(notice) = timeout(Duration::from_secs(5), events.next()).await.unwrap() {
        all.push(notice);
    }
    let closed = |notice: &Notice| matches!(notice, Notice::Event(event) if of_closed(event.clone()).is_some());
    let unlistened = |notice: &Notice| matches!(notice, Notice::Event(Event::ListenerClosed { .. }));
    assert!(all.iter().any(closed) && all.iter().any(unlistened), "{all:?}");
    assert_eq!(b.events().next().await, None);
}

#[tokio::test]
async fn a_hook_that_panics_ends_its_connection_and_not_the_node() {
    let b =
        observed(2, NodeConfig::default(), Panics::at(|event| matches!(event, Observed::Progress(Progress::Peer(_)))));
    let address = listen(&b).await;
    let a = node(1);
    let mut events = a.events();
    if a.connect(&address).await.is_ok() {
        closed(&mut events).await;
    }
    until(|| b.counters().pending == 0).await;
    assert_eq!(node(3).connect(&address).await.unwrap().peer, id(2));
}

#[tokio::test]
async fn a_hook_that_panics_at_a_new_connection_does_not_end_the_listener() {
    let b = observed(2, NodeConfig::default(), Panics::at(|event| matches!(event, Observed::Connected(_))));
    let address = listen(&b).await;
    node(1).connect(&address).await.unwrap_err();
    until(|| b.counters().pending == 0).await;
    assert_eq!(node(3).connect(&address).await.unwrap().peer, id(2));
    until(|| b.counters().opened_inbound == 1).await;
}

#[tokio::test]
async fn a_hook_that_panics_at_a_new_connection_fails_the_dial_and_not_the_next() {
    let a = observed(1, NodeConfig::default(), Panics::at(|event| matches!(event, Observed::Connected(_))));
    let (b, c) = (node(2), node(3));
    let error = timeout(Duration::from_secs(5), a.connect(&listen(&b).await)).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("a hook of the application panicked"), "{error}");
    assert_eq!(a.counters().pending, 0);
    assert_eq!(a.connect(&listen(&c).await).await.unwrap().peer, id(3));
}

#[tokio::test]
async fn a_hook_that_panics_at_an_event_takes_it_from_nobody_else() {
    let b = observed(2, NodeConfig::default(), Panics::at_host(|event| of_connected(event.clone()).is_some()));
    let (a, mut events) = (node(1), b.events());
    a.connect(&listen(&b).await).await.unwrap();
    assert_eq!(event(&mut events, of_connected).await, id(1));
    round_trip(open(&a, ECHO).await, 1000, 0).await;
}
