//! The dial-request streams of AutoNAT v2, both ends (autonat-v2.md, "RPC Messages").
//!
//! ```text
//! client  DialRequest goes out at once --> waits --DialResponse--> Probed
//!                                          waits --DialDataRequest--> CostAsked --pay--> data goes out, waits --> Probed
//! server  waits --DialRequest--> asked --reply--> DialResponse goes out, the stream is over
//!                                asked --reply: data--> counts DialDataResponses --enough--> paid --reply--> over
//!         waits --reply: no--> DialResponse goes out, and nothing was read
//! ```

use super::{DialStatus, Response, Status};
use crate::exchange::{Answer, Config, Expected, Fault, Input, PayError, Reply, ReplyError, Request, Service, Wait};
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use core::time::Duration;
use prost::Message;
use tidewire_core::{Multiaddr, Time, encode_message};

/// The most addresses of one request that are read (go-libp2p).
const MAX_ADDRESSES: usize = 50;

/// Bytes of data in one message, as the spec limits them.
const CHUNK: usize = 4096;

/// Chunks with less are refused, but for the last one: they would cost us more than the sender (go-libp2p).
const MIN_CHUNK: u64 = 100;

/// What is sent as data.
static DATA: [u8; CHUNK] = [0; CHUNK];

/// A client's end.
#[derive(Debug)]
pub(crate) struct Asking {
    wait: Wait,
    /// How many addresses were asked about.
    asked: u32,
    charge: Charge,
    timeout: Duration,
    max_tx: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Charge {
    None,
    /// The server wants so much, and we have not agreed.
    Asked(u64),
    /// So much is still to be sent.
    Owed(u64),
}

/// A server's end.
#[derive(Debug)]
pub(crate) struct Serving {
    wait: Wait,
    timeout: Duration,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Waiting,
    /// The request is told, and decided elsewhere.
    Asked {
        count: u32,
    },
    /// Data is being counted.
    Paying {
        count: u32,
        wanted: u64,
        paid: u64,
    },
    /// The data came, and that is told.
    Paid {
        count: u32,
    },
    Answered,
}

impl Asking {
    pub(crate) fn new(nonce: u64, addresses: &[Multiaddr], config: &Config, now: Time, tx: &mut BytesMut) -> Self {
        let mut room = ADDRESS_BYTES;
        let fit = addresses.iter().take(MAX_ADDRESSES).map_while(|address| {
            room = room.checked_sub(address.as_bytes().len().saturating_add(PER_ADDRESS))?;
            Some(Bytes::copy_from_slice(address.as_bytes()))
        });
        let request = DialRequest { addrs: fit.collect(), nonce };
        let asked = u32::try_from(request.addrs.len()).unwrap_or(u32::MAX);
        encode_message(&Rpc { dial_request: Some(request.encode_to_vec().into()), ..Rpc::default() }, tx);
        let wait = Wait::new(Service::AutonatV2Request.max_message(), now, config.probe);
        Asking { wait, asked, charge: Charge::None, timeout: config.probe, max_tx: config.max_tx }
    }

    pub(crate) fn pay(&mut self, now: Time, tx: &mut BytesMut) -> Result<(), PayError> {
        let Charge::Asked(bytes) = self.charge else { return Err(PayError) };
        self.charge = Charge::Owed(bytes);
        self.wait = Wait::new(Service::AutonatV2Request.max_message(), now, self.timeout);
        self.send(tx);
        Ok(())
    }

    pub(crate) fn advance(
        &mut self,
        now: Time,
        rx: &mut BytesMut,
        tx: &mut BytesMut,
        input: Input,
    ) -> Result<Option<Answer>, Fault> {
        self.send(tx);
        // First all is paid: what was read in between must not decide how much (law 7).
        if matches!(self.charge, Charge::Owed(owed) if owed > 0) && now < self.wait.deadline() {
            return Ok(None);
        }
        let (asked, charge) = (self.asked, self.charge);
        let result = self.wait.message(now, rx, input, |message: Rpc| match message {
            Rpc { dial_response: Some(bytes), .. } => {
                let response: DialResponse = nested(bytes)?;
                let status = Status::from_code(response.status.unwrap_or_default());
                let index = response.addr_idx.unwrap_or_default();
                if status == Status::OK && index >= asked {
                    return Err(Fault::NoSuchAddress { index, asked });
                }
                let dial = DialStatus::from_code(response.dial_status.unwrap_or_default());
                Ok(Answer::Probed(Response { status, index, dial }))
            }
            Rpc { dial_data_request: Some(bytes), .. } if charge == Charge::None => {
                let request: DialDataRequest = nested(bytes)?;
                let (index, bytes) = (request.addr_idx.unwrap_or_default(), request.num_bytes.unwrap_or_default());
                if index >= asked {
                    return Err(Fault::NoSuchAddress { index, asked });
                }
                Ok(Answer::CostAsked { index, bytes })
            }
            other => {
                let expected = match charge {
                    Charge::None => Expected::AutonatV2Answer,
                    Charge::Asked(_) | Charge::Owed(_) => Expected::AutonatV2Response,
                };
                Err(Fault::UnexpectedType { expected, got: other.kind() })
            }
        });
        match &result {
            Ok(None) => {}
            Ok(Some(Answer::CostAsked { bytes, .. })) => self.charge = Charge::Asked(*bytes),
            Ok(Some(_)) | Err(_) => self.charge = Charge::Owed(0),
        }
        result
    }

