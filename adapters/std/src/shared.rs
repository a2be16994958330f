//! A connection as its threads and handles share it: the socket, the locked rest, and the places to wait.

use crate::endpoint::{Endpoint, Limits};
use crate::link::Link;
use crate::pool::{Clock, Pool};
use std::io;
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tidewire_adapter::{Gate, Watch};
use tidewire_core::{Multiaddr, Time};
use tidewire_upgrade::pipeline::Upgrade;

/// A connection, from its socket to its end.
pub(crate) struct Shared {
    link: Mutex<Link>,
    /// The writer thread waits here.
    writer: Condvar,
    /// Whoever waits for something other than a stream does it here.
    pub(crate) changed: Condvar,
    pub(crate) socket: TcpStream,
    pub(crate) clock: Clock,
    pub(crate) pool: Arc<Pool>,
    pub(crate) limits: Limits,
    pub(crate) remote: Multiaddr,
    pub(crate) gate: Arc<dyn Gate>,
    pub(crate) watch: Watch,
}

impl Shared {
    pub(crate) fn new(
        endpoint: &Endpoint,
        socket: TcpStream,
        remote: Multiaddr,
        watch: Watch,
        upgrade: Upgrade,
    ) -> Self {
        let Endpoint { clock, pool, limits, gate, .. } = endpoint.clone();
        let (writer, changed) = (Condvar::new(), Condvar::new());
        let link = Mutex::new(Link::new(upgrade));
        Shared { link, writer, changed, socket, clock, pool, limits, remote, gate, watch }
    }

    /// A hook that panicked has ended the connection in order: nothing is half done.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until `condvar` says that something changed, or until then at most.
    pub(crate) fn wait<'a>(
        &self,
        condvar: &Condvar,
        mut link: MutexGuard<'a, Link>,
        until: Option<Instant>,
    ) -> io::Result<MutexGuard<'a, Link>> {
        self.kick(&mut link);
        let Some(until) = until else { return Ok(condvar.wait(link).unwrap_or_else(PoisonError::into_inner)) };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the stream's timeout is over"));
        }
        Ok(condvar.wait_timeout(link, left).unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Wakes the writer thread, if there is something to send, or a deadline before the one it sleeps until.
    pub(crate) fn kick(&self, link: &mut Link) {
        if let Some(until) = link.sleeps
            && (!link.tx.is_empty() || link.over.is_some() || link.deadline() < until)
        {
            link.sleeps = None;
            self.writer.notify_one();
        }
    }

    /// The writer thread's sleep.
    pub(crate) fn sleep<'a>(&self, mut link: MutexGuard<'a, Link>, until: Time) -> MutexGuard<'a, Link> {
        link.sleeps = Some(until);
        let mut link = match self.clock.until(until) {
            Some(left) => self.writer.wait_timeout(link, left).unwrap_or_else(PoisonError::into_inner).0,
            None => self.writer.wait(link).unwrap_or_else(PoisonError::into_inner),
        };
        link.sleeps = None;
        link
    }
}
