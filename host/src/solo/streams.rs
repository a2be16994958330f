//! The application's calls on streams.

use super::Solo;
use crate::{ConnectionId, StreamId};
use bytes::BytesMut;
use tidewire_core::Time;
use tidewire_upgrade::connection::ReadStreamError;
use tidewire_upgrade::muxer::{StreamError, WriteError};

impl Solo {
    /// Writes the beginning of `data` to a stream, and says how much of it that was.
    ///
    /// # Errors
    /// Nothing was written. [`WriteError::Blocked`]: `StreamEvent::Writable` says when to try again.
    pub fn write(
        &mut self,
        now: Time,
        connection: ConnectionId,
        stream: StreamId,
        data: &[u8],
    ) -> Result<usize, WriteError> {
        let wire = self.links.get_mut(&connection).ok_or(WriteError::Unknown)?;
        let result = wire.link.write(stream, data, &mut wire.tx);
        self.wake(now, connection);
        result
    }

    /// The next piece that the remote sent on a stream. `Ok(None)`: the remote finished.
    ///
    /// # Errors
    /// Nothing was read. [`ReadStreamError::Blocked`]: `StreamEvent::Readable` says when to try again.
    pub fn read(
        &mut self,
        now: Time,
        connection: ConnectionId,
        stream: StreamId,
    ) -> Result<Option<BytesMut>, ReadStreamError> {
        let wire = self.links.get_mut(&connection).ok_or(ReadStreamError::Unknown)?;
        let result = wire.link.read(stream, &mut wire.tx);
        self.after(now, connection);
        result
    }

    /// Says that we send no more on a stream.
    ///
    /// # Errors
    /// There is no such stream, or it was reset, or the connection is over.
    pub fn finish(&mut self, now: Time, connection: ConnectionId, stream: StreamId) -> Result<(), StreamError> {
        let wire = self.links.get_mut(&connection).ok_or(StreamError::Unknown)?;
        let result = wire.link.finish(stream, &mut wire.tx);
        self.after(now, connection);
        result
    }

    /// Ends a stream at once in both directions.
    ///
    /// # Errors
    /// There is no such stream.
    pub fn reset(
        &mut self,
        now: Time,
        connection: ConnectionId,
        stream: StreamId,
        code: u32,
    ) -> Result<(), StreamError> {
        let wire = self.links.get_mut(&connection).ok_or(StreamError::Unknown)?;
        let result = wire.link.reset(stream, code, &mut wire.tx);
        self.after(now, connection);
        result
    }

    /// Lets go of a stream: what was written still arrives, what the remote still sends is not wanted.
    pub fn leave(&mut self, now: Time, connection: ConnectionId, stream: StreamId) {
        if let Some(wire) = self.links.get_mut(&connection) {
            wire.link.leave(stream, &mut wire.tx);
            self.after(now, connection);
        }
    }

    /// Lets go of all streams of a connection, as [`leave`](Solo::leave) does of one.
    pub fn leave_all(&mut self, now: Time, connection: ConnectionId) {
        if let Some(wire) = self.links.get_mut(&connection) {
            wire.link.leave_all(&mut wire.tx);
            self.after(now, connection);
        }
    }

    fn after(&mut self, now: Time, connection: ConnectionId) {
        self.wake(now, connection);
        self.sweep(connection);
    }
}
