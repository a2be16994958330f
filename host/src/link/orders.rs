//! What a link does when the host or the application says so.

use super::message::{Fault, OpenFault, Report, StreamEvent};
use super::streams::{Stage, Stream, Who};
use super::{Link, Open, State, Waiting, code, cut};
use crate::identify::{IDENTIFY, PUSH};
use crate::ping::PING;
use crate::{By, OpenId, StreamId};
use alloc::string::ToString;
use alloc::vec::Vec;
use bytes::BytesMut;
use tidewire_connmgr::{CloseReason, StreamRefusal};
use tidewire_core::Time;
use tidewire_multistream::{Protocol, Protocols};
use tidewire_relay::client::Ending;
use tidewire_upgrade::connection::{OpenStreamError, ReadStreamError, Selection};
use tidewire_upgrade::muxer::{self, OpenError, StreamError, WriteError};

impl Link {
    /// Closes the connection; during the upgrade it just ends.
    pub(super) fn close(&mut self, reason: &CloseReason, tx: &mut BytesMut) {
        let why = cut(&reason.to_string());
        if let CloseReason::Limit(_) = reason {
            self.drop_unread(tx);
        }
        match self.opened() {
            Some(open) => {
                open.closing.get_or_insert(why);
                open.connection.close(code::of_close(reason), tx);
            }
            None => self.end_link(By::Local, Fault::None, why),
        }
    }

    /// Ends all streams at once, and with them what they had received: there is no more room for it.
    fn drop_unread(&mut self, tx: &mut BytesMut) {
        let Some(open) = self.opened() else { return };
        let all: Vec<muxer::StreamId> = open.streams.ids().collect();
        let had: Vec<muxer::StreamId> = open.streams.admitted().collect();
        for id in all {
            open.connection.reset(id, code::STREAM_RESOURCE_LIMIT, tx).ok();
        }
        for id in had {
            let (stream, by) = (StreamId(id.get()), muxer::By::Us);
            self.tell(StreamEvent::Reset { stream, by, code: code::STREAM_RESOURCE_LIMIT });
        }
    }

    /// Opens a stream for the application, or lets it wait for the multiplexer.
    pub(super) fn open(
        &mut self,
        now: Time,
        open: OpenId,
        protocols: Protocols,
        selection: Selection,
        tx: &mut BytesMut,
    ) {
        let max_waiting = self.shared.config().max_waiting;
        let Some(state) = self.opened() else {
            return self.report(Report::OpenFailed { open, why: OpenFault::ConnectionEnded });
        };
        let wish = Waiting { open, protocols, selection };
        if state.waiting.is_empty() {
            match state.start(now, &wish, tx) {
                Ok(None) => return,
                Ok(Some(report)) => return self.report(report),
                Err(Some(why)) => return self.report(Report::OpenFailed { open, why }),
                Err(None) => {}
            }
        }
        if state.waiting.len() < max_waiting {
            state.waiting.push_back(wish);
        } else {
            self.report(Report::OpenFailed { open, why: too_many(max_waiting) });
        }
    }

    /// Streams that wait may have their turn now.
    pub(super) fn retry_waiting(&mut self, now: Time, tx: &mut BytesMut) {
        let Some(state) = self.opened() else { return };
        if !core::mem::take(&mut state.retry) {
            return;
        }
        while let Some(state) = self.opened()
            && let Some(wish) = state.waiting.pop_front()
        {
            match state.start(now, &wish, tx) {
                Ok(None) => {}
                Ok(Some(report)) => self.report(report),
                Err(Some(why)) => self.report(Report::OpenFailed { open: wish.open, why }),
                Err(None) => return state.waiting.push_front(wish),
            }
        }
    }

    /// Nobody wants this stream any more.
    pub(super) fn forget(&mut self, open: OpenId, tx: &mut BytesMut) {
        let Some(state) = self.opened() else { return };
        state.waiting.retain(|wish| wish.open != open);
        if let Some(id) = state.streams.of_open(open) {
            state.connection.reset(id, code::NORMAL, tx).ok();
            state.retry = true;
            // Of what was only proposed the host never heard.
            match state.streams.get(id).map(|known| &known.stage) {
                Some(Stage::Proposed(_)) => drop(state.streams.remove(id)),
                _ => self.gone(id),
            }
        }
    }

