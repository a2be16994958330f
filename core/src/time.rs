//! Time as an argument: a monotonic instant that the caller counts, and wall-clock seconds where a protocol needs them.

use core::fmt;
use core::ops::Add;
use core::time::Duration;

/// A moment on the caller's monotonic clock: nanoseconds since an epoch of the caller's choice.
///
/// Machines never read a clock. The caller passes `now` to each call, and must never pass an earlier one than before; a
/// machine that is given an earlier one treats it as "no time has passed".
///
/// ```
/// use core::time::Duration;
/// use tidewire_core::Time;
///
/// let start = Time::ZERO;
/// let later = start + Duration::from_millis(5);
/// assert_eq!(later.since(start), Duration::from_millis(5));
/// assert_eq!(start.since(later), Duration::ZERO);
/// assert_eq!(Time::NEVER + Duration::from_secs(1), Time::NEVER);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Time(u64);

impl Time {
    /// The caller's epoch.
    pub const ZERO: Time = Time(0);
    /// A moment that never comes: the deadline of a machine that waits for bytes or calls alone.
    pub const NEVER: Time = Time(u64::MAX);

    /// The moment `nanos` nanoseconds after the epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Time(nanos)
    }

    /// The moment `millis` milliseconds after the epoch, saturating at [`Time::NEVER`].
    pub const fn from_millis(millis: u64) -> Self {
        Time(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it is still to come.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Whether this is [`Time::NEVER`].
    pub const fn is_never(self) -> bool {
        self.0 == u64::MAX
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    /// Saturates at [`Time::NEVER`].
    fn add(self, rhs: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_never() { f.write_str("never") } else { write!(f, "{:?}", Duration::from_nanos(self.0)) }
    }
}

/// Wall-clock seconds since 1970-01-01 UTC, where a protocol asks for them: expiry of reservations and certificates.
///
/// Always a second, explicit input beside [`Time`]: the wall clock jumps, the monotonic one does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct UnixTime(u64);

impl UnixTime {
    /// `secs` seconds since 1970-01-01 UTC.
    pub const fn from_secs(secs: u64) -> Self {
        UnixTime(secs)
    }

    /// Seconds since 1970-01-01 UTC.
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// What is left from `self` until `expiry`; zero if it has passed.
    pub const fn until(self, expiry: UnixTime) -> Duration {
        Duration::from_secs(expiry.0.saturating_sub(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_saturates_at_never() {
        assert_eq!(Time::from_nanos(u64::MAX - 1) + Duration::from_secs(1), Time::NEVER);
        assert_eq!(Time::ZERO + Duration::MAX, Time::NEVER);
        assert_eq!(Time::from_millis(u64::MAX), Time::NEVER);
    }

    #[test]
    fn expiry_near_the_end_of_time_does_not_wrap() {
        let now = UnixTime::from_secs(1_800_000_000);
        assert_eq!(now.until(UnixTime::from_secs(u64::MAX)).as_secs(), u64::MAX - 1_800_000_000);
        assert_eq!(UnixTime::from_secs(u64::MAX).until(now), Duration::ZERO);
    }
}
