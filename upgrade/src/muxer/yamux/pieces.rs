//! What all streams of a connection have received and nobody has read.
//!
//! One slab of pieces for the connection; each stream holds the ends of a chain through it. So a stream that has nothing
//! to read costs twelve bytes here, and no stream allocates for a frame.
//!
//! A piece is split off the receive buffer, and pins that buffer. Hence the life of a piece:
//!
//! ```text
//! push -> fresh -- read within the pass -> the application                     no copy
//!           |----- settle, 16 KiB or more ------------------------> stays      no copy, pins little beside itself
//!           '----- settle, less; or tiny and not the first -------> own        copied to memory of its own
//! ```
//!
//! So what nobody reads costs at most twice its bytes (own memory grows by doubling), and for pieces of 16 KiB and more
//! the receive buffers that they were cut from: with buffers of 128 KiB at most eight times, in the worst of cuts.

use super::table::push;
use alloc::vec::Vec;
use bytes::BytesMut;

/// Pieces of this size and more keep the buffer in which they came; own pieces grow to it.
const KEEP: usize = 16 * 1024;
/// A piece under this size that comes behind another is copied at once: it costs less than keeping it apart, and floods
/// of tiny frames can't fill the slab.
const TINY: usize = 512;
/// The slab gives its memory back when it runs empty and had grown beyond this.
const SPARE: usize = 64;
/// No piece.
const NONE: u32 = u32::MAX;

/// One stream's chain of pieces.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    /// Oldest piece.
    head: u32,
    /// Newest piece.
    tail: u32,
    /// The newest piece that is not fresh; `NONE`: all are.
    settled: u32,
}

impl Chain {
    pub(super) const EMPTY: Chain = Chain { head: NONE, tail: NONE, settled: NONE };

    pub(super) const fn is_empty(self) -> bool {
        self.head == NONE
    }
}

#[derive(Debug)]
struct Piece {
    bytes: BytesMut,
    next: u32,
    /// In memory of its own, which may grow.
    own: bool,
}

/// The slab.
#[derive(Debug)]
pub(super) struct Pieces {
    slots: Vec<Piece>,
    /// First of the chain of free slots.
    free: u32,
    live: usize,
    /// Capacity of all pieces.
    bytes: usize,
}

impl Pieces {
    pub(super) const fn new() -> Self {
        Pieces { slots: Vec::new(), free: NONE, live: 0, bytes: 0 }
    }

    /// Appends `piece`, which must not be empty.
    #[inline]
    pub(super) fn push(&mut self, chain: &mut Chain, piece: BytesMut) {
        if piece.len() < TINY
            && let Some(tail) = self.slots.get_mut(chain.tail as usize)
        {
            if tail.own && tail.bytes.len() + piece.len() <= KEEP {
                let before = tail.bytes.capacity();
                tail.bytes.extend_from_slice(&piece);
                self.bytes += tail.bytes.capacity() - before;
            } else {
                self.link(chain, BytesMut::from(&piece[..]), true);
            }
            return;
        }
        self.link(chain, piece, false);
    }

    /// Takes the oldest piece.
    #[inline]
    pub(super) fn pop(&mut self, chain: &mut Chain) -> Option<BytesMut> {
        let at = chain.head;
        let slot = self.slots.get_mut(at as usize)?;
        let bytes = core::mem::take(&mut slot.bytes);
        chain.head = core::mem::replace(&mut slot.next, self.free);
        self.bytes -= bytes.capacity();
        self.release(at);
        if chain.head == NONE {
            chain.tail = NONE;
        }
        if chain.settled == at {
            chain.settled = NONE;
        }
        Some(bytes)
    }

