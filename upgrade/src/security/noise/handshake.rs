//! The XX handshake as a byte machine.
//!
//! ```text
//! initiator  SendHello --1--> ReadResponse --2, checks, 3--> Done
//! responder  ReadHello --1, 2--> ReadFinal --3, checks--> Done
//! any state  --a fault--> Failed, for good
//! ```
//!
//! Checks, in their order: the remote's signature over its static key, the expected peer, a multiplexer in common. An
//! initiator makes them before message 3, so that a stranger never learns who we are.

use super::payload::Payload;
use super::{Error, Extensions, Noise, NoiseSession, resolver::Resolver, signed};
use crate::crypto::{Crypto, Key, SecretKey, SmallOrder, TAG_LEN};
use alloc::{borrow::ToOwned, boxed::Box, sync::Arc, vec::Vec};
use bytes::{Buf, BytesMut};
use core::fmt;
use smol_str::SmolStr;
use snow::{
    Builder, HandshakeState,
    params::{
        BaseChoice, CipherChoice, DHChoice, HandshakeChoice, HandshakeModifierList, HandshakePattern, HashChoice,
        NoiseParams,
    },
};
use tidewire_core::{Machine, PeerId, PublicKey, Role, Seed, Time};
use zeroize::Zeroize;

/// Length of an X25519 public key.
const KEY_LEN: usize = 32;
/// A sealed static key.
const SEALED_KEY: usize = KEY_LEN + TAG_LEN;
/// Bytes of the length before each message.
const HEADER: usize = 2;
/// What message 2, the longer one, leaves for the payload.
pub(super) const MAX_PAYLOAD: usize = 65535 - KEY_LEN - SEALED_KEY - TAG_LEN;

/// A Noise handshake: a [`Machine`] that ends with [`Secured`].
///
/// After its output it does nothing more: what is in `rx` belongs to the [`NoiseSession`].
pub struct Handshake {
    shared: Noise,
    expected: Option<PeerId>,
    role: Role,
    step: Step,
    noise: Option<Box<HandshakeState>>,
}

/// What is to be done next.
#[derive(Debug)]
enum Step {
    SendHello,
    ReadHello,
    ReadResponse,
    ReadFinal,
    Done,
    Failed(Error),
}

/// What a handshake ended with.
#[derive(Debug)]
#[non_exhaustive]
pub struct Secured {
    /// Who the remote is. Equal to the expected peer, if there was one.
    pub peer: PeerId,
    /// Its identity key.
    pub key: PublicKey,
    /// Seals and opens what follows.
    pub session: NoiseSession,
    /// The multiplexer that both agreed on, if both announced theirs. Else one has to be selected now.
    pub muxer: Option<SmolStr>,
    /// What the remote announced.
    pub extensions: Extensions,
}

impl Handshake {
    /// A handshake. `expected`: anyone else is refused. `seed` must not have been used for another handshake.
    pub fn new(noise: &Noise, role: Role, expected: Option<PeerId>, seed: &Seed) -> Self {
        Self::with_prologue(noise, role, expected, seed, &[])
    }

    /// The same, where both sides must know the same `prologue`, which is not sent.
    pub fn with_prologue(noise: &Noise, role: Role, expected: Option<PeerId>, seed: &Seed, prologue: &[u8]) -> Self {
        let ephemeral = *seed.derive("noise-ephemeral-key", 0).as_bytes();
        let state = build(noise.0.crypto, noise.0.static_key.clone(), ephemeral, role, prologue);
        let step = match (&state, role) {
            (Err(_), _) => Step::Failed(Error::Internal { message: 1 }),
            (Ok(_), Role::Initiator) => Step::SendHello,
            (Ok(_), Role::Responder) => Step::ReadHello,
        };
        Handshake { shared: noise.clone(), expected, role, step, noise: state.ok().map(Box::new) }
    }

    /// Which side we are.
    pub const fn role(&self) -> Role {
        self.role
    }

