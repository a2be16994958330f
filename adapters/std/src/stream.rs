//! A stream: bytes both ways, each way finished by itself.

use bytes::{Bytes, BytesMut};
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;
use tidewire_adapter::{self as adapter, Turns, gather, lock};
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
#[derive(Clone, Debug)]
pub struct Stream(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: StreamId,
    connection: ConnectionId,
    protocol: Protocol,
    /// `None`: we have reset it. Locked for one call at a time.
    stream: Mutex<Option<adapter::Stream>>,
    read: Turns,
    write: Turns,
}

impl Stream {
    pub(crate) fn new(stream: adapter::Stream) -> Stream {
        let (id, connection, protocol) = (stream.id(), stream.connection(), stream.protocol().clone());
        let (read, write) = (Turns::default(), Turns::default());
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
    /// the remote may not have said yet whether it does: [`negotiated`](Stream::negotiated) waits for that.
    pub fn protocol(&self) -> &Protocol {
        &self.0.protocol
    }

    /// Waits until it is known whether the remote speaks the protocol: one that was proposed with
    /// [`Selection::Lazy`](crate::Selection::Lazy); any other is known already.
    ///
    /// # Errors
    /// The remote refused the protocol ([`io::ErrorKind::Unsupported`]), or the stream was reset, the connection is over, or the
    /// time for a read.
    pub fn negotiated(&self) -> io::Result<()> {
        self.wait(&self.0.read, adapter::Stream::poll_negotiated)
    }

    /// The next piece, as it arrived and without a copy. `None`: the remote finished.
    ///
    /// # Errors
    /// The protocol was refused, the stream was reset, the connection is over, or the time; what came before was read.
    pub fn read_chunk(&self) -> io::Result<Option<Bytes>> {
        self.wait(&self.0.read, adapter::Stream::poll_chunk).map(|chunk| chunk.map(BytesMut::freeze))
    }

    /// All that comes until the remote finishes, at most `max` bytes.
    ///
    /// # Errors
    /// As [`read_chunk`](Stream::read_chunk); [`io::ErrorKind::FileTooLarge`]: there was more.
    pub fn read_all(&self, max: usize) -> io::Result<Bytes> {
        let mut all = BytesMut::new();
        while let Some(chunk) = self.read_chunk()? {
            gather(&mut all, &chunk, max)?;
        }
        Ok(all.freeze())
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
        self.0.read.set_limit(timeout);
    }

    /// The same for a write.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) {
        self.0.write.set_limit(timeout);
    }

    fn wait<T>(
        &self,
        turns: &Turns,
        mut poll: impl FnMut(&mut adapter::Stream, &Waker) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        turns.wait(|waker| match lock(&self.0.stream).as_mut() {
            Some(stream) => poll(stream, waker),
            None => Poll::Ready(Err(gone())),
        })
    }
}

impl Read for &Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.wait(&self.0.read, |stream, waker| stream.poll_fill(waker, buf))
    }
}

impl Write for &Stream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.wait(&self.0.write, |stream, waker| stream.poll_write(waker, data))
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

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "we have reset this stream")
}
