//! Who gets in, who doesn't, and how connections that go wrong end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::cast_possible_truncation)]
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc)]

mod common;

use common::{echo, exchange, listen, node, node_with, pair, serve_echo};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tidewire_core::{Multiaddr, PeerId};
use tidewire_std::{DialError, Gate, Info, ListenError, Observed, Observer, UpgradeFailed};
use tidewire_upgrade::connection::Selection;
use tidewire_upgrade::pipeline::{Config, Plan, Progress, SecurityKind, UpgradeError};
use tidewire_upgrade::security::psk::PreSharedKey;

/// Why the upgrade failed.
fn failed(error: &DialError) -> &UpgradeFailed {
    let DialError::Upgrade { error, .. } = error else { panic!("no upgrade: {error}") };
    error
}

#[test]
fn someone_else_at_the_address_is_refused() {
    let (client, server) = (node(1), node(2));
    let listener = listen(&server);
    let wrong = listener.address().without_peer_id().with_peer_id(node(3).peer()).unwrap();
    let error = client.dial(&wrong).unwrap_err();
    assert!(matches!(failed(&error), UpgradeFailed::Upgrade(UpgradeError::Handshake(_))), "{error}");
}

#[test]
fn an_address_without_a_peer_id_takes_whoever_is_there() {
    let server = node(2);
    let listener = listen(&server);
    let connection = node(1).dial(&listener.address().without_peer_id()).unwrap();
    assert_eq!(connection.peer(), server.peer());
}

#[test]
fn names_are_resolved() {
    let server = node(2);
    let listener = listen(&server);
    let port = listener.address().port().unwrap();
    let named: Multiaddr = format!("/dns4/localhost/tcp/{port}").parse().unwrap();
    assert_eq!(node(1).dial(&named).unwrap().peer(), server.peer());
}

#[test]
fn addresses_that_are_not_tcp_are_refused_with_the_reason() {
    for text in ["/ip4/127.0.0.1/udp/1", "/ip4/127.0.0.1/tcp/1/ws", "/memory/1", "/tcp/1"] {
        let address: Multiaddr = text.parse().unwrap();
        assert!(matches!(node(1).dial(&address), Err(DialError::Unsupported { .. })), "{text}");
        assert!(matches!(node(1).listen(&address), Err(ListenError::Unsupported { .. })), "{text}");
    }
}

#[test]
fn nobody_at_the_address_is_a_connect_error() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(matches!(node(1).dial(&Multiaddr::tcp(free)), Err(DialError::Connect { .. })));
}

/// Refuses at the hook of this name.
struct Refuses(&'static str);

impl Refuses {
    fn at(&self, hook: &str) -> Result<(), String> {
        if self.0 == hook { Err(format!("no at {hook}")) } else { Ok(()) }
    }
}

impl Gate for Refuses {
    fn dial(&self, _: &Multiaddr) -> Result<(), String> {
        self.at("dial")
    }

    fn accept(&self, _: &Multiaddr) -> Result<(), String> {
        self.at("accept")
    }

    fn peer(&self, _: PeerId, _: &Multiaddr) -> Result<(), String> {
        self.at("peer")
    }

    fn upgraded(&self, _: &Info) -> Result<(), String> {
        self.at("upgraded")
    }
}

#[test]
fn a_dialers_gate_refuses_at_each_of_its_hooks() {
    let listener = listen(&node(2));
    for hook in ["dial", "peer", "upgraded"] {
        let error = node(1).gate(Arc::new(Refuses(hook))).dial(listener.address()).unwrap_err();
        assert!(error.to_string().contains(&format!("no at {hook}")), "{error}");
    }
    assert!(node(1).gate(Arc::new(Refuses("accept"))).dial(listener.address()).is_ok());
}

#[test]
fn a_listeners_gate_refuses_at_each_of_its_hooks_and_others_still_get_in() {
    for hook in ["accept", "peer", "upgraded"] {
        let log = Arc::new(Log::default());
        let listener = listen(&node(2).gate(Arc::new(Refuses(hook))).observe(log.clone()));
        // With lazy selection a dialer may be done before it is refused; then its connection ends at once.
        if let Ok(connection) = node(1).dial(listener.address()) {
            connection.closed();
        }
        log.until(|event| matches!(event, Observed::Failed(why) if why.contains(&format!("no at {hook}"))));
    }
    let listener = listen(&node(2).gate(Arc::new(Refuses("dial"))));
    node(1).dial(listener.address()).unwrap();
    listener.accept().unwrap();
}

fn private(key: &str) -> impl FnOnce(&mut Config) {
    let file = format!("/key/swarm/psk/1.0.0/\n/base16/\n{}\n", key.repeat(64));
    move |config| config.psk = Some(PreSharedKey::from_file(file.as_bytes()).unwrap())
}

#[test]
fn a_private_network_lets_its_members_in() {
    let (client, server) = pair(&node_with(1, private("a")), &node_with(2, private("a")));
    serve_echo(server);
    let stream = client.open(&echo(), Selection::Lazy).unwrap();
    assert_eq!(exchange(&stream, b"among us"), b"among us");
}

#[test]
fn a_private_network_keeps_others_out() {
    // Each reads noise from the other; what looks like the length of a message is waited for.
    let hasty = |key: &'static str| {
        move |config: &mut Config| {
            config.timeout = Duration::from_millis(200);
            private(key)(config);
        }
    };
    let listener = listen(&node_with(2, hasty("a")));
    assert!(node_with(1, hasty("b")).dial(listener.address()).is_err());
}

