//! Keys of peers (libp2p/specs peer-ids/peer-ids.md, "Keys"): one file per type, their common envelope here.
//!
//! ```text
//! protobuf { Type = 1, Data = 2 }     Data of a public key         of a signature
//!   0 RSA         verify, feature     SubjectPublicKeyInfo, DER    PKCS#1 v1.5, SHA-256
//!   1 Ed25519     sign and verify     32 bytes                     RFC 8032, 64 bytes
//!   2 Secp256k1   verify, feature     33 bytes, compressed         DER, low s, SHA-256
//!   3 ECDSA       verify, feature     SubjectPublicKeyInfo, DER    DER, SHA-256, P-256
//! ```
//!
//! Reading is strict about the key itself, so that one key has one peer id, and lenient about the protobuf around it;
//! writing is always the deterministic form that the spec asks for.

mod der;
mod ecdsa;
mod ed25519;
mod keypair;
mod rsa;
mod secp256k1;

pub use der::DerError;
pub use ecdsa::EcdsaPublicKey;
pub use ed25519::Ed25519PublicKey;
pub use keypair::Keypair;
pub use rsa::RsaPublicKey;
pub use secp256k1::Secp256k1PublicKey;

use crate::PeerId;
use crate::protobuf::Word;
use alloc::vec::Vec;
use core::fmt;
use prost::Message;
use thiserror::Error;

/// The kinds of key that libp2p knows, with their numbers on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(u8)]
pub enum KeyType {
    /// RSA, 2048 to 8192 bits.
    Rsa = 0,
    /// Ed25519.
    Ed25519 = 1,
    /// secp256k1.
    Secp256k1 = 2,
    /// ECDSA on P-256.
    Ecdsa = 3,
}

/// A public key of a peer, of any type that libp2p knows.
///
/// All types can be read, written and turned into a [`PeerId`]; which can be verified is chosen by the cargo features
/// `rsa`, `secp256k1` and `ecdsa`. Ed25519 always can.
///
/// ```
/// use tidewire_core::{Keypair, PublicKey, Seed};
///
/// let keypair = Keypair::from_seed(&Seed::new([7; 32]));
/// let signature = keypair.sign(b"hello");
///
/// let received = PublicKey::from_protobuf(&keypair.public().to_protobuf())?;
/// assert_eq!(received.peer_id(), keypair.peer_id());
/// assert!(received.verify(b"hello", &signature).is_ok());
/// assert!(received.verify(b"hallo", &signature).is_err());
/// # Ok::<(), tidewire_core::KeyError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PublicKey {
    /// An RSA key.
    Rsa(RsaPublicKey),
    /// An Ed25519 key.
    Ed25519(Ed25519PublicKey),
    /// A secp256k1 key.
    Secp256k1(Secp256k1PublicKey),
    /// An ECDSA key on P-256.
    Ecdsa(EcdsaPublicKey),
}

/// Bytes that are no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum KeyError {
    /// More bytes than a key of any type needs. Nothing was decoded.
    #[error("a key message has at most {max} bytes, this one has {got}")]
    TooLong {
        /// The cap: [`PublicKey::MAX_PROTOBUF_LEN`] or [`Keypair::MAX_PROTOBUF_LEN`].
        max: usize,
        /// Bytes that came.
        got: usize,
    },
    /// Not a protobuf message.
    #[error("the key is no valid protobuf message")]
    Protobuf,
    /// A field that must be there is not.
    #[error("the key message lacks its field {field}")]
    MissingField {
        /// The field's name in the spec.
        #[cfg_attr(feature = "serde", serde(deserialize_with = "crate::serialize::known"))]
        field: Word,
    },
    /// A key type that libp2p does not define.
    #[error("key type {got} is unknown: expected 0 (RSA), 1 (Ed25519), 2 (Secp256k1) or 3 (ECDSA)")]
    UnknownKeyType {
        /// The number found.
        got: u64,
    },
    /// A private key of a type that can't sign here.
    #[error("expected an Ed25519 private key, found one of type {got}: only Ed25519 keys sign here")]
    CantSign {
        /// The type found.
        got: KeyType,
    },
    /// A key of the wrong length.
    #[error("a {key_type} key has {expected} bytes, this one has {got}")]
    Length {
        /// The type of key.
        key_type: KeyType,
        /// Bytes that it must have.
        expected: usize,
        /// Bytes found.
        got: usize,
    },
    /// A second form of the same key, which would have a second peer id.
    #[error("the {key_type} key is not in its canonical form")]
    NotCanonical {
        /// The type of key.
        key_type: KeyType,
    },
    /// Broken DER.
    #[error("the {key_type} key is no valid DER: {error}")]
    Der {
        /// The type of key.
        key_type: KeyType,
        /// What is wrong.
        error: DerError,
    },
    /// DER of another kind of key.
    #[error("the {key_type} key's algorithm must be {expected}")]
    Algorithm {
        /// The type of key.
        key_type: KeyType,
        /// The algorithm or curve expected.
        #[cfg_attr(feature = "serde", serde(deserialize_with = "crate::serialize::known"))]
        expected: Word,
    },
    /// An RSA modulus too small to be safe or too large to be verified cheaply.
    #[error("an RSA key has 2048 to 8192 bits, this one has {got}")]
    RsaSize {
        /// Bits of the modulus.
        got: usize,
    },
    /// RSA numbers that can't be a key.
    #[error("an RSA key has an odd modulus and an odd exponent from 3 to 33 bits long")]
    RsaNumbers,
    /// The public half does not belong to the private one, or its two copies differ.
    #[error("the public key stored beside the private key does not belong to it")]
    HalvesDiffer,
    /// A peer id that is a hash, from which no key can be read.
    #[error("the peer id is a hash of its key, not the key: ask the peer for it")]
    Hashed,
    /// A peer id that holds a key, but not in its deterministic encoding.
    #[error("the peer id holds a key whose own peer id is another one")]
    OtherPeerId,
}

