//! The plaintext handshake against any bytes: no panic, no cut makes a difference, and the id that comes out is the key's.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tidewire_core::{Keypair, Machine, Seed, Time};
use tidewire_upgrade::security::plaintext::{Error, Exchanged, Handshake, Plaintext};

static OURS: LazyLock<Plaintext> =
    LazyLock::new(|| Plaintext::with_max_message(&Keypair::from_seed(&Seed::new([1; 32])).public(), 4096));

fuzz_target!(|data: &[u8]| {
    let [piece, bytes @ ..] = data else { return };
    let whole = run(bytes, bytes.len().max(1));
    assert_eq!(whole, run(bytes, usize::from(*piece).max(1)), "a cut made a difference");
    if let Ok((exchanged, left)) = whole {
        assert_eq!(exchanged.peer, exchanged.key.peer_id());
        assert!(bytes.ends_with(&left) && left.len() < bytes.len());
    }
});

fn run(bytes: &[u8], piece: usize) -> Result<(Exchanged, Vec<u8>), Error> {
    let (mut machine, mut rx, mut tx) = (Handshake::new(&OURS, None), BytesMut::new(), BytesMut::new());
    let mut result = None;
    for piece in bytes.chunks(piece) {
        rx.extend_from_slice(piece);
        if let Some(exchanged) = machine.advance(Time::ZERO, &mut rx, &mut tx)? {
            assert!(result.is_none(), "twice");
            result = Some(exchanged);
        }
    }
    if let Some(exchanged) = machine.end(Time::ZERO, &mut rx, &mut tx)? {
        result = Some(exchanged);
    }
    Ok((result.expect("an end without an error is a result"), rx.to_vec()))
}