#[test]
fn plaintext_works_where_both_offer_it() {
    let plain = |config: &mut Config| config.securities = vec![SecurityKind::Plaintext];
    let (client, server) = pair(&node_with(1, plain), &node_with(2, plain));
    serve_echo(server);
    assert_eq!(client.security(), "/plaintext/2.0.0");
    let stream = client.open(&echo(), Selection::Lazy).unwrap();
    assert_eq!(exchange(&stream, b"aloud"), b"aloud");
}

#[test]
fn a_silent_remote_is_given_up_at_the_upgrades_deadline() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Multiaddr::tcp(silent.local_addr().unwrap());
    let client = node_with(1, |config| config.timeout = Duration::from_millis(100));
    let began = Instant::now();
    let error = client.dial(&address).unwrap_err();
    assert!(matches!(failed(&error), UpgradeFailed::Upgrade(UpgradeError::TimedOut { .. })), "{error}");
    assert!((100..1000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
}

#[test]
fn a_remote_that_speaks_something_else_is_an_error_and_the_listener_goes_on() {
    let server = node(2);
    let listener = listen(&server);
    let port = listener.address().port().unwrap();
    let mut stranger = TcpStream::connect(("127.0.0.1", port)).unwrap();
    // Long enough for what its first byte looks like: the length of a message.
    stranger.write_all(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "x".repeat(100)).as_bytes()).unwrap();
    let mut all = Vec::new();
    stranger.read_to_end(&mut all).ok(); // until it hangs up
    node(1).dial(listener.address()).unwrap();
    listener.accept().unwrap();
}

#[test]
fn sockets_beyond_the_pending_ones_wait_in_the_system() {
    let server = node_with(2, |config| config.timeout = Duration::from_millis(300))
        .max_pending(2)
        .close_timeout(Duration::from_millis(100));
    let listener = listen(&server);
    let port = listener.address().port().unwrap();
    let silent: Vec<_> = (0..2).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    let began = Instant::now();
    let client = node(1).dial(listener.address()).unwrap();
    // It had to wait for one of the silent ones to be given up.
    assert!(began.elapsed() >= Duration::from_millis(250), "{:?}", began.elapsed());
    drop(silent);
    assert_eq!(listener.accept().unwrap().peer(), node(1).peer());
    drop(client);
}

