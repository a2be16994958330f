//! Conversions from and to the types of the `libp2p-identity` crate (feature `libp2p-identity`).
//!
//! All go through the encodings that both sides read, and all can fail: each side refuses something that the other takes.

use crate::{KeyError, Keypair, PeerId, PeerIdError, PublicKey};
use libp2p_identity as theirs;
use zeroize::Zeroizing;

impl TryFrom<&theirs::PeerId> for PeerId {
    type Error = PeerIdError;

    /// Fails for an identity multihash without a byte, and for SHA-256 of another length than 32 bytes.
    fn try_from(peer: &theirs::PeerId) -> Result<PeerId, PeerIdError> {
        PeerId::from_bytes(&peer.to_bytes())
    }
}

impl TryFrom<&PeerId> for theirs::PeerId {
    type Error = theirs::ParseError;

    /// Does not fail with the versions known.
    fn try_from(peer: &PeerId) -> Result<theirs::PeerId, theirs::ParseError> {
        theirs::PeerId::from_bytes(peer.as_bytes())
    }
}

impl TryFrom<&theirs::PublicKey> for PublicKey {
    type Error = KeyError;

    /// Fails for RSA keys of a size out of bounds.
    fn try_from(key: &theirs::PublicKey) -> Result<PublicKey, KeyError> {
        PublicKey::from_protobuf(&key.encode_protobuf())
    }
}

impl TryFrom<&PublicKey> for theirs::PublicKey {
    type Error = theirs::DecodingError;

    /// Fails for types whose feature is off there, and for keys that are no point of their curve.
    fn try_from(key: &PublicKey) -> Result<theirs::PublicKey, theirs::DecodingError> {
        theirs::PublicKey::try_decode_protobuf(&key.to_protobuf())
    }
}

/// Why a key pair can't be taken over from the `libp2p-identity` crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertKeypairError {
    /// It can't be encoded there.
    #[error(transparent)]
    Theirs(#[from] theirs::DecodingError),
    /// It is not an Ed25519 key pair.
    #[error(transparent)]
    Ours(#[from] KeyError),
}

impl TryFrom<&theirs::Keypair> for Keypair {
    type Error = ConvertKeypairError;

    /// Fails for other types than Ed25519.
    fn try_from(keypair: &theirs::Keypair) -> Result<Keypair, ConvertKeypairError> {
        let bytes = Zeroizing::new(keypair.to_protobuf_encoding()?);
        Ok(Keypair::from_protobuf(&bytes)?)
    }
}

impl TryFrom<&Keypair> for theirs::Keypair {
    type Error = theirs::DecodingError;

    /// Does not fail with the versions known.
    fn try_from(keypair: &Keypair) -> Result<theirs::Keypair, theirs::DecodingError> {
        theirs::Keypair::from_protobuf_encoding(&keypair.to_protobuf())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyType;

    #[test]
    fn an_ed25519_identity_survives_both_ways() {
        let ours = Keypair::from_secret(&[7; 32]);
        let theirs = theirs::Keypair::try_from(&ours).unwrap();
        assert_eq!(Keypair::try_from(&theirs).unwrap().secret(), ours.secret());

        let public = theirs::PublicKey::try_from(&ours.public()).unwrap();
        assert_eq!(public, theirs.public());
        assert_eq!(PublicKey::try_from(&public), Ok(ours.public()));

        let peer = theirs::PeerId::try_from(&ours.peer_id()).unwrap();
        assert_eq!(peer, public.to_peer_id());
        assert_eq!(PeerId::try_from(&peer), Ok(ours.peer_id()));
    }

    #[test]
    fn a_key_pair_that_can_not_sign_here_is_refused() {
        let theirs = theirs::Keypair::generate_ecdsa();
        let refused = Keypair::try_from(&theirs).unwrap_err();
        assert!(matches!(refused, ConvertKeypairError::Ours(KeyError::CantSign { got: KeyType::Ecdsa })));
        assert_eq!(PublicKey::try_from(&theirs.public()).unwrap().key_type(), KeyType::Ecdsa);
    }

    #[test]
    fn ids_that_only_they_take_are_refused() {
        let empty = theirs::PeerId::from_bytes(&[0, 0]).unwrap();
        assert_eq!(PeerId::try_from(&empty), Err(PeerIdError::InlineLength { got: 0 }));
        let short = theirs::PeerId::from_bytes(&[0x12, 1, 7]).unwrap();
        assert_eq!(PeerId::try_from(&short), Err(PeerIdError::HashLength { got: 1 }));
    }
}