    /// Sends what is owed, as far as there is room.
    fn send(&mut self, tx: &mut BytesMut) {
        let Charge::Owed(owed) = &mut self.charge else { return };
        while *owed > 0 && tx.len() < self.max_tx {
            // A few bytes more than owed, rather than a last chunk that is too small.
            let len = usize::try_from((*owed).max(MIN_CHUNK)).unwrap_or(CHUNK).min(CHUNK);
            let data = Bytes::from_static(DATA.get(..len).unwrap_or(&DATA));
            let chunk = DialDataResponse { data: Some(data) }.encode_to_vec();
            encode_message(&Rpc { dial_data_response: Some(chunk.into()), ..Rpc::default() }, tx);
            *owed = owed.saturating_sub(u64::try_from(len).unwrap_or(u64::MAX));
        }
    }

    pub(crate) const fn wait(&self) -> &Wait {
        &self.wait
    }

    /// Not while it is to be decided whether we pay, and not before all is paid.
    pub(crate) const fn wants_more(&self) -> bool {
        let owes = matches!(self.charge, Charge::Owed(owed) if owed > 0);
        self.wait.is_waiting() && !owes
    }

    /// Answered, or failed; not while it is to be decided whether we pay.
    pub(crate) const fn is_over(&self) -> bool {
        !self.wait.is_waiting() && !matches!(self.charge, Charge::Asked(_))
    }
}

impl Serving {
    pub(crate) fn new(config: &Config, now: Time) -> Self {
        let wait = Wait::new(Service::AutonatV2Request.max_message(), now, config.probe_request);
        Serving { wait, timeout: config.probe_request, step: Step::Waiting }
    }

    pub(crate) fn advance(
        &mut self,
        now: Time,
        rx: &mut BytesMut,
        tx: &mut BytesMut,
        input: Input,
    ) -> Result<Option<Request>, Fault> {
        match self.step {
            Step::Waiting => self.read_request(now, rx, tx, input),
            Step::Paying { count, wanted, paid } => self.read_data(now, rx, input, count, wanted, paid),
            Step::Asked { .. } | Step::Paid { .. } | Step::Answered => Ok(None),
        }
    }

    pub(crate) fn reply(&mut self, now: Time, reply: &Reply, tx: &mut BytesMut) -> Result<(), ReplyError> {
        let failed = !self.wait.is_waiting();
        match (self.step, reply) {
            (_, Reply::Probed(_) | Reply::AskData { .. }) if self.step == Step::Answered => Err(ReplyError::Answered),
            (Step::Waiting | Step::Paying { .. }, Reply::Probed(_) | Reply::AskData { .. }) if failed => {
                Err(ReplyError::Failed)
            }
            (Step::Waiting, Reply::AskData { .. }) => Err(ReplyError::NotAsked),
            (Step::Asked { count }, Reply::AskData { index, bytes }) if *index < count => {
                let request = DialDataRequest { addr_idx: nonzero(*index), num_bytes: Some(*bytes) };
                encode_message(&Rpc { dial_data_request: Some(request.encode_to_vec().into()), ..Rpc::default() }, tx);
                self.wait = Wait::new(Service::AutonatV2Request.max_message(), now, self.timeout);
                self.step = Step::Paying { count, wanted: *bytes, paid: 0 };
                Ok(())
            }
            (Step::Waiting | Step::Paying { .. }, Reply::Probed(response)) if response.status == Status::OK => {
                Err(ReplyError::NotAsked)
            }
            (Step::Asked { count } | Step::Paid { count }, Reply::Probed(response))
                if response.status == Status::OK && response.index >= count =>
            {
                Err(ReplyError::Unfit)
            }
            (_, Reply::Probed(response)) => {
                write(*response, tx);
                self.step = Step::Answered;
                Ok(())
            }
            _ => Err(ReplyError::Unfit),
        }
    }

    pub(crate) fn deadline(&self) -> Time {
        match self.step {
            Step::Waiting | Step::Paying { .. } => self.wait.deadline(),
            Step::Asked { .. } | Step::Paid { .. } | Step::Answered => Time::NEVER,
        }
    }

    pub(crate) const fn wants_more(&self) -> bool {
        matches!(self.step, Step::Waiting | Step::Paying { .. }) && self.wait.is_waiting()
    }

    /// Answered, or failed.
    pub(crate) const fn is_over(&self) -> bool {
        match self.step {
            Step::Waiting | Step::Paying { .. } => !self.wait.is_waiting(),
            Step::Asked { .. } | Step::Paid { .. } => false,
            Step::Answered => true,
        }
    }

    pub(crate) fn memory_used(&self) -> usize {
        self.wait.memory_used()
    }

