//! What can't be seen from outside: memory, and threads that end.

use crate::{Config, Connection, Endpoint, Keypair, Matcher, Protocol, Protocols, RouteId, Router, Seed, Selection};
use crate::{Stream, Upgrader};
use std::io::{Read, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const RAW: Protocol = Protocol::from_static("/raw/1");

fn node(number: u8) -> Endpoint {
    let seed = Seed::new([number; 32]);
    let mut router = Router::new();
    router.add(RAW, Matcher::Exact, RouteId::new(1)).unwrap();
    let mut config = Config::default();
    config.connection.router = Some(Arc::new(router));
    Endpoint::with_seed(Upgrader::new(&Keypair::from_seed(&seed), &seed, config).unwrap(), seed)
}

/// A connection and a stream on it, both ends of each.
fn pair() -> [(Connection, Stream); 2] {
    let listener = node(2).listen(&"/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    let ours = node(1).dial(listener.address()).unwrap();
    let theirs = listener.accept().unwrap();
    let mut stream = ours.open(&Protocols::from(RAW), Selection::Lazy).unwrap();
    stream.write_all(b"!").unwrap();
    let mut other = theirs.accept().unwrap().stream;
    other.read_exact(&mut [0]).unwrap();
    [(ours, stream), (theirs, other)]
}

/// Within a second.
fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(1), "not within a second: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn an_idle_connection_holds_no_buffer() {
    let [(ours, mut to), (theirs, mut from)] = pair();
    let data = vec![1; 1 << 20];
    thread::scope(|scope| {
        scope.spawn(|| to.write_all(&data).unwrap());
        from.read_exact(&mut vec![0; data.len()]).unwrap();
    });
    for connection in [&ours, &theirs] {
        soon("both buffers are given back", || {
            let link = connection.0.shared.lock();
            link.rx.capacity() == 0 && link.tx.capacity() == 0
        });
    }
}

#[test]
fn what_waits_to_be_sent_is_bounded_though_the_remote_takes_nothing() {
    let [(ours, _to), (theirs, _from)] = pair();
    let streams: Vec<_> = (0..40).map(|_| ours.open(&Protocols::from(RAW), Selection::Lazy).unwrap()).collect();
    // Its reader can't go on while somebody holds its lock: so its socket fills.
    let jam = theirs.0.shared.lock();
    let yamux = Config::default().muxer.yamux;
    let bound = yamux.max_tx + yamux.max_replies;
    thread::scope(|scope| {
        for stream in &streams {
            stream.set_write_timeout(Some(Duration::from_millis(100)));
            scope.spawn(move || {
                let mut to = stream;
                while to.write(&[0; 65536]).is_ok() {}
            });
        }
        let (began, mut most) = (Instant::now(), 0);
        while began.elapsed() < Duration::from_millis(200) {
            most = most.max(ours.0.shared.lock().tx.len());
            thread::sleep(Duration::from_millis(1));
        }
        assert!(most > yamux.max_tx / 2 && most <= bound, "{most}");
    });
    drop(jam);
}

#[test]
fn when_all_handles_are_dropped_the_threads_end() {
    let [(ours, stream), (theirs, other)] = pair();
    let (near, far) = (Arc::downgrade(&ours.0.shared), Arc::downgrade(&theirs.0.shared));
    drop((ours, stream, theirs, other));
    soon("nobody holds the connections", || near.strong_count() + far.strong_count() == 0);
}
