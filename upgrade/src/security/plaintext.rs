//! `/plaintext/2.0.0`: who we are, in the clear (libp2p/specs plaintext/README.md). For tests only: nothing is secret, and
//! nobody shows that the identity is theirs.
//!
//! ```text
//! both at once:  --> varint length, Exchange { id = 1, pubkey = 2 } -->
//!
//! Send --our message--> Read --the remote's--> Done
//! any state --a fault--> Failed, for good
//! ```

use super::proto::{Fields, Malformed, put};
use super::{Session, SessionError};
use alloc::{sync::Arc, vec::Vec};
use bytes::{Buf, Bytes, BytesMut};
use tidewire_core::{
    FrameError, FrameHeader, KeyError, Machine, PeerId, PeerIdError, PublicKey, Time, decode_frame_header, encode_frame,
};

/// The name under which multistream-select offers it.
pub const PROTOCOL: &str = "/plaintext/2.0.0";

// Exchange
const ID: u32 = 1;
const PUBKEY: u32 = 2;

/// All that the plaintext handshakes of one node share. A clone is another handle to the same.
#[derive(Clone, Debug)]
pub struct Plaintext(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    message: Bytes,
    max_message: usize,
}

impl Plaintext {
    /// The longest `Exchange` that is read by default, in bytes: 64 KiB, as in go-libp2p.
    pub const MAX_MESSAGE: usize = 64 * 1024;

    /// For the node with this identity.
    pub fn new(identity: &PublicKey) -> Self {
        Self::with_max_message(identity, Self::MAX_MESSAGE)
    }

    /// The same, with another limit for the remote's `Exchange`.
    pub fn with_max_message(identity: &PublicKey, max_message: usize) -> Self {
        let mut body = Vec::new();
        put(&mut body, ID, identity.peer_id().as_bytes());
        put(&mut body, PUBKEY, &identity.to_protobuf());
        let mut message = BytesMut::new();
        encode_frame(&body, &mut message);
        Plaintext(Arc::new(Shared { message: message.freeze(), max_message }))
    }
}

/// The exchange of identities: a [`Machine`] that ends with [`Exchanged`]. Both roles do the same.
///
/// After its output it does nothing more: what is in `rx` belongs to the [`PlaintextSession`].
#[derive(Debug)]
pub struct Handshake {
    shared: Plaintext,
    expected: Option<PeerId>,
    step: Step,
}

#[derive(Debug)]
enum Step {
    Send,
    Read,
    Done,
    Failed(Error),
}

/// What the remote says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exchanged {
    /// The remote's id, which belongs to its key. Equal to the expected peer, if there was one.
    pub peer: PeerId,
    /// The remote's key.
    pub key: PublicKey,
}

impl Handshake {
    /// A handshake. `expected`: anyone else is refused.
    pub fn new(plaintext: &Plaintext, expected: Option<PeerId>) -> Self {
        Handshake { shared: plaintext.clone(), expected, step: Step::Send }
    }

    fn run(&mut self, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Exchanged>, Error> {
        if matches!(self.step, Step::Send) {
            tx.extend_from_slice(&self.shared.0.message);
            self.step = Step::Read;
        }
        if !matches!(self.step, Step::Read) {
            return Ok(None);
        }
        let max = self.shared.0.max_message;
        let header = decode_frame_header(rx, max).map_err(Error::Frame)?;
        let Some(FrameHeader { header_len, body_len }) = header else { return Ok(None) };
        let Some(body) = rx.get(header_len..header_len + body_len) else { return Ok(None) };
        let exchanged = read(body)?;
        if let Some(expected) = self.expected
            && expected != exchanged.peer
        {
            return Err(Error::PeerMismatch { expected, got: exchanged.peer });
        }
        rx.advance(header_len + body_len);
        self.step = Step::Done;
        Ok(Some(exchanged))
    }
}

impl Machine for Handshake {
    type Output = Exchanged;
    type Error = Error;

    fn advance(&mut self, _: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Exchanged>, Error> {
        if let Step::Failed(error) = &self.step {
            return Err(error.clone());
        }
        let result = self.run(rx, tx);
        if let Err(error) = &result {
            self.step = Step::Failed(error.clone());
        }
        result
    }

    fn end(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Exchanged>, Error> {
        if let Some(exchanged) = self.advance(now, rx, tx)? {
            return Ok(Some(exchanged));
        }
        if matches!(self.step, Step::Done) {
            return Ok(None);
        }
        self.step = Step::Failed(Error::Ended);
        Err(Error::Ended)
    }

    fn memory_used(&self) -> usize {
        0
    }
}

/// Bytes as they are. See [`Session`].
#[derive(Clone, Copy, Debug, Default)]
pub struct PlaintextSession;

impl Session for PlaintextSession {
    /// There are no records; this only says how much to put together at a time: 64 KiB.
    fn max_plaintext(&self) -> usize {
        64 * 1024
    }

    fn open(&mut self, rx: &mut BytesMut) -> Result<Option<BytesMut>, SessionError> {
        Ok((!rx.is_empty()).then(|| rx.split()))
    }

    fn begin(&mut self, tx: &mut BytesMut) -> usize {
        tx.len()
    }

    fn finish(&mut self, _: &mut BytesMut, _: usize) -> Result<(), SessionError> {
        Ok(())
    }
}

/// Why a plaintext handshake failed. Final: the connection is to be closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The message is longer than we read, or its length is malformed.
    #[error("the remote's plaintext message can't be read: {0}")]
    Frame(FrameError),
    /// The message is not what stands here.
    #[error("the remote's plaintext message is malformed: {0}")]
    Malformed(Malformed),
    /// The message has no peer id.
    #[error("the remote's plaintext message has no peer id")]
    MissingId,
    /// The message has no key.
    #[error("the remote's plaintext message has no public key")]
    MissingKey,
    /// The peer id is none.
    #[error("the remote's plaintext message has an unusable peer id: {0}")]
    Id(PeerIdError),
    /// The key is none.
    #[error("the remote's plaintext message has an unusable public key: {0}")]
    Key(KeyError),
    /// The peer id is not that of the key.
    #[error("the remote says that it is {id}, but its key is that of {key}")]
    IdOfAnotherKey {
        /// Who it says that it is.
        id: PeerId,
        /// Whose key it shows.
        key: PeerId,
    },
    /// The remote is someone else than expected.
    #[error("expected peer {expected}, but it is {got} who answers: the address leads to another peer")]
    PeerMismatch {
        /// Who it should be.
        expected: PeerId,
        /// Who it says that it is.
        got: PeerId,
    },
    /// The remote ended the connection before its message was complete.
    #[error("the remote ended the connection where its plaintext message should have come")]
    Ended,
}

fn read(body: &[u8]) -> Result<Exchanged, Error> {
    let (mut id, mut key) = (None, None);
    for field in Fields(body) {
        let field = field.map_err(Error::Malformed)?;
        match field.number {
            ID => id = Some(field.bytes().map_err(Error::Malformed)?),
            PUBKEY => key = Some(field.bytes().map_err(Error::Malformed)?),
            _ => {}
        }
    }
    let id = PeerId::from_bytes(id.ok_or(Error::MissingId)?).map_err(Error::Id)?;
    let key = PublicKey::from_protobuf(key.ok_or(Error::MissingKey)?).map_err(Error::Key)?;
    let peer = key.peer_id();
    if peer != id {
        return Err(Error::IdOfAnotherKey { id, key: peer });
    }
    Ok(Exchanged { peer, key })
}

#[cfg(test)]
mod tests;
