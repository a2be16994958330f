//! What a relay or a destination answers, as any bytes: no panic, no cut makes a difference, the caps hold, and what follows
//! the answer is left where it is.
//!
//! The first byte says what was asked and how the input is cut; the rest is the stream. The corpus is what peer 1 answers 2.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tidewire_core::{Keypair, Machine, PeerId, Seed, Time};
use tidewire_relay::Limit;
use tidewire_relay::exchange::{Answer, Ask, AskError, Asker, Config, Context};

static PEERS: LazyLock<[PeerId; 3]> =
    LazyLock::new(|| [1, 2, 3].map(|seed| Keypair::from_seed(&Seed::new([seed; 32])).peer_id()));

/// What a stream came to.
type Outcome = (Result<Option<Answer>, AskError>, Vec<u8>);

fuzz_target!(|data: &[u8]| {
    let [first, bytes @ ..] = data else { return };
    let ask = match first % 3 {
        0 => Ask::Reserve,
        1 => Ask::Connect { destination: PEERS[2] },
        _ => Ask::Stop { source: PEERS[2], limit: Limit::UNLIMITED },
    };
    let whole = heard(&ask, bytes, bytes.len().max(1));
    assert_eq!(whole, heard(&ask, bytes, usize::from(first / 3).max(1)), "a cut made a difference");
    match whole.0 {
        Ok(None) => panic!("the end without an error is an answer"),
        Ok(Some(Answer::Reserved(reservation))) => {
            assert_eq!(ask, Ask::Reserve);
            assert!(reservation.addresses.len() <= Config::default().max_addresses);
            assert!(reservation.addresses.iter().all(|address| address.peer_id() == Some(PEERS[0])));
            for circuit in reservation.circuit_addresses(PEERS[1]) {
                assert_eq!((circuit.relay_peer_id(), circuit.peer_id()), (Some(PEERS[0]), Some(PEERS[1])));
            }
            if let Some(Ok(signed)) = &reservation.voucher {
                assert_eq!((signed.voucher.relay, signed.voucher.peer), (PEERS[0], PEERS[1]));
            }
            assert!(reservation.memory_used() < 16 * 1024);
        }
        Ok(Some(Answer::Refused { status })) => assert!(!status.is_ok()),
        Ok(Some(_)) | Err(_) => {}
    }
});

fn heard(ask: &Ask, bytes: &[u8], piece: usize) -> Outcome {
    let context = Context { local: PEERS[1], remote: PEERS[0], relayed: false };
    let (mut rx, mut tx) = (BytesMut::new(), BytesMut::new());
    let mut asker = Asker::new(ask, &context, &Config::default(), Time::ZERO, &mut tx);
    tx.clear();
    let mut result = Ok(None);
    for piece in bytes.chunks(piece) {
        rx.extend_from_slice(piece);
        if matches!(result, Ok(None)) {
            result = asker.advance(Time::ZERO, &mut rx, &mut tx);
        }
        assert!(asker.memory_used() < 1024);
    }
    if matches!(result, Ok(None)) {
        result = asker.end(Time::ZERO, &mut rx, &mut tx);
    }
    let circuit = matches!(result, Ok(Some(Answer::Connected { .. } | Answer::Accepted)));
    assert_eq!(asker.is_circuit(), circuit);
    assert!(tx.is_empty() && bytes.ends_with(&rx), "it says nothing more, and takes nothing out of the middle");
    // Over is over.
    let left = rx.to_vec();
    let again = asker.end(Time::NEVER, &mut rx, &mut tx);
    assert_eq!(again.is_err(), result.is_err());
    assert!(rx == left && tx.is_empty() && asker.deadline() == Time::NEVER);
    (result, left)
}
