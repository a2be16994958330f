//! Side A: we dialed through the relay. The other one opens the stream, and decides about tries.
//!
//! ```text
//!   Idle -- CONNECT --> AwaitSync -- SYNC --> Punching -- direct established --> Settling -- proven --> Done
//!    ^                   |  ^                  |    ^                               |
//!    |      reset, timeout  |   failed, timeout     '--- (a newer CONNECT: AwaitSync again, from any state)
//!    |                   v  |                  v                                    | all direct ones closed
//!    '-- window over -- Between <-----------------------------------------------'
//! ```
//! Between and Settling are Idle to the rule: nothing is dialed, any `CONNECT` is answered. They are there for the report.
//!
//! | state | input | actions -> next |
//! |---|---|---|
//! | any | `CONNECT` while a direct connection is proven | reset it |
//! | any | `CONNECT` otherwise | reset the older stream, abort our earlier punch dial unless its handshake runs, answer `CONNECT`, open the window; our own B series is spent -> AwaitSync |
//! | AwaitSync | `SYNC` on the current stream | the window waits as this round trip says; dial now -> Punching |
//! | other | `SYNC` (late, or on an old stream) | ignore |
//! | AwaitSync | reset, timeout, relay lost | Idle (the window stays) |
//! | Punching | failed: their SYN may come yet | timer: as long as the failure took, and RTT |
//! | Punching | timeout | abort -> Idle |
//! | Punching | `EADDRNOTAVAIL`, or a socket of theirs comes | wait |
//! | any | direct established | abort unconnected dials, reset the stream if AwaitSync -> Idle |
//!
//! What an adversary can have of us with all this: a bounded number of dials, to public addresses, so often
//! ([`Config::connects`](super::Config::connects)).

use super::action::{Action, Refusal, Stage};
use super::peer::{Link, State, Turn};
use crate::candidate::Wire;
use crate::exchange::{Fault, MessageType};
use crate::report::{Failure, Side};
use crate::{Plan, StreamKey};
use alloc::vec::Vec;
use core::time::Duration;
use tidewire_core::{Multiaddr, PeerId};

