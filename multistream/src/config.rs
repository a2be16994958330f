//! The caps of a negotiation, each with its default and the reason for it.

use core::time::Duration;

/// The caps of one negotiation. Plain data: take [`Config::default`] and change what you need.
///
/// ```
/// use core::time::Duration;
/// use tidewire_multistream::Config;
///
/// let config = Config { timeout: Duration::from_secs(3), ..Config::default() };
/// assert_eq!(config.max_frame, 1024);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Bytes of one frame that the remote sends, with its newline, without its length. Default 1024, as go-libp2p and
    /// js-libp2p have it (rust-libp2p takes 16383).
    ///
    /// A frame that is not complete stays in `rx`, so the caller's `rx` must have room for this and 9 bytes of length.
    pub max_frame: usize,
    /// Names that a dialer may be asked to propose. Default 64: each costs a round trip, and real lists have fewer than 10.
    pub max_proposals: usize,
    /// How often a listener answers with `na` or a list before it gives up. Default 64, to serve every list that
    /// [`max_proposals`](Config::max_proposals) allows on the other side. (go-libp2p is bounded by its timeout alone,
    /// rust-libp2p not at all.)
    pub max_rounds: usize,
    /// Bytes of an answer to `ls`, sent or received. Default 16383: what a two-byte length holds, and the longest frame that
    /// rust-libp2p reads. An answer of ours ends before the first name that doesn't fit.
    pub max_list: usize,
    /// Names that an answer to `ls` may bring. Default 256.
    pub max_listed: usize,
    /// Above this many bytes in `tx`, a machine reads nothing that it would have to answer. Default 16 KiB. Not applied in
    /// [`end`](tidewire_core::Machine::end), where the rounds bound what is still said.
    pub max_tx: usize,
    /// From the first call until the negotiation must be over. Default 10 s, as rust-libp2p and js-libp2p have it.
    /// `Duration::MAX` is for callers that have a deadline of their own.
    pub timeout: Duration,
    /// Whether a listener sends its header at once, before anything came. Default `false`: it then goes out in answer to the
    /// remote's header, in the same flight as the answer to a proposal that came along, as the spec recommends. `true` is
    /// what go-libp2p and py-libp2p do; it helps a dialer that insists on reading first.
    pub eager_header: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            max_frame: 1024,
            max_proposals: 64,
            max_rounds: 64,
            max_list: 16_383,
            max_listed: 256,
            max_tx: 16 * 1024,
            timeout: Duration::from_secs(10),
            eager_header: false,
        }
    }
}
