//! Protocol names, and ordered lists of them that are shared without allocating.
//!
//! Spec: `libp2p/specs` connections/README.md, "Protocol Negotiation": any string can be used; by convention a path with a
//! version at its end.

use crate::wire;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;
use core::str::FromStr;
use smol_str::SmolStr;

/// A protocol name such as `/yamux/1.0.0`: UTF-8, not empty, without a newline, at most [`Protocol::MAX_LEN`] bytes.
///
/// Cloning never allocates: names from the source are pointers, names of up to 23 bytes are held inline, longer ones are
/// reference-counted.
///
/// ```
/// use tidewire_multistream::Protocol;
///
/// const PING: Protocol = Protocol::from_static("/ipfs/ping/1.0.0");
/// assert_eq!(Protocol::new("/ipfs/ping/1.0.0"), Ok(PING));
/// assert!(Protocol::new("two\nlines").is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(SmolStr);

impl Protocol {
    /// Bytes that a name has at most: with its newline it fills a frame of 1024 bytes, the longest that go-libp2p and
    /// js-libp2p accept.
    pub const MAX_LEN: usize = 1023;

    /// The name that is written in the source. Never allocates.
    ///
    /// # Panics
    /// The name is not valid (see [`NameError`]). In a `const` or a `static` that is an error of the compiler. For names
    /// that are known only when the program runs, use [`Protocol::new`].
    pub const fn from_static(name: &'static str) -> Protocol {
        assert!(check(name.as_bytes()).is_ok(), "not a valid protocol name: see NameError");
        Protocol(SmolStr::new_static(name))
    }

    /// The name, checked. Allocates when it is longer than 23 bytes.
    ///
    /// # Errors
    /// It is empty, too long, holds a newline, or means something else to multistream-select.
    pub fn new(name: &str) -> Result<Protocol, NameError> {
        check(name.as_bytes())?;
        Ok(Protocol(SmolStr::new(name)))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The name's bytes, without length and newline.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    pub(crate) fn text(&self) -> &SmolStr {
        &self.0
    }
}

impl FromStr for Protocol {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Protocol, NameError> {
        Protocol::new(name)
    }
}

impl TryFrom<&str> for Protocol {
    type Error = NameError;

    fn try_from(name: &str) -> Result<Protocol, NameError> {
        Protocol::new(name)
    }
}

impl AsRef<str> for Protocol {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for Protocol {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Protocol {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Why a text can't be a protocol name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// It has no bytes.
    #[error("a protocol name can't be empty")]
    Empty,
    /// It is over [`Protocol::MAX_LEN`] bytes.
    #[error("a protocol name of {len} bytes: at most {} are allowed, or no peer accepts it", Protocol::MAX_LEN)]
    TooLong {
        /// Its bytes.
        len: usize,
    },
    /// It holds a newline, which ends a name on the wire.
    #[error("byte {at} of a protocol name is a newline, which ends a name on the wire")]
    Newline {
        /// Where.
        at: usize,
    },
    /// It is a word of multistream-select itself: `/multistream/1.0.0`, `/libp2p/simultaneous-connect`, `na` or `ls`.
    #[error("this name is a word of multistream-select itself")]
    Reserved,
}

const fn check(name: &[u8]) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > Protocol::MAX_LEN {
        return Err(NameError::TooLong { len: name.len() });
    }
    let mut at = 0;
    while at < name.len() {
        if name[at] == b'\n' {
            return Err(NameError::Newline { at });
        }
        at += 1;
    }
    if wire::is_reserved(name) { Err(NameError::Reserved) } else { Ok(()) }
}

/// Protocol names in order of preference. Cloning never allocates, so that one list serves any number of negotiations.
///
/// ```
/// use tidewire_multistream::{Protocol, Protocols};
///
/// static SECURITY: [Protocol; 2] = [Protocol::from_static("/noise"), Protocol::from_static("/plaintext/2.0.0")];
/// let fixed = Protocols::from_static(&SECURITY);
/// let parsed = Protocols::parse(&["/noise", "/plaintext/2.0.0"])?;
/// assert_eq!(fixed, parsed);
/// assert_eq!(fixed[0], "/noise");
/// # Ok::<(), tidewire_multistream::NameError>(())
/// ```
#[derive(Clone)]
pub struct Protocols(List);

#[derive(Clone)]
enum List {
    Static(&'static [Protocol]),
    One(Protocol),
    Shared(Arc<[Protocol]>),
}

impl Protocols {
    /// The list that is written in the source. Never allocates.
    pub const fn from_static(names: &'static [Protocol]) -> Protocols {
        Protocols(List::Static(names))
    }

