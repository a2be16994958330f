//! Why a Noise handshake failed.

use crate::crypto::SmallOrder;
use crate::security::proto::Malformed;
use alloc::vec::Vec;
use smol_str::SmolStr;
use tidewire_core::{KeyError, PeerId, VerifyError};

/// Why a Noise handshake failed. Final: the connection is to be closed.
///
/// `message` is 1, 2 or 3, as the handshake counts them; it came from the remote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A handshake message announces less than its keys and tags take.
    #[error("Noise handshake message {message} from the remote has {len} bytes, but takes {min} at least")]
    MessageTooShort {
        /// Which message.
        message: u8,
        /// The length that it announces.
        len: usize,
        /// What its keys and tags take.
        min: usize,
    },
    /// A handshake message announces more than we read; the first one more than a key.
    #[error("Noise handshake message {message} from the remote has {len} bytes, but {max} are allowed")]
    MessageTooLong {
        /// Which message.
        message: u8,
        /// The length that it announces.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// A handshake message can't be decrypted.
    #[error(
        "Noise handshake message {message} from the remote is not authentic: changed on the way, or made with another prologue"
    )]
    NotAuthentic {
        /// Which message.
        message: u8,
    },
    /// The remote sent a key with which any secret would be known to everyone.
    #[error("Noise handshake message {message} from the remote holds an unusable key: {source}")]
    SmallOrder {
        /// Which message.
        message: u8,
        /// Why it is unusable.
        source: SmallOrder,
    },
    /// The payload of a handshake message is not what libp2p puts there.
    #[error("the payload of Noise handshake message {message} from the remote is malformed: {source}")]
    Malformed {
        /// Which message.
        message: u8,
        /// What is wrong with it.
        source: Malformed,
    },
    /// The payload has no identity key.
    #[error("the remote's Noise payload has no identity key, so nothing says who the remote is")]
    MissingKey,
    /// The payload has no signature.
    #[error("the remote's Noise payload has no signature, so nothing shows that the remote is who it says")]
    MissingSignature,
    /// The identity key can't be used.
    #[error("the remote's identity key can't be used: {0}")]
    Key(KeyError),
    /// The signature is not the identity key's over the remote's static key, or can't be verified by this build.
    #[error("the remote does not show that it holds the identity key that it sent: {0}")]
    Signature(VerifyError),
    /// The remote is someone else than expected.
    #[error("expected peer {expected}, but it is {got} who answers: the address leads to another peer")]
    PeerMismatch {
        /// Who it should be.
        expected: PeerId,
        /// Who it is.
        got: PeerId,
    },
    /// Both sides sent a list of stream multiplexers, and the lists have nothing in common.
    #[error("no stream multiplexer in common: we have {ours:?}, the remote has {theirs:?}")]
    NoCommonMuxer {
        /// Our list.
        ours: Vec<SmolStr>,
        /// The remote's list.
        theirs: Vec<SmolStr>,
    },
    /// The remote ended the connection before the handshake was done.
    #[error("the remote ended the connection where Noise handshake message {message} should have come")]
    Ended {
        /// The message that was awaited.
        message: u8,
    },
    /// The Noise library refused something that it has no reason to refuse.
    #[error("internal: the Noise library refused message {message}; please report this")]
    Internal {
        /// Which message.
        message: u8,
    },
}

/// Why a configuration can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Other peers ignore longer lists.
    #[error("{len} stream multiplexers are too many to announce: other peers ignore more than {max}")]
    TooManyMuxers {
        /// How many there are.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// What we would send in the handshake does not fit into a message.
    #[error("the handshake payload has {len} bytes, but a Noise message holds {max}: announce less")]
    PayloadTooLong {
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
}
