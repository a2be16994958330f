//! Noise after the handshake: records sealed and opened where they lie (libp2p/specs noise/README.md, "Wire Format").
//!
//! ```text
//! | length, 2 bytes big-endian | ciphertext, at most 65519 bytes | tag, 16 bytes |
//!                              |<------------ length ------------------------->|
//! ```
//!
//! Each direction has its own key and counts its own nonces from 0. A record is opened with the next nonce or not at all,
//! so none can be left out, repeated or moved.

use crate::crypto::{Key, TAG_LEN};
use crate::security::{Session, SessionError};
use bytes::{Buf, BytesMut};

/// Bytes before the ciphertext.
const HEADER: usize = 2;
/// What the length can say (noise/README.md, "Wire Format").
const MAX_RECORD: usize = 65535;
/// The most plaintext in one record, in bytes: 65519.
pub const MAX_PLAINTEXT: usize = MAX_RECORD - TAG_LEN;

/// The transport phase of a Noise connection. See [`Session`] for how to use it.
///
/// Holds two keys of 32 bytes and two counters, nothing on the heap.
#[derive(Debug)]
pub struct NoiseSession {
    sealer: Half,
    opener: Half,
    failed: Option<SessionError>,
}

/// One direction.
#[derive(Debug)]
struct Half {
    key: Key,
    /// Of the next record. 2^64-1 is never used (Noise, section 5.1): there the direction ends.
    nonce: u64,
}

impl NoiseSession {
    pub(super) const fn new(send: Key, receive: Key) -> Self {
        NoiseSession { sealer: Half { key: send, nonce: 0 }, opener: Half { key: receive, nonce: 0 }, failed: None }
    }

    #[cfg(test)]
    pub(crate) fn set_nonces(&mut self, send: u64, receive: u64) {
        self.sealer.nonce = send;
        self.opener.nonce = receive;
    }

    /// The next record of `rx` that holds anything. Empty ones are legal, and opened and dropped on the way.
    #[inline]
    fn next_record(&mut self, rx: &mut BytesMut) -> Result<Option<BytesMut>, SessionError> {
        loop {
            let Some(header) = rx.first_chunk::<HEADER>() else { return Ok(None) };
            let len = usize::from(u16::from_be_bytes(*header));
            let Some(text_len) = len.checked_sub(TAG_LEN) else {
                return Err(SessionError::RecordTooShort { len, tag: TAG_LEN });
            };
            let Some(record) = rx.get_mut(HEADER..HEADER + len) else { return Ok(None) };
            self.opener.open(record)?;
            rx.advance(HEADER);
            if text_len == 0 {
                rx.advance(TAG_LEN); // even an empty `split_to` would allocate the first time
                continue;
            }
            let plain = rx.split_to(text_len);
            rx.advance(TAG_LEN);
            return Ok(Some(plain));
        }
    }
}

impl Session for NoiseSession {
    #[inline]
    fn max_plaintext(&self) -> usize {
        MAX_PLAINTEXT
    }

    fn open(&mut self, rx: &mut BytesMut) -> Result<Option<BytesMut>, SessionError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.next_record(rx);
        if let Err(error) = &result {
            self.failed = Some(error.clone());
        }
        result
    }

    #[inline]
    fn begin(&mut self, tx: &mut BytesMut) -> usize {
        let at = tx.len();
        tx.extend_from_slice(&[0; HEADER]);
        at
    }

    fn finish(&mut self, tx: &mut BytesMut, at: usize) -> Result<(), SessionError> {
        let len = tx.len().saturating_sub(at).saturating_sub(HEADER);
        if len == 0 {
            tx.truncate(at);
            return Ok(());
        }
        let records = len.div_ceil(MAX_PLAINTEXT);
        if !self.sealer.lasts_for(records) {
            tx.truncate(at);
            return Err(SessionError::NoncesUsedUp);
        }
        if records > 1 {
            spread(tx, at, len, records);
        } else {
            tx.extend_from_slice(&[0; TAG_LEN]);
        }
        for record in tx.get_mut(at..).unwrap_or_default().chunks_mut(HEADER + MAX_RECORD) {
            self.sealer.seal(record);
        }
        Ok(())
    }
}

impl Half {
    /// Seals one record: header and tag are filled in.
    #[inline]
    fn seal(&mut self, record: &mut [u8]) {
        let Some((header, rest)) = record.split_first_chunk_mut::<HEADER>() else { return };
        *header = u16::try_from(rest.len()).unwrap_or(u16::MAX).to_be_bytes();
        let Some((text, tag)) = rest.split_last_chunk_mut::<TAG_LEN>() else { return };
        *tag = self.key.seal(self.nonce, &[], text);
        self.nonce = self.nonce.saturating_add(1);
    }

    /// Opens ciphertext and tag in place. The nonce moves only if they are authentic.
    fn open(&mut self, record: &mut [u8]) -> Result<(), SessionError> {
        if !self.lasts_for(1) {
            return Err(SessionError::NoncesUsedUp);
        }
        let bad = SessionError::NotAuthentic { record: self.nonce };
        let Some((text, tag)) = record.split_last_chunk_mut::<TAG_LEN>() else { return Err(bad) };
        self.key.open(self.nonce, &[], text, tag).map_err(|_| bad)?;
        self.nonce = self.nonce.saturating_add(1);
        Ok(())
    }

    /// Whether there are nonces for so many records.
    #[inline]
    fn lasts_for(&self, records: usize) -> bool {
        u64::MAX - self.nonce >= records as u64
    }
}

/// Makes room for the headers and tags of `records` records over `len` bytes of plaintext that stand at `at + HEADER`.
/// From the last to the first, so that nothing is overwritten before it has moved.
fn spread(tx: &mut BytesMut, at: usize, len: usize, records: usize) {
    tx.resize(at + len + records * (HEADER + TAG_LEN), 0);
    for record in (1..records).rev() {
        let from = at + HEADER + record * MAX_PLAINTEXT;
        let to = at + HEADER + record * (HEADER + MAX_RECORD);
        let until = from.saturating_add(MAX_PLAINTEXT).min(at + HEADER + len);
        tx.copy_within(from..until, to);
    }
}
