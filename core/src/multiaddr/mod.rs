//! Where a peer is: a sequence of protocols, from the outside in (libp2p/specs addressing/README.md, multiformats/multiaddr).
//!
//! ```text
//! /ip4/192.0.2.1/tcp/4001/p2p/12D3..R/p2p-circuit/p2p/12D3..D
//!  \_ network __/\_ port_/\_ relay __/             \_ destination
//! ```
//! The bytes are read once, on the way in; after that nothing can fail. `component.rs` knows the binary form, `text.rs` the
//! text, `table.rs` the codes, `reach.rs` and `questions.rs` what our protocols ask.

mod component;
#[cfg(any(test, feature = "multiaddr"))]
mod convert;
mod error;
mod questions;
mod reach;
mod table;
#[cfg(test)]
mod tests;
mod text;

pub use component::{Component, Multihash};
pub use error::{MultiaddrError, MultiaddrFault};
pub use questions::Transport;
pub use reach::Reach;

use crate::PeerId;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;

/// An address: valid bytes, with text both ways.
///
/// Equality, order and hash are those of the bytes, as the spec asks (multiaddr, `protocols/http-path.md`). A clone shares
/// the bytes and never allocates; the handle is two words. It is an `Arc<[u8]>` rather than `Bytes`: that is half the
/// handle, one allocation of exactly the right size, and it can't keep a whole receive buffer alive behind 20 bytes. Changing
/// an address makes a new allocation, which is rare beside keeping and comparing them.
///
/// # Codes that we don't know
/// The length of an unknown value can't be told, so a component with an unknown code takes all bytes that follow. It is kept
/// byte for byte, answers every question about what stands before it, and in text is `/unknown/<code>:<hex>`, which is read
/// back. In text an unknown *name* is an error: it has no code.
///
/// # The empty address
/// [`Multiaddr::empty`] is where building starts, and what may be left after taking apart. It prints as `/`.
/// The grammar asks for at least one component, so it is never accepted from outside, as bytes or as text.
///
/// # Caps
/// [`MAX_LEN`](Multiaddr::MAX_LEN) and [`MAX_COMPONENTS`](Multiaddr::MAX_COMPONENTS) hold for every address, however made, so
/// each can be sent and read back. They are constants: an address that is valid here must be valid wherever it is handed to.
///
/// ```
/// use tidewire_core::{Component, Multiaddr, Transport};
///
/// let address: Multiaddr = "/ip4/192.0.2.1/tcp/4001".parse()?;
/// assert_eq!(address.as_bytes(), [4, 192, 0, 2, 1, 6, 0x0f, 0xa1]);
/// assert_eq!(address.socket_addr(), "192.0.2.1:4001".parse().ok());
///
/// let secure = address.with(Component::Tls)?.with(Component::Ws)?;
/// assert_eq!(secure.to_string(), "/ip4/192.0.2.1/tcp/4001/tls/ws");
/// assert_eq!(secure.transport(), Transport::Wss);
/// # Ok::<(), tidewire_core::MultiaddrError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Multiaddr(Arc<[u8]>);

/// The components of an address, outermost first. From [`Multiaddr::iter`].
#[derive(Clone, Debug)]
pub struct Components<'a> {
    rest: &'a [u8],
}

impl Multiaddr {
    /// The most bytes of an address. Real ones stay below 300; circuit v1 allowed 1024 (libp2p/specs relay/circuit-v1.md,
    /// "Notes for the implementor").
    pub const MAX_LEN: usize = 1024;

    /// The most components of an address. Real ones stay below 12. Bounds the work of every question.
    pub const MAX_COMPONENTS: usize = 32;

    /// The most bytes of an address as text: room for the longest text of [`MAX_LEN`](Self::MAX_LEN) bytes (one byte of a path
    /// is at most three characters, and each component adds at most 20).
    pub const MAX_TEXT_LEN: usize = 4096;

    /// The empty address.
    pub fn empty() -> Self {
        Multiaddr(Arc::default())
    }