impl Turn<'_> {
    /// R's `CONNECT` came.
    pub(super) fn asked(&mut self, stream: StreamKey, told: &[Multiaddr], skipped: usize) {
        if let Err(why) = self.may_answer(stream) {
            return self.shared.act(Action::ResetStream { stream, why });
        }
        let older = match self.state() {
            Some((Side::A, State::AwaitSync { stream, .. })) => Some(*stream),
            Some((Side::B, _)) => {
                self.abort_all();
                self.fail(Failure::TheirTurn);
                None
            }
            _ => None,
        };
        // But not a handshake that runs: the other one may see it fail no more than we do, and a new dial between the same two ports
        // would find them taken.
        self.abort(|dial| !dial.upgrading);
        self.stop_datagrams();
        if let Some(older) = older {
            self.shared.act(Action::ResetStream { stream: older, why: Refusal::Newer });
            self.close_try();
        }
        let again = self.punch.was_a;
        (self.punch.was_a, self.punch.wanted) = (true, false);
        self.calm_down();

        let (now, until) = (self.shared.now, self.shared.now + self.shared.config.stream_timeout);
        let (offer, selection) = (self.offer(), self.targets(told));
        let targets = selection.kept;
        let addresses: Vec<Multiaddr> = offer.kept.iter().map(|candidate| candidate.address.clone()).collect();
        self.shared.act(Action::Answer { stream, addresses });
        let rtt = self.links.iter().find(|link| link.id == stream.connection).and_then(|link| link.rtt);
        self.open_window(&targets, again, rtt);
        if self.punch.attempt.is_none() {
            self.begin(Side::A, State::Between { until });
        }
        let number = self.number().saturating_add(1);
        if let Some(attempt) = &mut self.punch.attempt {
            attempt.number = number;
            attempt.record.begin_try(number, now, offer);
            attempt.record.told(told, skipped, &targets, selection.dropped, selection.further);
        }
        self.enter(State::AwaitSync { stream, until, targets }, Stage::AwaitSync { number });
    }

    fn may_answer(&self, stream: StreamKey) -> Result<(), Refusal> {
        match self.links.iter().find(|link| link.id == stream.connection) {
            None | Some(Link { relayed: false, .. }) => return Err(Refusal::NotRelayed),
            Some(Link { inbound: true, .. }) => return Err(Refusal::WrongSide),
            Some(_) => {}
        }
        if self.is_proven() {
            return Err(Refusal::Direct);
        }
        match self.state() {
            Some((Side::B, State::Armed { .. } | State::Punching { .. })) => return Err(Refusal::Ours),
            // Both are B: one of us has to give in, and both know which.
            Some((Side::B, State::WaitConnect { .. })) if is_smaller(&self.shared.local, &self.id) => {
                return Err(Refusal::Ours);
            }
            _ => {}
        }
        if self.shared.stopped {
            return Err(Refusal::Over);
        }
        let config = &self.shared.config;
        let burst = config.connect_interval.saturating_mul(config.connects.max(1).saturating_sub(1));
        if self.punch.calm.since(self.shared.now) > burst {
            return Err(Refusal::TooOften);
        }
        if self.punch.attempt.is_none() && self.shared.active >= config.max_attempts.max(1) {
            return Err(Refusal::TooMany);
        }
        Ok(())
    }

    /// One `CONNECT` more is answered.
    fn calm_down(&mut self) {
        self.punch.calm = self.punch.calm.max(self.shared.now) + self.shared.config.connect_interval;
        // Enough tries for one report: what follows is another attempt.
        if self.number() >= self.shared.config.tries.max(1) {
            let settling = matches!(self.state(), Some((_, State::Settling { .. })));
            self.fail(if settling { Failure::Lost } else { Failure::NoAnswer });
        }
    }

    /// R's `SYNC` came.
    pub(super) fn synced(&mut self, stream: StreamKey, rtt: Duration) {
        let Some((_, State::AwaitSync { stream: current, targets, .. })) = self.state() else { return };
        if *current != stream {
            return;
        }
        let (targets, number, now) = (targets.clone(), self.number(), self.shared.now);
        self.time_window(rtt);
        let config = &self.shared.config;
        let (timeout, wait) = (config.punch_timeout, config.wait(config.dial_a_waits, Some(rtt)));
        let again = self.punch.window.as_ref().is_some_and(|window| window.again);
        // As the spec has it; from the second CONNECT on, R may be one that takes our role on its last try.
        let plan = if again { Plan::ListenFirst { wait } } else { Plan::Initiate };
        let dials = u32::try_from(targets.len()).unwrap_or(u32::MAX);
        let until = now + timeout;
        self.enter(State::Punching { until, rtt, excused: false }, Stage::Punching { number, dials });
        if let Some(record) = self.record() {
            record.synced(now, rtt, Side::A);
            record.dialing(now);
        }
        for target in targets {
            let local = self.local_for(&target.address);
            // On QUIC it is said which end is the client, whatever the try.
            let plan = if Wire::of(&target.address) == Some(Wire::Quic) { Plan::Initiate } else { plan };
            self.dial(&target, local, plan, timeout);
        }
    }

    /// R's stream came to nothing.
    pub(super) fn stream_gone(&mut self, stream: StreamKey, why: Fault) {
        let Some((_, State::AwaitSync { stream: current, .. })) = self.state() else { return };
        if *current == stream {
            self.exchange_failed(why);
        }
    }

    fn exchange_failed(&mut self, why: Fault) {
        if let Some(record) = self.record() {
            record.fault(why.clone());
        }
        self.try_failed(Failure::Exchange(why));
    }

    /// A try came to nothing. Whether there is another one, R decides.
    pub(super) fn try_failed(&mut self, why: Failure) {
        self.abort_all();
        let until = self.punch.window.as_ref().map_or(self.shared.now, |window| window.until);
        let number = self.number();
        let more = number < self.shared.config.tries.max(1) && until > self.shared.now;
        self.close_try();
        if !more {
            return self.fail(why);
        }
        if self.circuit(false).is_none() {
            return self.fail(Failure::RelayLost);
        }
        self.enter(State::Between { until }, Stage::Between { number });
    }

    /// The stream is gone, whatever follows.
    fn close_try(&mut self) {
        let until = self.shared.now;
        if let Some(attempt) = &mut self.punch.attempt {
            attempt.state = State::Between { until };
        }
    }

    pub(super) fn a_timeout(&mut self) {
        let Some((_, state)) = self.state() else { return };
        match state.clone() {
            State::Direct { .. } => {
                self.abort_all();
                self.direct_failed(Side::A);
            }
            State::AwaitSync { stream, .. } => {
                self.shared.act(Action::ResetStream { stream, why: Refusal::Late });
                let (expected, after) = (MessageType::Sync, self.shared.config.stream_timeout);
                self.exchange_failed(Fault::Timeout { expected, after });
            }
            State::Punching { .. } => self.try_failed(Failure::NoAnswer),
            State::Settling { .. } => self.upgraded(None),
            State::Between { .. } => self.fail(Failure::NoFurtherTry),
            State::WaitConnect { .. } | State::Armed { .. } => {}
        }
    }
}

/// Of two peers, by the bytes of their ids.
fn is_smaller(us: &PeerId, them: &PeerId) -> bool {
    us.as_bytes() < them.as_bytes()
}