/// A signature that was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum VerifyError {
    /// This build can't verify this type of key.
    #[error("this build can't verify signatures of {key_type} keys: enable the cargo feature of that name")]
    UnsupportedKeyType {
        /// The type of key.
        key_type: KeyType,
    },
    /// The public key has the right form but is no valid key, so nothing it signed can be right.
    #[error("the {key_type} public key is no valid key: no point of its curve, or a number out of range")]
    InvalidKey {
        /// The type of key.
        key_type: KeyType,
    },
    /// The signature is malformed, or not by this key over this message.
    #[error("the signature was not made by this {key_type} key over this message")]
    BadSignature {
        /// The type of key.
        key_type: KeyType,
    },
}

/// `PublicKey` and `PrivateKey` of peer-ids.md. The type is read as 64 bits: cut to an enum's 32, a huge number would pass
/// for a known one.
#[derive(Clone, PartialEq, Eq, Message)]
#[prost(skip_debug)]
struct KeyMessage {
    #[prost(uint64, optional, tag = "1")]
    key_type: Option<u64>,
    #[prost(bytes = "vec", optional, tag = "2")]
    data: Option<Vec<u8>>,
}

impl KeyType {
    /// The name in the spec.
    pub const fn name(self) -> &'static str {
        match self {
            KeyType::Rsa => "RSA",
            KeyType::Ed25519 => "Ed25519",
            KeyType::Secp256k1 => "Secp256k1",
            KeyType::Ecdsa => "ECDSA",
        }
    }

    /// Whether this build can verify signatures of this type.
    pub const fn is_supported(self) -> bool {
        match self {
            KeyType::Rsa => cfg!(feature = "rsa"),
            KeyType::Ed25519 => true,
            KeyType::Secp256k1 => cfg!(feature = "secp256k1"),
            KeyType::Ecdsa => cfg!(feature = "ecdsa"),
        }
    }

    fn from_number(got: u64) -> Result<KeyType, KeyError> {
        match got {
            0 => Ok(KeyType::Rsa),
            1 => Ok(KeyType::Ed25519),
            2 => Ok(KeyType::Secp256k1),
            3 => Ok(KeyType::Ecdsa),
            got => Err(KeyError::UnknownKeyType { got }),
        }
    }
}

impl PublicKey {
    /// The longest protobuf that is read, in bytes: an RSA key of 8192 bits takes 1067, its exponent a few more; room for
    /// unknown fields.
    pub const MAX_PROTOBUF_LEN: usize = 2048;

