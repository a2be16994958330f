//! identify and identify/push: who a peer says that it is, and where (libp2p/specs identify/README.md).
//!
//! ```text
//! identify   we open --/ipfs/id/1.0.0-->       the remote writes its card, ends      Reader --> Identity
//! push       we open --/ipfs/id/push/1.0.0-->  we write our card, end                Reader at the remote
//!
//! Profile (plain data, decided by the host) --sealed with the key--> Card --written to any number of streams-->
//! ```
//!
//! [`Reader`] reads what a remote says: verified, and capped by [`Config`]. [`Card`] is what we say: encoded and signed
//! once, and shared by all connections. Neither knows a stream; whoever drives them opens it and ends it.
//!
//! A [`Host`](crate::Host) pushes
//! - what changed, a while later, to each peer that said that it takes pushes, and has not asked since;
//! - once, with its first bytes, on a connection that it made through a relay, if it punches holes and this is the only
//!   connection to the peer. The other end opens the stream of a hole punch, and dials us if we are public, as soon as it knows us
//!   (libp2p/specs relay/DCUtR.md, "The Protocol"). To ask us would take it a round trip of the relay; so it knows us when the
//!   connection stands. A node that serves all of the relay's protocols and is reached through two relays says so in less than
//!   900 bytes of the circuit; [`Card::MAX_LEN`] and 100 bytes more are the most. A peer that takes no pushes refuses the stream,
//!   and asks. Others ask too, and are answered as ever.
//!
//! ```
//! use bytes::BytesMut;
//! use tidewire_core::{Keypair, Machine, Multiaddr, Seed, Time};
//! use tidewire_host::identify::{Card, Config, Profile, Reader};
//!
//! let keypair = Keypair::from_seed(&Seed::new([7; 32]));
//! let mut profile = Profile::default();
//! profile.agent = "example/1.0".into();
//! profile.addresses = vec!["/ip4/192.0.2.1/tcp/4001".parse()?];
//! let card = Card::new(&keypair, &profile)?;
//!
//! // On the wire: the card, with the address from which the reader's node is seen.
//! let mut wire = BytesMut::new();
//! let seen: Multiaddr = "/ip4/198.51.100.7/tcp/51234".parse()?;
//! card.write(Some(&seen), &mut wire);
//!
//! let mut reader = Reader::new(&Config::default(), keypair.peer_id(), Time::ZERO);
//! let identity = reader.end(Time::ZERO, &mut wire, &mut BytesMut::new())?.ok_or("nothing came")?;
//! assert_eq!(identity.agent.as_deref(), Some("example/1.0"));
//! assert_eq!(identity.listen_addresses(), profile.addresses);
//! assert_eq!(identity.observed, Some(seen));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

mod card;
mod identity;
mod message;
mod reader;
#[cfg(test)]
mod tests;

pub use card::{Card, CardError, LeftOut, Profile};
pub use identity::{Dropped, Identity, RecordRefused, SignedRecord};
pub use reader::{IdentifyError, Reader};

use core::time::Duration;
use tidewire_multistream::Protocol;

/// Ask a peer who it is (identify/README.md, "`identify`").
pub const IDENTIFY: Protocol = Protocol::from_static("/ipfs/id/1.0.0");
/// Tell a peer what changed (identify/README.md, "`identify/push`").
pub const PUSH: Protocol = Protocol::from_static("/ipfs/id/push/1.0.0");

/// Caps on what a remote may say. The spec has none; where go-libp2p has one, it is the default.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct Config {
    /// Bytes of all messages of a stream together, with the lengths of all but the last. More is an error, before they are
    /// waited for. Default 8 KiB.
    pub max_bytes: usize,
    /// Messages of one stream. One more is an error. Default 10.
    pub max_messages: u32,
    /// Time for all of it. What is complete by then counts. Default 5 s.
    pub timeout: Duration,
    /// Protocols that are kept; further ones are dropped. Default 128.
    pub max_protocols: usize,
    /// Bytes of a protocol's name; longer ones are dropped. Default 256.
    pub max_protocol_name: usize,
    /// Addresses that are kept, of the listed and of the signed ones each; further ones are dropped. Default 64.
    pub max_addresses: usize,
    /// Bytes of an address; longer ones are dropped. Real ones stay below 300. Default 512.
    pub max_address: usize,
    /// Bytes of the agent and of the protocol version; longer ones are cut. Default 128.
    pub max_text: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            max_bytes: 8 * 1024,
            max_messages: 10,
            timeout: Duration::from_secs(5),
            max_protocols: 128,
            max_protocol_name: 256,
            max_addresses: 64,
            max_address: 512,
            max_text: 128,
        }
    }
}
