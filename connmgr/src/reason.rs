//! Why: the reason that every decision carries. Each prints as a clause for a person.

use crate::limits::LimitExceeded;
use crate::{ConnectionId, RequestId};
use core::fmt;
use core::time::Duration;
use smol_str::SmolStr;
use tidewire_core::PeerId;

/// Why a connection is to be closed, or was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The application asked for it.
    Asked {
        /// In the application's words.
        why: SmolStr,
    },
    /// A trim: there were more connections than the high watermark, and this peer was among the least valuable.
    Trimmed {
        /// The peer's value: the sum of its tags.
        value: i32,
    },
    /// A trim in an emergency, which passes over grace, and over protection if nothing else is left.
    Emergency,
    /// The hard cap was reached, and a more valuable peer came.
    Evicted {
        /// Who came.
        newcomer: PeerId,
    },
    /// Another connection to the same peer is the better one, and is proven to work.
    Superseded {
        /// The connection that stays.
        kept: ConnectionId,
    },
    /// No pong came in time.
    Unresponsive {
        /// How long we waited for it.
        waited: Duration,
    },
    /// It carried nothing for too long.
    Idle {
        /// For how long.
        idle: Duration,
    },
    /// A rule that was added forbids this peer or its address.
    Denied {
        /// The rule's reason.
        why: SmolStr,
    },
    /// It made us keep more than a cap of memory allows, and of those whom this cap is for it held the most.
    Limit(LimitExceeded),
    /// It was only to find out whether the peer can be reached, and that is known.
    Probed,
    /// We are shutting down.
    Shutdown,
    /// It ended without us; what the caller reported.
    Reported {
        /// The caller's words, cut to 128 bytes.
        why: SmolStr,
    },
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::Asked { why } => write!(f, "the application asked for it: {why}"),
            CloseReason::Trimmed { value } => {
                write!(f, "there were too many connections, and this peer (value {value}) was among the least valuable")
            }
            CloseReason::Emergency => f.write_str("resources ran out, and connections had to go at once"),
            CloseReason::Evicted { newcomer } => {
                write!(f, "all places were taken, and {newcomer}, which is more valuable, came")
            }
            CloseReason::Superseded { kept } => write!(f, "connection {kept} to the same peer is the better one"),
            CloseReason::Unresponsive { waited } => write!(f, "no pong came within {waited:?}"),
            CloseReason::Idle { idle } => write!(f, "it carried nothing for {idle:?}"),
            CloseReason::Denied { why } => write!(f, "it is forbidden: {why}"),
            CloseReason::Limit(limit) => write!(f, "what was sent on it and not read took too much: {limit}"),
            CloseReason::Probed => f.write_str("it was only to find out whether the peer can be reached"),
            CloseReason::Shutdown => f.write_str("we are shutting down"),
            CloseReason::Reported { why } => f.write_str(why),
        }
    }
}

/// Why a connection was not let in. It is forgotten at once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefuseReason {
    /// A limit is reached, and no connection could be closed in its favour.
    Limit(LimitExceeded),
    /// All places are taken, and nobody who may be closed is worth less than the newcomer.
    Full {
        /// Most connections that may be open.
        cap: u32,
        /// Connections whose peers are protected.
        protected: u32,
        /// Connections whose peers are in their grace, and not protected.
        in_grace: u32,
        /// The newcomer's value.
        value: i32,
        /// The least value among those who may be closed; `None` if only protected ones and ones in grace are left.
        least: Option<i32>,
    },
    /// A rule forbids this peer or its address.
    Denied {
        /// The rule's reason.
        why: SmolStr,
    },
    /// Its dial was cancelled, or ran out of time, while it was being upgraded.
    DialOver,
    /// Another peer than the dialed one is at the other end.
    WrongPeer {
        /// Who was dialed.
        expected: PeerId,
    },
    /// The peer at the other end is ourselves.
    Ourselves,
    /// We are shutting down.
    Shutdown,
}

