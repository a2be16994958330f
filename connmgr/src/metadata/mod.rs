//! What is remembered about a peer: where it may be and who says so, what it speaks, how far away it is. All of it is capped.
//!
//! `record` is what is remembered about one peer, and which of its addresses goes when there are too many; `store` holds it
//! for all peers, and decides who is forgotten.
//!
//! ```
//! use core::time::Duration;
//! use tidewire_connmgr::metadata::Source;
//! use tidewire_connmgr::{Config, ConnectionManager, Input};
//! use tidewire_core::{EventMachine, Keypair, Seed, Time};
//!
//! let [us, peer] = [1, 2].map(|n| Keypair::from_seed(&Seed::new([n; 32])).peer_id());
//! let mut manager = ConnectionManager::new(Config::default(), us, &Seed::new([3; 32]));
//!
//! // A DHT told us where a peer may be.
//! let (addresses, source) = (["/ip4/11.0.0.2/udp/4001/quic-v1".parse()?], Source::Hearsay);
//! manager.handle(Time::ZERO, Input::Addresses { peer, addresses: &addresses, source, ttl: Duration::from_secs(600) })?;
//!
//! let known: Vec<_> = manager.addresses_of(&peer).collect();
//! assert_eq!((known[0].source, known[0].last), (Source::Hearsay, None)); // nobody dialed it yet
//!
//! // After ten minutes nobody believes it any more, and nothing is left of the peer.
//! manager.on_timeout(Time::ZERO + Duration::from_secs(600));
//! assert!(manager.peer(&peer).is_none());
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

mod config;
mod record;
mod store;
#[cfg(test)]
mod tests;

pub use config::MetadataConfig;
pub use record::{AddressOutcome, AddressRecord, PeerMetadata, Source};
pub(crate) use store::Store;
