//! Side B: the circuit came to us. We dial directly, then open the stream, and decide about tries.
//!
//! ```text
//!   Idle -- relayed inbound, identified --> Direct -- failed --> WaitConnect -- CONNECT --> Armed -- RTT/2 --> Punching
//!                                              |                  ^  |  ^ reset, timeout      |                 |  |
//!                                              |                  |  '--'                     |     failed, timeout |
//!                                              |                  '-------- next try, 3 at most, else Failed <--'  |
//!                                              |                  '----- all direct ones closed -----.             |
//!                                              '------- direct established, from any of them ----> Settling <------'
//!                                                                                                    '-- proven --> Done
//! ```
//! | state | input | actions -> next |
//! |---|---|---|
//! | Idle | relayed inbound, identified; never acted as A on a circuit that stands, series unspent, no direct connection | dial directly if A has public addresses -> Direct, else try 1 |
//! | Direct | failed, timeout | abort -> try 1 (Failed if the relay is lost) |
//! | Direct | `CONNECT` from R | abort; become A |
//! | start of try n | | abort our own earlier dial first; new stream, `CONNECT` -> WaitConnect |
//! | WaitConnect | `CONNECT` on the current stream | `SYNC`, timer RTT/2 -> Armed |
//! | WaitConnect | reset, timeout | next try |
//! | WaitConnect | relay lost | Failed, unless there is another one |
//! | WaitConnect | `CONNECT` from R (both are B) | smaller id: reset R's stream. Larger id: reset ours, give up the series, become A |
//! | Armed | timer | dial -> Punching |
//! | Armed, Punching | relay lost | carry on; no further tries |
//! | Armed, Punching | `CONNECT` from R | reset it |
//! | Punching | `EADDRNOTAVAIL`, or failed while an upgrade runs | stay until the timer |
//! | Punching | another failure: their SYN may come yet | timer: as long as the failure took, and RTT |
//! | Punching | a socket of theirs comes | stay until the dials' own timer |
//! | Punching | timeout | next try, Failed after 3 |
//! | any active | direct established | abort unconnected dials, reset the stream -> Settling |
//! | Settling | proven (rule A), or the relay is gone and a direct one stands | Done |
//! | Settling | all direct ones closed | next try |
//! | Settling | timeout: whoever proves may not be there | Done for now |
//! | Idle | the last direct one closed, the circuit stands | after a pause, the tries that are left |

use super::action::{Action, Stage};
use super::peer::{State, Turn};
use crate::candidate::{Candidate, Wire};
use crate::exchange::Fault;
use crate::report::{Failure, Side};
use crate::{AskId, Plan};
use alloc::vec::Vec;
use core::time::Duration;
use tidewire_core::Multiaddr;

