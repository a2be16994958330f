//! What a secured connection is to the stages above it: records in, records out.

pub mod noise;
pub mod plaintext;
pub mod psk;

mod choice;
mod proto;

pub use choice::{Cipher, Handshake, Secured, Security, SecurityError};
pub use proto::Malformed;

use bytes::BytesMut;

/// A cipher that is past its handshake: opens records in place and seals records in place.
///
/// Who uses a session must keep the order of the calls: `begin`, append at most [`max_plaintext`](Session::max_plaintext)
/// bytes to `tx` (more is legal, and costs a copy), `finish`.
pub trait Session {
    /// Plaintext bytes that one record carries at most.
    fn max_plaintext(&self) -> usize;

    /// Opens the first record of `rx` in place and splits its plaintext off. `Ok(None)`: the record is not complete.
    ///
    /// # Errors
    /// The record is not authentic, too long, or one too many. Final: every further call returns the same.
    fn open(&mut self, rx: &mut BytesMut) -> Result<Option<BytesMut>, SessionError>;

    /// Starts a record at the end of `tx`, reserves what stands before its plaintext, and returns where it starts.
    fn begin(&mut self, tx: &mut BytesMut) -> usize;

    /// Seals what was appended to `tx` since `begin` returned `at`. Takes an empty record back. Splits one that is over
    /// [`max_plaintext`](Session::max_plaintext).
    ///
    /// # Errors
    /// The cipher may not be used any more; `tx` is cut back to `at`.
    fn finish(&mut self, tx: &mut BytesMut, at: usize) -> Result<(), SessionError>;
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The remote's record does not carry a valid tag: it was changed on the way, or sealed with another key.
    #[error("record {record} from the remote is not authentic: changed on the way, or sealed with another key")]
    NotAuthentic {
        /// Which of the remote's records since the handshake, counted from 0.
        record: u64,
    },
    /// The remote's record is shorter than its tag.
    #[error("record of {len} bytes from the remote is shorter than its {tag}-byte tag")]
    RecordTooShort {
        /// Its length on the wire.
        len: usize,
        /// Length of the tag.
        tag: usize,
    },
    /// As many records were sealed or opened as the cipher allows.
    #[error("the cipher's nonces are used up: open a new connection")]
    NoncesUsedUp,
}
