//! The seam to cryptography: which implementation seals, opens and agrees on keys is a value, chosen at run time.
//!
//! Noise needs X25519, ChaCha20-Poly1305, SHA-256 and HMAC over it, and a check of the peer's signature. The first two and
//! Ed25519 decide how fast a connection is, and come from one of three implementations, or the best of two:
//!
//! | [`Crypto`] | feature | X25519 | Ed25519, checked | ChaCha20-Poly1305 |
//! |---|---|---|---|---|
//! | `RustCrypto` | always there, `no_std` | `x25519-dalek` | `ed25519-dalek` | `chacha20poly1305` |
//! | `Ring` | `ring`, `no_std` | `x25519-dalek`: ring makes its keys from its own entropy only | `ed25519-dalek` | `ring` |
//! | `AwsLc` | `aws-lc-rs`, needs std and a C compiler | `aws-lc-rs` | `aws-lc-rs` | `aws-lc-rs` |
//! | `Mixed` | both | `aws-lc-rs` | `aws-lc-rs` | `ring`: a key that is set up for each record costs less there |
//!
//! SHA-256 is `sha2`'s for all: it uses the processor's instructions where there are any, and allocates nothing.
//!
//! What they compute is the same, byte for byte. None of them is asked for entropy.

mod aead;
mod signature;
mod x25519;

pub use aead::{Key, NotAuthentic, TAG_LEN};
pub use x25519::{SecretKey, SmallOrder};

/// Which implementation of X25519, Ed25519 and ChaCha20-Poly1305 to use.
///
/// The default is the fastest that is compiled in: `Mixed`, else `AwsLc`, else `Ring`, else `RustCrypto`.
///
/// ```
/// use tidewire_upgrade::crypto::{Crypto, Key};
///
/// let key = Key::new([7; 32], Crypto::default());
/// let mut text = *b"hello";
/// let tag = key.seal(0, b"", &mut text);
/// let same = Key::new([7; 32], Crypto::RustCrypto); // the choice is not seen on the wire
/// same.open(0, b"", &mut text, &tag)?;
/// assert_eq!(&text, b"hello");
/// # Ok::<(), tidewire_upgrade::crypto::NotAuthentic>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Crypto {
    /// Pure Rust, always compiled in.
    RustCrypto,
    /// ring for ChaCha20-Poly1305, RustCrypto for the rest.
    #[cfg(feature = "ring")]
    #[cfg_attr(docsrs, doc(cfg(feature = "ring")))]
    Ring,
    /// AWS-LC.
    #[cfg(feature = "aws-lc-rs")]
    #[cfg_attr(docsrs, doc(cfg(feature = "aws-lc-rs")))]
    AwsLc,
    /// ring for ChaCha20-Poly1305, AWS-LC for the rest.
    #[cfg(all(feature = "aws-lc-rs", feature = "ring"))]
    #[cfg_attr(docsrs, doc(cfg(all(feature = "aws-lc-rs", feature = "ring"))))]
    Mixed,
}

impl Crypto {
    /// All that are compiled in, the fastest first.
    pub const ALL: &'static [Crypto] = &[
        #[cfg(all(feature = "aws-lc-rs", feature = "ring"))]
        Crypto::Mixed,
        #[cfg(feature = "aws-lc-rs")]
        Crypto::AwsLc,
        #[cfg(feature = "ring")]
        Crypto::Ring,
        Crypto::RustCrypto,
    ];
}

impl Default for Crypto {
    fn default() -> Self {
        match Crypto::ALL {
            [first, ..] => *first,
            [] => Crypto::RustCrypto,
        }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::small_order_points;
