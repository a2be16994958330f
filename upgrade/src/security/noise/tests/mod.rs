//! Two handshakes talking to each other, a foreign one made of snow alone, and what the other test files share.

mod agreement;
mod budgets;
mod malice;
mod session;
mod vectors;

use super::*;
use crate::security::Session;
use crate::security::proto::put;
use alloc::{boxed::Box, vec};
use bytes::BytesMut;
use snow::{
    HandshakeState,
    params::{CipherChoice, DHChoice, HashChoice},
    resolvers::{CryptoResolver, DefaultResolver},
    types::{Cipher, Dh, Hash, Random},
};
use tidewire_core::{Machine, PeerId, Role, Time};

const YAMUX: &str = "/yamux/1.0.0";
const MPLEX: &str = "/mplex/6.7.0";

fn identity(number: u8) -> Keypair {
    Keypair::from_seed(&Seed::new([number; 32]))
}

/// An identity and its Noise, made from one number, so that tests can name peers.
fn peer(number: u8, muxers: &[&str]) -> (PeerId, Noise) {
    let config = Config { muxers: names(muxers), ..Config::default() };
    (identity(number).peer_id(), peer_with(number, Crypto::default(), config))
}

fn peer_with(number: u8, crypto: Crypto, config: Config) -> Noise {
    Noise::new(&identity(number), &Seed::new([number; 32]), crypto, config).unwrap()
}

fn names(muxers: &[&str]) -> Vec<SmolStr> {
    muxers.iter().map(SmolStr::new).collect()
}

fn initiator(noise: &Noise, expected: Option<PeerId>) -> Handshake {
    Handshake::new(noise, Role::Initiator, expected, &Seed::new([101; 32]))
}

fn responder(noise: &Noise, expected: Option<PeerId>) -> Handshake {
    Handshake::new(noise, Role::Responder, expected, &Seed::new([102; 32]))
}

/// One side of a conversation: a machine and its buffers.
struct Side {
    handshake: Handshake,
    rx: BytesMut,
    tx: BytesMut,
    result: Option<Result<Secured, Error>>,
}

impl Side {
    fn new(handshake: Handshake) -> Self {
        Side { handshake, rx: BytesMut::new(), tx: BytesMut::new(), result: None }
    }

    fn advance(&mut self) {
        match self.handshake.advance(Time::ZERO, &mut self.rx, &mut self.tx) {
            Ok(None) => {}
            Ok(Some(secured)) => self.result = Some(Ok(secured)),
            Err(error) => self.result = Some(Err(error)),
        }
    }

    /// Gives it these bytes, and returns what it has to say.
    fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.rx.extend_from_slice(bytes);
        self.advance();
        self.tx.split().to_vec()
    }

    fn secured(self) -> Secured {
        self.result.unwrap().unwrap()
    }

    fn error(self) -> Error {
        self.result.unwrap().unwrap_err()
    }
}

/// Carries the bytes to and fro until nothing moves.
fn talk(a: Handshake, b: Handshake) -> (Side, Side) {
    let (mut a, mut b) = (Side::new(a), Side::new(b));
    loop {
        a.advance();
        b.advance();
        if a.tx.is_empty() && b.tx.is_empty() {
            return (a, b);
        }
        b.rx.extend_from_slice(&a.tx.split());
        a.rx.extend_from_slice(&b.tx.split());
    }
}

/// The three messages of a handshake that succeeds between `a` and `b`.
fn messages(a: &Noise, b: &Noise) -> [Vec<u8>; 3] {
    let (mut a, mut b) = (Side::new(initiator(a, None)), Side::new(responder(b, None)));
    let first = a.feed(&[]);
    let second = b.feed(&first);
    let third = a.feed(&second);
    assert!(b.feed(&third).is_empty() && matches!(b.result, Some(Ok(_))));
    [first, second, third]
}

/// Seals `text` as one stage above would.
fn seal(session: &mut impl Session, text: &[u8]) -> BytesMut {
    let mut tx = BytesMut::new();
    let at = session.begin(&mut tx);
    tx.extend_from_slice(text);
    session.finish(&mut tx, at).unwrap();
    tx
}

/// An end of which we write every byte: snow with snow's own cryptography, and any payload.
struct Foreign {
    noise: HandshakeState,
}

impl Foreign {
    const STATIC: [u8; 32] = [77; 32];

    fn new(role: Role, prologue: &[u8]) -> Self {
        let params = "Noise_XX_25519_ChaChaPoly_SHA256".parse().unwrap();
        let builder = snow::Builder::with_resolver(params, Box::new(SnowAlone));
        let builder = builder.local_private_key(&Self::STATIC).unwrap().prologue(prologue).unwrap();
        let noise = match role {
            Role::Initiator => builder.build_initiator(),
            Role::Responder => builder.build_responder(),
        };
        Foreign { noise: noise.unwrap() }
    }

    fn write(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut message = vec![0; 65535];
        let len = self.noise.write_message(payload, &mut message).unwrap();
        message.truncate(len);
        framed(&message)
    }

    fn read(&mut self, message: &[u8]) -> Vec<u8> {
        let mut payload = vec![0; 65535];
        let len = self.noise.read_message(&message[2..], &mut payload).unwrap();
        payload.truncate(len);
        payload
    }

    fn public() -> [u8; 32] {
        *SecretKey::new(Self::STATIC, Crypto::RustCrypto).public()
    }
}

/// What this identity should put into its payload.
fn honest_payload(identity: &Keypair, static_key: &[u8; 32]) -> Vec<u8> {
    fields(&[(1, &identity.public().to_protobuf()), (2, &identity.sign(&signed(static_key)))])
}

fn fields(fields: &[(u32, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, value) in fields {
        put(&mut out, *number, value);
    }
    out
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat()
}

/// snow's own cryptography, with a generator that only counts.
struct SnowAlone;

impl CryptoResolver for SnowAlone {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        struct Counter(u8);
        impl Random for Counter {
            fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), snow::Error> {
                out.fill_with(|| {
                    self.0 = self.0.wrapping_add(1);
                    self.0
                });
                Ok(())
            }
        }
        Some(Box::new(Counter(0)))
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
