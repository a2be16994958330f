//! Randomness as an argument.

use core::fmt;
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

/// 32 bytes of entropy that the caller gives, from which a machine draws all that must be unpredictable.
///
/// The same seed gives the same machine, so a seed must never be used for two connections: derive one for each with
/// [`Seed::derive`], from a root that was drawn once from the operating system. Wiped when dropped, never printed.
///
/// ```
/// use tidewire_core::Seed;
///
/// let root = Seed::new([7; 32]);
/// assert_ne!(root.derive("connection", 0), root.derive("connection", 1));
/// assert_eq!(format!("{root:?}"), "Seed(..)"); // never printed
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl Seed {
    /// A seed of these bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Seed(bytes)
    }

    /// The bytes. Secret.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// An independent seed for one purpose: SHA-256 over a domain, this seed, the label with its length, and the index.
    #[must_use]
    pub fn derive(&self, label: &str, index: u64) -> Seed {
        let mut hash = Sha256::new();
        hash.update(b"tidewire-seed-v1");
        hash.update(self.0);
        hash.update((label.len() as u64).to_be_bytes());
        hash.update(label.as_bytes());
        hash.update(index.to_be_bytes());
        Seed(hash.finalize().into())
    }
}

impl From<[u8; 32]> for Seed {
    fn from(bytes: [u8; 32]) -> Self {
        Seed(bytes)
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_seeds_differ_by_label_index_and_parent() {
        let a = Seed::new([1; 32]);
        let b = Seed::new([2; 32]);
        let all = [a.derive("x", 0), a.derive("x", 1), a.derive("y", 0), b.derive("x", 0), a.clone(), b];
        for (i, left) in all.iter().enumerate() {
            for right in &all[i + 1..] {
                assert_ne!(left, right);
            }
        }
    }
}
