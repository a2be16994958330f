//! What waits for the application: events, streams of a protocol.

use crate::buffer::lock;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::task::{Poll, Waker};

/// So many items, for one who takes them.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    max: usize,
    inner: Mutex<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    items: VecDeque<T>,
    /// How many were dropped before the first of them.
    missed: u64,
    over: bool,
    taker: Option<Waker>,
}

impl<T> Queue<T> {
    /// One that holds `max` items, one at least.
    pub(crate) fn new(max: usize) -> Queue<T> {
        Queue { max: max.max(1), inner: Mutex::new(Inner::new()) }
    }

    /// Adds an item, or gives it back if there is no room.
    pub(crate) fn offer(&self, item: T) -> Result<(), T> {
        self.act(|inner| {
            if inner.over || inner.items.len() >= self.max {
                return Err(item);
            }
            inner.items.push_back(item);
            Ok(())
        })
    }

    /// Adds an item; if there is no room, the oldest makes some.
    pub(crate) fn push(&self, item: T) {
        self.act(|inner| {
            if inner.items.len() >= self.max {
                inner.items.pop_front();
                inner.missed += 1;
            }
            inner.items.push_back(item);
        });
    }

    /// Nothing comes any more. What waits is still taken.
    pub(crate) fn end(&self) {
        self.act(|inner| inner.over = true);
    }

    /// The next item, with how many were missed right before it. `None`: nothing comes any more.
    pub(crate) fn poll_next(&self, waker: &Waker) -> Poll<Option<(u64, T)>> {
        let mut inner = lock(&self.inner);
        match inner.items.pop_front() {
            Some(item) => Poll::Ready(Some((std::mem::take(&mut inner.missed), item))),
            None if inner.over => Poll::Ready(None),
            None => {
                inner.taker = Some(waker.clone());
                Poll::Pending
            }
        }
    }

    fn act<R>(&self, action: impl FnOnce(&mut Inner<T>) -> R) -> R {
        let mut inner = lock(&self.inner);
        let result = action(&mut inner);
        let taker = inner.taker.take();
        drop(inner);
        if let Some(taker) = taker {
            taker.wake();
        }
        result
    }
}

impl<T> Inner<T> {
    fn new() -> Self {
        Inner { items: VecDeque::new(), missed: 0, over: false, taker: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next<T>(queue: &Queue<T>) -> Option<Option<(u64, T)>> {
        match queue.poll_next(Waker::noop()) {
            Poll::Ready(next) => Some(next),
            Poll::Pending => None,
        }
    }

    #[test]
    fn what_is_pushed_on_a_full_queue_costs_the_oldest_and_is_counted() {
        let queue = Queue::new(2);
        (1..=5).for_each(|n| queue.push(n));
        assert_eq!(next(&queue), Some(Some((3, 4))));
        queue.push(6);
        assert_eq!((next(&queue), next(&queue)), (Some(Some((0, 5))), Some(Some((0, 6)))));
        assert_eq!(next(&queue), None);
    }

    #[test]
    fn what_is_offered_to_a_full_queue_comes_back() {
        let queue = Queue::new(1);
        assert_eq!((queue.offer(1), queue.offer(2)), (Ok(()), Err(2)));
        assert_eq!(next(&queue), Some(Some((0, 1))));
        assert_eq!(queue.offer(3), Ok(()));
    }

    #[test]
    fn a_queue_ends_behind_its_last_item() {
        let queue = Queue::new(2);
        queue.push(1);
        queue.end();
        assert_eq!(queue.offer(2), Err(2));
        assert_eq!((next(&queue), next(&queue)), (Some(Some((0, 1))), Some(None)));
    }
}
