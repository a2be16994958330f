//! The streams of AutoNAT v1, both ends (autonat-v1.md, "RPC messages").
//!
//! ```text
//! client  DIAL goes out at once --> waits --DIAL_RESPONSE--> Dialed
//! server  waits --DIAL--> asked --reply--> DIAL_RESPONSE goes out, the stream is over
//!         waits --reply: no--> the same, and nothing was read
//!         waits --anything else--> E_BAD_REQUEST goes out, failed
//! ```

use super::{Response, Status};
use crate::exchange::{
    Answer, Config, Context, Expected, Fault, Field, Input, Reply, ReplyError, Request, Service, Wait,
};
use alloc::string::String;
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use prost::Message;
use tidewire_core::{Multiaddr, PeerId, Time, encode_message};

/// A client's end.
#[derive(Debug)]
pub(crate) struct Asking {
    wait: Wait,
}

/// A server's end.
#[derive(Debug)]
pub(crate) struct Serving {
    wait: Wait,
    remote: PeerId,
    max_addresses: usize,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Waiting,
    /// The request is told, and decided elsewhere.
    Asked,
    Answered,
}

impl Asking {
    pub(crate) fn new(
        addresses: &[Multiaddr],
        context: Context,
        config: &Config,
        now: Time,
        tx: &mut BytesMut,
    ) -> Self {
        let mut room = super::ADDRESS_BYTES;
        let fit = addresses.iter().map_while(|address| {
            room = room.checked_sub(address.as_bytes().len().saturating_add(super::PER_ADDRESS))?;
            Some(Bytes::copy_from_slice(address.as_bytes()))
        });
        let peer = PeerInfo { id: Some(Bytes::copy_from_slice(context.local.as_bytes())), addrs: fit.collect() };
        let dial = Some(Dial { peer: Some(peer) });
        encode_message(&Rpc { r#type: Some(DIAL), dial, dial_response: None }, tx);
        Asking { wait: Wait::new(Service::AutonatV1.max_message(), now, config.dial_me) }
    }

    pub(crate) fn advance(&mut self, now: Time, rx: &mut BytesMut, input: Input) -> Result<Option<Answer>, Fault> {
        self.wait.message(now, rx, input, |message: Rpc| {
            message.check_type(DIAL_RESPONSE, Expected::AutonatV1Response)?;
            let response = message.dial_response.ok_or(Fault::MissingField { field: Field::DialResponse })?;
            let status = response.status.ok_or(Fault::MissingField { field: Field::Status })?;
            let address = response.addr.filter(|_| status == Status::OK.code());
            Ok(Answer::Dialed(Response {
                status: Status::from_code(status),
                text: text(&response.status_text.unwrap_or_default()),
                address: address.and_then(|bytes| Multiaddr::from_bytes(&bytes).ok()),
            }))
        })
    }

    pub(crate) const fn wait(&self) -> &Wait {
        &self.wait
    }
}

impl Serving {
    pub(crate) fn new(context: Context, config: &Config, now: Time) -> Self {
        let wait = Wait::new(Service::AutonatV1.max_message(), now, config.request);
        Serving { wait, remote: context.remote, max_addresses: config.max_addresses, step: Step::Waiting }
    }

    pub(crate) fn advance(
        &mut self,
        now: Time,
        rx: &mut BytesMut,
        tx: &mut BytesMut,
        input: Input,
    ) -> Result<Option<Request>, Fault> {
        if self.step == Step::Answered {
            return Ok(None);
        }
        let (waiting, remote, max) = (self.wait.is_waiting(), self.remote, self.max_addresses);
        let result = self.wait.message(now, rx, input, |message: Rpc| {
            message.check_type(DIAL, Expected::AutonatV1Dial)?;
            let dial = message.dial.ok_or(Fault::MissingField { field: Field::Dial })?;
            let peer = dial.peer.ok_or(Fault::MissingField { field: Field::Peer })?;
            // Without an id, who opened the stream is meant (go-libp2p).
            if let Some(id) = peer.id {
                let field = Field::PeerId;
                let got = PeerId::from_bytes(&id).map_err(|error| Fault::PeerId { field, error })?;
                if got != remote {
                    return Err(Fault::OtherPeer { got });
                }
            }
            let addresses = peer.addrs.iter().filter_map(|bytes| Multiaddr::from_bytes(bytes).ok());
            Ok(Request::DialMe { addresses: addresses.take(max).collect() })
        });
        match &result {
            Ok(Some(_)) => self.step = Step::Asked,
            Err(fault) if waiting && *fault != Fault::Silent => {
                write(&Response::failed(Status::BAD_REQUEST, "the request can't be read"), tx);
            }
            Ok(None) | Err(_) => {}
        }
        result
    }

    pub(crate) fn reply(&mut self, reply: &Reply, tx: &mut BytesMut) -> Result<(), ReplyError> {
        let Reply::Dialed(response) = reply else { return Err(ReplyError::Unfit) };
        match self.step {
            Step::Answered => return Err(ReplyError::Answered),
            Step::Waiting if !self.wait.is_waiting() => return Err(ReplyError::Failed),
            // That nothing was reached can be said unread, what was reached can't.
            Step::Waiting if response.status == Status::OK => return Err(ReplyError::NotAsked),
            Step::Waiting | Step::Asked => {}
        }
        write(response, tx);
        self.step = Step::Answered;
        Ok(())
    }

    pub(crate) fn deadline(&self) -> Time {
        if self.step == Step::Waiting { self.wait.deadline() } else { Time::NEVER }
    }

    pub(crate) const fn wants_more(&self) -> bool {
        matches!(self.step, Step::Waiting) && self.wait.is_waiting()
    }

    /// Answered, or failed.
    pub(crate) const fn is_over(&self) -> bool {
        match self.step {
            Step::Waiting => !self.wait.is_waiting(),
            Step::Asked => false,
            Step::Answered => true,
        }
    }

    pub(crate) fn memory_used(&self) -> usize {
        self.wait.memory_used()
    }
}

const DIAL: i32 = 0;
const DIAL_RESPONSE: i32 = 1;

#[derive(Clone, PartialEq, Eq, Message)]
struct Rpc {
    #[prost(int32, optional, tag = "1")]
    r#type: Option<i32>,
    #[prost(message, optional, tag = "2")]
    dial: Option<Dial>,
    #[prost(message, optional, tag = "3")]
    dial_response: Option<DialResponse>,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct Dial {
    #[prost(message, optional, tag = "1")]
    peer: Option<PeerInfo>,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct PeerInfo {
    #[prost(bytes = "bytes", optional, tag = "1")]
    id: Option<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    addrs: Vec<Bytes>,
}

/// The text stays bytes: one that is no UTF-8 must not hide the status.
#[derive(Clone, PartialEq, Eq, Message)]
struct DialResponse {
    #[prost(int32, optional, tag = "1")]
    status: Option<i32>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    status_text: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    addr: Option<Bytes>,
}

impl Rpc {
    fn check_type(&self, wanted: i32, expected: Expected) -> Result<(), Fault> {
        let got = self.r#type.ok_or(Fault::MissingField { field: Field::Type })?;
        if got == wanted { Ok(()) } else { Err(Fault::UnexpectedType { expected, got }) }
    }
}

fn write(response: &Response, tx: &mut BytesMut) {
    let response = DialResponse {
        status: Some(response.status.code()),
        status_text: (!response.text.is_empty()).then(|| Bytes::copy_from_slice(response.text.as_bytes())),
        addr: response.address.as_ref().map(|address| Bytes::copy_from_slice(address.as_bytes())),
    };
    encode_message(&Rpc { r#type: Some(DIAL_RESPONSE), dial: None, dial_response: Some(response) }, tx);
}

/// To its cap, without what would let a server write into our logs and terminals as it likes.
fn text(bytes: &[u8]) -> smol_str::SmolStr {
    let bytes = bytes.get(..Response::MAX_TEXT).unwrap_or(bytes);
    let text = String::from_utf8_lossy(bytes);
    let clean: String = text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect();
    tidewire_core::cut(&clean, Response::MAX_TEXT).into()
}

#[cfg(test)]
mod tests;
