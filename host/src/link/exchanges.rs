//! The streams on which one end asks and the other answers: hop and stop of relays, AutoNAT, hole punching. No application sees
//! them, unless they become circuits.
//!
//! ```text
//!  asked by us        Asking -----Answer, told----> Closing          until the remote ends its side, or its time is over
//!                                    '-----------> handed over: a circuit
//!  asked by a remote  Responding --Request, told; the host decides; Reply--> Closing, or handed over
//!  punched by us      Opening --Heard, told; the host says Sync--> Closing
//!  by a remote        Answering --Heard, told; the host says Connect--> Heard, told: Closing
//! ```

use super::few::Few;
use super::message::AskFault;
use super::{LinkConfig, Service};
use crate::AskNumber;
use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::{Buf, BytesMut};
use core::time::Duration;
use tidewire_core::{Keypair, Machine, Multiaddr, Time};
use tidewire_dcutr::exchange::{Answerer, Fault, Heard, Opener};
use tidewire_relay::exchange::{Answer, Ask, Asker, Context, Reply, Request, Responder};
use tidewire_upgrade::connection::Connection;
use tidewire_upgrade::muxer::StreamId;

/// What is done on a stream.
#[derive(Debug)]
enum Role {
    /// The host has yet to say whether the remote may ask.
    Waiting {
        service: Service,
        until: Time,
    },
    Asking {
        ask: AskNumber,
        asker: Box<Asker>,
    },
    Responding {
        responder: Box<Responder>,
    },
    Opening {
        ask: AskNumber,
        opener: Box<Opener>,
    },
    Answering {
        answerer: Box<Answerer>,
    },
    /// All is said. What the remote still sends is of no use.
    Closing {
        until: Time,
    },
}

#[derive(Debug)]
struct Exchange {
    role: Role,
    ours: bool,
    rx: BytesMut,
    /// What there was no room for yet.
    out: BytesMut,
    finished: bool,
    ended: bool,
    /// Whoever is to have the circuit waits for it.
    wanted: bool,
}

/// What came of letting a stream go on.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing, for now.
    Goes,
    /// We were answered.
    Answered(AskNumber, Result<Answer, AskFault>),
    /// We are asked.
    Asked(Request),
    /// The remote said something about a hole punch.
    Heard(Option<AskNumber>, Result<Heard, Fault>),
    /// It is a circuit now, and no concern of ours.
    Circuit {
        /// Came with the last message.
        held: BytesMut,
        /// Somebody waits for it.
        wanted: bool,
    },
    /// Both ends are done, or it was reset.
    Over,
}

/// A stream that is no more.
#[derive(Debug)]
pub(super) struct Gone {
    /// The question that has no answer.
    pub(super) ask: Option<AskNumber>,
    /// It was to be a circuit: the host counts on it.
    pub(super) circuit: bool,
    /// Somebody waits for that.
    pub(super) wanted: bool,
}

/// All of one link.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    all: Few<Exchange>,
}

impl Exchanges {
    pub(super) fn has(&self, id: StreamId) -> bool {
        self.all.get(id).is_some()
    }

    /// Whether the remote may ask once more.
    pub(super) fn has_room(&self, config: &LinkConfig) -> bool {
        self.all.iter().filter(|(_, exchange)| !exchange.ours).count() < config.max_exchanges
    }

    fn insert(&mut self, id: StreamId, role: Role, ours: bool, out: BytesMut) {
        self.all.insert(
            id,
            Exchange { role, ours, rx: BytesMut::new(), out, finished: false, ended: false, wanted: false },
        );
    }

    /// Asks, on a stream of ours.
    pub(super) fn ask(
        &mut self,
        now: Time,
        id: StreamId,
        (ask, what): (AskNumber, &Ask),
        context: &Context,
        config: &LinkConfig,
    ) {
        let mut out = BytesMut::new();
        let asker = Box::new(Asker::new(what, context, &config.relay, now, &mut out));
        self.insert(id, Role::Asking { ask, asker }, true, out);
    }

