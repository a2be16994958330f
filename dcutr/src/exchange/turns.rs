//! Whose turn it is: what both ends of an exchange have in common.
//!
//! ```text
//! Theirs --the message--> Ours --we wrote--> Theirs or Over
//! Theirs --another, none, too late, cut short--> Failed, for good
//! Ours, Over --bytes--> Failed, for good
//! ```

use super::error::{Fault, MessageType, TurnError};
use super::{Config, Heard};
use crate::message::{self, Addresses};
use bytes::BytesMut;
use core::time::Duration;
use tidewire_core::Time;

#[derive(Clone, Debug)]
pub(super) struct Turns {
    step: Step,
    /// The end of the whole exchange, and how long it is.
    end: (Time, Duration),
    message: Duration,
    max_addresses: usize,
}

#[derive(Clone, Debug)]
enum Step {
    /// The remote is to say this, until then; so long it has.
    Theirs {
        expected: MessageType,
        until: Time,
        after: Duration,
    },
    /// We are to say this.
    Ours {
        turn: MessageType,
    },
    Over,
    Failed(Fault),
}

/// Whether more can come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Open,
    Ended,
}

impl Turns {
    /// Begins with the remote's turn.
    pub(super) fn new(now: Time, expected: MessageType, config: &Config) -> Turns {
        let Config { message, whole, max_addresses } = *config;
        let mut turns = Turns { step: Step::Over, end: (now + whole, whole), message, max_addresses };
        turns.theirs(now, expected);
        turns
    }

    /// The remote is to speak: within the time for a message, and for the whole.
    pub(super) fn theirs(&mut self, now: Time, expected: MessageType) {
        let (end, whole) = self.end;
        let own = now + self.message;
        let (until, after) = if own <= end { (own, self.message) } else { (end, whole) };
        self.step = Step::Theirs { expected, until, after };
    }

    pub(super) fn ours(&mut self, turn: MessageType) {
        self.step = Step::Ours { turn };
    }

    pub(super) fn over(&mut self) {
        self.step = Step::Over;
    }

    /// Whether it is our turn, to say the one thing that we say then.
    pub(super) fn check_ours(&self, said: bool) -> Result<(), TurnError> {
        match &self.step {
            Step::Ours { .. } => Ok(()),
            Step::Failed(_) => Err(TurnError::Failed),
            Step::Theirs { .. } | Step::Over if said => Err(TurnError::Written),
            Step::Theirs { .. } | Step::Over => Err(TurnError::NotHeard),
        }
    }

    /// The message that is due, once.
    pub(super) fn step(
        &mut self,
        now: Time,
        rx: &mut BytesMut,
        input: Input,
    ) -> Result<Option<(MessageType, Addresses)>, Fault> {
        let result = match &self.step {
            Step::Theirs { expected, until, after } => {
                let (expected, until, after) = (*expected, *until, *after);
                match (message::read(expected, self.max_addresses, rx), input) {
                    (Ok(Some(addresses)), _) => Ok(Some((expected, addresses))),
                    (Ok(None), Input::Ended) if rx.is_empty() => Err(Fault::Ended { expected }),
                    (Ok(None), Input::Ended) => Err(Fault::Truncated { expected, got: rx.len() }),
                    (Ok(None), Input::Open) if now >= until => Err(Fault::Timeout { expected, after }),
                    (Ok(None), Input::Open) => Ok(None),
                    (Err(fault), _) => Err(fault),
                }
            }
            Step::Ours { turn } if !rx.is_empty() => Err(Fault::OutOfTurn { turn: *turn }),
            // A remote that waits for `SYNC` alone may have ended its side; one that is to send it may not.
            Step::Ours { turn: MessageType::Connect } if input == Input::Ended => {
                Err(Fault::Ended { expected: MessageType::Sync })
            }
            Step::Ours { turn } if now >= self.end.0 => Err(Fault::Undecided { turn: *turn, after: self.end.1 }),
            Step::Over if !rx.is_empty() => Err(Fault::Trailing),
            Step::Ours { .. } | Step::Over => Ok(None),
            Step::Failed(fault) => Err(fault.clone()),
        };
        if let (Err(fault), false) = (&result, matches!(self.step, Step::Failed(_))) {
            self.step = Step::Failed(fault.clone());
        }
        result
    }

    /// Whether nothing is to be said any more, by neither side.
    pub(super) const fn is_over(&self) -> bool {
        matches!(self.step, Step::Over | Step::Failed(_))
    }

    pub(super) const fn deadline(&self) -> Time {
        match &self.step {
            Step::Theirs { until, .. } => *until,
            Step::Ours { .. } => self.end.0,
            Step::Over | Step::Failed(_) => Time::NEVER,
        }
    }

    pub(super) fn memory_used(&self) -> usize {
        if let Step::Failed(fault) = &self.step { fault.memory_used() } else { 0 }
    }
}

/// What a `CONNECT` tells.
pub(super) fn heard(addresses: Addresses, rtt: Option<Duration>) -> Heard {
    let Addresses { usable, skipped, dropped } = addresses;
    Heard::Connect { addresses: usable, skipped, dropped, rtt }
}
