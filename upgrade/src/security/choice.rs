//! The closed set of security protocols: one type for each of configuration, handshake, result and session, so that the
//! public edge needs no type parameters.

use super::noise::{self, Extensions, Noise, NoiseSession};
use super::plaintext::{self, Plaintext, PlaintextSession};
use super::{Session, SessionError};
use bytes::BytesMut;
use smol_str::SmolStr;
use tidewire_core::{Machine, PeerId, PublicKey, Role, Seed, Time};

/// A security protocol that a node offers, with all that it needs for its handshakes. Cheap to clone.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Security {
    /// `/noise`.
    Noise(Noise),
    /// `/plaintext/2.0.0`: nothing is secret, nobody is authenticated. For tests only.
    Plaintext(Plaintext),
}

impl Security {
    /// The name under which multistream-select offers it.
    pub const fn protocol(&self) -> &'static str {
        match self {
            Security::Noise(_) => noise::PROTOCOL,
            Security::Plaintext(_) => plaintext::PROTOCOL,
        }
    }

    /// Starts a handshake. `expected`: anyone else is refused. `seed` must not have been used for another handshake.
    pub fn handshake(&self, role: Role, expected: Option<PeerId>, seed: &Seed) -> Handshake {
        match self {
            Security::Noise(noise) => Handshake::Noise(noise::Handshake::new(noise, role, expected, seed)),
            Security::Plaintext(plaintext) => Handshake::Plaintext(plaintext::Handshake::new(plaintext, expected)),
        }
    }
}

/// A handshake of any protocol: a [`Machine`] that ends with [`Secured`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Handshake {
    /// Noise XX.
    Noise(noise::Handshake),
    /// The exchange of keys in the clear.
    Plaintext(plaintext::Handshake),
}

impl Machine for Handshake {
    type Output = Secured;
    type Error = SecurityError;

    fn advance(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Secured>, SecurityError> {
        Ok(match self {
            Handshake::Noise(handshake) => handshake.advance(now, rx, tx)?.map(Into::into),
            Handshake::Plaintext(handshake) => handshake.advance(now, rx, tx)?.map(Into::into),
        })
    }

    fn end(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Secured>, SecurityError> {
        Ok(match self {
            Handshake::Noise(handshake) => handshake.end(now, rx, tx)?.map(Into::into),
            Handshake::Plaintext(handshake) => handshake.end(now, rx, tx)?.map(Into::into),
        })
    }

    fn memory_used(&self) -> usize {
        match self {
            Handshake::Noise(handshake) => handshake.memory_used(),
            Handshake::Plaintext(handshake) => handshake.memory_used(),
        }
    }
}

/// What a handshake of any protocol ended with.
#[derive(Debug)]
#[non_exhaustive]
pub struct Secured {
    /// Who the remote is, or with plaintext: says that it is. Equal to the expected peer, if there was one.
    pub peer: PeerId,
    /// Its identity key.
    pub key: PublicKey,
    /// Seals and opens what follows.
    pub session: Cipher,
    /// The stream multiplexer, if both sides announced theirs in the handshake. Else one has to be selected now.
    pub muxer: Option<SmolStr>,
    /// What the remote announced.
    pub extensions: Extensions,
}

impl From<noise::Secured> for Secured {
    fn from(secured: noise::Secured) -> Self {
        let noise::Secured { peer, key, session, muxer, extensions } = secured;
        Secured { peer, key, session: Cipher::Noise(session), muxer, extensions }
    }
}

impl From<plaintext::Exchanged> for Secured {
    fn from(exchanged: plaintext::Exchanged) -> Self {
        let plaintext::Exchanged { peer, key } = exchanged;
        let session = Cipher::Plaintext(PlaintextSession);
        Secured { peer, key, session, muxer: None, extensions: Extensions::default() }
    }
}

/// A session of any protocol.
#[derive(Debug)]
#[non_exhaustive]
pub enum Cipher {
    /// Noise records.
    Noise(NoiseSession),
    /// Bytes as they are.
    Plaintext(PlaintextSession),
}

impl Session for Cipher {
    #[inline]
    fn max_plaintext(&self) -> usize {
        match self {
            Cipher::Noise(session) => session.max_plaintext(),
            Cipher::Plaintext(session) => session.max_plaintext(),
        }
    }

    #[inline]
    fn open(&mut self, rx: &mut BytesMut) -> Result<Option<BytesMut>, SessionError> {
        match self {
            Cipher::Noise(session) => session.open(rx),
            Cipher::Plaintext(session) => session.open(rx),
        }
    }

    #[inline]
    fn begin(&mut self, tx: &mut BytesMut) -> usize {
        match self {
            Cipher::Noise(session) => session.begin(tx),
            Cipher::Plaintext(session) => session.begin(tx),
        }
    }

    #[inline]
    fn finish(&mut self, tx: &mut BytesMut, at: usize) -> Result<(), SessionError> {
        match self {
            Cipher::Noise(session) => session.finish(tx, at),
            Cipher::Plaintext(session) => session.finish(tx, at),
        }
    }
}

/// Why a handshake of any protocol failed. Final: the connection is to be closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecurityError {
    /// Noise failed.
    #[error(transparent)]
    Noise(#[from] noise::Error),
    /// Plaintext failed.
    #[error(transparent)]
    Plaintext(#[from] plaintext::Error),
}

#[cfg(test)]
mod tests;
