//! A secured, multiplexed connection: what an upgrade becomes.
//!
//! ```text
//!             records            frames              streams
//!  rx --> [ Channel ] --> [ Muxer ] --> [ Negotiations ] --> read, events
//!  tx <-- [ Channel ] <-- [ Muxer ] <-- [ Negotiations ] <-- open, write, finish, reset, close
//!
//!  Open --close--> Closing --told--> Closed          Open --end of input--> Closed by the remote
//!  Open --the remote broke a rule--> Failed: sticky; what was received stays readable
//! ```
//! Spec: libp2p/specs connections/README.md.

mod event;
mod negotiation;
mod writer;

pub use crate::muxer::By;
pub use event::{ConnectionError, Event, OpenStreamError, ReadStreamError};
pub use writer::Batch;

use crate::channel::{Channel, ChannelError};
use crate::muxer::{self, AnyMuxer, Muxer, MuxerKind, StreamError, StreamId, WriteError};
use alloc::boxed::Box;
use alloc::sync::Arc;
use bytes::BytesMut;
use negotiation::{Negotiation, Negotiations, Running};
use tidewire_core::{Machine, PeerId, PublicKey, Role, Time};
use tidewire_multistream::{self as multistream, Dialer, Listener, Protocols, Router};
use writer::Writer;

/// What is told to the remote when the ends don't agree on a stream's protocol, where the multiplexer has a place for a
/// code: go-libp2p's `StreamProtocolNegotiationFailed`. For other peers it means nothing.
pub const NEGOTIATION_FAILED: u32 = 0x1001;

/// How a protocol is selected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Selection {
    /// Propose, and wait for the answer before anything else is sent.
    Plain,
    /// Where only one protocol comes into question, send what follows in the same flight. A refusal shows at the first
    /// read. Default.
    #[default]
    Lazy,
}

/// What a connection may do, and how much of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The protocols that the remote may ask for on its streams. `None`, the default: its streams are given to the
    /// application as they are, with [`Event::Opened`].
    pub router: Option<Arc<Router>>,
    /// Limits of each stream's negotiation.
    pub negotiation: multistream::Config,
    /// Streams of each end that may be in negotiation at once; further ones of the remote are reset. Default 256.
    pub max_negotiations: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config { router: None, negotiation: multistream::Config::default(), max_negotiations: 256 }
    }
}

/// A connection to a peer that is known, with many streams on it. It comes out of an
/// [`Upgrade`](crate::pipeline::Upgrade).
///
/// It is a [`Machine`]: it never touches a socket. Feed `rx`, drain [`advance`](Machine::advance), send `tx`; act on streams
/// in between. Each call appends what it has to say to `tx`.
#[derive(Debug)]
pub struct Connection {
    channel: Channel,
    muxer: AnyMuxer,
    /// The answer to the multiplexer that we went ahead with is still to come.
    confirm: Option<Box<Dialer>>,
    negotiations: Negotiations,
    config: Arc<Config>,
    over: Over,
    /// Something may be there to be said though no byte comes: what the upgrade left over, say.
    due: bool,
    /// Why the remote goes away, if it said so.
    remote_code: Option<u32>,
    peer: PeerId,
    key: PublicKey,
    role: Role,
    security: &'static str,
}

#[derive(Debug)]
enum Over {
    No,
    /// By us, with this reason; the event is still to be told.
    Closing(u32),
    Closed,
    Failed(Box<ConnectionError>),
}

/// What an upgrade hands over.
pub(crate) struct Parts {
    pub(crate) channel: Channel,
    pub(crate) muxer: AnyMuxer,
    pub(crate) confirm: Option<Box<Dialer>>,
    pub(crate) config: Arc<Config>,
    pub(crate) peer: PeerId,
    pub(crate) key: PublicKey,
    pub(crate) role: Role,
    pub(crate) security: &'static str,
}

/// What comes out of the records.
enum Inner {
    Muxer(muxer::Event),
    Confirmed,
}

