//! The hop protocol's streams, both ends (circuit-v2.md, "Hop Protocol").
//!
//! ```text
//! client  RESERVE or CONNECT goes out at once --> waits --STATUS--> Reserved, Connected (a circuit from here) or Refused
//! relay   waits --RESERVE--> asked --reply--> STATUS goes out, the stream is over
//!         waits --CONNECT--> asked --reply--> STATUS goes out, a circuit from here if it is OK
//!         waits --anything else--> STATUS 400 or 401 goes out, failed
//! ```

use super::error::{Expected, Fault, Field, ReplyError};
use super::message::{HopMessage, ReservationMessage, limit_field, nested, peer_field, present, read_limit, read_peer};
use super::wait::{Input, Wait};
use super::{Answer, Config, Context, Reply, Request, Service};
use crate::{Limit, Reservation, SignedVoucher, Status, Voucher, VoucherError};
use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use prost::Message;
use tidewire_core::{Keypair, Multiaddr, PeerId, Time, UnixTime, encode_message};

/// A client's end.
#[derive(Debug)]
pub(super) struct Asking {
    wait: Wait,
    context: Context,
    max_addresses: usize,
    reserve: bool,
    circuit: bool,
}

/// A relay's end.
#[derive(Debug)]
pub(super) struct Serving {
    wait: Wait,
    context: Context,
    max_addresses: usize,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Waiting,
    /// The request is told, and decided elsewhere.
    Asked {
        reserve: bool,
    },
    Answered {
        circuit: bool,
    },
}

