//! A relay's signed word that a peer has a slot with it (circuit-v2.md, "Reservation Vouchers").
//!
//! ```text
//! Voucher { relay = 1, peer = 2, expiration = 3 }   in a signed envelope
//!   domain libp2p-relay-rsvp     type 03 02
//! ```
//!
//! Nobody asks for vouchers yet: they are advisory, and rust's relays give none. So a bad one is told and decides nothing here.

use bytes::Bytes;
use core::time::Duration;
use prost::Message;
use tidewire_core::{EnvelopeError, Keypair, PeerId, PeerIdError, SignedEnvelope, UnixTime};

const DOMAIN: &str = "libp2p-relay-rsvp";
/// Multicodec 0x0302, as two bytes: go and js do not write it as a varint.
const PAYLOAD_TYPE: &[u8] = &[0x03, 0x02];

/// What a relay vouches for.
///
/// ```
/// use tidewire_core::{Keypair, Seed, UnixTime};
/// use tidewire_relay::Voucher;
///
/// let relay = Keypair::from_seed(&Seed::new([1; 32]));
/// let peer = Keypair::from_seed(&Seed::new([2; 32])).peer_id();
/// let voucher = Voucher { relay: relay.peer_id(), peer, expiration: UnixTime::from_secs(1_900_000_000) };
///
/// let sealed = voucher.seal(&relay)?;
/// assert_eq!(Voucher::open(sealed.as_bytes().clone())?, voucher);
/// # Ok::<(), tidewire_relay::VoucherError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Voucher {
    /// Who gives the service, and signed.
    pub relay: PeerId,
    /// Who may be reached through it.
    pub peer: PeerId,
    /// Until when.
    pub expiration: UnixTime,
}

/// A voucher that came with a reservation and proved right, as it came: to be shown to others one day.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SignedVoucher {
    /// What it says.
    pub voucher: Voucher,
    /// The signed envelope, byte for byte.
    pub envelope: Bytes,
}

/// A voucher that is not right, or can't be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum VoucherError {
    /// The envelope was not accepted, or another peer signed than the relay.
    #[error("the voucher: {0}")]
    Envelope(#[from] EnvelopeError),
    /// The payload is no such message.
    #[error("the voucher is no valid protobuf message")]
    Protobuf,
    /// A field is not there.
    #[error("the voucher lacks its field {field}")]
    MissingField {
        /// Which one.
        field: VoucherField,
    },
    /// A peer id in it is none.
    #[error("the voucher's field {field}: {error}")]
    PeerId {
        /// Which one.
        field: VoucherField,
        /// Why.
        error: PeerIdError,
    },
    /// It is another relay's than the one that gave it.
    #[error("expected a voucher of the relay {expected}, this one is of {got}")]
    OtherRelay {
        /// The peer at the other end of the connection.
        expected: PeerId,
        /// The relay that it names.
        got: PeerId,
    },
    /// It is for another peer than us.
    #[error("expected a voucher for {expected}, this one is for {got}")]
    OtherPeer {
        /// Us.
        expected: PeerId,
        /// The peer that it names.
        got: PeerId,
    },
    /// It does not end when the reservation does.
    #[error("the reservation lasts until {} (UNIX time), its voucher until {}", reservation.as_secs(), voucher.as_secs())]
    Expiration {
        /// When the reservation ends.
        reservation: UnixTime,
        /// When the voucher does.
        voucher: UnixTime,
    },
}

/// A field of a voucher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum VoucherField {
    /// `relay`
    Relay,
    /// `peer`
    Peer,
    /// `expiration`
    Expiration,
}

/// The message (circuit-v2.md, "Reservation Vouchers"). In this order, without unknown fields, it is the canonical form.
#[derive(Clone, PartialEq, Eq, Message)]
struct VoucherMessage {
    #[prost(bytes = "bytes", optional, tag = "1")]
    relay: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    peer: Option<Bytes>,
    #[prost(uint64, optional, tag = "3")]
    expiration: Option<u64>,
}

impl Voucher {
    /// How far the voucher's end may be from the reservation's. Relays take both from one clock, but not always at once.
    pub const EXPIRATION_SLACK: Duration = Duration::from_secs(60);

