//! A stream: bytes both ways, each way finished by itself.

use crate::park::block;
use bytes::{Bytes, BytesMut};
use std::fmt;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};
use tidewire_adapter::{self as adapter, lock};
use tidewire_host::{ConnectionId, StreamId};
use tidewire_multistream::Protocol;

/// A stream to a peer: [`Read`] and [`Write`], by reference too. A clone is another handle to the same, so that one thread can
/// read while another one writes; two that do the same take turns.
///
/// What was written is sent without a flush. When the last handle is dropped, a stream that was not shut down is reset; one
/// that was is left in peace until the remote finishes too, and reset if it sends something that nobody would read.
///
/// The errors of reading and writing hold a [`ReadStreamError`](crate::ReadStreamError) and a
/// [`WriteError`](crate::WriteError): [`io::Error::get_ref`].
#[derive(Clone)]
pub struct Stream(Arc<Inner>);

struct Inner {
    id: StreamId,
    connection: ConnectionId,
    protocol: Protocol,
    /// `None`: we have reset it. Locked for one call at a time.
    stream: Mutex<Option<adapter::Stream>>,
    read: Way,
    write: Way,
}

/// One direction.
#[derive(Default)]
struct Way {
    /// Locked by whoever waits here.
    turn: Mutex<()>,
    timeout: Mutex<Option<Duration>>,
}

impl Stream {
    pub(crate) fn new(stream: adapter::Stream) -> Stream {
        let (id, connection, protocol) = (stream.id(), stream.connection(), stream.protocol().clone());
        let (read, write) = (Way::default(), Way::default());
        Stream(Arc::new(Inner { id, connection, protocol, stream: Mutex::new(Some(stream)), read, write }))
    }

    /// Its number within its connection.
    pub fn id(&self) -> StreamId {
        self.0.id
    }

    /// Its connection.
    pub fn connection(&self) -> ConnectionId {
        self.0.connection
    }

    /// What both ends speak on it. Of a single protocol that was proposed with [`Selection::Lazy`](crate::Selection::Lazy),
    /// the remote may not have said yet whether it does: reading tells.
    pub fn protocol(&self) -> &Protocol {
        &self.0.protocol
    }

    /// The next piece, as it arrived and without a copy. `None`: the remote finished.
    ///
    /// # Errors
    /// The protocol was refused, the stream was reset, the connection is over, or the time; what came before was read.
    pub fn read_chunk(&self) -> io::Result<Option<Bytes>> {
        self.chunk(None)
    }

    /// All that comes until the remote finishes, at most `max` bytes.
    ///
    /// # Errors
    /// As [`read_chunk`](Stream::read_chunk); [`io::ErrorKind::FileTooLarge`]: there was more.
    pub fn read_all(&self, max: usize) -> io::Result<Bytes> {
        self.read_all_until(None, max)
    }

    /// Says that we send no more; reading goes on. Again: nothing.
    ///
    /// # Errors
    /// The protocol was refused, the stream was reset, or the connection is over.
    pub fn shutdown(&self) -> io::Result<()> {
        lock(&self.0.stream).as_mut().map_or_else(|| Err(gone()), adapter::Stream::finish)
    }

    /// Ends the stream at once in both directions, also for those who wait. `code` is told where the multiplexer has a place
    /// for it: libp2p/specs connections/README.md, "Error Codes".
    pub fn reset(&self, code: u32) {
        if let Some(stream) = lock(&self.0.stream).take() {
            stream.reset(code);
        }
    }

    /// How long a read may wait before it fails with [`io::ErrorKind::TimedOut`]; the stream is as good as before. `None`, the
    /// default: for ever.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) {
        *lock(&self.0.read.timeout) = timeout;
    }

    /// The same for a write.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) {
        *lock(&self.0.write.timeout) = timeout;
    }

    pub(crate) fn read_all_until(&self, until: Option<Instant>, max: usize) -> io::Result<Bytes> {
        let mut all = BytesMut::new();
        while let Some(chunk) = self.chunk(until)? {
            if chunk.len() > max - all.len() {
                let why = format!("more than {max} bytes came, which is the most that was wanted");
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }

    pub(crate) fn write_all_until(&self, until: Option<Instant>, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let count = self.write_some(until, data)?;
            data = data.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    fn chunk(&self, until: Option<Instant>) -> io::Result<Option<Bytes>> {
        let chunk = self.wait(&self.0.read, until, adapter::Stream::poll_chunk)?;
        Ok(chunk.map(BytesMut::freeze))
    }

    fn write_some(&self, until: Option<Instant>, data: &[u8]) -> io::Result<usize> {
        self.wait(&self.0.write, until, |stream, waker| stream.poll_write(waker, data))
    }

    fn wait<T>(
        &self,
        way: &Way,
        until: Option<Instant>,
        mut poll: impl FnMut(&mut adapter::Stream, &Waker) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        let until = until.or_else(|| Instant::now().checked_add((*lock(&way.timeout))?));
        let _turn = lock(&way.turn);
        let done = block(until, |waker| match lock(&self.0.stream).as_mut() {
            Some(stream) => poll(stream, waker),
            None => Poll::Ready(Err(gone())),
        });
        done.unwrap_or_else(|| Err(io::Error::new(io::ErrorKind::TimedOut, "the stream's timeout is over")))
    }
}

impl Read for &Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.wait(&self.0.read, None, |stream, waker| {
            stream.poll_read(waker, |rest| {
                let count = rest.len().min(buf.len());
                if let (Some(to), Some(from)) = (buf.get_mut(..count), rest.get(..count)) {
                    to.copy_from_slice(from);
                }
                count
            })
        })
    }
}

impl Write for &Stream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.write_some(None, data)
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
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        (&*self).write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("id", &self.id()).field("protocol", self.protocol()).finish_non_exhaustive()
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "we have reset this stream")
}
