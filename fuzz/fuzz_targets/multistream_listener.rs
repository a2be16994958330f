//! The listener against any bytes, over a fixed set and over a router: no panic, bounded output, and no cut makes a
//! difference.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use tidewire_core::{Machine, Time};
use tidewire_multistream::{Accepted, Config, Error, Listener, Matcher, Protocol, Protocols, RouteId, Router};

fuzz_target!(|data: &[u8]| {
    let [which, piece, bytes @ ..] = data else { return };
    let piece = usize::from(*piece).max(1);
    let config = Config { eager_header: which & 2 != 0, max_rounds: 8, ..Config::default() };
    let make = || {
        if which & 1 == 0 {
            Listener::new(Protocols::parse(&["/noise", "/a", "/b/1.0.0"]).expect("valid names"), config)
        } else {
            Listener::routed(router(), config)
        }
    };
    let whole = run(make(), bytes, bytes.len().max(1), &config);
    assert_eq!(whole, run(make(), bytes, piece, &config));
});

fn router() -> Arc<Router> {
    let mut router = Router::new();
    let routes = [
        ("/noise", Matcher::Exact),
        ("/b/1.2.0", Matcher::Semver),
        ("/files/", Matcher::Prefix),
        ("odd", Matcher::Function(|name| name.len() % 2 == 1)),
    ];
    for (id, (name, matcher)) in (0..).zip(routes) {
        router.add(Protocol::from_static(name), matcher, RouteId::new(id)).expect("a version where one is needed");
    }
    Arc::new(router)
}

fn run(
    mut machine: Listener,
    bytes: &[u8],
    piece: usize,
    config: &Config,
) -> (Option<Accepted>, Vec<u8>, Option<Error>, Vec<u8>) {
    let (mut rx, mut tx) = (BytesMut::new(), BytesMut::new());
    let (mut accepted, mut error) = (None, None);
    let pieces = bytes.chunks(piece).map(|piece| (piece, false)).chain([(&b""[..], true)]);
    for (piece, last) in pieces {
        rx.extend_from_slice(piece);
        while error.is_none() {
            let result = machine.advance_or_end(Time::ZERO, &mut rx, &mut tx, last);
            match result {
                Ok(Some(output)) => assert_eq!(accepted.replace(output), None),
                Ok(None) => break,
                Err(fault) => error = Some(fault),
            }
        }
    }
    assert!(tx.len() <= 20 + (config.max_rounds + 1) * 1026, "{} bytes of answers", tx.len());
    assert!(machine.memory_used() < 1024);
    if let Some(error) = &error {
        assert_eq!(machine.advance(Time::ZERO, &mut rx, &mut tx).err().as_ref(), Some(error));
        rx.clear(); // after an error nothing follows
    }
    (accepted, tx.to_vec(), error, rx.to_vec())
}