impl Connection {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { channel, muxer, confirm, config, peer, key, role, security } = parts;
        Connection {
            channel,
            muxer,
            confirm,
            negotiations: Negotiations::default(),
            config,
            over: Over::No,
            due: true,
            remote_code: None,
            peer,
            key,
            role,
            security,
        }
    }

    /// Says what is to be said first: a multiplexer that we go ahead with is proposed.
    pub(crate) fn start(&mut self, now: Time, tx: &mut BytesMut) {
        let Connection { channel, confirm, .. } = self;
        let Some(dialer) = confirm else { return };
        // Its first call only writes: a lazy dialer has one proposal, and that can't be refused by our own limits.
        let (_, sealed) = channel.say(tx, |tx| dialer.advance(now, &mut BytesMut::new(), tx).ok());
        self.note(sealed);
    }

    /// Who the remote is.
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// The remote's identity key.
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// Our side of the handshake.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The name of the security protocol.
    pub fn security(&self) -> &'static str {
        self.security
    }

    /// The multiplexer.
    pub fn muxer(&self) -> MuxerKind {
        self.muxer.kind()
    }

    /// Whether it is over: closed by either end, or failed.
    pub fn is_closed(&self) -> bool {
        !matches!(self.over, Over::No)
    }

    /// Whether the ends have yet to agree on the protocol of this stream. Not any more: they did, or [`read`](Self::read) says why
    /// they did not.
    pub fn is_negotiating(&self, id: StreamId) -> bool {
        self.negotiations.is_running(id)
    }

    /// How many streams exist, those in negotiation among them.
    pub fn streams(&self) -> usize {
        self.muxer.streams()
    }

    /// The protocols for the remote's next streams. Those that are being negotiated keep the old ones.
    pub fn set_config(&mut self, config: Arc<Config>) {
        self.config = config;
    }

    /// Opens a stream and proposes these protocols on it. [`Event::Negotiated`] or [`Event::NegotiationFailed`] follows.
    ///
    /// With [`Selection::Lazy`] and a single protocol, the stream can be written to at once. Otherwise writes are
    /// [blocked](WriteError::Blocked) until there is an answer.
    ///
    /// # Errors
    /// Not now, or not any more; nothing was sent.
    pub fn open(
        &mut self,
        now: Time,
        protocols: &Protocols,
        selection: Selection,
        tx: &mut BytesMut,
    ) -> Result<StreamId, OpenStreamError> {
        let limit = self.config.max_negotiations;
        if self.negotiations.count(By::Us) >= limit {
            return Err(OpenStreamError::TooManyNegotiations { limit });
        }
        let dialer = match (selection, protocols.as_slice()) {
            (Selection::Lazy, [only]) => Dialer::lazy(only.clone(), self.config.negotiation),
            _ => Dialer::new(protocols.clone(), self.config.negotiation),
        };
        let mut running = Running::dialing(dialer);
        running.advance(now).map_err(OpenStreamError::Proposals)?;
        let id = self.open_raw(tx)?;
        self.negotiations.insert(id, Negotiation::Running(running));
        self.write_to_stream(id, tx);
        Ok(id)
    }

    /// Opens a stream without negotiating a protocol on it.
    ///
    /// # Errors
    /// Not now, or not any more; nothing was sent.
    pub fn open_raw(&mut self, tx: &mut BytesMut) -> Result<StreamId, OpenStreamError> {
        if self.is_closed() {
            return Err(OpenStreamError::Closed);
        }
        Ok(self.record(tx, AnyMuxer::open)?)
    }

    /// Several calls whose frames share a record: sealed when the batch is dropped.
    pub fn batch<'a>(&'a mut self, tx: &'a mut BytesMut) -> Batch<'a> {
        Batch::begun(self, tx)
    }

    /// Writes the beginning of `data` to a stream, and says how much of it that was: 1 byte at least, unless it is empty.
    ///
    /// # Errors
    /// Nothing was written. [`WriteError::Blocked`]: [`Event::Writable`] or [`Event::Negotiated`] says when to try again.
    /// [`WriteError::Refused`]: the protocol was not agreed on, reading says why.
    pub fn write(&mut self, id: StreamId, data: &[u8], tx: &mut BytesMut) -> Result<usize, WriteError> {
        Batch::new(self, tx).write(id, data)
    }

    /// The next piece that the remote sent on a stream; returns its credit to the remote. `Ok(None)`: the remote finished.
    ///
    /// # Errors
    /// Nothing was read. [`ReadStreamError::Blocked`]: an event says when to try again.
    #[inline]
    pub fn read(&mut self, id: StreamId, tx: &mut BytesMut) -> Result<Option<BytesMut>, ReadStreamError> {
        Batch::new(self, tx).read(id)
    }

    /// Keeps the receive window of a stream from growing beyond yamux's `max_narrow_window`: for streams that are many and need
    /// not be fast each. mplex has no windows; its `max_stream_buffer` bounds what it keeps.
    pub fn narrow(&mut self, id: StreamId) {
        self.muxer.narrow(id);
    }

    /// Says that we send no more on a stream. Finishing twice is harmless; before there is an answer to our proposal it takes
    /// effect with the answer.
    ///
    /// # Errors
    /// There is no such stream, or it was reset, or its protocol was refused, or the connection is over.
    pub fn finish(&mut self, id: StreamId, tx: &mut BytesMut) -> Result<(), StreamError> {
        Batch::new(self, tx).finish(id)
    }

    /// Ends a stream at once in both directions, and forgets it.
    ///
    /// # Errors
    /// There is no such stream.
    pub fn reset(&mut self, id: StreamId, code: u32, tx: &mut BytesMut) -> Result<(), StreamError> {
        let negotiated = self.negotiations.remove(id).is_some();
        let result = if self.is_closed() {
            self.muxer.reset(id, code, &mut BytesMut::new())
        } else {
            self.record(tx, |muxer, tx| muxer.reset(id, code, tx))
        };
        if negotiated { Ok(()) } else { result }
    }

    /// Asks the remote for an answer; [`Event::Pong`] brings the round trip. False: the multiplexer can't do this.
    pub fn ping(&mut self, now: Time, tx: &mut BytesMut) -> bool {
        !self.is_closed() && self.record(tx, |muxer, tx| muxer.ping(now, tx))
    }

    /// Says that we accept no more streams; those that exist go on. Close once [`streams`](Connection::streams) says 0.
    pub fn go_away(&mut self, code: u32, tx: &mut BytesMut) {
        if !self.is_closed() {
            self.record(tx, |muxer, tx| muxer.go_away(code, tx));
        }
    }

    /// Closes the connection with a reason: send what is in `tx`, then close the socket. [`Event::Closed`] follows, and
    /// nothing after it. What was received before stays readable.
    pub fn close(&mut self, code: u32, tx: &mut BytesMut) {
        if !self.is_closed() {
            self.go_away(code, tx);
            // A cipher that is used up could not even say so.
            if !self.is_closed() {
                self.over = Over::Closing(code);
            }
        }
    }

    /// One record of what `say` has to say.
    fn record<R>(&mut self, tx: &mut BytesMut, say: impl FnOnce(&mut AnyMuxer, &mut BytesMut) -> R) -> R {
        let Connection { channel, muxer, .. } = self;
        let (said, sealed) = channel.say(tx, |tx| say(muxer, tx));
        muxer.boundary();
        self.note(sealed);
        said
    }

    /// A cipher that can't be used any more ends the connection.
    fn note(&mut self, sealed: Result<(), ChannelError>) {
        if let Err(error) = sealed
            && !self.is_closed()
        {
            self.over = Over::Failed(Box::new(error.into()));
        }
    }

    fn writer<'a>(&'a mut self, tx: &'a mut BytesMut) -> Writer<'a> {
        Writer::new(&mut self.channel, &mut self.muxer, tx)
    }

    /// Lets `channel` and `muxer` go as far as the bytes allow.
    fn pull(
        &mut self,
        now: Time,
        rx: &mut BytesMut,
        tx: &mut BytesMut,
        ended: bool,
    ) -> Result<Option<Inner>, Box<ConnectionError>> {
        let Connection { channel, muxer, confirm, .. } = self;
        let mut step = |plain: &mut BytesMut, tx: &mut BytesMut, last: bool| {
            muxer.boundary();
            if let Some(dialer) = confirm {
                let answer = dialer.advance_or_end(now, plain, tx, last);
                let muxer_kind = muxer.kind();
                return match answer {
                    Ok(Some(_)) => {
                        *confirm = None;
                        Ok(Some(Inner::Confirmed))
                    }
                    // Not one byte is the multiplexer's to read yet; but it has a clock, and writers that wait for room.
                    Ok(None) => Ok(muxer.advance(now, &mut BytesMut::new(), tx)?.map(Inner::Muxer)),
                    Err(error) => Err(Box::new(ConnectionError::MuxerRefused { muxer: muxer_kind, error })),
                };
            }
            let event = if last { muxer.end(now, plain, tx) } else { muxer.advance(now, plain, tx) };
            Ok(event?.map(Inner::Muxer))
        };
        let result = if ended {
            // Two closures can't borrow the same state: the end comes once all is advanced.
            match channel.advance(rx, tx, |plain, tx| step(plain, tx, false))? {
                None => channel.end(rx, tx, |plain, tx| step(plain, tx, true)),
                some => Ok(some),
            }
        } else {
            channel.advance(rx, tx, |plain, tx| step(plain, tx, false))
        };
        channel.rest();
        self.muxer.boundary();
        result
    }

    fn run(
        &mut self,
        now: Time,
        rx: &mut BytesMut,
        tx: &mut BytesMut,
        ended: bool,
    ) -> Result<Option<Event>, ConnectionError> {
        match &self.over {
            Over::No => {}
            Over::Closing(code) => {
                let code = Some(*code);
                self.over = Over::Closed;
                return Ok(Some(Event::Closed { by: By::Us, code }));
            }
            Over::Closed => return Ok(None),
            Over::Failed(error) => return Err((**error).clone()),
        }
        self.due = false;
        if let Some(id) = self.negotiations.expired(now)
            && let Some(event) = self.negotiate(now, id, tx)
        {
            return Ok(Some(event));
        }
        loop {
            match self.pull(now, rx, tx, ended) {
                Ok(Some(Inner::Confirmed)) => return Ok(Some(Event::MuxerConfirmed(self.muxer.kind()))),
                Ok(Some(Inner::Muxer(event))) => {
                    if let Some(event) = self.translate(now, event, tx) {
                        return Ok(Some(event));
                    }
                }
                Ok(None) if ended && rx.is_empty() && self.channel.is_drained() => {
                    self.over = Over::Closed;
                    return Ok(Some(Event::Closed { by: By::Remote, code: self.remote_code }));
                }
                Ok(None) => {
                    self.negotiations.settle();
                    return Ok(None);
                }
                Err(error) => {
                    self.over = Over::Failed(error.clone());
                    return Err(*error);
                }
            }
            if let Over::Failed(error) = &self.over {
                return Err((**error).clone());
            }
        }
    }

    /// What an event of the multiplexer means to the application. `None`: nothing, it concerned a negotiation.
    fn translate(&mut self, now: Time, event: muxer::Event, tx: &mut BytesMut) -> Option<Event> {
        match event {
            muxer::Event::Opened(id) => {
                let Some(router) = &self.config.router else { return Some(Event::Opened(id)) };
                if self.negotiations.count(By::Remote) >= self.config.max_negotiations {
                    self.record(tx, |muxer, tx| muxer.reset(id, NEGOTIATION_FAILED, tx)).ok();
                    return None;
                }
                let listener = Listener::routed(router.clone(), self.config.negotiation);
                let mut running = Running::listening(listener);
                running.advance(now).ok()?; // starts its clock; without input it can't fail
                self.negotiations.insert(id, Negotiation::Running(running));
                self.negotiate(now, id, tx)
            }
            muxer::Event::Readable(id) | muxer::Event::Finished(id) | muxer::Event::Writable(id)
                if self.negotiations.running_mut(id).is_some() =>
            {
                let news = self.negotiate(now, id, tx);
                // A lazy stream is written to by the application before there is an answer.
                let may_write = self.negotiations.running_mut(id).is_some_and(|running| running.may_write());
                if news.is_none() && may_write && matches!(event, muxer::Event::Writable(_)) {
                    return Some(Event::Writable(id));
                }
                news
            }
            muxer::Event::Readable(id) => Some(Event::Readable(id)),
            muxer::Event::Writable(id) => Some(Event::Writable(id)),
            muxer::Event::Finished(id) => Some(Event::Finished(id)),
            muxer::Event::Reset { id, by, code } => {
                if let Some(running) = self.negotiations.running_mut(id) {
                    let opened_by = running.by();
                    self.negotiations.remove(id);
                    if opened_by == By::Remote {
                        // The application never heard of it.
                        self.record(tx, |muxer, tx| muxer.reset(id, 0, tx)).ok();
                        return None;
                    }
                }
                Some(Event::Reset { id, by, code })
            }
            muxer::Event::Openable => Some(Event::Openable),
            muxer::Event::Pong { rtt } => Some(Event::Pong { rtt }),
            muxer::Event::GoAway { code } => {
                self.remote_code = Some(code);
                Some(Event::GoAway { code })
            }
        }
    }

    /// Lets the negotiation of a stream go as far as its bytes and the time allow.
    fn negotiate(&mut self, now: Time, id: StreamId, tx: &mut BytesMut) -> Option<Event> {
        loop {
            let running = self.negotiations.running_mut(id)?;
            if running.settled.is_none() {
                match running.advance(now) {
                    Ok(settled) => running.settled = settled,
                    Err(error) => return self.refuse(id, error, tx),
                }
            }
            if !self.write_to_stream(id, tx) {
                return None;
            }
            let running = self.negotiations.running_mut(id)?;
            let (by, ended) = (running.by(), running.ended);
            let finish = (running.settled.is_some() || running.may_write()) && core::mem::take(&mut running.finish);
            if finish {
                self.record(tx, |muxer, tx| muxer.finish(id, tx)).ok();
            }
            let running = self.negotiations.running_mut(id)?;
            if let Some(settled) = running.settled.take() {
                self.negotiations.remove(id);
                if !settled.head.is_empty() {
                    self.negotiations.insert(id, Negotiation::Head(settled.head));
                }
                return Some(Event::Negotiated { id, protocol: settled.protocol, route: settled.route, by });
            }
            if ended {
                return None;
            }
            match self.record(tx, |muxer, tx| muxer.read(id, tx)) {
                Ok(Some(piece)) => self.negotiations.receive(id, piece),
                Ok(None) => self.negotiations.running_mut(id)?.ended = true,
                Err(_) => return None,
            }
        }
    }

    /// Ends a stream whose negotiation failed.
    fn refuse(&mut self, id: StreamId, error: multistream::Error, tx: &mut BytesMut) -> Option<Event> {
        let by = self.negotiations.running_mut(id)?.by();
        // What it had to say, `na` say, goes out before the reset.
        self.write_to_stream(id, tx);
        self.negotiations.remove(id);
        if by == By::Us {
            self.negotiations.insert(id, Negotiation::Failed(Box::new(error.clone())));
        }
        self.record(tx, |muxer, tx| muxer.reset(id, NEGOTIATION_FAILED, tx)).ok();
        Some(Event::NegotiationFailed { id, by, error })
    }

    /// Writes what a negotiation has to say to its stream. False: there is no room for all of it; the multiplexer will say
    /// when there is.
    fn write_to_stream(&mut self, id: StreamId, tx: &mut BytesMut) -> bool {
        let Connection { channel, muxer, negotiations, .. } = self;
        let Some(running) = negotiations.running_mut(id) else { return false };
        if running.tx().is_empty() {
            return true;
        }
        let mut writer = Writer::new(channel, muxer, tx);
        let all = writer.write_all(id, running.tx());
        let sealed = writer.seal();
        self.note(sealed);
        all
    }
}

impl Machine for Connection {
    type Output = Event;
    type Error = ConnectionError;

    fn advance(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Event>, ConnectionError> {
        self.run(now, rx, tx, false)
    }

    /// The remote closed its side of the socket: [`Event::Closed`] comes last.
    fn end(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Event>, ConnectionError> {
        self.run(now, rx, tx, true)
    }

    fn deadline(&self) -> Time {
        match self.over {
            Over::No if self.due => return Time::ZERO,
            Over::No => {}
            Over::Closing(_) => return Time::ZERO,
            Over::Closed | Over::Failed(_) => return Time::NEVER,
        }
        let confirm = self.confirm.as_ref().map_or(Time::NEVER, |dialer| dialer.deadline());
        self.muxer.deadline().min(self.negotiations.deadline()).min(confirm)
    }

    fn memory_used(&self) -> usize {
        let confirm = if self.confirm.is_some() { size_of::<Dialer>() } else { 0 };
        self.channel.memory_used() + self.muxer.memory_used() + self.negotiations.memory_used() + confirm
    }
}

#[cfg(test)]
mod tests;
