//! The two threads of a connection: one brings bytes in, the other takes them out and keeps the time.
//!
//! ```text
//!  reader: peek, no buffer --> read into rx --> hear --> again;   at the end of input: hear, done
//!  writer: sleep until the deadline, or woken --> turn: the line puts into tx --> write --> again
//!          over, and tx sent --> shutdown(Write) --> the remote's end, or the limit --> shutdown(Both), done
//! ```
//! The reader never writes, so two ends that both write as much as they can always hear each other.

use crate::park::Parker;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};
use tidewire_adapter::{Buffer, Hub, Line, Observed, Turned, Watch, lock};

/// No more is read while this many bytes wait in `rx`: the machine waits for room to answer.
const MAX_RX: usize = 128 * 1024;

/// Bytes asked for in one read: from here, doubled while reads are filled, up to the largest.
const READ: (usize, usize) = (4 * 1024, 64 * 1024);

/// How long a write to a socket that takes nothing may keep the writer from looking at the deadline.
const JAMMED: Duration = Duration::from_millis(100);

/// Drives a connection to its end, with this thread and a second one. A closed one may take `limit` to send what is left,
/// and to hear that the remote closed too.
pub(crate) fn run(hub: &Hub, line: &Arc<Line>, socket: &TcpStream, limit: Duration) {
    let writer = Parker::new();
    let wire = Wire {
        watch: hub.watch(line.connection()),
        waker: writer.clone().into(),
        inbox: Mutex::default(),
        changed: Condvar::new(),
        sent: AtomicU64::new(0),
        received: AtomicU64::new(0),
        hub,
        line,
        socket,
        writer,
        limit,
    };
    thread::scope(|scope| {
        let name = format!("tidewire-{}-in", line.connection().0);
        let begun = socket
            .set_write_timeout(Some(JAMMED))
            .and_then(|()| thread::Builder::new().name(name).spawn_scoped(scope, || wire.guarded(Wire::read)));
        match begun {
            Ok(_) => wire.guarded(Wire::write),
            Err(error) => line.broken(hub, &error.to_string()),
        }
        // The reader comes to its end, if it did not before.
        wire.hang_up();
    });
    let (sent, received) = (wire.sent.into_inner(), wire.received.into_inner());
    wire.watch.tell(|| Observed::Done { sent, received });
}

struct Wire<'a> {
    hub: &'a Hub,
    line: &'a Arc<Line>,
    socket: &'a TcpStream,
    limit: Duration,
    writer: Arc<Parker>,
    waker: Waker,
    /// Locked while one of both threads is at the line.
    inbox: Mutex<Inbox>,
    /// The inbox got emptier, or one of its words turned true.
    changed: Condvar,
    sent: AtomicU64,
    received: AtomicU64,
    watch: Watch,
}

#[derive(Default)]
struct Inbox {
    /// Came, and was not consumed. The reader borrows it while it reads.
    rx: Buffer,
    /// The remote sends no more.
    ended: bool,
    /// Why we can't send any more.
    fault: Option<String>,
    /// The line is over: what comes is thrown away.
    over: bool,
    /// The reader is done.
    done: bool,
}

