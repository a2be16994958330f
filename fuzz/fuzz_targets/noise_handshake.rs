//! The Noise handshake against any bytes on the wire, and against any payload that a remote seals properly: no panic, no
//! cut makes a difference, and nobody is let in who does not hold a key.
//!
//! First byte: 0 and 1, the rest goes over the wire to the initiator and the responder; 2 and 3, the rest is the payload
//! of a remote that talks to the initiator and the responder. Second byte: into which pieces the wire is cut.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use std::sync::LazyLock;
use tidewire_core::{Keypair, Machine, Role, Seed, Time};
use tidewire_upgrade::crypto::Crypto;
use tidewire_upgrade::security::noise::{Config, Error, Handshake, Noise};

static OURS: LazyLock<Noise> = LazyLock::new(|| {
    let mut config = Config::default();
    config.muxers = vec!["/yamux/1.0.0".into(), "/mplex/6.7.0".into()];
    Noise::new(&identity(1), &Seed::new([1; 32]), Crypto::default(), config).expect("a small payload")
});

fn identity(number: u8) -> Keypair {
    Keypair::from_seed(&Seed::new([number; 32]))
}

fn ours(role: Role) -> Handshake {
    Handshake::new(&OURS, role, None, &Seed::new([3; 32]))
}

fuzz_target!(|data: &[u8]| {
    let [mode, piece, bytes @ ..] = data else { return };
    let piece = usize::from(*piece).max(1);
    let role = if mode % 2 == 0 { Role::Initiator } else { Role::Responder };
    let wire = if mode % 4 < 2 { bytes.to_vec() } else { sealed(role, bytes) };
    let whole = run(ours(role), &wire, wire.len().max(1));
    assert_eq!(whole, run(ours(role), &wire, piece), "a cut made a difference");
    // The only ones who can sign the static keys that appear in the corpus.
    if let Some(peer) = &whole.0 {
        assert!([1, 2].map(|number| identity(number).peer_id().to_string()).contains(peer), "{peer} was let in");
    }
});

/// Who was let in, the error, what was sent, and what was left.
fn run(mut machine: Handshake, bytes: &[u8], piece: usize) -> (Option<String>, Option<Error>, Vec<u8>, Vec<u8>) {
    let (mut rx, mut tx, mut peer) = (BytesMut::new(), BytesMut::new(), None);
    let pieces = bytes.chunks(piece).map(|piece| (piece, false)).chain([(&b""[..], true)]);
    for (piece, last) in [(&b""[..], false)].into_iter().chain(pieces) {
        rx.extend_from_slice(piece);
        let result = machine.advance_or_end(Time::ZERO, &mut rx, &mut tx, last);
        match result {
            Ok(Some(secured)) => peer = Some(secured.peer.to_string()),
            Ok(None) => {}
            Err(error) => {
                assert_eq!(machine.advance(Time::ZERO, &mut rx, &mut tx).err(), Some(error.clone()), "not for good");
                return (peer, Some(error), tx.to_vec(), Vec::new());
            }
        }
    }
    (peer, None, tx.to_vec(), rx.to_vec())
}

/// What a remote sends that seals this payload to us in the given role.
fn sealed(role: Role, payload: &[u8]) -> Vec<u8> {
    let payload = &payload[..payload.len().min(20_000)];
    let params = "Noise_XX_25519_ChaChaPoly_SHA256".parse().expect("a Noise protocol");
    let builder = snow::Builder::with_resolver(params, Box::new(SnowAlone));
    let builder = builder.local_private_key(&[77; 32]).expect("once");
    let mut remote = match role {
        Role::Initiator => builder.build_responder(),
        Role::Responder => builder.build_initiator(),
    }
    .expect("all is there");
    let (mut us, mut rx, mut tx) = (ours(role), BytesMut::new(), BytesMut::new());
    let write = |remote: &mut snow::HandshakeState, payload: &[u8]| {
        let mut message = vec![0; 65535];
        let len = remote.write_message(payload, &mut message).expect("its turn");
        [&u16::try_from(len).expect("a message").to_be_bytes(), &message[..len]].concat()
    };
    let mut scratch = vec![0; 65535];
    if role == Role::Initiator {
        us.advance(Time::ZERO, &mut rx, &mut tx).expect("nothing came");
        remote.read_message(&tx[2..], &mut scratch).expect("our message 1");
        return write(&mut remote, payload);
    }
    let first = write(&mut remote, b"");
    rx.extend_from_slice(&first);
    us.advance(Time::ZERO, &mut rx, &mut tx).expect("a good message 1");
    remote.read_message(&tx[2..], &mut scratch).expect("our message 2");
    [first, write(&mut remote, payload)].concat()
}

/// snow's own cryptography, with a generator that always gives the same.
struct SnowAlone;

impl CryptoResolver for SnowAlone {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        struct Same;
        impl Random for Same {
            fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), snow::Error> {
                out.fill(5);
                Ok(())
            }
        }
        Some(Box::new(Same))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}
