//! Waiting for the one message that a remote owes: what hop and stop have in common at both ends.
//!
//! ```text
//! Waiting --the message--> Done
//! Waiting --too long, unreadable, cut short, too late--> Failed, for good
//! ```

use super::error::Fault;
use bytes::BytesMut;
use core::time::Duration;
use prost::Message;
use tidewire_core::{Time, decode_message};

#[derive(Clone, Debug)]
pub(crate) struct Wait {
    max: usize,
    after: Duration,
    until: Time,
    step: Step,
}

#[derive(Clone, Debug)]
enum Step {
    Waiting,
    Done,
    Failed(Fault),
}

/// Whether more can come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Open,
    Ended,
}

impl Wait {
    /// Waits for a message of at most `max` bytes, until `after` from now.
    pub(crate) fn new(max: usize, now: Time, after: Duration) -> Self {
        Wait { max, after, until: now + after, step: Step::Waiting }
    }

    /// The message, once, as `read` understands it. Leaves what follows it in `rx`.
    pub(crate) fn message<M: Message + Default, T>(
        &mut self,
        now: Time,
        rx: &mut BytesMut,
        input: Input,
        read: impl FnOnce(M) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        match &self.step {
            Step::Waiting => {}
            Step::Done => return Ok(None),
            Step::Failed(fault) => return Err(fault.clone()),
        }
        let result = self.take(now, rx, input).and_then(|message| message.map(read).transpose());
        match &result {
            Ok(None) => {}
            Ok(Some(_)) => self.step = Step::Done,
            Err(fault) => self.step = Step::Failed(fault.clone()),
        }
        result
    }

    /// Waits for one message more, until the same moment.
    pub(crate) fn more(&mut self) {
        if matches!(self.step, Step::Done) {
            self.step = Step::Waiting;
        }
    }

    pub(crate) const fn is_waiting(&self) -> bool {
        matches!(self.step, Step::Waiting)
    }

    pub(crate) fn deadline(&self) -> Time {
        if self.is_waiting() { self.until } else { Time::NEVER }
    }

    pub(crate) fn memory_used(&self) -> usize {
        match &self.step {
            Step::Failed(fault) => fault.memory_used(),
            Step::Waiting | Step::Done => 0,
        }
    }

    fn take<M: Message + Default>(&self, now: Time, rx: &mut BytesMut, input: Input) -> Result<Option<M>, Fault> {
        let message = decode_message(rx, self.max)?;
        match (message, input) {
            (Some(message), _) => Ok(Some(message)),
            (None, Input::Ended) if rx.is_empty() => Err(Fault::Silent),
            (None, Input::Ended) => Err(Fault::Truncated { got: rx.len() }),
            (None, Input::Open) if now >= self.until => Err(Fault::Timeout { after: self.after }),
            (None, Input::Open) => Ok(None),
        }
    }
}