    /// The remote wants to ask: nothing is read before [`admit`](Self::admit).
    pub(super) fn wait(&mut self, now: Time, id: StreamId, service: Service, config: &LinkConfig) {
        let until = now + config.relay.request;
        self.insert(id, Role::Waiting { service, until }, false, BytesMut::new());
    }

    /// Listens to what the remote asks.
    pub(super) fn admit(&mut self, now: Time, id: StreamId, context: &Context, config: &LinkConfig) {
        if let Some(exchange) = self.all.get_mut(id)
            && let Role::Waiting { service, .. } = exchange.role
        {
            exchange.role = match service {
                Service::Relay(service) => {
                    let responder = Box::new(Responder::new(service, context, &config.relay, now));
                    Role::Responding { responder }
                }
                Service::Dcutr => Role::Answering { answerer: Box::new(Answerer::new(now, &config.dcutr)) },
            };
        }
    }

    /// Says `CONNECT`, on a stream of ours.
    pub(super) fn punch(
        &mut self,
        now: Time,
        id: StreamId,
        (ask, addresses): (AskNumber, &[Multiaddr]),
        config: &LinkConfig,
    ) {
        let mut out = BytesMut::new();
        let opener = Box::new(Opener::new(now, addresses, &config.dcutr, &mut out));
        self.insert(id, Role::Opening { ask, opener }, true, out);
    }

    /// Says `SYNC`. Out of turn it says nothing.
    pub(super) fn sync(&mut self, now: Time, id: StreamId) {
        if let Some(Exchange { role: Role::Opening { opener, .. }, out, .. }) = self.all.get_mut(id) {
            let _ = opener.sync(now, out);
        }
    }

    /// Answers the remote's `CONNECT`. Out of turn it says nothing.
    pub(super) fn connect(&mut self, now: Time, id: StreamId, addresses: &[Multiaddr]) {
        if let Some(Exchange { role: Role::Answering { answerer }, out, .. }) = self.all.get_mut(id) {
            let _ = answerer.connect(now, addresses, out);
        }
    }

    /// Answers what the remote asked. Whatever does not fit what was asked is no answer: the stream is reset.
    pub(super) fn reply(&mut self, now: Time, id: StreamId, reply: &Reply, keypair: &Keypair) -> bool {
        let Some(Exchange { role: Role::Responding { responder, .. }, out, .. }) = self.all.get_mut(id) else {
            return true;
        };
        responder.reply(now, reply, Some(keypair), out).is_ok()
    }

    /// Pays what an answer asked for.
    pub(super) fn pay(&mut self, now: Time, id: StreamId) {
        if let Some(Exchange { role: Role::Asking { asker, .. }, out, .. }) = self.all.get_mut(id) {
            // Nothing was asked for, or it is being paid: then nothing is.
            let _ = asker.pay(now, out);
        }
    }

    /// The stream on which this was asked, if it isn't answered.
    pub(super) fn of_ask(&self, ask: AskNumber) -> Option<StreamId> {
        self.all.iter().find(|(_, exchange)| exchange.role.ask() == Some(ask)).map(|(id, _)| id)
    }

    /// A stream is gone.
    pub(super) fn remove(&mut self, id: StreamId) -> Option<Gone> {
        let exchange = self.all.remove(id)?;
        let (circuit, wanted) = (!exchange.ours && exchange.is_circuit(), exchange.wanted);
        Some(Gone { ask: exchange.role.ask(), circuit, wanted })
    }

    /// Whether a stream may still become a circuit. Whoever asks is told when it has, or when it can't any more.
    pub(super) fn want(&mut self, id: StreamId) -> bool {
        match self.all.get_mut(id) {
            Some(Exchange { role: Role::Responding { .. }, wanted, .. }) => {
                *wanted = true;
                true
            }
            _ => false,
        }
    }

    /// The connection is over: the questions that have no answer.
    pub(super) fn end(&mut self) -> Vec<AskNumber> {
        let all = core::mem::take(&mut self.all);
        all.iter().filter_map(|(_, exchange)| exchange.role.ask()).collect()
    }

