//! The stop protocol's streams, both ends (circuit-v2.md, "Stop Protocol").
//!
//! ```text
//! relay        CONNECT goes out at once --> waits --STATUS--> Accepted (a circuit from here) or Refused
//! destination  waits --CONNECT--> asked --reply--> STATUS goes out, a circuit from here if it is OK
//!              waits --anything else--> STATUS 400 or 401 goes out, failed
//! ```

use super::error::{Expected, Fault, Field, ReplyError};
use super::message::{StopMessage, limit_field, peer_field, present, read_limit, read_peer};
use super::wait::{Input, Wait};
use super::{Answer, Config, Reply, Request, Service};
use crate::{Limit, Status};
use bytes::BytesMut;
use tidewire_core::{PeerId, Time, encode_message};

/// A relay's end.
#[derive(Debug)]
pub(super) struct Asking {
    wait: Wait,
    circuit: bool,
}

/// A destination's end.
#[derive(Debug)]
pub(super) struct Serving {
    wait: Wait,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Waiting,
    /// The request is told, and decided elsewhere.
    Asked,
    Answered {
        circuit: bool,
    },
}

impl Asking {
    pub(super) fn new(source: PeerId, limit: Limit, config: &Config, now: Time, tx: &mut BytesMut) -> Self {
        let message = StopMessage {
            r#type: Some(StopMessage::CONNECT),
            peer: peer_field(source),
            limit: limit_field(limit),
            status: None,
        };
        encode_message(&message, tx);
        Asking { wait: Wait::new(Service::Stop.max_message(), now, config.stop), circuit: false }
    }

    pub(super) fn advance(&mut self, now: Time, rx: &mut BytesMut, input: Input) -> Result<Option<Answer>, Fault> {
        let answer = self.wait.message(now, rx, input, |message: StopMessage| {
            match present(message.r#type, Field::Type)? {
                StopMessage::STATUS => {}
                got => return Err(Fault::UnexpectedType { expected: Expected::StopStatus, got }),
            }
            let status = Status::from_code(present(message.status, Field::Status)?);
            Ok(if status.is_ok() { Answer::Accepted } else { Answer::Refused { status } })
        })?;
        self.circuit |= answer == Some(Answer::Accepted);
        Ok(answer)
    }

    pub(super) const fn wait(&self) -> &Wait {
        &self.wait
    }

    pub(super) const fn is_circuit(&self) -> bool {
        self.circuit
    }
}

impl Serving {
    pub(super) fn new(config: &Config, now: Time) -> Self {
        Serving { wait: Wait::new(Service::Stop.max_message(), now, config.request), step: Step::Waiting }
    }

    pub(super) fn advance(
        &mut self,
        now: Time,
        rx: &mut BytesMut,
        tx: &mut BytesMut,
        input: Input,
    ) -> Result<Option<Request>, Fault> {
        let waiting = self.wait.is_waiting();
        let result = self.wait.message(now, rx, input, |message: StopMessage| {
            match present(message.r#type, Field::Type)? {
                StopMessage::CONNECT => {}
                got => return Err(Fault::UnexpectedType { expected: Expected::StopConnect, got }),
            }
            Ok(Request::Stop { source: read_peer(message.peer)?, limit: read_limit(message.limit)? })
        });
        match &result {
            Ok(Some(_)) => self.step = Step::Asked,
            Err(fault) if waiting => {
                if let Some(status) = refusal(fault) {
                    encode_message(&StopMessage::of_status(status), tx);
                }
            }
            Ok(None) | Err(_) => {}
        }
        result
    }

    pub(super) fn reply(&mut self, reply: &Reply, tx: &mut BytesMut) -> Result<(), ReplyError> {
        match self.step {
            Step::Waiting if self.wait.is_waiting() => return Err(ReplyError::NotAsked),
            Step::Waiting => return Err(ReplyError::Failed),
            Step::Answered { .. } => return Err(ReplyError::Answered),
            Step::Asked => {}
        }
        let status = match reply {
            Reply::Accepted => Status::OK,
            Reply::Refused { status } if !status.is_ok() => *status,
            _ => return Err(ReplyError::Unfit),
        };
        encode_message(&StopMessage::of_status(status), tx);
        self.step = Step::Answered { circuit: status.is_ok() };
        Ok(())
    }

    pub(super) const fn wait(&self) -> &Wait {
        &self.wait
    }

    /// Answered, or failed.
    pub(super) const fn is_over(&self) -> bool {
        match self.step {
            Step::Waiting => !self.wait.is_waiting(),
            Step::Asked => false,
            Step::Answered { .. } => true,
        }
    }

    pub(super) const fn is_circuit(&self) -> bool {
        matches!(self.step, Step::Answered { circuit: true })
    }
}

/// What a destination says to a relay at fault, as go has it. Nothing to one that left without a word.
fn refusal(fault: &Fault) -> Option<Status> {
    match fault {
        Fault::Silent => None,
        Fault::UnexpectedType { .. } => Some(Status::UNEXPECTED_MESSAGE),
        _ => Some(Status::MALFORMED_MESSAGE),
    }
}