impl Wire<'_> {
    /// A hook that panics ends this connection, and nothing else.
    fn guarded(&self, work: fn(&Self)) {
        if catch_unwind(AssertUnwindSafe(|| work(self))).is_err() {
            let mut inbox = lock(&self.inbox);
            // If it panics again, at this too: that was it.
            let _ = catch_unwind(AssertUnwindSafe(|| self.line.broken(self.hub, "a hook of the application panicked")));
            (inbox.over, inbox.done) = (true, true);
            inbox.tidy();
            drop(inbox);
            self.hang_up();
            self.waker.wake_by_ref();
            self.changed.notify_all();
        }
    }

    fn hang_up(&self) {
        // Of a socket that is broken already nothing is wanted.
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    fn read(&self) {
        let mut want = READ.0;
        let fault = loop {
            match self.read_some(&mut want) {
                Ok(0) => break None,
                Ok(count) => {
                    self.received.fetch_add(count as u64, Relaxed);
                    self.hub.traffic().received.fetch_add(count as u64, Relaxed);
                    self.watch.tell(|| Observed::Received(count));
                }
                Err(error) if is_pause(&error) => continue,
                Err(error) => break Some(error.to_string()),
            }
            let mut inbox = lock(&self.inbox);
            self.hear(&mut inbox);
            while inbox.rx.bytes.len() > MAX_RX {
                inbox = self.changed.wait(inbox).unwrap_or_else(PoisonError::into_inner);
            }
        };
        let mut inbox = lock(&self.inbox);
        match fault.or(inbox.fault.take()) {
            Some(why) if !inbox.over => {
                self.line.broken(self.hub, &why);
                inbox.over = true;
            }
            _ => inbox.ended = true,
        }
        self.hear(&mut inbox);
        inbox.done = true;
        self.changed.notify_all();
    }

    fn read_some(&self, want: &mut usize) -> io::Result<usize> {
        // Who waits here holds no buffer, and is the only one who reads: after this, reading does not block.
        if self.socket.peek(&mut [0])? == 0 {
            return Ok(0);
        }
        let mut rx = std::mem::take(&mut lock(&self.inbox).rx);
        rx.make_room(*want, self.hub.pool());
        let before = rx.bytes.len();
        rx.bytes.resize(before + *want, 0);
        let result = { self.socket }.read(rx.bytes.get_mut(before..).unwrap_or_default());
        let count = *result.as_ref().unwrap_or(&0);
        rx.bytes.truncate(before + count);
        *want = if count == *want { READ.1.min(count * 2) } else { READ.0.max(count.next_power_of_two()) };
        lock(&self.inbox).rx = rx;
        result
    }

    /// Tells the line what came, and the writer if it is over.
    fn hear(&self, inbox: &mut Inbox) {
        if !inbox.over {
            let turned = self.line.hear(self.hub, &self.waker, &mut inbox.rx.bytes, inbox.ended);
            inbox.over = !matches!(turned, Turned::Wait(_));
            if turned == Turned::Refused {
                self.hang_up();
            }
        }
        if inbox.over {
            self.waker.wake_by_ref();
        }
        inbox.tidy();
    }

    fn write(&self) {
        let (mut tx, mut written) = (Buffer::default(), 0);
        let turned = loop {
            let deadline = match self.turn(&mut tx) {
                Turned::Wait(deadline) => deadline,
                done => break done,
            };
            if tx.bytes.is_empty() {
                tx.rest();
                self.writer.wait((!deadline.is_never()).then(|| self.hub.clock().instant(deadline)));
            } else {
                self.send(&mut tx, &mut written);
            }
        };
        if turned == Turned::Over {
            self.finish(&mut tx, &mut written);
        }
    }

    fn turn(&self, tx: &mut Buffer) -> Turned {
        let mut inbox = lock(&self.inbox);
        let ended = inbox.ended;
        let turned = self.line.turn(self.hub, &self.waker, &mut inbox.rx.bytes, ended, tx);
        inbox.over |= !matches!(turned, Turned::Wait(_));
        inbox.tidy();
        self.changed.notify_all();
        turned
    }

    /// Sends some of it, or waits a moment for a socket that takes nothing.
    fn send(&self, tx: &mut Buffer, written: &mut usize) {
        match { self.socket }.write(tx.bytes.get(*written..).unwrap_or_default()) {
            Ok(count @ 1..) => {
                *written += count;
                self.sent.fetch_add(count as u64, Relaxed);
                self.hub.traffic().sent.fetch_add(count as u64, Relaxed);
                self.watch.tell(|| Observed::Sent(count));
            }
            Err(error) if is_pause(&error) => {}
            Ok(_) => self.deaf(tx, &ErrorKind::WriteZero.into()),
            Err(error) => self.deaf(tx, &error),
        }
        if *written >= tx.bytes.len() {
            tx.bytes.clear();
            *written = 0;
        }
    }

    /// The remote takes no more. What it said before is still read, and the reader comes to the end now.
    fn deaf(&self, tx: &mut Buffer, error: &io::Error) {
        lock(&self.inbox).fault.get_or_insert(error.to_string());
        tx.bytes.clear();
        self.hang_up();
    }

    /// Sends what is left, says that no more comes, and waits for the remote to do the same: closing a socket with unread
    /// bytes in it would make the operating system throw away what the remote has not read.
    fn finish(&self, tx: &mut Buffer, written: &mut usize) {
        let until = Instant::now() + self.limit;
        while !tx.bytes.is_empty() && Instant::now() < until {
            self.send(tx, written);
        }
        let _ = self.socket.shutdown(Shutdown::Write);
        let mut inbox = lock(&self.inbox);
        while !inbox.done {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            inbox = self.changed.wait_timeout(inbox, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Inbox {
    /// Gives the buffer back, if nothing in it is wanted.
    fn tidy(&mut self) {
        if self.over || self.rx.bytes.is_empty() {
            self.rx = Buffer::default();
        }
    }
}

fn is_pause(error: &io::Error) -> bool {
    // A write that takes too long is `TimedOut` on Windows; elsewhere that is a connection that broke.
    let waits = error.kind() == ErrorKind::TimedOut && cfg!(windows);
    waits || matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock)
}