    /// These names, checked.
    ///
    /// # Errors
    /// One of them is not a valid name.
    pub fn parse(names: &[&str]) -> Result<Protocols, NameError> {
        let checked: Result<Vec<Protocol>, NameError> = names.iter().map(|name| Protocol::new(name)).collect();
        Ok(Protocols::from(checked?))
    }

    /// The names.
    pub fn as_slice(&self) -> &[Protocol] {
        match &self.0 {
            List::Static(names) => names,
            List::One(name) => core::slice::from_ref(name),
            List::Shared(names) => names,
        }
    }
}

impl Default for Protocols {
    fn default() -> Self {
        Protocols::from_static(&[])
    }
}

impl Deref for Protocols {
    type Target = [Protocol];

    fn deref(&self) -> &[Protocol] {
        self.as_slice()
    }
}

impl From<Protocol> for Protocols {
    fn from(name: Protocol) -> Self {
        Protocols(List::One(name))
    }
}

impl From<Vec<Protocol>> for Protocols {
    fn from(names: Vec<Protocol>) -> Self {
        Protocols(List::Shared(names.into()))
    }
}

impl From<&[Protocol]> for Protocols {
    fn from(names: &[Protocol]) -> Self {
        Protocols(List::Shared(names.into()))
    }
}

impl From<Arc<[Protocol]>> for Protocols {
    fn from(names: Arc<[Protocol]>) -> Self {
        Protocols(List::Shared(names))
    }
}

impl FromIterator<Protocol> for Protocols {
    fn from_iter<I: IntoIterator<Item = Protocol>>(names: I) -> Self {
        Protocols(List::Shared(names.into_iter().collect()))
    }
}

impl<'a> IntoIterator for &'a Protocols {
    type Item = &'a Protocol;
    type IntoIter = core::slice::Iter<'a, Protocol>;

    fn into_iter(self) -> Self::IntoIter {
        self.as_slice().iter()
    }
}

impl PartialEq for Protocols {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Protocols {}

impl fmt::Debug for Protocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

/// The names, separated by commas.
impl fmt::Display for Protocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            f.write_str(name.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;

    #[test]
    fn names_are_checked() {
        let longest = "x".repeat(Protocol::MAX_LEN);
        let cases: [(&str, Result<(), NameError>); 9] = [
            ("/noise", Ok(())),
            ("no slash, any text: \u{e9}", Ok(())),
            (&longest, Ok(())),
            ("", Err(NameError::Empty)),
            (&format!("{longest}x"), Err(NameError::TooLong { len: 1024 })),
            ("/a\n", Err(NameError::Newline { at: 2 })),
            ("na", Err(NameError::Reserved)),
            ("ls", Err(NameError::Reserved)),
            ("/multistream/1.0.0", Err(NameError::Reserved)),
        ];
        for (name, expected) in cases {
            assert_eq!(Protocol::new(name).map(|_| ()), expected, "{name:?}");
        }
        assert_eq!(Protocol::new("/libp2p/simultaneous-connect"), Err(NameError::Reserved));
    }

    #[test]
    fn lists_are_equal_by_their_names_however_they_are_held() {
        const ONE: Protocol = Protocol::from_static("/noise");
        static LIST: [Protocol; 1] = [ONE];
        assert_eq!(Protocols::from(ONE), Protocols::from_static(&LIST));
        assert_eq!(Protocols::parse(&["/noise"]), Ok(Protocols::from_static(&LIST)));
        assert_ne!(Protocols::default(), Protocols::from(ONE));
        let joined: String = format!("{}", Protocols::from_iter([ONE, Protocol::from_static("/tls/1.0.0")]));
        assert_eq!(joined, "/noise, /tls/1.0.0");
    }
}
