//! AutoNAT v2: at which addresses is the host reachable?
//!
//! [`Client`] has connected peers try them, and [`Server`] does it for others. The bytes of both ends, of both protocols, are
//! [`exchange`](crate::exchange)'s.
//!
//! Spec: libp2p/specs autonat/autonat-v2.md.

pub(crate) mod back;
mod client;
mod server;
mod status;
pub(crate) mod stream;
mod votes;

pub use client::{
    AddressExplanation, Client, ClientAction, ClientConfig, ClientExplanation, ClientInput, ClientMisuse,
    ClientWaiting, HeardOn,
};
pub use server::{
    DialBackOutcome, Server, ServerAction, ServerConfig, ServerCounters, ServerExplanation, ServerInput, ServerMisuse,
    ServerStep,
};
pub use status::{DialStatus, Response, Status};