    /// The application gets a stream: also after the end, if the host had yet to hear of that. Or the remote hears who we are.
    pub(super) fn admit(&mut self, now: Time, stream: StreamId, tx: &mut BytesMut) {
        let State::Open(state) = &mut self.state else { return };
        let id = muxer::StreamId::new(stream.0);
        if let Some(until) = state.inside.is_asked(id) {
            if !self.over {
                // Where a probe sees somebody we say as who we are, or one node would count for two.
                let seen = (!self.probe).then_some(&self.remote);
                state.inside.write_card(id, false, &self.card, seen, until);
                self.advance_inside(now, id, tx);
            }
            return;
        }
        if self.admit_exchange(now, id, tx) {
            return;
        }
        let State::Open(state) = &mut self.state else { return };
        let peer = state.connection.peer();
        if let Some((event, over)) = state.streams.admit(id, peer) {
            self.tell(event);
            if over && !self.over {
                self.report(Report::StreamClosed { stream });
            }
        }
    }

    /// A stream is not to be. The host has forgotten it, and answers who asked for it.
    pub(super) fn refuse(&mut self, stream: StreamId, reason: StreamRefusal, tx: &mut BytesMut) {
        let Some(state) = self.opened() else { return };
        let id = muxer::StreamId::new(stream.0);
        state.connection.reset(id, code::STREAM_RESOURCE_LIMIT, tx).ok();
        state.inside.forget(id);
        state.streams.remove(id);
        state.retry = true;
        self.exchange_reset(id, OpenFault::Refused(reason), false);
    }

    pub(super) fn identify(&mut self, now: Time, tx: &mut BytesMut) {
        let State::Open(state) = &mut self.state else { return };
        if self.over || state.inside.is_identifying() {
            return;
        }
        let peer = state.connection.peer();
        match state.propose(now, IDENTIFY, tx) {
            Ok(id) => {
                state.inside.identify(now, id, peer, self.shared.config());
                self.advance_inside(now, id, tx);
            }
            Err(error) => self.report(Report::IdentifyFailed { why: cut(&error.to_string()) }),
        }
    }

    pub(super) fn push(&mut self, now: Time, tx: &mut BytesMut) {
        let until = now + self.shared.config().write_timeout;
        let State::Open(state) = &mut self.state else { return };
        if self.over {
            return;
        }
        // One that is under way says what is old; the remote takes the later one for the newer.
        if let Ok(id) = state.propose(now, PUSH, tx) {
            state.inside.write_card(id, true, &self.card, None, until);
            self.advance_inside(now, id, tx);
        }
    }

    pub(super) fn ping(&mut self, now: Time, tx: &mut BytesMut) {
        let State::Open(state) = &mut self.state else { return };
        if self.over || state.inside.is_pinging() {
            return;
        }
        if state.no_ping {
            let asked = state.connection.ping(now, tx);
            state.pinging |= asked;
            if !asked {
                self.report(Report::PingUnsupported);
            }
            return;
        }
        let Ok(id) = state.propose(now, PING, tx) else {
            // We, or the remote, have no stream to give: that is no reason to take it for dead.
            state.pinging |= state.connection.ping(now, tx);
            return;
        };
        let payload = *self.seed.derive("ping", self.pings).as_bytes();
        self.pings = self.pings.wrapping_add(1);
        state.inside.ping(now, id, payload, self.shared.config());
        self.advance_inside(now, id, tx);
    }

    /// Writes the beginning of `data` to a stream, and says how much of it that was.
    ///
    /// # Errors
    /// Nothing was written. [`WriteError::Blocked`]: [`StreamEvent::Writable`] says when to
    /// try again.
    pub fn write(&mut self, stream: StreamId, data: &[u8], tx: &mut BytesMut) -> Result<usize, WriteError> {
        let id = muxer::StreamId::new(stream.0);
        let State::Open(state) = &mut self.state else { return Err(WriteError::Failed) };
        if !state.streams.is_admitted(id) {
            return Err(if state.exchanges.want(id) { WriteError::Blocked } else { WriteError::Unknown });
        }
        state.used = true;
        let written = state.connection.write(id, data, tx);
        if let (Ok(count), Some(circuit)) = (&written, state.streams.circuit(id)) {
            circuit.sent = circuit.sent.saturating_add(u64::try_from(*count).unwrap_or(u64::MAX));
        }
        written
    }