    /// Bytes that it holds on the heap: its own behind two counts. Clones share them.
    pub fn memory_used(&self) -> usize {
        (2 * size_of::<usize>() + self.0.len()).next_multiple_of(align_of::<usize>())
    }

    /// Bytes on the heap of a list of addresses. Those that are clones are counted though they may be shared.
    pub fn list_memory_used(list: &Vec<Multiaddr>) -> usize {
        list.capacity() * size_of::<Multiaddr>() + list.iter().map(Multiaddr::memory_used).sum::<usize>()
    }

    /// Reads the binary form.
    ///
    /// # Errors
    /// The bytes are empty, over a cap, cut short, or a value is not what its protocol takes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MultiaddrError> {
        if bytes.is_empty() {
            return Err(MultiaddrError::new(MultiaddrFault::Empty, 0, 0));
        }
        check(bytes)?;
        Ok(Multiaddr(bytes.into()))
    }

    /// An address of these components.
    ///
    /// # Errors
    /// As [`with`](Self::with); the empty slice gives the empty address.
    pub fn from_components(components: &[Component<'_>]) -> Result<Self, MultiaddrError> {
        let mut bytes = Vec::new();
        for (index, component) in components.iter().enumerate() {
            append(&mut bytes, index, component)?;
        }
        Ok(Multiaddr(bytes.into()))
    }

    /// `/ip4/.../tcp/...` or `/ip6/.../tcp/...`. An IPv4 address in IPv6 clothes becomes `ip4`; a scope id becomes `ip6zone`.
    pub fn tcp(addr: SocketAddr) -> Self {
        Self::of_socket(addr, &[Component::Tcp(addr.port())])
    }

    /// As [`tcp`](Self::tcp), with `udp`.
    pub fn udp(addr: SocketAddr) -> Self {
        Self::of_socket(addr, &[Component::Udp(addr.port())])
    }

    /// As [`udp`](Self::udp), with `quic-v1` behind it.
    pub fn quic_v1(addr: SocketAddr) -> Self {
        Self::of_socket(addr, &[Component::Udp(addr.port()), Component::QuicV1])
    }

    fn of_socket(addr: SocketAddr, then: &[Component<'_>]) -> Self {
        let mut bytes = Vec::with_capacity(24);
        let mut digits = [0; 10];
        match addr {
            SocketAddr::V6(v6) if v6.scope_id() != 0 && v6.ip().to_ipv4_mapped().is_none() => {
                let zone = decimal(v6.scope_id(), &mut digits);
                Component::Ip6Zone(zone).write(&mut bytes);
            }
            _ => {}
        }
        of_ip(addr.ip().to_canonical()).write(&mut bytes);
        then.iter().for_each(|component| component.write(&mut bytes));
        Multiaddr(bytes.into())
    }

    /// The binary form.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is no component.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The components, outermost first. Allocates nothing.
    pub fn iter(&self) -> Components<'_> {
        Components { rest: &self.0 }
    }

    /// Appends a component.
    ///
    /// # Errors
    /// The component can't be written (a name with `/`, say), the address is at a cap, or it ends in an unknown code. The
    /// address is as before.
    pub fn push(&mut self, component: Component<'_>) -> Result<(), MultiaddrError> {
        *self = self.with(component)?;
        Ok(())
    }

    /// This address with one more component.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn with(&self, component: Component<'_>) -> Result<Self, MultiaddrError> {
        if self.ends_unknown() {
            return Err(MultiaddrError::new(MultiaddrFault::AfterUnknown, self.iter().count(), self.0.len()));
        }
        let mut bytes = self.0.to_vec();
        append(&mut bytes, self.iter().count(), &component)?;
        Ok(Multiaddr(bytes.into()))
    }

    /// Takes the last component off and gives it as an address of its own; `None` if there was none.
    pub fn pop(&mut self) -> Option<Multiaddr> {
        let (at, _) = self.spans().last()?;
        let (head, tail) = self.0.split_at_checked(at)?;
        let last = Multiaddr(tail.into());
        *self = Multiaddr(head.into());
        Some(last)
    }

    /// `self` with `inner` behind it (addressing/README.md, "Encapsulation").
    ///
    /// # Errors
    /// The whole is over a cap, or `self` ends in an unknown code.
    pub fn encapsulate(&self, inner: &Multiaddr) -> Result<Self, MultiaddrError> {
        if self.ends_unknown() && !inner.is_empty() {
            return Err(MultiaddrError::new(MultiaddrFault::AfterUnknown, self.iter().count(), self.0.len()));
        }
        let bytes = [self.as_bytes(), inner.as_bytes()].concat();
        check(&bytes)?;
        Ok(Multiaddr(bytes.into()))
    }

    /// What stands before the last occurrence of `inner` (addressing/README.md, "Decapsulation"); `None` if it doesn't occur.
    /// Matches whole components only. Nothing occurs in the empty address, and the empty address nowhere.
    pub fn decapsulate(&self, inner: &Multiaddr) -> Option<Multiaddr> {
        if inner.is_empty() {
            return None;
        }
        let (at, _) = self.spans().filter(|(at, _)| self.has_at(*at, inner)).last()?;
        self.0.get(..at).map(|head| Multiaddr(head.into()))
    }

    /// Whether the last components are those of `suffix`: how records of a `dnsaddr` are chosen (multiaddr,
    /// `protocols/DNSADDR.md`, "Suffix matching").
    pub fn ends_with(&self, suffix: &Multiaddr) -> bool {
        match self.0.len().checked_sub(suffix.0.len()) {
            Some(at) => suffix.is_empty() || (self.spans().any(|(start, _)| start == at) && self.has_at(at, suffix)),
            None => false,
        }
    }

    /// This address with `/p2p/<peer>` at its end, once.
    ///
    /// # Errors
    /// It ends in another peer, or as [`push`](Self::push).
    pub fn with_peer_id(&self, peer: PeerId) -> Result<Self, MultiaddrError> {
        match self.spans().last() {
            Some((_, Component::P2p(found))) if found == peer => Ok(self.clone()),
            Some((at, Component::P2p(found))) => {
                let fault = MultiaddrFault::OtherPeer { found: Box::new(found), wanted: Box::new(peer) };
                Err(MultiaddrError::new(fault, self.iter().count().saturating_sub(1), at))
            }
            _ => self.with(Component::P2p(peer)),
        }
    }

    /// This address without a `/p2p/...` at its end.
    #[must_use]
    pub fn without_peer_id(&self) -> Self {
        match self.spans().last() {
            Some((at, Component::P2p(_))) => {
                self.0.get(..at).map_or_else(|| self.clone(), |head| Multiaddr(head.into()))
            }
            _ => self.clone(),
        }
    }

    /// The relay's address and the destination's: what stands before and behind the last `p2p-circuit`. Either may be empty.
    pub fn split_circuit(&self) -> Option<(Multiaddr, Multiaddr)> {
        let (relay, destination) = self.circuit_parts()?;
        Some((Multiaddr(relay.rest.into()), Multiaddr(destination.rest.into())))
    }

    /// As [`split_circuit`](Self::split_circuit), borrowed.
    fn circuit_parts(&self) -> Option<(Components<'_>, Components<'_>)> {
        let (at, _) = self.spans().filter(|(_, component)| *component == Component::P2pCircuit).last()?;
        let (relay, mut destination) = (Components { rest: self.0.get(..at)? }, Components { rest: self.0.get(at..)? });
        destination.next();
        Some((relay, destination))
    }

    /// Each component with the offset of its first byte.
    fn spans(&self) -> impl Iterator<Item = (usize, Component<'_>)> {
        let mut left = self.iter();
        core::iter::from_fn(move || {
            let at = self.0.len() - left.rest.len();
            left.next().map(|component| (at, component))
        })
    }

    /// Whether the components from `at`, where one begins, are those of `part`.
    fn has_at(&self, at: usize, part: &Multiaddr) -> bool {
        let end = at + part.0.len();
        // An unknown tail could be longer here than in `part`: the match must end where a component ends.
        self.0.get(at..end) == Some(part.as_bytes())
            && (end == self.0.len() || self.spans().any(|(start, _)| start == end))
    }

    fn ends_unknown(&self) -> bool {
        matches!(self.iter().last(), Some(Component::Unknown { .. }))
    }
}

