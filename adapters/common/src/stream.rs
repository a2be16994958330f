//! A stream as the application holds it: bytes both ways, each way finished by itself. A driver gives it the traits of its
//! world.

use crate::error::{finish_error, read_error, write_error};
use crate::line::Line;
use bytes::{Buf, Bytes, BytesMut};
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Poll, Waker, ready};
use tidewire_host::{ConnectionId, StreamId};
use tidewire_multistream::Protocol;

/// A stream that the application has. Dropped before it was finished, it is reset; one that was finished is left in peace
/// until the remote finishes too, and reset if it sends something that nobody would read.
#[derive(Debug)]
pub struct Stream {
    line: Arc<Line>,
    id: StreamId,
    protocol: Protocol,
    /// What was taken from the link and not yet copied out.
    rest: BytesMut,
    /// The remote has finished, and all was read.
    ended: bool,
    /// We have finished.
    finished: bool,
}

impl Stream {
    pub(crate) fn new(line: Arc<Line>, id: StreamId, protocol: Protocol) -> Stream {
        Stream { line, id, protocol, rest: BytesMut::new(), ended: false, finished: false }
    }

    /// Its number within the connection.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// Its connection.
    pub fn connection(&self) -> ConnectionId {
        self.line.connection()
    }

    /// What both ends speak on it; with [`Selection::Lazy`](tidewire_upgrade::connection::Selection::Lazy), what we proposed.
    pub fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    /// Ready once it is known whether the remote speaks the protocol: of one opened with
    /// [`Selection::Lazy`](tidewire_upgrade::connection::Selection::Lazy) when the remote's answer is there, of any other at once.
    ///
    /// # Errors
    /// The protocol was refused; or the stream was reset, or the connection is over.
    pub fn poll_negotiated(&mut self, waker: &Waker) -> Poll<io::Result<()>> {
        self.line.poll_negotiated(self.id, waker).map_err(read_error)
    }

    /// The next piece, as it arrived and without a copy. `None`: the remote finished.
    ///
    /// # Errors
    /// The protocol was refused, the stream was reset, or the connection is over; what came before was read.
    pub fn poll_chunk(&mut self, waker: &Waker) -> Poll<io::Result<Option<BytesMut>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Ok(Some(std::mem::take(&mut self.rest))));
        }
        if self.ended {
            return Poll::Ready(Ok(None));
        }
        let read = ready!(self.line.poll_read(self.id, waker));
        self.ended = read == Ok(None);
        Poll::Ready(read.map_err(read_error))
    }

    /// Hands what there is to `put`, which says how much of it it took; the rest is kept. 0: the remote finished.
    ///
    /// # Errors
    /// As [`poll_chunk`](Stream::poll_chunk).
    pub fn poll_read(&mut self, waker: &Waker, put: impl FnOnce(&[u8]) -> usize) -> Poll<io::Result<usize>> {
        if self.rest.is_empty() {
            match ready!(self.poll_chunk(waker))? {
                Some(chunk) => self.rest = chunk,
                None => return Poll::Ready(Ok(0)),
            }
        }
        let count = put(&self.rest).min(self.rest.len());
        self.rest.advance(count);
        if self.rest.is_empty() {
            // Even an empty handle would hold the buffer.
            self.rest = BytesMut::new();
        }
        Poll::Ready(Ok(count))
    }

    /// Fills the beginning of `to`, and says how much of it that was. 0: the remote finished, or there is no room.
    ///
    /// # Errors
    /// As [`poll_chunk`](Stream::poll_chunk).
    pub fn poll_fill(&mut self, waker: &Waker, to: &mut [u8]) -> Poll<io::Result<usize>> {
        if to.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.poll_read(waker, |from| {
            let count = from.len().min(to.len());
            if let (Some(to), Some(from)) = (to.get_mut(..count), from.get(..count)) {
                to.copy_from_slice(from);
            }
            count
        })
    }

    /// Writes the beginning of `data`, and says how much of it that was.
    ///
    /// # Errors
    /// We have finished, the protocol was refused, the stream was reset, or the connection is over.
    pub fn poll_write(&mut self, waker: &Waker, data: &[u8]) -> Poll<io::Result<usize>> {
        self.line.poll_write(self.id, waker, data).map_err(write_error)
    }

    /// Waits until it is known whether the remote speaks the protocol, as [`poll_negotiated`](Stream::poll_negotiated).
    ///
    /// # Errors
    /// As there.
    pub async fn negotiated(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_negotiated(cx.waker())).await
    }

    /// The next piece, as [`poll_chunk`](Stream::poll_chunk). Cancel safe.
    ///
    /// # Errors
    /// As there.
    pub async fn read_chunk(&mut self) -> io::Result<Option<Bytes>> {
        poll_fn(|cx| self.poll_chunk(cx.waker())).await.map(|chunk| chunk.map(BytesMut::freeze))
    }

    /// All that comes until the remote finishes, at most `max` bytes.
    ///
    /// # Errors
    /// As [`poll_chunk`](Stream::poll_chunk); [`io::ErrorKind::FileTooLarge`]: there was more.
    pub async fn read_all(&mut self, max: usize) -> io::Result<Bytes> {
        let mut all = BytesMut::new();
        while let Some(chunk) = self.read_chunk().await? {
            gather(&mut all, &chunk, max)?;
        }
        Ok(all.freeze())
    }

    /// Writes all of `data`.
    ///
    /// # Errors
    /// As [`poll_write`](Stream::poll_write).
    pub async fn write_all(&mut self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let count = poll_fn(|cx| self.poll_write(cx.waker(), data)).await?;
            data = data.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    /// Says that we send no more. Again: nothing.
    ///
    /// # Errors
    /// As [`poll_write`](Stream::poll_write).
    pub fn finish(&mut self) -> io::Result<()> {
        if !self.finished {
            self.line.finish(self.id).map_err(finish_error)?;
            self.finished = true;
        }
        Ok(())
    }

    /// Ends the stream at once in both directions. `code` is told where the multiplexer has a place for it: libp2p/specs
    /// connections/README.md, "Error Codes".
    pub fn reset(mut self, code: u32) {
        self.line.leave(self.id, Some(code));
        (self.ended, self.finished) = (true, true);
    }
}

/// Adds a piece to what came before it.
///
/// # Errors
/// [`io::ErrorKind::FileTooLarge`]: then it would be more than `max` bytes.
pub fn gather(all: &mut BytesMut, piece: &[u8], max: usize) -> io::Result<()> {
    if piece.len() > max.saturating_sub(all.len()) {
        let why = format!("more than {max} bytes came, which is the most that was wanted");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    all.extend_from_slice(piece);
    Ok(())
}

impl Drop for Stream {
    fn drop(&mut self) {
        match (self.finished, self.ended) {
            (true, _) if self.rest.is_empty() => self.line.leave(self.id, None),
            _ => self.line.leave(self.id, Some(0)),
        }
    }
}