    /// Whether it is not known yet that the remote speaks a stream's protocol: one that was opened with
    /// [`Selection::Lazy`], and the remote has not answered. [`StreamEvent::Readable`] says when to
    /// ask again; if the remote refused, reading says so.
    pub fn is_negotiating(&self, stream: StreamId) -> bool {
        self.connection().is_some_and(|connection| connection.is_negotiating(muxer::StreamId::new(stream.0)))
    }

    /// Whether a stream that the host wants to be a circuit isn't one yet: its last message waits for room, or for the order
    /// to send it. Till then there is nothing to read, no room to write, and it can't be finished;
    /// [`StreamEvent::Readable`] says when to ask again.
    pub fn awaits_circuit(&mut self, stream: StreamId) -> bool {
        self.opened().is_some_and(|state| state.exchanges.want(muxer::StreamId::new(stream.0)))
    }

    /// The next piece that the remote sent on a stream. `Ok(None)`: the remote finished.
    ///
    /// # Errors
    /// Nothing was read. [`ReadStreamError::Blocked`]: [`StreamEvent::Readable`] says when
    /// to try again.
    pub fn read(&mut self, stream: StreamId, tx: &mut BytesMut) -> Result<Option<BytesMut>, ReadStreamError> {
        let id = muxer::StreamId::new(stream.0);
        let State::Open(state) = &mut self.state else { return Err(ReadStreamError::Closed) };
        if !state.streams.is_admitted(id) {
            return Err(if state.exchanges.want(id) { ReadStreamError::Blocked } else { ReadStreamError::Unknown });
        }
        let result = match state.streams.circuit(id) {
            Some(circuit) if !circuit.held.is_empty() => Ok(Some(core::mem::take(&mut circuit.held))),
            _ => state.connection.read(id, tx),
        };
        match &result {
            Ok(Some(piece)) => {
                state.used = true;
                if let Some(circuit) = state.streams.circuit(id) {
                    circuit.received = circuit.received.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
                }
            }
            Ok(None) => self.ended(id),
            Err(ReadStreamError::Blocked) => {}
            Err(_) => {
                state.connection.reset(id, code::NORMAL, tx).ok();
                self.gone(id);
            }
        }
        self.weigh();
        result
    }

    /// Says that we send no more on a stream.
    ///
    /// # Errors
    /// There is no such stream, or it was reset, or the connection is over.
    pub fn finish(&mut self, stream: StreamId, tx: &mut BytesMut) -> Result<(), StreamError> {
        let id = muxer::StreamId::new(stream.0);
        let State::Open(state) = &mut self.state else { return Err(StreamError::Failed) };
        if !state.streams.is_admitted(id) {
            return Err(StreamError::Unknown);
        }
        let done = state.connection.finish(id, tx);
        if let Some(known) = state.streams.get_mut(id)
            && (done.is_ok() || self.over)
        {
            known.finished = true;
            if known.ended {
                self.gone(id);
            }
        }
        done
    }

    /// Ends a stream at once in both directions, and forgets it.
    ///
    /// # Errors
    /// There is no such stream.
    pub fn reset(&mut self, stream: StreamId, code: u32, tx: &mut BytesMut) -> Result<(), StreamError> {
        let id = muxer::StreamId::new(stream.0);
        let State::Open(state) = &mut self.state else { return Err(StreamError::Failed) };
        if state.exchanges.want(id) {
            let done = state.connection.reset(id, code, tx);
            self.exchange_over(id);
            return done;
        }
        if !state.streams.is_admitted(id) {
            return Err(StreamError::Unknown);
        }
        let done = state.connection.reset(id, code, tx);
        self.gone(id);
        self.weigh();
        done
    }