impl<'a> Iterator for Components<'a> {
    type Item = Component<'a>;

    fn next(&mut self) -> Option<Component<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        // The bytes were valid when the address was made, and are the same now.
        let (component, rest) = Component::split(self.rest).ok()?;
        self.rest = rest;
        Some(component)
    }
}

impl core::iter::FusedIterator for Components<'_> {}

/// The component of this IP address.
fn of_ip(ip: IpAddr) -> Component<'static> {
    match ip {
        IpAddr::V4(ip) => Component::Ip4(ip),
        IpAddr::V6(ip) => Component::Ip6(ip),
    }
}

fn decimal(mut number: u32, digits: &mut [u8; 10]) -> &str {
    let mut at = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        at -= 1;
        if number == 0 {
            break;
        }
    }
    digits.get(at..).and_then(|digits| core::str::from_utf8(digits).ok()).unwrap_or("0")
}

fn check_len(len: usize) -> Result<(), MultiaddrError> {
    if len > Multiaddr::MAX_LEN {
        let fault = MultiaddrFault::TooLong { len, max: Multiaddr::MAX_LEN };
        return Err(MultiaddrError::new(fault, 0, 0));
    }
    Ok(())
}

/// All that makes bytes an address, but for being empty.
fn check(bytes: &[u8]) -> Result<(), MultiaddrError> {
    check_len(bytes.len())?;
    let (mut rest, mut count) = (bytes, 0);
    while !rest.is_empty() {
        let fail = |fault| MultiaddrError::new(fault, count, bytes.len() - rest.len());
        if count == Multiaddr::MAX_COMPONENTS {
            return Err(fail(MultiaddrFault::TooManyComponents { max: Multiaddr::MAX_COMPONENTS }));
        }
        (_, rest) = Component::split(rest).map_err(fail)?;
        count += 1;
    }
    Ok(())
}

