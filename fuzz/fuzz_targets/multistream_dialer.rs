//! The proposing machines against any bytes: no panic, no endless loop, and no cut makes a difference.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use tidewire_core::{Machine, Seed, Time};
use tidewire_multistream::{Config, Dialer, Error, List, ListenFirst, Protocol, Protocols, SimultaneousOpen};

fuzz_target!(|data: &[u8]| {
    let [which, piece, bytes @ ..] = data else { return };
    let piece = usize::from(*piece).max(1);
    let list = Protocols::parse(&["/noise", "/a", "/b/1.0.0"]).expect("valid names");
    let config = Config::default();
    let seed = Seed::new([1; 32]);
    match which % 6 {
        0 => check(|| Dialer::new(list.clone(), config), bytes, piece),
        1 => check(|| Dialer::lazy(Protocol::from_static("/noise"), config), bytes, piece),
        2 => check(|| List::new(config), bytes, piece),
        3 => check(|| SimultaneousOpen::new(list.clone(), &seed, config), bytes, piece),
        4 => check(|| ListenFirst::new(list.clone(), Time::ZERO, config), bytes, piece),
        _ => check(|| ListenFirst::with_tie_break(list.clone(), Time::from_millis(1), &seed, config), bytes, piece),
    }
});

/// The same bytes whole and in pieces give the same events, output, error and leftovers.
fn check<M: Machine<Error = Error, Output: core::fmt::Debug>>(make: impl Fn() -> M, bytes: &[u8], piece: usize) {
    assert_eq!(run(make(), bytes, bytes.len().max(1)), run(make(), bytes, piece));
}

fn run<M: Machine<Error = Error, Output: core::fmt::Debug>>(
    mut machine: M,
    bytes: &[u8],
    piece: usize,
) -> (Vec<String>, Vec<u8>, Option<Error>, Vec<u8>) {
    let (mut rx, mut tx, mut told) = (BytesMut::new(), BytesMut::new(), Vec::new());
    let pieces = bytes.chunks(piece).map(|piece| (piece, false)).chain([(&b""[..], true)]);
    let mut error = None;
    for (piece, last) in [(&b""[..], false)].into_iter().chain(pieces) {
        rx.extend_from_slice(piece);
        while error.is_none() {
            let result = machine.advance_or_end(Time::ZERO, &mut rx, &mut tx, last);
            match result {
                Ok(Some(output)) => told.push(format!("{output:?}")),
                Ok(None) => break,
                Err(fault) => error = Some(fault),
            }
            assert!(told.len() <= 2, "a machine tells a role and an agreement");
        }
    }
    assert!(machine.memory_used() < 1024);
    if let Some(error) = &error {
        assert_eq!(machine.advance(Time::ZERO, &mut rx, &mut tx).err().as_ref(), Some(error));
        rx.clear(); // after an error nothing follows
    }
    (told, tx.to_vec(), error, rx.to_vec())
}
