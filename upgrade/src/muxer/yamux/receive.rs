//! The receiving half: frames to events, queues and answers.

use super::config::INITIAL_WINDOW;
use super::error::Error;
use super::frame::{
    ACK, FIN, GO_AWAY_INTERNAL_ERROR, GO_AWAY_PROTOCOL_ERROR, HEADER, Header, Kind, REFUSED_NO_ROOM, REFUSED_SHUTDOWN,
    RST, SYN,
};
use super::ids::Used;
use super::stream::{
    ACK_OWED, FINISHED, FRESH, LAST_FRAME, READ_TO_END, REMOTE_FINISHED, RESET, SYN_OWED, Stream, UNACKNOWLEDGED,
    WANTS_CREDIT, WANTS_READ, WANTS_ROOM,
};
use super::table::push;
use super::window::Windows;
use super::{By, Event, ReadError, StreamId, Yamux, number};
use bytes::{Buf, BytesMut};
use core::time::Duration;
use tidewire_core::Time;

/// The payload of a DATA frame that has not all arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Body {
    /// Whose it is; if that stream is gone, nobody's.
    stream: u32,
    left: u32,
    /// Whether the stream is finished behind it.
    finish: bool,
}

/// What a frame, or a call between the frames, has to tell; told one at a time, in the order of these constants.
#[derive(Debug, Default)]
pub(super) struct After {
    events: u8,
    stream: u32,
    pong: Duration,
    code: u32,
}

const OPENED: u8 = 1;
const READABLE: u8 = 1 << 1;
const WRITABLE: u8 = 1 << 2;
const HAS_FINISHED: u8 = 1 << 3;
const WAS_RESET: u8 = 1 << 4;
const PONG: u8 = 1 << 5;
const GO_AWAY: u8 = 1 << 6;
const OPENABLE: u8 = 1 << 7;

impl After {
    pub(super) const fn is_pending(&self) -> bool {
        self.events != 0
    }

    const fn add(&mut self, event: u8, stream: u32) {
        self.events |= event;
        self.stream = stream;
    }
}

impl Yamux {
    pub(super) fn receive(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Event>, Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.now = self.now.max(now);
        loop {
            if let Some(event) = self.next_event(tx.len()) {
                return Ok(Some(event));
            }
            if !self.config.may_take(tx.len()) {
                break;
            }
            match self.step(rx, tx) {
                Ok(true) => self.pings.heard(self.now),
                Ok(false) => break,
                Err(error) => return Err(self.fail(error, tx)),
            }
        }
        self.settle();
        match self.pings.on_timeout(self.now) {
            Ok(None) => {}
            Ok(Some(value)) => {
                self.put(Header { kind: Kind::Ping, flags: SYN, stream: 0, length: value }, tx);
            }
            Err(error) => return Err(self.fail(error, tx)),
        }
        Ok(None)
    }

    pub(super) fn receive_end(
        &mut self,
        now: Time,
        rx: &mut BytesMut,
        tx: &mut BytesMut,
    ) -> Result<Option<Event>, Error> {
        if let Some(event) = self.receive(now, rx, tx)? {
            return Ok(Some(event));
        }
        if !self.config.may_take(tx.len()) {
            return Ok(None);
        }
        self.ended = true;
        self.pings.stop();
        let missing = match self.body {
            Some(body) => body.left,
            None if rx.is_empty() => return Ok(None),
            None => u32::try_from(HEADER.saturating_sub(rx.len())).unwrap_or(0),
        };
        let error = Error::EndedInsideFrame { missing };
        self.failed = Some(error);
        Err(error)
    }

    pub(super) fn read_stream(&mut self, id: StreamId, tx: &mut BytesMut) -> Result<Option<BytesMut>, ReadError> {
        let id = number(id).ok_or(ReadError::Unknown)?;
        let stream = self.table.get_mut(id).ok_or(ReadError::Unknown)?;
        if let Some(bytes) = self.pieces.pop(&mut stream.chain) {
            if self.failed.is_none() && !stream.is(RESET) {
                let mut credit = false;
                if !stream.is(LAST_FRAME) {
                    stream.read = stream.read.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
                    credit = Windows::owes_credit(stream);
                }
                // By itself and first: whether credit is due now depends on how the data was cut.
                if stream.is(SYN_OWED | ACK_OWED) {
                    self.introduce(id, tx);
                }
                if credit {
                    self.give_credit(id, tx);
                }
            }
            return Ok(Some(bytes));
        }
        if stream.is(RESET) {
            return Err(ReadError::Reset { by: By::Remote, code: stream.code });
        }
        if stream.is(REMOTE_FINISHED) {
            stream.set(READ_TO_END);
            if stream.is(FINISHED) {
                self.forget(id);
            }
            return Ok(None);
        }
        if self.failed.is_some() || self.ended {
            return Err(ReadError::Failed);
        }
        stream.set(WANTS_READ);
        self.introduce(id, tx);
        Err(ReadError::Blocked)
    }

