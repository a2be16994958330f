//! A stream: bytes both ways, each way finished by itself.

use crate::connection::Handle;
use crate::driver::Refused;
use bytes::{Buf, Bytes, BytesMut};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use tidewire_adapter::{OpenError, finish_error, read_error, write_error};
use tidewire_multistream::Protocol;
use tidewire_upgrade::connection::ReadStreamError;
use tidewire_upgrade::muxer::{StreamId, WriteError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that one call writes at most, so that no stream holds its connection for long.
const MAX_WRITE: usize = 64 * 1024;

/// A stream of a [`Connection`](crate::Connection): tokio's [`AsyncRead`] and [`AsyncWrite`].
///
/// Shutting down says that no more will be written; reading goes on. What was written is sent without a flush. A stream that
/// is dropped before it was shut down is reset; one that was shut down is left in peace until the remote finishes too, and
/// reset if it sends something that nobody would read.
///
/// The errors of reading and writing hold a [`ReadStreamError`] and a [`WriteError`]: [`io::Error::get_ref`].
#[derive(Debug)]
pub struct Stream {
    handle: Arc<Handle>,
    id: StreamId,
    /// What was taken from the machine and not yet copied out.
    rest: BytesMut,
    /// The remote has finished, and all was read.
    ended: bool,
    /// We have finished.
    finished: bool,
}

impl Stream {
    pub(crate) fn new(handle: Arc<Handle>, id: StreamId) -> Stream {
        Stream { handle, id, rest: BytesMut::new(), ended: false, finished: false }
    }

    /// Its number within the connection.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// What both ends speak on it; `None`: the remote has not answered yet.
    pub fn protocol(&self) -> Option<Protocol> {
        self.handle.0.act(|state, _| state.streams.get(&self.id)?.protocol.clone())
    }

    /// Waits for the remote's answer to our proposals.
    ///
    /// # Errors
    /// The remote speaks none of the protocols, or the stream or the connection ended before it said so.
    pub async fn negotiated(&self) -> Result<Protocol, OpenError> {
        poll_fn(|cx| {
            self.handle.0.act(|state, _| {
                let closed = state.machine.is_closed();
                let Some(entry) = state.streams.get_mut(&self.id) else { return Poll::Ready(Err(OpenError::Closed)) };
                Poll::Ready(match (&entry.protocol, &entry.refused) {
                    (Some(protocol), _) => Ok(protocol.clone()),
                    (None, Some(Refused::Negotiation(error))) => Err(OpenError::Negotiation(error.clone())),
                    (None, Some(Refused::Reset(by, code))) => Err(OpenError::Reset { by: *by, code: *code }),
                    (None, None) if closed => Err(OpenError::Closed),
                    (None, None) => {
                        keep(&mut entry.settle, cx);
                        return Poll::Pending;
                    }
                })
            })
        })
        .await
    }

    /// The next piece, as it arrived and without a copy. `None`: the remote finished. Cancel safe.
    ///
    /// # Errors
    /// The protocol was refused, the stream was reset, or the connection is over; what came before was read.
    pub async fn read_chunk(&mut self) -> io::Result<Option<Bytes>> {
        poll_fn(|cx| self.poll_chunk(cx)).await.map(|chunk| chunk.map(BytesMut::freeze))
    }

    /// Ends the stream at once in both directions. `code` is told where the multiplexer has a place for it: libp2p/specs
    /// connections/README.md, "Error Codes".
    pub fn reset(mut self, code: u32) {
        self.forget(code);
    }

    fn forget(&mut self, code: u32) {
        let id = self.id;
        self.handle.0.act(|state, _| {
            state.streams.remove(&id);
            // The machine may have forgotten it already.
            state.machine.reset(id, code, &mut state.tx.bytes).ok();
        });
        (self.ended, self.finished) = (true, true);
    }

    fn poll_chunk(&mut self, cx: &Context<'_>) -> Poll<io::Result<Option<BytesMut>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Ok(Some(std::mem::take(&mut self.rest))));
        }
        if self.ended {
            return Poll::Ready(Ok(None));
        }
        let id = self.id;
        let read = self.handle.0.act(|state, _| {
            let read = state.machine.read(id, &mut state.tx.bytes);
            if read == Err(ReadStreamError::Blocked)
                && let Some(entry) = state.streams.get_mut(&id)
            {
                keep(&mut entry.read, cx);
            }
            read
        });
        match read {
            Err(ReadStreamError::Blocked) => return Poll::Pending,
            Ok(None) => self.ended = true,
            _ => {}
        }
        Poll::Ready(read.map_err(read_error))
    }

    fn poll_copy(&mut self, cx: &Context<'_>, mut put: impl FnMut(&[u8]) -> usize) -> Poll<io::Result<usize>> {
        if self.rest.is_empty() {
            match ready!(self.poll_chunk(cx))? {
                Some(chunk) => self.rest = chunk,
                None => return Poll::Ready(Ok(0)),
            }
        }
        let count = put(&self.rest);
        self.rest.advance(count);
        if self.rest.is_empty() {
            // Even an empty handle would hold the buffer.
            self.rest = BytesMut::new();
        }
        Poll::Ready(Ok(count))
    }

    fn poll_put(&mut self, cx: &Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let id = self.id;
        let data = data.get(..MAX_WRITE).unwrap_or(data);
        let written = self.handle.0.write(|state| {
            let written = state.machine.write(id, data, &mut state.tx.bytes);
            if written == Err(WriteError::Blocked)
                && let Some(entry) = state.streams.get_mut(&id)
            {
                keep(&mut entry.write, cx);
            }
            written
        });
        match written {
            Err(WriteError::Blocked) => Poll::Pending,
            other => Poll::Ready(other.map_err(write_error)),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.finished {
            return Ok(());
        }
        let id = self.id;
        self.handle.0.act(|state, _| state.machine.finish(id, &mut state.tx.bytes)).map_err(finish_error)?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let id = self.id;
        match (self.finished, self.ended) {
            (true, true) => drop(self.handle.0.act(|state, _| state.streams.remove(&id))),
            (true, false) if self.rest.is_empty() => self.handle.0.act(|state, _| state.see_off(id)),
            _ => self.forget(0),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let copied = self.poll_copy(cx, |rest| {
            let count = rest.len().min(buf.remaining());
            buf.put_slice(rest.get(..count).unwrap_or_default());
            count
        });
        copied.map_ok(drop)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_put(cx, data)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.finish())
    }
}

#[cfg(feature = "futures-io")]
impl futures_io::AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.poll_copy(cx, |rest| {
            let count = rest.len().min(buf.len());
            if let (Some(to), Some(from)) = (buf.get_mut(..count), rest.get(..count)) {
                to.copy_from_slice(from);
            }
            count
        })
    }
}

#[cfg(feature = "futures-io")]
impl futures_io::AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_put(cx, data)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.finish())
    }
}

/// Remembers whom to wake, without cloning the same waker again.
fn keep(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}
