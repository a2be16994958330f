//! What a NAT knows of one inside endpoint that speaks with one remote: when it was last used, and how far its TCP is.
//!
//! ```text
//!            both SYNs, both acknowledged            both FINs
//!  transitory ---------------------------> established -----> transitory
//!       \---------------- RST -----------------/
//!                          v
//!                        reset ----- a first SYN ----> transitory
//! ```
//! RFC 5382 section 5, RFC 7857 section 2.

use super::config::Lifetimes;
use crate::packet::{Body, Flags, Packet};
use core::time::Duration;
use tidewire_core::Time;

/// From which side of the NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Where the hosts are that it stands in front of.
    Inside,
    /// Where the others are.
    Outside,
}

#[derive(Clone, Debug)]
pub(super) struct Session {
    /// Something went out: it counts for filtering.
    pub(super) sent: bool,
    /// It began from outside, and its answers leave as it came.
    pub(super) came_in: bool,
    pub(super) until: Time,
    seen: [Seen; 2],
    reset: bool,
}

/// What one side has sent.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    syn: bool,
    ack: bool,
    fin: bool,
}

impl Session {
    pub(super) const fn new(side: Side) -> Self {
        let nothing = Seen { syn: false, ack: false, fin: false };
        let came_in = matches!(side, Side::Outside);
        Session { sent: false, came_in, until: Time::ZERO, seen: [nothing; 2], reset: false }
    }

    /// A packet of it passes. Says whether it is over at once.
    pub(super) fn pass(&mut self, now: Time, side: Side, packet: &Packet, lifetimes: &Lifetimes) -> bool {
        let fresh = !self.sent && self.until == Time::ZERO;
        self.sent |= side == Side::Inside;
        let Body::Tcp(segment) = &packet.body else {
            if fresh || side == Side::Inside || lifetimes.udp_refresh_inbound {
                self.until = now + lifetimes.udp;
            }
            return false;
        };
        let Flags { syn, ack, fin, rst } = segment.flags;
        if rst {
            let until = now + lifetimes.tcp_reset;
            // Only the first counts: what comes after it proves nothing.
            self.until = if self.until == Time::ZERO { until } else { self.until.min(until) };
            self.reset = true;
            return lifetimes.tcp_reset.is_zero();
        }
        if segment.is_first_syn() && (self.reset || self.is_closing()) {
            (self.seen, self.reset) = ([Seen::default(); 2], false);
        }
        if self.reset {
            return false;
        }
        let seen = &mut self.seen[usize::from(side == Side::Outside)];
        *seen = Seen { syn: seen.syn || syn, ack: seen.ack || ack, fin: seen.fin || fin };
        self.until = now + self.lifetime(lifetimes);
        false
    }

    fn lifetime(&self, lifetimes: &Lifetimes) -> Duration {
        let [ours, theirs] = self.seen;
        // Neither SYN was seen: it is older than what we remember.
        let open = ours.ack && theirs.ack && ours.syn == theirs.syn;
        if open && !self.is_closing() { lifetimes.tcp_established } else { lifetimes.tcp_transitory }
    }

    fn is_closing(&self) -> bool {
        self.seen.iter().all(|seen| seen.fin)
    }
}