    /// Lets a stream go as far as its bytes, the room to write and the time allow. All said, the remote may take so long to end
    /// its side.
    pub(super) fn advance(
        &mut self,
        now: Time,
        linger: Duration,
        id: StreamId,
        connection: &mut Connection,
        tx: &mut BytesMut,
    ) -> Step {
        let until = now + linger;
        let Some(exchange) = self.all.get_mut(id) else { return Step::Goes };
        let step = exchange.run(now, id, connection, tx, until);
        if matches!(step, Step::Circuit { .. }) {
            self.all.remove(id);
        }
        step
    }

    pub(super) fn expired(&self, now: Time) -> Vec<StreamId> {
        self.all.iter().filter(|(_, exchange)| exchange.deadline() <= now).map(|(id, _)| id).collect()
    }

    /// A link has few such streams: a walk over them is O(1).
    pub(super) fn deadline(&self) -> Time {
        self.all.iter().map(|(_, exchange)| exchange.deadline()).min().unwrap_or(Time::NEVER)
    }

    pub(super) fn memory_used(&self) -> usize {
        let each = |exchange: &Exchange| {
            let machine = match &exchange.role {
                Role::Asking { asker, .. } => size_of::<Asker>() + asker.memory_used(),
                Role::Responding { responder, .. } => size_of::<Responder>() + responder.memory_used(),
                Role::Opening { opener, .. } => size_of::<Opener>() + opener.memory_used(),
                Role::Answering { answerer } => size_of::<Answerer>() + answerer.memory_used(),
                Role::Waiting { .. } | Role::Closing { .. } => 0,
            };
            exchange.rx.capacity() + exchange.out.capacity() + machine
        };
        self.all.memory_used() + self.all.iter().map(|(_, exchange)| each(exchange)).sum::<usize>()
    }
}

impl Role {
    /// The question that has no answer yet.
    const fn ask(&self) -> Option<AskNumber> {
        match self {
            Role::Asking { ask, .. } | Role::Opening { ask, .. } => Some(*ask),
            Role::Waiting { .. } | Role::Responding { .. } | Role::Answering { .. } | Role::Closing { .. } => None,
        }
    }
}

impl Exchange {
    fn deadline(&self) -> Time {
        match &self.role {
            Role::Asking { asker, .. } => asker.deadline(),
            Role::Responding { responder, .. } => responder.deadline(),
            Role::Opening { opener, .. } => opener.deadline(),
            Role::Answering { answerer } => answerer.deadline(),
            Role::Waiting { until, .. } | Role::Closing { until } => *until,
        }
    }

    fn run(&mut self, now: Time, id: StreamId, connection: &mut Connection, tx: &mut BytesMut, until: Time) -> Step {
        loop {
            self.write(id, connection, tx);
            if self.is_circuit() {
                // The last message goes before the circuit's first byte.
                if !self.out.is_empty() {
                    return Step::Goes;
                }
                let held = core::mem::take(&mut self.rx);
                // Even an empty handle would hold the buffer that the messages came in, for as long as the circuit lives.
                let held = if held.is_empty() { BytesMut::new() } else { held };
                return Step::Circuit { held, wanted: self.wanted };
            }
            let read = self.wants_more() && self.read(id, connection, tx);
            let Exchange { role, rx, out, ended, .. } = self;
            let step = match role {
                Role::Waiting { until, .. } => {
                    if now < *until {
                        return Step::Goes;
                    }
                    self.leave(id, connection, tx);
                    return Step::Over;
                }
                Role::Asking { ask, asker } => {
                    let ask = *ask;
                    match asker.advance_or_end(now, rx, out, *ended) {
                        Ok(None) => None,
                        Ok(Some(answer)) => {
                            if !asker.is_circuit() && asker.is_over() {
                                self.role = Role::Closing { until };
                            }
                            Some(Step::Answered(ask, Ok(answer)))
                        }
                        Err(error) => {
                            self.role = Role::Closing { until: now };
                            Some(Step::Answered(ask, Err(AskFault::Answer(error))))
                        }
                    }
                }
                Role::Responding { responder } => match responder.advance_or_end(now, rx, out, *ended) {
                    Ok(Some(request)) => Some(Step::Asked(request)),
                    Ok(None) if responder.is_over() => {
                        self.role = Role::Closing { until };
                        continue;
                    }
                    Ok(None) => None,
                    // The refusal is in `out`.
                    Err(_) => {
                        self.role = Role::Closing { until };
                        continue;
                    }
                },
                Role::Opening { ask, opener } => {
                    let (ask, heard) = (Some(*ask), opener.advance_or_end(now, rx, out, *ended));
                    let over = opener.is_over();
                    match self.heard(ask, heard, over, (now, until)) {
                        Some(step) => Some(step),
                        None if over => continue,
                        None => None,
                    }
                }
                Role::Answering { answerer } => {
                    let heard = answerer.advance_or_end(now, rx, out, *ended);
                    let over = answerer.is_over();
                    match self.heard(None, heard, over, (now, until)) {
                        Some(step) => Some(step),
                        None if over => continue,
                        None => None,
                    }
                }
                Role::Closing { until } => {
                    rx.clear();
                    if (*ended && self.finished) || *until <= now {
                        self.leave(id, connection, tx);
                        return Step::Over;
                    }
                    None
                }
            };
            if let Some(step) = step {
                return step;
            }
            // What was just said may have made room to say more.
            if !read && !self.write(id, connection, tx) {
                return Step::Goes;
            }
        }
    }

