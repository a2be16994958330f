//! Every protocol through the common types, in both roles, with the laws of machines and sessions.

use super::*;
use crate::crypto::Crypto;
use alloc::{format, string::ToString, vec::Vec};
use core::ops::ControlFlow;
use tidewire_core::laws::{App, ByteSubject, Limits, Step, check_bytes};
use tidewire_core::{Keypair, Seed};

fn both(number: u8) -> [Security; 2] {
    let seed = Seed::new([number; 32]);
    let identity = Keypair::from_seed(&seed);
    let noise = Noise::new(&identity, &seed, Crypto::default(), noise::Config::default()).unwrap();
    [Security::Noise(noise), Security::Plaintext(Plaintext::new(&identity.public()))]
}

fn id(number: u8) -> PeerId {
    Keypair::from_seed(&Seed::new([number; 32])).peer_id()
}

fn handshakes(index: usize, expected: PeerId) -> (Handshake, Handshake) {
    let a = both(1)[index].handshake(Role::Initiator, Some(expected), &Seed::new([3; 32]));
    let b = both(2)[index].handshake(Role::Responder, None, &Seed::new([4; 32]));
    (a, b)
}

/// What each side says until both are done, and what they ended with.
fn talk(mut a: Handshake, mut b: Handshake) -> ([Vec<u8>; 2], [Result<Secured, SecurityError>; 2]) {
    let (mut to_a, mut to_b) = (BytesMut::new(), BytesMut::new());
    let (mut said, mut done) = ([Vec::new(), Vec::new()], [None, None]);
    for _ in 0..4 {
        let mut out = BytesMut::new();
        done[0] = done[0].take().or(a.advance(Time::ZERO, &mut to_a, &mut out).transpose());
        said[0].extend_from_slice(&out);
        to_b.unsplit(out);
        let mut out = BytesMut::new();
        done[1] = done[1].take().or(b.advance(Time::ZERO, &mut to_b, &mut out).transpose());
        said[1].extend_from_slice(&out);
        to_a.unsplit(out);
    }
    (said, done.map(|it| it.unwrap_or(Err(SecurityError::Plaintext(plaintext::Error::Ended)))))
}

#[test]
fn every_protocol_ends_with_the_peer_and_a_session() {
    for (index, protocol) in ["/noise", "/plaintext/2.0.0"].into_iter().enumerate() {
        assert_eq!(both(1)[index].protocol(), protocol);
        let (a, b) = handshakes(index, id(2));
        let [a, b] = talk(a, b).1.map(Result::unwrap);
        assert_eq!((a.peer, b.peer), (id(2), id(1)), "{protocol}");
        let (mut a, mut b, mut wire) = (a.session, b.session, BytesMut::new());
        let at = a.begin(&mut wire);
        wire.extend_from_slice(b"hello");
        a.finish(&mut wire, at).unwrap();
        assert_eq!(b.open(&mut wire).unwrap().unwrap(), &b"hello"[..], "{protocol}");
    }
}

/// GHSA-rch7-f4h5-x9rj, in every protocol.
#[test]
fn every_protocol_refuses_another_peer_than_the_expected_one() {
    for index in 0..2 {
        let (a, b) = handshakes(index, id(9));
        let [a, _] = talk(a, b).1;
        let message = a.unwrap_err().to_string();
        assert!(message.contains(&format!("expected peer {}, but it is {}", id(9), id(2))), "{message}");
    }
}

/// A session as a machine, the way a stage above uses it: what it opens it sends back.
struct Echo {
    handshake: Handshake,
    session: Option<Cipher>,
    ended: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum EchoError {
    Handshake(SecurityError),
    Session(SessionError),
    Ended,
}

impl Machine for Echo {
    type Output = BytesMut;
    type Error = EchoError;

    fn advance(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<BytesMut>, EchoError> {
        if self.ended {
            return Err(EchoError::Ended);
        }
        if self.session.is_none() {
            self.session = self.handshake.advance(now, rx, tx).map_err(EchoError::Handshake)?.map(|it| it.session);
        }
        let Some(session) = &mut self.session else { return Ok(None) };
        // One record out for each record in, never one for each call.
        let Some(plain) = session.open(rx).map_err(EchoError::Session)? else { return Ok(None) };
        let at = session.begin(tx);
        tx.extend_from_slice(&plain);
        session.finish(tx, at).map_err(EchoError::Session)?;
        Ok(Some(plain))
    }

    fn end(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<BytesMut>, EchoError> {
        if let Some(plain) = self.advance(now, rx, tx)? {
            return Ok(Some(plain));
        }
        if self.session.is_none() {
            self.handshake.end(now, rx, tx).map_err(EchoError::Handshake)?;
        }
        self.ended = !rx.is_empty();
        if self.ended { Err(EchoError::Ended) } else { Ok(None) }
    }

    fn memory_used(&self) -> usize {
        self.handshake.memory_used()
    }
}

struct Subject(usize);

impl ByteSubject for Subject {
    type Machine = Echo;

    fn machine(&self) -> Echo {
        Echo { handshake: handshakes(self.0, id(2)).1, session: None, ended: false }
    }

    fn on_output(&self, app: App<'_, Echo>, plain: BytesMut) -> ControlFlow<()> {
        app.seen.data(0, &plain);
        ControlFlow::Continue(())
    }
}

#[test]
fn a_handshake_and_its_session_keep_the_laws() {
    for index in 0..2 {
        let (a, b) = handshakes(index, id(2));
        let (said, [a, _]) = talk(a, b);
        let (mut session, mut records) = (a.unwrap().session, BytesMut::new());
        for text in ["first", "second, a little longer", "third"] {
            let at = session.begin(&mut records);
            records.extend_from_slice(text.as_bytes());
            session.finish(&mut records, at).unwrap();
        }
        let script = [Step::bytes(&said[0]), Step::bytes(records)];
        check_bytes(&Subject(index), &script, Limits { places: 64, ..Limits::default() }).unwrap();
    }
}
