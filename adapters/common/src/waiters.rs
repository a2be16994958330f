//! Who waits for the streams of a connection.

use std::task::Waker;
use tidewire_host::StreamId;

/// By stream, in order: mostly one or two, for which a tree's first node would be too large.
#[derive(Debug, Default)]
pub(crate) struct Waiters(Vec<(StreamId, Waiting)>);

/// Who waits for a stream.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) read: Option<Waker>,
    pub(crate) write: Option<Waker>,
}

impl Waiters {
    pub(crate) fn get(&mut self, id: StreamId) -> Option<&mut Waiting> {
        let at = self.place(id).ok()?;
        self.0.get_mut(at).map(|(_, waiting)| waiting)
    }

    /// This one: to be read from.
    pub(crate) fn keep_read(&mut self, id: StreamId, waker: &Waker) {
        self.keep(id, waker, |waiting| &mut waiting.read);
    }

    /// This one: to be written to.
    pub(crate) fn keep_write(&mut self, id: StreamId, waker: &Waker) {
        self.keep(id, waker, |waiting| &mut waiting.write);
    }

    /// The last one takes the memory with it.
    pub(crate) fn remove(&mut self, id: StreamId) -> Option<Waiting> {
        let at = self.place(id).ok()?;
        let (_, waiting) = self.0.remove(at);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        Some(waiting)
    }

    /// Takes all of them.
    pub(crate) fn all(&mut self) -> impl Iterator<Item = Waker> {
        self.0.iter_mut().flat_map(|(_, waiting)| waiting.all())
    }

    /// Without cloning the same waker again.
    fn keep(&mut self, id: StreamId, waker: &Waker, which: impl FnOnce(&mut Waiting) -> &mut Option<Waker>) {
        let at = self.place(id).unwrap_or_else(|at| {
            if self.0.capacity() == 0 {
                // A `Vec` starts with four places.
                self.0.reserve_exact(1);
            }
            self.0.insert(at, (id, Waiting::default()));
            at
        });
        let Some((_, waiting)) = self.0.get_mut(at) else { return };
        match which(waiting) {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    fn place(&self, id: StreamId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&id, |(known, _)| *known)
    }
}

impl Waiting {
    /// Takes both.
    pub(crate) fn all(&mut self) -> impl Iterator<Item = Waker> + use<> {
        [self.read.take(), self.write.take()].into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::task::Wake;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn who_waits_for_a_stream_is_found_by_its_number_and_way() {
        let wakers: [Arc<Woken>; 3] = Default::default();
        let [reads, writes, other] = wakers.clone().map(Waker::from);
        let mut waiters = Waiters::default();
        waiters.keep_read(StreamId(3), &other);
        waiters.keep_read(StreamId(1), &reads);
        waiters.keep_write(StreamId(1), &writes);
        assert!(waiters.get(StreamId(2)).is_none());
        waiters.get(StreamId(1)).unwrap().read.take().unwrap().wake();
        assert_eq!(wakers.each_ref().map(|woken| woken.0.load(Relaxed)), [1, 0, 0]);
        waiters.all().for_each(Waker::wake);
        assert_eq!(wakers.each_ref().map(|woken| woken.0.load(Relaxed)), [1, 1, 1]);
    }

    #[test]
    fn the_last_one_to_wait_counts_and_one_takes_one_place() {
        let wakers: [Arc<Woken>; 2] = Default::default();
        let [first, last] = wakers.clone().map(Waker::from);
        let mut waiters = Waiters::default();
        waiters.keep_read(StreamId(1), &first);
        waiters.keep_read(StreamId(1), &last);
        assert_eq!(waiters.0.capacity(), 1);
        waiters.remove(StreamId(1)).unwrap().all().for_each(Waker::wake);
        assert_eq!(wakers.each_ref().map(|woken| woken.0.load(Relaxed)), [0, 1]);
        assert!(waiters.remove(StreamId(1)).is_none() && waiters.0.capacity() == 0);
    }
}
