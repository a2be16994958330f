//! What we say about ourselves: decided as a [`Profile`], then encoded and signed once as a [`Card`].
//!
//! ```text
//! Card: | key, versions, protocols, addresses |        | signed peer record |
//! wire: length [          the same            ][where we see them][ record ]            if it all fits
//!       length [          the same            ][where we see them]  length [ record ]   else
//! ```
//! Spec: libp2p/specs identify/README.md, RFC 0003. Two messages are go-libp2p's way. A message has at most 4 KiB: rust-libp2p
//! reads no longer ones, and go-libp2p sends none for that reason. rust and js read the first message only, so the record goes
//! there whenever it fits.

use super::message::IdentifyMessage;
use alloc::vec::Vec;
use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use smol_str::SmolStr;
use tidewire_core::{
    EnvelopeError, Keypair, Multiaddr, PeerId, PeerRecord, PeerRecordError, SignedEnvelope, encode_frame,
};
use tidewire_multistream::Protocol;

/// What a node says about itself. Plain data: whoever has the key makes a [`Card`] of it.
///
/// The lists stand in order of importance: where there is no room for all, the last ones are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profile {
    /// The family of protocols that we belong to. Empty: not said.
    pub protocol_version: SmolStr,
    /// Our program and version. Empty: not said.
    pub agent: SmolStr,
    /// What we can be asked.
    pub protocols: Vec<Protocol>,
    /// Where we listen, without our peer id.
    pub addresses: Vec<Multiaddr>,
    /// The number of the signed record: higher than that of every earlier one, also of earlier runs of the program.
    pub seq: u64,
}

/// A [`Profile`], encoded and signed, to be written to any number of streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    peer: PeerId,
    seq: u64,
    /// The encoded message without its record and without where we see the reader.
    base: Bytes,
    /// The record's field, encoded.
    record: Bytes,
    envelope: SignedEnvelope,
    /// The record has a message of its own.
    split: bool,
    left_out: LeftOut,
}

/// What a card had no room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftOut {
    /// Protocols, the last ones of the profile.
    pub protocols: usize,
    /// Addresses that are not in the unsigned list, the last ones of the profile.
    pub addresses: usize,
    /// Addresses that are not in the signed record, the last ones of the profile.
    pub signed_addresses: usize,
}

/// A profile that no card can be made of. It is our own mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CardError {
    /// A text is too long.
    #[error("the {what} has {len} bytes, a card has room for {max}")]
    TooLong {
        /// Which one.
        what: &'static str,
        /// Its bytes.
        len: usize,
        /// [`Card::MAX_TEXT`].
        max: usize,
    },
    /// The record could not be signed.
    #[error("the signed record could not be made: {0}")]
    Record(#[from] PeerRecordError),
}

impl Card {
    /// Bytes of one message at most: rust-libp2p reads no longer ones.
    pub const MAX_MESSAGE: usize = 4096;
    /// Bytes of all that [`write`](Card::write) writes at most, the lengths included.
    pub const MAX_LEN: usize = 2 * (Self::MAX_MESSAGE + 2);
    /// Bytes of the agent, and of the protocol version.
    pub const MAX_TEXT: usize = 256;
    /// Bytes of an address at which a reader is seen. Real ones stay below 300 only because of certificate hashes, which those
    /// of connections don't have.
    pub const MAX_OBSERVED: usize = 253;

    /// What the field with the observed address takes at most: tag and length before it.
    const OBSERVED_ROOM: usize = Self::MAX_OBSERVED + 3;
    /// What an envelope with a record takes beside its addresses: key, signature, peer id, number, and their tags and lengths.
    /// They are 165 bytes at most for an Ed25519 key.
    const RECORD_ROOM: usize = 176;

