//! The two threads of a connection: one brings bytes in, one takes them out and keeps the time.
//!
//! ```text
//!  reader: peek, no buffer --> read into rx --> turn --> again;   at the end of input: turn, done
//!  writer: sleep until the deadline, or woken --> turn --> swap tx --> turn (there is room) --> write --> again
//!          over, and tx sent --> shutdown(Write) --> the remote's end, or the linger --> shutdown(Both), done
//! ```
//! The reader never writes, so two ends that both write as much as they can always hear each other.

use crate::link::{Link, Phase};
use crate::shared::Shared;
use bytes::{Buf, BytesMut};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};
use tidewire_adapter::{Closed, Observed, Reason};
use tidewire_core::Time;
use tidewire_upgrade::connection::By;

/// More than a record, and what is read at once behind it: with this much unconsumed, the machine waits for room in `tx`,
/// and nothing more is read.
const STALLED: usize = 128 * 1024;

/// Bytes asked for in one read: from here, doubled while reads are filled, up to the largest.
const READ: (usize, usize) = (4 * 1024, 64 * 1024);

/// How long a write to a socket that takes nothing may keep the writer from looking at the deadline.
const JAMMED: Duration = Duration::from_millis(100);

/// Starts both.
pub(crate) fn start(shared: &Arc<Shared>) -> io::Result<()> {
    shared.socket.set_nodelay(true)?;
    shared.socket.set_write_timeout(Some(JAMMED))?;
    let reader = shared.clone();
    let number = shared.watch.connection();
    thread::Builder::new().name(format!("tidewire-{number}-in")).spawn(move || {
        guarded(&reader, read);
    })?;
    let writer = shared.clone();
    let spawned = thread::Builder::new().name(format!("tidewire-{number}-out")).spawn(move || {
        guarded(&writer, write);
        last(&writer);
    });
    if let Err(error) = spawned {
        shared.socket.shutdown(Shutdown::Both).ok();
        return Err(error);
    }
    Ok(())
}

/// A hook that panics ends this connection, and nothing else.
fn guarded(shared: &Shared, work: fn(&Shared)) {
    if catch_unwind(AssertUnwindSafe(|| work(shared))).is_err() {
        let mut link = shared.lock();
        link.tx.clear();
        if let Phase::Upgrading(_) = link.phase {
            link.phase = Phase::Failed(io::Error::other("a hook panicked").into());
        }
        link.finish(shared, By::Us, Reason::Panicked);
        drop(link);
        shared.socket.shutdown(Shutdown::Both).ok();
    }
}

fn read(shared: &Shared) {
    let mut want = READ.0;
    let fault = loop {
        // Who waits here holds no buffer, and is the only one who reads: after this, reading does not block.
        match shared.socket.peek(&mut [0]) {
            Ok(0) => break None,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => break Some(error),
        }
        let mut rx = std::mem::take(&mut shared.lock().rx);
        if rx.capacity() == 0 {
            rx = shared.pool.take();
        }
        let before = rx.len();
        rx.resize(before + want, 0);
        let result = (&shared.socket).read(rx.get_mut(before..).unwrap_or_default());
        let count = *result.as_ref().unwrap_or(&0);
        rx.truncate(before + count);
        want = if count == want { READ.1.min(want * 2) } else { READ.0.max(count.next_power_of_two()) };

        let mut link = shared.lock();
        link.rx = rx;
        match result {
            Ok(0) => break None,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => continue,
            Err(error) => break Some(error),
        }
        link.received += count as u64;
        shared.watch.tell(|| Observed::Received(count));
        link.turn(shared);
        shared.kick(&mut link);
        while link.rx.len() > STALLED && link.over.is_none() {
            let Ok(woken) = shared.wait(&shared.changed, link, None) else { return };
            link = woken;
        }
    };
    let mut link = shared.lock();
    link.end(shared, fault.map(|error| Reason::Socket(error.kind())));
    shared.kick(&mut link);
    // The writer lingers for this.
    shared.changed.notify_all();
}

fn write(shared: &Shared) {
    let mut out = BytesMut::new();
    let mut link = shared.lock();
    loop {
        link.turn(shared);
        if link.tx.is_empty() {
            if link.over.is_some() {
                return;
            }
            // Idle connections hold no buffer.
            (link.tx, out) = (BytesMut::new(), BytesMut::new());
            let until = link.deadline();
            link = shared.sleep(link, until);
            continue;
        }
        std::mem::swap(&mut out, &mut link.tx);
        let stalled = link.rx.len() > STALLED;
        link.turn(shared);
        if stalled {
            shared.changed.notify_all();
        }
        drop(link);
        let result = send(shared, &mut out);
        link = shared.lock();
        if let Err(error) = result {
            // Nothing more will go out. What the remote sent before is still taken in; the reader comes to the end now.
            shared.socket.shutdown(Shutdown::Both).ok();
            link.fault.get_or_insert(Reason::Socket(error.kind()));
            link.tx.clear();
            out.clear();
        }
    }
}

/// Sends all of it, as long as there is hope.
fn send(shared: &Shared, out: &mut BytesMut) -> io::Result<()> {
    while !out.is_empty() {
        match (&shared.socket).write(out) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                out.advance(count);
                shared.lock().sent += count as u64;
                shared.watch.tell(|| Observed::Sent(count));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                let mut link = shared.lock();
                if shared.clock.now() >= link.deadline() {
                    link.turn(shared);
                }
                if let Some(over) = &link.over
                    && shared.clock.now().since(over.since) >= shared.limits.close
                {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Everything was sent: the remote is given a moment to close its side. Closing a socket while bytes arrive would make the
/// system throw away what the remote has not read yet.
fn last(shared: &Shared) {
    shared.socket.shutdown(Shutdown::Write).ok();
    let mut link = shared.lock();
    let since = link.over.as_ref().map_or(Time::ZERO, |over| over.since);
    let left = shared.limits.close.saturating_sub(shared.clock.now().since(since));
    let until = Instant::now() + left;
    while !link.ended {
        match shared.wait(&shared.changed, link, Some(until)) {
            Ok(woken) => link = woken,
            Err(_) => {
                link = shared.lock();
                break;
            }
        }
    }
    shared.socket.shutdown(Shutdown::Both).ok();
    closed(shared, &mut link);
}

fn closed(shared: &Shared, link: &mut MutexGuard<'_, Link>) {
    let (by, reason) = match &link.over {
        Some(over) => (over.by, over.why.clone()),
        None => (By::Us, Reason::Panicked),
    };
    let lived = shared.clock.now().since(link.since);
    let closed = Closed::new(by, reason, lived, link.sent, link.received);
    if let Phase::Open(_) = link.phase {
        shared.watch.tell(|| Observed::Closed(closed.clone()));
    }
    link.closed = Some(closed);
    shared.changed.notify_all();
}
