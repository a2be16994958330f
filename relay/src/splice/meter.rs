//! A circuit at one of its ends: what went, and whether its limit explains its end.

use crate::Limit;
use core::fmt;
use core::time::Duration;
use tidewire_core::Time;

/// Counts what one end of a circuit sends and receives.
///
/// ```
/// use core::time::Duration;
/// use tidewire_core::Time;
/// use tidewire_relay::Limit;
/// use tidewire_relay::splice::{Counted, LimitReached, Meter};
///
/// let limit = Limit { duration: Some(Duration::from_secs(120)), data: Some(128 * 1024) };
/// let mut meter = Meter::new(Time::ZERO);
/// meter.received(120 * 1024);
///
/// // The relay resets the stream. What was on its way is lost, so that we saw a little less than the limit.
/// let reached = meter.explain_reset(&limit, Time::from_millis(5_000));
/// assert_eq!(reached, Some(LimitReached::Data { bytes: 128 * 1024, counted: Counted::Received }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meter {
    opened: Time,
    sent: u64,
    received: u64,
}

/// A circuit ended because it had used up what the relay gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum LimitReached {
    /// As many bytes went as may.
    Data {
        /// The limit.
        bytes: u64,
        /// Which bytes reached it.
        counted: Counted,
    },
    /// It was open for as long as it may be.
    Time {
        /// The limit.
        duration: Duration,
    },
}

/// Which bytes reached a limit, seen from the end that tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Counted {
    /// Those that we sent.
    Sent,
    /// Those that we received.
    Received,
    /// Both together: go, js and rust relays count so.
    Both,
}

impl Meter {
    /// How many bytes of a limit may be missing in what an end received: they were in the relay's hands or on their way when it
    /// reset the stream. One write of 16 KiB; of a limit under 64 KiB, a quarter.
    pub const DATA_SLACK: u64 = 16 * 1024;

    /// How much earlier than the limit an end may see the time run out: the relay's clock started up to a few round trips
    /// before. Of a limit under 12 seconds, a quarter.
    pub const TIME_SLACK: Duration = Duration::from_secs(3);

    /// js-libp2p writes milliseconds where seconds belong, and what reads as less than a day is believed
    /// ([`Limit::MAX_DURATION`](crate::Limit::MAX_DURATION)): its 2 s are announced as 2,000. So a reset at the thousandth of
    /// such a duration, give or take a quarter or [`TIME_SLACK`](Self::TIME_SLACK), is the limit too. Only of whole seconds: the 120 s
    /// of go-libp2p are no multiple of 1,000, and a reset after 0.12 s has another reason.
    const MILLIS: u64 = 1000;

    /// A circuit that is open from now on.
    pub const fn new(now: Time) -> Self {
        Meter { opened: now, sent: 0, received: 0 }
    }

    /// So many bytes were handed to the stream.
    #[inline]
    pub const fn sent(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(bytes as u64);
    }

    /// So many bytes came.
    #[inline]
    pub const fn received(&mut self, bytes: usize) {
        self.received = self.received.saturating_add(bytes as u64);
    }

    /// Bytes that were sent so far.
    pub const fn bytes_sent(&self) -> u64 {
        self.sent
    }

    /// Bytes that came so far.
    pub const fn bytes_received(&self) -> u64 {
        self.received
    }

    /// How long it has been open.
    pub const fn elapsed(&self, now: Time) -> Duration {
        now.since(self.opened)
    }

    /// The relay reset the stream: whether that was for `limit`, as it was announced for the circuit. Ask also when the last
    /// bytes can't be deciphered: py writes a `STATUS` into the circuit before it resets it.
    ///
    /// An end can only conclude it. What it sent reaches the limit when it is as much; what it received, give or take
    /// [`DATA_SLACK`](Self::DATA_SLACK); both together likewise; its time, give or take [`TIME_SLACK`](Self::TIME_SLACK). The
    /// first of sent, received, time and both that does is named. Another reset that comes so near to the limit is taken for it.
    /// A time that js-libp2p announced in milliseconds is seen through.
    pub fn explain_reset(&self, limit: &Limit, now: Time) -> Option<LimitReached> {
        let data = |counted| limit.bytes().map(|bytes| LimitReached::Data { bytes, counted });
        let enough = |count: u64| {
            let near = |bytes: u64| bytes - Self::DATA_SLACK.min(bytes / 4);
            limit.bytes().is_some_and(|bytes| count >= near(bytes))
        };
        if limit.bytes().is_some_and(|bytes| self.sent >= bytes) {
            return data(Counted::Sent);
        }
        if enough(self.received) {
            return data(Counted::Received);
        }
        if let Some(duration) = limit.time()
            && self.elapsed(now) >= duration - Self::TIME_SLACK.min(duration / 4)
        {
            return Some(LimitReached::Time { duration });
        }
        if let Some(duration) = limit.time().and_then(read_as_millis) {
            let slack = Self::TIME_SLACK.min(duration / 4);
            if (duration - slack..=duration + slack).contains(&self.elapsed(now)) {
                return Some(LimitReached::Time { duration });
            }
        }
        if enough(self.sent.saturating_add(self.received)) { data(Counted::Both) } else { None }
    }

    /// The stream was closed in order: whether that was for `limit`. go-libp2p's relay half-closes towards who receives where the
    /// spec resets, after exactly the limit. Peers that are done close likewise, so nothing that only comes near counts.
    pub fn explain_close(&self, limit: &Limit) -> Option<LimitReached> {
        let bytes = limit.bytes()?;
        if self.sent >= bytes {
            return Some(LimitReached::Data { bytes, counted: Counted::Sent });
        }
        (self.received == bytes).then_some(LimitReached::Data { bytes, counted: Counted::Received })
    }
}

/// What was meant, if the seconds are the milliseconds of a js relay.
fn read_as_millis(duration: Duration) -> Option<Duration> {
    let number = duration.as_secs();
    let is_whole = number >= Meter::MILLIS && number.is_multiple_of(Meter::MILLIS) && duration.subsec_nanos() == 0;
    is_whole.then(|| Duration::from_millis(number))
}

impl fmt::Display for LimitReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LimitReached::Data { bytes, counted } => {
                let counted = match counted {
                    Counted::Sent => "sent",
                    Counted::Received => "received",
                    Counted::Both => "in both directions together",
                };
                write!(f, "the relay's limit of {bytes} bytes was reached by those {counted}")
            }
            LimitReached::Time { duration } => {
                write!(f, "the relay's limit of {} s was reached", duration.as_secs_f32())
            }
        }
    }
}