    /// Ends a pass for a stream: the fresh pieces that are small move to memory of their own.
    pub(super) fn settle(&mut self, chain: &mut Chain) {
        let mut last = chain.settled;
        loop {
            let mut at = self.after(chain, last);
            let Some(first) = self.slots.get(at as usize) else { break };
            if first.own || first.bytes.len() >= KEEP {
                last = at;
                continue;
            }
            // A run of small pieces that fits one piece, or the end of the last one.
            let room = match self.slots.get(last as usize) {
                Some(piece) if piece.own && piece.bytes.len() + first.bytes.len() <= KEEP => KEEP - piece.bytes.len(),
                _ => 0,
            };
            let mut run = BytesMut::new();
            let appending = room > 0;
            let room = if appending { room } else { KEEP };
            let size = self.run_len(at, room);
            if appending {
                if let Some(piece) = self.slots.get_mut(last as usize) {
                    run = core::mem::take(&mut piece.bytes);
                    self.bytes -= run.capacity();
                }
                run.reserve(size);
            } else {
                run = BytesMut::with_capacity(size);
            }
            let end = run.len() + size;
            let keeper = if appending { last } else { at };
            while run.len() < end {
                let Some(piece) = self.slots.get_mut(at as usize) else { break };
                let bytes = core::mem::take(&mut piece.bytes);
                run.extend_from_slice(&bytes);
                self.bytes -= bytes.capacity();
                let next = piece.next;
                if at != keeper {
                    self.unlink(chain, keeper, at);
                }
                at = next;
            }
            if let Some(piece) = self.slots.get_mut(keeper as usize) {
                self.bytes += run.capacity();
                piece.bytes = run;
                piece.own = true;
            }
            last = keeper;
        }
        chain.settled = chain.tail;
    }

    /// Drops a chain.
    pub(super) fn clear(&mut self, chain: &mut Chain) {
        while self.pop(chain).is_some() {}
    }

    /// Bytes on the heap.
    pub(super) fn memory_used(&self) -> usize {
        self.slots.capacity() * size_of::<Piece>() + self.bytes
    }

    fn link(&mut self, chain: &mut Chain, bytes: BytesMut, own: bool) {
        self.bytes += bytes.capacity();
        let piece = Piece { bytes, next: NONE, own };
        let at = self.free;
        let at = if let Some(slot) = self.slots.get_mut(at as usize) {
            self.free = slot.next;
            *slot = piece;
            at
        } else {
            // Under 2^32 pieces: each has a byte at least, and the windows of a connection are far smaller.
            let at = u32::try_from(self.slots.len()).unwrap_or(NONE);
            push(&mut self.slots, piece);
            at
        };
        self.live += 1;
        match self.slots.get_mut(chain.tail as usize) {
            Some(tail) => tail.next = at,
            None => chain.head = at,
        }
        chain.tail = at;
    }

    /// Takes the piece `at`, already emptied, out of the chain; `before` stands before it.
    fn unlink(&mut self, chain: &mut Chain, before: u32, at: u32) {
        let Some(slot) = self.slots.get_mut(at as usize) else { return };
        let next = core::mem::replace(&mut slot.next, self.free);
        self.release(at);
        if let Some(slot) = self.slots.get_mut(before as usize) {
            slot.next = next;
        }
        if chain.tail == at {
            chain.tail = before;
        }
    }

    /// Puts the slot `at`, whose `next` is the first free one, before the free ones.
    fn release(&mut self, at: u32) {
        self.free = at;
        self.live -= 1;
        if self.live == 0 && self.slots.capacity() > SPARE {
            self.slots = Vec::new();
            self.free = NONE;
        }
    }

    /// The piece behind `at`; the first one, if `at` is none.
    fn after(&self, chain: &Chain, at: u32) -> u32 {
        self.slots.get(at as usize).map_or(chain.head, |piece| piece.next)
    }

    /// Bytes in the small pieces from `at` on, as many of them as fit `room`.
    fn run_len(&self, mut at: u32, room: usize) -> usize {
        let mut size = 0;
        while let Some(piece) = self.slots.get(at as usize) {
            let len = piece.bytes.len();
            if len >= KEEP || size + len > room || piece.own {
                break;
            }
            size += len;
            at = piece.next;
        }
        size
    }
}