    fn read_request(
        &mut self,
        now: Time,
        rx: &mut BytesMut,
        tx: &mut BytesMut,
        input: Input,
    ) -> Result<Option<Request>, Fault> {
        let waiting = self.wait.is_waiting();
        let result = self.wait.message(now, rx, input, |message: Rpc| {
            let Some(bytes) = message.dial_request else {
                return Err(Fault::UnexpectedType { expected: Expected::AutonatV2Request, got: message.kind() });
            };
            let request: DialRequest = nested(bytes)?;
            // One that can't be read keeps its place: the answer names addresses by their number.
            let read = |bytes: &Bytes| Multiaddr::from_bytes(bytes).unwrap_or_else(|_| Multiaddr::empty());
            let addresses = request.addrs.iter().take(MAX_ADDRESSES).map(read).collect();
            Ok(Request::Probe { nonce: request.nonce, addresses })
        });
        match &result {
            Ok(Some(Request::Probe { addresses, .. })) => {
                self.step = Step::Asked { count: u32::try_from(addresses.len()).unwrap_or(u32::MAX) };
            }
            Err(fault) if waiting && *fault != Fault::Silent => write(Response::refused(Status::INTERNAL_ERROR), tx),
            Ok(_) | Err(_) => {}
        }
        result
    }

    /// Counts data, and keeps none of it.
    fn read_data(
        &mut self,
        now: Time,
        rx: &mut BytesMut,
        input: Input,
        count: u32,
        wanted: u64,
        mut paid: u64,
    ) -> Result<Option<Request>, Fault> {
        while paid < wanted {
            let chunk = self.wait.message(now, rx, input, |message: Rpc| {
                let Some(bytes) = message.dial_data_response else {
                    return Err(Fault::UnexpectedType { expected: Expected::AutonatV2Data, got: message.kind() });
                };
                let chunk: DialDataResponse = nested(bytes)?;
                let len = u64::try_from(chunk.data.map_or(0, |data| data.len())).unwrap_or(u64::MAX);
                let last = paid.saturating_add(len) >= wanted;
                if len < MIN_CHUNK && !last {
                    return Err(Fault::SmallChunk { len, min: MIN_CHUNK });
                }
                Ok(len)
            })?;
            let Some(len) = chunk else {
                self.step = Step::Paying { count, wanted, paid };
                return Ok(None);
            };
            paid = paid.saturating_add(len);
            self.wait.more();
        }
        self.step = Step::Paid { count };
        Ok(Some(Request::Paid { bytes: paid }))
    }
}

/// Bytes that the addresses of one request may take of a message of 8 KiB: the rest is for the nonce and the frame.
pub(super) const ADDRESS_BYTES: usize = 8000;

/// Bytes that an address takes beside its own: its field number and its length.
pub(super) const PER_ADDRESS: usize = 3;

/// A `oneof`: who sends several means the one that belongs here.
#[derive(Clone, PartialEq, Eq, Message)]
struct Rpc {
    #[prost(bytes = "bytes", optional, tag = "1")]
    dial_request: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    dial_response: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    dial_data_request: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    dial_data_response: Option<Bytes>,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct DialRequest {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    addrs: Vec<Bytes>,
    #[prost(fixed64, tag = "2")]
    nonce: u64,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct DialDataRequest {
    #[prost(uint32, optional, tag = "1")]
    addr_idx: Option<u32>,
    #[prost(uint64, optional, tag = "2")]
    num_bytes: Option<u64>,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct DialResponse {
    #[prost(int32, optional, tag = "1")]
    status: Option<i32>,
    #[prost(uint32, optional, tag = "2")]
    addr_idx: Option<u32>,
    #[prost(int32, optional, tag = "3")]
    dial_status: Option<i32>,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct DialDataResponse {
    #[prost(bytes = "bytes", optional, tag = "1")]
    data: Option<Bytes>,
}

impl Rpc {
    /// The number of the field that is there; 0 if none is.
    fn kind(&self) -> i32 {
        match self {
            Rpc { dial_request: Some(_), .. } => 1,
            Rpc { dial_response: Some(_), .. } => 2,
            Rpc { dial_data_request: Some(_), .. } => 3,
            Rpc { dial_data_response: Some(_), .. } => 4,
            _ => 0,
        }
    }
}

fn write(response: Response, tx: &mut BytesMut) {
    let nonzero = |code: i32| (code != 0).then_some(code);
    let message = DialResponse {
        status: nonzero(response.status.code()),
        addr_idx: self::nonzero(response.index),
        dial_status: nonzero(response.dial.code()),
    };
    encode_message(&Rpc { dial_response: Some(message.encode_to_vec().into()), ..Rpc::default() }, tx);
}

/// In proto3 a zero is not sent.
fn nonzero(number: u32) -> Option<u32> {
    (number != 0).then_some(number)
}

fn nested<M: Message + Default>(bytes: Bytes) -> Result<M, Fault> {
    M::decode(bytes).map_err(|error| Fault::protobuf(&error))
}

#[cfg(test)]
mod tests;
