//! Signed envelopes (libp2p/specs RFC 0002): a payload, who signed it, and the proof, in one message that anyone may pass on.
//!
//! ```text
//! Envelope { public_key = 1, payload_type = 2, payload = 3, signature = 5 }
//! signed:  uvarint(len) domain  uvarint(len) payload_type  uvarint(len) payload
//! ```
//!
//! The domain says what the signature is for and is not in the message: a signature made for one purpose does not verify
//! for another. An envelope says who signed it, not whom it is about: compare the two with
//! [`SignedEnvelope::check_signer`], or any peer can speak for any other (RUSTSEC-2022-0009).

use crate::protobuf::Word;
use crate::{KeyError, Keypair, PeerId, PublicKey, VerifyError};
use alloc::vec::Vec;
use bytes::Bytes;
use prost::Message;
use thiserror::Error;
use unsigned_varint::encode;

/// An envelope whose signature was made or checked here: there is no other way to get one.
///
/// ```
/// use tidewire_core::{Keypair, Seed, SignedEnvelope};
///
/// let relay = Keypair::from_seed(&Seed::new([7; 32]));
/// let sealed = SignedEnvelope::seal(&relay, "libp2p-relay-rsvp", &[0x03, 0x02], b"a voucher")?;
///
/// let opened = SignedEnvelope::open(sealed.as_bytes().clone(), "libp2p-relay-rsvp", &[0x03, 0x02])?;
/// opened.check_signer(&relay.peer_id())?;
/// assert_eq!(&opened.payload()[..], b"a voucher");
///
/// assert!(SignedEnvelope::open(sealed.as_bytes().clone(), "another purpose", &[0x03, 0x02]).is_err());
/// # Ok::<(), tidewire_core::EnvelopeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedEnvelope {
    /// The envelope as it was made or came, to be passed on.
    bytes: Bytes,
    signer: PublicKey,
    payload_type: Bytes,
    payload: Bytes,
}

/// An envelope that was not accepted, or can't be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Longer than [`SignedEnvelope::MAX_LEN`]. Nothing was decoded.
    #[error("an envelope has at most {max} bytes, this one has {got}")]
    TooLong {
        /// The cap.
        max: usize,
        /// Bytes that came, or that it would have.
        got: usize,
    },
    /// Not a protobuf message.
    #[error("the envelope is no valid protobuf message")]
    Protobuf,
    /// A field that must be there is not.
    #[error("the envelope lacks its field {field}")]
    MissingField {
        /// The field's name in the spec.
        #[cfg_attr(feature = "serde", serde(deserialize_with = "crate::serialize::known"))]
        field: Word,
    },
    /// A payload of another type than asked for.
    #[error("expected an envelope with payload type {expected:02x?}, found {got:02x?}")]
    PayloadType {
        /// The type asked for.
        expected: Bytes,
        /// The type found.
        got: Bytes,
    },
    /// The signer's key is no key.
    #[error("the signer's key: {0}")]
    Key(#[from] KeyError),
    /// The signature is not by the key in the envelope, over this payload, for this purpose.
    #[error("the envelope's signature: {0}")]
    Signature(#[from] VerifyError),
    /// The signature is right, but by another peer than the payload is about.
    #[error("expected an envelope signed by {expected}, this one is signed by {got}")]
    Signer {
        /// Whom the payload is about.
        expected: PeerId,
        /// Who signed.
        got: PeerId,
    },
}

/// The message of RFC 0002, "Wire Format". The key stays bytes: it is read by [`PublicKey::from_protobuf`].
#[derive(Clone, PartialEq, Eq, Message)]
struct EnvelopeMessage {
    #[prost(bytes = "bytes", optional, tag = "1")]
    public_key: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    payload_type: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    payload: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "5")]
    signature: Option<Bytes>,
}

impl SignedEnvelope {
    /// The longest envelope in bytes, sealed or opened. The messages that carry envelopes are at most 8 KiB (identify) and
    /// 4 KiB (relay).
    pub const MAX_LEN: usize = 16 * 1024;

    /// Signs `payload` for the purpose that `domain` names. `payload_type` says how to read it: a multicodec, or nothing.
    ///
    /// # Errors
    /// [`EnvelopeError::TooLong`].
    pub fn seal(
        keypair: &Keypair,
        domain: &str,
        payload_type: &[u8],
        payload: &[u8],
    ) -> Result<SignedEnvelope, EnvelopeError> {
        // First, so that nothing huge is copied or hashed.
        let least = payload_type.len().saturating_add(payload.len());
        if least > Self::MAX_LEN {
            return Err(EnvelopeError::TooLong { max: Self::MAX_LEN, got: least });
        }
        let signer = keypair.public();
        let signature = keypair.sign(&signed_bytes(domain, payload_type, payload));
        let payload_type = Bytes::copy_from_slice(payload_type);
        let payload = Bytes::copy_from_slice(payload);

        // proto3 leaves empty fields out.
        let field = |bytes: &Bytes| Some(bytes.clone()).filter(|bytes| !bytes.is_empty());
        let message = EnvelopeMessage {
            public_key: Some(signer.to_protobuf().into()),
            payload_type: field(&payload_type),
            payload: field(&payload),
            signature: Some(Bytes::copy_from_slice(&signature)),
        };
        let bytes = Bytes::from(message.encode_to_vec());
        if bytes.len() > Self::MAX_LEN {
            return Err(EnvelopeError::TooLong { max: Self::MAX_LEN, got: bytes.len() });
        }
        Ok(SignedEnvelope { bytes, signer, payload_type, payload })
    }