    /// Drops a stream and gives back all that it held.
    pub(super) fn forget(&mut self, id: u32) {
        let Some(mut stream) = self.table.remove(id) else { return };
        self.pieces.clear(&mut stream.chain);
        self.windows.release(stream.window);
        if stream.is(WANTS_ROOM) {
            self.waiting.retain(|waiting| *waiting != id);
        }
        if stream.is(ACK_OWED) {
            self.unaccepted -= 1;
        }
        self.acknowledged(&mut stream);
        if !stream.is(SYN_OWED) && !stream.is(REMOTE_FINISHED) {
            self.stray = self.stray.saturating_add(stream.remote_credit.into());
        }
    }

    /// Takes one header, or what is there of one payload. False: more bytes are needed.
    fn step(&mut self, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<bool, Error> {
        if let Some(body) = self.body {
            if rx.is_empty() {
                return Ok(false);
            }
            self.take_body(body, rx);
            return Ok(true);
        }
        let Some(bytes) = rx.first_chunk::<HEADER>() else { return Ok(false) };
        let header = Header::decode(bytes)?;
        match header.kind {
            Kind::Data | Kind::WindowUpdate => self.on_stream_frame(header, tx)?,
            Kind::Ping if header.flags == SYN => {
                self.put(Header { flags: ACK, ..header }, tx);
            }
            Kind::Ping => {
                if let Some(rtt) = self.pings.answered(header.length, self.now) {
                    self.after.add(PONG, 0);
                    self.after.pong = rtt;
                }
            }
            Kind::GoAway => {
                self.remote_goes_away = true;
                self.after.add(GO_AWAY, 0);
                self.after.code = header.length;
            }
        }
        rx.advance(HEADER);
        // The common case at once, instead of in a step of its own.
        if let Some(body) = self.body
            && !rx.is_empty()
        {
            self.take_body(body, rx);
        }
        Ok(true)
    }

    fn on_stream_frame(&mut self, header: Header, tx: &mut BytesMut) -> Result<(), Error> {
        let Header { kind, flags, stream: id, length } = header;
        if flags & SYN != 0 {
            self.on_syn(header, tx)?;
        }
        let len = if kind == Kind::Data { length } else { 0 };
        // A stream that the remote has not heard of is not there for it.
        let Some(stream) = self.table.get_mut(id).filter(|stream| !stream.is(SYN_OWED)) else {
            let allowed = self.stray;
            self.stray = allowed.checked_sub(len.into()).ok_or(Error::UnknownStream { stream: id, len, allowed })?;
            self.body = (len > 0).then_some(Body { stream: 0, left: len, finish: false });
            return Ok(());
        };
        if len > 0 && stream.is(LAST_FRAME) {
            return Err(Error::DataAfterFinish { stream: id, len });
        }
        let window = stream.remote_credit;
        stream.remote_credit = window.checked_sub(len).ok_or(Error::OverWindow { stream: id, len, window })?;
        if kind == Kind::WindowUpdate && flags & RST == 0 && !stream.is(FINISHED | RESET) {
            let window = stream.credit;
            stream.credit =
                window.checked_add(length).ok_or(Error::CreditOverflow { stream: id, window, credit: length })?;
            if length > 0 && stream.clear(WANTS_CREDIT) {
                self.after.add(WRITABLE, id);
            }
        }
        let finish = flags & FIN != 0;
        if finish {
            stream.set(LAST_FRAME);
        }
        let ask = self.pings.rtt().is_none() && self.windows.needs_rtt(stream);
        // Whatever comes back shows that the remote has taken our stream in.
        if stream.clear(UNACKNOWLEDGED) {
            self.unacknowledged -= 1;
            if core::mem::take(&mut self.wants_backlog) {
                self.after.add(OPENABLE, id);
            }
        }
        if flags & RST != 0 {
            self.on_reset(id, if kind == Kind::WindowUpdate { length } else { 0 });
        }
        if ask {
            self.ask(false, tx);
        }
        if len > 0 {
            self.body = Some(Body { stream: id, left: len, finish });
        } else if finish {
            self.on_finish(id);
        }
        Ok(())
    }

    /// The remote opens a stream.
    fn on_syn(&mut self, header: Header, tx: &mut BytesMut) -> Result<(), Error> {
        let id = header.stream;
        if (id % 2 == 1) == self.odd {
            return Err(Error::WrongParity { stream: id, odd: !self.odd });
        }
        let used = self.used.take(id);
        if used == Used::Before {
            return Err(match self.table.get_mut(id) {
                Some(_) => Error::OpenedTwice { stream: id },
                None => Error::Reused { stream: id },
            });
        }
        let full = self.table.len_of(!self.odd) >= self.config.max_inbound_streams
            || self.unaccepted >= self.config.accept_backlog;
        if !self.we_go_away && used == Used::New && !full && self.windows.reserve(INITIAL_WINDOW) {
            self.table.insert(Stream::new(id, ACK_OWED, self.now));
            self.unaccepted += 1;
            self.after.add(OPENED, id);
            return Ok(());
        }
        self.stray = self.stray.saturating_add(INITIAL_WINDOW.into());
        if header.flags & RST == 0 {
            let length = if self.we_go_away { REFUSED_SHUTDOWN } else { REFUSED_NO_ROOM };
            self.put(Header { kind: Kind::WindowUpdate, flags: RST, stream: id, length }, tx);
        }
        Ok(())
    }

    #[inline]
    fn take_body(&mut self, body: Body, rx: &mut BytesMut) {
        let len = rx.len().min(body.left as usize);
        let left = body.left - u32::try_from(len).unwrap_or(body.left);
        self.body = (left > 0).then_some(Body { left, ..body });
        match self.table.get_mut(body.stream).filter(|stream| !stream.is(RESET)) {
            Some(stream) => {
                // A record that is used up goes as it is: splitting costs a count in memory that other cores see.
                let whole = len == rx.len() && len == rx.capacity();
                let piece = if whole { core::mem::take(rx) } else { rx.split_to(len) };
                self.pieces.push(&mut stream.chain, piece);
                if stream.clear(WANTS_READ) {
                    self.after.add(READABLE, body.stream);
                }
                if !stream.is(FRESH) {
                    stream.set(FRESH);
                    push(&mut self.fresh, body.stream);
                }
            }
            None => rx.advance(len),
        }
        if left == 0 && body.finish {
            self.on_finish(body.stream);
        }
    }

    fn on_finish(&mut self, id: u32) {
        if let Some(stream) = self.table.get_mut(id)
            && !stream.is(REMOTE_FINISHED | RESET)
        {
            stream.set(REMOTE_FINISHED);
            self.after.add(HAS_FINISHED, id);
        }
    }

    fn on_reset(&mut self, id: u32, code: u32) {
        if let Some(stream) = self.table.get_mut(id)
            && !stream.is(RESET)
        {
            stream.set(RESET);
            stream.clear(WANTS_CREDIT);
            stream.code = code;
            self.after.add(WAS_RESET, id);
        }
    }

    /// Counts our stream as acknowledged, since it is gone.
    fn acknowledged(&mut self, stream: &mut Stream) {
        if stream.clear(UNACKNOWLEDGED) {
            self.unacknowledged -= 1;
            if core::mem::take(&mut self.wants_backlog) {
                self.after.events |= OPENABLE;
            }
        }
    }

    /// The next thing to tell.
    fn next_event(&mut self, tx: usize) -> Option<Event> {
        while self.after.events != 0 {
            let event = self.after.events & self.after.events.wrapping_neg();
            self.after.events &= !event;
            let stream = self.after.stream;
            let id = StreamId::new(stream.into());
            match event {
                PONG => return Some(Event::Pong { rtt: self.after.pong }),
                GO_AWAY => return Some(Event::GoAway { code: self.after.code }),
                OPENABLE => return Some(Event::Openable),
                _ => {}
            }
            // The application may have ended the stream since.
            let Some(stream) = self.table.get_mut(stream) else { continue };
            match event {
                OPENED => return Some(Event::Opened(id)),
                READABLE if !stream.chain.is_empty() => return Some(Event::Readable(id)),
                WRITABLE => return Some(Event::Writable(id)),
                HAS_FINISHED => return Some(Event::Finished(id)),
                WAS_RESET => return Some(Event::Reset { id, by: By::Remote, code: stream.code }),
                _ => {}
            }
        }
        self.nudge = false;
        if (self.waiting.is_empty() && !self.wants_room) || !self.config.has_room_again(tx) {
            return None;
        }
        while let Some(stream) = self.waiting.pop_front() {
            let found = self.table.get_mut(stream);
            if found.is_some_and(|stream| stream.clear(WANTS_ROOM) && !stream.is(FINISHED | RESET)) {
                self.nudge = !self.waiting.is_empty();
                return Some(Event::Writable(StreamId::new(stream.into())));
            }
        }
        core::mem::take(&mut self.wants_room).then_some(Event::Openable)
    }

    /// Ends the pass: what is still unread must not pin the receive buffer.
    #[inline]
    fn settle(&mut self) {
        for id in self.fresh.drain(..) {
            if let Some(stream) = self.table.get_mut(id)
                && stream.clear(FRESH)
            {
                self.pieces.settle(&mut stream.chain);
            }
        }
    }

    fn fail(&mut self, error: Error, tx: &mut BytesMut) -> Error {
        let length = match error {
            Error::NoPong { .. } => GO_AWAY_INTERNAL_ERROR,
            _ => GO_AWAY_PROTOCOL_ERROR,
        };
        self.put(Header { kind: Kind::GoAway, flags: 0, stream: 0, length }, tx);
        self.failed = Some(error);
        self.settle();
        error
    }
}