    /// The application lets go of a stream: what it wrote still arrives, what the remote still sends is not wanted. The
    /// stream is over once the remote finishes; a remote that goes on sending is stopped, and so is one that takes longer than
    /// [`LinkConfig::leave_timeout`](super::LinkConfig::leave_timeout). Nothing more is told of it.
    pub fn leave(&mut self, stream: StreamId, tx: &mut BytesMut) {
        let id = muxer::StreamId::new(stream.0);
        let State::Open(state) = &mut self.state else { return };
        if !state.streams.is_admitted(id) {
            return;
        }
        state.streams.leave(id, self.now + self.shared.config().leave_timeout);
        // Finishing twice is harmless.
        let finished = state.connection.finish(id, tx).is_ok();
        if let Some(known) = state.streams.get_mut(id) {
            known.finished |= finished;
        }
        self.see_off(id, tx);
        self.weigh();
    }

    /// The application lets go of all its streams: as [`leave`](Self::leave) for each.
    pub fn leave_all(&mut self, tx: &mut BytesMut) {
        let State::Open(state) = &self.state else { return };
        let all: Vec<muxer::StreamId> = state.streams.admitted().collect();
        for id in all {
            self.leave(StreamId(id.get()), tx);
        }
    }

    /// A stream that was left: over as soon as the remote finishes.
    pub(super) fn see_off(&mut self, id: muxer::StreamId, tx: &mut BytesMut) {
        let State::Open(state) = &mut self.state else { return };
        match state.connection.read(id, tx) {
            Err(ReadStreamError::Blocked) => {}
            Ok(None) => self.gone(id),
            Ok(Some(_)) | Err(_) => {
                state.connection.reset(id, code::NORMAL, tx).ok();
                self.gone(id);
            }
        }
    }

    /// The remote's end of a stream was read.
    fn ended(&mut self, id: muxer::StreamId) {
        let State::Open(state) = &mut self.state else { return };
        if let Some(known) = state.streams.get_mut(id) {
            known.ended = true;
            if let (false, Some(circuit)) = (known.finished, &mut known.circuit) {
                circuit.ending = Ending::Closed;
            }
            // After the connection's end there is nothing left to finish.
            if known.finished || self.over {
                self.gone(id);
            }
        }
    }

    /// A stream is over in both directions.
    pub(super) fn gone(&mut self, id: muxer::StreamId) {
        let State::Open(state) = &mut self.state else { return };
        state.retry = true;
        let Some(known) = state.streams.remove(id).filter(|known| !known.told && !self.over) else { return };
        let stream = StreamId(id.get());
        let circuit = known.circuit.map(|circuit| circuit.ended(stream));
        circuit.into_iter().for_each(|report| self.report(report));
        self.report(Report::StreamClosed { stream });
    }
}

impl Open {
    /// Begins a stream. `Ok`: what to report of it now, if it can be used at once. `Err(None)`: not now.
    fn start(&mut self, now: Time, wish: &Waiting, tx: &mut BytesMut) -> Result<Option<Report>, Option<OpenFault>> {
        let Waiting { open, protocols, selection } = wish;
        let id = match self.connection.open(now, protocols, *selection, tx) {
            Ok(id) => id,
            Err(
                OpenStreamError::TooManyNegotiations { .. }
                | OpenStreamError::Muxer(OpenError::TooManyStreams { .. } | OpenError::Backlog { .. } | OpenError::Full),
            ) => return Err(None),
            Err(OpenStreamError::Closed) => return Err(Some(OpenFault::ConnectionEnded)),
            Err(OpenStreamError::Muxer(error)) => {
                return Err(Some(OpenFault::NoMore { why: cut(&error.to_string()) }));
            }
            Err(error) => return Err(Some(OpenFault::Negotiation { why: cut(&error.to_string()) })),
        };
        match (selection, protocols.as_slice()) {
            (Selection::Lazy, [only]) => Ok(Some(self.streams.reported(id, Who::Asked(*open, only.clone())))),
            _ => {
                self.streams.insert(id, Stream::new(Stage::Proposed(*open)));
                Ok(None)
            }
        }
    }

    /// A stream of our own.
    pub(super) fn propose(
        &mut self,
        now: Time,
        protocol: Protocol,
        tx: &mut BytesMut,
    ) -> Result<muxer::StreamId, OpenStreamError> {
        self.connection.open(now, &Protocols::from(protocol), Selection::Lazy, tx)
    }
}

fn too_many(limit: usize) -> OpenFault {
    OpenFault::NoMore {
        why: alloc::format!("{limit} streams wait to be opened on this connection, as many as may").into(),
    }
}
