//! X25519 (RFC 7748) with secret keys that the caller gives.

use super::Crypto;
use core::fmt;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, Zeroizing};

/// An X25519 secret key with its public key, ready for any number of agreements. Wiped when dropped, never printed.
pub struct SecretKey {
    secret: Secret,
    public: [u8; 32],
}

enum Secret {
    Dalek(StaticSecret),
    #[cfg(feature = "aws-lc-rs")]
    AwsLc(aws_lc_rs::agreement::PrivateKey),
}

impl SecretKey {
    /// The key of these bytes, clamped as RFC 7748 says. Computes the public key: one base multiplication.
    pub fn new(mut bytes: [u8; 32], crypto: Crypto) -> Self {
        #[cfg(feature = "aws-lc-rs")]
        let key = if crypto.has_aws_lc() { Self::aws_lc(&bytes) } else { None };
        #[cfg(not(feature = "aws-lc-rs"))]
        let (key, _) = (None, crypto);
        let key = key.unwrap_or_else(|| Self::dalek(bytes));
        bytes.zeroize();
        key
    }

    /// The public key.
    pub const fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// The secret that only this key and the holder of `public`'s secret key can compute.
    ///
    /// # Errors
    /// `public` is a point of small order: whatever our key, the result would be all zeros, known to everyone
    /// (RFC 7748, section 6.1).
    pub fn agree(&self, public: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>, SmallOrder> {
        match &self.secret {
            Secret::Dalek(secret) => {
                let shared = secret.diffie_hellman(&PublicKey::from(*public));
                if shared.was_contributory() { Ok(Zeroizing::new(*shared.as_bytes())) } else { Err(SmallOrder) }
            }
            #[cfg(feature = "aws-lc-rs")]
            Secret::AwsLc(secret) => {
                use aws_lc_rs::agreement::{UnparsedPublicKey, X25519, agree};
                // It refuses an all-zero result by itself.
                agree(secret, UnparsedPublicKey::new(&X25519, public), SmallOrder, |shared| {
                    shared.try_into().map(Zeroizing::new).map_err(|_| SmallOrder)
                })
            }
        }
    }

    fn dalek(bytes: [u8; 32]) -> Self {
        let secret = StaticSecret::from(bytes);
        let public = PublicKey::from(&secret).to_bytes();
        SecretKey { secret: Secret::Dalek(secret), public }
    }

    /// `None`: it refuses 32 bytes, which it has no reason to.
    #[cfg(feature = "aws-lc-rs")]
    fn aws_lc(bytes: &[u8; 32]) -> Option<Self> {
        use aws_lc_rs::agreement::{PrivateKey, X25519};
        let secret = PrivateKey::from_private_key(&X25519, bytes).ok()?;
        let public = secret.compute_public_key().ok()?.as_ref().try_into().ok()?;
        Some(SecretKey { secret: Secret::AwsLc(secret), public })
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// The remote's X25519 public key is a point of small order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the X25519 public key is a point of small order: the shared secret would be known to everyone")]
pub struct SmallOrder;
