//! To and from the `multiaddr` crate, over the bytes (feature `multiaddr`, needs std).

use super::{Multiaddr, MultiaddrError};
use alloc::vec::Vec;

impl TryFrom<&::multiaddr::Multiaddr> for Multiaddr {
    type Error = MultiaddrError;

    /// # Errors
    /// The address is empty, over a cap, or has a value that only the other crate takes, such as an empty name.
    fn try_from(other: &::multiaddr::Multiaddr) -> Result<Self, MultiaddrError> {
        Multiaddr::from_bytes(other.as_ref())
    }
}

impl TryFrom<&Multiaddr> for ::multiaddr::Multiaddr {
    type Error = ::multiaddr::Error;

    /// # Errors
    /// The address has a code that the other crate doesn't know.
    fn try_from(ours: &Multiaddr) -> Result<Self, ::multiaddr::Error> {
        ::multiaddr::Multiaddr::try_from(Vec::from(ours.as_bytes()))
    }
}
