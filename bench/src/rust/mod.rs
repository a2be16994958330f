//! rust-libp2p and its parts, driven in one thread over a pipe in memory where nothing else is said.

pub mod muxed;
pub mod negotiate;
pub mod node;
pub mod pipe;
pub mod relay;
pub mod tcp;
pub mod upgrade;
