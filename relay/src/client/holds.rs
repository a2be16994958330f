//! Reservations: asked for, renewed, lost, asked for again.
//!
//! ```text
//!            no connection             connected
//!   Hold --> Connecting --------------> Asking --------- yes ---------> Held --- the time to renew --> Asking
//!                |  ^                     |  ^                            |
//!              failed | the time is over, | no answer, refused            | the last connection ended
//!                v  | or connected        v  |                            v
//!               Waiting <-------------- Waiting <------------------------ Lost
//!                                         '-- refused too often --> GaveUp --- Hold, NetworkChanged ---> as at first
//! ```
//! A relay that can't be reached is tried for ever, ever more slowly. One that refuses is given up.
//! What is held stays held while it is being renewed, until its own end.

use super::action::{Action, Event, Lost, Refusal};
use super::config::{AcceptFrom, VoucherPolicy, at_least_a_millisecond};
use super::expiry::{renewal, time_to_live};
use super::input::Misuse;
use super::{Client, Question, direct_addresses};
use crate::exchange::Ask;
use crate::{AskId, ConnectionId, Reservation, circuit_address};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;
use smol_str::{SmolStr, ToSmolStr};
use tidewire_core::{Multiaddr, PeerId, Time};

/// A relay at which a reservation is wanted.
#[derive(Debug)]
pub(super) struct Hold {
    pub(super) addresses: Vec<Multiaddr>,
    pub(super) state: State,
    pub(super) held: Option<Held>,
    /// In a row, refusals among them.
    pub(super) failures: u32,
    /// Since the last reservation.
    pub(super) refusals: u32,
    /// What came of the last try, if it failed.
    pub(super) last: Option<SmolStr>,
}

/// What a hold does at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Connecting {
        until: Time,
    },
    Asking {
        ask: AskId,
        until: Time,
    },
    Waiting {
        until: Time,
        refused: bool,
    },
    /// Nothing, until it is to be renewed.
    Held {
        renew: Time,
    },
    /// It refused too often; or is not begun yet.
    GaveUp,
}

/// A reservation that we have.
#[derive(Debug)]
pub(super) struct Held {
    reservation: Reservation,
    /// The connection that it was given on, or the one that it moves to.
    connection: ConnectionId,
    /// The one that it was given on is gone.
    moved: bool,
    since: Time,
    pub(super) until: Time,
}

/// Why a try came to nothing.
pub(super) enum Failure {
    Transport(SmolStr),
    Refused(Refusal),
}

impl State {
    fn deadline(self) -> Time {
        match self {
            State::Connecting { until } | State::Asking { until, .. } | State::Waiting { until, .. } => until,
            State::Held { renew } => renew,
            State::GaveUp => Time::NEVER,
        }
    }
}

impl Hold {
    pub(super) fn deadline(&self) -> Time {
        self.state.deadline().min(self.held.as_ref().map_or(Time::NEVER, |held| held.until))
    }

    pub(super) fn memory_used(&self) -> usize {
        Multiaddr::list_memory_used(&self.addresses)
            + self.held.as_ref().map_or(0, |held| held.reservation.memory_used())
            + self.last.as_ref().filter(|last| last.is_heap_allocated()).map_or(0, SmolStr::len)
    }
}

impl Held {
    pub(super) fn reservation(&self) -> &Reservation {
        &self.reservation
    }
}

impl Client {
    pub(super) fn hold(&mut self, relay: PeerId, addresses: &[Multiaddr]) -> Result<(), Misuse> {
        if relay == self.local {
            return Err(Misuse::Ourselves(relay));
        }
        let known = self.holds.contains_key(&relay);
        if !known && self.holds.len() >= count(self.config.holds) {
            return Err(Misuse::TooManyHolds(self.config.holds));
        }
        let new =
            || Hold { addresses: Vec::new(), state: State::GaveUp, held: None, failures: 0, refusals: 0, last: None };
        let hold = self.holds.entry(relay).or_insert_with(new);
        // Who says it again may know others: what is known stays, as far as there is room.
        let all: Vec<Multiaddr> = addresses.iter().chain(&hold.addresses).cloned().collect();
        hold.addresses = direct_addresses(&all, self.config.relay_addresses);
        if let State::GaveUp = hold.state {
            (hold.failures, hold.refusals) = (0, 0);
            self.begin(relay);
        }
        Ok(())
    }

    pub(super) fn release(&mut self, relay: PeerId) -> Result<(), Misuse> {
        let hold = self.holds.remove(&relay).ok_or(Misuse::NotHeld(relay))?;
        if let State::Asking { ask, .. } = hold.state {
            self.cancel_ask(ask);
        }
        if hold.held.is_some() {
            self.act(Action::Release { peer: relay });
            self.announce();
        }
        self.stop_connecting(relay);
        Ok(())
    }

