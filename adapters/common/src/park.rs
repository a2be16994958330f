//! Threads that wait for a waker: what has no runtime blocks.

use crate::buffer::lock;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Where one thread sleeps. A waker made of it wakes the thread, also when that is about to fall asleep.
#[derive(Debug)]
pub struct Parker {
    thread: Thread,
    woken: AtomicBool,
}

impl Parker {
    /// Of the thread that calls.
    #[must_use]
    pub fn new() -> Arc<Parker> {
        Arc::new(Parker { thread: thread::current(), woken: AtomicBool::new(false) })
    }

    /// Sleeps until woken, or until then. False: the time is over.
    pub fn wait(&self, until: Option<Instant>) -> bool {
        // Others may unpark the thread for reasons of their own.
        while !self.woken.swap(false, Ordering::Acquire) {
            match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => thread::park(),
                Some(left) if left.is_zero() => return false,
                Some(left) => thread::park_timeout(left),
            }
        }
        true
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// Polls until it is ready, and sleeps in between. `None`: the time is over.
pub fn block<T>(until: Option<Instant>, mut poll: impl FnMut(&Waker) -> Poll<T>) -> Option<T> {
    thread_local! {
        static PARKER: (Arc<Parker>, Waker) = {
            let parker = Parker::new();
            (parker.clone(), parker.into())
        };
    }
    PARKER.with(|(parker, waker)| {
        loop {
            if let Poll::Ready(done) = poll(waker) {
                return Some(done);
            }
            if !parker.wait(until) {
                return None;
            }
        }
    })
}

/// What a future that needs no runtime comes to. `None`: the time is over, and it is dropped.
pub fn wait<T>(until: Option<Instant>, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    block(until, |waker| future.as_mut().poll(&mut Context::from_waker(waker)))
}

/// The same without a limit.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Some(done) = wait(None, future.as_mut()) {
            return done;
        }
    }
}

/// Where threads wait for one thing, one after the other, each for so long.
#[derive(Debug, Default)]
pub struct Turns {
    turn: Mutex<()>,
    limit: Mutex<Option<Duration>>,
}

impl Turns {
    /// How long a turn may take from now on. `None`, the default: for ever.
    pub fn set_limit(&self, limit: Option<Duration>) {
        *lock(&self.limit) = limit;
    }

    /// Takes a turn, which is over when `poll` is ready.
    ///
    /// # Errors
    /// Those of `poll`; [`io::ErrorKind::TimedOut`]: it took too long.
    pub fn wait<T>(&self, poll: impl FnMut(&Waker) -> Poll<io::Result<T>>) -> io::Result<T> {
        let until = lock(&self.limit).and_then(|limit| Instant::now().checked_add(limit));
        let _turn = lock(&self.turn);
        let timed_out = || io::Error::new(io::ErrorKind::TimedOut, "the stream's timeout is over");
        block(until, poll).unwrap_or_else(|| Err(timed_out()))
    }
}
