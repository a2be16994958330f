//! A pipe in memory, and the smallest executor.
//!
//! Both are as cheap as they can be, so that what is measured is the peer: nobody is ever woken, the two sides are
//! polled by turns until they are done.

use futures::io::{AsyncRead, AsyncWrite};
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// One end of the pipe.
#[derive(Clone)]
pub struct Pipe {
    incoming: Arc<Mutex<Direction>>,
    outgoing: Arc<Mutex<Direction>>,
}

#[derive(Default)]
struct Direction {
    bytes: Vec<u8>,
    read: usize,
    closed: bool,
}

/// How much a direction holds, as a socket's buffer would.
const CAPACITY: usize = 256 * 1024;

/// Both ends.
pub fn pipe() -> (Pipe, Pipe) {
    let (there, back) = (Arc::default(), Arc::default());
    (Pipe { incoming: Arc::clone(&back), outgoing: Arc::clone(&there) }, Pipe { incoming: there, outgoing: back })
}

impl Pipe {
    /// Empty and open again, keeping its memory.
    pub fn clear(&self) {
        for direction in [&self.incoming, &self.outgoing] {
            let mut direction = direction.lock().unwrap_or_else(PoisonError::into_inner);
            direction.bytes.clear();
            direction.read = 0;
            direction.closed = false;
        }
    }
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut incoming = self.incoming.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = &incoming.bytes[incoming.read..];
        if waiting.is_empty() {
            return if incoming.closed { Poll::Ready(Ok(0)) } else { Poll::Pending };
        }
        let len = waiting.len().min(buf.len());
        buf[..len].copy_from_slice(&waiting[..len]);
        incoming.read += len;
        if incoming.read == incoming.bytes.len() {
            incoming.bytes.clear();
            incoming.read = 0;
        }
        Poll::Ready(Ok(len))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut outgoing = self.outgoing.lock().unwrap_or_else(PoisonError::into_inner);
        let len = buf.len().min(CAPACITY.saturating_sub(outgoing.bytes.len()));
        if len == 0 && !buf.is_empty() {
            return Poll::Pending;
        }
        outgoing.bytes.extend_from_slice(&buf[..len]);
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        Poll::Ready(Ok(()))
    }
}

/// Polls both by turns until both are done.
pub fn drive<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let cx = &mut context();
    let (mut a_done, mut b_done) = (None, None);
    loop {
        if a_done.is_none()
            && let Poll::Ready(done) = a.as_mut().poll(cx)
        {
            a_done = Some(done);
        }
        if b_done.is_none()
            && let Poll::Ready(done) = b.as_mut().poll(cx)
        {
            b_done = Some(done);
        }
        if let (Some(_), Some(_)) = (&a_done, &b_done)
            && let (Some(a), Some(b)) = (a_done.take(), b_done.take())
        {
            return (a, b);
        }
    }
}

/// A context that wakes nobody.
pub fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}
