//! Our question on a stream of ours, whatever its protocol.
//!
//! ```text
//! new: the question is in tx --> Asking --the answer--> Answered: Answer
//!                                Asking --a fault, the end, or the deadline--> Failed, for good
//! ```

use super::error::{AskError, Fault, PayError};
use super::wait::Input;
use super::{Answer, Ask, Config, Context, Service, hop, stop};
use crate::autonat::{v1, v2};
use bytes::BytesMut;
use tidewire_core::{Machine, PeerId, Time};

/// Asks, and reads the answer: a [`Machine`] that ends with an [`Answer`].
///
/// After its last output it does nothing more, and leaves what follows in `rx`.
#[derive(Debug)]
pub struct Asker {
    remote: PeerId,
    service: Service,
    inner: Inner,
}

/// One variant for each protocol that we ask on. A new one: here, in [`Service`], [`Ask`] and [`Answer`].
#[derive(Debug)]
enum Inner {
    Hop(hop::Asking),
    Stop(stop::Asking),
    DialMe(v1::stream::Asking),
    Probe(v2::stream::Asking),
    DialBack(v2::back::Asking),
}

impl Asker {
    /// Writes the question to `tx`, at once: it may travel with the stream's negotiation.
    pub fn new(ask: &Ask, context: &Context, config: &Config, now: Time, tx: &mut BytesMut) -> Self {
        let inner = match ask {
            Ask::Reserve => Inner::Hop(hop::Asking::reserve(*context, config, now, tx)),
            Ask::Connect { destination } => Inner::Hop(hop::Asking::connect(*destination, *context, config, now, tx)),
            Ask::Stop { source, limit } => Inner::Stop(stop::Asking::new(*source, *limit, config, now, tx)),
            Ask::DialMe { addresses } => Inner::DialMe(v1::stream::Asking::new(addresses, *context, config, now, tx)),
            Ask::Probe { nonce, addresses } => {
                Inner::Probe(v2::stream::Asking::new(*nonce, addresses, config, now, tx))
            }
            Ask::DialBack { nonce } => Inner::DialBack(v2::back::Asking::new(*nonce, config, now, tx)),
        };
        Asker { remote: context.remote, service: ask.service(), inner }
    }

    /// Pays what [`Answer::CostAsked`] said (AutoNAT v2): data goes to `tx`, what has no room there with the calls that follow
    /// ([`Config::max_tx`]). Then another answer comes.
    ///
    /// # Errors
    /// Nothing was asked for, or it is being paid.
    pub fn pay(&mut self, now: Time, tx: &mut BytesMut) -> Result<(), PayError> {
        match &mut self.inner {
            Inner::Probe(probe) => probe.pay(now, tx),
            _ => Err(PayError),
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

    /// Whether the last answer was told: what follows in `rx` is not for this machine.
    pub const fn is_over(&self) -> bool {
        match &self.inner {
            Inner::Hop(hop) => !hop.wait().is_waiting(),
            Inner::Stop(stop) => !stop.wait().is_waiting(),
            Inner::DialMe(dial_me) => !dial_me.wait().is_waiting(),
            Inner::Probe(probe) => probe.is_over(),
            Inner::DialBack(dial_back) => !dial_back.wait().is_waiting(),
        }
    }

    /// Whether more bytes are of use to it. While it is decided whether we pay, and until all is paid, nothing is read: what came
    /// would only be kept in `rx`.
    pub const fn wants_more(&self) -> bool {
        match &self.inner {
            Inner::Hop(hop) => hop.wait().is_waiting(),
            Inner::Stop(stop) => stop.wait().is_waiting(),
            Inner::DialMe(dial_me) => dial_me.wait().is_waiting(),
            Inner::Probe(probe) => probe.wants_more(),
            Inner::DialBack(dial_back) => dial_back.wait().is_waiting(),
        }
    }

    fn step(
        &mut self,
        now: Time,
        rx: &mut BytesMut,
        tx: &mut BytesMut,
        input: Input,
    ) -> Result<Option<Answer>, AskError> {
        let result = match &mut self.inner {
            Inner::Hop(hop) => hop.advance(now, rx, input),
            Inner::Stop(stop) => stop.advance(now, rx, input),
            Inner::DialMe(dial_me) => dial_me.advance(now, rx, input),
            Inner::Probe(probe) => probe.advance(now, rx, tx, input),
            Inner::DialBack(dial_back) => dial_back.advance(now, rx, input),
        };
        result.map_err(|fault| self.error(fault))
    }

    fn error(&self, fault: Fault) -> AskError {
        AskError { remote: self.remote, service: self.service, fault }
    }
}

impl Machine for Asker {
    type Output = Answer;
    type Error = AskError;

    fn advance(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Answer>, AskError> {
        self.step(now, rx, tx, Input::Open)
    }

    fn end(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Answer>, AskError> {
        self.step(now, rx, tx, Input::Ended)
    }

    fn deadline(&self) -> Time {
        match &self.inner {
            Inner::Hop(hop) => hop.wait().deadline(),
            Inner::Stop(stop) => stop.wait().deadline(),
            Inner::DialMe(dial_me) => dial_me.wait().deadline(),
            Inner::Probe(probe) => probe.wait().deadline(),
            Inner::DialBack(dial_back) => dial_back.wait().deadline(),
        }
    }

    fn memory_used(&self) -> usize {
        match &self.inner {
            Inner::Hop(hop) => hop.wait().memory_used(),
            Inner::Stop(stop) => stop.wait().memory_used(),
            Inner::DialMe(dial_me) => dial_me.wait().memory_used(),
            Inner::Probe(probe) => probe.wait().memory_used(),
            Inner::DialBack(dial_back) => dial_back.wait().memory_used(),
        }
    }
}
