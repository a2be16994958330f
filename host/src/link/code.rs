//! Numbers that go-libp2p gives as reasons when it closes connections or resets streams, and so do we. Source: go-libp2p
//! core/network, `ConnErrorCode` and `StreamErrorCode`.

use tidewire_connmgr::CloseReason;

/// No reason.
pub(super) const NORMAL: u32 = 0;
/// Streams: a resource limit is exceeded.
pub(super) const STREAM_RESOURCE_LIMIT: u32 = 0x1002;
/// Streams: too many in too short a time.
pub(super) const STREAM_RATE_LIMITED: u32 = 0x1003;

const CONNECTION_RESOURCE_LIMIT: u32 = 0x1001;
const CONNECTION_SUPPLANTED: u32 = 0x1004;
const CONNECTION_GARBAGE_COLLECTED: u32 = 0x1005;
const CONNECTION_SHUTDOWN: u32 = 0x1006;
const CONNECTION_GATED: u32 = 0x1007;

/// What the remote is told when we close a connection.
pub(super) fn of_close(reason: &CloseReason) -> u32 {
    match reason {
        CloseReason::Trimmed { .. } => CONNECTION_GARBAGE_COLLECTED,
        CloseReason::Evicted { .. } | CloseReason::Emergency | CloseReason::Limit(_) => CONNECTION_RESOURCE_LIMIT,
        CloseReason::Superseded { .. } => CONNECTION_SUPPLANTED,
        CloseReason::Denied { .. } => CONNECTION_GATED,
        CloseReason::Shutdown => CONNECTION_SHUTDOWN,
        _ => NORMAL,
    }
}

/// What the code means with which a connection was closed. Empty: nothing to us.
pub(super) fn meaning(code: u32) -> &'static str {
    match code {
        0x1 => "it says that we broke the multiplexer's protocol",
        0x2 => "it had an internal error",
        0x1000 => "no protocol was agreed on",
        CONNECTION_RESOURCE_LIMIT => "a resource limit was exceeded",
        0x1002 => "we connect too often",
        0x1003 => "it says that we broke a protocol",
        CONNECTION_SUPPLANTED => "another connection to us takes its place",
        CONNECTION_GARBAGE_COLLECTED => "it trimmed its connections",
        CONNECTION_SHUTDOWN => "it is shutting down",
        CONNECTION_GATED => "we are not welcome",
        _ => "",
    }
}