    /// Reads the protobuf encoding.
    ///
    /// Fields in another order, unknown fields and longer varints are accepted, as protobuf has it; the key and its peer
    /// id are those of the deterministic encoding.
    ///
    /// # Errors
    /// Not a key message, or not a well-formed key of the type that it names.
    pub fn from_protobuf(bytes: &[u8]) -> Result<PublicKey, KeyError> {
        // What nearly every peer sends, without an allocation.
        if let [0x08, 0x01, 0x12, 0x20, key @ ..] = bytes
            && let Ok(key) = key.try_into()
        {
            return Ed25519PublicKey::from_bytes(key).map(PublicKey::Ed25519);
        }
        let message = KeyMessage::read(bytes, Self::MAX_PROTOBUF_LEN)?;
        let key_type = message.known_type()?;
        let data = message.required_data()?;
        Ok(match key_type {
            KeyType::Rsa => PublicKey::Rsa(RsaPublicKey::from_data(data)?),
            KeyType::Ed25519 => PublicKey::Ed25519(Ed25519PublicKey::from_data(data)?),
            KeyType::Secp256k1 => PublicKey::Secp256k1(Secp256k1PublicKey::from_data(data)?),
            KeyType::Ecdsa => PublicKey::Ecdsa(EcdsaPublicKey::from_data(data)?),
        })
    }

    /// The deterministic protobuf encoding.
    pub fn to_protobuf(&self) -> Vec<u8> {
        let key_type = Some(self.key_type() as u64);
        KeyMessage { key_type, data: Some(self.data().to_vec()) }.encode_to_vec()
    }

    /// The id of the peer that has this key.
    pub fn peer_id(&self) -> PeerId {
        if let PublicKey::Ed25519(key) = self {
            let mut protobuf = [0; 36];
            protobuf[..4].copy_from_slice(&[0x08, 0x01, 0x12, 0x20]);
            protobuf[4..].copy_from_slice(key.as_bytes());
            return PeerId::of_key_protobuf(&protobuf);
        }
        PeerId::of_key_protobuf(&self.to_protobuf())
    }

    /// Which type of key this is.
    pub const fn key_type(&self) -> KeyType {
        match self {
            PublicKey::Rsa(_) => KeyType::Rsa,
            PublicKey::Ed25519(_) => KeyType::Ed25519,
            PublicKey::Secp256k1(_) => KeyType::Secp256k1,
            PublicKey::Ecdsa(_) => KeyType::Ecdsa,
        }
    }

    /// Checks that the owner of this key signed `message`.
    ///
    /// # Errors
    /// It did not, the key is none, or this build can't tell.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        match self {
            PublicKey::Rsa(key) => key.verify(message, signature),
            PublicKey::Ed25519(key) => key.verify(message, signature),
            PublicKey::Secp256k1(key) => key.verify(message, signature),
            PublicKey::Ecdsa(key) => key.verify(message, signature),
        }
    }

    /// The field `Data`.
    fn data(&self) -> &[u8] {
        match self {
            PublicKey::Rsa(key) => key.as_der(),
            PublicKey::Ed25519(key) => key.as_bytes(),
            PublicKey::Secp256k1(key) => key.as_bytes(),
            PublicKey::Ecdsa(key) => key.as_der(),
        }
    }
}

impl PeerId {
    /// The key that an identity peer id holds.
    ///
    /// # Errors
    /// [`KeyError::Hashed`] if the id is a hash; else what is wrong with the key inside.
    pub fn public_key(&self) -> Result<PublicKey, KeyError> {
        let key = PublicKey::from_protobuf(self.inlined().ok_or(KeyError::Hashed)?)?;
        if key.peer_id() == *self { Ok(key) } else { Err(KeyError::OtherPeerId) }
    }
}

impl From<&PublicKey> for PeerId {
    fn from(key: &PublicKey) -> PeerId {
        key.peer_id()
    }
}

impl KeyMessage {
    fn read(bytes: &[u8], max: usize) -> Result<KeyMessage, KeyError> {
        if bytes.len() > max {
            return Err(KeyError::TooLong { max, got: bytes.len() });
        }
        KeyMessage::decode(bytes).map_err(|_| KeyError::Protobuf)
    }

    fn known_type(&self) -> Result<KeyType, KeyError> {
        KeyType::from_number(self.key_type.ok_or(KeyError::MissingField { field: "Type" })?)
    }

    fn required_data(&self) -> Result<&[u8], KeyError> {
        self.data.as_deref().ok_or(KeyError::MissingField { field: "Data" })
    }
}

impl fmt::Debug for KeyMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyMessage(..)") // it may be a private one
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} of {})", self.key_type(), self.peer_id())
    }
}

/// The keys of one type show as what they are in hexadecimal.
macro_rules! debug_as_hex {
    ($($name:ident.$bytes:ident)*) => { $(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}(", stringify!($name))?;
                self.$bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str(")")
            }
        }
    )* };
}

debug_as_hex!(RsaPublicKey.as_der Ed25519PublicKey.as_bytes Secp256k1PublicKey.as_bytes EcdsaPublicKey.as_der);