    fn run(&mut self, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Secured>, Error> {
        loop {
            let Some(noise) = &mut self.noise else { return Ok(None) };
            match self.step {
                Step::SendHello => {
                    write(noise, 1, 0, &[], tx)?;
                    self.step = Step::ReadResponse;
                }
                Step::ReadHello => {
                    let Some(len) = frame(rx, 1, KEY_LEN, KEY_LEN)? else { return Ok(None) };
                    read(noise, 1, rx, len, &mut [])?;
                    write(noise, 2, KEY_LEN + SEALED_KEY, &self.shared.0.payload, tx)?;
                    self.step = Step::ReadFinal;
                }
                Step::ReadResponse => {
                    let overhead = KEY_LEN + SEALED_KEY + TAG_LEN;
                    let Some(remote) = self.read_payload(2, overhead, rx, tx)? else { return Ok(None) };
                    let Some(noise) = &mut self.noise else { return Ok(None) };
                    write(noise, 3, SEALED_KEY, &self.shared.0.payload, tx)?;
                    return self.secured(3, remote).map(Some);
                }
                Step::ReadFinal => {
                    let Some(remote) = self.read_payload(3, SEALED_KEY + TAG_LEN, rx, tx)? else { return Ok(None) };
                    return self.secured(3, remote).map(Some);
                }
                Step::Done | Step::Failed(_) => return Ok(None),
            }
        }
    }

    /// Reads a message with a payload and makes all checks.
    fn read_payload(
        &mut self,
        message: u8,
        overhead: usize,
        rx: &mut BytesMut,
        tx: &mut BytesMut,
    ) -> Result<Option<Remote>, Error> {
        let config = &self.shared.0.config;
        let Some(len) = frame(rx, message, overhead, config.max_message)? else { return Ok(None) };
        let Some(noise) = &mut self.noise else { return Ok(None) };
        // What is free behind `tx` holds the plaintext for the moment, so that nothing needs to be allocated.
        let at = tx.len();
        tx.resize(at + (len - overhead), 0);
        let space = tx.get_mut(at..).unwrap_or_default();
        let result = read(noise, message, rx, len, space).and_then(|()| {
            let static_key = noise.get_remote_static().and_then(|key| key.first_chunk());
            let static_key = static_key.ok_or(Error::Internal { message })?;
            let payload = Payload::read(space, config.max_muxers, config.max_certhashes)
                .map_err(|source| Error::Malformed { message, source })?;
            verify(payload, self.shared.0.crypto, static_key)
        });
        tx.truncate(at);
        let mut remote = result?;
        if let Some(expected) = self.expected
            && expected != remote.peer
        {
            return Err(Error::PeerMismatch { expected, got: remote.peer });
        }
        remote.muxer = choose(self.role, &config.muxers, &remote.extensions.muxers)?;
        Ok(Some(remote))
    }

    /// Takes the keys out of the finished handshake.
    fn secured(&mut self, message: u8, remote: Remote) -> Result<Secured, Error> {
        let mut noise = self.noise.take().filter(|noise| noise.is_handshake_finished());
        let noise = noise.as_mut().ok_or(Error::Internal { message })?;
        let (mut initiators, mut responders) = noise.dangerously_get_raw_split();
        let [from_initiator, from_responder] = [initiators, responders].map(|it| Key::new(it, self.shared.0.crypto));
        initiators.zeroize();
        responders.zeroize();
        let session = match self.role {
            Role::Initiator => NoiseSession::new(from_initiator, from_responder),
            Role::Responder => NoiseSession::new(from_responder, from_initiator),
        };
        self.step = Step::Done;
        let Remote { peer, key, muxer, extensions } = remote;
        Ok(Secured { peer, key, session, muxer, extensions })
    }
}

impl Machine for Handshake {
    type Output = Secured;
    type Error = Error;