/// Appends the component number `index`, if what is written reads as that component and nothing else.
fn append(bytes: &mut Vec<u8>, index: usize, component: &Component<'_>) -> Result<(), MultiaddrError> {
    let at = bytes.len();
    let fail = |fault| MultiaddrError::new(fault, index, at);
    if index >= Multiaddr::MAX_COMPONENTS {
        return Err(fail(MultiaddrFault::TooManyComponents { max: Multiaddr::MAX_COMPONENTS }));
    }
    component.write(bytes);
    check_len(bytes.len())?;
    match Component::split(bytes.get(at..).unwrap_or_default()).map_err(fail)? {
        (read, []) if read == *component => Ok(()),
        _ => Err(fail(MultiaddrFault::NotUnknown { code: component.code() })),
    }
}

impl Default for Multiaddr {
    fn default() -> Self {
        Multiaddr::empty()
    }
}

impl fmt::Display for Multiaddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("/");
        }
        text::write(self, f)
    }
}

impl fmt::Debug for Multiaddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Multiaddr {
    type Err = MultiaddrError;

    fn from_str(text: &str) -> Result<Self, MultiaddrError> {
        text::parse(text).map(|bytes| Multiaddr(bytes.into()))
    }
}

impl<'a> IntoIterator for &'a Multiaddr {
    type Item = Component<'a>;
    type IntoIter = Components<'a>;

    fn into_iter(self) -> Components<'a> {
        self.iter()
    }
}

impl AsRef<[u8]> for Multiaddr {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl TryFrom<&[u8]> for Multiaddr {
    type Error = MultiaddrError;

    fn try_from(bytes: &[u8]) -> Result<Self, MultiaddrError> {
        Multiaddr::from_bytes(bytes)
    }
}

impl From<IpAddr> for Multiaddr {
    fn from(ip: IpAddr) -> Self {
        let mut bytes = Vec::with_capacity(17);
        of_ip(ip).write(&mut bytes);
        Multiaddr(bytes.into())
    }
}
