//! Two Noise sessions and a wire that does what it likes: what comes out is a beginning of what went in, whatever is cut,
//! changed, inserted or repeated on the way.
#![no_main]

use arbitrary::Arbitrary;
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tidewire_core::{Keypair, Machine, Role, Seed, Time};
use tidewire_upgrade::crypto::Crypto;
use tidewire_upgrade::security::Session;
use tidewire_upgrade::security::noise::{Config, Handshake, MAX_PLAINTEXT, Noise, NoiseSession};

#[derive(Arbitrary, Debug)]
enum Op {
    /// One record of these bytes.
    Send(Vec<u8>),
    /// Records of so many times 4 KiB, split if need be.
    SendMuch(u8),
    /// So many bytes arrive.
    Deliver(u16),
    /// A bit of what is on the way changes.
    Flip(u16),
    /// These bytes come onto the way.
    Insert(Vec<u8>),
    /// What is on the way comes twice.
    Repeat,
}

fuzz_target!(|ops: Vec<Op>| {
    let (mut a, mut b) = pair();
    let (mut wire, mut rx) = (BytesMut::new(), BytesMut::new());
    let (mut sent, mut got) = (Vec::new(), Vec::new());
    let (mut touched, mut failed) = (false, None);
    for op in ops.iter().take(64) {
        match op {
            Op::Send(text) => send(&mut a, &mut wire, text, &mut sent),
            Op::SendMuch(blocks) => send(&mut a, &mut wire, &vec![*blocks; usize::from(*blocks) * 4096], &mut sent),
            Op::Deliver(count) => {
                let count = usize::from(*count).min(wire.len());
                rx.extend_from_slice(&wire.split_to(count));
            }
            Op::Flip(at) if !wire.is_empty() => {
                let at = usize::from(*at) % (wire.len() * 8);
                wire[at / 8] ^= 1 << (at % 8);
                touched = true;
            }
            Op::Insert(bytes) => {
                wire.extend_from_slice(bytes);
                touched |= !bytes.is_empty();
            }
            Op::Repeat if wire.len() < 1 << 20 => {
                wire.extend_from_within(..);
                touched |= !wire.is_empty();
            }
            Op::Flip(_) | Op::Repeat => {}
        }
        loop {
            match b.open(&mut rx) {
                Ok(Some(plain)) => {
                    assert!(!plain.is_empty() && plain.len() <= MAX_PLAINTEXT);
                    assert!(failed.is_none(), "an error is final");
                    got.extend_from_slice(&plain);
                }
                Ok(None) => break,
                Err(error) => {
                    assert!(touched, "{error}, though nobody touched the wire");
                    assert_eq!(*failed.get_or_insert(error.clone()), error, "an error is final");
                    break;
                }
            }
        }
        assert!(sent.starts_with(&got), "something came out that never went in");
    }
});

fn send(session: &mut NoiseSession, wire: &mut BytesMut, text: &[u8], sent: &mut Vec<u8>) {
    let at = session.begin(wire);
    wire.extend_from_slice(text);
    session.finish(wire, at).expect("there are nonces");
    sent.extend_from_slice(text);
}

fn pair() -> (NoiseSession, NoiseSession) {
    static NODES: LazyLock<[Noise; 2]> = LazyLock::new(|| {
        [1, 2].map(|number| {
            let seed = Seed::new([number; 32]);
            Noise::new(&Keypair::from_seed(&seed), &seed, Crypto::default(), Config::default())
                .expect("a small payload")
        })
    });
    let (mut to_a, mut to_b) = (BytesMut::new(), BytesMut::new());
    let mut a = Handshake::new(&NODES[0], Role::Initiator, None, &Seed::new([3; 32]));
    let mut b = Handshake::new(&NODES[1], Role::Responder, None, &Seed::new([4; 32]));
    a.advance(Time::ZERO, &mut to_a, &mut to_b).expect("nothing came");
    b.advance(Time::ZERO, &mut to_b, &mut to_a).expect("a good message");
    let a = a.advance(Time::ZERO, &mut to_a, &mut to_b).expect("a good message").expect("done");
    let b = b.advance(Time::ZERO, &mut to_b, &mut to_a).expect("a good message").expect("done");
    (a.session, b.session)
}
