//! The two threads of a connection: one brings bytes in, the other takes them out and keeps the time.
//!
//! ```text
//!  reader: peek, no buffer --> read into rx --> hear --> again;   at the end of input: hear, done
//!  writer: sleep until the deadline, or woken --> turn: the line puts into tx --> write --> again
//!          over, and tx sent --> shutdown(Write) --> the remote's end, or the limit --> shutdown(Both), done
//! ```
//! The reader never writes, so two ends that both write as much as they can always hear each other.

use std::io::{self, ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};
use tidewire_adapter::{Buffer, Hub, Line, Parker, Turned, Works, is_pause, lock};

/// No more is read while this many bytes wait in `rx`: the machine waits for room to answer.
const MAX_RX: usize = 128 * 1024;

/// Bytes asked for in one read: from here, doubled while reads are filled, up to the largest.
const READ: (usize, usize) = (4 * 1024, 64 * 1024);

/// How long a write to a socket that takes nothing may keep the writer from looking at the deadline.
const JAMMED: Duration = Duration::from_millis(100);

/// Drives a connection to its end, with this thread and a second one. A closed one may take [`Works::close_timeout`] to send what
/// is left, and to hear that the remote closed too.
pub(crate) fn run(works: &Works, line: &Arc<Line>, socket: &TcpStream) {
    let (hub, limit): (&Hub, _) = (&works.hub, works.close_timeout);
    let writer = Parker::new();
    let (waker, inbox, changed) = (writer.clone().into(), Mutex::default(), Condvar::new());
    let wire = Wire { hub, line, socket, limit, writer, waker, inbox, changed };
    thread::scope(|scope| {
        let name = format!("tidewire-{}-in", line.connection().0);
        let begun = socket
            .set_nonblocking(false)
            .and_then(|()| socket.set_write_timeout(Some(JAMMED)))
            .and_then(|()| thread::Builder::new().name(name).spawn_scoped(scope, || wire.read()));
        match begun {
            Ok(_) => wire.write(),
            Err(error) => line.broken(hub, &error.to_string()),
        }
        // The reader comes to its end, if it did not before.
        wire.hang_up();
    });
    line.done();
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
    /// The inbox got emptier, or the line is over.
    changed: Condvar,
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
    fn hang_up(&self) {
        // Of a socket that is broken already nothing is wanted.
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    fn read(&self) {
        let mut want = READ.0;
        let fault = loop {
            match self.read_some(&mut want) {
                Ok(0) => break None,
                Ok(count) => self.line.received(self.hub, count),
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
        self.waker.wake_by_ref();
    }

    fn read_some(&self, want: &mut usize) -> io::Result<usize> {
        // Who waits here holds no buffer, and is the only one who reads: after this, reading does not block.
        if self.socket.peek(&mut [0])? == 0 {
            return Ok(0);
        }
        let mut rx = std::mem::take(&mut lock(&self.inbox).rx);
        let result = rx.read_from(self.socket, *want, self.hub.pool());
        let count = *result.as_ref().unwrap_or(&0);
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
        let mut tx = Buffer::default();
        let turned = loop {
            let deadline = match self.turn(&mut tx) {
                Turned::Wait(deadline) => deadline,
                done => break done,
            };
            if tx.bytes.is_empty() {
                tx.rest();
                self.writer.wait((!deadline.is_never()).then(|| self.hub.clock().instant(deadline)));
            } else {
                self.send(&mut tx);
            }
        };
        if turned == Turned::Over {
            self.finish(&mut tx);
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
    fn send(&self, tx: &mut Buffer) {
        match { self.socket }.write(tx.unsent()) {
            Ok(count @ 1..) => {
                tx.advance(count);
                self.line.sent(self.hub, count);
            }
            Err(error) if is_pause(&error) => {}
            broken => {
                // What the remote said before is still read, and the reader comes to the end now.
                let error = broken.err().unwrap_or_else(|| ErrorKind::WriteZero.into());
                lock(&self.inbox).fault.get_or_insert(error.to_string());
                tx.advance(usize::MAX);
                self.hang_up();
            }
        }
    }

    /// Sends what is left, says that no more comes, and waits for the remote to do the same: closing a socket with unread
    /// bytes in it would make the operating system throw away what the remote has not read.
    fn finish(&self, tx: &mut Buffer) {
        let until = Instant::now() + self.limit;
        while !tx.bytes.is_empty() && Instant::now() < until {
            self.send(tx);
        }
        let _ = self.socket.shutdown(Shutdown::Write);
        while !lock(&self.inbox).done && self.writer.wait(Some(until)) {}
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
