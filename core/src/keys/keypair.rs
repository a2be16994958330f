//! Our own key: Ed25519, to sign. Wiped from memory when dropped, never printed.

use super::{Ed25519PublicKey, KeyError, KeyMessage, KeyType, PublicKey};
use crate::{PeerId, Seed};
use alloc::vec::Vec;
use core::fmt;
use ed25519_dalek::{Signer, SigningKey};
use prost::Message;
use zeroize::{Zeroize, Zeroizing};

/// An Ed25519 key pair.
///
/// ```
/// use tidewire_core::{Keypair, Seed};
///
/// // From entropy of the operating system, once; then keep the encoded form in a file that only you can read.
/// let keypair = Keypair::from_seed(&Seed::new([7; 32]));
/// let file = keypair.to_protobuf();
/// assert_eq!(Keypair::from_protobuf(&file)?.peer_id(), keypair.peer_id());
/// # Ok::<(), tidewire_core::KeyError>(())
/// ```
#[derive(Clone)]
pub struct Keypair {
    /// Wipes itself.
    secret: SigningKey,
}

impl Keypair {
    /// The longest protobuf that is read, in bytes: that of an RSA key of 8192 bits, so that it is refused by its type.
    pub const MAX_PROTOBUF_LEN: usize = 8192;

    /// The key pair that belongs to this seed: the same one for the same seed. Independent of all that is derived from
    /// the seed for other purposes.
    pub fn from_seed(seed: &Seed) -> Keypair {
        let mut secret = *seed.derive("ed25519 identity", 0).as_bytes();
        let keypair = Keypair::from_secret(&secret);
        secret.zeroize();
        keypair
    }

    /// The key pair of this private key as RFC 8032 has it: 32 bytes of entropy. The caller wipes its copy.
    pub fn from_secret(secret: &[u8; 32]) -> Keypair {
        Keypair { secret: SigningKey::from_bytes(secret) }
    }

    /// Reads the protobuf encoding that libp2p implementations store on disk: `PrivateKey` of type Ed25519, with the
    /// private and the public key, or as older versions wrote it, the public key twice.
    ///
    /// # Errors
    /// Another type of key, another length, or a public key that doesn't belong to the private one.
    pub fn from_protobuf(bytes: &[u8]) -> Result<Keypair, KeyError> {
        let mut message = KeyMessage::read(bytes, Self::MAX_PROTOBUF_LEN)?;
        let data = Zeroizing::new(message.data.take());
        match message.known_type()? {
            KeyType::Ed25519 => {}
            got => return Err(KeyError::CantSign { got }),
        }
        let data = data.as_deref().ok_or(KeyError::MissingField { field: "Data" })?;
        let wrong_length = KeyError::Length { key_type: KeyType::Ed25519, expected: 64, got: data.len() };

        let (secret, publics) = data.split_first_chunk::<32>().ok_or(wrong_length)?;
        let keypair = Keypair::from_secret(secret);
        let public = keypair.secret.verifying_key();
        if publics.len() != 32 && publics.len() != 64 {
            return Err(wrong_length);
        }
        if publics.chunks_exact(32).any(|copy| copy != public.as_bytes()) {
            return Err(KeyError::HalvesDiffer);
        }
        Ok(keypair)
    }

    /// The protobuf encoding that other implementations load. Secret; wiped when dropped.
    pub fn to_protobuf(&self) -> Zeroizing<Vec<u8>> {
        let mut data = self.secret.to_keypair_bytes();
        let message = KeyMessage { key_type: Some(KeyType::Ed25519 as u64), data: Some(data.to_vec()) };
        data.zeroize();
        // Sized up front: a growing Vec would leave unwiped copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(message.encoded_len()));
        message.encode_raw(&mut *bytes);
        drop(Zeroizing::new(message.data));
        bytes
    }

    /// The 32 bytes of the private key. Secret.
    pub fn secret(&self) -> &[u8; 32] {
        self.secret.as_bytes()
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey::Ed25519(Ed25519PublicKey::of(&self.secret.verifying_key()))
    }

    /// The id of the peer that has this key.
    pub fn peer_id(&self) -> PeerId {
        self.public().peer_id()
    }

    /// Signs (RFC 8032: deterministic, needs no entropy).
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.secret.sign(message).to_bytes()
    }
}

impl fmt::Debug for Keypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keypair({}, secret not shown)", self.peer_id())
    }
}
