//! What a link does about the streams on which one end asks and the other answers, and about the circuits they become.

use super::exchanges::Step;
use super::message::{AskFault, OpenFault, Report, StreamEvent};
use super::streams::{Stage, Stream};
use super::{Link, Service, State, code, cut};
use crate::{AskNumber, Direction, StreamId};
use alloc::boxed::Box;
use alloc::string::ToString;
use bytes::BytesMut;
use tidewire_core::Time;
use tidewire_multistream::{self as multistream, Protocol};
use tidewire_relay::client::Ending;
use tidewire_relay::exchange::{Ask, Context, Reply};
use tidewire_upgrade::connection::Connection;
use tidewire_upgrade::muxer;

fn context(connection: &Connection, local: tidewire_core::PeerId, relayed: bool) -> Context {
    Context { local, remote: connection.peer(), relayed }
}

impl Link {
    /// Asks something, on a stream of our own.
    pub(super) fn ask(&mut self, now: Time, ask: AskNumber, what: &Ask, tx: &mut BytesMut) {
        let service = Service::Relay(what.service());
        let (shared, local, relayed) = (self.shared.clone(), self.local(), self.remote.is_relayed());
        let Some(id) = self.ask_by(now, ask, service, tx) else { return };
        let Some(state) = self.opened() else { return };
        let context = context(&state.connection, local, relayed);
        state.exchanges.ask(now, id, (ask, what), &context, shared.config());
        self.opened_own(id, service, Direction::Outbound);
        self.advance_exchange(now, id, tx);
    }

    /// A stream of our own to ask on. `None`: there is none, and that is said.
    pub(super) fn ask_by(
        &mut self,
        now: Time,
        ask: AskNumber,
        service: Service,
        tx: &mut BytesMut,
    ) -> Option<muxer::StreamId> {
        let opened = match &mut self.state {
            State::Open(state) if !self.over => Protocol::new(service.name())
                .map_err(|error| cut(&error.to_string()))
                .and_then(|protocol| state.propose(now, protocol, tx).map_err(|error| cut(&error.to_string())))
                .map_err(|why| OpenFault::NoMore { why }),
            _ => Err(OpenFault::ConnectionEnded),
        };
        match opened {
            Ok(id) => Some(id),
            Err(fault) => {
                self.unanswered(ask, None, AskFault::Open(fault));
                None
            }
        }
    }

    /// Nobody waits for the answer.
    pub(super) fn unask(&mut self, ask: AskNumber, tx: &mut BytesMut) {
        let Some(state) = self.opened() else { return };
        if let Some(id) = state.exchanges.of_ask(ask) {
            state.connection.reset(id, code::NORMAL, tx).ok();
            self.exchange_over(id);
        }
    }

    /// Answers what the remote asked.
    pub(super) fn reply(&mut self, now: Time, stream: StreamId, reply: &Reply, tx: &mut BytesMut) {
        let (shared, local, relayed) = (self.shared.clone(), self.local(), self.remote.is_relayed());
        let Some(state) = self.opened() else { return };
        let id = muxer::StreamId::new(stream.0);
        // A refusal may come before anything was read.
        let context = context(&state.connection, local, relayed);
        state.exchanges.admit(now, id, &context, shared.config());
        if !state.exchanges.reply(now, id, reply, shared.keypair()) {
            // It can't be said, so nothing is.
            state.connection.reset(id, code::NORMAL, tx).ok();
            self.exchange_over(id);
            return;
        }
        self.advance_exchange(now, id, tx);
    }

    /// Pays what the answer to a question asked for.
    pub(super) fn pay(&mut self, now: Time, ask: AskNumber, tx: &mut BytesMut) {
        let Some(state) = self.opened() else { return };
        if let Some(id) = state.exchanges.of_ask(ask) {
            state.exchanges.pay(now, id);
            self.advance_exchange(now, id, tx);
        }
    }

    /// Nobody wants a stream of the host's: a circuit, or one on which the remote asked.
    pub(super) fn drop_stream(&mut self, stream: StreamId, tx: &mut BytesMut) {
        let id = muxer::StreamId::new(stream.0);
        let Some(state) = self.opened() else { return };
        if state.exchanges.has(id) {
            state.connection.reset(id, code::NORMAL, tx).ok();
            return self.exchange_reset(id, OpenFault::Reset { code: code::NORMAL }, true);
        }
        // It may be gone already.
        let _ = self.reset(stream, code::NORMAL, tx);
    }

    /// The remote wants to ask something. It is read once the host lets it.
    pub(super) fn asked(&mut self, now: Time, id: muxer::StreamId, service: Service, tx: &mut BytesMut) {
        let shared = self.shared.clone();
        let Some(state) = self.opened() else { return };
        if !state.exchanges.has_room(shared.config()) {
            state.connection.reset(id, code::STREAM_RATE_LIMITED, tx).ok();
            return;
        }
        state.exchanges.wait(now, id, service, shared.config());
        self.opened_own(id, service, Direction::Inbound);
    }

