//! The message on the wire (identify/README.md, "The Identify Message"; `signedPeerRecord` is of RFC 0003).

use alloc::vec::Vec;
use bytes::Bytes;
use prost::Message;

/// Texts stay bytes: a name that is no UTF-8 must not hide the others. As protobuf has it, when several are merged a later
/// single field replaces the earlier one, and lists grow.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct IdentifyMessage {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(super) public_key: Option<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(super) listen_addrs: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub(super) protocols: Vec<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub(super) observed_addr: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub(super) protocol_version: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "6")]
    pub(super) agent_version: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "8")]
    pub(super) signed_peer_record: Option<Bytes>,
}
