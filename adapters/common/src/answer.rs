//! The answer to a call that takes a while: a future that needs no runtime.

use crate::buffer::lock;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// The answer to a call. `None`: nobody is left who would give it.
#[derive(Debug)]
pub struct Answer<T>(Arc<Mutex<Slot<T>>>);

/// Where the answer is given. Dropped, it is never given.
#[derive(Debug)]
pub(crate) struct Asked<T>(Arc<Mutex<Slot<T>>>);

#[derive(Debug)]
enum Slot<T> {
    Waiting(Option<Waker>),
    Given(T),
    Gone,
}

impl<T> Answer<T> {
    pub(crate) fn new() -> (Asked<T>, Answer<T>) {
        let slot = Arc::new(Mutex::new(Slot::Waiting(None)));
        (Asked(slot.clone()), Answer(slot))
    }
}

impl<T> Future for Answer<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut slot = lock(&self.0);
        if let Slot::Waiting(waker) = &mut *slot {
            *waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        match std::mem::replace(&mut *slot, Slot::Gone) {
            Slot::Given(answer) => Poll::Ready(Some(answer)),
            _ => Poll::Ready(None),
        }
    }
}

impl<T> Asked<T> {
    /// Wakes whoever waits: call it outside of all locks.
    pub(crate) fn answer(self, answer: T) {
        self.put(Slot::Given(answer));
    }

    fn put(&self, word: Slot<T>) {
        let mut slot = lock(&self.0);
        if matches!(*slot, Slot::Waiting(_))
            && let Slot::Waiting(Some(waker)) = std::mem::replace(&mut *slot, word)
        {
            drop(slot);
            waker.wake();
        }
    }
}

impl<T> Drop for Asked<T> {
    fn drop(&mut self) {
        self.put(Slot::Gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::park::{block_on, wait};
    use std::thread;
    use std::time::Instant;

    #[test]
    fn an_answer_reaches_the_thread_that_waits_for_it() {
        let (asked, answer) = Answer::new();
        let giving = thread::spawn(move || asked.answer(7));
        assert_eq!(block_on(answer), Some(7));
        assert!(giving.join().is_ok());
    }

    #[test]
    fn who_waits_for_one_that_will_never_answer_is_told() {
        let (asked, answer) = Answer::<u8>::new();
        let leaving = thread::spawn(move || drop(asked));
        assert_eq!(block_on(answer), None);
        assert!(leaving.join().is_ok());
    }

    #[test]
    fn who_waits_too_long_goes() {
        let (_asked, answer) = Answer::<u8>::new();
        assert_eq!(wait(Some(Instant::now()), answer), None);
    }
}
