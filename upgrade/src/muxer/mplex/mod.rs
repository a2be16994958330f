//! mplex: streams without flow control, for old peers.
//!
//! ```text
//!        .------------------------- data handed out, or skipped -------------------------.
//!        v                                                                               |
//!     Header --- id, flag, length are sound --> Body: what has come goes to the stream --'
//!        '------ they are not --> Failed (sticky)
//! ```
//!
//! The protocol is deprecated; yamux is the better choice wherever the remote has it. A remote can't be told to slow down
//! here. So a stream whose unread bytes reach their cap is reset, that stream alone, and everything else goes on.
//!
//! Spec: `libp2p/specs` mplex/README.md. What it leaves open is decided like this:
//! - Messages for streams that don't exist are skipped: they cross our resets on the way.
//! - Data after the remote's own close resets the stream ("a protocol violation", "Closing a stream").
//! - Data in a message that has none by the spec (close, reset) is skipped.
//! - An id that is open may not be opened again: the connection ends. One that was open before is refused with a reset.
//! - A name is the stream's id in decimal, as other peers have it. The remote's names are skipped.

mod config;
mod frame;
mod stream;
#[cfg(test)]
mod tests;

pub use config::Config;
pub use frame::{Error, Field};

use super::{AROUND, By, Event, Muxer, OpenError, ReadError, StreamError, StreamId, WriteError};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::{Buf, BytesMut};
use frame::{Header, Kind, MAX_HEADER, MAX_ID, varint_len};
use stream::{Remote, Stream, Streams, UsedIds, stream_id, wire_id};
use tidewire_core::{Role, Time};

/// The protocol's name in a negotiation.
pub const PROTOCOL: &str = "/mplex/6.7.0";

/// [`Event::Reset`]'s code when we reset a stream because its unread bytes reached a cap: the libp2p stream error code
/// "resource limit exceeded". mplex carries no codes, so the remote does not learn it.
pub const OVERRUN: u32 = 0x1002;

/// [`Event::Reset`]'s code when we reset a stream because the remote sent data after its close: the libp2p stream error
/// code "protocol violation".
pub const DATA_AFTER_CLOSE: u32 = 0x1004;

/// An mplex connection.
///
/// It never uses a timer, can't ping, and has no go-away: [`Muxer::ping`] returns `false`, and [`Muxer::go_away`] only
/// makes it reset the streams that the remote opens from then on.
///
/// ```
/// use bytes::BytesMut;
/// use tidewire_core::{Role, Time};
/// use tidewire_upgrade::muxer::mplex::{Config, Mplex};
/// use tidewire_upgrade::muxer::{Event, Muxer};
///
/// let mut dialer = Mplex::new(Role::Initiator, Config::default());
/// let mut listener = Mplex::new(Role::Responder, Config::default());
/// let mut wire = BytesMut::new();
/// let mut back = BytesMut::new();
///
/// let id = dialer.open(&mut wire)?;
/// dialer.write(id, b"hello", usize::MAX, &mut wire)?;
///
/// let Some(Event::Opened(id)) = listener.advance(Time::ZERO, &mut wire, &mut back)? else { panic!() };
/// assert_eq!(listener.advance(Time::ZERO, &mut wire, &mut back)?, Some(Event::Readable(id)));
/// assert_eq!(listener.read(id, &mut back)?.as_deref(), Some(&b"hello"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Mplex {
    config: Config,
    streams: Streams,
    /// Ids that the remote has used.
    used: UsedIds,
    /// The next id of ours.
    next_id: u64,
    /// What is left of the message that is being received.
    body: Body,
    /// Unread bytes of all streams.
    unread: usize,
    /// Streams with pieces to settle when the pass ends.
    touched: Vec<StreamId>,
    /// Streams whose writer waits for room in `tx`.
    waiting: VecDeque<StreamId>,
    /// A caller of `open` waits for room in `tx`.
    wants_openable: bool,
    going_away: bool,
    /// The remote's bytes have ended.
    ended: bool,
    failed: Option<Error>,
}

/// The data of a message, as far as it is still to come.
#[derive(Clone, Copy, Debug)]
struct Body {
    left: usize,
    /// `None`: skip it.
    to: Option<StreamId>,
}

/// Why a pass goes no further.
enum Stop {
    /// More bytes.
    Starved,
    /// Room in `tx`, to answer.
    Congested,
    Event(Event),
}