    /// The host lets the remote ask. False: this stream is no such.
    pub(super) fn admit_exchange(&mut self, now: Time, id: muxer::StreamId, tx: &mut BytesMut) -> bool {
        let (shared, local, relayed) = (self.shared.clone(), self.local(), self.remote.is_relayed());
        let State::Open(state) = &mut self.state else { return false };
        if !state.exchanges.has(id) {
            return false;
        }
        let context = context(&state.connection, local, relayed);
        state.exchanges.admit(now, id, &context, shared.config());
        self.advance_exchange(now, id, tx);
        true
    }

    /// Lets such a stream go on.
    pub(super) fn advance_exchange(&mut self, now: Time, id: muxer::StreamId, tx: &mut BytesMut) {
        let linger = self.shared.config().write_timeout;
        while let Some(state) = self.opened() {
            let stream = StreamId(id.get());
            match state.exchanges.advance(now, linger, id, &mut state.connection, tx) {
                Step::Goes => return,
                Step::Answered(ask, answer) => {
                    let answer = answer.map(Box::new).map_err(Box::new);
                    self.report(Report::Answered { ask, stream: Some(stream), answer });
                }
                Step::Asked(request) => {
                    let request = Box::new(request);
                    self.report(Report::Asked { stream, request });
                }
                Step::Heard(ask, heard) => self.report(Report::Heard { ask, stream, heard: heard.map_err(Box::new) }),
                Step::Circuit { held, wanted } => {
                    // Many may wait for who is slow, and the relay's memory is counted by this.
                    state.connection.narrow(id);
                    state.streams.insert(id, Stream::circuit(held));
                    if wanted {
                        self.tell(StreamEvent::Readable(stream));
                    }
                    return;
                }
                Step::Over => {
                    state.retry = true;
                    self.exchange_over(id);
                    return;
                }
            }
        }
    }

    /// The remote does not speak what we wanted to ask by.
    pub(super) fn exchange_refused(&mut self, id: muxer::StreamId, error: &multistream::Error, tx: &mut BytesMut) {
        let Some(state) = self.opened() else { return };
        state.connection.reset(id, code::NORMAL, tx).ok();
        if let Some(ask) = self.exchange_over(id) {
            self.unanswered(ask, Some(id), AskFault::Open(super::events::open_fault(error)));
        }
    }

    /// The remote reset such a stream, or the host refused it.
    pub(super) fn exchange_reset(&mut self, id: muxer::StreamId, why: OpenFault, tell: bool) {
        let Some(state) = self.opened() else { return };
        if !state.exchanges.has(id) {
            return;
        }
        state.retry = true;
        if let Some(ask) = self.exchange_gone(id) {
            self.unanswered(ask, Some(id), AskFault::Open(why));
        }
        if tell {
            self.own_over(id);
        }
    }

    /// Such a stream is over. Says which question has no answer.
    pub(super) fn exchange_over(&mut self, id: muxer::StreamId) -> Option<AskNumber> {
        let ask = self.exchange_gone(id);
        self.own_over(id);
        ask
    }

    /// Such a stream is forgotten. Says which question has no answer.
    fn exchange_gone(&mut self, id: muxer::StreamId) -> Option<AskNumber> {
        let gone = self.opened()?.exchanges.remove(id)?;
        let stream = StreamId(id.get());
        if gone.circuit {
            // The host gave it away already.
            self.report(Report::CircuitEnded { stream, sent: 0, received: 0, ending: Ending::Reset });
        }
        if gone.wanted {
            self.tell(StreamEvent::Readable(stream));
        }
        gone.ask
    }

    pub(super) fn unanswered(&mut self, ask: AskNumber, stream: Option<muxer::StreamId>, fault: AskFault) {
        let stream = stream.map(|id| StreamId(id.get()));
        self.report(Report::Answered { ask, stream, answer: Err(Box::new(fault)) });
    }

    pub(super) fn opened_own(&mut self, id: muxer::StreamId, service: Service, direction: Direction) {
        let Ok(protocol) = Protocol::new(service.name()) else { return };
        self.report(Report::StreamOpened { stream: StreamId(id.get()), direction, protocol, open: None });
    }

    fn own_over(&mut self, id: muxer::StreamId) {
        self.report(Report::StreamClosed { stream: StreamId(id.get()) });
    }
}

impl Stream {
    /// A circuit: `held` came with the last message before it.
    pub(super) fn circuit(held: BytesMut) -> Self {
        let mut stream = Stream::new(Stage::Admitted);
        stream.circuit = Some(Box::new(Circuit { held, sent: 0, received: 0, ending: Ending::Local }));
        stream
    }
}

impl Circuit {
    pub(super) fn ended(&self, stream: StreamId) -> Report {
        Report::CircuitEnded { stream, sent: self.sent, received: self.received, ending: self.ending }
    }
}

/// What is known of a stream that is a circuit.
#[derive(Debug)]
pub(super) struct Circuit {
    /// What came before anybody read it.
    pub(super) held: BytesMut,
    pub(super) sent: u64,
    pub(super) received: u64,
    /// How it ended: we end it, unless the remote does so first.
    pub(super) ending: Ending,
}
