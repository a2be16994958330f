//! The loop that drives a machine over a socket: an upgrade first, then the connection that it becomes.
//!
//! ```text
//!        .--> turn: the machine takes of rx, appends to tx, says when it wants to be called
//!        |      |
//!        |    write tx, read rx    while one of them moved a byte
//!        '------'
//!               '--> nothing moved: wait for the socket, the deadline, or whoever woke the task
//! ```

use crate::buffer::{Buffer, Pool};
use crate::endpoint::Clock;
use bytes::Buf;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tidewire_adapter::{Observed, Watch};
use tidewire_core::Time;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep_until, timeout};

/// No more is read while this many bytes wait in `rx`: the machine has no use for them now.
const MAX_RX: usize = 128 * 1024;

/// With less room than this in `rx`, a read is not worth a system call.
const MIN_READ: usize = 64 * 1024;

/// A socket with what was received from it, and what is to be sent to it.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: TcpStream,
    pub(crate) rx: Buffer,
    pub(crate) tx: Buffer,
    /// How much of `tx` was sent.
    written: usize,
    /// The remote sends no more.
    pub(crate) ended: bool,
    /// The remote takes no more: nothing is sent, and what it had said before is still read.
    deaf: bool,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// When the timer fires; not later than the last deadline.
    alarm: Time,
    timer: Option<Pin<Box<Sleep>>>,
    pub(crate) clock: Clock,
    pub(crate) pool: Arc<Pool>,
    pub(crate) watch: Watch,
}

/// A machine, seen from the loop.
pub(crate) trait Driven {
    /// What it comes to.
    type Done;

    /// Everything that can be done now. `Wait`: call again when a byte came or went, or at that time.
    fn turn(&mut self, cx: &Context<'_>, now: Time, wire: &mut Wire) -> Turn<Self::Done>;

    /// The socket failed.
    fn broken(&mut self, error: io::Error) -> Self::Done;
}

pub(crate) enum Turn<D> {
    Wait(Time),
    Done(D),
}

impl Wire {
    pub(crate) fn new(socket: TcpStream, clock: Clock, pool: Arc<Pool>, watch: Watch) -> Self {
        Wire {
            socket,
            rx: Buffer::default(),
            tx: Buffer::default(),
            written: 0,
            ended: false,
            deaf: false,
            sent: 0,
            received: 0,
            alarm: Time::NEVER,
            timer: None,
            clock,
            pool,
            watch,
        }
    }

    /// What is to be sent and was not begun.
    pub(crate) fn take_unsent(&mut self) -> Buffer {
        if self.written == 0 { std::mem::take(&mut self.tx) } else { Buffer::default() }
    }

    /// Drives `machine` until it is done. May be dropped and called again at any time.
    pub(crate) async fn drive<D: Driven>(&mut self, machine: &mut D) -> D::Done {
        poll_fn(|cx| self.poll_drive(cx, machine)).await
    }

    fn poll_drive<D: Driven>(&mut self, cx: &mut Context<'_>, machine: &mut D) -> Poll<D::Done> {
        loop {
            let deadline = match machine.turn(cx, self.clock.now(), self) {
                Turn::Done(done) => return Poll::Ready(done),
                Turn::Wait(deadline) => deadline,
            };
            let wrote = self.poll_write(cx);
            match self.poll_read(cx) {
                Poll::Ready(Err(error)) => return Poll::Ready(machine.broken(error)),
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
        self.tx.bytes.clear();
        self.written = 0;
        Poll::Ready(())
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest @ [_, ..]) = self.tx.bytes.get(self.written..) {
            let count = ready!(Pin::new(&mut self.socket).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
            self.sent += count as u64;
            self.watch.tell(|| Observed::Sent(count));
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
        self.rx.make_room(MIN_READ, &self.pool);
        let count = ready!(pin!(self.socket.read_buf(&mut self.rx.bytes)).poll(cx))?;
        self.ended = count == 0;
        self.received += count as u64;
        if count > 0 {
            self.watch.tell(|| Observed::Received(count));
        }
        Poll::Ready(Ok(()))
    }

    /// Ready once the machine wants to be called. The timer is only ever moved when it would fire too late, or has fired:
    /// the deadline moves with every byte, and an early call is harmless.
    fn poll_deadline(&mut self, cx: &mut Context<'_>, deadline: Time) -> Poll<()> {
        if deadline.is_never() {
            (self.timer, self.alarm) = (None, Time::NEVER);
            return Poll::Pending;
        }
        if deadline < self.alarm || self.timer.is_none() {
            self.alarm = deadline;
            let at = self.clock.instant(deadline);
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
    pub(crate) async fn finish(&mut self, limit: Duration) {
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