    /// Tries: on a connection that there is, else with a new one.
    fn begin(&mut self, relay: PeerId) {
        match self.links.direct(relay) {
            Some(connection) => self.ask_reserve(relay, connection),
            None => {
                let until = self.now + at_least_a_millisecond(self.config.hold_dial_timeout);
                let Some(hold) = self.holds.get_mut(&relay) else { return };
                hold.state = State::Connecting { until };
                let addresses = hold.addresses.clone();
                self.want_connection(relay, addresses);
            }
        }
    }

    fn ask_reserve(&mut self, relay: PeerId, connection: ConnectionId) {
        let ask = self.ask(connection, Question::Reserve { relay }, Ask::Reserve);
        let until = self.now + at_least_a_millisecond(self.config.reserve_timeout);
        if let Some(hold) = self.holds.get_mut(&relay) {
            hold.state = State::Asking { ask, until };
        }
    }

    /// There is a direct connection to this relay.
    pub(super) fn hold_connected(&mut self, relay: PeerId, connection: ConnectionId) {
        let Some(hold) = self.holds.get(&relay) else { return };
        match hold.state {
            State::Connecting { .. } | State::Waiting { refused: false, .. } => {
                self.ask_reserve(relay, connection);
            }
            State::Asking { .. } | State::Waiting { .. } | State::Held { .. } | State::GaveUp => {}
        }
    }

    /// A direct connection to this relay ended; what was asked on it is still open.
    pub(super) fn hold_disconnected(&mut self, relay: PeerId, connection: ConnectionId) {
        let other = self.links.direct(relay);
        let Some(hold) = self.holds.get_mut(&relay) else { return };
        let Some(held) = hold.held.as_mut().filter(|held| held.connection == connection) else { return };
        match other {
            // Most relays keep it; rust-libp2p's don't. Asking again settles that.
            Some(other) => {
                (held.connection, held.moved) = (other, true);
                if let State::Held { .. } = hold.state {
                    self.ask_reserve(relay, other);
                }
            }
            None => self.lose(relay, Lost::Disconnected),
        }
    }

    /// What was asked on a connection, or the connection itself, came to nothing.
    pub(super) fn hold_failed(&mut self, relay: PeerId, failure: Failure) {
        let Some(hold) = self.holds.get_mut(&relay) else { return };
        hold.failures = hold.failures.saturating_add(1);
        let refused = matches!(failure, Failure::Refused(_));
        hold.refusals = hold.refusals.saturating_add(refused.into());
        let (tries, failures, refusals) = (self.config.tries, hold.failures, hold.refusals);
        let not_moved = refused && hold.held.as_ref().is_some_and(|held| held.moved);
        let delay = match &failure {
            Failure::Transport(_) => self.jitter.backoff(self.config.first_delay, self.config.max_delay, failures),
            Failure::Refused(why) if why.is_lasting() => {
                let longest = self.config.max_refused_delay;
                self.jitter.backoff(longest, longest, 0)
            }
            Failure::Refused(_) => {
                let (first, longest) = (self.config.first_refused_delay, self.config.max_refused_delay);
                self.jitter.backoff(first, longest, failures)
            }
        };
        let retry = (!refused || tries == u32::MAX || refusals < tries).then_some(delay);
        hold.state = retry.map_or(State::GaveUp, |delay| State::Waiting { until: self.now + delay, refused });
        let event = match failure {
            Failure::Transport(why) => {
                hold.last = Some(why.clone());
                Event::Failed { relay, why, retry: delay }
            }
            Failure::Refused(why) => {
                hold.last = Some(why.to_smolstr());
                Event::Refused { relay, why, retry }
            }
        };
        self.tell(event);
        if not_moved {
            self.lose(relay, Lost::NotMoved);
        }
    }

    /// The relay gave a reservation.
    pub(super) fn hold_granted(&mut self, relay: PeerId, connection: ConnectionId, given: &Reservation) {
        if let Some(refusal) = objection(given, self.config.voucher) {
            return self.hold_failed(relay, Failure::Refused(refusal));
        }
        let ttl = time_to_live(given.expire, self.unix(), &self.config);
        let renew = self.now + renewal(ttl, &self.config, &mut self.jitter);
        let now = self.now;
        let Some(hold) = self.holds.get_mut(&relay) else { return };
        let since = hold.held.as_ref().map(|held| held.since);
        let renewed = since.is_some();
        let reservation = given.clone();
        let held = Held { reservation, connection, moved: false, since: since.unwrap_or(now), until: now + ttl };
        hold.held = Some(held);
        hold.state = State::Held { renew };
        hold.last = None;
        hold.refusals = 0;
        if renewed {
            hold.failures = 0;
            self.tell(Event::Renewed { relay, ttl });
        } else {
            self.act(Action::Keep { peer: relay });
            self.tell(Event::Reserved { relay, ttl, limit: given.limit });
        }
        self.announce();
    }

