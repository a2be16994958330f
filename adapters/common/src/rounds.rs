//! What the main task of a driver does beside its jobs: it calls the host when its time has come, and looks at the machine's
//! interfaces; and how long a listener rests that can't accept.

use crate::error::is_exhausted;
use crate::hub::Hub;
use crate::listeners::Listeners;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tidewire_core::Time;

/// The rounds of a main task. `T` is what it has of each listener.
#[derive(Debug)]
pub struct Rounds<T> {
    hub: Arc<Hub>,
    /// All listeners.
    pub listeners: Listeners<T>,
    /// When the host wants to be called.
    alarm: Time,
    /// When the interfaces are looked at.
    look: Time,
    interval: Duration,
}

impl<T> Rounds<T> {
    /// Looks at the interfaces every `interval`.
    pub fn new(hub: Arc<Hub>, interval: Duration) -> Self {
        let (alarm, look) = (hub.on_timeout(), hub.clock().now() + interval);
        Rounds { hub, listeners: Listeners::default(), alarm, look, interval }
    }

    /// When [`go`](Rounds::go) is to be called at the latest.
    pub fn next(&self) -> Instant {
        self.hub.clock().instant(self.alarm.min(self.look))
    }

    /// The host wants to be called earlier than it said: [`Job::Hurry`](crate::Job::Hurry).
    pub fn hurry(&mut self) {
        self.alarm = Time::ZERO;
    }

    /// Does what is due. Early or often is harmless.
    pub fn go(&mut self) {
        let now = self.hub.clock().now();
        if self.alarm <= now {
            self.alarm = self.hub.on_timeout();
        }
        if self.look <= now {
            self.look = now + self.interval;
            self.listeners.look(&self.hub);
        }
    }
}

/// How long a listener rests when the operating system has no socket to give: 50 ms at first, then twice as long each time, up
/// to a second.
#[derive(Clone, Copy, Debug)]
pub struct Rest(Duration);

impl Default for Rest {
    fn default() -> Self {
        Rest(Duration::from_millis(50))
    }
}

impl Rest {
    /// It can't accept: counted and logged if the machine is exhausted. Says how long it is to rest.
    pub fn after(&mut self, hub: &Hub, error: &io::Error) -> Duration {
        let rest = self.0;
        if is_exhausted(error) {
            hub.traffic().exhausted.fetch_add(1, Relaxed);
            crate::log::listener_waits(error, rest);
        }
        self.0 = (rest * 2).min(Duration::from_secs(1));
        rest
    }
}