    /// Signs it.
    ///
    /// # Errors
    /// `keypair` is not the relay's.
    pub fn seal(&self, keypair: &Keypair) -> Result<SignedEnvelope, VoucherError> {
        let got = keypair.peer_id();
        if got != self.relay {
            return Err(EnvelopeError::Signer { expected: self.relay, got }.into());
        }
        let message = VoucherMessage {
            relay: Some(Bytes::copy_from_slice(self.relay.as_bytes())),
            peer: Some(Bytes::copy_from_slice(self.peer.as_bytes())),
            expiration: Some(self.expiration.as_secs()),
        };
        Ok(SignedEnvelope::seal(keypair, DOMAIN, PAYLOAD_TYPE, &message.encode_to_vec())?)
    }

    /// Opens an envelope with a voucher in it: the signature first, then the message, then that the relay itself signed.
    ///
    /// # Errors
    /// The envelope or the message is malformed, lacks a field, or is signed by another peer than the relay that it names.
    pub fn open(envelope: Bytes) -> Result<Voucher, VoucherError> {
        let envelope = SignedEnvelope::open(envelope, DOMAIN, PAYLOAD_TYPE)?;
        let message = VoucherMessage::decode(envelope.payload().clone()).map_err(|_| VoucherError::Protobuf)?;
        let relay = peer_id(message.relay.as_deref(), VoucherField::Relay)?;
        let peer = peer_id(message.peer.as_deref(), VoucherField::Peer)?;
        let field = VoucherField::Expiration;
        let expiration = UnixTime::from_secs(message.expiration.ok_or(VoucherError::MissingField { field })?);
        envelope.check_signer(&relay)?;
        Ok(Voucher { relay, peer, expiration })
    }

    /// Checks that it is what `relay` owes `peer` for a reservation that lasts until `reservation`.
    ///
    /// Whether that is still to come is for whoever knows the time.
    ///
    /// # Errors
    /// It is another relay's, for another peer, or ends at another time, give or take
    /// [`EXPIRATION_SLACK`](Self::EXPIRATION_SLACK).
    pub fn check(&self, relay: PeerId, peer: PeerId, reservation: UnixTime) -> Result<(), VoucherError> {
        if self.relay != relay {
            return Err(VoucherError::OtherRelay { expected: relay, got: self.relay });
        }
        if self.peer != peer {
            return Err(VoucherError::OtherPeer { expected: peer, got: self.peer });
        }
        let apart = self.expiration.as_secs().abs_diff(reservation.as_secs());
        if apart > Self::EXPIRATION_SLACK.as_secs() {
            return Err(VoucherError::Expiration { reservation, voucher: self.expiration });
        }
        Ok(())
    }
}

impl SignedVoucher {
    /// Bytes on the heap.
    pub fn memory_used(&self) -> usize {
        self.envelope.len()
    }
}

impl core::fmt::Display for VoucherField {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            VoucherField::Relay => "relay",
            VoucherField::Peer => "peer",
            VoucherField::Expiration => "expiration",
        })
    }
}

