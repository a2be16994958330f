//! What a stream has received and nobody has read: pieces of the connection's receive buffer, in order.
//!
//! A piece is split off the receive buffer and costs no copy. It also keeps the whole of that buffer alive, so a piece
//! that stays is copied into memory of its own, together with its neighbours:
//!
//! ```text
//! push -> fresh --- read in the same pass --> the application          no copy, nothing pinned
//!           '------ settle --> 16 KiB or more: stays as it is          pins little beside itself
//!                        '---> less: copied to the tail                one copy, pins nothing
//! ```
//!
//! Without this rule a hundred unread frames of 64 bytes pin a hundred receive buffers.

use alloc::collections::VecDeque;
use bytes::BytesMut;

/// Pieces of this size and more keep the buffer that they arrived in; a tail that has grown to it takes no more.
const KEEP: usize = 16 * 1024;
/// Pieces that one pass may leave side by side. A flood of one-byte frames would otherwise cost a piece's 32 bytes each.
const MAX_FRESH: usize = 64;

/// A stream's received bytes.
///
/// The oldest piece lies inside the struct: a stream that is read promptly never allocates here.
#[derive(Debug, Default)]
pub(crate) struct ReceiveQueue {
    /// The oldest piece; empty if and only if the queue is.
    front: BytesMut,
    /// The others, oldest first.
    rest: VecDeque<BytesMut>,
    /// Bytes in all pieces.
    len: usize,
    /// How many of the last pieces came since [`settle`](ReceiveQueue::settle).
    fresh: usize,
    /// Whether the last piece that is not fresh is in memory of its own.
    own_tail: bool,
}

impl ReceiveQueue {
    /// Bytes to read.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Appends a piece; an empty one is dropped.
    pub(crate) fn push(&mut self, piece: BytesMut) {
        if piece.is_empty() {
            return;
        }
        if self.fresh >= MAX_FRESH {
            self.settle();
        }
        self.len += piece.len();
        self.fresh += 1;
        if self.front.is_empty() {
            self.front = piece;
        } else {
            self.rest.push_back(piece);
        }
    }

    /// Takes the oldest piece.
    pub(crate) fn pop(&mut self) -> Option<BytesMut> {
        if self.front.is_empty() {
            return None;
        }
        let next = self.rest.pop_front().unwrap_or_default();
        let piece = core::mem::replace(&mut self.front, next);
        self.len -= piece.len();
        self.fresh = self.fresh.min(self.pieces());
        if self.rest.is_empty() && self.rest.capacity() > MAX_FRESH {
            self.rest = VecDeque::new();
        }
        Some(piece)
    }

    /// Ends a pass: copies the fresh pieces that are small to the tail, or to a new tail.
    pub(crate) fn settle(&mut self) {
        let pieces = self.pieces();
        let fresh = pieces - self.fresh..pieces;
        // Pieces before this place stay; each fresh one comes to it or goes to the one before it.
        let mut kept = fresh.start;
        self.own_tail &= kept > 0;
        for from in fresh {
            let piece = core::mem::take(self.piece_mut(from));
            if piece.len() >= KEEP {
                *self.piece_mut(kept) = piece;
                self.own_tail = false;
                kept += 1;
                continue;
            }
            if self.own_tail {
                let tail = self.piece_mut(kept - 1);
                if tail.len() + piece.len() <= KEEP {
                    tail.extend_from_slice(&piece);
                    continue;
                }
            }
            *self.piece_mut(kept) = BytesMut::from(&piece[..]);
            self.own_tail = true;
            kept += 1;
        }
        self.rest.truncate(kept.saturating_sub(1));
        self.fresh = 0;
    }

    /// Bytes on the heap: those of the pieces, the room that the tail has grown beyond its own, and the list.
    pub(crate) fn memory_used(&self) -> usize {
        let tail = match (self.pieces() - self.fresh).checked_sub(1) {
            Some(0) if self.own_tail => Some(&self.front),
            Some(behind) if self.own_tail => self.rest.get(behind - 1),
            _ => None,
        };
        let room = tail.map_or(0, |tail| tail.capacity() - tail.len());
        self.len + room + self.rest.capacity() * size_of::<BytesMut>()
    }

