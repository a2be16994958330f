//! What is still to come, in a total order: by time, and at the same time in the order in which it was planned.

use core::cmp::Reverse;
use std::collections::BinaryHeap;
use tidewire_core::Time;

#[derive(Debug)]
pub(crate) struct Queue<E> {
    heap: BinaryHeap<Reverse<Entry<E>>>,
    planned: u64,
}

#[derive(Debug)]
struct Entry<E> {
    at: Time,
    order: u64,
    event: E,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Queue { heap: BinaryHeap::new(), planned: 0 }
    }
}

impl<E> Queue<E> {
    pub(crate) fn push(&mut self, at: Time, event: E) {
        let order = self.planned;
        self.planned += 1;
        self.heap.push(Reverse(Entry { at, order, event }));
    }

    /// The next event, if it comes no later than `until`.
    pub(crate) fn pop(&mut self, until: Time) -> Option<(Time, E)> {
        if self.heap.peek()?.0.at > until {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.event))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_at_the_same_time_comes_in_the_order_of_planning() {
        let mut queue = Queue::default();
        for (at, name) in [(2, 'c'), (1, 'a'), (2, 'd'), (1, 'b')] {
            queue.push(Time::from_nanos(at), name);
        }
        let mut seen = String::new();
        while let Some((_, name)) = queue.pop(Time::NEVER) {
            seen.push(name);
        }
        assert_eq!(seen, "abcd");
    }

    #[test]
    fn what_is_later_than_asked_for_stays() {
        let mut queue = Queue::default();
        queue.push(Time::from_nanos(5), ());
        assert_eq!(queue.pop(Time::from_nanos(4)), None);
        assert_eq!(queue.pop(Time::from_nanos(5)), Some((Time::from_nanos(5), ())));
    }
}
