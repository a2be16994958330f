//! The receiving half of a connection: puts what arrives in order, and says how much room there is.
//!
//! ```text
//!        ready: in order, unread        early: behind a gap
//!  ...|#########################|......####....####........|
//!    read                      next                       edge: what the remote may send up to
//! ```

use bytes::{Buf, Bytes};
use std::collections::{BTreeMap, VecDeque};

#[derive(Debug)]
pub(crate) struct Receiver {
    /// The next sequence number in order.
    pub(crate) next: u64,
    edge: u64,
    cap: usize,
    ready: VecDeque<Bytes>,
    unread: usize,
    early: BTreeMap<u64, Bytes>,
    /// Where the remote's FIN stands.
    fin: Option<u64>,
    /// The FIN is in order: all has arrived.
    pub(crate) complete: bool,
}

impl Receiver {
    pub(crate) const fn new(cap: usize) -> Self {
        Receiver {
            next: 0,
            edge: 0,
            cap,
            ready: VecDeque::new(),
            unread: 0,
            early: BTreeMap::new(),
            fin: None,
            complete: false,
        }
    }

    /// The remote's SYN had this number.
    pub(crate) fn start(&mut self, syn: u64) {
        self.next = syn.saturating_add(1);
        self.edge = self.next.saturating_add(self.cap as u64);
    }

    pub(crate) const fn unread(&self) -> usize {
        self.unread
    }

    /// Whether a segment that begins here is in the window.
    pub(crate) const fn admits(&self, seq: u64) -> bool {
        seq >= self.next && seq <= self.edge
    }

    /// The window to announce. It never takes back what was granted.
    pub(crate) fn grant(&mut self) -> u64 {
        self.edge = self.edge.max(self.possible_edge());
        self.edge.saturating_sub(self.next)
    }

    /// Whether reading has made so much room that the remote should hear of it unasked (RFC 9293 section 3.8.6.2.2).
    pub(crate) fn should_tell(&self, segment: usize) -> bool {
        let gain = self.possible_edge().saturating_sub(self.edge);
        let window = self.edge.saturating_sub(self.next);
        !self.complete && (gain >= self.cap as u64 / 2 || (window < segment as u64 && gain >= segment as u64))
    }

    /// Takes a segment in. True: something came into order.
    pub(crate) fn take(&mut self, seq: u64, mut data: Bytes, fin: bool) -> bool {
        let before = self.next;
        let end = seq.saturating_add(data.len() as u64);
        if fin && end <= self.edge {
            self.fin = Some(end);
        }
        let room = usize::try_from(self.edge.saturating_sub(seq)).unwrap_or(usize::MAX);
        data.truncate(room);
        if seq <= self.next {
            self.append(seq, data);
            while let Some((at, data)) = self.early.pop_first() {
                if at > self.next {
                    self.early.insert(at, data);
                    break;
                }
                self.append(at, data);
            }
        } else if !data.is_empty() {
            let held = self.early.entry(seq).or_default();
            if held.len() < data.len() {
                *held = data;
            }
        }
        if self.fin == Some(self.next) && !self.complete {
            self.complete = true;
            self.next = self.next.saturating_add(1);
        }
        self.next > before
    }

    /// The next unread bytes, at most `most` of them.
    pub(crate) fn read(&mut self, most: usize) -> Option<Bytes> {
        let front = self.ready.front_mut()?;
        let bytes = if front.len() > most { front.split_to(most) } else { self.ready.pop_front()? };
        self.unread -= bytes.len();
        Some(bytes)
    }

    fn append(&mut self, seq: u64, mut data: Bytes) {
        let known = usize::try_from(self.next - seq).unwrap_or(usize::MAX);
        if known >= data.len() || self.complete {
            return;
        }
        data.advance(known);
        self.next += data.len() as u64;
        self.unread += data.len();
        self.ready.push_back(data);
    }

    fn possible_edge(&self) -> u64 {
        self.next.saturating_add(self.cap.saturating_sub(self.unread) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver(cap: usize) -> Receiver {
        let mut receiver = Receiver::new(cap);
        receiver.start(99);
        receiver
    }

    fn all(receiver: &mut Receiver) -> Vec<u8> {
        core::iter::from_fn(|| receiver.read(usize::MAX)).flatten().collect()
    }

    #[test]
    fn what_comes_early_waits_for_what_is_missing() {
        let mut receiver = receiver(100);
        assert!(!receiver.take(103, Bytes::from_static(b"def"), false));
        assert!(!receiver.take(106, Bytes::from_static(b"g"), true));
        assert_eq!(receiver.unread(), 0);
        assert!(receiver.take(100, Bytes::from_static(b"abc"), false));
        assert_eq!(all(&mut receiver), b"abcdefg");
        assert!(receiver.complete);
        assert_eq!(receiver.next, 108, "the FIN takes one");
    }

    #[test]
    fn what_comes_twice_or_overlaps_counts_once() {
        let mut receiver = receiver(100);
        receiver.take(100, Bytes::from_static(b"abc"), false);
        assert!(!receiver.take(100, Bytes::from_static(b"abc"), false));
        assert!(receiver.take(101, Bytes::from_static(b"bcde"), false));
        receiver.take(107, Bytes::from_static(b"hi"), false);
        receiver.take(106, Bytes::from_static(b"gh"), false);
        receiver.take(105, Bytes::from_static(b"f"), false);
        assert_eq!(all(&mut receiver), b"abcdefghi");
    }

    #[test]
    fn what_is_beyond_the_window_is_cut_off_with_its_fin() {
        let mut receiver = receiver(4);
        assert!(receiver.take(100, Bytes::from_static(b"abcdef"), true));
        assert_eq!(all(&mut receiver), b"abcd");
        assert!(!receiver.complete);
    }

    #[test]
    fn the_window_never_shrinks_and_grows_with_reading() {
        let mut receiver = receiver(1_000);
        assert_eq!(receiver.grant(), 1_000);
        receiver.take(100, Bytes::from(vec![7; 1_000]), false);
        assert_eq!(receiver.grant(), 0);
        assert_eq!(receiver.read(100).map(|b| b.len()), Some(100));
        assert!(!receiver.should_tell(400), "too little to bother the remote");
        assert_eq!(receiver.read(400).map(|b| b.len()), Some(400));
        assert!(receiver.should_tell(400));
        assert_eq!(receiver.grant(), 500);
        assert!(!receiver.should_tell(400), "said");
        receiver.take(1_100, Bytes::from(vec![7; 100]), false);
        receiver.read(400);
        receiver.read(50);
        assert!(!receiver.should_tell(400), "450 of 1,000 more, and the remote still has 400");
        receiver.read(50);
        assert!(receiver.should_tell(400), "half of the buffer more");
    }
}