    /// Reads an envelope and checks its payload type and signature. What is in the payload, and whether the signer may say
    /// it, is for the caller to check.
    ///
    /// Nothing is copied: payload and payload type are slices of `bytes`, which lives as long as one of them does.
    ///
    /// # Errors
    /// Too long, malformed, of another type, or not signed by the key inside for this purpose.
    pub fn open(bytes: Bytes, domain: &str, payload_type: &[u8]) -> Result<SignedEnvelope, EnvelopeError> {
        let message = EnvelopeMessage::read(bytes.clone())?;
        let got = message.payload_type.clone().unwrap_or_default();
        if got != payload_type {
            return Err(EnvelopeError::PayloadType { expected: Bytes::copy_from_slice(payload_type), got });
        }
        message.verified(bytes, domain)
    }

    /// The envelope's bytes, exactly as signed or received.
    pub const fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The key that signed.
    pub const fn signer(&self) -> &PublicKey {
        &self.signer
    }

    /// The payload's type.
    pub const fn payload_type(&self) -> &Bytes {
        &self.payload_type
    }

    /// What was signed.
    pub const fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The signer's key and the payload.
    pub fn into_parts(self) -> (PublicKey, Bytes) {
        (self.signer, self.payload)
    }

    /// Checks that the peer which the payload is about, or which has to vouch for it, is the one that signed.
    ///
    /// # Errors
    /// [`EnvelopeError::Signer`]: it is another one.
    pub fn check_signer(&self, expected: &PeerId) -> Result<(), EnvelopeError> {
        let got = self.signer.peer_id();
        if got == *expected { Ok(()) } else { Err(EnvelopeError::Signer { expected: *expected, got }) }
    }

    /// As [`open`](SignedEnvelope::open) with one of several types, each signed in its own domain.
    pub(crate) fn open_any(bytes: Bytes, forms: &[(&str, &'static [u8])]) -> Result<SignedEnvelope, EnvelopeError> {
        let message = EnvelopeMessage::read(bytes.clone())?;
        let got = message.payload_type.clone().unwrap_or_default();
        match forms.iter().find(|(_, payload_type)| got == *payload_type) {
            Some((domain, _)) => message.verified(bytes, domain),
            None => {
                let expected = forms.first().map(|(_, payload_type)| Bytes::from_static(payload_type));
                Err(EnvelopeError::PayloadType { expected: expected.unwrap_or_default(), got })
            }
        }
    }
}

impl EnvelopeMessage {
    /// The fields are slices of `bytes`, not copies.
    fn read(bytes: Bytes) -> Result<EnvelopeMessage, EnvelopeError> {
        if bytes.len() > SignedEnvelope::MAX_LEN {
            return Err(EnvelopeError::TooLong { max: SignedEnvelope::MAX_LEN, got: bytes.len() });
        }
        EnvelopeMessage::decode(bytes).map_err(|_| EnvelopeError::Protobuf)
    }

    fn verified(self, bytes: Bytes, domain: &str) -> Result<SignedEnvelope, EnvelopeError> {
        let key = self.public_key.ok_or(EnvelopeError::MissingField { field: "public_key" })?;
        let signature = self.signature.ok_or(EnvelopeError::MissingField { field: "signature" })?;
        let payload_type = self.payload_type.unwrap_or_default();
        let payload = self.payload.unwrap_or_default();

        let signer = PublicKey::from_protobuf(&key)?;
        signer.verify(&signed_bytes(domain, &payload_type, &payload), &signature)?;
        Ok(SignedEnvelope { bytes, signer, payload_type, payload })
    }
}

/// RFC 0002, "Signature Production / Verification".
fn signed_bytes(domain: &str, payload_type: &[u8], payload: &[u8]) -> Vec<u8> {
    let parts = [domain.as_bytes(), payload_type, payload];
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 10).sum());
    for part in parts {
        bytes.extend_from_slice(encode::usize(part.len(), &mut encode::usize_buffer()));
        bytes.extend_from_slice(part);
    }
    bytes
}

#[cfg(test)]
mod tests;