    /// Encodes a profile, and signs where we listen.
    ///
    /// Protocols have at least half of the room, addresses what is left of it. What there is no room for is left out, the
    /// last ones first; [`left_out`](Card::left_out) tells.
    ///
    /// # Errors
    /// A text is longer than [`MAX_TEXT`](Card::MAX_TEXT).
    pub fn new(keypair: &Keypair, profile: &Profile) -> Result<Card, CardError> {
        let mut message = IdentifyMessage {
            public_key: Some(keypair.public().to_protobuf().into()),
            protocol_version: text("protocol version", &profile.protocol_version)?,
            agent_version: text("agent", &profile.agent)?,
            ..IdentifyMessage::default()
        };
        let room = Self::MAX_MESSAGE.saturating_sub(Self::OBSERVED_ROOM + message.encoded_len());

        let names = || profile.protocols.iter().map(|name| field_len(name.as_bytes().len()));
        let places = || profile.addresses.iter().map(|address| field_len(address.as_bytes().len()));
        // Addresses may use what the protocols don't need, and the other way round.
        let for_protocols = room.saturating_sub(places().sum::<usize>()).max(room / 2);
        let (protocols, used) = fitting(names(), for_protocols);
        let (addresses, _) = fitting(places(), room.saturating_sub(used));
        message.protocols =
            profile.protocols.iter().take(protocols).map(|name| Bytes::copy_from_slice(name.as_bytes())).collect();
        message.listen_addrs = profile.addresses.iter().take(addresses).map(bytes_of).collect();

        let peer = keypair.peer_id();
        // Each is a field in a field, and the envelope is one field.
        let signed_places = profile.addresses.iter().map(|address| field_len(field_len(address.as_bytes().len())));
        let (signed, _) = fitting(signed_places.take(PeerRecord::MAX_ADDRESSES), Self::MAX_MESSAGE - Self::RECORD_ROOM);
        let signed_addresses = profile.addresses.iter().take(signed).map(bytes_of).collect();
        let envelope = PeerRecord::new(peer, profile.seq, signed_addresses).seal(keypair)?;
        let record =
            IdentifyMessage { signed_peer_record: Some(envelope.as_bytes().clone()), ..IdentifyMessage::default() };
        if record.encoded_len() > Self::MAX_MESSAGE {
            let (max, got) = (Self::MAX_MESSAGE, record.encoded_len());
            return Err(CardError::Record(EnvelopeError::TooLong { max, got }.into()));
        }

        let split = message.encoded_len() + record.encoded_len() + Self::OBSERVED_ROOM > Self::MAX_MESSAGE;
        let left_out = LeftOut {
            protocols: profile.protocols.len() - protocols,
            addresses: profile.addresses.len() - addresses,
            signed_addresses: profile.addresses.len() - signed,
        };
        Ok(Card {
            peer,
            seq: profile.seq,
            base: message.encode_to_vec().into(),
            record: record.encode_to_vec().into(),
            envelope,
            split,
            left_out,
        })
    }

    /// Appends all messages of this card to `tx`, each with its length: at most [`MAX_LEN`](Card::MAX_LEN) bytes. Then the
    /// stream is to be ended.
    ///
    /// `observed` is where the connection shows the reader to be. One longer than [`MAX_OBSERVED`](Card::MAX_OBSERVED) is
    /// left out.
    pub fn write(&self, observed: Option<&Multiaddr>, tx: &mut BytesMut) {
        let seen = observed.filter(|address| !address.is_empty() && address.as_bytes().len() <= Self::MAX_OBSERVED);
        let seen = IdentifyMessage { observed_addr: seen.map(bytes_of), ..IdentifyMessage::default() };
        // The fields of a message may come in any order, and in pieces.
        let mut body = BytesMut::with_capacity(Self::OBSERVED_ROOM + self.base.len() + self.record.len());
        body.put_slice(&self.base);
        seen.encode_raw(&mut body);
        if !self.split {
            body.put_slice(&self.record);
        }
        encode_frame(&body, tx);
        if self.split {
            encode_frame(&self.record, tx);
        }
    }

    /// Whose card it is.
    pub const fn peer(&self) -> PeerId {
        self.peer
    }

    /// The number of its record.
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// Where we listen, signed by us: for whoever passes it on.
    pub const fn envelope(&self) -> &SignedEnvelope {
        &self.envelope
    }

    /// What there was no room for.
    pub const fn left_out(&self) -> LeftOut {
        self.left_out
    }

    /// Messages that it is written as: 1, or 2.
    pub const fn messages(&self) -> usize {
        if self.split { 2 } else { 1 }
    }

    /// Bytes on the heap.
    pub fn memory_used(&self) -> usize {
        self.base.len() + self.record.len() + self.envelope.as_bytes().len() + self.envelope.payload().len()
    }
}

impl LeftOut {
    /// Whether nothing was left out.
    pub fn is_none(&self) -> bool {
        *self == LeftOut::default()
    }
}

fn text(what: &'static str, text: &SmolStr) -> Result<Option<Bytes>, CardError> {
    let (len, max) = (text.len(), Card::MAX_TEXT);
    if len > max {
        return Err(CardError::TooLong { what, len, max });
    }
    Ok((len > 0).then(|| Bytes::copy_from_slice(text.as_bytes())))
}

fn bytes_of(address: &Multiaddr) -> Bytes {
    Bytes::copy_from_slice(address.as_bytes())
}

/// What a field of `len` bytes takes, with its tag of one byte and its length.
fn field_len(len: usize) -> usize {
    1 + prost::length_delimiter_len(len) + len
}

/// How many of these fit into `room` together, from the first one on, and what they take.
fn fitting(lens: impl Iterator<Item = usize>, room: usize) -> (usize, usize) {
    let (mut count, mut used) = (0, 0_usize);
    for len in lens {
        if used.saturating_add(len) > room {
            break;
        }
        used += len;
        count += 1;
    }
    (count, used)
}
