//! A remote's question on a stream of its own, whatever the protocol.
//!
//! ```text
//! Reading --the request--> Asked: Request --reply--> Answered: the answer is in tx
//! Reading --a fault, the end within a message, or the deadline--> Failed, for good; the protocol's refusal is in tx
//! ```

use super::error::{Fault, ReplyError, RequestError};
use super::wait::Input;
use super::{Config, Context, Reply, Request, Service, hop, stop};
use crate::autonat::{v1, v2};
use bytes::BytesMut;
use tidewire_core::{Keypair, Machine, PeerId, Time};

/// Reads what a remote asks, and writes what is decided: a [`Machine`] that tells a [`Request`].
///
/// Between request and reply it waits without a deadline, since it doesn't decide, and reads nothing: what a remote sends
/// ahead of the answer is the circuit's. That the remote ends its side meanwhile is no fault; rust does with each `RESERVE`.
/// After an error send what is in `tx` and end the stream.
#[derive(Debug)]
pub struct Responder {
    remote: PeerId,
    service: Service,
    inner: Inner,
}

/// One variant for each protocol that we answer on. A new one: here, in [`Service`], [`Request`] and [`Reply`].
#[derive(Debug)]
enum Inner {
    Hop(hop::Serving),
    Stop(stop::Serving),
    DialMe(v1::stream::Serving),
    Probe(v2::stream::Serving),
    DialBack(v2::back::Serving),
}

impl Responder {
    /// For a stream that the remote opened.
    pub fn new(service: Service, context: &Context, config: &Config, now: Time) -> Self {
        let inner = match service {
            Service::Hop => Inner::Hop(hop::Serving::new(*context, config, now)),
            Service::Stop => Inner::Stop(stop::Serving::new(config, now)),
            Service::AutonatV1 => Inner::DialMe(v1::stream::Serving::new(*context, config, now)),
            Service::AutonatV2Request => Inner::Probe(v2::stream::Serving::new(config, now)),
            Service::AutonatV2Back => Inner::DialBack(v2::back::Serving::new(config, now)),
        };
        Responder { remote: context.remote, service, inner }
    }

    /// Writes the answer to `tx`. `keypair` is ours, and seals the voucher of a reservation; without it there is none.
    ///
    /// # Errors
    /// The caller's mistake: nothing was asked yet, it was answered already, the stream failed, or this is no answer to what
    /// was asked. Nothing was written.
    pub fn reply(
        &mut self,
        now: Time,
        reply: &Reply,
        keypair: Option<&Keypair>,
        tx: &mut BytesMut,
    ) -> Result<(), ReplyError> {
        match &mut self.inner {
            Inner::Hop(hop) => hop.reply(reply, keypair, tx),
            Inner::Stop(stop) => stop.reply(reply, tx),
            Inner::DialMe(dial_me) => dial_me.reply(reply, tx),
            Inner::Probe(probe) => probe.reply(now, reply, tx),
            Inner::DialBack(dial_back) => dial_back.reply(reply, tx),
        }
    }

    /// Whether the stream is a circuit now: what is in `rx`, and what comes, is the circuit's.
    pub const fn is_circuit(&self) -> bool {
        match &self.inner {
            Inner::Hop(hop) => hop.is_circuit(),
            Inner::Stop(stop) => stop.is_circuit(),
            Inner::DialMe(_) | Inner::Probe(_) | Inner::DialBack(_) => false,
        }
    }

    /// Whether it waits for bytes: not between request and reply, and not at the end.
    pub const fn wants_more(&self) -> bool {
        match &self.inner {
            Inner::Hop(hop) => hop.wait().is_waiting(),
            Inner::Stop(stop) => stop.wait().is_waiting(),
            Inner::DialMe(dial_me) => dial_me.wants_more(),
            Inner::Probe(probe) => probe.wants_more(),
            Inner::DialBack(dial_back) => dial_back.wait().is_waiting(),
        }
    }

    /// Whether the remote was answered, or failed: nothing follows.
    pub const fn is_over(&self) -> bool {
        match &self.inner {
            Inner::Hop(hop) => hop.is_over(),
            Inner::Stop(stop) => stop.is_over(),
            Inner::DialMe(dial_me) => dial_me.is_over(),
            Inner::Probe(probe) => probe.is_over(),
            Inner::DialBack(dial_back) => dial_back.is_over(),
        }
    }

    fn step(
        &mut self,
        now: Time,
        rx: &mut BytesMut,
        tx: &mut BytesMut,
        input: Input,
    ) -> Result<Option<Request>, RequestError> {
        let result = match &mut self.inner {
            Inner::Hop(hop) => hop.advance(now, rx, tx, input),
            Inner::Stop(stop) => stop.advance(now, rx, tx, input),
            Inner::DialMe(dial_me) => dial_me.advance(now, rx, tx, input),
            Inner::Probe(probe) => probe.advance(now, rx, tx, input),
            Inner::DialBack(dial_back) => dial_back.advance(now, rx, input),
        };
        result.map_err(|fault| self.error(fault))
    }

    fn error(&self, fault: Fault) -> RequestError {
        RequestError { remote: self.remote, service: self.service, fault }
    }
}

impl Machine for Responder {
    type Output = Request;
    type Error = RequestError;

    fn advance(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Request>, RequestError> {
        self.step(now, rx, tx, Input::Open)
    }

    fn end(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Request>, RequestError> {
        self.step(now, rx, tx, Input::Ended)
    }

    fn deadline(&self) -> Time {
        match &self.inner {
            Inner::Hop(hop) => hop.wait().deadline(),
            Inner::Stop(stop) => stop.wait().deadline(),
            Inner::DialMe(dial_me) => dial_me.deadline(),
            Inner::Probe(probe) => probe.deadline(),
            Inner::DialBack(dial_back) => dial_back.wait().deadline(),
        }
    }

    fn memory_used(&self) -> usize {
        match &self.inner {
            Inner::Hop(hop) => hop.wait().memory_used(),
            Inner::Stop(stop) => stop.wait().memory_used(),
            Inner::DialMe(dial_me) => dial_me.memory_used(),
            Inner::Probe(probe) => probe.memory_used(),
            Inner::DialBack(dial_back) => dial_back.wait().memory_used(),
        }
    }
}