    fn advance(&mut self, _: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Secured>, Error> {
        if let Step::Failed(error) = &self.step {
            return Err(error.clone());
        }
        let result = self.run(rx, tx);
        if let Err(error) = &result {
            self.step = Step::Failed(error.clone());
            self.noise = None;
        }
        result
    }

    fn end(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Secured>, Error> {
        if let Some(secured) = self.advance(now, rx, tx)? {
            return Ok(Some(secured));
        }
        let message = match self.step {
            Step::ReadHello => 1,
            Step::SendHello | Step::ReadResponse => 2,
            Step::ReadFinal => 3,
            Step::Done | Step::Failed(_) => return Ok(None),
        };
        let error = Error::Ended { message };
        self.step = Step::Failed(error.clone());
        self.noise = None;
        Err(error)
    }

    /// Without what all handshakes of a [`Noise`] share.
    fn memory_used(&self) -> usize {
        // snow's own boxes: hash and cipher, two key pairs, its name and its table of patterns; and AWS-LC's two keys.
        const PARTS: usize = 896;
        if self.noise.is_some() { size_of::<HandshakeState>() + PARTS } else { 0 }
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("role", &self.role)
            .field("expected", &self.expected)
            .field("step", &self.step)
            .finish_non_exhaustive()
    }
}

/// What a payload that passed the checks says.
struct Remote {
    peer: PeerId,
    key: PublicKey,
    muxer: Option<SmolStr>,
    extensions: Extensions,
}

pub(super) fn build(
    crypto: Crypto,
    static_key: Arc<SecretKey>,
    ephemeral: [u8; 32],
    role: Role,
    prologue: &[u8],
) -> Result<HandshakeState, snow::Error> {
    let params = NoiseParams::new(
        "Noise_XX_25519_ChaChaPoly_SHA256".to_owned(),
        BaseChoice::Noise,
        HandshakeChoice { pattern: HandshakePattern::XX, modifiers: HandshakeModifierList { list: Vec::new() } },
        DHChoice::Curve25519,
        CipherChoice::ChaChaPoly,
        HashChoice::SHA256,
    );
    let resolver = Resolver::new(crypto, static_key, ephemeral);
    // The private key given here only says that there is one: the resolver knows it.
    let builder = Builder::with_resolver(params, Box::new(resolver)).local_private_key(&[0; KEY_LEN])?;
    let builder = builder.prologue(prologue)?;
    match role {
        Role::Initiator => builder.build_initiator(),
        Role::Responder => builder.build_responder(),
    }
}

/// The length of the message at the beginning of `rx`, once it is there as a whole. Refused as soon as it can be.
fn frame(rx: &BytesMut, message: u8, min: usize, max: usize) -> Result<Option<usize>, Error> {
    let Some(header) = rx.first_chunk::<HEADER>() else { return Ok(None) };
    let len = usize::from(u16::from_be_bytes(*header));
    if len < min {
        return Err(Error::MessageTooShort { message, len, min });
    }
    if len > max {
        return Err(Error::MessageTooLong { message, len, max });
    }
    Ok((rx.len() >= HEADER + len).then_some(len))
}

/// Takes a message of `len` bytes from `rx` and decrypts its payload to `payload`, which has just its length.
fn read(
    noise: &mut HandshakeState,
    message: u8,
    rx: &mut BytesMut,
    len: usize,
    payload: &mut [u8],
) -> Result<(), Error> {
    let bytes = rx.get(HEADER..HEADER + len).ok_or(Error::Internal { message })?;
    let read = noise.read_message(bytes, payload).map_err(|error| match error {
        snow::Error::Decrypt => Error::NotAuthentic { message },
        snow::Error::Dh => Error::SmallOrder { message, source: SmallOrder },
        _ => Error::Internal { message },
    })?;
    if read != payload.len() {
        return Err(Error::Internal { message });
    }
    rx.advance(HEADER + len);
    Ok(())
}

/// Appends a message with its length. `keys`: bytes that its keys take beside the payload.
fn write(noise: &mut HandshakeState, message: u8, keys: usize, payload: &[u8], tx: &mut BytesMut) -> Result<(), Error> {
    let at = tx.len();
    // snow wants room for a tag even where none is written, in message 1.
    tx.resize(at + HEADER + KEY_LEN.max(keys) + payload.len() + TAG_LEN, 0);
    let space = tx.get_mut(at + HEADER..).unwrap_or_default();
    let written = noise.write_message(payload, space).map_err(|error| match error {
        // Here the keys of the message before are used for the first time.
        snow::Error::Dh => Error::SmallOrder { message: message.saturating_sub(1), source: SmallOrder },
        _ => Error::Internal { message },
    });
    let len = written.and_then(|len| u16::try_from(len).map_err(|_| Error::Internal { message }));
    match (&len, tx.get_mut(at..).and_then(<[u8]>::first_chunk_mut)) {
        (Ok(len), Some(header)) => {
            *header = len.to_be_bytes();
            tx.truncate(at + HEADER + usize::from(*len));
        }
        _ => tx.truncate(at),
    }
    len.map(|_| ())
}

/// Shows who the remote is.
fn verify(payload: Payload<'_>, crypto: Crypto, static_key: &[u8; KEY_LEN]) -> Result<Remote, Error> {
    let key = payload.key.ok_or(Error::MissingKey)?;
    let signature = payload.signature.ok_or(Error::MissingSignature)?;
    let key = PublicKey::from_protobuf(key).map_err(Error::Key)?;
    crypto.verify(&key, &signed(static_key), signature).map_err(Error::Signature)?;
    Ok(Remote { peer: key.peer_id(), key, muxer: None, extensions: payload.extensions })
}

/// The initiator's first that the responder has (connections/inlined-muxer-negotiation.md).
fn choose(role: Role, ours: &[SmolStr], theirs: &[SmolStr]) -> Result<Option<SmolStr>, Error> {
    if ours.is_empty() || theirs.is_empty() {
        return Ok(None);
    }
    let (initiators, responders) = match role {
        Role::Initiator => (ours, theirs),
        Role::Responder => (theirs, ours),
    };
    match initiators.iter().find(|muxer| responders.contains(muxer)) {
        Some(muxer) => Ok(Some(muxer.clone())),
        None => Err(Error::NoCommonMuxer { ours: ours.to_vec(), theirs: theirs.to_vec() }),
    }
}
