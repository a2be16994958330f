//! Writing to streams: frames into records, as many writes into one record as fit.

use super::negotiation::Negotiation;
use super::{Connection, ReadStreamError};
use crate::channel::{Channel, ChannelError, Record};
use crate::muxer::{AnyMuxer, Muxer, ReadError, StreamError, StreamId, WriteError};
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

/// Several calls whose frames share a record, for fewer bytes and less work: writing and finishing, say, or reading and
/// answering. Sealed when dropped.
///
/// Writes to the same stream, one after the other, share a frame too.
///
/// Until it is dropped, what it appended to `tx` is not sealed: plaintext, with room for a header before it. So never keep
/// one from being dropped ([`core::mem::forget`], [`core::mem::ManuallyDrop`]): those bytes would go out as they are, and
/// the remote would find no record in them.
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

    /// With a record from the beginning, so that frames can join: an ACK, say, with the FIN behind it.
    pub(super) fn begun(connection: &'a mut Connection, tx: &'a mut BytesMut) -> Self {
        let record = Some(connection.channel.begin(tx));
        Batch { connection, tx, record }
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
            Some(Negotiation::Failed(_)) => return Err(WriteError::Refused),
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

    /// As [`Connection::read`].
    ///
    /// # Errors
    /// Nothing was read.
    #[inline]
    pub fn read(&mut self, id: StreamId) -> Result<Option<BytesMut>, ReadStreamError> {
        let closed = self.connection.is_closed();
        match self.connection.negotiations.get_mut(id) {
            None => {}
            Some(Negotiation::Running(_)) if closed => return Err(ReadStreamError::Closed),
            Some(Negotiation::Running(_)) => return Err(ReadStreamError::Blocked),
            Some(Negotiation::Failed(error)) => return Err(ReadStreamError::Negotiation((**error).clone())),
            Some(Negotiation::Head(head)) => {
                let head = core::mem::take(head);
                self.connection.negotiations.remove(id);
                return Ok(Some(head));
            }
        }
        let result = if closed {
            self.connection.muxer.read(id, &mut BytesMut::new())
        } else {
            self.say(|muxer, tx| muxer.read(id, tx))
        };
        result.map_err(|error| match error {
            ReadError::Blocked if closed => ReadStreamError::Closed,
            ReadError::Blocked => ReadStreamError::Blocked,
            ReadError::Reset { by, code } => ReadStreamError::Reset { by, code },
            ReadError::Unknown => ReadStreamError::Unknown,
            ReadError::Failed => ReadStreamError::Closed,
        })
    }

    /// As [`Connection::finish`].
    ///
    /// # Errors
    /// As there.
    pub fn finish(&mut self, id: StreamId) -> Result<(), StreamError> {
        if self.connection.is_closed() {
            return Err(StreamError::Failed);
        }
        match self.connection.negotiations.get_mut(id) {
            Some(Negotiation::Running(running)) if !running.may_write() => {
                running.finish = true;
                return Ok(());
            }
            Some(Negotiation::Failed(_)) => return Err(StreamError::Refused),
            _ => {}
        }
        self.say(|muxer, tx| muxer.finish(id, tx))
    }

    /// What `say` has to say, if anything, into the record.
    fn say<R>(&mut self, say: impl FnOnce(&mut AnyMuxer, &mut BytesMut) -> R) -> R {
        let Connection { channel, muxer, .. } = &mut *self.connection;
        let at = self.tx.len();
        let said = say(muxer, self.tx);
        if self.record.is_none() && self.tx.len() > at {
            self.record = Some(channel.begin_from(self.tx, at));
            // The frame at the end has moved.
            muxer.boundary();
        }
        said
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        let Some(record) = self.record.take() else { return };
        let Connection { channel, muxer, .. } = &mut *self.connection;
        let sealed = channel.finish(self.tx, record);
        muxer.boundary();
        self.connection.note(sealed);
    }
}

#[cfg(test)]
mod tests {
    use crate::connection::{Connection, Event};
    use crate::muxer::StreamId;
    use crate::pipeline::{Config, Plan, Upgrade, Upgrader};
    use alloc::vec::Vec;
    use bytes::BytesMut;
    use tidewire_core::{Keypair, Machine, Seed, Time};

