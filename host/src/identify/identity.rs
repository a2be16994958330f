//! What a peer said about itself, and how a push changes it.

use alloc::vec::Vec;
use bytes::Bytes;
use smol_str::SmolStr;
use tidewire_core::{Multiaddr, PeerId, PeerRecordError, PublicKey};
use tidewire_multistream::Protocol;

/// What a peer said about itself: by itself, over a connection that proves who it is; verified where it can be, and capped.
///
/// An absent field was not said. Protobuf has no empty list, so an empty one was not said either; a list of which nothing
/// was usable counts the same, and [`dropped`](Identity::dropped) tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Identity {
    /// Its key: that of the connection's peer.
    pub public_key: Option<PublicKey>,
    /// The family of protocols that it belongs to, such as `/my-network/0.1.0`. Any text; control characters are replaced.
    pub protocol_version: Option<SmolStr>,
    /// Its program and version, such as `go-libp2p/0.48.0`. Any text; control characters are replaced.
    pub agent: Option<SmolStr>,
    /// What it can be asked: sorted, each once.
    pub protocols: Vec<Protocol>,
    /// Where it listens, unsigned, in its order, each once, without `/p2p/<the peer>` at the end. To know where it listens ask
    /// [`listen_addresses`](Identity::listen_addresses).
    pub addresses: Vec<Multiaddr>,
    /// Where it sees us, without `/p2p/<us>` at the end.
    pub observed: Option<Multiaddr>,
    /// Where it listens, signed by itself.
    pub record: Option<SignedRecord>,
    /// There was a record, and it was not taken. What else it said counts all the same, its unsigned addresses too: as
    /// rust-libp2p has it, and go-libp2p for a record that can't be read. They are the peer's own words anyway, over a
    /// connection that proves it; the signature matters to third parties.
    pub refused: Option<RecordRefused>,
    /// What was left out, for the log.
    pub dropped: Dropped,
    /// The addresses are newer than the record.
    superseded: bool,
}

/// A peer record whose signature is right, by the connection's peer and about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct SignedRecord {
    /// Newer records have a higher number.
    pub seq: u64,
    /// Where the peer listens, with the same caps as the unsigned ones.
    pub addresses: Vec<Multiaddr>,
    /// The envelope as it came, to be passed on.
    pub envelope: Bytes,
}

/// Why a peer record was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum RecordRefused {
    /// It is malformed, its signature is wrong, or it is about another peer than its signer.
    #[error("the peer's signed record: {0}")]
    Invalid(#[from] PeerRecordError),
    /// It is the right record of someone else.
    #[error("expected a record of {expected}, whose connection this is, but it is one of {got}")]
    OtherPeer {
        /// The connection's peer.
        expected: PeerId,
        /// Whose record it is.
        got: PeerId,
    },
    /// A newer one is known, or another one with the same number.
    #[error("the record with number {got} is not newer than number {known}, which is known: it may be a replay")]
    Stale {
        /// The number of the record that is known.
        known: u64,
        /// The number of the one that came.
        got: u64,
    },
}

/// How much of what a peer said was left out, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Dropped {
    /// Addresses that can't be read, are nothing but a peer id, or are longer than allowed.
    pub unusable_addresses: u32,
    /// Addresses of another peer.
    pub foreign_addresses: u32,
    /// Addresses over the number allowed.
    pub surplus_addresses: u32,
    /// Protocols whose name is none, or longer than allowed.
    pub unusable_protocols: u32,
    /// Protocols over the number allowed.
    pub surplus_protocols: u32,
    /// Where it sees us can't be read, or is nothing but our id.
    pub observed: bool,
}

impl Identity {
    /// Where the peer listens: as signed, unless it said something newer since.
    pub fn listen_addresses(&self) -> &[Multiaddr] {
        match &self.record {
            Some(record) if !self.superseded => &record.addresses,
            _ => &self.addresses,
        }
    }

    /// Whether [`listen_addresses`](Identity::listen_addresses) are signed.
    pub const fn is_signed(&self) -> bool {
        self.record.is_some() && !self.superseded
    }

    /// Takes over what a push said. What it doesn't mention stays (identify/README.md, "`identify/push`"). A list replaces
    /// the list; addresses without a fresh record stand instead of those in the record that is known.
    ///
    /// Returns why its record was not taken, if there was one and it was not.
    pub fn merge_push(&mut self, push: Identity) -> Option<&RecordRefused> {
        fn take<T>(known: &mut Option<T>, said: Option<T>) {
            if said.is_some() {
                *known = said;
            }
        }
        take(&mut self.public_key, push.public_key);
        take(&mut self.protocol_version, push.protocol_version);
        take(&mut self.agent, push.agent);
        take(&mut self.observed, push.observed);
        if !push.protocols.is_empty() {
            self.protocols = push.protocols;
        }
        self.dropped = push.dropped;
        self.refused = push.refused;

        let lists = !push.addresses.is_empty();
        if lists {
            self.addresses = push.addresses;
        }
        match (&self.record, push.record) {
            (Some(known), Some(said)) if !said.is_newer_than(known) => {
                if said.envelope != known.envelope {
                    self.refused = Some(RecordRefused::Stale { known: known.seq, got: said.seq });
                    self.superseded |= lists;
                }
                // The same record once more says that it still holds.
                else {
                    self.superseded = false;
                }
            }
            (_, Some(said)) => {
                self.record = Some(said);
                self.superseded = false;
            }
            (_, None) => self.superseded |= lists,
        }
        self.refused.as_ref()
    }

    /// Whether nothing was said that could be used.
    pub fn is_empty(&self) -> bool {
        self.public_key.is_none()
            && self.protocol_version.is_none()
            && self.agent.is_none()
            && self.protocols.is_empty()
            && self.addresses.is_empty()
            && self.observed.is_none()
            && self.record.is_none()
    }

    /// Bytes on the heap. Those of an address that is listed and signed are shared, and counted once.
    pub fn memory_used(&self) -> usize {
        let texts = self.protocol_version.iter().chain(&self.agent).map(|text| name_heap(text)).sum::<usize>();
        let record = self.record.as_ref().map_or(0, |record| {
            let apart = record.addresses.iter().filter(|address| !self.addresses.contains(address));
            record.addresses.capacity() * size_of::<Multiaddr>()
                + apart.map(Multiaddr::memory_used).sum::<usize>()
                + record.envelope.len()
        });
        texts
            + protocols_heap(&self.protocols, self.protocols.capacity())
            + Multiaddr::list_memory_used(&self.addresses)
            + record
    }
}

impl SignedRecord {
    /// Whether this record was made after the other one (RFC 0003, `seq`).
    pub const fn is_newer_than(&self, other: &SignedRecord) -> bool {
        self.seq > other.seq
    }
}

impl Dropped {
    /// Whether nothing was.
    pub fn is_none(&self) -> bool {
        *self == Dropped::default()
    }
}

/// Bytes of a text on the heap: up to 23 are inline, more stand behind two counts.
fn name_heap(name: &str) -> usize {
    if name.len() > 23 { (2 * size_of::<usize>() + name.len()).next_multiple_of(align_of::<usize>()) } else { 0 }
}

fn protocols_heap(protocols: &[Protocol], capacity: usize) -> usize {
    capacity * size_of::<Protocol>() + protocols.iter().map(|name| name_heap(name.as_str())).sum::<usize>()
}
