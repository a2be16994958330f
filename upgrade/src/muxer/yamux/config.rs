//! Every cap and interval of a yamux connection.

use super::frame::HEADER;
use crate::muxer::AROUND;
use core::time::Duration;

/// The window that every stream begins with, in both directions, in bytes. Spec: "Flow Control".
pub const INITIAL_WINDOW: u32 = 256 * 1024;

/// The caps and intervals of one connection. [`Config::default`] suits a node on the internet.
///
/// ```
/// use tidewire_upgrade::muxer::yamux::Config;
///
/// let mut config = Config::default();
/// config.max_inbound_streams = 32;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Streams that the remote may have open; further ones are reset. Default 512, as rust-yamux and go-libp2p.
    pub max_inbound_streams: usize,
    /// Streams that we may have open. Default 512.
    pub max_outbound_streams: usize,
    /// Streams of ours that the remote has not acknowledged. Default 256: libp2p yamux spec, "ACK backlog".
    pub max_unacknowledged: usize,
    /// Streams of the remote that the application has neither read from nor written to; further ones are reset.
    /// Default 256: libp2p yamux spec, "ACK backlog".
    pub accept_backlog: usize,
    /// Largest receive window of a stream, in bytes. Windows begin with [`INITIAL_WINDOW`] and grow to this while the
    /// application keeps up; no more than [`INITIAL_WINDOW`] here turns growing off. Default 16 MiB, as go-yamux.
    pub max_stream_window: u32,
    /// The same for streams that were told to stay narrow
    /// ([`Connection::narrow`](crate::connection::Connection::narrow)), where it is smaller. Default [`INITIAL_WINDOW`]: theirs
    /// don't grow.
    pub max_narrow_window: u32,
    /// Receive windows of all streams together, in bytes: what the remote can make us keep if nobody reads. A new
    /// stream takes [`INITIAL_WINDOW`] of it, and is refused where that is not left. Default 256 MiB.
    pub max_connection_window: u64,
    /// Longest frame that we send, in bytes of payload. Default 64 KiB.
    pub max_frame: u32,
    /// Bytes in `tx` above which nothing is written and no stream is opened. At least 64. Default 256 KiB.
    pub max_tx: usize,
    /// How far answers (pongs, refusals) may go beyond `max_tx` before the machine takes no more input. Two ends that
    /// both write as much as they can must still hear each other, so this is not 0. At least 64. Default 64 KiB.
    pub max_replies: usize,
    /// Ping when nothing came for this long. `None`: never. Default 30 s, as go-yamux.
    pub keep_alive: Option<Duration>,
    /// The connection fails when neither the answer to a ping nor anything else comes for this long. Default 10 s, as
    /// go-yamux. [`Duration::MAX`]: never.
    pub pong_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            max_inbound_streams: 512,
            max_outbound_streams: 512,
            max_unacknowledged: 256,
            accept_backlog: 256,
            max_stream_window: 16 * 1024 * 1024,
            max_narrow_window: INITIAL_WINDOW,
            max_connection_window: 256 * 1024 * 1024,
            max_frame: 64 * 1024,
            max_tx: 256 * 1024,
            max_replies: 64 * 1024,
            keep_alive: Some(Duration::from_secs(30)),
            pong_timeout: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// The same, with each field in the range where the machine makes progress.
    pub(super) fn clamped(mut self) -> Self {
        self.max_stream_window = self.max_stream_window.max(INITIAL_WINDOW);
        self.max_narrow_window = self.max_narrow_window.clamp(INITIAL_WINDOW, self.max_stream_window);
        self.max_frame = self.max_frame.max(1);
        self.max_tx = self.max_tx.max(64);
        self.max_replies = self.max_replies.max(64);
        self
    }

    /// Whether a frame with at least one byte may be written behind `len` bytes of `tx`.
    pub(super) fn has_room(&self, len: usize) -> bool {
        len.saturating_add(HEADER) < self.max_tx
    }

    /// Whether whoever waits for room is to be told, with `len` bytes of `tx`: what is around a frame takes room too, and
    /// who were told too early would be blocked and told again, for ever.
    pub(super) fn has_room_again(&self, len: usize) -> bool {
        self.has_room(len.saturating_add(AROUND.min(self.max_tx / 4)))
    }

    /// Whether the next frame may be taken, with `len` bytes in `tx`.
    pub(super) fn may_take(&self, len: usize) -> bool {
        len < self.max_tx.saturating_add(self.max_replies)
    }
}
