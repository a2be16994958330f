//! Who of the application listens to a node: handlers of protocols, subscriptions, and whoever waits for the node's end.

use crate::buffer::lock;
use crate::hub::Hub;
use crate::queue::Queue;
use crate::stream::Stream;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Poll, Waker};
use tidewire_core::PeerId;
use tidewire_host::{ConnectionId, Event};
use tidewire_multistream::{Protocol, RouteId};

/// go-libp2p's code for a stream that is one too many.
const RESOURCE_LIMIT: u32 = 0x1002;

/// A stream that a remote opened. `S`: the stream as a driver dresses it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Inbound<S = Stream> {
    /// Who opened it: proven.
    pub peer: PeerId,
    /// On which connection.
    pub connection: ConnectionId,
    /// What both ends speak on it.
    pub protocol: Protocol,
    /// The stream.
    pub stream: S,
}

impl<S> Inbound<S> {
    /// The same, with the stream in other clothes.
    pub fn map<T>(self, dress: impl FnOnce(S) -> T) -> Inbound<T> {
        let Inbound { peer, connection, protocol, stream } = self;
        Inbound { peer, connection, protocol, stream: dress(stream) }
    }
}

/// Held by every task and thread of a node that has sockets. When the last one is dropped, the node is over: subscriptions and
/// handlers end, behind what they were told, and whoever waits for the shutdown is woken.
#[derive(Clone, Debug)]
pub struct Alive(#[expect(dead_code, reason = "is held")] Arc<Last>);

#[derive(Debug)]
struct Last(Arc<Hub>);

impl Alive {
    pub(crate) fn new(hub: Arc<Hub>) -> Alive {
        Alive(Arc::new(Last(hub)))
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        self.0.audience.end();
    }
}

/// Has a lock of its own, which is taken under the hub's and never the other way round.
#[derive(Default)]
pub(crate) struct Audience(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    handlers: BTreeMap<RouteId, Arc<Queue<Inbound>>>,
    /// Gone with whoever subscribed.
    subscriptions: Vec<Weak<Queue<Event>>>,
    waiting: Vec<Waker>,
    /// Follows the listeners, and whether the node ends.
    #[cfg(feature = "portmap")]
    watcher: Option<Waker>,
    #[cfg(feature = "portmap")]
    stopping: bool,
    over: bool,
}

impl Audience {
    pub(crate) fn subscribe(&self, max: usize) -> Arc<Queue<Event>> {
        let queue = Arc::new(Queue::new(max));
        let mut inner = lock(&self.0);
        if inner.over {
            queue.end();
        }
        inner.subscriptions.push(Arc::downgrade(&queue));
        queue
    }

    /// Something happened.
    pub(crate) fn event(&self, event: &Event) {
        let mut inner = lock(&self.0);
        #[cfg(feature = "portmap")]
        if matches!(event, Event::Listening { .. } | Event::NotListening { .. }) {
            inner.wake_watcher();
        }
        if !inner.over {
            inner.subscriptions.retain(|queue| {
                queue.upgrade().is_some_and(|queue| {
                    queue.push(event.clone());
                    true
                })
            });
        }
    }

    /// Woken from now on when a listener's addresses change, and when the node is to end.
    #[cfg(feature = "portmap")]
    pub(crate) fn watch(&self, waker: Waker) {
        lock(&self.0).watcher = Some(waker);
    }

    /// The node is to end.
    #[cfg(feature = "portmap")]
    pub(crate) fn stop(&self) {
        let mut inner = lock(&self.0);
        inner.stopping = true;
        inner.wake_watcher();
    }

    /// Whether the node is to end.
    #[cfg(feature = "portmap")]
    pub(crate) fn is_stopping(&self) -> bool {
        lock(&self.0).stopping
    }

    /// The streams of a route go there from now on.
    pub(crate) fn handle(&self, route: RouteId, max: usize) -> Arc<Queue<Inbound>> {
        let queue = Arc::new(Queue::new(max));
        let mut inner = lock(&self.0);
        if inner.over {
            queue.end();
        } else {
            inner.handlers.insert(route, queue.clone());
        }
        queue
    }

    /// The route is another's now, or nobody's.
    pub(crate) fn unhandle(&self, route: RouteId) {
        let queue = lock(&self.0).handlers.remove(&route);
        queue.into_iter().for_each(|queue| queue.end());
    }

    /// A remote opened a stream that a route took.
    pub(crate) fn incoming(&self, route: RouteId, inbound: Inbound) {
        let handler = lock(&self.0).handlers.get(&route).cloned();
        let taken = match handler {
            Some(handler) => handler.offer(inbound),
            None => Err(inbound),
        };
        if let Err(inbound) = taken {
            inbound.stream.reset(RESOURCE_LIMIT);
        }
    }

    /// Ready once the node is over.
    pub(crate) fn poll_end(&self, waker: &Waker) -> Poll<()> {
        let mut inner = lock(&self.0);
        if inner.over {
            return Poll::Ready(());
        }
        if !inner.waiting.iter().any(|known| known.will_wake(waker)) {
            inner.waiting.push(waker.clone());
        }
        Poll::Pending
    }

    fn end(&self) {
        let mut inner = lock(&self.0);
        inner.over = true;
        let Inner { handlers, subscriptions, waiting, .. } = std::mem::take(&mut *inner);
        inner.over = true;
        drop(inner);
        subscriptions.iter().filter_map(Weak::upgrade).for_each(|queue| queue.end());
        handlers.into_values().for_each(|queue| queue.end());
        waiting.into_iter().for_each(Waker::wake);
    }
}

#[cfg(feature = "portmap")]
impl Inner {
    fn wake_watcher(&self) {
        if let Some(watcher) = &self.watcher {
            watcher.wake_by_ref();
        }
    }
}
