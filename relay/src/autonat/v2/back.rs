//! The dial-back streams of AutoNAT v2, both ends (autonat-v2.md, "AutoNAT V2 Protocol").
//!
//! ```text
//! server  DialBack goes out at once --> waits --DialBackResponse: OK--> BackHeard
//! client  waits --DialBack--> asked --reply--> DialBackResponse goes out, the stream is over
//! ```

use crate::exchange::{Answer, Config, Fault, Input, Reply, ReplyError, Request, Service, Wait};
use bytes::BytesMut;
use prost::Message;
use tidewire_core::{Time, encode_message};

/// A server's end.
#[derive(Debug)]
pub(crate) struct Asking {
    wait: Wait,
}

/// A client's end.
#[derive(Debug)]
pub(crate) struct Serving {
    wait: Wait,
    asked: bool,
    answered: bool,
}

impl Asking {
    pub(crate) fn new(nonce: u64, config: &Config, now: Time, tx: &mut BytesMut) -> Self {
        encode_message(&DialBack { nonce }, tx);
        Asking { wait: Wait::new(Service::AutonatV2Back.max_message(), now, config.dial_back) }
    }

    pub(crate) fn advance(&mut self, now: Time, rx: &mut BytesMut, input: Input) -> Result<Option<Answer>, Fault> {
        self.wait.message(now, rx, input, |message: DialBackResponse| match message.status {
            0 => Ok(Answer::BackHeard),
            status => Err(Fault::NotOk { status }),
        })
    }

    pub(crate) const fn wait(&self) -> &Wait {
        &self.wait
    }
}

impl Serving {
    pub(crate) fn new(config: &Config, now: Time) -> Self {
        Serving {
            wait: Wait::new(Service::AutonatV2Back.max_message(), now, config.dial_back),
            asked: false,
            answered: false,
        }
    }

    pub(crate) fn advance(&mut self, now: Time, rx: &mut BytesMut, input: Input) -> Result<Option<Request>, Fault> {
        let read = |message: DialBack| Ok(Request::DialBack { nonce: message.nonce });
        let request = self.wait.message(now, rx, input, read)?;
        self.asked |= request.is_some();
        Ok(request)
    }

    pub(crate) fn reply(&mut self, reply: &Reply, tx: &mut BytesMut) -> Result<(), ReplyError> {
        match reply {
            Reply::BackHeard if self.answered => Err(ReplyError::Answered),
            Reply::BackHeard if self.wait.is_waiting() => Err(ReplyError::NotAsked),
            Reply::BackHeard if !self.asked => Err(ReplyError::Failed),
            Reply::BackHeard => {
                encode_message(&DialBackResponse { status: 0 }, tx);
                self.answered = true;
                Ok(())
            }
            _ => Err(ReplyError::Unfit),
        }
    }

    pub(crate) const fn wait(&self) -> &Wait {
        &self.wait
    }

    /// Answered, or failed.
    pub(crate) const fn is_over(&self) -> bool {
        self.answered || !(self.wait.is_waiting() || self.asked)
    }
}

#[derive(Clone, PartialEq, Eq, Message)]
struct DialBack {
    #[prost(fixed64, tag = "1")]
    nonce: u64,
}

/// In proto3 what isn't there is 0, which is OK here: go's answer is an empty message.
#[derive(Clone, PartialEq, Eq, Message)]
struct DialBackResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

#[cfg(test)]
mod tests;
