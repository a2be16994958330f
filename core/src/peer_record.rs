//! Peer records (libp2p/specs RFC 0003): the addresses that a peer says it has, signed by itself.
//!
//! ```text
//! PeerRecord { peer_id = 1, seq = 2, addresses = 3: { multiaddr = 1 } }   in a signed envelope
//!   as peers send it   domain libp2p-peer-record     type 03 01
//!   as the RFC has it  domain libp2p-routing-state   type /libp2p/routing-state-record
//! ```
//!
//! Both forms are read; the first is written, because go, js, py and rust all read it.

use crate::protobuf::Word;
use crate::{EnvelopeError, Keypair, PeerId, PeerIdError, SignedEnvelope};
use alloc::vec::Vec;
use bytes::Bytes;
use prost::Message;
use thiserror::Error;

const DOMAIN: &str = "libp2p-peer-record";
/// Multicodec libp2p-peer-record 0x0301, as two bytes: peers do not write it as a varint.
const PAYLOAD_TYPE: &[u8] = &[0x03, 0x01];
/// RFC 0003, "Signed Envelope Domain" and "Signed Envelope Payload Type".
const RFC_DOMAIN: &str = "libp2p-routing-state";
const RFC_PAYLOAD_TYPE: &[u8] = b"/libp2p/routing-state-record";

/// What a peer says about itself.
///
/// ```
/// use tidewire_core::{Keypair, PeerRecord, Seed};
///
/// let keypair = Keypair::from_seed(&Seed::new([7; 32]));
/// let tcp4001 = [&[0x04, 192, 0, 2, 1][..], &[0x06, 0x0f, 0xa1]].concat();
/// let record = PeerRecord::new(keypair.peer_id(), 1, vec![tcp4001.into()]);
///
/// let envelope = record.seal(&keypair)?;
/// let (_, opened) = PeerRecord::open(envelope.as_bytes().clone())?;
/// assert_eq!(opened, record);
/// # Ok::<(), tidewire_core::PeerRecordError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerRecord {
    /// Whom it is about, and who signed it.
    pub peer_id: PeerId,
    /// Newer records have a higher number. Not a time, even if it looks like one.
    pub seq: u64,
    /// Multiaddrs in their binary form, unchecked: one that can't be parsed must not hide the others.
    pub addresses: Vec<Bytes>,
}

/// A peer record that was not accepted, or can't be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum PeerRecordError {
    /// The envelope was not accepted, or is signed by another peer than the record is about.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The payload is not a protobuf message.
    #[error("the peer record is no valid protobuf message")]
    Protobuf,
    /// A field that must be there is not.
    #[error("the peer record lacks its field {field}")]
    MissingField {
        /// The field's name in the spec.
        #[cfg_attr(feature = "serde", serde(deserialize_with = "crate::serialize::known"))]
        field: Word,
    },
    /// The record's peer id is none.
    #[error("the peer record's peer id: {0}")]
    PeerId(#[from] PeerIdError),
    /// More addresses than [`PeerRecord::MAX_ADDRESSES`].
    #[error("a peer record has at most {max} addresses, this one has {got}")]
    TooManyAddresses {
        /// The cap.
        max: usize,
        /// Addresses found.
        got: usize,
    },
}

/// The messages of RFC 0003, "Address Record Format".
#[derive(Clone, PartialEq, Eq, Message)]
struct RecordMessage {
    #[prost(bytes = "bytes", optional, tag = "1")]
    peer_id: Option<Bytes>,
    #[prost(uint64, optional, tag = "2")]
    seq: Option<u64>,
    #[prost(message, repeated, tag = "3")]
    addresses: Vec<AddressMessage>,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct AddressMessage {
    #[prost(bytes = "bytes", optional, tag = "1")]
    multiaddr: Option<Bytes>,
}

impl PeerRecord {
    /// The most addresses in one record, written or read (peers announce at most some tens; CVE-2023-40583 is what happens
    /// without a cap).
    pub const MAX_ADDRESSES: usize = 256;

    /// A record about `peer_id`.
    pub const fn new(peer_id: PeerId, seq: u64, addresses: Vec<Bytes>) -> PeerRecord {
        PeerRecord { peer_id, seq, addresses }
    }

    /// Signs the record.
    ///
    /// # Errors
    /// It is about another peer than `keypair`'s, has too many addresses, or is too long for an envelope.
    pub fn seal(&self, keypair: &Keypair) -> Result<SignedEnvelope, PeerRecordError> {
        let got = keypair.peer_id();
        if got != self.peer_id {
            return Err(EnvelopeError::Signer { expected: self.peer_id, got }.into());
        }
        check_count(self.addresses.len())?;
        let message = RecordMessage {
            peer_id: Some(Bytes::copy_from_slice(self.peer_id.as_bytes())),
            seq: Some(self.seq),
            addresses: self
                .addresses
                .iter()
                .map(|address| AddressMessage { multiaddr: Some(address.clone()) })
                .collect(),
        };
        Ok(SignedEnvelope::seal(keypair, DOMAIN, PAYLOAD_TYPE, &message.encode_to_vec())?)
    }

    /// Opens an envelope with a peer record in it: the signature first, then the record, then that the peer which it is
    /// about signed it. The envelope may be kept, to pass it on.
    ///
    /// # Errors
    /// The envelope or the record is malformed, or signed by another peer.
    pub fn open(bytes: Bytes) -> Result<(SignedEnvelope, PeerRecord), PeerRecordError> {
        let forms = [(DOMAIN, PAYLOAD_TYPE), (RFC_DOMAIN, RFC_PAYLOAD_TYPE)];
        let envelope = SignedEnvelope::open_any(bytes, &forms)?;

        let message = RecordMessage::decode(envelope.payload().clone()).map_err(|_| PeerRecordError::Protobuf)?;
        let peer_id = message.peer_id.ok_or(PeerRecordError::MissingField { field: "peer_id" })?;
        let peer_id = PeerId::from_bytes(&peer_id)?;
        envelope.check_signer(&peer_id)?;
        check_count(message.addresses.len())?;

        // proto3: an absent number is 0, and an absent address is an empty one, which says nothing.
        let addresses = message.addresses.into_iter().filter_map(|address| address.multiaddr).collect();
        Ok((envelope, PeerRecord { peer_id, seq: message.seq.unwrap_or(0), addresses }))
    }
}

fn check_count(got: usize) -> Result<(), PeerRecordError> {
    let max = PeerRecord::MAX_ADDRESSES;
    if got > max { Err(PeerRecordError::TooManyAddresses { max, got }) } else { Ok(()) }
}
