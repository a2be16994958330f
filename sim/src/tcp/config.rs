//! The settings of a host's TCP.

use core::time::Duration;

/// The settings of a host's TCP. The defaults are Linux's, where it has one fixed value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// Bytes of data in a segment, at most. Default 1440: 1500 of Ethernet less the headers of IPv6 and TCP.
    pub segment: usize,
    /// Bytes that were sent but not acknowledged, or not sent yet, at most; [`Os::send`](crate::Os::send) takes no more.
    /// Default 256 KiB.
    pub send_buffer: usize,
    /// Bytes that have arrived and were not read, at most; the remote stops sending. Default 256 KiB.
    pub receive_buffer: usize,
    /// Segments that are sent before the first acknowledgement. Default 10 (RFC 6928).
    pub initial_window: usize,
    /// After how long the first SYN, and the first data, is sent again. Default 1 s (RFC 6298).
    pub first_timeout: Duration,
    /// The least time after which data is sent again. Default 200 ms (Linux, `TCP_RTO_MIN`).
    pub least_timeout: Duration,
    /// The longest time after which data is sent again. Default 120 s (Linux, `TCP_RTO_MAX`).
    pub longest_timeout: Duration,
    /// How often a SYN is sent again before connecting has timed out. Default 6, which is 127 s (Linux,
    /// `tcp_syn_retries`).
    pub syn_retries: u32,
    /// How often the answer to a SYN is sent again. Default 5 (Linux, `tcp_synack_retries`).
    pub syn_ack_retries: u32,
    /// How often data is sent again before the connection has timed out. Default 15, which is between 13 and 30 minutes
    /// (Linux, `tcp_retries2`).
    pub retries: u32,
    /// How long the end that closed first remembers the two addresses, and refuses to connect them again. Default 60 s
    /// (Linux, `TCP_TIMEWAIT_LEN`).
    pub time_wait: Duration,
    /// How long a socket that the program has closed waits for the remote to close. Default 60 s (Linux,
    /// `tcp_fin_timeout`).
    pub fin_timeout: Duration,
    /// Connections of a listener that are in their handshake, or wait for a file descriptor; a further SYN is not
    /// answered. Default 4096 (Linux, `somaxconn`).
    pub backlog: usize,
}

impl Default for Tcp {
    fn default() -> Self {
        Tcp {
            segment: 1440,
            send_buffer: 256 * 1024,
            receive_buffer: 256 * 1024,
            initial_window: 10,
            first_timeout: Duration::from_secs(1),
            least_timeout: Duration::from_millis(200),
            longest_timeout: Duration::from_secs(120),
            syn_retries: 6,
            syn_ack_retries: 5,
            retries: 15,
            time_wait: Duration::from_secs(60),
            fin_timeout: Duration::from_secs(60),
            backlog: 4096,
        }
    }
}
