//! Threads that wait for a waker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

/// Where one thread sleeps. A waker made of it wakes the thread, also when that is about to fall asleep.
#[derive(Debug)]
pub(crate) struct Parker {
    thread: Thread,
    woken: AtomicBool,
}

impl Parker {
    /// Of the thread that calls.
    pub(crate) fn new() -> Arc<Parker> {
        Arc::new(Parker { thread: thread::current(), woken: AtomicBool::new(false) })
    }

    /// Sleeps until woken, or until then. False: the time is over.
    pub(crate) fn wait(&self, until: Option<Instant>) -> bool {
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
pub(crate) fn block<T>(until: Option<Instant>, mut poll: impl FnMut(&Waker) -> Poll<T>) -> Option<T> {
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
