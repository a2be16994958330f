//! A stream of a connection, as `Read` and `Write`.

use crate::connection::{Handle, why};
use crate::link::{Link, Owner, Slot};
use bytes::Bytes;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Condvar, MutexGuard};
use std::time::{Duration, Instant};
use tidewire_adapter::{OpenError, finish_error, read_error, write_error};
use tidewire_multistream::Protocol;
use tidewire_upgrade::connection::{By, ReadStreamError};
use tidewire_upgrade::muxer::{StreamError, StreamId, WriteError};

/// A stream: bytes in both directions, each of which ends by itself.
///
/// Several handles ([`try_clone`](Stream::try_clone)) or references may be used from several threads, one to read and one to
/// write say. When the last handle is dropped, a stream that was not finished is reset; one that was finished lives on until
/// the remote has finished too, and is reset if it sends what nobody will read.
pub struct Stream(Arc<Inner>);

struct Inner {
    handle: Arc<Handle>,
    id: StreamId,
    changed: Arc<Condvar>,
}

impl Stream {
    pub(crate) fn new(handle: Arc<Handle>, id: StreamId, changed: Arc<Condvar>) -> Self {
        Stream(Arc::new(Inner { handle, id, changed }))
    }

    /// The stream's number in its connection.
    pub fn id(&self) -> StreamId {
        self.0.id
    }

    /// What both ends speak on it; `None` while there is no answer.
    pub fn protocol(&self) -> Option<Protocol> {
        self.0.slot(|slot| slot.protocol.clone()).flatten()
    }

    /// Waits until both ends agree on the protocol.
    ///
    /// # Errors
    /// They don't, or the stream ended before.
    pub fn negotiated(&self) -> Result<Protocol, OpenError> {
        let shared = &*self.0.handle.shared;
        let mut link = shared.lock();
        loop {
            // What neither we nor the machine know any more, we have reset.
            let by_us = OpenError::Reset { by: By::Us, code: 0 };
            let Some(slot) = link.streams.get(&self.0.id) else { return Err(by_us) };
            if let Some(protocol) = &slot.protocol {
                return Ok(protocol.clone());
            }
            if let Some(error) = &slot.refused {
                return Err(OpenError::Negotiation(error.clone()));
            }
            if link.over.is_some() {
                return Err(OpenError::Closed);
            }
            // A reset before the answer shows when reading.
            let read = link.machine().map(|(connection, tx)| connection.read(self.0.id, tx));
            match read {
                Some(Err(ReadStreamError::Reset { by, code })) => return Err(OpenError::Reset { by, code }),
                Some(Err(ReadStreamError::Unknown)) => return Err(by_us),
                _ => {}
            }
            let Ok(woken) = shared.wait(&self.0.changed, link, None) else { return Err(OpenError::Closed) };
            link = woken;
        }
    }

    /// The next piece that the remote sent, as it lies in the receive buffer. `None`: the remote finished.
    ///
    /// # Errors
    /// As reading.
    pub fn read_chunk(&self) -> io::Result<Option<Bytes>> {
        self.0.read(usize::MAX)
    }

    /// Says that we send no more; reading goes on. Doing it twice is harmless.
    ///
    /// # Errors
    /// The stream was reset, or the connection is over.
    pub fn shutdown(&self) -> io::Result<()> {
        let shared = &*self.0.handle.shared;
        let mut link = shared.lock();
        let done = self.0.slot_in(&mut link)?.finished;
        let result = match link.machine() {
            _ if done => Ok(()),
            Some((connection, tx)) => connection.finish(self.0.id, tx),
            None => Err(StreamError::Failed),
        };
        match result {
            Ok(()) => {
                self.0.slot_in(&mut link)?.finished = true;
                shared.kick(&mut link);
                Ok(())
            }
            Err(StreamError::Failed) => Err(over(&link)),
            Err(error) => Err(finish_error(error)),
        }
    }

    /// Ends the stream at once in both directions; `code` is told where the multiplexer has a place for it.
    pub fn reset(&self, code: u32) {
        let mut link = self.0.handle.shared.lock();
        if let Some((connection, tx)) = link.machine() {
            connection.reset(self.0.id, code, tx).ok();
        }
        if let Some(slot) = link.streams.get_mut(&self.0.id) {
            slot.reset = true;
            slot.ahead.clear();
        }
        self.0.changed.notify_all();
        self.0.handle.shared.kick(&mut link);
    }