impl fmt::Display for RefuseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RefuseReason::Limit(limit) => limit.fmt(f),
            RefuseReason::Full { cap, protected, in_grace, least: None, .. } => write!(
                f,
                "all {cap} places are taken, {protected} by protected peers and {in_grace} by peers in their grace: nobody may be closed"
            ),
            RefuseReason::Full { cap, value, least: Some(least), .. } => write!(
                f,
                "all {cap} places are taken, and nobody is worth less than the newcomer (value {value}, the least is {least})"
            ),
            RefuseReason::Denied { why } => write!(f, "it is forbidden: {why}"),
            RefuseReason::DialOver => f.write_str("the dial that it came of was over"),
            RefuseReason::WrongPeer { expected } => write!(f, "{expected} was dialed, and another peer answered"),
            RefuseReason::Ourselves => f.write_str("the peer at the other end is ourselves"),
            RefuseReason::Shutdown => f.write_str("we are shutting down"),
        }
    }
}

/// Why a stream was not let in. It is forgotten at once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum StreamRefusal {
    /// A limit is reached.
    Limit(LimitExceeded),
    /// Its connection is being closed.
    Closing,
}

impl fmt::Display for StreamRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StreamRefusal::Limit(limit) => limit.fmt(f),
            StreamRefusal::Closing => f.write_str("its connection is being closed"),
        }
    }
}

/// What the caller of the connection manager did wrong. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// `now` is earlier than it was in a call before.
    #[error("time went back: now is {now:?}, and it was {last:?} before")]
    TimeWentBack {
        /// What this call said.
        now: tidewire_core::Time,
        /// The latest moment that was ever said.
        last: tidewire_core::Time,
    },
    /// As many actions wait to be polled as may: poll, then say it again.
    #[error("{0} actions or more wait to be polled: poll, then say it again")]
    Unpolled(u32),
    /// No such connection: it was never reported, was closed, or was refused.
    #[error("there is no connection {0}: it was never reported, or was closed or refused")]
    UnknownConnection(ConnectionId),
    /// The id is in use.
    #[error("there is a connection {0} already")]
    ConnectionExists(ConnectionId),
    /// The connection is already established.
    #[error("connection {0} is established already")]
    AlreadyEstablished(ConnectionId),
    /// The connection is not established yet: it carries no streams, and answers no pings.
    #[error("connection {0} is not established yet")]
    NotEstablished(ConnectionId),
    /// No such stream on this connection.
    #[error("there is no stream {1} on connection {0}: it was never reported, or was closed or refused")]
    UnknownStream(ConnectionId, crate::StreamId),
    /// The id is in use on this connection.
    #[error("there is a stream {1} on connection {0} already")]
    StreamExists(ConnectionId, crate::StreamId),
    /// The stream's protocol was said already.
    #[error("the protocol of stream {1} on connection {0} was said already")]
    ProtocolKnown(ConnectionId, crate::StreamId),
    /// No ping is under way on this connection.
    #[error("connection {0} has no ping under way")]
    NoPing(ConnectionId),
    /// Request ids of 2^63 and more are the machine's own.
    #[error("request {0} is not the caller's to use: ids of 2^63 and more are the machine's own")]
    ReservedRequest(RequestId),
    /// No such request: it was never made, or was answered or cancelled.
    #[error("there is no request {0}: it was never made, or was answered or cancelled")]
    UnknownRequest(RequestId),
    /// The id is in use.
    #[error("there is a request {0} already")]
    RequestExists(RequestId),
    /// What was said about a dial makes no sense.
    #[error(transparent)]
    Dial(#[from] crate::dial::DialMisuse),
    /// There are as many peers marked keep-alive as there may be.
    #[error("{0} peers are marked keep-alive already, which is the most")]
    TooManyKept(u32),
    /// What was said about tags makes no sense.
    #[error(transparent)]
    Tag(#[from] crate::worth::TagError),
}
