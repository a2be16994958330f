//! Clocks without a scale: what is stored at a side gets names that keep what its comparisons say, so that moments which
//! compare alike are alike, and the states stay few.
//!
//! ```text
//!   0 .. levels: pings and marks, in turns .. NOW - windows .. NOW .. graces, short then long .. windows' ends
//! ```

use super::world::{GRACE, NOW, Side, WINDOW, World};
use crate::duplicates::pair::Moment;
use alloc::vec::Vec;
use tidewire_core::Time;

impl World {
    /// Gives what is stored at a side names around [`NOW`], so that moments that compare alike are alike.
    ///
    /// Pings are compared with marks alone (`sent >= mark`): what counts is how they take turns. Of what is still to come the
    /// order counts. A window outlives all else, and is counted from the order of its beginnings.
    pub(super) fn rebase(&self, side: &mut Side, now: Time) {
        side.closes.retain(|at| now.since(*at) < WINDOW);
        let mut all = Vec::new();
        side.each_moment(now, &mut |moment, at| {
            all.push((at, moment));
            at
        });
        // At the same moment, the ping counts as sent after the mark.
        all.sort_by_key(|(at, moment)| (*at, *moment == Moment::Sent));
        all.dedup();
        let (mut level, mut last) = (0, Moment::Sent);
        let (mut to_come, mut windows) = (0, all.iter().filter(|(_, moment)| *moment == Moment::Window).count() as u64);
        let mut names = Vec::new();
        for (at, moment) in all {
            let name = match moment {
                Moment::Grace if at <= now => 0,
                Moment::Grace => {
                    to_come += 1;
                    NOW + to_come + if at.since(now) > 2 * GRACE { 500_000 } else { 10 }
                }
                Moment::Window => {
                    windows -= 1;
                    NOW - windows
                }
                Moment::Mark | Moment::Sent if self.coarse && at == now => NOW,
                Moment::Mark | Moment::Sent => {
                    level += u64::from(moment == Moment::Mark && last == Moment::Sent);
                    last = moment;
                    level
                }
            };
            names.push(((at, moment), Time::from_nanos(name)));
        }
        side.each_moment(Time::from_nanos(NOW), &mut |moment, at| {
            names.iter().find(|(key, _)| *key == (at, moment)).expect("it was there the first time").1
        });
    }
}

impl Side {
    fn each_moment(&mut self, now: Time, map: &mut dyn FnMut(Moment, Time) -> Time) {
        self.machine.rebase(now, map);
        for sent in self.sent.iter_mut().flatten() {
            *sent = map(Moment::Sent, *sent);
        }
        for at in &mut self.closes {
            *at = map(Moment::Window, *at);
        }
    }
}