    /// How long a read may wait. `None`, the default: for ever. Of all handles of this stream.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) {
        self.0.slot(|slot| slot.read_timeout = timeout);
    }

    /// How long a write may wait. `None`, the default: for ever. Of all handles of this stream.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) {
        self.0.slot(|slot| slot.write_timeout = timeout);
    }

    /// Another handle to the same stream, for another thread.
    #[must_use]
    pub fn try_clone(&self) -> Stream {
        Stream(self.0.clone())
    }
}

impl Inner {
    fn slot<R>(&self, look: impl FnOnce(&mut Slot) -> R) -> Option<R> {
        self.handle.shared.lock().streams.get_mut(&self.id).map(look)
    }

    fn slot_in<'a>(&self, link: &'a mut Link) -> io::Result<&'a mut Slot> {
        match link.streams.get_mut(&self.id) {
            Some(slot) if !slot.reset => Ok(slot),
            _ => Err(io::Error::new(ErrorKind::ConnectionReset, "we have reset this stream")),
        }
    }

    /// At most `most` bytes; `None`: the end.
    fn read(&self, most: usize) -> io::Result<Option<Bytes>> {
        let shared = &*self.handle.shared;
        let mut link = shared.lock();
        let mut until = None;
        loop {
            let slot = self.slot_in(&mut link)?;
            if slot.read_to_end {
                return Ok(None);
            }
            let wait = slot.read_timeout;
            let piece = match std::mem::take(&mut slot.ahead) {
                ahead if !ahead.is_empty() => Ok(Some(ahead)),
                _ => match link.machine() {
                    Some((connection, tx)) => connection.read(self.id, tx),
                    None => Err(ReadStreamError::Closed),
                },
            };
            match piece {
                Ok(Some(piece)) if piece.is_empty() => {}
                Ok(Some(mut piece)) => {
                    if piece.len() > most {
                        let rest = piece.split_off(most);
                        self.slot_in(&mut link)?.ahead = rest;
                    }
                    shared.kick(&mut link);
                    return Ok(Some(piece.freeze()));
                }
                Ok(None) => {
                    self.slot_in(&mut link)?.read_to_end = true;
                    shared.kick(&mut link);
                    return Ok(None);
                }
                Err(ReadStreamError::Blocked) => link = self.wait(link, &mut until, wait)?,
                Err(ReadStreamError::Closed) => return Err(over(&link)),
                Err(error) => return Err(read_error(error)),
            }
        }
    }

    fn write(&self, data: &[u8]) -> io::Result<usize> {
        let shared = &*self.handle.shared;
        let mut link = shared.lock();
        let mut until = None;
        loop {
            let slot = self.slot_in(&mut link)?;
            let (wait, finished) = (slot.write_timeout, slot.finished);
            let written = match link.machine() {
                _ if finished => Err(WriteError::Finished),
                Some((connection, tx)) => connection.write(self.id, data, tx),
                None => Err(WriteError::Failed),
            };
            match written {
                Ok(count) => {
                    shared.kick(&mut link);
                    return Ok(count);
                }
                Err(WriteError::Blocked) => link = self.wait(link, &mut until, wait)?,
                Err(WriteError::Failed) => return Err(over(&link)),
                Err(error) => return Err(write_error(error)),
            }
        }
    }

    fn wait<'a>(
        &self,
        link: MutexGuard<'a, Link>,
        until: &mut Option<Instant>,
        timeout: Option<Duration>,
    ) -> io::Result<MutexGuard<'a, Link>>
    where
        Self: 'a,
    {
        if until.is_none() {
            *until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        }
        self.handle.shared.wait(&self.changed, link, *until)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let shared = &*self.handle.shared;
        let mut link = shared.lock();
        let Some(slot) = link.streams.get_mut(&self.id) else { return };
        if slot.finished && !slot.reset && slot.ahead.is_empty() {
            slot.owner = Owner::Nobody;
            link.touch(self.id);
        } else {
            link.forget(self.id, 0);
        }
        shared.kick(&mut link);
    }
}

impl Read for &Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let Some(piece) = self.0.read(buf.len())? else { return Ok(0) };
        if let Some(to) = buf.get_mut(..piece.len()) {
            to.copy_from_slice(&piece);
        }
        Ok(piece.len())
    }
}

impl Write for &Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    /// Does nothing: what was written is on its way.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("id", &self.0.id).field("protocol", &self.protocol()).finish_non_exhaustive()
    }
}

fn over(link: &Link) -> io::Error {
    io::Error::new(ErrorKind::ConnectionAborted, format!("the connection is over: {}", why(link)))
}