impl Turn<'_> {
    /// Whether a series is due, but for the time and the room.
    pub(super) fn would_start(&self) -> bool {
        let punch = &*self.punch;
        let idle = punch.wanted && !punch.was_a && punch.attempt.is_none() && !self.shared.stopped;
        idle && punch.identified.is_some() && self.circuit(true).is_some() && !self.is_direct()
    }

    /// Idle: begins, if it may, or waits for its turn.
    pub(super) fn maybe_start(&mut self) {
        if !self.would_start() || self.punch.not_before > self.shared.now || self.punch.queued {
            return;
        }
        if self.shared.active >= self.shared.config.max_attempts.max(1) {
            self.punch.queued = true;
            self.shared.queue.push_back(self.id);
            return;
        }
        self.start();
    }

    fn start(&mut self) {
        self.punch.wanted = false;
        if self.dial_directly(Side::B) {
            return;
        }
        if self.speaks() {
            let until = self.shared.now;
            self.begin(Side::B, State::Between { until });
            self.next_try(Failure::RelayLost);
        }
    }

    fn speaks(&self) -> bool {
        self.punch.identified.as_ref().is_some_and(|known| known.speaks)
    }

    /// The plain dials came to nothing.
    pub(super) fn direct_failed(&mut self, side: Side) {
        match side {
            Side::B if !self.speaks() => {
                self.abort_all();
                self.fail(Failure::NotSpoken);
            }
            Side::B => self.next_try(Failure::RelayLost),
            // Only the other one may open the stream.
            Side::A => self.fail(Failure::NoAnswer),
        }
    }

    /// The start of the next try; if there is none, the attempt failed for this reason.
    pub(super) fn next_try(&mut self, why: Failure) {
        self.abort_all();
        if self.number() >= self.shared.config.tries.max(1) {
            return self.fail(why);
        }
        let Some(connection) = self.circuit(true) else {
            return self.fail(if why == Failure::Lost { why } else { Failure::RelayLost });
        };
        let offer = self.offer();
        if offer.kept.is_empty() {
            return self.fail(Failure::NothingOfOurs);
        }
        let (now, ask) = (self.shared.now, AskId(self.shared.next_ask));
        self.shared.next_ask = self.shared.next_ask.wrapping_add(1);
        self.shared.asks.insert(ask, self.id);
        let addresses: Vec<Multiaddr> = offer.kept.iter().map(|candidate| candidate.address.clone()).collect();
        self.shared.act(Action::Open { ask, connection, addresses });
        let until = now + self.shared.config.stream_timeout;
        let number = self.number().saturating_add(1);
        if let Some(attempt) = &mut self.punch.attempt {
            attempt.number = number;
            attempt.record.begin_try(number, now, offer);
        }
        self.enter(State::WaitConnect { ask, connection, until }, Stage::WaitConnect { number });
    }

    /// R answered `CONNECT`.
    pub(super) fn connects(&mut self, ask: AskId, told: &[Multiaddr], skipped: usize, rtt: Duration) {
        self.shared.asks.remove(&ask);
        let selection = self.targets(told);
        let targets = selection.kept;
        let now = self.shared.now;
        if let Some(record) = self.record() {
            record.told(told, skipped, &targets, selection.dropped, selection.further);
            record.synced(now, rtt, Side::B);
        }
        self.shared.act(Action::Sync { ask });
        self.open_window(&targets, false, Some(rtt));
        let wait = (rtt / 2).min(self.shared.config.max_timer);
        let stage = Stage::Armed { number: self.number(), wait };
        self.enter(State::Armed { at: now + wait, targets, rtt }, stage);
    }

    /// The exchange came to nothing.
    pub(super) fn ask_failed(&mut self, ask: AskId, why: Fault) {
        self.shared.asks.remove(&ask);
        if let Some(record) = self.record() {
            record.fault(why.clone());
        }
        match why {
            Fault::NotSpoken => self.fail(Failure::NotSpoken),
            why => self.next_try(Failure::Exchange(why)),
        }
    }

    pub(super) fn b_timeout(&mut self) {
        let Some((_, state)) = self.state() else { return };
        match state.clone() {
            State::Direct { .. } => self.direct_failed(Side::B),
            State::WaitConnect { ask, .. } => {
                self.reset_ask(ask);
                let (expected, after) = (crate::exchange::MessageType::Connect, self.shared.config.stream_timeout);
                self.ask_failed(ask, Fault::Timeout { expected, after });
            }
            State::Armed { targets, rtt, .. } => self.punch_as_b(targets, rtt),
            State::Punching { .. } => self.next_try(Failure::NoAnswer),
            State::Settling { .. } => self.upgraded(None),
            State::AwaitSync { .. } | State::Between { .. } => {}
        }
    }

    fn punch_as_b(&mut self, targets: Vec<Candidate>, rtt: Duration) {
        let config = &self.shared.config;
        let (timeout, wait) = (config.punch_timeout, config.wait(config.dial_b_waits, Some(rtt)));
        let until = self.shared.now + timeout;
        let (holes, targets): (Vec<_>, Vec<_>) =
            targets.into_iter().partition(|target| Wire::of(&target.address) == Some(Wire::Quic));
        let (number, dials) = (self.number(), u32::try_from(targets.len()).unwrap_or(u32::MAX));
        self.enter(State::Punching { until, rtt, excused: false }, Stage::Punching { number, dials });
        let now = self.shared.now;
        if let Some(record) = self.record() {
            record.dialing(now);
        }
        for target in targets {
            let local = self.local_for(&target.address);
            self.dial(&target, local, Plan::ListenFirst { wait }, timeout);
        }
        self.send_datagrams(&holes);
    }
}
