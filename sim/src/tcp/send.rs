//! The sending half of a connection: what is to be sent, what may be sent now, and what must be sent again.
//!
//! ```text
//!        sent, not acknowledged    may be sent      must wait
//!  ...|########################|~~~~~~~~~~~~~~~~|-----------|  [FIN]
//!   first                     next        min(edge,        end
//!                                    first + congestion)
//! ```
//! Congestion control is NewReno without its window inflation (RFC 5681, RFC 6582): slow start, congestion avoidance, one
//! segment again after three duplicate acknowledgements or a partial one, everything again after a timeout.

use super::Tcp;
use super::clock::Clock;
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;
use tidewire_core::Time;

#[derive(Debug)]
pub(crate) struct Sender {
    /// The number of our SYN.
    pub(crate) initial: u64,
    /// The first number that is not acknowledged.
    pub(crate) first: u64,
    /// The next number to be sent.
    pub(crate) next: u64,
    /// The highest `next` ever.
    highest: u64,
    /// Up to where the remote has room.
    edge: u64,
    /// Pieces with the number of their first byte.
    pieces: VecDeque<(u64, Bytes)>,
    /// The number after the last byte: that of the FIN.
    end: u64,
    pub(crate) finishing: bool,
    congestion: u64,
    threshold: u64,
    duplicates: u32,
    /// After a loss: it is mended when this is acknowledged.
    recover: Option<u64>,
    pub(crate) clock: Clock,
}

/// What an acknowledgement was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acked {
    /// Of something that we never sent.
    Impossible,
    Nothing,
    /// Of something new.
    New,
    /// It shows that a segment was lost.
    Loss,
}

impl Sender {
    pub(crate) fn new(initial: u64, config: &Tcp) -> Self {
        Sender {
            initial,
            first: initial,
            next: initial,
            highest: initial,
            edge: 0,
            pieces: VecDeque::new(),
            end: initial + 1,
            finishing: false,
            congestion: (config.segment * config.initial_window) as u64,
            threshold: u64::MAX,
            duplicates: 0,
            recover: None,
            clock: Clock::new(),
        }
    }

    /// The next number that was never sent.
    pub(crate) const fn highest(&self) -> u64 {
        self.highest
    }

    /// Bytes that are not acknowledged.
    pub(crate) fn waiting(&self) -> usize {
        usize::try_from(self.end - self.first.clamp(self.initial + 1, self.end)).unwrap_or(usize::MAX)
    }

    /// Takes bytes from `from` while there is room, without copying where `from` allows that.
    pub(crate) fn push(&mut self, from: &mut impl Buf, config: &Tcp) -> usize {
        let mut room = config.send_buffer.saturating_sub(self.waiting());
        let mut taken = 0;
        while room > 0 && from.has_remaining() {
            let count = from.remaining().min(room);
            self.pieces.push_back((self.end, from.copy_to_bytes(count)));
            self.end += count as u64;
            room -= count;
            taken += count;
        }
        taken
    }

    /// Something is sent and not acknowledged.
    pub(crate) const fn in_flight(&self) -> bool {
        self.next > self.first
    }

    /// The FIN was sent, once at least.
    pub(crate) const fn finished(&self) -> bool {
        self.finishing && self.highest > self.end
    }

    /// The FIN was acknowledged.
    pub(crate) const fn finish_acknowledged(&self) -> bool {
        self.finishing && self.first > self.end
    }

    /// Data waits, nothing is on its way, and the remote has no room: it must be asked.
    pub(crate) const fn blocked(&self) -> bool {
        !self.in_flight() && self.next < self.end && self.edge <= self.next
    }

    /// The next piece to be sent for the first time, or after a timeout: where it begins, what it is, whether it ends with
    /// the FIN.
    pub(crate) fn next_piece(&mut self, now: Time, config: &Tcp) -> Option<(u64, Bytes, bool)> {
        let seq = self.next;
        if seq > self.end || (seq == self.end && !self.finishing) {
            return None;
        }
        let left = self.end - seq;
        let wanted = left.min(config.segment as u64);
        let allowed = self.edge.min(self.first + self.congestion).saturating_sub(seq);
        let count = wanted.min(allowed);
        // A part of a segment goes out only if nothing else would ask for more room: RFC 9293 section 3.8.6.2.1.
        if left > 0 && (count == 0 || (count < wanted && self.in_flight())) {
            return None;
        }
        let data = self.slice(seq, usize::try_from(count).unwrap_or(usize::MAX));
        let fin = self.finishing && seq + count == self.end;
        self.next = seq + count + u64::from(fin);
        if self.next > self.highest {
            self.highest = self.next;
            self.clock.sent(self.next, now);
        }
        Some((seq, data, fin))
    }

