//! What can be wrong with a stream, and whose fault it is.

use super::Service;
use crate::VoucherError;
use core::fmt;
use core::time::Duration;
use smol_str::{SmolStr, ToSmolStr};
use tidewire_core::{FrameError, MessageError, PeerId, PeerIdError, cut};

/// There is no answer to what we asked. Final; the stream is to be reset, the connection may go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[error("{remote} did not answer on {service}: {fault}")]
pub struct AskError {
    /// Who was asked.
    pub remote: PeerId,
    /// On which protocol.
    pub service: Service,
    /// What is wrong.
    pub fault: Fault,
}

/// A remote opened a stream and asked nothing that can be answered. Final; what the protocol has for such a case is in `tx`.
/// Send it, and end the stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[error("{remote} made no request on {service}: {fault}")]
pub struct RequestError {
    /// Who opened the stream.
    pub remote: PeerId,
    /// The protocol.
    pub service: Service,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with what a remote sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Fault {
    /// A message is longer than allowed. It was not waited for.
    #[error("a message of {len} bytes was announced, at most {max} are read")]
    TooLong {
        /// Bytes announced.
        len: u64,
        /// [`Service::max_message`].
        max: usize,
    },
    /// A message can't be read.
    #[error("{why}")]
    Malformed {
        /// What the decoder says.
        why: SmolStr,
    },
    /// A field that must be there is not.
    #[error("the message lacks its field {field}")]
    MissingField {
        /// Which one.
        field: Field,
    },
    /// A message of a type that does not belong here.
    #[error("expected {expected}, a message of type {got} came")]
    UnexpectedType {
        /// What belongs here.
        expected: Expected,
        /// The number that came.
        got: i32,
    },
    /// The peer id in a message is none.
    #[error("the message's field {field}: {error}")]
    PeerId {
        /// Which one.
        field: Field,
        /// Why.
        error: PeerIdError,
    },
    /// The message speaks for another peer than the one that sent it.
    #[error("the message names the peer {got}, which did not send it")]
    OtherPeer {
        /// Whom the message names.
        got: PeerId,
    },
    /// AutoNAT v2: an address is meant that wasn't asked about.
    #[error("address number {index} is meant, but {asked} were asked about, counted from 0")]
    NoSuchAddress {
        /// Its number.
        index: u32,
        /// How many there are.
        asked: u32,
    },
    /// AutoNAT v2: data comes in pieces so small that they cost more to read than to send.
    #[error("a message with {len} bytes of data came, at least {min} are expected in all but the last")]
    SmallChunk {
        /// Bytes in it.
        len: u64,
        /// The least.
        min: u64,
    },
    /// AutoNAT v2: the nonce came, and is not accepted.
    #[error("expected the status OK (0), {status} came")]
    NotOk {
        /// The number that came.
        status: i32,
    },
    /// The stream ended within a message.
    #[error("the stream ended {got} bytes into a message")]
    Truncated {
        /// Bytes of it that came, its length included.
        got: usize,
    },
    /// The stream ended before a message.
    #[error("the stream ended without a message")]
    Silent,
    /// The stream was reset, or its connection ended. Told by whoever drives the stream.
    #[error("the stream was reset")]
    Reset,
    /// The remote does not speak the protocol. Told by whoever drives the stream.
    #[error("the peer does not speak this protocol")]
    NotSpoken,
    /// No message was complete in time.
    #[error("no message was complete after {} s", after.as_secs_f32())]
    Timeout {
        /// How long was waited: a field of [`Config`](super::Config).
        after: Duration,
    },
}

/// A field of a message, by its name in the spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Field {
    /// `type`
    Type,
    /// `status`
    Status,
    /// `peer`
    Peer,
    /// `peer.id`
    PeerId,
    /// `dial`
    Dial,
    /// `dialResponse`
    DialResponse,
    /// `reservation`
    Reservation,
    /// `reservation.expire`
    Expire,
}

/// The types of message that belong in a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Expected {
    /// To a relay: `RESERVE` or `CONNECT` of hop.
    HopRequest,
    /// From a relay: `STATUS` of hop.
    HopStatus,
    /// To a destination: `CONNECT` of stop.
    StopConnect,
    /// From a destination: `STATUS` of stop.
    StopStatus,
    /// To a server of AutoNAT v1: `DIAL`.
    AutonatV1Dial,
    /// From a server of AutoNAT v1: `DIAL_RESPONSE`.
    AutonatV1Response,
    /// To a server of AutoNAT v2: `dialRequest`.
    AutonatV2Request,
    /// From a server of AutoNAT v2: `dialResponse` or `dialDataRequest`.
    AutonatV2Answer,
    /// From a server of AutoNAT v2 that was paid: `dialResponse`.
    AutonatV2Response,
    /// To a server of AutoNAT v2 that asked for data: `dialDataResponse`.
    AutonatV2Data,
}

/// A reply that can't be given. The caller's mistake; nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// There is no request yet.
    #[error("the remote has not asked yet")]
    NotAsked,
    /// The request is answered.
    #[error("the remote was answered before")]
    Answered,
    /// The stream failed, and the remote was told.
    #[error("the stream failed before it could be answered")]
    Failed,
    /// It is no answer to what was asked.
    #[error("this is no reply to what the remote asked")]
    Unfit,
    /// The voucher can't be made: the key is not ours.
    #[error(transparent)]
    Voucher(#[from] VoucherError),
}

/// No data is owed: the server asked for none, or it is being paid. The caller's mistake; nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the remote has not asked for data, or gets it already")]
pub struct PayError;

/// Longest text of a decoder that is kept.
const MAX_WHY: usize = 128;

impl Fault {
    pub(crate) fn protobuf(error: &prost::DecodeError) -> Fault {
        Fault::Malformed { why: cut(&error.to_smolstr(), MAX_WHY).into() }
    }

    /// Bytes on the heap.
    pub(crate) fn memory_used(&self) -> usize {
        match self {
            Fault::Malformed { why } if why.is_heap_allocated() => why.len(),
            _ => 0,
        }
    }
}

impl From<MessageError> for Fault {
    fn from(error: MessageError) -> Fault {
        match error {
            MessageError::Frame(FrameError::TooLong { len, max }) => Fault::TooLong { len, max },
            MessageError::Protobuf(error) => Fault::protobuf(&error),
            other => Fault::Malformed { why: cut(&other.to_smolstr(), MAX_WHY).into() },
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::Type => "type",
            Field::Status => "status",
            Field::Peer => "peer",
            Field::PeerId => "peer.id",
            Field::Dial => "dial",
            Field::DialResponse => "dialResponse",
            Field::Reservation => "reservation",
            Field::Expire => "reservation.expire",
        })
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Expected::HopRequest => "RESERVE (0) or CONNECT (1)",
            Expected::HopStatus => "STATUS (2)",
            Expected::StopConnect => "CONNECT (0)",
            Expected::StopStatus => "STATUS (1)",
            Expected::AutonatV1Dial => "DIAL (0)",
            Expected::AutonatV1Response => "DIAL_RESPONSE (1)",
            Expected::AutonatV2Request => "dialRequest (1)",
            Expected::AutonatV2Answer => "dialResponse (2) or dialDataRequest (3)",
            Expected::AutonatV2Response => "dialResponse (2)",
            Expected::AutonatV2Data => "dialDataResponse (4)",
        })
    }
}
