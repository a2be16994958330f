//! Whether the router lost its memory: its count of seconds must grow as our clock does.

use crate::Protocol;
use tidewire_core::Time;

/// What the router's count was, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Epoch {
    seconds: u32,
    at: Time,
}

impl Epoch {
    pub(super) const fn new(now: Time, seconds: u32) -> Self {
        Epoch { seconds, at: now }
    }

    /// The next count. Whether it belongs to the same memory.
    pub(super) fn follows(&mut self, now: Time, seconds: u32, by: Protocol) -> bool {
        let before = core::mem::replace(self, Epoch::new(now, seconds));
        let ours = now.since(before.at).as_secs();
        let (then, theirs) = (u64::from(before.seconds), u64::from(seconds));
        match by {
            // RFC 6886 section 3.6: a clock that runs an eighth too slow is forgiven, and 2 s beside.
            Protocol::NatPmp => theirs.saturating_add(2) >= then.saturating_add(ours - ours / 8),
            // RFC 6887 section 8.5: one that runs a sixteenth too slow or too fast.
            Protocol::Pcp => {
                let Some(grown) = theirs.checked_sub(then) else {
                    // It went back by one, which is forgiven; by the second rule only as long as no more than a second passed.
                    return theirs.saturating_add(1) >= then && ours <= 1;
                };
                ours.saturating_add(2) >= grown - grown / 16 && grown.saturating_add(2) >= ours - ours / 16
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_grows_as_the_clock_does_follows() {
        let cases = [
            // by, the count before, after so many seconds, the count then, follows
            (Protocol::NatPmp, 100, 0, 100, true),
            (Protocol::NatPmp, 100, 80, 180, true),
            (Protocol::NatPmp, 100, 80, 168, true),
            (Protocol::NatPmp, 100, 80, 167, false),
            (Protocol::NatPmp, 100, 80, 5_000, true),
            (Protocol::NatPmp, 100, 1, 0, false),
            (Protocol::Pcp, 100, 0, 100, true),
            (Protocol::Pcp, 100, 0, 99, true),
            (Protocol::Pcp, 100, 0, 98, false),
            (Protocol::Pcp, 100, 1, 99, true),
            (Protocol::Pcp, 100, 2, 99, false),
            (Protocol::Pcp, 100, 160, 260, true),
            (Protocol::Pcp, 100, 160, 248, true),
            (Protocol::Pcp, 100, 160, 247, false),
            (Protocol::Pcp, 100, 150, 260, true),
            (Protocol::Pcp, 100, 150, 280, false),
            (Protocol::Pcp, 100, 100, 0, false),
            (Protocol::Pcp, u32::MAX, 10, 0, false),
        ];
        for (by, before, after, seconds, follows) in cases {
            let start = Time::from_millis(5);
            let mut epoch = Epoch::new(start, before);
            let now = start + core::time::Duration::from_secs(after);
            assert_eq!(epoch.follows(now, seconds, by), follows, "{by} {before} +{after} s -> {seconds}");
            assert!(epoch.follows(now, seconds, by), "from then on it is this one");
        }
    }
}
