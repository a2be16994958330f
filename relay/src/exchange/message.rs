//! The messages on the wire (circuit-v2.md, "Protobuf").
//!
//! What is nested stays bytes until it is asked for: py sends a `peer` with `RESERVE`, and a `reservation` with `CONNECT`, and
//! nothing is gained by refusing what nobody reads.

use super::error::{Fault, Field};
use crate::limit::LimitMessage;
use crate::{Limit, Status};
use alloc::vec::Vec;
use bytes::Bytes;
use prost::Message;
use tidewire_core::PeerId;

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct HopMessage {
    #[prost(int32, optional, tag = "1")]
    pub(super) r#type: Option<i32>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(super) peer: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(super) reservation: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub(super) limit: Option<Bytes>,
    #[prost(int32, optional, tag = "5")]
    pub(super) status: Option<i32>,
}

impl HopMessage {
    pub(super) const RESERVE: i32 = 0;
    pub(super) const CONNECT: i32 = 1;
    pub(super) const STATUS: i32 = 2;

    /// An answer without more.
    pub(super) fn of_status(status: Status) -> HopMessage {
        HopMessage { r#type: Some(Self::STATUS), status: Some(status.code()), ..HopMessage::default() }
    }
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct StopMessage {
    #[prost(int32, optional, tag = "1")]
    pub(super) r#type: Option<i32>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(super) peer: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(super) limit: Option<Bytes>,
    #[prost(int32, optional, tag = "4")]
    pub(super) status: Option<i32>,
}

impl StopMessage {
    pub(super) const CONNECT: i32 = 0;
    pub(super) const STATUS: i32 = 1;

    /// An answer.
    pub(super) fn of_status(status: Status) -> StopMessage {
        StopMessage { r#type: Some(Self::STATUS), status: Some(status.code()), ..StopMessage::default() }
    }
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct ReservationMessage {
    #[prost(uint64, optional, tag = "1")]
    pub(super) expire: Option<u64>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(super) addrs: Vec<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(super) voucher: Option<Bytes>,
}

/// `addrs` is for active relays, which are deprecated; it is passed over, as any unknown field.
#[derive(Clone, PartialEq, Eq, Message)]
struct PeerMessage {
    #[prost(bytes = "bytes", optional, tag = "1")]
    id: Option<Bytes>,
}

/// The field `peer` that names this peer.
pub(super) fn peer_field(peer: PeerId) -> Option<Bytes> {
    Some(PeerMessage { id: Some(Bytes::copy_from_slice(peer.as_bytes())) }.encode_to_vec().into())
}

/// Whom the field `peer` names.
pub(super) fn read_peer(field: Option<Bytes>) -> Result<PeerId, Fault> {
    let peer: PeerMessage = nested(field.ok_or(Fault::MissingField { field: Field::Peer })?)?;
    let field = Field::PeerId;
    let id = peer.id.ok_or(Fault::MissingField { field })?;
    PeerId::from_bytes(&id).map_err(|error| Fault::PeerId { field, error })
}

/// The field `limit`.
pub(super) fn limit_field(limit: Limit) -> Option<Bytes> {
    limit.to_message().map(|message| message.encode_to_vec().into())
}

/// What the field `limit` says.
pub(super) fn read_limit(field: Option<Bytes>) -> Result<Limit, Fault> {
    let message: Option<LimitMessage> = field.map(nested).transpose()?;
    Ok(Limit::of_message(message.as_ref()))
}

/// Reads a message within a message.
pub(super) fn nested<M: Message + Default>(bytes: Bytes) -> Result<M, Fault> {
    M::decode(bytes).map_err(|error| Fault::protobuf(&error))
}

/// A value that must be there.
pub(super) fn present<T>(value: Option<T>, field: Field) -> Result<T, Fault> {
    value.ok_or(Fault::MissingField { field })
}
