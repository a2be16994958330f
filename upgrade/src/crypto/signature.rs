//! Checking a peer's signature (libp2p/specs noise/README.md, "Static Key Authentication").
//!
//! What is accepted, and the error otherwise, are those of [`PublicKey::verify`] whichever implementation computes.

use super::Crypto;
use tidewire_core::{PublicKey, VerifyError};

impl Crypto {
    /// Whether `signature` over `message` is the one of `key`'s owner. Ed25519 by this implementation, other keys by
    /// [`PublicKey::verify`].
    ///
    /// # Errors
    /// As [`PublicKey::verify`].
    pub fn verify(self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        #[cfg(feature = "aws-lc-rs")]
        if self.has_aws_lc()
            && let PublicKey::Ed25519(key) = key
        {
            use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
            let accepted = || UnparsedPublicKey::new(&ED25519, key.as_bytes()).verify(message, signature);
            if key.check_order(signature).is_ok() && accepted().is_ok() {
                return Ok(());
            }
            // Refused: below, once more, for the error that says why.
        }
        key.verify(message, signature)
    }

    /// Whether AWS-LC computes what is not per record.
    #[cfg(feature = "aws-lc-rs")]
    pub(crate) fn has_aws_lc(self) -> bool {
        match self {
            Crypto::AwsLc => true,
            #[cfg(feature = "ring")]
            Crypto::Mixed => true,
            #[cfg(feature = "ring")]
            Crypto::Ring => false,
            Crypto::RustCrypto => false,
        }
    }
}