#[test]
fn a_remote_that_is_killed_ends_reads_and_the_connection() {
    let server = node(2);
    let sockets = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Multiaddr::tcp(sockets.local_addr().unwrap());
    let (tell, told) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let socket = sockets.accept().unwrap().0;
        tell.send(socket.try_clone().unwrap()).unwrap();
        let connection = server.upgrade(socket, Plan::Respond, None).unwrap();
        let mut stream = connection.accept().unwrap().stream;
        stream.write_all(b"last words").unwrap();
        stream.read_to_end(&mut Vec::new()).ok();
    });
    let client = node(1).dial(&address).unwrap();
    let mut stream = client.open(&echo(), Selection::Lazy).unwrap();
    stream.write_all(b"x").unwrap();
    let mut words = [0; 10];
    stream.read_exact(&mut words).unwrap();
    // The socket dies without a word of the machine.
    told.recv().unwrap().shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(&words, b"last words");
    assert_eq!(stream.read(&mut words).unwrap_err().kind(), ErrorKind::ConnectionAborted);
    assert!(client.accept().is_none());
    assert!(client.closed().sent > 0);
}

#[test]
fn a_remote_that_stops_answering_is_found_out_by_the_keep_alive() {
    let impatient = |config: &mut Config| {
        config.muxer.yamux.keep_alive = Some(Duration::from_millis(50));
        config.muxer.yamux.pong_timeout = Duration::from_millis(100);
    };
    // A wire in between that stops carrying anything after the upgrade.
    let server = node(2);
    let listener = listen(&server);
    let port = listener.address().port().unwrap();
    let between = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Multiaddr::tcp(between.local_addr().unwrap());
    let cut = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let carries = cut.clone();
    thread::spawn(move || {
        let (near, far) = (between.accept().unwrap().0, TcpStream::connect(("127.0.0.1", port)).unwrap());
        for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
            let cut = carries.clone();
            thread::spawn(move || {
                let mut buf = [0; 4096];
                while let Ok(count @ 1..) = from.read(&mut buf) {
                    if !cut.load(std::sync::atomic::Ordering::SeqCst) && to.write_all(&buf[..count]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    let client = node_with(1, impatient).close_timeout(Duration::from_millis(50)).dial(&address).unwrap();
    client.ping().unwrap();
    cut.store(true, std::sync::atomic::Ordering::SeqCst);
    let began = Instant::now();
    let closed = client.closed();
    assert!(matches!(closed.reason, tidewire_std::Reason::Protocol(_)), "{closed:?}");
    assert!((100..2000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
}

/// Remembers what it was told.
#[derive(Default)]
struct Log(Mutex<Vec<(u64, Observed)>>);

impl Log {
    fn until(&self, wanted: impl Fn(&Observed) -> bool) {
        let began = Instant::now();
        while !self.0.lock().unwrap().iter().any(|(_, event)| wanted(event)) {
            assert!(began.elapsed() < Duration::from_secs(5), "{:?}", self.0.lock().unwrap());
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Observer for Log {
    fn event(&self, connection: u64, event: &Observed) {
        self.0.lock().unwrap().push((connection, event.clone()));
    }
}

#[test]
fn an_observer_sees_a_connection_from_its_first_moment_to_its_last() {
    let log = Arc::new(Log::default());
    let (client, _server) = pair(&node(1).observe(log.clone()), &node(2));
    client.ping().unwrap();
    client.close(0);
    let events = log.0.lock().unwrap();
    let at = |wanted: &dyn Fn(&Observed) -> bool| events.iter().position(|(_, event)| wanted(event));
    let order = [
        at(&|event| matches!(event, Observed::Connecting(_))),
        at(&|event| matches!(event, Observed::Connected(_))),
        at(&|event| matches!(event, Observed::Sent(_))),
        at(&|event| matches!(event, Observed::Received(_))),
        at(&|event| matches!(event, Observed::Progress(Progress::Ready))),
        at(&|event| matches!(event, Observed::Closed(_))),
    ];
    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{order:?}: {events:?}");
}

/// Panics where it is asked.
struct Panics;

impl Gate for Panics {
    fn peer(&self, _: PeerId, _: &Multiaddr) -> Result<(), String> {
        panic!("a mistake in the application");
    }
}

#[test]
fn a_hook_that_panics_ends_its_connection_and_nothing_else() {
    let listener = listen(&node(2));
    let error = node(1).gate(Arc::new(Panics)).dial(listener.address()).unwrap_err();
    assert!(error.to_string().contains("a hook panicked"), "{error}");
    node(3).dial(listener.address()).unwrap();
}
