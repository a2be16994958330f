//! The clock that all machines of a node share.

use std::time::{Duration, Instant, SystemTime};
use tidewire_core::{Time, UnixTime};

/// A monotonic clock: [`Time::ZERO`] is when it was started.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// A clock that starts now, and what the wall clock says at this moment.
    pub fn start() -> (Clock, UnixTime) {
        let epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        (Clock(Instant::now()), UnixTime::from_secs(epoch.as_secs()))
    }

    /// What it says.
    pub fn now(self) -> Time {
        Time::ZERO + self.0.elapsed()
    }

    /// The system's name for a time that is not `NEVER`. A time that is years away is put a year from now: who is called
    /// early asks again.
    pub fn instant(self, time: Time) -> Instant {
        self.0 + time.since(Time::ZERO).min(self.0.elapsed() + Duration::from_secs(365 * 86_400))
    }
}