    /// The first piece that is not acknowledged, to be sent again.
    pub(crate) fn first_piece(&mut self, config: &Tcp) -> (u64, Bytes, bool) {
        let seq = self.first;
        let count = (self.end.saturating_sub(seq)).min(config.segment as u64).min(self.next - seq);
        self.clock.forget_probe();
        let data = self.slice(seq, usize::try_from(count).unwrap_or(usize::MAX));
        (seq, data, self.finished() && seq + count == self.end)
    }

    /// Our SYN is on its way.
    pub(crate) fn syn_sent(&mut self, now: Time) {
        self.next = self.initial + 1;
        self.highest = self.next;
        self.clock.sent(self.next, now);
    }

    /// The remote has received all before `ack`, and has room for `window` more.
    pub(crate) fn acknowledged(&mut self, now: Time, ack: u64, window: u64, bare: bool, config: &Tcp) -> Acked {
        if ack > self.highest {
            return Acked::Impossible;
        }
        let edge = self.edge.max(ack.saturating_add(window));
        let same_window = edge == self.edge;
        self.edge = edge;
        if ack > self.first {
            let count = ack - self.first;
            self.forget(ack);
            self.duplicates = 0;
            self.clock.acknowledged(ack, now);
            return self.grow(ack, count, config);
        }
        if ack == self.first && bare && same_window && self.in_flight() {
            self.duplicates += 1;
            if self.duplicates == 3 && self.recover.is_none() {
                self.halve(config);
                self.congestion = self.threshold;
                self.recover = Some(self.highest);
                return Acked::Loss;
            }
        }
        Acked::Nothing
    }

    /// Nothing was acknowledged for too long: all is to be sent again, slowly.
    pub(crate) fn timed_out(&mut self, config: &Tcp) {
        if self.clock.doubled() == 0 {
            self.halve(config);
        }
        self.congestion = config.segment as u64;
        self.duplicates = 0;
        self.recover = None;
        self.next = self.first;
        self.clock.double();
    }

    fn grow(&mut self, ack: u64, count: u64, config: &Tcp) -> Acked {
        let segment = config.segment as u64;
        match self.recover {
            Some(recover) if ack < recover && self.in_flight() => return Acked::Loss,
            Some(_) => self.recover = None,
            None if self.congestion < self.threshold => self.congestion += count,
            None => self.congestion += (segment * segment / self.congestion).max(1),
        }
        Acked::New
    }

    fn halve(&mut self, config: &Tcp) {
        self.threshold = ((self.next - self.first) / 2).max(2 * config.segment as u64);
    }

    fn forget(&mut self, ack: u64) {
        self.first = ack;
        self.next = self.next.max(ack);
        while let Some((start, piece)) = self.pieces.front_mut() {
            let known = ack.saturating_sub(*start);
            if known < piece.len() as u64 {
                piece.advance(usize::try_from(known).unwrap_or(0));
                *start += known;
                break;
            }
            self.pieces.pop_front();
        }
    }

    /// Bytes from `seq` on: a slice where one piece has them all, a copy where they lie in several.
    fn slice(&self, seq: u64, count: usize) -> Bytes {
        if count == 0 {
            return Bytes::new();
        }
        let at = self.pieces.partition_point(|(start, _)| *start <= seq).saturating_sub(1);
        let mut pieces = self.pieces.range(at..);
        let Some((start, piece)) = pieces.next() else { return Bytes::new() };
        let skip = usize::try_from(seq - start).unwrap_or(usize::MAX).min(piece.len());
        if piece.len() - skip >= count {
            return piece.slice(skip..skip + count);
        }
        let mut joined = BytesMut::with_capacity(count);
        joined.extend_from_slice(&piece[skip..]);
        for (_, piece) in pieces {
            let missing = count - joined.len();
            joined.extend_from_slice(&piece[..missing.min(piece.len())]);
            if joined.len() == count {
                break;
            }
        }
        joined.freeze()
    }
}
