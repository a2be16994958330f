//! How much of a circuit a relay gives: time, and bytes each way (circuit-v2.md, "Reservation", the message `Limit`).

use core::fmt;
use core::time::Duration;
use prost::Message;

/// What a relay allows a circuit. The default is no limit.
///
/// A zero is no limit too, as it is on the wire; so are a `Limit` of two zeros and none at all (circuit-v2.md: "if 0, there is
/// no limit applied", "When omitted, it indicates that the relay does not apply any limits"). Written it is left out then,
/// because go takes a connection with any `Limit` for a limited one.
///
/// ```
/// use core::time::Duration;
/// use tidewire_relay::Limit;
///
/// let limit = Limit { duration: Some(Duration::from_secs(120)), data: Some(128 * 1024) };
/// assert_eq!(limit.to_string(), "120 s and 131072 bytes each way");
/// assert!(Limit { duration: None, data: Some(0) }.is_unlimited());
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Limit {
    /// How long the circuit may be open. On the wire whole seconds.
    pub duration: Option<Duration>,
    /// Bytes that may go in each direction.
    pub data: Option<u64>,
}

/// The message `Limit` (circuit-v2.md, "Protobuf").
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct LimitMessage {
    #[prost(uint32, optional, tag = "1")]
    pub(crate) duration: Option<u32>,
    #[prost(uint64, optional, tag = "2")]
    pub(crate) data: Option<u64>,
}

impl Limit {
    /// No limit.
    pub const UNLIMITED: Limit = Limit { duration: None, data: None };

    /// The longest duration that is read or written: one day. js-libp2p writes milliseconds into the field of seconds, so that
    /// its two minutes read as 33 hours. No relay that limits circuits gives a single one days, so a number of more than a
    /// day is taken as milliseconds, and a day if that is still more. A longer duration of our own is announced as a day,
    /// which promises less than is given.
    pub const MAX_DURATION: Duration = Duration::from_secs(24 * 60 * 60);

    /// Whether neither time nor bytes are limited.
    pub const fn is_unlimited(&self) -> bool {
        self.time().is_none() && self.bytes().is_none()
    }

    /// The limit in time, without a zero.
    pub const fn time(&self) -> Option<Duration> {
        match self.duration {
            Some(duration) if !duration.is_zero() => Some(duration),
            _ => None,
        }
    }

    /// The limit in bytes each way, without a zero.
    pub const fn bytes(&self) -> Option<u64> {
        match self.data {
            Some(0) | None => None,
            data => data,
        }
    }

    /// As it goes on the wire. A part of a second is cut off: it promises less than is given.
    pub(crate) fn to_message(self) -> Option<LimitMessage> {
        let seconds = |time: Duration| {
            let time = time.clamp(Duration::from_secs(1), Self::MAX_DURATION);
            u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
        };
        let message = LimitMessage { duration: self.time().map(seconds), data: self.bytes() };
        (!self.is_unlimited()).then_some(message)
    }

    pub(crate) fn of_message(message: Option<&LimitMessage>) -> Limit {
        let Some(message) = message else { return Limit::UNLIMITED };
        let time = |number: u32| {
            let seconds = Duration::from_secs(number.into());
            if seconds <= Self::MAX_DURATION {
                seconds
            } else {
                Duration::from_millis(number.into()).min(Self::MAX_DURATION)
            }
        };
        let limit = Limit { duration: message.duration.map(time), data: message.data };
        Limit { duration: limit.time(), data: limit.bytes() }
    }
}

impl PartialEq for Limit {
    fn eq(&self, other: &Limit) -> bool {
        self.time() == other.time() && self.bytes() == other.bytes()
    }
}

impl Eq for Limit {}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.time(), self.bytes()) {
            (None, None) => f.write_str("no limit"),
            (Some(time), None) => write!(f, "{} s", time.as_secs_f32()),
            (None, Some(bytes)) => write!(f, "{bytes} bytes each way"),
            (Some(time), Some(bytes)) => write!(f, "{} s and {bytes} bytes each way", time.as_secs_f32()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(duration: Option<u32>, data: Option<u64>) -> Limit {
        Limit::of_message(Some(&LimitMessage { duration, data }))
    }

    #[test]
    fn zero_and_absent_are_no_limit() {
        for limit in [read(None, None), read(Some(0), Some(0)), read(Some(0), None), Limit::of_message(None)] {
            assert_eq!(limit, Limit::UNLIMITED);
            assert!(limit.is_unlimited());
        }
        let zeros = Limit { duration: Some(Duration::ZERO), data: Some(0) };
        assert_eq!((zeros, zeros.to_message()), (Limit::UNLIMITED, None), "go takes any for a limited one");
        assert!(!read(Some(0), Some(1)).is_unlimited() && !read(Some(1), Some(0)).is_unlimited());
    }

    #[test]
    fn seconds_are_read_up_to_a_day_and_then_as_milliseconds() {
        let table = [
            (1, 1_000),
            (120, 120_000),
            (86_400, 86_400_000),
            (86_401, 86_401),
            // js: two minutes, and two hours.
            (120_000, 120_000),
            (7_200_000, 7_200_000),
            (86_400_000, 86_400_000),
            (86_400_001, 86_400_000),
            (u32::MAX, 86_400_000),
        ];
        for (wire, millis) in table {
            assert_eq!(read(Some(wire), None).duration, Some(Duration::from_millis(millis)), "{wire}");
        }
    }

    #[test]
    fn a_duration_is_written_in_whole_seconds_and_never_as_none() {
        let table = [(1, 1), (999, 1), (1_999, 1), (120_000, 120), (86_400_000, 86_400), (u64::MAX, 86_400)];
        for (millis, seconds) in table {
            let limit = Limit { duration: Some(Duration::from_millis(millis)), data: None };
            let message = LimitMessage { duration: Some(seconds), data: None };
            assert_eq!(limit.to_message(), Some(message), "{millis} ms");
        }
    }

    #[test]
    fn all_that_is_written_is_read_as_it_was_meant() {
        for seconds in [1, 2, 60, 120, 3_600, 86_399, 86_400] {
            let limit = Limit { duration: Some(Duration::from_secs(seconds)), data: Some(seconds << 20) };
            assert_eq!(Limit::of_message(limit.to_message().as_ref()), limit);
        }
    }

    #[test]
    fn it_is_said_in_words() {
        let said = |duration, data| alloc::string::ToString::to_string(&read(duration, data));
        assert_eq!(said(None, None), "no limit");
        assert_eq!(said(Some(120), None), "120 s");
        assert_eq!(said(None, Some(5)), "5 bytes each way");
    }
}
