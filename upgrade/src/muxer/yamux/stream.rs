//! What is known about one stream, in 64 bytes.
//!
//! Each direction ends by itself; RST ends both:
//!
//! ```text
//! we send:      [SYN or ACK owed] --first frame--> open --finish()--> finished
//! remote sends:                   open --FIN--> finished
//! both:         any --RST from the remote--> reset --reset()--> forgotten
//!               both finished, and read to the end ------------> forgotten
//! ```

use super::config::INITIAL_WINDOW;
use super::pieces::Chain;
use tidewire_core::Time;

/// Our first frame is to carry SYN. The remote does not know the stream yet.
pub(super) const SYN_OWED: u16 = 1;
/// Our first frame is to carry ACK. Counts for the accept backlog.
pub(super) const ACK_OWED: u16 = 1 << 1;
/// The remote has not answered our SYN. Counts for the acknowledge backlog.
pub(super) const UNACKNOWLEDGED: u16 = 1 << 2;
/// We have finished.
pub(super) const FINISHED: u16 = 1 << 3;
/// The remote has finished.
pub(super) const REMOTE_FINISHED: u16 = 1 << 4;
/// The remote has reset the stream.
pub(super) const RESET: u16 = 1 << 5;
/// The application waits for something to read.
pub(super) const WANTS_READ: u16 = 1 << 6;
/// The application waits for credit.
pub(super) const WANTS_CREDIT: u16 = 1 << 7;
/// The application waits for room in `tx`; the stream is in the waiting list.
pub(super) const WANTS_ROOM: u16 = 1 << 8;
/// Something was queued in this pass; the stream is in the list of those to settle.
pub(super) const FRESH: u16 = 1 << 9;
/// The application was told that the remote has finished.
pub(super) const READ_TO_END: u16 = 1 << 10;
/// The remote's last frame has begun: it needs no more credit.
pub(super) const LAST_FRAME: u16 = 1 << 11;
/// Its window stays narrow.
pub(super) const NARROW: u16 = 1 << 12;

/// One stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: u32,
    flags: u16,
    /// What was received and not read.
    pub(super) chain: Chain,
    /// Bytes that we may still send.
    pub(super) credit: u32,
    /// Bytes that the remote may still send.
    pub(super) remote_credit: u32,
    /// What the remote's credit is filled up to.
    pub(super) window: u32,
    /// Bytes that the application has read, and that were not given back as credit.
    pub(super) read: u32,
    /// The remote's reason for a reset.
    pub(super) code: u32,
    /// When the last credit was given.
    pub(super) credited: Time,
}

impl Stream {
    pub(super) const fn new(id: u32, flags: u16, now: Time) -> Self {
        Stream {
            id,
            flags: flags | WANTS_READ,
            chain: Chain::EMPTY,
            credit: INITIAL_WINDOW,
            remote_credit: INITIAL_WINDOW,
            window: INITIAL_WINDOW,
            read: 0,
            code: 0,
            credited: now,
        }
    }

    pub(super) const fn is(&self, flags: u16) -> bool {
        self.flags & flags != 0
    }

    pub(super) const fn set(&mut self, flags: u16) {
        self.flags |= flags;
    }

    /// Clears `flags`, and says whether one of them was set.
    pub(super) const fn clear(&mut self, flags: u16) -> bool {
        let was = self.is(flags);
        self.flags &= !flags;
        was
    }
}