fn peer_id(bytes: Option<&[u8]>, field: VoucherField) -> Result<PeerId, VoucherError> {
    let bytes = bytes.ok_or(VoucherError::MissingField { field })?;
    PeerId::from_bytes(bytes).map_err(|error| VoucherError::PeerId { field, error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use tidewire_core::{PublicKey, Seed};

    fn keypair(number: u8) -> Keypair {
        Keypair::from_seed(&Seed::new([number; 32]))
    }

    fn voucher() -> Voucher {
        let [relay, peer] = [1, 2].map(|number| keypair(number).peer_id());
        Voucher { relay, peer, expiration: UnixTime::from_secs(300) }
    }

    /// Seals any payload for any purpose.
    fn seal(number: u8, domain: &str, payload_type: &[u8], payload: &[u8]) -> Bytes {
        SignedEnvelope::seal(&keypair(number), domain, payload_type, payload).unwrap().as_bytes().clone()
    }

    fn payload(relay: Option<&[u8]>, peer: Option<&[u8]>, expiration: Option<u64>) -> Vec<u8> {
        let bytes = |id: &[u8]| Bytes::copy_from_slice(id);
        VoucherMessage { relay: relay.map(bytes), peer: peer.map(bytes), expiration }.encode_to_vec()
    }

    /// Byte for byte: fields in the order of their numbers, nothing else, in an envelope of the relay's.
    #[test]
    fn the_wire_form_is_canonical() {
        let envelope = voucher().seal(&keypair(1)).unwrap();
        let [relay, peer] = [1, 2].map(|number| keypair(number).peer_id().to_bytes());
        let expected = [&[0x0a, 38][..], &relay[..], &[0x12, 38], &peer[..], &[0x18, 0xac, 0x02]].concat();
        assert_eq!(envelope.payload()[..], expected);
        assert_eq!(&envelope.payload_type()[..], &[0x03, 0x02]);
        assert_eq!(*envelope.signer(), PublicKey::from_protobuf(&keypair(1).public().to_protobuf()).unwrap());
    }

    #[test]
    fn only_the_relay_can_seal_it() {
        let (expected, got) = (keypair(1).peer_id(), keypair(3).peer_id());
        let error = VoucherError::Envelope(EnvelopeError::Signer { expected, got });
        assert_eq!(voucher().seal(&keypair(3)), Err(error));
    }

    #[test]
    fn an_envelope_for_another_purpose_or_of_another_type_is_refused() {
        let [relay, peer] = [1, 2].map(|number| keypair(number).peer_id());
        let good = payload(Some(relay.as_bytes()), Some(peer.as_bytes()), Some(300));
        assert_eq!(Voucher::open(seal(1, DOMAIN, PAYLOAD_TYPE, &good)), Ok(voucher()));
        let other_domain = Voucher::open(seal(1, "libp2p-peer-record", PAYLOAD_TYPE, &good));
        assert!(matches!(other_domain, Err(VoucherError::Envelope(EnvelopeError::Signature(_)))));
        let other_type = Voucher::open(seal(1, DOMAIN, &[0x03, 0x01], &good));
        assert!(matches!(other_type, Err(VoucherError::Envelope(EnvelopeError::PayloadType { .. }))));
    }

    /// RUSTSEC-2022-0009: who signed must be who it is about.
    #[test]
    fn a_voucher_that_another_peer_signed_is_refused() {
        let [relay, peer] = [1, 2].map(|number| keypair(number).peer_id());
        let payload = payload(Some(relay.as_bytes()), Some(peer.as_bytes()), Some(300));
        let error = EnvelopeError::Signer { expected: relay, got: keypair(3).peer_id() };
        assert_eq!(Voucher::open(seal(3, DOMAIN, PAYLOAD_TYPE, &payload)), Err(VoucherError::Envelope(error)));
    }

    #[test]
    fn every_field_must_be_there_and_a_peer_id_be_one() {
        let [relay, peer] = [1, 2].map(|number| keypair(number).peer_id().to_bytes());
        let (relay, peer) = (Some(&relay[..]), Some(&peer[..]));
        let missing = |field| VoucherError::MissingField { field };
        let bad = PeerId::from_bytes(b"x").unwrap_err();
        let table = [
            (payload(None, peer, Some(300)), missing(VoucherField::Relay)),
            (payload(relay, None, Some(300)), missing(VoucherField::Peer)),
            (payload(relay, peer, None), missing(VoucherField::Expiration)),
            (payload(Some(b"x"), peer, Some(300)), VoucherError::PeerId { field: VoucherField::Relay, error: bad }),
            (payload(relay, Some(b"x"), Some(300)), VoucherError::PeerId { field: VoucherField::Peer, error: bad }),
            (b"\x0a\x05".to_vec(), VoucherError::Protobuf),
        ];
        for (payload, error) in table {
            assert_eq!(Voucher::open(seal(1, DOMAIN, PAYLOAD_TYPE, &payload)), Err(error));
        }
    }

    #[test]
    fn it_must_end_when_the_reservation_does() {
        let check = |reservation| {
            let voucher = voucher();
            voucher.check(voucher.relay, voucher.peer, UnixTime::from_secs(reservation))
        };
        for (reservation, good) in
            [(300, true), (240, true), (360, true), (239, false), (361, false), (u64::MAX, false)]
        {
            assert_eq!(check(reservation).is_ok(), good, "{reservation}");
        }
    }
}