impl Asking {
    pub(super) fn reserve(context: Context, config: &Config, now: Time, tx: &mut BytesMut) -> Self {
        let message = HopMessage { r#type: Some(HopMessage::RESERVE), ..HopMessage::default() };
        Self::new(true, &message, context, config, now, tx)
    }

    pub(super) fn connect(
        destination: PeerId,
        context: Context,
        config: &Config,
        now: Time,
        tx: &mut BytesMut,
    ) -> Self {
        let peer = peer_field(destination);
        let message = HopMessage { r#type: Some(HopMessage::CONNECT), peer, ..HopMessage::default() };
        Self::new(false, &message, context, config, now, tx)
    }

    fn new(
        reserve: bool,
        message: &HopMessage,
        context: Context,
        config: &Config,
        now: Time,
        tx: &mut BytesMut,
    ) -> Self {
        encode_message(message, tx);
        let after = if reserve { config.reserve } else { config.connect };
        let wait = Wait::new(Service::Hop.max_message(), now, after);
        Asking { wait, context, max_addresses: config.max_addresses, reserve, circuit: false }
    }

    pub(super) fn advance(&mut self, now: Time, rx: &mut BytesMut, input: Input) -> Result<Option<Answer>, Fault> {
        let Asking { wait, context, max_addresses, reserve, .. } = self;
        let answer = wait.message(now, rx, input, |message: HopMessage| {
            match present(message.r#type, Field::Type)? {
                HopMessage::STATUS => {}
                got => return Err(Fault::UnexpectedType { expected: Expected::HopStatus, got }),
            }
            let status = Status::from_code(present(message.status, Field::Status)?);
            if !status.is_ok() {
                return Ok(Answer::Refused { status });
            }
            let limit = read_limit(message.limit)?;
            if !*reserve {
                return Ok(Answer::Connected { limit });
            }
            let reservation = nested(present(message.reservation, Field::Reservation)?)?;
            Ok(Answer::Reserved(Box::new(read_reservation(&reservation, limit, *context, *max_addresses)?)))
        })?;
        self.circuit |= matches!(answer, Some(Answer::Connected { .. }));
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
    pub(super) fn new(context: Context, config: &Config, now: Time) -> Self {
        let wait = Wait::new(Service::Hop.max_message(), now, config.request);
        Serving { wait, context, max_addresses: config.max_addresses, step: Step::Waiting }
    }

    pub(super) fn advance(
        &mut self,
        now: Time,
        rx: &mut BytesMut,
        tx: &mut BytesMut,
        input: Input,
    ) -> Result<Option<Request>, Fault> {
        let waiting = self.wait.is_waiting();
        let mut denied = false;
        let result = self.wait.message(now, rx, input, |message: HopMessage| {
            Ok(match present(message.r#type, Field::Type)? {
                HopMessage::RESERVE => Request::Reserve,
                HopMessage::CONNECT => {
                    denied = self.context.relayed;
                    Request::Connect { destination: read_peer(message.peer)? }
                }
                got => return Err(Fault::UnexpectedType { expected: Expected::HopRequest, got }),
            })
        });
        match &result {
            Ok(Some(request)) => self.step = Step::Asked { reserve: *request == Request::Reserve },
            Err(fault) if waiting => {
                if let Some(status) = refusal(fault, denied) {
                    encode_message(&HopMessage::of_status(status), tx);
                }
            }
            Ok(None) | Err(_) => {}
        }
        result
    }

    pub(super) fn reply(
        &mut self,
        reply: &Reply,
        keypair: Option<&Keypair>,
        tx: &mut BytesMut,
    ) -> Result<(), ReplyError> {
        let reserve = match self.step {
            Step::Waiting if self.wait.is_waiting() => return Err(ReplyError::NotAsked),
            Step::Waiting => return Err(ReplyError::Failed),
            Step::Answered { .. } => return Err(ReplyError::Answered),
            Step::Asked { reserve } => reserve,
        };
        let message = match reply {
            Reply::Refused { status } if !status.is_ok() => HopMessage::of_status(*status),
            Reply::Reserved { expire, addresses, limit } if reserve => {
                self.reservation(*expire, addresses, *limit, keypair)?
            }
            Reply::Connected { limit } if !reserve => {
                HopMessage { limit: limit_field(*limit), ..HopMessage::of_status(Status::OK) }
            }
            _ => return Err(ReplyError::Unfit),
        };
        encode_message(&message, tx);
        self.step = Step::Answered { circuit: matches!(reply, Reply::Connected { .. }) };
        Ok(())
    }

    pub(super) const fn wait(&self) -> &Wait {
        &self.wait
    }

    /// Answered, or failed.
    pub(super) const fn is_over(&self) -> bool {
        match self.step {
            Step::Waiting => !self.wait.is_waiting(),
            Step::Asked { .. } => false,
            Step::Answered { .. } => true,
        }
    }

    pub(super) const fn is_circuit(&self) -> bool {
        matches!(self.step, Step::Answered { circuit: true })
    }

    fn reservation(
        &self,
        expire: UnixTime,
        addresses: &[Multiaddr],
        limit: Limit,
        keypair: Option<&Keypair>,
    ) -> Result<HopMessage, VoucherError> {
        let Context { local, remote, .. } = self.context;
        let voucher = Voucher { relay: local, peer: remote, expiration: expire };
        let voucher = keypair.map(|keypair| voucher.seal(keypair)).transpose()?;
        let complete = addresses.iter().filter_map(|address| address.with_peer_id(local).ok());
        let mut reservation = ReservationMessage {
            expire: Some(expire.as_secs()),
            addrs: complete
                .take(self.max_addresses)
                .map(|address| Bytes::copy_from_slice(address.as_bytes()))
                .collect::<Vec<_>>(),
            voucher: voucher.map(|envelope| envelope.as_bytes().clone()),
        };
        let mut message = HopMessage { limit: limit_field(limit), ..HopMessage::of_status(Status::OK) };
        let room = Service::Hop.max_message().saturating_sub(message.encoded_len() + NESTED);
        while reservation.encoded_len() > room && reservation.addrs.pop().is_some() {}
        message.reservation = Some(reservation.encode_to_vec().into());
        Ok(message)
    }
}

/// Bytes before a nested message of less than 16 KiB: its tag, and its length.
const NESTED: usize = 3;

/// What a relay says to a remote at fault. Nothing to one that left without a word.
///
/// An unknown type is `MALFORMED_MESSAGE`, as go has it; a known one that is no request is `UNEXPECTED_MESSAGE`. js says the
/// latter to both. `denied`: it asks for a circuit over a relayed connection. That is refused before it is looked at whom it wants
/// to reach, as in go, so that one request has one answer whether or not its peer id is one. What is no request, or names no
/// type, can't be denied: it stays malformed over a relayed connection too.
fn refusal(fault: &Fault, denied: bool) -> Option<Status> {
    match fault {
        Fault::Silent => None,
        _ if denied => Some(Status::PERMISSION_DENIED),
        Fault::UnexpectedType { got: HopMessage::STATUS, .. } => Some(Status::UNEXPECTED_MESSAGE),
        _ => Some(Status::MALFORMED_MESSAGE),
    }
}

fn read_reservation(
    message: &ReservationMessage,
    limit: Limit,
    context: Context,
    max_addresses: usize,
) -> Result<Reservation, Fault> {
    let expire = UnixTime::from_secs(present(message.expire, Field::Expire)?);
    // py writes an empty one where it has none.
    let voucher = message.voucher.as_deref().filter(|envelope| !envelope.is_empty());
    let voucher = voucher.map(|envelope| read_voucher(envelope, expire, context));
    let mut reservation = Reservation { voucher, limit, ..Reservation::new(context.remote, expire) };
    reservation.take_addresses(message.addrs.iter().map(|bytes| &bytes[..]), max_addresses);
    Ok(reservation)
}

/// Copied first: what is kept must not pin a buffer of the connection.
fn read_voucher(envelope: &[u8], expire: UnixTime, context: Context) -> Result<SignedVoucher, VoucherError> {
    let envelope = Bytes::copy_from_slice(envelope);
    let voucher = Voucher::open(envelope.clone())?;
    voucher.check(context.remote, context.local, expire)?;
    Ok(SignedVoucher { voucher, envelope })
}
