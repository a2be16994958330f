//! The hub's way to the threads and to the application.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Sender, SyncSender, TrySendError};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tidewire_adapter::{Driver, Inbound, Job, lock};
use tidewire_host::Event;
use tidewire_multistream::RouteId;

/// go-libp2p's code for a stream that is one too many.
const RESOURCE_LIMIT: u32 = 0x1002;

/// The handlers of protocols; `None` once the node is over.
pub(crate) type Handlers = Option<BTreeMap<RouteId, SyncSender<Inbound>>>;

pub(crate) struct Runtime {
    jobs: Sender<Job>,
    pub(crate) handlers: Mutex<Handlers>,
    watchers: Mutex<Watchers>,
    /// The node is over.
    changed: Condvar,
}

#[derive(Default)]
struct Watchers {
    queues: Vec<Weak<Queue>>,
    over: bool,
}

/// Held by all threads that have sockets: when the last of them has ended, the node is over.
pub(crate) struct Alive(pub(crate) Arc<Runtime>);

impl Drop for Alive {
    fn drop(&mut self) {
        *lock(&self.0.handlers) = None;
        let mut watchers = lock(&self.0.watchers);
        watchers.over = true;
        watchers.queues.iter().filter_map(Weak::upgrade).for_each(|queue| queue.act(|waiting| waiting.over = true));
        self.0.changed.notify_all();
    }
}

impl Runtime {
    pub(crate) fn new(jobs: Sender<Job>) -> Runtime {
        let handlers = Mutex::new(Some(BTreeMap::new()));
        Runtime { jobs, handlers, watchers: Mutex::default(), changed: Condvar::new() }
    }

    /// What happens from now on.
    pub(crate) fn watch(&self, max: usize) -> Events {
        let mut watchers = lock(&self.watchers);
        let waiting = Waiting { over: watchers.over, ..Waiting::default() };
        let queue = Arc::new(Queue { max: max.max(1), waiting: Mutex::new(waiting), changed: Condvar::new() });
        watchers.queues.push(Arc::downgrade(&queue));
        Events(queue)
    }

    /// Waits until all threads are over.
    pub(crate) fn wait(&self) {
        let watchers = lock(&self.watchers);
        drop(self.changed.wait_while(watchers, |watchers| !watchers.over).unwrap_or_else(PoisonError::into_inner));
    }
}

impl Driver for Runtime {
    fn job(&self, job: Job) {
        // Without a main thread the node is over.
        let _ = self.jobs.send(job);
    }

    fn event(&self, event: &Event) {
        lock(&self.watchers).queues.retain(|queue| {
            let queue = queue.upgrade();
            queue.is_some_and(|queue| {
                queue.act(|waiting| waiting.push(event.clone(), queue.max));
                true
            })
        });
    }

    fn incoming(&self, route: RouteId, inbound: Inbound) {
        let handler = lock(&self.handlers).as_ref().and_then(|handlers| handlers.get(&route).cloned());
        let Some(handler) = handler else { return };
        if let Err(TrySendError::Full(inbound) | TrySendError::Disconnected(inbound)) = handler.try_send(inbound) {
            inbound.stream.reset(RESOURCE_LIMIT);
        }
    }
}

/// What happens, in the order of the happenings.
#[derive(Debug)]
pub struct Events(Arc<Queue>);

/// What [`Events`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Something happened.
    Event(Event),
    /// So many events were missed: they came faster than they were taken.
    Missed(u64),
}

#[derive(Debug)]
struct Queue {
    max: usize,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Event>,
    missed: u64,
    over: bool,
}

impl Events {
    /// The next one, waited for at most so long. `None`: there was none, or the node is over.
    pub fn next_within(&mut self, limit: Duration) -> Option<Notice> {
        self.until(Instant::now().checked_add(limit))
    }

    fn until(&self, until: Option<Instant>) -> Option<Notice> {
        let mut waiting = lock(&self.0.waiting);
        loop {
            if let Some(notice) = waiting.take() {
                return Some(notice);
            }
            if waiting.over {
                return None;
            }
            let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return None;
            }
            waiting = self.0.changed.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Waits for the next one. `None`: the node is over.
impl Iterator for Events {
    type Item = Notice;

    fn next(&mut self) -> Option<Notice> {
        self.until(None)
    }
}

impl Queue {
    fn act(&self, action: impl FnOnce(&mut Waiting)) {
        action(&mut lock(&self.waiting));
        self.changed.notify_all();
    }
}

impl Waiting {
    fn push(&mut self, event: Event, max: usize) {
        if self.events.len() >= max {
            self.events.pop_front();
            self.missed += 1;
        }
        self.events.push_back(event);
    }

    fn take(&mut self) -> Option<Notice> {
        match std::mem::take(&mut self.missed) {
            0 => self.events.pop_front().map(Notice::Event),
            missed => Some(Notice::Missed(missed)),
        }
    }
}
