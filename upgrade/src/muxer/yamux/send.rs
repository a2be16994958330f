//! The sending half: calls to frames, each appended to `tx` within the call.

use super::config::INITIAL_WINDOW;
use super::frame::{ACK, FIN, HEADER, Header, Kind, RST, SYN};
use super::stream::{
    ACK_OWED, FINISHED, READ_TO_END, REMOTE_FINISHED, RESET, SYN_OWED, Stream, UNACKNOWLEDGED, WANTS_CREDIT, WANTS_ROOM,
};
use super::{By, OpenError, StreamError, StreamId, WriteError, Yamux, number};
use bytes::BytesMut;
use tidewire_core::Time;

/// The frame at the end of `tx`, while it may still grow: data without FIN, or an empty window update.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail {
    header: Header,
    /// Where its header starts in `tx`.
    at: usize,
    /// Where it ends: `tx.len()`, unless something was appended behind.
    end: usize,
}

impl Yamux {
    pub(super) fn open_stream(&mut self, tx: usize) -> Result<StreamId, OpenError> {
        if self.failed.is_some() {
            return Err(OpenError::Failed);
        }
        if self.we_go_away || self.remote_goes_away {
            return Err(OpenError::GoingAway);
        }
        let id = self.next_id.ok_or(OpenError::IdsUsedUp)?;
        let open = self.table.len_of(self.odd);
        if open >= self.config.max_outbound_streams {
            return Err(OpenError::TooManyStreams { limit: self.config.max_outbound_streams });
        }
        if self.unacknowledged >= self.config.max_unacknowledged {
            self.wants_backlog = true;
            return Err(OpenError::Backlog { limit: self.config.max_unacknowledged });
        }
        if !self.config.has_room(tx) {
            self.wants_room = true;
            return Err(OpenError::Full);
        }
        if !self.windows.reserve(INITIAL_WINDOW) {
            return Err(OpenError::TooManyStreams { limit: open });
        }
        self.next_id = id.checked_add(2);
        self.table.insert(Stream::new(id, SYN_OWED | UNACKNOWLEDGED, self.now));
        self.unacknowledged += 1;
        Ok(StreamId::new(id.into()))
    }

    pub(super) fn send_data(
        &mut self,
        id: StreamId,
        data: &[u8],
        room: usize,
        tx: &mut BytesMut,
    ) -> Result<usize, WriteError> {
        if self.failed.is_some() {
            return Err(WriteError::Failed);
        }
        let id = number(id).ok_or(WriteError::Unknown)?;
        let stream = self.table.get_mut(id).ok_or(WriteError::Unknown)?;
        if stream.is(RESET | FINISHED) {
            let reset = WriteError::Reset { by: By::Remote, code: stream.code };
            return Err(if stream.is(RESET) { reset } else { WriteError::Finished });
        }
        if data.is_empty() {
            return Ok(0);
        }
        if stream.credit == 0 {
            stream.set(WANTS_CREDIT);
            return Err(WriteError::Blocked);
        }
        let space = self.config.max_tx.saturating_sub(tx.len());
        let most = data.len().min(stream.credit as usize);

        if let Some(tail) = &mut self.tail
            && tail.header.stream == id
            && tail.end == tx.len()
        {
            let len = tail.header.length;
            let n = most.min(room).min(space).min(self.config.max_frame.saturating_sub(len) as usize);
            if n > 0 {
                // `n` is at most the credit, which has 32 bits.
                let n32 = u32::try_from(n).unwrap_or(u32::MAX);
                tail.header.kind = Kind::Data;
                tail.header.length = len.saturating_add(n32);
                if let Some(bytes) = tx.get_mut(tail.at..).and_then(<[u8]>::first_chunk_mut) {
                    *bytes = tail.header.encode();
                }
                tx.extend_from_slice(data.get(..n).unwrap_or_default());
                tail.end = tx.len();
                stream.credit -= n32;
                return Ok(n);
            }
        }

        let space = room.min(space).saturating_sub(HEADER);
        let n = most.min(space).min(self.config.max_frame as usize);
        if n == 0 {
            self.nudge |= self.config.has_room(tx.len());
            if !stream.is(WANTS_ROOM) {
                stream.set(WANTS_ROOM);
                self.waiting.push_back(id);
            }
            return Err(WriteError::Blocked);
        }
        let n32 = u32::try_from(n).unwrap_or(u32::MAX);
        stream.credit -= n32;
        let flags = introduction(stream, &mut self.unaccepted);
        let header = Header { kind: Kind::Data, flags, stream: id, length: n32 };
        tx.reserve(HEADER + n);
        self.put(header, tx);
        tx.extend_from_slice(data.get(..n).unwrap_or_default());
        if let Some(tail) = &mut self.tail {
            tail.end = tx.len();
        }
        Ok(n)
    }