impl Mplex {
    /// A new connection. Both roles do the same in mplex: ids tell streams apart together with who opened them.
    pub fn new(_role: Role, mut config: Config) -> Self {
        config.split = config.split.clamp(1, config::MAX_FRAME);
        // One byte in a frame must always fit into an empty `tx`.
        config.max_tx = config.max_tx.max(MAX_HEADER + 1);
        Mplex {
            config,
            streams: Streams::default(),
            used: UsedIds::default(),
            next_id: 0,
            body: Body { left: 0, to: None },
            unread: 0,
            touched: Vec::new(),
            waiting: VecDeque::new(),
            wants_openable: false,
            going_away: false,
            ended: false,
            failed: None,
        }
    }

    fn pass(&mut self, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Stop, Error> {
        if self.has_room_again(tx)
            && let Some(event) = self.room_news()
        {
            return Ok(Stop::Event(event));
        }
        loop {
            let stop = if self.body.left > 0 { self.receive_body(rx, tx) } else { self.receive_header(rx, tx)? };
            if let Some(stop) = stop {
                return Ok(stop);
            }
        }
    }

    /// Takes a header from `rx`. `None`: go on.
    fn receive_header(&mut self, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Stop>, Error> {
        let Some((header, header_len)) = Header::decode(rx)? else { return Ok(Some(Stop::Starved)) };
        let Header { id: wire, kind, by_opener, .. } = header;
        let left = self.check_len(header)?;
        let id = stream_id(wire, !by_opener);
        let mut to = None;
        let event = match (kind, self.streams.get_mut(id)) {
            (Kind::Open, Some(_)) => return Err(Error::IdInUse { id: wire }),
            (Kind::Open, None) => {
                // A header that stays in `rx` is read again, so `used` changes only once there is room to answer.
                let mut used = self.used;
                let welcome = used.mark(wire) && !self.going_away && self.streams.len() < self.config.max_streams;
                if !welcome && !self.may_answer(tx) {
                    return Ok(Some(Stop::Congested));
                }
                self.used = used;
                if welcome {
                    self.streams.insert(Stream::new(id));
                    Some(Event::Opened(id))
                } else {
                    send(id, Kind::Reset, 0, tx);
                    None
                }
            }
            (Kind::Data, Some(stream)) => match stream.remote {
                Remote::Open => {
                    to = Some(id);
                    None
                }
                Remote::Finished if !stream.finished => {
                    if !self.may_answer(tx) {
                        return Ok(Some(Stop::Congested));
                    }
                    self.reset_by_us(id, DATA_AFTER_CLOSE, tx)
                }
                Remote::Finished | Remote::Reset { .. } => None,
            },
            (Kind::Close, Some(stream)) if stream.remote == Remote::Open => {
                stream.remote = Remote::Finished;
                Some(Event::Finished(id))
            }
            (Kind::Reset, Some(stream)) if !stream.is_silent() => {
                stream.remote = Remote::Reset { by: By::Remote, code: 0 };
                Some(Event::Reset { id, by: By::Remote, code: 0 })
            }
            (Kind::Data | Kind::Close | Kind::Reset, _) => None,
        };
        rx.advance(header_len);
        self.body = Body { left, to };
        Ok(event.map(Stop::Event))
    }

    /// The length of what follows a header, if it may be that long.
    fn check_len(&self, header: Header) -> Result<usize, Error> {
        let Header { id, kind, len, .. } = header;
        let limit = if kind == Kind::Open { self.config.max_name } else { self.config.max_frame };
        match usize::try_from(len) {
            Ok(len) if len <= limit => Ok(len),
            _ if kind == Kind::Open => Err(Error::NameTooLong { id, len, limit }),
            _ => Err(Error::FrameTooLong { id, len, limit }),
        }
    }

    /// Takes what has come of a message's data from `rx`. `None`: go on.
    fn receive_body(&mut self, rx: &mut BytesMut, tx: &mut BytesMut) -> Option<Stop> {
        let here = self.body.left.min(rx.len());
        if here == 0 {
            return Some(Stop::Starved);
        }
        let free = self.config.max_connection_buffer.saturating_sub(self.unread);
        let stream = self.body.to.and_then(|id| self.streams.get_mut(id)).filter(|s| s.remote == Remote::Open);
        let Some(stream) = stream else {
            rx.advance(here);
            self.body.left -= here;
            return None;
        };
        let id = stream.id;
        let take = here.min(free).min(self.config.max_stream_buffer.saturating_sub(stream.queue.len()));
        if take == 0 {
            if !self.may_answer(tx) {
                return Some(Stop::Congested);
            }
            self.body.to = None;
            return self.reset_by_us(id, OVERRUN, tx).map(Stop::Event);
        }
        stream.queue.push(rx.split_to(take));
        self.body.left -= take;
        self.unread += take;
        if !stream.listed {
            stream.listed = true;
            self.touched.push(id);
        }
        core::mem::take(&mut stream.wants_readable).then_some(Stop::Event(Event::Readable(id)))
    }

    /// Ends a stream that the application still knows.
    fn reset_by_us(&mut self, id: StreamId, code: u32, tx: &mut BytesMut) -> Option<Event> {
        let stream = self.streams.get_mut(id)?;
        stream.remote = Remote::Reset { by: By::Us, code };
        send(id, Kind::Reset, 0, tx);
        Some(Event::Reset { id, by: By::Us, code })
    }

    /// What callers that found `tx` full are waiting for.
    fn room_news(&mut self) -> Option<Event> {
        while let Some(id) = self.waiting.pop_front() {
            let Some(stream) = self.streams.get_mut(id) else { continue };
            stream.wants_writable = false;
            if !stream.finished && !stream.is_silent() {
                return Some(Event::Writable(id));
            }
        }
        core::mem::take(&mut self.wants_openable).then_some(Event::Openable)
    }

    /// Whether an answer may be appended. Writes never bring `tx` above its cap, so two ends that both write as much as they
    /// can still hear each other.
    fn may_answer(&self, tx: &BytesMut) -> bool {
        tx.len() <= self.config.max_tx
    }

    /// Whether a frame with at least one byte goes into `tx` without passing its cap.
    fn has_room(&self, tx: &BytesMut) -> bool {
        self.config.max_tx.saturating_sub(tx.len()) > MAX_HEADER
    }

    /// Whether whoever waits for room is to be told: what is around a frame takes room too, and who were told too early
    /// would be blocked and told again, for ever.
    fn has_room_again(&self, tx: &BytesMut) -> bool {
        let around = AROUND.min(self.config.max_tx / 4);
        self.config.max_tx.saturating_sub(tx.len()).saturating_sub(around) > MAX_HEADER
    }

    /// Ends a pass over `rx`.
    fn settle(&mut self) {
        for id in self.touched.drain(..) {
            if let Some(stream) = self.streams.get_mut(id) {
                stream.listed = false;
                stream.queue.settle();
            }
        }
    }

    fn fail(&mut self, error: Error) -> Error {
        self.settle();
        self.waiting = VecDeque::new();
        self.failed = Some(error);
        error
    }

    fn forget(&mut self, id: StreamId) {
        let Some(stream) = self.streams.remove(id) else { return };
        self.unread -= stream.queue.len();
        if stream.wants_writable {
            self.waiting.retain(|&other| other != id);
        }
    }
}

impl Muxer for Mplex {
    type Error = Error;

    fn advance(&mut self, _now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Event>, Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        match self.pass(rx, tx) {
            Ok(Stop::Event(event)) => Ok(Some(event)),
            Ok(Stop::Starved | Stop::Congested) => {
                self.settle();
                Ok(None)
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    /// `Ok(None)` also while `tx` is over its cap and an answer is due: send, then call again.
    fn end(&mut self, _now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Event>, Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        match self.pass(rx, tx) {
            Ok(Stop::Event(event)) => Ok(Some(event)),
            Ok(Stop::Congested) => {
                self.settle();
                Ok(None)
            }
            Ok(Stop::Starved) if rx.is_empty() && self.body.left == 0 => {
                self.settle();
                self.ended = true;
                Ok(None)
            }
            Ok(Stop::Starved) => Err(self.fail(Error::CutShort)),
            Err(error) => Err(self.fail(error)),
        }
    }

    fn deadline(&self) -> Time {
        Time::NEVER
    }

    fn open(&mut self, tx: &mut BytesMut) -> Result<StreamId, OpenError> {
        if self.failed.is_some() {
            return Err(OpenError::Failed);
        }
        if self.going_away {
            return Err(OpenError::GoingAway);
        }
        let wire = self.next_id;
        if wire > MAX_ID {
            return Err(OpenError::IdsUsedUp);
        }
        if self.streams.len() >= self.config.max_streams {
            return Err(OpenError::TooManyStreams { limit: self.config.max_streams });
        }
        if !self.has_room(tx) {
            self.wants_openable = true;
            return Err(OpenError::Full);
        }
        self.next_id += 1;
        let id = stream_id(wire, true);
        let (digits, from) = decimal(wire);
        let name = &digits[from..];
        send(id, Kind::Open, name.len() as u64, tx);
        tx.extend_from_slice(name);
        self.streams.insert(Stream::new(id));
        Ok(id)
    }

    fn write(&mut self, id: StreamId, data: &[u8], room: usize, tx: &mut BytesMut) -> Result<usize, WriteError> {
        let has_room = self.has_room(tx);
        let stream = self.streams.get_mut(id).ok_or(WriteError::Unknown)?;
        if let Remote::Reset { by, code } = stream.remote {
            return Err(WriteError::Reset { by, code });
        }
        if stream.finished {
            return Err(WriteError::Finished);
        }
        if self.failed.is_some() {
            return Err(WriteError::Failed);
        }
        if data.is_empty() {
            return Ok(0);
        }
        let wanted = data.len().min(self.config.split);
        let header = varint_len((wire_id(id).0 << 3) | 7) + varint_len(wanted as u64);
        let room = if has_room { room.min(self.config.max_tx - tx.len()) } else { 0 };
        let len = wanted.min(room.saturating_sub(header));
        if len == 0 {
            if !stream.wants_writable {
                stream.wants_writable = true;
                self.waiting.push_back(id);
            }
            return Err(WriteError::Blocked);
        }
        tx.reserve(MAX_HEADER + len);
        send(id, Kind::Data, len as u64, tx);
        tx.extend_from_slice(&data[..len]);
        Ok(len)
    }

    /// Nothing: every write is a frame of its own.
    fn boundary(&mut self) {}

    fn read(&mut self, id: StreamId, _tx: &mut BytesMut) -> Result<Option<BytesMut>, ReadError> {
        let stream = self.streams.get_mut(id).ok_or(ReadError::Unknown)?;
        if let Some(piece) = stream.queue.pop() {
            self.unread -= piece.len();
            return Ok(Some(piece));
        }
        match stream.remote {
            Remote::Reset { by, code } => Err(ReadError::Reset { by, code }),
            Remote::Finished => {
                stream.read_to_end = true;
                if stream.is_forgettable() {
                    self.forget(id);
                }
                Ok(None)
            }
            Remote::Open if self.failed.is_some() || self.ended => Err(ReadError::Failed),
            Remote::Open => {
                stream.wants_readable = true;
                Err(ReadError::Blocked)
            }
        }
    }

    fn finish(&mut self, id: StreamId, tx: &mut BytesMut) -> Result<(), StreamError> {
        let stream = self.streams.get_mut(id).ok_or(StreamError::Unknown)?;
        if let Remote::Reset { by, code } = stream.remote {
            return Err(StreamError::Reset { by, code });
        }
        if stream.finished {
            return Ok(());
        }
        if self.failed.is_some() {
            return Err(StreamError::Failed);
        }
        stream.finished = true;
        send(id, Kind::Close, 0, tx);
        if stream.is_forgettable() {
            self.forget(id);
        }
        Ok(())
    }

    fn reset(&mut self, id: StreamId, _code: u32, tx: &mut BytesMut) -> Result<(), StreamError> {
        let stream = self.streams.get(id).ok_or(StreamError::Unknown)?;
        if self.failed.is_none() && !stream.is_silent() {
            send(id, Kind::Reset, 0, tx);
        }
        self.forget(id);
        Ok(())
    }

    /// mplex has no ping.
    fn ping(&mut self, _now: Time, _tx: &mut BytesMut) -> bool {
        false
    }

    /// mplex has no message for it: newcomers are reset.
    fn go_away(&mut self, _code: u32, _tx: &mut BytesMut) {
        self.going_away = true;
    }

    fn streams(&self) -> usize {
        self.streams.len()
    }

    fn memory_used(&self) -> usize {
        self.streams.memory_used() + (self.touched.capacity() + self.waiting.capacity()) * size_of::<StreamId>()
    }
}

/// Appends the header of a message of ours.
fn send(id: StreamId, kind: Kind, len: u64, tx: &mut BytesMut) {
    let (wire, by_opener) = wire_id(id);
    Header { id: wire, kind, by_opener, len }.encode(tx);
}

/// `number` in decimal: digits, and where they start.
fn decimal(mut number: u64) -> ([u8; 20], usize) {
    let mut digits = [b'0'; 20];
    let mut from = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        from -= 1;
        if number == 0 {
            break;
        }
    }
    (digits, from)
}
