//! Two nodes over loopback.

use std::io::{Read, Write};
use std::sync::Arc;
use std::thread;
use tidewire_core::{Keypair, Seed};
use tidewire_multistream::{Matcher, Protocol, Protocols, RouteId, Router};
use tidewire_std::{Connection, Endpoint, Listener};
use tidewire_upgrade::pipeline::{Config, Upgrader};

pub(crate) const ECHO: Protocol = Protocol::from_static("/echo/1.0.0");

pub(crate) fn echo() -> Protocols {
    Protocols::from(ECHO)
}

/// A node that serves ECHO, whose identity is made from this number.
pub(crate) fn node_with(number: u8, change: impl FnOnce(&mut Config)) -> Endpoint {
    let seed = Seed::new([number; 32]);
    let mut router = Router::new();
    router.add(ECHO, Matcher::Exact, RouteId::new(7)).unwrap();
    let mut config = Config::default();
    config.connection.router = Some(Arc::new(router));
    change(&mut config);
    let upgrader = Upgrader::new(&Keypair::from_seed(&seed), &seed, config).unwrap();
    Endpoint::with_seed(upgrader, seed.derive("endpoint", 0))
}

pub(crate) fn node(number: u8) -> Endpoint {
    node_with(number, |_| {})
}

pub(crate) fn listen(endpoint: &Endpoint) -> Listener {
    endpoint.listen(&"/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap()
}

/// Both ends of a connection: the one that dialed, and the one that accepted.
pub(crate) fn pair(dialer: &Endpoint, server: &Endpoint) -> (Connection, Connection) {
    let listener = listen(server);
    let dialed = dialer.dial(listener.address()).unwrap();
    (dialed, listener.accept().unwrap())
}

/// Echoes every stream of a connection, a thread each.
pub(crate) fn serve_echo(connection: Connection) {
    thread::spawn(move || {
        while let Some(inbound) = connection.accept() {
            thread::spawn(move || {
                let (mut from, mut to) = (inbound.stream.try_clone(), inbound.stream);
                if std::io::copy(&mut from, &mut to).is_ok() {
                    to.shutdown().ok();
                }
            });
        }
    });
}

/// Sends all, finishes, and reads to the end, at once.
pub(crate) fn exchange(stream: &tidewire_std::Stream, data: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut to = stream;
            to.write_all(data).unwrap();
            to.shutdown().unwrap();
        });
        let mut from = stream;
        from.read_to_end(&mut answer).unwrap();
    });
    answer
}
