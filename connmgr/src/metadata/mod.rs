//! What is remembered about a peer: where it may be and who says so, what it speaks, how far away it is. All of it is capped.
//!
//! [`record`] is what is remembered about one peer, and which of its addresses goes when there are too many; [`store`] holds
//! it for all peers, and decides who is forgotten.

mod config;
mod record;
mod store;
#[cfg(test)]
mod tests;

pub use config::MetadataConfig;
pub use record::{AddressOutcome, AddressRecord, PeerMetadata, Source};
pub(crate) use store::Store;
