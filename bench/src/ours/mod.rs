//! Tidewire's sides.

pub mod connection;
pub mod crowd;
pub mod muxed;
pub mod negotiate;
pub mod node;
pub mod parts;
pub mod relay;
pub mod tcp;
pub mod upgrade;