    /// What a machine of a hole punch heard. After its last word, or a fault, the stream is closed.
    fn heard(
        &mut self,
        ask: Option<AskNumber>,
        heard: Result<Option<Heard>, Fault>,
        over: bool,
        (now, until): (Time, Time),
    ) -> Option<Step> {
        match heard {
            Ok(heard) => {
                if over {
                    self.role = Role::Closing { until };
                }
                heard.map(|heard| Step::Heard(ask, Ok(heard)))
            }
            Err(fault) => {
                self.role = Role::Closing { until: now };
                Some(Step::Heard(ask, Err(fault)))
            }
        }
    }

    fn is_circuit(&self) -> bool {
        match &self.role {
            Role::Asking { asker, .. } => asker.is_circuit(),
            Role::Responding { responder, .. } => responder.is_circuit(),
            Role::Waiting { .. } | Role::Opening { .. } | Role::Answering { .. } | Role::Closing { .. } => false,
        }
    }

    /// What comes while the host decides is not read: it may be the circuit's.
    fn wants_more(&self) -> bool {
        !self.ended
            && match &self.role {
                Role::Waiting { .. } => false,
                Role::Responding { responder } => responder.wants_more(),
                Role::Asking { asker, .. } => asker.is_circuit() || asker.wants_more(),
                Role::Opening { .. } | Role::Answering { .. } | Role::Closing { .. } => true,
            }
    }

    /// Whether something came, the end too.
    fn read(&mut self, id: StreamId, connection: &mut Connection, tx: &mut BytesMut) -> bool {
        match connection.read(id, tx) {
            Ok(Some(piece)) => self.rx.extend_from_slice(&piece),
            Ok(None) => self.ended = true,
            Err(_) => return false,
        }
        true
    }

    /// Whether something was written.
    fn write(&mut self, id: StreamId, connection: &mut Connection, tx: &mut BytesMut) -> bool {
        let mut wrote = false;
        while !self.out.is_empty() {
            match connection.write(id, &self.out, tx) {
                Ok(count) if count > 0 => {
                    self.out.advance(count);
                    wrote = true;
                }
                _ => return wrote,
            }
        }
        self.out = BytesMut::new();
        if matches!(self.role, Role::Closing { .. }) && !self.finished {
            self.finished = connection.finish(id, tx).is_ok();
        }
        wrote
    }

    /// In an orderly way if the remote ended its side too and all was written, else at once.
    fn leave(&mut self, id: StreamId, connection: &mut Connection, tx: &mut BytesMut) {
        if !(self.ended && self.finished && self.out.is_empty()) {
            connection.reset(id, super::code::NORMAL, tx).ok();
        }
    }
}
