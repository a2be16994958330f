//! Which stream numbers the remote has used.
//!
//! Streams may be opened out of order: a number is taken when the application asks, and goes out with the first frame,
//! which may be much later. So the highest number says little, and the gaps below it are remembered:
//!
//! ```text
//!   used or forgotten     used, except the gaps           free
//! |-------------------|----[ ]----[   ]---[ ]----------|--------->
//! 0                 floor                             next
//! ```

use alloc::vec::Vec;

/// Gaps that are remembered. A peer that keeps the rule of 256 unacknowledged streams has no more of them open.
const MAX_GAPS: usize = 256;

/// Whether a number may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Used {
    /// It is new.
    New,
    /// It was used.
    Before,
    /// So old that nobody remembers.
    Forgotten,
}

/// The numbers of one parity.
#[derive(Debug)]
pub(super) struct UsedIds {
    /// Everything from here on is free.
    next: u32,
    /// Everything under this is used, or forgotten.
    floor: u32,
    /// Unused ranges between the two, both ends included, in order.
    gaps: Vec<(u32, u32)>,
}

impl UsedIds {
    pub(super) const fn new() -> Self {
        UsedIds { next: 0, floor: 0, gaps: Vec::new() }
    }

    /// Uses a stream number, if it is new.
    pub(super) fn take(&mut self, id: u32) -> Used {
        // 1, 3, 5 and 2, 4, 6 both become 0, 1, 2.
        let n = id.saturating_sub(1) / 2;
        if n >= self.next {
            if n > self.next {
                self.gaps.push((self.next, n - 1));
            }
            self.next = n + 1;
        } else {
            if n < self.floor {
                return Used::Forgotten;
            }
            let at = self.gaps.partition_point(|gap| gap.1 < n);
            let Some(gap) = self.gaps.get_mut(at) else { return Used::Before };
            let (first, last) = *gap;
            if n < first {
                return Used::Before;
            }
            match (n > first, n < last) {
                (false, false) => drop(self.gaps.remove(at)),
                (false, true) => gap.0 = n + 1,
                (true, false) => gap.1 = n - 1,
                (true, true) => {
                    gap.1 = n - 1;
                    self.gaps.insert(at + 1, (n + 1, last));
                }
            }
        }
        if self.gaps.len() > MAX_GAPS {
            let (_, last) = self.gaps.remove(0);
            self.floor = last + 1;
        }
        Used::New
    }

    pub(super) fn memory_used(&self) -> usize {
        self.gaps.capacity() * size_of::<(u32, u32)>()
    }
}
