//! Names for peers, streams and addresses in tests.

use crate::{ConnectionId, StreamKey};
use alloc::string::ToString;
use alloc::vec::Vec;
use tidewire_core::{Keypair, Multiaddr, PeerId, Seed};

/// Peer number `n`.
pub(super) fn peer(n: u8) -> PeerId {
    std::thread_local! {
        static PEERS: Vec<PeerId> =
            (0..=255).map(|n| Keypair::from_seed(&Seed::new([n; 32])).peer_id()).collect();
    }
    PEERS.with(|peers| peers[usize::from(n)])
}

/// An address from its text.
#[allow(clippy::needless_pass_by_value, reason = "texts and references to them alike")]
pub(super) fn addr(text: impl ToString) -> Multiaddr {
    text.to_string().parse().unwrap()
}

/// Stream number `n`, on a connection of its own.
pub(super) fn stream(n: u64) -> StreamKey {
    StreamKey { connection: ConnectionId(n), stream: 0 }
}

/// Protobuf by hand: what the wire must look like, without the code under test.
pub(super) mod wire {
    use alloc::vec::Vec;

    pub(in crate::autonat) fn varint(mut value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        while value >= 0x80 {
            out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
            value >>= 7;
        }
        out.push(u8::try_from(value).unwrap());
        out
    }

    /// A field that holds bytes or a message.
    pub(in crate::autonat) fn bytes(number: u64, value: &[u8]) -> Vec<u8> {
        [varint(number << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
    }

    /// A field that holds a number.
    pub(in crate::autonat) fn number(number: u64, value: u64) -> Vec<u8> {
        [varint(number << 3), varint(value)].concat()
    }

    /// A field that holds a `fixed64`.
    pub(in crate::autonat) fn fixed64(number: u64, value: u64) -> Vec<u8> {
        [varint(number << 3 | 1), value.to_le_bytes().to_vec()].concat()
    }

    /// A message with its length before it.
    pub(in crate::autonat) fn frame(body: &[u8]) -> Vec<u8> {
        [varint(body.len() as u64), body.to_vec()].concat()
    }
}
