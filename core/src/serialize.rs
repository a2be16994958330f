//! Serialization of the types whose bytes must be checked: as text where people read it (JSON, TOML), as bytes elsewhere.
//!
//! What is read back goes through the same checks as what comes from the wire: bytes that are no peer id, key or address are
//! an error of the format at hand.

use crate::{Multiaddr, PeerId, PublicKey};
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::str::FromStr;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What is text for people, and bytes for machines.
trait Both: Sized {
    /// For the message of an error.
    const WHAT: &'static str;
    fn of_text(text: &str) -> Result<Self, impl fmt::Display>;
    fn of_bytes(bytes: &[u8]) -> Result<Self, impl fmt::Display>;
}

struct Text<T>(PhantomData<T>);

impl<T: Both> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::of_text(text).map_err(E::custom)
    }
}

struct Binary<T>(PhantomData<T>);

impl<'de, T: Both> Visitor<'de> for Binary<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<T, E> {
        T::of_bytes(bytes).map_err(E::custom)
    }

    // Formats without a type for bytes give them one by one.
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<T, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = seq.next_element()? {
            bytes.push(byte);
        }
        T::of_bytes(&bytes).map_err(A::Error::custom)
    }
}

fn read<'de, T: Both, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    if deserializer.is_human_readable() {
        deserializer.deserialize_str(Text(PhantomData))
    } else {
        deserializer.deserialize_bytes(Binary(PhantomData))
    }
}

impl Both for PeerId {
    const WHAT: &'static str = "a peer id";

    fn of_text(text: &str) -> Result<Self, impl fmt::Display> {
        PeerId::from_str(text)
    }

    fn of_bytes(bytes: &[u8]) -> Result<Self, impl fmt::Display> {
        PeerId::from_bytes(bytes)
    }
}

impl Serialize for PeerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(self.as_bytes())
        }
    }
}

impl<'de> Deserialize<'de> for PeerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

impl Both for Multiaddr {
    const WHAT: &'static str = "a multiaddr";

    fn of_text(text: &str) -> Result<Self, impl fmt::Display> {
        Multiaddr::from_str(text)
    }

    fn of_bytes(bytes: &[u8]) -> Result<Self, impl fmt::Display> {
        Multiaddr::from_bytes(bytes)
    }
}

impl Serialize for Multiaddr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(self.as_bytes())
        }
    }
}

impl<'de> Deserialize<'de> for Multiaddr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

impl Both for PublicKey {
    const WHAT: &'static str = "a public key in its protobuf encoding (as text: in hexadecimal)";

    fn of_text(text: &str) -> Result<Self, impl fmt::Display> {
        let digit = |digit: &u8| (*digit as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let byte = |pair: &[u8]| match pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        };
        let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
        match bytes {
            Some(bytes) => PublicKey::from_protobuf(&bytes).map_err(|error| error.to_string()),
            None => Err(Self::WHAT.to_string()),
        }
    }

    fn of_bytes(bytes: &[u8]) -> Result<Self, impl fmt::Display> {
        PublicKey::from_protobuf(bytes)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = self.to_protobuf();
        if serializer.is_human_readable() {
            serializer.collect_str(&Hex(&bytes))
        } else {
            serializer.serialize_bytes(&bytes)
        }
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The words that errors of this crate hold as `&'static str`.
const WORDS: [&str; 8] = [
    "public_key",
    "signature",
    "peer_id",
    "Type",
    "Data",
    "rsaEncryption",
    "id-ecPublicKey",
    "the curve secp256r1 (P-256)",
];

/// Reads a word of an error back.
pub(crate) fn known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'static str, D::Error> {
    struct Known;

    impl Visitor<'_> for Known {
        type Value = &'static str;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a word of an error")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<&'static str, E> {
            let found = WORDS.iter().find(|word| **word == text).copied();
            found.ok_or_else(|| E::custom("no error has this word"))
        }
    }

    deserializer.deserialize_str(Known)
}