    fn pair() -> (Connection, Connection) {
        let upgrade = |number: u8, plan| {
            let seed = Seed::new([number; 32]);
            let upgrader = Upgrader::new(&Keypair::from_seed(&seed), &seed, Config::default()).unwrap();
            Upgrade::new(&upgrader, plan, None, &seed.derive("connection", 0))
        };
        let (mut a, mut b) = (upgrade(1, Plan::Initiate), upgrade(2, Plan::Respond));
        let (mut to_a, mut to_b) = (BytesMut::new(), BytesMut::new());
        for _ in 0..4 {
            while a.advance(Time::ZERO, &mut to_a, &mut to_b).unwrap().is_some() {}
            while b.advance(Time::ZERO, &mut to_b, &mut to_a).unwrap().is_some() {}
        }
        (a.into_connection().unwrap(), b.into_connection().unwrap())
    }

    /// Noise's records in `wire`.
    fn records(mut wire: &[u8]) -> usize {
        let mut count = 0;
        while let Some((len, rest)) = wire.split_first_chunk() {
            wire = &rest[usize::from(u16::from_be_bytes(*len))..];
            count += 1;
        }
        count
    }

    /// A stream that `a` has written a byte to and finished, and the wire that says so.
    fn one_byte(a: &mut Connection) -> (StreamId, BytesMut) {
        let mut wire = BytesMut::new();
        let id = a.open_raw(&mut wire).unwrap();
        let mut batch = a.batch(&mut wire);
        assert_eq!(batch.write(id, b"x"), Ok(1));
        assert_eq!(batch.finish(id), Ok(()));
        drop(batch);
        (id, wire)
    }

    fn events(connection: &mut Connection, wire: &mut BytesMut, back: &mut BytesMut) -> Vec<Event> {
        core::iter::from_fn(|| connection.advance(Time::ZERO, wire, back).unwrap()).collect()
    }

    #[test]
    fn writing_and_finishing_in_a_batch_is_one_record() {
        let (mut a, mut b) = pair();
        let (id, mut wire) = one_byte(&mut a);
        assert_eq!(records(&wire), 1);
        let heard = events(&mut b, &mut wire, &mut BytesMut::new());
        assert_eq!(heard, [Event::Opened(id), Event::Readable(id), Event::Finished(id)]);
    }

    #[test]
    fn reading_and_finishing_in_a_batch_is_one_record() {
        let (mut a, mut b) = pair();
        let (id, mut wire) = one_byte(&mut a);
        let mut back = BytesMut::new();
        events(&mut b, &mut wire, &mut back);
        let mut batch = b.batch(&mut back);
        assert_eq!(batch.read(id).unwrap().unwrap(), b"x"[..]);
        assert_eq!(batch.read(id), Ok(None));
        assert_eq!(batch.finish(id), Ok(()));
        drop(batch);
        assert_eq!(records(&back), 1);
        assert_eq!(events(&mut a, &mut back, &mut BytesMut::new()), [Event::Finished(id)]);
        assert_eq!(a.read(id, &mut BytesMut::new()), Ok(None));
        assert_eq!((a.streams(), b.streams()), (0, 0));
    }

    #[test]
    fn a_batch_with_nothing_to_say_sends_nothing() {
        let (mut a, _) = pair();
        let mut wire = BytesMut::new();
        let id = a.open_raw(&mut wire).unwrap();
        let mut batch = a.batch(&mut wire);
        assert_eq!(batch.write(id, b""), Ok(0));
        drop(batch);
        assert!(wire.is_empty());
    }

    #[test]
    fn what_does_not_fit_a_record_goes_on_in_the_next() {
        let (mut a, mut b) = pair();
        let mut wire = BytesMut::new();
        let id = a.open_raw(&mut wire).unwrap();
        let mut batch = a.batch(&mut wire);
        assert_eq!(batch.write(id, &[7; 70_000]), Ok(70_000));
        assert_eq!(batch.write(id, &[7; 70_000]), Ok(70_000));
        assert_eq!(batch.finish(id), Ok(()));
        drop(batch);
        assert_eq!(records(&wire), 3);
        events(&mut b, &mut wire, &mut BytesMut::new());
        let read = core::iter::from_fn(|| b.read(id, &mut BytesMut::new()).unwrap()).map(|piece| piece.len());
        assert_eq!(read.sum::<usize>(), 140_000);
    }
}
