//! One port that is wanted outside.
//!
//! ```text
//!          answer                    renewal due, asked, no answer
//!  Wanted ---------> Held <-----------------------------------.
//!    ^                |  '--- 1/2, 3/4, 7/8 .. of its time ---'
//!    '--- time over --'
//!  Unwanted: to be given back, then gone
//! ```

use super::MapperConfig;
use crate::Transport;
use core::net::SocketAddr;
use core::time::Duration;
use tidewire_core::{Draw, Time};

#[derive(Clone, Debug)]
pub(super) struct Mapping {
    pub(super) transport: Transport,
    pub(super) port: u16,
    /// The port outside that would be best.
    pub(super) suggested: u16,
    pub(super) nonce: [u8; 12],
    pub(super) state: State,
    /// Tries in a row that came to nothing.
    pub(super) failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// To be asked for then.
    Wanted { at: Time },
    /// To be renewed then; it is over at its end.
    Held { external: SocketAddr, until: Time, renew: Time },
    /// To be given back. `external`: what it had.
    Unwanted { external: Option<SocketAddr> },
}

impl Mapping {
    /// When it is to be asked about.
    pub(super) const fn due(&self) -> Time {
        match self.state {
            State::Wanted { at } => at,
            State::Held { renew, .. } => renew,
            State::Unwanted { .. } => Time::ZERO,
        }
    }

    pub(super) const fn external(&self) -> Option<SocketAddr> {
        match self.state {
            State::Held { external, .. } => Some(external),
            State::Wanted { .. } => None,
            State::Unwanted { external } => external,
        }
    }

    /// Whether it is being given back.
    pub(super) const fn leaves(&self) -> bool {
        matches!(self.state, State::Unwanted { .. })
    }

    /// When it is over, if it is held.
    pub(super) const fn until(&self) -> Option<Time> {
        match self.state {
            State::Held { until, .. } => Some(until),
            State::Wanted { .. } | State::Unwanted { .. } => None,
        }
    }

    /// Its time is over: it is asked for anew. Where it was.
    pub(super) const fn lapse(&mut self, now: Time) -> Option<SocketAddr> {
        let external = self.external();
        self.state = State::Wanted { at: now };
        external
    }

    /// It was granted, or renewed.
    pub(super) fn grant(&mut self, now: Time, external: SocketAddr, lifetime: Duration, draw: &mut Draw) {
        // The first renewal: from a half to five eighths (RFC 6887 section 11.2.1; RFC 6886 section 3.3 says a half).
        let renew = now + lifetime / 2 + draw.up_to(lifetime / 8);
        self.state = State::Held { external, until: now + lifetime, renew };
        self.suggested = external.port();
        self.failures = 0;
    }

    /// A renewal came to nothing: when the next one is. Each time the half of what is left passes, and up to an eighth of it
    /// more; so the tries are at 1/2, 3/4, 7/8 of the whole.
    pub(super) fn put_off(&mut self, now: Time, config: &MapperConfig, draw: &mut Draw) -> Option<Duration> {
        let State::Held { until, renew, .. } = &mut self.state else { return None };
        let left = until.since(now);
        let wait = (left / 2 + draw.up_to(left / 8)).max(config.min_renewal);
        *renew = now + wait;
        Some(wait)
    }
}
