//! A stream: bytes both ways, each way finished by itself.

use bytes::Bytes;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tidewire_adapter as adapter;
use tidewire_host::{ConnectionId, StreamId};
use tidewire_multistream::Protocol;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream to a peer: tokio's [`AsyncRead`] and [`AsyncWrite`], and with the feature `futures-io` those of futures.
///
/// Shutting down says that no more will be written; reading goes on. What was written is sent without a flush. A stream that
/// is dropped before it was shut down is reset; one that was shut down is left in peace until the remote finishes too, and
/// reset if it sends something that nobody would read.
///
/// The errors of reading and writing hold a [`ReadStreamError`](crate::ReadStreamError) and a
/// [`WriteError`](crate::WriteError): [`io::Error::get_ref`].
#[derive(Debug)]
pub struct Stream(pub(crate) adapter::Stream);

impl Stream {
    /// Its number within its connection.
    pub fn id(&self) -> StreamId {
        self.0.id()
    }

    /// Its connection.
    pub fn connection(&self) -> ConnectionId {
        self.0.connection()
    }

    /// What both ends speak on it. Of a single protocol that was proposed with [`Selection::Lazy`](crate::Selection::Lazy),
    /// the remote may not have said yet whether it does: [`negotiated`](Stream::negotiated) waits for that.
    pub fn protocol(&self) -> &Protocol {
        self.0.protocol()
    }

    /// Waits until it is known whether the remote speaks the protocol: one that was proposed with
    /// [`Selection::Lazy`](crate::Selection::Lazy); any other is known already. Cancel safe.
    ///
    /// # Errors
    /// The remote refused the protocol ([`io::ErrorKind::Unsupported`]), or the stream was reset, or the connection is over.
    pub async fn negotiated(&mut self) -> io::Result<()> {
        self.0.negotiated().await
    }

    /// The next piece, as it arrived and without a copy. `None`: the remote finished. Cancel safe.
    ///
    /// # Errors
    /// The protocol was refused, the stream was reset, or the connection is over; what came before was read.
    pub async fn read_chunk(&mut self) -> io::Result<Option<Bytes>> {
        self.0.read_chunk().await
    }

    /// All that comes until the remote finishes, at most `max` bytes.
    ///
    /// # Errors
    /// As [`read_chunk`](Stream::read_chunk); [`io::ErrorKind::FileTooLarge`]: there was more.
    pub async fn read_all(&mut self, max: usize) -> io::Result<Bytes> {
        self.0.read_all(max).await
    }

    /// Ends the stream at once in both directions. `code` is told where the multiplexer has a place for it: libp2p/specs
    /// connections/README.md, "Error Codes".
    pub fn reset(self, code: u32) {
        self.0.reset(code);
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let copied = self.0.poll_read(cx.waker(), |rest| {
            let count = rest.len().min(buf.remaining());
            buf.put_slice(rest.get(..count).unwrap_or_default());
            count
        });
        copied.map_ok(drop)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx.waker(), data)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.finish())
    }
}

#[cfg(feature = "futures-io")]
impl futures_io::AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.poll_fill(cx.waker(), buf)
    }
}

#[cfg(feature = "futures-io")]
impl futures_io::AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(self, cx, data)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(self, cx)
    }
}
