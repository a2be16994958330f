//! The caps of an mplex connection.

/// What an mplex connection may use.
///
/// mplex has no flow control: the remote sends as much as it likes. So the buffers here are the only bound, and a stream
/// that overruns one of them is reset, that stream alone (the second of the two ways that the spec's "Implementation
/// notes" allow; the first, to stop reading the connection, lets one slow stream stall all others).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Streams at a time, whoever opened them. Those that the remote opens beyond are reset.
    ///
    /// Default 512, as rust-libp2p's yamux has it. (js-libp2p's mplex takes 1024 in each direction, rust-libp2p's 128.)
    pub max_streams: usize,
    /// Unread bytes of one stream, before it is reset.
    ///
    /// Default 4 MiB, as js-libp2p's mplex has it: four frames of the largest size.
    pub max_stream_buffer: usize,
    /// Unread bytes of all streams, before the one for which more arrive is reset.
    ///
    /// Default 16 MiB: four streams at their cap.
    pub max_connection_buffer: usize,
    /// Payload of one frame that the remote may send. A longer one ends the connection, before any of it is buffered.
    ///
    /// Default 1 MiB: mplex spec, "Writing to a stream".
    pub max_frame: usize,
    /// Payload of one frame that we send; longer writes are split, so that one stream does not hold up the others.
    ///
    /// Default 16 KiB, as rust-libp2p's yamux splits. At least 1; more than 1 MiB is taken as 1 MiB (spec).
    pub split: usize,
    /// Bytes in `tx` that writes fill at most, and above which nothing is answered either: what asks for an answer then
    /// stays in `rx`, and all behind it. One answer, of at most 10 bytes, may pass it.
    ///
    /// Default 256 KiB: a few records of the largest size.
    pub max_tx: usize,
    /// Length of a stream's name. A longer one ends the connection. Names are for debugging (spec, "Opening a new
    /// stream"); they are skipped, never buffered.
    ///
    /// Default 1024 bytes, as long as a protocol name may be where peers negotiate one.
    pub max_name: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            max_streams: 512,
            max_stream_buffer: 4 << 20,
            max_connection_buffer: 16 << 20,
            max_frame: MAX_FRAME,
            split: 16 << 10,
            max_tx: 256 << 10,
            max_name: 1024,
        }
    }
}

/// Payload of one message at most: mplex spec, "Writing to a stream".
pub(super) const MAX_FRAME: usize = 1 << 20;
