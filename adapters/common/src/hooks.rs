//! Who may watch a node and its connections: for a timeline.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tidewire_core::Multiaddr;
use tidewire_host::Event;
use tidewire_host::link::Report;
use tidewire_upgrade::pipeline::Progress;

/// Watches connections: for logs, for a timeline.
///
/// A hook that panics harms nobody else. The connection that it was told of is closed; if it panics at what the host tells, that
/// has happened all the same, and only a connection that is just being made is refused. Both are logged.
pub trait Observer: Send + Sync {
    /// Something happened on the connection with this number: the host's [`ConnectionId`](tidewire_host::ConnectionId).
    ///
    /// Called in the order of the happenings, while the connection is locked: be quick, don't block, and don't call the
    /// connection or its streams from here.
    fn event(&self, connection: u64, event: &Observed);

    /// What a node's host tells, in the order of the happenings. Called while the node is locked: don't call it from here.
    fn host(&self, event: &Event) {
        let _ = event;
    }
}

/// What an [`Observer`] sees of a connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Observed {
    /// There is a socket to or from this address.
    Connected(Multiaddr),
    /// The upgrade went on.
    Progress(Progress),
    /// So many bytes were given to the socket at once.
    Sent(usize),
    /// So many bytes came from the socket at once.
    Received(usize),
    /// What the connection's link reported to the host.
    Report(Report),
    /// The socket failed, or the task that drove it.
    Failed(String),
    /// The connection's socket is closed.
    Done {
        /// Bytes that were given to it.
        sent: u64,
        /// Bytes that came from it.
        received: u64,
    },
}

/// The observer's view of one connection.
#[derive(Clone)]
pub struct Watch {
    observer: Option<Arc<dyn Observer>>,
    connection: u64,
}

impl Watch {
    /// The connection with this number, seen by this observer if there is one.
    pub fn new(observer: Option<Arc<dyn Observer>>, connection: u64) -> Watch {
        Watch { observer, connection }
    }

    /// The connection's number.
    pub fn connection(&self) -> u64 {
        self.connection
    }

    /// Whether there is an observer.
    pub(crate) fn is_observed(&self) -> bool {
        self.observer.is_some()
    }

    /// Tells the observer; without one, `event` is not even made. False: it panicked.
    #[inline]
    pub fn tell(&self, event: impl FnOnce() -> Observed) -> bool {
        let Some(observer) = &self.observer else { return true };
        guarded(|| observer.event(self.connection, &event()))
    }
}

/// What a connection ends with whose hook panicked.
pub(crate) const PANICKED: &str = "a hook of the application panicked";

/// Calls a hook of the application. False: it panicked.
pub(crate) fn guarded(hook: impl FnOnce()) -> bool {
    // Nothing of ours is in its hands.
    catch_unwind(AssertUnwindSafe(hook)).is_ok()
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("connection", &self.connection).finish_non_exhaustive()
    }
}
