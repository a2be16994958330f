//! AutoNAT v1: is the host as a whole reachable?
//!
//! [`Client`] asks connected peers to dial us back, and [`Server`] does it for others. The bytes of both ends are
//! [`exchange`](crate::exchange)'s.
//!
//! Spec: libp2p/specs autonat/autonat-v1.md.

mod client;
mod server;
mod status;
pub(crate) mod stream;

pub use client::{Client, ClientAction, ClientConfig, ClientExplanation, ClientInput, ClientMisuse, ClientWaiting};
pub use server::{
    Server, ServerAction, ServerConfig, ServerCounters, ServerExplanation, ServerInput, ServerMisuse, ServerStep,
};
pub use status::{Response, Status};

/// Bytes that the addresses of one request may take of a message of 4 KiB: the rest is for our id and the frame.
const ADDRESS_BYTES: usize = 3900;

/// Bytes that an address takes beside its own: its field number and its length.
const PER_ADDRESS: usize = 3;
