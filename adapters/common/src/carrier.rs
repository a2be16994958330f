//! A connection whose transport is a stream of another one: the end of a circuit.
//!
//! ```text
//!   upper line  <--rx-- chunks of the stream, as they are --<  stream of the lower line
//!               --tx-->              one copy            -->
//! ```
//! It knows no runtime: whoever drives it calls [`Carrier::poll`] when its waker was woken, and when its time has come.

use crate::buffer::Buffer;
use crate::hooks::{Observed, Watch};
use crate::hub::Hub;
use crate::line::{Line, Turned};
use crate::stream::Stream;
use bytes::{Buf, BytesMut};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;
use tidewire_core::Time;

/// No more is read while this many bytes wait: the machine has no use for them now.
const MAX_RX: usize = 128 * 1024;

/// Drives a connection over a stream to its end. Dropped before that, the connection breaks.
pub(crate) struct Carrier {
    hub: Arc<Hub>,
    line: Arc<Line>,
    watch: Watch,
    stream: Option<Stream>,
    rx: BytesMut,
    tx: Buffer,
    written: usize,
    /// The remote sends no more.
    ended: bool,
    /// The remote takes no more; what it had said before is still read.
    deaf: bool,
    state: State,
    close_timeout: Duration,
    sent: u64,
    received: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    /// The line is over: its last words go out until then.
    Closing(Time),
    Done,
}

impl Carrier {
    /// Carries `line` over `stream`. A closed connection may take `close_timeout` to send what is left.
    pub(crate) fn new(hub: Arc<Hub>, line: Arc<Line>, stream: Stream, close_timeout: Duration) -> Carrier {
        let watch = hub.watch(line.connection());
        Carrier {
            hub,
            line,
            watch,
            stream: Some(stream),
            rx: BytesMut::new(),
            tx: Buffer::default(),
            written: 0,
            ended: false,
            deaf: false,
            state: State::Running,
            close_timeout,
            sent: 0,
            received: 0,
        }
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Everything that can be done now. `None`: it is over. Else call again when `waker` was woken, and at this time.
    pub(crate) fn poll(&mut self, waker: &Waker) -> Option<Time> {
        loop {
            let deadline = match self.state {
                State::Running => match self.turn(waker) {
                    Some(deadline) => deadline,
                    None => continue,
                },
                State::Closing(until) if self.hub.clock().now() < until => until,
                State::Closing(_) | State::Done => return self.done(),
            };
            let wrote = self.write(waker);
            let read = self.read(waker);
            let waits = read.is_pending();
            match (read, self.state) {
                (Poll::Ready(Err(error)), State::Running) => {
                    self.line.broken(&self.hub, &error.to_string());
                    self.state = State::Done;
                }
                (Poll::Ready(Err(_)), _) => self.state = State::Done,
                (_, State::Closing(_)) if self.tx.bytes.is_empty() => {
                    // Said once; both ends are done when the remote says it too.
                    let finished = self.stream.as_mut().is_none_or(|stream| stream.finish().is_err());
                    if finished || self.ended {
                        self.state = State::Done;
                    } else if waits {
                        return Some(deadline);
                    }
                }
                (Poll::Pending, _) if !wrote => return Some(deadline),
                _ => {}
            }
        }
    }

    /// A turn of the line. `None`: it is over.
    fn turn(&mut self, waker: &Waker) -> Option<Time> {
        let Carrier { hub, line, rx, tx, ended, .. } = self;
        match line.turn(hub, waker, rx, *ended, tx) {
            Turned::Wait(deadline) => return Some(deadline),
            Turned::Over => self.state = State::Closing(self.hub.clock().now() + self.close_timeout),
            Turned::Refused => self.state = State::Done,
        }
        None
    }

    /// True: all of `tx` is gone, and there was something.
    fn write(&mut self, waker: &Waker) -> bool {
        let Some(stream) = self.stream.as_mut().filter(|_| !self.tx.bytes.is_empty()) else { return false };
        while let Some(rest @ [_, ..]) = self.tx.bytes.get(self.written..).filter(|_| !self.deaf) {
            match stream.poll_write(waker, rest) {
                Poll::Pending => return false,
                Poll::Ready(Ok(count)) => {
                    self.written += count;
                    self.sent += count as u64;
                    self.line.watch(|| Observed::Sent(count));
                }
                Poll::Ready(Err(_)) => self.deaf = true,
            }
        }
        self.tx.bytes.clear();
        self.tx.rest();
        self.written = 0;
        true
    }

    /// Ready once something came, the end too; pending if nothing came or nothing is wanted.
    fn read(&mut self, waker: &Waker) -> Poll<io::Result<()>> {
        if self.state != State::Running {
            // What comes after our goodbye is of no use.
            self.rx.clear();
        }
        let Some(stream) = self.stream.as_mut().filter(|_| !self.ended && self.rx.len() < MAX_RX) else {
            return Poll::Pending;
        };
        match stream.poll_chunk(waker) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(None)) => self.ended = true,
            Poll::Ready(Ok(Some(chunk))) => {
                let count = chunk.len();
                self.received += count as u64;
                self.line.watch(|| Observed::Received(count));
                if self.rx.is_empty() {
                    self.rx = chunk;
                } else {
                    self.rx.extend_from_slice(&chunk);
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn done(&mut self) -> Option<Time> {
        self.state = State::Done;
        if self.stream.take().is_some() {
            let (sent, received) = (self.sent, self.received);
            self.watch.tell(|| Observed::Done { sent, received });
        }
        self.rx.advance(self.rx.len());
        None
    }
}

/// A runtime may end the task at any point.
impl Drop for Carrier {
    fn drop(&mut self) {
        if self.state == State::Running {
            self.line.broken(&self.hub, "its task was ended");
        }
    }
}

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Carrier").field("line", &self.line).field("state", &self.state).finish_non_exhaustive()
    }
}
