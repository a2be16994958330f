//! The Noise handshake, and the whole upgrade.

use crate::harness::Contender;
use bytes::BytesMut;
use tidewire_core::{Keypair, Machine, Role, Seed, Time};
use tidewire_multistream::{self as multistream, Dialer, Listener, Protocol, Protocols};
use tidewire_upgrade::crypto::Crypto;
use tidewire_upgrade::muxer::yamux::{self, Yamux};
use tidewire_upgrade::security::Session;
use tidewire_upgrade::security::noise::{Config, Handshake, Noise, NoiseSession};

/// What the connections of a node share, made once.
pub fn identity(number: u8, crypto: Crypto) -> Noise {
    let root = Seed::new([number; 32]);
    let keypair = Keypair::from_seed(&root.derive("identity", 0));
    Noise::new(&keypair, &root.derive("noise", 0), crypto, Config::default()).expect("nothing to announce")
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

fn shake(a: &Noise, b: &Noise, number: u64, wires: &mut (BytesMut, BytesMut)) -> (NoiseSession, NoiseSession) {
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

/// One end of a whole upgrade: `/noise`, the handshake, `/yamux/1.0.0`, each stage handing its leftovers to the next.
struct End {
    stage: Stage,
    plain: BytesMut,
    tx: BytesMut,
}

#[expect(clippy::large_enum_variant, reason = "one at a time, on the stack")]
enum Stage {
    Dial(Dialer),
    Listen(Listener),
    Secure(Handshake),
    DialMuxer(NoiseSession, Dialer),
    ListenMuxer(NoiseSession, Listener),
    /// Kept until the round is over, as a connection would be.
    Done(#[expect(dead_code)] NoiseSession, #[expect(dead_code)] Yamux),
    Gone,
}

static SECURITY: [Protocol; 1] = [Protocol::from_static("/noise")];
static MUXER: [Protocol; 1] = [Protocol::from_static("/yamux/1.0.0")];

/// Whole upgrades, both ends, one flight after the other.
pub fn upgrades() -> Contender {
    let (a, b) = (identity(1, Crypto::default()), identity(2, Crypto::default()));
    let seed = Seed::new([4; 32]);
    let mut wires = (BytesMut::with_capacity(4096), BytesMut::with_capacity(4096));
    let mut number = 0;
    Contender::new("ours", move |n| {
        for _ in 0..n {
            number += 1;
            let (there, back) = (std::mem::take(&mut wires.0), std::mem::take(&mut wires.1));
            let names = Protocols::from_static(&SECURITY);
            let dial = Stage::Dial(Dialer::new(names.clone(), multistream::Config::default()));
            let listen = Stage::Listen(Listener::new(names, multistream::Config::default()));
            let mut dialer = End { stage: dial, plain: BytesMut::new(), tx: there };
            let mut listener = End { stage: listen, plain: BytesMut::new(), tx: back };
            while !(dialer.is_done() && listener.is_done()) {
                dialer.go(&mut listener.tx, &a, Role::Initiator, &seed.derive("dialer", number));
                listener.go(&mut dialer.tx, &b, Role::Responder, &seed.derive("listener", number));
            }
            wires = (dialer.tx, listener.tx);
        }
    })
}

impl End {
    fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done(..))
    }

    /// As far as `rx` leads.
    fn go(&mut self, rx: &mut BytesMut, noise: &Noise, role: Role, seed: &Seed) {
        loop {
            let tx = &mut self.tx;
            let secure = || Stage::Secure(Handshake::new(noise, role, None, seed));
            let done = |session| Stage::Done(session, Yamux::new(role, yamux::Config::default()));
            self.stage = match std::mem::replace(&mut self.stage, Stage::Gone) {
                Stage::Dial(mut dialer) => match dialer.advance(Time::ZERO, rx, tx).expect("agreed") {
                    None => return self.stage = Stage::Dial(dialer),
                    Some(_) => secure(),
                },
                Stage::Listen(mut listener) => match listener.advance(Time::ZERO, rx, tx).expect("agreed") {
                    None => return self.stage = Stage::Listen(listener),
                    Some(_) => secure(),
                },
                Stage::Secure(mut handshake) => match handshake.advance(Time::ZERO, rx, tx).expect("a handshake") {
                    None => return self.stage = Stage::Secure(handshake),
                    Some(secured) if role == Role::Initiator => Stage::DialMuxer(
                        secured.session,
                        Dialer::new(Protocols::from_static(&MUXER), multistream::Config::default()),
                    ),
                    Some(secured) => Stage::ListenMuxer(
                        secured.session,
                        Listener::new(Protocols::from_static(&MUXER), multistream::Config::default()),
                    ),
                },
                Stage::DialMuxer(mut session, mut dialer) => {
                    match through(&mut session, &mut dialer, &mut self.plain, rx, tx) {
                        None => return self.stage = Stage::DialMuxer(session, dialer),
                        Some(_) => done(session),
                    }
                }
                Stage::ListenMuxer(mut session, mut listener) => {
                    match through(&mut session, &mut listener, &mut self.plain, rx, tx) {
                        None => return self.stage = Stage::ListenMuxer(session, listener),
                        Some(_) => done(session),
                    }
                }
                end => return self.stage = end,
            };
        }
    }
}

/// A machine through the cipher.
fn through<M: Machine<Error: std::fmt::Debug>>(
    session: &mut NoiseSession,
    machine: &mut M,
    plain: &mut BytesMut,
    rx: &mut BytesMut,
    tx: &mut BytesMut,
) -> Option<M::Output> {
    loop {
        let at = session.begin(tx);
        let output = machine.advance(Time::ZERO, plain, tx).expect("agreed");
        session.finish(tx, at).expect("a fresh cipher");
        if output.is_some() {
            return output;
        }
        let opened = session.open(rx).expect("an honest remote")?;
        plain.extend_from_slice(&opened);
    }
}
