//! Writing to streams: frames into records, as many writes into one record as fit.

use super::{Connection, NEGOTIATION_FAILED};
use super::negotiation::Negotiation;
use crate::channel::{Channel, ChannelError, Record};
use crate::muxer::{AnyMuxer, Muxer, StreamId, WriteError};
use bytes::{Buf, BytesMut};

/// With less room than this a record is sealed, and the next one begun: a header and some bytes.
const MIN_ROOM: usize = 64;

/// A record in the making.
pub(super) struct Writer<'a> {
    channel: &'a mut Channel,
    muxer: &'a mut AnyMuxer,
    tx: &'a mut BytesMut,
    record: Option<Record>,
    sealed: Result<(), ChannelError>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(channel: &'a mut Channel, muxer: &'a mut AnyMuxer, tx: &'a mut BytesMut) -> Self {
        Writer { channel, muxer, tx, record: None, sealed: Ok(()) }
    }

    pub(super) fn write(&mut self, id: StreamId, data: &[u8]) -> Result<usize, WriteError> {
        let mut written = 0;
        loop {
            if self.sealed.is_err() {
                return Err(WriteError::Failed);
            }
            let record = match self.record {
                Some(record) => record,
                None => *self.record.insert(self.channel.begin(self.tx)),
            };
            let room = self.channel.room(self.tx, record);
            if room < MIN_ROOM {
                self.cut();
                continue;
            }
            match self.muxer.write(id, data.get(written..).unwrap_or_default(), room, self.tx) {
                Ok(0) => return Ok(written),
                Ok(count) => {
                    written += count;
                    if written >= data.len() {
                        return Ok(written);
                    }
                }
                Err(WriteError::Blocked) if written > 0 => return Ok(written),
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes until `data` is empty. False: there was no room for all of it.
    pub(super) fn write_all(&mut self, id: StreamId, data: &mut BytesMut) -> bool {
        while !data.is_empty() {
            match self.write(id, data) {
                Ok(count) if count > 0 => data.advance(count),
                _ => return false,
            }
        }
        *data = BytesMut::new();
        true
    }

    /// Seals what was written.
    pub(super) fn seal(mut self) -> Result<(), ChannelError> {
        self.cut();
        self.sealed
    }

    fn cut(&mut self) {
        if let Some(record) = self.record.take() {
            let sealed = self.channel.finish(self.tx, record);
            self.muxer.boundary();
            if sealed.is_err() {
                self.sealed = sealed;
            }
        }
    }
}

/// Several writes that share a record, for fewer bytes and less work. Sealed when dropped.
///
/// Writes to the same stream, one after the other, share a frame too.
#[derive(Debug)]
pub struct Batch<'a> {
    connection: &'a mut Connection,
    tx: &'a mut BytesMut,
    record: Option<Record>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(connection: &'a mut Connection, tx: &'a mut BytesMut) -> Self {
        Batch { connection, tx, record: None }
    }

    /// As [`Connection::write`].
    ///
    /// # Errors
    /// Nothing of `data` was written.
    pub fn write(&mut self, id: StreamId, data: &[u8]) -> Result<usize, WriteError> {
        if self.connection.is_closed() {
            return Err(WriteError::Failed);
        }
        match self.connection.negotiations.get_mut(id) {
            Some(Negotiation::Running(running)) if running.finish => return Err(WriteError::Finished),
            Some(Negotiation::Running(running)) if !running.may_write() => return Err(WriteError::Blocked),
            Some(Negotiation::Failed(_)) => return Err(WriteError::Reset { code: NEGOTIATION_FAILED }),
            _ => {}
        }
        let mut writer = self.connection.writer(self.tx);
        writer.record = self.record.take();
        let result = writer.write(id, data);
        let (record, sealed) = (writer.record, writer.sealed);
        self.record = record;
        self.connection.note(sealed);
        result
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        let mut writer = self.connection.writer(self.tx);
        writer.record = self.record.take();
        let sealed = writer.seal();
        self.connection.note(sealed);
    }
}