    pub(super) fn send_finish(&mut self, id: StreamId, tx: &mut BytesMut) -> Result<(), StreamError> {
        let id = number(id).ok_or(StreamError::Unknown)?;
        let stream = self.table.get_mut(id).ok_or(StreamError::Unknown)?;
        if stream.is(RESET) {
            return Err(StreamError::Reset { by: By::Remote, code: stream.code });
        }
        if self.failed.is_some() {
            return Err(StreamError::Failed);
        }
        if stream.is(FINISHED) {
            return Ok(());
        }
        stream.set(FINISHED);
        stream.clear(WANTS_CREDIT);
        let over = stream.is(READ_TO_END);
        let flags = introduction(stream, &mut self.unaccepted);
        // An empty window update at the end of `tx` takes the flag; data does not, see the module's documentation.
        match self.tail.take().filter(|tail| tail.header.stream == id && tail.end == tx.len()) {
            Some(Tail { header, at, .. }) if header.kind == Kind::WindowUpdate => {
                if let Some(bytes) = tx.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
                    *bytes = Header { flags: header.flags | flags | FIN, ..header }.encode();
                }
            }
            _ => self.put(Header { kind: Kind::WindowUpdate, flags: flags | FIN, stream: id, length: 0 }, tx),
        }
        if over {
            self.forget(id);
        }
        Ok(())
    }

    pub(super) fn send_reset(&mut self, id: StreamId, code: u32, tx: &mut BytesMut) -> Result<(), StreamError> {
        let id = number(id).ok_or(StreamError::Unknown)?;
        let stream = self.table.get_mut(id).ok_or(StreamError::Unknown)?;
        let over = stream.is(FINISHED) && stream.is(REMOTE_FINISHED);
        if !over && !stream.is(SYN_OWED | RESET) && self.failed.is_none() {
            self.put(Header { kind: Kind::WindowUpdate, flags: RST, stream: id, length: code }, tx);
        }
        self.forget(id);
        Ok(())
    }

    pub(super) fn send_ping(&mut self, now: Time, tx: &mut BytesMut) {
        if self.failed.is_none() {
            self.now = self.now.max(now);
            self.ask(true, tx);
        }
    }

    pub(super) fn send_go_away(&mut self, code: u32, tx: &mut BytesMut) {
        if self.failed.is_none() {
            self.we_go_away = true;
            self.put(Header { kind: Kind::GoAway, flags: 0, stream: 0, length: code }, tx);
        }
    }

    /// Sends the SYN or the ACK that is still owed, on a frame of its own; a write behind it turns it into data.
    pub(super) fn introduce(&mut self, id: u32, tx: &mut BytesMut) {
        if let Some(stream) = self.table.get_mut(id)
            && stream.is(SYN_OWED | ACK_OWED)
        {
            let flags = introduction(stream, &mut self.unaccepted);
            self.put(Header { kind: Kind::WindowUpdate, flags, stream: id, length: 0 }, tx);
        }
    }

    /// Gives the remote credit for what the application has read, as far as it has come to half a window.
    pub(super) fn give_credit(&mut self, id: u32, tx: &mut BytesMut) {
        let rtt = self.pings.rtt();
        let Some(stream) = self.table.get_mut(id) else { return };
        while let Some(length) = self.windows.next_credit(stream, self.now, rtt) {
            let header = Header { kind: Kind::WindowUpdate, flags: 0, stream: id, length };
            self.tail = None;
            tx.extend_from_slice(&header.encode());
        }
    }

    /// Appends a frame, or the header of one.
    #[inline]
    pub(super) fn put(&mut self, header: Header, tx: &mut BytesMut) {
        let at = tx.len();
        tx.extend_from_slice(&header.encode());
        let may_grow = match header.kind {
            Kind::Data => true,
            Kind::WindowUpdate => header.length == 0 && header.flags & (FIN | RST) == 0,
            _ => false,
        };
        self.tail = may_grow.then_some(Tail { header, at, end: tx.len() });
    }

    pub(super) fn ask(&mut self, wanted: bool, tx: &mut BytesMut) {
        if let Some(value) = self.pings.ask(self.now, wanted) {
            self.put(Header { kind: Kind::Ping, flags: SYN, stream: 0, length: value }, tx);
        }
    }
}

/// The flag that the first frame of a stream carries, once.
#[inline]
fn introduction(stream: &mut Stream, unaccepted: &mut usize) -> u16 {
    if stream.clear(SYN_OWED) {
        return SYN;
    }
    if stream.clear(ACK_OWED) {
        *unaccepted -= 1;
        return ACK;
    }
    0
}
