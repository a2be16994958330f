//! Every number of the coordinator, and where it comes from.

use crate::{Plan, candidate};
use core::time::Duration;

/// The numbers of a [`Coordinator`](super::Coordinator).
///
/// "Spec" is libp2p/specs relay/DCUtR.md. Where no source is named, the number is ours. Times of nothing are allowed; counts
/// that would make no sense at 0 are taken as 1.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct Config {
    /// Tries of a series. 3 (spec: B "SHOULD retry twice (thus a total of 3 attempts)").
    pub tries: u32,
    /// Time for B's plain dials before the first try. 10 s (go-libp2p).
    pub direct_timeout: Duration,
    /// Time for a stream: B waits so long for the other's `CONNECT`, A for `SYNC`. 20 s: more than rust-libp2p's 10 s for the whole
    /// exchange, and than the 10 s for which py-libp2p dials directly before it answers.
    pub stream_timeout: Duration,
    /// Time for the dials of a try, upgrade included. 10 s: go-libp2p's 5 s for the transport, and room for the longest wait of a
    /// role and for a handshake.
    pub punch_timeout: Duration,
    /// Time for a direct connection to be proven, or lost, before the attempt is taken to have succeeded for now. 30 s.
    pub settle_timeout: Duration,
    /// The unit of the waits below is the relay's round trip, but at least this. 100 ms: what two dials that cross may be apart.
    pub wait_floor: Duration,
    /// And at most this. 1 s, so that the longest wait leaves time for a handshake.
    pub wait_cap: Duration,
    /// The unit as long as no round trip was measured. 300 ms.
    pub wait_unknown: Duration,
    /// How many units A's dial listens before it proposes, from its second `CONNECT` on. 1 (T1 of the roles).
    pub dial_a_waits: u32,
    /// The same for a socket that was accepted inside a window. 3 (T2).
    pub accepted_waits: u32,
    /// The same for B's punch dial. 6 (T3).
    pub dial_b_waits: u32,
    /// B's timer is half of the measured round trip (spec), but at most this. 5 s: a `CONNECT` that took longer says little.
    pub max_timer: Duration,
    /// Least time between two datagrams to one QUIC address. 10 ms (spec).
    pub datagram_min: Duration,
    /// Greatest. 200 ms (spec).
    pub datagram_max: Duration,
    /// For how long they are sent. 5 s (go-libp2p).
    pub datagram_time: Duration,
    /// Which addresses are told and dialed, and how many.
    pub addresses: candidate::Config,
    /// Addresses of the remote's identify message that are kept. 16.
    pub max_listens: u32,
    /// Candidates of ours that are kept. 32.
    pub max_own: u32,
    /// Addresses of one `CONNECT` that are looked at. 32, as many as an exchange keeps.
    pub max_told: u32,
    /// Remote IP addresses of one window. 8.
    pub max_window_ips: u32,
    /// Whether a remote that we reached through a relay is dialed at its public addresses when the application asks for a punch
    /// ([`Input::Punch`](super::Input::Punch)): only the other side may open the stream. Yes.
    pub dial_as_a: bool,
    /// After a series that failed, the next one with the peer starts no sooner than this; doubles with each in a row. 1 min.
    pub backoff: Duration,
    /// And no later than this. 1 h.
    pub max_backoff: Duration,
    /// `CONNECT`s of one peer that are answered at once. 6: two series.
    pub connects: u32,
    /// Beyond that, one each such interval. 10 s.
    pub connect_interval: Duration,
    /// Attempts at one time; further ones of ours wait, those of others are reset. 64.
    pub max_attempts: u32,
    /// Peers that are remembered: those with a relayed connection, and those with whom a series failed lately. 4,096. Beyond it,
    /// peers are not punched.
    pub max_peers: u32,
    /// Connections that may be known. 4,194,304, the most that the connection manager allows by its own formula.
    pub max_connections: u32,
    /// Actions that may wait to be polled before a further input is misuse, and time stands still. 4,096.
    pub max_unpolled: u32,
}

impl Default for Config {
    fn default() -> Self {
        let (millis, seconds) = (Duration::from_millis, Duration::from_secs);
        Config {
            tries: 3,
            direct_timeout: seconds(10),
            stream_timeout: seconds(20),
            punch_timeout: seconds(10),
            settle_timeout: seconds(30),
            wait_floor: millis(100),
            wait_cap: seconds(1),
            wait_unknown: millis(300),
            dial_a_waits: 1,
            accepted_waits: 3,
            dial_b_waits: 6,
            max_timer: seconds(5),
            datagram_min: millis(10),
            datagram_max: millis(200),
            datagram_time: seconds(5),
            addresses: candidate::Config::default(),
            max_listens: 16,
            max_own: 32,
            max_told: 32,
            max_window_ips: 8,
            dial_as_a: true,
            backoff: seconds(60),
            max_backoff: seconds(3600),
            connects: 6,
            connect_interval: seconds(10),
            max_attempts: 64,
            max_peers: 4096,
            max_connections: 1 << 22,
            max_unpolled: 4096,
        }
    }
}

impl Config {
    /// How long a socket waits for a proposal: so many units. The unit is the round trip between its bounds.
    pub(super) fn wait(&self, units: u32, rtt: Option<Duration>) -> Duration {
        let unit = rtt.unwrap_or(self.wait_unknown).min(self.wait_cap).max(self.wait_floor);
        unit.saturating_mul(units)
    }

    /// The plan of a socket that is accepted inside a window.
    pub(super) fn accepted_plan(&self, rtt: Option<Duration>) -> Plan {
        Plan::ListenFirst { wait: self.wait(self.accepted_waits, rtt) }
    }

    /// How long a window stays open: the stream, and the dial after it.
    pub(super) fn window(&self) -> Duration {
        self.stream_timeout.saturating_add(self.punch_timeout)
    }

    /// The pause after so many failures in a row.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        let times = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        self.backoff.saturating_mul(times).min(self.max_backoff)
    }
}

/// A cap of the configuration, as a length.
pub(super) fn length(cap: u32) -> usize {
    usize::try_from(cap).unwrap_or(usize::MAX)
}
