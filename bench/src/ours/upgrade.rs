//! The Noise handshake, and the whole upgrade.

use crate::harness::Contender;
use bytes::BytesMut;
use tidewire_core::{Keypair, Machine, Role, Seed, Time};
use tidewire_upgrade::connection::Connection;
use tidewire_upgrade::crypto::Crypto;
use tidewire_upgrade::pipeline::{Config, Plan, Progress, Upgrade, Upgrader};
use tidewire_upgrade::security::noise::{self, Handshake, Noise, NoiseSession};

/// A pair of buffers: what one end sends, the other receives.
pub type Wires = (BytesMut, BytesMut);

/// A node: what its connections share, made once.
pub struct Node(Upgrader);

impl Node {
    /// As a node is set up by default, but for who computes.
    pub fn new(number: u8, crypto: Crypto) -> Self {
        let root = Seed::new([number; 32]);
        let keypair = Keypair::from_seed(&root.derive("identity", 0));
        let mut config = Config::default();
        config.crypto = crypto;
        Node(Upgrader::new(&keypair, &root, config).expect("the defaults"))
    }
}

/// One upgrade, both ends: `a` dials. With the defaults both go ahead with `/noise`, and with the multiplexer that the
/// handshake announces.
pub fn upgrade(a: &Node, b: &Node, number: u64, wires: &mut Wires) -> (Connection, Connection) {
    let seed = Seed::new([3; 32]);
    let mut dialer = Upgrade::new(&a.0, Plan::Initiate, None, &seed.derive("dialer", number));
    let mut listener = Upgrade::new(&b.0, Plan::Respond, None, &seed.derive("listener", number));
    let (there, back) = wires;
    let (mut dialed, mut listened) = (false, false);
    while !(dialed && listened) {
        while let Some(progress) = dialer.advance(Time::ZERO, back, there).expect("an honest remote") {
            dialed |= progress == Progress::Ready;
        }
        while let Some(progress) = listener.advance(Time::ZERO, there, back).expect("an honest remote") {
            listened |= progress == Progress::Ready;
        }
    }
    assert!(there.is_empty() && back.is_empty());
    (dialer.into_connection().expect("ready"), listener.into_connection().expect("ready"))
}

/// Whole upgrades, both ends, one flight after the other.
pub fn upgrades() -> Contender {
    let (a, b) = (Node::new(1, Crypto::default()), Node::new(2, Crypto::default()));
    let mut wires = (BytesMut::with_capacity(4096), BytesMut::with_capacity(4096));
    let mut number = 0;
    Contender::new("ours", move |n| {
        for _ in 0..n {
            number += 1;
            upgrade(&a, &b, number, &mut wires);
        }
    })
}

/// One handshake with fresh identities.
pub fn handshake(crypto: Crypto) -> (NoiseSession, NoiseSession) {
    let mut wires = (BytesMut::new(), BytesMut::new());
    shake(&identity(1, crypto), &identity(2, crypto), 0, &mut wires)
}

/// Handshakes, both ends.
pub fn handshakes() -> Contender {
    let (a, b) = (identity(1, Crypto::default()), identity(2, Crypto::default()));
    let mut wires = (BytesMut::with_capacity(4096), BytesMut::with_capacity(4096));
    let mut number = 0;
    Contender::new("ours", move |n| {
        for _ in 0..n {
            number += 1;
            shake(&a, &b, number, &mut wires);
        }
    })
}

/// What Noise shares between the connections of a node.
fn identity(number: u8, crypto: Crypto) -> Noise {
    let root = Seed::new([number; 32]);
    let keypair = Keypair::from_seed(&root.derive("identity", 0));
    Noise::new(&keypair, &root.derive("noise", 0), crypto, noise::Config::default()).expect("nothing to announce")
}

fn shake(a: &Noise, b: &Noise, number: u64, wires: &mut Wires) -> (NoiseSession, NoiseSession) {
    let seed = Seed::new([3; 32]);
    let mut dialer = Handshake::new(a, Role::Initiator, None, &seed.derive("dialer", number));
    let mut listener = Handshake::new(b, Role::Responder, None, &seed.derive("listener", number));
    let (there, back) = wires;
    let (mut dialed, mut listened) = (None, None);
    while dialed.is_none() || listened.is_none() {
        if dialed.is_none() {
            dialed = dialer.advance(Time::ZERO, back, there).expect("a handshake");
        }
        if listened.is_none() {
            listened = listener.advance(Time::ZERO, there, back).expect("a handshake");
        }
    }
    match (dialed, listened) {
        (Some(dialed), Some(listened)) => (dialed.session, listened.session),
        _ => unreachable!("the loop ends when both are there"),
    }
}
