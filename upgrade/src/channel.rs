//! The way of bytes between the wire and whatever stands above the cipher: records opened into `plain`, records sealed
//! into `tx`, and under both, where the network is private, its stream cipher.
//!
//! ```text
//! rx --psk in place--> ciphertext --session opens in place--> plain --> the inner machine
//! tx <--psk in place-- ciphertext <--session seals in place--  tx  <--'
//! ```
//!
//! Each step of the inner machine is one record, never each call from outside: so how the input was cut does not show in
//! the output (law 7).

use crate::security::psk::{Psk, PskError};
use crate::security::{Cipher, Session, SessionError};
use alloc::boxed::Box;
use bytes::BytesMut;

/// Why the bytes below the inner machine can't go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The cipher refused a record.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The private network's layer failed.
    #[error(transparent)]
    Psk(#[from] PskError),
    /// The remote closed inside a record.
    #[error("the remote closed the connection inside a record: {len} bytes of it had come")]
    Truncated {
        /// Bytes of the record that had come.
        len: usize,
    },
}

/// A cipher, and under it perhaps a private network's.
#[derive(Debug)]
pub(crate) struct Channel {
    cipher: Cipher,
    psk: Option<Box<Psk>>,
    /// What was opened and not yet consumed.
    plain: BytesMut,
    /// With more than this in `plain`, the inner machine has stopped for want of room in `tx`, not of bytes: no more is
    /// opened. Above the longest message that an inner machine waits for as a whole.
    stalled: usize,
}

/// A record that is being written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    at: usize,
    /// Where its plaintext starts.
    start: usize,
}

impl Channel {
    /// `longest`: bytes of the longest message that an inner machine waits for as a whole.
    pub(crate) fn new(cipher: Cipher, psk: Option<Box<Psk>>, longest: usize) -> Self {
        Channel { cipher, psk, plain: BytesMut::new(), stalled: longest.max(2048) }
    }

    /// Lets `inner` work on the plaintext, one record after the other, until it has an output or nothing is left to open.
    /// What it appends to `tx` in one step becomes one record.
    pub(crate) fn advance<T, E: From<ChannelError>>(
        &mut self,
        rx: &mut BytesMut,
        tx: &mut BytesMut,
        mut inner: impl FnMut(&mut BytesMut, &mut BytesMut) -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        loop {
            let at = tx.len();
            let result = inner(&mut self.plain, tx);
            self.finish_from(tx, at)?;
            match result {
                Ok(None) => {}
                other => return other,
            }
            if self.plain.len() > self.stalled || !self.open(rx)? {
                return Ok(None);
            }
        }
    }

    /// When nothing will be added to `rx`, and `advance` has said that it can go no further: what is left is judged, and
    /// `inner` gets the end.
    pub(crate) fn end<T, E: From<ChannelError>>(
        &mut self,
        rx: &mut BytesMut,
        tx: &mut BytesMut,
        inner: impl FnOnce(&mut BytesMut, &mut BytesMut) -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        if self.plain.len() > self.stalled {
            return Ok(None);
        }
        if !rx.is_empty() {
            return Err(ChannelError::Truncated { len: rx.len() }.into());
        }
        let at = tx.len();
        let result = inner(&mut self.plain, tx);
        self.finish_from(tx, at)?;
        result
    }

    /// Whether all that was opened is consumed.
    pub(crate) fn is_drained(&self) -> bool {
        self.plain.is_empty()
    }

    /// Opens one more record of `rx` behind what is in `plain`. False: none is complete.
    fn open(&mut self, rx: &mut BytesMut) -> Result<bool, ChannelError> {
        if rx.is_empty() {
            return Ok(false);
        }
        if let Some(psk) = &mut self.psk {
            psk.open(rx)?;
        }
        let opened = self.cipher.open(rx);
        if let Some(psk) = &mut self.psk {
            psk.consumed(rx.len());
        }
        let Some(opened) = opened? else { return Ok(false) };
        if self.plain.is_empty() {
            self.plain = opened;
        } else {
            self.plain.extend_from_slice(&opened);
        }
        Ok(true)
    }

    /// Starts a record at the end of `tx`.
    pub(crate) fn begin(&mut self, tx: &mut BytesMut) -> Record {
        let at = self.cipher.begin(tx);
        Record { at, start: tx.len() }
    }

    /// Seals what was appended since; takes an empty record back.
    pub(crate) fn finish(&mut self, tx: &mut BytesMut, record: Record) -> Result<(), ChannelError> {
        self.cipher.finish(tx, record.at)?;
        if let Some(psk) = &mut self.psk
            && tx.len() > record.at
        {
            psk.seal(tx, record.at)?;
        }
        Ok(())
    }

    /// Appends what `say` appends, as one record.
    pub(crate) fn say<R>(
        &mut self,
        tx: &mut BytesMut,
        say: impl FnOnce(&mut BytesMut) -> R,
    ) -> (R, Result<(), ChannelError>) {
        let at = tx.len();
        let said = say(tx);
        (said, self.finish_from(tx, at))
    }

    /// Starts a record whose first bytes stand behind `at` already. Most calls say nothing: this way they pay for no record.
    pub(crate) fn begin_from(&mut self, tx: &mut BytesMut, at: usize) -> Record {
        let late = self.begin(tx);
        let header = late.start - late.at;
        tx.get_mut(at..).unwrap_or_default().rotate_right(header);
        Record { at, start: at + header }
    }

    /// Seals what was appended behind `at`, if anything was.
    fn finish_from(&mut self, tx: &mut BytesMut, at: usize) -> Result<(), ChannelError> {
        if tx.len() == at {
            return Ok(());
        }
        let record = self.begin_from(tx, at);
        self.finish(tx, record)
    }

    /// How many more plaintext bytes fit into the record.
    pub(crate) fn room(&self, tx: &BytesMut, record: Record) -> usize {
        self.cipher.max_plaintext().saturating_sub(tx.len() - record.start)
    }

    /// Frees the buffer of a plaintext that is consumed: an idle connection holds none.
    pub(crate) fn rest(&mut self) {
        if self.plain.is_empty() {
            self.plain = BytesMut::new();
        }
    }

    pub(crate) fn memory_used(&self) -> usize {
        self.plain.capacity() + if self.psk.is_some() { size_of::<Psk>() } else { 0 }
    }
}