    fn pieces(&self) -> usize {
        usize::from(!self.front.is_empty()) + self.rest.len()
    }

    /// The piece at `index`, which must be under [`pieces`](ReceiveQueue::pieces).
    fn piece_mut(&mut self, index: usize) -> &mut BytesMut {
        match index.checked_sub(1) {
            Some(behind) if behind < self.rest.len() => &mut self.rest[behind],
            _ => &mut self.front,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn drain(queue: &mut ReceiveQueue) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(piece) = queue.pop() {
            all.extend_from_slice(&piece);
        }
        all
    }

    #[test]
    fn bytes_come_out_in_order_however_they_were_settled() {
        let mut queue = ReceiveQueue::default();
        let mut expected = Vec::new();
        for (i, size) in [1, 100, KEEP, 3, KEEP - 1, KEEP + 1, 7, 9, 0, 20_000, 5].into_iter().enumerate() {
            let piece = vec![u8::try_from(i).unwrap(); size];
            expected.extend_from_slice(&piece);
            queue.push(BytesMut::from(&piece[..]));
            if i % 3 == 1 {
                queue.settle();
            }
            assert_eq!(queue.len(), expected.len());
        }
        assert_eq!(drain(&mut queue), expected);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn small_pieces_are_copied_together_and_release_the_buffer_they_came_in() {
        let mut queue = ReceiveQueue::default();
        for _ in 0..100 {
            let mut rx = BytesMut::with_capacity(64 * 1024);
            rx.extend_from_slice(&[7; 64]);
            queue.push(rx.split());
            queue.settle();
            // Unique again, so the whole buffer can be reclaimed.
            assert!(rx.try_reclaim(64 * 1024));
        }
        assert_eq!(queue.pieces(), 1);
        assert_eq!(queue.len(), 6400);
        assert!(queue.memory_used() < 2 * 6400, "{}", queue.memory_used());
    }

    #[test]
    fn a_large_piece_is_not_copied() {
        let mut queue = ReceiveQueue::default();
        let piece = BytesMut::from(&vec![1; KEEP][..]);
        let at = piece.as_ptr();
        queue.push(piece);
        queue.settle();
        assert_eq!(queue.pop().unwrap().as_ptr(), at);
    }

    #[test]
    fn a_piece_read_in_its_own_pass_is_the_memory_it_arrived_in() {
        let mut queue = ReceiveQueue::default();
        let piece = BytesMut::from(&[1, 2, 3][..]);
        let at = piece.as_ptr();
        queue.push(piece);
        assert_eq!(queue.pop().unwrap().as_ptr(), at);
        assert_eq!(queue.memory_used(), 0);
    }

    #[test]
    fn a_tail_that_was_read_is_not_appended_to() {
        let mut queue = ReceiveQueue::default();
        queue.push(BytesMut::from(&[1][..]));
        queue.settle();
        assert_eq!(queue.pop().unwrap(), [1][..]);
        queue.push(BytesMut::from(&[2][..]));
        queue.settle();
        assert_eq!(drain(&mut queue), [2]);
    }

    #[test]
    fn a_pass_full_of_single_bytes_costs_little_more_than_the_bytes() {
        let mut queue = ReceiveQueue::default();
        for _ in 0..100_000 {
            queue.push(BytesMut::from(&[1][..]));
        }
        assert!(queue.memory_used() < 100_000 + 2 * KEEP + 2 * (MAX_FRESH + 100_000 / KEEP) * size_of::<BytesMut>());
        assert_eq!(drain(&mut queue).len(), 100_000);
        assert_eq!(queue.memory_used(), 0);
    }

    #[test]
    fn the_list_of_pieces_stays_short_under_single_bytes() {
        let mut queue = ReceiveQueue::default();
        for _ in 0..100_000 {
            queue.push(BytesMut::from(&[1][..]));
            queue.settle();
        }
        assert!(queue.pieces() <= 100_000 / KEEP + 1);
    }
}
