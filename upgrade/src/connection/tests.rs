//! What can't be reached from outside: a cipher whose nonces come to an end.

use super::*;
use crate::muxer::{MuxerConfig, SharedConfig};
use crate::security::noise::{self, Noise};
use crate::security::{Cipher, SessionError};
use tidewire_core::{Keypair, Seed};

/// The initiator's connection, with so many records left to seal and to open.
fn connection(sealed: u64, opened: u64) -> Connection {
    let [alice, bob] = [1, 2].map(|n| {
        let seed = Seed::new([n; 32]);
        Noise::new(&Keypair::from_seed(&seed), &seed, Default::default(), noise::Config::default()).unwrap()
    });
    let mut a = noise::Handshake::new(&alice, Role::Initiator, None, &Seed::new([3; 32]));
    let mut b = noise::Handshake::new(&bob, Role::Responder, None, &Seed::new([4; 32]));
    let (mut to_a, mut to_b) = (BytesMut::new(), BytesMut::new());
    let mut secured = None;
    while secured.is_none() {
        secured = a.advance(Time::ZERO, &mut to_a, &mut to_b).unwrap();
        b.advance(Time::ZERO, &mut to_b, &mut to_a).unwrap();
    }
    let noise::Secured { peer, key, mut session, .. } = secured.unwrap();
    session.set_nonces(u64::MAX - sealed, u64::MAX - opened);
    Connection::new(Parts {
        channel: Channel::new(Cipher::Noise(session), None, 2048),
        muxer: AnyMuxer::new(MuxerKind::Yamux, Role::Initiator, &SharedConfig::new(&MuxerConfig::default())),
        confirm: None,
        config: Arc::default(),
        peer,
        key,
        role: Role::Initiator,
        security: noise::PROTOCOL,
    })
}

#[test]
fn a_connection_ends_when_its_nonces_are_used_up() {
    let mut connection = connection(2, u64::MAX);
    let (mut rx, mut tx) = (BytesMut::new(), BytesMut::new());
    let id = connection.open_raw(&mut tx).unwrap();
    for _ in 0..2 {
        assert_eq!(connection.write(id, b"sealed", &mut tx), Ok(6));
    }
    let sent = tx.len();
    let _ = connection.write(id, b"one too many", &mut tx);
    assert_eq!(tx.len(), sent, "not a byte goes out unsealed");
    assert!(connection.is_closed());
    assert_eq!(connection.write(id, b"x", &mut tx), Err(WriteError::Failed));
    connection.close(0, &mut tx);
    assert_eq!(tx.len(), sent);
    let error = ConnectionError::Channel(ChannelError::Session(SessionError::NoncesUsedUp));
    for _ in 0..2 {
        assert_eq!(connection.advance(Time::ZERO, &mut rx, &mut tx), Err(error.clone()));
    }
    assert_eq!(connection.deadline(), Time::NEVER);
}

#[test]
fn a_batch_that_finds_no_nonce_says_nothing() {
    let mut connection = connection(0, u64::MAX);
    let mut tx = BytesMut::new();
    let id = connection.open_raw(&mut tx).unwrap();
    let mut batch = connection.batch(&mut tx);
    let _ = batch.write(id, b"never");
    let _ = batch.finish(id);
    drop(batch);
    assert!(tx.is_empty() && connection.is_closed());
}
