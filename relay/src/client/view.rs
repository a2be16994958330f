//! What the client knows, for a person.

use super::Client;
use super::holds::{Hold, State, wait_of};
use crate::Reservation;
use core::fmt;
use core::time::Duration;
use smol_str::SmolStr;
use tidewire_core::{PeerId, Time};

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Relays at which a reservation is wanted.
    pub holds: usize,
    /// Those at which we have one.
    pub reservations: usize,
    /// Dials that wait for their circuit.
    pub dials: usize,
    /// Circuits being dialed: those who want the same share one.
    pub dialing: usize,
    /// Circuits that we dialed.
    pub circuits_out: usize,
    /// Circuits that came to us, those the application is asked about included.
    pub circuits_in: usize,
    /// Questions without an answer.
    pub asks: usize,
}

/// A relay at which a reservation is wanted, and what is being done about it. `Display` gives a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HoldView {
    /// Which.
    pub relay: PeerId,
    /// What it does.
    pub doing: Doing,
    /// How long that takes at most; `None`: until something changes.
    pub wait: Option<Duration>,
    /// How long our reservation still lasts, if we have one.
    pub left: Option<Duration>,
    /// Failures and refusals in a row.
    pub failures: u32,
    /// What came of the last try, if it failed.
    pub last: Option<SmolStr>,
}

/// What is being done about a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Doing {
    /// Waits for a connection to the relay.
    Connecting,
    /// Waits for its answer.
    Asking,
    /// Waits until it is time to try again.
    Waiting,
    /// Has it, and waits until it is time to renew it.
    Holding,
    /// Nothing: it refused too often.
    GaveUp,
}

impl Client {
    /// How much there is.
    pub fn counts(&self) -> Counts {
        Counts {
            holds: self.holds.len(),
            reservations: self.holds.values().filter(|hold| hold.held.is_some()).count(),
            dials: self.dials.callers.len(),
            dialing: self.dials.jobs.len(),
            circuits_out: self.circuits.outgoing(),
            circuits_in: self.circuits.incoming(),
            asks: self.asks.len(),
        }
    }

    /// The reservation with this relay, if we have one.
    pub fn reservation(&self, relay: &PeerId) -> Option<&Reservation> {
        Some(self.holds.get(relay)?.held.as_ref()?.reservation())
    }

    /// What is being done about a reservation with this relay; `None` if none is wanted.
    pub fn explain(&self, now: Time, relay: &PeerId) -> Option<HoldView> {
        self.holds.get(relay).map(|hold| view_of(now, *relay, hold))
    }

    /// All relays at which a reservation is wanted.
    pub fn views(&self, now: Time) -> impl Iterator<Item = HoldView> + '_ {
        self.holds.iter().map(move |(relay, hold)| view_of(now, *relay, hold))
    }
}

fn view_of(now: Time, relay: PeerId, hold: &Hold) -> HoldView {
    let doing = match hold.state {
        State::Connecting { .. } => Doing::Connecting,
        State::Asking { .. } => Doing::Asking,
        State::Waiting { .. } => Doing::Waiting,
        State::Held { .. } => Doing::Holding,
        State::GaveUp => Doing::GaveUp,
    };
    HoldView {
        relay,
        doing,
        wait: wait_of(hold.state, now),
        left: hold.held.as_ref().map(|held| held.until.since(now)),
        failures: hold.failures,
        last: hold.last.clone(),
    }
}

impl fmt::Display for HoldView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |time: Option<Duration>| time.unwrap_or_default().as_secs();
        let (relay, wait) = (self.relay, seconds(self.wait));
        match self.doing {
            Doing::Connecting => write!(f, "{relay}: waits for a connection, {wait} s at most")?,
            Doing::Asking => write!(f, "{relay}: waits for its answer, {wait} s at most")?,
            Doing::Waiting => write!(f, "{relay}: tries again in {wait} s")?,
            Doing::Holding => write!(f, "{relay}: renews in {wait} s")?,
            Doing::GaveUp => write!(f, "{relay}: gave up until the network changes or you ask again")?,
        }
        if self.left.is_some() {
            write!(f, "; holds for {} s more", seconds(self.left))?;
        }
        if let Some(last) = &self.last {
            write!(f, "; {} times without success, last: {last}", self.failures)?;
        }
        Ok(())
    }
}
