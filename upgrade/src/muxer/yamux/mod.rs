//! yamux: many streams on one connection, each with a window of its own.
//!
//! ```text
//! frames in --> header --> DATA           --> the stream's queue --> read()
//!                     |--> WINDOW_UPDATE  --> credit             --> write() may go on
//!                     |--> PING           --> answered at once
//!                     '--> GO_AWAY        --> no more streams
//!
//! running --a rule broken, or no sign of life--> failed: what was received stays readable
//! ```
//!
//! Specs: `libp2p/specs` yamux/README.md, and `hashicorp/yamux` spec.md, of which it is a copy with additions.
//!
//! # What the specs leave open, and what is done here
//!
//! - **Opening.** A stream's first frame carries SYN: the first data where [`write`](Muxer::write) comes first, so that
//!   opening costs no bytes of its own; an empty WINDOW_UPDATE where [`finish`](Muxer::finish) or
//!   [`read`](Muxer::read) comes first. A stream that is neither written, read nor finished is not known to the remote.
//!   ACK goes the same way: an application that does nothing with the streams it is given lets the remote's backlog
//!   grow, which is what the backlog is for.
//! - **Finishing.** FIN goes on an empty WINDOW_UPDATE. Never on a frame with data: go-yamux looks at the flag before it
//!   takes the data in, and a reader may see the end too early.
//! - **Late frames.** WINDOW_UPDATE, FIN and RST for streams that are gone are ignored. So is data, as much of it as
//!   the remote had been allowed when the stream was reset, and not a byte more.
//! - **Reasons.** A reset carries its code in the length of a WINDOW_UPDATE, as go-yamux does since version 5; for
//!   others it means nothing.
//! - **Growing windows** needs the round trip. The first ping goes out when a remote has first used up half a window:
//!   connections that never move that much never ping for it.

mod config;
mod error;
mod frame;
mod ids;
mod pieces;
mod ping;
mod receive;
mod send;
mod stream;
mod table;
#[cfg(test)]
mod tests;
mod window;

pub use config::{Config, INITIAL_WINDOW};
pub use error::Error;
pub use frame::Kind;

use super::{By, Event, Muxer, OpenError, ReadError, StreamError, StreamId, WriteError};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::BytesMut;
use core::time::Duration;
use ids::UsedIds;
use pieces::Pieces;
use ping::Pings;
use receive::{After, Body};
use send::Tail;
use table::Table;
use tidewire_core::{Role, Time};
use window::Windows;

/// One end of a yamux connection.
///
/// ```
/// use bytes::BytesMut;
/// use tidewire_core::{Role, Time};
/// use tidewire_upgrade::muxer::yamux::{Config, Yamux};
/// use tidewire_upgrade::muxer::{Event, Muxer};
///
/// let mut dialer = Yamux::new(Role::Initiator, Config::default());
/// let mut listener = Yamux::new(Role::Responder, Config::default());
/// let (mut wire, mut back) = (BytesMut::new(), BytesMut::new());
///
/// let id = dialer.open(&mut wire)?;
/// dialer.write(id, b"hello", usize::MAX, &mut wire)?;
///
/// assert_eq!(listener.advance(Time::ZERO, &mut wire, &mut back)?, Some(Event::Opened(id)));
/// assert_eq!(listener.advance(Time::ZERO, &mut wire, &mut back)?, Some(Event::Readable(id)));
/// assert_eq!(listener.read(id, &mut back)?.unwrap(), b"hello"[..]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Yamux {
    config: Arc<Config>,
    /// Whether our streams have odd numbers.
    odd: bool,
    /// The number of our next stream; `None`: all are used.
    next_id: Option<u32>,
    table: Table,
    pieces: Pieces,
    windows: Windows,
    pings: Pings,
    /// Numbers that the remote has used.
    used: UsedIds,
    /// The payload that the next bytes belong to.
    body: Option<Body>,
    /// What the last frame has still to tell.
    after: After,
    /// The frame at the end of `tx`, while it may grow.
    tail: Option<Tail>,
    /// Streams that wait for room in `tx`.
    waiting: VecDeque<u32>,
    /// Streams to which something was queued in this pass.
    fresh: Vec<u32>,
    /// The last time that [`advance`](Muxer::advance) was told.
    now: Time,
    /// Our streams that the remote has not acknowledged.
    unacknowledged: usize,
    /// The remote's streams that we have not acknowledged.
    unaccepted: usize,
    /// Bytes that may still arrive for streams that are gone.
    stray: u64,
    /// `open` failed for want of acknowledgements, or of room.
    wants_backlog: bool,
    wants_room: bool,
    /// A write found no room, though `tx` had some: the next call has something to say.
    nudge: bool,
    we_go_away: bool,
    remote_goes_away: bool,
    /// The remote's bytes have ended.
    ended: bool,
    failed: Option<Error>,
}

