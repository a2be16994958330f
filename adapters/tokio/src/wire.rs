//! The task of a connection: moves bytes between its socket and its line.
//!
//! ```text
//!        .--> turn: the line takes of rx, puts into tx, says when it wants to be called
//!        |      |
//!        |    write tx, read rx    while one of them moved a byte
//!        '------'
//!               '--> nothing moved: wait for the socket, the deadline, or whoever woke the task
//! ```

use bytes::Buf;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tidewire_adapter::{Alive, Buffer, Hub, Line, Turned, Works};
use tidewire_core::Time;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep_until, timeout};

/// No more is read while this many bytes wait in `rx`: the machine has no use for them now.
const MAX_RX: usize = 128 * 1024;

/// With less room than this in `rx`, a read is not worth a system call.
const MIN_READ: usize = 64 * 1024;

/// Drives a connection to its end. A closed one may take [`Works::close_timeout`] to send what is left, and to hear that the
/// remote closed too.
pub(crate) async fn run(works: Works, line: Arc<Line>, socket: TcpStream) {
    let Works { hub, alive, close_timeout, .. } = works;
    let (rx, tx) = (Buffer::default(), Buffer::default());
    let (ended, deaf, alarm, timer, done) = (false, false, Time::NEVER, None, false);
    let mut wire = Wire { hub, line, socket, rx, tx, ended, deaf, alarm, timer, done, _alive: alive };
    let turned = poll_fn(|cx| wire.poll(cx)).await;
    wire.done = true;
    if turned == Turned::Over {
        // Apart, so that connections that live have no room for it.
        Box::pin(wire.finish(close_timeout)).await;
    }
    wire.line.done();
}

/// A connection's line and its socket, with what was received from it, and what is to be sent to it.
struct Wire {
    hub: Arc<Hub>,
    line: Arc<Line>,
    socket: TcpStream,
    rx: Buffer,
    tx: Buffer,
    /// The remote sends no more.
    ended: bool,
    /// The remote takes no more: nothing is sent, and what it had said before is still read.
    deaf: bool,
    /// When the timer fires; not later than the last deadline.
    alarm: Time,
    timer: Option<Pin<Box<Sleep>>>,
    /// The line knows that it is over.
    done: bool,
    _alive: Alive,
}

impl Wire {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Turned> {
        loop {
            let Wire { hub, line, rx, tx, ended, .. } = self;
            let deadline = match line.turn(hub, cx.waker(), &mut rx.bytes, *ended, tx) {
                Turned::Wait(deadline) => deadline,
                done => return Poll::Ready(done),
            };
            let wrote = self.poll_write(cx);
            match self.poll_read(cx) {
                Poll::Ready(Err(error)) => {
                    self.line.broken(&self.hub, &error.to_string());
                    return Poll::Ready(Turned::Refused);
                }
                Poll::Pending if wrote.is_pending() => ready!(self.poll_deadline(cx, deadline)),
                _ => {}
            }
        }
    }

    /// Ready once all of `tx` is gone; pending if there was nothing to send. A socket that can't be written to any more
    /// says so to the next read too, behind the remote's last words.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.tx.bytes.is_empty() {
            self.tx.rest();
            return Poll::Pending;
        }
        self.deaf |= !self.deaf && ready!(self.poll_send(cx)).is_err();
        self.tx.advance(usize::MAX);
        Poll::Ready(())
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let rest @ [_, ..] = self.tx.unsent() {
            let count = ready!(Pin::new(&mut self.socket).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.tx.advance(count);
            self.line.sent(&self.hub, count);
        }
        Poll::Ready(Ok(()))
    }

    /// Ready once something came, the end too; pending if nothing came or nothing is wanted.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ended || self.rx.bytes.len() >= MAX_RX {
            return Poll::Pending;
        }
        if self.rx.bytes.is_empty() {
            // Only who has something to read needs a buffer.
            if self.socket.poll_read_ready(cx).is_pending() {
                self.rx.rest();
                return Poll::Pending;
            }
        }
        self.rx.make_room(MIN_READ, self.hub.pool());
        let count = ready!(pin!(self.socket.read_buf(&mut self.rx.bytes)).poll(cx))?;
        self.ended = count == 0;
        if count > 0 {
            self.line.received(&self.hub, count);
        }
        Poll::Ready(Ok(()))
    }

    /// Ready once the line wants to be called. The timer is only ever moved when it would fire too late, or has fired: the
    /// deadline moves with every byte, and an early call is harmless.
    fn poll_deadline(&mut self, cx: &mut Context<'_>, deadline: Time) -> Poll<()> {
        if deadline.is_never() {
            (self.timer, self.alarm) = (None, Time::NEVER);
            return Poll::Pending;
        }
        if deadline < self.alarm || self.timer.is_none() {
            self.alarm = deadline;
            let at = self.hub.clock().instant(deadline).into();
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(at),
                None => self.timer = Some(Box::pin(sleep_until(at))),
            }
        }
        let Some(timer) = &mut self.timer else { return Poll::Pending };
        ready!(timer.as_mut().poll(cx));
        (self.timer, self.alarm) = (None, Time::NEVER);
        Poll::Ready(())
    }

    /// Sends what is left, says that no more comes, and waits for the remote to do the same: closing a socket with unread
    /// bytes in it would make the operating system throw away what the remote has not read.
    async fn finish(&mut self, limit: Duration) {
        let finishing = async {
            poll_fn(|cx| if self.tx.bytes.is_empty() { Poll::Ready(()) } else { self.poll_write(cx) }).await;
            self.socket.shutdown().await?;
            while !self.ended {
                let waiting = self.rx.bytes.len();
                self.rx.bytes.advance(waiting);
                poll_fn(|cx| self.poll_read(cx)).await?;
            }
            Ok::<(), io::Error>(())
        };
        // Whoever does not take our last bytes in time, or has closed already, can't be told anything.
        let _ = timeout(limit, finishing).await;
    }
}

/// The runtime may end the task at any point, and so may a hook that panics.
impl Drop for Wire {
    fn drop(&mut self) {
        if !self.done {
            let why = if std::thread::panicking() { "its task panicked" } else { "its task was ended" };
            self.line.broken(&self.hub, why);
        }
    }
}