    fn lose(&mut self, relay: PeerId, why: Lost) {
        let (now, settled) = (self.now, self.config.settled);
        let Some(hold) = self.holds.get_mut(&relay) else { return };
        let Some(held) = hold.held.take() else { return };
        self.actions.push_back(Action::Release { peer: relay });
        self.actions.push_back(Action::Event(Event::Lost { relay, why }));
        match (hold.state, why) {
            // It was there, and so it will be again: after a restart, say.
            (State::Held { .. } | State::GaveUp, Lost::Disconnected) => {
                let lasted = now.since(held.since) >= settled;
                hold.failures = if lasted { 1 } else { hold.failures.saturating_add(1) };
                let delay = self.jitter.backoff(self.config.first_delay, self.config.max_delay, hold.failures);
                hold.last = Some(why.to_smolstr());
                hold.state = State::Waiting { until: now + delay, refused: false };
            }
            // It lasts for less time than must be between two questions.
            (State::Held { renew }, _) if renew > now => hold.state = State::Waiting { until: renew, refused: false },
            (State::Held { .. }, _) => self.begin(relay),
            _ => {}
        }
        self.announce();
    }

    /// All that wait for another network try at once, with all their tries.
    pub(super) fn holds_network_changed(&mut self) {
        let relays: Vec<PeerId> = self.holds.keys().copied().collect();
        for relay in relays {
            let Some(hold) = self.holds.get_mut(&relay) else { continue };
            (hold.failures, hold.refusals) = (0, 0);
            if let State::Waiting { .. } | State::GaveUp = hold.state {
                self.begin(relay);
            }
        }
    }

    pub(super) fn holds_timeout(&mut self) {
        let now = self.now;
        let due: Vec<PeerId> =
            self.holds.iter().filter(|(_, hold)| hold.deadline() <= now).map(|(relay, _)| *relay).collect();
        for relay in due {
            if self.holds.get(&relay).and_then(|hold| hold.held.as_ref()).is_some_and(|held| held.until <= now) {
                self.lose(relay, Lost::Expired);
            }
            let Some(state) = self.holds.get(&relay).map(|hold| hold.state).filter(|state| state.deadline() <= now)
            else {
                continue;
            };
            match state {
                State::Connecting { .. } => {
                    let after = self.config.hold_dial_timeout.as_secs_f32();
                    let why = smol_str::format_smolstr!("there was no connection after {after} s");
                    self.hold_failed(relay, Failure::Transport(why));
                    self.stop_connecting(relay);
                }
                State::Asking { ask, .. } => {
                    self.cancel_ask(ask);
                    let after = self.config.reserve_timeout.as_secs_f32();
                    let why = smol_str::format_smolstr!("there was no answer after {after} s");
                    self.hold_failed(relay, Failure::Transport(why));
                }
                State::Waiting { .. } | State::Held { .. } => self.begin(relay),
                State::GaveUp => {}
            }
        }
    }

    /// Whether this relay may bring circuits.
    pub(super) fn may_bring(&self, relay: PeerId) -> bool {
        self.config.accept == AcceptFrom::Anyone
            || self
                .holds
                .get(&relay)
                .is_some_and(|hold| hold.held.is_some() || matches!(hold.state, State::Asking { .. }))
    }

    /// Says our addresses through relays if they are others than before.
    pub(super) fn announce(&mut self) {
        let circuits = self.circuit_addresses();
        if circuits != self.announced {
            self.announced = circuits.clone();
            self.act(Action::Circuits(circuits));
        }
    }

    fn circuit_addresses(&self) -> Vec<Multiaddr> {
        let mut all = BTreeSet::new();
        for (relay, hold) in &self.holds {
            let Some(held) = &hold.held else { continue };
            let mut circuits = held.reservation.circuit_addresses(self.local);
            // The relay knows no address of its own, as rust-libp2p's without an external one: those that we know.
            if circuits.is_empty() {
                let known = self.links.dialed(*relay).into_iter();
                circuits.extend(known.filter_map(|address| circuit_address(address, *relay, self.local)));
            }
            if circuits.is_empty() {
                let given = hold.addresses.iter();
                circuits.extend(given.filter_map(|address| circuit_address(address, *relay, self.local)));
            }
            all.extend(circuits);
        }
        all.into_iter().take(count(self.config.circuit_addresses)).collect()
    }
}

/// Why this reservation is not taken.
fn objection(given: &Reservation, policy: VoucherPolicy) -> Option<Refusal> {
    match (policy, &given.voucher) {
        (VoucherPolicy::Ignore, _) | (_, Some(Ok(_))) | (VoucherPolicy::RefuseWrong, None) => None,
        (VoucherPolicy::RefuseWrong | VoucherPolicy::Require, Some(Err(error))) => {
            Some(Refusal::Voucher(error.clone()))
        }
        (VoucherPolicy::Require, None) => Some(Refusal::NoVoucher),
    }
}

fn count(cap: u32) -> usize {
    usize::try_from(cap).unwrap_or(usize::MAX)
}

/// How long until then.
pub(super) fn wait_of(state: State, now: Time) -> Option<Duration> {
    let until = state.deadline();
    (!until.is_never()).then(|| until.since(now))
}