impl Yamux {
    /// The machine of the end that has this role: the initiator's streams have odd numbers.
    pub fn new(role: Role, config: Config) -> Self {
        Yamux::shared(role, &Yamux::share(config))
    }

    /// What the connections of a node share.
    pub(crate) fn share(config: Config) -> Arc<Config> {
        Arc::new(config.clamped())
    }

    /// As [`new`](Yamux::new), with a configuration that [`share`](Yamux::share) has prepared.
    pub(crate) fn shared(role: Role, config: &Arc<Config>) -> Self {
        let odd = role.is_initiator();
        Yamux {
            odd,
            next_id: Some(if odd { 1 } else { 2 }),
            table: Table::new(),
            pieces: Pieces::new(),
            windows: Windows::new(config.max_connection_window, config.max_stream_window, config.max_narrow_window),
            pings: Pings::new(config),
            used: UsedIds::new(),
            body: None,
            after: After::default(),
            tail: None,
            waiting: VecDeque::new(),
            fresh: Vec::new(),
            now: Time::ZERO,
            unacknowledged: 0,
            unaccepted: 0,
            stray: 0,
            wants_backlog: false,
            wants_room: false,
            nudge: false,
            we_go_away: false,
            remote_goes_away: false,
            ended: false,
            failed: None,
            config: Arc::clone(config),
        }
    }

    /// The round trip to the remote, smoothed over all pings; `None` before the first answer.
    pub fn rtt(&self) -> Option<Duration> {
        self.pings.rtt()
    }

    /// Bytes that [`write`](Muxer::write) may send on a stream before the remote gives more credit; `None`: there is no
    /// such stream.
    pub fn credit(&self, id: StreamId) -> Option<u32> {
        self.table.get(number(id)?).map(|stream| stream.credit)
    }

    /// Keeps the receive window of a stream from growing beyond [`Config::max_narrow_window`]; one that is wider already stays
    /// as it is. No effect on a stream that is gone.
    pub fn narrow(&mut self, id: StreamId) {
        if let Some(stream) = number(id).and_then(|number| self.table.get_mut(number)) {
            stream.set(stream::NARROW);
        }
    }

    /// The receive window of a stream, in bytes, as it has grown; `None`: there is no such stream.
    pub fn window(&self, id: StreamId) -> Option<u32> {
        self.table.get(number(id)?).map(|stream| stream.window)
    }
}

/// yamux's number of a stream; `None`: it can't be one of ours.
fn number(id: StreamId) -> Option<u32> {
    u32::try_from(id.get()).ok()
}

impl Muxer for Yamux {
    type Error = Error;

    fn advance(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Event>, Error> {
        self.receive(now, rx, tx)
    }

    fn end(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Event>, Error> {
        self.receive_end(now, rx, tx)
    }

    fn deadline(&self) -> Time {
        if self.failed.is_some() {
            Time::NEVER
        } else if self.nudge || self.after.is_pending() {
            Time::ZERO
        } else {
            self.pings.deadline()
        }
    }

    fn open(&mut self, tx: &mut BytesMut) -> Result<StreamId, OpenError> {
        self.open_stream(tx.len())
    }

    fn write(&mut self, id: StreamId, data: &[u8], room: usize, tx: &mut BytesMut) -> Result<usize, WriteError> {
        self.send_data(id, data, room, tx)
    }

    fn boundary(&mut self) {
        self.tail = None;
    }

    fn read(&mut self, id: StreamId, tx: &mut BytesMut) -> Result<Option<BytesMut>, ReadError> {
        self.read_stream(id, tx)
    }

    fn finish(&mut self, id: StreamId, tx: &mut BytesMut) -> Result<(), StreamError> {
        self.send_finish(id, tx)
    }

    fn reset(&mut self, id: StreamId, code: u32, tx: &mut BytesMut) -> Result<(), StreamError> {
        self.send_reset(id, code, tx)
    }

    fn ping(&mut self, now: Time, tx: &mut BytesMut) -> bool {
        self.send_ping(now, tx);
        true
    }

    fn go_away(&mut self, code: u32, tx: &mut BytesMut) {
        self.send_go_away(code, tx);
    }

    fn streams(&self) -> usize {
        self.table.len()
    }

    fn memory_used(&self) -> usize {
        // With the two counts of an `Arc`, unless other connections share it.
        let config =
            if Arc::strong_count(&self.config) == 1 { size_of::<Config>() + 2 * size_of::<usize>() } else { 0 };
        config
            + self.table.memory_used()
            + self.pieces.memory_used()
            + self.used.memory_used()
            + (self.waiting.capacity() + self.fresh.capacity()) * size_of::<u32>()
    }
}
